"""The kernels that fill the fleet's decision graph.

Only what policies may know is written here: the network, fares, the forecast, the queues of those who have arrived,
closures of the present hour. `critic_x` alone sees the realisation.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.fleet.instance import CLOSURE_BLOCK
from makespan.envs.fleet.schema import CANDIDATE_FEATURES, LIMIT, ROUTE_FEATURES, SERIES, VERTIPORT_FEATURES
from makespan.envs.fleet.simulator import (
    ABOARD,
    AIRCRAFT,
    ARRIVALS,
    ARRIVED,
    AT,
    BATTERY,
    BINS,
    CHANGED,
    CHARGE,
    CHARGE_PER_STAY,
    CHARGERS,
    CORRIDORS,
    COST,
    DAY_START,
    DECIDER,
    DONE,
    ENERGY,
    F32,
    FLY,
    FREE_AT,
    FROM,
    HEAD,
    HEADWAY,
    HORIZON,
    INBOUND,
    LENGTH,
    LEVEL,
    MEAN_DELAY,
    MONEY,
    NEEDED,
    NOW,
    OCCUPANCY,
    PARKED,
    PARKING,
    PATIENCE,
    PLACE,
    REPAIR,
    SEATS,
    SERVED,
    SPILLED,
    STATUS,
    STAY_TIME,
    TAKEOFF,
    TIME,
    TO,
    VERTIPORTS,
    WRITTEN_BIN,
    Fleet,
    corridor_slot,
    current_bin,
    free_charger,
    may_fly,
    profit,
)


class Graph(NamedTuple):
    """The observation buffers as in the schema, with a leading batch axis B."""

    aircraft_x: F32
    aircraft_count: NDArray[np.int32]
    aircraft_parent: NDArray[np.int32]
    vertiport_x: F32
    vertiport_count: NDArray[np.int32]
    network_x: F32
    network_count: NDArray[np.int32]
    route_index: NDArray[np.int32]
    route_x: F32
    candidate_index: NDArray[np.int32]
    candidate_x: F32
    action_mask: NDArray[np.int8]
    critic_x: F32


def graph_view(buffers: dict[str, NDArray[Any]]) -> Graph:
    """The kernels' view of a batch of observations."""
    return Graph(**{key: buffers[key] for key in Graph._fields})


# Numba freezes module constants at compile time: the kernels name their columns through these.
_V_OUT: Final = [f.name for f in VERTIPORT_FEATURES].index("waiting_out")
_R_SERIES: Final = [f.name for f in ROUTE_FEATURES].index("demand_0")
_C_RAW: Final = [f.name for f in CANDIDATE_FEATURES].index("passengers")


@borrowing_kernel
def _clip(x: float) -> np.float32:
    return np.float32(min(LIMIT, max(-LIMIT, x)))


@borrowing_kernel
def _route(V: int, i: int, j: int) -> int:
    """Row of the route from i to j."""
    return i * (V - 1) + (j if j < i else j - 1)


@borrowing_kernel
def write_static(fleet: Fleet, graph: Graph, b: int, position: F32) -> None:
    """Write what does not change in the day, positions (V, 2) in 0..1 among it; `write_dynamic` completes it."""
    parameter, vertiport = fleet.parameter, fleet.vertiport
    V, K = parameter[b, VERTIPORTS], parameter[b, AIRCRAFT]
    stay, battery, money = parameter[b, STAY_TIME], parameter[b, BATTERY], parameter[b, MONEY]
    graph.aircraft_count[b, 0], graph.vertiport_count[b, 0], graph.network_count[b, 0] = K, V, 1
    graph.aircraft_x[b] = 0.0
    graph.vertiport_x[b] = 0.0
    graph.route_x[b] = 0.0
    graph.candidate_x[b] = 0.0
    graph.aircraft_parent[b] = -1
    graph.route_index[b] = -1
    graph.candidate_index[b] = -1
    graph.action_mask[b] = 0
    places = 0
    for i in range(V):
        x, parking = graph.vertiport_x[b, i], vertiport[b, i, PARKING]
        places += parking
        x[0], x[1] = position[i, 0], position[i, 1]
        x[2], x[3] = _clip(parking / K), vertiport[b, i, CHARGERS] / parking
        x[4], x[5] = _clip(vertiport[b, i, MEAN_DELAY] / stay), vertiport[b, i, NEEDED] / battery
        for j in range(V):
            if i != j:
                r = _route(V, i, j)
                graph.route_index[b, 0, r], graph.route_index[b, 1, r] = i, j
                graph.route_x[b, r, 0] = _clip(fleet.leg[b, i, j, TIME] / stay)
                graph.route_x[b, r, 1] = _clip(fleet.leg[b, i, j, ENERGY] / battery)
                graph.route_x[b, r, 2] = _clip(fleet.leg[b, i, j, COST] / money)
    graph.network_x[b, 0, 12] = K / (K + places)
    for k in range(K):
        _write_aircraft(fleet, graph, b, k)


