"""Seeded days of a fleet: presets, and a toy day solved by hand.

A day is drawn from five streams of one seed (layout, demand, weather, delay, failure), so that a change in one leaves the
others as they are, and whatever a policy does, the world stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.generators import check_parameters
from makespan.envs.fleet.demand import draw_arrivals, expected_passengers
from makespan.envs.fleet.generator_base import FixedDays, FleetSize, Generator, ToyDay
from makespan.envs.fleet.instance import CLOSURE_BLOCK, I32, FleetDay, FleetParameters, least_legs

__all__ = [
    "PRESETS",
    "FixedDays",
    "FleetSize",
    "Generator",
    "ToyDay",
    "UAMFleet",
    "generator_names",
    "make_generator",
]

_MILE: Final = 100  # positions are in hundredths of a mile
_STREAMS: Final = ("layout", "demand", "weather", "delay", "failure")


@dataclass(frozen=True)
class UAMFleet:
    """Days of an air-taxi fleet over a square region, with peaks towards its centre in the morning and out of it at night.

    Attributes:
        num_vertiports: Vertiports, uniform over the region with a least spacing.
        num_aircraft: Aircraft, spread round-robin over a random order of the vertiports.
        num_hubs: The most central vertiports, where the morning's demand goes.
        num_vertistops: The vertiports farthest from the centre, which have no charger.
        parking: Places of a vertiport.
        chargers: Chargers of a vertiport that is no vertistop.
        area: Side of the region in miles.
        spacing: Least distance between vertiports in miles.
        base_demand: Passengers an hour of every ordered pair.
        peak_demand: Passengers an hour on top at a peak's height.
        demand_scale: Factor of both.
        base_fare: Cents a passenger.
        fare_per_mile: Cents a passenger and mile, times a factor 1..2 that grows with the logarithm of the demand.
        cost_per_mile: Operating cost of a flight in cents a mile, energy apart.
        energy_price: Cents per 0.1 kWh; `time_of_use` makes it 1 at noon (10 h to 14 h), 3 in the evening (from 16 h).
        time_of_use: See `energy_price`.
        delays: Whether take-offs are late: mean U(0, 6) min by vertiport, sd 2 min, clipped to 0..15 min.
        closure: Probability that a route (both directions) is closed, hour by hour.
        failure: Probability that a landing is followed by a repair of Exp(60 min).
        permanent_failure: Probability that such a repair takes the rest of the day.
        num_corridors: Corridors of an ordered pair, 3 min headway in each; 0 for no separation.
        layout_seed: The layout (and the mean delays) of every day, unless `random_layout` draws them with the day.
        random_layout: See `layout_seed`.
        final_recharge: Whether charging to full at the end of the day is billed.
        name: Prefix of the days' names.
    """

    num_vertiports: int = 8
    num_aircraft: int = 40
    num_hubs: int = 3
    num_vertistops: int = 2
    parking: int = 10
    chargers: int = 6
    area: float = 50.0
    spacing: float = 8.0
    base_demand: float = 2.0
    peak_demand: float = 12.0
    demand_scale: float = 1.0
    base_fare: int = 500
    fare_per_mile: int = 64
    cost_per_mile: int = 64
    energy_price: int = 2
    time_of_use: bool = False
    delays: bool = True
    closure: float = 0.05
    failure: float = 0.005
    permanent_failure: float = 0.0
    num_corridors: int = 2
    layout_seed: int = 0
    random_layout: bool = False
    final_recharge: bool = True
    name: str = "uam"

    def __post_init__(self) -> None:
        V = self.num_vertiports
        _check(self, num_vertiports=(2, 64), num_aircraft=(1, 4096), parking=(1, 1000), area=(1, 500))
        _check(self, num_hubs=(1, V - 1), num_vertistops=(0, V - 1), chargers=(1, self.parking))
        _check(self, base_demand=(0, 1e4), peak_demand=(0, 1e4), demand_scale=(0, 1e4), closure=(0, 1))
        _check(self, failure=(0, 1), permanent_failure=(0, 1), num_corridors=(0, 16), spacing=(4, self.area))
        _check(self, base_fare=(0, 10**5), fare_per_mile=(0, 10**4), cost_per_mile=(0, 10**4))
        _check(self, energy_price=(0, 1000), layout_seed=(0, 2**63))
        if 2 * V * self.parking < 3 * self.num_aircraft:
            raise ValueError(
                f"UAMFleet.parking: {self.parking} places at each of {V} vertiports for {self.num_aircraft} aircraft; "
                "expected at least 1.5 places an aircraft"
            )

    @cached_property
    def parameters(self) -> FleetParameters:
        """Vehicles and rules of every day."""
        return FleetParameters(
            num_corridors=self.num_corridors,
            final_energy_price=self.energy_price if self.final_recharge else 0,
        )

    @property
    def size(self) -> FleetSize:
        """Maxima over everything `sample` may return."""
        return FleetSize(
            self.num_vertiports, self.num_aircraft, self._num_legs, self.chargers, self.num_corridors
        )

    @property
    def _num_legs(self) -> int:
        p = self.parameters
        return least_legs(p.horizon, p.stay_time, p.takeoff_time, _flight_seconds(self.spacing * _MILE))

    def sample(self, rng: np.random.Generator) -> FleetDay:
        """Draw a day."""
        return self.day(int(rng.integers(2**62)))

    def day(self, seed: int, name: str | None = None) -> FleetDay:
        """The day of a seed, always the same."""
        children = np.random.SeedSequence(seed).spawn(len(_STREAMS))
        streams = {key: np.random.default_rng(one) for key, one in zip(_STREAMS, children, strict=True)}
        layout = streams["layout"] if self.random_layout else np.random.default_rng(self.layout_seed)
        position = self._draw_layout(layout)
        V, p = self.num_vertiports, self.parameters
        order = np.argsort(_from_centre(position, self.area), kind="stable")
        chargers = np.full(V, self.chargers)
        if self.num_vertistops:
            chargers[order[-self.num_vertistops :]] = 0
        mean_delay = layout.integers(0, 361, V) if self.delays else np.zeros(V, np.int64)
        start = np.empty(self.num_aircraft, np.int64)
        start[:] = layout.permutation(V)[np.arange(self.num_aircraft) % V]
        miles = _distances(position) / _MILE
        rates = expected_passengers(
            p, order[: self.num_hubs], V, self.base_demand, self.peak_demand, self.demand_scale
        )
        arrival_time, arrival_pair = draw_arrivals(rates, streams["demand"])
        forecast = rates.by_bin()
        factor = np.clip(np.log(np.maximum(2.0 * forecast, 1e-9) / 10.0), 1.0, 2.0)
        fare = np.rint(self.base_fare + self.fare_per_mile * miles[:, :, None] * factor).astype(np.int64)
        fare[np.arange(V), np.arange(V)] = 0
        noise, downtime = self._draw_trouble(streams["delay"], streams["failure"])
        return FleetDay(
            position=position,
            parking=np.full(V, self.parking, np.int32),
            chargers=chargers.astype(np.int32),
            flight_time=np.where(np.eye(V, dtype=bool), 0, _flight_seconds(_distances(position))).astype(
                np.int32
            ),
            flight_energy=np.ceil(22.0 * miles).astype(np.int32),
            operating_cost=np.rint(self.cost_per_mile * miles).astype(np.int32),
            fare=fare.astype(np.int32),
            energy_price=self._prices(),
            mean_delay=mean_delay.astype(np.int32),
            forecast=forecast.astype(np.float32),
            start=start.astype(np.int32),
            arrival_time=arrival_time,
            arrival_pair=arrival_pair,
            closed=self._draw_closures(streams["weather"]),
            delay_noise=noise,
            downtime=downtime,
            parameters=p,
            name=f"{self.name}-seed-{seed}" if name is None else name,
        )

    def _draw_layout(self, rng: np.random.Generator) -> I32:
        """Positions (V, 2) with the least spacing, every vertistop in reach of a charger and back in the air."""
        V, p = self.num_vertiports, self.parameters
        for _ in range(2000):
            places: list[NDArray[np.int64]] = []
            for _ in range(200 * V):
                place = rng.integers(0, round(self.area * _MILE) + 1, 2)
                if all(np.hypot(*(place - other)) >= self.spacing * _MILE for other in places):
                    places.append(place)
                if len(places) == V:
                    break
            if len(places) < V:
                continue
            position = np.array(places)
            miles = _distances(position) / _MILE
            by_centre = np.argsort(_from_centre(position, self.area), kind="stable")
            served = by_centre[: V - self.num_vertistops]
            nearest = np.where(np.isin(np.arange(V), served), 0.0, miles[:, served].min(axis=1))
            neighbour = np.where(np.eye(V, dtype=bool), np.inf, miles).min(axis=1)
            reach = (p.battery - p.reserve) / 22.0
            if nearest.max() < 0.45 * reach and neighbour.max() < 0.45 * reach:
                return position.astype(np.int32)
        raise ValueError(
            f"UAMFleet.spacing: {V} vertiports {self.spacing} miles apart do not fit {self.area} x {self.area} miles"
        )

    def _prices(self) -> I32:
        price = np.full(self.parameters.num_bins, self.energy_price, np.int32)
        if self.time_of_use:
            hour = 6.0 + 0.5 * np.arange(price.size)
            price[(hour >= 10) & (hour < 14)] = 1
            price[hour >= 16] = 3
        return price

    def _draw_closures(self, rng: np.random.Generator) -> NDArray[np.int8]:
        V = self.num_vertiports
        drawn = rng.random((V, V, self.parameters.horizon // CLOSURE_BLOCK)) < self.closure
        upper = np.triu(np.ones((V, V), bool), 1)[:, :, None]
        one_way = drawn & upper
        return (one_way | one_way.transpose(1, 0, 2)).astype(np.int8)

    def _draw_trouble(self, delay: np.random.Generator, failure: np.random.Generator) -> tuple[I32, I32]:
        """Delay noise and downtime (K, L) in s."""
        shape = self.num_aircraft, self._num_legs
        noise = np.rint(delay.normal(0.0, 120.0, shape)) if self.delays else np.zeros(shape)
        failed = failure.random(shape) < self.failure
        repair = np.maximum(1.0, np.rint(failure.exponential(3600.0, shape)))
        for_good = failure.random(shape) < self.permanent_failure
        repair = np.where(for_good, self.parameters.horizon, repair)
        return noise.astype(np.int32), np.where(failed, repair, 0).astype(np.int32)


def _check(owner: object, **ranges: tuple[float, float]) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(owner, name)
        if not low <= value <= high:
            raise ValueError(f"{type(owner).__name__}.{name}: {value}; expected {low}..{high}")


def _distances(position: NDArray[Any]) -> NDArray[np.float64]:
    """(V, V) in hundredths of a mile."""
    apart = position[:, None].astype(np.float64) - position[None]
    return np.hypot(apart[..., 0], apart[..., 1])


def _from_centre(position: NDArray[Any], area: float) -> NDArray[np.float64]:
    away = position - area * _MILE / 2.0
    return np.hypot(away[:, 0], away[:, 1])


def _flight_seconds(distance: Any) -> Any:
    """From departure to arrival: cruise at 74.5 mph, and 6 min of landing; distance in hundredths of a mile."""
    return np.rint(36.0 / 74.5 * np.asarray(distance) + 360.0).astype(np.int32)


_CALM: Final[dict[str, Any]] = {"delays": False, "closure": 0.0, "failure": 0.0}
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "tiny": {
            "num_vertiports": 4,
            "num_aircraft": 8,
            "num_hubs": 1,
            "num_vertistops": 1,
            "parking": 6,
            "chargers": 3,
        },
        "base": {},
        "busy": {"demand_scale": 2.0},
        "rich": {"fare_per_mile": 150},
        "legacy22": {
            "num_aircraft": 19,
            "num_vertistops": 0,
            "parking": 6,
            "chargers": 6,
            "demand_scale": 2.0,
            "base_fare": 0,
            "fare_per_mile": 150,
            "cost_per_mile": 0,
            "num_corridors": 0,
            **_CALM,
        },
        "large": {
            "num_vertiports": 16,
            "num_aircraft": 120,
            "num_hubs": 5,
            "num_vertistops": 4,
            "parking": 12,
            "chargers": 8,
            "spacing": 4.0,
        },
        "base-det": dict(_CALM),
        "tou": {"time_of_use": True},
    }
)
"""Preset name -> parameters of `UAMFleet` that differ from its defaults (which are `base`)."""


def generator_names() -> list[str]:
    """Names that `make_generator` knows."""
    return [*PRESETS, "toy"]


def make_generator(name: str, **parameters: Any) -> Generator:
    """A preset by name, with some of its parameters replaced.

    Raises:
        UnknownNameError: No preset has this name.
        TypeError: `UAMFleet` has no such parameter.
        ValueError: A parameter is out of range.
    """
    if name == "toy" and not parameters:
        return ToyDay()
    if name not in PRESETS:
        raise UnknownNameError("generator", name, generator_names())
    check_parameters(name, UAMFleet, parameters)
    return UAMFleet(**{"name": name, **PRESETS[name], **parameters})
