"""The memory map of an allocation: its buffers, its load beneath, sections as the steps of the time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from makespan.envs.core.schedule import Schedule
from makespan.envs.memory import memory_map
from makespan.envs.memory.allocation_instance import AllocationProblem, Pieces
from makespan.envs.memory.allocation_validator import offsets_of
from makespan.envs.memory.memory_map import MemoryMap, Profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def allocation_map(problem: AllocationProblem, schedule: Schedule) -> MemoryMap:
    """What a memory map of an allocation shows; the schedule may be partial.

    Sections are drawn equally wide, whatever their duration: what matters is what lives together. Colours follow the
    buffers' numbers.
    """
    offsets = offsets_of(problem, schedule)
    pieces = problem.pieces[offsets[problem.pieces[:, Pieces.BUFFER]] >= 0]
    owner = pieces[:, Pieces.BUFFER]
    return MemoryMap(
        start=pieces[:, Pieces.FIRST],
        end=pieces[:, Pieces.LAST],
        low=offsets[owner] + pieces[:, Pieces.LOW],
        high=offsets[owner] + pieces[:, Pieces.HIGH],
        owner=owner,
        group=owner,
        labels=dict(enumerate(problem.ids)),
        groups={},
        ticks=np.append(problem.sections[:, 0], problem.sections[-1, 1]),
        capacity=problem.capacity,
        bound=problem.load_bound,
        profiles=(Profile("load", problem.load.astype(np.float64), "bytes", float(problem.load_bound)),),
        title=problem.name or "allocation",
        time_label="time (sections equally wide)",
    )


def allocation_figure(problem: AllocationProblem, schedule: Schedule) -> Figure:
    """The memory map as a figure."""
    return memory_map.figure(allocation_map(problem, schedule))


def allocation_html(problem: AllocationProblem, schedule: Schedule) -> str:
    """The memory map as a self-contained interactive page."""
    return memory_map.html(allocation_map(problem, schedule))
