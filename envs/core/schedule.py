"""Schedule: who ran where, and when."""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from makespan.envs.core.errors import InstanceFormatError, InvalidScheduleError
from makespan.envs.core.files import write_atomically

COLUMNS: Final = ("job", "task", "resource", "start", "end")
FORMAT: Final = "makespan-schedule"
VERSION: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """What happened, as a table with one row per occupation of a resource.

    The constructor checks the form only (shapes, whole numbers); whether a schedule is feasible is for the
    family's validator to say, which must be able to look at an infeasible one. Columns are copied, read-only.
    Two schedules are equal when name and rows are, in the same order; see `sorted`.

    Attributes:
        job: (n,) int64; negative where the row belongs to no job (a breakdown, a setup ...).
        task: (n,) int64, position of the task within its job.
        resource: (n,) int64, machine, processing element, ...
        start: (n,) int64, in the family's time unit.
        end: (n,) int64, exclusive.
        kind: What the row is, one for all rows or one each ("process", "transfer", ...).
        name: Name of the instance.

    Raises:
        InvalidScheduleError: A column is no list of whole numbers that fit 64 bits, or the lengths differ.
    """

    job: NDArray[np.int64]
    task: NDArray[np.int64]
    resource: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    kind: tuple[str, ...] = ("process",)
    name: str = ""

    def __post_init__(self) -> None:
        for key in COLUMNS:
            object.__setattr__(self, key, _whole_numbers(key, getattr(self, key)))
        lengths = {key: len(getattr(self, key)) for key in COLUMNS}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{key} {length}" for key, length in lengths.items())
            raise InvalidScheduleError(
                [f"columns of unlike length: {told}; expected one entry a row in each"]
            )
        kind = (self.kind,) if isinstance(self.kind, str) else tuple(self.kind)
        if len(kind) not in (1, self.num_rows) or not all(isinstance(entry, str) for entry in kind):
            raise InvalidScheduleError([f"kind: {len(kind)} entries; expected 1 or {self.num_rows} strings"])
        object.__setattr__(self, "kind", kind)

    @classmethod
    def empty(cls, name: str = "") -> Schedule:
        """A schedule without rows: nothing has been scheduled yet."""
        none = np.zeros(0, np.int64)
        return cls(none, none, none, none, none, name=name)

    def __len__(self) -> int:
        return self.num_rows

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        same = all(np.array_equal(getattr(self, key), getattr(other, key)) for key in COLUMNS)
        return same and self.name == other.name and self.kinds == other.kinds

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.job)

    @property
    def makespan(self) -> int:
        """Latest end, counted from time 0; 0 without rows."""
        return int(self.end.max(initial=0))

    @property
    def durations(self) -> NDArray[np.int64]:
        """(n,) int64, end - start."""
        return self.end - self.start

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each row, n strings."""
        return self.kind if len(self.kind) == self.num_rows else self.kind * self.num_rows

    def select(self, rows: ArrayLike) -> Schedule:
        """The rows that a boolean mask or an array of row numbers picks, in that order."""
        chosen = np.asarray(rows)
        index = np.arange(self.num_rows)[chosen if chosen.size else chosen.astype(np.int64)]
        columns = {key: getattr(self, key)[index] for key in COLUMNS}
        kinds = self.kinds
        kind = self.kind if len(self.kind) == 1 else tuple(kinds[row] for row in index)
        return Schedule(**columns, kind=kind or ("process",), name=self.name)

    def sorted(self) -> Schedule:
        """The same rows in time order: by start, then end, resource, job, task and kind."""
        kinds = np.unique(np.array(self.kinds, dtype=str), return_inverse=True)[1]
        return self.select(np.lexsort((kinds, self.task, self.job, self.resource, self.end, self.start)))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write job, task, resource, start, end and kind, a row a line; the name is not kept."""
        text = io.StringIO()
        # before Python 3.13 a carriage return alone is not quoted, and would end the line when read
        if any("\r" in kind for kind in self.kind):
            writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        else:
            writer = csv.writer(text, lineterminator="\n")
        writer.writerow((*COLUMNS, "kind"))
        writer.writerows(zip(*(getattr(self, key).tolist() for key in COLUMNS), self.kinds, strict=True))
        write_atomically(path, text.getvalue())

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str], *, name: str = "") -> Schedule:
        """Read what `to_csv` wrote, or any table with these columns in any order (`kind` may be missing).

        Args:
            path: A CSV file in UTF-8.
            name: Name of the instance, which the table does not hold.

        Raises:
            InstanceFormatError: Names the file, the line and the column.
        """
        reader = csv.reader(io.StringIO(_read(path), newline=""))
        header = next(reader, [])
        _check_keys(f"{path}, line 1", header, required=COLUMNS, optional=("kind",), what="column")
        columns: dict[str, list[int]] = {key: [] for key in COLUMNS}
        kinds: list[str] = []
        try:
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if not row:
                    continue
                if len(row) != len(header):
                    raise InstanceFormatError(
                        f"{where}: {len(row)} values; expected {len(header)}, as in the header"
                    )
                for key, value in zip(header, row, strict=True):
                    if key == "kind":
                        kinds.append(value)
                    else:
                        columns[key].append(_integer(f"{where}, {key}", value))
        except csv.Error as error:
            raise InstanceFormatError(f"{path}, line {reader.line_num}: {error}") from error
        arrays = {key: np.array(values, np.int64) for key, values in columns.items()}
        return cls(**arrays, kind=_shortest(kinds) if "kind" in header else ("process",), name=name)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything, name included, as versioned JSON with one line a column."""
        fields: dict[str, object] = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "kind": list(self.kind),
        }
        fields |= {key: getattr(self, key).tolist() for key in COLUMNS}
        lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items())
        write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Schedule:
        """Read what `to_json` wrote.

        Raises:
            InstanceFormatError: Names the file and the line or the key.
        """
        text = _read(path)
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise InstanceFormatError(f"{path}, line {error.lineno}: {error.msg}; expected JSON") from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
            raise InstanceFormatError(f"{path}: {error}; expected JSON") from error
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise InstanceFormatError(f'{path}: expected an object with "format": "{FORMAT}"')
        if fields.get("version") != VERSION:
            raise InstanceFormatError(
                f'{path}, "version": {fields.get("version")!r}; this release reads {VERSION}'
            )
        _check_keys(str(path), list(fields), ("format", "version", "name", "kind", *COLUMNS), (), what="key")
        for key in COLUMNS:
            values = fields[key]
            if not isinstance(values, list) or not all(
                type(value) is int and -(2**63) <= value < 2**63 for value in values
            ):
                raise InstanceFormatError(f'{path}, "{key}": expected a list of 64-bit integers')
        if not isinstance(fields["name"], str):
            raise InstanceFormatError(f'{path}, "name": {fields["name"]!r}; expected a string')
        if not isinstance(fields["kind"], list):
            raise InstanceFormatError(f'{path}, "kind": {fields["kind"]!r}; expected a list of strings')
        try:
            arrays = {key: np.array(fields[key], np.int64) for key in COLUMNS}
            return cls(**arrays, kind=tuple(fields["kind"]), name=fields["name"])
        except InvalidScheduleError as error:
            raise InstanceFormatError(f"{path}: {error.violations[0]}") from error


def _whole_numbers(key: str, values: object) -> NDArray[np.int64]:
    """A read-only int64 copy, refusing what would be rounded or cut."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise InvalidScheduleError([f"{key}: shape {array.shape}; expected one dimension, (num_rows,)"])
    column = np.zeros(array.shape, np.int64)
    if array.size:
        if array.dtype.kind not in "iuf":
            raise InvalidScheduleError([f"{key}: dtype {array.dtype}; expected whole numbers"])
        with np.errstate(invalid="ignore"):
            column = array.astype(np.int64)  # always a copy
        changed = np.flatnonzero((column != array) | ((column < 0) != (array < 0)))
        if changed.size:
            row = int(changed[0])
            raise InvalidScheduleError(
                [f"{key}: {array[row]!s} in row {row}; expected a whole number of 64 bits"]
            )
    column.setflags(write=False)
    return column


def _read(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError as error:
        raise InstanceFormatError(
            f"{path}: {error.reason} at byte {error.start}; expected UTF-8 text"
        ) from error


def _integer(where: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise InstanceFormatError(f"{where}: {value!r}; expected an integer") from None
    if not -(2**63) <= number < 2**63:
        raise InstanceFormatError(f"{where}: {value}; expected an integer of 64 bits")
    return number


def _check_keys(
    where: str, found: list[str], required: tuple[str, ...], optional: tuple[str, ...], *, what: str
) -> None:
    for key in required:
        if key not in found:
            raise InstanceFormatError(
                f"{where}: {what} {key!r} is missing; found {', '.join(found) or 'none'}"
            )
    for key in found:
        if found.count(key) > 1:
            raise InstanceFormatError(f"{where}: {what} {key!r} stands there twice")
        if key not in required + optional:
            near = difflib.get_close_matches(key, required + optional, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InstanceFormatError(f"{where}: unknown {what} {key!r}{hint}")


def _shortest(kinds: list[str]) -> tuple[str, ...]:
    """One kind where all rows share it, as `Schedule.kind` allows."""
    return (kinds[0],) if kinds and len(set(kinds)) == 1 else tuple(kinds) or ("process",)
