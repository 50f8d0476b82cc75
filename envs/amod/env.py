"""The Gymnasium face of mobility on demand: an action is where idle vehicles ought to be."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from scipy.optimize import linprog

from makespan.envs.amod.instance import AMoDMorning, GridCity, make_city

I64 = NDArray[np.int64]
WINDOW = 6  # steps of forecast and of arriving vehicles that are shown
NUM_FEATURES = 2 + 3 * WINDOW


def rebalance(idle: I64, wanted: I64, travel_time: NDArray[np.int32]) -> I64:
    """Flows (N, N) of idle vehicles at least travel time, so that each region has at least those `wanted` (HiGHS, an LP).

    The constraint matrix is a network's, so the LP's vertices are whole numbers. `wanted` must not add up to more than `idle`.
    """
    N = idle.size
    pairs = [(i, j) for i in range(N) for j in range(N) if i != j]
    origin, destination = np.array(pairs).T
    out, into = np.zeros((N, len(pairs))), np.zeros((N, len(pairs)))
    columns = np.arange(len(pairs))
    out[origin, columns] = into[destination, columns] = 1.0
    answer = linprog(
        travel_time[origin, destination].astype(np.float64),
        A_ub=np.vstack([out - into, out]),
        b_ub=np.concatenate([idle - wanted, idle]).astype(np.float64),
        method="highs-ds",
    )
    assert answer.status == 0, answer.message
    flows = np.zeros((N, N), np.int64)
    flows[origin, destination] = np.rint(answer.x).astype(np.int64)
    return flows


def match(idle: I64, demand: I64, value: I64) -> I64:
    """Passengers (N, N) to carry for the greatest value: each region serves its most valuable ones, as vehicles last.

    This solves the matching LP exactly, which has a constraint for each region and falls apart into them.
    """
    served = np.zeros_like(demand)
    for i in range(idle.size):
        left = int(idle[i])
        for j in np.argsort(-value[i], kind="stable"):
            if left == 0 or value[i, j] <= 0:
                break
            served[i, j] = min(left, int(demand[i, j]))
            left -= served[i, j]
    return served


class AMoDRebalanceEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Rebalancing of an autonomous mobility-on-demand fleet, maximising the profit.

    ## Description
    At each step passengers ask for rides between regions; idle vehicles take them, the most valuable first, and who is not
    taken is lost. Then the action says how the idle vehicles ought to be spread, and a linear program sends them there
    at the least travel time: the scheme of Gammelli et al. (2021, "Graph neural network reinforcement learning for
    autonomous mobility-on-demand systems"). The cities are synthetic, so figures are no reproduction of any paper's.

    ## Action Space
    `Box(0, 1, (N,))`: the desired share of the idle vehicles in each region. It is divided by its sum (zeros mean an
    even spread), and vehicles that rounding leaves over stay where they are.

    ## Observation Space
    `Box(0, 100, (N, 20))`, a row a region: idle vehicles and the time, vehicles that arrive in each of the next 6 steps, expected
    passengers out of and into the region in each of the next 6; vehicles and passengers in units of the fleet's mean a region.

    ## Rewards
    Fares less driving cost, of trips and of rebalancing, in USD; what the matching at the very start brings is part of
    the first reward. In cents, `round(100 * reward)` adds up exactly to the profit.

    ## Starting State
    Vehicles spread evenly, the first passengers matched.

    ## Episode End
    Truncation: never. Termination: after the last step's matching.

    ## Arguments
    * `generator`: "grid" or a `GridCity`, with its parameters as further keywords (`rows=4, vehicles=240`).
    * `instance`: one `AMoDMorning` for every episode; `options={"instance": ...}` sets it for one.

    ## Version History
    * v0: initial version.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        generator: str | GridCity | None = None,
        *,
        instance: AMoDMorning | None = None,
        **parameters: Any,
    ) -> None:
        self._fixed = instance
        self.generator = make_city(generator, parameters)
        N = self.generator.num_regions if instance is None else instance.num_regions
        self.observation_space = spaces.Box(0.0, 100.0, (N, NUM_FEATURES), np.float32)
        self.action_space = spaces.Box(0.0, 1.0, (N,), np.float32)
        self.instance: AMoDMorning | None = None
        self.books = {"fares": 0, "trips": 0, "rebalancing": 0, "served": 0, "lost": 0}

    @property
    def profit(self) -> int:
        """So far, cents."""
        return self.books["fares"] - self.books["trips"] - self.books["rebalancing"]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start `options["instance"]`, the given one, or a fresh draw."""
        super().reset(seed=seed)
        chosen = (options or {}).get("instance", self._fixed)
        morning = self.generator.sample(self.np_random) if chosen is None else chosen
        if morning.num_regions != self.action_space.shape[0]:  # type: ignore[index]
            raise ValueError(
                f"instance: {morning.num_regions} regions; expected {self.action_space.shape[0]}"  # type: ignore[index]
            )
        self.instance = morning
        self.now = 0
        self.idle = morning.vehicles.astype(np.int64)
        self.arriving = np.zeros(
            (morning.num_steps + int(morning.travel_time.max()) + 1, self.idle.size), np.int64
        )
        self.books = dict.fromkeys(self.books, 0)
        self._paid = 0
        self._serve()
        return self._observe(), self._info()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Rebalance towards `action`, move on one step, and serve those who ask then."""
        if self.instance is None or self.now >= self.instance.num_steps - 1:
            raise gymnasium.error.ResetNeeded("step() without a running episode")
        share = np.asarray(action, np.float64)
        if share.shape != self.idle.shape or not np.isfinite(share).all() or (share < 0).any():
            raise ValueError(f"action: {action}; expected {self.idle.size} shares >= 0")
        total = share.sum()
        share = share / total if total > 0 else np.full(share.size, 1.0 / share.size)
        wanted = np.floor(share * self.idle.sum() + 1e-9).astype(np.int64)
        flows = rebalance(self.idle, wanted, self.instance.travel_time)
        self.books["rebalancing"] += self._send(flows)
        self.now += 1
        self.idle += self.arriving[self.now]
        self._serve()
        terminated = self.now == self.instance.num_steps - 1
        reward, self._paid = (self.profit - self._paid) / 100.0, self.profit
        info = self._info()
        if terminated:
            info["objective"] = self.profit / 100.0
        return self._observe(), reward, terminated, False, info

    def _send(self, flows: I64) -> int:
        """Let vehicles leave; what their driving costs, cents."""
        assert self.instance is not None
        self.idle -= flows.sum(axis=1)
        for i, j in zip(*np.nonzero(flows), strict=True):
            self.arriving[self.now + self.instance.travel_time[i, j], j] += flows[i, j]
        return int((flows * self.instance.travel_time).sum()) * self.instance.cost

    def _serve(self) -> None:
        assert self.instance is not None
        demand = self.instance.demand[self.now].astype(np.int64)
        value = self.instance.fare.astype(np.int64) - self.instance.cost * self.instance.travel_time
        served = match(self.idle, demand, value)
        self.books["fares"] += int((served * self.instance.fare).sum())
        self.books["trips"] += self._send(served)
        self.books["served"] += int(served.sum())
        self.books["lost"] += int(demand.sum() - served.sum())

    def _observe(self) -> NDArray[np.float32]:
        assert self.instance is not None
        N, now, T = self.idle.size, self.now, self.instance.num_steps
        unit = self.instance.num_vehicles / N
        out = np.zeros((N, NUM_FEATURES), np.float32)
        out[:, 0] = self.idle / unit
        out[:, 1] = now / T
        coming = self.arriving[now + 1 : now + 1 + WINDOW] / unit
        out[:, 2 : 2 + len(coming)] = coming.T
        ahead = self.instance.forecast[now + 1 : now + 1 + WINDOW] / unit
        out[:, 2 + WINDOW : 2 + WINDOW + len(ahead)] = ahead.sum(axis=2).T
        out[:, 2 + 2 * WINDOW : 2 + 2 * WINDOW + len(ahead)] = ahead.sum(axis=1).T
        return out.clip(0.0, 100.0)

    def _info(self) -> dict[str, Any]:
        return {"profit_cents": self.profit, **self.books}
