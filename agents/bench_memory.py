"""What `makespan bench memory` times: both environments, their rules, and decoders in plain Python.

Everybody plays whole episodes on the same instance. The environments and their batches take uniformly random legal
actions, drawn from a table; the plain decoders place buffers, or tensors, in random orders without observing anything, which is
what a search in Python pays for each placement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from makespan.agents.bench import Contestant, Play
from makespan.agents.bench_plays import Ground, chosen_sizes, rows
from makespan.envs.memory.allocation_benchmark import load_instance as load_allocation
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.mapping_benchmark import load_instance as load_mapping

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
PLAIN: Final = "plain Python"


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    return [contestant for size in chosen_sizes(sizes, SIZES) for contestant in _of_size(size, *SIZES[size])]


def _of_size(size: str, env_id: str, name: str, options: dict[str, Any]) -> Iterator[Contestant]:
    if env_id == ALLOCATION:
        instance: Any = load_allocation(name)
        what = "first fit in plain Python, no observation"
        yield Contestant(what, size, 1, lambda: _plain(instance), PLAIN)
    else:
        instance = load_mapping(name)
    yield from rows(Ground(env_id, instance, options), size, rules=_rules(env_id, options))


def _rules(env_id: str, options: dict[str, Any]) -> tuple[str, ...]:
    if env_id == ALLOCATION:
        return ("greedy_by_size", "lowest_offset")
    return ("density_priority",) if options == PRIORITY else ("soon",)


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
