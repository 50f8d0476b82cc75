"""Kernels of the job-shop tabu search: critical path, neighbourhoods, move estimates, the walk itself.

Moves are those of the literature: N5 swaps at the borders of critical blocks (Nowicki & Smutnicki 1996);
N6 moves an operation right behind the last or right before the first of its block (Balas & Vazacopoulos
1998); N7 adds the moves of the first and last operation into the block (Zhang et al. 2007). Their value
is estimated from the heads and tails of the operations that change place (Taillard 1994; Balas &
Vazacopoulos 1998). Only moves that cannot close a cycle are looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from makespan.envs.jobshop.disjunctive import (
    Selection,
    makespan_of,
    move_after,
    move_before,
    update_heads,
    update_tails,
)

IntArray = NDArray[np.int64]
N5, N6, N7 = 5, 6, 7
_FAR = np.int64(2**62)


class Walk(NamedTuple):
    """What the search remembers besides the selection; arrays are changed in place.

    Attributes:
        rank: (N + 1,) position of an operation among those of its machine, in the order of their numbers.
        tabu: (N + 1, max operations a machine): `tabu[x, rank[y]]` is the iteration up to which x may not be
            put before y again.
        path: (N,) critical path, scratch.
        scratch: (N,) new heads of the operations a move displaces.
        random: (1,) uint64, state of the random numbers.
        counters: (3,) iteration, best makespan, iteration of the last improvement.
        best_before, best_after, best_order: machine orders and topological order of the best selection.
    """

    rank: IntArray
    tabu: IntArray
    path: IntArray
    scratch: IntArray
    random: NDArray[np.uint64]
    counters: IntArray
    best_before: IntArray
    best_after: IntArray
    best_order: IntArray


@njit(cache=True, nogil=True)
def random_below(random: NDArray[np.uint64], n: int) -> int:
    """A random integer in 0..n-1 (xorshift64*, Vigna 2016)."""
    x = random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    random[0] = x
    return int((x * np.uint64(2685821657736338717)) >> np.uint64(33)) % n


@njit(cache=True, nogil=True)
def critical_path(s: Selection, path: IntArray, random: NDArray[np.uint64], makespan: int) -> int:
    """Write a random critical path into `path`; its length."""
    none = s.order.size
    x, ties = none, 0
    for y in range(none):
        if s.job_after[y] == none and s.head[y] + s.duration[y] == makespan:
            ties += 1
            if random_below(random, ties) == 0:
                x = y
    length = 0
    while x != none:
        path[length] = x
        length += 1
        by_job = s.job_before[x]
        by_machine = s.before[x]
        job_tight = by_job != none and s.head[by_job] + s.duration[by_job] == s.head[x]
        machine_tight = by_machine != none and s.head[by_machine] + s.duration[by_machine] == s.head[x]
        if job_tight and (not machine_tight or random_below(random, 2) == 0):
            x = by_job
        elif machine_tight:
            x = by_machine
        else:
            x = none
    for i in range(length // 2):
        path[i], path[length - 1 - i] = path[length - 1 - i], path[i]
    return length


@njit(cache=True, nogil=True)
def can_move_after(s: Selection, u: int, v: int) -> bool:
    """Whether u may go right behind v: surely no path from u's job successor to v."""
    x = s.job_after[u]
    return x == s.order.size or bool(x != v and s.tail[x] < s.duration[x] + s.tail[v])


@njit(cache=True, nogil=True)
def can_move_before(s: Selection, v: int, u: int) -> bool:
    """Whether v may go right before u: surely no path from u to v's job predecessor."""
    x = s.job_before[v]
    return x == s.order.size or bool(x != u and s.head[x] < s.head[u] + s.duration[u])


@njit(cache=True, nogil=True)
def estimate_after(s: Selection, w: Walk, u: int, v: int) -> int:
    """Estimated makespan after moving u right behind v: longest path through what changes place."""
    x, left, count = s.after[u], s.before[u], 0
    ready = s.head[left] + s.duration[left]
    while True:
        before = s.job_before[x]
        ready = max(ready, s.release[x], s.head[before] + s.duration[before])
        w.scratch[count] = ready
        count += 1
        ready += s.duration[x]
        if x == v:
            break
        x = s.after[x]
    before = s.job_before[u]
    ready = max(ready, s.release[u], s.head[before] + s.duration[before])
    tail = s.duration[u] + max(s.tail[s.job_after[u]], s.tail[s.after[v]])
    longest = ready + tail
    x = v
    for i in range(count - 1, -1, -1):
        tail = s.duration[x] + max(tail, s.tail[s.job_after[x]])
        longest = max(longest, w.scratch[i] + tail)
        x = s.before[x]
    return int(longest)


