"""Job-shop instances: classic, ragged and flexible shops in one dataclass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError


@dataclass(frozen=True, slots=True, eq=False)
class ShopInstance:
    """A job shop, possibly ragged (jobs of unlike length), possibly flexible (operations with alternative machines).

    Operations are numbered job after job: job j owns `job_first[j] : job_first[j + 1]` and runs them in that order.

    Attributes:
        job_first: (num_jobs + 1,) int32, offsets of the jobs' operations.
        machines: (num_operations, max_alternatives) int32, eligible machines, padded at the end with -1.
        durations: (num_operations, max_alternatives) int32, time units on each of them, padded with 0.
        num_machines: Number of machines, numbered from 0.
        release: (num_jobs,) int32, earliest start of each job in time units.
        name: Name in the literature, or of the generator's draw.
    """

    job_first: NDArray[np.int32]
    machines: NDArray[np.int32]
    durations: NDArray[np.int32]
    num_machines: int
    release: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    name: str = ""

    def __post_init__(self) -> None:
        for key in ("job_first", "machines", "durations", "release"):
            array = np.ascontiguousarray(getattr(self, key), dtype=np.int32)
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        if self.release.size == 0:
            release = np.zeros(self.job_first.size - 1, np.int32)
            release.setflags(write=False)
            object.__setattr__(self, "release", release)
        self._validate()

    def _validate(self) -> None:
        first, machines, durations = self.job_first, self.machines, self.durations
        if first.ndim != 1 or first.size < 2 or first[0] != 0 or (first[1:] <= first[:-1]).any():
            shown = first.tolist()[:12]
            raise InvalidInstanceError(
                f"job_first: {shown}; expected offsets from 0, every job at least one operation"
            )
        if machines.ndim != 2 or machines.shape[0] != first[-1] or machines.shape[1] < 1:
            expected = f"({int(first[-1])}, max_alternatives)"
            raise InvalidInstanceError(f"machines: shape {machines.shape}; expected {expected}")
        if durations.shape != machines.shape:
            raise InvalidInstanceError(
                f"durations: shape {durations.shape}; expected {machines.shape}, as machines"
            )
        if machines.max() >= self.num_machines:
            raise InvalidInstanceError(
                f"machines: {int(machines.max())}; expected 0..{self.num_machines - 1}"
            )
        if machines.min() < -1:
            raise InvalidInstanceError(
                f"machines: {int(machines.min())}; expected -1 (padding) or a machine number"
            )
        if machines[:, 0].min() < 0:
            raise InvalidInstanceError(
                "machines: an operation without an eligible machine; expected at least one"
            )
        if durations.min() < 0:
            raise InvalidInstanceError(f"durations: {int(durations.min())}; expected time units >= 0")
        if machines.shape[1] > 1:
            self._validate_alternatives()
        if self.release.shape != (self.num_jobs,) or self.release.min() < 0:
            raise InvalidInstanceError(
                f"release: {self.release.tolist()[:12]}; expected {self.num_jobs} times >= 0"
            )
        longest = durations if durations.shape[1] == 1 else durations.max(axis=1)
        if int(longest.sum(dtype=np.int64)) + int(self.release.max()) >= 2**24:
            raise InvalidInstanceError(
                "durations: they add up to 2^24 or more time units; rules could not read them exactly"
            )

    def _validate_alternatives(self) -> None:
        machines, used = self.machines, self.machines >= 0
        if (used[:, 1:] & ~used[:, :-1]).any():
            raise InvalidInstanceError(
                "machines: -1 before an eligible machine; expected padding at the end of each row"
            )
        if self.durations[~used].any():
            raise InvalidInstanceError("durations: non-zero where machines is -1; expected 0")
        ordered = np.sort(machines, axis=1)
        twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
        if twice.any():
            row = int(np.flatnonzero(twice)[0])
            raise InvalidInstanceError(
                f"machines: operation {row} lists a machine twice: {machines[row].tolist()}"
            )

    @property
    def num_jobs(self) -> int:
        """Number of jobs."""
        return self.job_first.size - 1

    @property
    def num_operations(self) -> int:
        """Number of operations of all jobs."""
        return int(self.job_first[-1])

    @property
    def max_alternatives(self) -> int:
        """Largest number of eligible machines of an operation; 1 in a classic job shop."""
        return int(self.machines.shape[1])

    @property
    def is_flexible(self) -> bool:
        """Whether any operation has a choice of machines."""
        return self.max_alternatives > 1 and bool((self.machines[:, 1] >= 0).any())

    def __eq__(self, other: object) -> bool:
        """Equal shops, whatever their names."""
        if not isinstance(other, ShopInstance):
            return NotImplemented
        return self.num_machines == other.num_machines and all(
            np.array_equal(getattr(self, key), getattr(other, key))
            for key in ("job_first", "machines", "durations", "release")
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_jobs(
        cls,
        jobs: Sequence[Sequence[tuple[int, int]]],
        *,
        num_machines: int | None = None,
        release: Sequence[int] = (),
        name: str = "",
    ) -> ShopInstance:
        """A classic job shop from each job's route of (machine, duration) pairs."""
        return cls.from_alternatives(
            [[[pair] for pair in job] for job in jobs], num_machines=num_machines, release=release, name=name
        )

    @classmethod
    def from_alternatives(
        cls,
        jobs: Sequence[Sequence[Sequence[tuple[int, int]]]],
        *,
        num_machines: int | None = None,
        release: Sequence[int] = (),
        name: str = "",
    ) -> ShopInstance:
        """A flexible job shop: for each job and operation, its eligible (machine, duration) pairs."""
        operations = [alternatives for job in jobs for alternatives in job]
        width = max((len(a) for a in operations), default=1)
        machines = np.full((len(operations), max(width, 1)), -1, np.int32)
        durations = np.zeros_like(machines)
        for row, alternatives in enumerate(operations):
            for column, (machine, duration) in enumerate(alternatives):
                machines[row, column] = machine
                durations[row, column] = duration
        job_first = np.concatenate([[0], np.cumsum([len(job) for job in jobs])]).astype(np.int32)
        count = int(machines.max(initial=-1)) + 1 if num_machines is None else num_machines
        return cls(job_first, machines, durations, count, np.array(release, np.int32), name)

    @classmethod
    def load(cls, path: str | Path, format: str | None = None) -> ShopInstance:  # noqa: A002
        """Read a shop from a file in any format of `makespan.envs.jobshop.formats`, recognised unless named.

        Raises:
            InstanceFormatError: The file is malformed; the message names file and line.
        """
        from makespan.envs.jobshop import formats  # it builds instances itself

        return formats.load(path, format)

    def save(self, path: str | Path, format: str | None = None) -> None:  # noqa: A002
        """Write the shop to a file, in the named format or the one that the suffix suggests.

        Raises:
            InstanceFormatError: The format cannot express this shop.
        """
        from makespan.envs.jobshop import formats

        formats.save(self, path, format)

    def reversed(self) -> ShopInstance:
        """The time-reversed shop: every job runs backwards. Its optimal makespan is the same.

        Raises:
            InvalidInstanceError: Jobs have release dates, which would become deadlines.
        """
        if self.release.any():
            raise InvalidInstanceError("release: not all zero; a shop with release dates has no mirror image")
        ends = self.job_first[1:]
        length = np.diff(self.job_first)
        position = np.arange(self.num_operations) - np.repeat(self.job_first[:-1], length)
        rows = np.repeat(ends, length) - 1 - position
        return ShopInstance(
            self.job_first, self.machines[rows], self.durations[rows], self.num_machines, name=self.name
        )
