"""The native batch of environments as a Stable-Baselines3 `VecEnv`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from makespan.envs.core.vector import SchedulingVectorEnv

Slots = Iterable[int]


class SB3VecEnv(VecEnv):
    """A `SchedulingVectorEnv` where Stable-Baselines3 expects a `VecEnv`: one kernel call steps all environments.

    Masks are found by `MaskablePPO` under `env_method("action_masks")`. Episodes are reported in `info["episode"]` as
    `Monitor` would, with the objective beside them in `info["objective"]`.

    Args:
        env: The batch; autoreset in the same step, observations copied.
    """

    def __init__(self, env: SchedulingVectorEnv) -> None:
        if env.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode: {env.autoreset_mode}; Stable-Baselines3 expects SAME_STEP")
        if not env.copy:
            raise ValueError("copy: False; Stable-Baselines3 keeps observations beyond the next step")
        self.env = env
        self._actions = np.zeros(env.num_envs, np.int64)
        self._return = np.zeros(env.num_envs)
        self._length = np.zeros(env.num_envs, np.int64)
        self._born = time.time()
        self._per_slot: dict[str, Callable[[Slots], list[Any]]] = {
            "action_masks": lambda slots: list(env.action_masks()[list(slots)]),
            "schedule": lambda slots: [env.schedule(slot) for slot in slots],
        }
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> VecEnvObs:
        """Start an episode in every environment, with the seeds and options set before, if any."""
        given = [options.get("instance") for options in self._options]
        if any(one is not None for one in given) and any(one is None for one in given):
            raise ValueError("options: an instance for some environments only; expected one for each or none")
        seeds = list(self._seeds) if any(seed is not None for seed in self._seeds) else None
        options = {"instances": given} if given[0] is not None else None
        observation, _ = self.env.reset(seed=seeds, options=options)
        self._return[:] = 0.0
        self._length[:] = 0
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Keep the actions (B,) for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all environments; what has ended starts anew, its last observation in `terminal_observation`."""
        observation, rewards, terminated, truncated, batch_infos = self.env.step(self._actions)
        self._return += rewards
        self._length += 1
        dones = terminated | truncated
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        for info, elapsed in zip(infos, batch_infos.get("elapsed", ()), strict=False):
            info["elapsed"] = float(elapsed)
        for slot in np.flatnonzero(batch_infos["invalid_action"]):
            infos[slot]["invalid_action"] = True
        for slot in np.flatnonzero(dones):
            infos[slot] |= {
                "TimeLimit.truncated": bool(truncated[slot] and not terminated[slot]),
                "terminal_observation": batch_infos["final_obs"][slot],
                "objective": float(batch_infos["objective"][slot]),
                "num_decisions": int(batch_infos["num_decisions"][slot]),
                "episode": {
                    "r": round(float(self._return[slot]), 6),
                    "l": int(self._length[slot]),
                    "t": round(time.time() - self._born, 6),
                },
            }
        self._return[dones] = 0.0
        self._length[dones] = 0
        return observation, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Close the batch."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each environment: `instance`, a per-environment method, or an attribute of the batch."""
        slots = self._slots(indices)
        if attr_name == "render_mode":
            return [None for _ in slots]
        if attr_name == "instance":
            return [self.env.instances[slot] for slot in slots]
        if attr_name in self._per_slot:
            method = self._per_slot[attr_name]
            return [lambda slot=slot: method([slot])[0] for slot in slots]
        value = getattr(self.env, attr_name)
        return [value for _ in slots]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the batch, which all environments share."""
        if len(self._slots(indices)) != self.num_envs:
            raise ValueError(
                f"{attr_name}: the environments of a batch share their attributes; set it for all"
            )
        setattr(self.env, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call `action_masks` or `schedule` of each environment."""
        if method_name not in self._per_slot:
            raise AttributeError(f"{method_name}: expected one of {', '.join(self._per_slot)}")
        return self._per_slot[method_name](self._slots(indices), *method_args, **method_kwargs)

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for `Monitor`, whose reports the batch makes itself; there are no other wrappers."""
        return [issubclass(wrapper_class, Monitor) for _ in self._slots(indices)]

    def _slots(self, indices: VecEnvIndices) -> Sequence[int]:
        return list(self._get_indices(indices))


def make_sb3_vec_env(env_id: str, num_envs: int = 1, seed: int | None = None, **kwargs: Any) -> SB3VecEnv:
    """A native batch of environments for Stable-Baselines3.

    Args:
        env_id: Gymnasium id, e.g. "makespan/JobShop-v0".
        num_envs: Environments in the batch.
        seed: Of the first environment; the others follow it.
        **kwargs: Of the environment's constructor.
    """
    env = gymnasium.make_vec(
        env_id,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode=AutoresetMode.SAME_STEP,
        **kwargs,
    )
    assert isinstance(env, SchedulingVectorEnv)
    vec_env = SB3VecEnv(env)
    vec_env.seed(seed)
    return vec_env
