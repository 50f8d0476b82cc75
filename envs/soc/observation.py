"""The kernels that keep the SoC's decision graph up to date.

Rows of tasks are written when a job enters and when something has happened to the task; what changes with time alone is
renewed for the tasks that are ready, committed or running. Rows of finished tasks go once their output has been asked for by
every successor. Job, PE and system rows and the candidates are rewritten whole.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel, kernel
from makespan.envs.soc.schema import JOB_FEATURES, PE_FEATURES, TASK_FEATURES
from makespan.envs.soc.simulator import available, is_idle, touch
from makespan.envs.soc.state import (
    ARRIVAL,
    ARRIVED,
    BUSY,
    CHANGED,
    CLUSTER,
    DONE_JOBS,
    END,
    ENTERED,
    GONE,
    HEAD,
    HORIZON,
    I32,
    ID,
    IS_READY,
    JOB_PROFILE,
    JOBS,
    LEFT,
    MOST_PREDECESSORS,
    MOST_SUCCESSORS,
    MOVED,
    NEXT,
    NOW,
    OUTSTANDING,
    PE,
    PES,
    PROFILE,
    QUEUE,
    QUEUE_WORK,
    READY,
    RENEWED,
    RUNNING,
    RUNS,
    SINCE,
    STATUS,
    TASKS,
    TEMPLATE,
    TIME,
    TOUCHED,
    UNIT,
    WAITING,
    WAITING_FOR,
    WARM_UP,
    WORK_LEFT,
    WORLD,
    Socs,
)
from makespan.envs.soc.templates import (
    BOUND,
    BY_SOURCE,
    DOWNWARD,
    ELIGIBLE,
    IN_FIRST,
    LEVEL,
    MEAN,
    OUT_FIRST,
    RANK_UNIT,
    SHORTEST,
    SOURCE,
    TASK_FIRST,
    TRANSFER,
    UPWARD,
    WORK,
)

F32 = NDArray[np.float32]

_HIGH: Final = 100.0
_WHOLE: Final = 2**24
_TASK_RAW: Final = [f.name for f in TASK_FEATURES].index("template")
_JOB_RAW: Final = [f.name for f in JOB_FEATURES].index("number")
_PE_STATIC: Final = [f.name for f in PE_FEATURES].index("speed")
_NO_ARRIVAL: Final = 2**31


class Graph(NamedTuple):
    """The observation buffers that kernels write, as in the schema, with a leading batch axis B, and scratch without one."""

    task_x: F32
    task_mask: NDArray[np.int8]
    task_parent: I32
    task_count: I32
    job_x: F32
    job_mask: NDArray[np.int8]
    job_parent: I32
    job_count: I32
    pe_x: F32
    pe_count: I32
    system_x: F32
    system_count: I32
    precedence_index: I32
    precedence_x: F32
    eligibility_index: I32
    eligibility_x: F32
    assignment_index: I32
    candidate_index: I32
    candidate_x: F32
    action_mask: NDArray[np.int8]
    critic_x: F32
    linked: I32  # (B,) offered tasks that candidates and eligibility edges show
    active: I32  # (B, L, 3) longest unfinished path, ready tasks, committed and running tasks of a slot
    finish: I32  # (R, M) earliest finish of each offered task on each PE, -1 where it cannot run
    offer: (
        I32  # (R, 4) earliest and second earliest finish, PE of the earliest, least finish + optimistic cost
    )
    rows: I32  # (L * S,) rows of ready, waiting and running tasks


def graph_views(buffers: dict[str, NDArray[Any]], max_ready: int, num_pes: int, max_live_jobs: int) -> Graph:
    """The kernels' view of a batch of observations."""
    scratch = {
        "linked": (len(buffers["action_mask"]),),
        "active": (len(buffers["action_mask"]), max_live_jobs, 3),
        "finish": (max_ready, num_pes),
        "offer": (max_ready, 4),
        "rows": (buffers["task_mask"].shape[1],),
    }
    return Graph(
        **{key: buffers[key] for key in Graph._fields if key in buffers},
        **{key: np.zeros(shape, np.int32) for key, shape in scratch.items()},
    )


