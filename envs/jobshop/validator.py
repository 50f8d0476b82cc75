"""The independent judge of job-shop schedules: written from the problem's definition, and from nothing else.

A schedule is feasible if every operation runs once, for its whole duration, on one of its machines, after its
job's release and after the job's previous operation has ended, and if of any two operations on a machine
one ends before the other starts. Operations of zero duration are legal; they too may not fall inside another.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.instance import ShopInstance

_COLUMNS = ("job", "task", "resource", "start", "end")
_MOST_SENTENCES = 200  # of each kind of violation: a wholly wrong schedule needs no million sentences


class _Rows(NamedTuple):
    """The table as flat int64 columns; where a row names no operation, `known` is False and `operation` 0."""

    job: NDArray[np.int64]
    task: NDArray[np.int64]
    machine: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    known: NDArray[np.bool_]
    operation: NDArray[np.int64]

    def label(self, row: int) -> str:
        return f"job {self.job[row]} task {self.task[row]}"


def validate(instance: ShopInstance, schedule: Schedule) -> int:
    """Check a schedule against its instance and compute the makespan.

    Args:
        instance: The shop, classic or flexible.
        schedule: One row per operation, in any order; `task` is the position within the job, `resource` the
            machine.

    Returns:
        The makespan in time units: the latest end of any operation.

    Raises:
        InvalidScheduleError: With one sentence for each violation.
    """
    violations = _column_violations(schedule)
    if violations:  # without five integer columns of one length nothing else can be said
        raise InvalidScheduleError(violations)
    rows = _rows(instance, schedule)
    violations += _identity_violations(instance, rows)
    violations += _place_violations(instance, rows)
    violations += _time_violations(instance, rows)
    violations += _precedence_violations(instance, rows)
    violations += _overlap_violations(rows)
    if violations:
        raise InvalidScheduleError(violations)
    return int(rows.end.max())


def _column_violations(schedule: Schedule) -> list[str]:
    violations = []
    lengths = {}
    for name in _COLUMNS:
        try:
            column = np.asarray(getattr(schedule, name))
        except ValueError:
            violations.append(f"column {name} is ragged; expected a flat array of integers")
            continue
        if column.ndim != 1:
            violations.append(f"column {name} has shape {column.shape}; expected a flat array")
        elif column.dtype.kind not in "iu":
            violations.append(f"column {name} has type {column.dtype}; expected integers")
        else:
            lengths[name] = column.size
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {size}" for name, size in lengths.items())
        violations.append(f"the columns differ in length: {shown}; expected one row per operation")
    rows = max(lengths.values(), default=0)
    if len(schedule.kind) not in (1, rows):
        violations.append(f"column kind has {len(schedule.kind)} entries; expected 1 or {rows}")
    elif any(kind != "process" for kind in schedule.kind):
        odd = next(kind for kind in schedule.kind if kind != "process")
        violations.append(f"kind {odd!r} has no meaning in a job shop; expected 'process'")
    return violations


def _rows(instance: ShopInstance, schedule: Schedule) -> _Rows:
    job, task, machine, start, end = (
        np.asarray(getattr(schedule, name)).astype(np.int64) for name in _COLUMNS
    )
    length = np.diff(instance.job_first).astype(np.int64)
    job_exists = (job >= 0) & (job < instance.num_jobs)
    safe_job = np.where(job_exists, job, 0)
    known = job_exists & (task >= 0) & (task < length[safe_job])
    operation = np.where(known, instance.job_first[safe_job] + task, 0)
    return _Rows(job, task, machine, start, end, known, operation)


def _identity_violations(instance: ShopInstance, rows: _Rows) -> list[str]:
    """Every operation exactly once, and nothing else."""
    violations = []
    length = np.diff(instance.job_first)
    for row in np.flatnonzero(~rows.known)[:_MOST_SENTENCES]:
        job, task = rows.job[row], rows.task[row]
        if not 0 <= job < instance.num_jobs:
            violations.append(f"row {row} names unknown job {job}; expected 0..{instance.num_jobs - 1}")
        else:
            violations.append(
                f"row {row} names unknown task {task} of job {job}; expected 0..{length[job] - 1}"
            )
    times = np.bincount(rows.operation[rows.known], minlength=instance.num_operations)
    for operation in np.flatnonzero(times != 1)[:_MOST_SENTENCES]:
        what = "is missing" if times[operation] == 0 else f"is scheduled {times[operation]} times"
        violations.append(f"{_name_of(instance, int(operation))} {what}; expected once")
    return violations


def _place_violations(instance: ShopInstance, rows: _Rows) -> list[str]:
    """Every operation on one of its machines, for its duration there."""
    violations = []
    exists = (rows.machine >= 0) & (rows.machine < instance.num_machines)
    match = (instance.machines[rows.operation] == rows.machine[:, None]) & exists[:, None]  # (rows, K)
    eligible = rows.known & match.any(axis=1)
    duration = np.where(match, instance.durations[rows.operation], 0).sum(axis=1)
    took = rows.end - rows.start
    for row in np.flatnonzero(~exists)[:_MOST_SENTENCES]:
        violations.append(
            f"row {row} names unknown machine {rows.machine[row]}; expected 0..{instance.num_machines - 1}"
        )
    for row in np.flatnonzero(rows.known & exists & ~eligible)[:_MOST_SENTENCES]:
        machines = [int(m) for m in instance.machines[rows.operation[row]] if m >= 0]
        violations.append(
            f"{rows.label(row)} runs on ineligible machine {rows.machine[row]}; expected one of {machines}"
        )
    for row in np.flatnonzero(eligible & (took >= 0) & (took != duration))[:_MOST_SENTENCES]:
        violations.append(
            f"{rows.label(row)} takes {took[row]} on machine {rows.machine[row]}; expected {duration[row]}"
        )
    return violations


def _time_violations(instance: ShopInstance, rows: _Rows) -> list[str]:
    """No operation before time 0, before its job's release, or backwards in time."""
    violations = []
    release = instance.release[np.where(rows.known, rows.job, 0)]
    for row in np.flatnonzero(rows.end < rows.start)[:_MOST_SENTENCES]:
        violations.append(f"{rows.label(row)} ends at {rows.end[row]}, before its start at {rows.start[row]}")
    for row in np.flatnonzero(rows.start < 0)[:_MOST_SENTENCES]:
        violations.append(f"{rows.label(row)} starts at negative time {rows.start[row]}")
    for row in np.flatnonzero(rows.known & (rows.start >= 0) & (rows.start < release))[:_MOST_SENTENCES]:
        violations.append(
            f"{rows.label(row)} starts at {rows.start[row]}, before the job's release at {release[row]}"
        )
    return violations


