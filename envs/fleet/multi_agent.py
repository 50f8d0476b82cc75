"""What the AEC and the Parallel face share: agents, spaces, rewards, the summary of a day."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, get_args

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.kernels import compiled
from makespan.envs.fleet.agent_view import vector_size, write_vectors
from makespan.envs.fleet.engine import CENTS, FleetEngine
from makespan.envs.fleet.generator import Generator
from makespan.envs.fleet.gymnasium_env import SOURCES
from makespan.envs.fleet.instance import FleetDay
from makespan.envs.fleet.simulator import CONSUMED, FLY, FREE_AT, LOG_END, LOG_KIND, LOG_START, PLACE, ROWS

View = Literal["flat", "graph"]
Reward = Literal["individual", "team", "terminal"]
RENDER_MODES: Final = ["human", "rgb_array", "ansi"]

__all__ = ["CENTS", "FREE_AT", "PLACE", "FleetAgents", "FleetFace", "Reward", "View"]


class FleetAgents:
    """The agents `aircraft_0` ... of a fleet, their spaces, and the engine behind them.

    Args:
        generator: As of `makespan/UAMFleet-v0`.
        instance: As there.
        obs: "flat" gives each aircraft a vector; "graph" the decision graph, seen from the aircraft that decides.
        reward: "individual" pays an aircraft its own profit, "team" every aircraft the mean profit, "terminal" an aircraft
            its own profit at the end of the day.
        render_mode: "human", "rgb_array", "ansi" or None.
        parameters: The generator's.
    """

    def __init__(
        self,
        generator: Generator | str | None,
        instance: FleetDay | str | None,
        obs: View,
        reward: Reward,
        render_mode: str | None,
        parameters: dict[str, Any],
    ) -> None:
        for name, value, known in (("obs", obs, get_args(View)), ("reward", reward, get_args(Reward))):
            if value not in known:
                raise UnknownNameError(name, str(value), known)
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode: {render_mode!r}; expected one of {RENDER_MODES}")
        self.generator = SOURCES.choose(generator, instance, parameters)
        size = self.generator.size
        self.engine = FleetEngine(1, size)
        self.names = [f"aircraft_{k}" for k in range(size.num_aircraft)]
        self.number = {name: k for k, name in enumerate(self.names)}
        self.num_vertiports, self.length = size.num_vertiports, vector_size(size.num_vertiports)
        self.obs, self.reward = obs, reward
        self.instance: FleetDay | None = None
        self.observation_spaces = {name: self._observation_space() for name in self.names}
        self.action_spaces = {name: spaces.Discrete(size.num_vertiports) for name in self.names}
        self.state_space = self._state_space()

    def _observation_space(self) -> spaces.Dict:
        mask = spaces.Box(0, 1, (self.num_vertiports,), np.int8)
        seen: spaces.Space[Any] = spaces.Box(0.0, 1.0, (self.length,), np.float32)
        if self.obs == "graph":
            seen = spaces.Dict({key: self.engine.schema.space[key] for key in self._graph_keys()})
        return spaces.Dict({"observation": seen, "action_mask": mask})

    def _graph_keys(self) -> list[str]:
        """The decision graph, less the mask and what only a critic may see."""
        return [key for key in self.engine.observation if key not in ("action_mask", "critic_x")]

    def _state_space(self) -> spaces.Box:
        boxes = [
            self.engine.schema.space[key] for key in ("network_x", "vertiport_x", "aircraft_x", "route_x")
        ]
        low = np.concatenate([box.low.ravel() for box in boxes])  # type: ignore[attr-defined]
        high = np.concatenate([box.high.ravel() for box in boxes])  # type: ignore[attr-defined]
        return spaces.Box(low, high, dtype=np.float32)

    def state(self) -> NDArray[np.float32]:
        """The network, its vertiports, aircraft and routes as one vector."""
        seen = self.engine.observation
        keys = ("network_x", "vertiport_x", "aircraft_x", "route_x")
        return np.concatenate([seen[key][0].ravel() for key in keys])

    def graph(self) -> dict[str, NDArray[Any]]:
        """A copy of the decision graph."""
        return {key: self.engine.observation[key][0].copy() for key in self._graph_keys()}

    def draw(self, rng: np.random.Generator, options: dict[str, Any] | None) -> FleetDay:
        """The day of `options["instance"]`, else a fresh one."""
        chosen = (options or {}).get("instance")
        self.instance = self.generator.sample(rng) if chosen is None else SOURCES.find(chosen)
        if self.instance.num_aircraft != len(self.names):
            raise ValueError(
                f"instance: {self.instance.num_aircraft} aircraft; expected {len(self.names)}, one an agent"
            )
        return self.instance

    def summary(self) -> dict[str, float]:
        """The figures of a day: money in USD, shares and counts."""
        books, fleet = self.engine.books(0), self.engine.fleet
        log = fleet.log[0, : fleet.clock[0, ROWS]]
        flights = log[log[:, LOG_KIND] == FLY]
        assert self.instance is not None
        p = self.instance.parameters
        flown = float(np.minimum(flights[:, LOG_END], p.horizon).sum() - flights[:, LOG_START].sum())
        return {
            "profit": books.profit / CENTS,
            "revenue": books.revenue / CENTS,
            "operating": books.operating / CENTS,
            "electricity": books.electricity / CENTS,
            "served": books.served,
            "spilled": books.spilled,
            "flights": books.flights,
            "load_factor": books.served / max(1, books.flights * p.seats),
            "empty_share": books.empty_flights / max(1, books.flights),
            "utilisation": flown / (p.horizon * len(self.names)),
            "energy_kwh": float(fleet.clock[0, CONSUMED]) / 10.0,
        }

    def render(self, render_mode: str | None) -> Any:
        """The network with its aircraft and queues."""
        if render_mode is None or self.instance is None:
            return None
        from makespan.envs.fleet import pictures  # matplotlib is slow to import

        return pictures.render(self.engine, self.instance, render_mode)


class FleetFace:
    """What both faces do alike: spaces, seeds, the day's draw, state and pictures.

    Attributes:
        fleet: The agents and their spaces.
        engine: The simulator behind them.
        max_cycles: Cycles after which a day is cut; None never cuts one.
    """

    fleet: FleetAgents
    engine: FleetEngine
    possible_agents: list[str]
    agents: list[str]
    max_cycles: int | None
    render_mode: str | None
    _views: ClassVar[frozenset[str]] = frozenset({"_write"})  # what `_attach` makes, and pickles leave out

    def _open(self, agents: FleetAgents, max_cycles: int | None, render_mode: str | None) -> None:
        """Take the agents in; the first `_draw` starts a day."""
        self.fleet, self.engine = agents, agents.engine
        self.possible_agents, self.agents = list(agents.names), []
        self.observation_spaces, self.action_spaces = agents.observation_spaces, agents.action_spaces
        self.state_space = agents.state_space
        self.max_cycles, self.render_mode = max_cycles, render_mode
        self._rng: np.random.Generator | None = None
        self._attach()

    def _attach(self) -> None:
        """Keep the kernel that writes vectors, ready to be called."""
        seen, mask = np.empty(self.fleet.length, np.float32), np.empty(self.fleet.num_vertiports, np.int8)
        self._write = compiled(write_vectors, self.engine.batch, 0, seen, mask)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in self._views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._attach()

    def _draw(self, seed: int | None, options: dict[str, Any] | None) -> tuple[FleetDay, np.random.Generator]:
        """`options["instance"]`, or the day that `makespan/UAMFleet-v0` starts with the same seed; and the generator."""
        if seed is not None or self._rng is None:
            self._rng, _ = seeding.np_random(seed)
        return self.fleet.draw(self._rng, options), self._rng

    @property
    def instance(self) -> FleetDay | None:
        """The present day."""
        return self.fleet.instance

    def observation_space(self, agent: str) -> spaces.Dict:
        """The same object at every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """The same object at every call: `Discrete(num_vertiports)`, the own vertiport means to stay."""
        return self.action_spaces[agent]

    def state(self) -> NDArray[np.float32]:
        """The whole network as one vector."""
        return self.fleet.state()

    def render(self) -> Any:
        """The network with its aircraft and queues."""
        return self.fleet.render(self.render_mode)

    def close(self) -> None:
        """Nothing is held open."""
