"""State of slots: copied, put back where arrays have grown, and pickled."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from makespan.envs.core.slots import SlotEngine, put


class Counters(SlotEngine):
    """A row of numbers in each slot; rows grow when a longer one comes."""

    def __init__(self, num_slots: int, *, width: int) -> None:
        self.values = np.zeros((num_slots, width), np.int64)
        self.loaded = [""] * num_slots

    def _arguments(self) -> dict[str, Any]:
        return {"width": self.values.shape[1]}

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (self.values,)


def filled() -> Counters:
    """Three slots, named and filled by their numbers."""
    engine = Counters(3, width=2)
    engine.values[:] = [[1, 2], [3, 4], [5, 6]]
    engine.loaded = ["a", "b", "c"]
    return engine


def test_a_token_is_not_the_state_itself() -> None:
    """What a slot does after `clone` leaves the token alone, and `restore` leaves the other slots alone."""
    engine = filled()
    token = engine.clone(0)
    engine.values[0] = 99
    engine.restore(2, token)
    assert engine.values.tolist() == [[99, 99], [3, 4], [1, 2]]


def test_copies_in_a_ring_read_before_they_write() -> None:
    """Slots that exchange their states all get the old ones, in arrays and names."""
    engine = filled()
    engine.copy_slots(np.array([0, 1, 2]), np.array([1, 2, 0]))
    assert engine.values.tolist() == [[5, 6], [1, 2], [3, 4]]
    assert engine.loaded == ["c", "a", "b"]


def test_a_smaller_state_fits_into_grown_arrays() -> None:
    """`put` writes the corner that a state had when it was saved, and refuses what does not fit."""
    array = np.zeros((2, 3), np.int64)
    put(array, 1, np.array([7, 8]))
    assert array.tolist() == [[0, 0, 0], [7, 8, 0]]
    with pytest.raises(ValueError, match="broadcast"):
        put(array, 0, np.arange(4))


def test_pickled_engines_are_independent() -> None:
    """A pickled engine has the same slots and names, and shares nothing with the first."""
    engine = filled()
    other = pickle.loads(pickle.dumps(engine))
    engine.values[:] = 0
    engine.loaded[0] = "z"
    assert other.values.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert other.loaded == ["a", "b", "c"]
