"""The faces of static allocation: checkers, native batch, rules, errors, pictures."""

from __future__ import annotations

import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from plain_allocation import small_problem
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import makespan  # noqa: F401
from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.core.policy import rule_policy, rules_of
from makespan.envs.memory.allocation_benchmark import load_instance
from makespan.envs.memory.allocation_decode import FITS, decode, greedy_orders, make_layout
from makespan.envs.memory.allocation_engine import AllocationEngine
from makespan.envs.memory.allocation_env import MemoryAllocationEnv, MemoryAllocationVectorEnv
from makespan.envs.memory.allocation_generator import FixedProblems, GuillotineBuffers
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_validator import validate
from makespan.envs.testing import check_scheduling_env, check_scheduling_vector_env

ID = "makespan/MemoryAllocation-v0"
MODES = ({}, {"fit": "best"}, {"canonical": True})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("illegal_action", ["random", "noop", "raise"])
def test_the_suite_checker(mode: dict, illegal_action: str) -> None:
    """Masks, return identity, validator, seeds, clones, pickles, specs and illegal actions, in every mode."""
    check_scheduling_env(
        gymnasium.make(ID, generator="tiling", num_buffers=15, illegal_action=illegal_action, **mode)
    )


def test_prescribed_offsets_and_gaps_pass_the_checker() -> None:
    """As above, where buffers are preplaced and have windows."""
    rng = np.random.default_rng(0)
    problems = [small_problem(rng, num_buffers=6, gaps="windows", fixed=True, aligned=True) for _ in range(4)]
    check_scheduling_env(MemoryAllocationEnv(FixedProblems(problems)), validate=validate)


def test_other_checkers() -> None:
    """Gymnasium's and Stable-Baselines3's checkers find nothing but shapes that are unconventional for images."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*unconventional shape.*")
        check_env(gymnasium.make(ID).unwrapped, skip_render_check=True)
        sb3_check_env(gymnasium.make(ID).unwrapped)


@pytest.mark.parametrize("mode", MODES)
def test_batch_is_the_scalar_env(mode: dict) -> None:
    """Slot i of the native batch plays what the scalar env seeded seed + i plays, over several episodes."""
    check_scheduling_vector_env(ID, num_buffers=9, horizon=8, **mode)


def play(env: MemoryAllocationEnv, rule: str) -> float:
    """Peak of a rule."""
    policy = rule_policy("memory_allocation", rule, env.schema)
    observation, _ = env.reset(seed=0)
    terminated = False
    while not terminated:
        action = policy.act({key: array[None] for key, array in observation.items()})[0]
        observation, _, terminated, _, info = env.step(action)
    return float(info["objective"])


@pytest.mark.parametrize("fit", FITS)
def test_rules_are_the_orders_they_name(fit: str) -> None:
    """A rule in the environment ends where its order, sorted with NumPy and decoded, ends; ties in input order."""
    rng = np.random.default_rng(3)
    for problem in (
        load_instance("tiling50-0"),
        load_instance("unet36-1"),
        small_problem(rng, num_buffers=9),
    ):
        env = MemoryAllocationEnv(instance=problem, fit=fit)  # type: ignore[arg-type]
        layout = make_layout(problem)
        for rule, order in greedy_orders(problem).items():
            assert play(env, rule) == decode(layout, order, FITS[fit]), rule


def test_rules_on_the_toy() -> None:
    """Worked out by hand: size first ends at 9, input order at 10 (a 0, b 3, c 0, d 7, e 3, f 0 ...)."""
    env = MemoryAllocationEnv(instance="toy")
    assert play(env, "greedy_by_size") == 9
    assert play(env, "input_order") == 10
    for rule in rules_of("memory_allocation"):
        assert play(env, rule) >= 7
    hinted = AllocationProblem(
        *(getattr(load_instance("toy"), key) for key in ("lower", "upper", "size")), hint=[0, 3, 0, 5, 3, 0]
    )
    assert play(MemoryAllocationEnv(instance=hinted), "by_hint") == 7


def test_errors_help() -> None:
    """Sources that exclude each other, unknown fits, instances that are too large or leave nothing to decide."""
    toy = load_instance("toy")
    for build in (
        lambda: MemoryAllocationEnv("uniform", instance=toy),
        lambda: MemoryAllocationEnv(GuillotineBuffers(), num_buffers=3),
        lambda: MemoryAllocationVectorEnv(2, "uniform", instances=[toy, toy]),
    ):
        with pytest.raises(ValueError, match="given together"):
            build()
    with pytest.raises(UnknownNameError, match="lowest"):
        MemoryAllocationEnv(fit="lowst")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="canonical"):
        MemoryAllocationEnv(fit="best", canonical=True)
    with pytest.raises(UnknownNameError, match="toy"):
        MemoryAllocationEnv(instance="toi")
    env = MemoryAllocationEnv(instance=toy)
    with pytest.raises(InvalidInstanceError, match=r"'guillotine50-0' has .*at most"):
        env.reset(options={"instance": "guillotine50-0"})
    with pytest.raises(InvalidInstanceError, match="every offset is prescribed"):
        env.reset(options={"instance": AllocationProblem([0], [1], [1], fixed=[0])})


def test_sizes_above_2_to_the_24_keep_their_order() -> None:
    """Rules rank sizes exactly however large they are: float32 would not tell these two apart."""
    problem = AllocationProblem.from_buffers([(0, 2, 2**30), (0, 2, 2**30 + 1)])
    env = MemoryAllocationEnv(instance=problem)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    policy = rule_policy("memory_allocation", "greedy_by_size", env.schema)
    assert policy.act({key: array[None] for key, array in observation.items()})[0] == 1


def test_engine_copies_and_pickles_slots() -> None:
    """A copied slot and a pickled engine go on alike."""
    size = GuillotineBuffers(10).size
    limits = {f: getattr(size, f) for f in ("num_buffers", "num_pieces", "num_sections", "num_incidences")}
    engine = AllocationEngine(2, **limits, mode="lowest")
    for slot in range(2):
        engine.load(slot, GuillotineBuffers(10).sample(np.random.default_rng(slot)))
    engine.step(np.array([3, -1]))
    engine.copy_slots(np.array([0]), np.array([1]))
    other = pickle.loads(pickle.dumps(engine))
    while not engine.outcome.terminated.all():
        actions = engine.observation["action_mask"].argmax(axis=1)
        engine.step(actions)
        other.step(actions)
    assert engine.schedule(0) == engine.schedule(1) == other.schedule(0) == other.schedule(1)


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_rendering(mode: str) -> None:
    """The memory map, empty and full."""
    env = gymnasium.make(ID, instance="toy", render_mode=mode)
    env.reset(seed=0)
    before = env.render()
    for action in range(6):
        env.step(action)
    after = env.render()
    if mode == "ansi":
        assert "peak 10 B" in after
    else:
        assert before.shape == after.shape == (560, 1000, 3)
        assert (before != after).any()
