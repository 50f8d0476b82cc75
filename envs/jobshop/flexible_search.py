"""The tabu search on flexible shops: walks from dispatched schedules, then from shaken elite members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop import flexible_tabu as kernels
from makespan.envs.jobshop.constructive import schedule_of
from makespan.envs.jobshop.disjunctive import Selection, makespan_of, selection_of
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.rollout import first_schedule
from makespan.envs.jobshop.tabu_course import NOISE, Course, Limits, starts_and_columns

IntArray = NDArray[np.int64]
_SLICE: Final = 100_000  # operations visited between two looks at the clock: some 20 ms


@dataclass(frozen=True, eq=False)
class _Member:
    makespan: int
    start: IntArray
    column: IntArray


class FlexibleSearch(Course):
    """One run on one flexible shop.

    Args:
        instance: The shop.
        seed: Seed of everything random in the run.
        hint: A feasible schedule to walk from first.
        limits: Options of the search.
    """

    def __init__(self, instance: ShopInstance, seed: int, hint: Schedule | None, limits: Limits) -> None:
        super().__init__(instance, seed, limits, _SLICE // instance.num_operations)
        self.elite: list[_Member] = []
        self._start_from(
            *starts_and_columns(instance, hint if hint is not None else first_schedule(instance))
        )
        self.best = _Member(
            int(self.walk.counters[1]), self.walk.best_start.copy(), self.walk.best_column.copy()
        )
        self._slice(0)  # compiles
        kernels.shake(self.selection, self.walk, 0)

    def run(self, deadline: float) -> Schedule:
        """Walk until the deadline, the iteration limit or the lower bound; the best schedule."""
        self._walk_to_the_end(deadline)
        while not self._is_over(self.best.makespan, deadline):
            if len(self.elite) < self.limits.population:
                fresh = first_schedule(self.instance, self.rng, NOISE)
                self._start_from(*starts_and_columns(self.instance, fresh))
            else:
                member = self.elite[int(self.rng.integers(len(self.elite)))]
                self._start_from(member.start, member.column)
                kernels.shake(self.selection, self.walk, int(self.rng.integers(3, 15)))
            self._walk_to_the_end(deadline)
        return schedule_of(self.instance, self.best.start, self.best.column)

    def _start_from(self, start: IntArray, column: IntArray) -> None:
        self.selection = selection_of(self.instance, start, column)
        self.walk = _new_walk(self.instance, self.selection, column.copy(), self.random)

    def _slice(self, iterations: int) -> bool:
        limits = self.limits
        return kernels.walk(
            self.selection, self.walk, iterations, limits.patience, self.lower, limits.tenure, limits.spread
        )

    def _walk_to_the_end(self, deadline: float) -> None:
        """One tabu walk from the current selection; its best joins the elite, whose worst leaves."""
        self._walk_in_slices(self.walk.counters, deadline)
        member = _Member(
            int(self.walk.counters[1]), self.walk.best_start.copy(), self.walk.best_column.copy()
        )
        if member.makespan < self.best.makespan:
            self.best = member
        self.elite.append(member)
        if len(self.elite) > self.limits.population:
            self.elite.remove(max(self.elite, key=lambda m: m.makespan))


def _new_walk(
    instance: ShopInstance, s: Selection, column: IntArray, random: NDArray[np.uint64]
) -> kernels.FlexibleWalk:
    count = instance.num_operations
    first_on = np.full(instance.num_machines, count, np.int64)
    heads = np.flatnonzero(s.before[:-1] == count)
    first_on[s.machine[heads]] = heads
    return kernels.FlexibleWalk(
        machines=instance.machines.astype(np.int64),
        durations=instance.durations.astype(np.int64),
        column=column,
        first_on=first_on,
        tabu=np.zeros((count, instance.num_machines), np.int64),
        head=np.zeros(count + 1, np.int64),
        tail=np.zeros(count + 1, np.int64),
        path=np.zeros(count, np.int64),
        random=random,
        counters=np.array([0, makespan_of(s), 0]),
        best_column=column.copy(),
        best_start=s.head[:-1].copy(),
    )
