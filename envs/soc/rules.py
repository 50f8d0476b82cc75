"""List-scheduling rules of heterogeneous systems, one decision at a time; the smallest priority is served.

A candidate is a pair of ready task and PE. Rules that rank tasks first and PEs second, or the other way round, put both
numbers into one; ties go to the task that has been ready longer (FIFO), then to the lower PE. Finish times count what is already
committed to a PE and the arrival of the task's data, as the papers' do. No rule waits: to defer is the last resort of all.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import rule

Priorities = NDArray[np.float64]

FAMILY: Final = "soc"
BRAUN: Final = "Braun et al. (2001), J. of Parallel and Distributed Computing 61(6)"
MAHESWARAN: Final = "Maheswaran et al. (1999), J. of Parallel and Distributed Computing 59(2)"
DS3: Final = "Arda et al. (2020), DS3, IEEE Trans. Computers 69(8)"
HWANG: Final = "Hwang, Chow, Anger & Lee (1989), SIAM J. on Computing 18(2)"
TOPCUOGLU: Final = "Topcuoglu, Hariri & Wu (2002), IEEE Trans. Parallel and Distributed Systems 13(3)"
ARABNEJAD: Final = "Arabnejad & Barbosa (2014), IEEE Trans. Parallel and Distributed Systems 25(3)"

_STEP: Final = 2.0**26  # more than any raw number: what comes after it decides only between equals


def _first(first: Priorities, then: Priorities) -> Priorities:
    """By `first`, equals by `then`; both whole numbers below 2^25 in size."""
    return first * _STEP + then


@rule(FAMILY, "fifo_eft", BRAUN)
def fifo_earliest_finish_time(c: CandidateView) -> Priorities:
    """Tasks in the order in which they became ready, each on the PE where it finishes first (MCT; DS3's EFT)."""
    return _first(c["order"], c["finish_us"])


@rule(FAMILY, "met", BRAUN)
def minimum_execution_time(c: CandidateView) -> Priorities:
    """Tasks in FIFO order, each on its fastest PE; of equally fast ones a free one, then the least often used."""
    fastest = c["execution_us"] - c["shortest_us"]
    return (
        (c["order"] * 2.0**20 + np.minimum(fastest, 2.0**20 - 1)) * 2.0 + c["running"]
    ) * 2.0**20 + np.minimum(c["assigned"], 2.0**20 - 1)


@rule(FAMILY, "olb", BRAUN)
def opportunistic_load_balancing(c: CandidateView) -> Priorities:
    """Tasks in FIFO order, each on the PE that is free first, whatever its speed."""
    return _first(c["order"], c["pe_us"])


@rule(FAMILY, "stf", DS3)
def shortest_task_first(c: CandidateView) -> Priorities:
    """The task of the shortest execution first, on its fastest PE; of equally fast ones where it finishes first."""
    excess = np.minimum(c["execution_us"] - c["shortest_us"], 2.0**13 - 1)
    return (c["shortest_us"] * 2.0**13 + excess) * 2.0**15 + np.minimum(c["finish_us"], 2.0**15 - 1)


@rule(FAMILY, "min_min", f"{BRAUN}; the ETF of {DS3}")
def min_min(c: CandidateView) -> Priorities:
    """The pair that finishes first (DS3 calls it ETF)."""
    return c["finish_us"]


@rule(FAMILY, "etf", HWANG)
def earliest_task_first(c: CandidateView) -> Priorities:
    """The pair that starts first; of equals the task of the highest static level, then the PE where it finishes first."""
    level = 2.0**17 - 1 - np.minimum(np.floor(c["static_level"] / 8.0), 2.0**17 - 1)
    return (np.minimum(c["start_us"], 2.0**18 - 1) * 2.0**17 + level) * 2.0**18 + np.minimum(
        c["finish_us"], 2.0**18 - 1
    )


@rule(FAMILY, "max_min", BRAUN)
def max_min(c: CandidateView) -> Priorities:
    """The task whose earliest finish is the latest, on the PE of that finish."""
    return _first(-c["best_us"], c["finish_us"])


@rule(FAMILY, "sufferage", MAHESWARAN)
def sufferage(c: CandidateView) -> Priorities:
    """The task that would lose most by going to its second best PE, on its best."""
    return _first(c["best_us"] - c["second_us"], c["finish_us"])


@rule(FAMILY, "heft_ready", TOPCUOGLU)
def heft_of_ready_tasks(c: CandidateView) -> Priorities:
    """The ready task of the highest upward rank (whole graph, with communication), on the PE where it finishes first."""
    return _first(-c["upward"], c["finish_us"])


@rule(FAMILY, "peft_ready", ARABNEJAD)
def peft_of_ready_tasks(c: CandidateView) -> Priorities:
    """The ready task of the highest mean optimistic cost, on the PE of the least finish plus optimistic cost."""
    return _first(-c["priority_oct"], c["finish_us"] + c["optimistic_us"])


@rule(FAMILY, "oldest_job", DS3)
def oldest_job_first(c: CandidateView) -> Priorities:
    """Tasks of the job that arrived first, each on the PE where it finishes first."""
    return _first(-c["job_age_us"], c["finish_us"])


@rule(FAMILY, "shortest_job", TOPCUOGLU)
def shortest_remaining_path(c: CandidateView) -> Priorities:
    """Tasks of the job with the shortest path left, each on the PE where it finishes first."""
    return _first(c["job_path_us"], c["finish_us"])
