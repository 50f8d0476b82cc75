"""Kernels of the list schedulers: placing tasks into gaps, and matching ready tasks with PEs."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import inlined_kernel, kernel

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

FOREVER: Final = 2**62
MCT: Final = 0
MET: Final = 1
MIN_MIN: Final = 2
MAX_MIN: Final = 3
SUFFERAGE: Final = 4
ETF: Final = 5


class Network(NamedTuple):
    """Tasks of all jobs, their neighbours and the PEs, as the kernels read them.

    Attributes:
        row_task: (N,) template task of each row.
        row_job: (N,) job of each row.
        durations: (T, M) expected us; -1: cannot run there.
        pred_first: (T + 1,) offsets of the template tasks' incoming edges.
        pred_source: (E,) template task at the other end.
        pred_volume: (E,) amount of data.
        succ_first: (T + 1,) offsets of the outgoing edges.
        succ_target: (E,) template task at the other end.
        bandwidth: (M, M) volume per us; 0: at once.
    """

    row_task: I32
    row_job: I32
    durations: I64
    pred_first: I32
    pred_source: I32
    pred_volume: I64
    succ_first: I32
    succ_target: I32
    bandwidth: I64


class Plan(NamedTuple):
    """Where and when each row runs; the kernels fill in the rows that they place.

    Attributes:
        pe: (N,) PE, or -1 where the row has no place yet.
        start: (N,) us.
        end: (N,) us.
    """

    pe: I32
    start: I64
    end: I64


class Busy(NamedTuple):
    """Occupied intervals of each PE, sorted.

    Attributes:
        start: (M, capacity) us.
        end: (M, capacity) us.
        used: (M,) intervals of each PE.
    """

    start: I64
    end: I64
    used: I64


@inlined_kernel
def _data_ready(net: Network, plan: Plan, row: int, pe: int, release: int) -> int:
    """Time at which the data of all placed predecessors of a row are on a PE."""
    task, ready = net.row_task[row], release
    for edge in range(net.pred_first[task], net.pred_first[task + 1]):
        before = row + net.pred_source[edge] - task
        if plan.pe[before] >= 0:
            wire = net.bandwidth[plan.pe[before], pe]
            delay = net.pred_volume[edge] // wire if wire > 0 else 0
            ready = max(ready, plan.end[before] + delay)
    return ready


@inlined_kernel
def _gap(busy: Busy, pe: int, ready: int, duration: int) -> tuple[int, int]:
    """Position and start of the first gap of a PE that holds a duration from `ready` on."""
    low, high = 0, busy.used[pe]
    while low < high:  # the first interval that ends after `ready`
        middle = (low + high) // 2
        if busy.end[pe, middle] <= ready:
            low = middle + 1
        else:
            high = middle
    start = ready
    while low < busy.used[pe] and busy.start[pe, low] < start + duration + (duration == 0):
        if duration == 0 and busy.start[pe, low] == start:
            break
        start = max(start, busy.end[pe, low])
        low += 1
    return low, start


@inlined_kernel
def _latest_child(net: Network, plan: Plan, busy: Busy, row: int, release: int) -> float:
    """Largest over a placed row's successors of the smallest finish that they could have."""
    task, latest = net.row_task[row], 0.0
    for edge in range(net.succ_first[task], net.succ_first[task + 1]):
        child = net.succ_target[edge]
        child_row, earliest = row + child - task, np.inf
        for pe in range(net.bandwidth.shape[0]):
            duration = net.durations[child, pe]
            if duration >= 0:
                ready = _data_ready(net, plan, child_row, pe, release)
                _, start = _gap(busy, pe, ready, duration)
                earliest = min(earliest, float(start + duration))
        latest = max(latest, earliest)
    return latest


@inlined_kernel
def _occupy(busy: Busy, pe: int, at: int, start: int, end: int) -> None:
    """Insert an interval at its position."""
    for i in range(busy.used[pe], at, -1):
        busy.start[pe, i], busy.end[pe, i] = busy.start[pe, i - 1], busy.end[pe, i - 1]
    busy.start[pe, at], busy.end[pe, at] = start, end
    busy.used[pe] += 1


