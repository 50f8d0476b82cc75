"""The disjunctive graph of a job shop whose machine orders are chosen: heads, tails, moves.

A *selection* fixes the order of the operations on each machine (Roy & Sussmann 1964). The head of an
operation is its earliest start, its tail the longest path from its start to the end of the schedule, its
own duration included. Kernels work in place on a `Selection`; index `num_operations` is a dummy operation
of duration 0 that stands for "none".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from makespan.envs.jobshop.instance import ShopInstance

IntArray = NDArray[np.int64]


class Selection(NamedTuple):
    """A classic job shop (one machine an operation) and its machine orders; N operations, all arrays int64.

    Attributes:
        duration: (N + 1,) time units, 0 for the dummy.
        release: (N + 1,) the job's release at its first operation, 0 elsewhere.
        job_before: (N + 1,) the job's previous operation, N if none.
        job_after: (N + 1,) the job's next operation, N if none.
        machine: (N + 1,) machine of each operation, -1 for the dummy.
        before: (N + 1,) previous operation on the machine, N if none.
        after: (N + 1,) next operation on the machine, N if none.
        order: (N,) a topological order of the graph.
        place: (N + 1,) position of each operation in `order`.
        head: (N + 1,) earliest starts.
        tail: (N + 1,) longest paths to the end.
        mark: (N + 1,) scratch, zero between calls.
        spare: (N,) scratch.
    """

    duration: IntArray
    release: IntArray
    job_before: IntArray
    job_after: IntArray
    machine: IntArray
    before: IntArray
    after: IntArray
    order: IntArray
    place: IntArray
    head: IntArray
    tail: IntArray
    mark: IntArray
    spare: IntArray


def selection_of(instance: ShopInstance, start: IntArray, column: IntArray | None = None) -> Selection:
    """The selection whose machine orders are those of a feasible schedule.

    Args:
        instance: The shop; of flexible shops the machine in `column` is taken.
        start: (num_operations,) start times of the schedule.
        column: (num_operations,) the alternative chosen, the first if left out.
    """
    count = instance.num_operations
    every = np.arange(count)
    column = np.zeros(count, np.int64) if column is None else column
    duration = np.append(instance.durations[every, column].astype(np.int64), 0)
    machine = np.append(instance.machines[every, column].astype(np.int64), -1)
    is_first = np.isin(every, instance.job_first)
    release = np.zeros(count + 1, np.int64)
    release[instance.job_first[:-1]] = instance.release
    job_before = np.append(np.where(is_first, count, every - 1), count)
    job_after = np.append(np.where(np.isin(every + 1, instance.job_first), count, every + 1), count)
    # Among operations with equal start the ones of duration 0 come first, in the order of their jobs
    order = np.lexsort((every, duration[:-1] > 0, start))
    before, after = np.full(count + 1, count), np.full(count + 1, count)
    for m in range(instance.num_machines):
        on_it = order[machine[order] == m]
        before[on_it[1:]] = on_it[:-1]
        after[on_it[:-1]] = on_it[1:]
    place = np.zeros(count + 1, np.int64)
    place[order] = every
    head, tail, mark = (np.zeros(count + 1, np.int64) for _ in range(3))
    chosen = Selection(
        duration,
        release,
        job_before,
        job_after,
        machine,
        before,
        after,
        order,
        place,
        head,
        tail,
        mark,
        np.zeros(count, np.int64),
    )
    update_heads(chosen, 0)
    update_tails(chosen, count - 1)
    return chosen


@njit(cache=True, nogil=True)
def update_heads(s: Selection, first: int) -> None:
    """Recompute the heads from position `first` of the topological order on."""
    for i in range(first, s.order.size):
        x = s.order[i]
        along_job = s.head[s.job_before[x]] + s.duration[s.job_before[x]]
        along_machine = s.head[s.before[x]] + s.duration[s.before[x]]
        s.head[x] = max(s.release[x], max(along_job, along_machine))


@njit(cache=True, nogil=True)
def update_tails(s: Selection, last: int) -> None:
    """Recompute the tails from position `last` of the topological order back to its start."""
    for i in range(last, -1, -1):
        x = s.order[i]
        s.tail[x] = s.duration[x] + max(s.tail[s.job_after[x]], s.tail[s.after[x]])


@njit(cache=True, nogil=True)
def makespan_of(s: Selection) -> int:
    """Longest path through the graph."""
    best = 0
    for x in range(s.order.size):
        if s.job_after[x] == s.order.size:
            best = max(best, s.head[x] + s.duration[x])
    return int(best)


@njit(cache=True, nogil=True)
def _unlink(s: Selection, x: int) -> None:
    s.after[s.before[x]] = s.after[x]
    s.before[s.after[x]] = s.before[x]


@njit(cache=True, nogil=True)
def _link_between(s: Selection, x: int, left: int, right: int) -> None:
    none = s.order.size
    s.before[x], s.after[x] = left, right
    s.after[left], s.before[right] = x, x
    s.after[none], s.before[none] = none, none


@njit(cache=True, nogil=True)
def move_after(s: Selection, u: int, v: int) -> None:
    """Move u right behind v, a later operation of its machine, and bring order, heads and tails up to date.

    The graph must stay acyclic: no path from u's job successor to v. What follows u in the new graph is moved
    behind v within the window of the topological order between the two; the rest keeps its order.
    """
    _unlink(s, u)
    _link_between(s, u, v, s.after[v])
    low, high = s.place[u], s.place[v]
    kept, moved = low, 0
    s.mark[u] = 1
    for i in range(low + 1, high + 1):
        x = s.order[i]
        if s.mark[s.job_before[x]] or s.mark[s.before[x]]:
            s.mark[x] = 1
            s.spare[moved] = x
            moved += 1
        else:
            s.order[kept] = x
            s.place[x] = kept
            kept += 1
    s.order[kept] = u
    s.place[u] = kept
    s.mark[u] = 0
    for i in range(moved):
        x = s.spare[i]
        s.order[kept + 1 + i] = x
        s.place[x] = kept + 1 + i
        s.mark[x] = 0
    update_heads(s, low)
    update_tails(s, high)


@njit(cache=True, nogil=True)
def move_before(s: Selection, v: int, u: int) -> None:
    """Move v right before u, an earlier operation of its machine; the mirror image of `move_after`.

    The graph must stay acyclic: no path from u to v's job predecessor.
    """
    _unlink(s, v)
    _link_between(s, v, s.before[u], u)
    low, high = s.place[u], s.place[v]
    kept, moved = high, 0
    s.mark[v] = 1
    for i in range(high - 1, low - 1, -1):
        x = s.order[i]
        if s.mark[s.job_after[x]] or s.mark[s.after[x]]:
            s.mark[x] = 1
            s.spare[moved] = x
            moved += 1
        else:
            s.order[kept] = x
            s.place[x] = kept
            kept -= 1
    s.order[kept] = v
    s.place[v] = kept
    s.mark[v] = 0
    for i in range(moved):
        x = s.spare[i]
        s.order[kept - 1 - i] = x
        s.place[x] = kept - 1 - i
        s.mark[x] = 0
    update_heads(s, low)
    update_tails(s, high)


@njit(cache=True, nogil=True)
def sort_topologically(s: Selection) -> None:
    """Bring `order` and `place` into line with the arcs; the graph must be acyclic."""
    none = s.order.size
    size = 0
    for x in range(none):
        s.mark[x] = np.int64(s.job_before[x] != none) + np.int64(s.before[x] != none)
        if s.mark[x] == 0:
            s.order[size] = x
            size += 1
    for i in range(none):
        x = s.order[i]
        s.place[x] = i
        s.mark[none] = 3  # the dummy never becomes ready
        for y in (s.job_after[x], s.after[x]):
            s.mark[y] -= 1
            if s.mark[y] == 0:
                s.order[size] = y
                size += 1
    s.mark[none] = 0
