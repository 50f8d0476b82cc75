"""Seeded distributions over flexible job shops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from makespan.envs.jobshop.generator_base import Int32Array, ShopSize, check_ranges, layout
from makespan.envs.jobshop.instance import ShopInstance


def _eligible_machines(
    rng: np.random.Generator, rows: int, num_machines: int, most: int
) -> tuple[Int32Array, NDArray[np.bool_]]:
    """U{1..most} random machines for each of `rows` operations, sorted, and which columns hold one."""
    count = rng.integers(1, most + 1, (rows, 1), dtype=np.int32)
    _, identity = layout(rows, num_machines)
    used = identity < count
    machines = rng.permuted(identity, axis=1)
    machines[~used] = num_machines  # sorts behind every machine
    machines.sort(axis=1)
    return machines, used


def _shop(
    first: Int32Array, machines: Int32Array, durations: Int32Array, used: NDArray[np.bool_], num_machines: int
) -> ShopInstance:
    machines[~used] = -1
    durations[~used] = 0
    width = int(used.sum(axis=1).max())
    return ShopInstance(first, machines[:, :width], durations[:, :width], num_machines)


@dataclass(frozen=True)
class FlexibleShop:
    """Flexible job shops as in the two synthetic sets of the learning literature.

    `sd1` (Song et al. 2022): U{0.8 m .. 1.2 m} operations a job, each eligible on U{1..m} random machines, with a mean
    duration U{1..20} and durations uniform within 20 % of it (rounded, kept within 1..20).
    `sd2` (Wang et al. 2023, DANIEL): m operations a job, each eligible on U{1..m} random machines, durations U{1..99}
    drawn independently for each machine.
    The papers' prose leaves details open; this is our reading of them and of the DANIEL authors' public generator.

    Attributes:
        num_jobs: Jobs of a shop.
        num_machines: Machines m.
        variant: "sd1" or "sd2".
    """

    num_jobs: int = 10
    num_machines: int = 5
    variant: Literal["sd1", "sd2"] = "sd1"

    def __post_init__(self) -> None:
        check_ranges(self, num_jobs=(1, np.inf), num_machines=(1, np.inf))
        if self.variant not in ("sd1", "sd2"):
            raise ValueError(f"FlexibleShop.variant: {self.variant!r}; expected 'sd1' or 'sd2'")

    @property
    def _lengths(self) -> tuple[int, int]:
        if self.variant == "sd2":
            return self.num_machines, self.num_machines
        return max(1, int(0.8 * self.num_machines)), max(1, int(1.2 * self.num_machines))

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        return ShopSize(self.num_jobs, self.num_machines, self.num_jobs * self._lengths[1], self.num_machines)

    def sample(self, rng: np.random.Generator) -> ShopInstance:
        """Draw a shop."""
        shortest, longest = self._lengths
        first = np.zeros(self.num_jobs + 1, np.int32)
        np.cumsum(rng.integers(shortest, longest + 1, self.num_jobs), out=first[1:])
        rows, m = int(first[-1]), self.num_machines
        machines, used = _eligible_machines(rng, rows, m, m)
        if self.variant == "sd2":
            durations = rng.integers(1, 100, (rows, m), dtype=np.int32)
        else:
            mean = rng.integers(1, 21, (rows, 1))
            low = np.maximum(1, np.rint(0.8 * mean)).astype(np.int32)
            high = np.minimum(20, np.rint(1.2 * mean)).astype(np.int32)
            durations = rng.integers(low, high + 1, (rows, m), dtype=np.int32)
        return _shop(first, machines, durations, used, m)


@dataclass(frozen=True)
class BrandimarteShop:
    """Flexible job shops in the manner of Brandimarte's set (1993, mk01-mk15), with the ranges drawn anew for each shop.

    A shop draws a most number of alternatives U{2..max_alternatives}, a longest duration U{6..20}, a shortest duration
    U{1..5}, and the range of its jobs' lengths within `min_length..max_length`; an operation then has U{1..most} eligible
    machines with a duration drawn independently for each. The ranges cover those of mk01-mk10.

    Attributes:
        num_jobs: Jobs of a shop.
        num_machines: Machines of a shop.
        min_length: Fewest operations of a job.
        max_length: Most operations of a job.
        max_alternatives: Most eligible machines of an operation.
    """

    num_jobs: int = 10
    num_machines: int = 6
    min_length: int = 3
    max_length: int = 15
    max_alternatives: int = 6

    def __post_init__(self) -> None:
        check_ranges(self, num_jobs=(1, np.inf), num_machines=(2, np.inf), min_length=(1, np.inf))
        check_ranges(self, max_length=(self.min_length, np.inf), max_alternatives=(2, np.inf))

    @property
    def _most(self) -> int:
        return min(self.max_alternatives, self.num_machines)

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        return ShopSize(self.num_jobs, self.num_machines, self.num_jobs * self.max_length, self._most)

    def sample(self, rng: np.random.Generator) -> ShopInstance:
        """Draw a shop."""
        most, longest = int(rng.integers(2, self._most + 1)), int(rng.integers(6, 21))
        shortest = int(rng.integers(1, 6))
        low, high = np.sort(rng.integers(self.min_length, self.max_length + 1, 2))
        first = np.zeros(self.num_jobs + 1, np.int32)
        np.cumsum(rng.integers(low, high + 1, self.num_jobs), out=first[1:])
        machines, used = _eligible_machines(rng, int(first[-1]), self.num_machines, most)
        durations = rng.integers(shortest, longest + 1, machines.shape, dtype=np.int32)
        return _shop(first, machines, durations, used, self.num_machines)
