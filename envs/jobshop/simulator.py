"""The job-shop simulator: Numba kernels over struct-of-arrays state with a leading batch axis.

One simulator serves classic and flexible shops. A decision puts the next operation of a job on one of its machines, at
its earliest start after everything already there (schedules are built forwards, operation by operation). Which
decisions are allowed is the *schedule generation scheme*:

* `NON_DELAY`: operations that can start at t*, the earliest start of all; no machine idles while it could work.
* `ACTIVE`: Giffler & Thompson (1960): the machine m* of the earliest completion c*, every operation on m* that could
  start before c*. Contains an optimal schedule.
* `ACTIVE_FLEXIBLE`: every (operation, machine) pair that could start before c*, on whatever machine: the assignment
  stays free, and an optimal schedule is still reachable (what starts at c* or later could be preceded by the
  operation of c* without delaying anything).
* `NON_DELAY_WAIT`: the clock stands at t; operations that can start at t, or wait for the next event. Waiting is
  allowed while the next event comes before the earliest completion of what could start now; later, the schedule
  would not be active. Reaches every active schedule.
* `APPEND`: any next operation of any job, whatever its start (the scheme behind many published figures of rules).

Times are integers. The lower bound of the makespan is the maximum of, for each job, its ready time plus its remaining
work; for each machine, its ready time plus the work that only it can do; and the mean over machines of ready time plus
all remaining work. It never falls, and ends at the makespan.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.kernels import borrowing_kernel, kernel

I32 = NDArray[np.int32]

NON_DELAY: Final = 0
ACTIVE: Final = 1
ACTIVE_FLEXIBLE: Final = 2
NON_DELAY_WAIT: Final = 3
APPEND: Final = 4
SCHEMES: Final = {
    "non_delay": NON_DELAY,
    "active": ACTIVE,
    "non_delay_wait": NON_DELAY_WAIT,
    "append": APPEND,
}

FAR: Final = 2**30

# Columns of `Shops.clock`.
JOBS: Final = 0
OPERATIONS: Final = 1
MACHINES: Final = 2
INITIAL_BOUND: Final = 3
LONGEST: Final = 4  # longest duration
TIME: Final = 5  # nothing starts before
NOW: Final = 6  # earliest start of an unscheduled operation
BOUND: Final = 7
PAID_BOUND: Final = 8  # bound up to which rewards have been handed out
MAKESPAN: Final = 9
SCHEDULED: Final = 10
WORK_LEFT: Final = 11
READY_SUM: Final = 12  # sum of the machines' ready times
ALLOWED: Final = 13  # number of allowed candidates
DECISIONS: Final = 14

# Columns of `Shops.job`. The row after the last job holds `FIRST` = number of operations.
FIRST: Final = 0
NEXT: Final = 1  # next operation, -1 once the job is done
READY: Final = 2
RELEASE: Final = 3
NEXT_WORK: Final = 4  # shortest work from the next operation on

# Columns of `Shops.operation`.
SHORTEST: Final = 0  # duration on the fastest machine
TAIL: Final = 1  # shortest work of the job after the operation
COUNT: Final = 2  # eligible machines
START: Final = 3  # -1 while unscheduled
CHOICE: Final = 4  # alternative taken, -1 while unscheduled

# Columns of `Shops.alternative`, rows of `Shops.frontier`.
MACHINE: Final = 0
DURATION: Final = 1
SINCE: Final = 2  # when its job is ready, `FAR` where there is no candidate
FASTEST: Final = 3  # duration on the operation's fastest machine

# Columns of `Shops.machine`; `READY` as for jobs.
ONLY: Final = 0  # unscheduled work that only this machine can do
WORK: Final = 1  # unscheduled work, flexible operations shared evenly among their machines
LEFT: Final = 3  # unscheduled operations that could run here
QUEUE_WORK: Final = 4  # work of the jobs waiting for the machine now
QUEUE_LENGTH: Final = 5  # jobs whose next operation could run here


class Shops(NamedTuple):
    """A batch of B shops, instance and state, as int32 rows; times in time units."""

    clock: I32  # (B, 15)
    job: I32  # (B, J + 1, 5)
    operation: I32  # (B, N, 5)
    alternative: I32  # (B, N, K, 2), machine -1 pads
    frontier: (
        I32  # (B, 4, J K), a column for each candidate: what loops over candidates need, together in memory
    )
    machine: I32  # (B, M, 6)


def scheme_of(sgs: str, num_alternatives: int) -> int:
    """The scheme of that name in shops of at most so many alternatives; raises `UnknownNameError`."""
    if sgs not in SCHEMES:
        raise UnknownNameError("schedule generation scheme (sgs)", sgs, SCHEMES)
    scheme = SCHEMES[sgs]
    return ACTIVE_FLEXIBLE if scheme == ACTIVE and num_alternatives > 1 else scheme


def make_shops(
    num_slots: int, num_jobs: int, num_operations: int, num_machines: int, num_alternatives: int
) -> Shops:
    """Zeroed arrays for `num_slots` shops of at most this size."""
    B, J, N, M, K = num_slots, num_jobs, num_operations, num_machines, num_alternatives
    return Shops(
        clock=np.zeros((B, 15), np.int32),
        job=np.zeros((B, J + 1, 5), np.int32),
        operation=np.zeros((B, N, 5), np.int32),
        alternative=np.zeros((B, N, K, 2), np.int32),
        frontier=np.zeros((B, 4, J * K), np.int32),
        machine=np.zeros((B, M, 6), np.int32),
    )


@kernel
def load_slot(
    shops: Shops, b: int, job_first: I32, machines: I32, durations: I32, release: I32, num_machines: int
) -> None:
    """Put an instance into slot b. Arrays as in `ShopInstance`; sizes are checked by the caller."""
    clock, job, operation, alternative, _, _ = shops
    num_jobs = job_first.size - 1
    clock[b, JOBS], clock[b, OPERATIONS], clock[b, MACHINES] = num_jobs, job_first[num_jobs], num_machines
    clock[b, LONGEST] = 1
    job[b, :, FIRST] = job_first[num_jobs]
    alternative[b, :, :, MACHINE] = -1
    for j in range(num_jobs):
        job[b, j, FIRST], job[b, j, RELEASE] = job_first[j], release[j]
        work = 0
        for o in range(job_first[j + 1] - 1, job_first[j] - 1, -1):
            shortest, count = FAR, 0
            while count < machines.shape[1] and machines[o, count] >= 0:
                alternative[b, o, count, MACHINE] = machines[o, count]
                alternative[b, o, count, DURATION] = durations[o, count]
                shortest = min(shortest, durations[o, count])
                clock[b, LONGEST] = max(clock[b, LONGEST], durations[o, count])
                count += 1
            operation[b, o, SHORTEST], operation[b, o, TAIL], operation[b, o, COUNT] = shortest, work, count
            work += shortest


@kernel
def reset_slot(shops: Shops, b: int) -> None:
    """Start the instance in slot b anew."""
    clock, job, operation, _, _, machine = shops
    clock[b, TIME:] = 0
    machine[b] = 0
    shops.frontier[b] = 0
    shops.frontier[b, SINCE] = FAR
    work, bound = 0, 0
    for j in range(clock[b, JOBS]):
        first = job[b, j, FIRST]
        job[b, j, READY] = job[b, j, RELEASE]
        _advance(shops, b, j, first)
        job_work = job[b, j, NEXT_WORK]
        work += job_work
        bound = max(bound, job[b, j, RELEASE] + job_work)
    for o in range(clock[b, OPERATIONS]):
        operation[b, o, START] = operation[b, o, CHOICE] = -1
        _change_load(shops, b, o, 1)
    for m in range(clock[b, MACHINES]):
        bound = max(bound, machine[b, m, ONLY])
    bound = max(bound, _ceil_div(work, clock[b, MACHINES]))
    clock[b, WORK_LEFT] = work
    clock[b, BOUND] = clock[b, PAID_BOUND] = clock[b, INITIAL_BOUND] = bound


@borrowing_kernel
def _advance(shops: Shops, b: int, j: int, o: int) -> None:
    """Make o job j's next operation, or end the job if o is the first one of the next."""
    job, operation, frontier, K = shops.job, shops.operation, shops.frontier, shops.alternative.shape[2]
    count = 0
    if o < job[b, j + 1, FIRST]:
        count, shortest = operation[b, o, COUNT], operation[b, o, SHORTEST]
        job[b, j, NEXT], job[b, j, NEXT_WORK] = o, shortest + operation[b, o, TAIL]
        for k in range(count):
            m, a = shops.alternative[b, o, k, MACHINE], j * K + k
            frontier[b, MACHINE, a], frontier[b, DURATION, a] = m, shops.alternative[b, o, k, DURATION]
            frontier[b, SINCE, a], frontier[b, FASTEST, a] = job[b, j, READY], shortest
            shops.machine[b, m, QUEUE_LENGTH] += 1
    else:
        job[b, j, NEXT], job[b, j, NEXT_WORK] = -1, 0
    for a in range(j * K + count, (j + 1) * K):
        frontier[b, SINCE, a] = FAR


