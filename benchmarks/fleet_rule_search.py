"""The weights of the fleet's rule `tuned_priority`: a search by CMA-ES on training days.

python benchmarks/fleet_rule_search.py [--generations 60] [--seed 0]

The fitness is the mean over tiny, base, busy and rich of the profit relative to that of `lookahead`, on the first training
days of each; the printed tests are on other training days, and on `large`, which the search never plays. The shipped weights come
from 60 generations on base alone, begun at `lookahead`, and 45 more on all four.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView, Observation
from makespan.envs.core.policy import rule_policy
from makespan.envs.fleet.benchmark import load_instance
from makespan.envs.fleet.gymnasium_env import UAMFleetVectorEnv
from makespan.envs.fleet.rules import TUNED_WEIGHTS, linear_priority

F64 = NDArray[np.float64]

TRAINING = {"tiny": 16, "base": 6, "busy": 6, "rich": 4}
TESTS = {"tiny": 100, "base": 30, "busy": 30, "rich": 20, "large": 6}
CHILDREN = 12
SIGMA = 0.08


class Days:
    """Days of a preset, and what `lookahead` earns on them."""

    def __init__(self, preset: str, first: int, count: int) -> None:
        self.preset = preset
        self.days = [load_instance(f"{preset}-train-{first + day:04d}") for day in range(count)]
        self.envs = UAMFleetVectorEnv(count, instances=self.days, copy=False, autoreset_mode="Disabled")
        lookahead = rule_policy("fleet", "lookahead", self.envs.schema)
        self.reference = self._play(lookahead.act)

    def _play(self, act: Callable[[Observation], NDArray[np.int64]]) -> float:
        observation, _ = self.envs.reset(options={"instances": self.days})
        done = np.zeros(len(self.days), bool)
        while not done.all():
            observation, _, done, _, _ = self.envs.step(act(observation))
        return float(np.mean([self.envs.objective(slot) for slot in range(len(self.days))]))

    def relative(self, weights: F64) -> float:
        """Mean profit of the weights over that of `lookahead`."""
        named = dict(zip(TUNED_WEIGHTS, weights.tolist(), strict=True))

        def act(observation: Observation) -> NDArray[np.int64]:
            view = CandidateView(self.envs.schema, observation)
            return np.where(view.mask, linear_priority(view, named), np.inf).argmin(axis=1)

        return self._play(act) / self.reference


class Evolution:
    """CMA-ES with rank-one and rank-mu updates (Hansen & Ostermeier 2001; constants of Hansen 2016), maximising."""

    def __init__(self, mean: F64, sigma: float, children: int, rng: np.random.Generator) -> None:
        n = mean.size
        self.mean, self.sigma, self.rng = mean.copy(), sigma, rng
        share = np.log(children // 2 + 0.5) - np.log(np.arange(1, children // 2 + 1))
        self.share = share / share.sum()
        self.children, self.covariance = children, np.eye(n)
        mass = 1.0 / (self.share**2).sum()
        self.mass, self.path, self.step_path, self.generation = mass, np.zeros(n), np.zeros(n), 0
        self.c_path = (4 + mass / n) / (n + 4 + 2 * mass / n)
        self.c_step = (mass + 2) / (n + mass + 5)
        self.c_one = 2 / ((n + 1.3) ** 2 + mass)
        self.c_mu = min(1 - self.c_one, 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
        self.damping = 1 + 2 * max(0.0, np.sqrt((mass - 1) / (n + 1)) - 1) + self.c_step
        self.length = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))

    def advance(self, fitness: Callable[[F64], float]) -> float:
        """One generation; returns the best child's fitness."""
        values, axes = np.linalg.eigh(self.covariance)
        spread = np.sqrt(np.maximum(values, 1e-12))
        steps = (self.rng.normal(size=(self.children, spread.size)) * spread) @ axes.T
        found = np.array([fitness(self.mean + self.sigma * step) for step in steps])
        best = steps[np.argsort(-found)[: self.share.size]]
        move = self.share @ best
        self.mean = self.mean + self.sigma * move
        self.generation += 1
        white = axes @ ((axes.T @ move) / spread)
        self.step_path = (1 - self.c_step) * self.step_path
        self.step_path += np.sqrt(self.c_step * (2 - self.c_step) * self.mass) * white
        norm = float(np.linalg.norm(self.step_path))
        fresh = np.sqrt(1 - (1 - self.c_step) ** (2 * self.generation))
        moving = norm / fresh < (1.4 + 2 / (spread.size + 1)) * self.length
        self.path = (1 - self.c_path) * self.path
        self.path += moving * np.sqrt(self.c_path * (2 - self.c_path) * self.mass) * move
        self.covariance = (
            (1 - self.c_one - self.c_mu) * self.covariance
            + self.c_one * np.outer(self.path, self.path)
            + self.c_mu * (best.T * self.share) @ best
        )
        self.sigma *= float(np.exp(self.c_step / self.damping * (norm / self.length - 1)))
        return float(found.max())


def main() -> None:
    """Search, and print the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    training = [Days(preset, 0, count) for preset, count in TRAINING.items()]
    tests = [Days(preset, 1000, count) for preset, count in TESTS.items()]
    start = dict.fromkeys(TUNED_WEIGHTS, 0.0) | {"margin": 1.0, "outlook of a flight": 0.5}  # `lookahead`
    search = Evolution(np.array(list(start.values())), SIGMA, CHILDREN, np.random.default_rng(arguments.seed))
    for generation in range(arguments.generations):
        best = search.advance(lambda weights: float(np.mean([days.relative(weights) for days in training])))
        print(f"{generation:4} best {best:.4f} sigma {search.sigma:.3f}", flush=True)
    for name, weight in zip(TUNED_WEIGHTS, search.mean, strict=True):
        print(f"{name:28} {weight:7.3f}")
    for days in tests:
        print(f"{days.preset:8} {days.relative(search.mean):.3f} x lookahead")


if __name__ == "__main__":
    main()
