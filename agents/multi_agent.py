"""A PettingZoo Parallel environment as a Stable-Baselines3 `VecEnv`: one policy that all agents share.

Every agent of every copy of the environment is a slot of the batch, so that what one agent lives through trains the
policy of all. Masks are found by `MaskablePPO`. An agent that may only go on (a mask with a single action) takes part in the
batch, as Stable-Baselines3 needs all slots at every step, but has no say in the policy's loss: whatever its parameters, a
single allowed action has probability one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

AnyParallelEnv: TypeAlias = "ParallelEnv[Any, Any, Any]"


class ParallelVecEnv(VecEnv):
    """Copies of a Parallel environment, whose agents all look alike, where Stable-Baselines3 expects a `VecEnv`.

    Slot `c * K + k` is agent k of copy c. An observation space `Dict(observation=..., action_mask=...)`, PettingZoo's
    convention, is taken apart: policies see the observation, `env_method("action_masks")` hands out the masks; without one,
    everything is allowed. A copy starts anew when all its agents have ended; episodes are reported as `Monitor` would.

    Args:
        envs: The copies.

    Raises:
        ValueError: The agents' spaces differ, the actions are not `Discrete`, or there are no copies.
    """

    def __init__(self, envs: Sequence[AnyParallelEnv]) -> None:
        if not envs:
            raise ValueError("envs: none; expected at least one copy")
        self.envs = list(envs)
        self.agents = list(envs[0].possible_agents)
        space, actions = _common_spaces(self.envs)
        self._masked = isinstance(space, spaces.Dict) and "action_mask" in space.spaces
        if self._masked:
            assert isinstance(space, spaces.Dict)
            space = space["observation"]
        num_slots = len(envs) * len(self.agents)
        self._actions = np.zeros(num_slots, np.int64)
        self._masks = np.ones((num_slots, int(actions.n)), np.bool_)
        self._return = np.zeros(num_slots)
        self._length = np.zeros(len(envs), np.int64)
        self._born = time.time()
        super().__init__(num_slots, space, actions)

    def reset(self) -> VecEnvObs:
        """Start an episode in every copy; the seeds set before, if any, count copies, not agents."""
        seen = []
        for copy, env in enumerate(self.envs):
            seen.append(env.reset(seed=self._seeds[copy * len(self.agents)])[0])
        self._return[:], self._length[:] = 0.0, 0
        self._reset_seeds()
        self._reset_options()
        return self._stack(seen)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed copy c with `seed + c` at the next reset; all agents of a copy live in the same world."""
        seeds: list[int | None] = [
            None if seed is None else seed + copy for copy in range(len(self.envs)) for _ in self.agents
        ]
        self._seeds = seeds
        return seeds

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Keep the actions (copies * agents,) for `step_wait`."""
        self._actions = np.asarray(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Step all copies; one that has ended starts anew, its agents' last observations in `terminal_observation`."""
        K = len(self.agents)
        rewards, dones = np.zeros(self.num_envs, np.float32), np.zeros(self.num_envs, np.bool_)
        infos: list[dict[str, Any]] = []
        seen = []
        for copy, env in enumerate(self.envs):
            own = slice(copy * K, (copy + 1) * K)
            taken = dict(zip(self.agents, self._actions[own].tolist(), strict=True))
            observation, reward, terminated, truncated, info = env.step(taken)
            rewards[own] = [reward[agent] for agent in self.agents]
            self._return[own] += rewards[own]
            self._length[copy] += 1
            told = [dict(info[agent]) | {"TimeLimit.truncated": False} for agent in self.agents]
            ended = [terminated[agent] or truncated[agent] for agent in self.agents]
            if any(ended):
                if not all(ended):
                    gone = next(agent for agent, end in zip(self.agents, ended, strict=True) if end)
                    raise ValueError(f"{gone} ended before the others; expected all agents to end together")
                self._finish(copy, told, observation, terminated)
                dones[own] = True
                observation, _ = env.reset()
            infos += told
            seen.append(observation)
        return self._stack(seen), rewards, dones, infos

    def _finish(
        self, copy: int, told: list[dict[str, Any]], last: dict[str, Any], terminated: dict[str, bool]
    ) -> None:
        """Report the episode that has ended in a copy."""
        first = copy * len(self.agents)
        for k, (agent, info) in enumerate(zip(self.agents, told, strict=True)):
            if "episode" in info:  # the environment's own summary; Stable-Baselines3 reads its own there
                info["summary"] = info.pop("episode")
            info["TimeLimit.truncated"] = not terminated[agent]
            info["terminal_observation"] = last[agent]["observation"] if self._masked else last[agent]
            info["episode"] = {
                "r": round(float(self._return[first + k]), 6),
                "l": int(self._length[copy]),
                "t": round(time.time() - self._born, 6),
            }
        self._return[first : first + len(self.agents)] = 0.0
        self._length[copy] = 0

    def _stack(self, seen: list[dict[str, Any]]) -> VecEnvObs:
        """The agents' observations as one batch, the masks set aside."""
        rows = [one[agent] for one in seen for agent in self.agents]
        if self._masked:
            np.stack([row["action_mask"] for row in rows], out=self._masks, casting="unsafe")
            rows = [row["observation"] for row in rows]
        if isinstance(self.observation_space, spaces.Dict):
            return {key: np.stack([row[key] for row in rows]) for key in self.observation_space.spaces}
        return np.stack(rows)

    def close(self) -> None:
        """Close all copies."""
        for env in self.envs:
            env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the copy that each slot belongs to, or its `action_masks` method."""
        slots = list(self._get_indices(indices))
        if attr_name == "action_masks":
            return [lambda slot=slot: self._masks[slot].copy() for slot in slots]
        return [getattr(self._env(slot), attr_name, None) for slot in slots]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the copies that the slots belong to."""
        for slot in self._get_indices(indices):
            setattr(self._env(slot), attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """`action_masks` of each slot, or a method of the copy that each slot belongs to."""
        slots = list(self._get_indices(indices))
        if method_name == "action_masks":
            return list(self._masks[slots])
        return [getattr(self._env(slot), method_name)(*method_args, **method_kwargs) for slot in slots]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for `Monitor`, whose reports the batch makes itself; there are no other wrappers."""
        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]

    def _env(self, slot: int) -> AnyParallelEnv:
        return self.envs[slot // len(self.agents)]


def pettingzoo_to_sb3(
    make_env: Callable[[], AnyParallelEnv], num_copies: int = 1, seed: int | None = None
) -> ParallelVecEnv:
    """A shared policy's view of a Parallel environment, for Stable-Baselines3 and sb3-contrib.

    Args:
        make_env: Makes a copy.
        num_copies: Copies; the batch has a slot for each agent of each.
        seed: Of the first copy; the others follow it.
    """
    vec_env = ParallelVecEnv([make_env() for _ in range(num_copies)])
    vec_env.seed(seed)
    return vec_env


def _common_spaces(envs: Sequence[AnyParallelEnv]) -> tuple[spaces.Space[Any], spaces.Discrete]:
    """What all agents of all copies see and may do."""
    first = envs[0]
    agent = first.possible_agents[0]
    space, actions = first.observation_space(agent), first.action_space(agent)
    for env in envs:
        for other in env.possible_agents:
            if env.observation_space(other) != space or env.action_space(other) != actions:
                raise ValueError(f"{other}: spaces unlike those of {agent}; expected the same for all agents")
    if not isinstance(actions, spaces.Discrete):
        raise ValueError(f"action space: {actions}; expected Discrete")
    return space, actions
