"""Seeded distributions over job-shop instances, and a toy shop solved by hand.

A generator is a frozen dataclass: `sample(rng)` draws a shop, `size` bounds whatever it may draw, so that an
environment can lay out its spaces once. Parameters are plain numbers; `make_generator` builds one from a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from makespan.envs.core.generators import Catalogue, Fixed
from makespan.envs.jobshop.generator_base import Generator, Int32Array, ShopSize, check_ranges, layout
from makespan.envs.jobshop.generator_flexible import BrandimarteShop, FlexibleShop
from makespan.envs.jobshop.instance import ShopInstance

__all__ = [
    "TOY_OPTIMUM",
    "BrandimarteShop",
    "CorrelatedShop",
    "FixedShops",
    "FlexibleShop",
    "FlowShop",
    "Generator",
    "KnownOptimumShop",
    "ShopSize",
    "ToyShop",
    "TwoSetShop",
    "UniformShop",
    "generator_names",
    "make_generator",
]


def _classic(machines: Int32Array, durations: Int32Array, release: Int32Array | None = None) -> ShopInstance:
    """A shop from two (num_jobs, num_machines) arrays in which every job visits every machine."""
    num_jobs, num_machines = machines.shape
    first, _ = layout(num_jobs, num_machines)
    columns = machines.reshape(-1, 1), durations.reshape(-1, 1)
    if release is None:
        return ShopInstance(first, *columns, num_machines)
    return ShopInstance(first, *columns, num_machines, release)


@dataclass(frozen=True)
class UniformShop:
    """Taillard-like shops: durations U[low, high], every job visits the machines in a random order.

    With `min_jobs` or `min_machines` the size is drawn too, each uniformly from its range.

    Attributes:
        num_jobs: Jobs, or the most of them.
        num_machines: Machines, or the most of them.
        low: Shortest duration in time units.
        high: Longest duration in time units.
        min_jobs: Fewest jobs; 0 means always `num_jobs`.
        min_machines: Fewest machines; 0 means always `num_machines`.
        release_factor: Release dates are U[0, release_factor * mean machine load]; 0 releases every job at time 0.
    """

    num_jobs: int = 6
    num_machines: int = 6
    low: int = 1
    high: int = 99
    min_jobs: int = 0
    min_machines: int = 0
    release_factor: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(
            self,
            num_jobs=(1, np.inf),
            num_machines=(1, np.inf),
            low=(0, self.high),
            release_factor=(0, np.inf),
        )
        check_ranges(self, min_jobs=(0, self.num_jobs), min_machines=(0, self.num_machines))

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        return ShopSize(self.num_jobs, self.num_machines, self.num_jobs * self.num_machines)

    def sample(self, rng: np.random.Generator) -> ShopInstance:
        """Draw a shop."""
        num_jobs, num_machines = self.num_jobs, self.num_machines
        if self.min_jobs:
            num_jobs = int(rng.integers(self.min_jobs, num_jobs + 1))
        if self.min_machines:
            num_machines = int(rng.integers(self.min_machines, num_machines + 1))
        _, identity = layout(num_jobs, num_machines)
        durations = rng.integers(self.low, self.high + 1, (num_jobs, num_machines), dtype=np.int32)
        machines = rng.permuted(identity, axis=1)
        release = None
        if self.release_factor:
            latest = int(self.release_factor * durations.sum() / num_machines)
            release = rng.integers(0, latest + 1, num_jobs, dtype=np.int32)
        return _classic(machines, durations, release)


@dataclass(frozen=True)
class TwoSetShop:
    """Shops like dmu41-80: every job visits the first half of the machines before the second half.

    Durations are U[1, 200] there (Demirkol, Mehta, Uzsoy 1998); the first half has floor(num_machines / 2) machines,
    as in the published instances. swv01-15 have the same routing with durations U[1, 100].
    """

    num_jobs: int = 20
    num_machines: int = 15
    low: int = 1
    high: int = 200

    def __post_init__(self) -> None:
        check_ranges(self, num_jobs=(1, np.inf), num_machines=(2, np.inf), low=(0, self.high))

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        return ShopSize(self.num_jobs, self.num_machines, self.num_jobs * self.num_machines)

    def sample(self, rng: np.random.Generator) -> ShopInstance:
        """Draw a shop."""
        _, identity = layout(self.num_jobs, self.num_machines)
        half = self.num_machines // 2
        machines = np.empty_like(identity)
        rng.permuted(identity[:, :half], axis=1, out=machines[:, :half])
        rng.permuted(identity[:, half:], axis=1, out=machines[:, half:])
        return _classic(machines, rng.integers(self.low, self.high + 1, identity.shape, dtype=np.int32))


@dataclass(frozen=True)
class FlowShop:
    """Flow shops: every job visits machines 0, 1, 2, ... in this order; durations U[low, high]."""

    num_jobs: int = 20
    num_machines: int = 5
    low: int = 1
    high: int = 99

    def __post_init__(self) -> None:
        check_ranges(self, num_jobs=(1, np.inf), num_machines=(1, np.inf), low=(0, self.high))

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        return ShopSize(self.num_jobs, self.num_machines, self.num_jobs * self.num_machines)

    def sample(self, rng: np.random.Generator) -> ShopInstance:
        """Draw a shop."""
        _, identity = layout(self.num_jobs, self.num_machines)
        return _classic(identity, rng.integers(self.low, self.high + 1, identity.shape, dtype=np.int32))


@dataclass(frozen=True)
class CorrelatedShop:
    """Shops whose durations depend on the job or on the machine, with random routing.

    Every job (or machine) has a centre, and its durations are uniform within a band around it. The band's half width is
    (1 - correlation) * (high - low) / 2, and centres are uniform where the band stays within [low, high]: correlation 0
    is (up to rounding) `UniformShop`, correlation 1 gives a job (machine) equal durations throughout.
    """

    num_jobs: int = 6
    num_machines: int = 6
    low: int = 1
    high: int = 99
    correlation: float = 0.75
    by: Literal["job", "machine"] = "job"

    def __post_init__(self) -> None:
        check_ranges(
            self, num_jobs=(1, np.inf), num_machines=(1, np.inf), low=(0, self.high), correlation=(0, 1)
        )
        if self.by not in ("job", "machine"):
            raise ValueError(f"CorrelatedShop.by: {self.by!r}; expected 'job' or 'machine'")

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        return ShopSize(self.num_jobs, self.num_machines, self.num_jobs * self.num_machines)

    def sample(self, rng: np.random.Generator) -> ShopInstance:
        """Draw a shop."""
        _, identity = layout(self.num_jobs, self.num_machines)
        machines = rng.permuted(identity, axis=1)
        width = int((1 - self.correlation) * (self.high - self.low) / 2)
        count = self.num_jobs if self.by == "job" else self.num_machines
        centre = rng.integers(self.low + width, self.high - width + 1, count, dtype=np.int32)
        durations = rng.integers(-width, width + 1, machines.shape, dtype=np.int32)
        durations += centre[:, None] if self.by == "job" else centre[machines]
        return _classic(machines, durations)


@dataclass(frozen=True)
class KnownOptimumShop:
    """Shops whose optimal makespan is `optimum` by construction.

    The rectangle [0, optimum) is cut at random into as many time slots as there are jobs or machines, whichever are more.
    A scrambled cyclic Latin rectangle says who runs where in each slot, so that no job or machine is used twice at a
    time and every job visits every machine once. `num_full` rows (machines, or jobs if these are fewer) keep whole slots:
    they work without a gap from 0 to `optimum`, which is thus a lower bound. All other operations are shortened
    at random and placed within their slots. The construction ends at `optimum`, so the bound is attained.

    Attributes:
        num_jobs: Jobs of a shop.
        num_machines: Machines of a shop.
        horizon: The optimal makespan in time units; 0 means 50 for each slot.
        num_full: Rows without a gap, at least 1.
        slack: Other operations take a share U[1 - slack, 1] of their slots, at least one time unit.
    """

    num_jobs: int = 6
    num_machines: int = 6
    horizon: int = 0
    num_full: int = 1
    slack: float = 0.5

    def __post_init__(self) -> None:
        check_ranges(self, num_jobs=(1, np.inf), num_machines=(1, np.inf), slack=(0, 1))
        check_ranges(self, num_full=(1, min(self.num_jobs, self.num_machines)))
        if self.horizon:
            check_ranges(self, horizon=(max(self.num_jobs, self.num_machines), np.inf))

    @property
    def optimum(self) -> int:
        """Optimal makespan of every shop drawn, in time units."""
        return self.horizon or 50 * max(self.num_jobs, self.num_machines)

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        return ShopSize(self.num_jobs, self.num_machines, self.num_jobs * self.num_machines)

    def sample(self, rng: np.random.Generator) -> ShopInstance:
        """Draw a shop."""
        return self.sample_with_schedule(rng)[0]

    def sample_with_schedule(self, rng: np.random.Generator) -> tuple[ShopInstance, Int32Array]:
        """Draw a shop with the start times (num_operations,) of an optimal schedule."""
        rows, slots = sorted((self.num_jobs, self.num_machines))
        cuts = np.zeros(slots + 1, np.int32)
        cuts[1:-1] = np.sort(rng.choice(self.optimum - 1, slots - 1, replace=False)) + 1
        cuts[-1] = self.optimum
        # Row r holds symbol (order[k] + shift[r]) mod slots in slot k; rows are the scarcer of machines and jobs.
        order, shift = rng.permutation(slots), rng.permutation(slots)[:rows]
        symbol = (order + shift[:, None]) % slots  # (rows, slots)
        length = np.diff(cuts) + np.zeros((rows, 1), np.int32)
        share = 1 - self.slack * rng.random((rows, slots))
        share[rng.permutation(rows)[: self.num_full]] = 1
        duration = np.maximum(1, (share * length).astype(np.int32))
        start = cuts[:-1] + (rng.random((rows, slots)) * (length - duration + 1)).astype(np.int32)
        if self.num_machines <= self.num_jobs:
            # Rows are machines and symbols jobs: gather each job's visits in the order of their slots.
            slot_of = np.argsort(symbol, axis=1)  # (machine, job)
            visit = np.argsort(slot_of, axis=0)  # (position, job): machines by time
            slot = np.take_along_axis(slot_of, visit, axis=0)
            machines, durations, starts = visit.T, duration[visit, slot].T, start[visit, slot].T
        else:
            machines, durations, starts = symbol, duration, start
        shop = _classic(np.ascontiguousarray(machines, np.int32), np.ascontiguousarray(durations))
        return shop, starts.reshape(-1).astype(np.int32)


TOY_OPTIMUM = 10
"""Optimal makespan of the shop that `ToyShop` returns."""


@dataclass(frozen=True)
class ToyShop:
    """One shop with three jobs and three machines, solved by hand.

    Routes as (machine, duration):

        job 0: (1, 2) (0, 1) (2, 4)
        job 1: (2, 1) (1, 2) (0, 2)
        job 2: (1, 1) (2, 5) (0, 4)

    An optimal schedule, a column for each time unit, digits for jobs:

        machine 0  ...1102222
        machine 1  21100.....
        machine 2  1222220000

    Machine 2 has ten time units of work, so no schedule is shorter. Non-delay dispatching by shortest processing time
    or by most work remaining, ties to the lower job, takes 11.
    """

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        return ShopSize(3, 3, 9)

    @property
    def optimum(self) -> int:
        """Optimal makespan in time units."""
        return TOY_OPTIMUM

    def sample(self, rng: np.random.Generator | None = None) -> ShopInstance:
        """The toy shop, always the same."""
        return ShopInstance.from_jobs(
            [[(1, 2), (0, 1), (2, 4)], [(2, 1), (1, 2), (0, 2)], [(1, 1), (2, 5), (0, 4)]], name="toy"
        )


class FixedShops(Fixed[ShopInstance]):
    """Given shops."""

    @cached_property
    def size(self) -> ShopSize:
        """Maxima over them."""
        return ShopSize.of(*self.instances)


_CATALOGUE: Catalogue[Generator] = Catalogue(
    {
        "uniform": UniformShop,
        "taillard": UniformShop,
        "two_set": TwoSetShop,
        "flow": FlowShop,
        "correlated": CorrelatedShop,
        "flexible_sd1": FlexibleShop,
        "flexible_sd2": FlexibleShop,
        "brandimarte": BrandimarteShop,
        "known_optimum": KnownOptimumShop,
        "toy": ToyShop,
    },
    presets={"flexible_sd1": {"variant": "sd1"}, "flexible_sd2": {"variant": "sd2"}},
)
generator_names = _CATALOGUE.names
make_generator = _CATALOGUE.make
