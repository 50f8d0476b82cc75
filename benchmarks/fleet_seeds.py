"""What the fleet's agent owes to its seed: runs of one config with several seeds, on the evaluation days.

python benchmarks/fleet_seeds.py RUN [RUN ...] [--presets base tiny] [--json FILE]

A RUN is a run folder of `makespan train`, or `pretrained`, the run with seed 1. All days of a preset are played at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fleet_mlp_ppo import ENV_ID, play

from makespan.agents.bench import commit_of_checkout
from makespan.agents.policy import load_policy
from makespan.agents.results import json_lines
from makespan.agents.run_folder import RunFolder
from makespan.envs.core.files import write_atomically
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.policy import Policy, rule_policy
from makespan.envs.fleet.family import FLEET

RULES = ("tuned_priority", "lookahead", "greedy_per_block_hour")
SHIPPED_SEED = 1


def agent(run: str, schema: GraphSchema) -> Policy:
    """The trained policy of a run, greedy."""
    return load_policy(run, ENV_ID).build(schema, greedy=True, seed=0)


def seed_of(run: str) -> int:
    """The seed that a run was trained with."""
    return SHIPPED_SEED if run == "pretrained" else RunFolder.open(run, tensorboard=False).config.seed


def main() -> None:
    """Play every run and rule on every preset's evaluation days."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--presets", nargs="+", default=["base", "tiny"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    contenders: dict[str, tuple[str, Callable[[GraphSchema], Policy]]] = {
        f"seed {seed_of(run)}": ("learned", partial(agent, run)) for run in arguments.runs
    }
    contenders |= {name: ("rule", partial(rule_policy, "fleet", name)) for name in RULES}
    rows: list[dict[str, Any]] = []
    for preset in arguments.presets:
        for name, (_, make_policy) in contenders.items():
            played = play(preset, make_policy)
            rows += [{"env": ENV_ID, "preset": preset, "policy": name, **row} for row in played]
            print(
                f"{preset:8} {name:24} {np.mean([row['objective'] for row in played]):10,.0f} USD", flush=True
            )
    if arguments.json:
        meta = {
            "policies": [{"policy": name, "kind": kind} for name, (kind, _) in contenders.items()],
            "objective": FLEET.objective,
            "unit": FLEET.unit,
            "sense": FLEET.sense,
            "command": " ".join(["python", *sys.argv]),
            "commit": commit_of_checkout(),
            "machine": {"cpu_count": os.cpu_count()},
        }
        write_atomically(arguments.json, json_lines({"rows": rows, "meta": meta}) + "\n")


if __name__ == "__main__":
    main()
