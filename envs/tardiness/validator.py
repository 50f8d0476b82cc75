"""The independent judge of single-machine schedules."""

from __future__ import annotations

import numpy as np

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.tardiness.instance import TardinessInstance


def validate(instance: TardinessInstance, schedule: Schedule) -> int:
    """Check a schedule against its instance and compute the total tardiness.

    Args:
        instance: The jobs.
        schedule: One row a job, in any order; `task` and `resource` are 0. Idle time is legal.

    Returns:
        The total tardiness in time units.

    Raises:
        InvalidScheduleError: With one sentence for each violation.
    """
    violations = [
        f"kind {kind!r} has no meaning here; expected 'process'"
        for kind in set(schedule.kinds)
        if kind != "process"
    ]
    rows = sorted(zip(schedule.start.tolist(), schedule.end.tolist(), schedule.job.tolist(), strict=True))
    if schedule.task.any() or schedule.resource.any():
        violations.append("a row names another task or machine than 0")
    seen: set[int] = set()
    free, total = 0, 0
    for start, end, job in rows:
        if not 0 <= job < instance.num_jobs:
            violations.append(f"a row names job {job}; expected 0..{instance.num_jobs - 1}")
            continue
        if job in seen:
            violations.append(f"job {job} is scheduled twice; expected once")
        seen.add(job)
        if start < free:
            what = "before time 0" if free == 0 else f"while the machine is busy until {free}"
            violations.append(f"job {job} starts at {start}, {what}")
        if end - start != instance.processing[job]:
            violations.append(f"job {job} takes {end - start}; expected {instance.processing[job]}")
        free = max(free, end)
        total += max(0, end - int(instance.due[job]))
    violations += [f"job {job} is missing" for job in range(instance.num_jobs) if job not in seen]
    if violations:
        raise InvalidScheduleError(violations)
    return total


def lower_bound(instance: TardinessInstance) -> int:
    """A quick lower bound: the k-th job is done no earlier than the k shortest, and due dates are matched in order."""
    end = np.sort(instance.processing).astype(np.int64).cumsum()
    return int(np.maximum(0, end - np.sort(instance.due)).sum())
