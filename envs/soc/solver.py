"""CP-SAT on a SoC: all jobs known at once, or solved anew at each arrival."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass

import numpy as np

from makespan.envs.core.policy import Solution, Status
from makespan.envs.core.schedule import Schedule
from makespan.envs.soc.bounds import lower_bound
from makespan.envs.soc.cp_model import Task, improve, plan_value
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.plan_kernels import Plan
from makespan.envs.soc.planning import Gate, IntArray, Planner, busy_until, execute
from makespan.envs.soc.static_schedulers import METHODS
from makespan.envs.soc.validator import validate


@dataclass(frozen=True)
class CPSATSolver:
    """OR-Tools' CP-SAT with every arrival and realised duration known: the clairvoyant optimum, where it is proved.

    One worker with a fixed seed is reproducible unless the time limit cuts it off; several workers are not. The search
    starts from the best static list schedule.

    Attributes:
        workers: Search threads; None for one per processor.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: {self.workers}; expected at least 1, or None for one per processor")

    def solve(self, instance: SocInstance, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The best schedule found in the time, with the bound that CP-SAT proved.

        Args:
            instance: The instance; its objective is the latency or the makespan.
            time_limit_s: Wall-clock seconds, model building included; the list schedules, a moment's work, are not.
            seed: Seed of the search.

        Raises:
            ValueError: The objective is the energy, which the model does not have, or the time limit is not positive.
        """
        _check(instance, time_limit_s)
        first, value = best_list_schedule(instance)
        began = time.monotonic()  # the kernels of the list schedulers may have had to be compiled
        least = lower_bound(instance)
        if value <= least:
            return Solution(first, value, least, "optimal")
        task, hint = _whole_task(instance, first)
        left = time_limit_s - (time.monotonic() - began)
        answer = improve(task, hint, seconds=left, workers=self.workers or os.cpu_count() or 1, seed=seed)
        schedule = execute(instance, answer.plan)
        found = validate(instance, schedule)
        if found > value:
            schedule, found = first, value
        bound = max(least, _objective(instance, answer.bound))
        status: Status = "optimal" if bound >= found - 1e-9 else "feasible"
        return Solution(schedule, found, found if status == "optimal" else bound, status)


@dataclass(frozen=True)
class RollingCPSAT:
    """CP-SAT solved anew at each arrival, for all jobs that are there, with what has started as given.

    It sees neither later arrivals nor realised durations before a task ends, and may leave a PE idle on purpose.
    The limit of each solve is deterministic, so that results do not depend on the machine.

    Attributes:
        effort: CP-SAT's deterministic time for each solve.
        workers: Search threads of each solve; results are reproducible with one only.
    """

    effort: float = 0.5
    workers: int = 1

    def __post_init__(self) -> None:
        if not self.effort > 0 or self.workers < 1:
            raise ValueError(
                f"effort {self.effort}, workers {self.workers}; expected effort > 0, workers >= 1"
            )

    def solve(self, instance: SocInstance, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The schedule that re-planning makes; past the time limit plans are those of the list schedulers.

        Args:
            instance: The instance; its objective is the latency or the makespan.
            time_limit_s: Wall-clock seconds for all solves together.
            seed: Seed of the searches.

        Raises:
            ValueError: As `CPSATSolver.solve`.
        """
        _check(instance, time_limit_s)
        run, until = _Run(instance), np.inf
        while run.next_event():
            task = run.open_task()
            if task.rows.size == 0:
                continue
            plan = list_plan(run.planner, task)
            # counted from the first plan on, before which kernels may have had to be compiled
            until = min(until, time.monotonic() + time_limit_s)
            left = until - time.monotonic()
            if left > 0:
                plan = improve(
                    task, plan, seconds=left, deterministic=self.effort, workers=self.workers, seed=seed
                ).plan
            run.plan = plan
        schedule = execute(instance, run.plan, run.decided)
        return Solution(schedule, validate(instance, schedule), lower_bound(instance), "feasible")


class _Run:
    """A run under plans that change at arrivals: what has started, and what is known of it."""

    def __init__(self, instance: SocInstance) -> None:
        self.instance = instance
        self.planner = Planner(instance)
        self.plan = self.planner.empty_plan()
        self.decided = np.zeros(instance.total_rows, np.int64)
        self.now = -1
        self._known = np.zeros(instance.num_jobs, np.bool_)
        self._true = self.planner.empty_plan()

    def next_event(self) -> bool:
        """Move on to the next arrival (under a cap: entry of a job); whether there is one."""
        instance = self.instance
        self._true = true_plan(instance, self.plan, self.decided)
        left = np.flatnonzero(~self._known & _entered(instance))
        if left.size == 0:
            return False
        gate, first = Gate(instance), instance.row_first
        for job in np.flatnonzero(self._known).tolist():
            for end in self._true.end[first[job] : first[job + 1]].tolist():
                gate.finish_task(job, end)
        self.now = max(self.now, gate.admission(int(left[0])))
        if instance.max_jobs:
            self._known[left[0]] = True
        else:
            self._known |= instance.arrival <= self.now
        return True

    def open_task(self) -> Task:
        """The rows that have not started, with what is known now of the others."""
        instance, true = self.instance, self._true
        started = (self.plan.pe >= 0) & (true.start < self.now)
        expected = instance.durations[instance.row_task, np.maximum(true.pe, 0)]
        # a task that runs longer than expected is taken to end any moment
        end = np.where(true.end <= self.now, true.end, np.maximum(true.start + expected, self.now + 1))
        given = Plan(
            np.where(started, true.pe, -1).astype(np.int32),
            np.where(started, true.start, 0),
            np.where(started, end, 0),
        )
        free = np.full(instance.num_pes, self.now, np.int64)
        np.maximum.at(free, given.pe[started], given.end[started])
        rows = np.flatnonzero(self._known[instance.row_job] & ~started)
        release = np.maximum(instance.arrival, self.now)
        self.decided[rows] = self.now
        return Task(instance, rows, instance.durations[instance.row_task], given, free, release)


def true_plan(instance: SocInstance, plan: Plan, decided: IntArray) -> Plan:
    """When the planned rows really start and end if nothing is planned anew."""
    schedule = execute(instance, plan, decided)
    rows = instance.row_first[schedule.job] + schedule.task
    start, end = plan.start.copy(), plan.end.copy()
    start[rows], end[rows] = schedule.start, schedule.end
    return Plan(plan.pe.copy(), start, end)


def plan_of(instance: SocInstance, schedule: Schedule) -> Plan:
    """A schedule as a plan; rows that it lacks have no place."""
    plan = Planner(instance).empty_plan()
    rows = instance.row_first[schedule.job] + schedule.task
    plan.pe[rows], plan.start[rows], plan.end[rows] = schedule.resource, schedule.start, schedule.end
    return plan


def best_list_schedule(instance: SocInstance) -> tuple[Schedule, float]:
    """The best of the static list schedulers' schedules, and its objective."""
    schedules = (
        execute(instance, method(jointly).plan(instance))
        for method in METHODS.values()
        for jointly in (True, False)
    )
    return min(((s, validate(instance, s)) for s in schedules), key=lambda pair: pair[1])


def list_plan(planner: Planner, task: Task) -> Plan:
    """The best plan of an open task that HEFT, PEFT, lookahead and the matching list schedulers build, by its value."""
    plans = []
    for extend in (planner.heft, planner.peft, planner.lookahead):
        plan = _copy(task.given)
        extend(plan, busy_until(task.free, task.rows.size), task.rows, task.release)
        plans.append(plan)
    jobs = np.unique(planner.instance.row_job[task.rows])
    in_order = np.isin(planner.rows_of(jobs), task.rows)
    rows = planner.rows_of(jobs)[in_order]
    for name in ("min_min", "mct", "sufferage"):
        plan = _copy(task.given)
        planner.match(name, plan, task.free.copy(), rows, task.release)
        plans.append(plan)
    return min(plans, key=lambda plan: plan_value(task, plan))


def _copy(plan: Plan) -> Plan:
    return Plan(plan.pe.copy(), plan.start.copy(), plan.end.copy())


def _whole_task(instance: SocInstance, first: Schedule) -> tuple[Task, Plan]:
    """All rows that a run may have, with their realised durations, and a schedule of them as a hint."""
    rows = np.flatnonzero(_entered(instance)[instance.row_job])
    planner, nothing = Planner(instance), np.zeros(instance.num_pes, np.int64)
    given, capped = planner.empty_plan(), instance.max_jobs > 0
    task = Task(instance, rows, instance.row_durations, given, nothing, instance.arrival, capped)
    return task, _complete(planner, task, plan_of(instance, first))


def _complete(planner: Planner, task: Task, plan: Plan) -> Plan:
    """A plan with places for the rows that a horizon cut off, after everything else."""
    missing = task.rows[plan.pe[task.rows] < 0]
    if missing.size:
        free = np.full(planner.instance.num_pes, plan.end.max(initial=0), np.int64)
        release = np.maximum(task.release, plan.end.max(initial=0))
        planner.heft(plan, busy_until(free, missing.size), missing, release)
        for row in missing.tolist():  # HEFT plans with the expected durations
            plan.end[row] = plan.start[row] + task.durations[row, plan.pe[row]]
    return plan


def _entered(instance: SocInstance) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(J,) jobs that arrive before the horizon."""
    return instance.arrival < (instance.horizon or 2**62)


def _objective(instance: SocInstance, value: int) -> float:
    """The instance's objective for a value of the model."""
    if instance.objective == "makespan":
        return float(value)
    counted = instance.counted
    return (value - int(instance.arrival[counted].sum())) / int(counted.sum())


def _check(instance: SocInstance, time_limit_s: float) -> None:
    if instance.objective == "energy":
        raise ValueError("objective: 'energy'; CP-SAT expects 'latency' or 'makespan'")
    if not (time_limit_s > 0 and math.isfinite(time_limit_s)):
        raise ValueError(f"time_limit_s: {time_limit_s}; expected seconds > 0")


__all__ = [
    "CPSATSolver",
    "IntArray",
    "RollingCPSAT",
    "best_list_schedule",
    "list_plan",
    "plan_of",
    "true_plan",
]
