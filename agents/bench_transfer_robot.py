"""What `makespan bench transfer_robot` times: the environment, alone and in batches, and its rules, on one cell of each kind.

Everybody plays whole episodes on the same cell, with nothing skipped; the job shop's rows are beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from makespan.agents.bench import Contestant
from makespan.agents.bench_plays import Ground, chosen_sizes, rows

ID: Final = "makespan/TransferRobot-v0"
SIZES: Final = {"1 robot": "dual_arm-0", "2 robots": "two_dual_arms-0", "limits": "residency-0"}
BATCHES: Final = (1, 64, 1024)
RULES: Final = ("swap_push",)
JOB_SHOP: Final = Ground("makespan/JobShop-v0", "la01", {"skip_forced": False})
REFERENCES: Final = {
    "env.step, full observation, live": "job shop, live",
    "batch, full observation 64": "job shop, batch",
}


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    return [one for size in chosen_sizes(sizes, SIZES) for one in _of_size(size, SIZES[size])]


def _of_size(size: str, cell: str) -> Iterator[Contestant]:
    yield from rows(JOB_SHOP, size, name="job shop la01", batches=(64,), references=REFERENCES)
    yield from rows(Ground(ID, cell, {"skip_forced": False}), size, batches=BATCHES, rules=RULES)
