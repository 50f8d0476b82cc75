"""Local search over the list that a list scheduler with insertion works off (HEFT's, to begin with).

A solution is an order of the tasks, each behind its predecessors, and for some of them a PE; it stands for the plan in which
they are placed one by one, each in the first gap that holds it, on its PE or where it finishes first. Moves shift tasks or whole
jobs in the order, or bind them to a PE; what does not cost more is kept.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from makespan.envs.core.kernels import inlined_kernel, kernel
from makespan.envs.soc.draws import number
from makespan.envs.soc.plan_kernels import F64, I32, I64, Busy, Network, Plan, insert_task, repeat_task

_BINDING: Final = 0.3  # share of the changes that bind a task to a PE, or free it
_GATHERING: Final = 0.15  # share of the moves that move a whole job
_MOST_CHANGES: Final = 3  # of another move
_PLACES: Final = 8  # where new entries are tried, beside the end


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


class Desk(NamedTuple):
    """The plan of a solution, and room to try others.

    Attributes:
        plan: Places of what is given, and of the solution's rows once they are planned.
        draft: As that, of the solution tried last.
        trial: That solution.
        busy: Its intervals.
        ends: (J,) ends of the jobs in it.
        ready: (M,) when a row's data are on each PE.
        bias: (T, M) zeros.
    """

    plan: Plan
    draft: Plan
    trial: Lists
    busy: Busy
    ends: I64
    ready: I64
    bias: F64


@kernel
def make_desk(net: Network, plan: Plan, lists: Lists, num_jobs: int) -> Desk:
    """A desk for solutions of this size; `plan` holds what is given."""
    num_pes, room = net.bandwidth.shape[0], lists.order.size + 1
    return Desk(
        plan,
        Plan(plan.pe.copy(), plan.start.copy(), plan.end.copy()),
        Lists(lists.order.copy(), lists.bound.copy()),
        Busy(
            np.empty((num_pes, room), np.int64),
            np.empty((num_pes, room), np.int64),
            np.empty(num_pes, np.int64),
        ),
        np.empty(num_jobs, np.int64),
        np.empty(num_pes, np.int64),
        np.zeros(net.durations.shape),
    )


@kernel
def cost_of_trial(net: Network, known: Known, desk: Desk, first: int, limit: float) -> float:
    """Draft the trial solution, whose entries before the first are where the plan has them, and return its cost.

    Infinity as soon as it is above the limit.
    """
    trial, busy, ends = desk.trial, desk.busy, desk.ends
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
    for i in range(trial.order.size):
        row = trial.order[i]
        job = net.row_job[row]
        if i < first:
            repeat_task(desk.draft, busy, row, desk.plan)
        else:
            release, bound = known.release[job], trial.bound[i]
            insert_task(net, desk.draft, busy, row, release, bound, desk.bias, False, desk.ready)
        end = desk.draft.end[row]
        cost += known.work * (end - desk.draft.start[row])
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
def keep_trial(lists: Lists, desk: Desk) -> None:
    """Let the trial be the solution, and its draft the plan."""
    lists.order[:], lists.bound[:] = desk.trial.order, desk.trial.bound
    for row in lists.order:
        desk.plan.pe[row], desk.plan.start[row] = desk.draft.pe[row], desk.draft.start[row]
        desk.plan.end[row] = desk.draft.end[row]


@inlined_kernel
def _is_edge(net: Network, before: int, after: int) -> bool:
    """Whether a row is a predecessor of another."""
    task, is_edge = net.row_task[after], False
    for edge in range(net.pred_first[task], net.pred_first[task + 1]):
        is_edge = is_edge or after + net.pred_source[edge] - task == before
    return is_edge


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
def _bind(net: Network, lists: Lists, i: int, pe: int) -> None:
    """Bind an entry to a PE if that can run it, or free it if it is bound there."""
    if lists.bound[i] == pe:
        lists.bound[i] = -1
    elif net.durations[net.row_task[lists.order[i]], pe] >= 0:
        lists.bound[i] = pe


@inlined_kernel
def _gather(net: Network, lists: Lists, trial: Lists, i: int, place: int) -> int:
    """Move all entries of entry i's job, as a block, to a place among the others. Returns the first that has changed."""
    n, job, size = lists.order.size, net.row_job[lists.order[i]], 0
    for k in range(n):
        size += net.row_job[lists.order[k]] == job
    others, own = 0, min(place, n - size)
    first, end = n, own
    for k in range(n):
        if net.row_job[lists.order[k]] == job:
            target = end
            end += 1
        else:
            target = others if others < own else others + size
            others += 1
        trial.order[target], trial.bound[target] = lists.order[k], lists.bound[k]
        if target != k:
            first = min(first, min(target, k))
    return first


