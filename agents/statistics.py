"""Statistics for comparing schedulers: robust means, bootstrap intervals, paired tests.

Scores are gaps or objectives, so smaller is better throughout. Where several training runs of one method are
compared, `scores` is (num_runs, num_tasks), a task being an instance, and resampling is stratified: runs
are drawn anew within each task (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice"). Schedulers that solve the same instances are compared in pairs, which removes the
spread between instances.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

REPETITIONS: Final = 2_000
CONFIDENCE: Final = 0.95
TIE: Final = 1e-9  # scores closer than this are equal: gaps are quotients of integers

Scores = NDArray[np.float64]
Statistic = Callable[[Scores], Scores]  # reduces the last axis


class Interval(NamedTuple):
    """An estimate with its confidence interval; the limits are NaN where a single observation allows none."""

    estimate: float
    low: float
    high: float


class WinTieLoss(NamedTuple):
    """Instances won, tied and lost."""

    wins: int
    ties: int
    losses: int


def mean_of(scores: Scores) -> Scores:
    """Mean over the last axis."""
    return np.asarray(scores.mean(axis=-1))


def iqm_of(scores: Scores) -> Scores:
    """Interquartile mean over the last axis: the mean without the lowest and the highest quarter."""
    return np.asarray(stats.trim_mean(scores, 0.25, axis=-1))


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean of all scores."""
    return float(iqm_of(_numbers(scores).ravel()))


def bootstrap_ci(
    values: ArrayLike,
    statistic: Statistic = mean_of,
    *,
    repetitions: int = REPETITIONS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic of independent values (n,), one for each instance."""
    values = _numbers(values)
    if values.ndim != 1:
        raise ValueError(f"values: shape {values.shape}; expected (n,)")
    rng = np.random.default_rng(seed)
    drawn = values[rng.integers(0, values.size, (repetitions, values.size))]  # (repetitions, n)
    return _percentiles(float(statistic(values)), statistic(drawn), confidence, values.size)


def mean_ci(values: ArrayLike, *, repetitions: int = REPETITIONS, seed: int = 0) -> Interval:
    """Mean over instances with its bootstrap interval."""
    return bootstrap_ci(values, mean_of, repetitions=repetitions, seed=seed)


def iqm_ci(values: ArrayLike, *, repetitions: int = REPETITIONS, seed: int = 0) -> Interval:
    """Interquartile mean over instances with its bootstrap interval."""
    return bootstrap_ci(values, iqm_of, repetitions=repetitions, seed=seed)


def stratified_bootstrap_ci(
    scores: ArrayLike,
    statistic: Statistic = iqm_of,
    *,
    repetitions: int = REPETITIONS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of a statistic of all scores (num_runs, num_tasks), runs resampled within each task.

    The interval says how much another set of training runs might differ on these tasks; one run gives it no
    limits.
    """
    scores = _numbers(scores)
    if scores.ndim != 2:
        raise ValueError(f"scores: shape {scores.shape}; expected (num_runs, num_tasks)")
    runs, tasks = scores.shape
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, runs, (repetitions, runs, tasks))
    drawn = scores[picks, np.arange(tasks)].reshape(repetitions, -1)  # (repetitions, num_runs * num_tasks)
    return _percentiles(float(statistic(scores.ravel())), statistic(drawn), confidence, runs)


def paired_difference(
    a: ArrayLike, b: ArrayLike, *, repetitions: int = REPETITIONS, seed: int = 0
) -> Interval:
    """Mean of a - b over instances with its bootstrap interval; below zero, `a` is better."""
    a, b = _pair(a, b)
    return mean_ci(a - b, repetitions=repetitions, seed=seed)


def win_tie_loss(a: ArrayLike, b: ArrayLike) -> WinTieLoss:
    """On how many instances `a` is smaller than, equal to and larger than `b`."""
    a, b = _pair(a, b)
    ties = int((np.abs(a - b) <= TIE).sum())
    wins = int((a < b - TIE).sum())
    return WinTieLoss(wins, ties, a.size - ties - wins)


def wilson_interval(successes: float, trials: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927, JASA 22)."""
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"successes: {successes} of {trials}; expected 0 <= successes <= trials, trials >= 1"
        )
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    share = successes / trials
    shrink = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / shrink
    margin = z / shrink * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return Interval(share, max(0.0, float(centre - margin)), min(1.0, float(centre + margin)))


def paired_win_rate(a: ArrayLike, b: ArrayLike, *, confidence: float = CONFIDENCE) -> Interval:
    """Share of instances on which `a` beats `b`, a tie counting one half, with Wilson's interval."""
    outcome = win_tie_loss(a, b)
    return wilson_interval(outcome.wins + outcome.ties / 2, sum(outcome), confidence=confidence)


def wilcoxon_p(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test; 1 where all pairs are equal."""
    a, b = _pair(a, b)
    difference = np.where(np.abs(a - b) <= TIE, 0.0, a - b)
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference, zero_method="wilcox").pvalue)


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """Probability that a run of `a` is better than a run of `b` on a task, averaged over tasks.

    Args:
        a: Scores (num_runs_a, num_tasks).
        b: Scores (num_runs_b, num_tasks).

    Returns:
        The mean over tasks of U / (m n), U the Mann-Whitney statistic (a tie counts one half).
    """
    a, b = _numbers(a), _numbers(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"scores: shapes {a.shape} and {b.shape}; expected (num_runs, num_tasks) with equal tasks"
        )
    statistic = stats.mannwhitneyu(b, a, axis=0, method="asymptotic").statistic  # U counts pairs with b > a
    return float(np.mean(statistic / (a.shape[0] * b.shape[0])))


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> Scores:
    """Share of all scores that are at most each threshold, of the thresholds' shape (Dolan & Moré 2002)."""
    ordered = np.sort(_numbers(scores).ravel())
    return np.searchsorted(ordered, np.asarray(thresholds, np.float64) + TIE, side="right") / ordered.size


def _numbers(values: ArrayLike) -> Scores:
    numbers = np.asarray(values, np.float64)
    finite = int(np.isfinite(numbers).sum())
    if numbers.size == 0 or finite < numbers.size:
        raise ValueError(f"scores: {finite} of {numbers.size} are finite; expected all, and at least one")
    return numbers


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Scores, Scores]:
    a, b = _numbers(a), _numbers(b)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"pairs: shapes {a.shape} and {b.shape}; expected (num_instances,) twice")
    return a, b


def _percentiles(estimate: float, replicates: Scores, confidence: float, observations: int) -> Interval:
    if observations < 2:
        return Interval(estimate, np.nan, np.nan)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(replicates, [tail, 100.0 - tail])
    return Interval(estimate, float(low), float(high))
