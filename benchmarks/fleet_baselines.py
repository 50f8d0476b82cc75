"""Rules, planners and the bound on the fixed evaluation days: mean daily profit in USD with its standard deviation.

python benchmarks/fleet_baselines.py [--presets tiny base] [--days 20] [--planners] [--bound] [--genetic] [--csv FILE]
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from makespan.envs.core.policy import PlanningPolicy, Policy, policies_of, rule_policy, rules_of
from makespan.envs.fleet.benchmark import load_instance
from makespan.envs.fleet.bound import upper_bound
from makespan.envs.fleet.family import FLEET
from makespan.envs.fleet.genetic import GeneticSolver
from makespan.envs.fleet.gymnasium_env import UAMFleetVectorEnv
from makespan.envs.fleet.instance import FleetDay


def play(days: list[FleetDay], policy: Policy) -> tuple[list[float], float]:
    """Profit of each day in USD, checked by the validator, and seconds a day."""
    envs = UAMFleetVectorEnv(len(days), instances=days, autoreset_mode="Disabled", copy=False)
    observation, _ = envs.reset(seed=0)
    if isinstance(policy, PlanningPolicy):
        policy.begin(days, np.arange(len(days)))
    began, done = time.process_time(), np.zeros(len(days), bool)
    while not done.all():
        observation, _, done, _, _ = envs.step(policy.act(observation))
    seconds = (time.process_time() - began) / len(days)
    profits = [envs.objective(slot) for slot in range(len(days))]
    for slot, day in enumerate(days):
        assert FLEET.validate(day, envs.schedule(slot)) == profits[slot]
    return profits, seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=["tiny", "base", "busy", "rich", "legacy22", "large"])
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--planners", action="store_true")
    parser.add_argument("--bound", action="store_true")
    parser.add_argument("--genetic", action="store_true")
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    rows: list[tuple[str, str, str, float, float]] = []
    for preset in arguments.presets:
        days = [load_instance(f"{preset}-eval-{day:03d}") for day in range(arguments.days)]
        schema = UAMFleetVectorEnv(1, instances=days[:1]).schema
        contenders: dict[str, Policy] = {
            name: rule_policy("fleet", name, schema) for name in ("random", *rules_of("fleet"))
        }
        if arguments.planners:
            contenders |= {name: entry.load(schema) for name, entry in policies_of("fleet").items()}
        results = {name: play(days, policy) for name, policy in contenders.items()}
        if arguments.genetic:
            runs = [GeneticSolver().run(day) for day in days]
            results["genetic"] = [run.profit / 100 for run in runs], float(np.mean([r.seconds for r in runs]))
        bounds = [upper_bound(day) for day in days] if arguments.bound else []
        for name, (profits, seconds) in results.items():
            assert all(profit <= bound for profit, bound in zip(profits, bounds, strict=False)), name
            mean, spread = np.mean(profits), np.std(profits, ddof=1)
            print(
                f"{preset:9} {name:24} {mean:10,.0f} (sd {spread:6,.0f})  {seconds:8.3f} s a day", flush=True
            )
            rows += [(preset, name, day.name, p, seconds) for day, p in zip(days, profits, strict=True)]
        if bounds:
            print(f"{preset:9} {'upper bound':24} {np.mean(bounds):10,.0f}", flush=True)
            rows += [(preset, "upper_bound", day.name, b, 0.0) for day, b in zip(days, bounds, strict=True)]
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("preset", "policy", "day", "usd", "seconds"))
            writer.writerows(rows)


if __name__ == "__main__":
    main()
