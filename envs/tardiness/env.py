"""Gymnasium faces of the single machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gymnasium.vector import AutoresetMode

from makespan.envs.core.env import IllegalAction, SchedulingEnv
from makespan.envs.core.sources import Sources
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.tardiness import rules as rules  # registers the family's rules
from makespan.envs.tardiness.benchmark import load_instance
from makespan.envs.tardiness.engine import TardinessEngine
from makespan.envs.tardiness.generator import FixedInstances, Generator, make_generator
from makespan.envs.tardiness.instance import TardinessInstance

Source = TardinessInstance | str


SOURCES: Final = Sources(make_generator, "potts_van_wassenhove", FixedInstances, load_instance)


class SingleMachineTardinessEnv(SchedulingEnv):
    """One machine, minimising the total tardiness (1 || sum T_j).

    ## Description
    n jobs with processing times and due dates wait for one machine at time 0. The sequence is built forwards, without idle
    time; a job that is completed after its due date is late by the difference.

    ## Action Space
    `Discrete(max_jobs)`: the job that comes next. All unscheduled jobs are allowed.

    ## Observation Space
    The decision graph (`env.unwrapped.schema`): job and system nodes, candidates, and `action_mask`; no edges.

    ## Rewards
    -(LB' - LB) / MDD, where LB is the tardiness so far plus, for each unscheduled job, its tardiness if it came next, and MDD
    the total tardiness of the modified-due-date sequence (at least 1). The return is exactly -(total tardiness - LB0) / MDD.

    ## Starting State
    Time 0 with `options["instance"]`, or with a fresh draw of the generator.

    ## Episode End
    Termination: all jobs are scheduled. Truncation: only with `illegal_action="noop"`, after ten no-ops a job.

    ## Arguments
    * `generator`: a generator object, or a generator's name with its parameters as further keywords
      (`generator="potts_van_wassenhove", num_jobs=50`); default: Potts & Van Wassenhove, 20 jobs, all classes.
    * `instance`: one instance, or its name ("six"), for every episode.
    * `skip_forced`: append the last job inside the environment (default); a single job is still asked for.
    * `illegal_action`: "random" (default), "noop" or "raise"; see `SchedulingEnv`.
    * `copy`: hand out copies of the observation (default), or the live buffers.
    * `render_mode`: "ansi", "rgb_array" or "human".

    ## Version History
    * v0: initial version.
    """

    sources: Sources = SOURCES

    def __init__(
        self,
        generator: Generator | str | None = None,
        *,
        instance: Source | None = None,
        skip_forced: bool = True,
        illegal_action: IllegalAction = "random",
        copy: bool = True,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters)
        engine = TardinessEngine(1, num_jobs=source.size, skip_forced=skip_forced)
        super().__init__(engine, source, illegal_action=illegal_action, copy=copy, render_mode=render_mode)


class SingleMachineTardinessVectorEnv(SchedulingVectorEnv):
    """The native batch of `makespan/SingleMachineTardiness-v0`; arguments as there, and those of `SchedulingVectorEnv`."""

    sources: Sources = SOURCES

    def __init__(
        self,
        num_envs: int = 1,
        generator: Generator | str | None = None,
        *,
        instance: Source | None = None,
        instances: Sequence[Source] | None = None,
        skip_forced: bool = True,
        illegal_action: IllegalAction = "random",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters, instances)
        super().__init__(
            TardinessEngine(num_envs, num_jobs=source.size, skip_forced=skip_forced),
            source,
            num_envs,
            instances=instances,
            illegal_action=illegal_action,
            autoreset_mode=autoreset_mode,
            copy=copy,
        )
