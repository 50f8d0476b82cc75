"""How `makespan bench` plays any environment of the suite: scalar, as a native batch, by a rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from makespan.agents.bench import Play
from makespan.envs.core.policy import rule_policy
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.registration import get_family

CHUNK: Final = 2_048  # decisions of a batch between two looks at the clock


def scalar(env_id: str, instance: Any, options: Mapping[str, Any], *, copy: bool) -> Play:
    """Whole episodes of uniformly random legal actions, drawn from a table, through `gymnasium.make`."""
    env = gymnasium.make(env_id, instance=instance, copy=copy, disable_env_checker=True, **options)
    draws = np.random.default_rng(0).random(100_003)

    def play() -> int:
        observation, _ = env.reset()
        decisions, terminated = 0, False
        while not terminated:
            allowed = observation["action_mask"].nonzero()[0]
            observation, _, terminated, _, _ = env.step(
                allowed[int(draws[decisions % draws.size] * allowed.size)]
            )
            decisions += 1
        return decisions

    return play


def batch(env_id: str, instance: Any, options: Mapping[str, Any], num_envs: int) -> Play:
    """Random legal actions in the native batch; episodes start anew where they end."""
    envs = _make_batch(env_id, instance, options, num_envs)
    observation, _ = envs.reset(seed=0)
    mask = observation["action_mask"]
    tables = np.random.default_rng(0).random((31, *mask.shape), dtype=np.float32)
    steps = max(1, CHUNK // num_envs)

    def play() -> int:
        for step in range(steps):
            envs.step((tables[step % 31] * mask).argmax(axis=1))
        return steps * num_envs

    return play


def ruled(env_id: str, instance: Any, options: Mapping[str, Any], num_envs: int, rule: str) -> Play:
    """The native batch under a rule of its family."""
    envs = _make_batch(env_id, instance, options, num_envs)
    policy = rule_policy(get_family(env_id).name, rule, envs.schema)
    observation, _ = envs.reset(seed=0)
    steps = max(1, CHUNK // num_envs)

    def play() -> int:
        seen = observation
        for _ in range(steps):
            seen, *_ = envs.step(policy.act(seen))
        return steps * num_envs

    return play


def _make_batch(env_id: str, instance: Any, options: Mapping[str, Any], num_envs: int) -> SchedulingVectorEnv:
    envs = gymnasium.make_vec(
        env_id,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        instances=[instance] * num_envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
        copy=False,
        **options,
    ).unwrapped
    assert isinstance(envs, SchedulingVectorEnv)
    return envs
