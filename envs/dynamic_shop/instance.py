"""Dynamic job shops: jobs that arrive over time with due dates and weights, and everything that chance has in store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.blocking.shutdowns import FAR as FAR
from makespan.envs.blocking.shutdowns import padded_windows
from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.jobshop.instance import ShopInstance

Int32Array = NDArray[np.int32]

OBJECTIVES: Final = ("tardiness", "flow_time", "makespan")
"""`tardiness`: total weighted tardiness; `flow_time`: total flow time; `makespan`: the latest completion; of counted jobs."""

_LIMIT: Final = 2**24  # rules read times as float32, exact up to here


@dataclass(frozen=True, slots=True, eq=False)
class DynamicShopInstance:
    """A job shop whose jobs arrive over time, together with all that chance will bring.

    Jobs are numbered in the order of their arrival (`shop.release`). The first `warm_up` jobs find the shop filling up and the
    last `cool_down` jobs only keep it busy: neither is counted. An episode ends when all jobs between them are done; whatever
    is left of the others then is left undone.

    `shop.durations` are forecasts, which decision makers see; what an operation really takes is in `realised`, and is known
    once it has ended. A machine does no work while it is down and begins none; interrupted work goes on after the repair.

    Attributes:
        shop: Routes, eligible machines, forecast durations, and arrivals as release dates (nondecreasing).
        due: (num_jobs,) int32, due dates, time units.
        weight: (num_jobs,) int32, cost of a time unit of tardiness, at least 1.
        realised: (num_operations, max_alternatives) int32, true durations, laid out as `shop.durations`; empty: the forecasts.
        down: (num_windows, 3) int32, rows machine, start, end (exclusive, time units), in any order; windows of a machine
            neither overlap nor touch.
        warm_up: Jobs at the beginning that are not counted.
        cool_down: Jobs at the end that are not counted.
        objective: One of `OBJECTIVES`, what is minimised.
        name: Name in a benchmark, or of the generator's draw.
        windows: (num_machines, K + 1, 3) int32, derived from `down`: start, end and earlier downtime of the machine's windows
            in order of time, then rows that start at `FAR`.
    """

    shop: ShopInstance
    due: Int32Array
    weight: Int32Array
    realised: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))
    down: Int32Array = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    warm_up: int = 0
    cool_down: int = 0
    objective: str = "tardiness"
    name: str = ""
    windows: Int32Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.shop.name)
        if np.size(self.realised) == 0:
            object.__setattr__(self, "realised", self.shop.durations)
        for key in ("due", "weight", "realised"):
            self._set(key, getattr(self, key))
        down = np.array(self.down, np.int64).reshape(-1, 3)
        self._set("down", down[np.lexsort((down[:, 1], down[:, 0]))])
        self._check_jobs()
        self._check_realised()
        self._check_windows()
        self._check_length()
        self._set("windows", padded_windows(self.down, self.num_machines))

    def _set(self, key: str, given: Any) -> None:
        given = np.asarray(given)
        if given.size and given.dtype.kind not in "iu":
            raise InvalidInstanceError(f"{key}: dtype {given.dtype}; expected integers")
        if given.size and (given.min() < -(2**31) or given.max() >= 2**31):
            raise InvalidInstanceError(f"{key}: {given.min()}..{given.max()}; expected 32-bit integers")
        array = np.array(given, np.int32, order="C")
        array.setflags(write=False)
        object.__setattr__(self, key, array)

    def _check_jobs(self) -> None:
        late = np.flatnonzero(np.diff(self.shop.release) < 0)
        if late.size:
            pair = self.shop.release[late[0] : late[0] + 2].tolist()
            raise InvalidInstanceError(
                f"shop: job {late[0] + 1} arrives before job {late[0]}, {pair}; expected jobs in order of arrival"
            )
        for key, low in (("due", -_LIMIT), ("weight", 1)):
            array = getattr(self, key)
            if array.shape != (self.num_jobs,) or array.min() < low or array.max() >= _LIMIT:
                raise InvalidInstanceError(
                    f"{key}: shape {array.shape}, {array.min(initial=0)}..{array.max(initial=0)}; "
                    f"expected ({self.num_jobs},) whole numbers in {low}..{_LIMIT - 1}"
                )
        if self.warm_up < 0 or self.cool_down < 0 or self.warm_up + self.cool_down >= self.num_jobs:
            raise InvalidInstanceError(
                f"warm_up: {self.warm_up}, cool_down: {self.cool_down}; expected numbers >= 0 that leave at least one of "
                f"{self.num_jobs} jobs to count"
            )
        if self.objective not in OBJECTIVES:
            raise InvalidInstanceError(
                f"objective: {self.objective!r}; expected one of {', '.join(OBJECTIVES)}"
            )

    def _check_realised(self) -> None:
        shape, used = self.shop.durations.shape, self.shop.machines >= 0
        if self.realised.shape != shape:
            raise InvalidInstanceError(
                f"realised: shape {self.realised.shape}; expected {shape}, as shop.durations"
            )
        if self.realised.min() < 0 or self.realised[~used].any():
            raise InvalidInstanceError("realised: expected time units >= 0, and 0 where no machine is")

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

    def _check_length(self) -> None:
        longest = self.realised.max(axis=1).sum(dtype=np.int64)
        last = int(longest) + int(self.shop.release[-1]) + int(self.down[:, 2].max(initial=0))
        if last >= _LIMIT:
            raise InvalidInstanceError(
                f"realised: the run may last {last} time units; expected less than 2^24, as rules read times"
            )

    @property
    def num_jobs(self) -> int:
        """Number of jobs, counted or not."""
        return self.shop.num_jobs

    @property
    def num_machines(self) -> int:
        """Number of machines."""
        return self.shop.num_machines

    @property
    def total_operations(self) -> int:
        """Operations of all jobs."""
        return self.shop.num_operations

    @property
    def longest_route(self) -> int:
        """Operations of the job that has most."""
        return int(np.diff(self.shop.job_first).max())

    @property
    def max_alternatives(self) -> int:
        """Most eligible machines of an operation."""
        return self.shop.max_alternatives

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(num_jobs,) whether a job is counted."""
        number = np.arange(self.num_jobs)
        return (number >= self.warm_up) & (number < self.num_jobs - self.cool_down)

    @property
    def unit(self) -> int:
        """Mean forecast of an operation, over its eligible machines, rounded, at least 1: the unit of what networks see."""
        used = (self.shop.machines >= 0).sum(axis=1)
        return max(1, round(float((self.shop.durations.sum(axis=1) / used).mean())))

    @property
    def scale(self) -> int:
        """What the objective is divided by in returns: `unit`, times the counted jobs' weights (tardiness) or number."""
        counted = self.counted
        share = self.weight[counted].sum() if self.objective == "tardiness" else counted.sum()
        return self.unit * int(share)

    def __eq__(self, other: object) -> bool:
        """Equal problems, whatever their names."""
        if not isinstance(other, DynamicShopInstance):
            return NotImplemented
        keys = ("warm_up", "cool_down", "objective")
        arrays = ("due", "weight", "realised", "down")
        return (
            self.shop == other.shop
            and all(getattr(self, key) == getattr(other, key) for key in keys)
            and all(np.array_equal(getattr(self, key), getattr(other, key)) for key in arrays)
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def load(cls, path: str | Path) -> DynamicShopInstance:
        """Read a shop from the suite's JSON.

        Raises:
            InstanceFormatError: The file is malformed; the message names file and place.
        """
        from makespan.envs.dynamic_shop import formats  # it builds instances itself

        return formats.load(path)

    def save(self, path: str | Path) -> None:
        """Write the shop as the suite's JSON, which keeps everything."""
        from makespan.envs.dynamic_shop import formats

        formats.save(self, path)
