"""What a dynamic shop is drawn from: routes, durations, arrivals, weights, noise and breakdowns, each from its own stream."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.blocking.shutdowns import RepairLaw, draw_windows

Int32Array = NDArray[np.int32]

LAWS: Final = ("uniform", "exponential")
"""Laws of durations."""


def draw_machines(
    rng: np.random.Generator, lengths: NDArray[np.int64], num_machines: int, flexibility: int
) -> Int32Array:
    """Eligible machines (sum of lengths, flexibility) of all operations, padded with -1.

    A job's operations have different first machines, in random order; further machines are any others.

    Args:
        rng: Stream of the routes.
        lengths: (num_jobs,) operations of each job, at most `num_machines`.
        num_machines: Machines.
        flexibility: Most eligible machines of an operation; their number is uniform.
    """
    orders = rng.random((lengths.size, num_machines)).argsort(axis=1)
    primary = orders[np.arange(num_machines) < lengths[:, None]]
    machines = np.full((primary.size, flexibility), -1, np.int32)
    machines[:, 0] = primary
    if flexibility > 1:
        keys = rng.random((primary.size, num_machines))
        keys[np.arange(primary.size), primary] = -1.0  # so that it comes first
        ranked = keys.argsort(axis=1)[:, :flexibility]
        count = rng.integers(1, flexibility + 1, primary.size)
        machines = np.where(np.arange(flexibility) < count[:, None], ranked, -1).astype(np.int32)
    return machines


def draw_durations(
    rng: np.random.Generator, machines: Int32Array, law: str, low: int, high: int, spread: float
) -> Int32Array:
    """Forecast durations (num_operations, K) of operations on their eligible machines, at least 1, time units.

    Args:
        rng: Stream of the durations.
        machines: (num_operations, K), padded with -1.
        law: One of `LAWS`.
        low: Shortest duration.
        high: Longest duration; an exponential one has the mean of both.
        spread: On a further machine it takes U[1 - spread, 1 + spread] times as long as on the first.
    """
    count, width = machines.shape
    uniform = law == "uniform"
    drawn = rng.integers(low, high + 1, count) if uniform else rng.exponential((low + high) / 2, count)
    base = np.asarray(drawn, np.float64)
    factor = np.ones((count, width))
    if width > 1:
        factor[:, 1:] = rng.uniform(1.0 - spread, 1.0 + spread, (count, width - 1))
    durations = np.maximum(1, np.rint(base[:, None] * factor))
    return np.where(machines >= 0, durations, 0).astype(np.int32)


def draw_arrivals(rng: np.random.Generator, num_jobs: int, mean_gap: float) -> Int32Array:
    """Arrivals (num_jobs,) of a Poisson process, rounded down to time units; the first job arrives at 0."""
    gaps = rng.exponential(1.0, num_jobs) * mean_gap
    gaps[0] = 0.0
    return np.floor(np.cumsum(gaps)).astype(np.int32)


def draw_weights(
    rng: np.random.Generator, num_jobs: int, weights: tuple[int, ...], shares: tuple[float, ...]
) -> Int32Array:
    """Weights (num_jobs,) of jobs."""
    return rng.choice(np.array(weights, np.int32), num_jobs, p=np.array(shares) / sum(shares))


def draw_noise(rng: np.random.Generator, durations: Int32Array, sigma: float) -> Int32Array:
    """Realised durations, as `durations`: times a log-normal factor of mean 1, one for each operation, at least 1."""
    if sigma == 0.0:
        return durations
    factor = np.exp(sigma * rng.standard_normal(len(durations)) - sigma**2 / 2)
    realised = np.maximum(1, np.rint(durations * factor[:, None]))
    return np.where(durations > 0, realised, 0).astype(np.int32)


def draw_breakdowns(streams: list[np.random.Generator], horizon: int, mtbf: float, mttr: float) -> Int32Array:
    """Windows (n, 3) of machine, start, end, beginning before `horizon`: exponential up and repair times, at least 1 each."""
    return draw_windows(streams, horizon, mtbf, "exponential", RepairLaw("exponential", 1, 1, mttr))
