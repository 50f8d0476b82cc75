"""The kernels that keep the blocking shop's decision graph up to date.

Operations' rows are written when their job moves; job, machine, system and candidate rows at every decision.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from makespan.envs.blocking.observation import CANDIDATE_FEATURES, Graph
from makespan.envs.blocking.simulator import (
    AHEAD,
    ALLOWED,
    ASKED,
    AT,
    BLOCKED,
    BOUND,
    CLOSES,
    COMPLETION,
    DONE,
    DOWN_AHEAD,
    DURATION,
    ENTERED,
    FAR,
    FIRST,
    HOLDER,
    INITIAL_BOUND,
    INTERRUPTED,
    JOBS,
    LEFT,
    LONGEST,
    MACHINE,
    MACHINES,
    NEXT,
    NOW,
    OPENS,
    OPERATIONS,
    PLACE,
    PROCESSED,
    QUEUE,
    QUEUE_WORK,
    RELEASE,
    REMAINING,
    REPEAT,
    RUNNING,
    SHOWN,
    SINCE,
    SINCE_MOVE,
    START,
    STATE,
    STOPS_LEFT,
    SWAP,
    TAIL,
    TARGET,
    UPCOMING,
    WAITING,
    WINDOW,
    WORK,
    Shops,
    downtime,
    is_down,
    is_stopped,
)
from makespan.envs.core.kernels import borrowing_kernel

# Numba freezes module constants at compile time: the kernels name their columns through these.
_C: Final = {feature.name: column for column, feature in enumerate(CANDIDATE_FEATURES)}
_C_NEXT, _C_IS_LAST, _C_IS_WAIT = _C["next_duration"], _C["is_last"], _C["is_wait"]
_C_FOLLOWERS, _C_RAW = _C["followers"], _C["processing_time"]
_MOST: Final = np.float32(100.0)  # the features' upper limit


@borrowing_kernel
def _scale(shops: Shops, b: int) -> np.float32:
    """1 / LB0, the unit of every time the networks see."""
    return np.float32(1.0 / max(1, shops.clock[b, INITIAL_BOUND]))


@borrowing_kernel
def _clip(x: np.float32) -> np.float32:
    """Within the spaces even where downtime makes an episode very long."""
    return max(-_MOST, min(_MOST, x))


@borrowing_kernel
def write_start(shops: Shops, graph: Graph, b: int) -> None:
    """Write slot b's graph at the start of an episode; `write_dynamic` completes it."""
    clock, job, operation, scale = shops.clock, shops.job, shops.operation, _scale(shops, b)
    num_jobs, num_machines = clock[b, JOBS], clock[b, MACHINES]
    graph.operation_count[b, 0], graph.job_count[b, 0] = clock[b, OPERATIONS], num_jobs
    graph.machine_count[b, 0], graph.system_count[b, 0] = num_machines, 1
    graph.operation_x[b] = 0.0
    graph.operation_mask[b] = 0
    graph.operation_parent[b] = -1
    graph.job_x[b] = 0.0
    graph.machine_x[b] = 0.0
    graph.system_x[b] = 0.0
    graph.critic_x[b] = 0.0
    graph.precedence_index[b] = graph.eligibility_index[b] = -1
    graph.frontier_index[b] = graph.holds_index[b] = graph.waits_for_index[b] = -1
    graph.candidate_x[b] = 0.0
    graph.candidate_index[b] = -1
    longest_job = 1
    for j in range(num_jobs):
        longest_job = max(longest_job, job[b, j + 1, FIRST] - job[b, j, FIRST])
    for j in range(num_jobs):
        first, last, head = job[b, j, FIRST], job[b, j + 1, FIRST], job[b, j, RELEASE]
        graph.job_x[b, j, 9] = (operation[b, first, DURATION] + operation[b, first, TAIL]) * scale
        graph.job_x[b, j, 10] = np.float32((last - first) / longest_job)
        for o in range(first, last):
            p = operation[b, o, DURATION]
            graph.operation_mask[b, o], graph.operation_parent[b, o] = 1, j
            graph.eligibility_index[b, 0, o], graph.eligibility_index[b, 1, o] = o, operation[b, o, MACHINE]
            if o + 1 < last:
                graph.precedence_index[b, 0, o], graph.precedence_index[b, 1, o] = o, o + 1
            graph.operation_x[b, o, 4] = _clip((head + p) * scale)
            graph.operation_x[b, o, 5] = p * scale
            graph.operation_x[b, o, 6] = np.float32(p / clock[b, LONGEST])
            graph.operation_x[b, o, 7] = _clip(head * scale)
            graph.operation_x[b, o, 8] = operation[b, o, TAIL] * scale
            graph.operation_x[b, o, 9] = np.float32((o - first) / (last - first))
            head += p
        graph.frontier_index[b, 0, j], graph.frontier_index[b, 1, j] = j, first
    for m in range(num_machines):
        graph.machine_x[b, m, 13] = shops.machine[b, m, WORK] * scale
    graph.system_x[b, 0, 7] = 1.0 if clock[b, SWAP] else 0.0
    graph.system_x[b, 0, 8] = 1.0 if clock[b, REPEAT] else 0.0
    graph.system_x[b, 0, 9] = np.float32(num_jobs / (num_jobs + num_machines))


