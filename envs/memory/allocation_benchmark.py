"""Named allocation problems, the sets they form, and the best peaks known for them.

Generated sets hold ten problems each, drawn with the seed (name of the set, number): `guillotine50-3` is always the same one.
MiniMalloc's example is written out below; its challenging instances are read from files (`A.1048576.csv`), and what is
known of them is told by their facts.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from makespan.envs.core.family import BestKnown
from makespan.envs.core.named import NamedInstances
from makespan.envs.memory import allocation_formats
from makespan.envs.memory.allocation_generator import (
    TOY_OPTIMUM,
    Generator,
    GuillotineBuffers,
    RandomProgram,
    TiledBuffers,
    ToyBuffers,
    UNetBuffers,
    UniformBuffers,
)
from makespan.envs.memory.allocation_instance import AllocationProblem

SET_SIZE: Final = 10
EXAMPLE_OPTIMUM: Final = 12
"""Lowest peak of `minimalloc-example`, from the file's name and its load bound."""

_GENERATED: Final[dict[str, Generator]] = {
    "guillotine50": GuillotineBuffers(50),
    "guillotine200": GuillotineBuffers(200, horizon=128, units=4096),
    "slack200": GuillotineBuffers(200, horizon=128, units=4096, slack=0.1),
    "random50": RandomProgram(50),
    "random200": RandomProgram(200, num_steps=100, max_lag=40),
    "uniform50": UniformBuffers(50),
    "tiling50": TiledBuffers(50),
    "tiling200": TiledBuffers(200, horizon=64, max_duration=32),
    "unet36": UNetBuffers(),
}

INSTANCE_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "examples": ("toy", "minimalloc-example"),
        **{name: tuple(f"{name}-{number}" for number in range(SET_SIZE)) for name in _GENERATED},
    }
)
"""Set name -> its instances."""

# (file, buffers, load bound): peak that MiniMalloc reaches (google/minimalloc, commit 9f5cf81, built locally).
_CHALLENGING: Final = {
    ("A.1048576", 154, 1_048_576): 1_048_576,
    ("B.1048576", 170, 1_048_576): 1_048_576,
    ("C.1048576", 203, 1_039_360): 1_047_552,
}


def _make(name: str) -> AllocationProblem:
    if name == "toy":
        return ToyBuffers().sample()
    if name == "minimalloc-example":  # google/minimalloc, benchmarks/examples/input.12.csv, Apache-2.0
        rows = [(0, 3, 4), (3, 9, 4), (0, 9, 4), (9, 21, 4), (0, 21, 4)]
        return AllocationProblem.from_buffers(rows, capacity=EXAMPLE_OPTIMUM, name=name)
    family, _, number = name.rpartition("-")
    rng = np.random.default_rng((zlib.crc32(family.encode()), int(number)))
    return dataclasses.replace(_GENERATED[family].sample(rng), name=name)


_NAMED: Final = NamedInstances(INSTANCE_SETS, _make, lambda path: [allocation_formats.load(path)])

load_instance = _NAMED.load
"""An instance by name, e.g. `toy` or `guillotine50-0`, or from a file in MiniMalloc's format; see `NamedInstances.load`."""
find_instances = _NAMED.find
"""Instances that one command-line argument stands for; see `NamedInstances.find`."""


def best_known(instance: AllocationProblem | str) -> BestKnown | None:
    """Bounds on the lowest peak, None if there are none.

    An instance is found by its name and must be the named one; MiniMalloc's files by name, buffers and load bound.
    """
    problem = load_instance(instance) if isinstance(instance, str) else instance
    key = (problem.name, problem.num_buffers, problem.load_bound)
    if key in _CHALLENGING:
        return BestKnown(
            problem.load_bound, _CHALLENGING[key], "google/minimalloc, commit 9f5cf81, Apache-2.0"
        )
    if problem.name not in _NAMED.names or problem != load_instance(problem.name):
        return None
    if problem.name == "toy":
        return BestKnown(TOY_OPTIMUM, TOY_OPTIMUM, "solved by hand")
    if problem.name == "minimalloc-example":
        return BestKnown(EXAMPLE_OPTIMUM, EXAMPLE_OPTIMUM, "google/minimalloc, commit 9f5cf81, Apache-2.0")
    if problem.name.startswith("guillotine") and problem.capacity == problem.load_bound:
        return BestKnown(problem.capacity, problem.capacity, "optimal by construction")
    return None


def group_of(instance: AllocationProblem) -> str:
    """The set of a named instance, else its number of buffers."""
    for group, names in INSTANCE_SETS.items():
        if instance.name in names:
            return group
    return f"{instance.num_buffers} buffers"
