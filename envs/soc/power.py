"""Power of clusters of processing elements at their operating points (DVFS), in integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError


@dataclass(frozen=True, slots=True, eq=False)
class PowerModel:
    """What a SoC draws, cluster by cluster, as a function of how many of its PEs run a task.

    Power is in uW and time in microseconds, so energy is in pJ and its sums are exact. A model that is linear in the
    busy PEs has `table[c, l, n] = (size - n) * idle + n * busy`; the measured tables of big.LITTLE clusters are not linear.

    Energy of a run that ends at T is T * base + the integral over [0, T] of the sum over clusters of
    `draw[c, number of busy PEs of c]`.

    Attributes:
        frequency: (C, L) int32, MHz of each cluster's operating points, ascending, padded at the end with 0.
        table: (C, L, A + 1) int64, uW of cluster c at operating point l with 0..A busy PEs; entries beyond the
            cluster's size repeat the last one and are never used.
        level: (C,) int32, the operating point at which each cluster runs.
        base: uW that the rest of the chip draws throughout.
    """

    frequency: NDArray[np.int32]
    table: NDArray[np.int64]
    level: NDArray[np.int32]
    base: int = 0

    def __post_init__(self) -> None:
        for key, kind in (("frequency", np.int32), ("table", np.int64), ("level", np.int32)):
            array = np.ascontiguousarray(getattr(self, key), dtype=kind)
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        frequency, table, level = self.frequency, self.table, self.level
        if frequency.ndim != 2 or 0 in frequency.shape:
            raise InvalidInstanceError(
                f"power.frequency: shape {frequency.shape}; expected (clusters, levels)"
            )
        used = frequency > 0
        if (used[:, 1:] & (frequency[:, 1:] <= frequency[:, :-1])).any() or not used[:, 0].all():
            raise InvalidInstanceError(
                "power.frequency: expected MHz > 0 ascending in each row, padded with 0"
            )
        if table.ndim != 3 or table.shape[:2] != frequency.shape or table.shape[2] < 2 or table.min() < 0:
            raise InvalidInstanceError(
                f"power.table: shape {table.shape}; expected {(*frequency.shape, 'PEs + 1')} of uW >= 0"
            )
        if level.shape != frequency.shape[:1] or (level < 0).any() or (level >= used.sum(axis=1)).any():
            raise InvalidInstanceError(
                f"power.level: {level.tolist()}; expected an operating point a cluster"
            )
        if self.base < 0:
            raise InvalidInstanceError(f"power.base: {self.base}; expected uW >= 0")

    @property
    def draw(self) -> NDArray[np.int64]:
        """(C, A + 1) int64, uW of each cluster with 0..A busy PEs at its operating point."""
        return self.table[np.arange(self.level.size), self.level]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PowerModel):
            return NotImplemented
        same = all(
            np.array_equal(getattr(self, k), getattr(other, k)) for k in ("frequency", "table", "level")
        )
        return same and self.base == other.base

    __hash__ = None  # type: ignore[assignment]


def scaled(execution: NDArray[np.int32], fastest: int, frequency: int) -> NDArray[np.int32]:
    """Execution times at a lower frequency: ceil(time * fastest / frequency); 0 and -1 (cannot run) stay.

    Args:
        execution: Microseconds at `fastest` MHz, any shape.
        fastest: MHz to which the times belong.
        frequency: MHz at which the element runs.
    """
    time = execution.astype(np.int64)
    longer = -(-time * fastest // frequency)
    return np.where(execution > 0, longer, execution).astype(np.int32)
