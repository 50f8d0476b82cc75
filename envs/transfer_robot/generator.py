"""Seeded distributions over transfer cells: cells along a rail, a cell of known optimum, and one solved by hand."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from makespan.envs.core.generators import Catalogue, Fixed
from makespan.envs.jobshop.generator_base import check_ranges
from makespan.envs.transfer_robot.instance import NO_LIMIT, TransferCell

TOY_OPTIMUM: Final = {1: 46, 2: 34}
"""Optimal makespan of the toy cell with one hand and with two, by hand."""


class CellSize(NamedTuple):
    """Maxima over a set of cells: what environments are sized by."""

    num_glasses: int
    num_chambers: int
    num_stages: int
    num_robots: int
    max_hands: int

    @classmethod
    def of(cls, *cells: TransferCell) -> CellSize:
        """The smallest size that fits all cells."""
        return cls(*(max(getattr(cell, key) for cell in cells) for key in cls._fields))


@runtime_checkable
class Generator(Protocol):
    """A distribution over transfer cells."""

    @property
    def size(self) -> CellSize:
        """Maxima over everything `sample` may return."""
        ...

    def sample(self, rng: np.random.Generator) -> TransferCell:
        """Draw a cell; equal states of `rng` give equal cells."""
        ...


@dataclass(frozen=True, kw_only=True)
class RailCell:
    """Stations along a rail, ports at its ends, chambers shared out among the stages at random.

    Process times are set by what the robots can do. The pace is 2 sum(hops) / hands in all, the time for a glass of hands that
    come back empty from each hop; the slowest stage hands over a glass every `balance` paces, so that below 1 the robots tend
    to be the bottleneck and above 1 the chambers.

    Attributes:
        num_glasses: Glasses of the lot.
        num_stages: Process stages.
        num_chambers: Chambers of all stages; at least one each.
        num_robots: 1 or 2.
        num_hands: Hands of each robot, 1 or 2.
        num_recipes: Recipes, of which each glass has a random one.
        shuffled: Put the chambers along the rail in random order instead of the order of the flow.
        step: A robot's time from one slot of the rail to the next; starting and stopping takes one step more.
        handling_low: Shortest time to load or unload at a station.
        handling_high: Longest.
        balance_low: Smallest `balance`.
        balance_high: Largest.
        limited: Share of the stages with a residency limit.
        limit_factor: The limit relative to the pace.
        penalty_factor: Penalty of a violation relative to the pace.
        noise: Mean delay of a process (exponential) relative to its time.
        interarrival_factor: Mean time between arrivals (exponential) relative to the pace; 0 has all glasses there at time 0.
    """

    num_glasses: int = 24
    num_stages: int = 3
    num_chambers: int = 6
    num_robots: int = 1
    num_hands: int = 1
    num_recipes: int = 1
    shuffled: bool = False
    step: int = 2
    handling_low: int = 2
    handling_high: int = 5
    balance_low: float = 0.6
    balance_high: float = 1.6
    limited: float = 0.0
    limit_factor: float = 0.5
    penalty_factor: float = 1.0
    noise: float = 0.0
    interarrival_factor: float = 0.0

    def __post_init__(self) -> None:
        many = 2**15
        check_ranges(self, num_glasses=(1, many), num_stages=(1, many), num_chambers=(self.num_stages, many))
        check_ranges(self, num_robots=(1, 2), num_hands=(1, 2), num_recipes=(1, many), step=(1, many))
        check_ranges(self, handling_low=(1, self.handling_high), handling_high=(1, many), limited=(0.0, 1.0))
        check_ranges(self, balance_low=(0.0, self.balance_high), balance_high=(0.0, 100.0), noise=(0.0, 10.0))
        check_ranges(
            self, limit_factor=(0.0, 100.0), penalty_factor=(0.0, 100.0), interarrival_factor=(0.0, 100.0)
        )

    @property
    def size(self) -> CellSize:
        """Size of every draw."""
        return CellSize(self.num_glasses, self.num_chambers, self.num_stages, self.num_robots, self.num_hands)

    def sample(self, rng: np.random.Generator) -> TransferCell:
        """Draw a cell. What is hidden (delays) has a stream of its own, so that the cells stay the same without it."""
        seeds = np.random.SeedSequence(int(rng.integers(2**63))).spawn(2)
        layout, hidden = (np.random.default_rng(seed) for seed in seeds)
        cuts = np.sort(layout.choice(self.num_chambers - 1, self.num_stages - 1, replace=False)) + 1
        chambers = np.diff(np.concatenate([[0], cuts, [self.num_chambers]]))
        slot = np.arange(self.num_chambers + 2)
        if self.shuffled:
            slot[1:-1] = layout.permutation(slot[1:-1])
        travel = self.step * (np.abs(slot[:, None] - slot) + 1)
        np.fill_diagonal(travel, 0)
        handling = layout.integers(self.handling_low, self.handling_high + 1, (2, slot.size))
        pace = self._pace(chambers, travel, *handling)
        slowest = pace * layout.uniform(self.balance_low, self.balance_high)
        weight = layout.uniform(0.5, 1.0, self.num_stages)
        base = slowest * chambers * weight / weight.max()
        spread = (
            layout.uniform(0.7, 1.3, (self.num_recipes, self.num_stages)) if self.num_recipes > 1 else 1.0
        )
        process = np.maximum(1, np.rint(base * spread)).astype(np.int64).reshape(-1, self.num_stages)
        recipe = layout.integers(self.num_recipes, size=self.num_glasses)
        is_limited = layout.random(self.num_stages) < self.limited
        limit = np.where(is_limited, int(np.rint(self.limit_factor * pace)), NO_LIMIT)
        arrivals = np.cumsum(layout.exponential(self.interarrival_factor * pace, self.num_glasses))
        delay = hidden.exponential(1.0, (self.num_glasses, self.num_stages)) * self.noise * process[recipe]
        return TransferCell.of(
            process=process,
            recipe=recipe,
            chambers=chambers,
            travel=travel,
            load_time=handling[0],
            unload_time=handling[1],
            hands=np.full(self.num_robots, self.num_hands),
            limit=np.broadcast_to(limit, process.shape),
            release=arrivals.astype(np.int64),
            delay=delay.astype(np.int64),
            penalty=int(np.rint(self.penalty_factor * pace)),
            name="rail",
        )

    def _pace(self, chambers: Any, travel: Any, load: Any, unload: Any) -> float:
        """Time that the hands need for a glass if they come back empty, time units."""
        ends = np.concatenate([[0], np.cumsum(chambers), [self.num_chambers + 1]])
        stages = [np.array([0]), *(np.arange(a + 1, b + 1) for a, b in itertools.pairwise(ends[:-1]))]
        stages.append(np.array([self.num_chambers + 1]))
        hop = sum(
            (unload[one][:, None] + travel[np.ix_(one, other)] + load[other]).mean()
            for one, other in itertools.pairwise(stages)
        )
        return 2.0 * float(hop) / (self.num_robots * self.num_hands)


@dataclass(frozen=True)
class OneChamberCell:
    """Cells of known optimum: one chamber and a robot with one hand, who has no choice.

    Each glass is fetched, processed and taken out before the robot comes back for the next one.

    Attributes:
        num_glasses: Glasses of the lot.
        low: Shortest process and way in time units; loading and unloading take 1 at least.
        high: Longest.
    """

    num_glasses: int = 5
    low: int = 1
    high: int = 20

    def __post_init__(self) -> None:
        check_ranges(self, num_glasses=(1, 2**15), low=(0, self.high), high=(1, 2**10))

    @property
    def size(self) -> CellSize:
        """Size of every draw."""
        return CellSize(self.num_glasses, 1, 1, 1, 1)

    def optimum(self, cell: TransferCell) -> int:
        """Optimal makespan of a draw, in time units."""
        load, unload, travel = cell.load_time, cell.unload_time, cell.travel
        once = unload[0] + travel[0, 1] + load[1] + cell.process[0, 0] + unload[1] + travel[1, 2] + load[2]
        return int(cell.num_glasses * once + (cell.num_glasses - 1) * travel[2, 0])

    def sample(self, rng: np.random.Generator) -> TransferCell:
        """Three stations on a line, in any order."""
        low, high = self.low, self.high + 1
        place = rng.integers(0, high, 3)
        handling = np.maximum(1, rng.integers(low, high, (2, 3)))
        process = rng.integers(low, high, (1, 1))
        recipe = np.zeros(self.num_glasses)
        travel = np.abs(place[:, None] - place)
        return TransferCell.of(
            process=process,
            recipe=recipe,
            chambers=[1],
            travel=travel,
            load_time=handling[0],
            unload_time=handling[1],
            hands=[1],
            name="one_chamber",
        )


@dataclass(frozen=True)
class ToyCell:
    """Two glasses, one chamber: process 10, unloading 2, loading 1; port in to chamber 2, chamber to port out 3, port to port 4.

    By hand: with one hand a glass takes 2 + 2 + 1 to come in, 10, and 2 + 3 + 1 to go out; the robot then needs 4 back to the
    port: 21 + 4 + 21 = 46. With two hands it fetches the second glass meanwhile and is back at 11; at 15 it takes the first
    out (17), puts the second in (18) and takes that out from 28 on: 28 + 2 + 3 + 1 = 34.

    Attributes:
        num_hands: Hands of the robot.
    """

    num_hands: int = 1

    def __post_init__(self) -> None:
        check_ranges(self, num_hands=(1, 2))

    @property
    def size(self) -> CellSize:
        """Size of the toy."""
        return CellSize(2, 1, 1, 1, self.num_hands)

    def optimum(self) -> int:
        """Optimal makespan in time units."""
        return TOY_OPTIMUM[self.num_hands]

    def sample(self, rng: np.random.Generator | None = None) -> TransferCell:
        """The toy, always the same."""
        return TransferCell.of(
            process=[[10]],
            recipe=[0, 0],
            chambers=[1],
            travel=[[0, 2, 4], [2, 0, 3], [4, 3, 0]],
            load_time=[1, 1, 1],
            unload_time=[2, 2, 2],
            hands=[self.num_hands],
            name="toy",
        )


class FixedCells(Fixed[TransferCell]):
    """Given cells."""

    @cached_property
    def size(self) -> CellSize:
        """Maxima over them."""
        return CellSize.of(*self.instances)


_CATALOGUE: Catalogue[Generator] = Catalogue(
    {
        "single_arm": RailCell,
        "dual_arm": RailCell,
        "two_robots": RailCell,
        "two_dual_arms": RailCell,
        "residency": RailCell,
        "one_chamber": OneChamberCell,
        "toy": ToyCell,
    },
    presets={
        "dual_arm": {"num_hands": 2},
        "two_robots": {"num_robots": 2},
        "two_dual_arms": {"num_robots": 2, "num_hands": 2, "num_chambers": 8},
        "residency": {"num_hands": 2, "limited": 0.7, "noise": 0.1, "num_recipes": 2},
    },
)
generator_names = _CATALOGUE.names
make_generator = _CATALOGUE.make
