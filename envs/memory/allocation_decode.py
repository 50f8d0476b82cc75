"""From an order of buffers to an allocation: one kernel for rules, annealing and tabu search alike."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import inlined_kernel, kernel
from makespan.envs.memory.allocation_instance import AllocationProblem, Pieces
from makespan.envs.memory.allocation_statics import conflict_counts, fullest_sections
from makespan.envs.memory.rectangles import (
    I64,
    NO_CEILING,
    Rectangles,
    best_fit,
    clear,
    lowest_fit,
    make_rectangles,
    place,
)

LOWEST: Final = 0
BEST: Final = 1
FITS: Final = {"lowest": LOWEST, "best": BEST}


class Layout(NamedTuple):
    """A problem as the kernels read it, and the allocation that they write."""

    size: I64  # (N,)
    alignment: I64  # (N,)
    fixed: I64  # (N,) -1 where free
    whole: NDArray[np.bool_]  # (N,) without gaps
    piece_first: I64  # (N + 1,)
    piece: I64  # (P, 4) start, end, low, high
    offset: I64  # (N,)
    placed: Rectangles  # of one slot


def make_layout(problem: AllocationProblem) -> Layout:
    """The layout of a problem, nothing placed yet."""
    return Layout(
        problem.size,
        problem.alignment,
        problem.fixed,
        ~np.isin(np.arange(problem.num_buffers), problem.gaps[:, 0]),
        problem.piece_first,
        np.ascontiguousarray(problem.pieces[:, Pieces.START : Pieces.FIRST]),
        np.full(problem.num_buffers, -1, np.int64),
        make_rectangles(1, problem.num_pieces),
    )


@inlined_kernel
def put(layout: Layout, i: int, offset: int) -> None:
    """Place buffer i at an offset."""
    layout.offset[i] = offset
    for p in range(layout.piece_first[i], layout.piece_first[i + 1]):
        start, end, low, high = layout.piece[p, 0], layout.piece[p, 1], layout.piece[p, 2], layout.piece[p, 3]
        place(layout.placed, 0, i, start, end, offset + low, offset + high)


@kernel
def spot(layout: Layout, i: int, fit: int) -> int:
    """Where buffer i goes: its lowest feasible offset, or the lowest of the smallest gap that holds it."""
    first, last = layout.piece_first[i], layout.piece_first[i + 1]
    piece, alignment = layout.piece, layout.alignment[i]
    if fit == BEST and layout.whole[i]:
        size = layout.size[i]
        return best_fit(layout.placed, 0, piece[first, 0], piece[first, 1], size, alignment, NO_CEILING)
    offset, before = 0, -1
    while offset != before:
        before = offset
        for p in range(first, last):
            start, end, low, high = piece[p, 0], piece[p, 1], piece[p, 2], piece[p, 3]
            offset = lowest_fit(layout.placed, 0, start, end, low, high, alignment, offset)
        if last - first == 1:
            break
    return offset


@kernel
def decode(layout: Layout, order: I64, fit: int) -> int:
    """Place the buffers in an order, each at its spot, prescribed ones first; returns the peak."""
    clear(layout.placed, 0)
    peak = 0
    for i in range(layout.size.size):
        if layout.fixed[i] >= 0:
            put(layout, i, layout.fixed[i])
            peak = max(peak, layout.fixed[i] + layout.size[i])
    for i in order:
        if layout.fixed[i] < 0:
            put(layout, i, spot(layout, i, fit))
            peak = max(peak, layout.offset[i] + layout.size[i])
    return peak


def greedy_orders(problem: AllocationProblem) -> dict[str, NDArray[np.int64]]:
    """Order of the buffers by name of the rule (see `allocation_rules`), ties in input order.

    `greedy_by_size`, `_duration`, `_area`, `_start`, `_conflicts`, `_conflict_size` and `_load` (fullest section, then area).
    """
    duration = problem.upper - problem.lower
    conflicts, load = conflict_counts(problem), problem.load[fullest_sections(problem)]
    keys = {
        "greedy_by_size": (-problem.size,),
        "greedy_by_duration": (-duration,),
        "greedy_by_area": (-problem.size * duration,),
        "greedy_by_start": (problem.lower,),
        "greedy_by_conflicts": (-conflicts,),
        "greedy_by_conflict_size": (-conflicts * problem.size,),
        "greedy_by_load": (-problem.size * duration, -load),
    }
    return {name: np.lexsort(key).astype(np.int64) for name, key in keys.items()}


def best_greedy(problem: AllocationProblem, layout: Layout) -> tuple[int, NDArray[np.int64], int]:
    """Peak, order and fit of the best greedy rule, either fit; its offsets are left in `layout.offset`."""
    found = [
        (int(decode(layout, order, fit)), rank, fit)
        for fit in FITS.values()
        for rank, order in enumerate(greedy_orders(problem).values())
    ]
    _, rank, fit = min(found)
    order = list(greedy_orders(problem).values())[rank]
    return int(decode(layout, order, fit)), order, fit
