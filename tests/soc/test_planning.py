"""List schedulers reproduce the published schedules, and plans survive noise, caps and horizons."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from makespan.envs.soc import graphs
from makespan.envs.soc.benchmark import load_instance
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.planning import Planner, busy_until, execute
from makespan.envs.soc.static_schedulers import HEFT, METHODS
from makespan.envs.soc.validator import measure, validate

TOPCUOGLU = load_instance("topcuoglu")

# task: (PE, start, end), counted from 0; Topcuoglu et al. 2002, figure 3
HEFT_SCHEDULE = {
    0: (2, 0, 9),
    1: (0, 27, 40),
    2: (2, 9, 28),
    3: (1, 18, 26),
    4: (2, 28, 38),
    5: (1, 26, 42),
    6: (2, 38, 49),
    7: (0, 57, 62),
    8: (1, 56, 68),
    9: (1, 73, 80),
}
CPOP_SCHEDULE = {
    0: (1, 0, 16),
    1: (1, 16, 35),
    2: (0, 28, 39),
    3: (2, 25, 42),
    4: (1, 35, 48),
    5: (2, 42, 51),
    6: (0, 39, 46),
    7: (2, 54, 68),
    8: (1, 65, 77),
    9: (1, 79, 86),
}


def draw(name: str, seed: int = 0, **parameters: Any) -> SocInstance:
    """An instance of a generator."""
    return make_generator(name, **parameters).sample(np.random.default_rng(seed))


def test_ranks_of_the_heft_paper() -> None:
    """Guards upward and downward ranks, published for the sample graph (table 2 of the paper, to two digits)."""
    up = [108, 77, 80, 80, 69, 63.333, 42.667, 35.667, 44.333, 14.667]
    assert np.allclose(graphs.upward_rank(TOPCUOGLU), up, atol=1e-3)
    assert np.allclose(
        np.sort(graphs.downward_rank(TOPCUOGLU)[[0, 1, 8, 9]]), [0, 31, 63.667, 93.333], atol=1e-3
    )
    path = graphs.upward_rank(TOPCUOGLU) + graphs.downward_rank(TOPCUOGLU)
    assert np.flatnonzero(np.isclose(path, 108)).tolist() == [0, 1, 8, 9]


@pytest.mark.parametrize(
    ("method", "makespan"),
    [
        ("heft", 80),
        ("cpop", 86),
        ("peft", 85),
        ("lookahead", 81),
        ("min_min", 76),
        ("max_min", 97),
        ("sufferage", 76),
        ("met", 82),
        ("mct", 80),
    ],
)
def test_makespans_of_the_sample_graph(method: str, makespan: int) -> None:
    """Guards each list scheduler by its golden makespan (HEFT and CPOP as published, the others from independent code)."""
    assert METHODS[method]().solve(TOPCUOGLU).objective == makespan


@pytest.mark.parametrize(("method", "expected"), [("heft", HEFT_SCHEDULE), ("cpop", CPOP_SCHEDULE)])
def test_published_schedules_task_by_task(method: str, expected: dict[int, tuple[int, int, int]]) -> None:
    """Guards HEFT and CPOP task by task, which a lucky makespan would not."""
    schedule = METHODS[method]().solve(TOPCUOGLU).schedule
    rows = zip(schedule.task, schedule.resource, schedule.start, schedule.end, strict=True)
    assert {int(t): (int(m), int(a), int(b)) for t, m, a, b in rows} == expected


def test_two_copies_one_after_the_other() -> None:
    """Guards insertion around what is placed already: the second copy ends at 109 (third-party unit test)."""
    two = draw("topcuoglu", num_jobs=2)
    assert measure(two, HEFT(jointly=False).solve(two).schedule).finish.tolist() == [80, 109]
    planner = Planner(two)
    plan, busy = planner.empty_plan(), busy_until(np.zeros(3, np.int64), 20)
    for job in (0, 1):
        planner.heft(plan, busy, planner.rows_of([job]), two.arrival)
    assert plan.end[:10].max() == 80
    assert plan.end[10:].max() == 109


def test_planning_on_from_what_has_started() -> None:
    """Guards re-planning: given tasks keep their places, nothing starts before its PE is free, its data are there or now.

    Of the sample graph task 0 has run on PE 2 until 9 and task 2 occupies PE 2 until 28; now is 10. Task 3 (data at 18 on
    PE 1) is next by rank and goes there as in the whole schedule.
    """
    planner = Planner(TOPCUOGLU)
    plan = planner.empty_plan()
    plan.pe[[0, 2]], plan.end[[0, 2]], plan.start[[0, 2]] = 2, [9, 28], [0, 9]
    rows = np.array([row for row in planner.rows_of([0]) if row not in (0, 2)])
    planner.heft(plan, busy_until(np.array([10, 10, 28]), 10), rows, np.array([10]))
    assert {t: (int(plan.pe[t]), int(plan.start[t]), int(plan.end[t])) for t in range(10)} == HEFT_SCHEDULE
    late = planner.empty_plan()
    late.pe[[0, 2]], late.end[[0, 2]], late.start[[0, 2]] = 2, [9, 28], [0, 9]
    planner.heft(late, busy_until(np.array([50, 60, 70]), 10), rows, np.array([55]))
    assert late.start[rows].min() >= 55
    assert all(late.start[row] >= [55, 60, 70][late.pe[row]] for row in rows)


def test_lookahead_breaks_ties_by_the_own_finish() -> None:
    """Guards the tie rule: the child runs at 5 either way, so its parent takes the PE where it ends at 3, not at 5."""
    instance = SocInstance(
        task_first=[0, 2],
        execution=[[5, 3], [4, -1]],
        edge_source=[0],
        edge_target=[1],
        edge_volume=[2],
        pe_type=[0, 1],
        pe_cluster=[0, 1],
        bandwidth=[[0, 1], [1, 0]],
        job_profile=[0],
        arrival=[0],
    )
    assert METHODS["lookahead"]().plan(instance).pe.tolist() == [1, 0]


def test_optimistic_costs_of_peft() -> None:
    """Guards PEFT's table: the exit row is 0, task 8's is the exit's least way, task 6's by hand.

    From task 8 on PE 1 the exit runs on PE 1 for 7; from PE 0 on PE 1 after 13: 20, or on PE 2 for 29, or on PE 0 for 21.
    """
    table = graphs.optimistic_cost(TOPCUOGLU)
    assert table[9].tolist() == [0, 0, 0]
    assert table[8].tolist() == [20, 7, 16]
    assert table[6].tolist() == [21, 7, 16]


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("soc16-mix", {"num_jobs": 25, "noise": 0.3}),
        ("soc16-mix", {"num_jobs": 25, "scale": 20, "max_jobs": 3, "noise": 0.3}),
        ("top-pss3", {"horizon": 1500}),
        ("layered", {"num_tasks": 40, "noise": 0.5}),
        ("moe", {"direction": "both"}),
    ],
)
def test_every_method_makes_feasible_schedules(method: str, name: str, parameters: dict[str, Any]) -> None:
    """Guards plans and their execution under noise, caps, horizons and single-purpose PEs, by the validator."""
    instance = draw(name, **parameters)
    solution = METHODS[method]().solve(instance)
    assert solution.objective == validate(instance, solution.schedule)
    assert solution.bound is not None
    assert solution.bound <= solution.objective


def test_plans_do_not_see_the_noise() -> None:
    """Guards non-clairvoyance: the plan depends on expected durations only, the execution keeps its places."""
    quiet = draw("soc16-mix", num_jobs=15)
    noisy = draw("soc16-mix", num_jobs=15, noise=0.4)
    plans = [HEFT().plan(instance) for instance in (quiet, noisy)]
    assert np.array_equal(plans[0].start, plans[1].start)
    schedule = execute(noisy, plans[1])
    rows = noisy.row_first[schedule.job] + schedule.task
    assert np.array_equal(plans[1].pe[rows], schedule.resource)
    assert np.array_equal(schedule.durations, noisy.realised[rows, schedule.resource])


def test_execution_without_noise_follows_the_plan() -> None:
    """Guards the execution: without noise every task starts when planned, and no earlier than it was decided."""
    instance = draw("soc16-mix", num_jobs=30)
    plan = HEFT().plan(instance)
    schedule = execute(instance, plan)
    rows = instance.row_first[schedule.job] + schedule.task
    assert np.array_equal(plan.start[rows], schedule.start)
    late = execute(instance, plan, np.full(instance.total_rows, 500))
    assert late.start.min() == 500
    validate(instance, late)


def test_later_jobs_do_not_change_earlier_plans() -> None:
    """Guards that a plan is made at arrivals: dropping the last jobs leaves the places of the others."""
    many = draw("soc16-mix", num_jobs=20)
    cut = int(many.row_first[12])
    few = dataclasses.replace(many, job_profile=many.job_profile[:12], arrival=many.arrival[:12])
    for method in METHODS.values():
        assert np.array_equal(method().plan(many).start[:cut], method().plan(few).start)
