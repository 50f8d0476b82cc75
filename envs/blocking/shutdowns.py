"""How machines shut down: laws from which the downtime of an instance is drawn, before anybody decides anything.

Every machine has a stream of its own, and failures and repairs take their uniform numbers from it in a fixed order, so
that a machine's n-th failure and repair use the same numbers whatever the probability is.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InstanceFormatError

FAR: Final = 2**30  # later than everything

Int32Array = NDArray[np.int32]
Float64Array = NDArray[np.float64]

SHUTDOWNS: Final = ("none", "per_step", "per_op", "exponential", "trace")
"""`none`; `per_step`: an up machine fails with a probability each time unit; `per_op`: an operation is hit with a probability;
`exponential`: exponential times between failures and to repair; `trace`: windows read from a file."""

REPAIRS: Final = ("uniform", "geometric")
"""Laws of the time to repair under `per_step` and `per_op`."""


def draw_windows(
    streams: list[np.random.Generator], horizon: int, mean_up: float, up_law: str, repairs: RepairLaw
) -> Int32Array:
    """Windows (n, 3) of machine, start, end, that begin before `horizon`.

    Args:
        streams: One generator a machine.
        horizon: Time units; nothing fails later.
        mean_up: Mean time from a repair to the next failure, time units; at least 1.
        up_law: "geometric" or "exponential"; both in whole time units, at least one.
        repairs: Law of the time to repair.
    """
    rows = []
    for machine, stream in enumerate(streams):
        start, end = _machine_windows(stream, horizon, mean_up, up_law, repairs)
        rows.append(np.stack([np.full(start.size, machine), start, end], axis=1))
    return np.concatenate(rows).astype(np.int32)


def _machine_windows(
    stream: np.random.Generator, horizon: int, mean_up: float, up_law: str, repairs: RepairLaw
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    starts: list[NDArray[np.int64]] = []
    ends: list[NDArray[np.int64]] = []
    clock = 0
    while clock < horizon:
        uniform = stream.random((2, 32))  # blocks of fixed size keep the numbers of the n-th failure fixed
        up = (
            geometric(uniform[0], 1.0 / mean_up)
            if up_law == "geometric"
            else exponential(uniform[0], mean_up)
        )
        down = repairs.draw(uniform[1])
        start = clock + np.cumsum(up) + np.cumsum(down) - down
        starts.append(start)
        ends.append(start + down)
        clock = int(start[-1] + down[-1])
    start, end = np.concatenate(starts), np.concatenate(ends)
    return start[start < horizon], end[start < horizon]


def geometric(uniform: Float64Array, probability: float) -> NDArray[np.int64]:
    """Number of trials up to the first success, from uniform numbers in [0, 1)."""
    if probability >= 1.0:
        return np.ones(uniform.shape, np.int64)
    trials = np.ceil(np.log1p(-uniform) / np.log1p(-probability))
    return np.clip(trials, 1, 2**23).astype(np.int64)


def exponential(uniform: Float64Array, mean: float) -> NDArray[np.int64]:
    """Exponential times of that mean from uniform numbers in [0, 1), rounded up to whole time units."""
    return np.clip(np.ceil(-mean * np.log1p(-uniform)), 1, 2**23).astype(np.int64)


class RepairLaw:
    """Times to repair from uniform numbers: "uniform" on `low..high`, else "geometric" or "exponential" of a mean."""

    def __init__(self, law: str, low: int, high: int, mean: float) -> None:
        self.law, self.low, self.high = law, low, high
        self.mean = (low + high) / 2 if law == "uniform" else mean

    def draw(self, uniform: Float64Array) -> NDArray[np.int64]:
        """One time for each number."""
        if self.law == "uniform":
            return self.low + (uniform * (self.high - self.low + 1)).astype(np.int64)
        if self.law == "geometric":
            return geometric(uniform, 1.0 / self.mean)
        return exponential(uniform, self.mean)


def draw_stops(
    stream: np.random.Generator, durations: Int32Array, probability: float, repairs: RepairLaw
) -> tuple[Int32Array, Int32Array]:
    """For each operation (n,) the work done when it is stopped, uniform over its duration, and the stop's length (0: none)."""
    uniform = stream.random((3, durations.size))
    hit = (uniform[0] < probability) & (durations > 0)
    after = np.where(hit, (uniform[1] * durations).astype(np.int64), 0)
    length = np.where(hit, repairs.draw(uniform[2]), 0)
    return after.astype(np.int32), length.astype(np.int32)


def read_trace(path: str | Path) -> Int32Array:
    """Windows (n, 3) from a CSV file with the columns machine, start, end.

    Raises:
        InstanceFormatError: Names the file and the line.
    """
    rows: list[list[int]] = []
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if header != ["machine", "start", "end"]:
            raise InstanceFormatError(f"{path}, line 1: {','.join(header)!r}; expected machine,start,end")
        for row in reader:
            try:
                rows.append([int(value) for value in row])
            except ValueError:
                rows.append([])
            if len(rows[-1]) != 3 or max(map(abs, rows[-1])) >= 2**31:
                raise InstanceFormatError(
                    f"{path}, line {reader.line_num}: {','.join(row)!r}; expected three whole numbers"
                )
    return np.array(rows, np.int32).reshape(-1, 3)


def padded_windows(down: Int32Array, num_machines: int) -> Int32Array:
    """Windows of downtime by machine, as simulators read them.

    Args:
        down: (num_windows, 3) rows machine, start, end, sorted by machine and start.
        num_machines: Machines.

    Returns:
        (num_machines, K + 1, 3): start, end and earlier downtime of the machine's windows, then rows that start at `FAR`.
    """
    counts = np.bincount(down[:, 0], minlength=num_machines)
    padded = np.zeros((num_machines, int(counts.max()) + 1, 3), np.int32)
    padded[:, :, :2] = FAR
    column = np.arange(len(down)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded[down[:, 0], column, :2] = down[:, 1:]
    length = np.where(padded[:, :, 0] < FAR, padded[:, :, 1] - padded[:, :, 0], 0)
    padded[:, 1:, 2] = length.cumsum(axis=1)[:, :-1]
    return padded
