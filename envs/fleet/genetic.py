"""An elitist genetic algorithm over a whole day that is known in advance.

The opponent of learned policies in the literature on fleets. It evaluates on the realised day, which no policy sees, and
says how often it did and how long that took. Settings: a population of 100 for 100 generations, mutation 0.1, an elite
of 1 %, crossover 0.5 and parents 30 %, as is usual for the algorithm; whether any paper used just these we could not verify.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowed, borrowing_kernel, kernel
from makespan.envs.core.policy import Solution
from makespan.envs.core.schedule import Schedule
from makespan.envs.fleet.engine import FleetEngine
from makespan.envs.fleet.generator_base import FleetSize
from makespan.envs.fleet.instance import I32, FleetDay
from makespan.envs.fleet.simulator import (
    CHANGED,
    DECIDER,
    FREE_AT,
    LEGS,
    PLACE,
    Fleet,
    advance,
    decide,
    link_passengers,
    may_fly,
    profit,
    replace_event,
    reset_slot,
)

Genomes = NDArray[np.int16]


@borrowing_kernel
def _play(fleet: Fleet, genome: Genomes) -> int:
    k = fleet.clock[0, DECIDER]
    while k >= 0:
        row = fleet.aircraft[0, k]
        j: Any = np.int64(genome[k, min(row[LEGS], genome.shape[1] - 1)])
        if j != row[PLACE] and not may_fly(fleet, 0, k, j):
            j = np.int64(row[PLACE])
        decide(fleet, 0, k, j)
        fleet.clock[0, CHANGED] = 0
        replace_event(fleet, 0, row[FREE_AT], k)
        advance(fleet, 0)
        k = fleet.clock[0, DECIDER]
    return int(profit(fleet, 0))


@kernel
def play_genomes(fleet: Fleet, start: I32, genomes: Genomes, value: NDArray[np.int64]) -> None:
    """Play the day in slot 0 once for each genome.

    Args:
        fleet: Slot 0 holds the day.
        start: (K,) places in the morning.
        genomes: (P, K, L) where each aircraft wants to go at its n-th row; it stays where that is not allowed.
        value: (P,) written: profit in cents.
    """
    fleet = borrowed(fleet)
    for g in range(genomes.shape[0]):
        for k in range(start.size):
            fleet.aircraft[0, k, PLACE] = start[k]
        if g == 0:
            link_passengers(fleet, 0)
        reset_slot(fleet, 0)
        value[g] = _play(fleet, genomes[g])


@dataclass(frozen=True, slots=True)
class GeneticRun:
    """What a run of the algorithm came to.

    Attributes:
        schedule: Of the best genome.
        profit: Of the best genome, cents.
        evaluations: Days played.
        seconds: Wall-clock time.
        history: Best profit after each generation, cents.
    """

    schedule: Schedule
    profit: int
    evaluations: int
    seconds: float
    history: tuple[int, ...]


@dataclass(frozen=True)
class GeneticSolver:
    """The elitist genetic algorithm.

    A gene is the vertiport that an aircraft wants to fly to at its n-th row, decoded through the mask.

    Attributes:
        population: Genomes in a generation.
        generations: Generations, unless the time ends first.
        mutation: Probability that a gene is drawn anew.
        elite: Share of the population that survives as it is, at least one.
        crossover: Probability that a gene comes from the second parent.
        parents: Share of the population that has children, at least two.
        stay: Probability that a gene of the first generation keeps the aircraft where the gene before has sent it.
    """

    population: int = 100
    generations: int = 100
    mutation: float = 0.1
    elite: float = 0.01
    crossover: float = 0.5
    parents: float = 0.3
    stay: float = 0.5

    def __post_init__(self) -> None:
        if self.population < 4 or self.generations < 1:
            raise ValueError(
                f"population, generations: {self.population}, {self.generations}; expected at least 4 and 1"
            )
        for name in ("mutation", "elite", "crossover", "parents", "stay"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: {getattr(self, name)}; expected 0..1")

    def solve(self, instance: FleetDay, time_limit_s: float = 600.0, seed: int = 0) -> Solution:
        """The best day found within the generations or the time, whichever ends first; no bound."""
        run = self.run(instance, time_limit_s, seed)
        return Solution(run.schedule, run.profit / 100.0, None, "feasible")

    def run(self, instance: FleetDay, time_limit_s: float = 600.0, seed: int = 0) -> GeneticRun:
        """As `solve`, with evaluations, seconds and history."""
        if not time_limit_s > 0:
            raise ValueError(f"time_limit_s: {time_limit_s}; expected more than 0")
        began = time.monotonic()
        engine = FleetEngine(1, FleetSize.of(instance), instance.parameters.num_bins)
        engine.write(0, instance)
        rng = np.random.default_rng(seed)
        genomes = self._first(instance, 2 * instance.delay_noise.shape[1], rng)
        value = np.zeros(self.population, np.int64)
        play_genomes(engine.fleet, instance.start, genomes, value)
        evaluations, history = self.population, [int(value.max())]
        elite = max(1, round(self.elite * self.population))
        for _ in range(self.generations):
            if time.monotonic() - began > time_limit_s:
                break
            order = np.argsort(-value, kind="stable")
            genomes, value = genomes[order], value[order]
            children = self._breed(genomes, self.population - elite, instance.num_vertiports, rng)
            fresh = np.zeros(len(children), np.int64)
            play_genomes(engine.fleet, instance.start, children, fresh)
            genomes = np.concatenate([genomes[:elite], children])
            value = np.concatenate([value[:elite], fresh])
            evaluations += len(children)
            history.append(int(value.max()))
        best = genomes[value.argmax()]
        play_genomes(engine.fleet, instance.start, best[None], np.zeros(1, np.int64))
        seconds = time.monotonic() - began
        return GeneticRun(engine.schedule(0), int(value.max()), evaluations, seconds, tuple(history))

    def _first(self, instance: FleetDay, rows: int, rng: np.random.Generator) -> Genomes:
        """Random itineraries: a gene repeats the one before with probability `stay`."""
        shape = (self.population, instance.num_aircraft, rows)
        genomes = rng.integers(instance.num_vertiports, size=shape).astype(np.int16)
        repeats = rng.random(shape) < self.stay
        genomes[:, :, 0] = np.where(repeats[:, :, 0], instance.start, genomes[:, :, 0])
        for row in range(1, rows):
            genomes[:, :, row] = np.where(repeats[:, :, row], genomes[:, :, row - 1], genomes[:, :, row])
        return genomes

    def _breed(self, ranked: Genomes, count: int, num_vertiports: int, rng: np.random.Generator) -> Genomes:
        """Children of the best genomes: uniform crossover, then mutation."""
        pool = max(2, round(self.parents * self.population))
        first, second = rng.integers(pool, size=(2, count))
        shape = (count, *ranked.shape[1:])
        children = np.where(rng.random(shape) < self.crossover, ranked[second], ranked[first])
        mutated = rng.random(shape) < self.mutation
        return np.where(mutated, rng.integers(num_vertiports, size=shape), children).astype(np.int16)
