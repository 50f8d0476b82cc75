"""The Gymnasium faces: every checker, batch = scalar, the return, pickling and worker processes."""

from __future__ import annotations

import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import makespan  # noqa: F401
from makespan.envs.core.errors import IllegalActionError, InvalidInstanceError, UnknownNameError
from makespan.envs.core.policy import rule_policy
from makespan.envs.fleet.generator import make_generator
from makespan.envs.fleet.gymnasium_env import UAMFleetEnv
from makespan.envs.fleet.validator import validate
from makespan.envs.testing import check_scheduling_env, check_scheduling_vector_env

ID = "makespan/UAMFleet-v0"


def profit_return(objective: float, initial_bound: float) -> float:
    """The return is the profit."""
    return objective


def without_surprise(check: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="(?s).*observation .* unconventional shape")
        check()


def test_gymnasium_checker():
    """`check_env` finds nothing, the render modes included."""
    env = gymnasium.make(ID, generator="tiny")
    without_surprise(lambda: check_env(env.unwrapped))


def test_stable_baselines3_checker():
    """Stable-Baselines3 accepts spaces, dtypes and API."""
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gymnasium.make(ID, generator="tiny")
    without_surprise(lambda: checker.check_env(env.unwrapped, warn=True, skip_render_check=False))


@pytest.mark.parametrize(
    ("illegal_action", "keywords"),
    [
        ("raise", {"generator": "tiny", "random_layout": True}),
        ("noop", {"generator": "tiny", "failure": 0.1}),
        ("random", {}),
        ("random", {"instance": "toy"}),
    ],
)
def test_own_checker(illegal_action: str, keywords: dict[str, object]):
    """Masks, return, schedule, seeds, clones, copies and illegal actions are what the suite promises."""
    env = gymnasium.make(ID, illegal_action=illegal_action, **keywords)
    check_scheduling_env(env, validate=validate, return_of=profit_return, episodes=2)


def test_return_is_the_profit_to_the_cent():
    """Rewards in cents add up to the profit exactly, over a whole day."""
    env = UAMFleetEnv("base")
    observation, _ = env.reset(seed=4)
    policy = rule_policy("fleet", "lookahead", env.schema)
    cents, terminated = 0, False
    while not terminated:
        batch = {key: array[None] for key, array in observation.items()}
        observation, reward, terminated, _, info = env.step(policy.act(batch)[0])
        assert abs(100 * reward - round(100 * reward)) < 1e-6
        cents += round(100 * reward)
    books = env.fleet_engine.books(0)
    assert cents == books.profit == books.revenue - books.electricity - books.operating
    assert info["objective"] == books.profit / 100


def test_batch_equals_scalar():
    """Slot i of the native batch plays the scalar environment seeded `seed + i`, bit for bit, across an autoreset."""
    check_scheduling_vector_env(ID, generator="tiny")


def test_pickle_in_the_middle():
    """A pickled environment goes on as the original does."""
    env = UAMFleetEnv("tiny")
    env.reset(seed=1)
    for _ in range(60):
        env.step(int(np.flatnonzero(env.action_masks())[-1]))
    other = pickle.loads(pickle.dumps(env))
    for _ in range(60):
        action = int(np.flatnonzero(env.action_masks())[0])
        one, two = env.step(action), other.step(action)
        assert one[1] == two[1]
        assert all(np.array_equal(one[0][key], two[0][key]) for key in one[0])
    assert env.schedule() == other.schedule()


@pytest.mark.slow
def test_spawned_workers():
    """Worker processes started afresh play the same days as this process."""
    asynchronous = gymnasium.make_vec(
        ID, num_envs=2, vectorization_mode="async", vector_kwargs={"context": "spawn"}, generator="tiny"
    )
    native = gymnasium.make_vec(ID, num_envs=2, vectorization_mode="vector_entry_point", generator="tiny")
    try:
        one, _ = asynchronous.reset(seed=3)
        other, _ = native.reset(seed=3)
        for _ in range(50):
            assert all(np.array_equal(one[key], other[key]) for key in one)
            actions = one["action_mask"].argmax(axis=1)
            one, reward, *_ = asynchronous.step(actions)
            other, expected, *_ = native.step(actions)
            assert np.array_equal(reward, expected)
    finally:
        asynchronous.close()


def test_elapsed_time():
    """The outcome's elapsed time adds up to the day, in stay times."""
    env = UAMFleetEnv("tiny")
    env.reset(seed=0)
    total, terminated = 0.0, False
    while not terminated:
        _, _, terminated, _, _ = env.step(int(np.flatnonzero(env.action_masks())[0]))
        total += env.engine.outcome.elapsed[0]
    assert total == pytest.approx(43_200 / 900)


def test_malformed_arguments():
    """Errors name what was wrong."""
    with pytest.raises(UnknownNameError, match="busy"):
        UAMFleetEnv("bussy")
    with pytest.raises(TypeError, match="closure"):
        UAMFleetEnv("tiny", closures=0.1)
    with pytest.raises(ValueError, match="num_aircraft: 0"):
        UAMFleetEnv("tiny", num_aircraft=0)
    with pytest.raises(UnknownNameError, match="base-eval-017"):
        UAMFleetEnv(instance="base-eval-0177")
    with pytest.raises(ValueError, match="expected one of the two"):
        UAMFleetEnv("tiny", instance="toy")
    env = UAMFleetEnv("tiny", illegal_action="raise")
    with pytest.raises(InvalidInstanceError, match="at most"):
        env.reset(options={"instance": make_generator("base").day(0)})
    env.reset(seed=0)
    with pytest.raises(IllegalActionError):
        env.step(7)


def test_a_busier_day_still_fits():
    """Passengers are no part of the observation: a day with many more of them can be played, and cloned across."""
    env = UAMFleetEnv("tiny")
    env.reset(seed=0)
    token = env.clone()
    before = env.restore(token)
    env.reset(options={"instance": make_generator("tiny", demand_scale=20.0).day(0)})
    assert env.instance.passenger_count > 5_000
    again = env.restore(token)
    assert all(np.array_equal(before[key], again[key]) for key in before)
