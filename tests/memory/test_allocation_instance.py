"""Allocation problems: pieces and sections by hand, and what is refused."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.memory.allocation_instance import AllocationProblem


def test_sections_and_loads_by_hand() -> None:
    """Maximal intervals with a constant set of buffers; a time in which nothing lives is none."""
    problem = AllocationProblem.from_buffers([(0, 4, 3), (2, 6, 2), (9, 10, 4)])
    assert problem.sections.tolist() == [[0, 2], [2, 4], [4, 6], [9, 10]]
    assert problem.load.tolist() == [3, 5, 2, 4]
    assert problem.pieces[:, 5:].tolist() == [[0, 2], [1, 3], [3, 4]]
    assert (problem.num_sections, problem.num_incidences, problem.load_bound) == (4, 5, 5)


def test_gaps_cut_lifetimes() -> None:
    """A gap leaves nothing, a window a part; loads and sections follow, and the bound still counts the whole buffer."""
    problem = AllocationProblem([0], [10], [6], gaps=[[0, 6, 8, 1, 3], [0, 2, 4, 0, 0]])
    assert problem.pieces[:, :5].tolist() == [
        [0, 0, 2, 0, 6],
        [0, 4, 6, 0, 6],
        [0, 6, 8, 1, 3],
        [0, 8, 10, 0, 6],
    ]
    assert problem.load.tolist() == [6, 6, 2, 6]
    assert problem.gaps[:, 1].tolist() == [2, 6]
    whole = AllocationProblem([0], [2], [6], gaps=[[0, 0, 2, 1, 3]])
    assert (whole.load.tolist(), whole.load_bound) == ([2], 6)


def test_unit_divides_everything() -> None:
    """The unit is the greatest common divisor of sizes, alignments, windows and prescribed offsets."""
    base = AllocationProblem([0, 0], [1, 1], [24, 36])
    assert base.unit == 12
    assert dataclasses.replace(base, alignment=np.array([8, 1])).unit == 4
    assert dataclasses.replace(base, fixed=np.array([-1, 6])).unit == 6
    assert AllocationProblem([0], [3], [24], gaps=[[0, 1, 2, 3, 9]]).unit == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lower": [], "upper": [], "size": []}, "no buffers"),
        ({"upper": [5]}, r"upper: shape \(1,\)"),
        ({"lower": [-1, 0]}, "lower: -1 of buffer 0"),
        ({"upper": [4, 0]}, "upper: 0 of buffer 1"),
        ({"size": [0, 1]}, "size: 0 of buffer 0"),
        ({"size": [1.5, 1]}, "size: float64 values"),
        ({"size": [2**41, 1]}, r"size: .*below 2\^40"),
        ({"alignment": [0, 1]}, "alignment: 0"),
        ({"fixed": [-2, -1]}, "fixed: -2"),
        ({"fixed": [3, -1], "alignment": [2, 1]}, "a multiple of the alignment"),
        ({"fixed": [0, 1]}, "buffers 0 and 1 collide"),
        ({"capacity": -1}, "capacity: -1"),
        ({"ids": ("a", "a")}, "1 of them distinct"),
        ({"gaps": [[2, 0, 1, 0, 0]]}, "a buffer outside"),
        ({"gaps": [[0, 1, 1, 0, 0]]}, "ends after it begins"),
        ({"gaps": [[0, 3, 5, 0, 0]]}, "within the lifetime"),
        ({"gaps": [[0, 0, 2, 0, 0], [0, 1, 3, 0, 0]]}, "do not overlap"),
        ({"gaps": [[0, 1, 2, 0, 3]]}, "within the buffer's size"),
        ({"gaps": [[0, 0, 4, 0, 0]]}, "holds nothing at any time"),
    ],
)
def test_contradictions_are_refused(fields: dict, message: str) -> None:
    """Each broken field is named, with its value and what was expected."""
    sound = {"lower": [0, 0], "upper": [4, 4], "size": [2, 2]}
    AllocationProblem(**sound)
    with pytest.raises(InvalidInstanceError, match=message):
        AllocationProblem(**{**sound, **fields})


def test_equality_ignores_names() -> None:
    """Equal buffers make equal problems; a field that differs does not; replace and pickle keep all."""
    one = AllocationProblem.from_buffers([(0, 4, 3), (2, 6, 2)], capacity=9, name="one")
    other = dataclasses.replace(one, name="other")
    assert one == other
    assert other.name == "other"
    assert pickle.loads(pickle.dumps(one)) == one
    for field, value in (("capacity", 8), ("hint", [0, 1]), ("alignment", [1, 2]), ("fixed", [0, -1])):
        assert (
            dataclasses.replace(one, **{field: np.array(value) if isinstance(value, list) else value}) != one
        )
