"""The job shop's decision graph, and the kernels that keep it up to date.

Only what a decision changes is written: the rows of the job that moved, the frontier, and the rows of candidates that
are allowed now or were a moment ago. Job and machine rows hold times relative to now and are rewritten whole.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateType, EdgeType, Feature, GraphSchema, NodeType, raw
from makespan.envs.core.kernels import borrowing_kernel, kernel
from makespan.envs.jobshop.simulator import (
    ALLOWED,
    BOUND,
    COUNT,
    DURATION,
    FIRST,
    INITIAL_BOUND,
    JOBS,
    LEFT,
    LONGEST,
    MACHINE,
    MACHINES,
    MAKESPAN,
    NEXT,
    NEXT_WORK,
    NOW,
    ONLY,
    OPERATIONS,
    QUEUE_LENGTH,
    QUEUE_WORK,
    READY,
    RELEASE,
    SCHEDULED,
    SHORTEST,
    TAIL,
    WORK,
    Shops,
    earliest_start,
    sum_queues,
)

F32 = NDArray[np.float32]

OPERATION_FEATURES: Final = (
    Feature("scheduled", "1 once the operation is scheduled", high=1.0),
    Feature(
        "completion",
        "(earliest) completion / LB0: actual once scheduled, else job ready time plus shortest work",
    ),
    Feature("duration", "duration on the fastest machine / LB0", static=True),
    Feature(
        "relative_duration",
        "duration on the fastest machine / longest duration of the shop",
        high=1.0,
        static=True,
    ),
    Feature("head", "release date plus shortest work of the job before the operation, / LB0", static=True),
    Feature("tail", "shortest work of the job after the operation / LB0", static=True),
    Feature(
        "position", "operations of the job before this one / operations of the job", high=1.0, static=True
    ),
    Feature("flexibility", "eligible machines / machines", high=1.0, static=True),
)
JOB_FEATURES: Final = (
    Feature("unfinished", "1 while operations of the job remain", high=1.0),
    Feature("ready", "(ready time - now) / LB0", low=-100.0),
    Feature("remaining_work", "shortest work left / LB0"),
    Feature("remaining_operations", "operations left / operations of the job", high=1.0),
    Feature("slack", "(lower bound - ready time - work left) / LB0", low=-100.0),
    Feature("work", "total shortest work / LB0", static=True),
    Feature("length", "operations of the job / operations of the longest job", high=1.0, static=True),
)
MACHINE_FEATURES: Final = (
    Feature("ready", "(ready time - now) / LB0", low=-100.0),
    Feature("remaining_work", "work left, flexible operations shared evenly among their machines, / LB0"),
    Feature("remaining_operations", "unscheduled operations that could run here / jobs"),
    Feature("slack", "(lower bound - ready time - work left) / LB0", low=-100.0),
    Feature("queue_length", "jobs whose next operation could run here / jobs", high=1.0),
    Feature("queue_work", "work of the jobs waiting for the machine now / LB0"),
    Feature("work", "total work at the start, shared as above, / LB0", static=True),
)
SYSTEM_FEATURES: Final = (
    Feature("progress", "scheduled operations / operations", high=1.0),
    Feature("bound", "(lower bound - LB0) / LB0"),
    Feature("now", "earliest possible start of an unscheduled operation / LB0"),
    Feature("makespan", "makespan of the partial schedule / LB0"),
    Feature("allowed", "allowed candidates / jobs"),
    Feature("jobs_share", "jobs / (jobs + machines)", high=1.0, static=True),
)
ELIGIBILITY_FEATURES: Final = (
    Feature("duration", "duration on this machine / LB0", static=True),
    Feature("excess", "(duration - duration on the fastest machine) / LB0", static=True),
)
CANDIDATE_FEATURES: Final = (
    Feature("duration", "duration / LB0"),
    Feature("relative_duration", "duration / longest duration of the shop", high=1.0),
    Feature("excess", "(duration - duration on the fastest machine) / LB0"),
    Feature("start", "(earliest start - now) / LB0"),
    Feature("end", "(earliest completion - now) / LB0"),
    Feature("job_wait", "(earliest start - job ready time) / LB0"),
    Feature("machine_idle", "(earliest start - machine ready time) / LB0"),
    Feature("tail", "shortest work of the job after the operation / LB0"),
    Feature("job_slack", "(lower bound - earliest completion - tail) / LB0", low=-100.0),
    Feature("machine_slack", "(lower bound - earliest start - work left on the machine) / LB0", low=-100.0),
    Feature("bound_increase", "rise of the lower bound by this decision / LB0"),
    Feature("remaining_operations", "operations of the job after this one / operations of the job", high=1.0),
    Feature("machine_operations", "unscheduled operations that could run on the machine / jobs"),
    Feature("rivals", "jobs whose next operation could run on the machine / jobs", high=1.0),
    Feature("flexibility", "eligible machines / machines", high=1.0),
    Feature("next_duration", "shortest duration of the job's next operation after this one / LB0"),
    Feature("next_idle", "(this completion - ready time of the next operation's machine) / LB0", low=-100.0),
    Feature("next_work", "work left on the next operation's machine / LB0"),
    Feature("next_queue", "work waiting now for the next operation's machine / LB0"),
    Feature("is_last", "1 if it is the last operation of its job", high=1.0),
    Feature("is_wait", "1 for the decision to wait", high=1.0),
    raw("processing_time", "duration on the candidate's machine, time units"),
    raw("earliest_start", "earliest start, time units"),
    raw("queue_entry", "when the operation became ready: end of its predecessor or release date, time units"),
    raw("remaining_work", "shortest work of the job from this operation on, time units"),
    raw("remaining_operations_count", "operations of the job from this one on"),
    raw(
        "cumulative_work",
        "shortest work of the job up to and including this operation, plus its release date, time units",
    ),
    raw("total_work", "shortest work of the whole job, time units"),
    raw(
        "next_queue_work",
        "work waiting for the next operation's machine plus its remaining busy time, time units",
    ),
    raw("machine_remaining_work", "work left on the candidate's machine, time units"),
)


def jobshop_schema(
    num_jobs: int, num_operations: int, num_machines: int, num_alternatives: int, with_wait: bool
) -> GraphSchema:
    """The decision graph of shops of at most this size."""
    N, K = num_operations, num_alternatives
    return GraphSchema(
        nodes=(
            NodeType("operation", N, OPERATION_FEATURES, "task", parent="job"),
            NodeType("job", num_jobs, JOB_FEATURES, "job"),
            NodeType("machine", num_machines, MACHINE_FEATURES, "resource"),
            NodeType("system", 1, SYSTEM_FEATURES, "system"),
        ),
        edges=(
            EdgeType("precedence", "operation", "operation", N, acyclic=True),
            EdgeType("eligibility", "operation", "machine", N * K, ELIGIBILITY_FEATURES),
            EdgeType("frontier", "job", "operation", num_jobs, static=False),
        ),
        candidates=CandidateType(
            num_jobs * K + int(with_wait), ("operation", "job", "machine"), CANDIDATE_FEATURES
        ),
    )


class Graph(NamedTuple):
    """The observation buffers that kernels write, as in the schema, with a leading batch axis B."""

    operation_x: F32
    job_x: F32
    machine_x: F32
    system_x: F32
    frontier_index: NDArray[np.int32]  # (B, 2, J)
    candidate_index: NDArray[np.int32]  # (B, A, 3)
    candidate_x: F32
    action_mask: NDArray[np.int8]  # (B, A)


class StaticGraph(NamedTuple):
    """The buffers that are written once per episode."""

    operation_count: NDArray[np.int32]  # (B, 1)
    job_count: NDArray[np.int32]
    machine_count: NDArray[np.int32]
    system_count: NDArray[np.int32]
    operation_parent: NDArray[np.int32]  # (B, N)
    precedence_index: NDArray[np.int32]  # (B, 2, N)
    eligibility_index: NDArray[np.int32]  # (B, 2, N K)
    eligibility_x: F32


def graph_views(buffers: dict[str, NDArray[Any]]) -> tuple[Graph, StaticGraph]:
    """The kernels' view of a batch of observations."""
    return (
        Graph(**{key: buffers[key] for key in Graph._fields}),
        StaticGraph(**{key: buffers[key] for key in StaticGraph._fields}),
    )


