"""The SoC simulator: Numba kernels over struct-of-arrays state with a leading batch axis, driven by events, in integer us.

A task becomes *ready* when its last predecessor ends (a source: when its job enters), is *committed* to a PE by a decision,
and starts once its data have arrived there and the PE is free. A PE runs one task at a time, without interruption;
of its committed tasks it serves the one of the lowest job id (then the earliest committed) whose data are there, so that
nothing waits behind a transfer. Data leave when the producer ends and take `volume // bandwidth` (the model of DS3: Arda et
al. 2020, IEEE Trans. Computers 69(8)).

At one instant: jobs arrive, then running tasks end, in the order in which they started (a job that waited for room enters when
the one before it ends), then decisions are taken until every ready task is committed or deferred, then free PEs start tasks.
Tasks are ready in the order in which this made them so: the FIFO order.

Jobs live in slots. While all slots (or `max_jobs`) are taken, later jobs wait outside in the order of their arrival; their
latency runs.
"""

from __future__ import annotations

from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.soc.state import (
    ARRIVAL,
    ARRIVED,
    ASSIGNED,
    AVAILABLE,
    BASE_POWER,
    BUSY,
    CHANGED,
    CLUSTER,
    CLUSTERS,
    COMMITTED,
    COUNTED_NOW,
    DEFERRED,
    DONE,
    DONE_COUNTED,
    DONE_JOBS,
    DONE_TASKS,
    END,
    ENDED,
    ENERGY,
    ENERGY_SUM,
    ENTERED,
    ENTRY,
    EXCESS,
    FAR,
    FINISHED_LATENCY,
    FIRST_END,
    FIRST_WAITING,
    GONE,
    HEAD,
    HORIZON,
    ID,
    IS_READY,
    JOB_PROFILE,
    JOBS,
    LAST_END,
    LATENCY,
    LATENCY_SUM,
    LEFT,
    MOST_LIVE,
    MOVED,
    NEXT,
    NEXT_END,
    NEXT_WAITING,
    NOW,
    OBJECTIVE,
    OPEN,
    ORDER,
    OUTSTANDING,
    PE,
    PES,
    PROFILE,
    QUEUE,
    QUEUE_WORK,
    READY,
    RENEWED,
    ROOM,
    ROW,
    RUNNING,
    RUNS,
    RUNS_UNTIL,
    SINCE,
    SLOT_LATENCY,
    START,
    STARTED,
    STATUS,
    STOCHASTIC,
    TEMPLATE,
    TIME,
    TOUCHED,
    WAITED,
    WAITING,
    WAITING_FOR,
    WARM_UP,
    WORK_LEFT,
    WORLD,
    Socs,
)
from makespan.envs.soc.templates import BOUND as PROFILE_BOUND
from makespan.envs.soc.templates import BY_SOURCE as EDGE_BY_SOURCE
from makespan.envs.soc.templates import (
    IN_FIRST,
    OUT_FIRST,
    SHORTEST,
    SOURCE,
    TARGET,
    TASK_FIRST,
    WORK,
)


@borrowing_kernel
def touch(socs: Socs, b: int, row: int) -> None:
    """Note that the graph has to show this row anew."""
    if not socs.task[b, row, TOUCHED]:
        socs.task[b, row, TOUCHED] = 1
        socs.changed[b, socs.clock[b, CHANGED]] = row
        socs.clock[b, CHANGED] += 1


@borrowing_kernel
def is_idle(socs: Socs, b: int, p: int) -> bool:
    """Whether nothing runs or is committed here."""
    return socs.pe[b, p, RUNS] < 0 and socs.pe[b, p, HEAD] < 0


@borrowing_kernel
def available(socs: Socs, b: int, p: int) -> int:
    """When PE p should be done with all that is committed to it, in the order of the commitments."""
    return max(socs.clock[b, NOW], socs.pe[b, p, AVAILABLE])


