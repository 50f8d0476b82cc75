"""Instances of static memory allocation: buffers with known lifetimes, sizes and constraints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from makespan.envs.core.errors import InvalidInstanceError

I64 = NDArray[np.int64]

LIMIT: Final = 2**40
"""Times, sizes and offsets stay below this, so that sums of a few hundred thousand of them fit 64 bits."""

_COLUMNS: Final = ("lower", "upper", "size", "alignment", "fixed", "hint")


class Pieces:
    """Columns of `AllocationProblem.pieces`."""

    BUFFER: Final = 0
    START: Final = 1
    END: Final = 2
    LOW: Final = 3  # of the held window, relative to the buffer's offset
    HIGH: Final = 4
    FIRST: Final = 5  # first section
    LAST: Final = 6  # section after the last


@dataclass(frozen=True, slots=True, eq=False)
class AllocationProblem:
    """Buffers to be laid out in one memory: find an offset for each so that no two meet in time and space.

    Buffer i lives throughout the half-open interval [lower, upper) and holds [offset, offset + size) there. In a *gap* it
    holds nothing, or only a window [offset + window_low, offset + window_high).

    Attributes:
        lower: (num_buffers,) int64, first time step of the lifetime.
        upper: (num_buffers,) int64, exclusive end of the lifetime.
        size: (num_buffers,) int64, bytes (or any unit: offsets come in the same).
        alignment: (num_buffers,) int64, offsets are multiples of it; 1 if not given.
        fixed: (num_buffers,) int64, prescribed offset, -1 where free.
        hint: (num_buffers,) int64, offset that somebody suggests, -1 where there is none; no constraint.
        gaps: (num_gaps, 5) int64 rows buffer, lower, upper, window_low, window_high; empty windows are 0, 0.
        capacity: Bytes of the memory; 0 where the peak is to be minimised without a limit.
        ids: Identifiers of the buffers; their numbers if not given.
        name: Name of the instance.
        pieces: (num_pieces, 7) int64, derived: each buffer's lifetime cut at its gaps, as `Pieces` names the columns.
        sections: (num_sections, 2) int64, derived: the maximal intervals [begin, end) with a constant, non-empty set
            of held windows.
        load: (num_sections,) int64, derived: bytes held in each section.
        piece_first: (num_buffers + 1,) int64, derived: offsets of the buffers' pieces.
    """

    lower: I64
    upper: I64
    size: I64
    alignment: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    fixed: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    hint: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    gaps: I64 = field(default_factory=lambda: np.zeros((0, 5), np.int64))
    capacity: int = 0
    ids: tuple[str, ...] = ()
    name: str = ""
    pieces: I64 = field(init=False, repr=False)
    sections: I64 = field(init=False, repr=False)
    load: I64 = field(init=False, repr=False)
    piece_first: I64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        count = np.asarray(self.lower).size
        for key, default in zip(_COLUMNS, (None, None, None, 1, -1, -1), strict=True):
            values = _whole(key, getattr(self, key))
            if values.size == 0 and default is not None:
                values = np.full(count, default, np.int64)
            self._keep(key, values)
        gaps = _whole("gaps", self.gaps)
        self._keep("gaps", gaps.reshape(0, 5) if gaps.size == 0 else gaps)
        object.__setattr__(self, "capacity", int(self.capacity))
        object.__setattr__(self, "ids", tuple(self.ids) or tuple(map(str, range(count))))
        self._validate()
        if len(self.gaps):
            gaps = self.gaps[np.lexsort((self.gaps[:, 1], self.gaps[:, 0]))]
            self._keep("gaps", gaps)
            self._validate_gaps()
            self._keep("gaps", np.where((np.arange(5) < 3) | (gaps[:, 4:] > gaps[:, 3:4]), gaps, 0))
        self._cut()
        self._validate_fixed()

    def _keep(self, key: str, values: I64) -> None:
        values.setflags(write=False)
        object.__setattr__(self, key, values)

    def _validate(self) -> None:
        count = self.lower.size
        if count == 0:
            raise InvalidInstanceError("lower: no buffers; expected at least one")
        for key in _COLUMNS:
            shape = getattr(self, key).shape
            if shape != (count,):
                raise InvalidInstanceError(f"{key}: shape {shape}; expected ({count},), as lower")
        ranges = (
            ("lower", self.lower < 0, "a time step >= 0"),
            ("upper", self.upper <= self.lower, "a time step after lower"),
            ("size", self.size < 1, "at least 1"),
            ("alignment", self.alignment < 1, "at least 1"),
            ("fixed", self.fixed < -1, "an offset >= 0, or -1 where free"),
            ("hint", self.hint < -1, "an offset >= 0, or -1 where there is none"),
            (
                "fixed",
                (self.fixed >= 0) & (self.fixed % np.maximum(self.alignment, 1) != 0),
                "a multiple of the alignment",
            ),
        )
        for key, bad, expected in ranges:
            self._refuse(key, bad, expected)
        for key in _COLUMNS:
            self._refuse(key, getattr(self, key) >= LIMIT, f"below 2^{LIMIT.bit_length() - 1}")
        if self.capacity < 0:
            raise InvalidInstanceError(f"capacity: {self.capacity}; expected bytes >= 0 (0: no limit)")
        if len(self.ids) != count or len(set(self.ids)) != count:
            raise InvalidInstanceError(
                f"ids: {len(self.ids)}, {len(set(self.ids))} of them distinct; expected {count} distinct ones"
            )

    def _refuse(self, key: str, bad: NDArray[np.bool_], expected: str) -> None:
        if bad.any():
            buffer = int(np.flatnonzero(bad)[0])
            value = int(getattr(self, key)[buffer])
            raise InvalidInstanceError(f"{key}: {value} of buffer {self.ids[buffer]}; expected {expected}")

    def _validate_gaps(self) -> None:
        gaps = self.gaps
        if gaps.shape[1:] != (5,):
            raise InvalidInstanceError(f"gaps: shape {gaps.shape}; expected (num_gaps, 5)")
        if gaps[:, 0].min() < 0 or gaps[:, 0].max() >= self.num_buffers:
            raise InvalidInstanceError(f"gaps: a buffer outside 0..{self.num_buffers - 1}")
        owner = gaps[:, 0]
        begin, end, low, high = gaps[:, 1:].T
        previous = np.where(owner[1:] == owner[:-1], end[:-1], 0)
        checks = (
            (begin >= end, "a gap that ends after it begins"),
            ((begin < self.lower[owner]) | (end > self.upper[owner]), "a gap within the lifetime"),
            (np.concatenate([[False], begin[1:] < previous]), "gaps that do not overlap"),
            ((low < 0) | (high < low) | (high > self.size[owner]), "a window within the buffer's size"),
        )
        for bad, expected in checks:
            if bad.any():
                row = int(np.flatnonzero(bad)[0])
                raise InvalidInstanceError(
                    f"gaps: {gaps[row, 1:].tolist()} of buffer {self.ids[owner[row]]}; expected {expected}"
                )

    def _validate_fixed(self) -> None:
        """Prescribed offsets must not collide among themselves."""
        given = self.pieces[self.fixed[self.pieces[:, Pieces.BUFFER]] >= 0]
        owner = given[:, Pieces.BUFFER]
        low, high = (self.fixed[owner] + given[:, column] for column in (Pieces.LOW, Pieces.HIGH))
        begin, end = given[:, Pieces.START], given[:, Pieces.END]
        meet = (begin[:, None] < end) & (begin < end[:, None]) & (low[:, None] < high) & (low < high[:, None])
        meet &= owner[:, None] < owner
        if meet.any():
            one, other = (self.ids[owner[index]] for index in np.argwhere(meet)[0])
            raise InvalidInstanceError(f"fixed: buffers {one} and {other} collide; expected disjoint ones")

    def _cut(self) -> None:
        """Derive pieces, sections and their load."""
        pieces = np.zeros((self.num_buffers, 7), np.int64)
        pieces[:, 0], pieces[:, 1], pieces[:, 2] = np.arange(self.num_buffers), self.lower, self.upper
        pieces[:, 4] = self.size
        if len(self.gaps):
            pieces = _cut_at_gaps(pieces, self.gaps)
        times = np.unique(pieces[:, 1:3])
        first, last = np.searchsorted(times, pieces[:, 1]), np.searchsorted(times, pieces[:, 2])
        height = pieces[:, 4] - pieces[:, 3]
        change = np.zeros(times.size, np.int64)
        np.add.at(change, first, height)
        np.subtract.at(change, last, height)
        load = np.cumsum(change)[:-1]
        number = np.concatenate([[0], np.cumsum(load > 0)])  # sections in which nothing lives do not count
        pieces[:, 5], pieces[:, 6] = number[first], number[last]
        self._keep("pieces", pieces)
        self._keep("sections", np.stack((times[:-1], times[1:]), axis=1)[load > 0])
        self._keep("load", load[load > 0])
        owned = np.bincount(pieces[:, 0], minlength=self.num_buffers)
        if not owned.all():
            buffer = self.ids[int(owned.argmin())]
            raise InvalidInstanceError(f"gaps: buffer {buffer} holds nothing at any time; expected a window")
        self._keep("piece_first", np.concatenate([[0], np.cumsum(owned)]).astype(np.int64))

    @property
    def num_buffers(self) -> int:
        """Number of buffers."""
        return self.lower.size

    @property
    def num_pieces(self) -> int:
        """Number of pieces; more than buffers only where there are gaps."""
        return len(self.pieces)

    @property
    def num_sections(self) -> int:
        """Number of sections."""
        return len(self.sections)

    @property
    def num_incidences(self) -> int:
        """Number of (piece, section) pairs: how many sections each piece spans, summed."""
        return int((self.pieces[:, 6] - self.pieces[:, 5]).sum())

    @property
    def load_bound(self) -> int:
        """No allocation has a lower peak, bytes: the largest load of a section (or buffer, or fixed end)."""
        return int(
            max(self.load.max(), self.size.max(), (self.fixed + self.size)[self.fixed >= 0].max(initial=0))
        )

    @property
    def unit(self) -> int:
        """The greatest common divisor of sizes, windows, alignments above 1 and fixed offsets.

        Offsets may be restricted to its multiples without loss: the lowest feasible ones are.
        """
        aligned = self.alignment[self.alignment > 1]
        given = self.fixed[self.fixed >= 0]
        return int(np.gcd.reduce(np.concatenate((self.size, self.gaps[:, 3:].ravel(), aligned, given))))

    def __eq__(self, other: object) -> bool:
        """Equal problems, whatever their names and identifiers."""
        if not isinstance(other, AllocationProblem):
            return NotImplemented
        return self.capacity == other.capacity and all(
            np.array_equal(getattr(self, key), getattr(other, key)) for key in (*_COLUMNS, "gaps")
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_buffers(
        cls, buffers: Sequence[tuple[int, int, int]], *, capacity: int = 0, name: str = ""
    ) -> AllocationProblem:
        """A problem without further constraints from (lower, upper, size) triples."""
        columns = np.array(buffers, np.int64).reshape(-1, 3).T
        return cls(columns[0], columns[1], columns[2], capacity=capacity, name=name)

    @classmethod
    def load_csv(cls, path: str | Path, capacity: int | None = None) -> AllocationProblem:
        """Read a file in MiniMalloc's format; see `makespan.envs.memory.allocation_formats`."""
        from makespan.envs.memory import allocation_formats  # it builds instances itself

        return allocation_formats.load(path, capacity)

    def save_csv(self, path: str | Path) -> None:
        """Write a file in MiniMalloc's format."""
        from makespan.envs.memory import allocation_formats

        allocation_formats.save(self, path)


def _whole(key: str, values: ArrayLike) -> I64:
    """An int64 copy, refusing what is no whole number."""
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        with np.errstate(invalid="ignore"):
            if array.dtype.kind != "f" or (array.astype(np.int64) != array).any():
                raise InvalidInstanceError(f"{key}: {array.dtype} values; expected whole numbers")
    return np.array(array, np.int64)


def _cut_at_gaps(pieces: I64, gaps: I64) -> I64:
    """Replace the lifetimes of buffers with gaps by what is left of them, and by the windows of their gaps."""
    rows = []
    for piece in pieces:
        begin = piece[1]
        for _, gap_begin, gap_end, low, high in gaps[gaps[:, 0] == piece[0]].tolist():
            rows.append([piece[0], begin, gap_begin, 0, piece[4], 0, 0])
            rows.append([piece[0], gap_begin, gap_end, low, high, 0, 0])
            begin = gap_end
        rows.append([piece[0], begin, piece[2], 0, piece[4], 0, 0])
    cut = np.array(rows, np.int64)
    return cut[(cut[:, 1] < cut[:, 2]) & (cut[:, 3] < cut[:, 4])]
