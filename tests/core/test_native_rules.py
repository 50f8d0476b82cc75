"""Rules compiled from their NumPy functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from makespan.envs.core.graph import CandidateView, Feature, raw
from makespan.envs.core.native_rules import native_priority, row_type, scalar_too
from makespan.envs.core.policy import Rule

FEATURES = (Feature("share", "not raw"), raw("work", "work"), raw("due", "due"))


@scalar_too
def halve(value: np.ndarray) -> np.ndarray:
    return value / 2.0


def slack(c: CandidateView) -> np.ndarray:
    """Slack."""
    return np.maximum(c["due"] - halve(c["work"]), 1.0)


@njit
def rank(rows: Any, priority: Any) -> Any:
    values = np.zeros(rows.size)
    for i in range(rows.size):
        values[i] = priority(rows[i])
    return values


def oracle(c: CandidateView) -> np.ndarray:
    """Looks at the whole graph."""
    return c.observation["operation_x"].sum() + c["due"]


def test_a_row_holds_the_raw_features_in_order() -> None:
    assert row_type(FEATURES).names == ("work", "due")


def test_a_compiled_rule_ranks_as_its_function_does() -> None:
    row = row_type(FEATURES)
    values = np.array([(10.0, 7.0), (4.0, 2.5)], row)
    ranked = rank(values, native_priority(Rule("test", "slack", "", slack), row))
    assert ranked.tolist() == slack(values).tolist() == [2.0, 1.0]  # type: ignore[arg-type]


def test_a_rule_that_looks_at_more_than_its_row_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"test rule 'oracle' does not compile.*work, due"):
        native_priority(Rule("test", "oracle", "", oracle), row_type(FEATURES))
