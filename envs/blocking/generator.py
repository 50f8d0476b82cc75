"""Seeded distributions over blocking shops: random routes and durations, with a law by which machines shut down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import numpy as np

from makespan.envs.blocking.benchmark import find_instances
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.blocking.shutdowns import (
    REPAIRS,
    SHUTDOWNS,
    RepairLaw,
    draw_stops,
    draw_windows,
    read_trace,
)
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.sources import GivenInstances, check_parameters
from makespan.envs.jobshop.generator import UniformShop
from makespan.envs.jobshop.generator_base import ShopSize, check_ranges
from makespan.envs.jobshop.instance import ShopInstance

TOY_OPTIMUM: Final = {True: 5, False: 10}
"""Optimal makespan of the toy shop with and without swaps, by hand."""


@runtime_checkable
class Generator(Protocol):
    """A distribution over blocking shops."""

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        ...

    def sample(self, rng: np.random.Generator) -> BlockingShopInstance:
        """Draw a shop; equal states of `rng` give equal shops."""
        ...


@dataclass(frozen=True, kw_only=True)
class Interruptions:
    """Whether jobs may exchange places, and how machines shut down; base of the generators.

    Attributes:
        swap: Whether jobs may exchange places.
        shutdown: One of `SHUTDOWNS`.
        probability: That an up machine fails within a time unit (`per_step`), or that an operation is hit (`per_op`).
        repair: Law of the time to repair under `per_step` and `per_op`: one of `REPAIRS`.
        repair_low: Shortest repair in time units, if uniform.
        repair_high: Longest repair, if uniform.
        mttr: Mean time to repair, if geometric or under `exponential`.
        mtbf: Mean time from a repair to the next failure under `exponential`.
        repeat: Whether interrupted work starts over (preempt-repeat) or goes on (preempt-resume).
        trace: CSV file with the columns machine, start, end, under `trace`.
    """

    swap: bool = True
    shutdown: str = "none"
    probability: float = 0.0
    repair: str = "uniform"
    repair_low: int = 1
    repair_high: int = 50
    mttr: float = 50.0
    mtbf: float = 450.0
    repeat: bool = False
    trace: str = ""

    def __post_init__(self) -> None:
        for name, known in (("shutdown", SHUTDOWNS), ("repair", REPAIRS)):
            if getattr(self, name) not in known:
                raise UnknownNameError(name, getattr(self, name), known)
        check_ranges(self, probability=(0.0, 1.0), mttr=(1, 2**20), mtbf=(1, 2**20))
        check_ranges(self, repair_low=(1, self.repair_high), repair_high=(1, 2**20))
        if (self.shutdown == "trace") != bool(self.trace):
            raise ValueError(
                f"trace: {self.trace!r} with shutdown={self.shutdown!r}; a file belongs to 'trace'"
            )

    def interrupt(self, shop: ShopInstance, rng: np.random.Generator) -> BlockingShopInstance:
        """The shop with downtime. One number is taken from `rng`, whatever the law, so that the shops drawn next stay the same.

        Windows are drawn up to the time in which all work would be done one operation after the other on machines of
        this availability; nothing fails later.
        """
        seed = np.random.SeedSequence(int(rng.integers(2**63)))
        streams = [np.random.default_rng(child) for child in seed.spawn(shop.num_machines + 1)]
        swap, repeat, work = self.swap, self.repeat, int(shop.durations.sum())
        if self.shutdown == "trace":
            return BlockingShopInstance(shop, swap, repeat, down=read_trace(self.trace))
        if self.shutdown == "none" or (self.shutdown != "exponential" and self.probability == 0.0):
            return BlockingShopInstance(shop, swap, repeat)
        repairs = RepairLaw(self.repair, self.repair_low, self.repair_high, self.mttr)
        if self.shutdown == "per_op":
            after, length = draw_stops(streams[-1], shop.durations[:, 0], self.probability, repairs)
            return BlockingShopInstance(shop, swap, repeat, stop_after=after, stop_length=length)
        up, law = 1.0 / max(self.probability, 1e-9), "geometric"
        if self.shutdown == "exponential":
            up, law, repairs = self.mtbf, "exponential", RepairLaw("exponential", 1, 1, self.mttr)
        horizon = int(work * (up + repairs.mean) / up) + int(shop.release.max()) + 1
        return BlockingShopInstance(
            shop, swap, repeat, down=draw_windows(streams[:-1], horizon, up, law, repairs)
        )


@dataclass(frozen=True, kw_only=True)
class UniformBlockingShop(Interruptions):
    """Random shops as the job shop's: durations U[low, high], every job visits the machines in a random order.

    Attributes:
        num_jobs: Jobs, or the most of them.
        num_machines: Machines, or the most of them.
        low: Shortest duration in time units.
        high: Longest duration in time units.
        min_jobs: Fewest jobs; 0 means always `num_jobs`.
        min_machines: Fewest machines; 0 means always `num_machines`.
        release_factor: Release dates are U[0, release_factor * mean machine load].
    """

    num_jobs: int = 6
    num_machines: int = 6
    low: int = 1
    high: int = 99
    min_jobs: int = 0
    min_machines: int = 0
    release_factor: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._shops()

    def _shops(self) -> UniformShop:
        return UniformShop(
            self.num_jobs,
            self.num_machines,
            self.low,
            self.high,
            self.min_jobs,
            self.min_machines,
            self.release_factor,
        )

    @property
    def size(self) -> ShopSize:
        """Maxima over everything `sample` may return."""
        return self._shops().size

    def sample(self, rng: np.random.Generator) -> BlockingShopInstance:
        """Draw a shop, then its downtime."""
        return self.interrupt(self._shops().sample(rng), rng)


@dataclass(frozen=True, kw_only=True)
class BenchmarkBlockingShop(Interruptions):
    """Shops of the literature with downtime drawn anew.

    Attributes:
        instances: One argument of `--instances`: a name, a set or a glob. Their own swap setting gives way to `swap`.
    """

    instances: str = "proved"

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._shops

    @cached_property
    def _shops(self) -> list[ShopInstance]:
        return [instance.shop for instance in find_instances(self.instances)]

    @property
    def size(self) -> ShopSize:
        """Maxima over the shops."""
        return ShopSize.of(*self._shops)

    def sample(self, rng: np.random.Generator) -> BlockingShopInstance:
        """Draw one of the shops, then its downtime."""
        return self.interrupt(self._shops[int(rng.integers(len(self._shops)))], rng)


@dataclass(frozen=True)
class RotatingShop:
    """Shops of known optimum that need swaps: as many jobs as machines, and in every step all jobs change places.

    All operations of one step take the same time, and their machines form a permutation; starting every step
    together keeps all machines busy all the time, so the sum of the steps is optimal.

    Attributes:
        num_machines: Machines, jobs and steps.
        low: Shortest step in time units.
        high: Longest step.
    """

    num_machines: int = 6
    low: int = 1
    high: int = 99

    def __post_init__(self) -> None:
        check_ranges(self, num_machines=(1, np.inf), low=(1, self.high))

    @property
    def size(self) -> ShopSize:
        """Size of every draw."""
        return ShopSize(self.num_machines, self.num_machines, self.num_machines**2)

    def optimum(self, instance: BlockingShopInstance) -> int:
        """Optimal makespan of a draw, in time units."""
        return int(instance.shop.durations[: instance.num_machines].sum())

    def sample(self, rng: np.random.Generator) -> BlockingShopInstance:
        """A random Latin square of machines, and the steps' durations."""
        m = self.num_machines
        steps = rng.integers(self.low, self.high + 1, m, dtype=np.int32)
        square = (np.arange(m)[:, None] + np.arange(m)) % m
        square = rng.permutation(m)[square[rng.permutation(m)][:, rng.permutation(m)]]
        first = np.arange(0, m * m + 1, m, dtype=np.int32)
        durations = np.tile(steps, m)[:, None]
        shop = ShopInstance(first, square.reshape(-1, 1).astype(np.int32), durations, m, name="rotating")
        return BlockingShopInstance(shop)


