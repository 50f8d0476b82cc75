"""The allocation simulator: Numba kernels over struct-of-arrays state with a leading batch axis.

A decision places one buffer at its *spot*: the lowest feasible offset among what is placed already, or with `BEST_FIT` the
lowest offset of the smallest gap that holds it. Spots are kept up to date: a placement moves only those of unplaced
buffers that it overlaps in time (and, at lowest offsets, in space).

`CANONICAL` restricts the order: no buffer lies below the last placed one, and none at or above floor + size of an
unplaced buffer, which could slide down below it (dominance; MiniMalloc, Moffitt 2023). Some order with the lowest peak of
all remains (for buffers without windows that begin above their offset), and there is always a candidate.

The lower bound of the final peak is the maximum of the load bound, of every placed buffer's top, of floor + size of every
unplaced one, and, for each section, of the lowest floor in it plus its unplaced bytes. It never falls, and ends
at the peak.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import inlined_kernel
from makespan.envs.memory.rectangles import (
    I64,
    NO_CEILING,
    Rectangles,
    best_fit,
    clear,
    lowest_fit,
    make_rectangles,
    place,
)

LOWEST: Final = 0
BEST_FIT: Final = 1
CANONICAL: Final = 2

# Columns of `Memories.clock`.
BUFFERS: Final = 0
SECTIONS: Final = 1
CAPACITY: Final = 2
INITIAL_BOUND: Final = 3
BEGIN: Final = 4  # first time step of all
HORIZON: Final = 5  # time steps from the first to the last
LARGEST: Final = 6  # size of the largest buffer
STEP: Final = 7  # bytes of one step of raw offsets
PEAK: Final = 8
BOUND: Final = 9
PAID_BOUND: Final = 10  # bound up to which rewards have been handed out
BASE: Final = 11  # offset of the last placed buffer
LEFT: Final = 12  # unplaced buffers
DECISIONS: Final = 13
ALLOWED: Final = 14

# Columns of `Memories.buffer`.
LOWER: Final = 0
UPPER: Final = 1
SIZE: Final = 2
ALIGNMENT: Final = 3
FIXED: Final = 4
PIECE: Final = 5  # first piece; the row after the last buffer holds the number of pieces
OFFSET: Final = 6  # -1 while unplaced
FLOOR: Final = 7  # lowest feasible offset
SPOT: Final = 8  # where it would be placed
RIVALS: Final = 9  # unplaced buffers whose lifetimes overlap with this one's

# Columns of `Memories.piece`.
START: Final = 0
END: Final = 1
LOW: Final = 2
HIGH: Final = 3
FIRST: Final = 4
END_SECTION: Final = 5

# Columns of `Memories.section`.
MEMBER: Final = 0  # first member; the row after the last section holds the number of incidences
LOAD: Final = 1
DURATION: Final = 2
UNPLACED: Final = 3  # bytes
WAITING: Final = 4  # unplaced members
TOP: Final = 5
LOWEST_FLOOR: Final = 6  # of the unplaced members; the top where there are none
WITNESS: Final = 7  # a member that has it, -1 if none
_STALE: Final = -2  # in place of a witness: to be found anew


class Memories(NamedTuple):
    """A batch of B memories, instance and state, in bytes and time steps."""

    clock: I64  # (B, 15)
    buffer: I64  # (B, N + 1, 10)
    piece: I64  # (B, P, 6)
    section: I64  # (B, S + 1, 8)
    member: NDArray[np.int32]  # (B, E) buffers by section
    waiting: NDArray[np.int32]  # (B, N) the unplaced buffers, in any order
    moved: NDArray[np.int32]  # (B, N + 1) buffers whose floor or spot the last placement moved; number last
    met: NDArray[np.int32]  # (B, N + 1) buffers that the last placed one overlaps in time; number last
    touched: NDArray[np.int32]  # (B, S + 1) sections that the last placement changed; their number last
    placed: Rectangles


def make_memories(
    num_slots: int, num_buffers: int, num_pieces: int, num_sections: int, num_incidences: int
) -> Memories:
    """Zeroed arrays for `num_slots` problems of at most this size."""
    B, N, S = num_slots, num_buffers, num_sections
    return Memories(
        clock=np.zeros((B, 15), np.int64),
        buffer=np.zeros((B, N + 1, 10), np.int64),
        piece=np.zeros((B, num_pieces, 6), np.int64),
        section=np.zeros((B, S + 1, 8), np.int64),
        member=np.zeros((B, num_incidences), np.int32),
        waiting=np.zeros((B, N), np.int32),
        moved=np.zeros((B, N + 1), np.int32),
        met=np.zeros((B, N + 1), np.int32),
        touched=np.zeros((B, S + 1), np.int32),
        placed=make_rectangles(B, num_pieces),
    )


@inlined_kernel
def reset_slot(memories: Memories, b: int, mode: int) -> None:
    """Start the problem in slot b anew: place what has a prescribed offset, find the spots of the others."""
    clock, buffer, section = memories.clock, memories.buffer, memories.section
    num_buffers = clock[b, BUFFERS]
    clear(memories.placed, b)
    for column in range(PEAK, ALLOWED + 1):
        clock[b, column] = 0
    for s in range(clock[b, SECTIONS]):
        section[b, s, UNPLACED], section[b, s, TOP] = section[b, s, LOAD], 0
        section[b, s, WAITING] = section[b, s + 1, MEMBER] - section[b, s, MEMBER]
    for i in range(num_buffers):
        buffer[b, i, OFFSET] = buffer[b, i, FLOOR] = buffer[b, i, FIXED]
        if buffer[b, i, FIXED] >= 0:
            _settle(memories, b, i)
        else:
            memories.waiting[b, clock[b, LEFT]] = i
            clock[b, LEFT] += 1
    for k in range(clock[b, LEFT]):
        _find_spot(memories, b, memories.waiting[b, k], 0, mode)
    _count_rivals(memories, b)
    for s in range(clock[b, SECTIONS]):
        _find_lowest(memories, b, s)
        memories.touched[b, s] = s
    memories.touched[b, memories.touched.shape[1] - 1] = clock[b, SECTIONS]
    clock[b, BOUND] = max(clock[b, INITIAL_BOUND], clock[b, PEAK])
    for k in range(clock[b, LEFT]):
        i = memories.waiting[b, k]
        clock[b, BOUND] = max(clock[b, BOUND], buffer[b, i, FLOOR] + buffer[b, i, SIZE])
    _raise_bound(memories, b)
    clock[b, PAID_BOUND] = clock[b, INITIAL_BOUND]


@inlined_kernel
def _count_rivals(memories: Memories, b: int) -> None:
    buffer, waiting = memories.buffer, memories.waiting
    for k in range(memories.clock[b, LEFT]):
        i, rivals = waiting[b, k], -1
        for other in range(memories.clock[b, LEFT]):
            j = waiting[b, other]
            rivals += buffer[b, j, LOWER] < buffer[b, i, UPPER] and buffer[b, i, LOWER] < buffer[b, j, UPPER]
        buffer[b, i, RIVALS] = rivals


@inlined_kernel
def _settle(memories: Memories, b: int, i: int) -> None:
    """Enter buffer i, which has an offset, into the memory and into its sections."""
    buffer, piece, section = memories.buffer, memories.piece, memories.section
    offset = buffer[b, i, OFFSET]
    memories.clock[b, PEAK] = max(memories.clock[b, PEAK], offset + buffer[b, i, SIZE])
    for p in range(buffer[b, i, PIECE], buffer[b, i + 1, PIECE]):
        low, high = offset + piece[b, p, LOW], offset + piece[b, p, HIGH]
        place(memories.placed, b, i, piece[b, p, START], piece[b, p, END], low, high)
        for s in range(piece[b, p, FIRST], piece[b, p, END_SECTION]):
            section[b, s, UNPLACED] -= high - low
            section[b, s, WAITING] -= 1
            section[b, s, TOP] = max(section[b, s, TOP], high)


@inlined_kernel
def _find_spot(memories: Memories, b: int, i: int, floor: int, mode: int) -> None:
    """Find the lowest feasible offset of buffer i that is not below `floor`, and where it would be placed."""
    buffer, piece = memories.buffer, memories.piece
    first, last = buffer[b, i, PIECE], buffer[b, i + 1, PIECE]
    alignment, offset, before = buffer[b, i, ALIGNMENT], floor, -1
    while offset != before:  # each piece alone is found in one pass; what one needs may move another
        before = offset
        for p in range(first, last):
            offset = lowest_fit(
                memories.placed, b, piece[b, p, START], piece[b, p, END], piece[b, p, LOW], piece[b, p, HIGH],
                alignment, offset,
            )  # fmt: skip
        if last - first == 1:
            break
    buffer[b, i, FLOOR] = buffer[b, i, SPOT] = offset
    if mode == BEST_FIT and _is_whole(memories, b, i):
        buffer[b, i, SPOT] = best_fit(
            memories.placed, b, buffer[b, i, LOWER], buffer[b, i, UPPER], buffer[b, i, SIZE], alignment,
            NO_CEILING,
        )  # fmt: skip


@inlined_kernel
def _is_whole(memories: Memories, b: int, i: int) -> bool:
    """Whether buffer i has no gaps: its first piece is all of it."""
    buffer, piece, p = memories.buffer, memories.piece, memories.buffer[b, i, PIECE]
    lifetime, held = buffer[b, i, UPPER] - buffer[b, i, LOWER], piece[b, p, HIGH] - piece[b, p, LOW]
    return piece[b, p, END] - piece[b, p, START] == lifetime and held == buffer[b, i, SIZE]


@inlined_kernel
def _find_lowest(memories: Memories, b: int, s: int) -> None:
    """Find the lowest floor of the unplaced members of section s."""
    buffer, section = memories.buffer, memories.section
    lowest, witness = NO_CEILING, -1
    for k in range(section[b, s, MEMBER], section[b, s + 1, MEMBER]):
        i = memories.member[b, k]
        if buffer[b, i, OFFSET] < 0 and buffer[b, i, FLOOR] < lowest:
            lowest, witness = buffer[b, i, FLOOR], int(i)
    section[b, s, LOWEST_FLOOR] = lowest if witness >= 0 else section[b, s, TOP]
    section[b, s, WITNESS] = witness


@inlined_kernel
def _raise_bound(memories: Memories, b: int) -> None:
    """Raise the bound to what the touched sections need."""
    section, bound = memories.section, memories.clock[b, BOUND]
    for k in range(memories.touched[b, memories.touched.shape[1] - 1]):
        s = memories.touched[b, k]
        bound = max(bound, section[b, s, LOWEST_FLOOR] + section[b, s, UNPLACED])
    memories.clock[b, BOUND] = bound


@inlined_kernel
def place_buffer(memories: Memories, b: int, i: int, mode: int) -> None:
    """Place the unplaced buffer i at its spot; `moved`, `met` and `touched` then say what that has changed."""
    clock, buffer = memories.clock, memories.buffer
    offset = buffer[b, i, SPOT]
    buffer[b, i, OFFSET] = buffer[b, i, FLOOR] = offset
    _settle(memories, b, i)
    clock[b, BASE] = offset
    clock[b, BOUND] = max(clock[b, BOUND], offset + buffer[b, i, SIZE])
    _touch_own(memories, b, i)
    _update_waiting(memories, b, i, mode)
    _touch_others(memories, b)
    for k in range(memories.touched[b, memories.touched.shape[1] - 1]):
        _find_lowest(memories, b, memories.touched[b, k])
    _raise_bound(memories, b)
    clock[b, DECISIONS] += 1


@inlined_kernel
def _touch_own(memories: Memories, b: int, i: int) -> None:
    """List the sections of buffer i, whose lowest floors are then to be found anew."""
    buffer, piece, section, touched = memories.buffer, memories.piece, memories.section, memories.touched
    count = 0
    for p in range(buffer[b, i, PIECE], buffer[b, i + 1, PIECE]):
        for s in range(piece[b, p, FIRST], piece[b, p, END_SECTION]):
            section[b, s, WITNESS] = _STALE
            touched[b, count] = s
            count += 1
    touched[b, touched.shape[1] - 1] = count


@inlined_kernel
def _update_waiting(memories: Memories, b: int, i: int, mode: int) -> None:
    """Take buffer i out of those that wait, and bring the others up to date with its placement."""
    clock, buffer, waiting = memories.clock, memories.buffer, memories.waiting
    moved, met, bound = memories.moved, memories.met, clock[b, BOUND]
    num_moved, num_met, k = 0, 0, 0
    lower, upper, offset = buffer[b, i, LOWER], buffer[b, i, UPPER], buffer[b, i, OFFSET]
    top = offset + buffer[b, i, SIZE]
    while k < clock[b, LEFT]:
        j = waiting[b, k]
        if j == i:
            clock[b, LEFT] -= 1
            waiting[b, k] = waiting[b, clock[b, LEFT]]
            continue
        k += 1
        floor, spot = buffer[b, j, FLOOR], buffer[b, j, SPOT]
        least, size = floor, buffer[b, j, SIZE]
        if mode == CANONICAL:
            least = max(floor, offset)
        search = least != floor
        if buffer[b, j, LOWER] < upper and lower < buffer[b, j, UPPER]:
            buffer[b, j, RIVALS] -= 1
            met[b, num_met] = j
            num_met += 1
            search |= mode == BEST_FIT or (offset < least + size and least < top)
        if search:
            _find_spot(memories, b, j, least, mode)
            if buffer[b, j, FLOOR] != floor or buffer[b, j, SPOT] != spot:
                moved[b, num_moved] = j
                num_moved += 1
                bound = max(bound, buffer[b, j, FLOOR] + size)
    moved[b, moved.shape[1] - 1], met[b, met.shape[1] - 1] = num_moved, num_met
    clock[b, BOUND] = bound


@inlined_kernel
def _touch_others(memories: Memories, b: int) -> None:
    """List the sections whose lowest floor was that of a buffer that has moved."""
    buffer, piece, section, touched = memories.buffer, memories.piece, memories.section, memories.touched
    count = touched[b, touched.shape[1] - 1]
    for k in range(memories.moved[b, memories.moved.shape[1] - 1]):
        j = memories.moved[b, k]
        for p in range(buffer[b, j, PIECE], buffer[b, j + 1, PIECE]):
            for s in range(piece[b, p, FIRST], piece[b, p, END_SECTION]):
                if section[b, s, WITNESS] == j:
                    section[b, s, WITNESS] = _STALE
                    touched[b, count] = s
                    count += 1
    touched[b, touched.shape[1] - 1] = count


@inlined_kernel
def ground(memories: Memories, b: int, s: int) -> int:
    """The offset below which nothing is placed any more in section s, in a canonical order."""
    return max(memories.section[b, s, TOP], memories.clock[b, BASE])


@inlined_kernel
def bound_after(memories: Memories, b: int, i: int) -> int:
    """The bound once the unplaced buffer i lies at its spot, in a canonical order; exact without gaps and prescriptions."""
    clock, buffer, section = memories.clock, memories.buffer, memories.section
    offset, size = buffer[b, i, SPOT], buffer[b, i, SIZE]
    first = memories.piece[b, buffer[b, i, PIECE], FIRST]
    last = memories.piece[b, buffer[b, i + 1, PIECE] - 1, END_SECTION]
    bound = max(clock[b, BOUND], offset + size)
    for k in range(clock[b, LEFT]):
        j = memories.waiting[b, k]
        if j != i:
            bound = max(bound, _floor_after(memories, b, j, i) + buffer[b, j, SIZE])
    for s in range(clock[b, SECTIONS]):
        own, witness = first <= s < last, section[b, s, WITNESS]
        if witness < 0:
            continue
        lowest = NO_CEILING
        if own or _floor_after(memories, b, witness, i) > section[b, s, LOWEST_FLOOR]:
            for k in range(section[b, s, MEMBER], section[b, s + 1, MEMBER]):
                j = memories.member[b, k]
                if j != i and buffer[b, j, OFFSET] < 0:
                    lowest = min(lowest, _floor_after(memories, b, j, i))
        if lowest < NO_CEILING:
            bound = max(bound, lowest + section[b, s, UNPLACED] - (size if own else 0))
    return bound


@inlined_kernel
def _floor_after(memories: Memories, b: int, j: int, i: int) -> int:
    """The floor of the unplaced buffer j once i lies at its spot, in a canonical order."""
    buffer = memories.buffer
    least = buffer[b, i, SPOT]
    if buffer[b, j, LOWER] < buffer[b, i, UPPER] and buffer[b, i, LOWER] < buffer[b, j, UPPER]:
        least += buffer[b, i, SIZE]
    return max(buffer[b, j, FLOOR], least)


@inlined_kernel
def dominance_limit(memories: Memories, b: int, mode: int) -> int:
    """Candidates at or above this offset are dominated; no limit unless the order is canonical."""
    limit = NO_CEILING
    if mode == CANONICAL:
        for k in range(memories.clock[b, LEFT]):
            i = memories.waiting[b, k]
            limit = min(limit, memories.buffer[b, i, FLOOR] + memories.buffer[b, i, SIZE])
    return limit
