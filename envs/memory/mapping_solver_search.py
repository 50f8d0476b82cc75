"""Searches over orders of tensors, and a beam over the actions of the game."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.policy import Solution
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.mapping_climb import best_order, climb_order, first_of_place
from makespan.envs.memory.mapping_decoder import ORDERS, PriorityDecoder
from makespan.envs.memory.mapping_engine import MappingEngine, MappingRules
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_solver import PortfolioSolver, check_time_limit, solution_of

Permutation = NDArray[np.int64]

_BATCH: Final = 500  # orders between two looks at the clock


class _Search:
    """The best order so far, and what is left of time and evaluations."""

    def __init__(self, instance: MappingInstance, time_limit_s: float, evaluations: int | None) -> None:
        check_time_limit(time_limit_s)
        self.instance = instance
        self.deadline = time.monotonic() + time_limit_s
        self.decoder = PriorityDecoder(instance)
        self.left = evaluations
        self.best_order = np.arange(instance.num_tensors)
        self.best = self.decoder.decode(self.best_order)

    def evaluate(self, order: Permutation) -> int:
        """Latency of an order."""
        latency = self.decoder.decode(order)
        if latency < self.best:
            self.best, self.best_order = latency, order.copy()
        return latency

    def rounds(self) -> Iterator[float]:
        """The share of time or evaluations that is used up, until there is nothing left or nothing to gain."""
        began, used = time.monotonic(), 0
        while self.best > self.instance.lower_bound:
            now = time.monotonic()
            share = (now - began) / max(1e-9, self.deadline - began)
            if self.left is not None:
                share = max(share, used / max(1, self.left))
            if share >= 1.0:
                return
            yield share
            used += 1

    def solution(self) -> Solution:
        """The best mapping."""
        return solution_of(self.instance, self.decoder.schedule(self.best_order))


def _start(search: _Search) -> Permutation:
    """The best of the simple orders."""
    orders = [order(search.instance) for order in ORDERS.values()]
    return orders[int(np.argmin([search.evaluate(order) for order in orders]))].copy()


def _move(order: Permutation, rng: np.random.Generator) -> Permutation:
    """Put one tensor to another place; earlier ones matter more, so both places lean towards the front."""
    n = order.size
    source, target = (int(n * rng.random() ** 2) for _ in range(2))
    if rng.random() < 0.5:
        changed = order.copy()
        changed[source], changed[target] = order[target], order[source]
        return changed
    return np.insert(np.delete(order, source), target, order[source])


def climb(
    order: Permutation, evaluate: Callable[[Permutation], int], evaluations: int, rng: np.random.Generator
) -> Permutation:
    """Move one tensor at a time, keeping only what is better, so many times: an order without moves that do not matter."""
    latency = evaluate(order)
    for _ in range(evaluations):
        changed = _move(order, rng)
        changed_latency = evaluate(changed)
        if changed_latency < latency:
            order, latency = changed, changed_latency
    return order


@dataclass(frozen=True)
class RandomRestartSolver:
    """The best of uniformly random orders.

    Attributes:
        evaluations: Most orders tried; None for as many as the time allows.
    """

    evaluations: int | None = None

    def solve(self, instance: MappingInstance, time_limit_s: float = 10.0, seed: int = 0) -> Solution:
        """The best mapping found in the time."""
        search, rng = _Search(instance, time_limit_s, self.evaluations), np.random.default_rng(seed)
        for _ in search.rounds():
            search.evaluate(rng.permutation(instance.num_tensors))
        return search.solution()


@dataclass(frozen=True)
class HillClimbSolver:
    """Moves one tensor at a time from the best simple order, keeping what is not worse.

    Attributes:
        evaluations: Most orders tried; None for as many as the time allows.
    """

    evaluations: int | None = None

    def solve(self, instance: MappingInstance, time_limit_s: float = 10.0, seed: int = 0) -> Solution:
        """The best mapping found in the time."""
        check_time_limit(time_limit_s)
        deadline, rng = time.monotonic() + time_limit_s, np.random.default_rng(seed)
        decoder = PriorityDecoder(instance)
        deciding = first_of_place(instance)
        simple = (rank(instance) for rank in ORDERS.values())
        order = best_order(decoder, [one[deciding[one]] for one in simple])
        left = math.inf if self.evaluations is None else self.evaluations
        while left > 0 and decoder.decode(order) > instance.lower_bound and time.monotonic() < deadline:
            count = int(min(left, _BATCH))
            order, left = climb_order(decoder, order, count, rng), left - count
        return solution_of(instance, decoder.schedule(order))


@dataclass(frozen=True)
class AnnealingSolver:
    """Simulated annealing over orders (Kirkpatrick, Gelatt & Vecchi 1983), geometric cooling over the time given.

    Attributes:
        hot: First temperature as a share of the starting latency.
        cold: Last temperature as such a share.
        evaluations: Most orders tried; None for as many as the time allows.
    """

    hot: float = 3e-3
    cold: float = 3e-5
    evaluations: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.cold <= self.hot:
            raise ValueError(f"cold, hot: {self.cold}, {self.hot}; expected 0 < cold <= hot")

    def solve(self, instance: MappingInstance, time_limit_s: float = 10.0, seed: int = 0) -> Solution:
        """The best mapping found in the time."""
        search, rng = _Search(instance, time_limit_s, self.evaluations), np.random.default_rng(seed)
        order = _start(search)
        latency = search.evaluate(order)
        scale = float(latency)
        for share in search.rounds():
            temperature = scale * self.hot * (self.cold / self.hot) ** share
            changed = _move(order, rng)
            changed_latency = search.evaluate(changed)
            worse = changed_latency - latency
            if worse <= 0 or rng.random() < np.exp(-worse / temperature):
                order, latency = changed, changed_latency
        return search.solution()


@dataclass(frozen=True)
class GeneticSolver:
    """A genetic algorithm over orders: tournaments of two, order crossover (Davis 1985), moves as mutations.

    Attributes:
        population: Orders kept.
        mutations: Mean number of moves on a child.
        evaluations: Most orders tried; None for as many as the time allows.
    """

    population: int = 32
    mutations: float = 2.0
    evaluations: int | None = None

    def __post_init__(self) -> None:
        if self.population < 2:
            raise ValueError(f"population: {self.population}; expected at least 2")

    def solve(self, instance: MappingInstance, time_limit_s: float = 10.0, seed: int = 0) -> Solution:
        """The best mapping found in the time."""
        search, rng = _Search(instance, time_limit_s, self.evaluations), np.random.default_rng(seed)
        people = [order(instance) for order in ORDERS.values()][: self.population]
        while len(people) < self.population:
            people.append(_move(people[int(rng.integers(len(ORDERS)))], rng))
        fitness = [search.evaluate(order) for order in people]
        for _ in search.rounds():
            child = _crossover(_tournament(people, fitness, rng), _tournament(people, fitness, rng), rng)
            for _ in range(rng.poisson(self.mutations)):
                child = _move(child, rng)
            latency, worst = search.evaluate(child), int(np.argmax(fitness))
            if latency <= fitness[worst]:
                people[worst], fitness[worst] = child, latency
        return search.solution()


def _tournament(people: list[Permutation], fitness: list[int], rng: np.random.Generator) -> Permutation:
    one, other = rng.integers(len(people), size=2).tolist()
    return people[one if fitness[one] <= fitness[other] else other]


def _crossover(one: Permutation, other: Permutation, rng: np.random.Generator) -> Permutation:
    """A slice of one parent in its place, the rest in the other's order."""
    low, high = np.sort(rng.integers(one.size + 1, size=2)).tolist()
    inside = np.zeros(one.size, np.bool_)
    inside[one[low:high]] = True
    rest = other[~inside[other]]
    return np.concatenate([rest[:low], one[low:high], rest[low:]])


