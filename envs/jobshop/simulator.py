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

from makespan.envs.core.kernels import inlined_kernel, kernel

I32 = NDArray[np.int32]

NON_DELAY: Final = 0
ACTIVE: Final = 1
ACTIVE_FLEXIBLE: Final = 2
NON_DELAY_WAIT: Final = 3
APPEND: Final = 4

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

# Columns of `Shops.operation`.
SHORTEST: Final = 0  # duration on the fastest machine
TAIL: Final = 1  # shortest work of the job after the operation
COUNT: Final = 2  # eligible machines
START: Final = 3  # -1 while unscheduled
CHOICE: Final = 4  # alternative taken, -1 while unscheduled

# Columns of `Shops.alternative`.
MACHINE: Final = 0
DURATION: Final = 1

# Columns of `Shops.machine`; `READY` as for jobs.
ONLY: Final = 0  # unscheduled work that only this machine can do
WORK: Final = 1  # unscheduled work, flexible operations shared evenly among their machines
LEFT: Final = 3  # unscheduled operations that could run here
QUEUE_WORK: Final = 4  # work of the jobs waiting for the machine now
QUEUE_LENGTH: Final = 5  # jobs whose next operation could run here


class Shops(NamedTuple):
    """A batch of B shops, instance and state, as int32 rows; times in time units."""

    clock: I32  # (B, 15)
    job: I32  # (B, J + 1, 4)
    operation: I32  # (B, N, 5)
    alternative: I32  # (B, N, K, 2), machine -1 pads
    machine: I32  # (B, M, 6)


def make_shops(
    num_slots: int, num_jobs: int, num_operations: int, num_machines: int, num_alternatives: int
) -> Shops:
    """Zeroed arrays for `num_slots` shops of at most this size."""
    B, J, N, M, K = num_slots, num_jobs, num_operations, num_machines, num_alternatives
    return Shops(
        clock=np.zeros((B, 15), np.int32),
        job=np.zeros((B, J + 1, 4), np.int32),
        operation=np.zeros((B, N, 5), np.int32),
        alternative=np.zeros((B, N, K, 2), np.int32),
        machine=np.zeros((B, M, 6), np.int32),
    )


@kernel
def load_slot(
    shops: Shops, b: int, job_first: I32, machines: I32, durations: I32, release: I32, num_machines: int
) -> None:
    """Put an instance into slot b. Arrays as in `ShopInstance`; sizes are checked by the caller."""
    clock, job, operation, alternative, _ = shops
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
    clock, job, operation, _, machine = shops
    clock[b, TIME:] = 0
    machine[b] = 0
    work, bound = 0, 0
    for j in range(clock[b, JOBS]):
        first = job[b, j, FIRST]
        job[b, j, NEXT], job[b, j, READY] = first, job[b, j, RELEASE]
        job_work = operation[b, first, SHORTEST] + operation[b, first, TAIL]
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


@inlined_kernel
def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@inlined_kernel
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


@inlined_kernel
def earliest_start(shops: Shops, b: int, j: int, m: int) -> int:
    """Earliest start of job j's next operation on machine m, not before the clock."""
    return max(shops.job[b, j, READY], max(shops.machine[b, m, READY], shops.clock[b, TIME]))


@inlined_kernel
def dispatch(shops: Shops, b: int, j: int, k: int) -> None:
    """Put the next operation of job j on its k-th alternative, as early as possible."""
    clock, job, operation, alternative, machine = shops
    o = job[b, j, NEXT]
    m = alternative[b, o, k, MACHINE]
    start = earliest_start(shops, b, j, m)
    end = start + alternative[b, o, k, DURATION]
    operation[b, o, START], operation[b, o, CHOICE] = start, k
    job[b, j, NEXT] = o + 1 if o + 1 < job[b, j + 1, FIRST] else -1
    clock[b, READY_SUM] += end - machine[b, m, READY]
    clock[b, WORK_LEFT] -= operation[b, o, SHORTEST]
    clock[b, MAKESPAN] = max(clock[b, MAKESPAN], end)
    clock[b, SCHEDULED] += 1
    job[b, j, READY] = machine[b, m, READY] = end
    _change_load(shops, b, o, -1)
    bound = max(clock[b, BOUND], max(end + operation[b, o, TAIL], end + machine[b, m, ONLY]))
    mean = _ceil_div(clock[b, READY_SUM] + clock[b, WORK_LEFT], clock[b, MACHINES])
    clock[b, BOUND] = max(bound, mean)


