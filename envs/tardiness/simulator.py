"""The single machine's simulator and its decision graph: jobs are appended one after the other, without idle time.

The lower bound of the total tardiness counts every unscheduled job as if it came next: the tardiness so far plus the sum of
max(0, t + p_j - d_j). It never falls, and ends at the total tardiness. Rewards are its differences in units of MDD's value.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateType, Feature, GraphSchema, NodeType, raw
from makespan.envs.core.kernels import borrowing_kernel

I32 = NDArray[np.int32]
F32 = NDArray[np.float32]

JOB_FEATURES: Final = (
    Feature("scheduled", "1 once the job is done", high=1.0),
    Feature("late", "1 if it would be late if it came next", high=1.0),
    Feature("slack", "(due date - time - processing time) / mean processing time, cut at +-100", low=-100.0),
    Feature("urgency", "(due date - time - processing time) / work left, cut at +-100", low=-100.0),
    Feature("processing", "processing time / mean processing time", static=True),
    Feature("share", "processing time / longest processing time", high=1.0, static=True),
    Feature("due", "due date / total work, cut at +-100", low=-100.0, static=True),
)
SYSTEM_FEATURES: Final = (
    Feature("progress", "jobs done / jobs", high=1.0),
    Feature("time", "time / total work", high=1.0),
    Feature("late", "unscheduled jobs that would be late if they came next / jobs", high=1.0),
    Feature("tardiness", "tardiness so far / MDD's value, cut at 100"),
    Feature("bound", "lower bound / MDD's value, cut at 100"),
)
CANDIDATE_FEATURES: Final = (
    Feature("processing", "processing time / mean processing time of the unscheduled"),
    Feature("share", "processing time / longest of the unscheduled", high=1.0),
    Feature(
        "slack", "(due date - time - processing time) / mean of the unscheduled, cut at +-100", low=-100.0
    ),
    Feature("urgency", "(due date - time - processing time) / work left, cut at +-100", low=-100.0),
    Feature("late", "1 if it would be late", high=1.0),
    Feature("modified_due", "(max(time + processing time, due date) - time) / work left, cut at 100"),
    Feature("shortest_first", "rank by processing time among the unscheduled / their number", high=1.0),
    Feature("earliest_first", "rank by due date among the unscheduled / their number", high=1.0),
    Feature("mdd_first", "rank by modified due date among the unscheduled / their number", high=1.0),
    Feature("bound_increase", "rise of the lower bound by this decision / MDD's value, cut at 100"),
    Feature("harm", "that rise / work left, cut at 100"),
    raw("processing_time", "processing time, time units"),
    raw("due_date", "due date, time units"),
    raw("now", "time"),
)
_NUM_SCALED: Final = len(CANDIDATE_FEATURES) - 3

# Columns of `Machines.clock`.
JOBS: Final = 0
WORK: Final = 1  # total
LONGEST: Final = 2
SCALE: Final = 3  # MDD's value, at least 1
NOW: Final = 4
DONE: Final = 5
TARDINESS: Final = 6
BOUND: Final = 7

# Columns of `Machines.job`.
PROCESSING: Final = 0
DUE: Final = 1
START: Final = 2  # -1 while unscheduled
BY_SLACK: Final = 3  # row i: the job with i smaller due date - processing time
BY_PROCESSING: Final = 4
BY_DUE: Final = 5
RANK: Final = 6  # scratch


class Machines(NamedTuple):
    """A batch of B machines with at most N jobs, instance and state; times in time units."""

    clock: NDArray[np.int64]  # (B, 8)
    job: I32  # (B, N, 7)
    slack_sum: NDArray[np.int64]  # (B, N + 1), scratch
    slack: NDArray[np.int64]  # (B, N), scratch


class Graph(NamedTuple):
    """The observation buffers, with a leading batch axis."""

    job_x: F32
    job_count: I32
    system_x: F32
    system_count: I32
    candidate_index: I32
    candidate_x: F32
    action_mask: NDArray[np.int8]


def tardiness_schema(num_jobs: int) -> GraphSchema:
    """The decision graph of machines with at most that many jobs."""
    return GraphSchema(
        nodes=(
            NodeType("job", num_jobs, JOB_FEATURES, "task"),
            NodeType("system", 1, SYSTEM_FEATURES, "system"),
        ),
        edges=(),
        candidates=CandidateType(num_jobs, ("job",), CANDIDATE_FEATURES),
    )


def graph_views(buffers: dict[str, NDArray[Any]]) -> Graph:
    """The kernels' view of a batch of observations."""
    return Graph(**{key: buffers[key] for key in Graph._fields})


