"""The kernels that keep the transfer cell's decision graph up to date.

Glasses at the load port are written once; what moves or processes is written at every decision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.transfer_robot.observation import Graph
from makespan.envs.transfer_robot.simulator import (
    ALLOWED,
    ASKED,
    AT,
    BROUGHT_BY,
    CARRIER,
    CHAMBERS,
    CLAIMED,
    DELIVERS,
    EFFORT,
    EMPTY,
    FAR,
    FETCHES,
    FIRST,
    FULL,
    GLASS,
    GLASSES,
    HAND_COUNT,
    HANDS,
    HELD,
    INITIAL_BOUND,
    LAST,
    LEFT,
    LEVEL,
    LIMIT,
    LOAD,
    LOADED,
    MOST_HANDS,
    MOVE,
    MOVES,
    NEXT_GLASS,
    NOW,
    OVERDUE,
    PENALTY,
    PLACE,
    PROMISED,
    READY,
    RELEASE,
    ROBOTS,
    SINCE,
    SOON,
    SPAN_BOUND,
    STAGE,
    STAGES,
    TACT,
    TIME,
    UNLOAD,
    VIOLATIONS,
    WAITING,
    Cells,
    foreseen,
    foreseen_free,
)

FloatRow = NDArray[np.floating[Any]]

_MOST = np.float32(100.0)  # the features' upper limit
_NEVER = np.float32(2.0**23)
_RAW = 20  # first raw column of a candidate
_LEFT_COLUMN, _BOTTLENECK_COLUMN = 7, 16  # of a station


@borrowing_kernel
def _per_tact(cells: Cells, b: int) -> np.float32:
    return np.float32(1.0 / cells.clock[b, TACT])


@borrowing_kernel
def _clip(x: float) -> np.float32:
    return max(-_MOST, min(_MOST, np.float32(x)))


@borrowing_kernel
def _time_left(cells: Cells, b: int, x: int, at: int) -> int:
    """Residency limit of the glass in chamber x minus the time it will have waited at a time, counted from its foreseen end."""
    g, now = cells.station[b, x, GLASS], cells.clock[b, NOW]
    limit = cells.process[b, g, cells.station[b, x, LEVEL] - 1, LIMIT]
    ready = cells.station[b, x, READY]
    if ready > now:
        ready = max(now, cells.station[b, x, PROMISED])
    return FAR if limit < 0 else limit - max(0, at - ready)


@borrowing_kernel
def write_start(cells: Cells, graph: Graph, b: int) -> None:
    """Write slot b's graph at the start of an episode; `write_dynamic` completes it."""
    clock, station, level, unit = cells.clock, cells.station, cells.level, _per_tact(cells, b)
    N, S, last = clock[b, GLASSES], clock[b, STAGES], clock[b, CHAMBERS] + 2
    graph.glass_count[b, 0], graph.station_count[b, 0] = N, last
    graph.robot_count[b, 0], graph.system_count[b, 0] = clock[b, ROBOTS], 1
    graph.glass_x[b] = 0.0
    graph.station_x[b] = 0.0
    graph.robot_x[b] = 0.0
    graph.candidate_x[b] = 0.0
    graph.flow_x[b] = 0.0
    graph.glass_mask[b] = 0
    graph.located_index[b] = graph.carried_index[b] = graph.at_index[b] = graph.flow_index[b] = -1
    graph.candidate_index[b] = -1
    edge = 0
    for x in range(last):
        lev, row = station[b, x, LEVEL], graph.station_x[b, x]
        parallel = level[b, lev, LAST] - level[b, lev, FIRST]
        row[9] = 1.0 if lev == 0 else 0.0
        row[10] = 1.0 if lev == S + 1 else 0.0
        row[11], row[12] = np.float32(lev / (S + 1)), np.float32(1.0 / parallel)
        row[13], row[14] = _clip(station[b, x, LOAD] * unit), _clip(station[b, x, UNLOAD] * unit)
        if 0 < lev <= S:
            total = 0
            for g in range(N):
                total += cells.process[b, g, lev - 1, TIME]
            row[15] = _clip(total * unit / N)
            row[_BOTTLENECK_COLUMN] = _clip(level[b, lev, LEFT] * unit / (parallel * N))
        if lev <= S:
            for y in range(level[b, lev + 1, FIRST], level[b, lev + 1, LAST]):
                graph.flow_index[b, 0, edge], graph.flow_index[b, 1, edge] = x, y
                graph.flow_x[b, edge, 0] = _clip(cells.travel[b, x, y] * unit)
                edge += 1
    for g in range(N):
        row = graph.glass_x[b, g]
        graph.glass_mask[b, g] = 1
        row[0], row[10] = 1.0, np.float32(g / N)
        row[4] = _clip(cells.tail[b, g, 0] * unit / (S + 1))
        row[5] = _clip(cells.glass[b, g, RELEASE] * unit)
        graph.located_index[b, 0, g], graph.located_index[b, 1, g] = g, 0
    for r in range(clock[b, ROBOTS]):
        graph.robot_x[b, r, 7] = np.float32(cells.robot[b, r, HAND_COUNT] / 2)
    row = graph.system_x[b, 0]
    row[6], row[7] = np.float32(clock[b, ROBOTS] / 2), np.float32(clock[b, HANDS] / 4)
    row[8] = _clip(clock[b, PENALTY] * unit)
    effort, shares = 0, clock[b, MOST_HANDS] * clock[b, ROBOTS]
    for lev in range(S + 1):
        effort += level[b, lev, EFFORT]
    row[9] = _clip(effort * unit / shares)


