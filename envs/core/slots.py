"""What every batch engine does with the state of its slots: copy it, put it back, pickle it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Token = tuple[NDArray[Any], ...]


class StepOutcome(NamedTuple):
    """What the last step did in each slot, where no time runs between decisions."""

    reward: NDArray[np.float64]  # (B,)
    terminated: NDArray[np.bool_]  # (B,)


class TimedOutcome(NamedTuple):
    """What the last step did in each slot, where time runs between decisions."""

    reward: NDArray[np.float64]  # (B,)
    terminated: NDArray[np.bool_]  # (B,)
    elapsed: NDArray[np.float64]  # (B,), in a unit of the instance's own


class SlotEngine(ABC):
    """An engine whose state is arrays with a leading axis of slots, and an object or a name for each slot.

    Attributes:
        loaded: What each slot holds beside its arrays: the instance, or its name.
    """

    loaded: list[Any]

    @abstractmethod
    def _arguments(self) -> dict[str, Any]:
        """Keywords of the constructor that make an engine with as much room as this one."""

    @abstractmethod
    def _arrays(self) -> Token:
        """All state, with a leading axis of slots."""

    def _fit(self, token: Token) -> None:  # noqa: B027 - most engines never grow
        """Grow the arrays that a token might not fit into."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the slots' states: the kernels' view of the arrays has to be made anew."""
        tokens = [self.clone(slot) for slot in range(len(self.loaded))]
        return _rebuild, (type(self), self._arguments(), self.loaded, tokens)

    def clone(self, slot: int) -> Token:
        """A token that `restore` turns back into the slot's present state."""
        return tuple(array[slot].copy() for array in self._arrays())

    def restore(self, slot: int, token: Token) -> None:
        """Put a slot into the state a token was taken from, be it in this or another slot."""
        self._fit(token)
        for array, saved in zip(self._arrays(), token, strict=True):
            put(array, slot, saved)

    def copy_slots(self, source: NDArray[np.int64], target: NDArray[np.int64]) -> None:
        """Put each slot of `target` (n,) into the present state of its partner in `source` (n,)."""
        for array in self._arrays():
            array[target] = array[source]
        before = list(self.loaded)
        for one, other in zip(source.tolist(), target.tolist(), strict=True):
            self.loaded[other] = before[one]


def corner(array: NDArray[Any]) -> tuple[slice, ...]:
    """Where an array fits into one that is at least as large."""
    return tuple(slice(length) for length in array.shape)


def put(array: NDArray[Any], slot: int, saved: NDArray[Any]) -> None:
    """Write a slot of an array that may have grown since it was saved."""
    if array.shape[1:] == saved.shape:
        array[slot] = saved
    else:
        array[slot][corner(saved)] = saved


def _rebuild(kind: Any, arguments: dict[str, Any], loaded: list[Any], tokens: list[Token]) -> SlotEngine:
    """The engine that `SlotEngine.__reduce__` took apart."""
    engine: SlotEngine = kind(len(tokens), **arguments)
    for slot, token in enumerate(tokens):
        engine.restore(slot, token)
    engine.loaded = list(loaded)
    return engine
