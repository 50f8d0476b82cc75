"""What the pictures show is recomputed from the schedule: transfers, load and power by hand, and every picture draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from makespan.envs.core.schedule import Schedule
from makespan.envs.soc.benchmark import load_instance
from makespan.envs.soc.curves import busy_pes, jobs_in_system, power_draw, transfers
from makespan.envs.soc.generator import ToySoc, make_generator
from makespan.envs.soc.pictures import PICTURES
from makespan.envs.soc.power import PowerModel
from makespan.envs.soc.solver import CPSATSolver
from makespan.envs.soc.static_schedulers import HEFT
from makespan.envs.soc.validator import measure

POWER = PowerModel(np.array([[1], [1]]), np.array([[[1, 10]], [[2, 20]]]), np.array([0, 0]), base=100)


def test_transfers_by_hand() -> None:
    """Guards the marks of the Gantt chart: on the toy b's data leave the CPU at 2 and reach the accelerator at 3."""
    toy = ToySoc().sample()
    moved = transfers(toy, CPSATSolver().solve(toy, 10).schedule)
    assert [column.tolist() for column in moved] == [[0], [0], [1], [2], [3]]
    graph = load_instance("topcuoglu")
    schedule = HEFT().solve(graph).schedule
    moved = transfers(graph, schedule)
    start = {int(t): int(s) for t, s in zip(schedule.task, schedule.start, strict=True)}
    assert start[9] == 73
    arrivals = sorted(moved.arrive[moved.leave >= 49].tolist())
    assert arrivals == [49 + 17, 62 + 11]  # tasks 6 and 7 send to task 9; task 8 runs on its PE


def test_curves_by_hand() -> None:
    """Guards load and power on the toy's optimal schedule.

    CPU busy on [0, 5), accelerator on [3, 8); job 0 in the system on [0, 8), job 1 on [3, 5).
    """
    toy = replace(ToySoc().sample(), power=POWER)
    schedule = CPSATSolver().solve(ToySoc().sample(), 10).schedule
    assert [curve.tolist() for curve in jobs_in_system(toy, schedule)] == [[0, 3, 5, 8], [1, 2, 1, 0]]
    times, busy = busy_pes(toy, schedule)
    assert dict(zip(times.tolist(), busy.tolist(), strict=True)) == {0: 1, 2: 1, 3: 2, 5: 1, 8: 0}
    times, power = power_draw(toy, schedule)
    assert power[np.searchsorted(times, [0, 3, 5, 8])].tolist() == [112, 130, 121, 103]
    with pytest.raises(ValueError, match="no power model"):
        power_draw(ToySoc().sample(), schedule)


@pytest.mark.parametrize("parameters", [{}, {"noise": 0.2, "horizon": 900, "max_jobs": 4}])
def test_curves_integrate_to_the_metrics(parameters: dict[str, Any]) -> None:
    """Guards both sides: the integral of the jobs in the system is the sum of latencies, that of the power the energy."""
    instance = make_generator("soc16-mix", num_jobs=20, **parameters).sample(np.random.default_rng(0))
    schedule = HEFT().solve(instance).schedule
    run = measure(instance, schedule)
    times, jobs = jobs_in_system(instance, schedule)
    assert (jobs[:-1] * np.diff(times)).sum() == pytest.approx(run.latency * instance.counted.sum())
    times, power = power_draw(instance, schedule)
    assert int((power[:-1] * np.diff(times)).sum()) == run.energy


@pytest.mark.parametrize("name", list(PICTURES))
@pytest.mark.parametrize("generator", ["soc16-mix", "top-stream", "toy"])
def test_every_picture_draws(name: str, generator: str) -> None:
    """Guards that the pictures can be drawn with and without power model, and of a schedule that is not finished."""
    parameters = {} if generator == "toy" else {"num_jobs": 4}
    instance = make_generator(generator, **parameters).sample(np.random.default_rng(0))
    schedule = HEFT().solve(instance).schedule
    figure = PICTURES[name](instance, schedule)
    figure.canvas.draw()
    assert len(figure.axes) >= 1
    if name == "gantt":
        lines = [c for c in figure.axes[0].collections if type(c).__name__ == "LineCollection"]
        count = sum(len(c.get_segments()) for c in lines if c.get_zorder() == 2.6)
        assert count == transfers(instance, schedule).job.size > 0
        PICTURES[name](instance, Schedule.empty()).canvas.draw()
