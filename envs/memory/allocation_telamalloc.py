"""A search in the manner of TelaMalloc: contention first, and conflicts say where to backtrack.

The paper (Maas et al., ASPLOS 2023) pairs heuristics with a CP solver and has no public code; what is here follows its
description only as far as the search goes. Propagation is by the lowest feasible offsets of unplaced buffers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import inlined_kernel, kernel
from makespan.envs.core.policy import Solution
from makespan.envs.memory.allocation_branch import overlaps
from makespan.envs.memory.allocation_decode import LOWEST, Layout, best_greedy, make_layout, put, spot
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_solver import check_time_limit, solution_of
from makespan.envs.memory.allocation_statics import fullest_sections
from makespan.envs.memory.rectangles import I64, clear, release

_CHOICES: Final = 4  # promoted, then longest, largest and largest area of the most contended phase
_FIRST_LIMIT: Final = 500
_FIRST_RATE: Final = 5_000.0  # nodes a second, until measured
_MOST_PROMOTIONS: Final = 3
_CUT_OFF: Final = -1
_EXHAUSTED: Final = -2


class Phases(NamedTuple):
    """What the search reads and keeps; N buffers."""

    priority: I64  # (3, N) lifetime, size, area
    contention: I64  # (N,) load of the fullest section
    overlap_first: I64  # (N + 1,)
    overlap: I64  # (K, 2) other buffer, distance
    chosen: I64  # (N,) buffer placed at each depth
    tried: I64  # (N + 1,) the next choice at each depth
    promoted: I64  # (N + 1,) buffer that failed below each depth, -1 if none
    promotions: (
        I64  # (N + 1,) how many there have been; two buffers could otherwise promote each other for ever
    )


def make_phases(problem: AllocationProblem) -> Phases:
    """The search's view of a problem."""
    duration, count = problem.upper - problem.lower, problem.num_buffers
    first, rows = overlaps(problem)
    return Phases(
        np.stack((duration, problem.size, problem.size * duration)),
        problem.load[fullest_sections(problem)],
        first,
        rows,
        np.zeros(count, np.int64),
        np.zeros(count + 1, np.int64),
        np.full(count + 1, -1, np.int64),
        np.zeros(count + 1, np.int64),
    )


@inlined_kernel
def _choice(layout: Layout, phases: Phases, depth: int) -> int:
    """The next buffer to try at a depth, -1 if there is none left."""
    while phases.tried[depth] < _CHOICES:
        which = phases.tried[depth]
        phases.tried[depth] += 1
        if which == 0:
            promoted = phases.promoted[depth]
            if promoted >= 0 and layout.offset[promoted] < 0:
                return promoted
            continue
        best = -1
        for i in range(layout.size.size):
            if layout.offset[i] >= 0:
                continue
            if best < 0 or (phases.contention[i], phases.priority[which - 1, i]) > (
                phases.contention[best],
                phases.priority[which - 1, best],
            ):
                best = int(i)
        return best
    return -1


@inlined_kernel
def _victim(layout: Layout, phases: Phases, i: int, capacity: int) -> int:
    """An unplaced buffer that overlaps with i and no longer fits below the capacity, -1 if all do."""
    for k in range(phases.overlap_first[i], phases.overlap_first[i + 1]):
        j = phases.overlap[k, 0]
        if layout.offset[j] < 0 and spot(layout, j, LOWEST) + layout.size[j] > capacity:
            return j
    return -1


@inlined_kernel
def _lift(layout: Layout, i: int) -> None:
    """Take buffer i out again."""
    release(layout.placed, 0, i)
    layout.offset[i] = -1


@inlined_kernel
def _meet(phases: Phases, i: int, j: int) -> bool:
    """Whether buffers i and j overlap in time."""
    met = False
    for k in range(phases.overlap_first[i], phases.overlap_first[i + 1]):
        met |= phases.overlap[k, 0] == j
    return met


