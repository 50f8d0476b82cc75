"""Small blocking shops, and random play on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from makespan.envs.blocking.engine import BlockingShopEngine
from makespan.envs.blocking.generator import UniformBlockingShop
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.jobshop.instance import ShopInstance

LAWS: dict[str, dict[str, object]] = {
    "none": {},
    "per_step": {"shutdown": "per_step", "probability": 0.1, "repair_high": 8},
    "per_op": {"shutdown": "per_op", "probability": 0.4, "repair_high": 8},
    "exponential": {"shutdown": "exponential", "mtbf": 12.0, "mttr": 5.0},
}


def engine_for(num_slots: int, admission: str = "wait", skip_forced: bool = True) -> BlockingShopEngine:
    """An engine for shops of up to 4 jobs, 20 operations and 4 machines."""
    return BlockingShopEngine(
        num_slots,
        num_jobs=4,
        num_operations=20,
        num_machines=4,
        admission=admission,
        skip_forced=skip_forced,
    )


def small_shop(
    rng: np.random.Generator, swap: bool, law: str = "none", repeat: bool = False, low: int = 1
) -> BlockingShopInstance:
    """A ragged shop in which jobs may stay on a machine or return to it, with release dates."""
    num_jobs, num_machines = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    jobs = [
        [
            (int(rng.integers(num_machines)), int(rng.integers(low, 9)))
            for _ in range(rng.integers(1, num_machines + 2))
        ]
        for _ in range(num_jobs)
    ]
    release = rng.integers(0, 6, num_jobs) * int(rng.integers(2))
    shop = ShopInstance.from_jobs(jobs, num_machines=num_machines, release=release.tolist(), name=law)
    interruptions = UniformBlockingShop(swap=swap, repeat=repeat, **LAWS[law])  # type: ignore[arg-type]
    return replace(interruptions.interrupt(shop, rng), name=law)
