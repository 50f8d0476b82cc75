"""Solvers of static allocation: brute force on small problems, known optima, proofs, and MiniMalloc's files if they are there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from plain_allocation import full_problem, lowest, optimum, peak_of, small_problem

from makespan.envs.core.policy import solvers_of
from makespan.envs.memory import allocation_branch as branch
from makespan.envs.memory import allocation_registry as allocation_registry
from makespan.envs.memory.allocation_benchmark import load_instance
from makespan.envs.memory.allocation_decode import FITS, best_greedy, decode, greedy_orders, make_layout
from makespan.envs.memory.allocation_formats import load
from makespan.envs.memory.allocation_generator import GuillotineBuffers
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_solver import BranchAndBoundSolver, GreedySolver
from makespan.envs.memory.allocation_validator import validate

KINDS = ({}, {"aligned": True}, {"gaps": "empty"}, {"fixed": True}, {"fixed": True, "aligned": True})
MINIMALLOC = Path(os.environ.get("MAKESPAN_MINIMALLOC", "no such folder"))
"""Folder with A.1048576.csv ... of google/minimalloc; tests that need them are skipped without."""
needs_minimalloc = pytest.mark.skipif(
    not (MINIMALLOC / "A.1048576.csv").is_file(), reason="MAKESPAN_MINIMALLOC names no folder with the files"
)


@pytest.mark.parametrize("kind", KINDS)
def test_branch_and_bound_is_exact(kind: dict) -> None:
    """The proved optimum is the lowest peak over all offsets, for plain, aligned, gapped and prescribed buffers."""
    rng = np.random.default_rng(7)
    for _ in range(25):
        problem = small_problem(rng, num_buffers=int(rng.integers(2, 7)), **kind)
        solution = BranchAndBoundSolver().solve(problem, 20.0)
        assert (solution.objective, solution.status) == (optimum(problem), "optimal")
        assert solution.bound == solution.objective == validate(problem, solution.schedule)


def test_windows_prove_nothing_false() -> None:
    """Where windows interlock the search is no proof: valid allocations, never a bound above the optimum."""
    rng = np.random.default_rng(11)
    for _ in range(25):
        problem = small_problem(rng, num_buffers=5, gaps="windows")
        solution = BranchAndBoundSolver().solve(problem, 0.3)
        best = optimum(problem)
        assert validate(problem, solution.schedule) == solution.objective >= best
        assert solution.bound is not None
        assert solution.bound <= best
        assert solution.status == ("optimal" if solution.bound == solution.objective else "feasible")


def test_decision_and_its_refusal() -> None:
    """Toy: seven bytes suffice and six do not; within a larger capacity the first allocation found will do."""
    toy = load_instance("toy")
    tree = branch.make_tree(toy, 1)
    branch.set_ranks(toy, tree, "TAW")
    assert branch.decide(tree, 7, 10_000) == branch.SOLVED
    assert branch.decide(tree, 6, 10_000) == branch.FAILED
    assert branch.decide(tree, 7, 1) == branch.ABORTED
    for capacity, most in ((8, 8), (7, 7)):
        problem = AllocationProblem(toy.lower, toy.upper, toy.size, capacity=capacity)
        assert BranchAndBoundSolver(minimise=False).solve(problem, 5.0).objective <= most


ABOVE_LOAD = (
    [(0, 1, 3), (0, 2, 2), (1, 3, 2), (1, 4, 1), (2, 4, 1), (2, 3, 1), (3, 5, 3), (4, 5, 2)],
    [(0, 2, 3), (0, 1, 2), (1, 3, 1), (1, 4, 1), (2, 3, 2), (2, 4, 1), (3, 5, 3), (4, 5, 2)],
    [(0, 2, 3), (0, 1, 3), (1, 3, 2), (1, 4, 1), (2, 4, 1), (2, 4, 1), (2, 3, 1), (3, 5, 3), (4, 5, 3)],
)
"""Problems that no allocation at the load bound exists for; found by search, checked by trying every offset."""


@pytest.mark.parametrize("ranking", ["WAT", "TAW", "TWA", "Z"])
def test_an_infeasible_capacity_is_proved_so(ranking: str) -> None:
    """The load bound fails in every static order where the optimum lies above it, and the optimum succeeds."""
    for buffers in ABOVE_LOAD:
        problem = AllocationProblem.from_buffers(buffers)
        best = optimum(problem)
        assert best == problem.load_bound + 1
        tree = branch.make_tree(problem, 1)
        branch.set_ranks(problem, tree, ranking)
        assert branch.decide(tree, best - 1, 10**6) == branch.FAILED
        assert branch.decide(tree, best, 10**6) == branch.SOLVED
        assert BranchAndBoundSolver(rankings=(ranking,)).solve(problem, 20.0).bound == best


def test_full_memories_are_solved_exactly() -> None:
    """Problems whose every moment is as full as the fullest, where nearly every placement matters."""
    rng = np.random.default_rng(6)
    for _ in range(60):
        problem = full_problem(rng)
        solution = BranchAndBoundSolver().solve(problem, 20.0)
        assert (solution.objective, solution.bound) == (optimum(problem),) * 2


@pytest.mark.parametrize("name", sorted(solvers_of("memory_allocation")))
def test_every_solver_keeps_its_word(name: str) -> None:
    """Valid allocations, the objective said, bounds below the optimum, prescribed offsets and alignments kept."""
    rng = np.random.default_rng(2)
    solver = solvers_of("memory_allocation")[name].load()
    toy = solver.solve(load_instance("toy"), 2.0, seed=1)
    assert toy.objective == (9 if name == "best_of_greedy" else 7)
    for kind in (*KINDS, {"gaps": "windows"}):
        problem = small_problem(rng, num_buffers=6, **kind)
        solution = solver.solve(problem, 0.2, seed=1)
        assert validate(problem, solution.schedule) == solution.objective
        assert solution.bound is not None
        assert solution.bound <= optimum(problem) <= solution.objective
    if name != "best_of_greedy":  # which needs no time
        with pytest.raises(ValueError, match="time_limit_s"):
            solver.solve(problem, 0.0)


def test_guillotine_optimum_is_found() -> None:
    """Perfect packings of 30 buffers are packed perfectly again."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        generator = GuillotineBuffers(30)
        solution = BranchAndBoundSolver().solve(generator.sample(rng), 20.0)
        assert (solution.objective, solution.status) == (generator.optimum, "optimal")