@borrowing_kernel
def capped(value: float) -> np.float32:
    """Within the highest value of a feature."""
    return np.float32(min(value, _HIGH))


@borrowing_kernel
def whole(value: int) -> int:
    """Within what raw columns hold."""
    return max(-_WHOLE, min(_WHOLE, value))


@kernel
def write_static(socs: Socs, graph: Graph, b: int) -> None:
    """Empty slot b's graph at the start of an episode, and write what stays; `write_dynamic` completes it."""
    clock, num_pes = socs.clock, socs.clock[b, PES]
    graph.task_x[b], graph.task_mask[b], graph.task_parent[b] = 0.0, 0, -1
    graph.job_x[b], graph.job_mask[b], graph.job_parent[b] = 0.0, 0, -1
    graph.pe_x[b], graph.system_x[b], graph.candidate_x[b] = 0.0, 0.0, 0.0
    graph.precedence_index[b], graph.precedence_x[b] = -1, 0.0
    graph.eligibility_index[b], graph.eligibility_x[b] = -1, 0.0
    graph.assignment_index[b], graph.candidate_index[b] = -1, -1
    graph.action_mask[b], graph.linked[b] = 0, 0
    graph.task_count[b, 0], graph.job_count[b, 0] = graph.task_x.shape[1], graph.job_x.shape[1]
    graph.pe_count[b, 0], graph.system_count[b, 0] = num_pes, 1
    num_tasks, edges = clock[b, TASKS], socs.template[b, clock[b, TASKS], IN_FIRST]
    volume = socs.volume[b, :edges].sum() / max(1, edges)
    for p in range(num_pes):
        speed, can, fastest, size, slowness = 0.0, 0, 0, 0, 0.0
        for t in range(num_tasks):
            duration, shortest = socs.duration[b, t, p], socs.template[b, t, SHORTEST]
            if duration >= 0:
                can += 1
                speed += shortest / duration if duration > 0 else 1.0
                fastest += duration == shortest
        for q in range(num_pes):
            size += socs.platform[b, p, CLUSTER] == socs.platform[b, q, CLUSTER]
            if p != q and socs.bandwidth[b, p, q] > 0:
                slowness += 1.0 / socs.bandwidth[b, p, q]
        x = graph.pe_x[b, p]
        x[_PE_STATIC] = speed / max(1, can)
        x[_PE_STATIC + 1] = can / num_tasks
        x[_PE_STATIC + 2] = fastest / num_tasks
        x[_PE_STATIC + 3] = size / num_pes
        x[_PE_STATIC + 4] = capped(volume * slowness / max(1, num_pes - 1) / clock[b, UNIT])


@borrowing_kernel
def _erase_task(socs: Socs, graph: Graph, b: int, row: int) -> None:
    """Take a task's row out of the graph, with the edges at it."""
    w = socs.clock[b, WORLD]
    num_tasks, num_edges = _sizes(socs, graph)
    graph.task_mask[b, row], graph.task_parent[b, row] = 0, -1
    for column in range(graph.task_x.shape[2]):
        graph.task_x[b, row, column] = 0.0
    graph.assignment_index[b, 0, row] = graph.assignment_index[b, 1, row] = -1
    slot, t = row // num_tasks, socs.task[b, row, TEMPLATE]
    base = _edge_base(socs, b, slot, num_edges)
    for e in range(socs.template[w, t, IN_FIRST], socs.template[w, t + 1, IN_FIRST]):
        _erase_edge(graph, b, base + e)
    for k in range(socs.template[w, t, OUT_FIRST], socs.template[w, t + 1, OUT_FIRST]):
        _erase_edge(graph, b, base + socs.edge[w, k, BY_SOURCE])


@borrowing_kernel
def _sizes(socs: Socs, graph: Graph) -> tuple[int, int]:
    """Rows of tasks and of precedence edges that a slot has."""
    slots = socs.job.shape[1]
    return socs.task.shape[1] // slots, graph.precedence_index.shape[2] // slots


@borrowing_kernel
def _edge_base(socs: Socs, b: int, slot: int, num_edges: int) -> int:
    """What makes a template edge's number a row of the slot's edges."""
    w = socs.clock[b, WORLD]
    first = socs.profile[w, socs.job[b, slot, PROFILE], TASK_FIRST]
    return slot * num_edges - socs.template[w, first, IN_FIRST]


