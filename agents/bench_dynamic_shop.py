"""What `makespan bench dynamic_shop` times: the environment and its batches, and the job shop's beside them.

Nothing is skipped; episodes follow each other, so that resets are part of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from makespan.agents.bench import Contestant
from makespan.agents.bench_plays import Ground, chosen_sizes, rows

DYNAMIC: Final = "makespan/DynamicJobShop-v0"
SIZES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "5 machines": ("dynamic-u90-0", {}),
    "unreliable": ("unreliable-u90-0", {}),
    "flexible": ("flexible-u90-0", {"ask": "shop"}),
}
JOB_SHOP: Final = Ground("makespan/JobShop-v0", "ta01", {"skip_forced": False})
REFERENCES: Final = {
    "env.step, full observation, live": "job shop, live",
    "batch, full observation 256": "job shop, batch",
}
RULES: Final = ("atc_tuned", "edd")


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    return [one for size in chosen_sizes(sizes, SIZES) for one in _of_size(size, *SIZES[size])]


def _of_size(size: str, instance: str, options: dict[str, Any]) -> Iterator[Contestant]:
    yield from rows(JOB_SHOP, size, name="job shop ta01", batches=(256,), references=REFERENCES)
    yield from rows(Ground(DYNAMIC, instance, {"skip_forced": False, **options}), size, rules=RULES)
