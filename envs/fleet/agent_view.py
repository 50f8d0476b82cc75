"""What one aircraft sees, as a flat vector: the observation of the PettingZoo faces, and the kernels of their ticks."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel, kernel
from makespan.envs.fleet.engine import Batch, settle_accounts
from makespan.envs.fleet.instance import CLOSURE_BLOCK
from makespan.envs.fleet.observation import Graph
from makespan.envs.fleet.simulator import (
    AIRCRAFT,
    BATTERY,
    CHARGE,
    CHARGERS,
    F32,
    FLY,
    FREE_AT,
    HORIZON,
    I32,
    INBOUND,
    LENGTH,
    LEVEL,
    MEAN_DELAY,
    MONEY,
    NOW,
    OCCUPANCY,
    PARKED,
    PARKING,
    PLACE,
    REPAIR,
    SEATS,
    SERVED,
    STATUS,
    STAY_TIME,
    TICK,
    TIME,
    VERTIPORTS,
    Fleet,
    admit,
    current_bin,
    decide,
    finish_row,
    free_charger,
    may_fly,
)

OWN: Final = 9
PER_VERTIPORT: Final = 14
FEATURES: Final = (
    *(
        "time / day",
        "sine of the time of day, halved, plus a half",
        "its cosine, likewise",
        "own energy / battery",
    ),
    *("awaits a decision", "charging", "flying", "under repair", "time until free / (4 stay times)"),
)
"""Meaning of the first `OWN` entries; then come `PER_VERTIPORT` entries for each vertiport, in this order:"""
VERTIPORT_FEATURES: Final = (
    *("own place or destination", "east", "north", "occupancy / parking places", "inbound / parking places"),
    *("chargers in use / parking places", "has chargers", "mean delay / stay time"),
    "waiting for a flight there from the own place / (4 seats)",
    *("expected passengers from there / (64 seats)", "expected passengers to there / (64 seats)"),
    "fare of a full aircraft from the own place there / (4 full flights)",
    *("flight time from the own place / (4 stay times)", "closed from the own place"),
)

NO_CONFLICT: Final = 0
PARKING_CONFLICT: Final = 1
SEATS_CONFLICT: Final = 2
CHARGER_CONFLICT: Final = 3
CONFLICTS: Final = (None, "parking", "seats", "charger")


def vector_size(num_vertiports: int) -> int:
    """Length of an aircraft's vector."""
    return OWN + PER_VERTIPORT * num_vertiports


@borrowing_kernel
def _share(x: float) -> np.float32:
    return np.float32(min(1.0, max(0.0, x)))


@borrowing_kernel
def _write_vector(fleet: Fleet, graph: Graph, b: int, k: int, x: F32, mask: NDArray[np.int8]) -> None:
    """Write aircraft k's vector and mask; one that awaits no decision may only go on to where it is or flies to."""
    parameter, row, port = fleet.parameter, fleet.aircraft[b, k], fleet.vertiport
    V, now, place, here = parameter[b, VERTIPORTS], fleet.clock[b, NOW], row[PLACE], row[PARKED] == 1
    stay, seats, money = parameter[b, STAY_TIME], parameter[b, SEATS], parameter[b, MONEY]
    network, half_hour = graph.network_x[b, 0], current_bin(fleet, b)
    open_day = now < parameter[b, HORIZON]
    block = min(now, parameter[b, HORIZON] - 1) // CLOSURE_BLOCK
    x[0], x[1], x[2] = network[0], _share(0.5 + 0.5 * network[1]), _share(0.5 + 0.5 * network[2])
    x[3] = row[LEVEL] / np.float32(parameter[b, BATTERY])
    x[4] = 1.0 if here else 0.0
    x[5] = 1.0 if not here and row[STATUS] == CHARGE else 0.0
    x[6] = 1.0 if not here and row[STATUS] == FLY else 0.0
    x[7] = 1.0 if not here and row[STATUS] == REPAIR else 0.0
    x[8] = _share((row[FREE_AT] - now) / (4.0 * stay))
    for j in range(mask.size):
        y = x[OWN + PER_VERTIPORT * j : OWN + PER_VERTIPORT * (j + 1)]
        if j >= V:
            y[:] = 0.0
            mask[j] = 0
            continue
        parking, shown = port[b, j, PARKING], graph.vertiport_x[b, j]
        y[0] = 1.0 if j == place else 0.0
        y[1], y[2] = shown[0], shown[1]
        y[3], y[4] = port[b, j, OCCUPANCY] / parking, port[b, j, INBOUND] / parking
        y[5] = _share(port[b, j, CHARGERS] / parking - shown[9])
        y[6] = 1.0 if port[b, j, CHARGERS] > 0 else 0.0
        y[7] = _share(port[b, j, MEAN_DELAY] / stay)
        y[8] = _share(fleet.queue[b, place, j, LENGTH] / (4.0 * seats))
        y[9], y[10] = _share(shown[12] / 64.0), _share(shown[13] / 64.0)
        y[11] = _share(fleet.fare[b, place, j, half_hour] * seats / (4.0 * money))
        y[12] = _share(fleet.leg[b, place, j, TIME] / (4.0 * stay))
        y[13] = fleet.closed[b, place, j, block]
        mask[j] = j == place or (here and open_day and may_fly(fleet, b, k, j))


