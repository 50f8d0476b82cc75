"""Rules and registries: ties, noise, waits, and who is known by which name."""

from __future__ import annotations

import numpy as np
import pytest

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.graph import CandidateType, CandidateView, Feature, GraphSchema, NodeType
from makespan.envs.core.policy import (
    Policy,
    RandomPolicy,
    Rule,
    RulePolicy,
    get_rule,
    rule_policy,
    rules_of,
    solvers_of,
)

SCHEMA = GraphSchema(
    nodes=(NodeType("task", 4, (), "task"),),
    edges=(),
    candidates=CandidateType(4, ("task",), (Feature("cost", ""), Feature("second", ""))),
)


def batch(costs: list[list[float]], mask: list[list[int]], second: list[list[float]] | None = None) -> dict:
    """Observations with these candidates; candidate i points at task i unless its cost is None."""
    x = np.stack([np.array(costs), np.array(second if second is not None else costs)], axis=-1).astype(
        np.float32
    )
    index = np.tile(np.arange(4, dtype=np.int32)[:, None], (len(costs), 1, 1))
    return {"candidate_x": x, "candidate_index": index, "action_mask": np.array(mask, np.int8)}


def cost(view: CandidateView) -> np.ndarray:
    """Cheapest first."""
    return view["cost"]


CHEAPEST = Rule("test", "cheapest", "", cost)


def test_smallest_allowed_candidate_is_served() -> None:
    """The minimum counts among allowed candidates only; ties go to the lower one."""
    observation = batch([[1, 2, 2, 0], [3, 3, 1, 1]], [[0, 1, 1, 0], [1, 1, 0, 1]])
    assert RulePolicy(CHEAPEST, SCHEMA).act(observation).tolist() == [1, 3]


def test_tie_break_decides_ties_only() -> None:
    """A family's tie break orders equal priorities, and equal tie breaks go to the lower candidate."""
    observation = batch([[2, 2, 2, 1]], [[1, 1, 1, 0]], [[5, 4, 4, 0]])
    rule = Rule("test", "cheapest", "", cost, tie_break=lambda view: view["second"])
    assert RulePolicy(rule, SCHEMA).act(observation).tolist() == [1]


def test_waiting_comes_last() -> None:
    """A candidate that concerns no node is served only when nothing else is allowed."""
    observation = batch([[9, 0, 0, 0], [9, 0, 0, 0]], [[1, 0, 0, 1], [0, 0, 0, 1]])
    observation["candidate_index"][:, 3] = -1
    assert RulePolicy(CHEAPEST, SCHEMA).act(observation).tolist() == [0, 3]


def test_noise_is_log_normal_and_seeded() -> None:
    """Noise keeps clear orders, turns close ones at the rate of two log-normals, and depends on the seed alone."""
    clear = batch([[1, 1e9, 1e9, 1e9]] * 50, [[1, 1, 1, 1]] * 50)
    assert (RulePolicy(CHEAPEST, SCHEMA, noise=0.2, seed=1).act(clear) == 0).all()
    close = batch([[1.0, 1.1, 0, 0]] * 20_000, [[1, 1, 0, 0]] * 20_000)
    actions = RulePolicy(CHEAPEST, SCHEMA, noise=0.2, seed=1).act(close)
    # P(1.1 exp(s x) < exp(s y)) = Phi(-ln 1.1 / (s sqrt 2)) = 0.368
    assert abs(actions.mean() - 0.368) < 0.012
    assert (actions == RulePolicy(CHEAPEST, SCHEMA, noise=0.2, seed=1).act(close)).all()
    assert (actions != RulePolicy(CHEAPEST, SCHEMA, noise=0.2, seed=2).act(close)).any()


def test_random_policy_is_uniform() -> None:
    """Each allowed candidate is as likely as the others, and no forbidden one is ever taken."""
    observation = batch([[0, 0, 0, 0]] * 30_000, [[1, 0, 1, 1]] * 30_000)
    counts = np.bincount(RandomPolicy(seed=0).act(observation), minlength=4)
    assert counts[1] == 0
    assert np.abs(counts[[0, 2, 3]] / 30_000 - 1 / 3).max() < 0.01


def test_registry() -> None:
    """The job shop's rules and solvers are known by name, describe and cite themselves; a misspelt name helps."""
    import makespan.envs.jobshop.family  # noqa: F401

    rules = rules_of("jobshop")
    assert {"spt", "mwkr", "fifo", "spt_twkr"} <= rules.keys()
    assert all(rule.description and rule.citation for rule in rules.values())
    assert {"cp_sat", "tabu_search"} <= solvers_of("jobshop").keys()
    with pytest.raises(UnknownNameError, match="spt_twkr"):
        get_rule("jobshop", "spt_twrk")
    assert isinstance(rule_policy("jobshop", "spt", SCHEMA), RulePolicy)
    assert isinstance(rule_policy("jobshop", "random", SCHEMA), RandomPolicy)
    assert isinstance(rule_policy("jobshop", "spt", SCHEMA), Policy)
