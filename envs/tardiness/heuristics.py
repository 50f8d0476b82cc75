"""Constructive heuristics for total tardiness, as sequences of jobs.

Those that choose a job from what is unscheduled are also dispatching rules (`rules.py`), which tests compare with these; the
augmented ones and Wilkerson & Irwin's go back on earlier choices.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]


@njit(cache=True, nogil=True)
def total_tardiness(
    processing: NDArray[np.int32], due: NDArray[np.int32], sequence: Int64Array, length: int
) -> int:
    """Total tardiness of the first `length` jobs of a sequence."""
    time, total = 0, 0
    for place in range(length):
        time += processing[sequence[place]]
        total += max(0, time - due[sequence[place]])
    return total


@njit(cache=True, nogil=True)
def mdd_choice(
    processing: NDArray[np.int32], due: NDArray[np.int32], done: NDArray[np.bool_], time: int
) -> int:
    """The unscheduled job of smallest modified due date max(t + p, d); ties to the lower job (Baker & Bertrand 1982)."""
    best, chosen = 0, -1
    for job in range(processing.size):
        if not done[job]:
            modified = max(time + processing[job], due[job])
            if chosen < 0 or modified < best:
                best, chosen = modified, job
    return chosen


@njit(cache=True, nogil=True)
def mddc_choice(
    processing: NDArray[np.int32], due: NDArray[np.int32], done: NDArray[np.bool_], time: int
) -> int:
    """The unscheduled job of smallest MDDC score; ties to the shorter, then the lower job (arXiv 2510.24013).

    With mu = max(1.1 p + t, d), rho = min(p / (t + max p), 1) and theta = rho^2 / (1 + rho^2): mu (1 + theta) + p / (t + mean p),
    maximum and mean over the unscheduled. The printed fraction theta can also be read as 1 + rho^2.
    """
    longest, total, count = 0, 0, 0
    for job in range(processing.size):
        if not done[job]:
            longest = max(longest, processing[job])
            total += processing[job]
            count += 1
    best, chosen = 0.0, -1
    for job in range(processing.size):
        if done[job]:
            continue
        p = processing[job]
        mu = max(1.1 * p + time, float(due[job]))
        rho = min(p / (time + longest), 1.0)
        score = mu * (1.0 + rho * rho / (1.0 + rho * rho)) + p / (time + total / count)
        if chosen < 0 or score < best or (score == best and p < processing[chosen]):
            best, chosen = score, job
    return chosen


@njit(cache=True, nogil=True)
def construct(
    processing: NDArray[np.int32], due: NDArray[np.int32], corrected: bool, augmented: bool
) -> Int64Array:
    """The sequence of MDD, or of MDDC (`corrected`), one job after the other.

    `augmented`: after each append, every earlier job in turn is moved to the end of the partial sequence if that makes its total
    tardiness smaller.
    """
    n = processing.size
    sequence, done, trial = np.zeros(n, np.int64), np.zeros(n, np.bool_), np.zeros(n, np.int64)
    time = 0
    for length in range(n):
        choice = (
            mddc_choice(processing, due, done, time) if corrected else mdd_choice(processing, due, done, time)
        )
        sequence[length] = choice
        done[choice] = True
        time += processing[choice]
        if not augmented:
            continue
        best, place = total_tardiness(processing, due, sequence, length + 1), 0
        while place < length:
            trial[:place] = sequence[:place]
            trial[place:length] = sequence[place + 1 : length + 1]
            trial[length] = sequence[place]
            value = total_tardiness(processing, due, trial, length + 1)
            if value < best:
                best = value
                sequence[: length + 1] = trial[: length + 1]
            else:
                place += 1
    return sequence


def wilkerson_irwin(processing: NDArray[np.int32], due: NDArray[np.int32]) -> Int64Array:
    """The sequence of Wilkerson & Irwin (1971), Management Science 17(12), after its descriptions in the literature.

    Jobs come in order of due dates. Of two adjacent jobs that may start at t the one of earlier due date goes first if
    t + max p <= max d, else the shorter one. A job that would go before one already placed is moved forward past as many as it
    goes before; those come after it in order of due dates again. No exchange of adjacent jobs then improves the sequence.
    """
    waiting = sorted(range(processing.size), key=lambda job: (due[job], processing[job], job))
    placed: list[int] = []
    time = 0
    pivot = waiting.pop(0)
    while waiting:
        rival = waiting.pop(0)
        if _precedes(processing, due, pivot, rival, time):
            placed.append(pivot)
            time += int(processing[pivot])
            pivot = rival
            continue
        _put_back(waiting, due, processing, pivot)
        pivot = rival
        while placed:
            before = time - int(processing[placed[-1]])
            if _precedes(processing, due, placed[-1], pivot, before):
                break
            _put_back(waiting, due, processing, placed.pop())
            time = before
    return np.array([*placed, pivot], np.int64)


def _precedes(processing: NDArray[np.int32], due: NDArray[np.int32], one: int, other: int, time: int) -> bool:
    """Whether `one` goes first of two jobs at `time`; ties leave it first."""
    if time + max(processing[one], processing[other]) <= max(due[one], due[other]):
        return bool(due[one] <= due[other])
    return bool(processing[one] <= processing[other])


def _put_back(waiting: list[int], due: NDArray[np.int32], processing: NDArray[np.int32], job: int) -> None:
    key = (due[job], processing[job], job)
    place = sum((due[other], processing[other], other) < key for other in waiting)
    waiting.insert(place, job)
