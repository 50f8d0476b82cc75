"""The priority decoder: tensors take what they want of the fast memory one after the other, whatever their order.

Any permutation of the tensors gives a mapping. A tensor is produced in fast memory, or fetched for its next use, and stays
over as many uses as there is room for, HBM holding it in time for the next; later uses are tried anew. Tensors that
share a place (`MappingInstance.tensor_heir`) are decided together. Latency comes out exactly, because idle HBM time only
grows with what has been placed (`mapping_copies`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_call, borrowing_kernel, kernel
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.mapping_copies import (
    IDLE,
    LATEST,
    PREFERRED,
    latest_start,
    preferred_start,
    store_end,
    take_fetch,
    take_store,
)
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_plan import plan_of
from makespan.envs.memory.mapping_simulator import BEST, fit
from makespan.envs.memory.mapping_state import (
    ALL_HBM,
    COMPUTE,
    COPY,
    COPY_TIME,
    DONOR,
    FIRST,
    HEIR,
    HOST,
    IN_END,
    IN_START,
    KEEP,
    KIND,
    LATENCY,
    NEXT,
    NO_CAP,
    OP,
    OPS,
    OUTPUT_KIND,
    PLACE,
    PREVIOUS,
    TENSOR,
    VALID,
    WRITE,
    Mapping,
    begin_residence,
    hand_over,
    load_slot,
    make_mapping,
    reset_slot,
    serve_fast,
)


@borrowing_kernel
def _following(m: Mapping, b: int, a: int) -> int:
    """The access after a: of its tensor, or else the production of the tensor's heir; -1 if there is none."""
    if m.access[b, a, NEXT] >= 0:
        return m.access[b, a, NEXT]
    heir = m.tensor[b, m.access[b, a, TENSOR], HEIR]
    return m.tensor[b, heir, FIRST] if heir >= 0 else -1


@borrowing_kernel
def _elapsed(m: Mapping, b: int, start: int, end: int) -> int:
    """Latency of the operations [start, end) served from HBM."""
    total = 0
    for i in range(start, end):
        total += max(m.op[b, i, COMPUTE], m.op[b, i, ALL_HBM])
    return total


@borrowing_kernel
def _reach(m: Mapping, b: int, a: int, cap: int) -> int:
    """How many accesses after a one stay may serve: no gap between two of them may take longer than `cap` ps."""
    count, k = 0, _following(m, b, a)
    while k >= 0:
        if cap < NO_CAP and _elapsed(m, b, m.access[b, a, OP] + 1, m.access[b, k, OP]) > cap:
            break
        count, a, k = count + 1, k, _following(m, b, k)
    return count


@borrowing_kernel
def _stay_needs(m: Mapping, b: int, first: int, last: int, supply: int) -> tuple[int, int]:
    """What a stay over the accesses first..last must reserve.

    Returns:
        Exclusive end of the stay, 0 if it may not end there, and exclusive end of the copy to HBM, 0 for none.
    """
    i, v, following = m.access[b, last, OP], m.access[b, last, TENSOR], m.access[b, last, NEXT]
    if following < 0 and m.tensor[b, v, HEIR] >= 0:
        return 0, 0  # between an operand and what is written in its place
    limit = m.access[b, following, OP] if following >= 0 else m.clock[b, OPS]
    needed = following >= 0 or m.tensor[b, v, KIND] == OUTPUT_KIND
    if not needed or m.tensor[b, v, VALID] <= limit:
        return i + 1, 0
    birth = m.access[b, m.tensor[b, v, FIRST], OP]
    end = store_end(m, b, birth + 1, limit, v, supply)
    return (max(i + 1, end), end) if end > 0 else (0, 0)


