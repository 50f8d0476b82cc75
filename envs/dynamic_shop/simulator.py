"""The dynamic shop's simulator: what happens between decisions, and who is asked what.

At one moment, in this order: operations end (machines in order of their numbers), jobs arrive, and jobs that have arrived enter
free slots in order of their arrival, each the lowest one. Slots are room in the decision graph: a job that finds none waits
outside, out of reach, and is never lost. Then machines are asked.

Completions are computed when an operation begins, from what was drawn with the instance; decision makers and rewards
(`settle`) see forecasts and the past only. Times are integers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel, kernel
from makespan.envs.dynamic_shop.state import (
    ADMITTED,
    ALLOWED,
    ARRIVAL,
    ARRIVED,
    ASIDE,
    ASKED,
    BEFORE,
    BOUND,
    BUSY,
    CHOICE,
    CLOSES,
    COMPLETION,
    COST,
    COUNT,
    COUNTED,
    COUNTED_JOBS,
    DONE_COUNTED,
    DOWN_BEFORE,
    DUE,
    DURATION,
    ENDED,
    FAR,
    FIRST,
    FLOW_TIME,
    FORECAST,
    HOLDS,
    INCOMING,
    JOB,
    JOBS,
    LEFT,
    LOAD,
    MACHINE,
    MACHINES,
    MAKESPAN,
    MEAN,
    NOW,
    OBJECTIVE,
    OPENS,
    OPERATION,
    PLACE,
    PRESENT,
    PROCESSED,
    QUEUE,
    QUEUE_WORK,
    REALISED,
    SINCE,
    START,
    STARTED,
    STATE,
    TAIL,
    WAITING,
    WEIGHT,
    WINDOW,
    Shops,
)

Mask = NDArray[np.int8]


@borrowing_kernel
def is_down(shops: Shops, b: int, m: int) -> bool:
    """Whether machine m is down now."""
    return shops.window[b, m, shops.machine[b, m, WINDOW], OPENS] <= shops.clock[b, NOW]


@borrowing_kernel
def downtime(shops: Shops, b: int, m: int) -> int:
    """Downtime of machine m up to now."""
    w = shops.machine[b, m, WINDOW]
    return shops.window[b, m, w, BEFORE] + max(0, shops.clock[b, NOW] - shops.window[b, m, w, OPENS])


@borrowing_kernel
def _completion(shops: Shops, b: int, m: int, work: int) -> int:
    """When work that begins on machine m now will be done."""
    end, w = shops.clock[b, NOW] + work, shops.machine[b, m, WINDOW]
    while shops.window[b, m, w, OPENS] < end:
        end += shops.window[b, m, w, CLOSES] - shops.window[b, m, w, OPENS]
        w += 1
    return end


@borrowing_kernel
def _share(shops: Shops, b: int, o: int, column: int, sign: int) -> None:
    """Add operation o to (`sign` 1), or take it from (-1), a column of all machines that could process it."""
    for k in range(shops.operation[b, o, COUNT]):
        m, p = shops.option[b, o, k, MACHINE], shops.option[b, o, k, DURATION]
        shops.machine[b, m, column] += sign * (p // shops.operation[b, o, COUNT])


@borrowing_kernel
def _queue(shops: Shops, b: int, o: int, sign: int) -> None:
    """Let operation o begin (`sign` 1) or end (-1) to wait at all machines that could process it."""
    for k in range(shops.operation[b, o, COUNT]):
        m = shops.option[b, o, k, MACHINE]
        shops.machine[b, m, QUEUE] += sign
        shops.machine[b, m, QUEUE_WORK] += sign * shops.option[b, o, k, DURATION]


@borrowing_kernel
def begin(shops: Shops, b: int, s: int, k: int) -> None:
    """Begin the waiting operation of the job in slot s on its k-th eligible machine."""
    clock, slot, machine = shops.clock, shops.slot, shops.machine
    o, now = slot[b, s, OPERATION], clock[b, NOW]
    m = shops.option[b, o, k, MACHINE]
    _queue(shops, b, o, -1)
    _share(shops, b, o, LOAD, -1)
    if o + 1 < shops.job[b, slot[b, s, JOB] + 1, FIRST]:
        _share(shops, b, o + 1, INCOMING, 1)
    slot[b, s, STATE], slot[b, s, PLACE] = PROCESSED, m
    shops.operation[b, o, START], shops.operation[b, o, CHOICE] = now, k
    machine[b, m, HOLDS], machine[b, m, STARTED] = s, now
    machine[b, m, FORECAST] = shops.option[b, o, k, DURATION]
    machine[b, m, DOWN_BEFORE] = downtime(shops, b, m)
    machine[b, m, COMPLETION] = _completion(shops, b, m, shops.option[b, o, k, REALISED])


@borrowing_kernel
def cost_of(shops: Shops, b: int, j: int, time: int) -> int:
    """What job j costs if it is done at a time (the makespan is no sum: its time)."""
    if shops.clock[b, OBJECTIVE] == FLOW_TIME:
        return time - shops.job[b, j, ARRIVAL]
    if shops.clock[b, OBJECTIVE] == MAKESPAN:
        return time
    return shops.job[b, j, WEIGHT] * max(0, time - shops.job[b, j, DUE])


@borrowing_kernel
def _complete(shops: Shops, b: int, m: int) -> None:
    """The operation in process on machine m ends: its job waits for the next one, or leaves."""
    clock, slot, machine = shops.clock, shops.slot, shops.machine
    s = machine[b, m, HOLDS]
    o, j = slot[b, s, OPERATION], slot[b, s, JOB]
    machine[b, m, HOLDS], machine[b, m, COMPLETION] = -1, FAR
    machine[b, m, BUSY] += shops.option[b, o, shops.operation[b, o, CHOICE], REALISED]
    slot[b, s, PLACE] = -1
    if o + 1 < shops.job[b, j + 1, FIRST]:
        slot[b, s, OPERATION], slot[b, s, STATE], slot[b, s, SINCE] = o + 1, WAITING, clock[b, NOW]
        _share(shops, b, o + 1, INCOMING, -1)
        _queue(shops, b, o + 1, 1)
        return
    slot[b, s, JOB], slot[b, s, STATE] = -1, 0
    clock[b, PRESENT] -= 1
    if shops.job[b, j, COUNTED]:
        clock[b, DONE_COUNTED] += 1
        cost = cost_of(shops, b, j, clock[b, NOW])
        is_sum = clock[b, OBJECTIVE] != MAKESPAN
        clock[b, COST] = clock[b, COST] + cost if is_sum else max(clock[b, COST], cost)


@borrowing_kernel
def _admit(shops: Shops, b: int) -> None:
    """Jobs that have arrived enter free slots, in order of arrival."""
    clock, slot = shops.clock, shops.slot
    s = 0
    while clock[b, ADMITTED] < clock[b, ARRIVED] and clock[b, PRESENT] < slot.shape[1]:
        while slot[b, s, JOB] >= 0:
            s += 1
        j = clock[b, ADMITTED]
        first = shops.job[b, j, FIRST]
        slot[b, s, JOB], slot[b, s, OPERATION], slot[b, s, STATE] = j, first, WAITING
        slot[b, s, SINCE], slot[b, s, PLACE] = shops.job[b, j, ARRIVAL], -1
        for o in range(first, shops.job[b, j + 1, FIRST]):
            _share(shops, b, o, LOAD, 1)
        _queue(shops, b, first, 1)
        clock[b, ADMITTED] += 1
        clock[b, PRESENT] += 1


@borrowing_kernel
def process_events(shops: Shops, b: int) -> None:
    """Everything that happens now without a decision: completions, then arrivals, then admissions."""
    clock, machine = shops.clock, shops.machine
    now = clock[b, NOW]
    for m in range(clock[b, MACHINES]):
        if machine[b, m, COMPLETION] <= now:
            _complete(shops, b, m)
    while clock[b, ARRIVED] < clock[b, JOBS] and shops.job[b, clock[b, ARRIVED], ARRIVAL] <= now:
        clock[b, ARRIVED] += 1
    _admit(shops, b)
    if clock[b, DONE_COUNTED] == clock[b, COUNTED_JOBS]:
        clock[b, ENDED] = 1


@borrowing_kernel
def next_event(shops: Shops, b: int) -> int:
    """The next completion, arrival, or repair of a machine that is waited for; FAR if nothing happens by itself."""
    clock, machine = shops.clock, shops.machine
    event = FAR
    if clock[b, ARRIVED] < clock[b, JOBS]:
        event = shops.job[b, clock[b, ARRIVED], ARRIVAL]
    for m in range(clock[b, MACHINES]):
        event = min(event, machine[b, m, COMPLETION])
        if machine[b, m, QUEUE] > 0 and machine[b, m, HOLDS] < 0 and is_down(shops, b, m):
            event = min(event, shops.window[b, m, machine[b, m, WINDOW], CLOSES])
    return event


@borrowing_kernel
def _advance(shops: Shops, b: int, event: int) -> None:
    """Move the clock to the next event and let it happen."""
    clock, machine = shops.clock, shops.machine
    clock[b, NOW] = event
    for m in range(clock[b, MACHINES]):
        machine[b, m, ASIDE] = 0
        while shops.window[b, m, machine[b, m, WINDOW], CLOSES] <= event:
            machine[b, m, WINDOW] += 1
    process_events(shops, b)


@borrowing_kernel
def _may_be_asked(shops: Shops, b: int, m: int) -> bool:
    machine = shops.machine
    return (
        machine[b, m, HOLDS] < 0
        and machine[b, m, QUEUE] > 0
        and machine[b, m, ASIDE] == 0
        and not is_down(shops, b, m)
    )


@borrowing_kernel
def _mark(shops: Shops, b: int, asked: int, mask: Mask) -> int:
    """Mark what may begin now on machine `asked` (-1: on any machine that may be asked); returns the number."""
    slot, width, count = shops.slot, shops.option.shape[2], 0
    for s in range(slot.shape[1]):
        waits = slot[b, s, STATE] == WAITING
        for k in range(width):
            allowed = False
            if waits:
                m = shops.option[b, slot[b, s, OPERATION], k, MACHINE]
                allowed = m >= 0 and (m == asked or (asked < 0 and _may_be_asked(shops, b, m)))
            mask[b, s * width + k] = 1 if allowed else 0
            count += 1 if allowed else 0
    return count


@kernel
def legal_actions(shops: Shops, b: int, whole_shop: bool, may_wait: bool, mask: Mask) -> int:
    """Go on to the next decision and write row b of its mask; the number of allowed candidates, 0 at the end.

    Candidate s * K + k begins the waiting operation of the job in slot s on its k-th eligible machine; with `may_wait` the
    last candidate waits. The machine of lowest number that is free, up and waited for is asked, or with `whole_shop` all
    of them at once. Waiting is allowed while some event lies ahead or another machine has yet to be asked.
    """
    clock, wait = shops.clock, mask.shape[1] - 1
    process_events(shops, b)
    while not clock[b, ENDED]:
        asked, others = -1, 0
        for m in range(clock[b, MACHINES]):
            if _may_be_asked(shops, b, m):
                asked = m if asked < 0 else asked
                others += 1
        event = FAR
        if asked < 0 or may_wait:
            event = next_event(shops, b)
        if asked < 0:
            if event == FAR:
                raise RuntimeError("nothing lies ahead, and counted jobs are not done")
            _advance(shops, b, event)
            continue
        clock[b, ASKED] = -1 if whole_shop else asked
        count = _mark(shops, b, clock[b, ASKED], mask)
        if may_wait:
            mask[b, wait] = 1 if event < FAR or (others > 1 and not whole_shop) else 0
            count += mask[b, wait]
        clock[b, ALLOWED] = count
        return count
    clock[b, ASKED], clock[b, ALLOWED] = -1, 0
    for a in range(mask.shape[1]):
        mask[b, a] = 0
    return 0


@borrowing_kernel
def take(shops: Shops, b: int, action: int, wait: int) -> None:
    """Begin an operation, or (action `wait`) let what is asked wait for the next event."""
    width = shops.option.shape[2]
    if action != wait:
        begin(shops, b, action // width, action % width)
        return
    asked = shops.clock[b, ASKED]
    for m in range(shops.clock[b, MACHINES]):
        if m == asked or asked < 0:
            shops.machine[b, m, ASIDE] = 1


@borrowing_kernel
def update_left(shops: Shops, b: int) -> None:
    """Renew the forecast work left on each machine; nothing is left, as far as one knows, once the forecast has passed."""
    machine = shops.machine
    for m in range(shops.clock[b, MACHINES]):
        left = 0
        if machine[b, m, HOLDS] >= 0:
            lost = downtime(shops, b, m) - machine[b, m, DOWN_BEFORE]
            done = shops.clock[b, NOW] - machine[b, m, STARTED] - lost
            left = max(0, machine[b, m, FORECAST] - done)
        machine[b, m, LEFT] = left


@borrowing_kernel
def work_left(shops: Shops, b: int, s: int) -> int:
    """Forecast work left of the job in slot s, as of the last `update_left`."""
    o = shops.slot[b, s, OPERATION]
    if shops.slot[b, s, STATE] == PROCESSED:
        return shops.machine[b, shops.slot[b, s, PLACE], LEFT] + shops.operation[b, o, TAIL]
    return shops.operation[b, o, MEAN] + shops.operation[b, o, TAIL]


@borrowing_kernel
def settle(shops: Shops, b: int) -> int:
    """The expected objective: done jobs, and present ones as if they never waited again; renews the bound on the way."""
    clock, slot = shops.clock, shops.slot
    now, is_sum = clock[b, NOW], clock[b, OBJECTIVE] != MAKESPAN
    expected, bound = clock[b, COST], clock[b, COST]
    for s in range(slot.shape[1]):
        j = slot[b, s, JOB]
        if j >= 0 and shops.job[b, j, COUNTED]:
            sooner = cost_of(shops, b, j, now)
            later = cost_of(shops, b, j, now + work_left(shops, b, s))
            expected = expected + later if is_sum else max(expected, later)
            bound = bound + sooner if is_sum else max(bound, sooner)
    clock[b, BOUND] = max(clock[b, BOUND], bound)
    return expected
