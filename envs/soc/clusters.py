"""PettingZoo's AEC face of the SoC: each cluster of PEs is an agent, and ready tasks are offered to them in turn.

`env()` and `raw_env()` follow PettingZoo's convention for a module of one environment.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import AECEnv
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from makespan.envs.core.schedule import Schedule
from makespan.envs.soc.env import SOURCES, make_engine
from makespan.envs.soc.generator_base import Generator
from makespan.envs.soc.instance import SocInstance


class SocClustersEnv(AECEnv):  # type: ignore[type-arg]
    """The world of `makespan/SoC-v0` with one agent a cluster, `cluster_0`, `cluster_1`, ...

    The ready task that waits longest (FIFO) is offered to the clusters that have a PE for it, in the order of their numbers. A
    cluster commits it to one of its PEs (action p: PE p of the whole system) or passes (the last action). If all pass,
    everything that is ready waits for the next end or arrival; where nothing would ever happen, the last cluster must not
    pass. An agent sees the whole decision graph, but only its own PEs as candidates. All agents get the same reward, that of
    `makespan/SoC-v0`; the sum over one agent's episode is the return there. An action that is forbidden counts as the lowest
    allowed one and is reported in `infos[agent]["invalid_action"]`.

    Args:
        generator: A generator, or its name with its parameters as further keywords; default: soc16-mix.
        instance: One instance, or its name, for every episode.
        max_live_jobs: As in `SocEnv`.
        overflow: As in `SocEnv`.
        merge_twins: As in `SocEnv`.
        max_cycles: Truncate after so many turns; None never does.
        render_mode: "ansi", "rgb_array" or None.
        parameters: The generator's.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "soc_clusters_v0",
        "render_modes": ["ansi", "rgb_array"],
        "is_parallelizable": False,
        "render_fps": 4,
    }

    def __init__(
        self,
        generator: Generator | str | None = None,
        *,
        instance: SocInstance | str | None = None,
        max_live_jobs: int = 24,
        overflow: int = 0,
        merge_twins: bool = True,
        max_cycles: int | None = None,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode: {render_mode!r}; expected one of {self.metadata['render_modes']}")
        self.generator = SOURCES.choose(generator, instance, parameters)
        size = self.generator.size
        self.engine = make_engine(
            size,
            1,
            mode="pe",
            defer=True,
            max_live_jobs=max_live_jobs,
            max_ready=1,
            overflow=overflow,
            skip_forced=False,
            merge_twins=merge_twins,
        )
        self.schema = self.engine.schema
        self.possible_agents = [f"cluster_{c}" for c in range(size.num_clusters)]
        self.agents: list[str] = []
        self._pass = self.schema.candidates.max_count - 1
        mask = spaces.Box(0, 1, (self._pass + 1,), np.int8)
        self.observation_spaces = {
            agent: spaces.Dict({"observation": self.schema.space, "action_mask": mask})
            for agent in self.possible_agents
        }
        self.action_spaces = {agent: spaces.Discrete(self._pass + 1) for agent in self.possible_agents}
        self.instance: SocInstance | None = None
        self.max_cycles, self.render_mode = max_cycles, render_mode
        self._rng: np.random.Generator | None = None
        self._action = np.zeros(1, np.int64)
        self._queue: list[int] = []
        self._turns = 0

    def observation_space(self, agent: str) -> spaces.Dict:
        """The same object at every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """The same object at every call: `Discrete(num_pes + 1)`, the last action passes."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start `options["instance"]`, or the instance that `makespan/SoC-v0` starts with the same seed."""
        if seed is not None or self._rng is None:
            self._rng, _ = seeding.np_random(seed)
        chosen = (options or {}).get("instance")
        self.instance = self.generator.sample(self._rng) if chosen is None else SOURCES.find(chosen)
        self.engine.load(0, self.instance)
        self._owner = np.full(self._pass, -1, np.int64)
        self._owner[: self.instance.num_pes] = self.instance.pe_cluster
        self.agents = self.possible_agents[: self.instance.num_clusters]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {"invalid_action": False} for agent in self.agents}
        self._skip_agent_selection = None
        self._turns = 0
        self._offer()

    def _offer(self) -> None:
        """Line up the clusters that can run the task that is offered now."""
        allowed = np.flatnonzero(self.engine.observation["action_mask"][0][: self._pass])
        clusters = self._owner[allowed]
        self._queue = np.unique(clusters[clusters >= 0]).tolist() or [0]
        self._select()

    def _select(self) -> None:
        self.agent_selection = self.possible_agents[self._queue[0]]

    def _mask(self, agent: str) -> NDArray[np.int8]:
        """What an agent may do now; one whose turn it is not may only pass."""
        mask = np.zeros(self._pass + 1, np.int8)
        if agent != self.agent_selection or not self.agents:
            mask[self._pass] = 1
            return mask
        whole = self.engine.observation["action_mask"][0]
        mask[: self._pass] = whole[: self._pass] * (self._owner == self.possible_agents.index(agent))
        mask[self._pass] = len(self._queue) > 1 or whole[self._pass] or not mask.any()
        return mask

    def observe(self, agent: str) -> dict[str, Any]:
        """The decision graph with the agent's own candidates."""
        mask = self._mask(agent)
        graph = {key: buffer[0].copy() for key, buffer in self.engine.observation.items()}
        hidden = mask == 0
        graph["candidate_x"][hidden] = 0.0
        graph["candidate_index"][hidden] = -1
        graph["action_mask"] = mask.copy()
        return {"observation": graph, "action_mask": mask}

    def step(self, action: int | None) -> None:
        """Let the selected cluster commit the offered task or pass."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        if action is None:
            raise ValueError(f"action: None for {agent}, which is alive; expected a PE or the last action")
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
            self._play(a)
        if self.max_cycles is not None and self._turns >= self.max_cycles:
            self.truncations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()

    def _play(self, action: int) -> None:
        """Take a decision of the team."""
        self._action[0] = action
        self.engine.step(self._action)
        outcome = self.engine.outcome
        self.rewards = dict.fromkeys(self.agents, outcome.reward.item(0))
        terminated = outcome.terminated.item(0)
        self.terminations = dict.fromkeys(self.agents, terminated)
        self.truncations = dict.fromkeys(self.agents, outcome.truncated.item(0))
        for name in self.agents:
            self.infos[name]["elapsed"] = outcome.elapsed.item(0)
            if terminated:
                self.infos[name]["objective"] = self.engine.objective(0)
        if not terminated:
            self._offer()

    def schedule(self) -> Schedule:
        """Every task that has started."""
        return self.engine.schedule(0)

    def render(self) -> Any:
        """The Gantt chart so far."""
        if self.render_mode is None:
            return None
        from makespan.envs.core import gantt

        return gantt.ansi(self.schedule()) if self.render_mode == "ansi" else gantt.rgb_array(self.schedule())

    def close(self) -> None:
        """Nothing is held open."""


def raw_env(**keywords: Any) -> SocClustersEnv:
    """The AEC environment, bare; keywords as of `SocClustersEnv`."""
    return SocClustersEnv(**keywords)


def env(**keywords: Any) -> OrderEnforcingWrapper:
    """The AEC environment with PettingZoo's order check; keywords as of `SocClustersEnv`."""
    return OrderEnforcingWrapper(raw_env(**keywords))
