"""Seeded distributions over dynamic shops: Poisson arrivals at a stated utilisation, due dates, breakdowns, noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.generators import Catalogue, Fixed
from makespan.envs.dynamic_shop.instance import OBJECTIVES, DynamicShopInstance
from makespan.envs.dynamic_shop.streams import (
    LAWS,
    draw_arrivals,
    draw_breakdowns,
    draw_durations,
    draw_machines,
    draw_noise,
    draw_weights,
)
from makespan.envs.jobshop.generator_base import check_ranges
from makespan.envs.jobshop.instance import ShopInstance


@dataclass(frozen=True, slots=True)
class DynamicSize:
    """Maxima over everything that a generator may draw; the spaces of an environment are built from all but the jobs.

    Attributes:
        num_jobs: Jobs of a shop.
        num_machines: Machines of a shop.
        longest_route: Operations of a job.
        max_alternatives: Eligible machines of an operation.
    """

    num_jobs: int
    num_machines: int
    longest_route: int
    max_alternatives: int = 1

    @classmethod
    def of(cls, *instances: DynamicShopInstance) -> DynamicSize:
        """The smallest size that holds every one of `instances`."""
        return cls(
            max(i.num_jobs for i in instances),
            max(i.num_machines for i in instances),
            max(i.longest_route for i in instances),
            max(i.max_alternatives for i in instances),
        )


@runtime_checkable
class Generator(Protocol):
    """A distribution over dynamic shops."""

    @property
    def size(self) -> DynamicSize:
        """Maxima over everything `sample` may return."""
        ...

    def sample(self, rng: np.random.Generator) -> DynamicShopInstance:
        """Draw a shop; equal states of `rng` give equal shops."""
        ...


@dataclass(frozen=True, kw_only=True)
class PoissonShop:
    """Jobs of random routes that arrive by a Poisson process, at a stated utilisation of the machines.

    A job visits between `min_operations` and `max_operations` different machines in random order. The mean gap between arrivals
    is the mean work of a job / (utilisation * machines * availability), with availability mtbf / (mtbf + mttr). Due dates
    follow the TWK rule: arrival plus `tightness` times the job's work (forecast, mean over eligible machines).

    Attributes:
        num_jobs: Jobs that arrive, counted or not.
        num_machines: Machines.
        utilisation: Share of its up time that a machine works in the long run.
        tightness: TWK factor; the smaller, the tighter are due dates.
        warm_up: Jobs at the beginning that are not counted.
        cool_down: Jobs at the end that are not counted.
        objective: One of `OBJECTIVES`.
        min_operations: Fewest operations of a job.
        max_operations: Most operations of a job, at most `num_machines`; 0 means `num_machines`.
        law: Law of the forecast durations: "uniform" on low..high, or "exponential" with their mean.
        low: Shortest duration, time units.
        high: Longest duration.
        weights: Weights of jobs.
        weight_shares: Their probabilities.
        flexibility: An operation has 1 to that many eligible machines, equally likely.
        spread: On a further machine it takes U[1 - spread, 1 + spread] times as long as on its first.
        noise: Sigma of the log-normal factor, of mean 1, between forecast and realised duration; 0: forecasts come true.
        mtbf: Mean up time of a machine before a breakdown, exponential, time units; 0: no breakdowns.
        mttr: Mean repair time, exponential.
    """

    num_jobs: int = 130
    num_machines: int = 5
    utilisation: float = 0.9
    tightness: float = 3.0
    warm_up: int = 20
    cool_down: int = 10
    objective: str = "tardiness"
    min_operations: int = 2
    max_operations: int = 0
    law: str = "uniform"
    low: int = 1
    high: int = 99
    weights: tuple[int, ...] = (1, 2, 4)
    weight_shares: tuple[float, ...] = (0.2, 0.6, 0.2)
    flexibility: int = 1
    spread: float = 0.3
    noise: float = 0.0
    mtbf: float = 0.0
    mttr: float = 100.0

    def __post_init__(self) -> None:
        most = self.num_machines
        check_ranges(self, num_jobs=(1, 2**16), num_machines=(1, 1000), utilisation=(0.01, 2.0))
        check_ranges(self, tightness=(0.0, 1000.0), warm_up=(0, self.num_jobs - 1))
        check_ranges(self, cool_down=(0, self.num_jobs - 1 - self.warm_up), max_operations=(0, most))
        check_ranges(self, min_operations=(1, self.route_length), low=(1, self.high), high=(1, 2**16))
        check_ranges(self, flexibility=(1, most), spread=(0.0, 1.0), noise=(0.0, 2.0))
        check_ranges(self, mtbf=(0.0, 2.0**20), mttr=(1.0, 2.0**20))
        for name, known in (("objective", OBJECTIVES), ("law", LAWS)):
            if getattr(self, name) not in known:
                raise UnknownNameError(name, getattr(self, name), known)
        if len(self.weights) != len(self.weight_shares) or min(self.weights, default=0) < 1:
            raise ValueError(
                f"PoissonShop.weights: {self.weights} with shares {self.weight_shares}; expected whole numbers >= 1, "
                "one share each"
            )
        if min(self.weight_shares) < 0 or abs(sum(self.weight_shares) - 1.0) > 1e-6:
            raise ValueError(
                f"PoissonShop.weight_shares: {self.weight_shares}; expected shares that add to 1"
            )

    @property
    def route_length(self) -> int:
        """Most operations of a job."""
        return self.max_operations or self.num_machines

    @property
    def size(self) -> DynamicSize:
        """Maxima over everything `sample` may return."""
        return DynamicSize(self.num_jobs, self.num_machines, self.route_length, self.flexibility)

    @property
    def mean_gap(self) -> float:
        """Mean time between arrivals."""
        work = (self.min_operations + self.route_length) / 2 * (self.low + self.high) / 2
        availability = self.mtbf / (self.mtbf + self.mttr) if self.mtbf else 1.0
        return work / (self.utilisation * self.num_machines * availability)

    def sample(self, rng: np.random.Generator) -> DynamicShopInstance:
        """Draw a shop. Routes, durations, arrivals, weights, noise and each machine's breakdowns have streams of their own.

        So the same draw at another utilisation, tightness, noise or breakdown level has the same jobs.
        """
        seed = np.random.SeedSequence(int(rng.integers(2**63)))
        streams = [np.random.default_rng(child) for child in seed.spawn(5 + self.num_machines)]
        routes, times, gaps, importance, luck = streams[:5]
        lengths = routes.integers(self.min_operations, self.route_length + 1, self.num_jobs)
        first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        machines = draw_machines(routes, lengths, self.num_machines, self.flexibility)
        durations = draw_durations(times, machines, self.law, self.low, self.high, self.spread)
        arrival = draw_arrivals(gaps, self.num_jobs, self.mean_gap)
        name = f"dynamic-u{self.utilisation:g}-t{self.tightness:g}"
        shop = ShopInstance(first, machines, durations, self.num_machines, arrival, name)
        down = np.zeros((0, 3), np.int32)
        if self.mtbf:
            horizon = int(arrival[-1]) + 2 * int(durations[:, 0].sum()) // self.num_machines
            down = draw_breakdowns(streams[5:], horizon, self.mtbf, self.mttr)
        return DynamicShopInstance(
            shop,
            total_work_due_dates(shop, self.tightness),
            draw_weights(importance, self.num_jobs, self.weights, self.weight_shares),
            draw_noise(luck, durations, self.noise),
            down,
            self.warm_up,
            self.cool_down,
            self.objective,
        )


def total_work_due_dates(shop: ShopInstance, tightness: float) -> NDArray[np.int32]:
    """TWK due dates: arrival plus `tightness` times the job's work, means over eligible machines; (num_jobs,) int32.

    Source: Conway (1965), J. of Industrial Engineering 16; Baker & Bertrand (1981), AIIE Transactions 13(2).
    """
    mean = shop.durations.sum(axis=1) / (shop.machines >= 0).sum(axis=1)
    work = np.add.reduceat(mean, shop.job_first[:-1])
    return (shop.release + np.rint(tightness * work).astype(np.int64)).astype(np.int32)


@dataclass(frozen=True)
class KnownOptimumShop:
    """One machine, all jobs there and due at time 0: the tardiness is sum w C, which Smith's (1956) order w / p minimises.

    Attributes:
        num_jobs: Jobs.
        high: Longest duration.
    """

    num_jobs: int = 12
    high: int = 99

    @property
    def size(self) -> DynamicSize:
        """Size of every draw."""
        return DynamicSize(self.num_jobs, 1, 1)

    def optimum(self, instance: DynamicShopInstance) -> int:
        """Smallest total weighted tardiness of a draw, time units."""
        durations, weight = instance.shop.durations[:, 0], instance.weight
        order = np.argsort(durations / weight, kind="stable")
        return int((weight[order] * np.cumsum(durations[order])).sum())

    def sample(self, rng: np.random.Generator) -> DynamicShopInstance:
        """Draw durations and weights."""
        durations = rng.integers(1, self.high + 1, (self.num_jobs, 1), dtype=np.int32)
        first = np.arange(self.num_jobs + 1, dtype=np.int32)
        shop = ShopInstance(first, np.zeros_like(durations), durations, 1, name="smith")
        return DynamicShopInstance(
            shop, np.zeros(self.num_jobs, np.int32), rng.integers(1, 5, self.num_jobs, dtype=np.int32)
        )


@dataclass(frozen=True)
class ToyShop:
    """Three jobs on two machines, solved by hand.

    Job 0 (weight 1, due 9) needs machine 0 for 4 and machine 1 for 3 and arrives at 0; job 1 (weight 3, due 6) needs machine 0
    for 3 and arrives at 1; job 2 (weight 1, due 8) needs machine 1 for 5 and arrives at 2. Somebody has to come first on machine
    0 at 0: job 0, if nobody waits. It ends at 4, job 1 at 7, one late: 3. Machine 1 is free from 2 to 4: job 2 ends at 7 in time,
    and job 0 at 10, one late: 1. In all 4. Waiting for job 1 is better: it ends at 4, job 0 is on machine 1 from 8 to 11, 2 late.
    """

    @property
    def size(self) -> DynamicSize:
        """Size of the toy."""
        return DynamicSize(3, 2, 2)

    def optimum(self, wait: bool) -> int:
        """Smallest total weighted tardiness, with machines that may wait or not."""
        return 2 if wait else 4

    def sample(self, rng: np.random.Generator | None = None) -> DynamicShopInstance:
        """The toy, always the same."""
        shop = ShopInstance.from_jobs([[(0, 4), (1, 3)], [(0, 3)], [(1, 5)]], release=[0, 1, 2], name="toy")
        return DynamicShopInstance(shop, np.array([9, 6, 8]), np.array([1, 3, 1]))


class FixedDynamicShops(Fixed[DynamicShopInstance]):
    """Given shops."""

    @cached_property
    def size(self) -> DynamicSize:
        """Maxima over them."""
        return DynamicSize.of(*self.instances)


_CATALOGUE: Catalogue[Generator] = Catalogue(
    {
        "dynamic": PoissonShop,
        "unreliable": PoissonShop,
        "flexible": PoissonShop,
        "large": PoissonShop,
        "queue": PoissonShop,
        "known_optimum": KnownOptimumShop,
        "toy": ToyShop,
    },
    presets={
        "unreliable": {"mtbf": 900.0, "mttr": 100.0, "noise": 0.2},
        "flexible": {"flexibility": 3},
        "large": {
            "num_jobs": 1500,
            "num_machines": 10,
            "warm_up": 300,
            "cool_down": 200,
            "high": 49,
            "tightness": 6.0,
        },
        "queue": {
            "num_machines": 1,
            "min_operations": 1,
            "law": "exponential",
            "low": 1,
            "high": 99,
            "objective": "flow_time",
            "num_jobs": 1000,
            "warm_up": 200,
            "cool_down": 0,
        },
    },
)
generator_names = _CATALOGUE.names
make_generator = _CATALOGUE.make
