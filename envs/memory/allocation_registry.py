"""Solvers and policies of static allocation by name; importing this loads none of them."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.policy import register_policy, register_solver
from makespan.envs.memory.allocation_rules import FAMILY

_HERE: Final = "makespan.envs.memory"

register_solver(
    FAMILY,
    "best_of_greedy",
    "Pisarchyk & Lee (2020); omnimalloc's greedy_by_all",
    f"{_HERE}.allocation_solver:GreedySolver",
)
register_solver(
    FAMILY, "annealing", "Kirkpatrick et al. (1983)", f"{_HERE}.allocation_search:AnnealingSolver"
)
register_solver(FAMILY, "tabu", "Glover (1989)", f"{_HERE}.allocation_search:TabuSolver")
register_solver(
    FAMILY,
    "telamalloc",
    "after Maas et al. (2023), TelaMalloc, ASPLOS; search only, no CP solver",
    f"{_HERE}.allocation_telamalloc:TelaMallocSolver",
)
register_solver(
    FAMILY,
    "cp_sat",
    "Perron & Furnon, OR-Tools CP-SAT",
    f"{_HERE}.allocation_cp_sat:CPSATSolver",
)
register_solver(
    FAMILY,
    "branch_and_bound",
    "after Moffitt (2023), MiniMalloc, ASPLOS",
    f"{_HERE}.allocation_solver:BranchAndBoundSolver",
)
register_policy(
    FAMILY,
    "least_rise",
    "this suite; the inferences are MiniMalloc's (Moffitt 2023)",
    f"{_HERE}.allocation_policies:LeastRisePolicy",
    needs={"canonical": ("canonical", True)},
)
