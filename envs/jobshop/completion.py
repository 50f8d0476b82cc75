"""The best completion of a partly built job shop: the past stays as it is, CP-SAT arranges the rest.

Schedules are built forwards, as in the simulator: what is still to come runs on a machine after everything
that is already there, even where the past left a gap.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.constructive import check_time_limit, schedule_of
from makespan.envs.jobshop.instance import ShopInstance

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

IntArray = NDArray[np.int64]


def complete(instance: ShopInstance, past: Schedule, time_limit_s: float = 10.0, seed: int = 0) -> Schedule:
    """The best schedule found that keeps the past and puts the other operations after it.

    One search thread: reproducible unless the time limit cuts it off. However short the time, the result is
    feasible and no worse than non-delay dispatching by SPT/TWKR from here on.

    Args:
        instance: The shop, classic or flexible.
        past: What has been scheduled: the first operations of each job.
        time_limit_s: Wall-clock seconds for the search, model building included.
        seed: Seed of the search.

    Raises:
        InvalidScheduleError: The past is no beginning of a schedule of the instance. Whether its times are
            feasible is for the validator to say.
    """
    check_time_limit(time_limit_s)
    began = time.monotonic()
    rest = _rest_of(instance, past)
    start, column = _dispatch(rest)
    makespan = _makespan(instance, start, column)
    if makespan > rest.lower_bound:
        model = _Model(rest, makespan)
        model.add_hint(start, column, makespan)
        start, column = model.search(time_limit_s - (time.monotonic() - began), seed) or (start, column)
    return schedule_of(instance, start, column)


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is left to do, and from when on.

    Attributes:
        instance: The whole shop.
        start: (num_operations,) start of each operation of the past; -1 elsewhere.
        column: (num_operations,) alternative it took.
        upcoming: (num_jobs,) next operation of each job; the next job's first one if it is done.
        job_ready: (num_jobs,) end of the job's past, or its release.
        machine_ready: (num_machines,) end of the machine's past.
        shortest: (num_operations,) duration on the fastest machine.
        lower_bound: Of the makespan of any completion.
    """

    instance: ShopInstance
    start: IntArray
    column: IntArray
    upcoming: IntArray
    job_ready: IntArray
    machine_ready: IntArray
    shortest: IntArray
    lower_bound: int

    def alternatives(self, operation: int) -> list[tuple[int, int]]:
        """(machine, duration) pairs of an operation."""
        row = zip(self.instance.machines[operation], self.instance.durations[operation], strict=True)
        return [(int(machine), int(duration)) for machine, duration in row if machine >= 0]

    def jobs(self) -> list[range]:
        """The remaining operations of each job."""
        ends = self.instance.job_first[1:]
        return [range(int(first), int(end)) for first, end in zip(self.upcoming, ends, strict=True)]


def _rest_of(instance: ShopInstance, past: Schedule) -> _Rest:
    start, column = _placed(instance, past)
    length = np.diff(instance.job_first)
    job_ready = instance.release.astype(np.int64)
    machine_ready = np.zeros(instance.num_machines, np.int64)
    np.maximum.at(job_ready, past.job, past.end)
    np.maximum.at(machine_ready, past.resource, past.end)
    shortest = np.where(instance.machines >= 0, instance.durations, np.iinfo(np.int32).max).min(axis=1)
    job = np.repeat(np.arange(instance.num_jobs), length)
    left = start < 0
    job_bound = job_ready + np.bincount(job, shortest * left, instance.num_jobs).astype(np.int64)
    fixed = left & ((instance.machines >= 0).sum(axis=1) == 1)
    only = np.bincount(instance.machines[fixed, 0], instance.durations[fixed, 0], instance.num_machines)
    bound = max(job_bound.max(), (machine_ready + only.astype(np.int64)).max(), past.makespan)
    upcoming = instance.job_first[:-1] + np.bincount(past.job, minlength=instance.num_jobs)
    return _Rest(
        instance, start, column, upcoming, job_ready, machine_ready, shortest.astype(np.int64), int(bound)
    )


def _placed(instance: ShopInstance, past: Schedule) -> tuple[IntArray, IntArray]:
    """Start and alternative of the past's operations, after checking that it is a beginning."""
    start = np.full(instance.num_operations, -1, np.int64)
    column = np.zeros(instance.num_operations, np.int64)
    violations = []
    rows = zip(
        past.job.tolist(), past.task.tolist(), past.resource.tolist(), past.start.tolist(), strict=True
    )
    for job, task, machine, begin in rows:
        if not 0 <= job < instance.num_jobs:
            violations.append(f"unknown job {job}; expected 0..{instance.num_jobs - 1}")
            continue
        operation = instance.job_first[job] + task
        if not instance.job_first[job] <= operation < instance.job_first[job + 1] or start[operation] >= 0:
            violations.append(f"job {job} task {task} is unknown or scheduled twice")
            continue
        there = np.flatnonzero(instance.machines[operation] == machine)
        if machine < 0 or not there.size or begin < 0:
            violations.append(
                f"job {job} task {task} starts at {begin} on machine {machine}, where it cannot"
            )
            continue
        start[operation], column[operation] = begin, there[0]
        if task > 0 and not np.isin(task - 1, past.task[past.job == job]):
            violations.append(f"job {job} task {task} is scheduled, but not the one before it")
    if violations:
        raise InvalidScheduleError(violations)
    return start, column


