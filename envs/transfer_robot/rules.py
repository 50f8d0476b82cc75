"""Dispatching rules of transfer robots; each is a priority over the moves, and the smallest is begun, never a wait.

Ties go to the candidate of lower number: fetching before delivering, stations along the flow. Rules are at home where
robots set out for glasses that are ready only (`fetches="ready"`), as on a shop floor.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import rule

Priorities = NDArray[np.float64]

FAMILY: Final = "transfer_robot"
PANWALKAR: Final = "Panwalkar & Iskander (1977), Operations Research 25(1)"
MATERIAL_FLOW: Final = "Egbelu & Tanchoco (1984), Int. J. of Production Research 22(3)"
ROBOTIC_CELLS: Final = "Dawande, Geismar, Sethi & Sriskandarajah (2005), J. of Scheduling 8"
CLUSTER_TOOLS: Final = (
    "Venkatesh, Davenport, Foxhoven & Nulman (1997), IEEE Trans. Semiconductor Manufacturing 10(4)"
)
_FIRST: Final = 1e8  # before every time


@rule(FAMILY, "fifo", PANWALKAR)
def first_in_first_out(c: CandidateView) -> Priorities:
    """The glass that entered the cell first."""
    return c["glass"]


@rule(FAMILY, "longest_waiting", MATERIAL_FLOW)
def longest_waiting(c: CandidateView) -> Priorities:
    """The glass that has been ready, or carried, for the longest time."""
    return c["ready_time"]


@rule(FAMILY, "nearest", MATERIAL_FLOW)
def nearest(c: CandidateView) -> Priorities:
    """The move whose station is nearest."""
    return c["travel_time"]


@rule(FAMILY, "earliest", "shortest waiting and way: this suite")
def earliest(c: CandidateView) -> Priorities:
    """The move whose loading or unloading can begin first."""
    return c["begin"]


@rule(FAMILY, "backward", ROBOTIC_CELLS)
def backward(c: CandidateView) -> Priorities:
    """Pull: the glass of the latest stage, so that room is made from the end; among equals the one that was ready first."""
    return -c["stage_number"] * _FIRST + c["ready_time"]


@rule(FAMILY, "forward", ROBOTIC_CELLS)
def forward(c: CandidateView) -> Priorities:
    """Push: the glass of the earliest stage; among equals the one that was ready first."""
    return c["stage_number"] * _FIRST + c["ready_time"]


@rule(FAMILY, "least_time_left", "least slack; Panwalkar & Iskander (1977), Operations Research 25(1)")
def least_time_left(c: CandidateView) -> Priorities:
    """The glass with the least time left to its residency limit; without limits, the one of the latest stage."""
    return c["time_left"] * 64.0 - c["stage_number"]


@rule(FAMILY, "longest_process_next", PANWALKAR)
def longest_process_next(c: CandidateView) -> Priorities:
    """The glass whose next process is longest, so that it starts early."""
    return -c["next_process_time"]


@rule(FAMILY, "swap", CLUSTER_TOOLS)
def swap(c: CandidateView) -> Priorities:
    """Exchange: deliver where there is room; else fetch from the stage that a held glass waits for; else pull what has room."""
    first = np.where(
        c["delivers"] > 0, 0.0, np.where(c["exchanges"] > 0, 1.0, np.where(c["room_count"] > 0, 2.0, 3.0))
    )
    return first * 100.0 * _FIRST - c["stage_number"] * _FIRST + c["ready_time"]


@rule(FAMILY, "swap_push", CLUSTER_TOOLS)
def swap_push(c: CandidateView) -> Priorities:
    """Exchange, but what is fetched first is the glass of the earliest stage: it is exchanged all along the line."""
    first = np.where(c["delivers"] > 0, 0.0, np.where(c["exchanges"] > 0, 1.0, 2.0))
    return first * 100.0 * _FIRST + c["stage_number"] * _FIRST + c["ready_time"]
