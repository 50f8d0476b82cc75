"""The Gymnasium faces of the SoC family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal

from gymnasium.vector import AutoresetMode

from makespan.envs.core.env import IllegalAction, SchedulingEnv
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.sources import Sources
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.soc.benchmark import load_instance
from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.generator import FixedSocs, make_generator
from makespan.envs.soc.generator_base import Generator, SocSize
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.schema import MODES, ROLLOUT_RULES

Mode = Literal["task_pe", "task", "pe"]

SOURCES: Final = Sources(make_generator, "soc16-mix", FixedSocs, load_instance)


def make_engine(
    size: SocSize,
    num_slots: int,
    *,
    mode: str,
    defer: bool,
    max_live_jobs: int,
    max_ready: int,
    overflow: int,
    skip_forced: bool,
    merge_twins: bool,
    rollout_rule: str | None,
    rollout_samples: int,
    rollout_draws: int,
    plan_moves: int | None,
    plan_work: float,
) -> SocEngine:
    """The simulators of an environment; raises where an argument makes no sense."""
    if mode not in MODES:
        raise UnknownNameError("action mode (mode)", mode, MODES)
    if rollout_rule is not None and rollout_rule not in ROLLOUT_RULES:
        raise UnknownNameError("rule of the rollouts (rollout_rule)", rollout_rule, ROLLOUT_RULES)
    for key, value, least in (
        ("max_live_jobs", max_live_jobs, 1),
        ("max_ready", max_ready, 1),
        ("overflow", overflow, 0),
        ("rollout_samples", rollout_samples, 0),
        ("rollout_draws", rollout_draws, 0),
        ("plan_moves", plan_moves or 0, 0),
    ):
        if value < least:
            raise ValueError(f"{key}: {value}; expected at least {least}")
    if plan_moves is not None and mode != "task_pe":
        raise ValueError(f"plan_moves: {plan_moves} with mode {mode!r}; a plan needs mode 'task_pe'")
    if not (plan_work >= 0 and math.isfinite(plan_work)):
        raise ValueError(f"plan_work: {plan_work}; expected a number >= 0")
    return SocEngine(
        num_slots,
        size,
        mode=mode,
        max_live_jobs=max_live_jobs,
        max_ready=max_ready,
        defer=defer,
        skip_forced=skip_forced,
        merge_twins=merge_twins,
        most_jobs=overflow,
        rollout_rule=rollout_rule,
        rollout_samples=rollout_samples,
        rollout_draws=rollout_draws,
        plan_moves=plan_moves,
        plan_work=plan_work,
    )


class SocEnv(SchedulingEnv):
    """Jobs that are DAGs of tasks arrive over time and share the unlike processing elements of a system on chip.

    ## Description
    A job of profile p is a task graph; a task runs on one processing element (PE), without interruption, in a time that depends
    on the PE's type (some cannot run it). Data move between PEs in floor(volume / bandwidth) microseconds. A task is
    ready when all its predecessors have ended; the agent commits it to a PE, which serves its committed tasks in the order of
    their jobs and skips those whose data have not arrived. Everything is event-driven, in integer microseconds, after DS3
    (Arda et al. 2020, IEEE Trans. Computers 69(8)).

    ## Action Space
    At each event, decisions are taken one by one until every ready task is committed or deferred. `mode`:
    `task_pe` (default) `Discrete(max_ready * num_pes + 1)`, action r * num_pes + p commits the r-th ready task (FIFO) to PE p;
    `task` `Discrete(max_ready + 1)`, the r-th ready task goes to the PE where it finishes first (DeepSoCS, Sung et al. 2020);
    `pe` `Discrete(num_pes + 1)`, the first ready task goes to PE p (SoCRATES, Sung & Ryu 2021). The last action defers: what
    is ready waits for the next end or arrival; it is forbidden where nothing would ever happen, and absent with
    `defer=False`.

    ## Observation Space
    The decision graph (`env.unwrapped.schema`): the tasks and jobs in the system (they come and go), PE and system nodes,
    precedence edges with transfer times, eligibility edges of the offered tasks, assignment edges, candidates, `action_mask`, and
    `critic_x`, what is to arrive, for critics only. The feature tables are on the docs page, rendered from the schema.

    ## Rewards
    Objective "latency": -(integral over time of the counted jobs in the system) / u, where u is the mean critical path of
    the profiles; the return is exactly -(sum of the counted jobs' latencies, unfinished ones with their age) / u.
    "makespan": -time / lower bound. "energy": -energy / (energy of all PEs running for the makespan's lower bound).
    `info["elapsed"]` is the time that a step took, in u.

    ## Starting State
    An empty system at time 0 with `options["instance"]`, or a fresh draw of the generator; the first decision is the first
    arrival's.

    ## Episode End
    Termination: all jobs are done, or the instance's horizon is reached. Truncation: more than `overflow` jobs are in
    the system (random policies are unstable); with `illegal_action="noop"`, ten no-ops a task row.

    ## Arguments
    * `generator`: a generator object, or a generator's name with its parameters as further keywords
      (`generator="soc16-mix", scale=50, num_jobs=200`); default: soc16-mix.
    * `instance`: one instance, or its name ("topcuoglu", "ds3-wifi-200"), for every episode.
    * `mode`, `defer`: what an action is, see above.
    * `max_live_jobs`: jobs whose tasks are in the graph; later ones wait outside in the order of their arrival, while their
      latency runs.
    * `max_ready`: ready tasks offered at once, the first in FIFO order; the others move up as these are committed.
    * `overflow`: most jobs in the system, waiting ones included, before the episode is truncated (looked at with
      every decision); 0 (default): no limit.
    * `skip_forced`: take decisions with a single candidate inside the environment (default), handing their reward to the
      decision before; the first decision is always asked.
    * `merge_twins`: of PEs of one type and cluster that are all idle and that the task's data reach as early, offer the lowest
      only (default). They are alike for this task; data that lie on them for other tasks may make them differ later.
    * `rollout_rule`: "fifo_eft", "stf", "min_min" or "heft_ready" adds to each candidate what becomes of the jobs in the system
      if it is taken and this rule decides all that `mode` leaves open from then on, by expected executions and without
      further arrivals (the pilot method); None (default): no such columns.
    * `rollout_samples`: beside the rule, so many list rules whose weights are as if drawn play each candidate out, and the
      cheapest rollout counts.
    * `rollout_draws`: where durations are noisy by a known law (`SocInstance.deviation`), a rollout is the mean over so many
      worlds drawn from it, the same for all candidates, and further columns say how clear the differences are; 0
      (default): expected durations.
    * `plan_moves`: a plan of all that is not committed, kept from decision to decision and improved by so many moves of a local
      search before each, shows what it does with each candidate; 0: the plan of HEFT; None (default): no plan. Mode
      "task_pe" only.
    * `plan_work`: what a microsecond that all PEs work counts for in a plan's cost, beside one of a job's latency (default 1).
    * `illegal_action`: "random" (default), "noop" or "raise"; see `SchedulingEnv`.
    * `copy`: hand out copies of the observation (default), or the live buffers.
    * `render_mode`: "ansi", "rgb_array" or "human".

    ## Version History
    * v0: initial version.
    """

    engine: SocEngine

    sources: Sources = SOURCES

    def __init__(
        self,
        generator: Generator | str | None = None,
        *,
        instance: SocInstance | str | None = None,
        mode: Mode = "task_pe",
        defer: bool = True,
        max_live_jobs: int = 24,
        max_ready: int = 16,
        overflow: int = 0,
        skip_forced: bool = True,
        merge_twins: bool = True,
        rollout_rule: str | None = None,
        rollout_samples: int = 0,
        rollout_draws: int = 0,
        plan_moves: int | None = None,
        plan_work: float = 1.0,
        illegal_action: IllegalAction = "random",
        copy: bool = True,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters)
        engine = make_engine(
            source.size,
            1,
            mode=mode,
            defer=defer,
            max_live_jobs=max_live_jobs,
            max_ready=max_ready,
            overflow=overflow,
            skip_forced=skip_forced,
            merge_twins=merge_twins,
            rollout_rule=rollout_rule,
            rollout_samples=rollout_samples,
            rollout_draws=rollout_draws,
            plan_moves=plan_moves,
            plan_work=plan_work,
        )
        super().__init__(engine, source, illegal_action=illegal_action, copy=copy, render_mode=render_mode)


class SocVectorEnv(SchedulingVectorEnv):
    """The native batch of `makespan/SoC-v0`; arguments as there, and those of `SchedulingVectorEnv`."""

    engine: SocEngine

    sources: Sources = SOURCES

    def __init__(
        self,
        num_envs: int = 1,
        generator: Generator | str | None = None,
        *,
        instance: SocInstance | str | None = None,
        instances: Sequence[SocInstance | str] | None = None,
        mode: Mode = "task_pe",
        defer: bool = True,
        max_live_jobs: int = 24,
        max_ready: int = 16,
        overflow: int = 0,
        skip_forced: bool = True,
        merge_twins: bool = True,
        rollout_rule: str | None = None,
        rollout_samples: int = 0,
        rollout_draws: int = 0,
        plan_moves: int | None = None,
        plan_work: float = 1.0,
        illegal_action: IllegalAction = "random",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters, instances)
        engine = make_engine(
            source.size,
            num_envs,
            mode=mode,
            defer=defer,
            max_live_jobs=max_live_jobs,
            max_ready=max_ready,
            overflow=overflow,
            skip_forced=skip_forced,
            merge_twins=merge_twins,
            rollout_rule=rollout_rule,
            rollout_samples=rollout_samples,
            rollout_draws=rollout_draws,
            plan_moves=plan_moves,
            plan_work=plan_work,
        )
        super().__init__(
            engine,
            source,
            num_envs,
            instances=instances,
            illegal_action=illegal_action,
            autoreset_mode=autoreset_mode,
            copy=copy,
        )
