"""Mean latency as execution noise grows: HEFT, Min-Min and the learned policy on the same streams.

    python benchmarks/soc_robustness.py --out benchmarks/results --picture docs/images/soc_robustness.png

Plans and decisions rest on expected executions; the noise (a share of each execution, Gaussian) is drawn beforehand for every
task and PE, so that all policies meet the same draws. `heft` plans each job at its arrival and keeps PEs and order;
`heft_ready` orders the ready tasks by upward rank whenever a decision is due.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from makespan.agents.evaluation import evaluate
from makespan.agents.policy import load_policy
from makespan.agents.statistics import mean_ci, paired_difference
from makespan.envs.core.files import write_atomically
from makespan.envs.registration import get_family

ENV_ID: Final = "makespan/SoC-v0"
POLICIES: Final = ("pretrained", "stf", "min_min", "heft_ready", "heft")
COLOURS: Final = ("#0b7a75", "#888888", "#d1495b", "#edae49", "#8d6a9f")


def main() -> int:
    """Evaluate level by level, then write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the rows")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES))
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    parser.add_argument("--scale", type=float, default=75.0)
    parser.add_argument("--num-jobs", type=int, default=100)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=800000)
    args = parser.parse_args()
    levels, commit = [], None
    for noise in args.noise:
        result = evaluate(
            get_family(ENV_ID),
            ENV_ID,
            args.policies,
            episodes=args.episodes,
            seed=args.seed,
            env_kwargs={
                "generator": "top-stream",
                "scale": args.scale,
                "num_jobs": args.num_jobs,
                "noise": noise,
            },
            load_policy=load_policy,
        )
        commit = result.meta.get("commit")
        assert all(row.valid for row in result.rows)
        levels.append(_level(noise, args.policies, result))
    command = " ".join(["python", "benchmarks/soc_robustness.py", *sys.argv[1:]])
    meta = {"command": command, "commit": commit, "cpu_count": os.cpu_count(), "unit": "us"}
    _write(args.out, meta, levels)
    if args.picture:
        _draw(levels, args.policies, args.picture)
    return 0


def _level(noise: float, policies: list[str], result: Any) -> dict[str, Any]:
    """Latencies of each policy at one level of noise, with intervals, and the paired difference from the first policy."""
    latencies = {
        policy: [row.objective for row in result.rows if row.policy == policy] for policy in policies
    }
    rows = {}
    for policy, values in latencies.items():
        mean, lead = mean_ci(values), paired_difference(latencies[policies[0]], values)
        rows[policy] = {
            "mean": mean.estimate,
            "low": mean.low,
            "high": mean.high,
            "first_minus_this": [lead.estimate, lead.low, lead.high],
            "latencies": values,
        }
    return {"noise": noise, "policies": rows}


def _write(folder: Path, meta: dict[str, Any], levels: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "soc_robustness.json", json.dumps({**meta, "levels": levels}, indent=1) + "\n")
    with (folder / "soc_robustness.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["noise", "policy", "mean_latency_us", "low", "high"])
        for level in levels:
            for policy, row in level["policies"].items():
                writer.writerow(
                    [level["noise"], policy, *(round(row[key], 3) for key in ("mean", "low", "high"))]
                )


def _draw(levels: list[dict[str, Any]], policies: list[str], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    noise = [100 * level["noise"] for level in levels]
    for policy, colour in zip(policies, COLOURS, strict=False):
        rows = [level["policies"][policy] for level in levels]
        axes.plot(noise, [row["mean"] for row in rows], "o-", color=colour, label=policy, markersize=4)
        axes.fill_between(
            noise, [r["low"] for r in rows], [r["high"] for r in rows], color=colour, alpha=0.15
        )
    axes.set_xlabel("execution noise, % of the expected execution")
    axes.set_ylabel("mean latency, us")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
