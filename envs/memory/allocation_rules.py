"""Orders in which buffers are placed, each at the offset that the environment's mode gives it; ties in input order.

With `fit="lowest"` a buffer goes to its lowest feasible offset (first fit in offsets), with `fit="best"` into the smallest gap
that holds it. A rule's name says what is placed first.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import rule

Priorities = NDArray[np.float64]

FAMILY: Final = "memory_allocation"
PISARCHYK: Final = "Pisarchyk & Lee (2020), arXiv 2001.03288"
USMP: Final = "Apache TVM, Unified Static Memory Planner (RFC 0009)"
MINIMALLOC: Final = "Moffitt (2023), MiniMalloc, ASPLOS"
OMNIMALLOC: Final = "omnimalloc 1.0.0 (Apache-2.0)"
OWN: Final = "this suite"


@rule(FAMILY, "greedy_by_size", PISARCHYK)
def greedy_by_size(c: CandidateView) -> Priorities:
    """Largest size first."""
    return -c["size_rank"]


@rule(FAMILY, "greedy_by_duration", OMNIMALLOC)
def greedy_by_duration(c: CandidateView) -> Priorities:
    """Longest lifetime first."""
    return -c["lifetime_rank"]


@rule(FAMILY, "greedy_by_area", OMNIMALLOC)
def greedy_by_area(c: CandidateView) -> Priorities:
    """Largest size x lifetime first."""
    return -c["area_rank"]


@rule(FAMILY, "greedy_by_start", OMNIMALLOC)
def greedy_by_start(c: CandidateView) -> Priorities:
    """Earliest begin of the lifetime first."""
    return c["lower_rank"]


@rule(FAMILY, "greedy_by_end", OWN)
def greedy_by_end(c: CandidateView) -> Priorities:
    """Latest end of the lifetime first."""
    return -c["upper_rank"]


@rule(FAMILY, "greedy_by_conflicts", USMP)
def greedy_by_conflicts(c: CandidateView) -> Priorities:
    """Most overlapping lifetimes first."""
    return -c["conflict_count"]


@rule(FAMILY, "greedy_by_conflict_size", OMNIMALLOC)
def greedy_by_conflict_size(c: CandidateView) -> Priorities:
    """Largest conflicts x size first."""
    return -c["conflict_size_rank"]


@rule(FAMILY, "greedy_by_load", MINIMALLOC)
def greedy_by_load(c: CandidateView) -> Priorities:
    """Member of the fullest section first, then the largest area."""
    return -_then(c, "load_rank", "area_rank")


@rule(FAMILY, "wat", MINIMALLOC)
def width_area_total(c: CandidateView) -> Priorities:
    """Longest lifetime first, then the largest area, then the fullest section."""
    return -_then(c, "lifetime_rank", "area_rank", "load_rank")


@rule(FAMILY, "taw", MINIMALLOC)
def total_area_width(c: CandidateView) -> Priorities:
    """Member of the fullest section first, then the largest area, then the longest lifetime."""
    return -_then(c, "load_rank", "area_rank", "lifetime_rank")


@rule(FAMILY, "twa", MINIMALLOC)
def total_width_area(c: CandidateView) -> Priorities:
    """Member of the fullest section first, then the longest lifetime, then the largest area."""
    return -_then(c, "load_rank", "lifetime_rank", "area_rank")


@rule(FAMILY, "lowest_offset", MINIMALLOC)
def lowest_offset(c: CandidateView) -> Priorities:
    """The buffer that can lie lowest, then the largest area."""
    return c["placement"] * (c.mask.shape[-1] + 1.0) - c["area_rank"]


@rule(FAMILY, "lowest_top", OWN)
def lowest_top(c: CandidateView) -> Priorities:
    """The buffer whose top would be lowest."""
    return c["top"]


@rule(FAMILY, "greedy_by_rivals", OWN)
def greedy_by_rivals(c: CandidateView) -> Priorities:
    """Most unplaced buffers with overlapping lifetimes first."""
    return -c["rivals_count"]


@rule(FAMILY, "by_hint", MINIMALLOC)
def by_hint(c: CandidateView) -> Priorities:
    """Lowest suggested offset first; buffers without a hint last."""
    return c["hint_rank"]


@rule(FAMILY, "input_order", PISARCHYK)
def input_order(c: CandidateView) -> Priorities:
    """As they come (first fit)."""
    return np.zeros(c.mask.shape)


def _then(c: CandidateView, *names: str) -> Priorities:
    """A lexicographic priority of ranks, which are all smaller than the number of candidates."""
    priority = np.zeros(c.mask.shape)
    for name in names:
        priority = priority * c.mask.shape[-1] + c[name]
    return priority
