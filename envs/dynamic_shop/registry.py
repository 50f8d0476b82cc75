"""The dynamic shop's solvers by name; importing this loads none of them."""

from __future__ import annotations

from makespan.envs.core.policy import register_solver

register_solver(
    "dynamic_shop",
    "randomised_dispatch",
    "best of many noisy dispatching runs in hindsight; Baker (1974), ch. 7",
    "makespan.envs.dynamic_shop.solver:RandomisedDispatchSolver",
)
