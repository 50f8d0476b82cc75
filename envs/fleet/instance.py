"""One day of a fleet, fully drawn: the network, the forecast, and all that will happen whatever is decided.

Units: time in seconds after the day's start (06:00 by default), energy in tenths of a kWh, money in US cents, all integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError

I32 = NDArray[np.int32]

FARE_BIN: Final = 1800  # seconds in which fares, forecast and electricity prices are constant
CLOSURE_BLOCK: Final = 3600  # seconds for which a route is open or closed

# Closest that an aircraft's battery, or a day's fares, may come to what float32 still counts exactly.
_EXACT: Final = 2**24


@dataclass(frozen=True, slots=True)
class FleetParameters:
    """The vehicles and the rules of operation.

    Attributes:
        horizon: End of the day in s; no decision is taken from then on.
        day_start: Clock time of second 0, in s after midnight.
        seats: Passengers of a full aircraft.
        battery: Capacity in 0.1 kWh; every aircraft starts full.
        reserve: Charge that a landing must leave, in 0.1 kWh.
        charge_per_stay: Most that a stay adds, in 0.1 kWh.
        stay_time: Length of a stay in s.
        takeoff_time: From the decision to the earliest departure, in s.
        max_delay: Longest take-off delay in s.
        patience: A passenger leaves this long after arriving, in s.
        num_corridors: Air corridors of each ordered pair of vertiports; 0 means no separation is asked for.
        headway: Least time between two departures in a corridor, in s.
        final_energy_price: Price of charging to full at the end of the day, in cents per 0.1 kWh; 0 makes the first
            battery a gift.
    """

    horizon: int = 43_200
    day_start: int = 21_600
    seats: int = 4
    battery: int = 1_100
    reserve: int = 110
    charge_per_stay: int = 375
    stay_time: int = 900
    takeoff_time: int = 360
    max_delay: int = 900
    patience: int = 2_700
    num_corridors: int = 2
    headway: int = 180
    final_energy_price: int = 2

    def __post_init__(self) -> None:
        at_least_one = ("horizon", "seats", "battery", "charge_per_stay", "stay_time", "patience")
        for one in fields(self):
            value = getattr(self, one.name)
            least = 1 if one.name in at_least_one else 0
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise InvalidInstanceError(f"{one.name}: {value!r}; expected an integer >= {least}")
        if self.horizon % CLOSURE_BLOCK:
            raise InvalidInstanceError(f"horizon: {self.horizon}; expected a multiple of {CLOSURE_BLOCK} s")
        if self.reserve >= self.battery:
            raise InvalidInstanceError(
                f"reserve: {self.reserve}; expected less than the battery {self.battery}"
            )

    @property
    def num_bins(self) -> int:
        """Half-hour bins of the day."""
        return self.horizon // FARE_BIN


@dataclass(frozen=True, slots=True, eq=False)
class FleetDay:
    """A fleet's day. V vertiports, K aircraft, H half-hour bins, L legs (decisions of an aircraft) at most.

    Policies are shown the network, the fares and the forecast; `arrival_*`, `closed`, `delay_noise` and `downtime` are the
    realisation, which they learn of as it happens.

    Attributes:
        position: (V, 2) int32, east and north in hundredths of a mile.
        parking: (V,) int32, parking places.
        chargers: (V,) int32, places with a charger; 0 at a vertistop.
        flight_time: (V, V) int32, s from departure to arrival at the stand.
        flight_energy: (V, V) int32, 0.1 kWh.
        operating_cost: (V, V) int32, cents a flight, energy apart.
        fare: (V, V, H) int32, cents a passenger.
        energy_price: (H,) int32, cents per 0.1 kWh.
        mean_delay: (V,) int32, mean take-off delay in s, known to policies.
        forecast: (V, V, H) float32, expected passengers that arrive in each bin.
        start: (K,) int32, vertiport of each aircraft in the morning.
        arrival_time: (N,) int32, s, ascending: when each passenger arrives.
        arrival_pair: (N,) int32, origin * V + destination.
        closed: (V, V, horizon / 3600) int8, 1 where a route is closed in that hour.
        delay_noise: (K, L) int32, s that an aircraft's n-th take-off is later than the vertiport's mean, before clipping.
        downtime: (K, L) int32, s of repair after an aircraft's n-th landing; mostly 0.
        parameters: Vehicles and rules.
        name: Of the day.
    """

    position: I32
    parking: I32
    chargers: I32
    flight_time: I32
    flight_energy: I32
    operating_cost: I32
    fare: I32
    energy_price: I32
    mean_delay: I32
    forecast: NDArray[np.float32]
    start: I32
    arrival_time: I32
    arrival_pair: I32
    closed: NDArray[np.int8]
    delay_noise: I32
    downtime: I32
    parameters: FleetParameters = field(default_factory=FleetParameters)
    name: str = ""

    def __post_init__(self) -> None:
        for key in ARRAYS:
            dtype = {"forecast": np.float32, "closed": np.int8}.get(key, np.int32)
            array = np.array(getattr(self, key), dtype=dtype, order="C")
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        _check_shapes(self)
        _check_values(self)
        _check_network(self)

    @property
    def num_vertiports(self) -> int:
        """Number of vertiports."""
        return int(self.parking.size)

    @property
    def num_aircraft(self) -> int:
        """Number of aircraft."""
        return int(self.start.size)

    @property
    def passenger_count(self) -> int:
        """Passengers who arrive in the day."""
        return int(self.arrival_time.size)

    @property
    def energy_needed(self) -> I32:
        """(V,) int32, 0.1 kWh that a landing must leave: the reserve, at a vertistop on top of the way to a charger."""
        to_charger = np.where(self.chargers > 0, self.flight_energy, np.iinfo(np.int32).max).min(axis=1)
        return (self.parameters.reserve + np.where(self.chargers > 0, 0, to_charger)).astype(np.int32)

    def __eq__(self, other: object) -> bool:
        """Equal days, whatever their names."""
        if not isinstance(other, FleetDay):
            return NotImplemented
        same = all(np.array_equal(getattr(self, key), getattr(other, key)) for key in ARRAYS)
        return same and self.parameters == other.parameters

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def load(cls, path: str | Path) -> FleetDay:
        """Read a day that `save` wrote; a malformed file raises `InstanceFormatError`."""
        from makespan.envs.fleet.formats import load  # it builds days itself

        return load(path)

    def save(self, path: str | Path) -> None:
        """Write the day as versioned JSON."""
        from makespan.envs.fleet.formats import save

        save(self, path)


ARRAYS: Final = tuple(f.name for f in fields(FleetDay) if f.name not in ("parameters", "name"))


def least_legs(day_horizon: int, stay_time: int, takeoff_time: int, shortest_flight: int) -> int:
    """Decisions that an aircraft can take in a day at most."""
    return day_horizon // min(stay_time, takeoff_time + shortest_flight) + 1


def _shapes(day: FleetDay) -> dict[str, tuple[int, ...]]:
    V, K, H = day.parking.size, day.start.size, day.parameters.num_bins
    legs = day.delay_noise.shape[-1] if day.delay_noise.ndim == 2 else 0
    return {
        "position": (V, 2),
        "parking": (V,),
        "chargers": (V,),
        "flight_time": (V, V),
        "flight_energy": (V, V),
        "operating_cost": (V, V),
        "fare": (V, V, H),
        "energy_price": (H,),
        "mean_delay": (V,),
        "forecast": (V, V, H),
        "start": (K,),
        "arrival_time": (day.arrival_time.size,),
        "arrival_pair": (day.arrival_time.size,),
        "closed": (V, V, day.parameters.horizon // CLOSURE_BLOCK),
        "delay_noise": (K, legs),
        "downtime": (K, legs),
    }


def _check_shapes(day: FleetDay) -> None:
    for key, shape in _shapes(day).items():
        if getattr(day, key).shape != shape:
            raise InvalidInstanceError(f"{key}: shape {getattr(day, key).shape}; expected {shape}")
    if day.num_vertiports < 2 or day.num_aircraft < 1:
        raise InvalidInstanceError(
            f"{day.num_vertiports} vertiports and {day.num_aircraft} aircraft; expected at least 2 and 1"
        )
    between = day.flight_time[~np.eye(day.num_vertiports, dtype=bool)]
    if between.min() < 1:
        raise InvalidInstanceError(
            f"flight_time: {int(between.min())} between two vertiports; expected >= 1 s"
        )
    p = day.parameters
    legs = least_legs(p.horizon, p.stay_time, p.takeoff_time, int(between.min()))
    if day.delay_noise.shape[1] < legs:
        raise InvalidInstanceError(
            f"delay_noise: {day.delay_noise.shape[1]} legs an aircraft; expected at least {legs}, as many as a day holds"
        )


def _check_values(day: FleetDay) -> None:
    V, p = day.num_vertiports, day.parameters
    checks: tuple[tuple[str, Callable[[NDArray[np.int32]], NDArray[np.bool_]], str], ...] = (
        ("parking", lambda a: a >= 1, "at least 1"),
        ("chargers", lambda a: (a >= 0) & (a <= day.parking), "0..parking"),
        ("flight_energy", lambda a: (a >= 0) & (a <= _EXACT), "0 or more"),
        ("operating_cost", lambda a: (a >= 0) & (a <= _EXACT // 8), "0..2^21 cents"),
        ("fare", lambda a: (a >= 0) & (a * np.int64(p.seats) <= _EXACT // 4), "0..2^22 / seats cents"),
        ("energy_price", lambda a: (a >= 0) & (a <= 1000), "0..1000 cents per 0.1 kWh"),
        ("mean_delay", lambda a: (a >= 0) & (a <= p.max_delay), "0..max_delay"),
        ("start", lambda a: (a >= 0) & (a < V), f"0..{V - 1}"),
        ("arrival_time", lambda a: (a >= 0) & (a < p.horizon), "0..horizon - 1"),
        ("closed", lambda a: (a == 0) | (a == 1), "0 or 1"),
        ("downtime", lambda a: a >= 0, "0 or more"),
        ("forecast", lambda a: np.isfinite(a) & (a >= 0), "finite, 0 or more"),
    )
    for key, fine, expected in checks:
        array = getattr(day, key)
        wrong = ~fine(array)
        if wrong.any():
            raise InvalidInstanceError(f"{key}: {array[wrong][0]}; expected {expected}")
    if (np.diff(day.arrival_time) < 0).any():
        raise InvalidInstanceError("arrival_time: not ascending; expected passengers in the order of arrival")
    origin, destination = np.divmod(day.arrival_pair, V)
    wrong = (origin == destination) | (day.arrival_pair < 0) | (origin >= V)
    if wrong.any():
        raise InvalidInstanceError(
            f"arrival_pair: {int(day.arrival_pair[wrong][0])}; expected origin * {V} + another destination"
        )


def _check_network(day: FleetDay) -> None:
    """Nobody can be stranded, and the fleet cannot freeze for want of a free place."""
    p = day.parameters
    if (np.bincount(day.start, minlength=day.num_vertiports) > day.parking).any():
        raise InvalidInstanceError("start: more aircraft at a vertiport than it has parking places")
    total = int(day.parking.sum())
    if 2 * total < 3 * day.num_aircraft:
        raise InvalidInstanceError(
            f"parking: {total} places for {day.num_aircraft} aircraft; expected at least 1.5 an aircraft"
        )
    if not day.chargers.any():
        raise InvalidInstanceError("chargers: none anywhere; expected at least one vertiport with chargers")
    needed = day.energy_needed
    if needed.max() > p.battery:
        stop = int(needed.argmax())
        raise InvalidInstanceError(
            f"vertiport {stop}: needs {int(needed[stop])} x 0.1 kWh to reach a charger with the reserve; "
            f"expected at most the battery {p.battery}"
        )
