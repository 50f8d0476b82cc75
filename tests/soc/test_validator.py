"""The validator measures what is feasible, by hand-worked values, and names every way in which a schedule can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.soc.bounds import lower_bound, shortest_latency
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.power import PowerModel
from makespan.envs.soc.validator import measure, validate

# PEs 0 and 1 form a cluster of type 0, PE 2 is an accelerator. Job: task 0 (4 / -), then 1 (6 / 2) after 8 units and 2 (3 / 3).
# Between the CPUs data take 8 // 4 = 2, to the accelerator 8 // 2 = 4, on one PE nothing.
INSTANCE = SocInstance(
    task_first=[0, 3],
    execution=[[4, -1], [6, 2], [3, 3]],
    edge_source=[0, 0],
    edge_target=[1, 2],
    edge_volume=[8, 0],
    pe_type=[0, 0, 1],
    pe_cluster=[0, 0, 1],
    bandwidth=[[0, 4, 2], [4, 0, 2], [2, 2, 0]],
    job_profile=[0, 0],
    arrival=[0, 3],
    power=PowerModel(
        np.array([[1000], [1000]]), np.array([[[1, 10, 15]], [[2, 20, 20]]]), np.array([0, 0]), base=5
    ),
)
# CPU 0:  job 0 task 0 [0, 4), task 2 [4, 7)        CPU 1: job 1 task 0 [3, 7), task 1 [7, 13)
# accelerator: job 0 task 1 [8, 10), job 1 task 2 [10, 13)
GOOD = Schedule(
    job=np.array([0, 0, 0, 1, 1, 1]),
    task=np.array([0, 1, 2, 0, 1, 2]),
    resource=np.array([0, 2, 0, 1, 1, 2]),
    start=np.array([0, 8, 4, 3, 7, 10]),
    end=np.array([4, 10, 7, 7, 13, 13]),
)


def changed(column: str, row: int, value: int, base: Schedule = GOOD) -> Schedule:
    """A schedule with one entry replaced."""
    array = getattr(base, column).copy()
    array[row] = value
    return replace(base, **{column: array})


def moved(row: int, start: int) -> Schedule:
    """GOOD with one row shifted in time."""
    length = int(GOOD.end[row] - GOOD.start[row])
    return changed("end", row, start + length, changed("start", row, start))


def test_metrics_by_hand() -> None:
    """Guards latency, makespan, energy and busy times against values worked out on the schedule above.

    Latencies 10 - 0 and 13 - 3. CPUs: one busy on [0, 3) and [7, 13), two on [3, 7): 9 * 10 + 4 * 15. Accelerator: idle on
    [0, 8), busy on [8, 13): 8 * 2 + 5 * 20. Base 13 * 5.
    """
    metrics = measure(INSTANCE, GOOD)
    assert metrics.latency == 10.0
    assert metrics.makespan == 13
    assert metrics.energy == 9 * 10 + 4 * 15 + 8 * 2 + 5 * 20 + 13 * 5
    assert metrics.finish.tolist() == [10, 13]
    assert metrics.busy.tolist() == [7, 10, 5]
    assert metrics.completed == 2
    assert metrics.mean_latency(INSTANCE, since=11) == 10.0
    assert np.isnan(metrics.mean_latency(INSTANCE, since=14))
    values = [validate(replace(INSTANCE, objective=o), GOOD) for o in ("latency", "makespan", "energy")]
    assert values == [10.0, 13.0, 331.0]


def test_a_horizon_cuts_the_run_off() -> None:
    """Guards truncation: at 11 job 1 is unfinished and counts with its age 8; energy and busy times stop there."""
    cut = replace(INSTANCE, horizon=11)
    metrics = measure(cut, GOOD)
    assert metrics.latency == (10 + 8) / 2
    assert metrics.makespan == 11
    assert metrics.finish.tolist() == [10, -1]
    assert metrics.completed == 1
    assert metrics.busy.tolist() == [7, 8, 3]
    assert metrics.energy == 7 * 10 + 4 * 15 + 8 * 2 + 3 * 20 + 11 * 5
    partial = GOOD.select([0, 1, 2])
    assert measure(cut, partial).latency == 9.0
    late = measure(replace(INSTANCE, horizon=13), GOOD)
    assert late.completed == 2
    assert measure(replace(INSTANCE, horizon=500), GOOD).makespan == 13


def test_warm_up_jobs_do_not_count() -> None:
    """Guards the mean over counted jobs only."""
    assert validate(replace(INSTANCE, warm_up=1, arrival=np.array([0, 2])), GOOD) == 11.0


def test_jobs_enter_in_order_under_a_cap() -> None:
    """Guards the cap: with one job at a time the second may start when the first is done, and its admission is told."""
    capped = replace(INSTANCE, max_jobs=1)
    with pytest.raises(
        InvalidScheduleError, match="job 1 task 0 starts at 3, before its job may enter at 10"
    ):
        validate(capped, GOOD)
    later = replace(
        GOOD,
        start=GOOD.start + np.array([0, 0, 0, 7, 7, 7]),
        end=GOOD.end + np.array([0, 0, 0, 7, 7, 7]),
    )
    metrics = measure(capped, later)
    assert metrics.admission.tolist() == [0, 10]
    assert metrics.latency == (10 + 17) / 2
    assert metrics.mean_latency(capped, from_admission=True) == 10.0
    with pytest.raises(InvalidScheduleError, match="may enter at all"):
        validate(replace(capped, horizon=50), GOOD.select([0, 3, 4, 5]))


def test_the_cap_counts_unfinished_jobs() -> None:
    """Guards the admission of a fourth job under a cap of two: jobs end at 10, 4 and 6 (entered at 4), so it enters at 6."""
    instance = SocInstance(
        task_first=[0, 1, 2, 3],
        execution=[[10], [4], [2]],
        edge_source=[],
        edge_target=[],
        edge_volume=[],
        pe_type=[0, 0, 0],
        pe_cluster=[0, 0, 0],
        bandwidth=np.zeros((3, 3), int),
        job_profile=[0, 1, 2, 2],
        arrival=[0, 0, 0, 0],
        max_jobs=2,
    )

    def at(start: int) -> Schedule:
        begin = np.array([0, 0, 4, start])
        length = np.array([10, 4, 2, 2])
        return Schedule(np.arange(4), np.zeros(4, int), np.array([0, 1, 1, 2]), begin, begin + length)

    assert measure(instance, at(6)).admission.tolist() == [0, 0, 4, 6]
    with pytest.raises(InvalidScheduleError, match="job 3 task 0 starts at 5, before its job may enter at 6"):
        validate(instance, at(5))


def test_realised_durations_are_what_counts() -> None:
    """Guards noise: a task takes its own draw on its PE, not the expected time."""
    realised = INSTANCE.row_durations.copy()
    realised[1, 2] = 3
    noisy = replace(INSTANCE, realised=realised)
    with pytest.raises(InvalidScheduleError, match="job 0 task 1 takes 2 us on PE 2; expected 3"):
        validate(noisy, GOOD)
    longer = changed("end", 1, 11, changed("start", 5, 11, changed("end", 5, 14)))
    assert validate(noisy, longer) == (11 + 11) / 2


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (GOOD.select([0, 1, 2, 3, 4]), "job 1 task 2 is missing"),
        (GOOD.select([0, 1, 2, 3, 4, 5, 5]), "job 1 task 2 is scheduled 2 times"),
        (changed("job", 0, 2), "unknown job 2"),
        (changed("job", 0, -1), "unknown job -1"),
        (changed("task", 0, 3), "unknown task 3 of job 0"),
        (changed("resource", 0, 3), "unknown PE 3"),
        (replace(GOOD, kind=("transfer",)), "kind 'transfer'"),
        (changed("resource", 0, 2), "PE 2 .* cannot run it"),
        (changed("end", 2, 8), "takes 4 us on PE 0; expected 3"),
        (changed("end", 2, 3), "takes -1 us on PE 0; expected 3"),
        (moved(3, 2), "starts at 2, before its job arrives at 3"),
        (moved(2, 3), "job 0 task 2 starts at 3, before task 0 ends at 4"),
        (moved(1, 7), "before the data of task 0 arrive from PE 0 at 8"),
        (moved(5, 9), "job 0 task 1 and job 1 task 2 overlap on PE 2"),
        (moved(0, -1), "starts at -1, before its job arrives at 0"),
    ],
)
def test_corruptions_are_named(schedule: Schedule, message: str) -> None:
    """Guards that each kind of corruption is refused with a sentence that says what is wrong where."""
    with pytest.raises(InvalidScheduleError, match=message):
        validate(INSTANCE, schedule)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (GOOD, "job 1 task 2 starts at 10; the run ends at 10"),
        (GOOD.select([1, 2]), "job 0 task 1 runs, but task 0 before it does not"),
    ],
)
def test_corruptions_under_a_horizon(schedule: Schedule, message: str) -> None:
    """Guards that a horizon excuses missing tasks, but neither late starts nor missing predecessors."""
    with pytest.raises(InvalidScheduleError, match=message):
        validate(replace(INSTANCE, horizon=10), schedule)


def test_a_task_of_no_length_needs_its_pe_free() -> None:
    """Guards exclusivity for zero-length tasks: not within another task, but at its start or its end."""
    instance = replace(
        INSTANCE,
        execution=np.array([[4, -1], [6, 2], [0, 0]]),
        job_profile=np.array([0]),
        arrival=np.array([0]),
    )

    def at(time: int) -> Schedule:
        columns = np.array([0, 0, 0]), np.array([0, 1, 2]), np.array([0, 0, 0])
        return Schedule(*columns, np.array([0, 4, time]), np.array([4, 10, time]))

    assert [measure(instance, at(time)).makespan for time in (4, 10)] == [10, 10]
    with pytest.raises(InvalidScheduleError, match="overlap on PE 0"):
        validate(instance, at(7))


def test_bounds_by_hand() -> None:
    """Guards the bounds: alone a job takes 10 (task 1 on the accelerator at 8, or on the same CPU at 4).

    Makespan: job 1 arrives at 3. Energy: 13 us of idling (5 + 1 + 2), and per job 4 * 5 (the second busy CPU adds 5 only) for
    task 0, min(6 * 5, 2 * 18) = 30 for task 1 and 3 * 5 for task 2.
    """
    assert shortest_latency(INSTANCE).tolist() == [10, 10]
    assert lower_bound(INSTANCE) == 10.0
    assert lower_bound(replace(INSTANCE, objective="makespan")) == 13.0
    assert lower_bound(replace(INSTANCE, objective="energy")) == 13 * 8 + 2 * (20 + 30 + 15)
    assert lower_bound(replace(INSTANCE, horizon=5)) == (5 + 2) / 2


@pytest.mark.parametrize(
    "profile", [("wifi_tx", 69), ("wifi_rx", 288), ("range_detection", 176), ("sc_rx", 153)]
)
def test_bounds_stay_below_known_optima(profile: tuple[str, int]) -> None:
    """Guards the bound against overshooting a proved optimum."""
    generator = make_generator("stream", profiles=(profile[0],), num_jobs=1)
    assert lower_bound(generator.sample(np.random.default_rng(0))) <= profile[1]


@pytest.mark.parametrize("change", [lambda s: s.sorted(), lambda s: s.select(np.arange(6)[::-1])])
def test_row_order_does_not_matter(change: Callable[[Schedule], Schedule]) -> None:
    """Guards that a schedule is a set of rows."""
    assert measure(INSTANCE, change(GOOD)).energy == 331
