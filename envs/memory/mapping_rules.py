"""Rules of the mapping game: where an access is served from, by what the candidates show.

All look at one access at a time. The orders of tensors that compilers work through are solvers (`mapping_solver`), or policies
that follow such a plan (`mapping_policies`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import rule

Priorities = NDArray[np.float64]

FAMILY: Final = "memory_mapping"
FOLKLORE: Final = "folklore"
XLA: Final = "openxla/xla, memory_space_assignment (Apache-2.0)"
BELADY: Final = "Belady 1966, IBM Systems Journal 5(2)"


def _keep_first(c: CandidateView) -> Priorities:
    """Keep before Copy before Drop."""
    return c["is_copy"] + 2.0 * c["is_drop"]


def _only_if(wanted: NDArray[np.bool_], c: CandidateView) -> Priorities:
    """Fast memory (Keep before Copy) where wanted, else Drop."""
    return np.where(wanted | (c["is_drop"] > 0), _keep_first(c), 3.0)


@rule(FAMILY, "all_hbm", FOLKLORE)
def all_hbm(c: CandidateView) -> Priorities:
    """Everything is served from HBM."""
    return -c["is_drop"]


@rule(FAMILY, "time_order", FOLKLORE)
def time_order(c: CandidateView) -> Priorities:
    """Fast memory goes to who comes first: Keep if possible, else Copy, else Drop."""
    return _keep_first(c)


@rule(FAMILY, "keep_only", FOLKLORE)
def keep_only(c: CandidateView) -> Priorities:
    """What is produced in fast memory stays there; nothing is fetched."""
    return c["is_drop"] + 2.0 * c["is_copy"]


@rule(FAMILY, "useful", FOLKLORE)
def useful(c: CandidateView) -> Priorities:
    """Fast memory only for tensors that save latency, now or later."""
    return _only_if((c["benefit"] > 0) | (c["benefit_left"] > 0), c)


@rule(FAMILY, "dense", FOLKLORE)
def dense(c: CandidateView) -> Priorities:
    """Fast memory only where it saves latency more densely than if all of it, all the time, saved half the latency."""
    return _only_if((c["density"] >= 0.5) | ((c["operations"] == 0) & (c["benefit_left"] > 0)), c)


@rule(FAMILY, "memory_bound", XLA)
def memory_bound(c: CandidateView) -> Priorities:
    """Fast memory only for tensors that XLA's cost model finds memory-bound."""
    return _only_if(c["boundedness"] > 0, c)


@rule(FAMILY, "small", FOLKLORE)
def small(c: CandidateView) -> Priorities:
    """Fast memory only for tensors of at most an eighth of it."""
    return _only_if(c["size"] <= 1 / 8, c)


@rule(FAMILY, "soon", BELADY)
def soon(c: CandidateView) -> Priorities:
    """Fast memory only for tensors that are used again within a twentieth of the program, or that save latency now."""
    return _only_if((c["next_use"] <= 1 / 20) | (c["benefit"] > 0), c)
