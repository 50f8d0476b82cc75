"""The tabu search on classic shops: walks from dispatched schedules, then from between two members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop import tabu_kernels as kernels
from makespan.envs.jobshop.constructive import schedule_of
from makespan.envs.jobshop.disjunctive import Selection, makespan_of, selection_of
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.rollout import first_schedule
from makespan.envs.jobshop.tabu_course import NOISE, Course, Limits, starts_and_columns

IntArray = NDArray[np.int64]
_SLICE: Final = 1_000_000  # operations visited between two looks at the clock: some 20 ms


@dataclass(frozen=True, eq=False)
class _Member:
    makespan: int
    before: IntArray
    after: IntArray
    order: IntArray
    position: IntArray  # (N + 1,) of each operation on its machine


class ClassicSearch(Course):
    """One run on one classic shop.

    Args:
        instance: The shop.
        seed: Seed of everything random in the run.
        hint: A feasible schedule to walk from first.
        limits: Options of the search.
        neighbourhood: `tabu_kernels.N5`, `N6` or `N7`.
    """

    def __init__(
        self, instance: ShopInstance, seed: int, hint: Schedule | None, limits: Limits, neighbourhood: int
    ) -> None:
        super().__init__(instance, seed, limits, _SLICE // instance.num_operations)
        self.neighbourhood = neighbourhood
        first = hint if hint is not None else first_schedule(instance)
        self.selection = selection_of(instance, *starts_and_columns(instance, first))
        self.walk = _new_walk(instance, self.selection, self.random)
        self.members: list[_Member] = []
        self.best = self._member()
        self._compile()

    def run(self, deadline: float) -> Schedule:
        """Walk and relink until the deadline, the iteration limit or the lower bound; the best schedule."""
        self._walk_to_the_end(deadline)
        while not self._is_over(self.best.makespan, deadline):
            if len(self.members) < self.limits.population and self.limits.population > 1:
                fresh = selection_of(self.instance, first_schedule(self.instance, self.rng, NOISE).start)
                kernels.restore(self.selection, fresh.before, fresh.after, fresh.order)
            else:
                self._start_between_members()
            self._walk_to_the_end(deadline)
        kernels.restore(self.selection, self.best.before, self.best.after, self.best.order)
        return schedule_of(self.instance, self.selection.head[:-1].copy())

    def _compile(self) -> None:
        """Call what the run will call, without effect, so that compiling takes none of its time."""
        self._slice(0)
        kernels.relink(self.selection, self.walk, self.best.position, 0)
        kernels.shake(self.selection, self.walk, 0)
        kernels.restore(self.selection, self.best.before, self.best.after, self.best.order)

    def _slice(self, iterations: int) -> bool:
        limits = self.limits
        return kernels.tabu_walk(
            self.selection,
            self.walk,
            iterations,
            limits.patience,
            self.lower,
            self.neighbourhood,
            limits.tenure,
            limits.spread,
        )

    def _walk_to_the_end(self, deadline: float) -> None:
        """One tabu walk from the current selection; its best selection joins the population."""
        self.walk.counters[:] = 0, np.iinfo(np.int64).max, 0
        self.walk.tabu[:] = 0
        self._walk_in_slices(self.walk.counters, deadline)
        kernels.restore(self.selection, self.walk.best_before, self.walk.best_after, self.walk.best_order)
        self._join(self._member())

    def _member(self) -> _Member:
        s = self.selection
        position = np.zeros_like(s.place)
        kernels.machine_positions(s, position)
        return _Member(makespan_of(s), s.before.copy(), s.after.copy(), s.order.copy(), position)

    def _join(self, member: _Member) -> None:
        """Add a member unless it is there already; the worst leaves a full population."""
        if member.makespan < self.best.makespan:
            self.best = member
        if any(np.array_equal(member.position, other.position) for other in self.members):
            return
        self.members.append(member)
        if len(self.members) > self.limits.population:
            self.members.remove(max(self.members, key=lambda m: m.makespan))

    def _start_between_members(self) -> None:
        """Move the selection to somewhere between two members, or shake the only one."""
        if len(self.members) < 2:
            member = self.members[0]
            kernels.restore(self.selection, member.before, member.after, member.order)
            kernels.shake(self.selection, self.walk, int(self.rng.integers(5, 25)))
            return
        one, other = self.rng.choice(len(self.members), 2, replace=False)
        origin, goal = self.members[one], self.members[other]
        kernels.restore(self.selection, origin.before, origin.after, origin.order)
        distance = int(np.abs(origin.position - goal.position).sum()) // 2  # of the order of the swaps needed
        kernels.relink(self.selection, self.walk, goal.position, max(distance // 3, 5))


def _new_walk(instance: ShopInstance, s: Selection, random: NDArray[np.uint64]) -> kernels.Walk:
    count = instance.num_operations
    rank = np.zeros(count + 1, np.int64)
    for machine in range(instance.num_machines):
        on_it = np.flatnonzero(s.machine == machine)
        rank[on_it] = np.arange(on_it.size)
    return kernels.Walk(
        rank=rank,
        tabu=np.zeros((count + 1, int(rank.max()) + 1), np.int64),
        path=np.zeros(count, np.int64),
        scratch=np.zeros(count, np.int64),
        random=random,
        counters=np.zeros(3, np.int64),
        best_before=s.before.copy(),
        best_after=s.after.copy(),
        best_order=s.order.copy(),
    )
