"""When jobs arrive, what they are, and how long their tasks really take: drawn before any decision, each from its own stream."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from makespan.envs.soc.instance import SocInstance

Gaps = Literal["exponential", "fixed"]


@dataclass(frozen=True, slots=True)
class Streams:
    """Independent generators: arrivals stay as they are when the mix or the noise changes, and so on.

    Attributes:
        arrivals: Gaps between jobs.
        mix: Profiles of the jobs.
        noise: Realised durations.
        graph: Random task graphs, where there are any.
    """

    arrivals: np.random.Generator
    mix: np.random.Generator
    noise: np.random.Generator
    graph: np.random.Generator

    @classmethod
    def of(cls, rng: np.random.Generator) -> Streams:
        """The streams that one draw from `rng` seeds."""
        root = np.random.SeedSequence(rng.integers(0, 2**32, 4, dtype=np.uint32).tolist())
        return cls(*(np.random.default_rng(seed) for seed in root.spawn(4)))


def draw_arrivals(
    rng: np.random.Generator, num_jobs: int, scale: float, gaps: Gaps = "exponential", initial_jobs: int = 1
) -> NDArray[np.int64]:
    """Arrival times (num_jobs,) in us.

    The first `initial_jobs` arrive at 0, each later one a gap after the one before: floor(Exp(mean `scale`)) as in DS3, or
    `scale` itself. A scale of 0 lets all jobs arrive at 0.
    """
    unit = rng.standard_exponential(num_jobs) if gaps == "exponential" else np.ones(num_jobs)
    gap = np.floor(unit * scale).astype(np.int64)
    gap[:initial_jobs] = 0
    return np.cumsum(gap)


def draw_mix(rng: np.random.Generator, num_jobs: int, probabilities: Sequence[float]) -> NDArray[np.int32]:
    """Profile of each job (num_jobs,), independent draws."""
    edges = np.cumsum(probabilities)
    return np.searchsorted(edges[:-1] / edges[-1], rng.random(num_jobs), side="right").astype(np.int32)


def draw_noise(rng: np.random.Generator, durations: NDArray[np.int32], deviation: float) -> NDArray[np.int32]:
    """Realised us of (task, PE) durations: Gaussian around them, rounded, at least 1 (DS3's `standard_deviation`).

    Args:
        rng: Stream of the noise.
        durations: (N, M) expected us; 0 stays 0 and -1 (cannot run) stays -1.
        deviation: Standard deviation as a fraction of the mean.
    """
    noisy = np.rint(durations * (1 + deviation * rng.standard_normal(durations.shape)))
    return np.where(durations > 0, np.maximum(noisy, 1), durations).astype(np.int32)


def with_noise(instance: SocInstance, rng: np.random.Generator, deviation: float) -> NDArray[np.int32]:
    """Realised us (N, M) of every task of every job on every PE; shape (0, M) without deviation."""
    if deviation == 0:
        return np.zeros((0, instance.num_pes), np.int32)
    return draw_noise(rng, instance.durations[instance.row_task], deviation)


def jobs_until(horizon: int, scale: float) -> int:
    """Jobs to draw so that their exponential arrivals pass the horizon but for a chance below 1e-9."""
    mean_gap = 1 / math.expm1(1 / scale)  # of the floor of an exponential variable
    expected = horizon / mean_gap
    return math.ceil(expected + 6.5 * math.sqrt(expected) + 20)


DS3_TYPES = ("wifi_tx", "wifi_rx", "range_detection", "sc_tx", "sc_rx", "temporal_mitigation")
"""Profiles in the order of DS3's job probabilities."""
DS3_MIX = (0.2, 0.2, 0.2, 0.1, 0.1, 0.2)
"""DS3's default job probabilities."""
WIFI_MIX = (0.8, 0.2, 0.0, 0.0, 0.0, 0.0)
"""Job probabilities of DS3's scheduling case study."""


def ds3_arrivals(
    scale: float, *, until: int = 50_000, probabilities: Sequence[float] = WIFI_MIX, seed: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The arrival list of the DS3 regression: profile and arrival in us of every job up to `until`.

    As DS3 draws them: the profile from NumPy's legacy generator, the gap as int(expovariate(1 / scale)) from
    Python's, both seeded alike; profiles count `DS3_TYPES`.
    """
    # the legacy generator is what the published figures were drawn with
    profiles, gaps = np.random.RandomState(seed), random.Random(seed)
    profile, arrival, now = [], [], 0
    while now <= until:
        profile.append(int(profiles.choice(len(probabilities), p=probabilities)))
        arrival.append(now)
        now += int(gaps.expovariate(1 / scale))
    return np.array(profile, np.int32), np.array(arrival, np.int64)