@kernel
def wait(shops: Shops, b: int) -> None:
    """Advance the clock to the next event: the next moment at which a further operation could start."""
    clock, job, operation, alternative, _ = shops
    event = FAR
    for j in range(clock[b, JOBS]):
        o = job[b, j, NEXT]
        if o < 0:
            continue
        for k in range(operation[b, o, COUNT]):
            start = earliest_start(shops, b, j, alternative[b, o, k, MACHINE])
            if start > clock[b, TIME]:
                event = min(event, start)
    if event < FAR:
        clock[b, TIME] = event


@inlined_kernel
def _first_completion(shops: Shops, b: int) -> tuple[int, int, int]:
    """Earliest start of all unscheduled operations, earliest completion of all, and the machine of the latter."""
    clock, job, operation, alternative, machine = shops
    now, first_end, first_machine = FAR, FAR, -1
    time = clock[b, TIME]
    for j in range(clock[b, JOBS]):
        o = job[b, j, NEXT]
        if o < 0:
            continue
        ready = max(job[b, j, READY], time)
        for k in range(operation[b, o, COUNT]):
            m = alternative[b, o, k, MACHINE]
            start = max(ready, machine[b, m, READY])
            end = start + alternative[b, o, k, DURATION]
            now = min(now, start)
            if end < first_end:
                first_end, first_machine = end, m
    return now, first_end, first_machine


@inlined_kernel
def legal_actions(shops: Shops, b: int, scheme: int, mask: NDArray[np.int8]) -> int:
    """Write row b of the mask (B, A); returns the number of allowed candidates (0 once everything is scheduled).

    Candidate j * K + k is the next operation of job j on its k-th alternative; under `NON_DELAY_WAIT` the last
    candidate waits. `NOW` becomes the earliest start of all; where schedules are built in order of time, the clock
    follows it.
    """
    clock, job, operation, alternative, machine = shops
    for a in range(mask.shape[1]):
        mask[b, a] = 0
    now, first_end, first_machine = _first_completion(shops, b)
    if now == FAR:
        clock[b, ALLOWED] = 0
        return 0
    clock[b, NOW] = now
    in_order = scheme in (NON_DELAY, NON_DELAY_WAIT)
    if in_order:
        clock[b, TIME] = now
    time, K = clock[b, TIME], alternative.shape[2]
    count, event, first_end_now = 0, FAR, FAR
    for j in range(clock[b, JOBS]):
        o = job[b, j, NEXT]
        if o < 0:
            continue
        ready = max(job[b, j, READY], time)
        for k in range(operation[b, o, COUNT]):
            m = alternative[b, o, k, MACHINE]
            start = max(ready, machine[b, m, READY])
            end = start + alternative[b, o, k, DURATION]
            # a zero-duration operation may end at the earliest completion without starting before it
            if in_order:
                allowed = start == now
            elif scheme == ACTIVE:
                allowed = m == first_machine and (start < first_end or end == first_end)
            else:
                allowed = scheme == APPEND or start < first_end or end == first_end
            if allowed:
                mask[b, j * K + k] = 1
                count += 1
                first_end_now = min(first_end_now, end)
            else:
                event = min(event, start)
    if scheme == NON_DELAY_WAIT and event < first_end_now:
        mask[b, mask.shape[1] - 1] = 1
        count += 1
    clock[b, ALLOWED] = count
    return count


@inlined_kernel
def count_queues(shops: Shops, b: int) -> None:
    """Count the jobs before each machine, and the work of those waiting now (at their fastest machine's time)."""
    clock, job, operation, alternative, machine = shops
    for m in range(clock[b, MACHINES]):
        machine[b, m, QUEUE_WORK] = machine[b, m, QUEUE_LENGTH] = 0
    now = clock[b, NOW]
    for j in range(clock[b, JOBS]):
        o = job[b, j, NEXT]
        if o < 0:
            continue
        work = operation[b, o, SHORTEST] if job[b, j, READY] <= now else 0
        for k in range(operation[b, o, COUNT]):
            m = alternative[b, o, k, MACHINE]
            machine[b, m, QUEUE_LENGTH] += 1
            machine[b, m, QUEUE_WORK] += work