@dataclass(frozen=True)
class BeamSolver:
    """Beam search over the game's actions: of all that follow from the states kept, the shortest latencies are kept.

    Savings that come early mislead it; the answer is the better of beam and portfolio.

    Attributes:
        width: States kept.
        rules: The rules of the game.
    """

    width: int = 16
    rules: MappingRules = field(default_factory=lambda: MappingRules(skip_forced=False))

    def solve(self, instance: MappingInstance, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The best mapping found; when time runs out the beam narrows to its best state."""
        check_time_limit(time_limit_s)
        deadline = time.monotonic() + time_limit_s
        other = PortfolioSolver().solve(instance)
        found = self._search(instance, deadline)
        mine = solution_of(instance, found)
        return mine if mine.objective < other.objective else other

    def _search(self, instance: MappingInstance, deadline: float) -> Schedule:
        engine = MappingEngine(
            self.width * 4,
            num_ops=instance.num_ops,
            num_accesses=instance.num_accesses,
            num_tensors=instance.num_tensors,
            num_regions=instance.num_regions,
            rules=self.rules,
        )
        engine.load(0, instance)
        alive, width = 1, self.width
        for _ in range(instance.num_accesses):
            mask = engine.observation["action_mask"][:alive] > 0
            parent, action = np.nonzero(mask)
            target = self.width + np.arange(parent.size)
            engine.copy_slots(parent, target)
            actions = np.full(self.width * 4, -1, np.int64)
            actions[target] = action
            engine.step(actions)
            # of equal latencies, the state that leaves more room: Drop before Keep before Copy
            latency = np.array([engine.objective(int(slot)) for slot in target])
            order = np.lexsort((action, latency))[:width]
            engine.copy_slots(target[order], np.arange(order.size))
            alive = order.size
            if time.monotonic() > deadline:
                width = 1
        return engine.schedule(0)