@borrowing_kernel
def _stay(
    m: Mapping, b: int, a: int, last: int, start: int, end: int, offset: int, store: int, supply: int
) -> None:
    """Let a stay [start, end) serve the accesses a..last."""
    begin_residence(m, b, a, start, end, offset)
    host, k = a, a
    while True:
        if k != a and m.access[b, k, WRITE]:
            hand_over(m, b, host, k)
            host = k
        serve_fast(m, b, k, COPY if k == a and not m.access[b, a, WRITE] else KEEP)
        if k == last:
            break
        k = _following(m, b, k)
    v = m.access[b, last, TENSOR]
    if store > 0:
        take_store(m, b, v, m.access[b, m.tensor[b, v, FIRST], OP] + 1, store, supply)
        m.tensor[b, v, VALID] = store
    m.tensor[b, v, HOST] = -1


@borrowing_kernel
def _serve(m: Mapping, b: int, a: int, supply: int, offsets: int, prefetch: int, cap: int) -> int:
    """Serve access a and as many after it as possible from fast memory; returns the next access, -1 at the end."""
    i, v, previous = m.access[b, a, OP], m.access[b, a, TENSOR], m.access[b, a, PREVIOUS]
    early = latest = i
    if not m.access[b, a, WRITE]:
        lower = max(m.access[b, previous, OP] + 1 if previous >= 0 else 0, m.tensor[b, v, VALID])
        need = m.tensor[b, v, COPY_TIME]
        early = latest = latest_start(m, b, lower, i, need, supply)
        if latest < 0:
            return _following(m, b, a)
        if prefetch == PREFERRED:
            early = preferred_start(m, b, lower, i, need, supply)
    for count in range(_reach(m, b, a, cap), -1, -1):
        last = a
        for _ in range(count):
            last = _following(m, b, last)
        end, store = _stay_needs(m, b, a, last, supply)
        if end == 0:
            continue
        start = early
        offset = fit(m, b, start, end, v, offsets)
        if offset < 0 and early < latest:
            start = latest
            offset = fit(m, b, start, end, v, offsets)
        if offset >= 0:
            if not m.access[b, a, WRITE]:
                on_time = prefetch == LATEST
                start, m.access[b, a, IN_END] = take_fetch(
                    m, b, m.tensor[b, v, COPY_TIME], start, i, supply, on_time
                )
                m.access[b, a, IN_START] = start
            _stay(m, b, a, last, start, end, offset, store, supply)
            return _following(m, b, last)
    if m.access[b, a, WRITE]:
        m.tensor[b, v, VALID] = i + 1
    return _following(m, b, a)


@borrowing_call
def place_chain(
    m: Mapping, b: int, v: int, copies: bool, supply: int, offsets: int, prefetch: int, cap: int
) -> None:
    """Place tensor v, and those that are written in its place, as well as there is still room.

    Without `copies` nothing is fetched: only what is produced in fast memory stays there.
    """
    a = m.tensor[b, v, FIRST]
    while a >= 0:
        writes = m.access[b, a, WRITE] == 1
        if writes and m.tensor[b, m.access[b, a, TENSOR], DONOR] >= 0:
            m.tensor[b, m.access[b, a, TENSOR], VALID] = (
                m.access[b, a, OP] + 1
            )  # its operand was read from HBM
            a = _following(m, b, a)
        elif writes or copies:
            a = _serve(m, b, a, supply, offsets, prefetch, cap)
        else:
            a = _following(m, b, a)


@borrowing_kernel
def drop_chain(m: Mapping, b: int, v: int) -> None:
    """Serve tensor v, and those that are written in its place, from HBM alone."""
    while v >= 0:
        a = m.tensor[b, v, FIRST]
        if m.access[b, a, WRITE]:
            m.tensor[b, v, VALID] = m.access[b, a, OP] + 1
        v = m.tensor[b, v, HEIR]


