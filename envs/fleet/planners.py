"""Policies that plan with the forecast: a rebalancing LP and a rolling-horizon MILP. Neither sees the realisation.

Both take from the day what is published in the morning (network, fares, energy prices, forecast, parameters), and
everything else from the observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from makespan.envs.core.graph import CandidateView, GraphSchema, Observation
from makespan.envs.core.policy import RulePolicy, get_rule
from makespan.envs.fleet import rules as rules  # registers them
from makespan.envs.fleet.bound import bin_seconds, per_bin
from makespan.envs.fleet.instance import FARE_BIN, FleetDay
from makespan.envs.fleet.time_expanded import FlowProblem, solve_flow

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_PERIOD: Final = 1800  # seconds between two rebalancing plans


class _State:
    """What an observation says of the fleet, in the units of the instance."""

    def __init__(self, schema: GraphSchema, day: FleetDay, seen: dict[str, NDArray[Any]]) -> None:
        V, K, p = day.num_vertiports, day.num_aircraft, day.parameters
        aircraft = seen["aircraft_x"][:K].astype(np.float64)
        column = {f.name: c for c, f in enumerate(schema.node("aircraft").features)}
        self.now = round(float(seen["network_x"][0, schema.node_feature("network", "time")]) * p.horizon)
        self.place = seen["aircraft_parent"][:K].astype(np.int64)
        self.free_in = np.rint(aircraft[:, column["free_in"]] * p.stay_time)
        self.energy = np.rint(aircraft[:, column["energy"]] * p.battery)
        self.queue = np.zeros((V, V))
        origin, destination = seen["route_index"][:, : V * (V - 1)]
        queue = [f.name for f in schema.edge("route").features].index("queue")
        self.queue[origin, destination] = np.rint(seen["route_x"][: V * (V - 1), queue] * p.seats)
        closed = [f.name for f in schema.edge("route").features].index("closed")
        self.closed = np.zeros((V, V), bool)
        self.closed[origin, destination] = seen["route_x"][: V * (V - 1), closed] > 0.5


class _Planner:
    """Keeps a plan for each slot of a vector environment: flights (V, V) still to be sent, and when to plan anew."""

    def __init__(self, schema: GraphSchema, seed: int = 0) -> None:
        self.schema = schema
        self.days: dict[int, FleetDay] = {}
        self.plans: dict[int, F64] = {}
        self.until: dict[int, int] = {}
        self.greedy = RulePolicy(get_rule("fleet", "greedy_per_block_hour"), schema)

    def begin(self, instances: Sequence[FleetDay], slots: I64) -> None:
        """Start anew in these slots."""
        for day, slot in zip(instances, slots.tolist(), strict=True):
            self.days[slot] = day
            self.until[slot] = -1

    def act(self, observation: Observation) -> I64:
        """The action (B,) of each slot."""
        view = CandidateView(self.schema, observation)
        actions = self.greedy.act(observation)
        time = self.schema.node_feature("network", "time")
        for slot in range(len(actions)):
            decider = int(view.index[slot].max(axis=0)[0])
            if decider < 0:  # the day is over
                continue
            day = self.days[slot]
            now = round(float(observation["network_x"][slot, 0, time]) * day.parameters.horizon)
            if now >= self.until[slot]:
                seen = {key: array[slot] for key, array in observation.items()}
                self.plans[slot] = self._plan(day, _State(self.schema, day, seen))
                self.until[slot] = (now // self._period(day) + 1) * self._period(day)
            here = int(observation["aircraft_parent"][slot, decider])
            actions[slot] = self._choose(view, slot, here, int(actions[slot]))
        return actions

    def _period(self, day: FleetDay) -> int:
        raise NotImplementedError

    def _plan(self, day: FleetDay, state: _State) -> F64:
        raise NotImplementedError

    def _choose(self, view: CandidateView, slot: int, here: int, greedy: int) -> int:
        raise NotImplementedError

    def _next_planned(self, view: CandidateView, slot: int, here: int) -> int | None:
        """The allowed destination of a planned flight that pays best now."""
        plan = self.plans[slot]
        mask = view.mask[slot][: plan.shape[0]]
        open_flights = np.flatnonzero(mask & (plan[here] > 0.5))
        if not open_flights.size:
            return None
        best = int(open_flights[view["margin_cents"][slot, open_flights].argmax()])
        plan[here, best] -= 1.0
        return best


class RebalancingPolicy(_Planner):
    """Greedy flights, and empty ones as a rebalancing LP plans them every half hour (as in autonomous mobility on demand).

    The LP spreads the fleet in proportion to the passengers that wait and are forecast for the next hour, at the least
    operating cost (Pavone, Smith, Frazzoli & Rus 2012, Int. J. of Robotics Research 31(7)). Flow conservation makes its
    vertices whole.
    """

    def _period(self, day: FleetDay) -> int:
        return _PERIOD

    def _plan(self, day: FleetDay, state: _State) -> F64:
        V, H, now = day.num_vertiports, day.parameters.num_bins, state.now // FARE_BIN
        expected = day.forecast[:, :, now : min(now + 2, H)].sum(axis=2) + state.queue
        wanted = expected.sum(axis=1)
        there = np.bincount(state.place, minlength=V)
        target = np.minimum(day.num_aircraft * wanted / max(wanted.sum(), 1e-9), day.parking)
        pairs = [(i, j) for i in range(V) for j in range(V) if i != j and not state.closed[i, j]]
        cost = np.array([float(day.operating_cost[i, j] + 2 * day.flight_energy[i, j]) for i, j in pairs])
        move = np.zeros((V, len(pairs)))
        for column, (i, j) in enumerate(pairs):
            move[i, column], move[j, column] = -1.0, 1.0
        short = np.floor(target) - there
        columns = np.concatenate([cost, np.full(V, 1e6)])  # unmet shortage is dear
        matrix = np.hstack([move, np.eye(V)])
        answer = milp(
            columns,
            constraints=LinearConstraint(matrix, short, np.inf),
            bounds=Bounds(np.zeros(columns.size), np.inf),
        )
        plan = np.zeros((V, V))
        if answer.x is not None:
            for column, (i, j) in enumerate(pairs):
                plan[i, j] = np.rint(answer.x[column])
        return plan

    def _choose(self, view: CandidateView, slot: int, here: int, greedy: int) -> int:
        if view["margin_cents"][slot, greedy] > 0:
            return greedy
        planned = self._next_planned(view, slot, here)
        return greedy if planned is None else planned


class RollingHorizonPolicy(_Planner):
    """A time-expanded MILP over the next two hours, solved anew every quarter of an hour, of which the first bin is flown.

    Demand is the queue now and the forecast; what aircraft are worth after the horizon is not counted.

    Args:
        schema: The decision graph's.
        seed: Unused: HiGHS decides.
        bins: Length of the horizon in stays.
        time_limit_s: For each plan.
        gap: Relative gap at which HiGHS may stop.
    """

    def __init__(
        self,
        schema: GraphSchema,
        seed: int = 0,
        *,
        bins: int = 8,
        time_limit_s: float = 2.0,
        gap: float = 0.02,
    ) -> None:
        super().__init__(schema, seed)
        self.bins, self.time_limit_s, self.gap = bins, time_limit_s, gap

    def _period(self, day: FleetDay) -> int:
        return bin_seconds(day)

    def _plan(self, day: FleetDay, state: _State) -> F64:
        problem = forecast_problem(day, state, self.bins)
        try:
            flow = solve_flow(problem, integer=True, time_limit_s=self.time_limit_s, gap=self.gap)
        except RuntimeError:  # no plan in time: the fleet stays for a bin
            return np.zeros((day.num_vertiports, day.num_vertiports))
        return np.rint(flow.flights[:, :, 0])

    def _choose(self, view: CandidateView, slot: int, here: int, greedy: int) -> int:
        planned = self._next_planned(view, slot, here)
        return here if planned is None else planned


def forecast_problem(day: FleetDay, state: _State, bins: int) -> FlowProblem:
    """The flow problem of the next `bins` stays as far as it can be known now."""
    p, V, width = day.parameters, day.num_vertiports, bin_seconds(day)
    first = state.now // width
    T = min(bins, p.horizon // width - first)
    supply = np.zeros((V, T))
    free_at = np.minimum(((state.now + state.free_in) // width).astype(np.int64) - first, T)
    inside = free_at < T
    np.add.at(supply, (state.place[inside], np.maximum(free_at[inside], 0)), 1.0)
    last = p.horizon // width
    rate = per_bin(day.forecast, FARE_BIN, width, last)[:, :, first : first + T] * width / FARE_BIN
    demand = rate.astype(np.float64)
    demand[:, :, 0] += state.queue
    in_reach = day.flight_energy + day.energy_needed[None] <= p.battery
    np.fill_diagonal(in_reach, False)
    allowed = np.repeat(in_reach[:, :, None], T, axis=2)
    allowed[:, :, 0] &= ~state.closed
    block = p.takeoff_time + day.mean_delay[:, None] + day.flight_time
    usable = float((state.energy[inside] - p.reserve).clip(0).sum())
    return FlowProblem(
        supply=supply,
        duration=np.maximum(1, np.rint(block / width)).astype(np.int64),
        allowed=allowed,
        demand=demand,
        fare=per_bin(day.fare, FARE_BIN, width, last)[:, :, first : first + T].astype(np.float64),
        cost=day.operating_cost.astype(np.float64),
        energy=day.flight_energy.astype(np.float64),
        price=per_bin(day.energy_price, FARE_BIN, width, last)[first : first + T].astype(np.float64),
        final_price=float(max(p.final_energy_price, day.energy_price.min())),
        seats=p.seats,
        patience=-(-p.patience // width),
        charge=float(p.charge_per_stay),
        chargers=day.chargers.astype(np.int64),
        parking=np.maximum(day.parking, day.num_aircraft).astype(np.int64),
        energy_budget=usable,
        missing=float((p.battery - state.energy).sum()),
    )
