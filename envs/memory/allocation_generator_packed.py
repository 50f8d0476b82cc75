"""Allocation problems that come from packings: cut rectangles with a known optimum, tilings with noise, a toy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.allocation_generator_base import AllocationSize, check_ranges
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_validator import allocation_schedule

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class GuillotineBuffers:
    """Perfect packings: the rectangle horizon x capacity is cut in two, again and again, until there are enough parts.

    Every moment is full, so the load bound is the capacity, and the cuts themselves reach it: the optimum is known. A part
    is chosen with probability proportional to its area, and its time or its space with probability proportional to its share
    of the rectangle's, to the power `squareness`; the cut is uniform.

    Attributes:
        num_buffers: Parts.
        horizon: Time steps of the rectangle.
        units: Height of the rectangle in units.
        unit: Bytes of a unit.
        slack: With slack s, each size is then lowered to a share U[1 - s, 1] of itself (whole units, at least one): the
            capacity still suffices, but the load bound may lie below it, and the optimum is no longer known.
        squareness: With 0 a coin decides whether time or space is cut: parts grow far longer than large, or far larger
            than long. The higher, the closer they stay to the rectangle's shape.
    """

    num_buffers: int = 50
    horizon: int = 64
    units: int = 1024
    unit: int = 1024
    slack: float = 0.0
    squareness: float = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, horizon=(1, np.inf), units=(1, 2**20), unit=(1, 2**16), slack=(0, 1))
        check_ranges(self, squareness=(0, 4))
        check_ranges(self, num_buffers=(1, self.horizon * self.units))

    @property
    def size(self) -> AllocationSize:
        """Maxima over everything `sample` may return."""
        return AllocationSize.spanning(self.num_buffers, self.horizon, self.horizon)

    @property
    def optimum(self) -> int:
        """Lowest peak of every problem drawn, bytes; with slack only an upper bound of it."""
        return self.units * self.unit

    def sample(self, rng: np.random.Generator) -> AllocationProblem:
        """Draw a problem."""
        return self.sample_with_offsets(rng)[0]

    def sample_solved(self, rng: np.random.Generator) -> tuple[AllocationProblem, Schedule]:
        """Draw a problem with an allocation within the capacity; `sample` draws the same one from the same `rng`."""
        problem, offsets = self.sample_with_offsets(rng)
        return problem, allocation_schedule(problem, offsets)

    def sample_with_offsets(self, rng: np.random.Generator) -> tuple[AllocationProblem, I64]:
        """Draw a problem with the offsets (num_buffers,) of an allocation within the capacity."""
        parts = np.zeros((self.num_buffers, 4), np.int64)  # lower, upper, low, high
        parts[0] = 0, self.horizon, 0, self.units
        for count in range(1, self.num_buffers):
            sides = parts[:count, [1, 3]] - parts[:count, [0, 2]]
            area = np.where((sides > 1).any(axis=1), sides.prod(axis=1), 0)
            total = np.cumsum(area)
            chosen = int(np.searchsorted(total, rng.integers(total[-1]), side="right"))
            width, height = (sides[chosen] / (self.horizon, self.units)) ** self.squareness
            axis = int(rng.random() * (width + height) < height)
            if sides[chosen, axis] == 1:
                axis = 1 - axis
            begin, end = parts[chosen, 2 * axis : 2 * axis + 2].tolist()
            at = int(rng.integers(begin + 1, end))
            parts[count] = parts[chosen]
            parts[chosen, 2 * axis + 1] = parts[count, 2 * axis] = at
        parts = parts[rng.permutation(self.num_buffers)]
        units = parts[:, 3] - parts[:, 2]
        if self.slack:
            share = 1 - self.slack * rng.random(self.num_buffers)
            units = np.maximum(1, (share * units).astype(np.int64))
        problem = AllocationProblem(parts[:, 0], parts[:, 1], self.unit * units, capacity=self.optimum)
        return problem, self.unit * parts[:, 2]


@dataclass(frozen=True)
class TiledBuffers:
    """Tilings with noise: lanes of memory, each cut into lifetimes that follow upon each other, then perturbed.

    Lanes have log-normal heights. Lifetimes within a lane are geometric with the given mean; both ends move by up to `jitter`
    steps, so that neighbours overlap here and leave a hole there. Nearly tiled instances are where greedy
    rules fragment.

    Attributes:
        num_buffers: Tiles.
        horizon: Time steps.
        mean_duration: Mean lifetime before the noise.
        max_duration: Longest lifetime after the noise.
        jitter: Largest move of an end, in steps.
        median_units: Median height of a lane in units.
        sigma: Standard deviation of the logarithm of the height.
        noise: A tile takes a share U[1 - noise, 1] of its lane's height.
        unit: Bytes of a unit.
    """

    num_buffers: int = 50
    horizon: int = 32
    mean_duration: float = 6.0
    max_duration: int = 16
    jitter: int = 0
    median_units: float = 32.0
    sigma: float = 0.8
    noise: float = 0.3
    unit: int = 1024

    def __post_init__(self) -> None:
        check_ranges(
            self, num_buffers=(1, np.inf), horizon=(2, np.inf), mean_duration=(1, np.inf), noise=(0, 1)
        )
        check_ranges(self, max_duration=(1, self.horizon), jitter=(0, self.horizon), sigma=(0, 3))
        check_ranges(self, median_units=(1, 2**16), unit=(1, 2**16))

    @property
    def size(self) -> AllocationSize:
        """Maxima over everything `sample` may return."""
        return AllocationSize.spanning(self.num_buffers, self.horizon, self.max_duration)

    def sample(self, rng: np.random.Generator) -> AllocationProblem:
        """Draw a problem."""
        count, tiles = self.num_buffers, []
        time, lane = 0, 0.0
        for duration in rng.geometric(1 / self.mean_duration, count).tolist():
            if time == 0:
                lane = self.median_units * np.exp(self.sigma * rng.standard_normal())
            end = min(time + duration, self.horizon)
            tiles.append((time, end, lane))
            time = end % self.horizon
        bounds = np.array(tiles)
        move = rng.integers(-self.jitter, self.jitter + 1, (count, 2))
        lower = np.clip(bounds[:, 0].astype(np.int64) + move[:, 0], 0, self.horizon - 1)
        upper = np.clip(bounds[:, 1].astype(np.int64) + move[:, 1], lower + 1, self.horizon)
        upper = np.minimum(upper, lower + self.max_duration)
        units = np.ceil(bounds[:, 2] * (1 - self.noise * rng.random(count))).astype(np.int64)
        order = rng.permutation(count)
        return AllocationProblem(lower[order], upper[order], self.unit * units[order])


TOY_OPTIMUM: Final = 7
"""Lowest peak of the problem that `ToyBuffers` returns, bytes."""


@dataclass(frozen=True)
class ToyBuffers:
    """One problem of six buffers, solved by hand.

    As [lower, upper) x size: a [0, 2) x 3, b [1, 3) x 4, c [2, 4) x 3, d [3, 5) x 2, e [0, 1) x 4, f [4, 5) x 5.

    An allocation with the lowest peak, a column for each time step and a letter for each byte:

        6  e b b d d
        5  e b b d d
        4  e b b . f
        3  e b b . f
        2  a a c c f
        1  a a c c f
        0  a a c c f

    Time steps 0, 1, 2 and 4 hold seven bytes, so there is no lower peak. The largest buffer first, at its lowest offset
    (f 0, b 0, e 0, a 4, c 4, d 7), ends at nine.
    """

    @property
    def size(self) -> AllocationSize:
        """Maxima over everything `sample` may return."""
        return AllocationSize.of(self.sample())

    @property
    def optimum(self) -> int:
        """Lowest peak, bytes."""
        return TOY_OPTIMUM

    def sample(self, rng: np.random.Generator | None = None) -> AllocationProblem:
        """The toy problem, always the same."""
        return AllocationProblem.from_buffers(
            [(0, 2, 3), (1, 3, 4), (2, 4, 3), (3, 5, 2), (0, 1, 4), (4, 5, 5)], name="toy"
        )
