"""Metrics against numbers worked by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makespan.envs.core import metrics
from makespan.envs.core.schedule import Schedule

# Resource 0: job 0 in 0..3, job 1 in 5..7.  Resource 1: job 1 in 1..5, job 0 in 6..10.  C_0 = 10, C_1 = 7.
TOY = Schedule(
    job=[0, 1, 1, 0], task=[0, 1, 0, 1], resource=[0, 0, 1, 1], start=[0, 5, 1, 6], end=[3, 7, 5, 10]
)


def test_metrics__job_based() -> None:
    """Completion, flow and lateness of two jobs."""
    assert metrics.makespan(TOY) == 10
    assert metrics.completion_times(TOY).tolist() == [10, 7]
    assert metrics.flow_times(TOY, release=[0, 1]).tolist() == [10, 6]
    assert metrics.total_flow_time(TOY, release=[0, 1]) == 16
    assert metrics.mean_flow_time(TOY) == 8.5
    assert metrics.total_weighted_completion_time(TOY, weight=[2, 3]) == 41
    assert metrics.lateness(TOY, due=[8, 9]).tolist() == [2, -2]
    assert metrics.tardiness(TOY, due=[8, 9]).tolist() == [2, 0]
    assert metrics.num_tardy(TOY, due=[8, 9]) == 1
    assert metrics.num_tardy(TOY, due=[10, 7]) == 0  # on time is not late


def test_metrics__weighted_tardiness_is_exact_for_integers() -> None:
    """Integer weights give an int (no float drift in benchmark tables); float weights give a float."""
    total = metrics.total_weighted_tardiness(TOY, due=[8, 5], weight=[10**12, 3])
    assert total == 2 * 10**12 + 6
    assert isinstance(total, int)
    assert metrics.total_weighted_tardiness(TOY, due=[8, 5]) == 4
    assert metrics.total_weighted_tardiness(TOY, due=[8, 5], weight=[0.5, 0.25]) == pytest.approx(1.5)


def test_metrics__resource_based() -> None:
    """Busy, idle and utilisation, with a third resource that never works and a longer horizon."""
    assert metrics.busy_times(TOY).tolist() == [5, 8]
    assert metrics.busy_times(TOY, num_resources=3).tolist() == [5, 8, 0]
    assert metrics.idle_times(TOY).tolist() == [5, 2]
    assert metrics.utilisation(TOY).tolist() == [0.5, 0.8]
    assert metrics.utilisation(TOY, num_resources=3, horizon=20).tolist() == [0.25, 0.4, 0.0]


def test_metrics__overlapping_rows_count_once() -> None:
    """A resource of capacity two is not busy for longer than the clock runs."""
    rows = Schedule(job=[0, 1, 2, 3], task=[0] * 4, resource=[0] * 4, start=[0, 2, 3, 8], end=[6, 4, 7, 9])
    assert metrics.busy_times(rows).tolist() == [8]  # 0..7 and 8..9


@given(
    spans=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 9)), min_size=1, max_size=12
    )
)
def test_metrics__busy_times_match_counting(spans: list[tuple[int, int, int]]) -> None:
    """The sweep agrees with painting every time unit on a grid, zero-length rows included."""
    resource, start, duration = np.array(spans).T
    grid = np.zeros((4, 40), bool)
    for i, s, d in spans:
        grid[i, s : s + d] = True
    rows = Schedule(np.arange(len(spans)), np.zeros(len(spans)), resource, start, start + duration)
    assert metrics.busy_times(rows, 4).tolist() == grid.sum(axis=1).tolist()


def test_metrics__jobs_in_system() -> None:
    """Two jobs from 1 to 7, one before and after; the time average is the area over the makespan."""
    times, counts = metrics.jobs_in_system(TOY, release=[0, 1])
    assert times.tolist() == [0, 1, 7, 10]
    assert counts.tolist() == [1, 2, 1, 0]
    area = int((np.diff(times) * counts[:-1]).sum())
    assert area == metrics.total_flow_time(TOY, release=[0, 1])
    assert metrics.work_in_process(TOY, release=[0, 1]) == pytest.approx(1.6)


def test_metrics__throughput() -> None:
    """Jobs complete by the horizon, a tie included, over the horizon."""
    assert metrics.throughput(TOY) == pytest.approx(0.2)
    assert metrics.throughput(TOY, horizon=7) == pytest.approx(1 / 7)
    assert metrics.throughput(TOY, horizon=6) == 0.0


def test_metrics__gap() -> None:
    """61 against 55 is 10.9 per cent; arrays broadcast; a reference of 0 is an error, not inf."""
    assert metrics.gap_pct(61, 55) == pytest.approx(100 * 6 / 55)
    assert isinstance(metrics.gap_pct(61, 55), float)
    assert metrics.gap_pct([110.0, 90.0], 100).tolist() == pytest.approx([10.0, -10.0])
    for reference in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="reference"):
            metrics.gap_pct(1, reference)


def test_metrics__empty_schedule() -> None:
    """Nothing divides by zero before the first decision."""
    nothing = Schedule.empty()
    assert (
        metrics.mean_flow_time(nothing)
        == metrics.work_in_process(nothing)
        == metrics.throughput(nothing)
        == 0.0
    )
    assert metrics.utilisation(nothing, num_resources=2).tolist() == [0.0, 0.0]
    assert metrics.completion_times(nothing).tolist() == []


def test_metrics__rows_without_job_are_left_out() -> None:
    """A breakdown after the last job delays no job but occupies its machine."""
    rows = Schedule(
        job=[0, -1], task=[0, 0], resource=[0, 0], start=[0, 4], end=[4, 9], kind=("process", "breakdown")
    )
    assert metrics.completion_times(rows).tolist() == [4]
    assert metrics.busy_times(rows).tolist() == [9]


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: metrics.completion_times(TOY, num_jobs=3), "job 2 has no row"),
        (lambda: metrics.completion_times(TOY, num_jobs=1), "job: 1; expected 0..0"),
        (lambda: metrics.lateness(TOY, due=[1, 2, 3]), "job 2 has no row"),
        (lambda: metrics.total_weighted_tardiness(TOY, due=[1, 2], weight=[1]), "weight: 1 entries"),
        (lambda: metrics.lateness(TOY, due=5), "due: shape"),
        (lambda: metrics.busy_times(TOY, num_resources=1), "resource: 1; expected 0..0"),
    ],
)
def test_metrics__refuse_unlike_sizes(compute: Callable[[], object], message: str) -> None:
    """An unfinished job or a due array of another instance is an error, never a silent zero."""
    with pytest.raises(ValueError, match=message):
        compute()
