"""The kernels that write the candidates of a decision: what due-date rules look at, and what looks ahead."""

from __future__ import annotations

from typing import Final

import numpy as np

from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.dynamic_shop.observation import CANDIDATE_FEATURES, LEAD, LOOKAHEAD, Graph
from makespan.envs.dynamic_shop.simulator import is_down
from makespan.envs.dynamic_shop.state import (
    ARRIVAL,
    COUNT,
    DUE,
    DURATION,
    FIRST,
    HEAVIEST,
    HOLDS,
    INCOMING,
    JOB,
    LEFT,
    LOAD,
    MACHINE,
    MEAN,
    NOW,
    OPERATION,
    QUEUE,
    QUEUE_WORK,
    SINCE,
    TAIL,
    UNIT,
    WEIGHT,
    WORK,
    Shops,
)
from makespan.envs.dynamic_shop.writing import clip, utilisation

_NAMES: Final = [feature.name for feature in CANDIDATE_FEATURES]
_NEXT: Final = _NAMES.index("next_duration")
_LAST: Final = _NAMES.index("is_last")
_WAIT: Final = _NAMES.index("is_wait")
_RAW: Final = _NAMES.index("processing_time")

# Columns of `Graph.score`.
_ATC: Final = 0
_WSPT: Final = 1
_COVERT: Final = 2
_MDD: Final = 3


@borrowing_kernel
def write_candidates(shops: Shops, graph: Graph, b: int, may_wait: bool) -> None:
    """Write the rows of what is allowed, and empty those that no longer are."""
    mask, width, actions = graph.action_mask, shops.option.shape[2], graph.action_mask.shape[1]
    choices = actions - 1 if may_wait else actions
    total, count, longest, earliest = 0, 0, 1, shops.clock[b, NOW]
    for a in range(choices):
        if mask[b, a]:
            s = a // width
            p = shops.option[b, shops.slot[b, s, OPERATION], a % width, DURATION]
            total += p
            count += 1
            longest = max(longest, p)
            earliest = min(earliest, shops.slot[b, s, SINCE])
        elif graph.written[b, a]:
            _empty(graph, b, a)
    mean = max(1.0, total / max(1, count))
    atc, wspt, covert, mdd = -np.inf, -np.inf, 0.0, np.inf
    for a in range(choices):
        if mask[b, a]:
            _score(shops, graph, b, a, mean)
            atc, wspt = max(atc, graph.score[a, _ATC]), max(wspt, graph.score[a, _WSPT])
            covert, mdd = max(covert, graph.score[a, _COVERT]), min(mdd, graph.score[a, _MDD])
    unit = shops.clock[b, UNIT]
    for a in range(choices):
        if mask[b, a]:
            x, score = graph.candidate_x[b, a], graph.score
            _write_candidate(shops, graph, b, a, longest, earliest)
            x[11] = np.float32(np.exp(score[a, _WSPT] - wspt))
            x[12] = np.float32(max(-20.0, score[a, _WSPT] - wspt))
            x[14] = np.float32(max(-20.0, score[a, _ATC] - atc))
            x[13] = np.float32(np.exp(score[a, _ATC] - atc))
            x[15] = np.float32(score[a, _COVERT] / covert) if covert > 0.0 else np.float32(0.0)
            x[16] = clip((score[a, _MDD] - mdd) / unit)
            graph.written[b, a] = 1
    if may_wait:
        graph.candidate_x[b, choices, _WAIT] = np.float32(mask[b, choices])


@borrowing_kernel
def _empty(graph: Graph, b: int, a: int) -> None:
    for column in range(graph.candidate_x.shape[2]):
        graph.candidate_x[b, a, column] = 0.0
    for column in range(graph.candidate_index.shape[2]):
        graph.candidate_index[b, a, column] = -1
    graph.written[b, a] = 0


