"""The mapping game in priority order: which tensor takes next what room in fast memory there still is.

The priority decoder (`mapping_decoder`) as a game: every portfolio order is a way to play it. Tensors that share a place are
placed together, by the first of them. Occupied memory only grows, so that an access whose operation has no room left for
its tensor is lost for good; a tensor that has lost all of them is left in HBM without a decision. What candidates show is
kept up to date with what a placement has changed, not recomputed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_call, borrowing_kernel
from makespan.envs.memory.mapping_copies import idle
from makespan.envs.memory.mapping_decoder import drop_chain, place_chain
from makespan.envs.memory.mapping_instance import OUTPUT, MappingInstance
from makespan.envs.memory.mapping_simulator import fit
from makespan.envs.memory.mapping_state import (
    ACCESSES,
    CAPACITY,
    COMPUTE,
    COST_FAST,
    COST_HBM,
    DIRTY_HIGH,
    DIRTY_LOW,
    FAST,
    FIRST,
    HBM,
    HEIR,
    LOAD,
    NEXT,
    OP,
    OP_FIRST,
    OPS,
    STAY_CAP,
    STORE,
    TENSOR,
    UNITS,
    Mapping,
    latency_of,
)
from makespan.envs.memory.rectangles import Rectangles, is_free

I64 = NDArray[np.int64]

LOST: Final = -1  # of an access: decided, or without room

# Columns of `Pool.tensor`.
BIRTH: Final = 0  # operation of its first access
DEATH: Final = 1  # operation of its last access, or of that of what is written in its place
TOTAL: Final = 2  # accesses
BEGIN: Final = (
    3  # operations [BEGIN, UNTIL) are those beside which it could be fetched first, or written to HBM
)
UNTIL: Final = 4
GAIN: Final = 5  # ps that its accesses with room would save now, each alone
OPEN: Final = 6  # accesses with room
ROOM: Final = 7  # least free units of an operation from birth to death
SPOT: Final = 8  # offset that is free from birth to death; -1 if there is none
CHANGED: Final = 9  # 1 if its row has to be written
POOL_COLUMNS: Final = 10


class Pool(NamedTuple):
    """The undecided tensors of B mappings, as int64 rows; tensors in one place count as one, by the first of them."""

    left: I64  # (B, 2) undecided tensors, and how many there were
    waiting: I64  # (B, T) the undecided tensors, in any order
    position: I64  # (B, T) of an undecided tensor in `waiting`, -1 for others
    root: I64  # (B, T) first of the tensors in a tensor's place
    tensor: I64  # (B, T, POOL_COLUMNS) of the first ones
    gain: I64  # (B, A) ps that the access alone would save now, `LOST` if it can not be served from fast memory any more
    supply: I64  # (B, O + 1, 2) HBM time left for copies, and occupied units, of the operations before


def make_pool(num_slots: int, num_ops: int, num_accesses: int, num_tensors: int) -> Pool:
    """Zeroed arrays for `num_slots` programs of at most this size."""
    B, O, A, T = num_slots, num_ops, num_accesses, num_tensors  # noqa: E741
    return Pool(
        left=np.zeros((B, 2), np.int64),
        waiting=np.zeros((B, T), np.int64),
        position=np.zeros((B, T), np.int64),
        root=np.zeros((B, T), np.int64),
        tensor=np.zeros((B, T, POOL_COLUMNS), np.int64),
        gain=np.zeros((B, A), np.int64),
        supply=np.zeros((B, O + 1, 2), np.int64),
    )


def roots_of(instance: MappingInstance) -> I64:
    """(T,) the first of the tensors that share a tensor's place."""
    root = np.arange(instance.num_tensors)
    donor = instance.tensor_donor
    while (donor[root] >= 0).any():
        root = np.where(donor[root] >= 0, donor[root], root)
    return root


@lru_cache(maxsize=128)
def places_of_tensors(instance: MappingInstance) -> tuple[I64, I64]:
    """Roots (T,), and the constant columns (T, UNTIL + 1) of `Pool.tensor`, summed up over each place."""
    root, T = roots_of(instance), instance.num_tensors
    table = np.zeros((T, UNTIL + 1), np.int64)
    used = instance.tensor_first >= 0
    table[used, BIRTH] = instance.access_op[instance.tensor_first[used]]
    np.maximum.at(table[:, DEATH], root[used], instance.access_op[instance.tensor_last[used]])
    np.add.at(table[:, TOTAL], root[instance.access_tensor], 1)
    made = instance.access_write[instance.tensor_first]
    in_output = np.zeros(T, np.bool_)
    np.logical_or.at(in_output, root, instance.tensor_kind == OUTPUT)
    table[:, BEGIN] = np.where(made, table[:, BIRTH] + 1, 0)
    end = np.where(in_output, instance.num_ops, table[:, DEATH])
    table[:, UNTIL] = np.maximum(np.where(made, end, table[:, BIRTH]), table[:, BEGIN])
    return root, table


def load_pool(pool: Pool, b: int, instance: MappingInstance) -> None:
    """Put the tensors of an instance into slot b; `reset_pool` makes them ready."""
    root, table = places_of_tensors(instance)
    pool.root[b, : root.size] = root
    pool.tensor[b, : root.size, : UNTIL + 1] = table
    roots = np.flatnonzero((root == np.arange(root.size)) & (table[:, TOTAL] > 0))
    pool.left[b, 1] = roots.size
    pool.waiting[b, : roots.size] = roots


