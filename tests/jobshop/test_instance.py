"""ShopInstance refuses contradictory arrays, is immutable, and mirrors in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.jobshop.generator import make_generator
from makespan.envs.jobshop.instance import ShopInstance

RAGGED = ShopInstance.from_alternatives(
    [[[(0, 3), (2, 4)], [(1, 2)]], [[(2, 5)]], [[(1, 1)], [(0, 6), (1, 7), (2, 8)], [(2, 2)]]], name="ragged"
)


def test_counts() -> None:
    """The properties follow from the arrays."""
    assert (RAGGED.num_jobs, RAGGED.num_operations, RAGGED.num_machines, RAGGED.max_alternatives) == (
        3,
        6,
        3,
        3,
    )
    assert RAGGED.is_flexible
    assert not ShopInstance.from_jobs([[(0, 1)]]).is_flexible


def test_arrays_are_read_only() -> None:
    """Nobody changes a shop that others share."""
    for key in ("job_first", "machines", "durations", "release"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(RAGGED, key)[0] = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"job_first": [0, 2, 2]}, "job_first: .*every job at least one operation"),
        ({"job_first": [1, 2, 3]}, "job_first: .*offsets from 0"),
        ({"machines": [[0, 1], [1, -1]]}, r"machines: shape \(2, 2\); expected \(3, max_alternatives\)"),
        ({"durations": [[3], [2], [5]]}, r"durations: shape \(3, 1\); expected \(3, 2\)"),
        ({"machines": [[0, 1], [1, -1], [2, -1]]}, r"machines: 2; expected 0\.\.1"),
        ({"machines": [[0, 1], [-2, -1], [1, -1]]}, "machines: -2"),
        ({"machines": [[0, 1], [-1, -1], [1, -1]]}, "without an eligible machine"),
        ({"machines": [[0, 0], [1, -1], [1, -1]]}, r"operation 0 lists a machine twice: \[0, 0\]"),
        ({"durations": [[3, 4], [-2, 0], [5, 0]]}, "durations: -2"),
        ({"durations": [[3, 4], [2, 9], [5, 0]]}, "non-zero where machines is -1"),
        ({"durations": [[3, 4], [2**24, 0], [5, 0]]}, "2\\^24"),
        ({"release": [1, 2, 3]}, "release: .*expected 2 times"),
        ({"release": [0, -1]}, "release: .*times >= 0"),
    ],
)
def test_contradictions_are_named(changes: dict[str, list[int]], message: str) -> None:
    """Each violated rule raises an error that names the field and the value."""
    arrays = {
        "job_first": [0, 2, 3],
        "machines": [[0, 1], [1, -1], [1, -1]],
        "durations": [[3, 4], [2, 0], [5, 0]],
        "release": [0, 0],
    }
    good = {key: np.array(value) for key, value in arrays.items()}
    ShopInstance(num_machines=2, **good)
    bad = good | {key: np.array(value) for key, value in changes.items()}
    with pytest.raises(InvalidInstanceError, match=message):
        ShopInstance(num_machines=2, **bad)


def test_padding_belongs_at_the_end() -> None:
    """A gap between eligible machines is refused: kernels stop at the first -1."""
    with pytest.raises(InvalidInstanceError, match="padding at the end"):
        ShopInstance(np.array([0, 1]), np.array([[0, -1, 1]]), np.array([[1, 0, 1]]), 2)


def test_equality_ignores_names() -> None:
    """Two shops are equal when their numbers are; one other duration makes them differ."""
    shop = ShopInstance.from_jobs([[(0, 3), (1, 2)]], name="a")
    assert shop == ShopInstance.from_jobs([[(0, 3), (1, 2)]], name="b")
    assert shop != ShopInstance.from_jobs([[(0, 3), (1, 1)]])
    assert shop != ShopInstance.from_jobs([[(0, 3), (1, 2)]], release=[1])


def test_reversed() -> None:
    """The mirror runs every job backwards with its machines and durations, and mirrors back."""
    mirrored = RAGGED.reversed()
    assert mirrored == ShopInstance.from_alternatives(
        [[[(1, 2)], [(0, 3), (2, 4)]], [[(2, 5)]], [[(2, 2)], [(0, 6), (1, 7), (2, 8)], [(1, 1)]]]
    )
    assert mirrored.reversed() == RAGGED


def test_release_dates_have_no_mirror() -> None:
    """A release date would become a deadline."""
    with pytest.raises(InvalidInstanceError, match="release"):
        ShopInstance.from_jobs([[(0, 1)]], release=[3]).reversed()


def test_save_and_load(tmp_path: Path) -> None:
    """A shop survives its file, and the suffix picks the format."""
    shop = make_generator("uniform", release_factor=0.5).sample(np.random.default_rng(0))
    shop.save(tmp_path / "shop.json")
    RAGGED.save(tmp_path / "ragged.fjs")
    assert ShopInstance.load(tmp_path / "shop.json") == shop
    loaded = ShopInstance.load(tmp_path / "ragged.fjs")
    assert loaded == RAGGED
    assert loaded.name == "ragged"
