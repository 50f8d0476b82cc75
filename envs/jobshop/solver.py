"""CP-SAT on the job shop: interval variables, no overlap on a machine, a hint, and a proved bound."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.policy import Solution, Status
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.constructive import check_time_limit, schedule_of
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.rollout import first_schedule
from makespan.envs.jobshop.validator import lower_bound, validate

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class CPSATSolver:
    """OR-Tools' CP-SAT on the classic or flexible job shop (Perron & Furnon, OR-Tools).

    One worker with a fixed seed is reproducible unless the time limit cuts it off; several workers are not.

    Attributes:
        workers: Search threads; None for one per processor.
        hint: First schedule handed to the search where `solve` is given none: "spt_twkr" (non-delay
            dispatching) or None. Either way that schedule's makespan bounds the search from above, and it is
            what is returned if the search finds nothing in time.
    """

    workers: int | None = None
    hint: Literal["spt_twkr"] | None = "spt_twkr"

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: {self.workers}; expected at least 1, or None for one per processor")
        if self.hint not in ("spt_twkr", None):
            raise ValueError(f"hint: {self.hint!r}; expected 'spt_twkr' or None")

    def solve(
        self, instance: ShopInstance, time_limit_s: float = 60.0, seed: int = 0, hint: Schedule | None = None
    ) -> Solution:
        """The best schedule found in the time, with the bound that CP-SAT proved.

        Args:
            instance: The shop.
            time_limit_s: Wall-clock seconds, model building included.
            seed: Seed of the search.
            hint: A feasible schedule to start from; InvalidScheduleError if it is not.
        """
        check_time_limit(time_limit_s)
        began = time.monotonic()
        first = first_schedule(instance)
        upper = validate(instance, first)
        if hint is not None and (hint_makespan := validate(instance, hint)) <= upper:
            first, upper = hint, hint_makespan
        lower = lower_bound(instance)
        if upper == lower:
            return Solution(first, upper, lower, "optimal")
        shop = _Model(instance, lower, upper)
        if hint is not None or self.hint is not None:
            shop.add_hint(hint if hint is not None else first)
        return self._search(shop, first, time_limit_s - (time.monotonic() - began), seed)

    def _search(self, shop: _Model, first: Schedule, seconds: float, seed: int) -> Solution:
        from ortools.sat.python import cp_model

        search = cp_model.CpSolver()
        search.parameters.max_time_in_seconds = max(seconds, 0.01)
        search.parameters.num_workers = self.workers or os.cpu_count() or 1
        search.parameters.random_seed = seed
        answer = search.solve(shop.model)
        found = answer in (cp_model.OPTIMAL, cp_model.FEASIBLE)
        bound = max(shop.lower, int(np.ceil(search.best_objective_bound - 1e-6))) if found else shop.lower
        schedule = shop.read(search) if found else first
        makespan = int(schedule.end.max())
        status: Status = "optimal" if answer == cp_model.OPTIMAL or bound >= makespan else "feasible"
        return Solution(schedule, makespan, makespan if status == "optimal" else bound, status)


class _Model:
    """The constraint model: a start for each operation, an optional interval for each of its alternatives."""

    def __init__(self, instance: ShopInstance, lower: int, upper: int) -> None:
        from ortools.sat.python import cp_model

        self.instance = instance
        self.lower = lower
        self.model = cp_model.CpModel()
        self.makespan = self.model.new_int_var(lower, upper, "makespan")
        self.starts: list[cp_model.IntVar] = []
        self.choices: list[list[cp_model.IntVar]] = []  # empty where an operation has one alternative
        on_machine: list[list[cp_model.IntervalVar]] = [[] for _ in range(instance.num_machines)]
        heads, tails = _heads_and_tails(instance)
        for operation in range(instance.num_operations):
            start = self.model.new_int_var(int(heads[operation]), upper - int(tails[operation]), "")
            self.starts.append(start)
            self._add_alternatives(operation, on_machine)
        for job in range(instance.num_jobs):
            first, end = int(instance.job_first[job]), int(instance.job_first[job + 1])
            for operation in range(first, end - 1):
                self.model.add(self.starts[operation + 1] >= self._end(operation))
            self.model.add(self.makespan >= self._end(end - 1))
        for intervals in on_machine:
            self.model.add_no_overlap(intervals)
        self.model.minimize(self.makespan)

    def _add_alternatives(self, operation: int, on_machine: list[list[cp_model.IntervalVar]]) -> None:
        machines, durations = self._alternatives(operation)
        start = self.starts[operation]
        if len(machines) == 1:
            on_machine[machines[0]].append(self.model.new_fixed_size_interval_var(start, durations[0], ""))
            self.choices.append([])
            return
        choice = [self.model.new_bool_var("") for _ in machines]
        for chosen, machine, duration in zip(choice, machines, durations, strict=True):
            on_machine[machine].append(
                self.model.new_optional_fixed_size_interval_var(start, duration, chosen, "")
            )
        self.model.add_exactly_one(choice)
        self.choices.append(choice)

    def _alternatives(self, operation: int) -> tuple[list[int], list[int]]:
        machines = [int(m) for m in self.instance.machines[operation] if m >= 0]
        return machines, [int(d) for d in self.instance.durations[operation, : len(machines)]]

    def _end(self, operation: int) -> cp_model.LinearExprT:
        _, durations = self._alternatives(operation)
        if not self.choices[operation]:
            return self.starts[operation] + durations[0]
        terms = (d * c for d, c in zip(durations, self.choices[operation], strict=True))
        return self.starts[operation] + sum(terms)

    def add_hint(self, schedule: Schedule) -> None:
        """Hand the search a feasible schedule."""
        operation_of = self.instance.job_first[schedule.job] + schedule.task
        for row, operation in enumerate(operation_of.tolist()):
            self.model.add_hint(self.starts[operation], int(schedule.start[row]))
            machines, _ = self._alternatives(operation)
            if self.choices[operation]:
                for chosen, machine in zip(self.choices[operation], machines, strict=True):
                    self.model.add_hint(chosen, int(machine == schedule.resource[row]))
        self.model.add_hint(self.makespan, int(schedule.end.max()))

    def read(self, search: cp_model.CpSolver) -> Schedule:
        """The schedule that the search ended with."""
        start = np.array([search.value(s) for s in self.starts], np.int64)
        column = [next((k for k, c in enumerate(choice) if search.value(c)), 0) for choice in self.choices]
        return schedule_of(self.instance, start, np.array(column, np.int64))


def _heads_and_tails(instance: ShopInstance) -> tuple[IntArray, IntArray]:
    """Earliest start of each operation and shortest time from there to its job's end, each job alone."""
    padded = np.where(instance.machines >= 0, instance.durations, np.iinfo(np.int32).max)
    work = padded.min(axis=1).astype(np.int64)
    length = np.diff(instance.job_first)
    before = np.concatenate([[0], np.cumsum(work)])
    heads = before[:-1] + np.repeat(instance.release - before[instance.job_first[:-1]], length)
    return heads, np.repeat(before[instance.job_first[1:]], length) - before[:-1]
