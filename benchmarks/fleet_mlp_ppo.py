"""What a plain network makes of the fleet: MaskablePPO of sb3-contrib with `MlpPolicy`, on one flat vector a decision.

python benchmarks/fleet_mlp_ppo.py [--preset tiny] [--decisions 300000] [--seed 0] [--json FILE]

The vector is what the graph network reads of the network, the vertiports and the candidates, one after the other; the aircraft
and the routes are left out, as their number would make it several times as long. Such a policy fits one size only.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from makespan.agents.batch import network_columns
from makespan.agents.bench import commit_of_checkout
from makespan.agents.results import json_lines
from makespan.agents.vector import SB3VecEnv, make_sb3_vec_env
from makespan.envs.core.files import write_atomically
from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.core.policy import Policy, rule_policy
from makespan.envs.fleet.benchmark import NUM_DAYS, load_instance
from makespan.envs.fleet.family import FLEET
from makespan.envs.fleet.gymnasium_env import UAMFleetVectorEnv

ENV_ID = "makespan/UAMFleet-v0"
RULES = ("tuned_priority", "lookahead", "greedy_per_block_hour", "random")


def flat(schema: GraphSchema, observation: Observation) -> NDArray[np.float32]:
    """What a network may read of network, vertiports and candidates (B, F)."""
    parts = [observation[f"{name}_x"] for name in ("network", "vertiport")]
    parts.append(observation["candidate_x"][..., network_columns(schema.candidates.features)])
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


class FlatVecEnv(VecEnvWrapper):
    """The native batch with flat observations."""

    def __init__(self, venv: SB3VecEnv) -> None:
        self.schema = venv.env.schema
        length = flat(self.schema, self.schema.zeros(1)).shape[1]
        super().__init__(venv, spaces.Box(-100.0, 100.0, (length,), np.float32))

    def reset(self) -> VecEnvObs:
        """Flat observations of fresh days."""
        return flat(self.schema, self.venv.reset())  # type: ignore[arg-type]

    def step_wait(self) -> VecEnvStepReturn:
        """One decision in each day."""
        observation, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            if "terminal_observation" in info:
                last = {key: array[None] for key, array in info["terminal_observation"].items()}
                info["terminal_observation"] = flat(self.schema, last)[0]
        return flat(self.schema, observation), rewards / 100.0, dones, infos  # type: ignore[arg-type]


class Flattened:
    """A trained model as a policy on decision graphs, greedy."""

    def __init__(self, model: MaskablePPO, schema: GraphSchema) -> None:
        self.model, self.schema = model, schema

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The likeliest allowed candidates (B,)."""
        masks = observation["action_mask"] > 0
        seen = flat(self.schema, observation)
        return np.asarray(self.model.predict(seen, action_masks=masks, deterministic=True)[0])


def play(preset: str, make_policy: Callable[[GraphSchema], Policy]) -> list[dict[str, Any]]:
    """A row for each evaluation day."""
    days = [load_instance(f"{preset}-eval-{day:03d}") for day in range(NUM_DAYS)]
    envs = UAMFleetVectorEnv(NUM_DAYS, instances=days, autoreset_mode="Disabled", copy=False)
    policy = make_policy(envs.schema)
    observation, _ = envs.reset(seed=0)
    done = np.zeros(NUM_DAYS, bool)
    while not done.all():
        observation, _, done, _, _ = envs.step(policy.act(observation))
    rows = []
    for slot, day in enumerate(days):
        valid = FLEET.validate(day, envs.schedule(slot)) == envs.objective(slot)
        rows.append({"instance": day.name, "objective": envs.objective(slot), "bound": None, "valid": valid})
    return rows


def main() -> None:
    """Train, and compare with rules on the evaluation days."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--decisions", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    envs = FlatVecEnv(make_sb3_vec_env(ENV_ID, 32, seed=arguments.seed, generator=arguments.preset))
    model = MaskablePPO(
        "MlpPolicy", envs, n_steps=128, batch_size=512, n_epochs=4, gamma=0.995, gae_lambda=0.95,
        learning_rate=5e-4, ent_coef=0.01, policy_kwargs={"net_arch": [128, 128]}, seed=arguments.seed, device="cpu",
    )  # fmt: skip
    began = time.process_time()
    model.learn(total_timesteps=arguments.decisions)
    seconds = time.process_time() - began

    contenders: dict[str, Callable[[GraphSchema], Policy]] = {"mlp_ppo": partial(Flattened, model)}
    contenders |= {name: partial(rule_policy, "fleet", name) for name in RULES}
    rows = []
    for name, make_policy in contenders.items():
        played = play(arguments.preset, make_policy)
        rows += [{"env": ENV_ID, "policy": name, **row} for row in played]
        print(f"{name:24} {np.mean([row['objective'] for row in played]):10,.0f} USD", flush=True)
    if arguments.json:
        meta = {
            "policies": [{"policy": n, "kind": "learned" if n == "mlp_ppo" else "rule"} for n in contenders],
            "objective": FLEET.objective,
            "unit": FLEET.unit,
            "sense": FLEET.sense,
            "command": " ".join(["python", *sys.argv]),
            "commit": commit_of_checkout(),
            "training_cpu_seconds": round(seconds),
            "machine": {"cpu_count": os.cpu_count()},
        }
        write_atomically(arguments.json, json_lines({"rows": rows, "meta": meta}) + "\n")


if __name__ == "__main__":
    main()
