"""What `makespan bench blocking` times: the blocking shop in its variants beside the job shop on the same operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from makespan.agents.bench import Contestant
from makespan.agents.bench_plays import Ground, chosen_sizes, rows
from makespan.envs.blocking.benchmark import load_instance
from makespan.envs.blocking.generator import BenchmarkBlockingShop
from makespan.envs.jobshop.benchmark import load_instance as load_classic

SIZES: Final = {"6x6": "ft06", "10x5": "la01", "15x15": "ta01"}
RULES: Final = ("spt",)
ID: Final = "makespan/BlockingJobShop-v0"
LOOKAHEAD: Final = "blocked_spt_twk"
BATCHES: Final = (1, 64)
REFERENCES: Final = {
    "env.step, full observation, live": "job shop, live",
    "batch, full observation 64": "job shop, batch",
}


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    return [one for size in chosen_sizes(sizes, SIZES) for one in _of_size(size, SIZES[size])]


def _of_size(size: str, name: str) -> Iterator[Contestant]:
    every = {"skip_forced": False}
    job_shop = Ground("makespan/JobShop-v0", load_classic(name), every)
    yield from rows(job_shop, size, name="job shop", batches=BATCHES, rules=RULES, references=REFERENCES)
    for admission in ("wait", "greedy"):
        for swap, instance in (
            ("swap", load_instance(name)),
            ("no swap", load_instance(f"{name}-noswap")),
        ):
            ground = Ground(ID, instance, {**every, "admission": admission})
            rules = RULES if admission == "greedy" else ()
            yield from rows(ground, size, name=f"{admission}, {swap}", batches=BATCHES, rules=rules)
    ahead = Ground(ID, load_instance(name), {**every, "lookahead": LOOKAHEAD})
    yield from rows(ahead, size, name="wait, swap, looking ahead", batches=BATCHES)
    generator = BenchmarkBlockingShop(instances=name, shutdown="per_step", probability=0.05)
    ground = Ground(ID, generator.sample(np.random.default_rng(0)), every)
    yield from rows(ground, size, name="wait, swap, shutdowns", batches=BATCHES)
