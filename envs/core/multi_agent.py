"""PettingZoo's AEC face of any scheduling environment whose candidates belong to resources: one agent a resource."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import AECEnv

from makespan.envs.core.env import SchedulingEnv
from makespan.envs.core.schedule import Schedule

NOBODY = -1
"""Owner of candidates that concern no agent: a wait of the whole system."""


class ResourceAgentsEnv(AECEnv):  # type: ignore[type-arg]
    """The world of a `SchedulingEnv` in which agents `<prefix>_0`, `<prefix>_1`, ... share out the candidates of each decision.

    Every candidate belongs to an agent, or to nobody (a wait). At each decision of the world the agents that own an allowed
    candidate are asked in the order of their numbers. An agent takes one of its own candidates, or passes (action
    `pass_action`). Where all pass, the world waits; where it must not, the last agent must not pass either. An agent sees the
    whole decision graph, but only its own candidates; one whose turn it is not may only pass. All agents get the world's
    reward, so the sum over one agent's episode is the return there; whoever plays a policy of the world by letting the owner of
    its candidate take it, and the others pass, leads the world through the same episode. An action that is forbidden counts
    as the lowest allowed one and is reported in `infos[agent]["invalid_action"]`. All agents live until the episode ends.

    Args:
        world: The environment; every one of its decisions is offered to the agents.
        prefix: Of the agents' names.
        resource: Node type that the agents are, one agent a node, where candidates point at their owners. Families in which
            that is not so override `owners` and `num_agents_of`.
        num_agents: Agents of the largest instance; None means one for each node of the type.
        pass_action: Number of the action that passes; None means one more than the world has.
        max_cycles: Truncate after so many turns; None never does.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "resource_agents_v0",
        "render_modes": ["ansi", "rgb_array", "human"],
        "is_parallelizable": False,
        "render_fps": 4,
    }

    def __init__(
        self,
        world: SchedulingEnv,
        prefix: str,
        *,
        resource: str = "",
        num_agents: int | None = None,
        pass_action: int | None = None,
        max_cycles: int | None = None,
    ) -> None:
        super().__init__()
        self.world, self.resource, self.max_cycles = world, resource, max_cycles
        self.schema, self.engine = world.schema, world.engine
        self.render_mode = world.render_mode
        count = self.schema.node(resource).max_count if num_agents is None else num_agents
        self.possible_agents = [f"{prefix}_{agent}" for agent in range(count)]
        self.agents: list[str] = []
        self._num_candidates = self.schema.candidates.max_count
        self._pass = self._num_candidates if pass_action is None else pass_action
        self._num_actions = max(self._num_candidates, self._pass + 1)
        mask = spaces.Box(0, 1, (self._num_actions,), np.int8)
        self.observation_spaces = {
            agent: spaces.Dict({"observation": self.schema.space, "action_mask": mask})
            for agent in self.possible_agents
        }
        self.action_spaces = {agent: spaces.Discrete(self._num_actions) for agent in self.possible_agents}
        self._owner = np.full(self._num_candidates, NOBODY, np.int64)
        self._queue: list[int] = []
        self._turns = 0

    @property
    def instance(self) -> Any:
        """The present instance."""
        return self.world.instance

    @property
    def pass_action(self) -> int:
        """Number of the action that passes."""
        return self._pass

    def num_agents_of(self) -> int:
        """Agents of the instance that has just been started."""
        return int(self.engine.observation[f"{self.resource}_count"][0, 0])

    def owners(self) -> NDArray[np.int64]:
        """Owner of each candidate (A,) at the present decision, `NOBODY` for waits and what is not allowed."""
        column = self.schema.candidates.points_at.index(self.resource)
        return self.engine.observation["candidate_index"][0, :, column].astype(np.int64)

    def observation_space(self, agent: str) -> spaces.Dict:
        """The same object at every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """The same object at every call: the world's candidates, and passing."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start the episode that the world starts with the same seed and options."""
        self.world.reset(seed=seed, options=options)
        self.agents = self.possible_agents[: self.num_agents_of()]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {"invalid_action": False} for agent in self.agents}
        self._skip_agent_selection = None
        self._turns = 0
        self._offer()

    def _offer(self) -> None:
        """Line up the agents that own a candidate of the present decision."""
        self._owner = self.owners()
        allowed = self.engine.observation["action_mask"][0] > 0
        mine = self._owner[allowed]
        self._queue = np.unique(mine[mine != NOBODY]).tolist() or [0]
        self._select()

    def _select(self) -> None:
        self.agent_selection = self.possible_agents[self._queue[0]]

    def _wait(self) -> int:
        """The allowed candidate that belongs to nobody; `NOBODY` if there is none."""
        waits = np.flatnonzero((self.engine.observation["action_mask"][0] > 0) & (self._owner == NOBODY))
        return int(waits[0]) if waits.size else NOBODY

    def _mask(self, agent: str) -> NDArray[np.int8]:
        """What an agent may do now; one whose turn it is not may only pass."""
        mask = np.zeros(self._num_actions, np.int8)
        if agent != self.agent_selection or not self.agents:
            mask[self._pass] = 1
            return mask
        whole = self.engine.observation["action_mask"][0]
        mask[: self._num_candidates] = whole * (self._owner == self.possible_agents.index(agent))
        mask[self._pass] = len(self._queue) > 1 or self._wait() != NOBODY or not mask.any()
        return mask

    def observe(self, agent: str) -> dict[str, Any]:
        """The decision graph with the agent's own candidates."""
        mask = self._mask(agent)
        graph = {key: buffer[0].copy() for key, buffer in self.engine.observation.items()}
        own = mask[: self._num_candidates]
        graph["candidate_x"][own == 0] = 0.0
        graph["candidate_index"][own == 0] = -1
        graph["action_mask"] = own.copy()
        return {"observation": graph, "action_mask": mask}

    def step(self, action: int | None) -> None:
        """Let the selected agent take a candidate or pass."""
        if not hasattr(self, "rewards"):
            raise gymnasium.error.ResetNeeded("step() before reset()")
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        if action is None:
            raise ValueError(f"action: None for {agent}, which is alive; expected a candidate or to pass")
        mask, a = self._mask(agent), int(action)
        invalid = not (0 <= a < mask.size and mask[a])
        a = int(mask.argmax()) if invalid else a
        self.infos[agent] = {"invalid_action": invalid}
        self._cumulative_rewards[agent] = 0.0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._turns += 1
        if a == self._pass and len(self._queue) > 1:
            self._queue.pop(0)
            self._select()
        else:
            self._play(self._wait() if a == self._pass else a)
        if self.max_cycles is not None and self._turns >= self.max_cycles:
            self.truncations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()

    def _play(self, candidate: int) -> None:
        """Take a decision of the world."""
        _, reward, terminated, truncated, info = self.world.step(candidate)
        self.rewards = dict.fromkeys(self.agents, float(reward))
        self.terminations = dict.fromkeys(self.agents, terminated)
        self.truncations = dict.fromkeys(self.agents, truncated)
        for name in self.agents:
            self.infos[name] |= {key: info[key] for key in ("elapsed", "objective") if key in info}
        if not terminated and not truncated:
            self._offer()

    def schedule(self) -> Schedule:
        """What is scheduled so far."""
        return self.world.schedule()

    def render(self) -> Any:
        """The schedule so far, as the world renders it."""
        return None if self.render_mode is None else self.world.render()

    def close(self) -> None:
        """Close the world."""
        self.world.close()
