"""The independent judge of blocking-shop schedules: written from the problem's definition, and from nothing else.

A "process" row says when an operation enters its machine and when it is completed. It is right if the operation
enters a machine that
is up, after its release and after the job's previous operation has been completed, and is completed at the first moment at which
its work is done. The job then holds the machine until its next operation enters; a "blocked" row says so. Of two jobs on
a machine one has left when the other enters. Without swaps, jobs that move at the same moment can be put in an order
in which each enters a machine that is empty. "down" rows are the machines' downtime before the makespan.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from typing import NamedTuple

from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop import validator as classic

KINDS = ("process", "blocked", "down")


class _Visit(NamedTuple):
    """A job's stay on a machine for one operation."""

    job: int
    task: int
    machine: int
    start: int
    end: int
    leave: int
    final: bool

    @property
    def label(self) -> str:
        return f"job {self.job} task {self.task}"


def validate(instance: BlockingShopInstance, schedule: Schedule) -> int:
    """Check a complete schedule against its instance and compute the makespan.

    Args:
        instance: The shop.
        schedule: Rows of the kinds "process" (one an operation), "blocked" and "down", in any order.

    Returns:
        The makespan in time units: the latest completion.

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
    rows = {kind: [tuple(row[1:]) for row in table if row[0] == kind] for kind in KINDS}
    visits, missing = _visits(instance, rows["process"])
    violations += missing
    if violations:  # what follows looks at every job's whole way through the shop
        raise InvalidScheduleError(violations)
    makespan = max(visit.end for visit in visits)
    violations += _completion_violations(instance, visits)
    violations += _blocked_violations(visits, rows["blocked"])
    violations += _down_violations(instance, visits, rows["down"], makespan)
    violations += _overlap_violations(visits)
    if not instance.swap and not violations:
        violations += _swap_violations(instance, visits)
    if violations:
        raise InvalidScheduleError(violations)
    return makespan


def lower_bound(instance: BlockingShopInstance) -> int:
    """A quick lower bound on the optimal makespan, in time units: that of the job shop with room between machines."""
    return classic.lower_bound(instance.shop)


def _visits(instance: BlockingShopInstance, rows: list[tuple[int, ...]]) -> tuple[list[_Visit], list[str]]:
    """Each job's visits, task after task, and what is missing, strange or on the wrong machine."""
    first, machines = instance.shop.job_first.tolist(), instance.shop.machines[:, 0].tolist()
    found: dict[tuple[int, int], tuple[int, ...]] = {}
    violations = []
    for job, task, *rest in rows:
        if not (0 <= job < instance.num_jobs and 0 <= task < first[job + 1] - first[job]):
            violations.append(f"a row names job {job} task {task}, which the shop does not have")
        elif (job, task) in found:
            violations.append(f"job {job} task {task} is scheduled twice; expected once")
        elif rest[0] != machines[first[job] + task]:
            violations.append(
                f"job {job} task {task} runs on machine {rest[0]}; expected {machines[first[job] + task]}"
            )
        else:
            found[job, task] = tuple(rest)
    visits = []
    for job in range(instance.num_jobs):
        length = first[job + 1] - first[job]
        for task in range(length):
            if (job, task) not in found:
                violations.append(f"job {job} task {task} is missing; expected once")
                continue
            machine, start, end = found[job, task]
            following = found.get((job, task + 1), (0, end, 0))
            visits.append(_Visit(job, task, machine, start, end, following[1], task + 1 == length))
    return visits, list(dict.fromkeys(violations))


def _windows(instance: BlockingShopInstance) -> dict[int, list[tuple[int, int]]]:
    windows: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for machine, start, end in instance.down.tolist():
        windows[machine].append((start, end))
    return windows


def _completion_violations(instance: BlockingShopInstance, visits: list[_Visit]) -> list[str]:
    """Every operation enters when it may, and is completed when its work is done."""
    violations, windows = [], _windows(instance)
    shop = instance.shop
    for visit in visits:
        operation = int(shop.job_first[visit.job]) + visit.task
        work = int(shop.durations[operation, 0])
        if visit.start < int(shop.release[visit.job]):
            violations.append(f"{visit.label} starts at {visit.start}, before its job's release")
        if visit.leave < visit.end:
            violations.append(f"{visit.label} is left at {visit.leave}, before its completion at {visit.end}")
        down = windows[visit.machine]
        if any(start <= visit.start < end for start, end in down):
            violations.append(
                f"{visit.label} enters machine {visit.machine} at {visit.start}, while it is down"
            )
        length = int(instance.stop_length[operation])
        if length:
            opens = visit.start + int(instance.stop_after[operation])
            down = [(opens, opens + length)]
        expected = _completion(visit.start, work, down, instance.repeat)
        if visit.end != expected:
            violations.append(
                f"{visit.label} starts at {visit.start} and ends at {visit.end}; its work is done at {expected}"
            )
    return violations


