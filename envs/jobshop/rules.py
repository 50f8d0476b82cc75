"""Dispatching rules of the job shop that need no due dates; each is a priority, and the smallest is served.

Definitions follow Panwalkar & Iskander (1977) and Haupt (1989) where no other source is named. Ties go to the job of
lower number. In a flexible shop a candidate is an (operation, machine) pair; rules that look at the job alone tie among
its machines, and the one that would complete the operation first is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.native_rules import scalar_too
from makespan.envs.core.policy import Priority, rule

Priorities = NDArray[np.float64]

FAMILY: Final = "jobshop"
PANWALKAR: Final = "Panwalkar & Iskander (1977), Operations Research 25(1)"
HAUPT: Final = "Haupt (1989), OR Spektrum 11"
SELS: Final = "Sels, Gheysen & Vanhoucke (2012), Int. J. of Production Research 50(15)"


def _completes_first(c: CandidateView) -> Priorities:
    """Lower job first, then the machine of earliest completion."""
    completion = c["earliest_start"] + c["processing_time"]
    return c.index[..., 1] * (completion.max(initial=0.0) + 1.0) + completion


def _rule(name: str, citation: str) -> Callable[[Priority], Priority]:
    return rule(FAMILY, name, citation, tie_break=_completes_first)


@scalar_too
def _ratio(numerator: Priorities, denominator: Priorities) -> Priorities:
    """Element-wise ratio, 0 / 0 = 0: rows of forbidden candidates are all zero."""
    return numerator / (denominator + (denominator == 0.0))


@_rule("spt", PANWALKAR)
def shortest_processing_time(c: CandidateView) -> Priorities:
    """Shortest processing time."""
    return c["processing_time"]


@_rule("lpt", PANWALKAR)
def longest_processing_time(c: CandidateView) -> Priorities:
    """Longest processing time."""
    return -c["processing_time"]


@_rule("fifo", PANWALKAR)
def first_in_first_out(c: CandidateView) -> Priorities:
    """Longest in the queue: earliest ready time."""
    return c["queue_entry"]


@_rule("lifo", PANWALKAR)
def last_in_first_out(c: CandidateView) -> Priorities:
    """Shortest in the queue: latest ready time."""
    return -c["queue_entry"]


@_rule("mwkr", PANWALKAR)
def most_work_remaining(c: CandidateView) -> Priorities:
    """Most work remaining in the job, this operation included."""
    return -c["remaining_work"]


@_rule("lwkr", PANWALKAR)
def least_work_remaining(c: CandidateView) -> Priorities:
    """Least work remaining in the job, this operation included."""
    return c["remaining_work"]


@_rule("mopnr", PANWALKAR)
def most_operations_remaining(c: CandidateView) -> Priorities:
    """Most operations remaining in the job."""
    return -c["remaining_operations_count"]


@_rule("lopnr", PANWALKAR)
def least_operations_remaining(c: CandidateView) -> Priorities:
    """Least operations remaining in the job."""
    return c["remaining_operations_count"]


@_rule("ltail", HAUPT)
def longest_tail(c: CandidateView) -> Priorities:
    """Most work remaining in the job after this operation."""
    return -(c["remaining_work"] - c["processing_time"])


@_rule("spt_twk", SELS)
def shortest_share_of_total_work(c: CandidateView) -> Priorities:
    """Smallest ratio of processing time to the job's total work."""
    return _ratio(c["processing_time"], c["total_work"])


@_rule("spt_twkr", SELS)
def shortest_share_of_remaining_work(c: CandidateView) -> Priorities:
    """Smallest ratio of processing time to the job's remaining work."""
    return _ratio(c["processing_time"], c["remaining_work"])


@_rule("fdd", SELS)
def flow_due_date(c: CandidateView) -> Priorities:
    """Earliest flow due date: release date plus the job's work up to and including this operation."""
    return c["cumulative_work"]


@_rule("fdd_mwkr", SELS)
def flow_due_date_per_remaining_work(c: CandidateView) -> Priorities:
    """Smallest ratio of flow due date to remaining work."""
    return _ratio(c["cumulative_work"], c["remaining_work"])


@_rule("winq", HAUPT)
def work_in_next_queue(c: CandidateView) -> Priorities:
    """Least work before the machine the job goes to next."""
    return c["next_queue_work"]


@_rule("pt_winq", HAUPT)
def processing_time_plus_work_in_next_queue(c: CandidateView) -> Priorities:
    """Least sum of processing time and work before the next machine."""
    return c["processing_time"] + c["next_queue_work"]


@_rule("ect", HAUPT)
def earliest_completion_time(c: CandidateView) -> Priorities:
    """Earliest completion of the operation."""
    return c["earliest_start"] + c["processing_time"]


@_rule("est", HAUPT)
def earliest_start_time(c: CandidateView) -> Priorities:
    """Earliest start of the operation."""
    return c["earliest_start"]


@_rule("awr", SELS)
def average_work_remaining(c: CandidateView) -> Priorities:
    """Largest mean duration of the job's remaining operations."""
    return -_ratio(c["remaining_work"], c["remaining_operations_count"])


@_rule("lwrm", HAUPT)
def most_work_on_machine(c: CandidateView) -> Priorities:
    """Most work left on the candidate's machine (serve the bottleneck first)."""
    return -c["machine_remaining_work"]
