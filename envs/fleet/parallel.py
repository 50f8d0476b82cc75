"""PettingZoo's Parallel face of the fleet: all aircraft act at every tick, those that are busy go on."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
from pettingzoo import ParallelEnv

from makespan.envs.fleet.agent_view import CONFLICTS, run_tick
from makespan.envs.fleet.generator import Generator
from makespan.envs.fleet.instance import FleetDay
from makespan.envs.fleet.multi_agent import CENTS, FleetAgents, FleetFace, Reward, View
from makespan.envs.fleet.simulator import DECIDER, PARKED

TICK: Final = 300  # seconds


class FleetParallelEnv(FleetFace, ParallelEnv):  # type: ignore[type-arg]
    """The fleet with an agent an aircraft and a fixed tick of five minutes, 144 to a day.

    Decisions wait for the next tick. A busy aircraft's mask allows one action, to go on to where it is or flies to. Aircraft
    that decide at the same tick do so in an order drawn anew each time from a seeded stream; who finds the last place, the last
    passengers or the last charger gone is told in `infos[agent]["conflict"]` ("parking", after which it stays; "seats";
    "charger"). A forbidden action means to stay, and is reported in `invalid_action`. Rewards are in USD and add up to
    the day's profit.

    Args:
        generator: A generator, or a preset's name with its parameters as further keywords; default: `base`.
        instance: One day, or its name, for every episode.
        obs: "flat" (a vector) or "graph" (the decision graph, without candidates: nobody decides alone).
        reward: "individual" (own profit), "team" (mean profit), or "terminal" (own profit at the end of the day).
        max_cycles: Truncate after so many ticks; None plays the whole day.
        render_mode: "human", "rgb_array", "ansi" or None.
        parameters: The generator's.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "uam_fleet_v0",
        "render_modes": ["human", "rgb_array", "ansi"],
        "is_parallelizable": True,
        "render_fps": 4,
    }

    def __init__(
        self,
        generator: Generator | str | None = None,
        *,
        instance: FleetDay | str | None = None,
        obs: View = "flat",
        reward: Reward = "individual",
        max_cycles: int | None = None,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        self._open(
            FleetAgents(generator, instance, obs, reward, render_mode, parameters), max_cycles, render_mode
        )
        K = len(self.possible_agents)
        self._invalid, self._conflict = np.zeros(K, np.int8), np.zeros(K, np.int32)
        self._actions = np.zeros(K, np.int64)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Start `options["instance"]`, or the day that `makespan/UAMFleet-v0` starts with the same seed."""
        day, rng = self._draw(seed, options)
        self._order = np.random.default_rng(int(rng.integers(2**62)))
        self.engine.load(0, day, TICK)
        self._show()
        self.agents = list(self.possible_agents)
        self._ticks = 0
        self._paid = np.zeros(len(self.agents), np.int64)
        self._invalid[:] = 0
        self._conflict[:] = 0
        return self._look()

    def step(
        self, actions: dict[str, int]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Play one tick; every living agent needs an action, that of a busy one is ignored."""
        if not self.agents:
            return {}, {}, {}, {}, {}
        missing = [agent for agent in self.agents if agent not in actions]
        if missing:
            raise ValueError(
                f"actions: none for {missing[0]}; expected one for each of {len(self.agents)} agents"
            )
        for k, agent in enumerate(self.agents):
            self._actions[k] = actions[agent]
        order = self._order.permutation(len(self.agents))
        run_tick(self.engine.batch, self._actions, order, self._invalid, self._conflict)
        self._show()
        self._ticks += 1
        terminated = self.engine.outcome.terminated.item(0)
        truncated = not terminated and self.max_cycles is not None and self._ticks >= self.max_cycles
        agents = self.agents
        rewards = self._rewards(terminated)
        observations, infos = self._look()
        if terminated:
            summary = self.fleet.summary()
            for agent in agents:
                infos[agent]["episode"] = dict(summary)
        if terminated or truncated:
            self.agents = []
        return (
            observations,
            rewards,
            dict.fromkeys(agents, terminated),
            dict.fromkeys(agents, truncated),
            infos,
        )

    def _rewards(self, terminated: bool) -> dict[str, float]:
        if self.fleet.reward == "team":
            share = self.engine.outcome.reward.item(0) / len(self.agents)
            return dict.fromkeys(self.agents, share)
        if self.fleet.reward == "terminal" and not terminated:
            return dict.fromkeys(self.agents, 0.0)
        profits = self.engine.profits(0)
        gained = ((profits - self._paid) / CENTS).tolist()
        self._paid = profits
        return dict(zip(self.agents, gained, strict=True))

    def _show(self) -> None:
        """Write the decision graph between two ticks, when nobody in particular decides."""
        self.engine.fleet.clock[0, DECIDER] = -1
        self.engine.show(0)

    def _look(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Fresh observations and infos of all agents."""
        K, V = len(self.possible_agents), self.fleet.num_vertiports
        seen, masks = np.empty((K, self.fleet.length), np.float32), np.empty((K, V), np.int8)
        self._write(self.engine.batch, 0, seen.reshape(-1), masks.reshape(-1))
        told, minutes = masks.copy(), self.engine.now(0) / 60.0
        due = self.engine.fleet.aircraft[0, :, PARKED].tolist()
        invalid, conflict = self._invalid.tolist(), self._conflict.tolist()
        graph = self.fleet.obs == "graph"
        observations, infos = {}, {}
        for k, agent in enumerate(self.possible_agents):
            view: Any = self.fleet.graph() if graph else seen[k]
            observations[agent] = {"observation": view, "action_mask": masks[k]}
            infos[agent] = {
                "action_mask": told[k],
                "needs_decision": due[k] == 1,
                "time_min": minutes,
                "invalid_action": invalid[k] == 1,
                "conflict": CONFLICTS[conflict[k]],
            }
        return observations, infos
