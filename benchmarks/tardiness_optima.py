"""Write `envs/tardiness/data/optima.csv`: `python benchmarks/tardiness_optima.py`."""

from __future__ import annotations

from pathlib import Path

from makespan.envs.tardiness.benchmark import INSTANCE_SETS, load_instance
from makespan.envs.tardiness.solver import DynamicProgrammingSolver


def main() -> None:
    """Solve the small instances exactly."""
    lines = [
        "# Optimal total tardiness by dynamic programming over sets; written by benchmarks/tardiness_optima.py",
        "instance,total_tardiness",
    ]
    for name in INSTANCE_SETS["example"] + INSTANCE_SETS["pvw20"]:
        solution = DynamicProgrammingSolver().solve(load_instance(name))
        lines.append(f"{name},{int(solution.objective)}")
    target = Path(__file__).resolve().parents[1] / "envs" / "tardiness" / "data" / "optima.csv"
    target.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(f"{target}: {len(lines) - 2} instances")


if __name__ == "__main__":
    main()
