"""An upper bound on a day's profit: the LP of one who knows the day in advance.

Valid for every policy: real decisions map to a flow of no less value, because flight times are floored to bins, delays
and repairs left out, queues of a bin pooled, energy pooled over the fleet, and aircraft divisible. It is loose (about
three times what the best rules earn) and no estimate of the optimum; do not quote the distance to it as a gap to optimality.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.fleet.instance import CLOSURE_BLOCK, FARE_BIN, FleetDay
from makespan.envs.fleet.time_expanded import FlowProblem, largest_value


def per_bin(series: NDArray[Any], width: int, bin_seconds: int, num_bins: int) -> NDArray[Any]:
    """A series of constant pieces of `width` s (last axis), read at the bins' beginnings."""
    return series[..., np.arange(num_bins) * bin_seconds // width]


def bin_seconds(day: FleetDay) -> int:
    """Length of a bin: a stay. Raises `InvalidInstanceError` where fares or closures change within one."""
    seconds = day.parameters.stay_time
    if FARE_BIN % seconds or CLOSURE_BLOCK % seconds:
        raise InvalidInstanceError(
            f"stay_time: {seconds}; the flow model expects a divisor of {FARE_BIN} s, in which fares are constant"
        )
    return seconds


def realised_problem(day: FleetDay) -> FlowProblem:
    """The flow problem of the realised day."""
    p, V, width = day.parameters, day.num_vertiports, bin_seconds(day)
    T = p.horizon // width
    supply = np.zeros((V, T))
    np.add.at(supply[:, 0], day.start, 1.0)
    demand = np.zeros((V * V, T))
    np.add.at(demand, (day.arrival_pair, day.arrival_time // width), 1.0)
    in_reach = day.flight_energy + day.energy_needed[None] <= p.battery
    np.fill_diagonal(in_reach, False)
    is_open = per_bin(day.closed, CLOSURE_BLOCK, width, T) == 0
    return FlowProblem(
        supply=supply,
        duration=((p.takeoff_time + day.flight_time) // width).astype(np.int64),
        allowed=in_reach[:, :, None] & is_open,
        demand=demand.reshape(V, V, T),
        fare=per_bin(day.fare, FARE_BIN, width, T).astype(np.float64),
        cost=day.operating_cost.astype(np.float64),
        energy=day.flight_energy.astype(np.float64),
        price=per_bin(day.energy_price, FARE_BIN, width, T).astype(np.float64),
        final_price=float(p.final_energy_price),
        seats=p.seats,
        patience=-(-p.patience // width),
        charge=float(p.charge_per_stay),
        chargers=day.chargers.astype(np.int64),
        parking=day.parking.astype(np.int64),
        energy_budget=float(day.num_aircraft * (p.battery - p.reserve)),
    )


def upper_bound(day: FleetDay) -> float:
    """No policy earns more on this day, USD."""
    if day.name:
        return _named_bound(_Key(day))
    return _bound(day)


class _Key:
    """A day that is told from others by its name and realisation."""

    def __init__(self, day: FleetDay) -> None:
        self.day = day
        self.key = (day.name, day.arrival_time.tobytes(), day.arrival_pair.tobytes())

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.key == other.key and self.day == other.day


@functools.lru_cache(maxsize=1024)
def _named_bound(key: _Key) -> float:
    return _bound(key.day)


def _bound(day: FleetDay) -> float:
    cents = largest_value(realised_problem(day))
    return math.ceil(cents * (1.0 + 1e-7) + 1.0) / 100.0  # HiGHS is exact to 1e-7