@borrowing_kernel
def _write_aircraft(fleet: Fleet, graph: Graph, b: int, k: int) -> None:
    """Write what a decision, a landing or a repair changes of an aircraft."""
    row, x = fleet.aircraft[b, k], graph.aircraft_x[b, k]
    status, moving = row[STATUS], row[PARKED] == 0
    x[2] = 1.0 if moving and status == CHARGE else 0.0
    x[3] = 1.0 if moving and status == FLY else 0.0
    x[4] = 1.0 if moving and status == REPAIR else 0.0
    x[1] = 1.0 - x[2] - x[3] - x[4]
    x[5] = row[DONE]
    x[6] = row[LEVEL] / np.float32(fleet.parameter[b, BATTERY])
    x[7] = row[ABOARD] / np.float32(fleet.parameter[b, SEATS])
    graph.aircraft_parent[b, k] = row[PLACE]


@borrowing_kernel
def _write_bin(fleet: Fleet, graph: Graph, b: int) -> None:
    """Write what changes with the half hour: series, closures, worth of the routes, the critic's view of the future."""
    parameter, clock = fleet.parameter, fleet.clock
    V, H, seats, money = (
        parameter[b, VERTIPORTS],
        parameter[b, BINS],
        parameter[b, SEATS],
        parameter[b, MONEY],
    )
    now = current_bin(fleet, b)
    blocks = parameter[b, HORIZON] // CLOSURE_BLOCK
    block = min(clock[b, NOW] // CLOSURE_BLOCK, blocks - 1)
    clock[b, WRITTEN_BIN] = now
    fleet.stale[b] = 1
    reach = parameter[b, BATTERY]
    closed, closed_next, total = 0, 0, np.float32(0.0)
    graph.vertiport_x[b, :, _V_OUT + 2 : _V_OUT + 4] = 0.0
    for i in range(V):
        for j in range(V):
            if i == j:
                continue
            x = graph.route_x[b, _route(V, i, j)]
            closed += fleet.closed[b, i, j, block]
            if block + 1 < blocks:
                closed_next += fleet.closed[b, i, j, block + 1]
            x[3] = fleet.closed[b, i, j, block]
            for h in range(SERIES):
                inside = now + h < H
                x[_R_SERIES + h] = _clip(fleet.forecast[b, i, j, now + h] / seats) if inside else 0.0
                x[_R_SERIES + SERIES + h] = (
                    _clip(fleet.fare[b, i, j, now + h] * seats / money) if inside else 0.0
                )
            soon = fleet.forecast[b, i, j, now]
            if now + 1 < H:
                soon += fleet.forecast[b, i, j, now + 1]
            fleet.soon[b, i, j] = soon
            energy = fleet.leg[b, i, j, ENERGY]
            costs = fleet.leg[b, i, j, COST] + energy * fleet.price[b, now]
            worth = fleet.fare[b, i, j, now] - costs / seats
            in_reach = reach - energy >= fleet.vertiport[b, j, NEEDED]
            fleet.worth[b, i, j] = worth if in_reach and worth > 0 else 0.0
            graph.vertiport_x[b, i, _V_OUT + 2] += soon / seats
            graph.vertiport_x[b, j, _V_OUT + 3] += soon / seats
            total += soon
    routes, fleet_seats = V * (V - 1), seats * parameter[b, AIRCRAFT]
    for i in range(V):
        for column in range(_V_OUT + 2, _V_OUT + 4):
            graph.vertiport_x[b, i, column] = _clip(graph.vertiport_x[b, i, column])
    graph.network_x[b, 0, 8] = _clip(total / fleet_seats)
    graph.network_x[b, 0, 10] = closed / routes
    dearest = 1
    for h in range(H):
        dearest = max(dearest, fleet.price[b, h])
    graph.network_x[b, 0, 11] = fleet.price[b, now] / dearest
    for h in range(SERIES):
        inside = now + h < H
        graph.critic_x[b, h] = _clip(fleet.realised[b, now + h] / fleet_seats) if inside else 0.0
    graph.critic_x[b, SERIES + 1] = closed_next / routes


@borrowing_kernel
def write_dynamic(fleet: Fleet, graph: Graph, b: int) -> None:
    """Write what the last decision and the time since have changed."""
    clock = fleet.clock
    if current_bin(fleet, b) != clock[b, WRITTEN_BIN]:
        _write_bin(fleet, graph, b)
    _write_queues(fleet, graph, b)
    _write_fleet(fleet, graph, b)
    _write_candidates(fleet, graph, b)


@borrowing_kernel
def _write_queues(fleet: Fleet, graph: Graph, b: int) -> None:
    """Write the queues that have changed, their outlooks, and the vertiports."""
    parameter, vertiport, stale = fleet.parameter, fleet.vertiport, fleet.stale
    x, route = graph.vertiport_x[b], graph.route_x[b]
    V, here = parameter[b, VERTIPORTS], -1
    if fleet.clock[b, DECIDER] >= 0:
        here = fleet.aircraft[b, fleet.clock[b, DECIDER], PLACE]
    per_seat = np.float32(1.0) / np.float32(parameter[b, SEATS])
    per_flight = np.float32(1.0) / (np.float32(parameter[b, MONEY]) * np.float32(parameter[b, AIRCRAFT]))
    for i in range(V):
        if stale[b, i, FROM]:
            stale[b, i, FROM] = 0
            out, outlook = 0, np.float32(0.0)
            for j in range(V):
                if i != j:
                    length = fleet.queue[b, i, j, LENGTH]
                    out += length
                    outlook += (length + fleet.soon[b, i, j]) * fleet.worth[b, i, j]
                    route[_route(V, i, j), 4] = min(np.float32(LIMIT), length * per_seat)
            x[i, _V_OUT] = min(np.float32(LIMIT), out * per_seat)
            x[i, _V_OUT + 4] = min(np.float32(LIMIT), outlook * per_flight)
        per_place = np.float32(1.0) / np.float32(vertiport[b, i, PARKING])
        free = 0
        for c in range(vertiport[b, i, CHARGERS]):
            free += fleet.charger[b, i, c] <= fleet.clock[b, NOW]
        x[i, 6] = 1.0 if i == here else 0.0
        x[i, 7] = min(np.float32(1.0), vertiport[b, i, OCCUPANCY] * per_place)
        x[i, 8] = min(np.float32(1.0), vertiport[b, i, INBOUND] * per_place)
        x[i, 9] = min(np.float32(1.0), free * per_place)
    for j in range(V):
        if stale[b, j, TO]:
            stale[b, j, TO] = 0
            coming = np.float32(0.0)
            for i in range(V):
                if i != j:
                    coming += route[_route(V, i, j), 4]
            x[j, _V_OUT + 1] = min(np.float32(LIMIT), coming)


@borrowing_kernel
def _write_fleet(fleet: Fleet, graph: Graph, b: int) -> None:
    """Write the aircraft that have changed, the time that all have left, and the network."""
    parameter, clock, aircraft = fleet.parameter, fleet.clock, fleet.aircraft
    K, now, decider = parameter[b, AIRCRAFT], clock[b, NOW], clock[b, DECIDER]
    for n in range(clock[b, CHANGED]):
        _write_aircraft(fleet, graph, b, fleet.changed[b, n])
        graph.aircraft_x[b, fleet.changed[b, n], 0] = 0.0
    clock[b, CHANGED] = 0
    if decider >= 0:
        _write_aircraft(fleet, graph, b, decider)
        graph.aircraft_x[b, decider, 0] = 1.0
    per_stay = np.float32(1.0) / np.float32(parameter[b, STAY_TIME])
    flying, repair, energy = 0, 0, 0
    for k in range(K):
        row = aircraft[b, k]
        moving = row[PARKED] == 0
        flying += moving and row[STATUS] == FLY
        repair += moving and row[STATUS] == REPAIR
        energy += row[LEVEL]
        graph.aircraft_x[b, k, 8] = min(np.float32(LIMIT), max(0, row[FREE_AT] - now) * per_stay)
    x, per_aircraft = graph.network_x[b, 0], np.float32(1.0) / np.float32(K)
    turn = 2.0 * np.pi * (parameter[b, DAY_START] + now) / 86_400.0
    x[0], x[1], x[2] = now / parameter[b, HORIZON], np.sin(turn), np.cos(turn)
    x[3] = min(np.float32(1.0), (K - flying - repair) * per_aircraft)
    x[4] = min(np.float32(1.0), flying * per_aircraft)
    x[5] = min(np.float32(1.0), repair * per_aircraft)
    x[6] = min(np.float32(1.0), energy * per_aircraft / np.float32(parameter[b, BATTERY]))
    waiting = clock[b, ARRIVED] - clock[b, SERVED] - clock[b, SPILLED]
    x[7] = _clip(waiting / (parameter[b, SEATS] * K))
    x[9] = _clip(profit(fleet, b) / (np.float64(parameter[b, MONEY]) * K))
    left = parameter[b, ARRIVALS] - clock[b, ARRIVED]
    graph.critic_x[b, SERIES] = _clip(left / (parameter[b, SEATS] * K * parameter[b, BINS]))


@borrowing_kernel
def _write_candidates(fleet: Fleet, graph: Graph, b: int) -> None:
    """Write the mask and the candidates of the aircraft that decides; none at the end of the day."""
    k = fleet.clock[b, DECIDER]
    for j in range(graph.action_mask.shape[1]):
        allowed = False
        if k >= 0 and j < fleet.parameter[b, VERTIPORTS]:
            allowed = j == fleet.aircraft[b, k, PLACE] or may_fly(fleet, b, k, j)
        if allowed:
            graph.candidate_index[b, j, 0], graph.candidate_index[b, j, 1] = k, j
            _write_candidate(fleet, graph, b, k, j)
        elif graph.candidate_index[b, j, 0] >= 0:
            graph.candidate_index[b, j] = -1
            graph.candidate_x[b, j] = 0.0
        graph.action_mask[b, j] = allowed
    if k < 0:
        graph.action_mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@borrowing_kernel
def _write_candidate(fleet: Fleet, graph: Graph, b: int, k: int, j: int) -> None:
    parameter, x, port = fleet.parameter, graph.candidate_x[b, j], graph.vertiport_x[b, j]
    i, now = fleet.aircraft[b, k, PLACE], fleet.clock[b, NOW]
    stay, battery = np.float32(parameter[b, STAY_TIME]), np.float32(parameter[b, BATTERY])
    seats, money = np.float32(parameter[b, SEATS]), np.float32(parameter[b, MONEY])
    level, half_hour = fleet.aircraft[b, k, LEVEL], current_bin(fleet, b)
    riders, length, wait, block, slot_wait, energy, margin, added = (
        0,
        0,
        -1,
        parameter[b, STAY_TIME],
        0,
        0,
        0,
        0,
    )
    missing = parameter[b, BATTERY] - level
    if i == j:
        if missing > 0 and free_charger(fleet, b, i) >= 0:
            added = min(missing, parameter[b, CHARGE_PER_STAY])
    else:
        length = fleet.queue[b, i, j, LENGTH]
        riders = min(parameter[b, SEATS], length)
        if length > 0:
            wait = now - fleet.arrival[b, fleet.queue[b, i, j, HEAD], AT]
        energy = fleet.leg[b, i, j, ENERGY]
        ready = parameter[b, TAKEOFF] + fleet.vertiport[b, i, MEAN_DELAY]
        if parameter[b, CORRIDORS] > 0:
            slot = fleet.corridor[b, i, j, corridor_slot(fleet, b, i, j)] + parameter[b, HEADWAY]
            slot_wait = max(0, slot - now - ready)
        block = ready + slot_wait + fleet.leg[b, i, j, TIME]
        margin = riders * fleet.fare[b, i, j, half_hour] - fleet.leg[b, i, j, COST]
        margin -= energy * fleet.price[b, half_hour]
    recharge = energy * parameter[b, STAY_TIME] // parameter[b, CHARGE_PER_STAY]
    there = fleet.vertiport[b, j, OCCUPANCY] - (i == j)
    outlook = port[_V_OUT + 4] * money * parameter[b, AIRCRAFT]
    x[0] = 1.0 if i == j else 0.0
    x[1] = riders / seats
    x[2] = min(np.float32(LIMIT), length / seats)
    x[3] = max(0, wait) / np.float32(parameter[b, PATIENCE])
    x[4] = min(np.float32(LIMIT), block / stay)
    x[5] = min(np.float32(LIMIT), slot_wait / stay)
    x[6] = energy / battery
    x[7] = (level - energy + added) / battery
    x[8] = _clip(margin / money)
    x[9] = _clip(margin * stay / (money * (block + recharge)))
    x[10] = added / battery
    x[11] = min(np.float32(LIMIT), fleet.fare[b, i, j, half_hour] * seats / money)
    x[12] = min(np.float32(LIMIT), fleet.soon[b, i, j] / seats)
    x[13] = port[7]
    x[14] = port[9]
    x[15] = port[_V_OUT]
    x[16] = port[_V_OUT + 2]
    x[17] = min(np.float32(LIMIT), outlook / (money * (there + 1)))
    _write_raw(x, riders, length, wait, block, recharge, fleet.leg[b, i, j, TIME], margin)
    x[_C_RAW + 7] = np.rint(port[_V_OUT] * seats)
    x[_C_RAW + 8] = there
    x[_C_RAW + 9] = np.rint(outlook)
    x[_C_RAW + 10] = missing
    x[_C_RAW + 11] = added


@borrowing_kernel
def _write_raw(
    x: F32, riders: int, length: int, wait: int, block: int, recharge: int, flight: int, margin: int
) -> None:
    x[_C_RAW] = riders
    x[_C_RAW + 1] = length
    x[_C_RAW + 2] = wait
    x[_C_RAW + 3] = block
    x[_C_RAW + 4] = recharge
    x[_C_RAW + 5] = flight
    x[_C_RAW + 6] = margin
