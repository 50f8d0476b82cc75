"""The kernels that keep the dynamic shop's decision graph up to date.

Operations' rows are written when a job enters, moves on or leaves; job, machine, system and candidate rows at every decision.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.dynamic_shop.observation import OUTLOOK, Graph
from makespan.envs.dynamic_shop.simulator import downtime, is_down, work_left
from makespan.envs.dynamic_shop.state import (
    ADMITTED,
    AHEAD,
    ALLOWED,
    ARRIVAL,
    ARRIVED,
    ASKED,
    BUSY,
    CHOICE,
    CLOSES,
    COUNT,
    COUNTED_JOBS,
    DONE_COUNTED,
    DOWN_BEFORE,
    DUE,
    DURATION,
    FIRST,
    HEAVIEST,
    HOLDS,
    INCOMING,
    JOB,
    JOBS,
    LEFT,
    LOAD,
    MACHINE,
    MACHINES,
    MEAN,
    NOW,
    OPENS,
    OPERATION,
    PLACE,
    PRESENT,
    PROCESSED,
    QUEUE,
    QUEUE_WORK,
    SHOWN_JOB,
    SHOWN_OPERATION,
    SHOWN_STATE,
    SINCE,
    STARTED,
    STATE,
    TAIL,
    UNIT,
    WEIGHT,
    WINDOW,
    WORK_BEFORE,
    Shops,
)

_HIGH: Final = np.float32(100.0)  # the features' upper limit


@borrowing_kernel
def clip(value: float) -> np.float32:
    """Within the limits of a feature."""
    return np.float32(max(-100.0, min(100.0, value)))


@borrowing_kernel
def write_start(shops: Shops, graph: Graph, b: int) -> None:
    """Empty shop b's graph; `write_graph` completes it."""
    graph.operation_count[b, 0], graph.job_count[b, 0] = graph.operation_mask.shape[1], shops.slot.shape[1]
    graph.machine_count[b, 0], graph.system_count[b, 0] = shops.clock[b, MACHINES], 1
    graph.operation_x[b] = 0.0
    graph.operation_mask[b] = graph.job_mask[b] = 0
    graph.operation_parent[b] = -1
    graph.job_x[b] = 0.0
    graph.machine_x[b] = 0.0
    graph.precedence_index[b] = graph.eligibility_index[b] = graph.frontier_index[b] = -1
    graph.eligibility_x[b] = 0.0
    graph.candidate_x[b] = 0.0
    graph.candidate_index[b] = -1
    graph.action_mask[b] = graph.written[b] = 0


@borrowing_kernel
def write_graph(shops: Shops, graph: Graph, b: int) -> None:
    """Write what the current decision sees, but for its candidates."""
    clock, x, unit = shops.clock, graph.system_x, shops.clock[b, UNIT]
    num_slots, num_machines = shops.slot.shape[1], clock[b, MACHINES]
    late, slack = 0, 0
    for s in range(num_slots):
        if shops.slot[b, s, JOB] != shops.slot[b, s, SHOWN_JOB]:
            _clear_slot(shops, graph, b, s)
            _show_job(shops, graph, b, s)
        if shops.slot[b, s, JOB] >= 0:
            own = _write_job(shops, graph, b, s)
            late += 1 if own < 0 else 0
            slack += own
    busy, down, load = _write_machines(shops, graph, b)
    present = max(1, clock[b, PRESENT])
    x[b, 0, 0] = np.float32(clock[b, PRESENT] / num_slots)
    x[b, 0, 1] = clip((clock[b, ARRIVED] - clock[b, ADMITTED]) / num_slots)
    x[b, 0, 2] = np.float32(busy / num_machines)
    x[b, 0, 3] = np.float32(down / num_machines)
    x[b, 0, 4] = clip(clock[b, ALLOWED] / num_slots)
    x[b, 0, 5] = np.float32(late / present)
    x[b, 0, 6] = clip(slack / (present * unit))
    x[b, 0, 7] = clip(load / (num_machines * unit))
    _write_outlook(shops, graph, b)


@borrowing_kernel
def _clear_operation(graph: Graph, b: int, row: int) -> None:
    """Take a row out of the graph, with its edges."""
    graph.operation_mask[b, row], graph.operation_parent[b, row] = 0, -1
    for column in range(graph.operation_x.shape[2]):
        graph.operation_x[b, row, column] = 0.0
    width = graph.eligibility_index.shape[2] // graph.operation_mask.shape[1]
    for side in range(2):
        graph.precedence_index[b, side, row] = -1
        for k in range(width):
            graph.eligibility_index[b, side, row * width + k] = -1
    for k in range(width):
        graph.eligibility_x[b, row * width + k, 0] = 0.0


