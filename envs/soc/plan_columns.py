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
from makespan.envs.soc.list_search import Known, Lists, improve_lists
from makespan.envs.soc.observation import Graph, capped
from makespan.envs.soc.plan_kernels import Busy, Network, Plan
from makespan.envs.soc.simulator import available, is_idle
from makespan.envs.soc.state import (
    ARRIVAL,
    BOUND,
    COMMITTED,
    DONE,
    END,
    ENDED,
    FAR,
    I64,
    ID,
    IS_READY,
    LATENCY,
    NOW,
    OBJECTIVE,
    OUTSTANDING,
    OWNER,
    PE,
    PES,
    POSITION,
    RUNNING,
    STATUS,
    TASKS,
    TEMPLATE,
    TWIN,
    UNIT,
    WAITING,
    WARM_UP,
    Socs,
)
from makespan.envs.soc.schema import PLAN_FEATURES
from makespan.envs.soc.templates import BY_SOURCE, IN_FIRST, OUT_FIRST, SOURCE, TARGET, UPWARD

_COLUMNS: Final = len(PLAN_FEATURES)


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
    status = socs.task[b, row, STATUS]
    return status == OUTSTANDING or status == IS_READY


@kernel
def _lists(socs: Socs, b: int, net: Network) -> Lists:
    """The list as it was left, without what has been committed since, and what is new behind it."""
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
    return Lists(order, bound)


@borrowing_kernel
def _is_offered(socs: Socs, graph: Graph, b: int, row: int) -> bool:
    for r in range(offered(socs, graph, b)):
        if socs.ready[b, r] == row:
            return True
    return False


@borrowing_kernel
def _candidate(socs: Socs, graph: Graph, b: int, r: int, p: int) -> int:
    """The allowed candidate that brings the r-th ready task to PE p or one like it, -1 if there is none."""
    for q in range(p, -1, -1):
        a = r * graph.finish.shape[1] + q
        if socs.platform[b, q, TWIN] == socs.platform[b, p, TWIN] and graph.action_mask[b, a]:
            return a
    return -1


@borrowing_kernel
def _write_columns(socs: Socs, graph: Graph, b: int, plan: Plan, first: I64, with_defer: bool) -> None:
    """Write the plan's columns; `first` (M,) is the row that each PE runs first by the plan, -1 for none."""
    x, mask = graph.candidate_x[b], graph.action_mask[b]
    now, unit, num_pes = socs.clock[b, NOW], socs.clock[b, UNIT], graph.finish.shape[1]
    column, any_planned, earliest, soonest = x.shape[1] - _COLUMNS, False, 0, FAR
    for a in range(mask.size):
        for k in range(_COLUMNS):
            x[a, column + k] = 0.0
    for r in range(offered(socs, graph, b)):
        row = socs.ready[b, r]
        here = _candidate(socs, graph, b, r, plan.pe[row])
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
    rows, num_pes = socs.task.shape[1], socs.clock[b, PES]
    num_tasks, net = rows // socs.job.shape[1], _network(socs, b)
    plan = Plan(np.full(rows, -1, np.int32), np.zeros(rows, np.int64), np.zeros(rows, np.int64))
    known, lists = _known(socs, b, plan, work), _lists(socs, b, net)
    room = lists.order.size + 1
    busy = Busy(
        np.empty((num_pes, room), np.int64), np.empty((num_pes, room), np.int64), np.empty(num_pes, np.int64)
    )
    seed = socs.clock[b, NOW] + 40503 * socs.clock[b, COMMITTED]
    improve_lists(net, plan, busy, known, lists, moves, seed)
    first = np.full(num_pes, -1)
    for position, row in enumerate(lists.order):
        socs.plan[b, row, OWNER] = 1 + socs.job[b, row // num_tasks, ID]
        socs.plan[b, row, POSITION], socs.plan[b, row, BOUND] = position, lists.bound[position]
        p = plan.pe[row]
        # what is ready but not on offer lets others pass
        passes = socs.task[b, row, STATUS] == IS_READY and not _is_offered(socs, graph, b, row)
        if not passes and (first[p] < 0 or plan.start[row] < plan.start[first[p]]):
            first[p] = row
    _write_columns(socs, graph, b, plan, first, with_defer)
