"""CP-SAT proves the known optima, agrees with brute force, and its rolling form sees no future."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.policy import solvers_of
from makespan.envs.soc import registry as registry
from makespan.envs.soc.benchmark import load_instance
from makespan.envs.soc.cp_model import Task, improve
from makespan.envs.soc.generator import KnownOptimumSoc, ToySoc, make_generator
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.plan_kernels import Plan
from makespan.envs.soc.planning import execute
from makespan.envs.soc.solver import CPSATSolver, RollingCPSAT, best_list_schedule
from makespan.envs.soc.validator import validate


def draw(name: str, seed: int = 0, **parameters: Any) -> SocInstance:
    """An instance of a generator."""
    return make_generator(name, **parameters).sample(np.random.default_rng(seed))


def brute_force(instance: SocInstance) -> float:
    """The optimum of a tiny instance: every assignment, every order of the rows, each row as early as possible."""
    rows = range(instance.total_rows)
    eligible = [np.flatnonzero(times >= 0).tolist() for times in instance.row_durations]
    best = np.inf
    source, target = instance.edge_source.tolist(), instance.edge_target.tolist()
    task, first = instance.row_task.tolist(), instance.row_first.tolist()
    before = [{row + a - b for a, b in zip(source, target, strict=True) if b == task[row]} for row in rows]
    assert first[0] == 0
    orders = [
        order
        for order in itertools.permutations(rows)
        if all(before[row] <= set(order[: order.index(row)]) for row in rows)
    ]
    for places in itertools.product(*eligible):
        for order in orders:
            plan = Plan(np.array(places, np.int32), np.argsort(order), np.argsort(order))
            with contextlib.suppress(InvalidScheduleError):  # an order that the cap does not allow
                best = min(best, validate(instance, execute(instance, plan)))
    return best


@pytest.mark.parametrize(
    ("name", "optimum"),
    [
        ("topcuoglu", 73),
        ("toy", 5),
        ("single-wifi_tx", 69),
        ("single-range_detection", 176),
        ("single-sc_tx", 56),
        ("single-sc_rx", 153),
        ("single-temporal_mitigation", 79),
    ],
)
def test_known_optima_are_proved(name: str, optimum: int) -> None:
    """Guards the model against constraints that are missing (too low) or too many (too high)."""
    solution = CPSATSolver(workers=2).solve(load_instance(name), 60)
    assert (solution.objective, solution.bound, solution.status) == (optimum, optimum, "optimal")


@pytest.mark.slow
def test_the_wifi_receiver_is_proved() -> None:
    """Guards the symmetry breaking on 34 tasks and 16 PEs: 288, against 301 of the best rule."""
    solution = CPSATSolver(workers=2).solve(load_instance("single-wifi_rx"), 240)
    assert (solution.objective, solution.status) == (288, "optimal")


def test_two_copies_of_the_sample_graph() -> None:
    """Guards the sum of completions over several jobs: 169 in all is the proved optimum of two copies."""
    two = draw("topcuoglu", num_jobs=2, objective="latency")
    solution = CPSATSolver(workers=2).solve(two, 60)
    assert (solution.objective, solution.status) == (84.5, "optimal")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [{}, {"max_jobs": 1}, {"horizon": 25}, {"noise": 0.4}])
def test_brute_force_agrees(seed: int, change: dict[str, Any]) -> None:
    """Guards model, cap, horizon and realised durations against enumeration of two jobs of two or three tasks."""
    parameters = {"num_tasks": 2, "num_pes": 2, "num_jobs": 2, "scale": 8.0, "mean_execution": 8, "ccr": 1.0}
    instance = draw("layered", seed, objective="latency", **parameters, **change)
    solution = CPSATSolver(workers=1).solve(instance, 30)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(brute_force(instance))


def test_like_pes_with_transfers_between_them() -> None:
    """Guards the symmetry breaking and the transfers within a cluster, by enumeration of a fork on two like PEs.

    Two PEs of one type, 2 us between them: a (3), then b and c (4 each); sharing costs 2 + 4, doing both on one PE 8.
    """
    instance = SocInstance(
        task_first=[0, 3],
        execution=[[3], [4], [4]],
        edge_source=[0, 0],
        edge_target=[1, 2],
        edge_volume=[2, 2],
        pe_type=[0, 0],
        pe_cluster=[0, 0],
        bandwidth=[[0, 1], [1, 0]],
        job_profile=[0],
        arrival=[0],
        objective="makespan",
    )
    assert CPSATSolver(workers=1).solve(instance, 30).objective == 9 == brute_force(instance)
    slow_self = dataclasses.replace(instance, bandwidth=np.array([[1, 0], [0, 1]]))
    assert CPSATSolver(workers=1).solve(slow_self, 30).objective == brute_force(slow_self)


def plain(
    execution: list[list[int]], profiles: list[int], jobs: list[tuple[int, int]], **options: Any
) -> SocInstance:
    """Independent tasks on PEs of types of their own; jobs as (profile, arrival)."""
    num_pes = len(execution[0])
    return SocInstance(
        task_first=np.concatenate([[0], np.cumsum(profiles)]),
        execution=execution,
        edge_source=np.zeros(0, int),
        edge_target=np.zeros(0, int),
        edge_volume=np.zeros(0, int),
        pe_type=np.arange(num_pes),
        pe_cluster=np.arange(num_pes),
        bandwidth=np.zeros((num_pes, num_pes), int),
        job_profile=[profile for profile, _ in jobs],
        arrival=[arrival for _, arrival in jobs],
        **options,
    )


def test_like_pes_are_all_used() -> None:
    """Guards that the order of like PEs leaves the second task a PE of its own: from 3 + 4 on one PE to 4 on two."""
    instance = plain([[3, 3], [4, 4]], [2], [(0, 0)], objective="makespan")
    nothing = Plan(np.full(2, -1, np.int32), np.zeros(2, np.int64), np.zeros(2, np.int64))
    times = instance.row_durations
    task = Task(instance, np.arange(2), times, nothing, np.zeros(2, np.int64), instance.arrival)
    poor = Plan(np.zeros(2, np.int32), np.array([0, 3]), np.array([3, 7]))
    answer = improve(task, poor, seconds=10)
    assert (answer.value, answer.bound, answer.optimal) == (4, 4, True)


def test_rolling_does_not_rewrite_the_past() -> None:
    """Guards that a task which gets another PE at an arrival starts there no earlier than that.

    y (10 on A) starts at 0; x (5 on A, 16 on B) comes at 1 and waits for A until 10. At 4 three jobs z (3 on A) arrive, and x had
    better go to B now: ends 10, 4 + 16, 13, 16, 19 (with x on A after the others 72 us for z and x, so 68).
    """
    jobs = [(0, 0), (1, 1), (2, 4), (2, 4), (2, 4)]
    instance = plain([[10, -1], [5, 16], [3, -1]], [1, 1, 1], jobs)
    schedule = RollingCPSAT().solve(instance).schedule
    (row,) = np.flatnonzero(schedule.job == 1)
    assert (schedule.resource[row], schedule.start[row], schedule.end[row]) == (1, 4, 20)
    assert validate(instance, schedule) == (10 + 19 + 9 + 12 + 15) / 5


def test_known_optimum_generator_is_solved() -> None:
    """Guards status and bound where the area bound alone proves optimality."""
    instance = KnownOptimumSoc(optimum=60).sample(np.random.default_rng(1))
    solution = CPSATSolver(workers=2).solve(instance, 60)
    assert (solution.objective, solution.status) == (60, "optimal")


def test_never_worse_than_the_list_schedulers() -> None:
    """Guards the hint: with hardly any time the best list schedule is returned, with a bound below it."""
    instance = draw("soc16-mix", num_jobs=8)
    solution = CPSATSolver(workers=1).solve(instance, 0.05)
    assert solution.objective <= best_list_schedule(instance)[1]
    assert solution.bound is not None
    assert solution.bound <= solution.objective


def test_rolling_waits_on_the_toy() -> None:
    """Guards re-planning at an arrival: b, planned for time 3, makes way for q, which arrives at 3."""
    assert RollingCPSAT().solve(ToySoc().sample()).objective == 5.0


def test_rolling_does_not_see_later_arrivals() -> None:
    """Guards non-clairvoyance: until job 6 arrives, the run is the same with and without it and what follows."""
    whole = draw("top-stream", num_jobs=9, scale=60)
    now = int(whole.arrival[6])
    part = dataclasses.replace(whole, job_profile=whole.job_profile[:6], arrival=whole.arrival[:6])
    runs = [RollingCPSAT(effort=0.05).solve(instance).schedule for instance in (whole, part)]
    early = [run.select(run.start < now).sorted() for run in runs]
    assert early[0] == early[1]
    assert early[0].num_rows > 20


def test_rolling_does_not_see_noise_before_a_task_ends() -> None:
    """Guards non-clairvoyance: tasks that end after some time take longer than before, and until then the run is the same."""
    noisy = draw("top-stream", num_jobs=6, scale=40, noise=0.3)
    run = RollingCPSAT(effort=0.05).solve(noisy).schedule
    now = int(np.median(run.end))
    realised = noisy.realised.copy()
    later = run.end > now
    realised[noisy.row_first[run.job[later]] + run.task[later]] += 5
    other = RollingCPSAT(effort=0.05).solve(dataclasses.replace(noisy, realised=realised)).schedule
    begun = [r.select(r.start < now).sorted() for r in (run, other)]
    for column in ("job", "task", "resource", "start"):
        assert getattr(begun[0], column).tolist() == getattr(begun[1], column).tolist()
    assert run != other


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("soc16-mix", {"num_jobs": 6, "scale": 30, "noise": 0.3}),
        ("top-stream", {"num_jobs": 8, "scale": 30, "max_jobs": 2, "noise": 0.3}),
        ("top-stream", {"num_jobs": 8, "scale": 30, "horizon": 200}),
    ],
)
def test_rolling_is_feasible_and_reproducible(name: str, parameters: dict[str, Any]) -> None:
    """Guards the run under noise, caps and horizons by the validator, and its independence from the clock."""
    instance = draw(name, **parameters)
    solutions = [RollingCPSAT(effort=0.02).solve(instance) for _ in range(2)]
    assert solutions[0].schedule == solutions[1].schedule
    assert validate(instance, solutions[0].schedule) == solutions[0].objective


def test_what_cannot_be_solved_is_told() -> None:
    """Guards the errors of wrong options and of the energy, which the model does not have."""
    with pytest.raises(ValueError, match="workers: 0"):
        CPSATSolver(workers=0)
    with pytest.raises(ValueError, match="effort 0"):
        RollingCPSAT(effort=0)
    energy = draw("soc16-mix", num_jobs=2, objective="energy")
    with pytest.raises(ValueError, match="objective: 'energy'"):
        CPSATSolver().solve(energy)
    with pytest.raises(ValueError, match="time_limit_s: 0"):
        CPSATSolver().solve(ToySoc().sample(), 0)


def test_every_solver_loads_and_solves() -> None:
    """Guards the registry's entry points, all of which find a feasible schedule of the toy."""
    names = "cp_sat cp_sat_rolling cpop etf heft lookahead max_min mct met min_min peft sufferage"
    assert sorted(solvers_of("soc")) == names.split()
    toy = ToySoc().sample()
    for entry in solvers_of("soc").values():
        solution = entry.load().solve(toy, 10)
        assert solution.objective == validate(toy, solution.schedule) >= 5.0