def _completion(start: int, work: int, down: list[tuple[int, int]], repeat: bool) -> int:
    """First moment at which `work` units are done without a break (`repeat`), or in all, between the windows."""
    done, time = 0, start
    for opens, closes in down:
        if closes <= start:
            continue
        stretch = opens - time
        if done + stretch >= work:
            break
        done = 0 if repeat else done + stretch
        time = closes
    return time + work - done


def _blocked_violations(visits: list[_Visit], rows: list[tuple[int, ...]]) -> list[str]:
    expected: Counter[tuple[int, ...]] = Counter(
        (v.job, v.task, v.machine, v.end, v.leave) for v in visits if v.leave > v.end
    )
    return _difference("blocked", expected, Counter(rows))


def _down_violations(
    instance: BlockingShopInstance, visits: list[_Visit], rows: list[tuple[int, ...]], makespan: int
) -> list[str]:
    expected: Counter[tuple[int, ...]] = Counter(
        (-1, -1, machine, start, end) for machine, start, end in instance.down.tolist() if start < makespan
    )
    for visit in visits:
        operation = int(instance.shop.job_first[visit.job]) + visit.task
        length = int(instance.stop_length[operation])
        if length:
            opens = visit.start + int(instance.stop_after[operation])
            expected[-1, -1, visit.machine, opens, opens + length] += 1
    return _difference("down", expected, Counter(rows))


def _difference(kind: str, expected: Counter[tuple[int, ...]], found: Counter[tuple[int, ...]]) -> list[str]:
    """What rows of one kind lack or have too much."""
    sentences = []
    for what, rows in (("is missing", expected - found), ("has no reason", found - expected)):
        for job, task, machine, start, end in rows:
            who = f" of job {job} task {task}" if job >= 0 else ""
            sentences.append(f"the {kind} row{who} on machine {machine}, {start} to {end}, {what}")
    return sentences


def _overlap_violations(visits: list[_Visit]) -> list[str]:
    """Of two visits to a machine one is over when the other begins."""
    violations = []
    on_machine: dict[int, list[_Visit]] = defaultdict(list)
    for visit in visits:
        on_machine[visit.machine].append(visit)
    for machine, stays in on_machine.items():
        stays.sort(key=lambda visit: (visit.start, visit.leave))
        busy = stays[0]  # the visit that lasts longest so far
        for visit in stays[1:]:
            if visit.start < busy.leave:
                violations.append(
                    f"{busy.label} and {visit.label} overlap on machine {machine}: "
                    f"[{busy.start}, {busy.leave}) and [{visit.start}, {visit.leave})"
                )
            if visit.leave >= busy.leave:
                busy = visit
    return violations


def _swap_violations(instance: BlockingShopInstance, visits: list[_Visit]) -> list[str]:
    """Moves at one moment must have an order in which each machine is empty when it is entered."""
    moves: dict[int, dict[int, list[_Visit]]] = defaultdict(lambda: defaultdict(list))
    for visit in visits:
        moves[visit.start][visit.job].append(visit)
    changes = sorted(
        [(v.start, 1, v) for v in visits] + [(v.leave, 0, v) for v in visits if v.leave > v.start]
    )
    holder: dict[int, int] = {}  # machine -> job, just before the moment
    violations = []
    for time, group in itertools.groupby(changes, key=lambda change: change[0]):
        here = list(group)
        gone = {v.job for _, begins, v in here if not begins and v.final}
        before = {machine: job for machine, job in holder.items() if job not in gone}
        if not _orderable(before, moves[time]):
            jobs = ", ".join(str(job) for job in sorted(moves[time]))
            violations.append(f"jobs {jobs} move at {time}, which is impossible without a swap")
        for _, begins, visit in here:
            if not begins and holder.get(visit.machine) == visit.job:
                del holder[visit.machine]
        for _, begins, visit in here:
            if begins and visit.leave > visit.start:
                holder[visit.machine] = visit.job
    return violations


def _orderable(holder: dict[int, int], moves: dict[int, list[_Visit]]) -> bool:
    """Whether the moves can be made one by one: a search over how far each job has got."""
    jobs = sorted(moves)
    place = {job: machine for machine, job in holder.items()}
    seen: set[tuple[int, ...]] = set()
    open_states = [(0,) * len(jobs)]
    while open_states:
        state = open_states.pop()
        if all(done == len(moves[job]) for job, done in zip(jobs, state, strict=True)):
            return True
        if state in seen:
            continue
        seen.add(state)
        now = dict(place)
        for job, done in zip(jobs, state, strict=True):
            if done:
                last = moves[job][done - 1]
                now.pop(job, None)
                if not (last.final and last.leave == last.start):
                    now[job] = last.machine
        for position, job in enumerate(jobs):
            done = state[position]
            if done == len(moves[job]):
                continue
            target = moves[job][done].machine
            if all(machine != target for other, machine in now.items() if other != job):
                open_states.append((*state[:position], done + 1, *state[position + 1 :]))
    return False