def _precedence_violations(instance: ShopInstance, rows: _Rows) -> list[str]:
    """The tasks of a job run one after the other."""
    row_of = np.full(instance.num_operations, -1, np.int64)
    row_of[rows.operation[rows.known]] = np.flatnonzero(rows.known)
    later = np.setdiff1d(np.arange(instance.num_operations), instance.job_first)
    later = later[(row_of[later] >= 0) & (row_of[later - 1] >= 0)]
    before, after = row_of[later - 1], row_of[later]
    too_early = np.flatnonzero(rows.start[after] < rows.end[before])[:_MOST_SENTENCES]
    return [
        f"{rows.label(after[i])} starts at {rows.start[after[i]]}, "
        f"before the job's previous task ends at {rows.end[before[i]]}"
        for i in too_early
    ]


def _overlap_violations(rows: _Rows) -> list[str]:
    """One operation at a time on a machine."""
    violations: list[str] = []
    start, end = rows.start, rows.end
    for machine in np.unique(rows.machine):
        on_it = np.flatnonzero(rows.machine == machine)
        on_it = on_it[np.lexsort((end[on_it], start[on_it]))]
        busy = on_it[0]  # the row that holds the machine longest so far
        for row in on_it[1:]:
            if start[row] < end[busy]:
                violations.append(
                    f"{rows.label(busy)} and {rows.label(row)} overlap on machine {machine}: "
                    f"[{start[busy]}, {end[busy]}) and [{start[row]}, {end[row]})"
                )
            if end[row] >= end[busy]:
                busy = row
    return violations[:_MOST_SENTENCES]


def _name_of(instance: ShopInstance, operation: int) -> str:
    job = int(np.searchsorted(instance.job_first, operation, side="right")) - 1
    return f"job {job} task {operation - int(instance.job_first[job])}"


def lower_bound(instance: ShopInstance) -> int:
    """A quick lower bound on the optimal makespan, in time units.

    The largest of: each job's release plus its shortest work; for each machine the preemptive one-machine
    bound (Jackson 1955, as in Carlier 1982) over the operations that can run nowhere else, with their heads
    and tails within the job; for flexible shops the total shortest work spread evenly over all machines.
    """
    work = (
        np.where(instance.machines >= 0, instance.durations, np.iinfo(np.int32).max)
        .min(axis=1)
        .astype(np.int64)
    )
    length = np.diff(instance.job_first)
    done = np.concatenate([[0], np.cumsum(work)])  # (num_operations + 1,) work of all operations before
    job_start = np.repeat(done[instance.job_first[:-1]], length)
    job_end = np.repeat(done[instance.job_first[1:]], length)
    head = np.repeat(instance.release, length) + done[:-1] - job_start
    tail = job_end - done[1:]
    bound = int((head + work + tail).max())
    fixed = (instance.machines >= 0).sum(axis=1) == 1
    for machine in range(instance.num_machines):
        on_it = np.flatnonzero(fixed & (instance.machines[:, 0] == machine))
        bound = max(bound, _preemptive_bound(head[on_it], work[on_it], tail[on_it]))
    spread = -(-int(work.sum()) // instance.num_machines)
    return max(bound, int(instance.release.min()) + spread)


def _preemptive_bound(head: NDArray[np.int64], work: NDArray[np.int64], tail: NDArray[np.int64]) -> int:
    """Makespan of Jackson's preemptive schedule: always the available operation with the longest tail."""
    arrivals = sorted(zip(head.tolist(), work.tolist(), tail.tolist(), strict=True))
    waiting: list[tuple[int, int]] = []  # (-tail, remaining work)
    time, best, next_arrival = 0, 0, 0
    while next_arrival < len(arrivals) or waiting:
        if not waiting:
            time = max(time, arrivals[next_arrival][0])
        while next_arrival < len(arrivals) and arrivals[next_arrival][0] <= time:
            _, remaining, after = arrivals[next_arrival]
            heapq.heappush(waiting, (-after, remaining))
            next_arrival += 1
        minus_tail, remaining = heapq.heappop(waiting)
        until = arrivals[next_arrival][0] if next_arrival < len(arrivals) else time + remaining
        step = min(remaining, until - time)
        time += step
        if step < remaining:
            heapq.heappush(waiting, (minus_tail, remaining - step))
        else:
            best = max(best, time - minus_tail)
    return best
