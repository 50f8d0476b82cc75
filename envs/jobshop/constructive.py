"""What the solvers share: a first schedule by non-delay dispatching, and checks of what they are given."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.instance import ShopInstance

IntArray = NDArray[np.int64]


def check_time_limit(time_limit_s: float) -> None:
    """Refuse a time limit that no solver can keep; raises ValueError."""
    if not time_limit_s > 0:
        raise ValueError(f"time_limit_s: {time_limit_s}; expected seconds > 0")


def check_classic(instance: ShopInstance, solver: str) -> None:
    """Refuse a flexible shop; raises InvalidInstanceError, which says what the solver supports."""
    if instance.is_flexible:
        raise InvalidInstanceError(
            f"instance {instance.name!r}: operations have a choice of machines; {solver} supports one "
            "machine per operation, with ragged jobs, release dates and zero durations; try cp_sat"
        )


def dispatch(instance: ShopInstance, rng: np.random.Generator | None = None, noise: float = 0.0) -> Schedule:
    """A non-delay schedule by SPT/TWKR: of those that can start first, smallest p / remaining work.

    Args:
        instance: The shop, classic or flexible.
        rng: Source of the noise; needed only if `noise` is positive.
        noise: Sigma of the log-normal noise on the priorities.
    """
    factor = np.ones(instance.machines.shape)
    if noise > 0.0 and rng is not None:
        factor = np.exp(noise * rng.standard_normal(instance.machines.shape))
    start, column = _dispatch(
        instance.job_first,
        instance.machines,
        instance.durations,
        instance.release,
        instance.num_machines,
        factor,
    )
    return schedule_of(instance, start, column)


def schedule_of(instance: ShopInstance, start: IntArray, column: IntArray | None = None) -> Schedule:
    """The schedule in which each operation starts at `start` on the machine in its alternative `column`.

    Args:
        instance: The shop.
        start: (num_operations,) time units.
        column: (num_operations,) index into the operation's alternatives; the first one if left out.
    """
    every = np.arange(instance.num_operations)
    column = np.zeros(instance.num_operations, np.int64) if column is None else column
    job = np.repeat(np.arange(instance.num_jobs), np.diff(instance.job_first))
    start = start.astype(np.int64)
    return Schedule(
        job=job.astype(np.int64),
        task=(every - instance.job_first[job]).astype(np.int64),
        resource=instance.machines[every, column].astype(np.int64),
        start=start,
        end=start + instance.durations[every, column],
        name=instance.name,
    )


@njit(cache=True, nogil=True)
def _dispatch(
    job_first: NDArray[np.int32],
    machines: NDArray[np.int32],
    durations: NDArray[np.int32],
    release: NDArray[np.int32],
    num_machines: int,
    factor: NDArray[np.float64],
) -> tuple[IntArray, IntArray]:
    num_jobs = release.size
    num_operations, width = machines.shape
    start = np.zeros(num_operations, np.int64)
    column = np.zeros(num_operations, np.int64)
    job_free = release.astype(np.int64)
    machine_free = np.zeros(num_machines, np.int64)
    upcoming = job_first[:-1].copy()  # next operation of each job
    remaining = np.zeros(num_operations + 1)  # shortest work from an operation to the end of its job
    for job in range(num_jobs):
        work = 0.0
        for operation in range(job_first[job + 1] - 1, job_first[job] - 1, -1):
            shortest = durations[operation, 0]
            for k in range(1, width):
                if machines[operation, k] >= 0:
                    shortest = min(shortest, durations[operation, k])
            work += shortest
            remaining[operation] = work
    for _ in range(num_operations):
        best_job, best_column, best_time, best_priority = -1, -1, 0, 0.0
        for job in range(num_jobs):
            operation = upcoming[job]
            if operation == job_first[job + 1]:
                continue
            for k in range(width):
                machine = machines[operation, k]
                if machine < 0:
                    break
                time = max(job_free[job], machine_free[machine])
                priority = factor[operation, k] * durations[operation, k] / max(remaining[operation], 1.0)
                if best_job < 0 or time < best_time or (time == best_time and priority < best_priority):
                    best_job, best_column, best_time, best_priority = job, k, time, priority
        operation = upcoming[best_job]
        start[operation] = best_time
        column[operation] = best_column
        job_free[best_job] = best_time + durations[operation, best_column]
        machine_free[machines[operation, best_column]] = job_free[best_job]
        upcoming[best_job] += 1
    return start, column