@borrowing_call
def reset_pool(m: Mapping, pool: Pool, b: int) -> None:
    """All tensors undecided, in a slot whose mapping has been reset."""
    pool.position[b] = -1
    pool.left[b, 0] = pool.left[b, 1]
    tensor = pool.tensor
    for k in range(pool.left[b, 0]):
        v = pool.waiting[b, k]
        pool.position[b, v] = k
        tensor[b, v, GAIN], tensor[b, v, OPEN] = 0, tensor[b, v, TOTAL]
        tensor[b, v, ROOM], tensor[b, v, CHANGED] = m.clock[b, CAPACITY], 1
        tensor[b, v, SPOT] = 0 if m.tensor[b, v, UNITS] <= m.clock[b, CAPACITY] else -1
    for a in range(m.clock[b, ACCESSES]):
        pool.gain[b, a] = 0


@borrowing_kernel
def _gain(m: Mapping, b: int, a: int) -> int:
    """Latency, ps, that serving access a from fast memory would save now."""
    i = m.access[b, a, OP]
    time = m.op[b, i, HBM] + m.op[b, i, FAST] - m.access[b, a, COST_HBM] + m.access[b, a, COST_FAST]
    return latency_of(m, b, i) - max(m.op[b, i, COMPUTE], time)


@borrowing_kernel
def update_accesses(m: Mapping, pool: Pool, b: int, i: int) -> None:
    """Look anew at what the undecided accesses of operation i would save."""
    room = m.clock[b, CAPACITY] - m.op[b, i, LOAD]
    for a in range(m.op[b, i, OP_FIRST], m.op[b, i + 1, OP_FIRST]):
        before = pool.gain[b, a]
        if before == LOST:
            continue
        v = m.access[b, a, TENSOR]
        root = pool.root[b, v]
        if m.tensor[b, v, UNITS] > room:
            pool.gain[b, a] = LOST
            pool.tensor[b, root, GAIN] -= before
            pool.tensor[b, root, OPEN] -= 1
            pool.tensor[b, root, CHANGED] = 1
            continue
        now = _gain(m, b, a)
        if now != before:
            pool.gain[b, a] = now
            pool.tensor[b, root, GAIN] += now - before
            pool.tensor[b, root, CHANGED] = 1


@borrowing_kernel
def update_room(m: Mapping, pool: Pool, b: int, v: int, low: int, high: int, offsets: int) -> None:
    """Look anew at the room of undecided tensor v, where the operations [low, high) have changed."""
    row = pool.tensor[b, v]
    room = row[ROOM]
    for i in range(max(low, row[BIRTH]), min(high, row[DEATH] + 1)):
        room = min(room, m.clock[b, CAPACITY] - m.op[b, i, LOAD])
    if room != row[ROOM]:
        row[ROOM], row[CHANGED] = room, 1
    units, spot = m.tensor[b, v, UNITS], row[SPOT]
    if spot < 0:
        return
    begin, end = row[BIRTH], row[DEATH] + 1
    if units > room:
        row[SPOT] = -1
    elif not is_free(Rectangles(m.used, m.row), b, begin, end, spot, spot + units, -1):
        row[SPOT] = fit(m, b, begin, end, v, offsets)
    if row[SPOT] < 0:
        row[CHANGED] = 1


@borrowing_kernel
def update_supply(m: Mapping, pool: Pool, b: int, low: int, supply: int) -> None:
    """Sum up idle HBM time and occupied memory anew from operation `low` on."""
    total = pool.supply
    for i in range(low, m.clock[b, OPS]):
        total[b, i + 1, 0] = total[b, i, 0] + idle(m, b, i, supply, STORE)
        total[b, i + 1, 1] = total[b, i, 1] + m.op[b, i, LOAD]


@borrowing_kernel
def retire(m: Mapping, pool: Pool, b: int, v: int) -> None:
    """Take a tensor out of the pool."""
    k, last = pool.position[b, v], pool.left[b, 0] - 1
    other = pool.waiting[b, last]
    pool.waiting[b, k], pool.waiting[b, last] = (
        other,
        v,
    )  # those that are out stay behind, for the next episode
    pool.position[b, other], pool.position[b, v] = k, -1
    pool.left[b, 0] = last
    pool.tensor[b, v, GAIN] = pool.tensor[b, v, OPEN] = 0
    while v >= 0:
        a = m.tensor[b, v, FIRST]
        while a >= 0:
            pool.gain[b, a] = LOST
            a = m.access[b, a, NEXT]
        v = m.tensor[b, v, HEIR]


@borrowing_kernel
def place_next(m: Mapping, pool: Pool, b: int, v: int, supply: int, offsets: int, prefetch: int) -> None:
    """Let undecided tensor v, and those in its place, take what room there is."""
    m.clock[b, DIRTY_LOW], m.clock[b, DIRTY_HIGH] = m.clock[b, OPS], 0
    place_chain(m, b, v, True, supply, offsets, prefetch, m.clock[b, STAY_CAP])
    retire(m, pool, b, v)


@borrowing_kernel
def leave(m: Mapping, pool: Pool, b: int, v: int) -> None:
    """Leave undecided tensor v, and those in its place, in HBM."""
    drop_chain(m, b, v)
    retire(m, pool, b, v)