@borrowing_kernel
def _score(shops: Shops, graph: Graph, b: int, a: int, mean: float) -> None:
    """Indices of a candidate, given the mean forecast of all."""
    width, slot, score = shops.option.shape[2], shops.slot, graph.score
    j, o = slot[b, a // width, JOB], slot[b, a // width, OPERATION]
    p, tail = shops.option[b, o, a % width, DURATION], shops.operation[b, o, TAIL]
    weight, due, now = shops.job[b, j, WEIGHT], shops.job[b, j, DUE], shops.clock[b, NOW]
    slack = max(0.0, due - now - p - tail - LEAD * tail)
    value = weight / max(1, p)
    score[a, _WSPT] = np.log(value)
    score[a, _ATC] = score[a, _WSPT] - slack / (LOOKAHEAD * mean)
    wait = LOOKAHEAD * LEAD * (p + tail)
    score[a, _COVERT] = value * max(0.0, 1.0 - max(0, due - now - p - tail) / max(1.0, wait))
    score[a, _MDD] = max(due, now + p + tail)


@borrowing_kernel
def _write_candidate(shops: Shops, graph: Graph, b: int, a: int, longest: int, earliest: int) -> None:
    clock, slot, machine, width = shops.clock, shops.slot, shops.machine, shops.option.shape[2]
    index, x, unit, now = graph.candidate_index[b, a], graph.candidate_x[b, a], clock[b, UNIT], clock[b, NOW]
    num_slots, s, k = slot.shape[1], a // width, a % width
    j, o = slot[b, s, JOB], slot[b, s, OPERATION]
    first, last = shops.job[b, j, FIRST], shops.job[b, j + 1, FIRST]
    m, p, tail = shops.option[b, o, k, MACHINE], shops.option[b, o, k, DURATION], shops.operation[b, o, TAIL]
    shortest = p
    for other in range(shops.operation[b, o, COUNT]):
        shortest = min(shortest, shops.option[b, o, other, DURATION])
    slack = shops.job[b, j, DUE] - now - p - tail
    index[0] = s * (graph.operation_mask.shape[1] // num_slots) + o - first
    index[1], index[2] = s, m
    x[0] = clip(p / unit)
    x[1] = np.float32(p / longest)
    x[2] = clip((p - shortest) / unit)
    x[3] = clip(tail / unit)
    x[4] = np.float32((last - o - 1) / (last - first))
    x[5] = np.float32(shops.job[b, j, WEIGHT] / clock[b, HEAVIEST])
    x[6] = clip((now - slot[b, s, SINCE]) / unit)
    x[7] = clip(slack / unit)
    x[8] = np.float32(slack / max(1, abs(slack) + p + tail))
    x[9] = 1.0 if slack < 0 else 0.0
    x[17] = clip((slot[b, s, SINCE] - earliest) / unit)
    x[18] = np.float32(machine[b, m, QUEUE] / num_slots)
    x[19] = clip(machine[b, m, LOAD] / unit)
    x[20] = clip(machine[b, m, INCOMING] / unit)
    x[_LAST] = 1.0 if o + 1 == last else 0.0
    ahead, route = _write_next(shops, graph, b, a, o + 1, last)
    x[10] = clip((slack - route) / unit)
    x[_RAW] = p
    x[_RAW + 1] = shortest
    x[_RAW + 2] = shops.job[b, j, DUE]
    x[_RAW + 3] = now
    x[_RAW + 4] = shops.job[b, j, WEIGHT]
    x[_RAW + 5] = p + tail
    x[_RAW + 6] = last - o
    x[_RAW + 7] = shops.job[b, j, WORK]
    x[_RAW + 8] = shops.job[b, j, WORK] - tail
    x[_RAW + 9] = shops.job[b, j, ARRIVAL]
    x[_RAW + 10] = slot[b, s, SINCE]
    x[_RAW + 11] = ahead
    x[_RAW + 12] = j
    x[_RAW + 13] = np.rint(100.0 * utilisation(shops, b, m))


@borrowing_kernel
def _least_work(shops: Shops, b: int, o: int) -> tuple[int, int]:
    """The least work before a machine that could process operation o, waiting or in process, and that machine."""
    least, where = 0, -1
    for k in range(shops.operation[b, o, COUNT]):
        m = shops.option[b, o, k, MACHINE]
        work = shops.machine[b, m, QUEUE_WORK] + shops.machine[b, m, LEFT]
        if where < 0 or work < least:
            least, where = work, m
    return least, where


@borrowing_kernel
def _write_next(shops: Shops, graph: Graph, b: int, a: int, o: int, last: int) -> tuple[int, int]:
    """Write what awaits the job after this operation; the work before its next machine, and before all later ones."""
    x, unit, machine = graph.candidate_x[b, a], shops.clock[b, UNIT], shops.machine
    if o == last:
        for column in range(_NEXT, _LAST):
            x[column] = 0.0
        return 0, 0
    ahead, m = _least_work(shops, b, o)
    route, down = ahead, is_down(shops, b, m)
    for later in range(o + 1, last):
        work, _ = _least_work(shops, b, later)
        route += work
    x[_NEXT] = clip(shops.operation[b, o, MEAN] / unit)
    x[_NEXT + 1] = 1.0 if machine[b, m, HOLDS] < 0 and machine[b, m, QUEUE] == 0 and not down else 0.0
    x[_NEXT + 2] = 1.0 if down else 0.0
    x[_NEXT + 3] = clip(ahead / unit)
    x[_NEXT + 4] = clip(machine[b, m, LOAD] / unit)
    x[_NEXT + 5] = clip(route / unit)
    return ahead, route
