"""MiniMalloc's CSV format for static allocation problems and their solutions.

A header row names the columns, in any order: `id`, `lower`, `upper`, `size`, and optionally `alignment`, `hint`, `gaps`,
`offset`. `buffer` and `buffer_id` stand for `id`, `begin` and `start` for `lower`. `end` stands for `upper` but is
*inclusive*, and so are then the ends of gaps; `upper` is exclusive. Gaps are separated by spaces, each `lo-hi` (nothing is
held) or `lo-hi@winlo:winhi` (only that window is). The first empty line ends the file. A hint or offset of -1, or an
empty field, means that there is none. The capacity is not in the file but in its name: `A.1048576.csv`.

Source: google/minimalloc (Apache-2.0), README and converter.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError
from makespan.envs.core.files import write_atomically
from makespan.envs.memory.allocation_instance import AllocationProblem

REQUIRED: Final = ("id", "lower", "upper", "size")
OPTIONAL: Final = ("alignment", "hint", "gaps", "offset")
_ALIASES: Final = {"buffer": "id", "buffer_id": "id", "begin": "lower", "start": "lower", "end": "upper"}
_GAP: Final = re.compile(r"(\d+)-(\d+)(?:@(\d+):(\d+))?")


def load(path: str | os.PathLike[str], capacity: int | None = None) -> AllocationProblem:
    """Read a problem.

    Args:
        path: A CSV file; `NAME.CAPACITY.csv` gives the capacity.
        capacity: Bytes; None takes the file name's, or no limit if it has none.

    Raises:
        InstanceFormatError: The file is malformed; the message names file and line.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InstanceFormatError(
            f"{path}: {error.reason} at byte {error.start}; expected UTF-8 text"
        ) from error
    if capacity is None:
        capacity = capacity_in_name(path.name)
    return parse(text, str(path), capacity=capacity, name=path.stem)


def capacity_in_name(name: str) -> int:
    """The capacity that a file name such as `A.1048576.csv` carries, 0 if it has none."""
    match = re.fullmatch(r".*\.(\d+)\.[^.]+", name)
    return int(match[1]) if match else 0


def parse(text: str, where: str = "text", *, capacity: int = 0, name: str = "") -> AllocationProblem:
    """The problem that a text in the format describes; `where` is what errors call it."""
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        raise InstanceFormatError(f"{where}, line 1: empty; expected a header with {', '.join(REQUIRED)}")
    columns, inclusive = _header(f"{where}, line 1", lines[0])
    ids: list[str] = []
    numbers: list[list[int]] = []
    gaps: list[list[int]] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            break
        place = f"{where}, line {number}"
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != len(columns):
            raise InstanceFormatError(
                f"{place}: {len(fields)} values; expected {len(columns)}, as in the header"
            )
        row = dict(zip(columns, fields, strict=True))
        if row["id"] in ids:
            raise InstanceFormatError(f"{place}, id: {row['id']!r} stands there twice")
        for gap in row.get("gaps", "").split():
            gaps.append([len(ids), *_gap(f"{place}, gaps", gap, inclusive)])
        ids.append(row["id"])
        numbers.append(_numbers(place, row, inclusive))
        _check_row(place, numbers[-1])
    if not ids:
        raise InstanceFormatError(f"{where}, line 2: no buffers; expected one a line")
    lower, upper, size, alignment, hint, fixed = np.array(numbers, np.int64).T
    try:
        return AllocationProblem(
            lower, upper, size, alignment, fixed, hint, np.array(gaps, np.int64), capacity, tuple(ids), name
        )
    except InvalidInstanceError as error:
        raise InstanceFormatError(f"{where}: {error}") from error


