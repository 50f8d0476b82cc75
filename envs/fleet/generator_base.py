"""What all generators of days share, a toy day solved by hand, and a fixed list of days."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import numpy as np

from makespan.envs.core.generators import Fixed
from makespan.envs.fleet.instance import FleetDay, FleetParameters


@dataclass(frozen=True, slots=True)
class FleetSize:
    """Maxima over all days that a generator may draw.

    Attributes:
        num_vertiports: Vertiports.
        num_aircraft: Aircraft.
        num_legs: Decisions of an aircraft in a day.
        num_chargers: Chargers of a vertiport.
        num_corridors: Corridors of an ordered pair of vertiports.
    """

    num_vertiports: int
    num_aircraft: int
    num_legs: int
    num_chargers: int
    num_corridors: int

    @classmethod
    def of(cls, *days: FleetDay) -> FleetSize:
        """The smallest size that holds every one of `days`."""
        return cls(
            max(d.num_vertiports for d in days),
            max(d.num_aircraft for d in days),
            max(d.delay_noise.shape[1] for d in days),
            max(int(d.chargers.max()) for d in days),
            max(d.parameters.num_corridors for d in days),
        )


@runtime_checkable
class Generator(Protocol):
    """A distribution over days."""

    @property
    def size(self) -> FleetSize:
        """Maxima over everything `sample` may return."""
        ...

    def sample(self, rng: np.random.Generator) -> FleetDay:
        """Draw a day; equal states of `rng` give equal days."""
        ...


TOY_OPTIMUM: Final = 84.0
"""Best profit of the toy day in USD, by hand: see `ToyDay`."""


@dataclass(frozen=True)
class ToyDay:
    """An hour, two vertiports 20 min apart, one aircraft at 0, and six passengers.

    Five wait at 0 for 1 from the start, one at 1 for 0 from second 600 on; all have 45 min of patience. A passenger pays 20 USD;
    a flight costs 10 USD and 10 kWh at 0.20 USD, charged on the way or billed in the evening. It flies at 0, 1200 and 2400 s:
    with four (80 - 10), back with one (20 - 10), and out again with the fifth, whose patience lasts until 2700 s (20 - 10). With
    6 USD for energy that makes 84 USD; the last flight lands at 3600, the end. Any stay of 15 min would lose a flight.
    """

    @property
    def size(self) -> FleetSize:
        """Size of the toy."""
        return FleetSize.of(self.sample())

    def sample(self, rng: np.random.Generator | None = None) -> FleetDay:
        """The toy day, always the same."""
        apart = np.array([[0, 1], [1, 0]])
        forecast = np.zeros((2, 2, 2))
        forecast[0, 1, 0], forecast[1, 0, 0] = 5, 1
        return FleetDay(
            position=np.array([[0, 0], [1000, 0]], np.int32),
            parking=np.array([2, 2], np.int32),
            chargers=np.array([1, 1], np.int32),
            flight_time=(840 * apart).astype(np.int32),
            flight_energy=(100 * apart).astype(np.int32),
            operating_cost=(1000 * apart).astype(np.int32),
            fare=np.repeat((2000 * apart)[:, :, None], 2, axis=2).astype(np.int32),
            energy_price=np.array([2, 2], np.int32),
            mean_delay=np.zeros(2, np.int32),
            forecast=forecast.astype(np.float32),
            start=np.zeros(1, np.int32),
            arrival_time=np.array([0, 0, 0, 0, 0, 600], np.int32),
            arrival_pair=np.array([1, 1, 1, 1, 1, 2], np.int32),
            closed=np.zeros((2, 2, 1), np.int8),
            delay_noise=np.zeros((1, 5), np.int32),
            downtime=np.zeros((1, 5), np.int32),
            parameters=FleetParameters(horizon=3600),
            name="toy",
        )


class FixedDays(Fixed[FleetDay]):
    """Given days."""

    @cached_property
    def size(self) -> FleetSize:
        """Maxima over them."""
        return FleetSize.of(*self.instances)
