"""The dynamic shop's environments keep every promise of the suite, of Gymnasium and of Stable-Baselines3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import makespan  # noqa: F401
from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.dynamic_shop.env import DynamicJobShopEnv, DynamicJobShopVectorEnv
from makespan.envs.dynamic_shop.generator import PoissonShop
from makespan.envs.testing import check_scheduling_env, check_scheduling_vector_env

ID = "makespan/DynamicJobShop-v0"
SMALL: dict[str, Any] = {"num_jobs": 12, "num_machines": 3, "warm_up": 2, "cool_down": 2, "max_live_jobs": 8}
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "wait": {"wait": True, "illegal_action": "noop"},
    "shop": {"ask": "shop", "generator": "flexible", "flexibility": 2, "illegal_action": "raise"},
    "shop waits": {"ask": "shop", "wait": True, "objective": "flow_time"},
    "unreliable": {"generator": "unreliable", "mtbf": 150.0, "mttr": 60.0, "skip_forced": False},
    "narrow": {"max_live_jobs": 2, "utilisation": 1.5, "objective": "makespan"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_promises(name: str) -> None:
    """Masks, return = -objective / scale, bound, validator, seeding, clones, copies, pickles, spec, illegal actions."""
    env = gymnasium.make(ID, **{**SMALL, **SETTINGS[name]})
    bare = env.unwrapped
    assert isinstance(bare, DynamicJobShopEnv)
    check_scheduling_env(env, return_of=lambda objective, _: bare.engine.return_of(0, objective), episodes=4)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["default", "wait"])
def test_gymnasium_and_sb3_checkers(name: str) -> None:
    """Gymnasium's and Stable-Baselines3's own checkers accept the environment."""
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gymnasium.make(ID, **{**SMALL, **SETTINGS[name]})
    check_env(env.unwrapped, skip_render_check=True)
    sb3.check_env(env.unwrapped, warn=False)


@pytest.mark.parametrize("name", ["wait", "unreliable"])
def test_vector_equals_scalar(name: str) -> None:
    """Slot i of the native batch sees, gets and schedules what the scalar environment seeded seed + i does."""
    check_scheduling_vector_env(ID, **{**SMALL, **SETTINGS[name]})


def test_sources_and_names() -> None:
    """More than one source is an error, misspelt names are told what there is, and sizes are checked."""
    for build, error, match in (
        (lambda: DynamicJobShopEnv("dynamic", instance="toy"), ValueError, "given together"),
        (lambda: DynamicJobShopEnv(PoissonShop(), num_jobs=3), ValueError, "given together"),
        (lambda: DynamicJobShopVectorEnv(2, "dynamic", instances=["toy", "toy"]), ValueError, "given"),
        (lambda: DynamicJobShopEnv(ask="shops"), UnknownNameError, "machine"),  # type: ignore[arg-type]
        (lambda: DynamicJobShopEnv("dynamics"), UnknownNameError, "dynamic"),
        (lambda: DynamicJobShopEnv(objective="flowtime"), UnknownNameError, "flow_time"),
        (lambda: DynamicJobShopEnv(instance="dynamic-u91-0"), UnknownNameError, "dynamic-u90-0"),
        (lambda: DynamicJobShopEnv(utilization=0.9), TypeError, "did you mean utilisation"),
        (lambda: DynamicJobShopEnv(max_live_jobs=0), ValueError, "max_live_jobs: 0"),
    ):
        with pytest.raises(error, match=match):
            build()
    env = DynamicJobShopEnv(num_machines=3)
    with pytest.raises(InvalidInstanceError, match=r"'dynamic-u90-0' has size"):
        env.reset(options={"instance": "dynamic-u90-0"})
    with pytest.raises(InvalidInstanceError, match="expected a DynamicShopInstance"):
        env.reset(options={"instance": 3})


def test_runs_may_be_longer(tmp_path: Path) -> None:
    """Jobs and breakdowns are no part of the spaces: an environment made for few takes a file of many, and comes back."""
    env = DynamicJobShopEnv(**SMALL)
    env.reset(seed=0)
    before = env.clone()
    long = PoissonShop(num_jobs=60, num_machines=3, mtbf=60.0, mttr=20.0).sample(np.random.default_rng(0))
    long.save(tmp_path / "long.json")
    observation, info = env.reset(options={"instance": str(tmp_path / "long.json")})
    assert env.instance == long
    terminated = False
    while not terminated:
        observation, _, terminated, _, info = env.step(int(np.flatnonzero(info["action_mask"])[0]))
    assert env.observation_space.contains(observation)
    assert env.observation_space.contains(env.restore(before))


def test_elapsed_adds_up() -> None:
    """The steps' times add up to the run's, from the first decision on, in units of the instance."""
    env = DynamicJobShopEnv(**SMALL)
    _, info = env.reset(seed=3)
    first, total, terminated = env.engine.now(0), 0.0, False  # type: ignore[attr-defined]
    while not terminated:
        _, _, terminated, _, info = env.step(int(np.flatnonzero(info["action_mask"])[-1]))
        total += info["elapsed"]
    assert total * env.instance.unit == pytest.approx(env.engine.now(0) - first)  # type: ignore[attr-defined]


def test_graph_follows_the_shop() -> None:
    """Rows are there for exactly the operations not done of the jobs in slots; edges and pointers meet rows that are there."""
    env = DynamicJobShopEnv("flexible", flexibility=2, skip_forced=False, wait=True, **SMALL)
    rng = np.random.default_rng(0)
    for seed in range(4):
        observation, info = env.reset(seed=seed)
        terminated = False
        while not terminated:
            there, jobs = observation["operation_mask"] > 0, observation["job_mask"] > 0
            assert jobs[observation["operation_parent"][there]].all()
            assert (observation["operation_parent"][~there] == -1).all()
            for key, side in (
                ("precedence_index", (0, 1)),
                ("eligibility_index", (0,)),
                ("frontier_index", (1,)),
            ):
                for row in side:
                    pointed = observation[key][row]
                    assert there[pointed[pointed >= 0]].all()
            frontier = observation["frontier_index"]
            assert set(frontier[0][frontier[0] >= 0]) == set(np.flatnonzero(jobs))
            left = env.schema.node_feature("job", "remaining_operations")
            position = env.schema.node_feature("operation", "position")
            for job in np.flatnonzero(jobs):
                rows = np.flatnonzero(observation["operation_parent"] == job)
                share = 1.0 - observation["operation_x"][frontier[1, job], position]
                assert observation["job_x"][job, left] == pytest.approx(share)
                assert len(rows) == np.count_nonzero(frontier[1, job] <= rows)
            for action in np.flatnonzero(info["action_mask"])[:-1]:
                operation, job, _ = observation["candidate_index"][action]
                assert operation == frontier[1, job]
            ragged = env.schema.ragged(observation)
            assert len(ragged["operation_x"]) == there.sum()
            observation, _, terminated, _, info = env.step(rng.choice(np.flatnonzero(info["action_mask"])))


def test_the_window_is_hidden() -> None:
    """What decision makers see does not tell which jobs are counted: another window gives the same decisions to look at."""
    base = PoissonShop(num_jobs=20, num_machines=3, warm_up=2, cool_down=6)
    other = PoissonShop(num_jobs=20, num_machines=3, warm_up=9, cool_down=6)
    env = DynamicJobShopEnv(base)
    first, _ = env.reset(options={"instance": base.sample(np.random.default_rng(0))})
    one = [first] + [env.step(int(np.flatnonzero(env.action_masks())[0]))[0] for _ in range(8)]
    first, _ = env.reset(options={"instance": other.sample(np.random.default_rng(0))})
    two = [first] + [env.step(int(np.flatnonzero(env.action_masks())[0]))[0] for _ in range(8)]
    for seen, also in zip(one, two, strict=True):
        assert all(np.array_equal(seen[key], also[key]) for key in seen if key != "critic_x")


def test_schedules_can_be_drawn() -> None:
    """The Gantt chart shows machines with their downtime, in the middle of a run and at its end."""
    env = DynamicJobShopEnv("unreliable", mtbf=100.0, mttr=80.0, render_mode="ansi", **SMALL)
    _, info = env.reset(seed=0)
    terminated, texts = False, []
    while not terminated:
        _, _, terminated, _, info = env.step(int(np.flatnonzero(info["action_mask"])[0]))
        texts.append(env.render())
    assert "down" in env.schedule().kinds
    assert all(isinstance(text, str) and text for text in (texts[len(texts) // 2], texts[-1]))