def _columns(features: tuple[Feature, ...]) -> dict[str, int]:
    return {feature.name: column for column, feature in enumerate(features)}


# Numba freezes module constants at compile time: the kernels name their columns through these.
_OP: Final = _columns(OPERATION_FEATURES)
_OP_SCHEDULED, _OP_COMPLETION = _OP["scheduled"], _OP["completion"]
_C: Final = _columns(CANDIDATE_FEATURES)
_C_IS_WAIT, _C_RAW = _C["is_wait"], _C["processing_time"]
_C_NEXT, _C_IS_LAST = _C["next_duration"], _C["is_last"]


@borrowing_kernel
def _scale(shops: Shops, b: int) -> np.float32:
    """1 / LB0, the unit of every time the networks see."""
    return np.float32(1.0 / max(1, shops.clock[b, INITIAL_BOUND]))


@kernel
def write_static(shops: Shops, graph: Graph, static: StaticGraph, b: int) -> None:
    """Write slot b's graph at the start of an episode; `write_dynamic` completes it."""
    num_jobs, num_machines = shops.clock[b, JOBS], shops.clock[b, MACHINES]
    scale = _scale(shops, b)
    static.operation_count[b, 0], static.job_count[b, 0] = shops.clock[b, OPERATIONS], num_jobs
    static.machine_count[b, 0], static.system_count[b, 0] = num_machines, 1
    static.operation_parent[b] = -1
    static.precedence_index[b] = -1
    static.eligibility_index[b] = -1
    static.eligibility_x[b] = 0.0
    graph.operation_x[b] = 0.0
    graph.job_x[b] = 0.0
    graph.machine_x[b] = 0.0
    graph.candidate_x[b] = 0.0
    graph.candidate_index[b] = -1
    graph.frontier_index[b] = -1
    edge, link, longest_job = 0, 0, 0
    for j in range(num_jobs):
        longest_job = max(longest_job, shops.job[b, j + 1, FIRST] - shops.job[b, j, FIRST])
    for j in range(num_jobs):
        first, last = shops.job[b, j, FIRST], shops.job[b, j + 1, FIRST]
        work = shops.operation[b, first, SHORTEST] + shops.operation[b, first, TAIL]
        graph.job_x[b, j, 5] = work * scale
        graph.job_x[b, j, 6] = np.float32((last - first) / longest_job)
        for o in range(first, last):
            static.operation_parent[b, o] = j
            shortest = shops.operation[b, o, SHORTEST]
            for k in range(shops.operation[b, o, COUNT]):
                static.eligibility_index[b, 0, edge] = o
                static.eligibility_index[b, 1, edge] = shops.alternative[b, o, k, MACHINE]
                static.eligibility_x[b, edge, 0] = shops.alternative[b, o, k, DURATION] * scale
                static.eligibility_x[b, edge, 1] = (shops.alternative[b, o, k, DURATION] - shortest) * scale
                edge += 1
            if o + 1 < last:
                static.precedence_index[b, 0, link] = o
                static.precedence_index[b, 1, link] = o + 1
                link += 1
            head = shops.job[b, j, RELEASE] + work - shops.operation[b, o, TAIL] - shortest
            graph.operation_x[b, o, _OP_COMPLETION] = (head + shortest) * scale
            graph.operation_x[b, o, 2] = shortest * scale
            graph.operation_x[b, o, 3] = np.float32(shortest / shops.clock[b, LONGEST])
            graph.operation_x[b, o, 4] = head * scale
            graph.operation_x[b, o, 5] = shops.operation[b, o, TAIL] * scale
            graph.operation_x[b, o, 6] = np.float32((o - first) / (last - first))
            graph.operation_x[b, o, 7] = np.float32(shops.operation[b, o, COUNT] / num_machines)
    for j in range(num_jobs):
        _write_job(shops, graph, b, j, scale)
    for m in range(num_machines):
        _write_load(shops, graph, b, m, scale)
        graph.machine_x[b, m, 6] = shops.machine[b, m, WORK] * scale
    graph.system_x[b, 0, 5] = np.float32(num_jobs / (num_jobs + num_machines))


