"""Numbers of a shop's text file with the lines they stand on, so that every error can say where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from makespan.envs.core.errors import InstanceFormatError

Jobs = list[list[list[tuple[int, int]]]]
"""For each job and operation, its eligible (machine, duration) pairs, machines from 0."""

_LARGEST = 2**31 - 1
_BLOCK_WORDS = re.compile(r"\b(times?|machines?)\b", re.IGNORECASE)
_NUMBER_FIRST = re.compile(r"[-+]?[\d.]")


@dataclass(frozen=True, slots=True)
class Body:
    """A shop's text file after its header.

    Attributes:
        source: What error messages call the file.
        header: Whole numbers of the header; the first two are the numbers of jobs and machines.
        flexibility: Third number of a header of three, else None.
        header_line: Line of the header, from 1.
        lines: Line numbers of the lines with numbers after the header, from 1.
        numbers: The numbers on each of them.
        last_line: Last line of the file, from 1.
        has_block_words: Whether words such as "Times" or "Machines" divide the numbers.
    """

    source: str
    header: list[int]
    flexibility: float | None
    header_line: int
    lines: list[int]
    numbers: list[list[int]]
    last_line: int
    has_block_words: bool

    @property
    def num_jobs(self) -> int:
        """Number of jobs that the header announces."""
        return self.header[0]

    @property
    def num_machines(self) -> int:
        """Number of machines that the header announces."""
        return self.header[1]

    def error(self, line: int, format: str, found: str, expected: str) -> InstanceFormatError:  # noqa: A002
        """An error that names file, line and format."""
        return InstanceFormatError(
            f"{self.source}, line {line}: found {found}; expected {expected} ({format} format)"
        )

    def error_at_end(self, format: str, found: str, expected: str) -> InstanceFormatError:  # noqa: A002
        """An error about the end of the file."""
        return self.error(self.last_line, format, found, expected)

    def check_header(self, format: str, longest: int) -> None:  # noqa: A002
        """Refuse a header of more than `longest` numbers."""
        count = len(self.header) + (self.flexibility is not None)
        if count > longest:
            expected = "jobs and machines" + (", perhaps a flexibility figure" if longest == 3 else "")
            raise self.error(self.header_line, format, f"{count} numbers in the header", expected)

    def check_widths(self, format: str, rows: Iterable[int], width: int) -> None:  # noqa: A002
        """Refuse a line of numbers that is not `width` long."""
        for row in rows:
            if len(self.numbers[row]) != width:
                raise self.error(self.lines[row], format, f"{len(self.numbers[row])} numbers", f"{width}")

    def check_total(self, format: str, total: int) -> None:  # noqa: A002
        """Refuse another count of numbers after the header than `total`."""
        seen = 0
        for line, numbers in zip(self.lines, self.numbers, strict=True):
            seen += len(numbers)
            if seen > total:
                raise self.error(line, format, "too many numbers", f"{total} after the header")
        if seen < total:
            raise self.error_at_end(
                format, f"the end of the file after {seen} numbers", f"{total} after the header"
            )

    def cursor(self, format: str, row: int | None = None) -> Cursor:  # noqa: A002
        """A reader over all numbers after the header, or over those of one row."""
        rows = range(len(self.lines)) if row is None else (row,)
        return Cursor(self, format, [(n, self.lines[r]) for r in rows for n in self.numbers[r]])


class Cursor:
    """Takes numbers one after the other and checks what they stand for."""

    def __init__(self, body: Body, format: str, stream: list[tuple[int, int]]) -> None:  # noqa: A002
        self._body, self._format, self._stream, self._at = body, format, stream, 0

    def error(self, found: str, expected: str) -> InstanceFormatError:
        """An error at the number taken last."""
        line = self._stream[max(self._at - 1, 0)][1] if self._stream else self._body.last_line
        return self._body.error(line, self._format, found, expected)

    def _take(self, what: str) -> int:
        if self._at == len(self._stream):
            raise self.error("too few numbers", what)
        self._at += 1
        return self._stream[self._at - 1][0]

    def machine(self, base: int) -> int:
        """A machine number, counted from `base` in the file and from 0 here."""
        expected = f"a machine {base}..{base + self._body.num_machines - 1}"
        value = self._take(expected)
        if not base <= value < base + self._body.num_machines:
            raise self.error(f"{value}", expected)
        return value - base

    def duration(self) -> int:
        """A duration in time units."""
        expected = "a duration >= 0"
        value = self._take(expected)
        if not 0 <= value <= _LARGEST:
            raise self.error(f"{value}", expected)
        return value

    def pair(self, base: int) -> tuple[int, int]:
        """A machine and a duration."""
        return self.machine(base), self.duration()

    def alternatives(self, base: int) -> list[tuple[int, int]]:
        """How many machines are eligible, then each with its duration."""
        pairs: dict[int, int] = {}
        for _ in range(self.count("alternatives")):
            machine = self.machine(base)
            if machine in pairs:
                raise self.error(
                    f"machine {machine + base} a second time", "another machine for the operation"
                )
            pairs[machine] = self.duration()
        return list(pairs.items())

    def count(self, what: str) -> int:
        """How many `what` follow, at least one."""
        value = self._take(f"a number of {what}")
        if not 1 <= value <= _LARGEST:
            raise self.error(f"{value}", f"a number of {what} >= 1")
        return value

    def take_end(self) -> bool:
        """Take `-1 -1`, if it comes next."""
        if [value for value, _ in self._stream[self._at : self._at + 2]] != [-1, -1]:
            return False
        self._at += 2
        return True

    def expect_end(self) -> None:
        """Refuse numbers that are left over."""
        if self._at < len(self._stream):
            self._at += 1
            raise self.error("too many numbers", "the end")


def read_body(text: str, source: str) -> Body:
    """Split a text file into header and numbers.

    Raises:
        InstanceFormatError: No header, a word where a number belongs, or a fraction outside the header.
    """
    header: list[int] = []
    flexibility: float | None = None
    header_line, words = 0, False
    lines: list[int] = []
    numbers: list[list[int]] = []
    rows = text.splitlines()
    for line, row in enumerate(rows, start=1):
        tokens = row.split()
        if not tokens or row.lstrip()[0] in "#+":
            continue
        if not _NUMBER_FIRST.match(tokens[0]):
            if header and not _BLOCK_WORDS.search(row):
                raise InstanceFormatError(
                    f"{source}, line {line}: found {row.strip()[:40]!r}; expected numbers"
                )
            words = words or bool(header)
        elif not header:
            header, flexibility = _header(tokens, source, line)
            header_line = line
        else:
            lines.append(line)
            numbers.append([_whole(token, source, line) for token in tokens])
    if not header:
        found = "no numbers" if text.strip() else "an empty file"
        raise InstanceFormatError(
            f"{source}, line 1: found {found}; expected the numbers of jobs and machines"
        )
    return Body(source, header, flexibility, header_line, lines, numbers, max(len(rows), 1), words)


def _header(tokens: list[str], source: str, line: int) -> tuple[list[int], float | None]:
    flexibility = None
    if len(tokens) == 3:
        *tokens, figure = tokens
        try:
            flexibility = float(figure)
        except ValueError:
            raise InstanceFormatError(f"{source}, line {line}: found {figure!r}; expected a number") from None
    header = [_whole(token, source, line) for token in tokens]
    if len(header) < 2 or min(header[:2]) < 1:
        found = " ".join(tokens)
        raise InstanceFormatError(
            f"{source}, line {line}: found {found!r}; expected the numbers of jobs and machines, >= 1"
        )
    return header, flexibility


def _whole(token: str, source: str, line: int) -> int:
    try:
        return int(token)
    except ValueError:
        raise InstanceFormatError(
            f"{source}, line {line}: found {token!r}; expected a whole number"
        ) from None
