"""`makespan bench`: decisions per CPU second, ours beside other implementations in one run.

Absolute figures move from machine to machine and with its load; ratios within one run are what to compare.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.files import write_atomically

PACKAGES: Final = ("makespan", "numpy", "numba", "gymnasium", "pettingzoo", "jssenv", "graph-jsp-env")
FAMILIES: Final = {
    "blocking": "makespan.agents.bench_blocking",
    "dynamic_shop": "makespan.agents.bench_dynamic_shop",
    "fleet": "makespan.agents.bench_fleet",
    "jobshop": "makespan.agents.bench_jobshop",
    "memory": "makespan.agents.bench_memory",
    "soc": "makespan.agents.bench_soc",
    "tardiness": "makespan.agents.bench_tardiness",
    "transfer_robot": "makespan.agents.bench_transfer_robot",
}

Play = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something to time.

    Attributes:
        name: What it is.
        size: Size of the problem, "" where there is none.
        num_envs: Environments stepped together.
        build: Prepares it; the result plays on for a while and returns how many decisions it took. An
            `ImportError` means that it is not installed.
        reference: Key of the contestants that ratios are taken to.
    """

    name: str
    size: str
    num_envs: int
    build: Callable[[], Play]
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Decisions per CPU second of one process: the median of the runs, and the runs."""

    name: str
    size: str
    num_envs: int
    per_second: float
    runs: tuple[float, ...]
    reference: str


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: `bench FAMILY [--out DIR] [--repeats N] [--seconds S] [--sizes ...]`."""
    parser = argparse.ArgumentParser(prog="makespan bench", description=__doc__)
    parser.add_argument("family", choices=sorted(FAMILIES))
    parser.add_argument("--out", metavar="DIR", help="write the rows there as JSON and CSV")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="runs of each; the median counts")
    parser.add_argument("--seconds", type=float, default=0.5, metavar="S", help="CPU seconds of a run")
    parser.add_argument("--sizes", nargs="+", metavar="SIZE", help="some of the sizes only, e.g. 15x15")
    args = parser.parse_args(argv)
    command = " ".join(["makespan", "bench", *(sys.argv[2:] if argv is None else argv)])
    run(
        args.family,
        args.out,
        repeats=args.repeats,
        seconds=args.seconds,
        sizes=args.sizes,
        command=command,
    )
    return 0


def run(
    family: str,
    out: str | os.PathLike[str] | None = None,
    *,
    repeats: int = 3,
    seconds: float = 0.5,
    sizes: Sequence[str] | None = None,
    command: str = "",
) -> list[Timing]:
    """Time a family's contestants, print the table, and write it to the folder `out`."""
    from importlib import import_module

    if family not in FAMILIES:
        raise UnknownNameError("family with a benchmark", family, FAMILIES)
    contestants: list[Contestant] = import_module(FAMILIES[family]).contestants(sizes)
    timings = []
    for contestant in contestants:
        try:
            play = contestant.build()
        except ImportError as error:
            _echo(f"{contestant.name}: not installed ({error.name})")
            continue
        timings.append(measure(contestant, play, repeats, seconds))
    _echo(table(timings))
    if out is not None:
        _write(family, Path(out), timings, repeats, seconds, command)
    return timings


def measure(contestant: Contestant, play: Play, repeats: int, seconds: float) -> Timing:
    """Play for `seconds` of CPU time, `repeats` times, after a warm-up."""
    play()
    runs = []
    for _ in range(repeats):
        decisions, begin = 0, time.process_time()
        while (elapsed := time.process_time() - begin) < seconds:
            decisions += play()
        runs.append(decisions / elapsed)
    return Timing(
        contestant.name,
        contestant.size,
        contestant.num_envs,
        statistics.median(runs),
        tuple(runs),
        contestant.reference,
    )


def table(timings: Sequence[Timing]) -> str:
    """The rows as text, each with its ratio to the references of its size."""
    references = {(t.reference, t.size): t.per_second for t in timings if t.reference}
    names = list(dict.fromkeys(t.reference for t in timings if t.reference))
    header = ["size", "what", "envs", "decisions/s", *(f"x {name}" for name in names)]
    rows = []
    for t in timings:
        ratios = [references.get((name, t.size)) for name in names]
        cells = ["" if ratio is None else f"{t.per_second / ratio:.3g}" for ratio in ratios]
        rows.append([t.size, t.name, str(t.num_envs), f"{t.per_second:,.0f}", *cells])
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for row in [header, *rows]:
        left = (f"{row[0]:{widths[0]}}", f"{row[1]:{widths[1]}}")
        lines.append("  ".join([*left, *(f"{c:>{w}}" for c, w in zip(row[2:], widths[2:], strict=True))]))
    return "\n".join(lines)


def _write(
    family: str, folder: Path, timings: Sequence[Timing], repeats: int, seconds: float, command: str
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    meta = {
        "command": command,
        "commit": commit_of_checkout(),
        "unit": "decisions per CPU second of one process",
        "repeats": repeats,
        "seconds": seconds,
        "machine": {"cpu_count": os.cpu_count() or 0, "architecture": platform.machine()},
        "versions": {"python": platform.python_version()} | _versions(),
    }
    rows = [asdict(timing) for timing in timings]
    write_atomically(folder / f"speed_{family}.json", json.dumps({**meta, "rows": rows}, indent=2) + "\n")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["size", "name", "num_envs", "per_second"])
    writer.writerows([t.size, t.name, t.num_envs, round(t.per_second)] for t in timings)
    write_atomically(folder / f"speed_{family}.csv", text.getvalue())


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit_of_checkout() -> str | None:
    """The commit of the checkout this file is in, with "+" if it holds changes; None outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, check=False)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.returncode else "")


def _echo(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
