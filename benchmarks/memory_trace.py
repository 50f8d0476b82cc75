"""How long `makespan trace` takes from its start to the written file, for a ResNet-50 and a 12-layer GPT.

    python benchmarks/memory_trace.py --out benchmarks/results/memory_trace.json

Both are written in `tests/memory/traced_models.py`; each is traced as a training step of batch 4 in a fresh process. CPU
seconds are those of that process; wall seconds depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from makespan.agents.bench import commit_of_checkout
from makespan.envs.memory.program import MemoryProgram

ROOT = Path(__file__).resolve().parents[1]
MODELS = {"ResNet-50": "build_resnet50", "GPT, 12 layers": "build_gpt12"}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Trace, time and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rows = []
    for model, function in MODELS.items():
        target, cpu, wall = f"{ROOT / 'tests/memory/traced_models.py'}:{function}", [], []
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "program.json.gz"
            command = [sys.executable, "-m", "makespan.agents.cli", "trace", target, "--out", str(out)]
            for _ in range(args.repeats):
                began, used = time.perf_counter(), _cpu()
                subprocess.run([*command, "--train", "--batch", "4"], check=True, capture_output=True)
                wall.append(time.perf_counter() - began)
                cpu.append(_cpu() - used)
            program = MemoryProgram.load(out)
        row = {
            "model": model,
            "operations": program.num_ops,
            "accesses": program.num_accesses,
            "cpu_s": round(statistics.median(cpu), 2),
            "wall_s": round(statistics.median(wall), 2),
        }
        rows.append(row)
        print(row)
    meta = {
        "command": f"benchmarks/memory_trace.py --out benchmarks/results/{args.out.name}",
        "commit": commit_of_checkout(),
        "repeats": args.repeats,
        "machine": {"cpu_count": os.cpu_count() or 0},
    }
    args.out.write_text(json.dumps({**meta, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
