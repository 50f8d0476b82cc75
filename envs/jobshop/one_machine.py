"""One machine, heads and tails: Carlier's (1982) branch and bound for 1 | r_j, prec | L_max.

Each operation has a head (earliest start), a duration and a tail (time from its end to the end of the
schedule); the machine's order shall minimise the largest end plus tail. Precedence between operations
is kept by raising heads and tails so that Schrage's schedule never breaks it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@njit(cache=True, nogil=True)
def schrage(head: IntArray, duration: IntArray, tail: IntArray, precedes: BoolArray, order: IntArray) -> int:
    """Value of Schrage's schedule, written into `order`: always the available one with the longest tail."""
    count = head.size
    done = np.zeros(count, np.bool_)
    waiting_for = precedes.sum(axis=0)
    time, value = np.int64(0), np.int64(0)
    for place in range(count):
        earliest = np.int64(2**62)
        for x in range(count):
            if not done[x]:
                earliest = min(earliest, head[x])
        time = max(time, earliest)
        best = -1
        for x in range(count):
            if done[x] or head[x] > time or waiting_for[x] > 0:
                continue
            if best < 0 or tail[x] > tail[best] or (tail[x] == tail[best] and duration[x] > duration[best]):
                best = x
        done[best] = True
        order[place] = best
        for x in range(count):
            if precedes[best, x]:
                waiting_for[x] -= 1
        time += duration[best]
        value = max(value, time + tail[best])
    return int(value)


@njit(cache=True, nogil=True)
def preemptive_bound(head: IntArray, duration: IntArray, tail: IntArray) -> int:
    """Value of Jackson's preemptive schedule, a lower bound."""
    count = head.size
    left = duration.copy()
    done = np.zeros(count, np.bool_)
    time, value, remaining = np.int64(0), np.int64(0), count
    while remaining > 0:
        best, upcoming = -1, np.int64(2**62)
        for x in range(count):
            if done[x]:
                continue
            if head[x] > time:
                upcoming = min(upcoming, head[x])
            elif best < 0 or tail[x] > tail[best]:
                best = x
        if best < 0:
            time = upcoming
            continue
        step = min(left[best], upcoming - time)
        time += step
        left[best] -= step
        if left[best] == 0:
            done[best] = True
            remaining -= 1
            value = max(value, time + tail[best])
    return int(value)


@njit(cache=True, nogil=True)
def _propagate(head: IntArray, duration: IntArray, tail: IntArray, precedes: BoolArray) -> None:
    """Raise heads and tails along precedence until nothing changes."""
    count = head.size
    changed = True
    while changed:
        changed = False
        for x in range(count):
            for y in range(count):
                if not precedes[x, y]:
                    continue
                if head[y] < head[x] + duration[x]:
                    head[y] = head[x] + duration[x]
                    changed = True
                if tail[x] < tail[y] + duration[y]:
                    tail[x] = tail[y] + duration[y]
                    changed = True


@njit(cache=True, nogil=True)
def _critical_set(
    head: IntArray, duration: IntArray, tail: IntArray, order: IntArray, value: int
) -> tuple[int, int, int]:
    """Places of Carlier's critical operation c, first and last of his critical set J; c = -1 if optimal."""
    count = order.size
    time, begin, last, first = np.int64(0), 0, 0, 0
    for place in range(count):
        x = order[place]
        if head[x] > time:  # the machine idles: a new block
            time = head[x]
            begin = place
        elif place == 0:
            begin = 0
        time += duration[x]
        if time + tail[x] == value:
            first, last = begin, place
            break
    for place in range(last - 1, first - 1, -1):
        if tail[order[place]] < tail[order[last]]:
            return place, place + 1, last
    return -1, 0, last


@njit(cache=True, nogil=True)
def carlier(
    head: IntArray, duration: IntArray, tail: IntArray, precedes: BoolArray, max_nodes: int
) -> tuple[IntArray, int, bool]:
    """Best order of the operations on the machine.

    Args:
        head: (k,) earliest starts.
        duration: (k,) durations.
        tail: (k,) times from an operation's end to the end of the schedule.
        precedes: (k, k), whether operation x must run before y; transitive and acyclic.
        max_nodes: Branch-and-bound nodes after which the best order so far is returned.

    Returns:
        The order (k,), its value, and whether it is proved optimal.
    """
    count = head.size
    heads = np.empty((max_nodes + 2, count), np.int64)
    tails = np.empty((max_nodes + 2, count), np.int64)
    bounds = np.empty(max_nodes + 2, np.int64)
    heads[0], tails[0] = head, tail
    _propagate(heads[0], duration, tails[0], precedes)
    bounds[0] = preemptive_bound(heads[0], duration, tails[0])
    order = np.empty(count, np.int64)
    best_order, best_value = np.arange(count), 2**62
    size, nodes = 1, 0
    while size > 0 and nodes < max_nodes:
        size -= 1
        if bounds[size] >= best_value:
            continue
        nodes += 1
        r, q = heads[size].copy(), tails[size].copy()
        value = schrage(r, duration, q, precedes, order)
        if value < best_value:
            best_value = value
            best_order[:] = order
        place, low, high = _critical_set(r, duration, q, order, value)
        if place < 0:
            continue
        c, total, earliest, shortest = order[place], np.int64(0), np.int64(2**62), np.int64(2**62)
        for i in range(low, high + 1):
            total += duration[order[i]]
            earliest = min(earliest, r[order[i]])
            shortest = min(shortest, q[order[i]])
        for child in range(2):  # c after all of J, then (on top of the stack) c before all of J
            heads[size], tails[size] = r, q
            if child == 0:
                heads[size, c] = max(r[c], earliest + total)
            else:
                tails[size, c] = max(q[c], total + shortest)
            _propagate(heads[size], duration, tails[size], precedes)
            bound = preemptive_bound(heads[size], duration, tails[size])
            bounds[size] = max(bound, bounds[size]) if child == 0 else bound
            if bounds[size] < best_value:
                size += 1
    return best_order, int(best_value), size == 0
