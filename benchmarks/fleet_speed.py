"""How fast the fleet runs: decisions a second, scalar and batched, AEC turns a second, beside a loop in plain Python.

    python benchmarks/fleet_speed.py [--seconds 5] [--presets tiny base large]

Actions are uniform over the allowed ones. Figures are per CPU second of one process, so that other load matters less; the AEC
figure is what PettingZoo's own `performance_benchmark` measures (wall-clock), and the same loop per CPU second.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pettingzoo.test import performance_benchmark

from makespan.envs import fleet
from makespan.envs.fleet.engine import FleetEngine
from makespan.envs.fleet.generator import make_generator
from makespan.envs.fleet.generator_base import FleetSize
from makespan.envs.fleet.genetic import play_genomes
from makespan.envs.fleet.gymnasium_env import UAMFleetEnv, UAMFleetVectorEnv

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fleet"))
from plain_fleet import play_plain  # the twin of the tests


def rate(run: Callable[[], int], seconds: float) -> float:
    """Units a CPU second, after one warm-up run."""
    run()
    began, done = time.process_time(), 0
    while time.process_time() - began < seconds:
        done += run()
    return done / (time.process_time() - began)


def scalar(preset: str, copy: bool) -> Callable[[], int]:
    """Whole days in the Gymnasium environment."""
    env = UAMFleetEnv(preset, copy=copy)
    env.reset(seed=0)

    def run() -> int:
        observation, _ = env.reset()
        terminated, steps = False, 0
        while not terminated:
            allowed = observation["action_mask"].nonzero()[0]
            observation, _, terminated, _, _ = env.step(int(allowed[int(random.random() * len(allowed))]))
            steps += 1
        return steps

    return run


def batch(preset: str, num_envs: int) -> Callable[[], int]:
    """A thousand steps of the native batch; days that end start anew."""
    envs = UAMFleetVectorEnv(num_envs, preset, copy=False, autoreset_mode="SameStep")
    envs.reset(seed=0)
    rng = np.random.default_rng(0)

    def run() -> int:
        for _ in range(200):
            mask = envs.engine.observation["action_mask"]
            envs.step((rng.random(mask.shape) * mask).argmax(axis=1))
        return 200 * num_envs

    return run


def kernels(preset: str, num_envs: int) -> Callable[[], int]:
    """Steps of the engine with its observations, actions given."""
    days = [make_generator(preset).day(seed) for seed in range(num_envs)]
    engine = FleetEngine(num_envs, FleetSize.of(*days))
    actions = np.zeros(num_envs, np.int64)

    def run() -> int:
        for slot, day in enumerate(days):
            engine.load(slot, day)
        steps = 0
        while not engine.outcome.terminated.all():
            actions[:] = engine.observation["action_mask"].argmax(axis=1)
            actions[engine.outcome.terminated] = -1
            engine.step(actions)
            steps += int((actions >= 0).sum())
        return steps

    return run


def bare(preset: str) -> Callable[[], int]:
    """The simulator alone, whole days inside one kernel call (what the genetic algorithm does)."""
    day = make_generator(preset).day(0)
    engine = FleetEngine(1, FleetSize.of(day))
    engine.write(0, day)
    shape = (100, day.num_aircraft, 2 * day.delay_noise.shape[1])
    genomes = np.random.default_rng(0).integers(day.num_vertiports, size=shape).astype(np.int16)
    value = np.zeros(100, np.int64)

    def run() -> int:
        play_genomes(engine.fleet, day.start, genomes, value)
        return 100 * engine.num_decisions(0)

    return run


def turns(preset: str) -> Callable[[], int]:
    """AEC turns as `performance_benchmark` takes them."""
    env = fleet.env(generator=preset)
    env.reset(seed=0)

    def run() -> int:
        env.reset()
        count = 0
        for _ in env.agent_iter():
            observation, _, terminated, truncated, _ = env.last()
            if terminated or truncated:
                break
            env.step(random.choice(np.flatnonzero(observation["action_mask"]).tolist()))
            count += 1
        return count

    return run


def plain(preset: str) -> Callable[[], int]:
    """The plain-Python twin, no observations."""
    day = make_generator(preset).day(0)

    def run() -> int:
        steps = 0

        def choose(_: object, allowed: list[int]) -> int:
            nonlocal steps
            steps += 1
            return random.choice(allowed)

        play_plain(day, choose)
        return steps

    return run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--presets", nargs="+", default=["tiny", "base", "large"])
    arguments = parser.parse_args()
    random.seed(0)
    rows: dict[str, Callable[[str], Callable[[], int]]] = {
        "plain Python, no observation": plain,
        "scalar, copies": lambda preset: scalar(preset, True),
        "scalar, live observations": lambda preset: scalar(preset, False),
        "vector environment of 64": lambda preset: batch(preset, 64),
        "engine, batch of 64": lambda preset: kernels(preset, 64),
        "simulator alone": bare,
        "AEC turns": turns,
    }
    print("| per CPU second | " + " | ".join(arguments.presets) + " |")
    print("|---" * (1 + len(arguments.presets)) + "|")
    for name, make in rows.items():
        rates = [rate(make(preset), arguments.seconds) for preset in arguments.presets]
        print(f"| {name} | " + " | ".join(f"{value:,.0f}" for value in rates) + " |", flush=True)
    for preset in arguments.presets:
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            performance_benchmark(fleet.env(generator=preset))
        print(f"performance_benchmark, {preset}: {told.getvalue().splitlines()[1]}", flush=True)


if __name__ == "__main__":
    main()