@borrowing_kernel
def _erase_edge(graph: Graph, b: int, row: int) -> None:
    graph.precedence_index[b, 0, row] = graph.precedence_index[b, 1, row] = -1
    graph.precedence_x[b, row, 0] = 0.0


@borrowing_kernel
def _renew_slot(socs: Socs, graph: Graph, b: int, slot: int) -> None:
    """Show the job that has entered a slot, or that none is there."""
    w = socs.clock[b, WORLD]
    num_tasks, num_edges = _sizes(socs, graph)
    for row in range(slot * num_tasks, (slot + 1) * num_tasks):
        if graph.task_mask[b, row]:
            graph.task_mask[b, row], graph.task_parent[b, row] = 0, -1
            for column in range(graph.task_x.shape[2]):
                graph.task_x[b, row, column] = 0.0
            graph.assignment_index[b, 0, row] = graph.assignment_index[b, 1, row] = -1
    for row in range(slot * num_edges, (slot + 1) * num_edges):
        _erase_edge(graph, b, row)
    there = socs.job[b, slot, ID] >= 0
    graph.job_mask[b, slot], graph.job_parent[b, slot] = there, 0 if there else -1
    for column in range(graph.job_x.shape[2]):
        graph.job_x[b, slot, column] = 0.0
    if not there:
        return
    profile, per_unit = socs.job[b, slot, PROFILE], 1.0 / (RANK_UNIT * socs.clock[b, UNIT])
    first, last = socs.profile[w, profile, TASK_FIRST], socs.profile[w, profile + 1, TASK_FIRST]
    predecessors, successors = socs.clock[b, MOST_PREDECESSORS], socs.clock[b, MOST_SUCCESSORS]
    task_base, edge_base = slot * num_tasks - first, _edge_base(socs, b, slot, num_edges)
    for t in range(first, last):
        row, template = task_base + t, socs.template[w, t]
        if socs.task[b, row, STATUS] == GONE:
            continue
        x, degree = graph.task_x[b, row], socs.template[w, t + 1, IN_FIRST] - template[IN_FIRST]
        graph.task_mask[b, row], graph.task_parent[b, row] = 1, slot
        x[0] = capped(template[MEAN] * per_unit)
        x[1] = capped(template[SHORTEST] / socs.clock[b, UNIT])
        x[2] = capped(template[UPWARD] * per_unit)
        x[3] = capped(template[DOWNWARD] * per_unit)
        x[4] = capped(template[LEVEL] / socs.clock[b, UNIT])
        x[5] = (socs.template[w, t + 1, OUT_FIRST] - template[OUT_FIRST]) / successors
        x[6] = degree / predecessors
        x[7] = template[ELIGIBLE] / socs.clock[b, PES]
        x[_TASK_RAW] = t
        touch(socs, b, row)
        for e in range(template[IN_FIRST], template[IN_FIRST] + degree):
            source = task_base + socs.edge[w, e, SOURCE]
            if socs.task[b, source, STATUS] != GONE:
                graph.precedence_index[b, 0, edge_base + e] = source
                graph.precedence_index[b, 1, edge_base + e] = row
                graph.precedence_x[b, edge_base + e, 0] = capped(socs.edge[w, e, TRANSFER] * per_unit)


@borrowing_kernel
def _age_task(socs: Socs, graph: Graph, b: int, row: int) -> None:
    """Show what time alone changes of a task."""
    task, x, now, unit = socs.task[b, row], graph.task_x[b, row], socs.clock[b, NOW], socs.clock[b, UNIT]
    status = task[STATUS]
    waits = status in (IS_READY, WAITING)
    x[14] = capped((now - task[SINCE]) / unit) if waits else 0.0
    x[15] = capped(max(0, task[END] - now) / unit) if status == RUNNING else 0.0


