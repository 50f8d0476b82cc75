"""How long a day takes the genetic algorithm, and how long the agent that ships.

python benchmarks/fleet_genetic.py [--preset base] [--days N] [--sample N] [--json FILE]

CPU seconds of one process. The genetic algorithm plays its days in the compiled simulator. In plain Python, as published
ones do, a sample of its first generation is played and the time multiplied by the number of days it plays; a profit
that differs from the compiled one is an error.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from fleet_mlp_ppo import ENV_ID

from makespan.agents.bench import commit_of_checkout
from makespan.agents.bench_fleet import plain_twin
from makespan.agents.policy import load_policy
from makespan.agents.results import json_lines
from makespan.agents.trials import roll_out
from makespan.envs.core.files import write_atomically
from makespan.envs.fleet.benchmark import NUM_DAYS, load_instance
from makespan.envs.fleet.engine import FleetEngine
from makespan.envs.fleet.generator_base import FleetSize
from makespan.envs.fleet.genetic import GeneticSolver, play_genomes
from makespan.envs.fleet.gymnasium_env import UAMFleetVectorEnv
from makespan.envs.fleet.instance import FleetDay

COMPILED, PLAIN = "genetic algorithm", "genetic algorithm, days played in plain Python"


def genetic_seconds(day: FleetDay, sample: int) -> dict[str, float]:
    """Seconds of the genetic algorithm for a day, compiled, and what its days would take in plain Python."""
    solver = GeneticSolver()
    began = time.process_time()
    run = solver.run(day)
    compiled = time.process_time() - began
    rng = np.random.default_rng(0)
    shape = (sample, day.num_aircraft, 2 * day.delay_noise.shape[1])
    genomes = rng.integers(day.num_vertiports, size=shape).astype(np.int16)
    engine, profits = FleetEngine(1, FleetSize.of(day)), np.zeros(sample, np.int64)
    engine.write(0, day)
    play_genomes(engine.fleet, day.start, genomes, profits)
    twin, wishes = plain_twin(), genomes.tolist()
    began = time.process_time()
    played = [play_plain(twin, day, genome) for genome in wishes]
    plain = (time.process_time() - began) / sample
    if played != profits.tolist():
        raise AssertionError(f"{day.name}: profits {played} in plain Python, {profits.tolist()} compiled")
    return {COMPILED: compiled, PLAIN: plain * run.evaluations}


def play_plain(twin: ModuleType, day: FleetDay, genome: list[list[int]]) -> int:
    """Profit in cents of a genome's day: an aircraft goes where the gene of its row says, or stays where that is not allowed."""
    decisions = [0] * day.num_aircraft
    repairs = np.pad(
        np.cumsum(day.downtime > 0, axis=1), ((0, 0), (1, 0))
    ).tolist()  # by landings; genes count them too

    def choose(fleet: Any, allowed: list[int]) -> int:
        k = fleet.decider
        row = decisions[k] + repairs[k][fleet.landings[k]]
        decisions[k] += 1
        wish = genome[k][min(row, len(genome[k]) - 1)]
        return wish if wish in allowed else int(fleet.heading[k])

    return int(twin.play_plain(day, choose).profit)


def agent_seconds(days: list[FleetDay]) -> float:
    """Seconds a day of the agent that ships, all days played at once."""
    envs = UAMFleetVectorEnv(len(days), instances=days, autoreset_mode="Disabled", copy=False)
    policy = load_policy("pretrained", ENV_ID).build(envs.schema, greedy=True, seed=0)
    policy.act(envs.reset(seed=0)[0])  # loads what is compiled
    began = time.process_time()
    roll_out(envs, policy, days)
    return (time.process_time() - began) / len(days)


def main() -> None:
    """Time everybody on the first evaluation days of a preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="base")
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    days = [load_instance(f"{arguments.preset}-eval-{day:03d}") for day in range(NUM_DAYS)]
    GeneticSolver(population=4, generations=1).run(days[0])  # loads what is compiled
    together = f"agent that ships, among {NUM_DAYS} days"
    rows: list[dict[str, Any]] = []
    for day in days[: arguments.days]:
        seconds = genetic_seconds(day, arguments.sample) | {
            "agent that ships, one day alone": agent_seconds([day]),
            together: agent_seconds(days),
        }
        rows += [{"instance": day.name, "what": what, "seconds": taken} for what, taken in seconds.items()]
        print(day.name, {what: round(taken, 3) for what, taken in seconds.items()}, flush=True)
    if arguments.json:
        meta = {
            "evaluations": GeneticSolver().population * GeneticSolver().generations,
            "sample": arguments.sample,
            "command": " ".join(["python", *sys.argv]),
            "commit": commit_of_checkout(),
            "machine": {"cpu_count": os.cpu_count()},
        }
        write_atomically(arguments.json, json_lines({"rows": rows, "meta": meta}) + "\n")


if __name__ == "__main__":
    main()
