"""Exact dynamic programming over sets of jobs, and iterated local search."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.policy import Solution
from makespan.envs.core.schedule import Schedule
from makespan.envs.tardiness.heuristics import construct, total_tardiness
from makespan.envs.tardiness.instance import TardinessInstance
from makespan.envs.tardiness.validator import lower_bound, validate

Int64Array = NDArray[np.int64]
MOST_JOBS: Final = 25  # 2^25 values of 4 bytes


def schedule_of(instance: TardinessInstance, sequence: Int64Array) -> Schedule:
    """The schedule that runs the jobs in a sequence without idle time."""
    end: Int64Array = instance.processing[sequence].astype(np.int64).cumsum()
    zeros = np.zeros(len(sequence), np.int64)
    return Schedule(sequence, zeros, zeros, end - instance.processing[sequence], end, name=instance.name)


@njit(cache=True, nogil=True)
def _best_of_sets(
    processing: NDArray[np.int32], due: NDArray[np.int32], best: NDArray[np.int32]
) -> Int64Array:
    """Fill `best` (2^n,): smallest total tardiness of each set of jobs run first; returns an optimal sequence."""
    n = processing.size
    half = (n + 1) // 2
    low, high = np.zeros(1 << half, np.int64), np.zeros(1 << (n - half), np.int64)
    for part, offset in ((low, 0), (high, half)):  # work of a set: two look-ups
        for members in range(1, part.size):
            job = 0
            while not members >> job & 1:
                job += 1
            part[members] = part[members & (members - 1)] + processing[offset + job]
    best[0] = 0
    for members in range(1, best.size):
        end = low[members & (low.size - 1)] + high[members >> half]
        value = np.int64(2**31 - 1)
        for job in range(n):
            bit = 1 << job
            if members & bit:
                value = min(value, best[members ^ bit] + max(0, end - due[job]))
        best[members] = value
    sequence, members = np.zeros(n, np.int64), best.size - 1
    for place in range(n - 1, -1, -1):
        end = low[members & (low.size - 1)] + high[members >> half]
        for job in range(n):
            bit = 1 << job
            if members & bit and best[members] == best[members ^ bit] + max(0, end - due[job]):
                sequence[place] = job
                members ^= bit
                break
    return sequence


@dataclass(frozen=True)
class DynamicProgrammingSolver:
    """Held & Karp (1962), Lawler (1964): the best order of each set of jobs that may come first; at most 25 jobs."""

    def solve(self, instance: TardinessInstance, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """An optimal sequence.

        Args:
            instance: At most 25 jobs.
            time_limit_s: Unused: the method cannot stop early; 25 jobs take seconds.
            seed: Unused.

        Raises:
            InvalidInstanceError: There are more jobs, or a total tardiness that does not fit 31 bits.
        """
        if instance.num_jobs > MOST_JOBS:
            raise InvalidInstanceError(
                f"{instance.num_jobs} jobs; dynamic programming takes at most {MOST_JOBS}"
            )
        worst = int((int(instance.processing.sum()) - np.minimum(instance.due, 0).astype(np.int64)).sum())
        if worst >= 2**31:
            raise InvalidInstanceError(
                f"total tardiness up to {worst}; dynamic programming takes less than 2^31"
            )
        best = np.zeros(1 << instance.num_jobs, np.int32)
        schedule = schedule_of(instance, _best_of_sets(instance.processing, instance.due, best))
        value = validate(instance, schedule)
        return Solution(schedule, value, value, "optimal")


@njit(cache=True, nogil=True)
def _descend(processing: NDArray[np.int32], due: NDArray[np.int32], sequence: Int64Array, value: int) -> int:
    """Move single jobs to better places until none improves; the sequence in place, its total tardiness returned."""
    n = sequence.size
    trial, improved = np.zeros(n, np.int64), True
    while improved:
        improved = False
        for source in range(n):
            for target in range(n):
                if source == target:
                    continue
                job, place = sequence[source], 0
                for other in range(n):
                    if place == target:
                        trial[place] = job
                        place += 1
                    if other != source:
                        trial[place] = sequence[other]
                        place += 1
                if place == target:
                    trial[place] = job
                changed = total_tardiness(processing, due, trial, n)
                if changed < value:
                    value, improved = changed, True
                    sequence[:] = trial
    return value


@dataclass(frozen=True)
class LocalSearchSolver:
    """Iterated local search: insertion descent from the augmented MDDC sequence, then from random exchanges of the best.

    Attributes:
        exchanges: Pairs of jobs exchanged before each further descent.
    """

    exchanges: int = 3

    def solve(self, instance: TardinessInstance, time_limit_s: float = 1.0, seed: int = 0) -> Solution:
        """The best sequence found in the time.

        Args:
            instance: The instance.
            time_limit_s: Wall-clock seconds; one descent is always made.
            seed: Seed of the exchanges.
        """
        if not time_limit_s > 0:
            raise ValueError(f"time_limit_s: {time_limit_s}; expected seconds > 0")
        began, rng = time.monotonic(), np.random.default_rng(seed)
        processing, due, bound = instance.processing, instance.due, lower_bound(instance)
        best = construct(processing, due, True, True)
        value = _descend(processing, due, best, total_tardiness(processing, due, best, best.size))
        while value > bound and time.monotonic() - began < time_limit_s and best.size > 2:
            trial = best.copy()
            for _ in range(self.exchanges):
                one, other = rng.integers(best.size, size=2)
                trial[[one, other]] = trial[[other, one]]
            changed = _descend(processing, due, trial, total_tardiness(processing, due, trial, trial.size))
            if changed <= value:
                best, value = trial, changed
        schedule = schedule_of(instance, best)
        return Solution(
            schedule, validate(instance, schedule), bound, "optimal" if value == bound else "feasible"
        )
