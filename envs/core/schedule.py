"""Schedule: who ran where, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happened, as a table with one row per occupation of a resource.

    Attributes:
        job: (n,) int64.
        task: (n,) int64, position of the task within its job.
        resource: (n,) int64, machine, processing element, ...
        start: (n,) int64, in the family's time unit.
        end: (n,) int64, exclusive.
        kind: What the row is, one for all rows or one each ("process", "transfer", ...).
        name: Name of the instance.
    """

    job: NDArray[np.int64]
    task: NDArray[np.int64]
    resource: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    kind: tuple[str, ...] = ("process",)
    name: str = ""