@kernel
def write_vectors(batch: Batch, first: int, x: F32, mask: NDArray[np.int8]) -> None:
    """Write the vectors (n * F,) and masks (n * V,) of n aircraft in slot 0, from number `first` on."""
    fleet, graph = batch.fleet, batch.graph
    V = graph.action_mask.shape[1]
    F = OWN + PER_VERTIPORT * V
    for n in range(mask.size // V):
        _write_vector(fleet, graph, 0, first + n, x[n * F : (n + 1) * F], mask[n * V : (n + 1) * V])


@borrowing_kernel
def _promise(fleet: Fleet, k: int, j: int) -> int:
    """What an action held out when it was chosen: riders of a flight, 1 for a stay that charges; -1 if it was illegal."""
    place = fleet.aircraft[0, k, PLACE]
    if j == place:
        missing = fleet.parameter[0, BATTERY] - fleet.aircraft[0, k, LEVEL]
        return 1 if missing > 0 and free_charger(fleet, 0, place) >= 0 else 0
    if j < 0 or j >= fleet.parameter[0, VERTIPORTS] or not may_fly(fleet, 0, k, j):
        return -1
    return min(fleet.parameter[0, SEATS], fleet.queue[0, place, j, LENGTH])


@kernel
def run_tick(
    batch: Batch,
    actions: NDArray[np.int64],
    order: NDArray[np.int64],
    invalid: NDArray[np.int8],
    conflict: I32,
) -> None:
    """Let the aircraft that await a decision take it in `order`, then run the clock on to the next tick.

    Args:
        batch: Slot 0 is played.
        actions: (K,) destinations.
        order: (K,) permutation of the aircraft.
        invalid: (K,) written: 1 where the mask forbade the action; the aircraft stays.
        conflict: (K,) written: what of an action's promise another aircraft was given first.
    """
    fleet = batch.fleet
    clock, aircraft, horizon = fleet.clock, fleet.aircraft, fleet.parameter[0, HORIZON]
    before, K = clock[0, NOW], fleet.parameter[0, AIRCRAFT]
    promised = np.zeros(K, np.int64)
    for k in range(K):
        invalid[k], conflict[k] = 0, NO_CONFLICT
        if aircraft[0, k, PARKED]:
            promised[k] = _promise(fleet, k, actions[k])
            invalid[k] = promised[k] < 0
        else:
            invalid[k] = actions[k] != aircraft[0, k, PLACE]
    for n in range(K):
        k = order[n]
        if not aircraft[0, k, PARKED]:
            continue
        j, place = actions[k], aircraft[0, k, PLACE]
        if invalid[k]:
            j = place
        elif j != place and not may_fly(fleet, 0, k, j):
            conflict[k] = PARKING_CONFLICT
            j = place
        riders = clock[0, SERVED]
        decide(fleet, 0, k, j)
        if invalid[k] or conflict[k]:
            continue
        if j == place:
            if promised[k] == 1 and aircraft[0, k, STATUS] != CHARGE:
                conflict[k] = CHARGER_CONFLICT
        elif clock[0, SERVED] - riders < promised[k]:
            conflict[k] = SEATS_CONFLICT
    now = min(before + fleet.parameter[0, TICK], horizon)
    for k in range(K):
        while (
            not aircraft[0, k, PARKED]
            and aircraft[0, k, FREE_AT] <= now
            and aircraft[0, k, FREE_AT] < horizon
        ):
            finish_row(fleet, 0, k)
    clock[0, NOW] = now
    admit(fleet, 0, now)
    settle_accounts(fleet, batch.outcome, 0, before)
    batch.outcome.terminated[0] = now >= horizon