@inlined_kernel
def _data_everywhere(net: Network, plan: Plan, row: int, release: int, ready: I64) -> None:
    """Fill `ready` (M,), as `_data_ready` for each PE; a division for each run of equal bandwidths only."""
    task = net.row_task[row]
    for pe in range(ready.size):
        ready[pe] = release
    for edge in range(net.pred_first[task], net.pred_first[task + 1]):
        before = row + net.pred_source[edge] - task
        if plan.pe[before] >= 0:
            source, end, volume = plan.pe[before], plan.end[before], net.pred_volume[edge]
            wire, delay = 0, 0
            for pe in range(ready.size):
                if net.bandwidth[source, pe] != wire:
                    wire = net.bandwidth[source, pe]
                    delay = volume // wire if wire > 0 else 0
                ready[pe] = max(ready[pe], end + delay)


@inlined_kernel
def insert_task(
    net: Network,
    plan: Plan,
    busy: Busy,
    row: int,
    earliest: int,
    forced: int,
    bias: F64,
    lookahead: bool,
    ready: I64,
) -> None:
    """Place one row in the first gap that holds it; see `insert_tasks`. `ready` (M,) is overwritten."""
    task = net.row_task[row]
    best, best_finish, best_pe, best_at, best_start = np.inf, np.inf, -1, 0, 0
    _data_everywhere(net, plan, row, earliest, ready)
    for pe in range(net.bandwidth.shape[0]):
        duration = net.durations[task, pe]
        if duration < 0 or (forced >= 0 and forced != pe):
            continue
        if not lookahead and ready[pe] + duration + bias[task, pe] > best:
            continue  # not even the first moment would do
        at, start = _gap(busy, pe, ready[pe], duration)
        finish = float(start + duration)
        value = finish + bias[task, pe]
        if lookahead and net.succ_first[task + 1] > net.succ_first[task]:
            plan.pe[row], plan.end[row] = pe, start + duration
            value = _latest_child(net, plan, busy, row, earliest)
        if value < best or (value == best and finish < best_finish):
            best, best_finish, best_pe, best_at, best_start = value, finish, pe, at, start
    plan.pe[row], plan.start[row] = best_pe, best_start
    plan.end[row] = best_start + net.durations[task, best_pe]
    _occupy(busy, best_pe, best_at, best_start, plan.end[row])


@inlined_kernel
def repeat_task(plan: Plan, busy: Busy, row: int, kept: Plan) -> None:
    """Place one row where another plan has it."""
    pe, start, end = kept.pe[row], kept.start[row], kept.end[row]
    plan.pe[row], plan.start[row], plan.end[row] = pe, start, end
    at = busy.used[pe]
    while at > 0 and busy.end[pe, at - 1] > start:
        at -= 1
    _occupy(busy, pe, at, start, end)


@kernel
def insert_tasks(
    net: Network, plan: Plan, busy: Busy, rows: I64, release: I64, forced: I32, bias: F64, lookahead: bool
) -> None:
    """Place rows one by one, each in the first gap that holds it, on the PE of smallest finish plus bias.

    Args:
        net: The instance.
        plan: Extended by the rows.
        busy: Extended by their intervals.
        rows: (n,) in the order of placement; predecessors are placed already, or come earlier.
        release: (J,) us from which the tasks of a job may run.
        forced: (n,) PE that each row must take, or -1.
        bias: (T, M) us added to the finish where PEs are compared.
        lookahead: Compare the finishes of the successors instead, where a task has any.
    """
    ready = np.empty(net.bandwidth.shape[0], np.int64)
    for i in range(rows.size):
        earliest = release[net.row_job[rows[i]]]
        insert_task(net, plan, busy, rows[i], earliest, forced[i], bias, lookahead, ready)


