"""What `makespan bench fleet` times: the environment, its batch, both faces of PettingZoo, and a day in plain Python.

Everybody plays whole days with uniformly random allowed actions. The AEC loop is that of PettingZoo's own
`performance_benchmark` (`last`, a draw from the mask, `step`), timed by CPU time instead of the clock on the wall; a turn
is a decision. That benchmark itself, with its own draws, has a row too. The Parallel face counts the agents of its ticks, of
which most are busy. The plain loop (`tests/fleet/plain_fleet.py`, the twin of the tests) observes nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from makespan.agents.bench import Contestant, Play
from makespan.agents.policy import load_policy
from makespan.envs import fleet
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.policy import Policy, rule_policy
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.fleet import rules as rules  # registers them
from makespan.envs.fleet.benchmark import load_instance
from makespan.envs.fleet.engine import FleetEngine
from makespan.envs.fleet.generator_base import FleetSize
from makespan.envs.fleet.genetic import play_genomes

ENV_ID: Final = "makespan/UAMFleet-v0"
SIZES: Final = ("tiny", "base", "large")
CHUNK: Final = 4_096  # decisions of a batch between two looks at the clock
GENOMES: Final = 20  # days of a call to the bare simulator
PLAIN: Final = "plain Python"
_TWIN: Final = Path(__file__).parents[1] / "tests" / "fleet" / "plain_fleet.py"


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, preset by preset."""
    chosen = list(SIZES) if sizes is None else list(sizes)
    for size in chosen:
        if size not in SIZES:
            raise UnknownNameError("size", size, SIZES)
    return [contestant for size in chosen for contestant in _of_size(size)]


def _of_size(size: str) -> Iterator[Contestant]:
    day = f"{size}-train-0000"

    def row(what: str, num_envs: int, build: Callable[[], Play], reference: str = "") -> Contestant:
        return Contestant(what, size, num_envs, build, reference)

    yield row("plain Python, no observation", 1, lambda: _plain(day), PLAIN)
    yield row("simulator alone, no observation", 1, lambda: _bare(day))
    yield row("env.step, full observation, live", 1, lambda: _scalar(day, copy=False))
    yield row("env.step, full observation, copied", 1, lambda: _scalar(day, copy=True))
    yield row("batch, full observation", 64, lambda: _batch(day, 64))
    yield row("batch, rule lookahead", 64, lambda: _rule(day, "lookahead", 64))
    yield row("batch, the agent that ships", 64, lambda: _agent(day, 64))
    yield row("one day, the agent that ships", 1, lambda: _agent(day, 1))
    yield row("AEC turns, vectors", 1, lambda: _turns(day))
    yield row("AEC turns, PettingZoo's performance_benchmark", 1, lambda: _performance_benchmark(day))
    yield row("Parallel, agents a tick", 1, lambda: _ticks(day))


def plain_twin() -> ModuleType:
    """The plain simulator, which stands in the tests of a checkout only."""
    spec = importlib.util.spec_from_file_location("plain_fleet", _TWIN)
    if spec is None or spec.loader is None or not _TWIN.exists():
        raise ImportError(f"{_TWIN} is in a checkout only", name="plain_fleet")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _plain(name: str) -> Play:
    play_plain, day, rng = plain_twin().play_plain, load_instance(name), random.Random(0)

    def play() -> int:
        decisions = 0

        def choose(_: object, allowed: list[int]) -> int:
            nonlocal decisions
            decisions += 1
            return rng.choice(allowed)

        play_plain(day, choose)
        return decisions

    return play


def _bare(name: str) -> Play:
    """Whole days inside one kernel call, as the genetic algorithm plays them."""
    day = load_instance(name)
    engine = FleetEngine(1, FleetSize.of(day))
    engine.write(0, day)
    shape = (GENOMES, day.num_aircraft, 2 * day.delay_noise.shape[1])
    genomes = np.random.default_rng(0).integers(day.num_vertiports, size=shape).astype(np.int16)
    decisions = 0
    for genome in range(GENOMES):
        play_genomes(engine.fleet, day.start, genomes[genome : genome + 1], np.zeros(1, np.int64))
        decisions += engine.num_decisions(0)

    def play() -> int:
        play_genomes(engine.fleet, day.start, genomes, np.zeros(GENOMES, np.int64))
        return decisions

    return play


