"""Local search over the list that a list scheduler with insertion works off (HEFT's, to begin with).

A solution is an order of the tasks, each behind its predecessors, and for some of them a PE; it stands for the plan in which
they are placed one by one, each in the first gap that holds it, on its PE or where it finishes first. Moves shift a task in
the order, or bind it to a PE; what does not cost more is kept.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from makespan.envs.core.kernels import inlined_kernel, kernel
from makespan.envs.soc.draws import number
from makespan.envs.soc.plan_kernels import F64, I32, I64, Busy, Network, Plan, insert_task, repeat_task

_BINDING: Final = 0.3  # share of the moves that bind a task to a PE, or free it
_MOST_CHANGES: Final = 3  # of a move


class Known(NamedTuple):
    """What is given, and what a plan's cost is made of.

    Attributes:
        free: (M,) us from which each PE is free.
        release: (J,) us from which the tasks of a job may run.
        ends: (J,) us at which the given tasks of a job end; 0 without any.
        weight: (J,) what a us of a job's end counts for; unused with `latest`.
        latest: Whether only the last end counts.
        work: What a us that a PE works counts for.
    """

    free: I64
    release: I64
    ends: I64
    weight: F64
    latest: bool
    work: float


class Lists(NamedTuple):
    """A solution, changed in place.

    Attributes:
        order: (n,) rows, each behind its predecessors.
        bound: (n,) PE of each of them, or -1.
    """

    order: I64
    bound: I32


@inlined_kernel
def _place_all(
    net: Network,
    plan: Plan,
    busy: Busy,
    known: Known,
    lists: Lists,
    ends: I64,
    bias: F64,
    ready: I64,
    limit: float,
    kept: Plan,
    first: int,
) -> float:
    """Build the plan of a list whose entries before the first are placed as they are kept; returns its cost.

    Infinity as soon as it is above the limit.
    """
    for pe in range(known.free.size):
        busy.used[pe] = known.free[pe] > 0
        busy.start[pe, 0], busy.end[pe, 0] = 0, known.free[pe]
    cost, last = 0.0, 0
    for j in range(ends.size):
        ends[j] = known.ends[j]
        last = max(last, ends[j])
        cost += known.weight[j] * ends[j]
    if known.latest:
        cost = float(last)
    for i in range(lists.order.size):
        row = lists.order[i]
        job = net.row_job[row]
        if i < first:
            repeat_task(plan, busy, row, kept)
        else:
            insert_task(net, plan, busy, row, known.release[job], lists.bound[i], bias, False, ready)
        end = plan.end[row]
        cost += known.work * (end - plan.start[row])
        if known.latest:
            cost += max(0, end - last)
            last = max(last, end)
        elif end > ends[job]:
            cost += known.weight[job] * (end - ends[job])
            ends[job] = end
        if cost > limit:
            return np.inf
    return cost


@inlined_kernel
def _is_edge(net: Network, before: int, after: int) -> bool:
    """Whether a row is a predecessor of another."""
    if net.row_job[before] != net.row_job[after]:
        return False
    task, source = net.row_task[after], net.row_task[before]
    for edge in range(net.pred_first[task], net.pred_first[task + 1]):
        if net.pred_source[edge] == source:
            return True
    return False


@inlined_kernel
def _shift(net: Network, lists: Lists, i: int, share: float) -> int:
    """Move entry i forward or back, by a share (-1, 1) of the way to the nearest entry that it must not pass.

    Returns the first entry that has changed.
    """
    order, bound, step = lists.order, lists.bound, 1 if share > 0 else -1
    row, pe, far = order[i], bound[i], i
    while 0 <= far + step < order.size:
        other = order[far + step]
        if _is_edge(net, row, other) if step > 0 else _is_edge(net, other, row):
            break
        far += step
    target = i + int(np.ceil(abs(share) * abs(far - i))) * step
    first = min(i, target)
    while i != target:
        order[i], bound[i] = order[i + step], bound[i + step]
        i += step
    order[i], bound[i] = row, pe
    return first


@inlined_kernel
def _bind(net: Network, lists: Lists, i: int, draw: float) -> None:
    """Free a bound entry, or bind it to a PE that can run it; the draw decides."""
    pe = int(draw * net.bandwidth.shape[0])
    if lists.bound[i] == pe:
        lists.bound[i] = -1
    elif net.durations[net.row_task[lists.order[i]], pe] >= 0:
        lists.bound[i] = pe


@inlined_kernel
def _keep(source: Plan, target: Plan, rows: I64) -> None:
    for row in rows:
        target.pe[row], target.start[row], target.end[row] = source.pe[row], source.start[row], source.end[row]


@kernel
def improve_lists(
    net: Network, plan: Plan, busy: Busy, known: Known, lists: Lists, moves: int, seed: int
) -> float:
    """Try moves, keep what does not cost more, and leave the best list's plan behind.

    Args:
        net: The instance.
        plan: Places of what is given; extended by the rows of the lists.
        busy: Room for n + 1 intervals of each PE; overwritten.
        known: What is given besides, and the cost.
        lists: The solution to begin with; improved.
        moves: Solutions to try.
        seed: The moves are as if drawn, the same for the same seed.

    Returns:
        The plan's cost.
    """
    n, count = lists.order.size, 0
    kept = Plan(plan.pe.copy(), plan.start.copy(), plan.end.copy())
    bias, ends = np.zeros(net.durations.shape), np.empty_like(known.ends)
    ready = np.empty(net.bandwidth.shape[0], np.int64)
    best = _place_all(net, plan, busy, known, lists, ends, bias, ready, np.inf, kept, 0)
    if n == 0:
        return best
    _keep(plan, kept, lists.order)
    trial = Lists(lists.order.copy(), lists.bound.copy())
    for _ in range(moves):
        changes = 1 + int(number(seed, count) * _MOST_CHANGES)
        first = n
        for k in range(changes):
            at = count + 3 * k + 1
            i, draw = int(number(seed, at) * n), number(seed, at + 1)
            if number(seed, at + 2) < _BINDING:
                _bind(net, trial, i, draw)
                first = min(first, i)
            else:
                first = min(first, _shift(net, trial, i, 2.0 * draw - 1.0))
        count += 1 + 3 * changes
        cost = _place_all(net, plan, busy, known, trial, ends, bias, ready, best, kept, first)
        if cost <= best:
            best = cost
            lists.order[:], lists.bound[:] = trial.order, trial.bound
            _keep(plan, kept, lists.order[first:])
        else:
            trial.order[:], trial.bound[:] = lists.order, lists.bound
    _keep(kept, plan, lists.order)
    return best
