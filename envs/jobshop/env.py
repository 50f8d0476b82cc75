"""Gymnasium faces of the job shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from gymnasium.vector import AutoresetMode

from makespan.envs.core.env import IllegalAction, SchedulingEnv
from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.sources import Sources
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.jobshop import rules as rules  # registers the family's rules
from makespan.envs.jobshop.benchmark import load_instance
from makespan.envs.jobshop.engine import JobShopEngine
from makespan.envs.jobshop.generator import FixedShops, make_generator
from makespan.envs.jobshop.generator_base import Generator, ShopSize
from makespan.envs.jobshop.instance import ShopInstance

Scheme = Literal["non_delay", "active", "non_delay_wait", "append"]


SOURCES: Final = Sources(make_generator, "uniform", FixedShops, load_instance)
FLEXIBLE_SOURCES: Final = replace(SOURCES, default="flexible_sd1")


def _engine(size: ShopSize, num_slots: int, sgs: str, skip_forced: bool, flexible: bool) -> JobShopEngine:
    if size.num_alternatives > 1 and not flexible:
        raise InvalidInstanceError(
            "operations with alternative machines in makespan/JobShop-v0; use makespan/FlexibleJobShop-v0"
        )
    return JobShopEngine(
        num_slots,
        num_jobs=size.num_jobs,
        num_operations=size.num_operations,
        num_machines=size.num_machines,
        num_alternatives=size.num_alternatives,
        sgs=sgs,
        skip_forced=skip_forced,
    )


class JobShopEnv(SchedulingEnv):
    """The job shop scheduling problem, minimising the makespan.

    ## Description
    n jobs visit m machines, each job in its own order; a machine runs one operation at a time, without interruption.
    The schedule is built forwards: at each step one job's next operation is appended to its machine. Jobs may be of
    unlike length, visit a machine twice, and have release dates.

    ## Action Space
    `Discrete(max_jobs)`: the job whose next operation is scheduled; with `sgs="non_delay_wait"` one more action waits
    for the next event. Which jobs are allowed is the schedule generation scheme:
    `non_delay` (default) those that can start at the earliest possible start of all; `active` the conflict set of
    Giffler & Thompson (1960), which keeps an optimal schedule within reach; `non_delay_wait` as non-delay, with the clock
    moved on by waiting, which reaches every active schedule; `append` all.

    ## Observation Space
    The decision graph (`env.unwrapped.schema`): operation, job, machine and system nodes, precedence, eligibility and
    frontier edges, candidates, and `action_mask`. The feature tables are on the docs page, rendered from the schema.

    ## Rewards
    -(LB' - LB) / LB0, the rise of the makespan's lower bound by the decision, relative to the initial bound. The
    return is exactly -(makespan - LB0) / LB0.

    ## Starting State
    An empty schedule of `options["instance"]`, or of a fresh draw of the generator.

    ## Episode End
    Termination: every operation is scheduled. Truncation: only with `illegal_action="noop"`, after ten no-ops an operation.

    ## Arguments
    * `generator`: a generator object, or a generator's name with its parameters as further keywords
      (`generator="uniform", num_jobs=15, num_machines=15`); default: uniform 6 x 6.
    * `instance`: one instance, or its name in the literature ("ft06"), for every episode.
    * `sgs`: the schedule generation scheme.
    * `skip_forced`: take decisions with a single candidate inside the environment (default), handing their reward to the
      decision before; at least one decision is left in every episode.
    * `illegal_action`: "random" (default), "noop" or "raise"; see `SchedulingEnv`.
    * `copy`: hand out copies of the observation (default), or the live buffers.
    * `render_mode`: "ansi", "rgb_array" or "human".

    ## Version History
    * v0: initial version.
    """

    flexible = False
    sources: Sources = SOURCES

    def __init__(
        self,
        generator: Generator | str | None = None,
        *,
        instance: ShopInstance | str | None = None,
        sgs: Scheme = "non_delay",
        skip_forced: bool = True,
        illegal_action: IllegalAction = "random",
        copy: bool = True,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters)
        engine = _engine(source.size, 1, sgs, skip_forced, self.flexible)
        super().__init__(engine, source, illegal_action=illegal_action, copy=copy, render_mode=render_mode)


class FlexibleJobShopEnv(JobShopEnv):
    """The flexible job shop scheduling problem, minimising the makespan.

    ## Description
    As `makespan/JobShop-v0`, but an operation may run on any of several machines, with a duration on each.

    ## Action Space
    `Discrete(max_jobs * max_alternatives)`: action j * max_alternatives + k puts the next operation of job j on its k-th
    eligible machine; one more action waits under `sgs="non_delay_wait"`. `sgs="active"` allows every pair that could start
    before the earliest possible completion of all, so that the choice of machine stays free.

    ## Observation Space
    As in `makespan/JobShop-v0`.

    ## Rewards
    As in `makespan/JobShop-v0`; the bound counts each operation on its fastest machine.

    ## Starting State
    As in `makespan/JobShop-v0`; the default generator is `flexible_sd1` (10 jobs, 5 machines).

    ## Episode End
    As in `makespan/JobShop-v0`.

    ## Arguments
    As in `makespan/JobShop-v0`.

    ## Version History
    * v0: initial version.
    """

    flexible = True
    sources: Sources = FLEXIBLE_SOURCES


class JobShopVectorEnv(SchedulingVectorEnv):
    """The native batch of `makespan/JobShop-v0`; arguments as there, and those of `SchedulingVectorEnv`."""

    flexible = False
    sources: Sources = SOURCES

    def __init__(
        self,
        num_envs: int = 1,
        generator: Generator | str | None = None,
        *,
        instance: ShopInstance | str | None = None,
        instances: Sequence[ShopInstance | str] | None = None,
        sgs: Scheme = "non_delay",
        skip_forced: bool = True,
        illegal_action: IllegalAction = "random",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters, instances)
        super().__init__(
            _engine(source.size, num_envs, sgs, skip_forced, self.flexible),
            source,
            num_envs,
            instances=instances,
            illegal_action=illegal_action,
            autoreset_mode=autoreset_mode,
            copy=copy,
        )


class FlexibleJobShopVectorEnv(JobShopVectorEnv):
    """The native batch of `makespan/FlexibleJobShop-v0`."""

    flexible = True
    sources: Sources = FLEXIBLE_SOURCES