def _header(where: str, line: str) -> tuple[list[str], bool]:
    """The columns under the names we use, and whether ends are inclusive."""
    found = [field.strip() for field in line.split(",")]
    columns = [_ALIASES.get(field, field) for field in found]
    for field, column in zip(found, columns, strict=True):
        if column not in REQUIRED + OPTIONAL:
            known = [*REQUIRED, *OPTIONAL, *_ALIASES]
            near = difflib.get_close_matches(column, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
            raise InstanceFormatError(f"{where}: unknown column {field!r}{hint}")
        if columns.count(column) > 1:
            both = [one for one, other in zip(found, columns, strict=True) if other == column]
            raise InstanceFormatError(f"{where}: column {column!r} stands there twice, as {', '.join(both)}")
    for column in REQUIRED:
        if column not in columns:
            raise InstanceFormatError(f"{where}: column {column!r} is missing; found {', '.join(found)}")
    return columns, "end" in found


def _numbers(where: str, row: dict[str, str], inclusive: bool) -> list[int]:
    """Lower, upper, size, alignment, hint, offset."""
    return [
        _integer(f"{where}, lower", row["lower"]),
        _integer(f"{where}, upper", row["upper"]) + int(inclusive),
        _integer(f"{where}, size", row["size"]),
        _integer(f"{where}, alignment", row.get("alignment") or "1"),
        _integer(f"{where}, hint", row.get("hint") or "-1"),
        _integer(f"{where}, offset", row.get("offset") or "-1"),
    ]


def _check_row(where: str, row: list[int]) -> None:
    """The commonest mistakes, named by line; the instance itself checks the rest."""
    lower, upper, size, alignment, _, _ = row
    if lower < 0 or upper <= lower:
        raise InstanceFormatError(f"{where}: lifetime [{lower}, {upper}); expected 0 <= lower < upper")
    if size < 1:
        raise InstanceFormatError(f"{where}, size: {size}; expected at least 1")
    if alignment < 1:
        raise InstanceFormatError(f"{where}, alignment: {alignment}; expected at least 1")


def _integer(where: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise InstanceFormatError(f"{where}: {value!r}; expected an integer") from None
    if not -(2**62) <= number < 2**62:
        raise InstanceFormatError(f"{where}: {value}; expected an integer of 62 bits")
    return number


def _gap(where: str, text: str, inclusive: bool) -> list[int]:
    """Lower, upper, window low and high of `lo-hi` or `lo-hi@winlo:winhi`."""
    match = _GAP.fullmatch(text)
    if match is None:
        raise InstanceFormatError(f"{where}: {text!r}; expected lo-hi or lo-hi@winlo:winhi")
    lower, upper, low, high = (_integer(where, number or "0") for number in match.groups())
    return [lower, upper + int(inclusive), low, high]


def to_text(problem: AllocationProblem, offsets: ArrayLike | None = None) -> str:
    """The problem in MiniMalloc's format, with exclusive ends; optional columns only where they say something.

    Args:
        problem: What to write.
        offsets: (num_buffers,) of a solution, for the `offset` column; None writes prescribed offsets, if there are any.
    """
    given: NDArray[np.int64] = problem.fixed if offsets is None else np.asarray(offsets, np.int64)
    columns: dict[str, list[str]] = {
        "id": list(problem.ids),
        "lower": list(map(str, problem.lower)),
        "upper": list(map(str, problem.upper)),
        "size": list(map(str, problem.size)),
    }
    if (problem.alignment != 1).any():
        columns["alignment"] = list(map(str, problem.alignment))
    if (problem.hint >= 0).any():
        columns["hint"] = list(map(str, problem.hint))
    if len(problem.gaps):
        columns["gaps"] = _gap_column(problem)
    if (given >= 0).any():
        columns["offset"] = list(map(str, given))
    rows = [",".join(columns), *map(",".join, zip(*columns.values(), strict=True))]
    return "\n".join(rows) + "\n"


def _gap_column(problem: AllocationProblem) -> list[str]:
    texts: list[list[str]] = [[] for _ in range(problem.num_buffers)]
    for buffer, lower, upper, low, high in problem.gaps.tolist():
        texts[buffer].append(f"{lower}-{upper}" + (f"@{low}:{high}" if high > low else ""))
    return [" ".join(gaps) for gaps in texts]


def save(problem: AllocationProblem, path: str | os.PathLike[str], offsets: ArrayLike | None = None) -> None:
    """Write a problem, with a solution's offsets if given; see `to_text`.

    Raises:
        InstanceFormatError: An identifier that the format cannot hold.
    """
    for identifier in problem.ids:
        if re.search(r"[,\r\n]", identifier) or identifier != identifier.strip():
            raise InstanceFormatError(
                f"id {identifier!r}: the format has no place for commas, ends of lines, margins"
            )
    write_atomically(path, to_text(problem, offsets))
