"""PettingZoo's AEC face of the fleet: the aircraft that is free next takes its turn."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium.error import ResetNeeded
from pettingzoo import AECEnv

from makespan.envs.fleet.generator import Generator
from makespan.envs.fleet.instance import FleetDay
from makespan.envs.fleet.multi_agent import CENTS, PLACE, FleetAgents, FleetFace, Reward, View
from makespan.envs.fleet.simulator import PROFIT

AgentObservation = dict[str, Any]


class FleetAECEnv(FleetFace, AECEnv):  # type: ignore[type-arg]
    """The fleet with an agent an aircraft, in native event order; the world is that of `makespan/UAMFleet-v0`.

    Aircraft act at different rates: whoever is free next is `agent_selection`. All agents live until the end of the day.
    A forbidden action means to stay, and is reported in `infos[agent]["invalid_action"]`. Rewards are in USD and add up
    to the day's profit.

    Args:
        generator: A generator, or a preset's name with its parameters as further keywords; default: `base`.
        instance: One day, or its name, for every episode.
        obs: "flat" (a vector) or "graph" (the decision graph).
        reward: "individual" (own profit), "team" (mean profit), or "terminal" (own profit at the end of the day).
        max_cycles: Truncate after so many turns an aircraft; None never does.
        render_mode: "human", "rgb_array", "ansi" or None.
        parameters: The generator's.
    """

    _views = FleetFace._views | {"_aircraft", "_allowed", "_reward", "_ended", "_one_hot"}
    metadata: ClassVar[dict[str, Any]] = {
        "name": "uam_fleet_v0",
        "render_modes": ["human", "rgb_array", "ansi"],
        "is_parallelizable": False,
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
        super().__init__()
        self._open(
            FleetAgents(generator, instance, obs, reward, render_mode, parameters), max_cycles, render_mode
        )
        self._turns = 0

    def _attach(self) -> None:
        """Keep views of what every turn reads."""
        super()._attach()
        engine = self.engine
        self._aircraft, self._allowed = engine.fleet.aircraft.data, engine.observation["action_mask"][0]
        self._reward: Any = engine.outcome.reward.data
        self._ended: Any = engine.outcome.terminated.data
        self._one_hot = np.eye(self.fleet.num_vertiports, dtype=np.int8)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start `options["instance"]`, or the day that `makespan/UAMFleet-v0` starts with the same seed."""
        self.engine.load(0, self._draw(seed, options)[0])
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self._turns, self._paid = 0, [0] * len(self.agents)
        self._rewarded: dict[str, float] = {}
        self._skip_agent_selection = None
        self.infos = {}
        for k, agent in enumerate(self.agents):
            self.infos[agent] = self._info(k, False)
        self._select()

    def _select(self) -> None:
        k = self.engine.decider(0)
        self.agent_selection = self.possible_agents[max(k, 0)]
        info = self.infos[self.agent_selection]
        info["needs_decision"] = k >= 0
        if k >= 0:
            info["action_mask"] = self._allowed.copy()

    def _info(self, k: int, invalid: bool) -> dict[str, Any]:
        return {
            "action_mask": self._one_hot[self._aircraft[0, k, PLACE]].copy(),
            "needs_decision": False,
            "time_min": self.engine.now(0) / 60.0,
            "invalid_action": invalid,
            "conflict": None,  # nobody decides at the same time
        }

    def observe(self, agent: str) -> AgentObservation:
        """What an aircraft sees now; one that awaits no decision may only go on."""
        if self._rng is None:
            raise ResetNeeded("observe() before reset()")
        fleet = self.fleet
        mask, seen = np.empty(fleet.num_vertiports, np.int8), np.empty(fleet.length, np.float32)
        self._write(self.engine.batch, fleet.number[agent], seen, mask)
        return {"observation": fleet.graph() if fleet.obs == "graph" else seen, "action_mask": mask}

    def step(self, action: int | None) -> None:
        """Take the selected aircraft's decision."""
        if self._rng is None:
            raise ResetNeeded("step() before reset()")
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        if action is None:
            raise ValueError(f"action: None for {agent}, which is alive; expected a vertiport")
        k, a = self.fleet.number[agent], int(action)
        invalid = not (0 <= a < self._allowed.size and self._allowed[a])
        self.engine.step_one(self._aircraft[0, k, PLACE] if invalid else a)
        self._turns += 1
        self.infos[agent] = self._info(k, invalid)
        self._cumulative_rewards[agent] = 0.0
        terminated = self._ended[0]
        self._pay(k, terminated)
        if terminated:
            self.terminations = dict.fromkeys(self.agents, True)
            summary = self.fleet.summary()
            for name in self.agents:
                self.infos[name]["episode"] = dict(summary)
        elif self.max_cycles is not None and self._turns >= self.max_cycles * len(self.agents):
            self.truncations = dict.fromkeys(self.agents, True)
        self._select()

    def _pay(self, k: int, terminated: bool) -> None:
        """Hand out what the step has earned: mostly by aircraft k, rarely by another whose repair lasts beyond the day."""
        for name in self._rewarded:
            self.rewards[name] = 0.0
        total = self._reward[0]
        if self.fleet.reward == "individual":
            shares = self._own_profits(k, round(total * CENTS))
        elif self.fleet.reward == "team":
            shares = dict.fromkeys(self.agents, total / len(self.agents))
        else:
            profits = self.engine.profits(0) if terminated else ()
            shares = {self.possible_agents[n]: int(p) / CENTS for n, p in enumerate(profits)}
        for name, reward in shares.items():
            self.rewards[name] = reward
            self._cumulative_rewards[name] += reward
        self._rewarded = shares

    def _own_profits(self, k: int, cents: int) -> dict[str, float]:
        own = self._aircraft[0, k, PROFIT]
        gained = own - self._paid[k]
        self._paid[k] = own
        if gained == cents:
            return {self.possible_agents[k]: gained / CENTS}
        shares = {self.possible_agents[k]: gained / CENTS}
        for n, profit in enumerate(self.engine.profits(0).tolist()):
            if profit != self._paid[n]:
                shares[self.possible_agents[n]] = (profit - self._paid[n]) / CENTS
                self._paid[n] = profit
        return shares
