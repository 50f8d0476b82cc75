"""Partial allocations are completed on top of what lies already, as well as any canonical play could."""

from __future__ import annotations

import numpy as np
import pytest
from plain_allocation import PlainMemory, small_problem

from makespan.envs.memory.allocation_complete import complete_allocation
from makespan.envs.memory.allocation_generator import make_generator
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_validator import allocation_schedule, offsets_of, validate


def partial(problem: AllocationProblem, plain: PlainMemory) -> np.ndarray:
    """(num_buffers,) what the plain memory has placed so far, -1 elsewhere."""
    return np.array([plain.offsets.get(i, -1) for i in range(problem.num_buffers)])


def best_play(plain: PlainMemory) -> int:
    """Lowest peak over all canonical orders from a state."""
    if not plain.waiting():
        return plain.bound
    peaks = []
    for i in plain.allowed():
        kept = (dict(plain.offsets), plain.base, plain.bound, plain.paid)
        plain.place(i)
        peaks.append(best_play(plain))
        plain.offsets, plain.base, plain.bound, plain.paid = kept
    return min(peaks)


@pytest.mark.parametrize("kind", [{}, {"aligned": True}, {"gaps": "empty"}, {"fixed": True}])
def test_completions_match_the_best_canonical_play(kind: dict) -> None:
    """After two random placements: what is placed stays, and no canonical order from there has a lower peak."""
    rng = np.random.default_rng(4)
    for _ in range(6):
        problem = small_problem(rng, num_buffers=6, **kind)
        plain = PlainMemory(problem, "canonical")
        for _ in range(2):
            plain.place(int(rng.choice(plain.allowed())))
        before = partial(problem, plain)
        schedule = complete_allocation(problem, allocation_schedule(problem, before), 60.0)
        after = offsets_of(problem, schedule)
        placed = before >= 0
        assert (after[placed] == before[placed]).all()
        assert (after[~placed] >= plain.base).all()
        assert validate(problem, schedule) <= best_play(plain)


def test_perfect_packings_are_completed() -> None:
    """The lower half of the cuts, as they were made, is completed to the optimum; so are none of them and all."""
    generator = make_generator("guillotine", num_buffers=16, horizon=10, units=64)
    problem, offsets = generator.sample_with_offsets(np.random.default_rng(0))  # type: ignore[attr-defined]
    order = np.lexsort((problem.lower, offsets))
    for count in (0, 8, 16):
        past = np.full(16, -1)
        past[order[:count]] = offsets[order[:count]]
        schedule = complete_allocation(problem, allocation_schedule(problem, past), 60.0)
        assert validate(problem, schedule) == 64 * 1024