def _makespan(instance: ShopInstance, start: IntArray, column: IntArray) -> int:
    return int((start + instance.durations[np.arange(instance.num_operations), column]).max())


def _dispatch(rest: _Rest) -> tuple[IntArray, IntArray]:
    """Starts and alternatives of all: the rest by SPT/TWKR among what can start first."""
    start, column = rest.start.copy(), rest.column.copy()
    job_ready, machine_ready = rest.job_ready.tolist(), rest.machine_ready.tolist()
    waiting = {job: operations for job, operations in enumerate(rest.jobs()) if operations}
    alternatives = [rest.alternatives(operation) for operation in range(rest.instance.num_operations)]
    while waiting:
        options = []
        for job, operations in waiting.items():
            work = max(1, int(rest.shortest[operations.start : operations.stop].sum()))
            for k, (machine, duration) in enumerate(alternatives[operations.start]):
                begin = max(job_ready[job], machine_ready[machine])
                options.append((begin, duration / work, job, k, machine, duration))
        begin, _, job, k, machine, duration = min(options)
        operations = waiting.pop(job)
        start[operations.start], column[operations.start] = begin, k
        job_ready[job] = machine_ready[machine] = begin + duration
        if len(operations) > 1:
            waiting[job] = operations[1:]
    return start, column


class _Model:
    """The constraint model of the rest: intervals of what is left, no machine before its past has ended."""

    def __init__(self, rest: _Rest, upper: int) -> None:
        from ortools.sat.python import cp_model

        self.rest = rest
        self.model = cp_model.CpModel()
        self.makespan = self.model.new_int_var(rest.lower_bound, upper, "makespan")
        self.starts: dict[int, cp_model.IntVar] = {}
        self.choices: dict[int, list[cp_model.IntVar]] = {}  # of operations with several alternatives
        on_machine: list[list[cp_model.IntervalVar]] = [[] for _ in range(rest.instance.num_machines)]
        for job, operations in enumerate(rest.jobs()):
            head, tail = (
                int(rest.job_ready[job]),
                int(rest.shortest[operations.start : operations.stop].sum()),
            )
            end: cp_model.LinearExprT = head
            for operation in operations:
                self.starts[operation] = self.model.new_int_var(head, upper - tail, "")
                self.model.add(self.starts[operation] >= end)
                end = self._add_alternatives(operation, head, on_machine)
                head += int(rest.shortest[operation])
                tail -= int(rest.shortest[operation])
            self.model.add(self.makespan >= end)
        for intervals in on_machine:
            self.model.add_no_overlap(intervals)
        self.model.minimize(self.makespan)

    def _add_alternatives(
        self, operation: int, head: int, on_machine: list[list[cp_model.IntervalVar]]
    ) -> cp_model.LinearExprT:
        """Add an operation's intervals; returns its end."""
        start, alternatives = self.starts[operation], self.rest.alternatives(operation)
        ready = self.rest.machine_ready
        if len(alternatives) == 1:
            machine, duration = alternatives[0]
            self.model.add(start >= int(ready[machine]))
            on_machine[machine].append(self.model.new_fixed_size_interval_var(start, duration, ""))
            return start + duration
        choice = [self.model.new_bool_var("") for _ in alternatives]
        for chosen, (machine, duration) in zip(choice, alternatives, strict=True):
            interval = self.model.new_optional_fixed_size_interval_var(start, duration, chosen, "")
            on_machine[machine].append(interval)
            if ready[machine] > head:
                self.model.add(start >= int(ready[machine])).only_enforce_if(chosen)
        self.model.add_exactly_one(choice)
        self.choices[operation] = choice
        durations = [duration for _, duration in alternatives]
        return start + sum(d * c for d, c in zip(durations, choice, strict=True))

    def add_hint(self, start: IntArray, column: IntArray, makespan: int) -> None:
        """Hand the search a completion."""
        for operation, variable in self.starts.items():
            self.model.add_hint(variable, int(start[operation]))
        for operation, choice in self.choices.items():
            for k, chosen in enumerate(choice):
                self.model.add_hint(chosen, int(k == column[operation]))
        self.model.add_hint(self.makespan, makespan)

    def search(self, seconds: float, seed: int) -> tuple[IntArray, IntArray] | None:
        """Starts and alternatives of the best completion found, or None."""
        from ortools.sat.python import cp_model

        search = cp_model.CpSolver()
        search.parameters.max_time_in_seconds = max(seconds, 0.01)
        search.parameters.num_workers = 1
        search.parameters.random_seed = seed
        if search.solve(self.model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        start, column = self.rest.start.copy(), self.rest.column.copy()
        for operation, variable in self.starts.items():
            start[operation] = search.value(variable)
        for operation, choice in self.choices.items():
            column[operation] = next(k for k, chosen in enumerate(choice) if search.value(chosen))
        return start, column
