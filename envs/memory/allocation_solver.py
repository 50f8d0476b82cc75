"""The best greedy rule, and branch and bound, as solvers of static allocation problems."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.policy import Solution, Status
from makespan.envs.memory import allocation_branch as branch
from makespan.envs.memory.allocation_decode import best_greedy, make_layout
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_validator import allocation_schedule

RANKINGS: Final = ("WAT", "TAW", "TWA")
"""MiniMalloc's static orders, tried in turn: width, area and total of the fullest section, by priority."""

_FIRST_RATE = 5_000.0  # nodes a second, until measured


def check_time_limit(time_limit_s: float) -> None:
    """Refuse a time limit that is not positive."""
    if not time_limit_s > 0:
        raise ValueError(f"time_limit_s: {time_limit_s}; expected seconds above 0")


def solution_of(problem: AllocationProblem, offsets: NDArray[np.int64], bound: int) -> Solution:
    """The solution of an allocation, proved optimal where its peak meets the bound."""
    peak = int((offsets + problem.size).max())
    status: Status = "optimal" if peak <= bound else "feasible"
    return Solution(allocation_schedule(problem, offsets), float(peak), float(min(bound, peak)), status)


@dataclass(frozen=True)
class GreedySolver:
    """The best of seven greedy rules (size, duration, area, start, conflicts, conflicts x size, load), either fit."""

    def solve(self, instance: AllocationProblem, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The allocation of lowest peak; neither time nor seed matter."""
        layout = make_layout(instance)
        best_greedy(instance, layout)
        return solution_of(instance, layout.offset.copy(), instance.load_bound)


@dataclass(frozen=True)
class BranchAndBoundSolver:
    """Exact search with MiniMalloc's inferences (Moffitt 2023); see `makespan.envs.memory.allocation_branch`.

    A decision (is there an allocation within a capacity?) is searched in the static orders of `rankings` in turn, with
    node limits that double, since the luck of one order says nothing about the next. To minimise, every round of a node
    limit first tries the proved bound as the capacity, then, as long as searches are cut off, the middle between the last
    capacity and the best peak so far.

    Attributes:
        minimise: Find the lowest peak; otherwise stop at the first allocation within the instance's capacity.
        rankings: Static orders by MiniMalloc's letters T, A, W and Z, the first letter first.
    """

    minimise: bool = True
    rankings: tuple[str, ...] = RANKINGS

    def __post_init__(self) -> None:
        for ranking in self.rankings:
            if not ranking or set(ranking) - set("TAWZ"):
                raise ValueError(f"rankings: {ranking!r}; expected letters of T, A, W, Z")
        if not self.rankings:
            raise ValueError("rankings: none; expected at least one")

    def solve(self, instance: AllocationProblem, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The best allocation found in the time, with a proved bound on the lowest peak.

        Args:
            instance: The problem.
            time_limit_s: Wall-clock seconds.
            seed: Not used: the search is deterministic, but for when the time is up.
        """
        check_time_limit(time_limit_s)
        search = _Search(instance, self.rankings, time.monotonic() + time_limit_s)
        search.run(None if self.minimise else instance.capacity)
        return solution_of(instance, search.offsets, search.bound * search.unit)


class _Search:
    """Repeated decisions with doubling node limits; capacities in multiples of the problem's unit."""

    def __init__(self, problem: AllocationProblem, rankings: tuple[str, ...], deadline: float) -> None:
        layout = make_layout(problem)
        best_greedy(problem, layout)
        self.problem, self.deadline = problem, deadline
        self.unit = problem.unit
        self.offsets = layout.offset.copy()
        self.peak = self._peak_of(self.offsets)
        self.bound = -(-problem.load_bound // self.unit)
        # where windows of gaps interlock, buffers may pass under each other: failure is then no proof
        self.proves = not (problem.gaps[:, 4] > problem.gaps[:, 3]).any()
        self.failed = self.bound - 1  # highest capacity known to fail
        self.trees = [branch.make_tree(problem, self.unit) for _ in rankings]
        for tree, ranking in zip(self.trees, rankings, strict=True):
            branch.set_ranks(problem, tree, ranking)
        self.rate = _FIRST_RATE

    def _peak_of(self, offsets: NDArray[np.int64]) -> int:
        return -(-int((offsets + self.problem.size).max()) // self.unit)

    def run(self, capacity: int | None) -> None:
        """Lower the peak until it is proved minimal, or is within the capacity if there is one, or time is up."""
        limit = 2 * self.problem.num_buffers
        goal = self.bound if capacity is None else capacity // self.unit
        while self.peak > max(goal, self.failed + 1) and time.monotonic() < self.deadline:
            target = self.failed + 1 if capacity is None else goal
            while target < self.peak and time.monotonic() < self.deadline:
                if not self._decide(target, limit) and capacity is not None:
                    break
                target = max(self.failed + 1, (target + self.peak) // 2, target + 1)
            if capacity is not None and self.failed >= goal:
                return
            limit *= 2

    def _decide(self, capacity: int, limit: int) -> bool:
        """Search for an allocation within `capacity` in every order; returns whether there is one."""
        for tree in self.trees:
            began = time.monotonic()
            nodes = int(min(limit, max(1.0, self.rate * (self.deadline - began))))
            status = branch.decide(tree, capacity, nodes)
            used = nodes - int(tree.counter[branch.NODES])
            if used > 500:
                self.rate = used / max(time.monotonic() - began, 1e-6)
            if status == branch.SOLVED:
                self.offsets = tree.item[:, branch.OFFSET] * self.unit
                self.peak = self._peak_of(self.offsets)
                return True
            if status == branch.FAILED:
                self.failed = max(self.failed, capacity)
                if self.proves:
                    self.bound = max(self.bound, capacity + 1)
                return False
            if time.monotonic() >= self.deadline:
                return False
        return False
