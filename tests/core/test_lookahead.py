"""Columns of the pilot method and the policy that follows them."""

from __future__ import annotations

import numpy as np
import pytest

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.graph import CandidateType, Feature, GraphSchema, NodeType
from makespan.envs.core.lookahead import PilotPolicy, parse_lookahead, with_lookahead, write_lookahead

PLAIN = GraphSchema(
    nodes=(
        NodeType("task", 4, (Feature("size", "size"),), "task"),
        NodeType("system", 1, (Feature("now", "time"),), "system"),
    ),
    edges=(),
    candidates=CandidateType(4, ("task",), (Feature("size", "size"),)),
)


def test_names() -> None:
    """Rules are named with slashes between them, each once; an unknown one is told the nearest."""
    assert parse_lookahead("", ("spt",)) == ()
    assert parse_lookahead("spt/fifo/spt", ("spt", "fifo")) == ("spt", "fifo")
    with pytest.raises(UnknownNameError, match="did you mean fifo"):
        parse_lookahead("spt/fifi", ("spt", "fifo"))


def test_columns_by_hand() -> None:
    """Three candidates, one of them forbidden, two rules: every column in place, the forbidden row untouched."""
    schema = with_lookahead(PLAIN, ("a", "b"), "LB0")
    seen = schema.zeros(1)
    values = np.array([[30, 50], [0, 0], [40, 25], [45, 60]])
    mask = np.array([1, 0, 1, 1], np.int8)
    write_lookahead(values, mask, 20, np.float32(0.1), seen["candidate_x"][0], seen["system_x"][0, 0])
    seen["action_mask"][0] = mask
    columns = {
        feature.name: seen["candidate_x"][0, :, i].tolist()
        for i, feature in enumerate(schema.candidates.features)
    }
    expected = {
        "size": [0, 0, 0, 0],
        "a_above": [1, 0, 2, 2.5],
        "a_behind": [0, 0, 1, 1.5],
        "b_above": [3, 0, 0.5, 4],
        "b_behind": [2.5, 0, 0, 3.5],
        "behind": [0.5, 0, 0, 2],
        "leads": [0, 0, 1, 0],
        "value": [30, 0, 25, 45],
    }
    assert list(columns) == list(expected)
    for name, column in expected.items():
        assert columns[name] == pytest.approx(column), name
    assert seen["system_x"][0, 0].tolist() == [0, 0.5]
    assert PilotPolicy(schema).act(seen).tolist() == [2]


def test_without_rules_nothing_changes() -> None:
    """No rules leave the schema as it is, and there a pilot has nothing to go by."""
    assert with_lookahead(PLAIN, (), "LB0") is PLAIN
    with pytest.raises(UnknownNameError, match="value"):
        PilotPolicy(PLAIN)
