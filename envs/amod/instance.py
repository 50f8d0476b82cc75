"""A morning of a mobility-on-demand system: regions, travel times, fares, the forecast, and the passengers who come.

Units: time in steps (3 min), money in cents; all integers but the forecast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError

I32 = NDArray[np.int32]

_ARRAYS: Final = ("travel_time", "fare", "forecast", "demand", "vehicles")


@dataclass(frozen=True, slots=True, eq=False)
class AMoDMorning:
    """N regions, T steps.

    Attributes:
        travel_time: (N, N) int32, steps; at least 1, also within a region.
        fare: (N, N) int32, cents a passenger.
        forecast: (T, N, N) float32, expected passengers of each step.
        demand: (T, N, N) int32, passengers who ask at each step; who is not served at once is lost.
        vehicles: (N,) int32, idle vehicles in each region at the start.
        cost: Cents a vehicle and step of driving, with a passenger or without.
        name: Of the morning.
    """

    travel_time: I32
    fare: I32
    forecast: NDArray[np.float32]
    demand: I32
    vehicles: I32
    cost: int = 50
    name: str = ""

    def __post_init__(self) -> None:
        for key in _ARRAYS:
            dtype = np.float32 if key == "forecast" else np.int32
            array = np.array(getattr(self, key), dtype=dtype, order="C")
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        N, T = self.vehicles.size, self.demand.shape[0]
        shapes = {
            "travel_time": (N, N),
            "fare": (N, N),
            "forecast": (T, N, N),
            "demand": (T, N, N),
            "vehicles": (N,),
        }
        for key, shape in shapes.items():
            if getattr(self, key).shape != shape:
                raise InvalidInstanceError(f"{key}: shape {getattr(self, key).shape}; expected {shape}")
        for key, least in {"travel_time": 1, "fare": 0, "forecast": 0, "demand": 0, "vehicles": 0}.items():
            if getattr(self, key).min(initial=least) < least:
                raise InvalidInstanceError(f"{key}: {getattr(self, key).min()}; expected at least {least}")
        if N < 2 or T < 1 or self.vehicles.sum() < 1:
            raise InvalidInstanceError(
                f"{N} regions, {T} steps, {int(self.vehicles.sum())} vehicles; expected at least 2, 1 and 1"
            )

    @property
    def num_regions(self) -> int:
        """Number of regions."""
        return int(self.vehicles.size)

    @property
    def num_vehicles(self) -> int:
        """Number of vehicles."""
        return int(self.vehicles.sum())

    @property
    def num_steps(self) -> int:
        """Number of steps."""
        return int(self.demand.shape[0])


@dataclass(frozen=True)
class GridCity:
    """Mornings of a grid city: demand flows towards one corner, so that vehicles pile up where few want to leave.

    Attributes:
        rows: Regions from north to south.
        columns: Regions from west to east.
        vehicles: Vehicles, spread evenly.
        steps: Steps of 3 min.
        passengers: Mean passengers a step, all regions together.
        imbalance: How strongly origins and destinations differ; 0 for not at all.
        cost: Cents a vehicle and step of driving.
    """

    rows: int = 4
    columns: int = 4
    vehicles: int = 240
    steps: int = 20
    passengers: float = 40.0
    imbalance: float = 1.5
    cost: int = 50

    def __post_init__(self) -> None:
        for name, least in (("rows", 1), ("columns", 1), ("vehicles", 1), ("steps", 1), ("cost", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"GridCity.{name}: {getattr(self, name)}; expected at least {least}")
        if self.rows * self.columns < 2 or not self.passengers >= 0 or not self.imbalance >= 0:
            raise ValueError(
                f"GridCity: {self.rows} x {self.columns} regions, {self.passengers} passengers, imbalance "
                f"{self.imbalance}; expected at least 2 regions and no negative number"
            )

    @property
    def num_regions(self) -> int:
        """Number of regions."""
        return self.rows * self.columns

    def sample(self, rng: np.random.Generator) -> AMoDMorning:
        """Draw a morning; the passengers are Poisson of the forecast."""
        N = self.num_regions
        at = np.stack(np.divmod(np.arange(N), self.columns), axis=1)
        blocks = np.abs(at[:, None] - at[None]).sum(axis=2)
        corner = at.sum(axis=1) / max(1, at.sum(axis=1).max())
        pull = np.exp(self.imbalance * (corner[None] - corner[:, None])) * rng.uniform(0.5, 1.5, (N, N))
        peak = 1.0 + 0.5 * np.sin(np.pi * np.arange(self.steps) / self.steps)
        share = pull / pull.sum()
        forecast = self.passengers * peak[:, None, None] * share / peak.mean()
        return AMoDMorning(
            travel_time=1 + blocks,
            fare=300 + 150 * blocks,
            forecast=forecast,
            demand=rng.poisson(forecast),
            vehicles=np.bincount(np.arange(self.vehicles) % N, minlength=N).astype(np.int32),
            cost=self.cost,
        )


def make_city(name: str | GridCity | None, parameters: dict[str, Any]) -> GridCity:
    """The generator that a constructor's arguments name: an object, or "grid" with its parameters."""
    if isinstance(name, GridCity):
        if parameters:
            raise ValueError(
                f"{', '.join(parameters)}: given together with a generator object, which has its own"
            )
        return name
    if name not in (None, "grid"):
        raise ValueError(f"generator: {name!r}; expected 'grid' or a GridCity")
    return GridCity(**parameters)
