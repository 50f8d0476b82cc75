"""Classic rebalancing policies: each gives the shares of idle vehicles that a region ought to have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from makespan.envs.amod.env import AMoDRebalanceEnv
from makespan.envs.fleet.time_expanded import FlowProblem, solve_flow

Shares = NDArray[np.float64]


def no_rebalancing(env: AMoDRebalanceEnv) -> Shares:
    """Vehicles stay where they became idle."""
    return env.idle.astype(np.float64)


def random_shares(env: AMoDRebalanceEnv) -> Shares:
    """Uniform on the simplex."""
    return env.np_random.dirichlet(np.ones(env.idle.size))


def equal_distribution(env: AMoDRebalanceEnv) -> Shares:
    """As many vehicles everywhere."""
    return np.ones(env.idle.size)


def informed(env: AMoDRebalanceEnv) -> Shares:
    """In proportion to the passengers expected in the next steps, less the vehicles that arrive then."""
    assert env.instance is not None
    expected = env.instance.forecast[env.now + 1 : env.now + 4].sum(axis=(0, 2)).astype(np.float64)
    needed = np.maximum(0.0, expected - env.arriving[env.now + 1 : env.now + 4].sum(axis=0))
    return needed if needed.any() else expected


def plus_one(env: AMoDRebalanceEnv) -> Shares:
    """A vehicle for each that has left in the last step, as far as idle ones last."""
    assert env.instance is not None
    left = env.instance.demand[env.now].sum(axis=1).astype(np.float64)
    return left if left.any() else np.ones(left.size)


def mpc(env: AMoDRebalanceEnv, *, horizon: int = 6, oracle: bool = False) -> Shares:
    """Model predictive control: a time-expanded LP over the next steps on the forecast, of which the first step is driven."""
    morning = env.instance
    assert morning is not None
    N, last = env.idle.size, min(env.now + horizon, morning.num_steps)
    T = last - env.now
    demand = np.zeros((N, N, T))
    source = morning.demand if oracle else morning.forecast
    demand[:, :, 1:] = source[env.now + 1 : last].transpose(1, 2, 0)
    supply = env.arriving[env.now : last].T.astype(np.float64)
    supply[:, 0] = env.idle
    plan = solve_flow(
        FlowProblem(
            supply=supply,
            duration=morning.travel_time.astype(np.int64),
            allowed=np.ones((N, N, T), bool),
            demand=demand,
            fare=np.repeat(morning.fare[:, :, None].astype(np.float64), T, axis=2),
            cost=(morning.cost * morning.travel_time).astype(np.float64),
            energy=np.zeros((N, N)),
            price=np.zeros(T),
            final_price=0.0,
            seats=1,
            patience=0,
            charge=0.0,
            chargers=np.zeros(N, np.int64),
            parking=np.full(N, morning.num_vehicles),
            energy_budget=0.0,
        )
    )
    moves = plan.flights[:, :, 0]
    return np.maximum(0.0, env.idle + moves.sum(axis=0) - moves.sum(axis=1))


def mpc_oracle(env: AMoDRebalanceEnv) -> Shares:
    """Model predictive control that knows who will ask: an upper reference, no policy."""
    return mpc(env, oracle=True)


POLICIES: Mapping[str, Callable[[AMoDRebalanceEnv], Shares]] = MappingProxyType(
    {
        "no_rebalancing": no_rebalancing,
        "random": random_shares,
        "equal_distribution": equal_distribution,
        "plus_one": plus_one,
        "informed": informed,
        "mpc": mpc,
        "mpc_oracle": mpc_oracle,
    }
)
"""By name."""


def run(env: AMoDRebalanceEnv, policy: Callable[[AMoDRebalanceEnv], Shares], seed: int) -> float:
    """Profit of one episode, USD."""
    env.reset(seed=seed)
    terminated = False
    while not terminated:
        shares = policy(env)
        total = shares.sum()
        action = shares / total if total > 0 else shares
        _, _, terminated, _, _ = env.step(action.astype(np.float32))
    return env.profit / 100.0
