"""Where the SoC simulator keeps its state: struct-of-arrays with a leading batch axis, times in us."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.soc.templates import EDGE_COLUMNS, PROFILE_COLUMNS, TEMPLATE_COLUMNS

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

FAR: Final = 2**31 - 1
LATENCY: Final = 0
MAKESPAN: Final = 1
ENERGY: Final = 2
MILLION: Final = 10**6

# Columns of `Socs.clock`: the world ...
PES: Final = 0
CLUSTERS: Final = 1
PROFILES: Final = 2
TASKS: Final = 3  # template tasks
JOBS: Final = 4  # jobs that arrive before the horizon
HORIZON: Final = 5
WARM_UP: Final = 6
ROOM: Final = 7  # jobs in slots at once
OBJECTIVE: Final = 8
UNIT: Final = 9  # mean critical path of the profiles, us: the unit of every time that networks see
SCALE: Final = 10  # what rewards are divided by
FIRST_BOUND: Final = 11  # bound of the objective's sum before anything has happened
COUNTED: Final = 12  # jobs that count in the latency
STOCHASTIC: Final = 13
BASE_POWER: Final = 14  # uW; -1 without a power model
# ... and the state.
NOW: Final = 15
ARRIVED: Final = 16  # jobs
ENTERED: Final = 17
DONE_JOBS: Final = 18
READY: Final = 19  # tasks
DEFERRED: Final = 20  # 1 while ready tasks wait for the next event
ENDED: Final = 21
COMMITTED: Final = 22  # tasks committed so far
STARTED: Final = 23  # tasks started so far
CHANGED: Final = 24  # rows in `Socs.changed`
COUNTED_NOW: Final = 25  # counted jobs in the system, waiting ones included
LATENCY_SUM: Final = 26  # integral of `COUNTED_NOW`, us
EXCESS: Final = 27  # latency of finished counted jobs beyond their bounds, us
ENERGY_SUM: Final = 28  # pJ
PAID: Final = 29  # what rewards have been handed out for
PAID_TIME: Final = 30
DECISIONS: Final = 31
DONE_COUNTED: Final = 32
SLOT_LATENCY: Final = 33  # sum of finish - entry over finished counted jobs, us
FINISHED_LATENCY: Final = 34  # sum of finish - arrival over finished counted jobs, us
MOST_LIVE: Final = 35  # most jobs in the system so far
WAITED: Final = 36  # jobs that had to wait for a slot
LAST_END: Final = 37
DONE_TASKS: Final = 38
MOST_PREDECESSORS: Final = 39  # of any template task, at least 1
MOST_SUCCESSORS: Final = 40
DEVIATION: Final = 41  # of realised durations, in millionths of the expected ones; 0: unknown
FIRST_END: Final = 42  # PE whose task ends next, -1
MOVED: Final = 43  # 1 until the graph shows what has happened since the last decision, beside commitments
WORLD: Final = 44  # slot whose tables of graphs and PEs are read in place of this one's: they are the same
FIRST_WAITING: Final = 45  # lowest free PE with a queue, -1
CLOCK_COLUMNS: Final = 46

# Columns of `Socs.job`, one row a slot.
ID: Final = 0  # -1: empty
PROFILE: Final = 1
ARRIVAL: Final = 2
ENTRY: Final = 3
LEFT: Final = 4  # unfinished tasks
WORK_LEFT: Final = 5  # us of the unfinished tasks on their fastest PEs
RENEWED: Final = 6  # 1 until the graph shows what has come or gone here
JOB_COLUMNS: Final = 7

# Columns of `Socs.task`; row slot * max_tasks + local task.
STATUS: Final = 0
TEMPLATE: Final = 1
WAITING_FOR: Final = 2  # unfinished predecessors
SINCE: Final = 3  # when it became ready
PE: Final = 4  # -1 until it is committed
START: Final = 5
END: Final = 6  # expected while running, then the true one
NEXT: Final = 7  # row behind it in its PE's queue, -1
OPEN: Final = 8  # successors not yet committed
TOUCHED: Final = 9  # 1 while its row is in `Socs.changed`
TASK_COLUMNS: Final = 10

GONE: Final = 0  # no task here, or its output is no longer awaited
OUTSTANDING: Final = 1
IS_READY: Final = 2
WAITING: Final = 3  # committed
RUNNING: Final = 4
DONE: Final = 5

# Columns of `Socs.pe`.
RUNS: Final = 0  # row of the running task, -1
RUNS_UNTIL: Final = 1  # true end
ORDER: Final = 2  # number of its start
AVAILABLE: Final = 3  # when everything committed should be done, or was
HEAD: Final = 4  # first row of the queue, -1
QUEUE: Final = 5  # tasks in the queue
QUEUE_WORK: Final = 6  # their expected executions, us
ASSIGNED: Final = 7  # tasks ever committed
BUSY: Final = 8  # us spent running
NEXT_END: Final = 9  # PE whose task ends after the one that runs here, -1
NEXT_WAITING: Final = 10  # next higher free PE with a queue, -1
PE_COLUMNS: Final = 11

# Columns of `Socs.arrival`.
TIME: Final = 0
JOB_PROFILE: Final = 1
ROW: Final = 2

# Columns of `Socs.platform`.
CLUSTER: Final = 0
TWIN: Final = 1  # lowest PE that is like it

# Columns of `Socs.plan`, by row as `Socs.task`.
OWNER: Final = 0  # job whose task the entry is of, + 1
POSITION: Final = 1  # in the list that the plan is built of
BOUND: Final = 2  # PE that the list binds it to, -1
PLAN_COLUMNS: Final = 3


class Socs(NamedTuple):
    """A batch of B systems, instance and state. Times in us."""

    clock: I64  # (B, CLOCK_COLUMNS)
    profile: I32  # (B, P + 1, PROFILE_COLUMNS)
    template: I32  # (B, T + 1, TEMPLATE_COLUMNS)
    edge: I32  # (B, E, EDGE_COLUMNS)
    volume: I64  # (B, E)
    duration: I32  # (B, T, M) expected execution, -1 where the task cannot run
    cost: I32  # (B, T, M) optimistic cost
    bandwidth: I64  # (B, M, M)
    platform: I32  # (B, M, 2)
    draw: I64  # (B, C, M + 1) uW of a cluster by the number of its busy PEs
    arrival: I32  # (B, J, 3)
    realised: I32  # (B, N, M), or (B, 0, 0)
    job: I32  # (B, L, JOB_COLUMNS)
    task: I32  # (B, L * S, TASK_COLUMNS)
    data: I32  # (B, L * S, M) when a ready task's data are on each PE
    pe: I32  # (B, M, PE_COLUMNS)
    busy: I32  # (B, C) busy PEs of a cluster
    ready: I32  # (B, L * S) rows of the ready tasks, FIFO
    changed: I32  # (B, L * S) rows whose task has changed
    record: I32  # (B, N, 2) start and PE of every task, start -1 until then
    plan: I32  # (B, L * S, PLAN_COLUMNS), or (B, 0, PLAN_COLUMNS) without a plan


class Limits(NamedTuple):
    """Sizes of the arrays."""

    num_pes: int
    num_clusters: int
    num_profiles: int
    total_tasks: int
    total_edges: int
    max_tasks: int
    max_live_jobs: int
    num_jobs: int
    total_rows: int
    noise_rows: int
    plans: bool


def make_socs(num_slots: int, limits: Limits) -> Socs:
    """Zeroed arrays for `num_slots` systems of at most this size."""
    B, M, C, P, T, E, S, L, J, N, noise, plans = num_slots, *limits
    rows = L * S
    small = {
        "profile": (P + 1, PROFILE_COLUMNS),
        "template": (T + 1, TEMPLATE_COLUMNS),
        "edge": (E, EDGE_COLUMNS),
        "duration": (T, M),
        "cost": (T, M),
        "platform": (M, 2),
        "arrival": (J, 3),
        "realised": (noise, M if noise else 0),
        "job": (L, JOB_COLUMNS),
        "task": (rows, TASK_COLUMNS),
        "data": (rows, M),
        "pe": (M, PE_COLUMNS),
        "busy": (C,),
        "ready": (rows,),
        "changed": (rows,),
        "record": (N, 2),
        "plan": (rows if plans else 0, PLAN_COLUMNS),
    }
    large = {"clock": (CLOCK_COLUMNS,), "volume": (E,), "bandwidth": (M, M), "draw": (C, M + 1)}
    arrays: dict[str, Any] = {key: np.zeros((B, *shape), np.int32) for key, shape in small.items()}
    arrays |= {key: np.zeros((B, *shape), np.int64) for key, shape in large.items()}
    return Socs(**arrays)
