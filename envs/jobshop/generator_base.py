"""What all shop generators share: the size they promise, the protocol they keep, and their checks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from makespan.envs.jobshop.instance import ShopInstance

Int32Array = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ShopSize:
    """Maxima over all shops that a generator may draw; the spaces of an environment are built from them.

    Attributes:
        num_jobs: Jobs of a shop.
        num_machines: Machines of a shop.
        num_operations: Operations of a shop, all jobs together.
        num_alternatives: Eligible machines of an operation; 1 in a classic job shop.
    """

    num_jobs: int
    num_machines: int
    num_operations: int
    num_alternatives: int = 1

    @classmethod
    def of(cls, *instances: ShopInstance) -> ShopSize:
        """The smallest size that holds every one of `instances`."""
        return cls(
            max(i.num_jobs for i in instances),
            max(i.num_machines for i in instances),
            max(i.num_operations for i in instances),
            max(i.max_alternatives for i in instances),
        )


@runtime_checkable
class Generator(Protocol):
    """A distribution over shops."""

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        ...

    def sample(self, rng: np.random.Generator) -> ShopInstance:
        """Draw a shop; equal states of `rng` give equal shops."""
        ...


def check_ranges(owner: object, **ranges: tuple[float, float]) -> None:
    """Refuse a parameter outside its range: `check_ranges(self, num_jobs=(1, inf))`."""
    for name, (low, high) in ranges.items():
        value = getattr(owner, name)
        if not low <= value <= high:
            raise ValueError(f"{type(owner).__name__}.{name}: {value}; expected {low}..{high}")


@lru_cache(maxsize=256)
def layout(num_jobs: int, num_machines: int) -> tuple[Int32Array, Int32Array]:
    """Offsets of equally long jobs (num_jobs + 1,) and the identity routing (num_jobs, num_machines)."""
    first = np.arange(0, num_jobs * num_machines + 1, num_machines, dtype=np.int32)
    identity = np.tile(np.arange(num_machines, dtype=np.int32), (num_jobs, 1))
    return first, identity
