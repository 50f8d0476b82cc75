"""Play of any engine: at random, and over all sequences of decisions."""

from __future__ import annotations

from typing import Any

import numpy as np


def play(engine: Any, rng: np.random.Generator) -> None:
    """Random legal decisions until every slot's episode is over."""
    while not engine.outcome.terminated.all():
        mask = engine.observation["action_mask"]
        actions = np.where(mask > 0, rng.random(mask.shape), -1.0).argmax(axis=1)
        engine.step(np.where(engine.outcome.terminated, -1, actions))


def best_reachable(engine: Any, instance: Any, limit: int = 300_000) -> int:
    """Smallest objective over all sequences of decisions (depth first, cut by the engine's own lower bound)."""
    engine.load(0, instance)
    best = 10**9
    stack = [engine.clone(0)]
    for _ in range(limit):
        if not stack:
            return best
        token = stack.pop()
        engine.restore(0, token)
        if engine.outcome.terminated[0]:
            best = min(best, int(engine.objective(0)))
            continue
        if engine.lower_bound(0) >= best:
            continue
        for action in np.flatnonzero(engine.observation["action_mask"][0]):
            engine.restore(0, token)
            engine.step(np.array([action]))
            stack.append(engine.clone(0))
    raise AssertionError("the search did not end")
