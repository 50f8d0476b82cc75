"""Seeded distributions over single-machine instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import numpy as np

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.sources import GivenInstances, check_parameters
from makespan.envs.tardiness.instance import TardinessInstance

DUE_DATE_RANGES: Final = (0.2, 0.4, 0.6, 0.8, 1.0)
TARDINESS_FACTORS: Final = (0.2, 0.4, 0.6, 0.8)
"""The classes of Potts & Van Wassenhove: every relative due-date range with every tardiness factor."""


@runtime_checkable
class Generator(Protocol):
    """A distribution over instances."""

    @property
    def size(self) -> int:
        """Most jobs of anything `sample` may return."""
        ...

    def sample(self, rng: np.random.Generator) -> TardinessInstance:
        """Draw an instance; equal states of `rng` give equal instances."""
        ...


@dataclass(frozen=True)
class PottsVanWassenhove:
    """Processing times U{1..longest}; due dates U[P (1 - TF - RDD / 2), P (1 - TF + RDD / 2)], P their sum, in whole time units.

    Potts & Van Wassenhove (1982), Operations Research Letters 1(5). Due dates may be negative.

    Attributes:
        num_jobs: Jobs, or the most of them.
        min_jobs: Fewest jobs; 0 means always `num_jobs`.
        longest: Longest processing time.
        due_date_range: RDD; 0 draws one of `DUE_DATE_RANGES` for each instance.
        tardiness_factor: TF; 0 draws one of `TARDINESS_FACTORS`.
    """

    num_jobs: int = 20
    min_jobs: int = 0
    longest: int = 100
    due_date_range: float = 0.0
    tardiness_factor: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("num_jobs", 1, 2**14),
            ("min_jobs", 0, self.num_jobs),
            ("longest", 1, 1000),
            ("due_date_range", 0.0, 2.0),
            ("tardiness_factor", 0.0, 1.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"PottsVanWassenhove.{name}: {getattr(self, name)}; expected {low}..{high}")

    @property
    def size(self) -> int:
        """Most jobs of a draw."""
        return self.num_jobs

    def sample(self, rng: np.random.Generator) -> TardinessInstance:
        """Draw an instance."""
        num_jobs = int(rng.integers(self.min_jobs, self.num_jobs + 1)) if self.min_jobs else self.num_jobs
        spread, factor = rng.choice(DUE_DATE_RANGES), rng.choice(TARDINESS_FACTORS)
        spread, factor = self.due_date_range or spread, self.tardiness_factor or factor
        processing = rng.integers(1, self.longest + 1, num_jobs, dtype=np.int32)
        total = int(processing.sum())
        low, high = np.rint([total * (1 - factor - spread / 2), total * (1 - factor + spread / 2)])
        due = rng.integers(int(low), int(high) + 1, num_jobs, dtype=np.int32)
        return TardinessInstance(processing, due, f"pvw{num_jobs}-rdd{spread:g}-tf{factor:g}")


@dataclass(frozen=True)
class ToyMachine:
    """Three jobs solved by hand: in order of processing times they are later than they need be.

    Processing times 3, 8, 2 and due dates 4, 8, 11. In order of due dates jobs 1 and 2 end at 11 and 13, 3 + 2 late; with job 2
    before job 1, at 5 and 13, 5 late; shortest first 1 + 5. Nobody does better: job 1 or job 2 ends last, at 13, 5 or 2 late, and
    job 1 ends at 11 at the earliest if job 0 comes before it; if it does not, job 0 ends at 11, 7 late.
    """

    @property
    def size(self) -> int:
        """Jobs of the toy."""
        return 3

    def optimum(self) -> int:
        """Smallest total tardiness in time units."""
        return 5

    def sample(self, rng: np.random.Generator | None = None) -> TardinessInstance:
        """The toy, always the same."""
        return TardinessInstance(np.array([3, 8, 2]), np.array([4, 8, 11]), "toy")


@dataclass(frozen=True)
class KnownOptimum:
    """Instances of known optimum: no due date lies after the shortest job's end, so every job is late and SPT is optimal.

    Attributes:
        num_jobs: Jobs.
        longest: Longest processing time.
    """

    num_jobs: int = 20
    longest: int = 100

    @property
    def size(self) -> int:
        """Jobs of every draw."""
        return self.num_jobs

    def optimum(self, instance: TardinessInstance) -> int:
        """Smallest total tardiness: that of the jobs in order of processing times."""
        return int(np.sort(instance.processing).cumsum().sum() - instance.due.sum())

    def sample(self, rng: np.random.Generator) -> TardinessInstance:
        """Draw an instance."""
        processing = rng.integers(1, self.longest + 1, self.num_jobs, dtype=np.int32)
        due = rng.integers(-10, int(processing.min()) + 1, self.num_jobs, dtype=np.int32)
        return TardinessInstance(processing, due, "all late")


class FixedInstances(GivenInstances[TardinessInstance]):
    """A given list of instances, drawn uniformly."""

    @cached_property
    def size(self) -> int:
        """Most jobs of an instance."""
        return max(instance.num_jobs for instance in self.instances)


_GENERATORS: Final[dict[str, Callable[..., Generator]]] = {
    "potts_van_wassenhove": PottsVanWassenhove,
    "known_optimum": KnownOptimum,
    "toy": ToyMachine,
}


def generator_names() -> list[str]:
    """Names that `make_generator` knows."""
    return list(_GENERATORS)


def make_generator(name: str, **parameters: float) -> Generator:
    """Build a generator by name.

    Raises:
        UnknownNameError: No generator has this name.
        TypeError: The generator has no such parameter.
        ValueError: A parameter is out of range.
    """
    if name not in _GENERATORS:
        raise UnknownNameError("generator", name, _GENERATORS)
    build = _GENERATORS[name]
    check_parameters(name, build, parameters)
    return build(**parameters)