@borrowing_kernel
def write_dispatch(shops: Shops, graph: Graph, b: int, j: int, o: int) -> None:
    """Write what the dispatch of job j's operation o has changed for good: its job's rows and its machines' loads."""
    scale = _scale(shops, b)
    graph.operation_x[b, o, _OP_SCHEDULED] = 1.0
    end = shops.job[b, j, READY]
    graph.operation_x[b, o, _OP_COMPLETION] = end * scale
    for later in range(o + 1, shops.job[b, j + 1, FIRST]):
        end += shops.operation[b, later, SHORTEST]
        graph.operation_x[b, later, _OP_COMPLETION] = end * scale
    _write_job(shops, graph, b, j, scale)
    for k in range(shops.operation[b, o, COUNT]):
        _write_load(shops, graph, b, shops.alternative[b, o, k, MACHINE], scale)


@borrowing_kernel
def _write_job(shops: Shops, graph: Graph, b: int, j: int, scale: np.float32) -> None:
    """Write what only job j's own dispatches change in its row, and its frontier."""
    o, last = shops.job[b, j, NEXT], shops.job[b, j + 1, FIRST]
    left = last - o if o >= 0 else 0
    graph.frontier_index[b, 0, j] = j if o >= 0 else -1
    graph.frontier_index[b, 1, j] = o
    graph.job_x[b, j, 0] = 1.0 if o >= 0 else 0.0
    graph.job_x[b, j, 2] = shops.job[b, j, NEXT_WORK] * scale
    graph.job_x[b, j, 3] = np.float32(left) / np.float32(last - shops.job[b, j, FIRST])