@kernel
def decode_order(m: Mapping, order: NDArray[np.int64], offsets: int, prefetch: int, cap: int) -> int:
    """Decode an order in slot 0; returns the latency."""
    reset_slot(m, 0, False)
    for v in order:
        if m.tensor[0, v, DONOR] < 0:
            place_chain(m, 0, v, True, IDLE, offsets, prefetch, cap)
    return m.clock[0, LATENCY]


class PriorityDecoder:
    """Turns orders of an instance's tensors into mappings.

    Args:
        instance: What is to be mapped.
        offset_policy: `LOWEST`, `BEST` or `HIGHEST` offset.
        prefetch: `LATEST` or `PREFERRED` start of copies into fast memory.
        cap: Longest time in ps between two accesses that a stay may bridge.

    Attributes:
        mapping: One slot, in the state that the last order has led to.
        policy: Offsets, prefetch and cap, as `decode_order` takes them.
    """

    def __init__(
        self,
        instance: MappingInstance,
        *,
        offset_policy: int = BEST,
        prefetch: int = LATEST,
        cap: int = NO_CAP,
    ) -> None:
        self.instance = instance
        self.policy = (offset_policy, prefetch, cap)
        self.mapping = make_mapping(1, instance.num_ops, instance.num_accesses, instance.num_tensors)
        load_slot(self.mapping, 0, instance)
        reset_slot(self.mapping, 0, False)

    def decode(self, order: NDArray[np.int64]) -> int:
        """Latency in ps of the mapping that an order (T,) of all tensors gives."""
        return int(decode_order(self.mapping, order, *self.policy))

    def places(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """(A,) where that mapping serves each access from: `DROP`, `KEEP` or `COPY`."""
        self.decode(order)
        return self.mapping.access[0, :, PLACE].copy()

    def schedule(self, order: NDArray[np.int64]) -> Schedule:
        """That mapping."""
        self.decode(order)
        return plan_of(self.mapping, 0, self.instance)


def time_order(instance: MappingInstance) -> NDArray[np.int64]:
    """Tensors by their first access."""
    return np.argsort(instance.tensor_first, kind="stable")


def big_first_order(instance: MappingInstance) -> NDArray[np.int64]:
    """Largest tensors first."""
    return np.lexsort((instance.tensor_first, -instance.program.tensor_size))


def small_first_order(instance: MappingInstance) -> NDArray[np.int64]:
    """Smallest tensors first."""
    return np.lexsort((instance.tensor_first, instance.program.tensor_size))


def xla_order(instance: MappingInstance) -> NDArray[np.int64]:
    """XLA's order (algorithm.cc): boundedness / sqrt(size), then larger, longer-lived, latest used, earliest begun."""
    size = instance.program.tensor_size
    begin, end = instance.access_op[instance.tensor_first], instance.access_op[instance.tensor_last]
    keys = (
        instance.tensor_first,
        begin,
        end,
        begin - end,
        -size,
        -instance.tensor_boundedness / np.sqrt(size),
    )
    return np.lexsort(keys)


def density_order(instance: MappingInstance) -> NDArray[np.int64]:
    """Largest benefit per byte and operation of the tensor's lifetime first."""
    begin, end = instance.access_op[instance.tensor_first], instance.access_op[instance.tensor_last]
    area = instance.program.tensor_size * (end - begin + 1.0)
    return np.lexsort((instance.tensor_first, -instance.access_remaining[instance.tensor_first] / area))


def xla_cap(instance: MappingInstance, ratio: float = 10.0) -> int:
    """XLA's longest live range (prefetch_interval_picker.cc): `ratio` times the copy of a whole fast memory, ps."""
    return int(ratio * instance.hardware.capacity / instance.hardware.hbm_bytes_per_s * 10**12)


Order = Callable[[MappingInstance], NDArray[np.int64]]

ORDERS: Final[dict[str, Order]] = {
    "density": density_order,
    "xla": xla_order,
    "big_first": big_first_order,
    "small_first": small_first_order,
    "time_order": time_order,
}
"""Orders (T,) of tensors by name."""
