"""Blocking job shops: a classic job shop without buffers, with the downtime of its machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.blocking.shutdowns import FAR as FAR
from makespan.envs.blocking.shutdowns import padded_windows
from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.jobshop.instance import ShopInstance

Int32Array = NDArray[np.int32]

_LIMIT: Final = 2**24  # rules read times as float32, exact up to here
_MOST_MACHINES: Final = 63  # sets of machines are bits of an int64


@dataclass(frozen=True, slots=True, eq=False)
class BlockingShopInstance:
    """A job shop without buffers: a finished operation stays on its machine until the next machine receives the job.

    The last operation of a job leaves at once. With `swap` a cycle of jobs that wait for each other's machines moves at the
    same moment; without it somebody has to move first, and such a cycle is a deadlock. A machine does no work while it is
    down and takes no job in; a job that has been finished on it may leave. All downtime is drawn beforehand: as windows in
    calendar time, or as one stop within an operation, whenever that runs.

    Attributes:
        shop: Routes, durations and release dates; one machine an operation.
        swap: Whether jobs may exchange places.
        repeat: Whether an interrupted operation starts from its beginning (preempt-repeat) or goes on (preempt-resume).
        down: (num_windows, 3) int32, rows machine, start, end (exclusive, time units), in any order; windows of a machine
            neither overlap nor touch.
        stop_after: (num_operations,) int32, work done when the stop within the operation comes, below its duration.
        stop_length: (num_operations,) int32, how long that stop lasts, 0 for none. Stops and windows exclude each other.
        name: Name in the literature, or of the generator's draw.
        windows: (num_machines, K + 1, 3) int32, derived from `down`: start, end and earlier downtime of the machine's windows
            in order of time, then rows that start at `FAR`.
    """

    shop: ShopInstance
    swap: bool = True
    repeat: bool = False
    down: Int32Array = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    stop_after: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))
    stop_length: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))
    name: str = ""
    windows: Int32Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.shop.is_flexible:
            raise InvalidInstanceError("shop: operations with alternative machines; expected one each")
        if not self.swap and self.shop.num_machines > _MOST_MACHINES:
            raise InvalidInstanceError(
                f"shop: {self.shop.num_machines} machines; expected at most {_MOST_MACHINES} without swaps"
            )
        if not self.name:
            object.__setattr__(self, "name", self.shop.name)
        down = np.array(self.down, np.int32).reshape(-1, 3)
        self._set("down", down[np.lexsort((down[:, 1], down[:, 0]))])
        for key in ("stop_after", "stop_length"):
            given = np.array(getattr(self, key), np.int32)
            self._set(key, given if given.size else np.zeros(self.num_operations, np.int32))
        self._check_windows()
        self._check_stops()
        self._set("windows", padded_windows(self.down, self.num_machines))

    def _set(self, key: str, array: Int32Array) -> None:
        array.setflags(write=False)
        object.__setattr__(self, key, array)

    def _check_windows(self) -> None:
        machine, start, end = self.down.T
        if machine.size == 0:
            return
        if machine.min() < 0 or machine.max() >= self.num_machines:
            raise InvalidInstanceError(
                f"down: machines {machine.min()}..{machine.max()}; expected 0..{self.num_machines - 1}"
            )
        if start.min() < 0 or (end <= start).any():
            raise InvalidInstanceError(
                "down: a window that starts before 0 or is empty; expected 0 <= start < end"
            )
        close = np.flatnonzero((machine[1:] == machine[:-1]) & (start[1:] <= end[:-1]))
        if close.size:
            pair = self.down[close[0] : close[0] + 2].tolist()
            raise InvalidInstanceError(f"down: windows {pair} overlap or touch; expected time between them")
        last = int(end.max()) + int(self.shop.durations.sum(dtype=np.int64)) + int(self.shop.release.max())
        if last >= _LIMIT:
            raise InvalidInstanceError(
                f"down: last window ends at {end.max()}; rules could not read times exactly"
            )

    def _check_stops(self) -> None:
        duration = self.shop.durations[:, 0]
        for key in ("stop_after", "stop_length"):
            array = getattr(self, key)
            if array.shape != duration.shape or array.min() < 0:
                raise InvalidInstanceError(
                    f"{key}: shape {array.shape}, smallest {array.min(initial=0)}; "
                    f"expected {duration.shape}, times >= 0"
                )
        stopped = self.stop_length > 0
        if stopped.any() and self.down.size:
            raise InvalidInstanceError(
                "stop_length: given together with windows in `down`; expected one of them"
            )
        if (stopped & (self.stop_after >= duration)).any():
            raise InvalidInstanceError(
                "stop_after: not within the operation; expected less than its duration"
            )
        longest = int((2 * duration.astype(np.int64) + self.stop_length).sum())
        if stopped.any() and longest + int(self.shop.release.max()) >= _LIMIT:
            raise InvalidInstanceError("stop_length: too long in all; rules could not read times exactly")

    @property
    def num_jobs(self) -> int:
        """Number of jobs."""
        return self.shop.num_jobs

    @property
    def num_operations(self) -> int:
        """Number of operations of all jobs."""
        return self.shop.num_operations

    @property
    def num_machines(self) -> int:
        """Number of machines."""
        return self.shop.num_machines

    @property
    def is_interrupted(self) -> bool:
        """Whether any machine ever stops."""
        return bool(self.down.size or self.stop_length.any())

    @property
    def extra(self) -> NDArray[np.int64]:
        """(num_operations,) what its stop adds to each operation: its length, and the lost work where work is repeated."""
        lost = self.stop_after.astype(np.int64) if self.repeat else 0
        return np.where(self.stop_length > 0, self.stop_length + lost, 0)

    def __eq__(self, other: object) -> bool:
        """Equal problems, whatever their names."""
        if not isinstance(other, BlockingShopInstance):
            return NotImplemented
        arrays = ("down", "stop_after", "stop_length")
        return (
            self.shop == other.shop
            and self.swap == other.swap
            and (self.repeat == other.repeat or not self.is_interrupted)
            and all(np.array_equal(getattr(self, key), getattr(other, key)) for key in arrays)
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def load(cls, path: str | Path) -> BlockingShopInstance:
        """Read a shop from the suite's JSON, or from any job-shop format as a shop with swaps and without downtime.

        Raises:
            InstanceFormatError: The file is malformed; the message names file and place.
        """
        from makespan.envs.blocking import formats  # it builds instances itself

        return formats.load(path)

    def save(self, path: str | Path) -> None:
        """Write the shop as the suite's JSON, which keeps everything."""
        from makespan.envs.blocking import formats

        formats.save(self, path)
