"""Dispatching rules of the fleet; each is a priority of the deciding aircraft's destinations, and the smallest is served.

A rule that has no flight to offer stays, which charges the aircraft where it can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import Priority, rule

Priorities = NDArray[np.float64]

FAMILY: Final = "fleet"
_FOLKLORE: Final = "dispatching folklore"
_OURS: Final = "this suite"

_LOOKAHEAD: Final = 0.5  # weight of the destination's value
_LEAST_LOAD: Final = 0.5  # of the seats, below which a threshold policy does not fly

TUNED_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "is_stay": 0.703,
        "load": 0.154,
        "queue": 0.17,
        "longest_wait": 0.734,
        "block_time": 0.121,
        "slot_wait": 0.341,
        "energy": 0.231,
        "energy_after": 0.576,
        "margin": 1.275,
        "margin_rate": -0.146,
        "charge": 0.362,
        "fare": -0.215,
        "expected": -0.105,
        "occupancy": -0.23,
        "free_chargers": 0.337,
        "destination_waiting": 0.0,
        "destination_expected": 0.025,
        "destination_outlook": 0.249,
        "outlook of a flight": 0.399,
        "root of the outlook": -0.246,
        "load squared": 0.346,
        "energy_after up to half": -0.345,
    }
)
"""Weights of the candidates' features in `tuned_priority`, as `benchmarks/fleet_rule_search.py` found them."""


def _rule(name: str, citation: str = _FOLKLORE) -> Callable[[Priority], Priority]:
    return rule(FAMILY, name, citation)


def _is_stay(c: CandidateView) -> NDArray[np.bool_]:
    return c["is_stay"] > 0.5


@_rule("stay")
def stay(c: CandidateView) -> Priorities:
    """Never fly."""
    return -c["is_stay"]


@_rule("fifo")
def first_in_first_out(c: CandidateView) -> Priorities:
    """The destination of the passenger who has waited longest; stay if nobody waits."""
    return -c["first_wait"] - 0.5 * _is_stay(c)


@_rule("longest_queue")
def longest_queue(c: CandidateView) -> Priorities:
    """The destination for which most passengers wait; stay if nobody waits."""
    return -c["queue_length"] - 0.5 * _is_stay(c)


@_rule("nearest_demand")
def nearest_demand(c: CandidateView) -> Priorities:
    """The nearest destination that anybody waits for; stay if nobody waits."""
    wanted = (c["queue_length"] > 0) & ~_is_stay(c)
    return np.where(wanted, c["flight_seconds"], np.where(_is_stay(c), 1e6, 1e7))


@_rule("greedy_profit")
def greedy_profit(c: CandidateView) -> Priorities:
    """The largest margin (fares less operating cost and energy); stay if none is positive."""
    return -c["margin_cents"]


def _margin_rate(c: CandidateView) -> Priorities:
    """Margin in cents a second of block time and of recharging what the flight takes."""
    return c["margin_cents"] / np.maximum(1.0, c["block_seconds"] + c["recharge_seconds"])


@_rule("greedy_per_block_hour")
def greedy_per_block_hour(c: CandidateView) -> Priorities:
    """The largest margin an hour of block time, recharging included; stay if none is positive."""
    return -_margin_rate(c)


@_rule("threshold_reposition", _OURS)
def threshold_reposition(c: CandidateView) -> Priorities:
    """The best margin an hour of the flights at least half full; else, charged, go to where most wait an aircraft; else stay."""
    flight = ~_is_stay(c)
    good = flight & (c["margin_cents"] > 0) & (c["load"] >= _LEAST_LOAD)
    crowd = c["waiting_there"] / (c["aircraft_there"] + 1.0)
    home = (crowd * _is_stay(c)).sum(axis=-1, keepdims=True)
    charged = (c["energy_added"] <= 0).all(axis=-1, keepdims=True)
    move = flight & charged & (crowd >= 4.0) & (crowd > 3.0 * home)
    return np.where(good, -1e6 - _margin_rate(c), np.where(move, -1e3 - crowd, np.where(flight, 1.0, 0.0)))


@_rule("lookahead", _OURS)
def lookahead(c: CandidateView) -> Priorities:
    """Margin plus half an aircraft's share of what waits and is forecast at the destination.

    That share is at most a full flight. Weight and cap were chosen on twelve training days of tiny, base, busy and rich.
    """
    return -(c["margin"] + _LOOKAHEAD * np.minimum(1.0, c["destination_outlook"]))


def priority_features(c: CandidateView) -> Mapping[str, Priorities]:
    """What `tuned_priority` weighs, by name: the scaled features of the candidates and four functions of them."""
    outlook = c["destination_outlook"]
    shaped = {
        "outlook of a flight": np.minimum(1.0, outlook),
        "root of the outlook": np.sqrt(outlook),
        "load squared": c["load"] ** 2,
        "energy_after up to half": np.minimum(0.5, c["energy_after"]),
    }
    return {name: shaped[name] if name in shaped else c[name] for name in TUNED_WEIGHTS}


def linear_priority(c: CandidateView, weights: Mapping[str, float]) -> Priorities:
    """Less the weighted sum of the features."""
    features = priority_features(c)
    return -np.asarray(sum(weight * features[name] for name, weight in weights.items()))


@_rule("tuned_priority", "this suite; weights by CMA-ES (Hansen & Ostermeier 2001)")
def tuned_priority(c: CandidateView) -> Priorities:
    """The largest weighted sum of the candidates' features.

    The weights earn most on training days of tiny, base, busy and rich, in profits relative to those of `lookahead`.
    """
    return linear_priority(c, TUNED_WEIGHTS)
