"""Best of many noisy dispatching runs, through the simulator: a metaheuristic that takes every kind of blocking shop."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from makespan.envs.blocking import rules as rules  # registers the rules
from makespan.envs.blocking.engine import BlockingShopEngine
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.blocking.validator import lower_bound, validate
from makespan.envs.core.policy import RulePolicy, Solution, get_rule
from makespan.envs.core.schedule import Schedule

_RUNS = 64  # runs side by side


def dispatch(
    instance: BlockingShopInstance,
    rule: str = "blocked_spt_twkr",
    *,
    noise: float = 0.0,
    runs: int = 1,
    seed: int = 0,
) -> Schedule:
    """The best schedule of some runs of a rule, machines never waiting.

    Args:
        instance: The shop.
        rule: Name of a rule of the family.
        noise: Sigma of the log-normal noise on the priorities.
        runs: Number of runs, side by side.
        seed: Seed of the noise.
    """
    engine = BlockingShopEngine(
        runs,
        num_jobs=instance.num_jobs,
        num_operations=instance.num_operations,
        num_machines=instance.num_machines,
        admission="greedy",
        skip_forced=True,
    )
    for slot in range(runs):
        engine.load(slot, instance)
    policy = RulePolicy(get_rule("blocking", rule), engine.schema, noise=noise, seed=seed)
    while not engine.outcome.terminated.all():
        actions = policy.act(engine.observation)
        engine.step(np.where(engine.outcome.terminated, -1, actions))
    best = min(range(runs), key=engine.objective)
    return engine.schedule(best)


@dataclass(frozen=True)
class RandomisedDispatchSolver:
    """A rule with log-normal noise on its priorities, over and over until the time is up; the first run has none.

    Downtime is the instance's own, so choosing among the runs knows the future, as every solver here does.

    Attributes:
        rule: Name of the rule.
        noise: Sigma of the noise.
    """

    rule: str = "blocked_spt_twkr"
    noise: float = 0.3

    def solve(self, instance: BlockingShopInstance, time_limit_s: float = 1.0, seed: int = 0) -> Solution:
        """The best schedule found in the time; its bound is the quick one.

        Args:
            instance: The shop.
            time_limit_s: Wall-clock seconds.
            seed: Seed of the noise.
        """
        if not time_limit_s > 0:
            raise ValueError(f"time_limit_s: {time_limit_s}; expected seconds > 0")
        began = time.monotonic()
        bound = lower_bound(instance)
        best = dispatch(instance, self.rule)
        makespan, batch = validate(instance, best), 0
        while makespan > bound and time.monotonic() - began < time_limit_s:
            entropy = int(np.random.SeedSequence((seed, batch)).generate_state(1)[0])
            found = dispatch(instance, self.rule, noise=self.noise, runs=_RUNS, seed=entropy)
            if int(found.end[: instance.num_operations].max()) < makespan:
                best, makespan = found, validate(instance, found)
            batch += 1
        return Solution(best, makespan, bound, "optimal" if makespan == bound else "feasible")
