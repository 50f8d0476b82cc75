"""Gymnasium faces of the blocking job shop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from gymnasium.vector import AutoresetMode

from makespan.envs.blocking import rules as rules  # registers the family's rules
from makespan.envs.blocking.benchmark import load_instance
from makespan.envs.blocking.engine import ADMISSIONS, BlockingShopEngine
from makespan.envs.blocking.generator import FixedBlockingShops, Generator, make_generator
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.core.env import IllegalAction, SchedulingEnv
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.sources import Sources
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.jobshop.generator_base import ShopSize

Admission = Literal["wait", "greedy"]
Source = BlockingShopInstance | str


SOURCES: Final = Sources(make_generator, "uniform", FixedBlockingShops, load_instance)


def _engine(
    size: ShopSize, num_slots: int, admission: str, skip_forced: bool, lookahead: str
) -> BlockingShopEngine:
    if admission not in ADMISSIONS:
        raise UnknownNameError("admission", admission, ADMISSIONS)
    return BlockingShopEngine(
        num_slots,
        num_jobs=size.num_jobs,
        num_operations=size.num_operations,
        num_machines=size.num_machines,
        admission=admission,
        skip_forced=skip_forced,
        lookahead=lookahead,
    )


class BlockingJobShopEnv(SchedulingEnv):
    """The job shop without buffers, with swaps or without, with machines that shut down; minimising the makespan.

    ## Description
    n jobs visit m machines, each job in its own order; a machine holds one job at a time. There is no room between
    machines: a finished operation blocks its machine until the next machine of the job receives it; the last
    operation leaves at once. With
    swaps allowed, jobs that wait for each other's machines in a cycle exchange places as soon as the cycle closes;
    without, the mask
    keeps the shop out of deadlocks. Machines may shut down, as drawn with the instance; interrupted work goes on
    after the repair, or starts over. A job may leave a machine that is down, and none may enter it.

    ## Action Space
    `Discrete(max_jobs + 1)`: at each event the free machines that are up and have jobs waiting for them are asked in
    order of their numbers. Action j
    lets job j enter the machine asked; the last action lets the machine wait for the next event (a completion,
    release or repair). It is allowed
    while some event lies ahead or another machine has yet to be asked. With `admission="greedy"` there is no such
    action: `Discrete(max_jobs)`. Without swaps a job may enter only if all jobs in the shop could then finish one by one (the
    banker's algorithm), so an episode cannot end in a deadlock.

    ## Observation Space
    The decision graph (`env.unwrapped.schema`): operation, job, machine and system nodes, precedence, eligibility,
    frontier, holds and waits-for
    edges, candidates, `action_mask`, and `critic_x`, which knows the downtime to come. Operations leave the graph
    when their job has left their machine.

    ## Rewards
    -(LB' - LB) / LB0, the rise of the makespan's lower bound since the last decision, relative to the initial bound. The
    bound knows the past only: downtime costs when it happens. The return is exactly -(makespan - LB0) / LB0.

    ## Starting State
    An empty shop at time 0 with `options["instance"]`, or with a fresh draw of the generator.

    ## Episode End
    Termination: all jobs are done. Truncation: only with `illegal_action="noop"`, after ten no-ops an operation.

    ## Arguments
    * `generator`: a generator object, or a generator's name with its parameters as further keywords
      (`generator="uniform", num_jobs=10, num_machines=5, swap=False, shutdown="per_step", probability=0.01`); default:
      uniform 6 x 6 with swaps and without shutdowns.
    * `instance`: one instance, or its name ("ft06", "ft06-noswap"), for every episode.
    * `admission`: "wait" (default) or "greedy".
    * `skip_forced`: take decisions with a single candidate inside the environment (default), handing their reward to the
      decision before; the first decision of an episode is always asked.
    * `lookahead`: rules, "blocked_spt_twk/blocked_fdd", that finish a copy of the shop after each candidate; what they reach,
      knowing no more than anybody else, is shown in further columns of the candidates (the pilot method). Default: none.
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
        admission: Admission = "wait",
        skip_forced: bool = True,
        lookahead: str = "",
        illegal_action: IllegalAction = "random",
        copy: bool = True,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters)
        engine = _engine(source.size, 1, admission, skip_forced, lookahead)
        super().__init__(engine, source, illegal_action=illegal_action, copy=copy, render_mode=render_mode)


class BlockingJobShopVectorEnv(SchedulingVectorEnv):
    """The native batch of `makespan/BlockingJobShop-v0`; arguments as there, and those of `SchedulingVectorEnv`."""

    sources: Sources = SOURCES

    def __init__(
        self,
        num_envs: int = 1,
        generator: Generator | str | None = None,
        *,
        instance: Source | None = None,
        instances: Sequence[Source] | None = None,
        admission: Admission = "wait",
        skip_forced: bool = True,
        lookahead: str = "",
        illegal_action: IllegalAction = "random",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters, instances)
        super().__init__(
            _engine(source.size, num_envs, admission, skip_forced, lookahead),
            source,
            num_envs,
            instances=instances,
            illegal_action=illegal_action,
            autoreset_mode=autoreset_mode,
            copy=copy,
        )
