"""From an allocation to the order of placements that leads to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_validator import offsets_of


class OffsetsPolicy:
    """Places buffers in the order of the offsets that they have in given allocations, ties from the earliest lifetime on.

    Where every buffer of the allocation rests on another one or on the ground, the placements end in it; others end
    with buffers that have slid down as far as the environment lets them. This is the canonical order (`canonical=True`).

    Args:
        schema: The decision graph's schema.
        problems: One a slot.
        schedules: Their allocations.
    """

    def __init__(
        self, schema: GraphSchema, problems: Sequence[AllocationProblem], schedules: Sequence[Schedule]
    ) -> None:
        self._turn = np.zeros((len(problems), schema.candidates.max_count), np.int64)
        for slot, (problem, schedule) in enumerate(zip(problems, schedules, strict=True)):
            order = np.lexsort((problem.lower, offsets_of(problem, schedule)))
            self._turn[slot, order] = np.arange(problem.num_buffers)

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The next buffer in each slot (B,)."""
        allowed = observation["action_mask"] > 0
        action: NDArray[np.int64] = np.where(allowed, self._turn, self._turn.shape[1]).argmin(axis=-1)
        return action