@borrowing_kernel
def write_dynamic(shops: Shops, graph: Graph, b: int) -> None:
    """Write what the current decision sees."""
    clock, scale = shops.clock, _scale(shops, b)
    _write_jobs(shops, graph, b)
    _write_machines(shops, graph, b)
    graph.system_x[b, 0, 0] = np.float32(clock[b, ENTERED] / clock[b, OPERATIONS])
    graph.system_x[b, 0, 1] = _clip((clock[b, BOUND] - clock[b, INITIAL_BOUND]) * scale)
    graph.system_x[b, 0, 2] = _clip(clock[b, NOW] * scale)
    graph.system_x[b, 0, 3] = np.float32(clock[b, ALLOWED] / clock[b, JOBS])
    for a in range(graph.action_mask.shape[1]):
        if graph.action_mask[b, a]:
            if a < shops.job.shape[1] - 1:
                _write_candidate(shops, graph, b, a)
            else:
                graph.candidate_x[b, a, _C_IS_WAIT] = 1.0
        elif graph.candidate_index[b, a, 0] >= 0 or graph.candidate_x[b, a, _C_IS_WAIT] > 0.0:
            for column in range(graph.candidate_x.shape[2]):
                graph.candidate_x[b, a, column] = 0.0
            for column in range(graph.candidate_index.shape[2]):
                graph.candidate_index[b, a, column] = -1


@borrowing_kernel
def _write_operations(shops: Shops, graph: Graph, b: int, j: int, left: int) -> None:
    """Take what job j has left behind out of the graph, and write the operation it is at (`left`: its work to do)."""
    job, operation, x = shops.job, shops.operation, graph.operation_x
    scale, last, at = _scale(shops, b), job[b, j + 1, FIRST], job[b, j, AT]
    first = at
    if at < 0:
        first = last  # the job is done
    while job[b, j, SHOWN] < first:
        gone = job[b, j, SHOWN]
        graph.operation_mask[b, gone], graph.operation_parent[b, gone] = 0, -1
        for side in range(2):
            graph.precedence_index[b, side, gone] = graph.eligibility_index[b, side, gone] = -1
        for column in range(x.shape[2]):
            x[b, gone, column] = 0.0
        job[b, j, SHOWN] += 1
    graph.frontier_index[b, 0, j] = j if first < last else -1
    graph.frontier_index[b, 1, j] = first if first < last else -1
    if at < 0:
        return
    if x[b, at, 0] == 0.0:
        x[b, at, 0] = 1.0
        end = operation[b, at, START]
        for later in range(at, last):
            end += operation[b, later, DURATION]
            x[b, later, 4] = _clip(end * scale)
    p = operation[b, at, DURATION]
    x[b, at, 1] = np.float32((p - left) / p) if p > 0 else np.float32(1.0)
    blocked = job[b, j, STATE] == BLOCKED
    x[b, at, 2] = 1.0 if blocked else 0.0
    if shops.clock[b, INTERRUPTED]:
        stopped = is_down(shops, b, job[b, j, PLACE]) or is_stopped(shops, b, at)
        x[b, at, 3] = 1.0 if not blocked and stopped else 0.0


