"""What all allocation generators share: the size they promise, the protocol they keep, and their checks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np

from makespan.envs.memory.allocation_instance import AllocationProblem


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


def check_ranges(owner: object, **ranges: tuple[float, float]) -> None:
    """Refuse a parameter outside its range: `check_ranges(self, num_buffers=(1, inf))`."""
    for name, (low, high) in ranges.items():
        value = getattr(owner, name)
        if not low <= value <= high:
            raise ValueError(f"{type(owner).__name__}.{name}: {value}; expected {low}..{high}")
