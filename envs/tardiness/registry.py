"""The single machine's solvers by name; importing this loads none of them."""

from __future__ import annotations

from makespan.envs.core.policy import register_solver

register_solver(
    "tardiness",
    "dynamic_programming",
    "Held & Karp (1962); Lawler (1964)",
    "makespan.envs.tardiness.solver:DynamicProgrammingSolver",
)
register_solver(
    "tardiness",
    "local_search",
    "iterated local search over insertions; Lourenço, Martin & Stützle (2003)",
    "makespan.envs.tardiness.solver:LocalSearchSolver",
)
