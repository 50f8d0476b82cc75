"""The blocking job shop's simulator: what the shop does between decisions, as kernels over struct-of-arrays state.

A job enters its first machine from an unlimited source. Finished operations *block* their machine until the next machine
of the job receives it; the last operation leaves at once; a hand-over takes no time. A cycle of blocked jobs, each waiting for
the machine of the next, exchanges places at the moment it closes where swaps are allowed and all its machines are up
(nothing else
could ever free these machines, so nothing is lost). A job that stays on its machine for its next operation is such a
cycle of one, and needs no swap.

Completions are computed when an operation enters, from downtime that was drawn with the instance; what decision makers
see and what rewards are made of (`update_bound`) looks at the past only. Times are integers.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel, kernel

I32 = NDArray[np.int32]

FAR: Final = 2**30

# Columns of `Shops.clock`; what follows INITIAL_BOUND is state.
JOBS: Final = 0
OPERATIONS: Final = 1
MACHINES: Final = 2
SWAP: Final = 3
REPEAT: Final = 4
WINDOWS: Final = 5  # windows of the machine that has most
LONGEST: Final = 6  # longest duration
INITIAL_BOUND: Final = 7
NOW: Final = 8
BOUND: Final = 9
PAID_BOUND: Final = 10  # bound up to which rewards have been handed out
MAKESPAN: Final = 11
ENTERED: Final = 12  # operations begun
FINISHED: Final = 13  # jobs done
RUNNING: Final = 14  # operations in process
UNRELEASED: Final = 15  # jobs whose release lies ahead
ASKED: Final = 16  # machine that a decision is about, -1 if none
ALLOWED: Final = 17  # allowed candidates
DECISIONS: Final = 18
SWAPS: Final = 19  # cycles of two or more that exchanged places
STOPS_LEFT: Final = 20  # length of the stops within operations not begun
INTERRUPTED: Final = 21  # 1 if any downtime ever comes

# Columns of `Shops.job`. The row after the last job holds `FIRST` = number of operations.
FIRST: Final = 0
RELEASE: Final = 1
AT: Final = 2  # operation that holds a machine, -1 before the first and after the last
NEXT: Final = 3  # operation to enter next, -1 once the last one has begun
STATE: Final = 4
SINCE: Final = 5  # when the job began to wait
SHOWN: Final = 6  # first operation that the observation still shows
TARGET: Final = 7  # machine of the operation to enter next, -1 if none
AHEAD: Final = 8  # work of the operations not begun
PLACE: Final = 9  # machine that the job holds, -1 if none

# Values of `STATE`.
UPCOMING: Final = 0  # not released yet
WAITING: Final = 1  # at the source
PROCESSED: Final = 2
BLOCKED: Final = 3
DONE: Final = 4

# Columns of `Shops.operation`.
MACHINE: Final = 0
DURATION: Final = 1
TAIL: Final = 2  # work of the job after the operation
STOP_AFTER: Final = 3
STOP_LENGTH: Final = 4
START: Final = 5  # -1 before
END: Final = 6  # completion, known to the simulator from the start on
LEAVE: Final = 7  # -1 while it holds its machine

# Columns of `Shops.machine`.
HOLDER: Final = 0  # job on the machine, -1 if free
COMPLETION: Final = 1  # of the operation in process, FAR if none
WINDOW: Final = 2  # first window that has not ended
QUEUE: Final = 3  # jobs that wait to enter
QUEUE_WORK: Final = 4
ASIDE: Final = 5  # not asked now: 0 no, 1 it waits for the next event, 2 no candidate is safe
WORK: Final = 6  # of operations not begun
LEFT: Final = 7  # operations not begun
DOWN_BEFORE: Final = 8  # downtime before the present operation began
SINCE_MOVE: Final = 9  # when a job entered or left last
DOWN_AHEAD: Final = 10  # downtime until two initial bounds have passed
REMAINING: Final = 11  # work left in the operation in process, as of the last `update_bound`

# Columns of `Shops.window`: START, END of a window, and the machine's downtime before it.
OPENS: Final = 0
CLOSES: Final = 1
BEFORE: Final = 2


class Shops(NamedTuple):
    """A batch of B shops, instance and state; times in time units."""

    clock: I32  # (B, 22)
    job: I32  # (B, J + 1, 10)
    operation: I32  # (B, N, 8)
    machine: I32  # (B, M, 12)
    window: I32  # (B, M, K, 3)
    route: NDArray[np.int64]  # (B, N + 1), bit set of the machines of the job from this operation on
    need: NDArray[np.int64]  # (B, M), bit set of the machines that the holder has still to visit


def make_shops(
    num_slots: int, num_jobs: int, num_operations: int, num_machines: int, num_windows: int
) -> Shops:
    """Zeroed arrays for `num_slots` shops of at most this size."""
    B, J, N, M, K = num_slots, num_jobs, num_operations, num_machines, num_windows
    return Shops(
        clock=np.zeros((B, 22), np.int32),
        job=np.zeros((B, J + 1, 10), np.int32),
        operation=np.zeros((B, N, 8), np.int32),
        machine=np.zeros((B, M, 12), np.int32),
        window=np.zeros((B, M, K, 3), np.int32),
        route=np.zeros((B, N + 1), np.int64),
        need=np.zeros((B, M), np.int64),
    )


@borrowing_kernel
def load_shop(shops: Shops, b: int, job_first: I32, machines: I32, durations: I32, release: I32) -> None:
    """Put the routes of an instance into slot b; arrays as in `ShopInstance`."""
    clock, job, operation, machine, _, route, _ = shops
    num_jobs = job_first.size - 1
    clock[b, JOBS], clock[b, OPERATIONS], clock[b, LONGEST] = num_jobs, job_first[num_jobs], 1
    clock[b, INITIAL_BOUND + 1 :] = 0
    for j in range(job.shape[1]):
        job[b, j, FIRST] = job_first[num_jobs]
    machine[b] = 0
    for j in range(num_jobs):
        job[b, j, FIRST] = job[b, j, SHOWN] = job[b, j, NEXT] = job_first[j]
        job[b, j, RELEASE] = job[b, j, SINCE] = release[j]
        job[b, j, AT], job[b, j, STATE], job[b, j, PLACE] = -1, UPCOMING, -1
        job[b, j, TARGET] = machines[job_first[j], 0]
        work, ahead = 0, np.int64(0)
        for o in range(job_first[j + 1] - 1, job_first[j] - 1, -1):
            m, p = machines[o, 0], durations[o, 0]
            ahead |= np.int64(1) << np.int64(m)
            route[b, o] = ahead
            operation[b, o, MACHINE], operation[b, o, DURATION], operation[b, o, TAIL] = m, p, work
            operation[b, o, START] = operation[b, o, END] = operation[b, o, LEAVE] = -1
            work += p
            machine[b, m, WORK] += p
            machine[b, m, LEFT] += 1
            clock[b, LONGEST] = max(clock[b, LONGEST], p)
        job[b, j, AHEAD] = work
    clock[b, UNRELEASED] = num_jobs


@borrowing_kernel
def load_downtime(shops: Shops, b: int, windows: I32, stop_after: I32, stop_length: I32) -> None:
    """Put the downtime of an instance into slot b; arrays as in `BlockingShopInstance`."""
    clock, _, operation, machine, window, _, _ = shops
    clock[b, MACHINES], clock[b, WINDOWS] = windows.shape[0], windows.shape[1] - 1
    for m in range(window.shape[1]):
        for k in range(window.shape[2]):
            given = m < windows.shape[0] and k < windows.shape[1]
            for column in range(3):  # element by element: slices take long to compile
                window[b, m, k, column] = windows[m, k, column] if given else FAR
    for o in range(clock[b, OPERATIONS]):
        operation[b, o, STOP_AFTER], operation[b, o, STOP_LENGTH] = stop_after[o], stop_length[o]
        clock[b, STOPS_LEFT] += stop_length[o]
    clock[b, INTERRUPTED] = 1 if clock[b, WINDOWS] > 0 or clock[b, STOPS_LEFT] > 0 else 0
    for m in range(clock[b, MACHINES]):
        machine[b, m, HOLDER], machine[b, m, COMPLETION] = -1, FAR


@borrowing_kernel
def start_bound(shops: Shops, b: int) -> None:
    """Set the initial bound LB0, and the downtime within the first two LB0, which critics may know."""
    clock, machine, window = shops.clock, shops.machine, shops.window
    update_bound(shops, b)
    clock[b, INITIAL_BOUND] = clock[b, PAID_BOUND] = clock[b, BOUND]
    horizon = 2 * clock[b, INITIAL_BOUND]
    for m in range(clock[b, MACHINES]):
        k = 0
        while window[b, m, k, CLOSES] <= horizon:
            k += 1
        machine[b, m, DOWN_AHEAD] = window[b, m, k, BEFORE] + max(0, horizon - window[b, m, k, OPENS])


@borrowing_kernel
def is_down(shops: Shops, b: int, m: int) -> bool:
    """Whether machine m is within a window now (stops within an operation are the operation's own)."""
    return shops.window[b, m, shops.machine[b, m, WINDOW], OPENS] <= shops.clock[b, NOW]


@borrowing_kernel
def downtime(shops: Shops, b: int, m: int) -> int:
    """Downtime of machine m up to now."""
    k = shops.machine[b, m, WINDOW]
    return shops.window[b, m, k, BEFORE] + max(0, shops.clock[b, NOW] - shops.window[b, m, k, OPENS])


@borrowing_kernel
def _completion(shops: Shops, b: int, m: int, o: int) -> int:
    """When operation o will be completed if it enters machine m now."""
    p, start = shops.operation[b, o, DURATION], shops.clock[b, NOW]
    if shops.operation[b, o, STOP_LENGTH] > 0:
        lost = shops.operation[b, o, STOP_AFTER] if shops.clock[b, REPEAT] else 0
        return start + p + shops.operation[b, o, STOP_LENGTH] + lost
    end, k = start + p, shops.machine[b, m, WINDOW]
    while shops.window[b, m, k, OPENS] < end:
        if shops.clock[b, REPEAT]:
            end = shops.window[b, m, k, CLOSES] + p
        else:
            end += shops.window[b, m, k, CLOSES] - shops.window[b, m, k, OPENS]
        k += 1
    return end


@borrowing_kernel
def is_stopped(shops: Shops, b: int, o: int) -> bool:
    """Whether operation o, in process, is within its stop."""
    elapsed = shops.clock[b, NOW] - shops.operation[b, o, START] - shops.operation[b, o, STOP_AFTER]
    return 0 <= elapsed < shops.operation[b, o, STOP_LENGTH]


@borrowing_kernel
def _remaining_time(shops: Shops, b: int, m: int) -> int:
    """Work left in the operation in process on machine m, as far as the past tells."""
    clock, operation, machine = shops.clock, shops.operation, shops.machine
    o = shops.job[b, machine[b, m, HOLDER], AT]
    done = clock[b, NOW] - operation[b, o, START]
    if operation[b, o, STOP_LENGTH] > 0:
        after, length = operation[b, o, STOP_AFTER], operation[b, o, STOP_LENGTH]
        if done >= after:
            kept = 0 if clock[b, REPEAT] else after
            done = kept + max(0, done - after - length)
    elif clock[b, WINDOWS]:
        k = machine[b, m, WINDOW]
        if not clock[b, REPEAT]:
            done -= downtime(shops, b, m) - machine[b, m, DOWN_BEFORE]
        elif is_down(shops, b, m):
            done = 0
        elif k > 0:
            done = min(done, clock[b, NOW] - shops.window[b, m, k - 1, CLOSES])
    return operation[b, o, DURATION] - done


@borrowing_kernel
def enter(shops: Shops, b: int, j: int) -> None:
    """Move job j to the machine of its next operation and begin it."""
    clock, job, operation, machine = shops.clock, shops.job, shops.operation, shops.machine
    now, o, m, left = clock[b, NOW], job[b, j, NEXT], job[b, j, TARGET], job[b, j, PLACE]
    if left >= 0:
        operation[b, job[b, j, AT], LEAVE] = now
        if machine[b, left, HOLDER] == j:  # in a cycle the follower is there already
            machine[b, left, HOLDER] = -1
            machine[b, left, SINCE_MOVE] = now
    p = operation[b, o, DURATION]
    job[b, j, AT], job[b, j, STATE], job[b, j, PLACE] = o, PROCESSED, m
    job[b, j, AHEAD] -= p
    last = o + 1 == job[b, j + 1, FIRST]
    job[b, j, NEXT] = -1 if last else o + 1
    job[b, j, TARGET] = -1 if last else operation[b, o + 1, MACHINE]
    shops.need[b, m] = 0 if last else shops.route[b, o + 1]
    operation[b, o, START] = now
    operation[b, o, END] = machine[b, m, COMPLETION] = _completion(shops, b, m, o)
    machine[b, m, HOLDER], machine[b, m, SINCE_MOVE] = j, now
    machine[b, m, DOWN_BEFORE] = downtime(shops, b, m)
    machine[b, m, QUEUE] -= 1
    machine[b, m, QUEUE_WORK] -= p
    machine[b, m, WORK] -= p
    machine[b, m, LEFT] -= 1
    clock[b, ENTERED] += 1
    clock[b, RUNNING] += 1
    clock[b, STOPS_LEFT] -= operation[b, o, STOP_LENGTH]


@borrowing_kernel
def _queue_up(shops: Shops, b: int, j: int, state: int) -> None:
    """Job j begins to wait for the machine of its next operation."""
    o = shops.job[b, j, NEXT]
    m = shops.job[b, j, TARGET]
    shops.job[b, j, STATE], shops.job[b, j, SINCE] = state, shops.clock[b, NOW]
    shops.machine[b, m, QUEUE] += 1
    shops.machine[b, m, QUEUE_WORK] += shops.operation[b, o, DURATION]
    shops.machine[b, m, ASIDE] = 0


@borrowing_kernel
def _try_swap(shops: Shops, b: int, first: int) -> None:
    """If the job on machine `first` is part of a cycle of blocked jobs that may move now, move them all."""
    clock, job, machine = shops.clock, shops.job, shops.machine
    m, length = first, 0
    while True:
        j = machine[b, m, HOLDER]
        if j < 0 or job[b, j, STATE] != BLOCKED:
            return
        m = job[b, j, TARGET]
        length += 1
        if is_down(shops, b, m) or length > clock[b, MACHINES] or (length > 1 and not clock[b, SWAP]):
            return
        if m == first:
            break
    j = machine[b, first, HOLDER]
    for _ in range(length):
        following = machine[b, job[b, j, TARGET], HOLDER]
        enter(shops, b, j)
        j = following
    if length > 1:
        clock[b, SWAPS] += 1


@borrowing_kernel
def _complete(shops: Shops, b: int, m: int) -> None:
    """The operation in process on machine m is done: its job leaves for good, or blocks the machine."""
    clock, job, machine = shops.clock, shops.job, shops.machine
    j = machine[b, m, HOLDER]
    machine[b, m, COMPLETION] = FAR
    clock[b, RUNNING] -= 1
    clock[b, MAKESPAN] = clock[b, NOW]
    if job[b, j, NEXT] >= 0:
        _queue_up(shops, b, j, BLOCKED)
        _try_swap(shops, b, m)
        return
    shops.operation[b, job[b, j, AT], LEAVE] = clock[b, NOW]
    job[b, j, STATE], job[b, j, AT], job[b, j, PLACE] = DONE, -1, -1
    machine[b, m, HOLDER], machine[b, m, SINCE_MOVE] = -1, clock[b, NOW]
    clock[b, FINISHED] += 1


@borrowing_kernel
def process_events(shops: Shops, b: int) -> None:
    """Everything that happens now without a decision: completions, hand-overs within cycles, releases."""
    clock, job, machine = shops.clock, shops.job, shops.machine
    now = clock[b, NOW]
    if clock[b, UNRELEASED]:
        for j in range(clock[b, JOBS]):
            if job[b, j, STATE] == UPCOMING and job[b, j, RELEASE] <= now:
                clock[b, UNRELEASED] -= 1
                _queue_up(shops, b, j, WAITING)
    changed = True
    while changed:  # operations of zero duration are completed at once
        changed = False
        for m in range(clock[b, MACHINES]):
            if machine[b, m, COMPLETION] <= now:
                _complete(shops, b, m)
                changed = True


@borrowing_kernel
def next_event(shops: Shops, b: int) -> int:
    """The next completion, release, or repair of a down machine that a job waits for; FAR if nothing happens by itself."""
    clock, job, machine = shops.clock, shops.job, shops.machine
    event = FAR
    for m in range(clock[b, MACHINES]):
        event = min(event, machine[b, m, COMPLETION])
        waited_for = machine[b, m, QUEUE] > 0 and machine[b, m, COMPLETION] == FAR
        if clock[b, WINDOWS] > 0 and waited_for and is_down(shops, b, m):
            event = min(event, shops.window[b, m, machine[b, m, WINDOW], CLOSES])
    if clock[b, UNRELEASED]:
        for j in range(clock[b, JOBS]):
            if job[b, j, STATE] == UPCOMING:
                event = min(event, job[b, j, RELEASE])
    return event


@borrowing_kernel
def advance(shops: Shops, b: int, event: int) -> None:
    """Move the clock to the next event and let it happen."""
    clock, machine = shops.clock, shops.machine
    clock[b, NOW] = event
    for m in range(clock[b, MACHINES]):
        machine[b, m, ASIDE] = 0
    if clock[b, WINDOWS]:
        for m in range(clock[b, MACHINES]):
            repaired = False
            while shops.window[b, m, machine[b, m, WINDOW], CLOSES] <= event:
                machine[b, m, WINDOW] += 1
                repaired = True
            if repaired:  # a cycle that waited for the machine may move
                _try_swap(shops, b, m)
    process_events(shops, b)


@borrowing_kernel
def update_bound(shops: Shops, b: int) -> None:
    """Raise the lower bound of the makespan to what jobs and machines need from now on, knowing the past only."""
    clock, job, machine = shops.clock, shops.job, shops.machine
    now, bound, interrupted = clock[b, NOW], clock[b, BOUND], clock[b, INTERRUPTED] > 0
    for m in range(clock[b, MACHINES]):
        left = 0
        if machine[b, m, COMPLETION] < FAR:
            left = _remaining_time(shops, b, m) if interrupted else machine[b, m, COMPLETION] - now
        machine[b, m, REMAINING] = left
        bound = max(bound, now + left + machine[b, m, WORK])
        j = machine[b, m, HOLDER]
        if j >= 0:
            bound = max(bound, now + left + job[b, j, AHEAD])
    for j in range(clock[b, JOBS]):
        if job[b, j, STATE] <= WAITING:
            bound = max(bound, max(now, job[b, j, RELEASE]) + job[b, j, AHEAD])
    if clock[b, FINISHED] == clock[b, JOBS]:
        bound = max(bound, clock[b, MAKESPAN])
    clock[b, BOUND] = bound


@borrowing_kernel
def _stuck(shops: Shops, b: int, target: int, mover: int) -> np.int64:
    """Machines (bit set) whose jobs could not leave the shop one by one while `target` stays occupied by job `mover`."""
    one, machine = np.int64(1), shops.machine
    held, changed = one << np.int64(target), True
    for m in range(shops.clock[b, MACHINES]):
        if machine[b, m, HOLDER] >= 0 and machine[b, m, HOLDER] != mover:
            held |= one << np.int64(m)
    while changed:
        changed = False
        for m in range(shops.clock[b, MACHINES]):
            mine = one << np.int64(m)
            if m != target and held & mine and not shops.need[b, m] & held & ~mine:
                held &= ~mine
                changed = True
    return held & ~(one << np.int64(target))


@kernel
def mark_safe(shops: Shops, b: int, target: int, mask: NDArray[np.int8]) -> int:
    """Of the jobs marked in row b of the mask, which wait for machine `target`, leave those that may enter; their number.

    A job may enter if all jobs in the shop could then finish one by one: the banker's algorithm (Dijkstra 1965; Habermann
    1969), where a job may finish if the machines it still needs are free or its own. As the others can finish
    without it, that depends on its own way only. Kept true at every move, it guarantees that some move stays
    possible; it forbids some states that are no dead ends.
    """
    job, count = shops.job, 0
    stuck = _stuck(shops, b, target, -1)
    for j in range(shops.clock[b, JOBS]):
        if not mask[b, j]:
            continue
        o = job[b, j, NEXT] + 1
        if o < job[b, j + 1, FIRST]:
            ahead = shops.route[b, o] & ~(np.int64(1) << np.int64(target))
            if ahead & stuck and (job[b, j, AT] < 0 or ahead & _stuck(shops, b, target, j)):
                mask[b, j] = 0
                continue
        count += 1
    return count
