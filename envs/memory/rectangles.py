"""Rectangles in time x offset: where in a memory there is room, and for how long.

A placed rectangle holds the offsets [low, high) throughout the times [start, end). All numbers are integers in the
caller's units (bytes or alignment units; time steps). A batch has a leading axis B of slots; every function acts on one
slot b. Rows are kept sorted by their lower offset, so that a search for room is one pass over adjacent memory.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel, kernel

I64 = NDArray[np.int64]

NO_CEILING: Final = 2**62
"""Ceiling of a memory without end."""

# Columns of `Rectangles.row`.
LOW: Final = 0
HIGH: Final = 1
START: Final = 2
END: Final = 3
OWNER: Final = 4  # the caller's number of the rectangle


class Rectangles(NamedTuple):
    """The placed rectangles of B slots, at most R in each."""

    used: I64  # (B, 1) placed rectangles
    row: I64  # (B, R, 5) low, high, start, end, owner; the first `used` count, sorted by low


def make_rectangles(num_slots: int, max_rectangles: int) -> Rectangles:
    """An empty store for `num_slots` memories of at most `max_rectangles` rectangles each."""
    return Rectangles(np.zeros((num_slots, 1), np.int64), np.zeros((num_slots, max_rectangles, 5), np.int64))


@borrowing_kernel
def align_up(offset: int, alignment: int) -> int:
    """The smallest multiple of `alignment` that is not below `offset` (>= 0)."""
    if alignment == 1:
        return offset
    return (offset + alignment - 1) // alignment * alignment


@borrowing_kernel
def clear(rectangles: Rectangles, b: int) -> None:
    """Empty slot b."""
    rectangles.used[b, 0] = 0


@borrowing_kernel
def place(rectangles: Rectangles, b: int, owner: int, start: int, end: int, low: int, high: int) -> None:
    """Add the rectangle [start, end) x [low, high). Whether it is free is the caller's business."""
    used, row = rectangles
    k = used[b, 0]
    used[b, 0] = k + 1
    while k > 0 and row[b, k - 1, LOW] > low:
        for column in range(5):
            row[b, k, column] = row[b, k - 1, column]
        k -= 1
    row[b, k, LOW], row[b, k, HIGH] = low, high
    row[b, k, START], row[b, k, END], row[b, k, OWNER] = start, end, owner


@borrowing_kernel
def find(rectangles: Rectangles, b: int, owner: int) -> int:
    """Row of the first rectangle of `owner`, -1 if it has none."""
    used, row = rectangles
    for k in range(used[b, 0]):
        if row[b, k, OWNER] == owner:
            return k
    return -1


@borrowing_kernel
def release(rectangles: Rectangles, b: int, owner: int) -> int:
    """Remove every rectangle of `owner`; returns how many there were."""
    used, row = rectangles
    kept, total = 0, used[b, 0]
    for k in range(total):
        if row[b, k, OWNER] != owner:
            if kept < k:
                for column in range(5):
                    row[b, kept, column] = row[b, k, column]
            kept += 1
    used[b, 0] = kept
    return total - kept


@borrowing_kernel
def is_free(rectangles: Rectangles, b: int, start: int, end: int, low: int, high: int, owner: int) -> bool:
    """Whether no rectangle but those of `owner` (-1: none) meets [start, end) x [low, high)."""
    used, row = rectangles
    for k in range(used[b, 0]):
        if row[b, k, LOW] >= high:
            break
        if (
            row[b, k, HIGH] > low
            and row[b, k, START] < end
            and row[b, k, END] > start
            and row[b, k, OWNER] != owner
        ):
            return False
    return True


@borrowing_kernel
def extend(rectangles: Rectangles, b: int, owner: int, start: int, end: int) -> bool:
    """Let the rectangle of `owner` hold its offsets throughout [start, end), if they are free then.

    Returns:
        Whether they were; otherwise nothing has changed. False too if `owner` has no rectangle.
    """
    row = rectangles.row
    k = find(rectangles, b, owner)
    if k < 0 or not is_free(rectangles, b, start, end, row[b, k, LOW], row[b, k, HIGH], owner):
        return False
    row[b, k, START], row[b, k, END] = start, end
    return True


