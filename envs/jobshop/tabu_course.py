"""What the tabu searches on classic and flexible shops have in common: limits, and walks in slices."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.validator import lower_bound

IntArray = NDArray[np.int64]
NOISE: Final = 0.3  # sigma of the log-normal noise that makes the first schedules differ


@dataclass(frozen=True, slots=True)
class Limits:
    """The options of `TabuSearchSolver`, with the defaults filled in."""

    max_iterations: int | None
    patience: int
    population: int
    tenure: int

    @property
    def spread(self) -> int:
        """Most moves by which a tenure is drawn longer."""
        return self.tenure * 2 // 3


class Course(ABC):
    """One run on one instance: walks that share an iteration limit and a deadline.

    Args:
        instance: The shop.
        seed: Seed of everything random in the run.
        limits: Options of the search.
        slice_length: Moves between two looks at the clock.
    """

    def __init__(self, instance: ShopInstance, seed: int, limits: Limits, slice_length: int) -> None:
        self.instance = instance
        self.limits = limits
        self.slice_length = max(slice_length, 20)
        self.lower = lower_bound(instance)
        self.rng = np.random.default_rng(seed)
        self.random = self.rng.integers(1, 2**63, 1, dtype=np.uint64)  # the kernels' own state
        self.iterations = 0

    @abstractmethod
    def _slice(self, iterations: int) -> bool:
        """Walk on for so many moves; whether the walk ended before."""

    def _walk_in_slices(self, counters: IntArray, deadline: float) -> None:
        """Walk until the walk ends or a limit is reached; `counters[0]` counts the walk's moves."""
        ended = False
        while not ended:
            before = int(counters[0])
            count = self.slice_length
            if self.limits.max_iterations is not None:
                count = max(min(count, self.limits.max_iterations - self.iterations), 0)
            ended = self._slice(count) or count < self.slice_length or time.monotonic() >= deadline
            self.iterations += max(
                int(counters[0]) - before, 1
            )  # a walk without a move must end some day too

    def _is_over(self, makespan: int, deadline: float) -> bool:
        limit = self.limits.max_iterations
        spent = limit is not None and self.iterations >= limit
        return spent or makespan <= self.lower or time.monotonic() >= deadline


def starts_and_columns(instance: ShopInstance, schedule: Schedule) -> tuple[IntArray, IntArray]:
    """Start time and chosen alternative of each operation, (N,) each, of a feasible schedule."""
    operation = instance.job_first[schedule.job] + schedule.task
    starts = np.zeros(instance.num_operations, np.int64)
    columns = np.zeros(instance.num_operations, np.int64)
    starts[operation] = schedule.start
    columns[operation] = (instance.machines[operation] == schedule.resource[:, None]).argmax(axis=1)
    return starts, columns
