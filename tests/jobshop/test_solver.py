"""The solvers reach known optima, agree with brute force, repeat themselves, and refuse nonsense."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidInstanceError, InvalidScheduleError, UnknownNameError
from makespan.envs.core.policy import Solver, solvers_of
from makespan.envs.jobshop import registry  # noqa: F401 - registers the solvers
from makespan.envs.jobshop.benchmark import load_instance
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.one_machine import carlier
from makespan.envs.jobshop.rollout import first_schedule
from makespan.envs.jobshop.shifting_bottleneck import ShiftingBottleneckSolver
from makespan.envs.jobshop.solver import CPSATSolver
from makespan.envs.jobshop.tabu_search import TabuSearchSolver
from makespan.envs.jobshop.validator import validate

OPTIMA = {"ft06": 55, "la01": 666, "la02": 655, "la03": 597, "la04": 590, "la05": 593}


def random_shop(
    rng: np.random.Generator, num_jobs: int, num_machines: int, flexible: bool = False
) -> ShopInstance:
    """A small ragged shop with release dates, machines visited again, and durations that may be 0."""
    jobs = []
    for _ in range(num_jobs):
        job = []
        for _ in range(rng.integers(1, num_machines + 1)):
            width = int(rng.integers(1, num_machines + 1)) if flexible else 1
            job.append([(int(m), int(rng.integers(0, 8))) for m in rng.permutation(num_machines)[:width]])
        jobs.append(job)
    return ShopInstance.from_alternatives(
        jobs, num_machines=num_machines, release=rng.integers(0, 6, num_jobs).tolist()
    )


def brute_force(shop: ShopInstance) -> int:
    """The optimum, from every order of all operations and every choice of machines."""
    job_of = np.repeat(np.arange(shop.num_jobs), np.diff(shop.job_first)).tolist()
    columns = [range(int((shop.machines[o] >= 0).sum())) for o in range(shop.num_operations)]
    best = 2**31
    for sequence in set(itertools.permutations(job_of)):
        for column in itertools.product(*columns):
            upcoming, job_free = shop.job_first[:-1].tolist(), shop.release.tolist()
            machine_free = [0] * shop.num_machines
            for job in sequence:
                operation = upcoming[job]
                machine = shop.machines[operation, column[operation]]
                end = max(job_free[job], machine_free[machine]) + shop.durations[operation, column[operation]]
                job_free[job] = machine_free[machine] = int(end)
                upcoming[job] += 1
            best = min(best, max(job_free))
    return best


@pytest.mark.parametrize("name", OPTIMA)
def test_cp_sat_proves_the_optima_of_small_benchmarks(name: str) -> None:
    """The model is the job shop: CP-SAT closes ft06 and la01-la05 at the values of the literature."""
    shop = load_instance(name)
    solution = CPSATSolver(workers=1).solve(shop, 60.0)
    assert (solution.status, solution.objective, solution.bound) == ("optimal", OPTIMA[name], OPTIMA[name])
    assert validate(shop, solution.schedule) == OPTIMA[name]


def test_cp_sat_proves_a_flexible_benchmark() -> None:
    """The alternatives are modelled: CP-SAT closes mk01 at 40."""
    shop = load_instance("mk01")
    solution = CPSATSolver(workers=1).solve(shop, 60.0)
    assert (solution.status, solution.objective) == ("optimal", 40)
    assert validate(shop, solution.schedule) == 40


def test_tabu_reaches_the_optima_of_small_benchmarks() -> None:
    """Tabu search finds ft06 and la01-la05 within a bounded number of moves."""
    for name, optimum in OPTIMA.items():
        shop = load_instance(name)
        solution = TabuSearchSolver(max_iterations=50_000).solve(shop, 60.0)
        assert solution.objective == validate(shop, solution.schedule) == optimum


@pytest.mark.parametrize("flexible", [False, True])
def test_agrees_with_brute_force(flexible: bool) -> None:
    """On tiny shops every solver's schedule is feasible; CP-SAT and tabu search reach the optimum."""
    rng = np.random.default_rng(1)
    for _ in range(15):
        shop = random_shop(rng, 2, 2, flexible=True) if flexible else random_shop(rng, 3, 2)
        optimum = brute_force(shop)
        exact = CPSATSolver(workers=1).solve(shop, 20.0)
        assert (exact.status, exact.objective, validate(shop, exact.schedule)) == (
            "optimal",
            optimum,
            optimum,
        )
        tabu = TabuSearchSolver(max_iterations=2_000, patience=100).solve(shop, 20.0)
        assert validate(shop, tabu.schedule) == tabu.objective == optimum
        if not shop.is_flexible:
            bottleneck = ShiftingBottleneckSolver().solve(shop, 20.0)
            assert validate(shop, bottleneck.schedule) == bottleneck.objective >= optimum


@pytest.mark.parametrize("neighbourhood", ["n5", "n6", "n7"])
def test_tabu_keeps_the_graph_acyclic_on_awkward_shops(neighbourhood: str) -> None:
    """Ragged jobs, re-entrance, releases and many zero durations never lead to an infeasible schedule."""
    rng = np.random.default_rng(2)
    for seed in range(20):
        shop = random_shop(rng, 8, 4)
        solver = TabuSearchSolver(neighbourhood, max_iterations=3_000, patience=200, population=3)
        solution = solver.solve(shop, 20.0, seed)
        assert validate(shop, solution.schedule) == solution.objective <= validate(shop, first_schedule(shop))


