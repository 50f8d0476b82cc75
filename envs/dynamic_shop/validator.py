"""The independent judge of dynamic-shop schedules: written from the problem's definition, and from nothing else.

A "process" row says when an operation begins and ends on a machine. It is right if the machine is eligible and up at the
beginning, the job has arrived and its previous operation has ended, and the row ends at the first moment at which the realised
work is done, downtime left out. A machine processes one operation at a time. All operations of counted jobs are there; of other
jobs the first ones may be. "down" rows are the machines' downtime before the last end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.dynamic_shop.instance import DynamicShopInstance

KINDS = ("process", "down")


class _Row(NamedTuple):
    """An operation's time on a machine."""

    job: int
    task: int
    machine: int
    start: int
    end: int

    @property
    def label(self) -> str:
        return f"job {self.job} task {self.task}"


def validate(instance: DynamicShopInstance, schedule: Schedule) -> int:
    """Check a schedule against its instance and compute the objective.

    Args:
        instance: The shop.
        schedule: Rows of the kinds "process" and "down", in any order.

    Returns:
        The instance's objective over the counted jobs: total weighted tardiness, total flow time, or the latest completion.

    Raises:
        InvalidScheduleError: With one sentence for each violation.
    """
    violations = [
        f"kind {kind!r} has no meaning here; expected {', '.join(KINDS)}"
        for kind in set(schedule.kinds)
        if kind not in KINDS
    ]
    columns = (schedule.job, schedule.task, schedule.resource, schedule.start, schedule.end)
    table = list(zip(schedule.kinds, *(column.tolist() for column in columns), strict=True))
    rows = [_Row(*row[1:]) for row in table if row[0] == "process"]
    down = [tuple(row[1:]) for row in table if row[0] == "down"]
    found, odd = _by_operation(instance, rows)
    violations += odd
    if violations:  # what follows looks at every job's whole way
        raise InvalidScheduleError(violations)
    completion, missing = _route_violations(instance, found)
    violations += missing
    violations += _work_violations(instance, found)
    violations += _overlap_violations(found)
    violations += _down_violations(instance, down, max(row.end for row in found.values()))
    if violations:
        raise InvalidScheduleError(violations)
    return _objective(instance, completion)


def lower_bound(instance: DynamicShopInstance) -> int:
    """The objective if no job ever waited and no machine broke down, each operation on its fastest machine."""
    completion = {}
    for job in range(instance.num_jobs):
        end = int(instance.shop.release[job])
        for operation in range(int(instance.shop.job_first[job]), int(instance.shop.job_first[job + 1])):
            end += min(_options(instance, operation).values())
        completion[job] = end
    return _objective(instance, completion)


def _objective(instance: DynamicShopInstance, completion: dict[int, int]) -> int:
    counted = range(instance.warm_up, instance.num_jobs - instance.cool_down)
    if instance.objective == "makespan":
        return max(completion[job] for job in counted)
    if instance.objective == "flow_time":
        return sum(completion[job] - int(instance.shop.release[job]) for job in counted)
    return sum(
        int(instance.weight[job]) * max(0, completion[job] - int(instance.due[job])) for job in counted
    )


def _options(instance: DynamicShopInstance, operation: int) -> dict[int, int]:
    """Eligible machine -> realised duration."""
    machines, realised = instance.shop.machines[operation].tolist(), instance.realised[operation].tolist()
    return {machine: work for machine, work in zip(machines, realised, strict=True) if machine >= 0}


def _by_operation(
    instance: DynamicShopInstance, rows: list[_Row]
) -> tuple[dict[tuple[int, int], _Row], list[str]]:
    """Rows by job and task, and what is strange about them."""
    first = instance.shop.job_first.tolist()
    found: dict[tuple[int, int], _Row] = {}
    violations = []
    for row in rows:
        if not (0 <= row.job < instance.num_jobs and 0 <= row.task < first[row.job + 1] - first[row.job]):
            violations.append(f"a row names {row.label}, which the shop does not have")
        elif (row.job, row.task) in found:
            violations.append(f"{row.label} is scheduled twice; expected at most once")
        else:
            eligible = _options(instance, first[row.job] + row.task)
            if row.machine not in eligible:
                violations.append(
                    f"{row.label} runs on machine {row.machine}; expected one of {sorted(eligible)}"
                )
            found[row.job, row.task] = row
    if not found and not violations:
        violations.append("no operation is scheduled")
    return found, violations


def _route_violations(
    instance: DynamicShopInstance, found: dict[tuple[int, int], _Row]
) -> tuple[dict[int, int], list[str]]:
    """Completion of each job that is done; jobs that are incomplete, early, or out of order."""
    completion, violations = {}, []
    for job in range(instance.num_jobs):
        length = int(instance.shop.job_first[job + 1] - instance.shop.job_first[job])
        counted = instance.warm_up <= job < instance.num_jobs - instance.cool_down
        time, what = int(instance.shop.release[job]), "its job's arrival"
        there = [task for task in range(length) if (job, task) in found]
        if counted and len(there) < length:
            gap = next(task for task in range(length) if (job, task) not in found)
            violations.append(f"job {job} task {gap} is missing; job {job} is counted")
        elif there != list(range(len(there))):
            violations.append(f"job {job} has tasks {there}; expected the first ones without a gap")
        for task in there:
            row = found[job, task]
            if row.start < time:
                violations.append(f"{row.label} begins at {row.start}, before {what} at {time}")
            time, what = row.end, "the end of the task before"
        if len(there) == length:
            completion[job] = time
    return completion, violations


def _work_violations(instance: DynamicShopInstance, found: dict[tuple[int, int], _Row]) -> list[str]:
    """Every operation begins on a machine that is up, and ends when its work is done."""
    windows: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for machine, start, end in instance.down.tolist():
        windows[machine].append((start, end))
    violations = []
    for row in found.values():
        work = _options(instance, int(instance.shop.job_first[row.job]) + row.task)[row.machine]
        time = row.start
        for opens, closes in sorted(windows[row.machine]):
            if opens <= row.start < closes:
                violations.append(f"{row.label} begins at {row.start}, while machine {row.machine} is down")
            if closes <= row.start:
                continue
            if opens - time >= work:
                break
            work -= opens - time
            time = closes
        if row.end != time + work:
            violations.append(f"{row.label} ends at {row.end}; its work is done at {time + work}")
    return violations


def _overlap_violations(found: dict[tuple[int, int], _Row]) -> list[str]:
    """A machine processes one operation at a time."""
    violations = []
    on_machine: dict[int, list[_Row]] = defaultdict(list)
    for row in found.values():
        on_machine[row.machine].append(row)
    for machine, rows in on_machine.items():
        rows.sort(key=lambda row: (row.start, row.end))
        busy = rows[0]  # the row that lasts longest so far
        for row in rows[1:]:
            if row.start < busy.end:
                violations.append(f"{busy.label} and {row.label} overlap on machine {machine}")
            if row.end >= busy.end:
                busy = row
    return violations


def _down_violations(instance: DynamicShopInstance, rows: list[tuple[int, ...]], last: int) -> list[str]:
    """The "down" rows are the windows that begin before the last end."""
    expected: Counter[tuple[int, ...]] = Counter(
        (-1, -1, m, start, end) for m, start, end in instance.down.tolist() if start < last
    )
    found = Counter(rows)
    sentences = []
    for what, odd in (("is missing", expected - found), ("has no reason", found - expected)):
        sentences += [f"the down row on machine {m}, {start} to {end}, {what}" for _, _, m, start, end in odd]
    return sentences
