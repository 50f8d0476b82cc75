"""What `makespan bench tardiness` times: the single machine beside a job shop of as many decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from makespan.agents.bench import Contestant
from makespan.agents.bench_plays import Ground, chosen_sizes, rows
from makespan.envs.jobshop.generator import UniformShop
from makespan.envs.tardiness.generator import PottsVanWassenhove

SIZES: Final = {"20": (5, 4), "100": (10, 10)}
"""Jobs of the single machine -> jobs and machines of the job shop."""
RULES: Final = ("mdd",)
BATCHES: Final = (1, 64)
REFERENCES: Final = {
    "env.step, full observation, live": "job shop, live",
    "batch, full observation 64": "job shop, batch",
}


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    return [one for size in chosen_sizes(sizes, SIZES) for one in _of_size(size)]


def _of_size(size: str) -> Iterator[Contestant]:
    every = {"skip_forced": False}
    shop = UniformShop(*SIZES[size]).sample(np.random.default_rng(0))
    name = f"job shop {'x'.join(map(str, SIZES[size]))}"
    yield from rows(
        Ground("makespan/JobShop-v0", shop, every), size, name=name, batches=BATCHES, references=REFERENCES
    )
    machine = PottsVanWassenhove(int(size)).sample(np.random.default_rng(0))
    ground = Ground("makespan/SingleMachineTardiness-v0", machine, every)
    yield from rows(ground, size, name="single machine", batches=BATCHES, rules=RULES)
