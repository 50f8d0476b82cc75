"""State of a batch of mappings: what is where, and how much HBM time is left between the operations.

Undecided accesses count as served from HBM, so that at every moment the state is a mapping with an exact latency. A
*residence* is a stay of a tensor in fast memory; it is known by the access that began it (its production or the use it
was fetched for) and occupies [start, end) x [offset, offset + units), operations x alignment units.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_call, borrowing_kernel
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.rectangles import END as ROW_END
from makespan.envs.memory.rectangles import START as ROW_START
from makespan.envs.memory.rectangles import Rectangles, clear, find, is_free, make_rectangles, place, release

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

DROP: Final = 0
KEEP: Final = 1
COPY: Final = 2

RECENT: Final = 32  # operations
FAR: Final = 2**40  # an operation that never comes
NO_CAP: Final = 2**62  # ps

OUTPUT_KIND: Final = 3
ACTIVATION_KIND: Final = 2

# Columns of `Mapping.clock`.
OPS: Final = 0
ACCESSES: Final = 1
TENSORS: Final = 2
CAPACITY: Final = 3
HBM_LATENCY: Final = 4
LOWER_BOUND: Final = 5
CURSOR: Final = 6  # the access (or the unit of tensors) to be decided
LATENCY: Final = 7
PAID: Final = 8  # latency up to which rewards have been handed out
DECISIONS: Final = 9
ALLOWED: Final = 10
FREE: Final = 11  # head of the list of unused parts
DIRTY_LOW: Final = 12  # operations whose rows the last decisions have changed
DIRTY_HIGH: Final = 13
REWINDS: Final = 14
LAST_HEAD: Final = 15  # the last access at which a decision may be due
MARK: Final = 16  # `recent` lacks what ended before this operation; -1 where it is not kept
STAY_CAP: Final = 17  # ps, longest gap between two accesses that a stay bridges where tensors are decided
CLOCK_COLUMNS: Final = 18

# Columns of `Mapping.op`.
COMPUTE: Final = 0
ALL_HBM: Final = 1  # ps of HBM time if everything is served from there
OP_FIRST: Final = 2  # first access; row O holds A
HBM: Final = 3  # ps of HBM time of its accesses now
FAST: Final = 4  # ps of fast-memory time of its accesses now
FETCH: Final = 5  # ps of HBM time that copies into fast memory take beside it
STORE: Final = 6  # ps of HBM time that copies to HBM take beside it
LOAD: Final = 7  # occupied units
OP_COLUMNS: Final = 8

# Columns of `Mapping.access`.
OP: Final = 0
TENSOR: Final = 1
COST_HBM: Final = 2
COST_FAST: Final = 3
WRITE: Final = 4
PREVIOUS: Final = 5
NEXT: Final = 6
REMAINING: Final = 7  # ps that the tensor's accesses from this one on would save, each alone
USES: Final = 8  # the tensor's accesses from this one on
BANNED: Final = 9  # 1 where a dead end has forced Drop
PLACE: Final = 10  # DROP (also while undecided), KEEP or COPY
START: Final = 11  # residence that this access began; END 0 if none
END: Final = 12
OFFSET: Final = 13
IN_START: Final = 14  # operations [start, end) beside which the copy into fast memory runs; 0, 0 if none
IN_END: Final = 15
ACCESS_COLUMNS: Final = 16

# Columns of `Mapping.tensor`.
UNITS: Final = 0
COPY_TIME: Final = 1
KIND: Final = 2
FIRST: Final = 3
LAST: Final = 4
HEIR: Final = 5
DONOR: Final = 6
BOUNDEDNESS: Final = 7  # ps, XLA's memory boundedness
HOST: Final = 8  # residence in which its last decided access left it, -1 if it is not in fast memory
VALID: Final = 9  # first operation that may read it from HBM; FAR while HBM does not hold it
BACK: Final = 10  # first part of its copy to HBM, -1 if there is none
OUT_START: Final = 11  # operations [start, end) beside which that copy runs; 0, 0 if none
OUT_END: Final = 12
RELIED: Final = 13  # 1 once something depends on that copy
TENSOR_COLUMNS: Final = 14

# Columns of `Mapping.part`.
PART_OP: Final = 0
PART_TIME: Final = 1
PART_NEXT: Final = 2

# Columns of `Mapping.choice`.
CHOICE_START: Final = 0  # residence after the decision
CHOICE_END: Final = 1
CHOICE_OFFSET: Final = 2
CHOICE_STORE: Final = 3  # exclusive end of the copy to HBM that the decision takes on, 0 if none
CHOICE_FETCH: Final = 4  # first operation of the copy into fast memory
CHOICE_KEPT: Final = 5  # end of the tensor's present residence after the decision


class Mapping(NamedTuple):
    """A batch of B mappings, instance and state, as int64 rows."""

    clock: I64  # (B, CLOCK_COLUMNS)
    op: I64  # (B, O + 1, OP_COLUMNS)
    access: I64  # (B, A, ACCESS_COLUMNS)
    tensor: I64  # (B, T, TENSOR_COLUMNS)
    part: I64  # (B, O + A + T + 2, 3) pieces of copies to HBM, as linked lists
    choice: I64  # (B, 3, 6) what each candidate would do
    used: I64  # (B, 1) rectangles placed
    row: I64  # (B, A, 5) the rectangles, see `Rectangles`
    recent_used: I64  # (B, 1)
    recent_row: I64  # (B, A, 5) those that have not ended long ago: what most searches for room look at


def make_mapping(num_slots: int, num_ops: int, num_accesses: int, num_tensors: int) -> Mapping:
    """Zeroed arrays for `num_slots` programs of at most this size."""
    B, O, A, T = num_slots, num_ops, num_accesses, num_tensors  # noqa: E741
    rectangles, recent = make_rectangles(B, A), make_rectangles(B, A)
    return Mapping(
        clock=np.zeros((B, CLOCK_COLUMNS), np.int64),
        op=np.zeros((B, O + 1, OP_COLUMNS), np.int64),
        access=np.zeros((B, A, ACCESS_COLUMNS), np.int64),
        tensor=np.zeros((B, T, TENSOR_COLUMNS), np.int64),
        part=np.zeros((B, O + A + T + 2, 3), np.int64),
        choice=np.zeros((B, 3, 6), np.int64),
        used=rectangles.used,
        row=rectangles.row,
        recent_used=recent.used,
        recent_row=recent.row,
    )


def load_slot(m: Mapping, b: int, instance: MappingInstance) -> None:
    """Put an instance into slot b; sizes are checked by the caller. `reset_slot` makes it ready."""
    num_ops, num_accesses, num_tensors = instance.num_ops, instance.num_accesses, instance.num_tensors
    m.clock[b] = 0
    m.clock[b, : LOWER_BOUND + 1] = (
        num_ops,
        num_accesses,
        num_tensors,
        instance.capacity,
        instance.hbm_latency,
        instance.lower_bound,
    )
    op, access, tensor = m.op[b], m.access[b, :num_accesses], m.tensor[b, :num_tensors]
    op[:num_ops, COMPUTE], op[:num_ops, ALL_HBM] = instance.op_compute, instance.op_hbm
    op[: num_ops + 1, OP_FIRST] = instance.op_first
    access[:, OP], access[:, TENSOR] = instance.access_op, instance.access_tensor
    access[:, COST_HBM], access[:, COST_FAST] = instance.access_hbm, instance.access_fast
    access[:, WRITE] = instance.access_write
    access[:, PREVIOUS], access[:, NEXT] = instance.access_previous, instance.access_next
    access[:, REMAINING], access[:, USES] = instance.access_remaining, instance.access_uses
    tensor[:, UNITS], tensor[:, COPY_TIME] = instance.tensor_units, instance.tensor_copy
    tensor[:, KIND] = instance.tensor_kind
    tensor[:, FIRST], tensor[:, LAST] = instance.tensor_first, instance.tensor_last
    tensor[:, HEIR], tensor[:, DONOR] = instance.tensor_heir, instance.tensor_donor
    tensor[:, BOUNDEDNESS] = instance.tensor_boundedness.astype(np.int64)


@borrowing_call
def reset_slot(m: Mapping, b: int, keep_bans: bool) -> None:
    """Everything in HBM, nothing decided."""
    clock, op, access, tensor = m.clock, m.op, m.access, m.tensor
    num_ops, num_tensors = clock[b, OPS], clock[b, TENSORS]
    clear(Rectangles(m.used, m.row), b)
    clear(Rectangles(m.recent_used, m.recent_row), b)
    clock[b, MARK] = -1
    for i in range(num_ops):
        op[b, i, HBM] = op[b, i, ALL_HBM]
        for column in range(FAST, OP_COLUMNS):
            op[b, i, column] = 0
    for a in range(clock[b, ACCESSES]):
        for column in range(PLACE, ACCESS_COLUMNS):
            access[b, a, column] = 0
        if not keep_bans:
            access[b, a, BANNED] = 0
    for v in range(num_tensors):
        tensor[b, v, HOST] = tensor[b, v, BACK] = -1
        tensor[b, v, VALID] = 0 if tensor[b, v, KIND] < ACTIVATION_KIND else FAR
        tensor[b, v, OUT_START] = tensor[b, v, OUT_END] = tensor[b, v, RELIED] = 0
    num_parts = m.part.shape[1]
    for k in range(num_parts):
        m.part[b, k, PART_NEXT] = k + 1 if k + 1 < num_parts else -1
    clock[b, FREE] = 0
    clock[b, CURSOR] = 0
    clock[b, LATENCY] = clock[b, HBM_LATENCY]
    clock[b, DIRTY_LOW], clock[b, DIRTY_HIGH] = 0, num_ops
    if not keep_bans:
        clock[b, PAID], clock[b, DECISIONS] = clock[b, HBM_LATENCY], 0
        clock[b, ALLOWED] = clock[b, REWINDS] = 0


@borrowing_kernel
def latency_of(m: Mapping, b: int, i: int) -> int:
    """Latency of operation i now, ps."""
    return max(m.op[b, i, COMPUTE], m.op[b, i, HBM] + m.op[b, i, FAST])


@borrowing_kernel
def touch(m: Mapping, b: int, start: int, end: int) -> None:
    """Note that the operations [start, end) have changed."""
    m.clock[b, DIRTY_LOW] = min(m.clock[b, DIRTY_LOW], start)
    m.clock[b, DIRTY_HIGH] = max(m.clock[b, DIRTY_HIGH], end)


@borrowing_kernel
def serve_fast(m: Mapping, b: int, a: int, action: int) -> None:
    """Serve access a from fast memory; the latency follows."""
    i = m.access[b, a, OP]
    before = latency_of(m, b, i)
    m.op[b, i, HBM] -= m.access[b, a, COST_HBM]
    m.op[b, i, FAST] += m.access[b, a, COST_FAST]
    m.access[b, a, PLACE] = action
    m.clock[b, LATENCY] += latency_of(m, b, i) - before
    touch(m, b, i, i + 1)


@borrowing_kernel
def _change_load(m: Mapping, b: int, start: int, end: int, units: int) -> None:
    if start < end:
        for i in range(start, end):
            m.op[b, i, LOAD] += units
        touch(m, b, start, end)


@borrowing_kernel
def rectangles_since(m: Mapping, b: int, start: int) -> Rectangles:
    """Rectangles enough to search for room from operation `start` on."""
    if start >= m.clock[b, MARK] >= 0:
        return Rectangles(m.recent_used, m.recent_row)
    return Rectangles(m.used, m.row)


@borrowing_kernel
def keep_recent(m: Mapping, b: int) -> None:
    """From the start of an episode on, keep the recent rectangles apart: searches then do not grow with its length."""
    m.clock[b, MARK] = 0


@borrowing_kernel
def forget(m: Mapping, b: int, now: int) -> None:
    """Now and then, leave out of the recent rectangles what ended more than `RECENT` operations ago."""
    if m.clock[b, MARK] < 0 or now - m.clock[b, MARK] < 2 * RECENT:
        return
    mark, kept = now - RECENT, 0
    m.clock[b, MARK] = mark
    row = m.recent_row
    for k in range(m.recent_used[b, 0]):
        if row[b, k, ROW_END] > mark:
            if kept < k:
                for column in range(row.shape[2]):
                    row[b, kept, column] = row[b, k, column]
            kept += 1
    m.recent_used[b, 0] = kept


@borrowing_kernel
def _place(m: Mapping, b: int, owner: int, start: int, end: int, low: int, high: int) -> None:
    place(Rectangles(m.used, m.row), b, owner, start, end, low, high)
    if m.clock[b, MARK] >= 0:
        place(Rectangles(m.recent_used, m.recent_row), b, owner, start, end, low, high)


@borrowing_kernel
def _end_rectangle(
    rectangles: Rectangles, b: int, owner: int, start: int, end: int, low: int, high: int
) -> None:
    """Let the rectangle of `owner` end at `end`; if it is not there, it begins at `start`."""
    k = find(rectangles, b, owner)
    if k < 0:
        if end > start:
            place(rectangles, b, owner, start, end, low, high)
    elif end <= rectangles.row[b, k, ROW_START]:
        release(rectangles, b, owner)
    else:
        rectangles.row[b, k, ROW_END] = end


@borrowing_call
def begin_residence(m: Mapping, b: int, a: int, start: int, end: int, offset: int) -> None:
    """Let access a begin a residence [start, end) at an offset, and its tensor live there."""
    v = m.access[b, a, TENSOR]
    units = m.tensor[b, v, UNITS]
    m.access[b, a, START], m.access[b, a, END], m.access[b, a, OFFSET] = start, end, offset
    m.tensor[b, v, HOST] = a
    _place(m, b, a, start, end, offset, offset + units)
    _change_load(m, b, start, end, units)


@borrowing_kernel
def can_extend(m: Mapping, b: int, host: int, end: int) -> bool:
    """Whether a residence could last until `end` (exclusive) at its offset."""
    if end <= m.access[b, host, END]:
        return True
    low = m.access[b, host, OFFSET]
    high = low + m.tensor[b, m.access[b, host, TENSOR], UNITS]
    start = m.access[b, host, END]
    return is_free(rectangles_since(m, b, start), b, start, end, low, high, host)


@borrowing_call
def set_end(m: Mapping, b: int, host: int, end: int) -> None:
    """Let a residence end at `end` (exclusive), later or earlier than it did."""
    old = m.access[b, host, END]
    if end == old:
        return
    units = m.tensor[b, m.access[b, host, TENSOR], UNITS]
    low = m.access[b, host, OFFSET]
    # one that was handed over has no operation of its own yet
    _end_rectangle(Rectangles(m.used, m.row), b, host, old, end, low, low + units)
    if m.clock[b, MARK] >= 0:
        _end_rectangle(Rectangles(m.recent_used, m.recent_row), b, host, old, end, low, low + units)
    _change_load(m, b, old, end, units)
    _change_load(m, b, end, old, -units)
    m.access[b, host, END] = end


@borrowing_kernel
def hand_over(m: Mapping, b: int, host: int, a: int) -> None:
    """Let access a (the production of an heir) take over a residence at its operation."""
    i, v = m.access[b, a, OP], m.access[b, a, TENSOR]
    end, offset = m.access[b, host, END], m.access[b, host, OFFSET]
    set_end(m, b, host, i + 1)
    m.access[b, a, START], m.access[b, a, END], m.access[b, a, OFFSET] = i, end, offset
    m.tensor[b, v, HOST] = a
    if end > i + 1:
        units = m.tensor[b, v, UNITS]
        _place(m, b, a, i + 1, end, offset, offset + units)
        _change_load(m, b, i + 1, end, units)
