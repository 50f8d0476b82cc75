"""The blocking shop's solvers, and its policies that are no rules, by name; importing this loads none of them."""

from __future__ import annotations

from makespan.envs.core.policy import register_policy, register_solver

register_solver(
    "blocking", "cp_sat", "Perron & Furnon, OR-Tools CP-SAT", "makespan.envs.blocking.solver:CPSATSolver"
)
register_solver(
    "blocking",
    "randomised_dispatch",
    "best of many noisy dispatching runs; Baker (1974), ch. 7",
    "makespan.envs.blocking.randomised:RandomisedDispatchSolver",
)
register_policy(
    "blocking",
    "pilot",
    "after each candidate a copy of the shop is finished by a rule; Duin & Voss (1999), Networks 34(3)",
    "makespan.envs.core.lookahead:PilotPolicy",
    needs={"lookahead": ("lookahead", "blocked_spt_twk")},
)
