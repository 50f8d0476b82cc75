"""Local search over orders of buffers, each order decoded by the greedy placement: annealing and tabu search.

Both minimise the pair (peak, number of buffers that reach it) and draw their random numbers beforehand, a batch of moves at a
time, so that equal seeds give equal searches as far as the time allows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import inlined_kernel, kernel
from makespan.envs.core.policy import Solution
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.allocation_decode import FITS, Layout, best_greedy, decode, make_layout
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_solver import check_time_limit, solution_of
from makespan.envs.memory.rectangles import I64

_BATCH: Final = 256  # moves between two looks at the clock


@inlined_kernel
def _crowns(layout: Layout, peak: int) -> int:
    """How many buffers reach the peak."""
    count = 0
    for i in range(layout.size.size):
        count += layout.offset[i] + layout.size[i] == peak
    return count


@inlined_kernel
def _move(order: I64, source: int, target: int) -> None:
    """Take the buffer at a position out and insert it at another."""
    buffer = order[source]
    step = 1 if target > source else -1
    for position in range(source, target, step):
        order[position] = order[position + step]
    order[target] = buffer


@kernel
def _anneal(
    layout: Layout,
    order: I64,
    best_order: I64,
    state: I64,
    moves: I64,
    chance: NDArray[np.float64],
    temperatures: NDArray[np.float64],
    fit: int,
) -> None:
    """Try moves (n, 2); `state` holds the cost of `order`, the cost of `best_order`, and the number of buffers."""
    scale = state[2] + 1
    for k in range(moves.shape[0]):
        source, target = moves[k, 0], moves[k, 1]
        _move(order, source, target)
        peak = decode(layout, order, fit)
        cost = peak * scale + _crowns(layout, peak)
        rise = (cost - state[0]) / scale
        if rise <= 0 or chance[k] < np.exp(-rise / temperatures[k]):
            state[0] = cost
            if cost < state[1]:
                state[1] = cost
                best_order[:] = order
        else:
            _move(order, target, source)


@kernel
def _tabu_step(
    layout: Layout,
    order: I64,
    best_order: I64,
    state: I64,
    banned: I64,
    moves: I64,
    iteration: int,
    tenure: int,
    fit: int,
) -> None:
    """Make the best move of those given (n, 2) whose buffer is not banned, unless it is the best ever."""
    scale = state[2] + 1
    best, chosen = np.int64(2**62), -1
    for k in range(moves.shape[0]):
        source, target = moves[k, 0], moves[k, 1]
        buffer = order[source]
        _move(order, source, target)
        peak = decode(layout, order, fit)
        cost = peak * scale + _crowns(layout, peak)
        _move(order, target, source)
        if cost < best and (banned[buffer] <= iteration or cost < state[1]):
            best, chosen = cost, k
    if chosen < 0:
        return
    banned[order[moves[chosen, 0]]] = iteration + tenure
    _move(order, moves[chosen, 0], moves[chosen, 1])
    state[0] = best
    if best < state[1]:
        state[1] = best
        best_order[:] = order


def _check_fit(fit: str | None) -> None:
    if fit is not None and fit not in FITS:
        raise ValueError(f"fit: {fit!r}; expected one of {', '.join(FITS)}, or None")


class _Run:
    """A search under way: the layout, the present and the best order with their costs."""

    def __init__(self, problem: AllocationProblem, fit: str | None) -> None:
        self.problem, self.layout = problem, make_layout(problem)
        peak, self.order, self.fit = best_greedy(problem, self.layout)
        if fit is not None and FITS[fit] != self.fit:
            self.fit = FITS[fit]
            peak = int(decode(self.layout, self.order, self.fit))
        self.best_order = self.order.copy()
        count = problem.num_buffers
        cost = peak * (count + 1) + count
        self.state = np.array([cost, cost, count], np.int64)

    @property
    def optimal(self) -> bool:
        """Whether the best peak meets the load bound."""
        return int(self.state[1]) // (self.problem.num_buffers + 1) <= self.problem.load_bound

    def moves(self, rng: np.random.Generator, count: int) -> I64:
        """Random insertions (count, 2): from a position to another one."""
        n = self.order.size
        source = rng.integers(n, size=count)
        return np.stack((source, (source + rng.integers(1, n, size=count)) % n), axis=1)

    def start_from(self, order: I64) -> None:
        """Go on from another order of the buffers that have no prescribed offset."""
        peak = int(decode(self.layout, order, self.fit))
        self.order, self.best_order = order.copy(), order.copy()
        self.state[:2] = peak * (self.problem.num_buffers + 1) + self.problem.num_buffers

    def solution(self) -> Solution:
        """The allocation of the best order."""
        decode(self.layout, self.best_order, self.fit)
        return solution_of(self.problem, self.layout.offset.copy(), self.problem.load_bound)


@dataclass(frozen=True)
class AnnealingSolver:
    """Simulated annealing over orders (Kirkpatrick et al. 1983): random insertions from the best greedy order.

    Temperatures fall geometrically over the time allowed, then the search starts again from the best order.

    Attributes:
        hot: First temperature, as a share of the load bound.
        cold: Last temperature, likewise.
        cycles: Coolings within the time limit.
        fit: "lowest" or "best"; None takes that of the best greedy rule.
    """

    hot: float = 0.02
    cold: float = 0.0005
    cycles: int = 2
    fit: str | None = "lowest"

    def __post_init__(self) -> None:
        _check_fit(self.fit)
        if not 0 < self.cold <= self.hot or self.cycles < 1:
            raise ValueError(
                f"hot {self.hot}, cold {self.cold}, cycles {self.cycles}; expected 0 < cold <= hot, cycles >= 1"
            )

    def solve(self, instance: AllocationProblem, time_limit_s: float = 3.0, seed: int = 0) -> Solution:
        """The best allocation found in the time; proved optimal only where it meets the load bound."""
        check_time_limit(time_limit_s)
        run, rng, began = _Run(instance, self.fit), np.random.default_rng(seed), time.monotonic()
        share = 0.0
        while share < 1.0 and not run.optimal and instance.num_buffers > 1:
            cooled = share * self.cycles % 1.0
            heat = instance.load_bound * self.hot * (self.cold / self.hot) ** cooled
            temperatures = np.full(_BATCH, heat)
            moves, chance = run.moves(rng, _BATCH), rng.random(_BATCH)
            _anneal(run.layout, run.order, run.best_order, run.state, moves, chance, temperatures, run.fit)
            now = (time.monotonic() - began) / time_limit_s
            if int(now * self.cycles) > int(share * self.cycles):
                run.order[:], run.state[0] = run.best_order, run.state[1]
            share = now
        return run.solution()


@dataclass(frozen=True)
class TabuSolver:
    """Tabu search over orders (Glover 1989): the best of some insertions, buffers moved lately left alone.

    Half of the insertions move a buffer that reaches the peak to an earlier position, the others are random.

    Attributes:
        neighbours: Insertions looked at in each iteration.
        tenure: Iterations for which a moved buffer is left alone.
        fit: "lowest" or "best"; None takes that of the best greedy rule.
    """

    neighbours: int = 64
    tenure: int = 12
    fit: str | None = None

    def __post_init__(self) -> None:
        _check_fit(self.fit)
        if self.neighbours < 2 or self.tenure < 0:
            raise ValueError(f"neighbours {self.neighbours}, tenure {self.tenure}; expected at least 2 and 0")

    def solve(self, instance: AllocationProblem, time_limit_s: float = 3.0, seed: int = 0) -> Solution:
        """The best allocation found in the time; proved optimal only where it meets the load bound."""
        check_time_limit(time_limit_s)
        run, rng, began = _Run(instance, self.fit), np.random.default_rng(seed), time.monotonic()
        banned, iteration = np.zeros(instance.num_buffers, np.int64), 0
        while time.monotonic() - began < time_limit_s and not run.optimal and instance.num_buffers > 1:
            moves = np.concatenate((self._promotions(run, rng), run.moves(rng, self.neighbours // 2)))
            state, fit = run.state, run.fit
            _tabu_step(
                run.layout, run.order, run.best_order, state, banned, moves, iteration, self.tenure, fit
            )
            iteration += 1
        return run.solution()

    def _promotions(self, run: _Run, rng: np.random.Generator) -> I64:
        """Insertions of buffers at the peak of the present order before their position."""
        layout = run.layout
        decode(layout, run.order, run.fit)
        tops = (layout.offset + layout.size)[run.order]
        at_peak = np.flatnonzero(tops == tops.max())
        at_peak = at_peak[at_peak > 0]
        if at_peak.size == 0:
            return np.zeros((0, 2), np.int64)
        source = rng.choice(at_peak, self.neighbours - self.neighbours // 2)
        return np.stack((source, rng.integers(0, source)), axis=1)


def climb_episodes(
    problem: AllocationProblem,
    options: Mapping[str, Any],
    episodes: Sequence[I64],
    evaluations: int,
    seed: int,
) -> Schedule:
    """The allocation that annealing from the best of some episodes finds; see `Family.climb`.

    Episodes are orders of buffers; each is placed anew, at the lowest offsets or as `fit` has it. Temperatures are
    those of the second half of `AnnealingSolver`'s cooling, for the start is good already.
    """
    run, rng = _Run(problem, options.get("fit", "lowest")), np.random.default_rng(seed)
    peaks = [int(decode(run.layout, order, run.fit)) for order in episodes]
    run.start_from(episodes[int(np.argmin(peaks))])
    left, cooling = max(0, evaluations - len(episodes)), AnnealingSolver()
    if run.order.size > 1:
        moves, chance = run.moves(rng, left), rng.random(left)
        share = np.linspace(0.5, 1.0, left)
        heat = problem.load_bound * cooling.hot * (cooling.cold / cooling.hot) ** share
        _anneal(run.layout, run.order, run.best_order, run.state, moves, chance, heat, run.fit)
    return run.solution().schedule