def make_machines(num_slots: int, num_jobs: int) -> Machines:
    """Zeroed arrays for `num_slots` machines."""
    return Machines(
        np.zeros((num_slots, 8), np.int64),
        np.zeros((num_slots, num_jobs, 7), np.int32),
        np.zeros((num_slots, num_jobs + 1), np.int64),
        np.zeros((num_slots, num_jobs), np.int64),
    )


@borrowing_kernel
def append(machines: Machines, b: int, j: int) -> None:
    """Run job j next."""
    clock, job = machines.clock, machines.job
    job[b, j, START] = clock[b, NOW]
    clock[b, NOW] += job[b, j, PROCESSING]
    clock[b, TARDINESS] += max(0, clock[b, NOW] - job[b, j, DUE])
    clock[b, DONE] += 1
    bound = clock[b, TARDINESS]
    for k in range(clock[b, JOBS]):
        if job[b, k, START] < 0:
            bound += max(0, clock[b, NOW] + job[b, k, PROCESSING] - job[b, k, DUE])
    clock[b, BOUND] = bound


@borrowing_kernel
def _clip(x: float) -> np.float32:
    return np.float32(max(-100.0, min(100.0, x)))


@borrowing_kernel
def _sum_slacks(machines: Machines, b: int) -> tuple[int, int, int]:
    """Slacks due - processing of the unscheduled in order, and their sums; count, work left and longest of them."""
    job, slack, slack_sum = machines.job, machines.slack, machines.slack_sum
    count, work, longest = 0, 0, 0
    slack_sum[b, 0] = 0
    for i in range(machines.clock[b, JOBS]):
        j = job[b, i, BY_SLACK]
        if job[b, j, START] < 0:
            slack[b, count] = job[b, j, DUE] - job[b, j, PROCESSING]
            slack_sum[b, count + 1] = slack_sum[b, count] + slack[b, count]
            work += job[b, j, PROCESSING]
            longest = max(longest, job[b, j, PROCESSING])
            count += 1
    return count, work, longest


@borrowing_kernel
def write_graph(machines: Machines, graph: Graph, b: int) -> None:
    """Write slot b's observation for the current decision."""
    clock, job = machines.clock, machines.job
    now, num_jobs, scale = clock[b, NOW], clock[b, JOBS], float(clock[b, SCALE])
    count, work, longest = _sum_slacks(machines, b)
    mean, late = clock[b, WORK] / num_jobs, 0
    for j in range(num_jobs):
        left = job[b, j, DUE] - now - job[b, j, PROCESSING]
        waits = job[b, j, START] < 0
        graph.action_mask[b, j] = 1 if waits else 0
        graph.job_x[b, j, 0] = 0.0 if waits else 1.0
        graph.job_x[b, j, 1] = 1.0 if waits and left < 0 else 0.0
        graph.job_x[b, j, 2] = _clip(left / mean) if waits else np.float32(0.0)
        graph.job_x[b, j, 3] = _clip(left / max(1, work)) if waits else np.float32(0.0)
        late += 1 if waits and left < 0 else 0
        if waits:
            _write_candidate(machines, graph, b, j, count, work, longest)
        elif graph.candidate_index[b, j, 0] >= 0:
            graph.candidate_index[b, j, 0] = -1
            for column in range(graph.candidate_x.shape[2]):
                graph.candidate_x[b, j, column] = 0.0
    _write_ranks(machines, graph, b, max(1, count))
    graph.system_x[b, 0, 0] = np.float32(clock[b, DONE] / num_jobs)
    graph.system_x[b, 0, 1] = np.float32(now / clock[b, WORK])
    graph.system_x[b, 0, 2] = np.float32(late / num_jobs)
    graph.system_x[b, 0, 3] = _clip(clock[b, TARDINESS] / scale)
    graph.system_x[b, 0, 4] = _clip(clock[b, BOUND] / scale)