@borrowing_kernel
def _write_task(socs: Socs, graph: Graph, b: int, row: int) -> None:
    """Show what has happened to a task."""
    w = socs.clock[b, WORLD]
    task, x, t = socs.task[b, row], graph.task_x[b, row], socs.task[b, row, TEMPLATE]
    status = task[STATUS]
    for column in range(5):
        x[8 + column] = 1.0 if status == OUTSTANDING + column else 0.0
    degree = socs.template[w, t + 1, IN_FIRST] - socs.template[w, t, IN_FIRST]
    x[13] = task[WAITING_FOR] / max(1, degree)
    placed = status >= WAITING
    graph.assignment_index[b, 0, row] = row if placed else -1
    graph.assignment_index[b, 1, row] = task[PE] if placed else -1
    _age_task(socs, graph, b, row)
    x[_TASK_RAW + 1] = whole(task[END]) if status >= RUNNING else 0


@borrowing_kernel
def _collect_active(socs: Socs, graph: Graph, b: int) -> int:
    """Put the rows of ready, running and waiting tasks into `Graph.rows`; returns how many they are."""
    clock, rows, count = socs.clock, graph.rows, socs.clock[b, READY]
    for i in range(count):
        rows[i] = socs.ready[b, i]
    for p in range(clock[b, PES]):
        if socs.pe[b, p, RUNS] >= 0:
            rows[count] = socs.pe[b, p, RUNS]
            count += 1
        row = socs.pe[b, p, HEAD]
        while row >= 0:
            rows[count] = row
            count += 1
            row = socs.task[b, row, NEXT]
    return count


@borrowing_kernel
def _write_active(socs: Socs, graph: Graph, b: int) -> None:
    """Renew what time has changed of the ready, waiting and running tasks, and sum them up for their jobs."""
    w = socs.clock[b, WORLD]
    num_tasks, _ = _sizes(socs, graph)
    active = graph.active[b]
    active[:] = 0
    for i in range(_collect_active(socs, graph, b)):
        row = graph.rows[i]
        slot, t, status = row // num_tasks, socs.task[b, row, TEMPLATE], socs.task[b, row, STATUS]
        path = socs.template[w, t, LEVEL]
        if status == RUNNING:
            path += max(0, socs.task[b, row, END] - socs.clock[b, NOW]) - socs.template[w, t, SHORTEST]
        active[slot, 0] = max(active[slot, 0], path)
        active[slot, 1 if status == IS_READY else 2] += 1
        _age_task(socs, graph, b, row)


@borrowing_kernel
def write_graph(socs: Socs, graph: Graph, b: int) -> None:
    """Bring the task, job, PE and system rows of slot b up to date; at one instant only commitments tell decisions apart."""
    clock, task, moved = socs.clock, socs.task, socs.clock[b, MOVED] > 0
    for slot in range(socs.job.shape[1]):
        if socs.job[b, slot, RENEWED]:
            _renew_slot(socs, graph, b, slot)
            socs.job[b, slot, RENEWED] = 0
    for i in range(clock[b, CHANGED]):
        row = socs.changed[b, i]
        task[b, row, TOUCHED] = 0
        if graph.task_mask[b, row]:
            if task[b, row, STATUS] == GONE:
                _erase_task(socs, graph, b, row)
            else:
                _write_task(socs, graph, b, row)
                if not moved and task[b, row, STATUS] == WAITING:
                    _count_commitment(socs, graph, b, row)
    clock[b, CHANGED] = clock[b, MOVED] = 0
    if moved:
        _write_active(socs, graph, b)
        _write_jobs(socs, graph, b)
        _write_critic(socs, graph, b)
    _write_pes(socs, graph, b)


@borrowing_kernel
def _write_pes(socs: Socs, graph: Graph, b: int) -> None:
    clock, pe, system = socs.clock, socs.pe, graph.system_x[b, 0]
    now, unit, num_pes = clock[b, NOW], clock[b, UNIT], clock[b, PES]
    running, next_end = 0, 0
    for p in range(num_pes):
        x, run = graph.pe_x[b, p], pe[b, p, RUNS]
        wait = available(socs, b, p) - now
        x[0] = 1.0 if is_idle(socs, b, p) else 0.0
        x[1] = 1.0 if run >= 0 else 0.0
        x[2] = capped(wait / unit)
        x[3] = capped(pe[b, p, QUEUE] / num_pes)
        x[4] = capped(pe[b, p, QUEUE_WORK] / unit)
        x[5] = pe[b, p, BUSY] / max(1, now)
        x[_PE_STATIC + 5] = whole(wait)
        if run >= 0:
            left = max(0, socs.task[b, run, END] - now)
            next_end = left if running == 0 else min(next_end, left)
            running += 1
    slots = socs.job.shape[1]
    system[0] = (clock[b, ENTERED] - clock[b, DONE_JOBS]) / slots
    system[1] = capped((clock[b, ARRIVED] - clock[b, ENTERED]) / slots)
    system[2] = capped(clock[b, READY] / num_pes)
    system[3] = running / num_pes
    system[5] = capped(next_end / unit)
    system[6] = now / clock[b, HORIZON] if clock[b, HORIZON] > 0 else 0.0
    system[7] = whole(now)