def _scalar(name: str, copy: bool) -> Play:
    env = gymnasium.make(ENV_ID, instance=name, copy=copy, disable_env_checker=True)
    draws = np.random.default_rng(0).random(100_003).tolist()

    def play() -> int:
        observation, _ = env.reset()
        decisions, terminated = 0, False
        while not terminated:
            allowed = observation["action_mask"].nonzero()[0]
            observation, _, terminated, _, _ = env.step(allowed[int(draws[decisions] * len(allowed))])
            decisions += 1
        return decisions

    return play


def _make_batch(name: str, num_envs: int) -> SchedulingVectorEnv:
    envs = gymnasium.make_vec(
        ENV_ID,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        instances=[name] * num_envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
        copy=False,
    ).unwrapped
    assert isinstance(envs, SchedulingVectorEnv)
    return envs


def _batch(name: str, num_envs: int) -> Play:
    envs = _make_batch(name, num_envs)
    observation, _ = envs.reset(seed=0)
    mask = observation["action_mask"]
    tables = np.random.default_rng(0).random((31, *mask.shape), dtype=np.float32)
    steps = max(1, CHUNK // num_envs)

    def play() -> int:
        for step in range(steps):
            envs.step((tables[step % 31] * mask).argmax(axis=1))
        return steps * num_envs

    return play


def _rule(name: str, rule: str, num_envs: int) -> Play:
    envs = _make_batch(name, num_envs)
    return _acting(envs, rule_policy("fleet", rule, envs.schema))


def _agent(name: str, num_envs: int) -> Play:
    envs = _make_batch(name, num_envs)
    return _acting(envs, load_policy("pretrained", ENV_ID).build(envs.schema, greedy=True, seed=0))


def _acting(envs: SchedulingVectorEnv, policy: Policy) -> Play:
    num_envs = envs.num_envs
    observation, _ = envs.reset(seed=0)
    steps = max(1, CHUNK // 16 // num_envs)

    def play() -> int:
        seen = observation
        for _ in range(steps):
            seen, *_ = envs.step(policy.act(seen))
        return steps * num_envs

    return play


def _turns(name: str) -> Play:
    env, rng = fleet.env(instance=name), random.Random(0)
    env.reset(seed=0)

    def play() -> int:
        env.reset()
        turns = 0
        for _ in env.agent_iter():
            observation, _, terminated, truncated, _ = env.last()
            if terminated or truncated:
                break
            assert isinstance(observation, dict)
            env.step(rng.choice(observation["action_mask"].nonzero()[0].tolist()))
            turns += 1
        return turns

    return play


def _performance_benchmark(name: str) -> Play:
    """PettingZoo's own benchmark, which plays for five seconds of the clock on the wall and prints its rate."""
    from pettingzoo.test import performance_benchmark  # slow to import

    env = fleet.env(instance=name)

    def play() -> int:
        began, printed = time.perf_counter(), io.StringIO()
        with contextlib.redirect_stdout(printed):
            performance_benchmark(env)
        seconds = time.perf_counter() - began
        return round(seconds * float(printed.getvalue().partition(" turns per second")[0].split()[-1]))

    return play


def _ticks(name: str) -> Play:
    env, rng = fleet.parallel_env(instance=name), np.random.default_rng(0)
    num_agents = len(env.possible_agents)
    draws = rng.random((31, num_agents, env.fleet.num_vertiports))

    def play() -> int:
        observations, _ = env.reset(seed=0)
        ticks = 0
        while env.agents:
            masks = np.stack([seen["action_mask"] for seen in observations.values()])
            chosen = (draws[ticks % 31] * masks).argmax(axis=1).tolist()
            observations, *_ = env.step(dict(zip(env.possible_agents, chosen, strict=True)))
            ticks += 1
        return ticks * num_agents

    return play