@borrowing_kernel
def write_dynamic(cells: Cells, graph: Graph, b: int) -> None:
    """Write what the current decision sees."""
    clock, initial = cells.clock, np.float32(max(1, cells.clock[b, INITIAL_BOUND]))
    _write_stations(cells, graph, b)
    _write_robots(cells, graph, b)
    _write_glasses(cells, graph, b)
    moves, row = 2 * clock[b, GLASSES] * (clock[b, STAGES] + 1), graph.system_x[b, 0]
    row[0] = np.float32(clock[b, MOVES] / moves)
    row[1] = np.float32((clock[b, GLASSES] - clock[b, NEXT_GLASS]) / clock[b, GLASSES])
    row[2] = _clip((clock[b, SPAN_BOUND] - clock[b, INITIAL_BOUND]) / initial)
    row[3] = _clip(clock[b, NOW] / initial)
    row[4] = _clip(clock[b, VIOLATIONS] / clock[b, GLASSES])
    row[5] = np.float32(clock[b, ALLOWED] / graph.action_mask.shape[1])
    width, wait = cells.station.shape[1] - 1, graph.action_mask.shape[1] - 1
    for a in range(wait + 1):
        if graph.action_mask[b, a]:
            if a == wait:
                graph.candidate_x[b, a, 2] = 1.0
            elif a < width:
                _write_fetch(cells, graph, b, a)
            else:
                _write_delivery(cells, graph, b, a, HELD + a // width - 1, a % width + 1)
        elif graph.candidate_index[b, a, 0] >= 0 or graph.candidate_x[b, a, 2] > 0.0:
            for column in range(graph.candidate_x.shape[2]):
                graph.candidate_x[b, a, column] = 0.0
            for column in range(3):
                graph.candidate_index[b, a, column] = -1


@borrowing_kernel
def _write_stations(cells: Cells, graph: Graph, b: int) -> None:
    clock, station, level, unit = cells.clock, cells.station, cells.level, _per_tact(cells, b)
    now = clock[b, NOW]
    at = cells.robot[b, max(0, clock[b, ASKED]), AT]
    for lev in range(clock[b, STAGES] + 2):
        parallel = level[b, lev, LAST] - level[b, lev, FIRST]
        level[b, lev, EMPTY], level[b, lev, SOON], level[b, lev, WAITING] = 0, FAR, 0
        left = _clip(level[b, lev, LEFT] * unit / (parallel * clock[b, GLASSES]))
        for x in range(level[b, lev, FIRST], level[b, lev, LAST]):
            row, there = graph.station_x[b, x], station[b, x, GLASS] >= 0
            begin = foreseen(cells, b, x) if there else now
            ready = there and station[b, x, READY] <= now
            row[0] = 1.0 if there else 0.0
            row[1] = 1.0 if station[b, x, BROUGHT_BY] >= 0 else 0.0
            row[2] = 1.0 if there and station[b, x, LOADED] <= now and not ready and x > 0 else 0.0
            row[3] = 1.0 if ready else 0.0
            row[4] = 1.0 if station[b, x, CLAIMED] >= 0 else 0.0
            row[5] = _clip((begin - now) * unit) if there and not ready else np.float32(0.0)
            row[6] = _clip((now - station[b, x, READY]) * unit) if ready else np.float32(0.0)
            row[_LEFT_COLUMN] = left
            row[8] = _clip(cells.travel[b, at, x] * unit)
            level[b, lev, SOON] = min(level[b, lev, SOON], max(now, begin))  # unloading may have begun
            level[b, lev, EMPTY] += 0 if there else 1
            level[b, lev, WAITING] += 1 if ready else 0
    level[b, clock[b, STAGES] + 1, SOON] = now
    level[b, clock[b, STAGES] + 1, EMPTY] = 1


@borrowing_kernel
def _write_robots(cells: Cells, graph: Graph, b: int) -> None:
    clock, robot, unit = cells.clock, cells.robot, _per_tact(cells, b)
    for r in range(clock[b, ROBOTS]):
        row = graph.robot_x[b, r]
        row[0] = 1.0 if clock[b, ASKED] == r else 0.0
        row[1] = 1.0 if robot[b, r, MOVE] == FETCHES else 0.0
        row[2] = 1.0 if robot[b, r, MOVE] == DELIVERS else 0.0
        row[3] = _clip((foreseen_free(cells, b, r) - clock[b, NOW]) * unit)
        row[4] = np.float32(robot[b, r, FULL] / 2)
        for hand in range(2):
            g = robot[b, r, HELD + hand]
            behind = cells.glass[b, g, STAGE] + 1 if g >= 0 else 0
            row[5 + hand] = np.float32(behind / (clock[b, STAGES] + 1))
        graph.at_index[b, 0, r], graph.at_index[b, 1, r] = r, robot[b, r, AT]


@borrowing_kernel
def _write_glasses(cells: Cells, graph: Graph, b: int) -> None:
    """Write every glass that has left the load port, and those that are still to arrive there."""
    clock, glass, station, unit = cells.clock, cells.glass, cells.station, _per_tact(cells, b)
    now, S, out = clock[b, NOW], clock[b, STAGES], clock[b, CHAMBERS] + 1
    for g in range(clock[b, GLASSES]):
        row = graph.glass_x[b, g]
        if g >= clock[b, NEXT_GLASS]:
            if row[5] > 0.0:
                row[5] = _clip(max(0, glass[b, g, RELEASE] - now) * unit)
            continue
        if not graph.glass_mask[b, g]:
            continue
        lev, x, r = glass[b, g, STAGE], glass[b, g, PLACE], glass[b, g, CARRIER]
        if x == out:
            graph.glass_mask[b, g] = 0
            for column in range(row.size):
                row[column] = 0.0
            for side in range(2):
                graph.located_index[b, side, g] = graph.carried_index[b, side, g] = -1
            continue
        graph.located_index[b, 0, g], graph.located_index[b, 1, g] = g if x >= 0 else -1, x
        graph.carried_index[b, 0, g], graph.carried_index[b, 1, g] = g if r >= 0 else -1, r
        for column in range(10):
            row[column] = 0.0
        row[2] = 1.0 if r >= 0 else 0.0
        row[3] = np.float32(lev / (S + 1))
        row[4] = _clip(cells.tail[b, g, lev] * unit / (S + 1))
        if x < 0:
            row[6] = _clip(max(0, now - glass[b, g, SINCE]) * unit)
            continue
        row[1] = 1.0
        if station[b, x, READY] > now:
            row[5] = _clip(max(0, station[b, x, PROMISED] - now) * unit)
        else:
            row[6] = _clip((now - station[b, x, READY]) * unit)
        left = _time_left(cells, b, x, now)
        if left < FAR:
            row[7], row[8] = _clip(left * unit), 1.0
            row[9] = 1.0 if station[b, x, OVERDUE] else 0.0


@borrowing_kernel
def _write_common(cells: Cells, graph: Graph, b: int, a: int, g: int, x: int, lev: int, begin: int) -> None:
    """Write what fetching and delivering have in common: glass g, its level, the station x to go to, when the work begins."""
    clock, level, unit = cells.clock, cells.level, _per_tact(cells, b)
    now, r, S = clock[b, NOW], clock[b, ASKED], clock[b, STAGES]
    index, row = graph.candidate_index[b, a], graph.candidate_x[b, a]
    index[0], index[1], index[2] = g, x, r
    way, first = cells.travel[b, cells.robot[b, r, AT], x], level[b, lev + 1, FIRST]
    for column in range(3):
        row[column] = 0.0
    row[3] = 1.0 if x == 0 or x == clock[b, CHAMBERS] + 1 else 0.0
    row[4], row[5] = _clip(way * unit), _clip((begin - now - way) * unit)
    row[7] = np.float32(lev / (S + 1))
    row[9] = row[10] = row[13] = 0.0
    row[11] = np.float32(level[b, lev + 1, EMPTY] / (level[b, lev + 1, LAST] - first))
    row[12] = _clip((level[b, lev + 1, SOON] - now) * unit)
    process = cells.process[b, g, lev, TIME] if lev < S else 0
    row[15] = _clip(process * unit)
    row[16], row[17] = graph.station_x[b, first, _LEFT_COLUMN], graph.station_x[b, first, _BOTTLENECK_COLUMN]
    row[18] = graph.station_x[b, level[b, lev, FIRST], _BOTTLENECK_COLUMN]
    row[19] = 0.0
    if lev > 0:
        before = level[b, lev - 1, LAST] - level[b, lev - 1, FIRST]
        row[19] = np.float32(level[b, lev - 1, WAITING] / before)
    write_raw(cells, b, a, row, _RAW)


@borrowing_kernel
def _exchanges(cells: Cells, b: int, lev: int) -> bool:
    """Whether a glass that the asked robot holds waits for a chamber of level `lev`."""
    for hand in range(HELD, HELD + 2):
        g = cells.robot[b, cells.clock[b, ASKED], hand]
        if g >= 0 and cells.glass[b, g, STAGE] + 1 == lev:
            return True
    return False


@borrowing_kernel
def write_raw(cells: Cells, b: int, a: int, row: FloatRow, first: int) -> None:
    """Write the raw features of candidate `a`, a move of the asked robot, into a row from column `first` on."""
    clock, station, level = cells.clock, cells.station, cells.level
    now, r, width = clock[b, NOW], clock[b, ASKED], station.shape[1] - 1
    fetches, left = a < width, FAR
    if fetches:
        x, g, lev, ready = a, station[b, a, GLASS], station[b, a, LEVEL], station[b, a, READY]
        if ready > now and x > 0:
            ready = max(now, station[b, x, PROMISED])
        if x > 0:
            left = _time_left(cells, b, x, now)
    else:
        x, g = a % width + 1, cells.robot[b, r, HELD + a // width - 1]
        lev, ready = cells.glass[b, g, STAGE], cells.glass[b, g, SINCE]
    way = cells.travel[b, cells.robot[b, r, AT], x]
    room = 0
    for y in range(level[b, lev + 1, FIRST], level[b, lev + 1, LAST]):
        room += 1 if station[b, y, GLASS] < 0 else 0
    row[first], row[first + 1], row[first + 2] = g, ready, way
    row[first + 3] = max(now + way, ready) if fetches else now + way
    row[first + 4], row[first + 5], row[first + 6] = lev, 0.0 if fetches else 1.0, room
    row[first + 7] = 1.0 if fetches and _exchanges(cells, b, lev) else 0.0
    row[first + 8] = cells.process[b, g, lev, TIME] if lev < clock[b, STAGES] else 0
    row[first + 9] = _NEVER if left == FAR else left
    row[first + 10] = now


@borrowing_kernel
def _write_fetch(cells: Cells, graph: Graph, b: int, x: int) -> None:
    clock, station, robot, unit = cells.clock, cells.station, cells.robot, _per_tact(cells, b)
    g, lev, now, r = station[b, x, GLASS], station[b, x, LEVEL], clock[b, NOW], clock[b, ASKED]
    ready = station[b, x, READY]
    if ready > now and x > 0:
        ready = max(now, station[b, x, PROMISED])
    arrival = now + cells.travel[b, robot[b, r, AT], x]
    begin = max(arrival, ready)
    _write_common(cells, graph, b, x, g, x, lev, begin)
    row = graph.candidate_x[b, x]
    row[0] = 1.0
    row[6] = _clip((begin + station[b, x, UNLOAD] - now) * unit)
    row[8] = _clip(max(0, now - ready) * unit)
    if x > 0:
        left = _time_left(cells, b, x, arrival)
        if left < FAR:
            row[9], row[10] = _clip(left * unit), 1.0 if left < 0 else 0.0
    row[13] = 1.0 if _exchanges(cells, b, lev) else 0.0
    row[14] = 1.0 if robot[b, r, FULL] + 1 == robot[b, r, HAND_COUNT] else 0.0


@borrowing_kernel
def _write_delivery(cells: Cells, graph: Graph, b: int, a: int, hand: int, y: int) -> None:
    clock, robot, unit = cells.clock, cells.robot, _per_tact(cells, b)
    now, r = clock[b, NOW], clock[b, ASKED]
    g = robot[b, r, hand]
    arrival, since = now + cells.travel[b, robot[b, r, AT], y], cells.glass[b, g, SINCE]
    _write_common(cells, graph, b, a, g, y, cells.glass[b, g, STAGE], arrival)
    row = graph.candidate_x[b, a]
    row[1] = 1.0
    row[6] = _clip((arrival + cells.station[b, y, LOAD] - now) * unit)
    row[8] = _clip((now - since) * unit)
    row[14] = 0.0
