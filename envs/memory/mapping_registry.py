"""Solvers and planning policies of memory mapping by name; importing this loads none of them."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.policy import register_policy, register_solver

FAMILY: Final = "memory_mapping"
_XLA: Final = "openxla/xla, memory_space_assignment (Apache-2.0)"
_ORDERS: Final = "makespan.envs.memory.mapping_solver"
_SEARCH: Final = "makespan.envs.memory.mapping_solver_search"

for _name, _class, _citation in (
    ("all_hbm", "AllHBMSolver", "folklore"),
    ("time_order", "TimeOrderSolver", "folklore"),
    ("big_first", "BigFirstSolver", "folklore"),
    ("small_first", "SmallFirstSolver", "folklore"),
    ("xla", "XLASolver", _XLA),
    ("density", "DensitySolver", "folklore: knapsack by density"),
    ("portfolio", "PortfolioSolver", "the best of the orders above"),
):
    register_solver(FAMILY, _name, _citation, f"{_ORDERS}:{_class}")
for _name, _class, _citation in (
    ("random_restarts", "RandomRestartSolver", "folklore"),
    ("hill_climb", "HillClimbSolver", "folklore"),
    ("annealing", "AnnealingSolver", "Kirkpatrick, Gelatt & Vecchi 1983"),
    ("genetic", "GeneticSolver", "Holland 1975; order crossover of Davis 1985"),
    ("beam", "BeamSolver", "Lowerre 1976"),
):
    register_solver(FAMILY, _name, _citation, f"{_SEARCH}:{_class}")
register_solver(
    FAMILY, "cp_sat", "Perron & Furnon, OR-Tools CP-SAT", "makespan.envs.memory.mapping_cp_sat:CPSATSolver"
)
for _name, _class, _citation in (
    ("xla_plan", "XLAPlanPolicy", _XLA),
    ("density_plan", "DensityPlanPolicy", "folklore: knapsack by density"),
):
    register_policy(FAMILY, _name, _citation, f"makespan.envs.memory.mapping_policies:{_class}")
for _name, _class, _citation in (
    ("portfolio_priority", "PortfolioPriorityPolicy", "the best of the orders above"),
    ("hill_climb_priority", "HillClimbPriorityPolicy", "folklore"),
):
    register_policy(
        FAMILY,
        _name,
        _citation,
        f"makespan.envs.memory.mapping_priority_policies:{_class}",
        mode="priority",
    )
