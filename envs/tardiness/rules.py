"""Dispatching rules for total tardiness; each is a priority, and the smallest is served. Ties go to the lower job.

EDDC of arXiv 2510.24013 is left out: as printed its corrections never apply to a list in order of due dates, so it
equals EDD with
ties to the shorter job, which is `edd` with the tie broken so.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import register_policy, rule

Priorities = NDArray[np.float64]

FAMILY: Final = "tardiness"
_MDDC: Final = "Çetinkaya, Büyüktahtakın, Shojaee & Reddy (2025), arXiv 2510.24013"  # noqa: RUF001


def _shortest(c: CandidateView) -> Priorities:
    """Shortest processing time."""
    return c["processing_time"]


@rule(FAMILY, "edd", "Jackson (1955), Management Science Research Project 43, UCLA", tie_break=_shortest)
def earliest_due_date(c: CandidateView) -> Priorities:
    """Earliest due date; ties to the shorter job."""
    return c["due_date"]


@rule(FAMILY, "spt", "Smith (1956), Naval Research Logistics Quarterly 3")
def shortest_processing_time(c: CandidateView) -> Priorities:
    """Shortest processing time."""
    return c["processing_time"]


@rule(FAMILY, "slack", "Panwalkar & Iskander (1977), Operations Research 25(1)")
def least_slack(c: CandidateView) -> Priorities:
    """Least slack: due date minus processing time."""
    return c["due_date"] - c["processing_time"]


@rule(FAMILY, "mdd", "Baker & Bertrand (1982), J. of Operations Management 3(1)")
def modified_due_date(c: CandidateView) -> Priorities:
    """Earliest modified due date max(t + p, d)."""
    return np.maximum(c["now"] + c["processing_time"], c["due_date"])


@rule(FAMILY, "atc", "Vepsalainen & Morton (1987), Management Science 33(8)")
def apparent_tardiness_cost(c: CandidateView) -> Priorities:
    """Largest (1 / p) exp(-max(0, d - p - t) / (2 mean p)), mean over the unscheduled, unit weights."""
    p = np.maximum(c["processing_time"], 1.0)
    mean = (p * c.mask).sum(axis=-1, keepdims=True) / np.maximum(c.mask.sum(axis=-1, keepdims=True), 1)
    slack = np.maximum(0.0, c["due_date"] - p - c["now"])
    return np.log(p) + slack / (2.0 * mean)  # the logarithm orders alike and cannot underflow


@rule(FAMILY, "mddc", _MDDC, tie_break=_shortest)
def modified_due_date_challenger(c: CandidateView) -> Priorities:
    """Earliest modified due date, corrected for the share of the processing time; ties to the shorter job."""
    p, t, d = c["processing_time"], c["now"], c["due_date"]
    longest = np.where(c.mask, p, 0.0).max(axis=-1, keepdims=True)
    mean = np.where(c.mask, p, 0.0).sum(axis=-1, keepdims=True) / c.mask.sum(axis=-1, keepdims=True)
    share = np.minimum(p / np.maximum(t + longest, 1.0), 1.0)
    theta = share**2 / (1.0 + share**2)
    return np.maximum(1.1 * p + t, d) * (1.0 + theta) + p / np.maximum(t + mean, 1.0)


@rule(FAMILY, "psk", "Panwalkar, Smith & Koulamas (1993), European J. of Operational Research 70")
def panwalkar_smith_koulamas(c: CandidateView) -> Priorities:
    """The first job in order of processing times, unless a longer one with an earlier due date has to go before it.

    Walking through the unscheduled in that order, a job with earlier due date takes the place of the active one as long as
    the active one would not be late after the job that follows; 0 for the choice, 1 for all others.
    """
    p, d, t = c["processing_time"], c["due_date"], c["now"].max(axis=-1)
    order = np.lexsort((d, np.where(c.mask, p, np.inf)), axis=-1)
    rows, counts = np.arange(len(p)), c.mask.sum(axis=-1)
    active = order[:, 0]
    settled = t + p[rows, active] >= d[rows, active]
    for place in range(1, p.shape[1]):
        rival = order[:, place]
        settled |= (place >= counts) | (d[rows, active] <= t + p[rows, rival])
        takes_over = ~settled & (d[rows, rival] < d[rows, active])
        active = np.where(takes_over, rival, active)
        settled |= takes_over & (t + p[rows, active] >= d[rows, active])
        if settled.all():
            break
    priority = np.ones(p.shape)
    priority[rows, active] = 0.0
    return priority


for _name, _citation, _class in (
    ("wilkerson_irwin", "Wilkerson & Irwin (1971), Management Science 17(12)", "WilkersonIrwin"),
    ("augmented_mdd", "Bean & Hall (1985); moves to the end after each append", "AugmentedMDD"),
    ("augmented_mddc", _MDDC, "AugmentedMDDC"),
    ("optimal", "Held & Karp (1962); Lawler (1964): in every state", "Optimal"),
):
    register_policy(FAMILY, _name, _citation, f"makespan.envs.tardiness.policies:{_class}")