@borrowing_kernel
def _write_candidate(
    machines: Machines, graph: Graph, b: int, j: int, count: int, work: int, longest: int
) -> None:
    clock, job, x = machines.clock, machines.job, graph.candidate_x
    p, d, now = job[b, j, PROCESSING], job[b, j, DUE], clock[b, NOW]
    rise = _rise(machines, b, p, d, count)
    graph.candidate_index[b, j, 0] = j
    x[b, j, 0] = np.float32(p * count / work)
    x[b, j, 1] = np.float32(p / longest)
    x[b, j, 2] = _clip((d - now - p) * count / work)
    x[b, j, 3] = _clip((d - now - p) / work)
    x[b, j, 4] = 1.0 if now + p > d else 0.0
    x[b, j, 5] = _clip((max(now + p, d) - now) / work)
    x[b, j, 9] = _clip(rise / clock[b, SCALE])
    x[b, j, 10] = _clip(rise / work)
    x[b, j, 11], x[b, j, 12], x[b, j, 13] = p, d, now


@borrowing_kernel
def _rise(machines: Machines, b: int, p: int, d: int, count: int) -> int:
    """Rise of the lower bound if an unscheduled job comes next: what it does to all others."""
    slack, slack_sum, now = machines.slack, machines.slack_sum, machines.clock[b, NOW]
    low, high = 0, count  # the first slack that is not below now + p
    while low < high:
        middle = (low + high) // 2
        if slack[b, middle] < now + p:
            low = middle + 1
        else:
            high = middle
    all_later = low * (now + p) - slack_sum[b, low]
    so_far = machines.clock[b, BOUND] - machines.clock[b, TARDINESS]
    return all_later - max(0, now + 2 * p - d) + max(0, now + p - d) - so_far


@borrowing_kernel
def _write_ranks(machines: Machines, graph: Graph, b: int, count: int) -> None:
    """Ranks by processing time, due date and modified due date (a merge of the two orders)."""
    clock, job, x = machines.clock, machines.job, graph.candidate_x
    num_jobs, now = clock[b, JOBS], clock[b, NOW]
    shorter, earlier = 0, 0
    for i in range(num_jobs):
        j, k = job[b, i, BY_PROCESSING], job[b, i, BY_DUE]
        if job[b, j, START] < 0:
            x[b, j, 6] = np.float32(shorter / count)
            shorter += 1
        if job[b, k, START] < 0:
            x[b, k, 7] = np.float32(earlier / count)
            earlier += 1
    i, k, rank = 0, 0, 0  # late jobs in order of processing times, others in order of due dates
    while i < num_jobs or k < num_jobs:
        one = job[b, i, BY_PROCESSING] if i < num_jobs else -1
        other = job[b, k, BY_DUE] if k < num_jobs else -1
        if one >= 0 and (job[b, one, START] >= 0 or now + job[b, one, PROCESSING] < job[b, one, DUE]):
            i += 1
        elif other >= 0 and (
            job[b, other, START] >= 0 or now + job[b, other, PROCESSING] >= job[b, other, DUE]
        ):
            k += 1
        elif other < 0 or (one >= 0 and now + job[b, one, PROCESSING] <= job[b, other, DUE]):
            x[b, one, 8] = np.float32(rank / count)
            rank, i = rank + 1, i + 1
        else:
            x[b, other, 8] = np.float32(rank / count)
            rank, k = rank + 1, k + 1