@borrowing_kernel
def _clear_slot(shops: Shops, graph: Graph, b: int, s: int) -> None:
    """Take the job that the graph shows in slot s out of it."""
    length = graph.operation_mask.shape[1] // shops.slot.shape[1]
    for row in range(s * length, (s + 1) * length):
        if graph.operation_mask[b, row]:
            _clear_operation(graph, b, row)
    graph.job_mask[b, s] = 0
    for column in range(graph.job_x.shape[2]):
        graph.job_x[b, s, column] = 0.0
    graph.frontier_index[b, 0, s] = graph.frontier_index[b, 1, s] = -1
    shops.slot[b, s, SHOWN_JOB] = -1


@borrowing_kernel
def _show_job(shops: Shops, graph: Graph, b: int, s: int) -> None:
    """Write the rows of the job that has entered slot s, if any."""
    j = shops.slot[b, s, JOB]
    if j < 0:
        return
    first, last = shops.job[b, j, FIRST], shops.job[b, j + 1, FIRST]
    unit, base = shops.clock[b, UNIT], s * (graph.operation_mask.shape[1] // shops.slot.shape[1])
    width = shops.option.shape[2]
    for o in range(shops.slot[b, s, OPERATION], last):
        row = base + o - first
        graph.operation_mask[b, row], graph.operation_parent[b, row] = 1, s
        graph.operation_x[b, row, 2] = clip(shops.operation[b, o, MEAN] / unit)
        graph.operation_x[b, row, 3] = clip(shops.operation[b, o, TAIL] / unit)
        graph.operation_x[b, row, 4] = np.float32((o - first) / (last - first))
        graph.operation_x[b, row, 5] = np.float32(shops.operation[b, o, COUNT] / shops.clock[b, MACHINES])
        if o + 1 < last:
            graph.precedence_index[b, 0, row], graph.precedence_index[b, 1, row] = row, row + 1
        for k in range(shops.operation[b, o, COUNT]):
            link = row * width + k
            graph.eligibility_index[b, 0, link] = row
            graph.eligibility_index[b, 1, link] = shops.option[b, o, k, MACHINE]
            graph.eligibility_x[b, link, 0] = clip(shops.option[b, o, k, DURATION] / unit)
    graph.job_mask[b, s] = 1
    graph.frontier_index[b, 0, s] = s
    shops.slot[b, s, SHOWN_JOB], shops.slot[b, s, SHOWN_OPERATION] = j, shops.slot[b, s, OPERATION]
    shops.slot[b, s, SHOWN_STATE] = 0


@borrowing_kernel
def _move(shops: Shops, graph: Graph, b: int, s: int) -> None:
    """Let the graph follow the job in slot s to its present operation."""
    slot, width = shops.slot, shops.option.shape[2]
    first = shops.job[b, slot[b, s, JOB], FIRST]
    base, o = s * (graph.operation_mask.shape[1] // slot.shape[1]) - first, slot[b, s, OPERATION]
    for gone in range(slot[b, s, SHOWN_OPERATION], o):
        _clear_operation(graph, b, base + gone)
    row, in_process = base + o, slot[b, s, STATE] == PROCESSED
    graph.operation_x[b, row, 0] = 0.0 if in_process else 1.0
    graph.operation_x[b, row, 1] = 1.0 if in_process else 0.0
    if in_process:  # the machines it does not run on no longer concern it
        for k in range(shops.operation[b, o, COUNT]):
            if k != shops.operation[b, o, CHOICE]:
                link = row * width + k
                graph.eligibility_index[b, 0, link] = graph.eligibility_index[b, 1, link] = -1
                graph.eligibility_x[b, link, 0] = 0.0
    graph.frontier_index[b, 1, s] = row
    slot[b, s, SHOWN_OPERATION], slot[b, s, SHOWN_STATE] = o, slot[b, s, STATE]


@borrowing_kernel
def _write_job(shops: Shops, graph: Graph, b: int, s: int) -> int:
    """Write the row of the job in slot s; returns its slack."""
    clock, slot, x = shops.clock, shops.slot, graph.job_x[b, s]
    j, o, state = slot[b, s, JOB], slot[b, s, OPERATION], slot[b, s, STATE]
    if o != slot[b, s, SHOWN_OPERATION] or state != slot[b, s, SHOWN_STATE]:
        _move(shops, graph, b, s)
    now, unit, work = clock[b, NOW], clock[b, UNIT], work_left(shops, b, s)
    first, last = shops.job[b, j, FIRST], shops.job[b, j + 1, FIRST]
    slack = shops.job[b, j, DUE] - now - work
    x[0] = 1.0 if state == PROCESSED else 0.0
    x[1] = np.float32(shops.job[b, j, WEIGHT] / clock[b, HEAVIEST])
    x[2] = clip((now - shops.job[b, j, ARRIVAL]) / unit)
    x[3] = clip((now - slot[b, s, SINCE]) / unit) if state != PROCESSED else np.float32(0.0)
    x[4] = np.float32(0.0)
    if state == PROCESSED:
        x[4] = clip(shops.machine[b, slot[b, s, PLACE], LEFT] / unit)
    x[5] = clip(work / unit)
    x[6] = np.float32((last - o) / (last - first))
    x[7] = clip(slack / unit)
    x[8] = np.float32(slack / max(1, abs(slack) + work))
    return slack


@borrowing_kernel
def utilisation(shops: Shops, b: int, m: int) -> float:
    """Share of the time so far that machine m has worked."""
    now, machine = shops.clock[b, NOW], shops.machine
    work = machine[b, m, BUSY]
    if machine[b, m, HOLDS] >= 0:
        lost = downtime(shops, b, m) - machine[b, m, DOWN_BEFORE]
        work += now - machine[b, m, STARTED] - lost
    return min(1.0, work / max(1, now))


@borrowing_kernel
def _write_machines(shops: Shops, graph: Graph, b: int) -> tuple[int, int, int]:
    """Write all machines; returns how many are busy, how many down, and the load of all."""
    clock, machine = shops.clock, shops.machine
    now, unit, num_slots = clock[b, NOW], clock[b, UNIT], shops.slot.shape[1]
    busy, downs, load = 0, 0, 0
    for m in range(clock[b, MACHINES]):
        x, w, down = graph.machine_x[b, m], machine[b, m, WINDOW], is_down(shops, b, m)
        changed = shops.window[b, m, w, OPENS] if down else 0
        if not down and w > 0:
            changed = shops.window[b, m, w - 1, CLOSES]
        holds = machine[b, m, HOLDS] >= 0
        x[0] = 0.0 if holds else 1.0
        x[1] = 1.0 if down else 0.0
        x[2] = 1.0 if clock[b, ASKED] == m else 0.0
        x[3] = clip(machine[b, m, LEFT] / unit)
        x[4] = np.float32(machine[b, m, QUEUE] / num_slots)
        x[5] = clip(machine[b, m, QUEUE_WORK] / unit)
        x[6] = clip(machine[b, m, LOAD] / unit)
        x[7] = clip(machine[b, m, INCOMING] / unit)
        x[8] = np.float32(utilisation(shops, b, m))
        x[9] = np.float32(min(1.0, downtime(shops, b, m) / max(1, now)))
        x[10] = clip((now - changed) / unit)
        busy += 1 if holds else 0
        downs += 1 if down else 0
        load += machine[b, m, LOAD]
    return busy, downs, load


@borrowing_kernel
def _write_outlook(shops: Shops, graph: Graph, b: int) -> None:
    """What is to come, for critics only."""
    clock, x = shops.clock, graph.critic_x[b]
    now, unit, num_machines = clock[b, NOW], clock[b, UNIT], clock[b, MACHINES]
    clock[b, AHEAD] = max(clock[b, AHEAD], clock[b, ARRIVED])
    while clock[b, AHEAD] < clock[b, JOBS] and (
        shops.job[b, clock[b, AHEAD], ARRIVAL] <= now + OUTLOOK * unit
    ):
        clock[b, AHEAD] += 1
    x[0] = np.float32(clock[b, DONE_COUNTED] / clock[b, COUNTED_JOBS])
    x[1] = _HIGH
    if clock[b, ARRIVED] < clock[b, JOBS]:
        x[1] = clip((shops.job[b, clock[b, ARRIVED], ARRIVAL] - now) / unit)
    work = shops.job[b, clock[b, AHEAD], WORK_BEFORE] - shops.job[b, clock[b, ARRIVED], WORK_BEFORE]
    x[2] = clip((clock[b, AHEAD] - clock[b, ARRIVED]) / shops.slot.shape[1])
    x[3] = clip(work / (num_machines * unit))
    repair = 0
    for m in range(num_machines):
        if is_down(shops, b, m):
            repair += shops.window[b, m, shops.machine[b, m, WINDOW], CLOSES] - now
    x[4] = clip(repair / (num_machines * unit))
