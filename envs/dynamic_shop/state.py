"""The state of dynamic shops as arrays with a leading axis of slots, and the columns of their tables."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

FAR: Final = 2**30

# Objectives, as in `OBJECTIVES`.
TARDINESS: Final = 0
FLOW_TIME: Final = 1
MAKESPAN: Final = 2

# Columns of `Shops.clock`; what follows UNIT is state.
JOBS: Final = 0
MACHINES: Final = 1
OBJECTIVE: Final = 2
COUNTED_JOBS: Final = 3
SCALE: Final = 4
HEAVIEST: Final = 5  # largest weight
UNIT: Final = 6
NOW: Final = 7
ARRIVED: Final = 8  # jobs that have arrived
ADMITTED: Final = 9  # jobs that have entered a slot, in order of arrival
DONE_COUNTED: Final = 10  # counted jobs done
COST: Final = 11  # objective of the counted jobs that are done
PAID: Final = 12  # expected objective up to which rewards have been handed out
PAID_TIME: Final = 13
BOUND: Final = 14  # objective incurred so far, of done and present jobs
ASKED: Final = 15  # machine that a decision is about, -1: all, or none
ALLOWED: Final = 16  # allowed candidates
DECISIONS: Final = 17
PRESENT: Final = 18  # jobs in slots
AHEAD: Final = 19  # jobs that arrive within the critics' outlook
ENDED: Final = 20
CLOCK_COLUMNS: Final = 21

# Columns of `Shops.job`. The row after the last job holds `FIRST` and `WORK_BEFORE`.
FIRST: Final = 0
ARRIVAL: Final = 1
DUE: Final = 2
WEIGHT: Final = 3
COUNTED: Final = 4
WORK: Final = 5  # forecast, mean over eligible machines
WORK_BEFORE: Final = 6  # work of the jobs that arrive earlier
JOB_COLUMNS: Final = 7

# Columns of `Shops.operation`.
MEAN: Final = 0  # forecast duration, mean over eligible machines, rounded
TAIL: Final = 1  # the same of the job's later operations
COUNT: Final = 2  # eligible machines
START: Final = 3  # -1 before
CHOICE: Final = 4  # eligible machine that it runs on: column of `option`
OPERATION_COLUMNS: Final = 5

# Columns of `Shops.option`.
MACHINE: Final = 0  # -1: none
DURATION: Final = 1  # forecast
REALISED: Final = 2

# Columns of `Shops.slot`: jobs in the shop.
JOB: Final = 0  # -1: empty
OPERATION: Final = 1  # that waits or is in process
STATE: Final = 2
SINCE: Final = 3  # when it began to wait
PLACE: Final = 4  # machine that processes it, -1 if none
SHOWN_JOB: Final = 5  # what the graph shows
SHOWN_OPERATION: Final = 6
SHOWN_STATE: Final = 7
SLOT_COLUMNS: Final = 8

# Values of `STATE`.
WAITING: Final = 1
PROCESSED: Final = 2

# Columns of `Shops.machine`.
HOLDS: Final = 0  # slot of the job in process, -1 if none
COMPLETION: Final = 1  # of the operation in process, known to the simulator only; FAR if none
STARTED: Final = 2
FORECAST: Final = 3  # duration of the operation in process
WINDOW: Final = 4  # first window that has not ended
DOWN_BEFORE: Final = 5  # downtime before the operation in process began
QUEUE: Final = 6  # jobs that wait and could be processed here
QUEUE_WORK: Final = 7  # their durations here
LOAD: Final = (
    8  # durations of all operations of present jobs not begun, shared evenly among eligible machines
)
INCOMING: Final = 9  # the same of the next operations of jobs in process
ASIDE: Final = 10  # 1: it waits for the next event
BUSY: Final = 11  # work done by operations that have ended
LEFT: Final = 12  # forecast work left in the operation in process, as of the last `update_left`
MACHINE_COLUMNS: Final = 13

# Columns of `Shops.window`: start, end of a window, and the machine's downtime before it.
OPENS: Final = 0
CLOSES: Final = 1
BEFORE: Final = 2


class Shops(NamedTuple):
    """A batch of B shops with L slots for jobs, instance and state; times in time units."""

    clock: I64  # (B, CLOCK_COLUMNS)
    job: I32  # (B, J + 1, JOB_COLUMNS)
    operation: I32  # (B, N, OPERATION_COLUMNS)
    option: I32  # (B, N, K, 3)
    slot: I32  # (B, L, SLOT_COLUMNS)
    machine: I32  # (B, M, MACHINE_COLUMNS)
    window: I32  # (B, M, W, 3)


class Limits(NamedTuple):
    """Sizes of the arrays; the last three may grow."""

    num_slots: int  # for jobs
    num_machines: int
    max_alternatives: int
    num_jobs: int
    total_operations: int
    num_windows: int


def make_shops(num_shops: int, limits: Limits) -> Shops:
    """Zeroed arrays for `num_shops` shops of at most this size."""
    B, (L, M, K, J, N, W) = num_shops, limits
    return Shops(
        clock=np.zeros((B, CLOCK_COLUMNS), np.int64),
        job=np.zeros((B, J + 1, JOB_COLUMNS), np.int32),
        operation=np.zeros((B, N, OPERATION_COLUMNS), np.int32),
        option=np.zeros((B, N, K, 3), np.int32),
        slot=np.zeros((B, L, SLOT_COLUMNS), np.int32),
        machine=np.zeros((B, M, MACHINE_COLUMNS), np.int32),
        window=np.zeros((B, M, W, 3), np.int32),
    )


class World(NamedTuple):
    """An instance as the kernels read it; arrays as in `DynamicShopInstance`."""

    job_first: I32
    machines: I32
    durations: I32
    realised: I32
    arrival: I32
    due: I32
    weight: I32
    windows: I32
    numbers: I64  # (5,) first counted job, job after the last counted one, objective, scale, unit


@borrowing_kernel
def load_world(shops: Shops, b: int, world: World) -> None:
    """Put an instance into shop b."""
    clock, job, operation, option, _, _, window = shops
    num_jobs, width = world.arrival.size, world.machines.shape[1]
    clock[b, JOBS], clock[b, MACHINES] = num_jobs, world.windows.shape[0]
    clock[b, OBJECTIVE], clock[b, SCALE], clock[b, UNIT] = (
        world.numbers[2],
        world.numbers[3],
        world.numbers[4],
    )
    clock[b, COUNTED_JOBS], clock[b, HEAVIEST] = world.numbers[1] - world.numbers[0], 1
    before = 0
    for j in range(num_jobs):
        first, last, work = world.job_first[j], world.job_first[j + 1], 0
        for o in range(last - 1, first - 1, -1):
            total, count = 0, 0
            for k in range(option.shape[2]):
                given = k < width and world.machines[o, k] >= 0
                option[b, o, k, MACHINE] = world.machines[o, k] if given else -1
                option[b, o, k, DURATION] = world.durations[o, k] if given else 0
                option[b, o, k, REALISED] = world.realised[o, k] if given else 0
                total += option[b, o, k, DURATION]
                count += 1 if given else 0
            operation[b, o, MEAN], operation[b, o, TAIL] = (2 * total + count) // (2 * count), work
            operation[b, o, COUNT], operation[b, o, START], operation[b, o, CHOICE] = count, -1, -1
            work += operation[b, o, MEAN]
        job[b, j, FIRST], job[b, j, ARRIVAL], job[b, j, DUE] = first, world.arrival[j], world.due[j]
        job[b, j, WEIGHT], job[b, j, WORK], job[b, j, WORK_BEFORE] = world.weight[j], work, before
        job[b, j, COUNTED] = 1 if world.numbers[0] <= j < world.numbers[1] else 0
        clock[b, HEAVIEST] = max(clock[b, HEAVIEST], world.weight[j])
        before += work
    job[b, num_jobs, FIRST], job[b, num_jobs, WORK_BEFORE] = world.job_first[num_jobs], before
    for m in range(window.shape[1]):
        for w in range(window.shape[2]):
            given = m < world.windows.shape[0] and w < world.windows.shape[1]
            for column in range(3):  # element by element: slices take long to compile
                window[b, m, w, column] = world.windows[m, w, column] if given else FAR


@borrowing_kernel
def empty_shop(shops: Shops, b: int) -> None:
    """Put shop b, which holds an instance, to time 0 with nobody in it."""
    clock, _, _, _, slot, machine, _ = shops
    for column in range(UNIT + 1, CLOCK_COLUMNS):
        clock[b, column] = 0
    clock[b, ASKED] = -1
    for s in range(slot.shape[1]):
        for column in range(SLOT_COLUMNS):
            slot[b, s, column] = 0
        slot[b, s, JOB] = slot[b, s, SHOWN_JOB] = slot[b, s, PLACE] = -1
    for m in range(machine.shape[1]):
        for column in range(MACHINE_COLUMNS):
            machine[b, m, column] = 0
        machine[b, m, HOLDS], machine[b, m, COMPLETION] = -1, FAR
