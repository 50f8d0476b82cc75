"""Single-machine instances: jobs with processing times and due dates."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError
from makespan.envs.core.files import write_atomically

_LIMIT: Final = 2**24  # rules read times as float32, exact up to here
_HEADER: Final = ["processing", "due"]


@dataclass(frozen=True, slots=True, eq=False)
class TardinessInstance:
    """Jobs for one machine, all there at time 0; job j completed at C_j has tardiness max(0, C_j - due_j).

    Attributes:
        processing: (num_jobs,) int32, time units, at least 1.
        due: (num_jobs,) int32, due dates in time units; they may be negative.
        name: Name in the literature, or of the generator's draw.
    """

    processing: NDArray[np.int32]
    due: NDArray[np.int32]
    name: str = ""

    def __post_init__(self) -> None:
        for key in ("processing", "due"):
            array = np.array(getattr(self, key), dtype=np.int32)
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        if self.processing.ndim != 1 or self.processing.size == 0:
            raise InvalidInstanceError(
                f"processing: shape {self.processing.shape}; expected (num_jobs,), at least one"
            )
        if self.due.shape != self.processing.shape:
            raise InvalidInstanceError(
                f"due: shape {self.due.shape}; expected {self.processing.shape}, as processing"
            )
        if self.processing.min() < 1:
            raise InvalidInstanceError(f"processing: {self.processing.min()}; expected time units >= 1")
        latest = int(self.processing.sum(dtype=np.int64))
        if max(latest, int(np.abs(self.due.astype(np.int64)).max())) >= _LIMIT // 2:
            raise InvalidInstanceError(
                "processing, due: 2^23 or more time units; rules could not read them exactly"
            )

    @property
    def num_jobs(self) -> int:
        """Number of jobs."""
        return self.processing.size

    def __eq__(self, other: object) -> bool:
        """Equal problems, whatever their names."""
        if not isinstance(other, TardinessInstance):
            return NotImplemented
        return np.array_equal(self.processing, other.processing) and np.array_equal(self.due, other.due)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def load(cls, path: str | Path) -> TardinessInstance:
        """Read a CSV file with the columns processing and due, a job a line; the name is the file's stem.

        Raises:
            InstanceFormatError: The file is malformed; the message names file and line.
        """
        path = Path(path)
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        header = next(reader, [])
        if header != _HEADER:
            raise InstanceFormatError(f"{path}, line 1: {','.join(header)!r}; expected {','.join(_HEADER)}")
        rows = []
        for row in reader:
            try:
                processing, due = (int(value) for value in row)
            except ValueError:
                raise InstanceFormatError(
                    f"{path}, line {reader.line_num}: {','.join(row)!r}; expected two whole numbers"
                ) from None
            rows.append((processing, due))
        try:
            table = np.array(rows, np.int32).reshape(-1, 2)
            return cls(table[:, 0], table[:, 1], path.stem)
        except (InvalidInstanceError, OverflowError) as error:
            raise InstanceFormatError(f"{path}: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the CSV file that `load` reads."""
        rows = zip(self.processing.tolist(), self.due.tolist(), strict=True)
        write_atomically(path, "\n".join([",".join(_HEADER), *(f"{p},{d}" for p, d in rows), ""]))
