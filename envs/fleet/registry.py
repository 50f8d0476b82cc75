"""The fleet's planners and solvers by name; importing this loads none of them."""

from __future__ import annotations

from makespan.envs.core.policy import register_policy, register_solver

_PACKAGE = "makespan.envs.fleet"

register_policy(
    "fleet",
    "rebalancing",
    "Pavone, Smith, Frazzoli & Rus (2012), Int. J. of Robotics Research 31(7); sees the forecast",
    f"{_PACKAGE}.planners:RebalancingPolicy",
)
register_policy(
    "fleet",
    "rolling_horizon",
    "time-expanded MILP with HiGHS, every quarter of an hour; sees the forecast",
    f"{_PACKAGE}.planners:RollingHorizonPolicy",
)
register_solver(
    "fleet",
    "genetic",
    "elitist genetic algorithm on the realised day",
    f"{_PACKAGE}.genetic:GeneticSolver",
)
