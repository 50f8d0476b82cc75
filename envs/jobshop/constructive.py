"""What the solvers share: schedules made from starts, and checks of what they are given."""

from __future__ import annotations

import numpy as np
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
