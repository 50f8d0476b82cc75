"""What `makespan bench memory` times: both environments, their rules, and decoders in plain Python.

Everybody plays whole episodes on the same instance. The environments and their batches take uniformly random legal
actions, drawn from a table; the plain decoders place buffers, or tensors, in random orders without observing anything, which is
what a search in Python pays for each placement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from makespan.agents.bench import Contestant, Play
from makespan.agents.bench_play import batch, ruled, scalar
from makespan.agents.config import Options
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.memory.allocation_benchmark import load_instance as load_allocation
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.mapping_benchmark import load_instance as load_mapping

ALLOCATION: Final = "makespan/MemoryAllocation-v0"
MAPPING: Final = "makespan/MemoryMapping-v0"
SIZES: Final = {
    "allocation 50": (ALLOCATION, "guillotine50-0"),
    "allocation 200": (ALLOCATION, "guillotine200-0"),
    "mapping 253": (MAPPING, "encoder_inference_b1@16"),
    "mapping 589": (MAPPING, "unet_training_b1@16"),
}
RULES: Final = {ALLOCATION: ("greedy_by_size", "lowest_offset"), MAPPING: ("soon",)}
PLAIN: Final = "plain Python"


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    chosen = list(SIZES) if sizes is None else list(sizes)
    for size in chosen:
        if size not in SIZES:
            raise UnknownNameError("size", size, SIZES)
    return [contestant for size in chosen for contestant in _of_size(size, *SIZES[size])]


def _of_size(size: str, env_id: str, name: str) -> Iterator[Contestant]:
    def row(what: str, num_envs: int, build: Callable[[], Play], reference: str = "") -> Contestant:
        return Contestant(what, size, num_envs, build, reference)

    options = _options(env_id)
    if env_id == ALLOCATION:
        instance: Any = load_allocation(name)
        yield row("first fit in plain Python, no observation", 1, lambda: _plain(instance), PLAIN)
    else:
        instance = load_mapping(name)
    yield row("env.step, full observation, live", 1, lambda: scalar(env_id, instance, options, copy=False))
    yield row("env.step, full observation, copied", 1, lambda: scalar(env_id, instance, options, copy=True))
    for num_envs in (1, 64, 256):
        yield row("batch, full observation", num_envs, lambda n=num_envs: batch(env_id, instance, options, n))  # type: ignore[misc]
    for rule in RULES[env_id]:
        yield row(f"batch, rule {rule}", 64, lambda r=rule: ruled(env_id, instance, options, 64, r))  # type: ignore[misc]


def _options(env_id: str) -> Options:
    return {} if env_id == ALLOCATION else {"skip_forced": False}


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
