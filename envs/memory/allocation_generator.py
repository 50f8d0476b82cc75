"""Seeded distributions over static allocation problems. Sizes are in bytes, times in steps of a program."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.generators import Catalogue, Fixed
from makespan.envs.memory.allocation_generator_base import AllocationSize, Generator, check_ranges
from makespan.envs.memory.allocation_generator_packed import (
    TOY_OPTIMUM,
    GuillotineBuffers,
    TiledBuffers,
    ToyBuffers,
)
from makespan.envs.memory.allocation_instance import AllocationProblem

__all__ = [
    "TOY_OPTIMUM",
    "AllocationSize",
    "FixedProblems",
    "Generator",
    "GuillotineBuffers",
    "RandomProgram",
    "TiledBuffers",
    "ToyBuffers",
    "UNetBuffers",
    "UniformBuffers",
    "generator_names",
    "make_generator",
]

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class UniformBuffers:
    """Independent buffers: start, duration and size uniform.

    Attributes:
        num_buffers: Buffers of a problem.
        horizon: Time steps; every lifetime lies in [0, horizon).
        max_duration: Longest lifetime; durations are U[1, max_duration], starts uniform where they fit.
        max_units: Sizes are U[1, max_units] units.
        unit: Bytes of a unit.
    """

    num_buffers: int = 50
    horizon: int = 32
    max_duration: int = 16
    max_units: int = 64
    unit: int = 1024

    def __post_init__(self) -> None:
        check_ranges(
            self, num_buffers=(1, np.inf), horizon=(1, np.inf), max_units=(1, 2**20), unit=(1, 2**20)
        )
        check_ranges(self, max_duration=(1, self.horizon))

    @property
    def size(self) -> AllocationSize:
        """Maxima over everything `sample` may return."""
        return AllocationSize.spanning(self.num_buffers, self.horizon, self.max_duration)

    def sample(self, rng: np.random.Generator) -> AllocationProblem:
        """Draw a problem."""
        duration = rng.integers(1, self.max_duration + 1, self.num_buffers)
        lower = rng.integers(0, self.horizon - duration + 1)
        size = self.unit * rng.integers(1, self.max_units + 1, self.num_buffers)
        return AllocationProblem(lower, lower + duration, size)


@dataclass(frozen=True)
class RandomProgram:
    """Straight-line programs: each step produces some tensors, which live until their last use.

    Sizes are log-normal, rounded up to whole units; the distance to the last use is geometric, and a share of the tensors is
    kept long (as activations kept for a backward pass or a skip connection): U[1, max_lag].

    Attributes:
        num_buffers: Tensors of a program, spread evenly over its steps.
        num_steps: Steps of a program.
        mean_lag: Mean distance from production to last use, in steps.
        max_lag: Longest such distance; a tensor holds its bytes in both steps and between.
        long_share: Share of tensors that are kept long.
        median_units: Median size in units.
        sigma: Standard deviation of the logarithm of the size.
        unit: Bytes of a unit.
    """

    num_buffers: int = 50
    num_steps: int = 32
    mean_lag: float = 3.0
    max_lag: int = 15
    long_share: float = 0.2
    median_units: float = 16.0
    sigma: float = 1.0
    unit: int = 1024

    def __post_init__(self) -> None:
        check_ranges(
            self, num_buffers=(1, np.inf), num_steps=(2, np.inf), mean_lag=(1, np.inf), long_share=(0, 1)
        )
        check_ranges(
            self, max_lag=(1, self.num_steps - 1), median_units=(1, 2**16), sigma=(0, 3), unit=(1, 2**16)
        )

    @property
    def size(self) -> AllocationSize:
        """Maxima over everything `sample` may return."""
        return AllocationSize.spanning(self.num_buffers, self.num_steps, self.max_lag + 1)

    def sample(self, rng: np.random.Generator) -> AllocationProblem:
        """Draw a problem."""
        count = self.num_buffers
        lower = np.arange(count) * self.num_steps // count
        lag = rng.geometric(1 / self.mean_lag, count)
        kept = rng.random(count) < self.long_share
        lag = np.where(kept, rng.integers(1, self.max_lag + 1, count), np.minimum(lag, self.max_lag))
        upper = np.minimum(lower + lag + 1, self.num_steps)
        units = np.ceil(self.median_units * np.exp(self.sigma * rng.standard_normal(count)))
        return AllocationProblem(lower, upper, self.unit * units.astype(np.int64))


@dataclass(frozen=True)
class UNetBuffers:
    """U-Net-like networks: skips from each level of the encoder live until the decoder comes back to it.

    A step an operator. Level l has `blocks` operators in the encoder and as many in the decoder, whose outputs take
    2^-l of the top level's bytes (half the resolution in both directions, twice the channels), times a log-normal
    factor. The last output of an encoder level is the skip. Each operator has a scratch buffer for its own step.

    Attributes:
        levels: Levels above the bottleneck.
        blocks: Operators of a level on either side, and of the bottleneck.
        top_units: Bytes of the top level's outputs, in units.
        sigma: Standard deviation of the logarithm of the factor.
        scratch: Scratch bytes relative to an operator's output, U[0, scratch] (at least a unit).
        unit: Bytes of a unit.
    """

    levels: int = 4
    blocks: int = 2
    top_units: int = 256
    sigma: float = 0.3
    scratch: float = 0.5
    unit: int = 1024

    def __post_init__(self) -> None:
        check_ranges(self, levels=(1, 12), blocks=(1, np.inf), sigma=(0, 3), scratch=(0, 8), unit=(1, 2**16))
        check_ranges(self, top_units=(2**self.levels, 2**20))

    @property
    def num_steps(self) -> int:
        """Operators."""
        return (2 * self.levels + 1) * self.blocks

    @property
    def size(self) -> AllocationSize:
        """Maxima over everything `sample` may return: they are all alike in their lifetimes."""
        lower, upper, _ = self._lifetimes()
        steps = self.num_steps
        return AllocationSize(2 * steps, 2 * steps, steps, int((upper - lower).sum()) + steps)

    def _lifetimes(self) -> tuple[I64, I64, I64]:
        """First step, exclusive last step and level of each operator's output."""
        down = np.repeat(np.arange(self.levels + 1), self.blocks)
        level = np.concatenate((down, np.repeat(np.arange(self.levels)[::-1], self.blocks)))
        lower = np.arange(self.num_steps)
        upper = np.minimum(lower + 2, self.num_steps)
        for depth in range(self.levels):
            skip = (depth + 1) * self.blocks - 1
            upper[skip] = (
                self.num_steps - (depth + 1) * self.blocks + 1
            )  # read by the decoder's first operator
        return lower, upper, level

    def sample(self, rng: np.random.Generator) -> AllocationProblem:
        """Draw a problem."""
        lower, upper, level = self._lifetimes()
        factor = np.exp(self.sigma * rng.standard_normal(self.num_steps))
        units = np.ceil(self.top_units / 2.0**level * factor)
        extra = np.maximum(1, np.rint(units * self.scratch * rng.random(self.num_steps)))
        steps = np.arange(self.num_steps)
        return AllocationProblem(
            np.concatenate((lower, steps)),
            np.concatenate((upper, steps + 1)),
            self.unit * np.concatenate((units, extra)).astype(np.int64),
        )


class FixedProblems(Fixed[AllocationProblem]):
    """Given problems."""

    @cached_property
    def size(self) -> AllocationSize:
        """Maxima over them."""
        return AllocationSize.of(*self.instances)


_CATALOGUE: Catalogue[Generator] = Catalogue(
    {
        "random": RandomProgram,
        "uniform": UniformBuffers,
        "unet": UNetBuffers,
        "tiling": TiledBuffers,
        "guillotine": GuillotineBuffers,
        "toy": ToyBuffers,
    }
)
generator_names = _CATALOGUE.names
make_generator = _CATALOGUE.make
