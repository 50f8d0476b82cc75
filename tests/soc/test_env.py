"""The SoC's Gymnasium faces: what every environment promises, return and objective, batch and scalar, truncation."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import makespan  # noqa: F401
from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.soc.env import SocEnv, SocVectorEnv
from makespan.envs.soc.generator import StreamSoc
from makespan.envs.soc.validator import measure
from makespan.envs.testing import check_scheduling_env, check_scheduling_vector_env

WORLDS: dict[str, dict[str, Any]] = {
    "mix": {"generator": "soc16-mix", "scale": 40.0, "num_jobs": 5},
    "noise": {
        "generator": "soc16-mix",
        "scale": 20.0,
        "num_jobs": 12,
        "noise": 0.3,
        "horizon": 400,
        "warm_up": 60,
        "max_jobs": 3,
    },
    "energy": {"generator": "soc16-wifi", "num_jobs": 3, "objective": "energy"},
    "makespan": {"generator": "topcuoglu"},
    "narrow": {"generator": "soc16-mix", "num_jobs": 6, "scale": 10.0, "max_live_jobs": 2, "max_ready": 3},
}


def make(**keywords: Any) -> tuple[gymnasium.Env[Any, Any], SocEnv]:
    """The environment as users get it, and the bare one in it."""
    env = gymnasium.make("makespan/SoC-v0", **keywords)
    bare = env.unwrapped
    assert isinstance(bare, SocEnv)
    return env, bare


@pytest.mark.parametrize("mode", ["task_pe", "task", "pe"])
@pytest.mark.parametrize("world", WORLDS)
def test_promises(world: str, mode: str) -> None:
    """Masks, spaces, return = -objective, validator, seeds, clones, copies, pickles, specs, in every mode."""
    env, bare = make(mode=mode, **WORLDS[world])
    check_scheduling_env(env, return_of=lambda objective, _: bare.engine.return_of(0, objective), episodes=2)


@pytest.mark.parametrize("world", ["noise", "makespan", "narrow"])
def test_promises_with_plans(world: str) -> None:
    """Guards the contract of the suite, and the native batch against single environments to the last bit."""
    env, bare = make(plan_moves=10, merge_twins=False, **WORLDS[world])
    check_scheduling_env(env, return_of=lambda value, _: bare.engine.return_of(0, value), episodes=1)
    check_scheduling_vector_env(
        "makespan/SoC-v0", plan_moves=10, merge_twins=False, num_envs=2, episodes=1, **WORLDS[world]
    )


def test_refusing() -> None:
    """`illegal_action="raise"` without deferring keeps the promises, too."""
    env, bare = make(illegal_action="raise", defer=False, **WORLDS["mix"])
    check_scheduling_env(env, return_of=lambda value, _: bare.engine.return_of(0, value), episodes=1)


@pytest.mark.filterwarnings("ignore::UserWarning")  # advice on two-dimensional observations
def test_checkers() -> None:
    """Gymnasium's and Stable-Baselines3's checkers pass."""
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    env, bare = make(**WORLDS["mix"])
    check_env(bare)
    sb3_check_env(env)


def random_episode(env: gymnasium.Env[Any, Any], seed: int) -> tuple[float, list[float]]:
    """Return, and time of each step, of an episode of random allowed actions."""
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    total, elapsed, done = 0.0, [], False
    while not done:
        action = rng.choice(np.flatnonzero(info["action_mask"]))
        _, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        elapsed.append(info["elapsed"])
        done = terminated or truncated
    return total, elapsed


def test_return_is_the_sum_of_latencies() -> None:
    """Rewards add up to minus the latencies of the counted jobs, unfinished ones with their age, over the unit of time."""
    env, bare = make(**WORLDS["noise"])
    for seed in range(5):
        total, _ = random_episode(env, seed)
        instance, schedule = bare.instance, bare.schedule()
        finish = measure(instance, schedule).finish
        age = np.where(finish < 0, instance.horizon, finish) - instance.arrival
        latencies = int(age[instance.counted].sum())
        unit = -latencies / total
        assert unit == pytest.approx(round(unit), abs=1e-9 * unit)
        assert bare.objective == latencies / instance.counted.sum()


def test_elapsed_adds_up() -> None:
    """The steps' times add up to the run's, from the first decision on, in mean critical paths."""
    env, bare = make(**WORLDS["mix"])
    _, elapsed = random_episode(env, 0)
    bare.reset(seed=0)
    first = bare.engine.now(0)
    random_episode(env, 0)
    # critical paths of the six profiles on their fastest PEs: 41, 160, 176, 56, 153, 70
    assert sum(elapsed) * UNIT == pytest.approx(bare.engine.now(0) - first)


UNIT = 109  # us: mean critical path of the six DS3 profiles


def test_overflow_truncates() -> None:
    """Random decisions overload the SoC: the run is cut once more jobs than allowed are in the system, and says so."""
    env, bare = make(generator="soc16-mix", scale=20.0, num_jobs=300, overflow=30)
    rng, info = np.random.default_rng(0), env.reset(seed=0)[1]
    terminated = truncated = False
    while not (terminated or truncated):
        action = rng.choice(np.flatnonzero(info["action_mask"]))
        _, _, terminated, truncated, info = env.step(action)
    metrics = bare.engine.metrics(0)
    assert truncated
    assert not terminated
    assert 30 < metrics.arrived - metrics.finished < 40
    assert info["objective"] == metrics.counted_latency > 0
    vector = SocVectorEnv(2, "soc16-mix", scale=20.0, num_jobs=300, overflow=5)
    infos = vector.reset(seed=0)[1]
    for _ in range(2000):
        actions = np.array([rng.choice(np.flatnonzero(row)) for row in infos["action_mask"]])
        _, _, ends, cuts, infos = vector.step(actions)
        if cuts.any():
            break
    assert cuts.any()
    assert not ends.any()


@pytest.mark.parametrize("mode", ["task_pe", "task"])
def test_vector_is_scalar(mode: str) -> None:
    """Slot i of the native batch is the scalar environment seeded with seed + i: observations, rewards, ends, times."""
    options: dict[str, Any] = {"mode": mode, **WORLDS["noise"]}
    vector = SocVectorEnv(3, autoreset_mode="Disabled", **options)
    scalars = [SocEnv(**options) for _ in range(3)]
    observations, _ = vector.reset(seed=7)
    for i, env in enumerate(scalars):
        single, _ = env.reset(seed=7 + i)
        assert all(np.array_equal(observations[key][i], single[key]) for key in single)
    rng, live = np.random.default_rng(0), np.ones(3, bool)
    while live.any():
        masks = vector.action_masks()
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
        observations, rewards, terminated, _, infos = vector.step(actions)
        for i in np.flatnonzero(live):
            single, reward, ended, _, info = scalars[i].step(actions[i])
            assert (reward, ended, info["elapsed"]) == (rewards[i], terminated[i], infos["elapsed"][i])
            assert all(np.array_equal(observations[key][i], single[key]) for key in single)
        live &= ~terminated


def test_bad_arguments() -> None:
    """Sources that exclude each other, unknown names and senseless numbers are refused by name."""
    for build, error, match in (
        (lambda: SocEnv("soc16-mix", instance="topcuoglu"), ValueError, "given together"),
        (lambda: SocEnv(StreamSoc(), scale=3.0), ValueError, "given together"),
        (lambda: SocEnv("soc61-mix"), UnknownNameError, "soc16-mix"),
        (lambda: SocEnv(mode="pe_task"), UnknownNameError, "task_pe"),  # type: ignore[arg-type]
        (lambda: SocEnv(max_ready=0), ValueError, "max_ready: 0; expected at least 1"),
        (lambda: SocEnv(instance="topcoglu"), UnknownNameError, "topcuoglu"),
    ):
        with pytest.raises(error, match=match):
            build()


def test_too_large_instances_are_refused() -> None:
    """An instance that outgrows the spaces is refused by name; one of fewer PEs and profiles is padded."""
    with pytest.raises(InvalidInstanceError, match=r"'ds3-wifi-200' has size"):
        SocEnv("topcuoglu").reset(options={"instance": "ds3-wifi-200"})
    env = SocEnv("soc16-mix", max_ready=4)
    observation, _ = env.reset(options={"instance": "topcuoglu"})
    assert env.observation_space.contains(observation)
    assert observation["pe_count"].tolist() == [3]
