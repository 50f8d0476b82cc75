"""Is a schedule of a SoC feasible, and how good is it: an independent check that shares no code with the simulator.

A schedule has one row for each task that started: job, task (local number), resource (PE), start, end, kind "process".
`end` is the task's true end, beyond the horizon where the run was cut off before it; transfers follow from the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.soc.instance import SocInstance

IntArray = NDArray[np.int64]

_MOST_SENTENCES = 20
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class RunMetrics:
    """What a run amounted to, recomputed from instance and schedule.

    Attributes:
        latency: Mean over the counted jobs of min(finish, horizon) - arrival, us.
        makespan: End of the run, us: the last finish, or the horizon where it cut off some job.
        energy: pJ drawn until then; -1 without a power model.
        finish: (J,) int64, end of each job's last task, us; -1 where it is unfinished or never entered.
        admission: (J,) int64, us at which each job could enter the system at the earliest, later than its arrival only
            under a cap; -1 where it never did.
        completed: Counted jobs that finished.
        busy: (M,) int64, us that each PE ran tasks before the end of the run.
    """

    latency: float
    makespan: int
    energy: int
    finish: IntArray
    admission: IntArray
    completed: int
    busy: IntArray

    def mean_latency(self, instance: SocInstance, since: int = 0, *, from_admission: bool = False) -> float:
        """Mean latency in us of the jobs that finished at or after `since`, as DS3 reports it (NaN if there are none).

        Args:
            instance: The instance.
            since: us; jobs that finish earlier are left out.
            from_admission: Count from the entry into the system, as SoCRATES under its cap, not from the arrival.
        """
        done = (self.finish >= since) & (self.finish >= 0)
        began = self.admission if from_admission else instance.arrival
        return float((self.finish - began)[done].mean()) if done.any() else float("nan")


def validate(instance: SocInstance, schedule: Schedule) -> float:
    """The objective's value, if the schedule is feasible.

    Raises:
        InvalidScheduleError: It is not; the message says what is violated where.
    """
    metrics = measure(instance, schedule)
    return float(getattr(metrics, instance.objective))


def measure(instance: SocInstance, schedule: Schedule) -> RunMetrics:
    """All metrics of a feasible schedule.

    Raises:
        InvalidScheduleError: It is not feasible.
    """
    rows = _Rows(instance, schedule)
    violations = _identity_violations(instance, rows)
    if not violations:
        violations = _place_violations(instance, rows)
        violations += _arrival_violations(instance, rows)
        violations += _precedence_violations(instance, rows)
        violations += _overlap_violations(rows)
    if violations:
        raise InvalidScheduleError(violations)
    finish = _finishes(instance, rows)
    admission = _admissions(instance, finish)
    late = rows.start < admission[rows.job]
    if late.any():
        raise InvalidScheduleError(
            [
                f"{rows.label(row)} starts at {rows.start[row]}, before its job may enter at "
                f"{'all' if admission[rows.job[row]] == _NEVER else admission[rows.job[row]]}: "
                f"{instance.max_jobs} jobs are in the system"
                for row in np.flatnonzero(late)[:_MOST_SENTENCES]
            ]
        )
    return _metrics(instance, rows, finish, admission)


class _Rows:
    """The columns of a schedule, and the row of the instance that each of them is (or -1)."""

    def __init__(self, instance: SocInstance, schedule: Schedule) -> None:
        self.job, self.task, self.pe = schedule.job, schedule.task, schedule.resource
        self.start, self.end = schedule.start, schedule.end
        self.kinds = schedule.kinds
        first = instance.row_first.astype(np.int64)
        self.job_exists = (self.job >= 0) & (self.job < instance.num_jobs)
        job = np.where(self.job_exists, self.job, 0)
        self.known = self.job_exists & (self.task >= 0) & (self.task < first[job + 1] - first[job])
        self.number = np.where(self.known, first[job] + self.task, -1)

    def label(self, row: int | np.int64) -> str:
        return f"job {self.job[row]} task {self.task[row]}"


def _identity_violations(instance: SocInstance, rows: _Rows) -> list[str]:
    """Known jobs, tasks and PEs, no task twice, none missing."""
    violations = []
    odd = [kind for kind in rows.kinds if kind != "process"]
    if odd:
        violations.append(f"kind {odd[0]!r} has no meaning on a SoC; expected 'process'")
    for row in np.flatnonzero(~rows.known)[:_MOST_SENTENCES]:
        if not rows.job_exists[row]:
            violations.append(
                f"row {row} names unknown job {rows.job[row]}; expected 0..{instance.num_jobs - 1}"
            )
        else:
            violations.append(f"row {row} names unknown task {rows.task[row]} of job {rows.job[row]}")
    for row in np.flatnonzero((rows.pe < 0) | (rows.pe >= instance.num_pes))[:_MOST_SENTENCES]:
        violations.append(f"row {row} names unknown PE {rows.pe[row]}; expected 0..{instance.num_pes - 1}")
    times = np.bincount(rows.number[rows.known], minlength=instance.total_rows)
    jobs, first = instance.row_job, instance.row_first
    for number in np.flatnonzero(times > 1)[:_MOST_SENTENCES]:
        job = int(jobs[number])
        violations.append(
            f"job {job} task {number - first[job]} is scheduled {times[number]} times; expected once"
        )
    if not instance.horizon:
        for number in np.flatnonzero(times == 0)[:_MOST_SENTENCES]:
            job = int(jobs[number])
            violations.append(
                f"job {job} task {number - first[job]} is missing; there is no horizon to cut it off"
            )
    return violations


def _place_violations(instance: SocInstance, rows: _Rows) -> list[str]:
    """Every task on a PE that can run it, for its realised time there."""
    violations = []
    expected = instance.row_durations[rows.number, rows.pe].astype(np.int64)
    took = rows.end - rows.start
    for row in np.flatnonzero(expected < 0)[:_MOST_SENTENCES]:
        name = instance.pe_names[rows.pe[row]]
        violations.append(f"{rows.label(row)} runs on PE {rows.pe[row]} ({name}), which cannot run it")
    for row in np.flatnonzero((expected >= 0) & (took != expected))[:_MOST_SENTENCES]:
        violations.append(
            f"{rows.label(row)} takes {took[row]} us on PE {rows.pe[row]}; expected {expected[row]}"
        )
    return violations


def _arrival_violations(instance: SocInstance, rows: _Rows) -> list[str]:
    """No task before its job's arrival, or at or after the horizon."""
    arrival = instance.arrival[rows.job]
    violations = [
        f"{rows.label(row)} starts at {rows.start[row]}, before its job arrives at {arrival[row]}"
        for row in np.flatnonzero(rows.start < arrival)[:_MOST_SENTENCES]
    ]
    if instance.horizon:
        violations += [
            f"{rows.label(row)} starts at {rows.start[row]}; the run ends at {instance.horizon}"
            for row in np.flatnonzero(rows.start >= instance.horizon)[:_MOST_SENTENCES]
        ]
    return violations


