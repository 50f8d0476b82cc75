"""Best of many noisy dispatching runs of one world: what hindsight is worth to a dispatcher."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from makespan.envs.core.policy import RulePolicy, Solution, get_rule
from makespan.envs.core.schedule import Schedule
from makespan.envs.dynamic_shop import rules as rules  # registers the rules
from makespan.envs.dynamic_shop.engine import DynamicShopEngine
from makespan.envs.dynamic_shop.generator import DynamicSize
from makespan.envs.dynamic_shop.instance import DynamicShopInstance
from makespan.envs.dynamic_shop.validator import lower_bound, validate

_RUNS = 32  # runs side by side


def dispatch(
    instance: DynamicShopInstance,
    rule: str = "atc_tuned",
    *,
    noise: float = 0.0,
    runs: int = 1,
    seed: int = 0,
) -> tuple[Schedule, float]:
    """The best schedule of some runs of a rule, machines never waiting, and its objective.

    Args:
        instance: The shop.
        rule: Name of a rule of the family.
        noise: Sigma of the log-normal noise on the priorities.
        runs: Number of runs, side by side.
        seed: Seed of the noise.
    """
    engine = DynamicShopEngine(
        runs, DynamicSize.of(instance), ask="shop" if instance.max_alternatives > 1 else "machine"
    )
    for slot in range(runs):
        engine.load(slot, instance)
    policy = RulePolicy(get_rule("dynamic_shop", rule), engine.schema, noise=noise, seed=seed)
    while not engine.outcome.terminated.all():
        actions = policy.act(engine.observation)
        engine.step(np.where(engine.outcome.terminated, -1, actions))
    best = min(range(runs), key=engine.objective)
    return engine.schedule(best), engine.objective(best)


@dataclass(frozen=True)
class RandomisedDispatchSolver:
    """A rule with log-normal noise on its priorities, over and over until the time is up; the first run has none.

    Arrivals, realised durations and breakdowns are the instance's own: choosing among the runs is hindsight that no
    dispatcher has, and no bound on what is possible.

    Attributes:
        rule: Name of the rule.
        noise: Sigma of the noise.
    """

    rule: str = "atc_tuned"
    noise: float = 0.2

    def solve(self, instance: DynamicShopInstance, time_limit_s: float = 1.0, seed: int = 0) -> Solution:
        """The best schedule found in the time; its bound is the quick one.

        Args:
            instance: The shop.
            time_limit_s: Wall-clock seconds.
            seed: Seed of the noise.
        """
        if not time_limit_s > 0:
            raise ValueError(f"time_limit_s: {time_limit_s}; expected seconds > 0")
        began, batch = time.monotonic(), 0
        bound = lower_bound(instance)
        best, value = dispatch(instance, self.rule)
        while value > bound and time.monotonic() - began < time_limit_s:
            entropy = int(np.random.SeedSequence((seed, batch)).generate_state(1)[0])
            found, cost = dispatch(instance, self.rule, noise=self.noise, runs=_RUNS, seed=entropy)
            if cost < value:
                best, value = found, cost
            batch += 1
        objective = validate(instance, best)
        return Solution(best, objective, bound, "optimal" if objective == bound else "feasible")
