"""Gymnasium faces of the fleet; `makespan.envs.fleet.env` is PettingZoo's constructor, so this is not called env.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gymnasium.vector import AutoresetMode

from makespan.envs.core.env import Buffers, IllegalAction, Info, SchedulingEnv
from makespan.envs.core.sources import Sources
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.fleet import rules as rules  # registers the family's rules
from makespan.envs.fleet.benchmark import load_instance
from makespan.envs.fleet.engine import FleetEngine
from makespan.envs.fleet.generator import FixedDays, Generator, make_generator
from makespan.envs.fleet.instance import FleetDay


def load_day(name: str) -> FleetDay:
    """A day by name, or the day in a file."""
    return FleetDay.load(name) if Path(name).suffix == ".json" else load_instance(name)


SOURCES: Final = Sources(make_generator, "base", FixedDays, load_day)


class UAMFleetEnv(SchedulingEnv):
    """The schedule of an urban-air-mobility fleet over a day, maximising the profit.

    ## Description
    A fleet of electric aircraft carries passengers between vertiports for twelve hours. Demand has a morning peak towards the
    centre and an evening peak out of it; passengers who wait too long are lost. Take-offs are late, routes close for an hour at a
    time, aircraft break down. Whenever an aircraft is free, it flies to a vertiport, with whoever waits for it, or stays for a
    quarter of an hour and charges if it can. Time is in seconds, energy in 0.1 kWh, money in cents, all exact.
    Everything that will happen is drawn beforehand and never shown: policies see the queues and the forecast.

    ## Action Space
    `Discrete(max_vertiports)`: the vertiport that the deciding aircraft flies to; its own means to stay, and is always allowed.
    A flight is allowed if the route is open, a place is free at its end, and the energy left there is the reserve and, at a
    vertistop, the way to a charger.

    ## Observation Space
    The decision graph (`env.unwrapped.schema`): aircraft, vertiport and network nodes, routes with queues, forecast and fares,
    candidates, `action_mask`, and `critic_x`, a summary of the realisation for critics only.

    ## Rewards
    The profit of the step in USD: fares and operating cost at the departure, energy when it is charged and, once an
    aircraft decides no more, for its last charge. The return is the day's profit; in cents, `round(100 * reward)` adds
    up to it exactly.

    ## Starting State
    06:00, aircraft spread over the vertiports with full batteries, on `options["instance"]` or a fresh draw of the generator.

    ## Episode End
    Termination: no aircraft decides before 18:00. Truncation: only with `illegal_action="noop"`, after ten no-ops an aircraft.

    ## Arguments
    * `generator`: a generator object, or a preset's name with its parameters as further keywords (`generator="tiny",
      closure=0.0`); presets: tiny, base (default), busy, rich, legacy22, large, base-det, tou, toy.
    * `instance`: one day, its name ("base-eval-017") or JSON file, for every episode.
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
        instance: FleetDay | str | None = None,
        illegal_action: IllegalAction = "random",
        copy: bool = True,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters)
        engine = FleetEngine(1, source.size)
        super().__init__(engine, source, illegal_action=illegal_action, copy=copy, render_mode=render_mode)
        self.fleet_engine = engine

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Buffers, Info]:
        """Start a day; see `SchedulingEnv.reset`."""
        observation, info = super().reset(seed=seed, options=options)
        return observation, info | {"aircraft": 0, "time": 0}

    def render(self) -> Any:
        """The network with its aircraft and queues, in the render mode the environment was made with."""
        if self.render_mode is None or self.instance is None:
            return super().render() if self.render_mode is None else None
        from makespan.envs.fleet import pictures  # matplotlib is slow to import

        return pictures.render(self.fleet_engine, self.instance, self.render_mode)


class UAMFleetVectorEnv(SchedulingVectorEnv):
    """The native batch of `makespan/UAMFleet-v0`; arguments as there, and those of `SchedulingVectorEnv`."""

    sources: Sources = SOURCES

    def __init__(
        self,
        num_envs: int = 1,
        generator: Generator | str | None = None,
        *,
        instance: FleetDay | str | None = None,
        instances: Sequence[FleetDay | str] | None = None,
        illegal_action: IllegalAction = "random",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters, instances)
        super().__init__(
            FleetEngine(num_envs, source.size),
            source,
            num_envs,
            instances=instances,
            illegal_action=illegal_action,
            autoreset_mode=autoreset_mode,
            copy=copy,
        )