@borrowing_kernel
def _make_ready(socs: Socs, b: int, row: int) -> None:
    """Append a task to the ready list; all its predecessors have ended, so the arrival of its data is known everywhere."""
    w = socs.clock[b, WORLD]
    clock, task, data = socs.clock, socs.task, socs.data
    t = task[b, row, TEMPLATE]
    for p in range(clock[b, PES]):
        data[b, row, p] = 0
    for e in range(socs.template[w, t, IN_FIRST], socs.template[w, t + 1, IN_FIRST]):
        before = row - t + socs.edge[w, e, SOURCE]
        end, source, volume = task[b, before, END], task[b, before, PE], socs.volume[w, e]
        last, there = 0, end
        for p in range(clock[b, PES]):
            bandwidth = socs.bandwidth[w, source, p]
            if bandwidth != last:  # divisions are slow, and PEs side by side mostly alike
                last, there = bandwidth, end + (volume // bandwidth if bandwidth > 0 else 0)
            data[b, row, p] = max(data[b, row, p], there)
    task[b, row, STATUS], task[b, row, SINCE] = IS_READY, clock[b, NOW]
    socs.ready[b, clock[b, READY]] = row
    clock[b, READY] += 1
    touch(socs, b, row)


@borrowing_kernel
def _enter(socs: Socs, b: int) -> None:
    """Let waiting jobs in while there is room."""
    w = socs.clock[b, WORLD]
    clock, job, task = socs.clock, socs.job, socs.task
    num_tasks = task.shape[1] // job.shape[1]
    while clock[b, ENTERED] < clock[b, ARRIVED] and clock[b, ENTERED] - clock[b, DONE_JOBS] < clock[b, ROOM]:
        j = clock[b, ENTERED]
        clock[b, ENTERED] += 1
        slot = 0
        while job[b, slot, ID] >= 0:
            slot += 1
        profile = socs.arrival[b, j, JOB_PROFILE]
        first, last = socs.profile[w, profile, TASK_FIRST], socs.profile[w, profile + 1, TASK_FIRST]
        job[b, slot, ID], job[b, slot, PROFILE] = j, profile
        job[b, slot, ARRIVAL], job[b, slot, ENTRY] = socs.arrival[b, j, TIME], clock[b, NOW]
        job[b, slot, LEFT], job[b, slot, WORK_LEFT] = last - first, socs.profile[w, profile, WORK]
        job[b, slot, RENEWED] = 1
        if clock[b, NOW] > socs.arrival[b, j, TIME]:
            clock[b, WAITED] += 1
        for t in range(first, last):
            row = slot * num_tasks + t - first
            degree = socs.template[w, t + 1, IN_FIRST] - socs.template[w, t, IN_FIRST]
            task[b, row, STATUS], task[b, row, TEMPLATE] = OUTSTANDING, t
            task[b, row, WAITING_FOR], task[b, row, PE] = degree, -1
            task[b, row, OPEN] = socs.template[w, t + 1, OUT_FIRST] - socs.template[w, t, OUT_FIRST]
        for t in range(first, last):
            row = slot * num_tasks + t - first
            if task[b, row, WAITING_FOR] == 0:
                _make_ready(socs, b, row)


@borrowing_kernel
def _release(socs: Socs, b: int, row: int) -> None:
    """Forget a finished task whose output has been fetched: nothing depends on it any more."""
    if socs.task[b, row, STATUS] == DONE and socs.task[b, row, OPEN] == 0:
        socs.task[b, row, STATUS] = GONE
        touch(socs, b, row)


@borrowing_kernel
def _await_start(socs: Socs, b: int, p: int) -> None:
    """List the free PE p, which gets or has a queue, among its like by number: in this order they start tasks."""
    clock, pe = socs.clock, socs.pe
    before, after = -1, clock[b, FIRST_WAITING]
    while 0 <= after < p:
        before, after = after, pe[b, after, NEXT_WAITING]
    pe[b, p, NEXT_WAITING] = after
    if before < 0:
        clock[b, FIRST_WAITING] = p
    else:
        pe[b, before, NEXT_WAITING] = p


@borrowing_kernel
def commit(socs: Socs, b: int, position: int, p: int) -> None:
    """Commit the ready task at a FIFO position to PE p."""
    w = socs.clock[b, WORLD]
    clock, task, pe = socs.clock, socs.task, socs.pe
    num_tasks = task.shape[1] // socs.job.shape[1]
    row = socs.ready[b, position]
    clock[b, READY] -= 1
    for i in range(position, clock[b, READY]):
        socs.ready[b, i] = socs.ready[b, i + 1]
    slot, t = row // num_tasks, task[b, row, TEMPLATE]
    duration, number = socs.duration[w, t, p], socs.job[b, slot, ID]
    pe[b, p, AVAILABLE] = max(available(socs, b, p), socs.data[b, row, p]) + duration
    task[b, row, STATUS], task[b, row, PE] = WAITING, p
    if is_idle(socs, b, p):
        _await_start(socs, b, p)
    before, after = -1, pe[b, p, HEAD]
    while after >= 0 and socs.job[b, after // num_tasks, ID] <= number:
        before, after = after, task[b, after, NEXT]
    task[b, row, NEXT] = after
    if before < 0:
        pe[b, p, HEAD] = row
    else:
        task[b, before, NEXT] = row
    pe[b, p, QUEUE] += 1
    pe[b, p, QUEUE_WORK] += duration
    pe[b, p, ASSIGNED] += 1
    clock[b, COMMITTED] += 1
    touch(socs, b, row)
    for e in range(socs.template[w, t, IN_FIRST], socs.template[w, t + 1, IN_FIRST]):
        producer = row - t + socs.edge[w, e, SOURCE]
        task[b, producer, OPEN] -= 1
        _release(socs, b, producer)


@borrowing_kernel
def await_end(socs: Socs, b: int, p: int) -> None:
    """List the running PE p among those whose tasks are to end: by end, then in the order of their starts."""
    clock, pe = socs.clock, socs.pe
    end, order = pe[b, p, RUNS_UNTIL], pe[b, p, ORDER]
    before, after = -1, clock[b, FIRST_END]
    while after >= 0 and (
        pe[b, after, RUNS_UNTIL] < end or (pe[b, after, RUNS_UNTIL] == end and pe[b, after, ORDER] < order)
    ):
        before, after = after, pe[b, after, NEXT_END]
    pe[b, p, NEXT_END] = after
    if before < 0:
        clock[b, FIRST_END] = p
    else:
        pe[b, before, NEXT_END] = p


@borrowing_kernel
def _start(socs: Socs, b: int, p: int, before: int, row: int) -> None:
    """Start the task that stands behind `before` (-1: first) in the queue of the free PE p."""
    w = socs.clock[b, WORLD]
    clock, task, pe = socs.clock, socs.task, socs.pe
    num_tasks, now = task.shape[1] // socs.job.shape[1], clock[b, NOW]
    if before < 0:
        pe[b, p, HEAD] = task[b, row, NEXT]
    else:
        task[b, before, NEXT] = task[b, row, NEXT]
    slot, t = row // num_tasks, task[b, row, TEMPLATE]
    expected = socs.duration[w, t, p]
    record = socs.arrival[b, socs.job[b, slot, ID], ROW] + row - slot * num_tasks
    true = socs.realised[b, record, p] if clock[b, STOCHASTIC] else expected
    socs.record[b, record, 0], socs.record[b, record, 1] = now, p
    task[b, row, STATUS], task[b, row, START], task[b, row, END] = RUNNING, now, now + expected
    pe[b, p, RUNS], pe[b, p, RUNS_UNTIL], pe[b, p, ORDER] = row, now + true, clock[b, STARTED]
    pe[b, p, QUEUE] -= 1
    pe[b, p, QUEUE_WORK] -= expected
    clock[b, STARTED] += 1
    socs.busy[b, socs.platform[w, p, CLUSTER]] += 1
    await_end(socs, b, p)
    touch(socs, b, row)


@borrowing_kernel
def _start_tasks(socs: Socs, b: int) -> int:
    """Let free PEs start what they can; returns when data that one of the others awaits are there, FAR if none does."""
    clock, pe, now, event = socs.clock, socs.pe, socs.clock[b, NOW], FAR
    last, p = -1, clock[b, FIRST_WAITING]
    while p >= 0:
        after, awaited = pe[b, p, NEXT_WAITING], FAR
        before, row = -1, pe[b, p, HEAD]
        while row >= 0 and socs.data[b, row, p] > now:
            awaited = min(awaited, socs.data[b, row, p])
            before, row = row, socs.task[b, row, NEXT]
        if row < 0:
            last, event = p, min(event, awaited)
        else:
            _start(socs, b, p, before, row)
            if last < 0:
                clock[b, FIRST_WAITING] = after
            else:
                pe[b, last, NEXT_WAITING] = after
        p = after
    return event


@borrowing_kernel
def _finish(socs: Socs, b: int, p: int) -> None:
    """End the task that runs on PE p, the first to end."""
    w = socs.clock[b, WORLD]
    clock, task, pe, job = socs.clock, socs.task, socs.pe, socs.job
    num_tasks, now = task.shape[1] // job.shape[1], clock[b, NOW]
    row = pe[b, p, RUNS]
    slot, t = row // num_tasks, task[b, row, TEMPLATE]
    clock[b, FIRST_END] = pe[b, p, NEXT_END]
    pe[b, p, RUNS] = -1
    # all behind it moves as much as it was late or early
    pe[b, p, AVAILABLE] = pe[b, p, AVAILABLE] + now - task[b, row, END] if pe[b, p, HEAD] >= 0 else now
    if pe[b, p, HEAD] >= 0:
        _await_start(socs, b, p)
    pe[b, p, BUSY] += now - task[b, row, START]
    socs.busy[b, socs.platform[w, p, CLUSTER]] -= 1
    task[b, row, STATUS], task[b, row, END] = DONE, now
    clock[b, LAST_END] = now
    clock[b, DONE_TASKS] += 1
    job[b, slot, LEFT] -= 1
    job[b, slot, WORK_LEFT] -= socs.template[w, t, SHORTEST]
    touch(socs, b, row)
    for k in range(socs.template[w, t, OUT_FIRST], socs.template[w, t + 1, OUT_FIRST]):
        after = row - t + socs.edge[w, socs.edge[w, k, EDGE_BY_SOURCE], TARGET]
        task[b, after, WAITING_FOR] -= 1
        if task[b, after, WAITING_FOR] == 0:
            _make_ready(socs, b, after)
        else:
            touch(socs, b, after)
    _release(socs, b, row)
    if job[b, slot, LEFT] == 0:
        _leave(socs, b, slot)


@borrowing_kernel
def _leave(socs: Socs, b: int, slot: int) -> None:
    """A job is done."""
    clock, job = socs.clock, socs.job
    now, arrival = clock[b, NOW], job[b, slot, ARRIVAL]
    clock[b, DONE_JOBS] += 1
    if arrival >= clock[b, WARM_UP]:
        clock[b, COUNTED_NOW] -= 1
        clock[b, DONE_COUNTED] += 1
        clock[b, SLOT_LATENCY] += now - job[b, slot, ENTRY]
        clock[b, FINISHED_LATENCY] += now - arrival
        clock[b, EXCESS] += max(0, now - arrival - bound_of(socs, b, job[b, slot, ID]))
    job[b, slot, ID], job[b, slot, RENEWED] = -1, 1


@borrowing_kernel
def bound_of(socs: Socs, b: int, j: int) -> int:
    """Lower bound of job j's latency: its critical path, cut at the horizon."""
    w = socs.clock[b, WORLD]
    bound, horizon = socs.profile[w, socs.arrival[b, j, JOB_PROFILE], PROFILE_BOUND], socs.clock[b, HORIZON]
    return min(bound, horizon - socs.arrival[b, j, TIME]) if horizon > 0 else bound


@borrowing_kernel
def can_wait(socs: Socs, b: int) -> bool:
    """Whether something will happen if no ready task is committed now."""
    clock = socs.clock
    return clock[b, COMMITTED] > clock[b, DONE_TASKS] or clock[b, ARRIVED] < clock[b, JOBS]


@borrowing_kernel
def power_now(socs: Socs, b: int) -> int:
    """What is drawn now, uW."""
    w = socs.clock[b, WORLD]
    power = socs.clock[b, BASE_POWER]
    for c in range(socs.clock[b, CLUSTERS]):
        power += socs.draw[w, c, socs.busy[b, c]]
    return power


@borrowing_kernel
def spent(socs: Socs, b: int) -> int:
    """What the run has come to so far in the objective's sum: us, or pJ."""
    clock = socs.clock
    if clock[b, OBJECTIVE] == LATENCY:
        return clock[b, LATENCY_SUM]
    return clock[b, ENERGY_SUM] if clock[b, OBJECTIVE] == ENERGY else clock[b, NOW]


@borrowing_kernel
def _pass_time(socs: Socs, b: int, until: int) -> None:
    clock = socs.clock
    span = until - clock[b, NOW]
    clock[b, LATENCY_SUM] += clock[b, COUNTED_NOW] * span
    if clock[b, BASE_POWER] >= 0:
        clock[b, ENERGY_SUM] += power_now(socs, b) * span
    clock[b, NOW] = until


@borrowing_kernel
def _arrive(socs: Socs, b: int) -> bool:
    clock = socs.clock
    before = clock[b, ARRIVED]
    while clock[b, ARRIVED] < clock[b, JOBS]:
        time = socs.arrival[b, clock[b, ARRIVED], TIME]
        if time > clock[b, NOW]:
            break
        clock[b, ARRIVED] += 1
        if time >= clock[b, WARM_UP]:
            clock[b, COUNTED_NOW] += 1
    clock[b, MOST_LIVE] = max(clock[b, MOST_LIVE], clock[b, ARRIVED] - clock[b, DONE_JOBS])
    return clock[b, ARRIVED] > before


@borrowing_kernel
def _happen(socs: Socs, b: int) -> bool:
    """Let jobs arrive and tasks end, and what waits outside enter; returns whether any did."""
    clock = socs.clock
    happened = _arrive(socs, b)
    _enter(socs, b)
    while clock[b, FIRST_END] >= 0 and socs.pe[b, clock[b, FIRST_END], RUNS_UNTIL] <= clock[b, NOW]:
        _finish(socs, b, clock[b, FIRST_END])
        _enter(socs, b)
        happened = True
    return happened


@borrowing_kernel
def advance(socs: Socs, b: int) -> None:
    """Let time pass until ready tasks await a decision, or the run has ended; starts an empty system, too."""
    clock = socs.clock
    while True:
        if clock[b, DONE_JOBS] == clock[b, JOBS]:
            clock[b, ENDED] = 1
            return
        if clock[b, READY] > 0 and not clock[b, DEFERRED]:
            return
        clock[b, MOVED] = 1
        event = _start_tasks(socs, b)
        if clock[b, FIRST_END] >= 0:
            event = min(event, socs.pe[b, clock[b, FIRST_END], RUNS_UNTIL])
        if clock[b, ARRIVED] < clock[b, JOBS]:
            event = min(event, socs.arrival[b, clock[b, ARRIVED], TIME])
        if clock[b, HORIZON] > 0 and event >= clock[b, HORIZON]:
            _pass_time(socs, b, clock[b, HORIZON])
            clock[b, ENDED] = 1
            return
        _pass_time(socs, b, event)
        if _happen(socs, b):
            clock[b, DEFERRED] = 0
