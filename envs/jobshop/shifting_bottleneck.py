"""The shifting bottleneck procedure (Adams, Balas & Zawack 1988).

The machines are put in order one at a time, the worst bottleneck first: the machine whose one-machine
problem, with the heads and tails that the orders so far imply, has the largest optimum. After each
machine those before are put in order again, each against all others. Paths that the other machines'
orders imply between two operations of a machine bind its order too (delayed precedence; Dauzère-Pérès &
Lasserre 1993), so that no cycle can arise.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from makespan.envs.core.policy import Solution
from makespan.envs.jobshop.constructive import check_classic, check_time_limit, schedule_of
from makespan.envs.jobshop.disjunctive import (
    Selection,
    makespan_of,
    selection_of,
    sort_topologically,
    update_heads,
    update_tails,
)
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.one_machine import carlier
from makespan.envs.jobshop.rollout import first_schedule
from makespan.envs.jobshop.validator import lower_bound

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class ShiftingBottleneckSolver:
    """Shifting bottleneck with Carlier's branch and bound (Adams, Balas & Zawack 1988; Carlier 1982).

    Deterministic. When the time is up, the remaining machines are ordered by Schrage's rule without
    re-optimisation, so that a schedule is always complete.

    Attributes:
        cycles: Rounds of re-optimisation after each machine; at the end, repeated until nothing is gained.
        max_nodes: Most nodes of a one-machine branch and bound.
    """

    cycles: int = 3
    max_nodes: int = 2_000

    def __post_init__(self) -> None:
        if self.cycles < 0:
            raise ValueError(f"cycles: {self.cycles}; expected at least 0")
        if self.max_nodes < 1:
            raise ValueError(f"max_nodes: {self.max_nodes}; expected at least 1")

    def solve(self, instance: ShopInstance, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The schedule of the procedure; `seed` is ignored.

        Args:
            instance: A classic shop; InvalidInstanceError if it is flexible.
            time_limit_s: Wall-clock seconds.
            seed: Ignored, the procedure draws nothing.
        """
        check_time_limit(time_limit_s)
        check_classic(instance, "shifting bottleneck")
        procedure = _Procedure(instance, self, time.monotonic() + time_limit_s)
        procedure.run()
        schedule = schedule_of(instance, procedure.selection.head[:-1])
        makespan, lower = int(schedule.end.max()), lower_bound(instance)
        return Solution(schedule, makespan, lower, "optimal" if makespan == lower else "feasible")


class _Procedure:
    """One run on one instance."""

    def __init__(self, instance: ShopInstance, options: ShiftingBottleneckSolver, deadline: float) -> None:
        self.options = options
        self.deadline = deadline
        self.selection = selection_of(instance, first_schedule(instance).start)
        machine = self.selection.machine
        self.operations = [np.flatnonzero(machine == m) for m in range(instance.num_machines)]
        self.ordered: dict[int, IntArray] = {}  # machine -> its operations in order
        for operations in self.operations:
            release_machine(self.selection, operations)

    def run(self) -> None:
        """Order all machines, the worst bottleneck first."""
        waiting = [m for m, operations in enumerate(self.operations) if operations.size > 0]
        while waiting:
            solved = {m: self._solve(m) for m in waiting}
            worst = max(waiting, key=lambda m: solved[m][1])
            self._fix(worst, solved[worst][0])
            waiting.remove(worst)
            self._reoptimise(self.options.cycles)
        while self._reoptimise(1):
            pass

    def _solve(self, machine: int) -> tuple[IntArray, int]:
        """The machine's best order against the machines ordered so far, and its value."""
        nodes = self.options.max_nodes if time.monotonic() < self.deadline else 1
        operations = self.operations[machine]
        s = self.selection
        duration = s.duration[operations]
        order, value, _ = carlier(
            s.head[operations],
            duration,
            s.tail[operations] - duration,
            paths_between(s, operations),
            nodes,
        )
        return operations[order], value

    def _fix(self, machine: int, order: IntArray) -> None:
        self.ordered[machine] = order
        order_machine(self.selection, order)

    def _reoptimise(self, cycles: int) -> bool:
        """Order each ordered machine again, against all others; whether the makespan fell."""
        gained = False
        worth = dict.fromkeys(self.ordered, 0)
        for _ in range(cycles):
            before = makespan_of(self.selection)
            for machine in sorted(self.ordered, key=lambda m: -worth[m]):
                if time.monotonic() >= self.deadline:
                    return False
                worth[machine] = self._order_again(machine)
            if makespan_of(self.selection) >= before:
                break
            gained = True
        return gained

    def _order_again(self, machine: int) -> int:
        """Replace the machine's order unless the makespan would grow; value of its one-machine problem."""
        makespan, old = makespan_of(self.selection), self.ordered[machine]
        release_machine(self.selection, old)
        order, value = self._solve(machine)
        self._fix(machine, order)
        if makespan_of(self.selection) > makespan:  # possible, since delays longer than durations are ignored
            release_machine(self.selection, order)
            self._fix(machine, old)
        return value


@njit(cache=True, nogil=True)
def release_machine(s: Selection, operations: IntArray) -> None:
    """Take the order of a machine's operations out of the graph."""
    for x in operations:
        s.before[x] = s.order.size
        s.after[x] = s.order.size
    update_heads(s, 0)
    update_tails(s, s.order.size - 1)


@njit(cache=True, nogil=True)
def order_machine(s: Selection, order: IntArray) -> None:
    """Put a machine's operations, which have no order in the graph yet, in this order."""
    for i in range(order.size - 1):
        s.after[order[i]] = order[i + 1]
        s.before[order[i + 1]] = order[i]
    sort_topologically(s)
    update_heads(s, 0)
    update_tails(s, s.order.size - 1)


@njit(cache=True, nogil=True)
def paths_between(s: Selection, operations: IntArray) -> NDArray[np.bool_]:
    """(k, k): whether a path leads from one of the operations to another."""
    none = s.order.size
    precedes = np.zeros((operations.size, operations.size), np.bool_)
    reached = np.zeros(none + 1, np.bool_)
    for i in range(operations.size):
        reached[:] = False
        reached[operations[i]] = True
        for place in range(s.place[operations[i]] + 1, none):
            x = s.order[place]
            reached[x] = reached[s.job_before[x]] or reached[s.before[x]]
        for j in range(operations.size):
            precedes[i, j] = i != j and reached[operations[j]]
    return precedes