@inlined_kernel
def _move(net: Network, trial: Lists, lists: Lists, seed: int, count: int) -> tuple[int, int]:
    """Change the trial, a copy of the solution; `count` numbers have been drawn before.

    Returns the first entry that has changed, and how many numbers have been drawn now.
    """
    n, num_pes, draw = lists.order.size, net.bandwidth.shape[0], number(seed, count)
    if draw > 1.0 - _GATHERING:
        i, place = int(number(seed, count + 1) * n), int(number(seed, count + 2) * n)
        return _gather(net, lists, trial, i, place), count + 4
    first, changes = n, 1 + int(draw * _MOST_CHANGES)
    for k in range(changes):
        at = count + 3 * k + 1
        i, draw = int(number(seed, at) * n), number(seed, at + 1)
        if number(seed, at + 2) < _BINDING:
            _bind(net, trial, i, int(draw * num_pes))
            first = min(first, i)
        else:
            first = min(first, _shift(net, trial, i, 2.0 * draw - 1.0))
    return first, count + 1 + 3 * changes


@kernel
def _insert_fresh(net: Network, known: Known, lists: Lists, desk: Desk, fresh: int, best: float) -> float:
    """Try the last entries, which are new, as a block at other places of the list; returns the cost of the best."""
    trial, old = desk.trial, lists.order.size - fresh
    order, bound = lists.order.copy(), lists.bound.copy()
    for k in range(_PLACES):
        at = old * k // _PLACES
        trial.order[:at], trial.bound[:at] = order[:at], bound[:at]
        trial.order[at : at + fresh], trial.bound[at : at + fresh] = order[old:], bound[old:]
        trial.order[at + fresh :], trial.bound[at + fresh :] = order[at:old], bound[at:old]
        cost = cost_of_trial(net, known, desk, 0, best)
        if cost < best:
            best = cost
            keep_trial(lists, desk)
    trial.order[:], trial.bound[:] = lists.order, lists.bound
    return best


@kernel
def improve(net: Network, known: Known, lists: Lists, desk: Desk, fresh: int, moves: int, seed: int) -> float:
    """Plan a solution, try moves, and keep what does not cost more.

    Args:
        net: The instance.
        known: What is given, and the cost.
        lists: The solution to begin with; improved.
        desk: Holds the solution's plan in the end.
        fresh: Entries at the end of the list that are new, and not bound to be there.
        moves: Solutions to try.
        seed: The moves are as if drawn, the same for the same seed.

    Returns:
        The plan's cost.
    """
    count, trial = 0, desk.trial
    trial.order[:], trial.bound[:] = lists.order, lists.bound
    best = cost_of_trial(net, known, desk, 0, np.inf)
    keep_trial(lists, desk)
    if lists.order.size == 0:
        return best
    if 0 < fresh < lists.order.size:
        best = _insert_fresh(net, known, lists, desk, fresh, best)
    for _ in range(moves):
        first, count = _move(net, trial, lists, seed, count)
        cost = cost_of_trial(net, known, desk, first, best)
        if cost <= best:
            best = cost
            keep_trial(lists, desk)
        else:
            trial.order[:], trial.bound[:] = lists.order, lists.bound
    return best


@kernel
def put_first(lists: Lists, desk: Desk, row: int, pe: int) -> None:
    """Let the trial be the solution, but for a row that comes before all others, on a PE."""
    trial, k = desk.trial, 1
    trial.order[0], trial.bound[0] = row, pe
    for i in range(lists.order.size):
        if lists.order[i] != row:
            trial.order[k], trial.bound[k] = lists.order[i], lists.bound[i]
            k += 1