def test_decoding_is_the_plain_placement() -> None:
    """The kernel's lowest placements are those found by trying every offset; greedy orders sort as they say."""
    rng = np.random.default_rng(4)
    for kind in (*KINDS, {"gaps": "windows"}):
        problem = small_problem(rng, num_buffers=7, **kind)
        layout = make_layout(problem)
        peaks = []
        for order in greedy_orders(problem).values():
            offsets = {i: int(o) for i, o in enumerate(problem.fixed) if o >= 0}
            for i in order.tolist():
                if i not in offsets:
                    offsets[i] = lowest(problem, offsets, i)
            assert decode(layout, order, FITS["lowest"]) == peak_of(problem, offsets)
            assert layout.offset.tolist() == [offsets[i] for i in range(problem.num_buffers)]
            peaks.append(peak_of(problem, offsets))
        assert best_greedy(problem, layout)[0] <= min(peaks)
        assert GreedySolver().solve(problem).objective == best_greedy(problem, layout)[0]
    toy = load_instance("toy")
    assert greedy_orders(toy)["greedy_by_size"].tolist() == [5, 1, 4, 0, 2, 3]
    assert greedy_orders(toy)["greedy_by_conflict_size"].tolist() == [1, 0, 2, 5, 3, 4]


def test_example_of_minimalloc() -> None:
    """Five buffers whose capacity 12 (the file's name) is reached and equals the load bound."""
    solution = BranchAndBoundSolver().solve(load_instance("minimalloc-example"), 5.0)
    assert (solution.objective, solution.bound) == (12, 12)


@needs_minimalloc
@pytest.mark.parametrize(
    ("name", "bound", "conflicts", "by_size", "smallest_gap"),
    [
        ("A", 1.0, 4642, 1.2900, 1.3105),
        ("B", 1.0, 4919, 1.3545, 1.3662),
        ("C", 0.9912, 6308, 1.3516, 1.3516),
    ],
)
def test_greedy_on_the_challenging_instances(
    name: str, bound: float, conflicts: int, by_size: float, smallest_gap: float
) -> None:
    """Greedy by size and the load bound agree to four digits with two other implementations' figures."""
    problem = load(MINIMALLOC / f"{name}.1048576.csv")
    layout, order = make_layout(problem), greedy_orders(problem)["greedy_by_size"]
    assert problem.capacity == 1_048_576
    assert round(problem.load_bound / problem.capacity, 4) == bound
    assert len(branch.overlaps(problem)[1]) == 2 * conflicts
    assert round(decode(layout, order, FITS["lowest"]) / problem.capacity, 4) == by_size
    assert round(decode(layout, order, FITS["best"]) / problem.capacity, 4) == smallest_gap


@needs_minimalloc
@pytest.mark.slow
@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_challenging_instances_are_solved(name: str) -> None:
    """Within their capacity, in seconds of a core (MiniMalloc takes 14.5, 11.2 and 2.0 s on such a one)."""
    problem = load(MINIMALLOC / f"{name}.1048576.csv")
    BranchAndBoundSolver(minimise=False).solve(load_instance("minimalloc-example"), 60.0)  # compile
    began = time.process_time()
    solution = BranchAndBoundSolver(minimise=False).solve(problem, 400.0)
    assert validate(problem, solution.schedule) <= problem.capacity
    assert time.process_time() - began < 15.0