@njit(cache=True, nogil=True)
def estimate_before(s: Selection, w: Walk, v: int, u: int) -> int:
    """Estimated makespan after moving v right before u; the mirror image of `estimate_after`."""
    x, right, count = s.before[v], s.after[v], 0
    tail = s.tail[right]
    while True:
        tail = s.duration[x] + max(tail, s.tail[s.job_after[x]])
        w.scratch[count] = tail
        count += 1
        if x == u:
            break
        x = s.before[x]
    tail = s.duration[v] + max(tail, s.tail[s.job_after[v]])
    left, before = s.before[u], s.job_before[v]
    ready = max(s.release[v], s.head[left] + s.duration[left], s.head[before] + s.duration[before])
    longest = ready + tail
    ready += s.duration[v]
    x = u
    for i in range(count - 1, -1, -1):
        before = s.job_before[x]
        ready = max(ready, s.release[x], s.head[before] + s.duration[before])
        longest = max(longest, ready + w.scratch[i])
        ready += s.duration[x]
        x = s.after[x]
    return int(longest)


@njit(cache=True, nogil=True)
def _is_tabu(s: Selection, w: Walk, u: int, v: int, forward: bool) -> bool:
    """Whether the move puts any operation before another one against a tabu."""
    now = w.counters[0]
    if forward:
        x = u
        while x != v:
            x = s.after[x]
            if w.tabu[x, w.rank[u]] > now:
                return True
        return False
    x = v
    while x != u:
        x = s.before[x]
        if w.tabu[v, w.rank[x]] > now:
            return True
    return False


@njit(cache=True, nogil=True)
def _forbid(s: Selection, w: Walk, u: int, v: int, forward: bool, tenure: int) -> None:
    """Make the reversal of a move tabu; called before it is made."""
    until = w.counters[0] + tenure
    if forward:
        x = u
        while x != v:
            x = s.after[x]
            w.tabu[u, w.rank[x]] = until
    else:
        x = v
        while x != u:
            x = s.before[x]
            w.tabu[x, w.rank[v]] = until


@njit(cache=True, nogil=True)
def _consider(s: Selection, w: Walk, u: int, v: int, forward: bool, choice: IntArray) -> None:
    """Compare a move with the choice so far: rows are the best allowed move and a random one of all.

    `choice` is (2, 5): value, u, v, forward, number of equals seen.
    """
    if forward:
        if not can_move_after(s, u, v):
            return
        value = estimate_after(s, w, u, v)
    else:
        if not can_move_before(s, v, u):
            return
        value = estimate_before(s, w, v, u)
    choice[1, 4] += 1
    if random_below(w.random, choice[1, 4]) == 0:
        choice[1, 0], choice[1, 1], choice[1, 2], choice[1, 3] = value, u, v, np.int64(forward)
    if value > choice[0, 0]:
        return
    if value >= w.counters[1] and _is_tabu(s, w, u, v, forward):
        return
    if value < choice[0, 0]:
        choice[0, 4] = 0
    choice[0, 4] += 1
    if random_below(w.random, choice[0, 4]) == 0:
        choice[0, 0], choice[0, 1], choice[0, 2], choice[0, 3] = value, u, v, np.int64(forward)


@njit(cache=True, nogil=True)
def _scan_block(s: Selection, w: Walk, a: int, b: int, neighbourhood: int, choice: IntArray) -> None:
    """Consider all moves in the critical block `path[a..b]`.

    Behind the schedule's last operation, and before one that starts at 0, there is nothing to gain.
    """
    first, last = w.path[a], w.path[b]
    front = s.head[first] > 0
    rear = s.tail[last] > s.duration[last]
    if b == a + 1:
        if front or rear:
            _consider(s, w, first, last, True, choice)
        return
    if neighbourhood == N5:
        if front:
            _consider(s, w, first, w.path[a + 1], True, choice)
        if rear:
            _consider(s, w, w.path[b - 1], last, True, choice)
        return
    if rear:
        for i in range(a, b):
            _consider(s, w, w.path[i], last, True, choice)
    if front:
        for i in range(a + 1, b + 1):
            _consider(s, w, first, w.path[i], False, choice)
    if neighbourhood == N7:
        if front:
            for i in range(a + 1, b):
                _consider(s, w, first, w.path[i], True, choice)
        if rear:
            for i in range(a + 1, b):
                _consider(s, w, w.path[i], last, False, choice)