@borrowing_kernel
def _write_load(shops: Shops, graph: Graph, b: int, m: int, scale: np.float32) -> None:
    """Write what only dispatches of operations that could run there change in machine m's row."""
    graph.machine_x[b, m, 1] = shops.machine[b, m, WORK] * scale
    graph.machine_x[b, m, 2] = shops.machine[b, m, LEFT] * (
        np.float32(1.0) / np.float32(shops.clock[b, JOBS])
    )


@borrowing_kernel
def write_dynamic(shops: Shops, graph: Graph, b: int) -> None:
    """Write slot b's job, machine, system and candidate rows for the current decision."""
    sum_queues(shops, b)
    clock, system_x, scale = shops.clock, graph.system_x, _scale(shops, b)
    per_job = np.float32(1.0) / np.float32(clock[b, JOBS])
    _write_times(shops, graph, b, scale, per_job)
    system_x[b, 0, 0] = np.float32(clock[b, SCHEDULED]) / np.float32(clock[b, OPERATIONS])
    system_x[b, 0, 1] = (clock[b, BOUND] - clock[b, INITIAL_BOUND]) * scale
    system_x[b, 0, 2] = clock[b, NOW] * scale
    system_x[b, 0, 3] = clock[b, MAKESPAN] * scale
    system_x[b, 0, 4] = np.float32(clock[b, ALLOWED]) / np.float32(clock[b, JOBS])
    K = shops.alternative.shape[2]
    for a in range(graph.action_mask.shape[1]):
        if graph.action_mask[b, a]:
            if a < graph.job_x.shape[1] * K:
                _write_candidate(shops, graph, b, a, scale, per_job)
            else:
                graph.candidate_x[b, a, _C_IS_WAIT] = 1.0
        elif graph.candidate_index[b, a, 0] >= 0 or graph.candidate_x[b, a, _C_IS_WAIT] > 0.0:
            for column in range(graph.candidate_x.shape[2]):
                graph.candidate_x[b, a, column] = 0.0
            for column in range(graph.candidate_index.shape[2]):
                graph.candidate_index[b, a, column] = -1


@borrowing_kernel
def _write_times(shops: Shops, graph: Graph, b: int, scale: np.float32, per_job: np.float32) -> None:
    """Write what passing time, or the bound, changes in the rows of jobs and machines."""
    job, machine = shops.job, shops.machine
    now, bound = shops.clock[b, NOW], shops.clock[b, BOUND]
    for j in range(shops.clock[b, JOBS]):
        ready = job[b, j, READY]
        graph.job_x[b, j, 1] = (ready - now) * scale
        graph.job_x[b, j, 4] = (bound - ready - job[b, j, NEXT_WORK]) * scale
    for m in range(shops.clock[b, MACHINES]):
        ready = machine[b, m, READY]
        graph.machine_x[b, m, 0] = (ready - now) * scale
        graph.machine_x[b, m, 3] = (bound - ready - machine[b, m, WORK]) * scale
        graph.machine_x[b, m, 4] = machine[b, m, QUEUE_LENGTH] * per_job
        graph.machine_x[b, m, 5] = machine[b, m, QUEUE_WORK] * scale