@borrowing_kernel
def lowest_fit(
    rectangles: Rectangles, b: int, start: int, end: int, low: int, high: int, alignment: int, floor: int
) -> int:
    """The lowest aligned offset o >= floor at which [start, end) x [o + low, o + high) is free.

    A whole rectangle of some size asks with low = 0 and high = size. There is always such an offset; whether it
    respects a capacity is for the caller to compare. Rows lie in order of their lower offsets, so one pass does.
    """
    used, row = rectangles
    offset = align_up(floor, alignment)
    for k in range(used[b, 0]):
        if row[b, k, LOW] >= offset + high:
            break
        if row[b, k, HIGH] > offset + low and row[b, k, START] < end and row[b, k, END] > start:
            offset = align_up(row[b, k, HIGH] - low, alignment)
    return offset


@borrowing_kernel
def best_fit(
    rectangles: Rectangles, b: int, start: int, end: int, size: int, alignment: int, ceiling: int
) -> int:
    """The lowest aligned offset in the smallest gap that holds `size` throughout [start, end), -1 if none does.

    Gaps lie between what is placed during [start, end), below the ceiling; of equal gaps the lowest serves. With
    `NO_CEILING` the room on top is taken only where no gap serves (greedy by size of Pisarchyk & Lee 2020).
    """
    used, row = rectangles
    found, smallest, frontier = -1, NO_CEILING + 1, 0
    for k in range(used[b, 0]):
        if row[b, k, START] < end and row[b, k, END] > start:
            top = min(row[b, k, LOW], ceiling)
            offset, gap = align_up(frontier, alignment), top - frontier
            if offset + size <= top and gap < smallest:
                found, smallest = offset, gap
            frontier = max(frontier, row[b, k, HIGH])
    offset = align_up(frontier, alignment)
    if offset + size <= ceiling and ceiling - frontier < smallest:
        found = offset
    return found


@borrowing_kernel
def highest_fit(
    rectangles: Rectangles, b: int, start: int, end: int, size: int, alignment: int, ceiling: int
) -> int:
    """The highest aligned offset at which `size` fits throughout [start, end) below the ceiling, -1 if none does."""
    used, row = rectangles
    found, frontier = -1, 0
    for k in range(used[b, 0]):
        if row[b, k, START] < end and row[b, k, END] > start:
            room = min(row[b, k, LOW], ceiling) - size
            if room >= 0 and room // alignment * alignment >= frontier:
                found = room // alignment * alignment
            frontier = max(frontier, row[b, k, HIGH])
    room = ceiling - size
    if room >= 0 and room // alignment * alignment >= frontier:
        found = room // alignment * alignment
    return found


@borrowing_kernel
def largest_gap(rectangles: Rectangles, b: int, start: int, end: int, ceiling: int) -> int:
    """The largest number of adjacent offsets below the ceiling that are free throughout [start, end)."""
    used, row = rectangles
    largest, frontier = 0, 0
    for k in range(used[b, 0]):
        if row[b, k, START] < end and row[b, k, END] > start:
            largest = max(largest, min(row[b, k, LOW], ceiling) - frontier)
            frontier = max(frontier, row[b, k, HIGH])
    return max(largest, ceiling - frontier)


@kernel
def load_profile(rectangles: Rectangles, b: int, load: I64) -> None:
    """Write the occupied offsets at each time step, (T,), of what is placed in slot b."""
    used, row = rectangles
    load[:] = 0
    for k in range(used[b, 0]):
        for time in range(max(row[b, k, START], 0), min(row[b, k, END], load.size)):
            load[time] += row[b, k, HIGH] - row[b, k, LOW]


@kernel
def peak(rectangles: Rectangles, b: int) -> int:
    """The highest occupied offset (exclusive) of slot b; 0 where nothing is placed."""
    used, row = rectangles
    top = 0
    for k in range(used[b, 0]):
        top = max(top, row[b, k, HIGH])
    return top
