"""What `makespan bench memory` times: both environments, their rules, and decoders in plain Python.

Everybody plays whole episodes on the same instance. The environments and their batches take uniformly random legal
actions, drawn from a table; the plain decoders place buffers, or tensors, in random orders without observing anything, which is
what a search in Python pays for each placement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from makespan.agents.bench import Contestant, Play
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.policy import rule_policy
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.memory.allocation_benchmark import load_instance as load_allocation
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.mapping_benchmark import load_instance as load_mapping
from makespan.envs.registration import get_family

ALLOCATION: Final = "makespan/MemoryAllocation-v0"
MAPPING: Final = "makespan/MemoryMapping-v0"
PROGRAM: Final = {"skip_forced": False}
PRIORITY: Final = {"skip_forced": False, "order": "priority", "offset_policy": "best"}
SIZES: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "allocation 50": (ALLOCATION, "guillotine50-0", {}),
    "allocation 200": (ALLOCATION, "guillotine200-0", {}),
    "mapping 253": (MAPPING, "encoder_inference_b1@16", PROGRAM),
    "mapping 477": (MAPPING, "graph_network_training_b1@16", PROGRAM),
    "mapping 589": (MAPPING, "unet_training_b1@16", PROGRAM),
    "priority 253": (MAPPING, "encoder_inference_b1@16", PRIORITY),
    "priority 589": (MAPPING, "unet_training_b1@16", PRIORITY),
}
"""Size -> environment, instance and keywords; sizes count buffers, or accesses of the program."""
CHUNK: Final = 2_048  # decisions of a batch between two looks at the clock
PLAIN: Final = "plain Python"


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    chosen = list(SIZES) if sizes is None else list(sizes)
    for size in chosen:
        if size not in SIZES:
            raise UnknownNameError("size", size, SIZES)
    return [contestant for size in chosen for contestant in _of_size(size, *SIZES[size])]


def _of_size(size: str, env_id: str, name: str, options: dict[str, Any]) -> Iterator[Contestant]:
    def row(what: str, num_envs: int, build: Callable[[], Play], reference: str = "") -> Contestant:
        return Contestant(what, size, num_envs, build, reference)

    if env_id == ALLOCATION:
        instance: Any = load_allocation(name)
        yield row("first fit in plain Python, no observation", 1, lambda: _plain(instance), PLAIN)
    else:
        instance = load_mapping(name)
    yield row("env.step, full observation, live", 1, lambda: _scalar(env_id, instance, options, copy=False))
    yield row("env.step, full observation, copied", 1, lambda: _scalar(env_id, instance, options, copy=True))
    for num_envs in (1, 64, 256):
        yield row("batch, full observation", num_envs, partial(_batch, env_id, instance, options, num_envs))
    for rule in _rules(env_id, options):
        yield row(f"batch, rule {rule}", 64, partial(_rule, env_id, instance, options, rule, 64))


def _rules(env_id: str, options: dict[str, Any]) -> tuple[str, ...]:
    if env_id == ALLOCATION:
        return ("greedy_by_size", "lowest_offset")
    return ("density_priority",) if options == PRIORITY else ("soon",)


def _scalar(env_id: str, instance: Any, options: dict[str, Any], copy: bool) -> Play:
    env = gymnasium.make(env_id, instance=instance, copy=copy, disable_env_checker=True, **options)
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


def _make_batch(
    env_id: str, instance: Any, options: dict[str, Any], num_envs: int, mode: AutoresetMode
) -> SchedulingVectorEnv:
    envs = gymnasium.make_vec(
        env_id,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        instances=[instance] * num_envs,
        autoreset_mode=mode,
        copy=False,
        **options,
    ).unwrapped
    assert isinstance(envs, SchedulingVectorEnv)
    return envs


def _batch(env_id: str, instance: Any, options: dict[str, Any], num_envs: int) -> Play:
    envs = _make_batch(env_id, instance, options, num_envs, AutoresetMode.SAME_STEP)
    observation, _ = envs.reset(seed=0)
    mask = observation["action_mask"]
    tables = np.random.default_rng(0).random((31, *mask.shape), dtype=np.float32)
    steps = max(1, CHUNK // num_envs)

    def play() -> int:
        for step in range(steps):
            envs.step((tables[step % 31] * mask).argmax(axis=1))
        return steps * num_envs

    return play


def _rule(env_id: str, instance: Any, options: dict[str, Any], rule: str, num_envs: int) -> Play:
    envs = _make_batch(env_id, instance, options, num_envs, AutoresetMode.SAME_STEP)
    policy = rule_policy(get_family(env_id).name, rule, envs.schema)
    observation, _ = envs.reset(seed=0)
    steps = max(1, CHUNK // num_envs)

    def play() -> int:
        seen = observation
        for _ in range(steps):
            seen, *_ = envs.step(policy.act(seen))
        return steps * num_envs

    return play


def _plain(problem: AllocationProblem) -> Play:
    """Buffers in random orders, each at its lowest feasible offset: a sweep over the placed buffers that it meets."""
    lower, upper, size = problem.lower.tolist(), problem.upper.tolist(), problem.size.tolist()
    rng = np.random.default_rng(0)

    def play() -> int:
        placed: list[tuple[int, int, int, int]] = []  # offset, top, lower, upper, by offset
        for i in rng.permutation(len(size)).tolist():
            offset = 0
            for low, top, begin, end in placed:
                if begin < upper[i] and lower[i] < end and top > offset:
                    if low >= offset + size[i]:
                        break
                    offset = top
            placed.append((offset, offset + size[i], lower[i], upper[i]))
            placed.sort()
        return len(size)

    return play