def _precedence_violations(instance: SocInstance, rows: _Rows) -> list[str]:
    """All data have arrived before a task starts."""
    violations: list[str] = []
    row_of = np.full(instance.total_rows, -1, np.int64)
    row_of[rows.number] = np.arange(rows.number.size)
    first = instance.row_first.astype(np.int64)
    template_first = instance.task_first[instance.job_profile[rows.job]]
    template = template_first + rows.task
    for source, target, volume in zip(
        instance.edge_source.tolist(),
        instance.edge_target.tolist(),
        instance.edge_volume.tolist(),
        strict=True,
    ):
        after = np.flatnonzero(template == target)
        before = row_of[first[rows.job[after]] + source - template_first[after]]
        for row in after[before < 0][:_MOST_SENTENCES]:
            violations.append(
                f"{rows.label(row)} runs, but task {source - template_first[row]} before it does not"
            )
        after, before = after[before >= 0], before[before >= 0]
        bandwidth = instance.bandwidth[rows.pe[before], rows.pe[after]]
        delay = np.where(bandwidth > 0, volume // np.maximum(bandwidth, 1), 0)
        early = rows.start[after] < rows.end[before]
        waiting = ~early & (rows.start[after] < rows.end[before] + delay)
        for i in np.flatnonzero(early)[:_MOST_SENTENCES]:
            row, other = after[i], before[i]
            violations.append(
                f"{rows.label(row)} starts at {rows.start[row]}, before task {rows.task[other]} ends at {rows.end[other]}"
            )
        for i in np.flatnonzero(waiting)[:_MOST_SENTENCES]:
            row, other = after[i], before[i]
            violations.append(
                f"{rows.label(row)} starts at {rows.start[row]} on PE {rows.pe[row]}, before the data of task "
                f"{rows.task[other]} arrive from PE {rows.pe[other]} at {rows.end[other] + delay[i]}"
            )
    return violations[:_MOST_SENTENCES]


def _overlap_violations(rows: _Rows) -> list[str]:
    """One task at a time on a PE; a task of no length needs it free, too."""
    order = np.lexsort((rows.end, rows.start, rows.pe))
    violations: list[str] = []
    busy = order[0] if order.size else 0
    for row in order[1:]:
        if rows.pe[row] != rows.pe[busy]:
            busy = row
            continue
        if rows.start[row] < rows.end[busy]:
            violations.append(
                f"{rows.label(busy)} and {rows.label(row)} overlap on PE {rows.pe[row]}: "
                f"[{rows.start[busy]}, {rows.end[busy]}) and [{rows.start[row]}, {rows.end[row]})"
            )
        if rows.end[row] >= rows.end[busy]:
            busy = row
    return violations[:_MOST_SENTENCES]


def _finishes(instance: SocInstance, rows: _Rows) -> IntArray:
    """(J,) end of each job; never where a task is missing or ends after the horizon."""
    last = np.zeros(instance.num_jobs, np.int64)
    np.maximum.at(last, rows.job, rows.end)
    tasks = np.diff(instance.row_first)
    finished = np.bincount(rows.job, minlength=instance.num_jobs) == tasks
    if instance.horizon:
        finished &= last <= instance.horizon
    return np.where(finished, last, _NEVER)


def _admissions(instance: SocInstance, finish: IntArray) -> IntArray:
    """(J,) earliest entry of each job: in order, at its arrival or when fewer than the cap are unfinished."""
    admission = instance.arrival.copy()
    cap = instance.max_jobs
    if cap:
        for job in range(cap, instance.num_jobs):
            # the cap-th latest finish of the jobs before it leaves cap - 1 of them in the system
            free = int(np.partition(finish[:job], job - cap)[job - cap])
            admission[job] = max(admission[job], admission[job - 1], free)
    return admission


def _metrics(instance: SocInstance, rows: _Rows, finish: IntArray, admission: IntArray) -> RunMetrics:
    horizon = instance.horizon or _NEVER
    entered = instance.arrival < horizon
    unfinished = entered & (finish == _NEVER)
    end = horizon if unfinished.any() else int(finish[entered].max())
    age = np.minimum(finish, horizon) - instance.arrival
    counted = instance.counted
    busy = np.zeros(instance.num_pes, np.int64)
    np.add.at(busy, rows.pe, np.minimum(rows.end, end) - rows.start)
    never = (finish == _NEVER) | ~entered
    return RunMetrics(
        latency=float(age[counted].mean()),
        makespan=end,
        energy=_energy(instance, rows, end),
        finish=np.where(never, -1, finish),
        admission=np.where(admission < horizon, admission, -1),
        completed=int((counted & ~never).sum()),
        busy=busy,
    )


def _energy(instance: SocInstance, rows: _Rows, end: int) -> int:
    """Energy in pJ until the end of the run; -1 without a power model."""
    if instance.power is None:
        return -1
    draw, total = instance.power.draw, instance.power.base * end
    long = rows.end > rows.start
    for cluster in range(instance.num_clusters):
        here = long & (instance.pe_cluster[rows.pe] == cluster)
        # ends before starts, so that at no instant more PEs are busy than there are
        times = np.concatenate([np.minimum(rows.end[here], end), [0, end], rows.start[here]])
        change = np.repeat([-1, 0, 1], [int(here.sum()), 2, int(here.sum())])
        order = np.argsort(times, kind="stable")
        busy = np.cumsum(change[order])[:-1]
        total += int((draw[cluster, busy] * np.diff(times[order])).sum())
    return total