@inlined_kernel
def _promote(phases: Phases, depth: int, victim: int) -> None:
    """Let a buffer that failed be tried first at a depth."""
    if phases.promotions[depth] < _MOST_PROMOTIONS and phases.promoted[depth] != victim:
        phases.promotions[depth] += 1
        phases.promoted[depth], phases.tried[depth] = victim, 0


@kernel
def search(layout: Layout, phases: Phases, capacity: int, max_nodes: int) -> int:
    """Look for an allocation within `capacity`.

    Returns:
        The nodes that are left, or `_CUT_OFF` if they did not suffice, or `_EXHAUSTED` if nothing is left to try.
    """
    clear(layout.placed, 0)
    layout.offset[:] = -1
    free = 0
    for i in range(layout.size.size):
        if layout.fixed[i] >= 0:
            put(layout, i, layout.fixed[i])
        else:
            free += 1
    depth, nodes = 0, max_nodes
    phases.tried[:], phases.promoted[:], phases.promotions[:] = 0, -1, 0
    while depth < free:
        nodes -= 1
        if nodes < 0:
            return _CUT_OFF
        i = _choice(layout, phases, depth)
        victim = -1
        if i >= 0:
            offset = spot(layout, i, LOWEST)
            victim = i
            if offset + layout.size[i] <= capacity:
                put(layout, i, offset)
                phases.chosen[depth] = i
                victim = _victim(layout, phases, i, capacity)
                if victim < 0:
                    depth += 1
                    if depth < free:
                        phases.tried[depth], phases.promoted[depth], phases.promotions[depth] = 0, -1, 0
                    continue
                _lift(layout, i)
                _promote(phases, depth, victim)
                continue
        # nothing serves here: back to the last decision that stands in the way
        while depth > 0:
            depth -= 1
            _lift(layout, phases.chosen[depth])
            if victim < 0 or _meet(phases, phases.chosen[depth], victim):
                break
        else:
            return _EXHAUSTED
        if victim >= 0:
            _promote(phases, depth, victim)
    return nodes


@dataclass(frozen=True)
class TelaMallocSolver:
    """Contention-guided search with conflict-directed backtracking, for falling capacities.

    The most contended unplaced buffers come first: the longest, the largest, or the largest by area. Where one no longer
    fits, the search goes back to the last placed buffer in its way and tries the one that failed there. It is
    incomplete: that nothing is found proves nothing.

    Attributes:
        step: Each capacity tried lies this share of the way from the best peak to the load bound.
    """

    step: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.step <= 1:
            raise ValueError(f"step: {self.step}; expected above 0 and up to 1")

    def solve(self, instance: AllocationProblem, time_limit_s: float = 3.0, seed: int = 0) -> Solution:
        """The best allocation found in the time; proved optimal only where it meets the load bound."""
        check_time_limit(time_limit_s)
        deadline = time.monotonic() + time_limit_s
        layout, phases, unit = make_layout(instance), make_phases(instance), instance.unit
        best = int(best_greedy(instance, layout)[0])
        offsets: NDArray[np.int64] = layout.offset.copy()
        step, limit, rate = self.step, _FIRST_LIMIT, _FIRST_RATE
        while best > instance.load_bound and (began := time.monotonic()) < deadline:
            room = (best - instance.load_bound) // unit
            capacity = best - max(1, int(step * room)) * unit
            nodes = int(min(limit, max(1.0, rate * (deadline - began))))
            left = int(search(layout, phases, capacity, nodes))
            if left >= 0:
                offsets = layout.offset.copy()
                best = int((offsets + instance.size).max())
            elif step * room > 1:
                step /= 2
            elif left == _EXHAUSTED:
                break
            else:
                step, limit = self.step, limit * 2
            if left == _CUT_OFF:
                rate = nodes / max(time.monotonic() - began, 1e-6)
        return solution_of(instance, offsets, instance.load_bound)
