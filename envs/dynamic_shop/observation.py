"""The dynamic shop's decision graph: jobs and operations come and go; candidates carry what due-date rules look at.

A job in the shop has a slot; its operations that are not done are rows of that slot. Jobs outside (no slot is free) are counted
in the system row only. Which jobs are counted is hidden: nobody can serve them at the expense of the others. Critics may know.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateType, EdgeType, Feature, GraphSchema, NodeType, raw

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

LOOKAHEAD: Final = 2.0
"""k of the ATC and COVERT indices shown: how many mean processing times before it is critical a job begins to count. Like `LEAD`
it was chosen on draws of the generator `dynamic`; Vepsalainen & Morton (1987) have k = 3, b = 2 for ATC."""

LEAD: Final = 1.0
"""b of the indices shown: expected wait of a later operation, in units of its processing time."""

# u is the instance's unit of time: the mean forecast of an operation.
OPERATION_FEATURES: Final = (
    Feature("waiting", "1 while it waits for a machine", high=1.0),
    Feature("in_process", "1 while it is in process", high=1.0),
    Feature("duration", "forecast, mean over eligible machines, / u"),
    Feature("tail", "forecast work of the job after it / u"),
    Feature("position", "operations of the job before it / operations of the job", high=1.0),
    Feature("flexibility", "eligible machines / machines", high=1.0),
)
JOB_FEATURES: Final = (
    Feature("in_process", "1 while an operation is in process", high=1.0),
    Feature("weight", "weight / largest weight", high=1.0),
    Feature("age", "time since its arrival / u"),
    Feature("waited", "time the present operation has waited / u"),
    Feature("ready", "forecast rest of the operation in process / u"),
    Feature("remaining_work", "forecast work left / u"),
    Feature("remaining_operations", "operations not done / operations of the job", high=1.0),
    Feature("slack", "(due date - now - work left) / u", low=-100.0),
    Feature("urgency", "slack / (|slack| + work left)", low=-1.0, high=1.0),
)
MACHINE_FEATURES: Final = (
    Feature("free", "1 while nothing is in process", high=1.0),
    Feature("down", "1 while it is down", high=1.0),
    Feature("asked", "1 if the decision is about this machine", high=1.0),
    Feature("ready", "forecast rest of the operation in process / u"),
    Feature("queue_length", "jobs that wait and could be processed here / slots", high=1.0),
    Feature("queue_work", "their durations here / u"),
    Feature("load", "work here of all operations in the shop not begun, shared by eligible machines, / u"),
    Feature("incoming", "work here of the next operations of jobs in process elsewhere / u"),
    Feature("utilisation", "share of the time so far spent on work", high=1.0),
    Feature("downtime", "share of the time so far spent down", high=1.0),
    Feature("since_change", "time since it went down, or was repaired last (the start, if never), / u"),
)
SYSTEM_FEATURES: Final = (
    Feature("present", "jobs in slots / slots", high=1.0),
    Feature("outside", "jobs that wait outside / slots"),
    Feature("busy", "machines with an operation in process / machines", high=1.0),
    Feature("down", "machines down / machines", high=1.0),
    Feature("allowed", "allowed candidates / slots"),
    Feature("late", "present jobs whose slack is negative / present jobs", high=1.0),
    Feature("mean_slack", "mean slack of present jobs / u", low=-100.0),
    Feature("load", "work in the shop not begun / (machines u)"),
)
CANDIDATE_FEATURES: Final = (
    Feature("duration", "forecast on the machine / u"),
    Feature("relative_duration", "forecast / longest forecast among the candidates", high=1.0),
    Feature("excess", "(forecast - shortest forecast of the operation on any machine) / u"),
    Feature("tail", "forecast work of the job after the operation / u"),
    Feature("remaining_operations", "operations of the job after this one / operations of the job", high=1.0),
    Feature("weight", "weight / largest weight", high=1.0),
    Feature("waited", "time it has waited / u"),
    Feature("slack", "(due date - now - forecast - tail) / u", low=-100.0),
    Feature("urgency", "slack / (|slack| + forecast + tail)", low=-1.0, high=1.0),
    Feature("late", "1 if the slack is negative", high=1.0),
    Feature(
        "congested_slack", "slack less the work before the machines of the later operations, / u", low=-100.0
    ),
    Feature("wspt", "(weight / forecast) / largest among the candidates", high=1.0),
    Feature("wspt_log", "its logarithm", low=-20.0, high=0.0),
    Feature("atc", "ATC index / largest among the candidates", high=1.0),
    Feature("atc_log", "its logarithm", low=-20.0, high=0.0),
    Feature("covert", "COVERT index / largest among the candidates", high=1.0),
    Feature("mdd", "(modified due date - smallest among the candidates) / u"),
    Feature("first_come", "(queue entry - earliest among the candidates) / u"),
    Feature("queue_length", "jobs that wait and could be processed here / slots", high=1.0),
    Feature("machine_load", "work here of all operations in the shop not begun / u"),
    Feature("machine_incoming", "work here of the next operations of jobs in process elsewhere / u"),
    Feature("next_duration", "forecast of the job's next operation / u"),
    Feature("next_free", "1 if a machine of that operation is free, up, and nobody waits for it", high=1.0),
    Feature("next_down", "1 if the machine it would find the least work at is down", high=1.0),
    Feature("next_queue", "work before that machine: waiting and in process, / u"),
    Feature("next_load", "work on that machine of all operations in the shop not begun / u"),
    Feature("route_queue", "work before the machines of all later operations of the job / u"),
    Feature("is_last", "1 if it is the last operation of its job", high=1.0),
    Feature("is_wait", "1 for the decision to wait", high=1.0),
    raw("processing_time", "forecast on the machine, time units"),
    raw("shortest_time", "shortest forecast of the operation on any machine, time units"),
    raw("due_date", "due date of the job, time units"),
    raw("now", "time, time units"),
    raw("job_weight", "weight of the job"),
    raw("remaining_work", "forecast work of the job from this operation on, time units"),
    raw("remaining_operations_count", "operations of the job from this one on"),
    raw("total_work", "forecast work of the whole job, time units"),
    raw("cumulative_work", "forecast work of the job up to and including this operation, time units"),
    raw("arrival", "arrival of the job, time units"),
    raw("queue_entry", "when the operation began to wait, time units"),
    raw("next_queue_work", "work before the next operation's machine: waiting and in process, time units"),
    raw("job_number", "number of the job, in order of arrival"),
    raw("utilisation_pct", "share of the time so far that the machine has worked, %"),
)
CRITIC_FEATURES: Final = (
    Feature("progress", "counted jobs done / counted jobs", high=1.0),
    Feature("next_arrival", "time to the next arrival / u"),
    Feature("arrivals_ahead", "jobs that arrive within 20 u / slots"),
    Feature("work_ahead", "their work / (machines u)"),
    Feature("repair_ahead", "mean time to the end of their breakdowns over all machines / u"),
)
OUTLOOK: Final = 20
"""How far ahead critics see, in u."""


def dynamic_schema(
    num_slots: int, longest_route: int, num_machines: int, max_alternatives: int, may_wait: bool
) -> GraphSchema:
    """The decision graph of shops with at most so many jobs in slots, operations a job, machines, eligible machines."""
    rows = num_slots * longest_route
    return GraphSchema(
        nodes=(
            NodeType("operation", rows, OPERATION_FEATURES, "task", parent="job", sparse=True),
            NodeType("job", num_slots, JOB_FEATURES, "job", sparse=True),
            NodeType("machine", num_machines, MACHINE_FEATURES, "resource"),
            NodeType("system", 1, SYSTEM_FEATURES, "system"),
        ),
        edges=(
            EdgeType("precedence", "operation", "operation", rows, acyclic=True, static=False),
            EdgeType(
                "eligibility",
                "operation",
                "machine",
                rows * max_alternatives,
                (Feature("duration", "forecast / u"),),
                static=False,
            ),
            EdgeType("frontier", "job", "operation", num_slots, static=False),
        ),
        candidates=CandidateType(
            num_slots * max_alternatives + int(may_wait),
            ("operation", "job", "machine"),
            CANDIDATE_FEATURES,
        ),
        critic_features=CRITIC_FEATURES,
    )


class Graph(NamedTuple):
    """The observation buffers that kernels write, as in the schema, with a leading batch axis B, and scratch without one."""

    operation_x: F32
    operation_count: I32
    operation_parent: I32
    operation_mask: NDArray[np.int8]
    job_x: F32
    job_count: I32
    job_mask: NDArray[np.int8]
    machine_x: F32
    machine_count: I32
    system_x: F32
    system_count: I32
    precedence_index: I32
    eligibility_index: I32
    eligibility_x: F32
    frontier_index: I32
    candidate_index: I32
    candidate_x: F32
    action_mask: NDArray[np.int8]
    critic_x: F32
    written: NDArray[np.int8]  # (B, A) candidates whose rows are not empty
    score: NDArray[np.float64]  # (A, 4) logarithms of ATC and WSPT, COVERT, modified due date


def graph_views(buffers: dict[str, NDArray[Any]]) -> Graph:
    """The kernels' view of a batch of observations."""
    mask = buffers["action_mask"]
    keys = [key for key in Graph._fields if key in buffers]
    return Graph(
        **{key: buffers[key] for key in keys},
        written=np.zeros(mask.shape, np.int8),
        score=np.zeros((mask.shape[1], 4)),
    )
