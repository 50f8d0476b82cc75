"""Dispatching rules of the dynamic shop; each is a priority, and the smallest is served, never a wait.

t is the time, p the forecast of the operation on the machine, P that of the job's work from this operation on, T that of the
whole job, d its due date, r its arrival, w its weight; S = d - t - P is the slack. Ties go to the job that has arrived
first, among its machines to the fastest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import Priority, rule
from makespan.envs.dynamic_shop.observation import LEAD, LOOKAHEAD

Priorities = NDArray[np.float64]

FAMILY: Final = "dynamic_shop"
PANWALKAR: Final = "Panwalkar & Iskander (1977), Operations Research 25(1)"
HAUPT: Final = "Haupt (1989), OR Spektrum 11"
SELS: Final = "Sels, Gheysen & Vanhoucke (2012), Int. J. of Production Research 50(15)"
VEPSALAINEN: Final = "Vepsalainen & Morton (1987), Management Science 33(8)"
HOLTHAUS: Final = "Holthaus & Rajendran (1997), Int. J. of Production Economics 48(1)"


def _first_come(c: CandidateView) -> Priorities:
    """The job that has arrived first, then the fastest machine."""
    return c["job_number"] * 2.0**25 + c["processing_time"]


def _rule(name: str, citation: str) -> Callable[[Priority], Priority]:
    return rule(FAMILY, name, citation, tie_break=_first_come)


def _ratio(numerator: Priorities, denominator: Priorities) -> Priorities:
    """Element-wise ratio, 0 / 0 = 0: rows of forbidden candidates are all zero."""
    return numerator / np.where(denominator == 0.0, 1.0, denominator)


def _slack(c: CandidateView) -> Priorities:
    return c["due_date"] - c["now"] - c["remaining_work"]


def _mean_time(c: CandidateView) -> Priorities:
    """Mean forecast of the candidates, at least 1; (B, 1)."""
    time = np.where(c.mask, c["processing_time"], 0.0).sum(axis=-1, keepdims=True)
    waits = c["is_wait"].sum(axis=-1, keepdims=True)
    return np.maximum(1.0, time / np.maximum(1.0, c.mask.sum(axis=-1, keepdims=True) - waits))


@_rule("edd", PANWALKAR)
def earliest_due_date(c: CandidateView) -> Priorities:
    """Earliest due date d."""
    return c["due_date"]


@_rule("odd", "Kanet & Hayya (1982), J. of Operations Management 2(3)")
def operation_due_date(c: CandidateView) -> Priorities:
    """Earliest operation due date: the job's allowance d - r in proportion to the work up to and including the operation."""
    share = _ratio(c["cumulative_work"], c["total_work"])
    return c["arrival"] + (c["due_date"] - c["arrival"]) * share


@_rule("mdd", "Baker & Bertrand (1982), J. of Operations Management 3(1)")
def modified_due_date(c: CandidateView) -> Priorities:
    """Earliest modified due date max(d, t + P)."""
    return np.maximum(c["due_date"], c["now"] + c["remaining_work"])


@_rule("mod", "Baker & Kanet (1983), J. of Operations Management 4(1)")
def modified_operation_due_date(c: CandidateView) -> Priorities:
    """Earliest modified operation due date max(operation due date, t + p)."""
    return np.maximum(operation_due_date(c), c["now"] + c["processing_time"])


@_rule("slack", PANWALKAR)
def least_slack(c: CandidateView) -> Priorities:
    """Least slack S."""
    return _slack(c)


@_rule("s_opn", PANWALKAR)
def slack_per_operation(c: CandidateView) -> Priorities:
    """Least slack for each operation that remains."""
    return _ratio(_slack(c), c["remaining_operations_count"])


@_rule("s_rpt", PANWALKAR)
def slack_per_work(c: CandidateView) -> Priorities:
    """Least slack for each time unit of work that remains, S / P."""
    return _ratio(_slack(c), c["remaining_work"])


@_rule("cr", PANWALKAR)
def critical_ratio(c: CandidateView) -> Priorities:
    """Least critical ratio (d - t) / P."""
    return _ratio(c["due_date"] - c["now"], c["remaining_work"])


@_rule("covert", f"Carroll (1965); weighted as in {VEPSALAINEN}")
def cost_over_time(c: CandidateView) -> Priorities:
    """Largest (w / p) max(0, 1 - max(0, S) / (k b P)), k b = 2: expected cost of delay over time."""
    expected = LOOKAHEAD * LEAD * np.maximum(1.0, c["remaining_work"])
    urgency = np.maximum(0.0, 1.0 - np.maximum(0.0, _slack(c)) / expected)
    return -_ratio(c["job_weight"], c["processing_time"]) * urgency


def _atc(c: CandidateView, lookahead: float, lead: float) -> Priorities:
    """The negative logarithm of the ATC index; k mean times ahead, later operations wait b times their durations."""
    later = c["remaining_work"] - c["processing_time"]
    slack = np.maximum(0.0, _slack(c) - lead * later)
    value = np.maximum(c["processing_time"], 1.0) / np.maximum(c["job_weight"], 1.0)
    priority: Priorities = np.log(value) + slack / (lookahead * _mean_time(c))
    return priority


