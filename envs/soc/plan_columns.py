"""A plan of all that is not yet committed, kept and improved from decision to decision, as columns of the candidates.

The plan is a list that `makespan.envs.soc.list_search` improves. Jobs that have come since the last decision join its end by
falling upward rank, which is where HEFT would plan them. It knows what the decision graph shows: expected executions,
no arrivals to come; a running task that is late ends within the next microsecond.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from makespan.envs.core.kernels import borrowing_kernel, kernel
from makespan.envs.soc.candidates import offered
from makespan.envs.soc.list_search import (
    Desk,
    Known,
    Lists,
    cost_of_trial,
    improve,
    keep_trial,
    make_desk,
    put_first,
)
from makespan.envs.soc.observation import Graph, capped
from makespan.envs.soc.plan_kernels import F64, Network, Plan
from makespan.envs.soc.schema import PLAN_FEATURES
from makespan.envs.soc.simulator import available, is_idle
from makespan.envs.soc.state import (
    ARRIVAL,
    BOUND,
    COMMITTED,
    DONE,
    END,
    ENDED,
    FAR,
    HEAD,
    I64,
    ID,
    IS_READY,
    LATENCY,
    NEXT,
    NOW,
    OBJECTIVE,
    OUTSTANDING,
    OWNER,
    PE,
    PES,
    POSITION,
    READY,
    RUNNING,
    RUNS,
    SCALE,
    STATUS,
    TASKS,
    TEMPLATE,
    TWIN,
    UNIT,
    WAITING,
    WARM_UP,
    Socs,
)
from makespan.envs.soc.templates import BY_SOURCE, IN_FIRST, OUT_FIRST, SOURCE, TARGET, UPWARD

_COLUMNS: Final = len(PLAN_FEATURES)
_MOST: Final = PLAN_FEATURES[-1].high  # units of the reward


@kernel
def _network(socs: Socs, b: int) -> Network:
    """Slot b's tasks, by row, as the planning kernels read them."""
    num_pes, num_tasks = socs.clock[b, PES], socs.clock[b, TASKS]
    rows, slots = socs.task.shape[1], socs.job.shape[1]
    template, edge = socs.template[b, : num_tasks + 1], socs.edge[b]
    count = template[num_tasks, IN_FIRST]
    target = np.empty(count, np.int32)
    for k in range(count):
        target[k] = edge[edge[k, BY_SOURCE], TARGET]
    return Network(
        socs.task[b, :, TEMPLATE].copy(),
        (np.arange(rows) // (rows // slots)).astype(np.int32),
        socs.duration[b, :num_tasks, :num_pes].astype(np.int64),
        template[:, IN_FIRST].copy(),
        edge[:count, SOURCE].copy(),
        socs.volume[b, :count].copy(),
        template[:, OUT_FIRST].copy(),
        target,
        socs.bandwidth[b, :num_pes, :num_pes].copy(),
    )


@kernel
def _known(socs: Socs, b: int, plan: Plan, work: float) -> Known:
    """What is committed and done, entered in the plan, and what counts."""
    clock, task, job = socs.clock, socs.task, socs.job
    num_pes, slots, now = clock[b, PES], job.shape[1], clock[b, NOW]
    num_tasks = task.shape[1] // slots
    free, release = np.empty(num_pes, np.int64), np.full(slots, now)
    ends, weight = np.zeros(slots, np.int64), np.zeros(slots)
    for p in range(num_pes):
        free[p] = available(socs, b, p)
    for slot in range(slots):
        if job[b, slot, ID] < 0:
            continue
        if job[b, slot, ARRIVAL] >= clock[b, WARM_UP]:
            weight[slot] = 1.0
        for row in range(slot * num_tasks, (slot + 1) * num_tasks):
            status = task[b, row, STATUS]
            if WAITING <= status <= DONE:
                plan.pe[row], plan.end[row] = task[b, row, PE], task[b, row, END]
                if status == WAITING:
                    plan.end[row] = free[task[b, row, PE]]
                elif status == RUNNING:
                    plan.end[row] = max(now + 1, task[b, row, END])
                ends[slot] = max(ends[slot], plan.end[row])
    return Known(free, release, ends, weight, clock[b, OBJECTIVE] != LATENCY, work / num_pes)


@borrowing_kernel
def _is_open(socs: Socs, b: int, row: int) -> bool:
    """Whether a row holds a task that is not yet committed."""
    return OUTSTANDING <= socs.task[b, row, STATUS] <= IS_READY


@kernel
def _lists(socs: Socs, b: int, net: Network) -> tuple[Lists, int]:
    """The list as it was left, without what has been committed since; what is new behind it, and how much that is."""
    plan, rows, slots = socs.plan, socs.task.shape[1], socs.job.shape[1]
    num_tasks = rows // slots
    old, fresh, waits = np.full(rows, -1), np.full(rows, np.inf), np.zeros(rows, np.bool_)
    count = 0
    for slot in range(slots):
        if socs.job[b, slot, ID] < 0:
            continue
        for row in range(slot * num_tasks, (slot + 1) * num_tasks):
            if _is_open(socs, b, row):
                count += 1
                if plan[b, row, OWNER] == 1 + socs.job[b, slot, ID]:
                    old[plan[b, row, POSITION]] = row
                else:
                    fresh[row] = -socs.template[b, net.row_task[row], UPWARD]
                    waits[row] = True
    order, bound, n = np.empty(count, np.int64), np.full(count, -1, np.int32), 0
    for row in old:
        if row >= 0:
            order[n], bound[n] = row, plan[b, row, BOUND]
            n += 1
    known = n
    ranked = np.argsort(fresh, kind="mergesort")
    while n < count:  # once, unless tasks of no length tie
        for row in ranked:
            if waits[row]:
                task, free = net.row_task[row], True
                for edge in range(net.pred_first[task], net.pred_first[task + 1]):
                    free = free and not waits[row + net.pred_source[edge] - task]
                if free:
                    order[n], waits[row] = row, False
                    n += 1
    return Lists(order, bound), count - known


@kernel
def _later(socs: Socs, b: int, plan: Plan, known: Known) -> Known:
    """What is known if nothing is committed before the next thing that should happen."""
    now, event = socs.clock[b, NOW], FAR
    for p in range(socs.clock[b, PES]):
        row = socs.pe[b, p, RUNS]
        if row >= 0:
            event = min(event, plan.end[row])
        row = socs.pe[b, p, HEAD]
        while row >= 0:
            if socs.data[b, row, p] > now:
                event = min(event, socs.data[b, row, p])
            row = socs.task[b, row, NEXT]
    release = known.release if event == FAR else np.maximum(known.release, event)
    return Known(known.free, release, known.ends, known.weight, known.latest, known.work)


@kernel
def _candidate_costs(
    socs: Socs,
    graph: Graph,
    b: int,
    net: Network,
    known: Known,
    lists: Lists,
    desk: Desk,
    best: float,
    with_defer: bool,
) -> F64:
    """What each allowed candidate adds to the plan's cost (A,), in the reward's unit; a plan that costs less replaces it."""
    mask, num_pes, scale = graph.action_mask[b], graph.finish.shape[1], float(socs.clock[b, SCALE])
    costs, most = np.zeros(mask.size), _MOST * scale
    for a in range(offered(socs, graph, b) * num_pes):
        if mask[a]:
            put_first(lists, desk, socs.ready[b, a // num_pes], a % num_pes)
            costs[a] = cost_of_trial(net, known, desk, 0, best + most)
            if costs[a] < best:
                best = costs[a]
                keep_trial(lists, desk)
    if with_defer and mask[mask.size - 1]:
        desk.trial.order[:], desk.trial.bound[:] = lists.order, lists.bound
        costs[-1] = cost_of_trial(net, _later(socs, b, desk.plan, known), desk, 0, best + most)
    return np.minimum(np.maximum(costs - best, 0.0), most) / scale


@borrowing_kernel
def _place_of(socs: Socs, graph: Graph, b: int, r: int, p: int) -> int:
    """The allowed candidate that brings the r-th ready task to PE p or one like it, -1 if there is none."""
    for q in range(p, -1, -1):
        a = r * graph.finish.shape[1] + q
        if socs.platform[b, q, TWIN] == socs.platform[b, p, TWIN] and graph.action_mask[b, a]:
            return a
    return -1


@kernel
def _first_rows(socs: Socs, graph: Graph, b: int, plan: Plan, lists: Lists) -> I64:
    """The row that each PE runs first by the plan (M,), -1 for none."""
    passes = np.zeros(socs.task.shape[1], np.bool_)
    for r in range(offered(socs, graph, b), socs.clock[b, READY]):
        passes[socs.ready[b, r]] = True  # ready but not on offer: others must not wait for it
    first = np.full(socs.clock[b, PES], -1)
    for row in lists.order:
        p = plan.pe[row]
        if not passes[row] and (first[p] < 0 or plan.start[row] < plan.start[first[p]]):
            first[p] = row
    return first


@borrowing_kernel
def _write_columns(
    socs: Socs, graph: Graph, b: int, plan: Plan, first: I64, costs: F64, with_defer: bool
) -> None:
    """Write the plan's columns, see `PLAN_FEATURES`."""
    x, mask = graph.candidate_x[b], graph.action_mask[b]
    now, unit, num_pes = socs.clock[b, NOW], socs.clock[b, UNIT], graph.finish.shape[1]
    column, any_planned, earliest, soonest = x.shape[1] - _COLUMNS, False, 0, FAR
    for a in range(mask.size):
        x[a, column] = x[a, column + 1] = x[a, column + 2] = 0.0
        x[a, column + 3] = costs[a]
    for r in range(offered(socs, graph, b)):
        row = socs.ready[b, r]
        here = _place_of(socs, graph, b, r, plan.pe[row])
        for p in range(num_pes):
            if mask[r * num_pes + p]:
                x[r * num_pes + p, column + 2] = capped((plan.start[row] - now) / unit)
        if here >= 0:
            x[here, column + 1] = 1.0
            if first[plan.pe[row]] == row and is_idle(socs, b, plan.pe[row]):
                x[here, column] = 1.0
                any_planned = True
            if plan.start[row] < soonest:
                earliest, soonest = here, plan.start[row]
    if not any_planned:
        x[mask.size - 1 if with_defer and mask[mask.size - 1] else earliest, column] = 1.0


@kernel
def write_plan(socs: Socs, graph: Graph, b: int, moves: int, work: float, with_defer: bool) -> None:
    """Improve slot b's plan by so many moves, and write what it says of the allowed candidates."""
    if socs.clock[b, ENDED]:
        return
    rows, slots = socs.task.shape[1], socs.job.shape[1]
    net = _network(socs, b)
    plan = Plan(np.full(rows, -1, np.int32), np.zeros(rows, np.int64), np.zeros(rows, np.int64))
    known = _known(socs, b, plan, work)
    lists, fresh = _lists(socs, b, net)
    desk = make_desk(net, plan, lists, slots)
    seed = socs.clock[b, NOW] + 40503 * socs.clock[b, COMMITTED]
    best = improve(net, known, lists, desk, fresh, moves, seed)
    costs = _candidate_costs(socs, graph, b, net, known, lists, desk, best, with_defer)
    for position, row in enumerate(lists.order):
        socs.plan[b, row, OWNER] = 1 + socs.job[b, row // (rows // slots), ID]
        socs.plan[b, row, POSITION], socs.plan[b, row, BOUND] = position, lists.bound[position]
    first = _first_rows(socs, graph, b, plan, lists)
    _write_columns(socs, graph, b, plan, first, costs, with_defer)
