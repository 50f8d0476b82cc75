"""A fleet's day (or the next hours) as a flow of aircraft and passengers through time-expanded space: an LP or a MILP.

Time is cut into bins as long as a stay. Aircraft flow between vertiports or idle; a passenger boards in the bin of
arrival or in one of the next bins that patience reaches into; energy is pooled over the fleet. With floored flight times
and the realised day, this is a relaxation of the problem, so that its optimum bounds every policy's profit
(`makespan.envs.fleet.bound`); with the forecast, it is a planner's model (`makespan.envs.fleet.rolling`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_matrix, csr_matrix

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FlowProblem:
    """The data of a flow; V vertiports, T bins. Money in cents, energy in 0.1 kWh.

    Attributes:
        supply: (V, T) aircraft that become free at a vertiport in a bin.
        duration: (V, V) bins from a decision to the next.
        allowed: (V, V, T) bool, whether a flight may be decided on.
        demand: (V, V, T) passengers by their bin of arrival.
        fare: (V, V, T) a passenger.
        cost: (V, V) operating cost of a flight.
        energy: (V, V) of a flight.
        price: (T,) of energy.
        final_price: Of energy that is missing in the end.
        seats: Of an aircraft.
        patience: Bins after that of arrival in which a passenger may still board.
        charge: Most energy that an idle bin on a charger adds.
        chargers: (V,).
        parking: (V,).
        energy_budget: What the fleet may use without charging.
        missing: Energy that the fleet misses at the start.
    """

    supply: F64
    duration: I64
    allowed: NDArray[np.bool_]
    demand: F64
    fare: F64
    cost: F64
    energy: F64
    price: F64
    final_price: float
    seats: int
    patience: int
    charge: float
    chargers: I64
    parking: I64
    energy_budget: float
    missing: float = 0.0


@dataclass(frozen=True, slots=True)
class Flow:
    """A solution: its value in cents, a bound on the best value, and the flights (V, V, T)."""

    value: float
    bound: float
    flights: F64


class _Rows:
    """Rows of a sparse matrix `A x <= b` or `= b`, collected."""

    def __init__(self) -> None:
        self.row: list[I64] = []
        self.column: list[I64] = []
        self.value: list[F64] = []
        self.low: list[F64] = []
        self.high: list[F64] = []
        self.count = 0

    def new(self, low: F64, high: F64) -> I64:
        """Add rows with these bounds; returns their numbers."""
        numbers = np.arange(self.count, self.count + high.size)
        self.low.append(low.ravel())
        self.high.append(high.ravel())
        self.count += high.size
        return numbers

    def put(self, row: I64, column: I64, value: F64 | float) -> None:
        """Add entries."""
        row, column, amount = np.broadcast_arrays(row, column, np.asarray(value, np.float64))
        self.row.append(row.ravel())
        self.column.append(column.ravel())
        self.value.append(amount.ravel())

    def constraint(self, num_columns: int) -> LinearConstraint:
        """All of them."""
        return LinearConstraint(
            self._matrix(num_columns), np.concatenate(self.low), np.concatenate(self.high)
        )

    def minimum(self, cost: F64, upper: F64) -> float:
        """The least cost of columns between 0 and `upper` that keep to the rows, by an interior point method."""
        matrix, low, high = self._matrix(cost.size), np.concatenate(self.low), np.concatenate(self.high)
        equal = low == high
        answer = linprog(
            cost,
            A_ub=matrix[~equal],
            b_ub=high[~equal],
            A_eq=matrix[equal],
            b_eq=high[equal],
            bounds=np.stack([np.zeros(cost.size), upper], axis=1),
            method="highs-ipm",
        )
        if answer.x is None:
            raise RuntimeError(f"HiGHS found no flow: {answer.message}")
        return float(answer.fun)

    def _matrix(self, num_columns: int) -> csr_matrix:
        entries = np.concatenate(self.value), (np.concatenate(self.row), np.concatenate(self.column))
        return coo_matrix(entries, shape=(self.count, num_columns)).tocsr()


@dataclass(frozen=True, slots=True)
class _Program:
    """The linear program of a flow: minimise `cost` over columns between 0 and `upper` that keep to `rows`."""

    cost: F64
    upper: F64
    rows: _Rows
    flights: I64  # (routes, T) columns
    origin: I64
    destination: I64


def solve_flow(
    problem: FlowProblem, *, integer: bool = False, time_limit_s: float | None = None, gap: float = 0.0
) -> Flow:
    """Maximise the profit of a flow with HiGHS.

    Args:
        problem: The data.
        integer: Whether flights come whole, or in fractions.
        time_limit_s: Of the search; None for none.
        gap: Relative gap at which the search may stop.

    Raises:
        RuntimeError: HiGHS ended without a solution.
    """
    program = _program(problem)
    size = program.cost.size
    integrality = np.zeros(size)
    integrality[program.flights] = float(integer)
    options = {"mip_rel_gap": gap} | ({} if time_limit_s is None else {"time_limit": time_limit_s})
    answer = milp(
        program.cost,
        integrality=integrality,
        bounds=Bounds(np.zeros(size), program.upper),
        constraints=program.rows.constraint(size),
        options=options,
    )
    if answer.x is None:
        raise RuntimeError(f"HiGHS found no flow: {answer.message}")
    flights = np.zeros((*problem.demand.shape[:2], problem.supply.shape[1]))
    flights[program.origin, program.destination] = answer.x[program.flights]
    given = problem.final_price * problem.missing
    bound = answer.fun if answer.mip_dual_bound is None else min(answer.fun, answer.mip_dual_bound)
    return Flow(-float(answer.fun) - given, -float(bound) - given, flights)


def largest_value(problem: FlowProblem) -> float:
    """The profit of the best divisible flow, cents, without the flow: several times as fast as `solve_flow` on large fleets.

    Raises:
        RuntimeError: HiGHS ended without a solution.
    """
    program = _program(problem)
    return -program.rows.minimum(program.cost, program.upper) - problem.final_price * problem.missing


def _program(problem: FlowProblem) -> _Program:
    V, T = problem.supply.shape
    origin, destination = np.nonzero(problem.allowed.any(axis=2))
    n = origin.size
    x = np.arange(n * T).reshape(n, T)
    pair, arrival = np.nonzero(problem.demand[origin, destination] > 0)
    delay = np.arange(problem.patience + 1)
    z = n * T + np.arange(pair.size * delay.size).reshape(pair.size, delay.size)
    idle = n * T + z.size + np.arange(V * T).reshape(V, T)
    charge = idle + V * T
    num_columns = n * T + z.size + 2 * V * T
    upper = np.full(num_columns, np.inf)
    upper[x] = np.where(problem.allowed[origin, destination], np.inf, 0.0)
    boarding = arrival[:, None] + delay
    in_day = boarding < T
    upper[z] = np.where(in_day, np.inf, 0.0)
    upper[idle] = problem.parking[:, None]
    upper[charge] = problem.charge * problem.chargers[:, None]
    rows = _Rows()
    _conserve(rows, problem, x, idle, origin, destination)
    boarding = np.minimum(boarding, T - 1)
    # passengers: no more board than there are, nor than there are seats
    waiting = rows.new(np.full(pair.size, -np.inf), problem.demand[origin, destination][pair, arrival])
    rows.put(waiting[:, None], z, 1.0)
    seats = rows.new(np.full(n * T, -np.inf), np.zeros(n * T)).reshape(n, T)
    rows.put(seats, x, -float(problem.seats))
    rows.put(seats[pair[:, None], boarding][in_day], z[in_day], 1.0)
    _energy(rows, problem, x, idle, charge, problem.energy[origin, destination])
    gain = np.zeros(num_columns)
    gain[z] = problem.fare[origin, destination][pair[:, None], boarding]
    gain[x] = -(problem.cost + problem.final_price * problem.energy)[origin, destination][:, None]
    gain[charge] = problem.final_price - problem.price
    return _Program(-gain, upper, rows, x, origin, destination)


def _conserve(rows: _Rows, problem: FlowProblem, x: I64, idle: I64, origin: I64, destination: I64) -> None:
    """Who is free at a vertiport in a bin leaves or idles."""
    V, T = problem.supply.shape
    balance = rows.new(problem.supply, problem.supply).reshape(V, T)
    rows.put(balance, idle, 1.0)
    rows.put(balance[:, 1:], idle[:, :-1], -1.0)
    rows.put(balance[origin], x, 1.0)
    lands = np.arange(T) + problem.duration[origin, destination][:, None]
    inside = lands < T
    rows.put(balance[destination[:, None], np.minimum(lands, T - 1)][inside], x[inside], -1.0)


def _energy(rows: _Rows, problem: FlowProblem, x: I64, idle: I64, charge: I64, energy: F64) -> None:
    """Chargers charge the idle; the fleet never uses more than it has, nor charges more than it misses."""
    T = x.shape[1]
    on_charger = rows.new(np.full(charge.size, -np.inf), np.zeros(charge.size)).reshape(charge.shape)
    rows.put(on_charger, charge, 1.0)
    rows.put(on_charger, idle, -problem.charge)
    budget = rows.new(np.full(T, -np.inf), np.full(T, problem.energy_budget))
    bins = np.arange(T)
    for t in bins.tolist():
        rows.put(budget[t], x[:, : t + 1], np.broadcast_to(energy[:, None], (energy.size, t + 1)))
        rows.put(budget[t], charge[:, :t], -1.0)
    total = rows.new(np.array([-np.inf]), np.array([problem.missing]))
    rows.put(total[0], charge, 1.0)
    rows.put(total[0], x, -np.broadcast_to(energy[:, None], x.shape))