@inlined_kernel
def _best_pe(
    net: Network, kind: int, task: int, arrives: I64, free: I64
) -> tuple[int, float, float, float, float]:
    """PE that a ready task would take, what decides for it (value, tie), its best finish, and by how much the next is worse."""
    chosen, value, tie = -1, np.inf, np.inf
    finish, second = np.inf, np.inf
    for pe in range(arrives.size):
        duration = net.durations[task, pe]
        if duration < 0:
            continue
        start = max(arrives[pe], free[pe])
        ends = float(start + duration)
        this, this_tie = ends, 0.0
        if kind == MET:
            this, this_tie = float(duration), ends
        elif kind == ETF:
            this, this_tie = float(start), ends
        if this < value or (this == value and this_tie < tie):
            chosen, value, tie = pe, this, this_tie
        if ends < finish:
            finish, second = ends, finish
        elif ends < second:
            second = ends
    return chosen, value, tie, finish, second - finish


@inlined_kernel
def _choose(
    net: Network, kind: int, queue: I64, size: int, arrives: I64, free: I64, level: F64
) -> tuple[int, int]:
    """Position in the queue and PE of the pair that goes next; ties go to the task that waits longer."""
    position, chosen, best, best_tie = -1, -1, np.inf, np.inf
    for i in range(size):
        task = net.row_task[queue[i]]
        pe, value, _, finish, margin = _best_pe(net, kind, task, arrives[i], free)
        priority, tie = value, 0.0
        if kind in (MCT, MET):
            priority = float(i)
        elif kind == MAX_MIN:
            priority = -finish
        elif kind == SUFFERAGE:
            priority = -margin
        elif kind == ETF:
            tie = -level[task]
        if position < 0 or priority < best or (priority == best and tie < best_tie):
            position, chosen, best, best_tie = i, pe, priority, tie
    return position, chosen


@inlined_kernel
def _enqueue(net: Network, plan: Plan, release: I64, queue: I64, arrives: I64, size: int, row: int) -> int:
    """Add a ready row with the times at which its data are on each PE; the new size."""
    queue[size] = row
    for pe in range(net.bandwidth.shape[0]):
        arrives[size, pe] = _data_ready(net, plan, row, pe, release[net.row_job[row]])
    return size + 1


@kernel
def match_tasks(net: Network, plan: Plan, free: I64, rows: I64, release: I64, kind: int, level: F64) -> None:
    """Repeatedly choose a ready task and a PE, and append the task there; no gaps are filled.

    Args:
        net: The instance.
        plan: Extended by the rows.
        free: (M,) us from which each PE is free; moved on.
        rows: (n,) in topological order; predecessors are placed already, or among them.
        release: (J,) us from which the tasks of a job may run.
        kind: MCT, MET, MIN_MIN, MAX_MIN, SUFFERAGE or ETF.
        level: (T,) static level, which breaks ETF's ties.
    """
    waiting = np.zeros(plan.pe.size, np.int32)
    queue = np.empty(rows.size, np.int64)
    arrives = np.empty((rows.size, net.bandwidth.shape[0]), np.int64)
    size = 0
    for row in rows:
        task = net.row_task[row]
        for edge in range(net.pred_first[task], net.pred_first[task + 1]):
            waiting[row] += plan.pe[row + net.pred_source[edge] - task] < 0
        if waiting[row] == 0:
            size = _enqueue(net, plan, release, queue, arrives, size, row)
    for _ in range(rows.size):
        position, pe = _choose(net, kind, queue, size, arrives, free, level)
        row = queue[position]
        task = net.row_task[row]
        start = max(arrives[position, pe], free[pe])
        plan.pe[row], plan.start[row], plan.end[row] = pe, start, start + net.durations[task, pe]
        free[pe] = plan.end[row]
        size -= 1
        for i in range(position, size):
            queue[i] = queue[i + 1]
            arrives[i] = arrives[i + 1]
        for edge in range(net.succ_first[task], net.succ_first[task + 1]):
            child = row + net.succ_target[edge] - task
            waiting[child] -= 1
            if waiting[child] == 0:
                size = _enqueue(net, plan, release, queue, arrives, size, child)
