"""CP-SAT on the blocking job shop: occupations that last until the next machine is entered, and an order for every pair.

NoOverlap on half-open occupations [start, next start) is the blocking shop with swaps. On its own it proves little;
a Boolean for every two
operations of a machine, each of whose values says which of them has left when the other enters, closes 10 x 5 shops in
seconds. Without swaps every hand-over by a job that goes on to another machine takes one tick of a clock that is finer than
the time unit by more than the number of hand-overs: cycles become impossible, and rounding down gives the makespan.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from makespan.envs.blocking.follow import follow
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.blocking.randomised import dispatch
from makespan.envs.blocking.schedules import schedule_of
from makespan.envs.blocking.validator import lower_bound, validate
from makespan.envs.core.policy import Solution, Status
from makespan.envs.core.schedule import Schedule

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class CPSATSolver:
    """OR-Tools' CP-SAT on the blocking job shop, with swaps and without.

    Stops within operations are part of the model. Windows of downtime are not: the shop is planned without them, and the
    plan's orders are followed as downtime comes, which nobody knew when it was made.

    One worker with a fixed seed is reproducible unless the time limit cuts it off; several workers are not.

    Attributes:
        workers: Search threads; None for one per processor.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: {self.workers}; expected at least 1, or None for one per processor")

    def solve(self, instance: BlockingShopInstance, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The best schedule found in the time, with the bound that CP-SAT proved.

        Args:
            instance: The shop.
            time_limit_s: Wall-clock seconds, model building included.
            seed: Seed of the search.
        """
        if not time_limit_s > 0:
            raise ValueError(f"time_limit_s: {time_limit_s}; expected seconds > 0")
        if instance.down.size:
            plan = self.solve(replace(instance, down=instance.down[:0]), time_limit_s, seed)
            schedule = follow(instance, plan.schedule)
            return Solution(schedule, validate(instance, schedule), lower_bound(instance), "feasible")
        began = time.monotonic()
        first = dispatch(instance, noise=0.3, runs=64, seed=seed)
        upper, lower = validate(instance, first), lower_bound(instance)
        if upper == lower:
            return Solution(first, upper, lower, "optimal")
        model = _Model(instance, lower, upper)
        if instance.swap:
            model.add_hint(first)
        return self._search(model, first, upper, time_limit_s - (time.monotonic() - began), seed)

    def _search(self, shop: _Model, first: Schedule, upper: int, seconds: float, seed: int) -> Solution:
        from ortools.sat.python import cp_model

        search = cp_model.CpSolver()
        search.parameters.max_time_in_seconds = max(seconds, 0.01)
        search.parameters.num_workers = self.workers or os.cpu_count() or 1
        search.parameters.random_seed = seed
        answer = search.solve(shop.model)
        schedule, makespan = first, upper
        if answer in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            schedule = shop.read(search)
            makespan = validate(shop.instance, schedule)
        bound = max(shop.lower, int(np.ceil(search.best_objective_bound - 1e-6)) // shop.tick)
        proved = answer == cp_model.OPTIMAL or bound >= makespan
        status: Status = "optimal" if proved else "feasible"
        return Solution(schedule, makespan, makespan if proved else bound, status)


class _Model:
    """The constraint model; its clock counts ticks, `tick` of them in a time unit."""

    def __init__(self, instance: BlockingShopInstance, lower: int, upper: int) -> None:
        from ortools.sat.python import cp_model

        shop = instance.shop
        self.instance, self.lower = instance, lower
        self.tick = 1 if instance.swap else 2 * shop.num_operations + 1
        self.model = cp_model.CpModel()
        self.last = (upper + 1) * self.tick - 1
        self.makespan = self.model.new_int_var(lower * self.tick, self.last, "makespan")
        work = (shop.durations[:, 0] + instance.extra) * self.tick
        self.starts: list[cp_model.IntVar] = []
        self.leaves: list[cp_model.LinearExprT] = []
        for job in range(shop.num_jobs):
            self._add_job(work[shop.job_first[job] : shop.job_first[job + 1]], int(shop.release[job]))
        self.model.minimize(self.makespan)
        for machine in range(shop.num_machines):
            self._add_machine(np.flatnonzero(shop.machines[:, 0] == machine).tolist())

    def _add_job(self, work: IntArray, release: int) -> None:
        """Starts of a job's operations, each after the work of the one before; a job leaves where its next operation starts."""
        heads = release * self.tick + np.cumsum(work) - work
        tails = np.cumsum(work[::-1])[::-1]
        starts = [
            self.model.new_int_var(int(head), self.last - int(tail), "")
            for head, tail in zip(heads, tails, strict=True)
        ]
        for (before, after), length in zip(itertools.pairwise(starts), work.tolist(), strict=False):
            self.model.add(after >= before + length)
        self.model.add(self.makespan >= starts[-1] + int(work[-1]))
        self.starts += starts
        self.leaves += [*starts[1:], starts[-1] + int(work[-1])]

    def _add_machine(self, on_it: list[int]) -> None:
        first = set(self.instance.shop.job_first.tolist())
        intervals = []
        for operation in on_it:
            size = self.model.new_int_var(0, self.last, "")
            leave = self.leaves[operation]
            intervals.append(self.model.new_interval_var(self.starts[operation], size, leave, ""))
        self.model.add_no_overlap(intervals)
        # a hand-over takes a tick unless the job leaves the shop
        takes = {o: 0 if self.instance.swap or o + 1 in first else 1 for o in on_it}
        job = np.searchsorted(self.instance.shop.job_first, on_it, side="right")
        for i, j in itertools.combinations(range(len(on_it)), 2):
            if job[i] == job[j]:
                continue
            one, other = on_it[i], on_it[j]
            order = self.model.new_bool_var("")
            self.model.add(self.starts[other] >= self.leaves[one] + takes[one]).only_enforce_if(order)
            self.model.add(self.starts[one] >= self.leaves[other] + takes[other]).only_enforce_if(~order)

    def add_hint(self, schedule: Schedule) -> None:
        """Hand the search a feasible schedule, whose first rows are the operations in order."""
        for variable, start in zip(self.starts, schedule.start.tolist(), strict=False):
            self.model.add_hint(variable, start)
        self.model.add_hint(self.makespan, schedule.end[: len(self.starts)].max())

    def read(self, search: cp_model.CpSolver) -> Schedule:
        """The schedule that the search ended with."""
        shop = self.instance.shop
        start = np.array([search.value(one) for one in self.starts], np.int64) // self.tick
        end = start + shop.durations[:, 0] + self.instance.extra
        leave = np.append(start[1:], 0)
        final = shop.job_first[1:] - 1
        leave[final] = end[final]
        return schedule_of(self.instance, start, end, leave)