@_rule("atc", VEPSALAINEN)
def apparent_tardiness_cost(c: CandidateView) -> Priorities:
    """Largest (w / p) exp(-max(0, S - b (P - p)) / (k mean p)), k = 3, b = 2, the mean over the candidates."""
    return _atc(c, 3.0, 2.0)


@_rule("atc_tuned", f"{VEPSALAINEN}; k and b chosen on draws of the generator `dynamic`")
def apparent_tardiness_cost_tuned(c: CandidateView) -> Priorities:
    """As `atc` with k = 2, b = 1."""
    return _atc(c, LOOKAHEAD, LEAD)


@_rule("wspt", "Smith (1956), Naval Research Logistics Quarterly 3")
def weighted_shortest_processing_time(c: CandidateView) -> Priorities:
    """Least p / w."""
    return _ratio(c["processing_time"], c["job_weight"])


@_rule("wmdd", "Kanet & Li (2004), J. of Scheduling 7(4), with the job's work left")
def weighted_modified_due_date(c: CandidateView) -> Priorities:
    """Least max(P, d - t) / w."""
    return _ratio(np.maximum(c["remaining_work"], c["due_date"] - c["now"]), c["job_weight"])


@_rule("wmod", "modified operation due date, weighted as in Kanet & Li (2004), J. of Scheduling 7(4)")
def weighted_modified_operation_due_date(c: CandidateView) -> Priorities:
    """Least max(p, operation due date - t) / w."""
    left = np.maximum(c["processing_time"], operation_due_date(c) - c["now"])
    return _ratio(left, c["job_weight"])


@_rule("rr", f"Raghu & Rajendran (1993), as given by {HOLTHAUS}")
def raghu_rajendran(c: CandidateView) -> Priorities:
    """Least S e^-u p / P + e^u p + work before the next machine, u the machine's utilisation so far."""
    u = c["utilisation_pct"] / 100.0
    time = c["processing_time"]
    return (
        _ratio(_slack(c) * np.exp(-u) * time, c["remaining_work"]) + np.exp(u) * time + c["next_queue_work"]
    )


@_rule("spt", PANWALKAR)
def shortest_processing_time(c: CandidateView) -> Priorities:
    """Shortest p."""
    return c["processing_time"]


@_rule("lpt", PANWALKAR)
def longest_processing_time(c: CandidateView) -> Priorities:
    """Longest p."""
    return -c["processing_time"]


@_rule("fifo", PANWALKAR)
def first_in_first_out(c: CandidateView) -> Priorities:
    """Longest in the queue."""
    return c["queue_entry"]


@_rule("lifo", PANWALKAR)
def last_in_first_out(c: CandidateView) -> Priorities:
    """Shortest in the queue."""
    return -c["queue_entry"]


@_rule("fasfs", PANWALKAR)
def first_at_shop(c: CandidateView) -> Priorities:
    """First arrived at the shop."""
    return c["arrival"]


@_rule("mwkr", PANWALKAR)
def most_work_remaining(c: CandidateView) -> Priorities:
    """Most work remaining P."""
    return -c["remaining_work"]


@_rule("lwkr", PANWALKAR)
def least_work_remaining(c: CandidateView) -> Priorities:
    """Least work remaining P."""
    return c["remaining_work"]


@_rule("mopnr", PANWALKAR)
def most_operations_remaining(c: CandidateView) -> Priorities:
    """Most operations remaining in the job."""
    return -c["remaining_operations_count"]


@_rule("lopnr", PANWALKAR)
def least_operations_remaining(c: CandidateView) -> Priorities:
    """Least operations remaining in the job."""
    return c["remaining_operations_count"]


@_rule("spt_twk", SELS)
def shortest_share_of_total_work(c: CandidateView) -> Priorities:
    """Smallest ratio of p to the job's total work T."""
    return _ratio(c["processing_time"], c["total_work"])


@_rule("spt_twkr", SELS)
def shortest_share_of_remaining_work(c: CandidateView) -> Priorities:
    """Smallest ratio of p to the job's remaining work P."""
    return _ratio(c["processing_time"], c["remaining_work"])


@_rule("fdd", SELS)
def flow_due_date(c: CandidateView) -> Priorities:
    """Earliest flow due date: arrival plus the job's work up to and including this operation."""
    return c["arrival"] + c["cumulative_work"]


@_rule("winq", HAUPT)
def work_in_next_queue(c: CandidateView) -> Priorities:
    """Least work before the job's next machine, waiting and in process."""
    return c["next_queue_work"]


@_rule("pt_winq", HOLTHAUS)
def processing_time_plus_next_queue(c: CandidateView) -> Priorities:
    """Least p plus work before the next machine."""
    return c["processing_time"] + c["next_queue_work"]


@_rule("pt_winq_sl", "Holthaus & Rajendran (2000), Int. J. of Production Research 38")
def processing_time_plus_next_queue_plus_slack(c: CandidateView) -> Priorities:
    """Least p plus work before the next machine plus min(0, S)."""
    return c["processing_time"] + c["next_queue_work"] + np.minimum(0.0, _slack(c))
