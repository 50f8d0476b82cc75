"""Gymnasium faces of the dynamic job shop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from gymnasium.vector import AutoresetMode

from makespan.envs.core.env import IllegalAction, SchedulingEnv
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.sources import Sources
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.dynamic_shop import rules as rules  # registers the family's rules
from makespan.envs.dynamic_shop.benchmark import load_instance
from makespan.envs.dynamic_shop.engine import ASKS, DynamicShopEngine
from makespan.envs.dynamic_shop.generator import (
    DynamicSize,
    FixedDynamicShops,
    Generator,
    make_generator,
)
from makespan.envs.dynamic_shop.instance import DynamicShopInstance

Ask = Literal["machine", "shop"]
Source = DynamicShopInstance | str


SOURCES: Final = Sources(make_generator, "dynamic", FixedDynamicShops, load_instance)


def _engine(
    size: DynamicSize, num_shops: int, ask: str, wait: bool, skip_forced: bool, max_live_jobs: int
) -> DynamicShopEngine:
    if ask not in ASKS:
        raise UnknownNameError("ask", ask, ASKS)
    if max_live_jobs < 1:
        raise ValueError(f"max_live_jobs: {max_live_jobs}; expected at least 1")
    return DynamicShopEngine(
        num_shops, size, ask=ask, may_wait=wait, skip_forced=skip_forced, max_live_jobs=max_live_jobs
    )


class DynamicJobShopEnv(SchedulingEnv):
    """The job shop whose jobs arrive over time, with due dates and weights; minimising the total weighted tardiness.

    ## Description
    Jobs arrive by a Poisson process at a stated utilisation, each with a route through the machines, a weight and a due date
    (arrival plus a multiple of its work). At each event (an end, an arrival, a repair) machines that are free and up choose among
    the operations that wait for them. Optionally an operation may run on one of several machines, realised durations
    differ from the forecasts that are shown, and machines break down; interrupted work goes on after the repair. All of that is
    drawn with the instance, before anybody decides.

    The first `warm_up` and the last `cool_down` jobs are served as all others but not counted; the run ends when the jobs between
    them are done. Decision makers are not told which jobs are counted.

    ## Action Space
    `Discrete(max_live_jobs * max_alternatives)`, one more with `wait=True`: action s * max_alternatives + k begins the waiting
    operation of the job in slot s on its k-th eligible machine. With `ask="machine"` the free machines are asked one after
    the other in order of their numbers; with `ask="shop"` any free machine may be chosen. The last action leaves what is
    asked idle until the next event. It is allowed while some event lies ahead or another machine has yet to be asked.

    ## Observation Space
    The decision graph (`env.unwrapped.schema`): operations and jobs in the shop (they come and go), machine and system nodes,
    precedence, eligibility and frontier edges, candidates, `action_mask`, and `critic_x`, what is to come, for critics only. A
    job that finds no free slot waits outside, in the order of arrival, until one is free.

    ## Rewards
    The fall of the expected objective since the last decision, over a constant of the instance; the expected objective is the
    cost of counted jobs that are done, plus that of those in the shop if they never waited again, by the forecasts. The
    return is exactly -objective / scale; objective "tardiness" (total weighted tardiness, scale: u * sum of weights),
    "flow_time" (total flow time, scale: u * counted jobs) or "makespan" (latest completion, scale: u * counted jobs), where u is
    the mean forecast of an operation. Steps tell the time they took in u (`info["elapsed"]`).

    ## Starting State
    An empty shop at time 0 with `options["instance"]`, or with a fresh draw of the generator.

    ## Episode End
    Termination: all counted jobs are done. Truncation: only with `illegal_action="noop"`, after ten no-ops a row of operations.

    ## Arguments
    * `generator`: a generator object, or a generator's name with its parameters as further keywords
      (`generator="dynamic", utilisation=0.8, num_machines=10, objective="flow_time"`); default: 5 machines at 90 %, 130
      jobs, of which 100 are counted.
    * `instance`: one instance, its name ("dynamic-u90-0") or the path of its file, for every episode.
    * `ask`: "machine" (default) or "shop".
    * `wait`: whether what is asked may stay idle although somebody waits; default: no.
    * `max_live_jobs`: slots for jobs in the shop; default: 48.
    * `skip_forced`: take decisions with a single candidate inside the environment (default), handing their reward to the
      decision before; the first decision of an episode is always asked.
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
        ask: Ask = "machine",
        wait: bool = False,
        max_live_jobs: int = 48,
        skip_forced: bool = True,
        illegal_action: IllegalAction = "random",
        copy: bool = True,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters)
        engine = _engine(source.size, 1, ask, wait, skip_forced, max_live_jobs)
        super().__init__(engine, source, illegal_action=illegal_action, copy=copy, render_mode=render_mode)


class DynamicJobShopVectorEnv(SchedulingVectorEnv):
    """The native batch of `makespan/DynamicJobShop-v0`; arguments as there, and those of `SchedulingVectorEnv`."""

    sources: Sources = SOURCES

    def __init__(
        self,
        num_envs: int = 1,
        generator: Generator | str | None = None,
        *,
        instance: Source | None = None,
        instances: Sequence[Source] | None = None,
        ask: Ask = "machine",
        wait: bool = False,
        max_live_jobs: int = 48,
        skip_forced: bool = True,
        illegal_action: IllegalAction = "random",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters, instances)
        super().__init__(
            _engine(source.size, num_envs, ask, wait, skip_forced, max_live_jobs),
            source,
            num_envs,
            instances=instances,
            illegal_action=illegal_action,
            autoreset_mode=autoreset_mode,
            copy=copy,
        )