@borrowing_kernel
def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@borrowing_kernel
def _change_load(shops: Shops, b: int, o: int, sign: int) -> None:
    """Add (sign 1) or remove (sign -1) operation o from the loads of its machines."""
    count = shops.operation[b, o, COUNT]
    if count == 1:
        m = shops.alternative[b, o, 0, MACHINE]
        shops.machine[b, m, ONLY] += sign * shops.alternative[b, o, 0, DURATION]
    for k in range(count):
        m = shops.alternative[b, o, k, MACHINE]
        shops.machine[b, m, WORK] += sign * (shops.alternative[b, o, k, DURATION] // count)
        shops.machine[b, m, LEFT] += sign


@borrowing_kernel
def earliest_start(shops: Shops, b: int, j: int, m: int) -> int:
    """Earliest start of job j's next operation on machine m, not before the clock."""
    return max(shops.job[b, j, READY], max(shops.machine[b, m, READY], shops.clock[b, TIME]))


@borrowing_kernel
def dispatch(shops: Shops, b: int, j: int, k: int) -> None:
    """Put the next operation of job j on its k-th alternative, as early as possible."""
    clock, job, operation, alternative, _, machine = shops
    o = job[b, j, NEXT]
    m = alternative[b, o, k, MACHINE]
    start = earliest_start(shops, b, j, m)
    end = start + alternative[b, o, k, DURATION]
    operation[b, o, START], operation[b, o, CHOICE] = start, k
    clock[b, READY_SUM] += end - machine[b, m, READY]
    clock[b, WORK_LEFT] -= operation[b, o, SHORTEST]
    clock[b, MAKESPAN] = max(clock[b, MAKESPAN], end)
    clock[b, SCHEDULED] += 1
    job[b, j, READY] = machine[b, m, READY] = end
    _change_load(shops, b, o, -1)
    for k in range(operation[b, o, COUNT]):
        machine[b, alternative[b, o, k, MACHINE], QUEUE_LENGTH] -= 1
    _advance(shops, b, j, o + 1)
    bound = max(clock[b, BOUND], max(end + operation[b, o, TAIL], end + machine[b, m, ONLY]))
    mean = _ceil_div(clock[b, READY_SUM] + clock[b, WORK_LEFT], clock[b, MACHINES])
    clock[b, BOUND] = max(bound, mean)


@borrowing_kernel
def wait(shops: Shops, b: int) -> None:
    """Advance the clock to the next event: the next moment at which a further operation could start."""
    frontier, machine, event = shops.frontier, shops.machine, FAR
    time = shops.clock[b, TIME]
    for a in range(frontier.shape[2]):
        start = max(frontier[b, SINCE, a], machine[b, frontier[b, MACHINE, a], READY])
        if start > time:
            event = min(event, start)
    if event < FAR:
        shops.clock[b, TIME] = event


@borrowing_kernel
def _first_start(shops: Shops, b: int) -> int:
    """Earliest start of all unscheduled operations, `FAR` where there is none."""
    frontier, machine, now = shops.frontier, shops.machine, FAR
    for a in range(frontier.shape[2]):
        now = min(now, max(frontier[b, SINCE, a], machine[b, frontier[b, MACHINE, a], READY]))
    return now if now == FAR else max(now, shops.clock[b, TIME])


@borrowing_kernel
def _first_completion(shops: Shops, b: int) -> tuple[int, int]:
    """Earliest completion of all unscheduled operations, and its machine."""
    frontier, machine, time = shops.frontier, shops.machine, shops.clock[b, TIME]
    first_end, first_machine = FAR, -1
    for a in range(frontier.shape[2]):
        m = frontier[b, MACHINE, a]
        end = max(time, max(frontier[b, SINCE, a], machine[b, m, READY])) + frontier[b, DURATION, a]
        if end < first_end:
            first_end, first_machine = end, m
    return first_end, first_machine


@borrowing_kernel
def legal_actions(shops: Shops, b: int, scheme: int, mask: NDArray[np.int8]) -> int:
    """Write row b of the mask (B, A); returns the number of allowed candidates (0 once everything is scheduled).

    Candidate j * K + k is the next operation of job j on its k-th alternative; under `NON_DELAY_WAIT` the last
    candidate waits. `NOW` becomes the earliest start of all; where schedules are built in order of time, the clock
    follows it.
    """
    clock, count = shops.clock, 0
    now = _first_start(shops, b)
    if now == FAR:
        mask[b] = 0
    else:
        clock[b, NOW] = now
        if scheme == NON_DELAY:
            clock[b, TIME] = now
            count = _mask_startable(shops, b, now, mask)
        elif scheme == NON_DELAY_WAIT:
            clock[b, TIME] = now
            count = _mask_startable(shops, b, now, mask)
            mask[b, mask.shape[1] - 1] = _may_wait(shops, b, now)
            count += mask[b, mask.shape[1] - 1]
        else:
            count = _mask_before_completion(shops, b, scheme, mask)
    clock[b, ALLOWED] = count
    return count


@borrowing_kernel
def _mask_startable(shops: Shops, b: int, now: int, mask: NDArray[np.int8]) -> int:
    """Allow what can start at `now`, the earliest start of all; returns how much that is."""
    frontier, machine, count = shops.frontier, shops.machine, 0
    for a in range(frontier.shape[2]):
        start = max(frontier[b, SINCE, a], machine[b, frontier[b, MACHINE, a], READY])
        mask[b, a] = start <= now
        count += start <= now
    return count


@borrowing_kernel
def _may_wait(shops: Shops, b: int, now: int) -> bool:
    """Whether something could start later than now, but before the earliest completion of what could start now."""
    frontier, machine = shops.frontier, shops.machine
    event, first_end = FAR, FAR
    for a in range(frontier.shape[2]):
        start = max(frontier[b, SINCE, a], machine[b, frontier[b, MACHINE, a], READY])
        if start > now:
            event = min(event, start)
        else:
            first_end = min(first_end, now + frontier[b, DURATION, a])
    return event < first_end


@borrowing_kernel
def _mask_before_completion(shops: Shops, b: int, scheme: int, mask: NDArray[np.int8]) -> int:
    """Allow what could start before the earliest completion of all, by the scheme; returns how much that is."""
    frontier, machine = shops.frontier, shops.machine
    first_end, first_machine = _first_completion(shops, b)
    time, count = shops.clock[b, TIME], 0
    for a in range(frontier.shape[2]):
        m = frontier[b, MACHINE, a]
        start = max(time, max(frontier[b, SINCE, a], machine[b, m, READY]))
        # a zero-duration operation may end at the earliest completion without starting before it
        allowed = start < first_end or start + frontier[b, DURATION, a] == first_end
        if scheme == ACTIVE:
            allowed = allowed and m == first_machine
        elif scheme == APPEND:
            allowed = start < FAR
        mask[b, a] = allowed
        count += allowed
    return count


@borrowing_kernel
def sum_queues(shops: Shops, b: int) -> None:
    """Sum the work of those waiting now before each machine (at their fastest machine's time)."""
    frontier, machine, now = shops.frontier, shops.machine, shops.clock[b, NOW]
    for m in range(shops.clock[b, MACHINES]):
        machine[b, m, QUEUE_WORK] = 0
    for a in range(frontier.shape[2]):
        work = frontier[b, FASTEST, a] * (frontier[b, SINCE, a] <= now)
        machine[b, frontier[b, MACHINE, a], QUEUE_WORK] += work
