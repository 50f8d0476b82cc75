"""What may be decided now: the mask, the candidates' rows and the eligibility edges."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.soc.observation import F32, Graph, capped, whole
from makespan.envs.soc.schema import CANDIDATE_FEATURES, PE_ONLY, TASK
from makespan.envs.soc.simulator import available, can_wait, commit, is_idle
from makespan.envs.soc.state import (
    ARRIVAL,
    ASSIGNED,
    DEFERRED,
    ENDED,
    FAR,
    LEFT,
    MOST_SUCCESSORS,
    NOW,
    PES,
    PROFILE,
    QUEUE,
    READY,
    RUNS,
    SINCE,
    TEMPLATE,
    TWIN,
    UNIT,
    WAITING_FOR,
    WORK_LEFT,
    WORLD,
    Socs,
)
from makespan.envs.soc.templates import (
    BY_SOURCE,
    DOWNWARD,
    ELIGIBLE,
    LEVEL,
    OPTIMISTIC,
    OUT_FIRST,
    RANK_UNIT,
    SHORTEST,
    STATIC,
    TARGET,
    TASK_FIRST,
    UPWARD,
)

_IS_DEFER: Final = [f.name for f in CANDIDATE_FEATURES].index("is_defer")
_RAW: Final = _IS_DEFER + 1

# Columns of `Graph.offer`.
BEST: Final = 0
SECOND: Final = 1
BEST_PE: Final = 2
BEST_OPTIMISTIC: Final = 3


@borrowing_kernel
def _has_idle_twin(socs: Socs, b: int, row: int, p: int) -> bool:
    """Whether a lower PE would do exactly the same for this task: alike, as idle, its data there as early."""
    w = socs.clock[b, WORLD]
    if not is_idle(socs, b, p):
        return False
    now, twin = socs.clock[b, NOW], socs.platform[w, p, TWIN]
    for q in range(twin, p):
        if (
            socs.platform[w, q, TWIN] == twin
            and is_idle(socs, b, q)
            and max(now, socs.data[b, row, q]) == max(now, socs.data[b, row, p])
        ):
            return True
    return False


@borrowing_kernel
def offered(socs: Socs, graph: Graph, b: int) -> int:
    """Ready tasks that candidates stand for: the first in FIFO order; the others wait behind them."""
    return min(socs.clock[b, READY], graph.finish.shape[0])


@borrowing_kernel
def estimate(socs: Socs, graph: Graph, b: int) -> None:
    """Earliest finishes of the offered tasks everywhere, for those who look."""
    w = socs.clock[b, WORLD]
    for r in range(offered(socs, graph, b)):
        row = socs.ready[b, r]
        t = socs.task[b, row, TEMPLATE]
        best, second, best_pe, optimistic = FAR, FAR, -1, FAR
        for p in range(socs.clock[b, PES]):
            duration = socs.duration[w, t, p]
            if duration < 0:
                graph.finish[r, p] = -1
                continue
            finish = max(available(socs, b, p), socs.data[b, row, p]) + duration
            graph.finish[r, p] = finish
            optimistic = min(optimistic, finish + socs.cost[w, t, p])
            if finish < best:
                best, second, best_pe = finish, best, p
            else:
                second = min(second, finish)
        graph.offer[r, BEST], graph.offer[r, SECOND] = best, best if second == FAR else second
        graph.offer[r, BEST_PE], graph.offer[r, BEST_OPTIMISTIC] = best_pe, optimistic


@borrowing_kernel
def earliest_pe(socs: Socs, b: int, row: int) -> int:
    """The PE on which a ready task would finish first, the lowest of equals."""
    w = socs.clock[b, WORLD]
    t, best, best_pe = socs.task[b, row, TEMPLATE], FAR, -1
    for p in range(socs.clock[b, PES]):
        if socs.duration[w, t, p] >= 0:
            finish = max(available(socs, b, p), socs.data[b, row, p]) + socs.duration[w, t, p]
            if finish < best:
                best, best_pe = finish, p
    return best_pe


@borrowing_kernel
def legal_actions(socs: Socs, graph: Graph, b: int, mode: int, with_defer: bool, merge_twins: bool) -> int:
    """Write row b of the mask; returns the number of allowed candidates (0 once the run has ended).

    Candidate r * M + p (`TASK_PE`) commits the r-th ready task to PE p, r (`TASK`) the r-th to the PE of its earliest finish
    (the lowest of equals), p (`PE_ONLY`) the first to PE p. The last one defers: what is ready waits for the next event.
    """
    w = socs.clock[b, WORLD]
    mask = graph.action_mask
    for a in range(mask.shape[1]):
        mask[b, a] = 0
    if socs.clock[b, ENDED] or socs.clock[b, DEFERRED]:
        return 0
    num_pes, count = graph.finish.shape[1], offered(socs, graph, b)
    if mode == PE_ONLY:
        count = min(count, 1)
    if count == 0:
        return 0
    allowed = 0
    if mode == TASK:
        for r in range(count):
            mask[b, r] = 1
        allowed = count
    else:
        for r in range(count):
            row = socs.ready[b, r]
            t = socs.task[b, row, TEMPLATE]
            for p in range(socs.clock[b, PES]):
                if socs.duration[w, t, p] >= 0 and not (merge_twins and _has_idle_twin(socs, b, row, p)):
                    mask[b, r * num_pes + p] = 1
                    allowed += 1
    if with_defer and can_wait(socs, b):
        mask[b, mask.shape[1] - 1] = 1
        allowed += 1
    return allowed


@borrowing_kernel
def place(socs: Socs, graph: Graph, b: int, action: int, mode: int, with_defer: bool) -> None:
    """Do what a candidate says."""
    num_pes = graph.finish.shape[1]
    if with_defer and action == graph.action_mask.shape[1] - 1:
        socs.clock[b, DEFERRED] = 1
        return
    position, p = action // num_pes, action % num_pes  # with `PE_ONLY`, the first task
    if mode == TASK:
        position, p = action, earliest_pe(socs, b, socs.ready[b, action])
    commit(socs, b, position, p)


@borrowing_kernel
def write_candidates(socs: Socs, graph: Graph, b: int, mode: int, with_defer: bool) -> None:
    """Write the rows of what is allowed, empty the others, and link the offered tasks to the PEs that can run them."""
    num_pes, mask = graph.finish.shape[1], graph.action_mask
    count = 0 if socs.clock[b, ENDED] or socs.clock[b, DEFERRED] else offered(socs, graph, b)
    if mode == PE_ONLY:
        count = min(count, 1)
    shown = max(count, graph.linked[b])  # tasks that the graph shows or has shown
    for a in range(shown if mode == TASK else shown * num_pes):
        if mask[b, a]:
            r, p = a // num_pes, a % num_pes
            if mode == TASK:
                r, p = a, graph.offer[a, BEST_PE]
            _write_candidate(socs, graph, b, a, r, p)
        elif graph.candidate_index[b, a, 0] >= 0:
            _erase_candidate(graph, b, a)
    if with_defer:
        last = mask.shape[1] - 1
        if mask[b, last]:
            graph.candidate_x[b, last, _IS_DEFER] = 1.0
        elif graph.candidate_x[b, last, _IS_DEFER] > 0.0:
            _erase_candidate(graph, b, last)
    _link_offers(socs, graph, b, count, shown)
    graph.linked[b] = count


@borrowing_kernel
def _erase_candidate(graph: Graph, b: int, a: int) -> None:
    for column in range(graph.candidate_x.shape[2]):
        graph.candidate_x[b, a, column] = 0.0
    for column in range(3):
        graph.candidate_index[b, a, column] = -1


@borrowing_kernel
def _link_offers(socs: Socs, graph: Graph, b: int, count: int, shown: int) -> None:
    """Link the offered tasks to the PEs that can run them; `shown` rows may hold links."""
    w = socs.clock[b, WORLD]
    num_pes = graph.finish.shape[1]
    links, x, unit, now = (
        graph.eligibility_index,
        graph.eligibility_x,
        socs.clock[b, UNIT],
        socs.clock[b, NOW],
    )
    for r in range(shown):
        for p in range(num_pes):
            link = r * num_pes + p
            if r < count and p < socs.clock[b, PES] and graph.finish[r, p] >= 0:
                row = socs.ready[b, r]
                links[b, 0, link], links[b, 1, link] = row, p
                x[b, link, 0] = capped(socs.duration[w, socs.task[b, row, TEMPLATE], p] / unit)
                x[b, link, 1] = capped((graph.finish[r, p] - now) / unit)
            else:
                links[b, 0, link] = links[b, 1, link] = -1
                x[b, link, 0] = x[b, link, 1] = 0.0


@borrowing_kernel
def _write_candidate(socs: Socs, graph: Graph, b: int, a: int, r: int, p: int) -> None:
    w = socs.clock[b, WORLD]
    row, x, unit, now = socs.ready[b, r], graph.candidate_x[b, a], socs.clock[b, UNIT], socs.clock[b, NOW]
    num_tasks = socs.task.shape[1] // socs.job.shape[1]
    slot, t = row // num_tasks, socs.task[b, row, TEMPLATE]
    index, template = graph.candidate_index[b, a], socs.template[w, t]
    index[0], index[1], index[2] = row, slot, p
    duration, finish, cost = socs.duration[w, t, p], graph.finish[r, p], socs.cost[w, t, p]
    data, free = max(now, socs.data[b, row, p]) - now, available(socs, b, p) - now
    per_rank = 1.0 / (RANK_UNIT * unit)
    x[0] = capped(duration / unit)
    x[1] = capped((duration - template[SHORTEST]) / unit)
    x[2] = capped(data / unit)
    x[3] = capped(free / unit)
    x[4] = capped(max(data, free) / unit)
    x[5] = capped((finish - now) / unit)
    x[6] = capped((finish - graph.offer[r, BEST]) / unit)
    x[7] = capped((graph.offer[r, SECOND] - graph.offer[r, BEST]) / unit)
    x[8] = capped(template[UPWARD] * per_rank)
    x[9] = capped(template[DOWNWARD] * per_rank)
    x[10] = capped(template[LEVEL] / unit)
    x[11] = capped(cost / unit)
    x[12] = capped((finish + cost - graph.offer[r, BEST_OPTIMISTIC]) / unit)
    x[18] = 1.0 if is_idle(socs, b, p) else 0.0
    x[19] = capped(socs.pe[b, p, QUEUE] / socs.clock[b, PES])
    count, rivals = offered(socs, graph, b), 0
    for other in range(count):
        rivals += graph.offer[other, BEST_PE] == p
    x[20] = rivals / count
    x[22] = template[ELIGIBLE] / socs.clock[b, PES]
    _write_outlook(socs, graph, b, x, row, slot)
    raw = x[_RAW:]
    raw[0] = r
    raw[1] = whole(duration)
    raw[2] = whole(data)
    raw[3] = whole(free)
    raw[4] = whole(max(data, free))
    raw[5] = whole(finish - now)
    raw[6] = whole(template[SHORTEST])
    raw[7] = whole(graph.offer[r, BEST] - now)
    raw[8] = whole(graph.offer[r, SECOND] - now)
    raw[9] = template[UPWARD]
    raw[10] = template[STATIC]
    raw[11] = template[OPTIMISTIC]
    raw[12] = whole(cost)
    raw[16] = 1.0 if socs.pe[b, p, RUNS] >= 0 else 0.0
    raw[17] = whole(socs.pe[b, p, ASSIGNED])


@borrowing_kernel
def _write_outlook(socs: Socs, graph: Graph, b: int, x: F32, row: int, slot: int) -> None:
    """What does not depend on the PE: the job's state, and which tasks wait for this one alone."""
    w = socs.clock[b, WORLD]
    unit, now, raw = socs.clock[b, UNIT], socs.clock[b, NOW], x[_RAW:]
    profile, t = socs.job[b, slot, PROFILE], socs.task[b, row, TEMPLATE]
    first, last = socs.profile[w, profile, TASK_FIRST], socs.profile[w, profile + 1, TASK_FIRST]
    age, wait, path = (
        now - socs.job[b, slot, ARRIVAL],
        now - socs.task[b, row, SINCE],
        graph.active[b, slot, 0],
    )
    x[13] = capped(age / unit)
    x[14] = capped(path / unit)
    x[15] = capped(socs.job[b, slot, WORK_LEFT] / unit)
    x[16] = 1.0 - socs.job[b, slot, LEFT] / (last - first)
    x[17] = capped(wait / unit)
    unlocks = 0
    for k in range(socs.template[w, t, OUT_FIRST], socs.template[w, t + 1, OUT_FIRST]):
        after = row - t + socs.edge[w, socs.edge[w, k, BY_SOURCE], TARGET]
        unlocks += socs.task[b, after, WAITING_FOR] == 1
    x[21] = unlocks / socs.clock[b, MOST_SUCCESSORS]
    raw[13] = whole(wait)
    raw[14] = whole(age)
    raw[15] = whole(path)
