"""Which shipped programs are worth mapping, at which capacities: bound and best heuristic of each.

    python benchmarks/memory_sweep.py --out envs/memory/data/traced.csv

For every program of the library and every capacity: the speed-up over all-HBM that the bound allows (compulsory traffic and
unlimited fast memory), the speed-up of the best of the portfolio, and the share of the possible gain that it captures. An
instance is kept where the bound allows 1.05 or more, and the portfolio gains 1.02 or more (elsewhere hardly anything fits, or no
operation leaves HBM time for a copy) but captures less than 95 %.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

from makespan.envs.memory.hardware import MIB, get_hardware
from makespan.envs.memory.library import load_program, program_names
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_solver import PortfolioSolver

CAPACITIES = (8, 16, 32, 64, 128)
HARDWARE = "tpu_v4i_like"
LEAST_BOUND, LEAST_GAIN, MOST_CAPTURED = 1.05, 1.02, 0.95


def main() -> None:
    """Measure, print a table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--programs", nargs="*", default=program_names())
    args = parser.parse_args()
    rows = []
    for name in args.programs:
        for capacity in CAPACITIES:
            instance = MappingInstance(load_program(name), get_hardware(HARDWARE, capacity=capacity * MIB))
            started = time.perf_counter()
            latency = int(PortfolioSolver().solve(instance).objective)
            seconds = time.perf_counter() - started
            possible = instance.hbm_latency / instance.lower_bound
            captured = (instance.hbm_latency - latency) / max(instance.hbm_latency - instance.lower_bound, 1)
            gained = instance.hbm_latency / latency
            kept = possible >= LEAST_BOUND and gained >= LEAST_GAIN and captured < MOST_CAPTURED
            rows.append(
                {
                    "program": name,
                    "mib": capacity,
                    "hbm_ps": instance.hbm_latency,
                    "bound_ps": instance.lower_bound,
                    "portfolio_ps": latency,
                    "kept": int(kept),
                }
            )
            print(
                f"{name:34} {capacity:4} MiB  bound {possible:6.3f}  portfolio {gained:6.3f}"
                f"  captured {100 * captured:5.1f} %  {seconds:6.2f} s",
                flush=True,
            )
    with args.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