def test_tabu_on_awkward_flexible_shops() -> None:
    """Insertions never close a cycle either, and what the search claims is what the validator computes."""
    rng = np.random.default_rng(4)
    for seed in range(20):
        shop = random_shop(rng, 6, 4, flexible=True)
        solver = TabuSearchSolver(max_iterations=1_000, patience=100, population=3)
        solution = solver.solve(shop, 20.0, seed)
        assert validate(shop, solution.schedule) == solution.objective <= validate(shop, first_schedule(shop))


@pytest.mark.parametrize("name", ["ft10", "mk04"])
def test_tabu_repeats_itself(name: str) -> None:
    """Seed and iteration limit fix the result; another seed walks elsewhere."""
    shop = load_instance(name)
    solver = TabuSearchSolver(max_iterations=3_000, patience=500)
    one, two, other = (solver.solve(shop, 60.0, seed).schedule.start for seed in (3, 3, 4))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_tabu_never_returns_worse_than_its_hint() -> None:
    """A good hint is kept even when no move is allowed, a bad one is refused."""
    shop = load_instance("ft06")
    best = CPSATSolver(workers=1).solve(shop, 60.0).schedule
    assert TabuSearchSolver(max_iterations=0).solve(shop, 1.0, hint=best).objective == 55
    with pytest.raises(InvalidScheduleError):
        TabuSearchSolver().solve(load_instance("la01"), 1.0, hint=best)


def test_cp_sat_without_time_returns_the_hint() -> None:
    """If the search finds nothing, the first schedule comes back as feasible instead of an error."""
    shop = load_instance("ft20")
    solution = CPSATSolver(workers=1).solve(shop, 1e-6)
    assert solution.status == "feasible"
    assert solution.bound is not None
    assert solution.bound <= 1165 <= validate(shop, solution.schedule) == solution.objective


def test_shifting_bottleneck_quality() -> None:
    """On ft10 and la16-la20 the procedure stays within 6 % of the optima on average."""
    optima = {"ft10": 930, "la16": 945, "la17": 784, "la18": 848, "la19": 842, "la20": 902}
    gaps = []
    for name, optimum in optima.items():
        shop = load_instance(name)
        solution = ShiftingBottleneckSolver().solve(shop, 60.0)
        gaps.append(validate(shop, solution.schedule) / optimum - 1)
    assert 0 <= np.mean(gaps) <= 0.06


def test_shifting_bottleneck_is_complete_when_time_is_up() -> None:
    """Without time all machines are still ordered, without a cycle."""
    shop = load_instance("la16")
    solution = ShiftingBottleneckSolver().solve(shop, 1e-9)
    assert validate(shop, solution.schedule) == solution.objective


def test_carlier_agrees_with_brute_force() -> None:
    """The one-machine branch and bound is exact, with and without precedence and zero durations."""
    rng = np.random.default_rng(3)
    for trial in range(200):
        head, duration, tail = rng.integers(0, 15, 6), rng.integers(0, 8, 6), rng.integers(0, 15, 6)
        precedes = np.zeros((6, 6), np.bool_)
        if trial % 2:
            precedes[0, [1, 2]] = precedes[1, 2] = precedes[4, 3] = True
        best = 2**31
        for order in itertools.permutations(range(6)):
            time, value = 0, 0
            for x in order:
                time = max(time, int(head[x])) + int(duration[x])
                value = max(value, time + int(tail[x]))
            place = np.argsort(order)
            if not (precedes & (place[:, None] > place[None, :])).any():
                best = min(best, value)
        order, value, proved = carlier(head, duration, tail, precedes, 10_000)
        place = np.argsort(order)
        assert proved
        assert value == best
        assert not (precedes & (place[:, None] > place[None, :])).any()


def test_flexible_shops_are_refused_with_a_reason() -> None:
    """A solver for classic shops says what it supports."""
    shop = ShopInstance.from_alternatives([[[(0, 1), (1, 2)]]])
    with pytest.raises(InvalidInstanceError, match="shifting bottleneck supports one machine per operation"):
        ShiftingBottleneckSolver().solve(shop, 1.0)


def test_options_are_checked() -> None:
    """Nonsense options fail at once and name the option."""
    with pytest.raises(ValueError, match="workers: 0"):
        CPSATSolver(workers=0)
    with pytest.raises(ValueError, match="hint: 'spt'"):
        CPSATSolver(hint="spt")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="n5, n6, n7"):
        TabuSearchSolver("n4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="patience: 0"):
        TabuSearchSolver(patience=0)
    with pytest.raises(ValueError, match="cycles: -1"):
        ShiftingBottleneckSolver(cycles=-1)
    shop = ShopInstance.from_jobs([[(0, 1)]])
    for solver in (CPSATSolver(), TabuSearchSolver(), ShiftingBottleneckSolver()):
        with pytest.raises(ValueError, match="time_limit_s: 0"):
            solver.solve(shop, 0.0)


def test_registered_solvers_solve() -> None:
    """Every registered solver loads by its name, keeps the protocol and returns a schedule that is valid."""
    shop = load_instance("ft06")
    entries = solvers_of("jobshop")
    assert {"cp_sat", "tabu_search", "shifting_bottleneck"} <= set(entries)
    for name in ("cp_sat", "tabu_search", "shifting_bottleneck"):
        solver = entries[name].load()
        assert isinstance(solver, Solver)
        solution = solver.solve(shop, 2.0, seed=0)
        assert validate(shop, solution.schedule) == solution.objective


def test_registry_loads_nothing_heavy() -> None:
    """Naming the solvers imports neither OR-Tools nor the kernels."""
    code = (
        "import sys, makespan.envs.jobshop.registry; "
        "assert not [m for m in sys.modules if m.startswith('ortools') or m.endswith('tabu_kernels')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
