"""The solvers of the SoC family by name; importing this loads none of them."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.policy import register_solver

_LISTS: Final = (
    ("heft", "HEFT", "Topcuoglu, Hariri & Wu 2002"),
    ("cpop", "CPOP", "Topcuoglu, Hariri & Wu 2002"),
    ("peft", "PEFT", "Arabnejad & Barbosa 2014"),
    ("lookahead", "Lookahead", "Bittencourt, Sakellariou & Madeira 2010"),
    ("min_min", "MinMin", "Ibarra & Kim 1977"),
    ("max_min", "MaxMin", "Ibarra & Kim 1977"),
    ("sufferage", "Sufferage", "Maheswaran et al. 1999"),
    ("etf", "ETF", "Hwang, Chow, Anger & Lee 1989"),
    ("met", "MET", "Braun et al. 2001"),
    ("mct", "MCT", "Braun et al. 2001"),
)

for _name, _class, _citation in _LISTS:
    register_solver("soc", _name, _citation, f"makespan.envs.soc.static_schedulers:{_class}")
register_solver("soc", "cp_sat", "Perron & Furnon, OR-Tools CP-SAT", "makespan.envs.soc.solver:CPSATSolver")
register_solver(
    "soc",
    "cp_sat_rolling",
    "Perron & Furnon, OR-Tools CP-SAT, solved anew at each arrival",
    "makespan.envs.soc.solver:RollingCPSAT",
)
