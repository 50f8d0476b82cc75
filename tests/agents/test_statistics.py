"""Statistics against values computed by hand, known identities and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from makespan.agents import statistics as st


def test_iqm_of_one_to_eight():
    """The interquartile mean drops a quarter on either side: (3 + 4 + 5 + 6) / 4."""
    assert st.iqm(np.arange(1, 9)) == 4.5
    assert st.iqm([0, 10, 11, 1_000]) == 10.5  # an outlier must not move it


def test_iqm_takes_all_runs_and_tasks_together():
    """A matrix of scores is flattened, so that (2, 4) and (8,) agree."""
    assert st.iqm(np.arange(1, 9).reshape(2, 4)) == 4.5


def test_bootstrap_matches_scipy():
    """Our percentile interval of the mean is SciPy's, up to resampling noise."""
    values = np.random.default_rng(3).normal(10.0, 2.0, 60)
    ours = st.mean_ci(values)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=5_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.estimate == values.mean()
    assert abs(ours.low - theirs.low) < 0.08
    assert abs(ours.high - theirs.high) < 0.08


def test_bootstrap_is_reproducible():
    """The same seed gives the same interval, another seed another one."""
    values = np.random.default_rng(0).exponential(size=30)
    assert st.mean_ci(values, seed=5) == st.mean_ci(values, seed=5)
    assert st.mean_ci(values, seed=5) != st.mean_ci(values, seed=6)


def test_stratified_bootstrap_keeps_tasks_apart():
    """Runs that agree within each task leave no uncertainty, however far the tasks lie apart."""
    scores = np.tile([1.0, 50.0, 900.0], (4, 1))
    interval = st.stratified_bootstrap_ci(scores, st.mean_of)
    assert interval.low == pytest.approx(interval.estimate)
    assert interval.high == pytest.approx(interval.estimate)
    unstratified = st.mean_ci(scores.ravel())
    assert unstratified.high - unstratified.low > 100


def test_stratified_bootstrap_spread_of_two_runs():
    """Two runs on one task: the bootstrap mean is 0, 1/2 or 1, so the 95 % interval is [0, 1]."""
    assert st.stratified_bootstrap_ci([[0.0], [1.0]], st.mean_of) == (0.5, 0.0, 1.0)


def test_one_observation_has_no_interval():
    """A single run or instance must not pretend to an interval of width zero."""
    assert np.isnan(st.mean_ci([3.0]).low)
    assert np.isnan(st.stratified_bootstrap_ci([[1.0, 2.0, 3.0]]).high)


def test_paired_difference_ignores_the_spread_between_instances():
    """A constant advantage of one over instances of wildly different size is exactly one."""
    b = np.array([10.0, 500.0, 20_000.0])
    assert st.paired_difference(b - 1, b) == (-1.0, -1.0, -1.0)


def test_win_tie_loss():
    """Smaller wins; rounding noise is a tie."""
    assert st.win_tie_loss([1, 2, 3, 4 + 1e-12], [2, 2, 1, 4]) == (1, 2, 1)


def test_wilson_interval_known_value():
    """Wilson's 95 % interval of 8 in 10 is (0.4902, 0.9433); of 0 in 10 it is (0, 0.2775)."""
    assert st.wilson_interval(8, 10) == pytest.approx((0.8, 0.49016, 0.94331), abs=1e-5)
    assert st.wilson_interval(0, 10) == pytest.approx((0.0, 0.0, 0.27754), abs=1e-5)


def test_paired_win_rate_counts_a_tie_as_half():
    """One win, one tie, two losses: 1.5 of 4."""
    assert st.paired_win_rate([1, 5, 9, 9], [2, 5, 8, 8]).estimate == 0.375


def test_wilcoxon_known_values():
    """Six wins of six have the exact two-sided p of 2 / 2^6; equal pairs have p = 1."""
    a = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert st.wilcoxon_p(a, a + np.array([1, 2, 3, 4, 5, 6])) == pytest.approx(2 / 64)
    assert st.wilcoxon_p(a, a) == 1.0


def test_probability_of_improvement_by_hand():
    """Task 1: `a` better in all four pairs; task 2: one tie and three losses, (1 + 0.125) / 2."""
    a = [[1.0, 7.0], [2.0, 9.0]]
    b = [[3.0, 7.0], [4.0, 5.0]]
    assert st.probability_of_improvement(a, b) == pytest.approx((1 + 0.125) / 2)
    assert st.probability_of_improvement(b, a) == pytest.approx(1 - (1 + 0.125) / 2)


def test_performance_profile_by_hand():
    """The share of scores at most tau; the threshold itself counts."""
    profile = st.performance_profile([[0.0, 1.0], [2.0, 5.0]], [-1, 0, 2, 4, 5])
    np.testing.assert_array_equal(profile, [0, 0.25, 0.75, 0.75, 1.0])


@pytest.mark.parametrize("bad", [[], [1.0, np.nan], [np.inf]])
def test_scores_must_be_finite(bad):
    """NaN scores raise instead of turning a mean into NaN silently."""
    with pytest.raises(ValueError, match="finite"):
        st.iqm(bad)


def test_unequal_pairs_raise():
    """Pairing needs the same instances on both sides."""
    with pytest.raises(ValueError, match="pairs"):
        st.paired_difference([1, 2], [1, 2, 3])


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [st.mean_of, st.iqm_of])
def test_interval_covers_the_truth(statistic):
    """About 95 % of the intervals from 40 normal draws hold the true centre (a little fewer)."""
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(400):
        interval = st.bootstrap_ci(rng.normal(size=40), statistic, repetitions=1_000, seed=trial)
        held += interval.low <= 0.0 <= interval.high
    assert 0.90 <= held / 400 <= 0.98


@pytest.mark.slow
def test_stratified_interval_covers_the_truth():
    """Runs drawn around known task means: about 95 % of the intervals hold the known mean."""
    rng = np.random.default_rng(1)
    means = np.array([0.0, 10.0, 30.0])
    held = 0
    for trial in range(400):
        scores = rng.normal(means, 1.0, (20, 3))
        interval = st.stratified_bootstrap_ci(scores, st.mean_of, repetitions=1_000, seed=trial)
        held += interval.low <= means.mean() <= interval.high
    assert 0.90 <= held / 400 <= 0.98
