"""The transfer robots' solvers, and their policies that are no rules, by name; importing this loads none of them."""

from __future__ import annotations

from makespan.envs.core.policy import register_policy, register_solver

register_solver(
    "transfer_robot",
    "beam_search",
    "Ow & Morton (1988), Int. J. of Production Research 26(1)",
    "makespan.envs.transfer_robot.search:BeamSearchSolver",
)
register_solver(
    "transfer_robot",
    "randomised_dispatch",
    "best of many noisy dispatching runs; Baker (1974), ch. 7",
    "makespan.envs.transfer_robot.search:RandomisedDispatchSolver",
)
register_solver(
    "transfer_robot",
    "cp_sat",
    "Perron & Furnon, OR-Tools CP-SAT",
    "makespan.envs.transfer_robot.solver:CPSATSolver",
)
register_policy(
    "transfer_robot",
    "pilot",
    "after each candidate a copy of the cell is finished by a rule; Duin & Voss (1999), Networks 34(3)",
    "makespan.envs.core.lookahead:PilotPolicy",
    mode="ahead",
    needs={"lookahead": ("lookahead", "swap_push")},
)