@borrowing_kernel
def _write_candidate(
    shops: Shops, graph: Graph, b: int, a: int, scale: np.float32, per_job: np.float32
) -> None:
    clock, job, operation, alternative, frontier, machine = shops
    index, x = graph.candidate_index[b, a], graph.candidate_x[b, a]
    j = a // alternative.shape[2]
    o = job[b, j, NEXT]
    m, p = frontier[b, MACHINE, a], frontier[b, DURATION, a]
    index[0], index[1], index[2] = o, j, m
    now, bound = clock[b, NOW], clock[b, BOUND]
    first, last = job[b, j, FIRST], job[b, j + 1, FIRST]
    start = earliest_start(shops, b, j, m)
    end, tail, work = start + p, operation[b, o, TAIL], machine[b, m, WORK]
    # the operation leaves the machine's exclusive work only if it was counted there
    only = machine[b, m, ONLY] - (p if operation[b, o, COUNT] == 1 else 0)
    rise = max(0, max(end + tail, end + only) - bound)
    x[0] = p * scale
    x[1] = np.float32(p) / np.float32(clock[b, LONGEST])
    x[2] = (p - operation[b, o, SHORTEST]) * scale
    x[3] = (start - now) * scale
    x[4] = (end - now) * scale
    x[5] = (start - job[b, j, READY]) * scale
    x[6] = (start - machine[b, m, READY]) * scale
    x[7] = tail * scale
    x[8] = (bound - end - tail) * scale
    x[9] = (bound - start - work) * scale
    x[10] = rise * scale
    x[11] = np.float32(last - o - 1) / np.float32(last - first)
    x[12] = machine[b, m, LEFT] * per_job
    x[13] = machine[b, m, QUEUE_LENGTH] * per_job
    x[14] = np.float32(operation[b, o, COUNT]) / np.float32(clock[b, MACHINES])
    _write_next(shops, graph, b, a, o, last, end, scale)
    write_raw(shops, b, a, x, _C_RAW)


@borrowing_kernel
def write_raw(shops: Shops, b: int, a: int, row: NDArray[Any], column: int) -> None:
    """Write an allowed candidate's raw features, in the order of the schema, from a column of its row on."""
    job, operation, frontier = shops.job, shops.operation, shops.frontier
    j = a // shops.alternative.shape[2]
    o = job[b, j, NEXT]
    m, first, tail = frontier[b, MACHINE, a], job[b, j, FIRST], operation[b, o, TAIL]
    total = operation[b, first, SHORTEST] + operation[b, first, TAIL]
    left = job[b, j + 1, FIRST] - o
    row[column] = frontier[b, DURATION, a]
    row[column + 1] = earliest_start(shops, b, j, m)
    row[column + 2] = job[b, j, READY]
    row[column + 3] = operation[b, o, SHORTEST] + tail
    row[column + 4] = left
    row[column + 5] = job[b, j, RELEASE] + total - tail
    row[column + 6] = total
    row[column + 7] = _next_queue(shops, b, o + 1) if left > 1 else 0
    row[column + 8] = shops.machine[b, m, WORK]


@borrowing_kernel
def _first_free(shops: Shops, b: int, o: int) -> int:
    """Of operation o's machines the one that is free first."""
    best = shops.alternative[b, o, 0, MACHINE]
    for k in range(1, shops.operation[b, o, COUNT]):
        m = shops.alternative[b, o, k, MACHINE]
        if shops.machine[b, m, READY] < shops.machine[b, best, READY]:
            best = m
    return best


@borrowing_kernel
def _next_queue(shops: Shops, b: int, o: int) -> int:
    """Work that waits for the machine on which operation o could start first, and the machine's remaining busy time."""
    m = _first_free(shops, b, o)
    return shops.machine[b, m, QUEUE_WORK] + max(0, shops.machine[b, m, READY] - shops.clock[b, NOW])


@borrowing_kernel
def _write_next(
    shops: Shops, graph: Graph, b: int, a: int, o: int, last: int, end: int, scale: np.float32
) -> None:
    """Write the outlook on the job's next operation; of its machines the one that is free first counts."""
    x = graph.candidate_x[b, a]
    if o + 1 >= last:
        for column in range(_C_NEXT, _C_NEXT + 4):
            x[column] = 0.0
        x[_C_IS_LAST] = 1.0
        return
    m = _first_free(shops, b, o + 1)
    x[_C_NEXT] = shops.operation[b, o + 1, SHORTEST] * scale
    x[_C_NEXT + 1] = (end - shops.machine[b, m, READY]) * scale
    x[_C_NEXT + 2] = shops.machine[b, m, WORK] * scale
    x[_C_NEXT + 3] = shops.machine[b, m, QUEUE_WORK] * scale
    x[_C_IS_LAST] = 0.0
