"""The blocking shop's decision graph: a disjunctive graph whose nodes and edges come and go.

Operations leave the graph when their job has left their machine, with their edges. Operations of one machine
meet at the machine's node (a star instead of a clique); `waits_for` edges lead from a blocked job to the job that
holds its next machine.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateType, EdgeType, Feature, GraphSchema, NodeType, raw

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

OPERATION_FEATURES: Final = (
    Feature("begun", "1 once the operation holds its machine", high=1.0),
    Feature("processed", "share of its work that is done", high=1.0),
    Feature("blocked", "1 while it is done and blocks its machine", high=1.0),
    Feature("interrupted", "1 while it is in process on a machine that is down", high=1.0),
    Feature(
        "completion", "earliest completion / LB0, without waiting and downtime from its job's last entry on"
    ),
    Feature("duration", "duration / LB0", static=True),
    Feature("relative_duration", "duration / longest duration of the shop", high=1.0, static=True),
    Feature("head", "release date plus work of the job before the operation, / LB0", static=True),
    Feature("tail", "work of the job after the operation / LB0", static=True),
    Feature(
        "position", "operations of the job before this one / operations of the job", high=1.0, static=True
    ),
)
JOB_FEATURES: Final = (
    Feature("unfinished", "1 while operations of the job remain", high=1.0),
    Feature("in_shop", "1 while the job holds a machine", high=1.0),
    Feature("blocked", "1 while the job blocks a machine", high=1.0),
    Feature("waiting", "time it has waited to enter its next machine / LB0"),
    Feature("ready", "(release date - now, or time left of the operation in process) / LB0"),
    Feature("remaining_work", "work left / LB0"),
    Feature("remaining_operations", "operations left / operations of the job", high=1.0),
    Feature("slack", "(lower bound - now - ready - work not begun) / LB0", low=-100.0),
    Feature("followers", "jobs that wait for the machine it holds / jobs", high=1.0),
    Feature("work", "total work / LB0", static=True),
    Feature("length", "operations of the job / operations of the longest job", high=1.0, static=True),
)
MACHINE_FEATURES: Final = (
    Feature("free", "1 while no job is on it", high=1.0),
    Feature("blocked", "1 while a finished operation blocks it", high=1.0),
    Feature("down", "1 while it is down", high=1.0),
    Feature("asked", "1 if the decision is about this machine", high=1.0),
    Feature("ready", "time left of the operation in process / LB0"),
    Feature("remaining_work", "work not begun / LB0"),
    Feature("remaining_operations", "operations not begun / jobs"),
    Feature("slack", "(lower bound - now - time left - work not begun) / LB0", low=-100.0),
    Feature("queue_length", "jobs that wait to enter / jobs", high=1.0),
    Feature("queue_work", "their work here / LB0"),
    Feature("since_change", "time since it went down, or was repaired last (the start, if never), / LB0"),
    Feature("since_move", "time since a job entered or left / LB0"),
    Feature("downtime", "downtime so far / time so far", high=1.0),
    Feature("work", "total work at the start / LB0", static=True),
)
SYSTEM_FEATURES: Final = (
    Feature("progress", "operations begun / operations", high=1.0),
    Feature("bound", "(lower bound - LB0) / LB0"),
    Feature("now", "time / LB0"),
    Feature("allowed", "allowed candidates / jobs", high=2.0),
    Feature("blocked", "blocked machines / machines", high=1.0),
    Feature("busy", "machines with an operation in process / machines", high=1.0),
    Feature("down", "machines down / machines", high=1.0),
    Feature("swap", "1 if jobs may exchange places", high=1.0, static=True),
    Feature("repeat", "1 if interrupted work is lost", high=1.0, static=True),
    Feature("jobs_share", "jobs / (jobs + machines)", high=1.0, static=True),
)
CANDIDATE_FEATURES: Final = (
    Feature("duration", "duration / LB0"),
    Feature("relative_duration", "duration / longest duration of the shop", high=1.0),
    Feature("tail", "work of the job after the operation / LB0"),
    Feature("waiting", "time the job has waited / LB0"),
    Feature("job_slack", "(lower bound - now - duration - tail) / LB0", low=-100.0),
    Feature("machine_slack", "(lower bound - now - work not begun on the machine) / LB0", low=-100.0),
    Feature("bound_increase", "rise of the lower bound by starting it now / LB0"),
    Feature("remaining_operations", "operations of the job after this one / operations of the job", high=1.0),
    Feature("rivals", "jobs that wait for the machine / jobs", high=1.0),
    Feature("machine_operations", "operations not begun on the machine / jobs"),
    Feature("blocks", "1 if the job blocks a machine now", high=1.0),
    Feature("followers", "jobs that wait for the machine it would leave / jobs", high=1.0),
    Feature("follower_work", "their work there / LB0"),
    Feature("freed_work", "work not begun on the machine it would leave / LB0"),
    Feature("next_duration", "duration of the job's next operation after this one / LB0"),
    Feature("next_free", "1 if the machine of that operation is free and up", high=1.0),
    Feature("next_ready", "time left of the operation in process there / LB0"),
    Feature("next_blocked", "1 if that machine is blocked", high=1.0),
    Feature("next_down", "1 if that machine is down", high=1.0),
    Feature("next_queue", "work waiting for that machine / LB0"),
    Feature("next_work", "work not begun on that machine / LB0"),
    Feature("is_last", "1 if it is the last operation of its job", high=1.0),
    Feature("is_wait", "1 for the decision to wait", high=1.0),
    raw("processing_time", "duration, time units"),
    raw(
        "queue_entry",
        "when the job began to wait: completion of its last operation or release date, time units",
    ),
    raw("remaining_work", "work of the job from this operation on, time units"),
    raw("remaining_operations_count", "operations of the job from this one on"),
    raw(
        "cumulative_work",
        "work of the job up to and including this operation, plus its release date, time units",
    ),
    raw("total_work", "work of the whole job, time units"),
    raw(
        "next_queue_work",
        "work waiting for the next operation's machine plus the time left there, time units",
    ),
    raw("machine_remaining_work", "work not begun on the candidate's machine, time units"),
    raw("is_blocking", "1 if the job blocks a machine now"),
)
CRITIC_FEATURES: Final = (
    Feature("downtime_ahead", "mean downtime of a machine from now until 2 LB0, / LB0"),
    Feature("stops_ahead", "stops within operations not begun / (machines LB0)"),
)


def blocking_schema(num_jobs: int, num_operations: int, num_machines: int, may_wait: bool) -> GraphSchema:
    """The decision graph of blocking shops of at most this size."""
    N, J, M = num_operations, num_jobs, num_machines
    return GraphSchema(
        nodes=(
            NodeType("operation", N, OPERATION_FEATURES, "task", parent="job", sparse=True),
            NodeType("job", J, JOB_FEATURES, "job"),
            NodeType("machine", M, MACHINE_FEATURES, "resource"),
            NodeType("system", 1, SYSTEM_FEATURES, "system"),
        ),
        edges=(
            EdgeType("precedence", "operation", "operation", N, acyclic=True, static=False),
            EdgeType("eligibility", "operation", "machine", N, static=False),
            EdgeType("frontier", "job", "operation", J, static=False),
            EdgeType("holds", "job", "machine", M, static=False),
            EdgeType("waits_for", "job", "job", J, static=False),
        ),
        candidates=CandidateType(J + int(may_wait), ("operation", "job", "machine"), CANDIDATE_FEATURES),
        critic_features=CRITIC_FEATURES,
    )


class Graph(NamedTuple):
    """The observation buffers that kernels write, as in the schema, with a leading batch axis B."""

    operation_x: F32
    operation_mask: NDArray[np.int8]  # (B, N)
    operation_count: I32  # (B, 1)
    operation_parent: I32  # (B, N)
    job_x: F32
    job_count: I32
    machine_x: F32
    machine_count: I32
    system_x: F32
    system_count: I32
    precedence_index: I32  # (B, 2, N)
    eligibility_index: I32  # (B, 2, N)
    frontier_index: I32  # (B, 2, J)
    holds_index: I32  # (B, 2, M)
    waits_for_index: I32  # (B, 2, J)
    candidate_index: I32  # (B, A, 3)
    candidate_x: F32
    action_mask: NDArray[np.int8]  # (B, A)
    critic_x: F32


def graph_views(buffers: dict[str, NDArray[Any]]) -> Graph:
    """The kernels' view of a batch of observations."""
    return Graph(**{key: buffers[key] for key in Graph._fields})
