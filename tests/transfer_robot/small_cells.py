"""Small transfer cells of every kind, and random play on them."""

from __future__ import annotations

import numpy as np

from makespan.envs.transfer_robot.engine import TransferEngine
from makespan.envs.transfer_robot.generator import CellSize
from makespan.envs.transfer_robot.instance import TransferCell

SMALL = CellSize(num_glasses=5, num_chambers=5, num_stages=3, num_robots=2, max_hands=2)


def engine_for(
    num_slots: int, fetches: str = "ahead", skip_forced: bool = True, reward: str = "makespan"
) -> TransferEngine:
    """An engine for cells of size `SMALL`."""
    return TransferEngine(num_slots, SMALL, fetches=fetches, reward=reward, skip_forced=skip_forced)


def small_cell(rng: np.random.Generator, low: int = 0, **given: object) -> TransferCell:
    """A ragged cell with limits, delays, arrivals, several recipes, robots of unlike hands; times may be 0."""
    stages = int(rng.integers(1, SMALL.num_stages + 1))
    chambers = rng.integers(1, 3, stages)
    while chambers.sum() > SMALL.num_chambers:
        chambers[int(rng.integers(stages))] = 1
    stations = int(chambers.sum()) + 2
    glasses, recipes, robots = int(rng.integers(1, 6)), int(rng.integers(1, 3)), int(rng.integers(1, 3))
    place = rng.integers(0, 4, (2, stations))
    parts: dict[str, object] = {
        "process": rng.integers(low, 9, (recipes, stages)),
        "recipe": rng.integers(recipes, size=glasses),
        "chambers": chambers,
        "travel": np.abs(place[:, :, None] - place[:, None, :]).sum(axis=0),
        "load_time": rng.integers(1, 3, stations),
        "unload_time": rng.integers(1, 3, stations),
        "hands": rng.integers(1, 3, robots),
        "home": rng.integers(stations, size=robots),
        "limit": rng.integers(-1, 4, (recipes, stages)),
        "release": np.sort(rng.integers(0, 12, glasses)) * int(rng.integers(2)),
        "delay": rng.integers(0, 5, (glasses, stages)) * int(rng.integers(2)),
        "penalty": int(rng.integers(0, 8)),
        "name": "small",
    }
    return TransferCell(**(parts | given))  # type: ignore[arg-type]
