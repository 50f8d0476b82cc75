"""Tabu search on the classic job shop, with a small population tied together by path relinking.

Each member of the population is the best of a tabu walk (Nowicki & Smutnicki 1996; neighbourhood N6 of
Balas & Vazacopoulos 1998). When a walk gains nothing any more, a new one starts part of the way from one
member to another (path relinking; Peng, Lü & Cheng 2015). Works on shops with ragged jobs, release dates
and operations of zero duration.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.policy import Solution
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop import tabu_kernels as kernels
from makespan.envs.jobshop.constructive import check_classic, check_time_limit, dispatch, schedule_of
from makespan.envs.jobshop.disjunctive import Selection, makespan_of, selection_of
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.validator import lower_bound, validate

IntArray = NDArray[np.int64]
Neighbourhood = Literal["n5", "n6", "n7"]
_NEIGHBOURHOODS: Final[dict[str, int]] = {"n5": kernels.N5, "n6": kernels.N6, "n7": kernels.N7}
_SLICE = 1_000_000  # operations visited between two looks at the clock: some 20 ms
_NOISE = 0.3  # sigma of the log-normal noise that makes the first schedules differ


@dataclass(frozen=True)
class TabuSearchSolver:
    """Tabu search for the classic job shop (Nowicki & Smutnicki 1996; Balas & Vazacopoulos 1998).

    The same seed and iteration limit give the same schedule unless the time limit cuts the search off. The
    clock starts after the kernels are compiled or read from Numba's cache.

    Attributes:
        neighbourhood: "n5", "n6" or "n7".
        max_iterations: Most moves over all walks; None for no limit but the time.
        patience: A walk ends after this many moves without gain.
        population: Number of members; 1 restarts each walk from the best schedule, shaken.
        tenure: Fewest moves for which the reversal of a move is tabu.
        tenure_spread: Up to this many more, drawn for each move.
    """

    neighbourhood: Neighbourhood = "n6"
    max_iterations: int | None = None
    patience: int = 10_000
    population: int = 6
    tenure: int = 6
    tenure_spread: int = 4

    def __post_init__(self) -> None:
        if self.neighbourhood not in _NEIGHBOURHOODS:
            raise UnknownNameError("neighbourhood", self.neighbourhood, _NEIGHBOURHOODS)
        for name, least in (("patience", 1), ("population", 1), ("tenure", 0), ("tenure_spread", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)}; expected at least {least}")
        if self.max_iterations is not None and self.max_iterations < 0:
            raise ValueError(
                f"max_iterations: {self.max_iterations}; expected at least 0, or None for no limit"
            )

    def solve(
        self, instance: ShopInstance, time_limit_s: float = 10.0, seed: int = 0, hint: Schedule | None = None
    ) -> Solution:
        """The best schedule found.

        Args:
            instance: A classic shop; InvalidInstanceError if it is flexible.
            time_limit_s: Wall-clock seconds.
            seed: Seed of first schedules, ties, tenures and relinking.
            hint: A feasible schedule to walk from first; InvalidScheduleError if it is not feasible.
        """
        check_time_limit(time_limit_s)
        check_classic(instance, "tabu search")
        if hint is not None:
            validate(instance, hint)
        search = _Search(self, instance, seed, hint)
        search.run(time.monotonic() + time_limit_s)
        schedule = schedule_of(instance, search.best_start())
        makespan = int(schedule.end.max())
        return Solution(
            schedule, makespan, search.lower, "optimal" if makespan == search.lower else "feasible"
        )


@dataclass(frozen=True, eq=False)
class _Member:
    makespan: int
    before: IntArray
    after: IntArray
    order: IntArray
    position: IntArray  # (N + 1,) of each operation on its machine


@dataclass(eq=False)
class _Search:
    """One run of the solver on one instance."""

    options: TabuSearchSolver
    instance: ShopInstance
    seed: int
    hint: Schedule | None
    members: list[_Member] = field(default_factory=list)
    iterations: int = 0

    def __post_init__(self) -> None:
        self.lower = lower_bound(self.instance)
        self.rng = np.random.default_rng(self.seed)
        self.selection = selection_of(self.instance, self._first_start())
        self.walk = _new_walk(self.instance, self.selection, self.rng)
        self.best = self._member()
        self._slice(0, 1)  # compiles

    def run(self, deadline: float) -> None:
        """Walk and relink until the deadline, the iteration limit or the lower bound."""
        self._walk_to_the_end(deadline)
        while not self._is_over(deadline):
            if len(self.members) < self.options.population and self.options.population > 1:
                noisy = dispatch(self.instance, self.rng, _NOISE)
                fresh = selection_of(self.instance, noisy.start)
                kernels.restore(self.selection, fresh.before, fresh.after, fresh.order)
            else:
                self._start_between_members()
            self._walk_to_the_end(deadline)

    def best_start(self) -> IntArray:
        """Start times of the best schedule, (N,)."""
        kernels.restore(self.selection, self.best.before, self.best.after, self.best.order)
        return self.selection.head[:-1].copy()

    def _first_start(self) -> IntArray:
        if self.hint is None:
            return dispatch(self.instance).start
        start = np.zeros(self.instance.num_operations, np.int64)
        start[self.instance.job_first[self.hint.job] + self.hint.task] = self.hint.start
        return start

    def _is_over(self, deadline: float) -> bool:
        limit = self.options.max_iterations
        spent = limit is not None and self.iterations >= limit
        return spent or self.best.makespan <= self.lower or time.monotonic() >= deadline

    def _slice(self, iterations: int, patience: int) -> bool:
        options = self.options
        return kernels.tabu_walk(
            self.selection,
            self.walk,
            iterations,
            patience,
            self.lower,
            _NEIGHBOURHOODS[options.neighbourhood],
            options.tenure,
            options.tenure_spread,
        )

    def _walk_to_the_end(self, deadline: float) -> None:
        """One tabu walk from the current selection; its best selection joins the population."""
        counters = self.walk.counters
        counters[:] = 0, np.iinfo(np.int64).max, 0
        self.walk.tabu[:] = 0
        most = max(_SLICE // self.instance.num_operations, 20)
        ended = False
        while not ended:
            before = int(counters[0])
            limit = self.options.max_iterations
            left = most if limit is None else min(most, limit - self.iterations)
            ended = self._slice(left, self.options.patience) or left < most or time.monotonic() >= deadline
            self.iterations += max(
                int(counters[0]) - before, 1
            )  # a walk without a move must end some day too
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
        if len(self.members) > self.options.population:
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


def _new_walk(instance: ShopInstance, s: Selection, rng: np.random.Generator) -> kernels.Walk:
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
        random=rng.integers(1, 2**63, 1, dtype=np.uint64),
        counters=np.zeros(3, np.int64),
        best_before=s.before.copy(),
        best_after=s.after.copy(),
        best_order=s.order.copy(),
    )
