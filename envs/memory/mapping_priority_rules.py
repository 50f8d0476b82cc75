"""Rules of the mapping game in priority order: which tensor is placed next.

The first five are the orders of the solvers of the same names. Where the environment places tensors as a solver does
(`offset_policy="best"`; XLA's also `prefetch="preferred"`, `stay_limit=10`), the rule's latency is the solver's.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import rule

Priorities = NDArray[np.float64]

FAMILY: Final = "memory_mapping"
MODE: Final = "priority"
FOLKLORE: Final = "folklore"
KNAPSACK: Final = "folklore: knapsack by density"
XLA: Final = "openxla/xla, memory_space_assignment (Apache-2.0)"
OWN: Final = "this suite"


@rule(FAMILY, "density_priority", KNAPSACK, mode=MODE)
def density_priority(c: CandidateView) -> Priorities:
    """Largest benefit per byte and operation of the tensor's lifetime first."""
    return c["density_rank"]


@rule(FAMILY, "xla_priority", XLA, mode=MODE)
def xla_priority(c: CandidateView) -> Priorities:
    """Largest memory boundedness / sqrt(size) first."""
    return c["xla_rank"]


@rule(FAMILY, "big_priority", FOLKLORE, mode=MODE)
def big_priority(c: CandidateView) -> Priorities:
    """Largest tensor first."""
    return c["big_first_rank"]


@rule(FAMILY, "small_priority", FOLKLORE, mode=MODE)
def small_priority(c: CandidateView) -> Priorities:
    """Smallest tensor first."""
    return c["small_first_rank"]


@rule(FAMILY, "time_priority", FOLKLORE, mode=MODE)
def time_priority(c: CandidateView) -> Priorities:
    """First used first."""
    return c["time_order_rank"]


@rule(FAMILY, "gain_priority", OWN, mode=MODE)
def gain_priority(c: CandidateView) -> Priorities:
    """Largest latency that it would still save first."""
    return -c["gain"]


@rule(FAMILY, "gain_density_priority", OWN, mode=MODE)
def gain_density_priority(c: CandidateView) -> Priorities:
    """Largest latency that it would still save per byte and operation of its lifetime first."""
    return -c["gain_density"]


@rule(FAMILY, "fitting_priority", OWN, mode=MODE)
def fitting_priority(c: CandidateView) -> Priorities:
    """As `gain_density_priority`, but those that find room for their whole lifetime come before the others."""
    return -c["log_gain_density"] - 100.0 * c["fits"]
