"""Dispatching rules of the blocking shop; each is a priority, and the smallest is served, never a wait.

Definitions as in the job shop. A rule `blocked_...` serves jobs that block a machine before those that wait outside, and decides
among equals: emptying machines is what keeps a shop without buffers moving. Ties go to the job of lower number.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import Priority, rule

Priorities = NDArray[np.float64]

FAMILY: Final = "blocking"
PANWALKAR: Final = "Panwalkar & Iskander (1977), Operations Research 25(1)"
HAUPT: Final = "Haupt (1989), OR Spektrum 11"
SELS: Final = "Sels, Gheysen & Vanhoucke (2012), Int. J. of Production Research 50(15)"


def _ratio(numerator: Priorities, denominator: Priorities) -> Priorities:
    """Element-wise ratio, 0 / 0 = 0: rows of forbidden candidates are all zero."""
    return numerator / np.where(denominator == 0.0, 1.0, denominator)


def _register(name: str, citation: str, priority: Priority) -> Priority:
    """Register a rule, and its variant that serves blocked jobs first."""

    def blocked_first(c: CandidateView) -> Priorities:
        base = priority(c)
        return base + (1.0 - c["is_blocking"]) * (np.ptp(base, axis=-1, keepdims=True) + 1.0)

    summary = (priority.__doc__ or "").partition("\n")[0]
    blocked_first.__doc__ = f"Jobs that block a machine first, among them: {summary[0].lower()}{summary[1:]}"
    rule(FAMILY, name, citation)(priority)
    rule(FAMILY, f"blocked_{name}", f"{citation}; blocked jobs first: this suite")(blocked_first)
    return priority


def shortest_processing_time(c: CandidateView) -> Priorities:
    """Shortest processing time."""
    return c["processing_time"]


def longest_processing_time(c: CandidateView) -> Priorities:
    """Longest processing time."""
    return -c["processing_time"]


def first_in_first_out(c: CandidateView) -> Priorities:
    """Longest in the queue: earliest completion of the last operation, or release."""
    return c["queue_entry"]


def most_work_remaining(c: CandidateView) -> Priorities:
    """Most work remaining in the job, this operation included."""
    return -c["remaining_work"]


def least_work_remaining(c: CandidateView) -> Priorities:
    """Least work remaining in the job, this operation included."""
    return c["remaining_work"]


def most_operations_remaining(c: CandidateView) -> Priorities:
    """Most operations remaining in the job."""
    return -c["remaining_operations_count"]


def least_operations_remaining(c: CandidateView) -> Priorities:
    """Least operations remaining in the job."""
    return c["remaining_operations_count"]


def longest_tail(c: CandidateView) -> Priorities:
    """Most work remaining in the job after this operation."""
    return c["processing_time"] - c["remaining_work"]


def shortest_share_of_total_work(c: CandidateView) -> Priorities:
    """Smallest ratio of processing time to the job's total work."""
    return _ratio(c["processing_time"], c["total_work"])


def shortest_share_of_remaining_work(c: CandidateView) -> Priorities:
    """Smallest ratio of processing time to the job's remaining work."""
    return _ratio(c["processing_time"], c["remaining_work"])


def flow_due_date(c: CandidateView) -> Priorities:
    """Earliest flow due date: release date plus the job's work up to and including this operation."""
    return c["cumulative_work"]


def flow_due_date_per_remaining_work(c: CandidateView) -> Priorities:
    """Smallest ratio of flow due date to remaining work."""
    return _ratio(c["cumulative_work"], c["remaining_work"])


def work_in_next_queue(c: CandidateView) -> Priorities:
    """Least work before the machine the job goes to next."""
    return c["next_queue_work"]


def processing_time_plus_work_in_next_queue(c: CandidateView) -> Priorities:
    """Least sum of processing time and work before the next machine."""
    return c["processing_time"] + c["next_queue_work"]


for _name, _citation, _priority in (
    ("spt", PANWALKAR, shortest_processing_time),
    ("lpt", PANWALKAR, longest_processing_time),
    ("fifo", PANWALKAR, first_in_first_out),
    ("mwkr", PANWALKAR, most_work_remaining),
    ("lwkr", PANWALKAR, least_work_remaining),
    ("mopnr", PANWALKAR, most_operations_remaining),
    ("lopnr", PANWALKAR, least_operations_remaining),
    ("ltail", HAUPT, longest_tail),
    ("spt_twk", SELS, shortest_share_of_total_work),
    ("spt_twkr", SELS, shortest_share_of_remaining_work),
    ("fdd", SELS, flow_due_date),
    ("fdd_mwkr", SELS, flow_due_date_per_remaining_work),
    ("winq", HAUPT, work_in_next_queue),
    ("pt_winq", HAUPT, processing_time_plus_work_in_next_queue),
):
    _register(_name, _citation, _priority)
