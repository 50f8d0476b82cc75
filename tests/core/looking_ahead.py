"""What the families' tests of looking ahead have in common: values set against episodes that are played on by the rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.policy import RulePolicy, get_rule


def random_action(engine: Any, rng: np.random.Generator) -> NDArray[np.int64]:
    """An allowed candidate of each slot (B,)."""
    mask = engine.observation["action_mask"]
    action: NDArray[np.int64] = np.where(mask > 0, rng.random(mask.shape), -1.0).argmax(axis=1)
    return action


def _played(engine: Any, action: int, policy: RulePolicy) -> float:
    """The objective when slot 0 takes a candidate and a rule goes on; leaves the engine as it was."""
    token = engine.clone(0)
    engine.step(np.array([action]))
    while not engine.outcome.terminated[0]:
        engine.step(policy.act(engine.observation))
    objective = float(engine.objective(0))
    engine.restore(0, token)
    return objective


def compare_values(engine: Any, family: str, rule: str) -> int:
    """Check the values of slot 0's decision against episodes played with the rule; their number."""
    policy = RulePolicy(get_rule(family, rule), engine.schema)
    allowed = np.flatnonzero(engine.observation["action_mask"][0])
    column = engine.schema.action_feature("value")
    for action in allowed:
        assert engine.observation["candidate_x"][0, action, column] == _played(engine, action, policy)
    return len(allowed)
