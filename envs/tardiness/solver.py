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
def best_of_rest(processing: NDArray[np.int32], due: NDArray[np.int32], best: NDArray[np.int32]) -> None:
    """Fill `best` (2^n,): smallest total tardiness of each set of jobs (bit j: job j) that is run last."""
    n = processing.size
    half = (n + 1) // 2
    low, high = np.zeros(1 << half, np.int64), np.zeros(1 << (n - half), np.int64)
    for part, offset in ((low, 0), (high, half)):  # work of a set: two look-ups
        for members in range(1, part.size):
            job = 0
            while not members >> job & 1:
                job += 1
            part[members] = part[members & (members - 1)] + processing[offset + job]
    total = low[-1] + high[-1]
    best[0] = 0
    for members in range(1, best.size):
        now = total - low[members & (low.size - 1)] - high[members >> half]
        value = np.int64(2**31 - 1)
        for job in range(n):
            bit = 1 << job
            if members & bit:
                value = min(value, best[members ^ bit] + max(0, now + processing[job] - due[job]))
        best[members] = value


@njit(cache=True, nogil=True)
def best_choice(
    processing: NDArray[np.int32], due: NDArray[np.int32], best: NDArray[np.int32], members: int, now: int
) -> int:
    """The job of a set run last that is optimal at its head; of several the one of smallest modified due date, then the shortest.

    The ties are broken by what a dispatcher sees, so that whoever imitates the choices can learn how.
    """
    chosen, value, modified = -1, 0, 0
    for job in range(processing.size):
        bit = 1 << job
        if not members & bit:
            continue
        own = best[members ^ bit] + max(0, now + processing[job] - due[job])
        own_modified = max(now + processing[job], due[job])
        better = chosen < 0 or own < value
        if not better and own == value:
            better = own_modified < modified or (
                own_modified == modified and processing[job] < processing[chosen]
            )
        if better:
            chosen, value, modified = job, own, own_modified
    return chosen


def table_of_rests(instance: TardinessInstance) -> NDArray[np.int32]:
    """Smallest total tardiness (2^n,) of each set of an instance's jobs (bit j: job j) that is run last.

    Raises:
        InvalidInstanceError: There are more than 25 jobs, or a total tardiness that does not fit 31 bits.
    """
    if instance.num_jobs > MOST_JOBS:
        raise InvalidInstanceError(f"{instance.num_jobs} jobs; dynamic programming takes at most {MOST_JOBS}")
    worst = int((int(instance.processing.sum()) - np.minimum(instance.due, 0).astype(np.int64)).sum())
    if worst >= 2**31:
        raise InvalidInstanceError(f"total tardiness up to {worst}; dynamic programming takes less than 2^31")
    best = np.zeros(1 << instance.num_jobs, np.int32)
    best_of_rest(instance.processing, instance.due, best)
    return best


@dataclass(frozen=True)
class DynamicProgrammingSolver:
    """Held & Karp (1962), Lawler (1964): the best order of each set of jobs that may come last; at most 25 jobs."""

    def solve(self, instance: TardinessInstance, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """An optimal sequence.

        Args:
            instance: At most 25 jobs.
            time_limit_s: Unused: the method cannot stop early; 25 jobs take seconds.
            seed: Unused.

        Raises:
            InvalidInstanceError: There are more jobs, or a total tardiness that does not fit 31 bits.
        """
        best = table_of_rests(instance)
        members, now, sequence = best.size - 1, 0, np.zeros(instance.num_jobs, np.int64)
        for place in range(instance.num_jobs):
            job = best_choice(instance.processing, instance.due, best, members, now)
            sequence[place] = job
            members, now = members ^ 1 << job, now + int(instance.processing[job])
        schedule = schedule_of(instance, sequence)
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