@borrowing_kernel
def _write_jobs(shops: Shops, graph: Graph, b: int) -> None:
    clock, job, machine, x = shops.clock, shops.job, shops.machine, graph.job_x
    scale, now, bound = _scale(shops, b), clock[b, NOW], clock[b, BOUND]
    per_job = np.float32(1.0 / clock[b, JOBS])
    for j in range(clock[b, JOBS]):
        state, place, o = job[b, j, STATE], job[b, j, PLACE], job[b, j, NEXT]
        last = job[b, j + 1, FIRST]
        if state == DONE and job[b, j, SHOWN] == last:
            continue
        ready, count, target, followers = 0, 0, -1, 0
        work = job[b, j, AHEAD]
        if place >= 0:
            followers = machine[b, place, QUEUE]
        if state == UPCOMING:
            ready = job[b, j, RELEASE] - now
        if state == PROCESSED:
            ready = machine[b, place, REMAINING]
            count = 1
        if place >= 0 or state == DONE:
            _write_operations(shops, graph, b, j, ready)
        if o >= 0:
            count += last - o
        if state == BLOCKED:
            target = machine[b, job[b, j, TARGET], HOLDER]
        waited = now - job[b, j, SINCE] if state in (WAITING, BLOCKED) else 0
        graph.waits_for_index[b, 0, j] = j if target >= 0 else -1
        graph.waits_for_index[b, 1, j] = target
        x[b, j, 0] = 0.0 if state == DONE else 1.0
        x[b, j, 1] = 1.0 if place >= 0 else 0.0
        x[b, j, 2] = 1.0 if state == BLOCKED else 0.0
        x[b, j, 3] = _clip(waited * scale)
        x[b, j, 4] = _clip(ready * scale)
        x[b, j, 5] = (work + (ready if state == PROCESSED else 0)) * scale
        x[b, j, 6] = np.float32(count) / np.float32(last - job[b, j, FIRST])
        x[b, j, 7] = _clip((bound - now - ready - work) * scale) if state != DONE else np.float32(0.0)
        x[b, j, 8] = followers * per_job


@borrowing_kernel
def _write_machines(shops: Shops, graph: Graph, b: int) -> None:
    clock, machine, x = shops.clock, shops.machine, graph.machine_x
    scale, now, bound = _scale(shops, b), clock[b, NOW], clock[b, BOUND]
    per_job, num_machines = np.float32(1.0 / clock[b, JOBS]), clock[b, MACHINES]
    blocked_count = 0
    for m in range(num_machines):
        j, work, left = machine[b, m, HOLDER], machine[b, m, WORK], machine[b, m, REMAINING]
        blocks = j >= 0 and machine[b, m, COMPLETION] == FAR
        graph.holds_index[b, 0, m] = j
        graph.holds_index[b, 1, m] = m if j >= 0 else -1
        x[b, m, 0] = 1.0 if j < 0 else 0.0
        x[b, m, 1] = 1.0 if blocks else 0.0
        x[b, m, 3] = 1.0 if clock[b, ASKED] == m else 0.0
        x[b, m, 4] = left * scale
        x[b, m, 5] = work * scale
        x[b, m, 6] = machine[b, m, LEFT] * per_job
        x[b, m, 7] = _clip((bound - now - left - work) * scale)
        x[b, m, 8] = machine[b, m, QUEUE] * per_job
        x[b, m, 9] = machine[b, m, QUEUE_WORK] * scale
        x[b, m, 10] = _clip(now * scale)
        x[b, m, 11] = _clip((now - machine[b, m, SINCE_MOVE]) * scale)
        blocked_count += 1 if blocks else 0
    graph.system_x[b, 0, 4] = np.float32(blocked_count / num_machines)
    graph.system_x[b, 0, 5] = np.float32(clock[b, RUNNING] / num_machines)
    if clock[b, INTERRUPTED]:
        _write_downtime(shops, graph, b)


@borrowing_kernel
def _write_downtime(shops: Shops, graph: Graph, b: int) -> None:
    """Write which machines are down, since when and how much they have been, and what a critic may know."""
    clock, machine, x = shops.clock, shops.machine, graph.machine_x
    scale, now, num_machines = _scale(shops, b), clock[b, NOW], clock[b, MACHINES]
    down_count, ahead = 0, 0
    for m in range(num_machines):
        k, down, lost = machine[b, m, WINDOW], is_down(shops, b, m), downtime(shops, b, m)
        changed = shops.window[b, m, k, OPENS] if down else 0
        if not down and k > 0:
            changed = shops.window[b, m, k - 1, CLOSES]
        if machine[b, m, COMPLETION] < FAR and is_stopped(shops, b, shops.job[b, machine[b, m, HOLDER], AT]):
            down = True
        x[b, m, 2] = 1.0 if down else 0.0
        x[b, m, 10] = _clip((now - changed) * scale)
        x[b, m, 12] = np.float32(lost / max(1, now))
        down_count += 1 if down else 0
        ahead += max(0, machine[b, m, DOWN_AHEAD] - lost)
    graph.system_x[b, 0, 6] = np.float32(down_count / num_machines)
    graph.critic_x[b, 0] = _clip(np.float32(ahead / num_machines) * scale)
    graph.critic_x[b, 1] = _clip(np.float32(clock[b, STOPS_LEFT] / num_machines) * scale)