@dataclass(frozen=True)
class ToyBlockingShop:
    """Two jobs that cross: both machines are blocked at time 2, and only a swap lets both go on.

    By hand: with swaps both start at 0, exchange places at 2 and end at 5. Without, whoever moves second has to let the
    first one pass through both machines: 2 + 3, twice.

    Attributes:
        swap: Whether jobs may exchange places.
    """

    swap: bool = True

    @property
    def size(self) -> ShopSize:
        """Size of the toy."""
        return ShopSize(2, 2, 4)

    def optimum(self) -> int:
        """Optimal makespan in time units."""
        return TOY_OPTIMUM[self.swap]

    def sample(self, rng: np.random.Generator | None = None) -> BlockingShopInstance:
        """The toy shop, always the same."""
        shop = ShopInstance.from_jobs([[(0, 2), (1, 3)], [(1, 2), (0, 3)]], name="toy")
        return BlockingShopInstance(shop, self.swap)


class FixedBlockingShops(GivenInstances[BlockingShopInstance]):
    """A given list of shops, drawn uniformly."""

    @cached_property
    def size(self) -> ShopSize:
        """Maxima over the shops."""
        return ShopSize.of(*(instance.shop for instance in self.instances))


_GENERATORS: Final[dict[str, Callable[..., Generator]]] = {
    "uniform": UniformBlockingShop,
    "benchmark": BenchmarkBlockingShop,
    "rotating": RotatingShop,
    "toy": ToyBlockingShop,
}


def generator_names() -> list[str]:
    """Names that `make_generator` knows."""
    return list(_GENERATORS)


def make_generator(name: str, **parameters: float | str) -> Generator:
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
    check_parameters(name, build, parameters)
    return build(**parameters)
