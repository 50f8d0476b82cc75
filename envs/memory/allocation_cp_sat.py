"""CP-SAT on static allocation: no two rectangles overlap, the load is cumulative, the peak is minimised."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.policy import Solution
from makespan.envs.memory.allocation_decode import best_greedy, make_layout
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_solver import check_time_limit, solution_of

if TYPE_CHECKING:
    from ortools.sat.python import cp_model


@dataclass(frozen=True)
class CPSATSolver:
    """OR-Tools' CP-SAT (Perron & Furnon): `NoOverlap2D` over time x offset, and a cumulative of the sizes.

    The best greedy allocation is the hint and bounds the peak from above. One worker with a fixed seed is reproducible
    unless the time limit cuts it off; several workers are not.

    Attributes:
        workers: Search threads; None for one per processor.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: {self.workers}; expected at least 1, or None for one per processor")

    def solve(self, instance: AllocationProblem, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The best allocation found in the time, with the bound that CP-SAT proved."""
        from ortools.sat.python import cp_model

        check_time_limit(time_limit_s)
        began = time.monotonic()
        layout = make_layout(instance)
        upper, unit = best_greedy(instance, layout)[0], instance.unit
        offsets, lower = layout.offset.copy(), instance.load_bound
        if upper <= lower:
            return solution_of(instance, offsets, lower)
        model = cp_model.CpModel()
        peak = model.new_int_var(-(-lower // unit), -(-upper // unit), "peak")
        offset = [_offset(model, instance, i, upper // unit) for i in range(instance.num_buffers)]
        spans, bands, heights = [], [], []
        for owner, start, end, low, high, _, _ in instance.pieces.tolist():
            height = (high - low) // unit
            spans.append(model.new_fixed_size_interval_var(start, end - start, ""))
            bands.append(model.new_fixed_size_interval_var(offset[owner] + low // unit, height, ""))
            heights.append(height)
        model.add_no_overlap_2d(spans, bands)
        model.add_cumulative(spans, heights, peak)
        for one, size in zip(offset, instance.size // unit, strict=True):
            model.add(peak >= one + int(size))
        _hint(model, instance, offset, offsets)
        model.minimize(peak)
        search = cp_model.CpSolver()
        search.parameters.max_time_in_seconds = max(time_limit_s - (time.monotonic() - began), 0.01)
        search.parameters.num_workers = self.workers or os.cpu_count() or 1
        search.parameters.random_seed = seed
        answer = search.solve(model)
        if answer in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            offsets = np.array([search.value(one) for one in offset], np.int64) * unit
            lower = max(lower, int(np.ceil(search.best_objective_bound - 1e-6)) * unit)
        return solution_of(instance, offsets, lower)


def _offset(
    model: cp_model.CpModel, problem: AllocationProblem, buffer: int, upper: int
) -> cp_model.LinearExprT:
    """The buffer's offset in units: prescribed, or below the peak to beat and a multiple of its alignment."""
    unit = problem.unit
    if problem.fixed[buffer] >= 0:
        return int(problem.fixed[buffer]) // unit
    offset = model.new_int_var(0, upper - int(problem.size[buffer]) // unit, "")
    step = int(problem.alignment[buffer]) // unit
    if step > 1:
        model.add_modulo_equality(0, offset, step)
    return offset


def _hint(
    model: cp_model.CpModel,
    problem: AllocationProblem,
    offset: Sequence[cp_model.LinearExprT],
    known: NDArray[np.int64],
) -> None:
    """Hand the search a feasible allocation."""
    for buffer in np.flatnonzero(problem.fixed < 0).tolist():
        model.add_hint(offset[buffer], int(known[buffer]) // problem.unit)  # type: ignore[arg-type]  # a variable