@njit(cache=True, nogil=True)
def choose_move(s: Selection, w: Walk, length: int, neighbourhood: int, choice: IntArray) -> int:
    """Row of `choice` with the move to make: 0 the best allowed, 1 a random one if all are tabu, -1 none."""
    choice[0, 0] = _FAR
    choice[0, 4] = 0
    choice[1, 4] = 0
    a = 0
    while a < length:
        b = a
        while b + 1 < length and s.after[w.path[b]] == w.path[b + 1]:
            b += 1
        if b > a:
            _scan_block(s, w, a, b, neighbourhood, choice)
        a = b + 1
    if choice[0, 4] > 0:
        return 0
    return 1 if choice[1, 4] > 0 else -1


@njit(cache=True, nogil=True)
def keep_best(s: Selection, w: Walk, makespan: int) -> None:
    """Remember the selection as the best one."""
    w.counters[1] = makespan
    w.counters[2] = w.counters[0]
    w.best_before[:] = s.before
    w.best_after[:] = s.after
    w.best_order[:] = s.order


@njit(cache=True, nogil=True)
def tabu_walk(
    s: Selection,
    w: Walk,
    iterations: int,
    patience: int,
    target: int,
    neighbourhood: int,
    tenure: int,
    spread: int,
) -> bool:
    """Walk until the iterations are spent, `patience` of them gained nothing, or `target` is reached.

    Returns:
        Whether the walk ended before its iterations were spent.
    """
    choice = np.zeros((2, 5), np.int64)
    makespan = makespan_of(s)
    if makespan < w.counters[1]:
        keep_best(s, w, makespan)
    for _ in range(iterations):
        if w.counters[1] <= target or w.counters[0] - w.counters[2] >= patience:
            return True
        length = critical_path(s, w.path, w.random, makespan)
        row = choose_move(s, w, length, neighbourhood, choice)
        if row < 0:
            return True
        u, v, forward = choice[row, 1], choice[row, 2], choice[row, 3] == 1
        _forbid(s, w, u, v, forward, tenure + random_below(w.random, spread + 1))
        if forward:
            move_after(s, u, v)
        else:
            move_before(s, v, u)
        w.counters[0] += 1
        makespan = makespan_of(s)
        if makespan < w.counters[1]:
            keep_best(s, w, makespan)
    return False


@njit(cache=True, nogil=True)
def restore(s: Selection, before: IntArray, after: IntArray, order: IntArray) -> None:
    """Make the selection the one with these machine orders and this topological order."""
    s.before[:] = before
    s.after[:] = after
    s.order[:] = order
    for i in range(order.size):
        s.place[order[i]] = i
    update_heads(s, 0)
    update_tails(s, order.size - 1)


@njit(cache=True, nogil=True)
def machine_positions(s: Selection, position: IntArray) -> None:
    """Write each operation's position on its machine into `position` (N + 1,)."""
    none = s.order.size
    for i in range(none):
        x = s.order[i]
        position[x] = 0 if s.before[x] == none else position[s.before[x]] + 1


@njit(cache=True, nogil=True)
def relink(s: Selection, w: Walk, goal: IntArray, steps: int) -> int:
    """Walk towards another selection by swaps of neighbours on a machine; the number of swaps made.

    Args:
        s: Where the walk starts; changed in place.
        w: Source of randomness.
        goal: (N + 1,) position of each operation on its machine in the selection to walk to.
        steps: Most swaps to make.
    """
    none = s.order.size
    for step in range(steps):
        chosen, seen = none, 0
        for x in range(none):
            y = s.after[x]
            if y != none and goal[x] > goal[y] and can_move_after(s, x, y):
                seen += 1
                if random_below(w.random, seen) == 0:
                    chosen = x
        if seen == 0:
            return step
        move_after(s, chosen, s.after[chosen])
    return steps


@njit(cache=True, nogil=True)
def shake(s: Selection, w: Walk, steps: int) -> None:
    """Make random moves of neighbourhood N5 on critical paths."""
    choice = np.zeros((2, 5), np.int64)
    for _ in range(steps):
        length = critical_path(s, w.path, w.random, makespan_of(s))
        if choose_move(s, w, length, N5, choice) < 0:
            return
        move_after(s, choice[1, 1], choice[1, 2])