@borrowing_kernel
def _write_candidate(shops: Shops, graph: Graph, b: int, j: int) -> None:
    clock, job, operation, machine = shops.clock, shops.job, shops.operation, shops.machine
    index, x, scale = graph.candidate_index[b, j], graph.candidate_x[b, j], _scale(shops, b)
    per_job, now, bound = np.float32(1.0 / clock[b, JOBS]), clock[b, NOW], clock[b, BOUND]
    first, last, o = job[b, j, FIRST], job[b, j + 1, FIRST], job[b, j, NEXT]
    m, p, tail = job[b, j, TARGET], operation[b, o, DURATION], operation[b, o, TAIL]
    work, left = machine[b, m, WORK], job[b, j, PLACE]
    index[0], index[1], index[2] = o, j, m
    x[0] = p * scale
    x[1] = np.float32(p / clock[b, LONGEST])
    x[2] = tail * scale
    x[3] = _clip((now - job[b, j, SINCE]) * scale)
    x[4] = _clip((bound - now - p - tail) * scale)
    x[5] = _clip((bound - now - work) * scale)
    x[6] = max(0, now + max(p + tail, work) - bound) * scale
    x[7] = np.float32((last - o - 1) / (last - first))
    x[8] = machine[b, m, QUEUE] * per_job
    x[9] = machine[b, m, LEFT] * per_job
    x[10] = 1.0 if left >= 0 else 0.0
    for column in range(_C_FOLLOWERS, _C_IS_LAST):
        x[column] = 0.0
    if left >= 0:
        x[_C_FOLLOWERS] = machine[b, left, QUEUE] * per_job
        x[_C_FOLLOWERS + 1] = machine[b, left, QUEUE_WORK] * scale
        x[_C_FOLLOWERS + 2] = machine[b, left, WORK] * scale
    x[_C_IS_LAST] = 1.0 if o + 1 == last else 0.0
    next_queue = _write_next(shops, graph, b, j, o + 1) if o + 1 < last else 0
    total = operation[b, first, DURATION] + operation[b, first, TAIL]
    x[_C_RAW] = p
    x[_C_RAW + 1] = job[b, j, SINCE]
    x[_C_RAW + 2] = p + tail
    x[_C_RAW + 3] = last - o
    x[_C_RAW + 4] = job[b, j, RELEASE] + total - tail
    x[_C_RAW + 5] = total
    x[_C_RAW + 6] = next_queue
    x[_C_RAW + 7] = work
    x[_C_RAW + 8] = 1.0 if left >= 0 else 0.0


@borrowing_kernel
def _write_next(shops: Shops, graph: Graph, b: int, j: int, o: int) -> int:
    """Write the outlook on operation o, which the candidate of job j would be followed by; the work before it."""
    machine, x, scale = shops.machine, graph.candidate_x[b, j], _scale(shops, b)
    m = shops.operation[b, o, MACHINE]
    left, holder, down = machine[b, m, REMAINING], machine[b, m, HOLDER], is_down(shops, b, m)
    x[_C_NEXT] = shops.operation[b, o, DURATION] * scale
    x[_C_NEXT + 1] = 1.0 if holder < 0 and not down else 0.0
    x[_C_NEXT + 2] = left * scale
    x[_C_NEXT + 3] = 1.0 if holder >= 0 and machine[b, m, COMPLETION] == FAR else 0.0
    x[_C_NEXT + 4] = 1.0 if down else 0.0
    x[_C_NEXT + 5] = machine[b, m, QUEUE_WORK] * scale
    x[_C_NEXT + 6] = machine[b, m, WORK] * scale
    return left + machine[b, m, QUEUE_WORK]