@borrowing_kernel
def _job_size(socs: Socs, b: int, slot: int) -> int:
    """Tasks of the job in a slot."""
    w = socs.clock[b, WORLD]
    profile = socs.job[b, slot, PROFILE]
    return socs.profile[w, profile + 1, TASK_FIRST] - socs.profile[w, profile, TASK_FIRST]


@borrowing_kernel
def _count_commitment(socs: Socs, graph: Graph, b: int, row: int) -> None:
    """Show that a ready task of a job is now a committed one."""
    num_tasks, _ = _sizes(socs, graph)
    slot = row // num_tasks
    active, x, size = graph.active[b, slot], graph.job_x[b, slot], _job_size(socs, b, slot)
    active[1] -= 1
    active[2] += 1
    x[6], x[7] = active[1] / size, active[2] / size


@borrowing_kernel
def _write_jobs(socs: Socs, graph: Graph, b: int) -> None:
    w = socs.clock[b, WORLD]
    clock, job = socs.clock, socs.job
    now, unit, work = clock[b, NOW], clock[b, UNIT], 0
    num_tasks, _ = _sizes(socs, graph)
    for slot in range(job.shape[1]):
        if job[b, slot, ID] < 0:
            continue
        x, active, profile = graph.job_x[b, slot], graph.active[b, slot], job[b, slot, PROFILE]
        size, age = _job_size(socs, b, slot), now - job[b, slot, ARRIVAL]
        work += job[b, slot, WORK_LEFT]
        x[0] = capped(age / unit)
        x[1] = 1.0 - job[b, slot, LEFT] / size
        x[2] = capped(job[b, slot, WORK_LEFT] / unit)
        x[3] = capped(active[0] / unit)
        x[4] = capped(socs.profile[w, profile, BOUND] / unit)
        x[5] = size / num_tasks
        x[6], x[7] = active[1] / size, active[2] / size
        x[8] = 1.0 if job[b, slot, ARRIVAL] >= clock[b, WARM_UP] else 0.0
        x[_JOB_RAW] = job[b, slot, ID]
        x[_JOB_RAW + 1] = profile
        x[_JOB_RAW + 2] = whole(age)
    graph.system_x[b, 0, 4] = capped(work / (clock[b, PES] * unit))


@borrowing_kernel
def _write_critic(socs: Socs, graph: Graph, b: int) -> None:
    """Summarise the arrivals of the next 8 u."""
    w = socs.clock[b, WORLD]
    clock, x = socs.clock, graph.critic_x[b]
    now, unit, j = clock[b, NOW], clock[b, UNIT], clock[b, ARRIVED]
    per_capacity = 1.0 / (clock[b, PES] * unit)
    ahead = socs.arrival[b, j, TIME] - now if j < clock[b, JOBS] else _NO_ARRIVAL
    x[0] = capped(ahead / unit)
    x[1] = x[2] = x[3] = x[4] = 0.0
    while j < clock[b, JOBS] and socs.arrival[b, j, TIME] <= now + 8 * unit and x[4] < _HIGH:
        work = socs.profile[w, socs.arrival[b, j, JOB_PROFILE], WORK] * per_capacity
        ahead = socs.arrival[b, j, TIME] - now
        for window in range(4):
            if ahead <= unit << window:
                x[1 + window] = capped(x[1 + window] + work)
        j += 1
    x[5] = (clock[b, JOBS] - clock[b, ARRIVED]) / clock[b, JOBS]
