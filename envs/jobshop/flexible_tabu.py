"""Kernels of the tabu search on flexible shops: take a critical operation out, put it in elsewhere.

The neighbourhood is that of Mastrolilli & Gambardella (2000): a critical operation is removed from its
machine and inserted into any feasible gap on any of its machines. With the heads and tails of the graph
without the operation the makespan after the insertion is known exactly, and a gap is feasible if
neither neighbour is tied to it the wrong way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from makespan.envs.jobshop.disjunctive import (
    Selection,
    makespan_of,
    sort_topologically,
    update_heads,
    update_tails,
)
from makespan.envs.jobshop.tabu_kernels import critical_path, random_below

IntArray = NDArray[np.int64]
_FAR = 2**62


class FlexibleWalk(NamedTuple):
    """What the search remembers besides the selection; arrays are changed in place.

    Attributes:
        machines: (N, K) eligible machines, padded with -1.
        durations: (N, K) durations on them.
        column: (N,) the alternative chosen.
        first_on: (num_machines,) first operation on each machine, N if none.
        tabu: (N, num_machines), iteration up to which an operation may not be put on a machine.
        head: (N + 1,) heads without the operation under consideration, scratch.
        tail: (N + 1,) tails likewise, scratch.
        path: (N,) critical path, scratch.
        random: (1,) uint64, state of the random numbers.
        counters: (3,) iteration, best makespan, iteration of the last improvement.
        best_column: (N,) alternatives of the best selection.
        best_start: (N,) its start times.
    """

    machines: IntArray
    durations: IntArray
    column: IntArray
    first_on: IntArray
    tabu: IntArray
    head: IntArray
    tail: IntArray
    path: IntArray
    random: NDArray[np.uint64]
    counters: IntArray
    best_column: IntArray
    best_start: IntArray


@njit(cache=True, nogil=True)
def _take_out(s: Selection, f: FlexibleWalk, x: int) -> None:
    none, left, right = s.order.size, s.before[x], s.after[x]
    if left == none:
        f.first_on[s.machine[x]] = right
    else:
        s.after[left] = right
    if right != none:
        s.before[right] = left
    s.before[x], s.after[x] = none, none


@njit(cache=True, nogil=True)
def _put_in(s: Selection, f: FlexibleWalk, x: int, column: int, left: int) -> None:
    none = s.order.size
    s.machine[x] = f.machines[x, column]
    s.duration[x] = f.durations[x, column]
    f.column[x] = column
    right = f.first_on[s.machine[x]] if left == none else s.after[left]
    s.before[x], s.after[x] = left, right
    if left == none:
        f.first_on[s.machine[x]] = x
    else:
        s.after[left] = x
    if right != none:
        s.before[right] = x


@njit(cache=True, nogil=True)
def _measure_without(s: Selection, f: FlexibleWalk, x: int) -> int:
    """Heads and tails of the graph in which x, already taken out, lasts no time; its makespan."""
    none = s.order.size
    s.duration[x] = 0
    f.head[:] = s.head
    f.tail[:] = s.tail
    for i in range(s.place[x], none):
        y = s.order[i]
        j, m = s.job_before[y], s.before[y]
        f.head[y] = max(s.release[y], max(f.head[j] + s.duration[j], f.head[m] + s.duration[m]))
    longest = np.int64(0)
    for i in range(s.place[x], -1, -1):
        y = s.order[i]
        f.tail[y] = s.duration[y] + max(f.tail[s.job_after[y]], f.tail[s.after[y]])
    for y in range(none):
        if s.job_after[y] == none:
            longest = max(longest, f.head[y] + s.duration[y])
    return int(longest)


@njit(cache=True, nogil=True)
def _consider_operation(s: Selection, f: FlexibleWalk, x: int, choice: IntArray) -> None:
    """Compare all insertions of x with the choice so far: rows are the best allowed and a random one of all.

    `choice` is (2, 5): value, operation, alternative, left neighbour, number of equals seen.
    """
    none, old_column, old_left = s.order.size, f.column[x], s.before[x]
    _take_out(s, f, x)
    shortest = _measure_without(s, f, x)
    j, k = s.job_before[x], s.job_after[x]
    ready = max(s.release[x], f.head[j] + s.duration[j])
    for column in range(f.machines.shape[1]):
        machine = f.machines[x, column]
        if machine < 0:
            break
        left, right = none, f.first_on[machine]
        while True:
            if left != none and (left == k or (k != none and f.tail[k] >= s.duration[k] + f.tail[left])):
                break  # x's job successor may lead to this operation, and so to all behind it
            may_precede = right == none or (
                right != j and (j == none or f.head[j] < f.head[right] + s.duration[right])
            )
            if may_precede and not (column == old_column and left == old_left):
                start = max(ready, f.head[left] + s.duration[left])
                through = start + f.durations[x, column] + max(f.tail[k], f.tail[right])
                _compare(f, max(shortest, through), x, column, left, choice)
            if right == none:
                break
            left, right = right, s.after[right]
    _put_in(s, f, x, old_column, old_left)


@njit(cache=True, nogil=True)
def _compare(f: FlexibleWalk, value: int, x: int, column: int, left: int, choice: IntArray) -> None:
    choice[1, 4] += 1
    if random_below(f.random, choice[1, 4]) == 0:
        choice[1, 0], choice[1, 1], choice[1, 2], choice[1, 3] = value, x, column, left
    if value > choice[0, 0]:
        return
    if value >= f.counters[1] and f.tabu[x, f.machines[x, column]] > f.counters[0]:
        return
    if value < choice[0, 0]:
        choice[0, 4] = 0
    choice[0, 4] += 1
    if random_below(f.random, choice[0, 4]) == 0:
        choice[0, 0], choice[0, 1], choice[0, 2], choice[0, 3] = value, x, column, left


@njit(cache=True, nogil=True)
def _move(s: Selection, f: FlexibleWalk, row: IntArray) -> None:
    x = row[1]
    _take_out(s, f, x)
    _put_in(s, f, x, row[2], row[3])
    sort_topologically(s)
    update_heads(s, 0)
    update_tails(s, s.order.size - 1)


@njit(cache=True, nogil=True)
def _choose(s: Selection, f: FlexibleWalk, makespan: int, choice: IntArray) -> int:
    """Row of `choice` with the move to make: 0 the best allowed, 1 a random one if all are tabu, -1 none."""
    choice[0, 0], choice[0, 4], choice[1, 4] = _FAR, 0, 0
    length = critical_path(s, f.path, f.random, makespan)
    for i in range(length):
        _consider_operation(s, f, f.path[i], choice)
    if choice[0, 4] > 0:
        return 0
    return 1 if choice[1, 4] > 0 else -1


@njit(cache=True, nogil=True)
def shake(s: Selection, f: FlexibleWalk, steps: int) -> None:
    """Make random insertions of critical operations."""
    choice = np.zeros((2, 5), np.int64)
    for _ in range(steps):
        if _choose(s, f, makespan_of(s), choice) < 0:
            return
        _move(s, f, choice[1])


@njit(cache=True, nogil=True)
def walk(
    s: Selection, f: FlexibleWalk, iterations: int, patience: int, target: int, tenure: int, spread: int
) -> bool:
    """Walk until the iterations are spent, `patience` of them gained nothing, or `target` is reached.

    Returns:
        Whether the walk ended before its iterations were spent.
    """
    choice = np.zeros((2, 5), np.int64)
    makespan = makespan_of(s)
    for i in range(iterations + 1):
        if makespan < f.counters[1]:
            f.counters[1], f.counters[2] = makespan, f.counters[0]
            f.best_column[:] = f.column
            f.best_start[:] = s.head[:-1]
        if f.counters[1] <= target or f.counters[0] - f.counters[2] >= patience:
            return True
        if i == iterations:
            return False
        row = _choose(s, f, makespan, choice)
        if row < 0:
            return True
        x = choice[row, 1]
        f.tabu[x, s.machine[x]] = f.counters[0] + tenure + random_below(f.random, spread + 1)
        _move(s, f, choice[row])
        f.counters[0] += 1
        makespan = makespan_of(s)
    return False
