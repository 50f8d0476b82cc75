"""What `makespan bench transfer_robot` times: the environment, alone and in batches, and its rules, on one cell of each kind.

Everybody plays whole episodes on the same cell, with nothing skipped. There is no other implementation to compare with; the job
shop's rows (`makespan bench jobshop`) are the measure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from makespan.agents.bench import Contestant, Play
from makespan.agents.bench_play import batch, ruled, scalar
from makespan.agents.config import Options
from makespan.envs.core.errors import UnknownNameError

ID: Final = "makespan/TransferRobot-v0"
SIZES: Final = {"1 robot": "dual_arm-0", "2 robots": "two_dual_arms-0", "limits": "residency-0"}
RULE: Final = "swap_push"
_OPTIONS: Final[Options] = {"skip_forced": False}


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    chosen = list(SIZES) if sizes is None else list(sizes)
    for size in chosen:
        if size not in SIZES:
            raise UnknownNameError("size", size, SIZES)
    return [contestant for size in chosen for contestant in _of_size(size, SIZES[size])]


def _of_size(size: str, cell: str) -> Iterator[Contestant]:
    def row(what: str, num_envs: int, build: Callable[[], Play]) -> Contestant:
        return Contestant(what, size, num_envs, build)

    yield row("env.step, full observation, live", 1, lambda: scalar(ID, cell, _OPTIONS, copy=False))
    yield row("env.step, full observation, copied", 1, lambda: scalar(ID, cell, _OPTIONS, copy=True))
    for num_envs in (1, 64, 1024):
        yield row("batch, full observation", num_envs, lambda n=num_envs: batch(ID, cell, _OPTIONS, n))  # type: ignore[misc]
    yield row(f"batch, rule {RULE}", 64, lambda: ruled(ID, cell, _OPTIONS, 64, RULE))
