"""Seeded distributions over static allocation problems. Sizes are in bytes, times in steps of a program."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.memory.allocation_instance import AllocationProblem

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AllocationSize:
    """Maxima over all problems that a generator may draw; the spaces of an environment are built from them.

    Attributes:
        num_buffers: Buffers of a problem.
        num_pieces: Pieces of a problem: buffers, and more where these have gaps.
        num_sections: Sections of a problem.
        num_incidences: Pairs of a piece and a section that it spans.
    """

    num_buffers: int
    num_pieces: int
    num_sections: int
    num_incidences: int

    @classmethod
    def of(cls, *problems: AllocationProblem) -> AllocationSize:
        """The smallest size that holds every one of `problems`."""
        return cls(*(max(getattr(p, f.name) for p in problems) for f in fields(cls)))

    @classmethod
    def spanning(cls, num_buffers: int, horizon: int, longest: int) -> AllocationSize:
        """A size for buffers without gaps in `horizon` time steps, none living longer than `longest`."""
        sections = min(horizon, 2 * num_buffers - 1)
        return cls(num_buffers, num_buffers, sections, num_buffers * min(sections, longest))


@runtime_checkable
class Generator(Protocol):
    """A distribution over allocation problems."""

    @property
    def size(self) -> AllocationSize:
        """Maxima over everything `sample` may return."""
        ...

    def sample(self, rng: np.random.Generator) -> AllocationProblem:
        """Draw a problem; equal states of `rng` give equal problems."""
        ...


def _check(owner: object, **ranges: tuple[float, float]) -> None:
    """Refuse a parameter outside its range: `_check(self, num_buffers=(1, inf))`."""
    for name, (low, high) in ranges.items():
        value = getattr(owner, name)
        if not low <= value <= high:
            raise ValueError(f"{type(owner).__name__}.{name}: {value}; expected {low}..{high}")


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
        _check(self, num_buffers=(1, np.inf), horizon=(1, np.inf), max_units=(1, 2**20), unit=(1, 2**20))
        _check(self, max_duration=(1, self.horizon))

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
        _check(self, num_buffers=(1, np.inf), num_steps=(2, np.inf), mean_lag=(1, np.inf), long_share=(0, 1))
        _check(self, max_lag=(1, self.num_steps - 1), median_units=(1, 2**16), sigma=(0, 3), unit=(1, 2**16))

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
        _check(self, levels=(1, 12), blocks=(1, np.inf), sigma=(0, 3), scratch=(0, 8), unit=(1, 2**16))
        _check(self, top_units=(2**self.levels, 2**20))

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


@dataclass(frozen=True)
class GuillotineBuffers:
    """Perfect packings: the rectangle horizon x capacity is cut in two, again and again, until there are enough parts.

    Every moment is full, so the load bound is the capacity, and the cuts themselves reach it: the optimum is known. A part
    is chosen with probability proportional to its area and cut across time or space at a uniform moment or offset.

    Attributes:
        num_buffers: Parts.
        horizon: Time steps of the rectangle.
        units: Height of the rectangle in units.
        unit: Bytes of a unit.
        slack: With slack s, each size is then lowered to a share U[1 - s, 1] of itself (whole units, at least one): the
            capacity still suffices, but the load bound may lie below it, and the optimum is no longer known.
    """

    num_buffers: int = 50
    horizon: int = 32
    units: int = 1024
    unit: int = 1024
    slack: float = 0.0

    def __post_init__(self) -> None:
        _check(self, horizon=(1, np.inf), units=(1, 2**20), unit=(1, 2**16), slack=(0, 1))
        _check(self, num_buffers=(1, self.horizon * self.units))

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

    def sample_with_offsets(self, rng: np.random.Generator) -> tuple[AllocationProblem, I64]:
        """Draw a problem with the offsets (num_buffers,) of an allocation within the capacity."""
        parts = np.zeros((self.num_buffers, 4), np.int64)  # lower, upper, low, high
        parts[0] = 0, self.horizon, 0, self.units
        for count in range(1, self.num_buffers):
            sides = parts[:count, [1, 3]] - parts[:count, [0, 2]]
            area = np.where((sides > 1).any(axis=1), sides.prod(axis=1), 0)
            total = np.cumsum(area)
            chosen = int(np.searchsorted(total, rng.integers(total[-1]), side="right"))
            across = rng.random() < 0.5
            axis = int(across) if sides[chosen, int(across)] > 1 else int(not across)
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
    jitter: int = 1
    median_units: float = 32.0
    sigma: float = 0.8
    noise: float = 0.2
    unit: int = 1024

    def __post_init__(self) -> None:
        _check(self, num_buffers=(1, np.inf), horizon=(2, np.inf), mean_duration=(1, np.inf), noise=(0, 1))
        _check(self, max_duration=(1, self.horizon), jitter=(0, self.horizon), sigma=(0, 3))
        _check(self, median_units=(1, 2**16), unit=(1, 2**16))

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


@dataclass(frozen=True, eq=False)
class FixedProblems:
    """A given list of problems.

    Attributes:
        instances: The problems.
        cycle: Whether to hand them out in turn, whatever the `rng` (the turn is then a state of this object);
            otherwise every draw is uniform.
    """

    instances: Sequence[AllocationProblem]
    cycle: bool = False
    _turn: list[int] = field(default_factory=lambda: [0], init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "instances", tuple(self.instances))
        if not self.instances:
            raise ValueError("FixedProblems.instances: empty; expected at least one problem")

    @cached_property
    def size(self) -> AllocationSize:
        """Maxima over the problems."""
        return AllocationSize.of(*self.instances)

    def sample(self, rng: np.random.Generator) -> AllocationProblem:
        """Draw a problem, or take the next."""
        if not self.cycle:
            return self.instances[int(rng.integers(len(self.instances)))]
        index = self._turn[0]
        self._turn[0] = (index + 1) % len(self.instances)
        return self.instances[index]


_GENERATORS: Final[dict[str, Callable[..., Generator]]] = {
    "random": RandomProgram,
    "uniform": UniformBuffers,
    "unet": UNetBuffers,
    "tiling": TiledBuffers,
    "guillotine": GuillotineBuffers,
    "toy": ToyBuffers,
}


def generator_names() -> list[str]:
    """Names that `make_generator` knows."""
    return list(_GENERATORS)


def make_generator(name: str, **parameters: float) -> Generator:
    """Build a generator by name.

    Args:
        name: One of `generator_names()`.
        **parameters: Fields of the generator's dataclass.

    Raises:
        UnknownNameError: No generator has this name.
        TypeError: The generator has no such parameter.
        ValueError: A parameter is out of range.
    """
    if name not in _GENERATORS:
        raise UnknownNameError("generator", name, _GENERATORS)
    build = _GENERATORS[name]
    known = [f.name for f in fields(build) if f.init]  # type: ignore[arg-type]
    for parameter in parameters:
        if parameter not in known:
            near = difflib.get_close_matches(parameter, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TypeError(
                f"generator {name!r} has no parameter {parameter!r}{hint} It takes: {', '.join(known) or 'none'}"
            )
    return build(**parameters)
