"""Mobility on demand: the two programs against brute force, exact books, conservation, checkers, policies."""

from __future__ import annotations

import itertools
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import makespan  # noqa: F401
from makespan.envs.amod.env import AMoDRebalanceEnv, match, rebalance
from makespan.envs.amod.instance import AMoDMorning, GridCity
from makespan.envs.amod.policies import POLICIES, run
from makespan.envs.core.errors import InvalidInstanceError


def test_rebalancing_by_brute_force():
    """On three regions the LP's flows meet the wish at the least travel time that any whole flows need."""
    rng = np.random.default_rng(0)
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    for _ in range(20):
        idle = rng.integers(0, 4, 3)
        wanted = rng.multinomial(int(idle.sum()), [1 / 3] * 3)
        time = rng.integers(1, 6, (3, 3)).astype(np.int32)
        flows = rebalance(idle, wanted, time)
        assert (flows.sum(axis=1) <= idle).all()
        assert (idle + flows.sum(axis=0) - flows.sum(axis=1) >= wanted).all()
        best = 10**9
        for guess in itertools.product(range(4), repeat=6):
            other = np.zeros((3, 3), int)
            for (i, j), n in zip(pairs, guess, strict=True):
                other[i, j] = n
            after = idle + other.sum(axis=0) - other.sum(axis=1)
            if (other.sum(axis=1) <= idle).all() and (after >= wanted).all():
                best = min(best, int((other * time).sum()))
        assert (flows * time).sum() == best


def test_matching_by_hand():
    """Three vehicles take the two dear passengers and one of the cheap ones; nobody drives at a loss."""
    served = match(np.array([3, 5]), np.array([[2, 2], [4, 0]]), np.array([[100, 500], [-1, 50]]))
    assert served.tolist() == [[1, 2], [0, 0]]


def test_books_and_vehicles():
    """Rewards add up to fares less driving, to the cent; no vehicle and no passenger is lost from sight."""
    env = AMoDRebalanceEnv(vehicles=60)
    env.reset(seed=3)
    cents, terminated = 0, False
    while not terminated:
        _, reward, terminated, _, info = env.step(env.action_space.sample())
        cents += round(100 * reward)
        assert env.idle.sum() + env.arriving[env.now + 1 :].sum() == 60
        assert (env.idle >= 0).all()
    assert cents == env.profit == info["fares"] - info["trips"] - info["rebalancing"]
    assert info["served"] + info["lost"] == env.instance.demand.sum()
    assert info["objective"] == cents / 100
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.action_space.sample())


def test_checkers():
    """Gymnasium's and Stable-Baselines3's checkers find nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for message in ("(?s).*unconventional shape", "(?s).*symmetric and normalized", "(?s).*render"):
            warnings.filterwarnings("ignore", message=message)
        env = gymnasium.make("makespan/AMoDRebalance-v0", rows=2, columns=2, vehicles=12, passengers=6.0)
        check_env(env.unwrapped, skip_render_check=True)
        checker = pytest.importorskip("stable_baselines3.common.env_checker")
        checker.check_env(env.unwrapped, warn=True)


def test_policies_rank_as_expected():
    """On the same mornings: random < none and even < model predictive control < the same with the realised demand."""
    env = AMoDRebalanceEnv(rows=3, columns=3, vehicles=70, passengers=22.0)
    mean = {name: np.mean([run(env, policy, seed) for seed in range(4)]) for name, policy in POLICIES.items()}
    assert mean["random"] < mean["mpc"] < mean["mpc_oracle"]
    assert max(mean["no_rebalancing"], mean["equal_distribution"]) < mean["mpc"]


def test_malformed_input():
    """Errors name field and expectation."""
    with pytest.raises(ValueError, match="vehicles: 0"):
        AMoDRebalanceEnv(vehicles=0)
    with pytest.raises(ValueError, match="grid"):
        AMoDRebalanceEnv("nyc")
    env = AMoDRebalanceEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="16 shares"):
        env.step(np.full(16, np.nan, np.float32))
    morning = GridCity(rows=2, columns=2).sample(np.random.default_rng(0))
    with pytest.raises(ValueError, match="4 regions; expected 16"):
        env.reset(options={"instance": morning})
    with pytest.raises(InvalidInstanceError, match="travel_time"):
        AMoDMorning(np.zeros((2, 2)), np.ones((2, 2)), np.ones((1, 2, 2)), np.ones((1, 2, 2)), np.ones(2))
