"""The job shop's solvers by name; importing this loads none of them."""

from __future__ import annotations

from makespan.envs.core.policy import register_solver

register_solver(
    "jobshop", "cp_sat", "Perron & Furnon, OR-Tools CP-SAT", "makespan.envs.jobshop.solver:CPSATSolver"
)
register_solver(
    "jobshop",
    "tabu_search",
    "Nowicki & Smutnicki 1996; Balas & Vazacopoulos 1998",
    "makespan.envs.jobshop.tabu_search:TabuSearchSolver",
)
register_solver(
    "jobshop",
    "shifting_bottleneck",
    "Adams, Balas & Zawack 1988; Carlier 1982",
    "makespan.envs.jobshop.shifting_bottleneck:ShiftingBottleneckSolver",
)
