"""Durations that rollouts draw: of the law that everybody knows of an instance, never of its own draws.

The draws are a hash of the moment, the task and a number: the same for all candidates of a decision (common random numbers,
in antithetic pairs) and in every run that gets there. A task's draw is one for all PEs, for it runs on one of them.
"""

from __future__ import annotations

import math
from typing import Final

from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.soc.simulator import await_end
from makespan.envs.soc.state import (
    ARRIVED,
    COMMITTED,
    DEVIATION,
    END,
    ENTERED,
    FIRST_END,
    ID,
    JOB_PROFILE,
    MILLION,
    NOW,
    OUTSTANDING,
    PES,
    PROFILE,
    ROW,
    RUNS,
    RUNS_UNTIL,
    START,
    STATUS,
    STOCHASTIC,
    WAITING,
    Socs,
)
from makespan.envs.soc.templates import TASK_FIRST

_WORD: Final = 2**32 - 1
_RARE: Final = 1e-300


@borrowing_kernel
def number(a: int, b: int) -> float:
    """A number in [0, 1) for each pair of small numbers, as if drawn: the same for all candidates and runs."""
    x = (a * 0x9E3779B1 + b * 0x85EBCA77 + 0x165667B1) & _WORD
    for factor in (0x2C1B3C6D, 0x297A2D39):
        x = ((x ^ (x >> 15)) * factor) & _WORD
    return (x ^ (x >> 15)) / (_WORD + 1.0)


@borrowing_kernel
def has_law(socs: Socs, b: int) -> bool:
    """Whether slot b's durations are uncertain, and how is known."""
    return socs.clock[b, STOCHASTIC] > 0 and socs.clock[b, DEVIATION] > 0


@borrowing_kernel
def _normal(tail: float) -> float:
    """The standard normal variate that is exceeded with this probability, to 0.0005 (Abramowitz & Stegun 26.2.23)."""
    t = math.sqrt(-2.0 * math.log(max(_RARE, min(tail, 1.0 - tail))))
    above = 2.515517 + t * (0.802853 + t * 0.010328)
    z = t - above / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    return z if tail < 0.5 else -z


@borrowing_kernel
def _uniform(socs: Socs, b: int, what: int, k: int) -> float:
    """Of a task (what >= 0) or a PE (-1 - p), in world k as seen from slot b now."""
    seed = socs.clock[b, NOW] + 40503 * socs.clock[b, COMMITTED] + 7919 * (k // 2)
    value = number(seed, what)
    return 1.0 - value if k % 2 else value


@borrowing_kernel
def _draw_task(socs: Socs, trial: Socs, b: int, k: int, record: int, t: int) -> None:
    factor = 1.0 + socs.clock[b, DEVIATION] / MILLION * _normal(_uniform(socs, b, record, k))
    for p in range(socs.clock[b, PES]):
        expected = socs.duration[b, t, p]
        trial.realised[0, record, p] = max(1, round(expected * factor)) if expected > 0 else expected


@borrowing_kernel
def draw_durations(socs: Socs, trial: Socs, b: int, k: int) -> None:
    """Draw, as world k, what each task takes that has arrived in slot b and not yet begun, into the trial's world."""
    clock, num_tasks = socs.clock, socs.task.shape[1] // socs.job.shape[1]
    for slot in range(socs.job.shape[1]):
        j = socs.job[b, slot, ID]
        if j >= 0:
            i = socs.job[b, slot, PROFILE]
            first = socs.profile[b, i, TASK_FIRST]
            for local in range(socs.profile[b, i + 1, TASK_FIRST] - first):
                status = socs.task[b, slot * num_tasks + local, STATUS]
                if OUTSTANDING <= status <= WAITING:
                    _draw_task(socs, trial, b, k, socs.arrival[b, j, ROW] + local, first + local)
    for j in range(clock[b, ENTERED], clock[b, ARRIVED]):
        i = socs.arrival[b, j, JOB_PROFILE]
        first = socs.profile[b, i, TASK_FIRST]
        for local in range(socs.profile[b, i + 1, TASK_FIRST] - first):
            _draw_task(socs, trial, b, k, socs.arrival[b, j, ROW] + local, first + local)


@borrowing_kernel
def draw_ends(trial: Socs, k: int) -> None:
    """Draw, as world k, when the trial's running tasks end, given that they have not ended yet."""
    clock, pe, task = trial.clock, trial.pe, trial.task
    now, deviation = clock[0, NOW], clock[0, DEVIATION] / MILLION
    clock[0, FIRST_END] = -1
    for p in range(clock[0, PES]):
        row = pe[0, p, RUNS]
        if row >= 0:
            start, expected = task[0, row, START], task[0, row, END] - task[0, row, START]
            least = (now + 0.5 - start - expected) / (max(1, expected) * deviation)
            longer = 0.5 * math.erfc(least / math.sqrt(2.0))  # probability that it is still running now
            z = _normal(longer * _uniform(trial, 0, -1 - p, k))
            pe[0, p, RUNS_UNTIL] = max(now + 1, start + round(expected * (1.0 + deviation * z)))
            await_end(trial, 0, p)


@borrowing_kernel
def expect_ends(trial: Socs) -> None:
    """Let every task of the trial take its expected time; a running one that is late ends within the next microsecond."""
    clock, pe = trial.clock, trial.pe
    clock[0, STOCHASTIC], clock[0, FIRST_END] = 0, -1
    for p in range(clock[0, PES]):
        if pe[0, p, RUNS] >= 0:
            pe[0, p, RUNS_UNTIL] = max(clock[0, NOW] + 1, trial.task[0, pe[0, p, RUNS], END])
            await_end(trial, 0, p)
