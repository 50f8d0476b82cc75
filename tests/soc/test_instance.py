"""SoC instances refuse what contradicts itself, and count rows, jobs and energy as their docstrings say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.power import PowerModel, scaled

POWER = PowerModel(np.array([[1000], [1000]]), np.array([[[1, 5, 8]], [[2, 9, 9]]]), np.array([0, 0]), 10)


def small(**changes: Any) -> SocInstance:
    """Two profiles (2 and 1 tasks) on two PEs of type 0 and one of type 1; three jobs."""
    fields: dict[str, Any] = {
        "task_first": [0, 2, 3],
        "execution": [[4, -1], [6, 2], [3, 3]],
        "edge_source": [0],
        "edge_target": [1],
        "edge_volume": [7],
        "pe_type": [0, 0, 1],
        "pe_cluster": [0, 0, 1],
        "bandwidth": [[0, 1, 2], [1, 0, 2], [2, 2, 0]],
        "job_profile": [0, 1, 0],
        "arrival": [0, 5, 5],
    }
    return SocInstance(**{**fields, **changes})


def test_rows_are_the_jobs_tasks_in_order() -> None:
    """Guards the numbering that schedules, realised durations and solvers rely on."""
    instance = small()
    assert instance.row_first.tolist() == [0, 2, 3, 5]
    assert instance.row_task.tolist() == [0, 1, 2, 0, 1]
    assert instance.row_job.tolist() == [0, 0, 1, 2, 2]
    assert instance.row_durations.tolist() == [[4, 4, -1], [6, 6, 2], [3, 3, 3], [4, 4, -1], [6, 6, 2]]


def test_counted_jobs_lie_between_warm_up_and_horizon() -> None:
    """Guards which jobs enter the mean latency: warm_up <= arrival < horizon."""
    assert small(arrival=[0, 5, 9], warm_up=5, horizon=9).counted.tolist() == [False, True, False]
    assert small(arrival=[0, 5, 9], warm_up=5).counted.tolist() == [False, True, True]


def test_edges_are_sorted_by_target_then_source() -> None:
    """Guards the order that predecessor lists are cut from."""
    instance = small(
        task_first=[0, 3],
        job_profile=[0, 0, 0],
        edge_source=[1, 0, 0],
        edge_target=[2, 2, 1],
        edge_volume=[5, 6, 7],
    )
    assert instance.edge_source.tolist() == [0, 0, 1]
    assert instance.edge_volume.tolist() == [7, 6, 5]


def test_equality_ignores_names() -> None:
    """Guards comparisons of instances from files with generated ones."""
    assert small(name="a") == small(name="b", pe_names=("x", "y", "z"))
    assert small() != small(arrival=[0, 5, 6])
    assert replace(small(), name="c").name == "c"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task_first": [0, 0, 3]}, "task_first"),
        ({"execution": [[4, -1], [6, 2]]}, "execution: shape"),
        ({"execution": [[4, -2], [6, 2], [3, 3]]}, "execution: -2"),
        ({"execution": [[-1, -1], [6, 2], [3, 3]]}, "no PE can run template task 0"),
        ({"execution": [[4.5, 1], [6, 2], [3, 3]]}, "execution: dtype float64"),
        ({"pe_type": [0, 0, 2]}, "pe_type"),
        ({"pe_cluster": [0, 0, 2]}, "pe_cluster"),
        ({"bandwidth": [[1, 1], [1, 1]]}, "bandwidth: shape"),
        ({"edge_target": [2]}, "joins two profiles"),
        ({"edge_target": [3]}, "expected template tasks 0..2"),
        ({"edge_volume": [-1]}, "edge_volume: -1"),
        ({"edge_source": [0, 0], "edge_target": [1, 1], "edge_volume": [1, 1]}, "twice"),
        ({"edge_source": [0, 1], "edge_target": [1, 0], "edge_volume": [1, 1]}, "cycle"),
        ({"edge_source": [1], "edge_target": [1]}, "cycle"),
        ({"job_profile": [0, 2, 0]}, "job_profile"),
        ({"arrival": [0, 6, 5]}, "arrival"),
        ({"realised": np.ones((2, 3), int)}, "realised: shape"),
        ({"realised": np.ones((5, 3), int)}, "realised: 1 at"),
        ({"objective": "profit"}, "objective: 'profit'"),
        ({"objective": "energy"}, "power: None"),
        ({"horizon": -1}, "horizon: -1"),
        ({"deviation": -0.1}, "deviation: -0.1"),
        ({"warm_up": 6}, "no job in"),
        ({"pe_names": ("a",)}, "pe_names: 1 names"),
        ({"arrival": [0, 5, 2**31]}, "less than 2\\^31"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    """Guards that a malformed instance is told by field, value and expectation, and never reaches a kernel."""
    with pytest.raises(InvalidInstanceError, match=message):
        small(**changes)


def test_power_is_read_at_the_operating_point() -> None:
    """Guards the table that energies are summed from."""
    model = PowerModel(
        np.array([[600, 1000], [500, 0]]),
        np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 8], [0, 0, 0]]]),
        np.array([1, 0]),
    )
    assert model.draw.tolist() == [[4, 5, 6], [7, 8, 8]]
    with pytest.raises(InvalidInstanceError, match=r"power.level"):
        PowerModel(model.frequency, model.table, np.array([1, 1]))
    with pytest.raises(InvalidInstanceError, match=r"power.frequency"):
        PowerModel(model.frequency[:, ::-1], model.table, np.array([0, 0]))
    with pytest.raises(InvalidInstanceError, match=r"power.table"):
        small(power=PowerModel(model.frequency[:1], model.table[:1], np.array([0])))


def test_slower_clocks_round_up() -> None:
    """Guards the rounding rule of DVFS: ceil(time * fastest / frequency), with 0 and -1 as they were."""
    assert scaled(np.array([0, -1, 9, 10], np.int32), 2000, 1400).tolist() == [0, -1, 13, 15]
