"""The rest of an allocation that somebody else began: what a teacher does from a state that a student has reached."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_solver import BranchAndBoundSolver
from makespan.envs.memory.allocation_validator import allocation_schedule, offsets_of

I64 = NDArray[np.int64]


def complete_allocation(
    problem: AllocationProblem, past: Schedule, time_limit_s: float, seed: int = 0
) -> Schedule:
    """The best allocation found that keeps what lies already and puts nothing else below it.

    In every section the others lie above what is placed there, and nowhere below the highest offset of all that was
    placed: the past counts as a canonical order. Branch and bound places them on that ground.

    Args:
        problem: The buffers.
        past: A partial allocation of them.
        time_limit_s: Wall-clock seconds.
        seed: Not used, as the search is deterministic.

    Raises:
        ValueError: The time limit is not positive.
    """
    offsets = offsets_of(problem, past)
    waiting = np.flatnonzero(offsets < 0)
    if waiting.size:
        rest = _rest(problem, waiting, _solids(problem, offsets))
        solution = BranchAndBoundSolver().solve(rest, time_limit_s, seed)
        assert solution.schedule is not None
        offsets[waiting] = offsets_of(rest, solution.schedule)[: waiting.size]
    return allocation_schedule(problem, offsets)


def _solids(problem: AllocationProblem, offsets: I64) -> I64:
    """(n, 4) begin, end, offset and size of what nothing may enter, by section: ground, and prescribed buffers above it.

    The ground reaches up to the highest offset of all that was chosen and to the top of whatever stands on it, in whole units.
    """
    unit = problem.unit
    base = int(offsets[(offsets >= 0) & (problem.fixed < 0)].max(initial=0))
    held: list[list[tuple[int, int]]] = [[] for _ in range(problem.num_sections)]
    for i, _, _, low, high, first, last in problem.pieces.tolist():
        if offsets[i] >= 0:
            for s in range(first, last):
                held[s].append((int(offsets[i]) + low, int(offsets[i]) + high))
    solids = []
    for (begin, end), own in zip(problem.sections.tolist(), held, strict=True):
        ground = base
        for low, high in sorted(own):
            if low <= ground:
                ground = max(ground, high)
            else:
                solids.append((begin, end, low, high - low))
        if ground > 0:
            solids.append((begin, end, 0, -(-ground // unit) * unit))
    return np.array(solids, np.int64).reshape(-1, 4)


def _rest(problem: AllocationProblem, waiting: I64, solids: I64) -> AllocationProblem:
    """The waiting buffers, and after them prescribed ones in place of what is solid."""
    begin, end, offset, size = solids.T
    gaps = problem.gaps[np.isin(problem.gaps[:, 0], waiting)].copy()
    gaps[:, 0] = np.searchsorted(waiting, gaps[:, 0])
    return AllocationProblem(
        np.concatenate((problem.lower[waiting], begin)),
        np.concatenate((problem.upper[waiting], end)),
        np.concatenate((problem.size[waiting], size)),
        np.concatenate((problem.alignment[waiting], np.ones_like(size))),
        np.concatenate((problem.fixed[waiting], offset)),
        gaps=gaps,
    )
