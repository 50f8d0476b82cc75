"""The blocking shop's solvers by name; importing this loads none of them."""

from __future__ import annotations

from makespan.envs.core.policy import register_solver

register_solver(
    "blocking", "cp_sat", "Perron & Furnon, OR-Tools CP-SAT", "makespan.envs.blocking.solver:CPSATSolver"
)
register_solver(
    "blocking",
    "randomised_dispatch",
    "best of many noisy dispatching runs; Baker (1974), ch. 7",
    "makespan.envs.blocking.randomised:RandomisedDispatchSolver",
)
