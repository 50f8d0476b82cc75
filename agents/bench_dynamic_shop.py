"""What `makespan bench dynamic_shop` times: the environment and its batches, and the job shop's beside them.

Everybody takes uniformly random legal actions, drawn from a table, and nothing is skipped; on dynamic shops episodes follow each
other, so resets are part of the time. The row of the job shop is the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from makespan.agents.bench import Contestant, Play
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.policy import rule_policy
from makespan.envs.core.vector import SchedulingVectorEnv

DYNAMIC: Final = "makespan/DynamicJobShop-v0"
JOBSHOP: Final = "makespan/JobShop-v0"
SIZES: Final[dict[str, dict[str, Any]]] = {
    "5 machines": {"instance": "dynamic-u90-0"},
    "unreliable": {"instance": "unreliable-u90-0"},
    "flexible": {"instance": "flexible-u90-0", "ask": "shop"},
}
REFERENCE: Final = {"instance": "ta01"}
RULES: Final = ("atc_tuned", "edd")
CHUNK: Final = 4_096  # decisions of a batch between two looks at the clock


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    chosen = list(SIZES) if sizes is None else list(sizes)
    for size in chosen:
        if size not in SIZES:
            raise UnknownNameError("size", size, SIZES)
    return [contestant for size in chosen for contestant in _of_size(size, SIZES[size])]


def _of_size(size: str, keywords: dict[str, Any]) -> Iterator[Contestant]:
    def row(what: str, num_envs: int, build: Callable[[], Play], reference: str = "") -> Contestant:
        return Contestant(what, size, num_envs, build, reference)

    yield row("job shop ta01, env.step, live", 1, lambda: _scalar(JOBSHOP, REFERENCE, copy=False), "scalar")
    yield row("job shop ta01, batch", 256, lambda: _batch(JOBSHOP, REFERENCE, 256), "batch")
    yield row("env.step, full observation, live", 1, lambda: _scalar(DYNAMIC, keywords, copy=False))
    yield row("env.step, full observation, copied", 1, lambda: _scalar(DYNAMIC, keywords, copy=True))
    for num_envs in (1, 64, 256):
        yield row("batch, full observation", num_envs, lambda n=num_envs: _batch(DYNAMIC, keywords, n))  # type: ignore[misc]
    for rule in RULES:
        yield row(f"batch, rule {rule}", 64, lambda r=rule: _rule(keywords, r, 64))  # type: ignore[misc]


def _scalar(env_id: str, keywords: dict[str, Any], copy: bool) -> Play:
    env = gymnasium.make(env_id, skip_forced=False, copy=copy, disable_env_checker=True, **keywords)
    draws = np.random.default_rng(0).random(100_003)

    def play() -> int:
        observation, _ = env.reset()
        decisions, terminated = 0, False
        while not terminated:
            allowed = observation["action_mask"].nonzero()[0]
            observation, _, terminated, _, _ = env.step(allowed[int(draws[decisions] * allowed.size)])
            decisions += 1
        return decisions

    return play


def _make_batch(env_id: str, keywords: dict[str, Any], num_envs: int) -> SchedulingVectorEnv:
    options = {key: value for key, value in keywords.items() if key != "instance"}
    envs = gymnasium.make_vec(
        env_id,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        instances=[keywords["instance"]] * num_envs,
        skip_forced=False,
        autoreset_mode=AutoresetMode.SAME_STEP,
        copy=False,
        **options,
    ).unwrapped
    assert isinstance(envs, SchedulingVectorEnv)
    return envs


def _batch(env_id: str, keywords: dict[str, Any], num_envs: int) -> Play:
    envs = _make_batch(env_id, keywords, num_envs)
    observation, _ = envs.reset(seed=0)
    mask = observation["action_mask"]
    tables = np.random.default_rng(0).random((31, *mask.shape), dtype=np.float32)
    steps = max(1, CHUNK // num_envs)

    def play() -> int:
        for step in range(steps):
            envs.step((tables[step % 31] * mask).argmax(axis=1))
        return steps * num_envs

    return play


def _rule(keywords: dict[str, Any], rule: str, num_envs: int) -> Play:
    envs = _make_batch(DYNAMIC, keywords, num_envs)
    policy = rule_policy("dynamic_shop", rule, envs.schema)
    observation, _ = envs.reset(seed=0)
    steps = max(1, CHUNK // num_envs)

    def play() -> int:
        seen = observation
        for _ in range(steps):
            seen, *_ = envs.step(policy.act(seen))
        return steps * num_envs

    return play
