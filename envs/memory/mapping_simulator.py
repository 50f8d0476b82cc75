"""The mapping game: one decision for each access, in program order (the memory-mapping game of arXiv 2305.07440).

* `DROP`: the access is served from HBM.
* `KEEP`: an output is produced in fast memory; an operand is still there since its last access, at the same offset.
* `COPY`: an operand is fetched ahead of its use, beside the operations since its last access.

What an action needs is reserved when it is taken. In `SAFE` mode that includes a way to HBM for whatever is produced
in fast memory: either a copy to HBM, undone if nobody needs it, or room until the last use, which is given up for a
copy once operations have left the time for one. So some action is always legal. In `DROP_BACKUP` mode copies to HBM are
planned when they are needed; if then neither the tensor can stay nor its value has reached HBM, no action is legal and
the engine goes back to its production, which must be dropped.

Where an operation writes a tensor in place of an operand (`MappingInstance.tensor_heir`), the operand's decision is
the output's too.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_call, borrowing_kernel
from makespan.envs.memory.mapping_copies import (
    EARLIEST,
    LATEST,
    give_store_back,
    latest_start,
    preferred_start,
    store_end,
    take_fetch,
    take_store,
)
from makespan.envs.memory.mapping_state import (
    ACCESSES,
    ALLOWED,
    BANNED,
    CAPACITY,
    CHOICE_END,
    CHOICE_FETCH,
    CHOICE_KEPT,
    CHOICE_OFFSET,
    CHOICE_START,
    CHOICE_STORE,
    COPY,
    COPY_TIME,
    CURSOR,
    DONOR,
    DROP,
    END,
    FAR,
    FIRST,
    HEIR,
    HOST,
    IN_END,
    IN_START,
    KEEP,
    KIND,
    LAST,
    OFFSET,
    OP,
    OPS,
    OUT_END,
    OUTPUT_KIND,
    PREVIOUS,
    RELIED,
    TENSOR,
    TENSORS,
    UNITS,
    VALID,
    WRITE,
    Mapping,
    begin_residence,
    can_extend,
    hand_over,
    rectangles_since,
    serve_fast,
    set_end,
)
from makespan.envs.memory.rectangles import END as ROW_END
from makespan.envs.memory.rectangles import START as ROW_START
from makespan.envs.memory.rectangles import best_fit, find, highest_fit, lowest_fit

SAFE: Final = 0
DROP_BACKUP: Final = 1

LOWEST: Final = 0
BEST: Final = 1
HIGHEST: Final = 2


@borrowing_call
def fit(m: Mapping, b: int, start: int, end: int, v: int, policy: int) -> int:
    """Offset for tensor v throughout the operations [start, end), -1 if there is no room."""
    units, capacity = m.tensor[b, v, UNITS], m.clock[b, CAPACITY]
    rectangles = rectangles_since(m, b, start)
    if policy == BEST:
        return best_fit(rectangles, b, start, end, units, 1, capacity)
    if policy == HIGHEST:
        return highest_fit(rectangles, b, start, end, units, 1, capacity)
    offset = lowest_fit(rectangles, b, start, end, 0, units, 1, 0)
    return offset if offset + units <= capacity else -1


@borrowing_call
def production_needs(m: Mapping, b: int, v: int, i: int, mode: int, supply: int) -> tuple[int, int]:
    """What producing tensor v in fast memory at operation i must reserve.

    Returns:
        Exclusive end of the residence, 0 if it cannot be, and exclusive end of the copy to HBM, 0 for none.
    """
    last = m.access[b, m.tensor[b, v, LAST], OP]
    is_output = m.tensor[b, v, KIND] == OUTPUT_KIND
    if last == i and not is_output:
        return i + 1, 0
    if mode == DROP_BACKUP and last > i:
        return i + 1, 0
    end = store_end(m, b, i + 1, m.clock[b, OPS], v, supply)
    if is_output:
        return end, end
    if end == 0 or end > last:  # HBM would have it too late: it stays until its last use
        if m.tensor[b, v, HEIR] >= 0:
            return 0, 0  # whose place an output takes must be able to leave before
        return last + 1, 0
    return end, end


@borrowing_kernel
def _reserve_production(m: Mapping, b: int, v: int, i: int, store: int, supply: int) -> None:
    if store > 0:
        take_store(m, b, v, i + 1, store, supply)
        m.tensor[b, v, VALID] = store
        m.tensor[b, v, RELIED] = 1 if m.tensor[b, v, KIND] == OUTPUT_KIND else 0


@borrowing_kernel
def _way_to_hbm(m: Mapping, b: int, v: int, i: int, supply: int) -> int:
    """Exclusive end of a copy of v to HBM before operation i, 0 if HBM holds it by then anyway, -1 if there is no way."""
    if m.tensor[b, v, VALID] <= i:
        return 0
    host = m.tensor[b, v, HOST]
    if host < 0:
        return -1
    birth = m.access[b, m.tensor[b, v, FIRST], OP]
    end = store_end(m, b, birth + 1, i, v, supply)
    return end if end > 0 and can_extend(m, b, host, end) else -1


@borrowing_kernel
def _keep_operand(m: Mapping, b: int, a: int, mode: int, supply: int) -> bool:
    """Whether the operand of access a can stay where it is; writes what that takes."""
    i, v = m.access[b, a, OP], m.access[b, a, TENSOR]
    host = m.tensor[b, v, HOST]
    if host < 0:
        return False
    end, store, is_last = max(i + 1, m.access[b, host, END]), 0, m.tensor[b, v, LAST] == a
    heir = m.tensor[b, v, HEIR]
    if is_last and heir >= 0:
        need, store = production_needs(m, b, heir, i, mode, supply)
        if need == 0:
            return False
        end = max(i + 1, need)
        if not can_extend(m, b, host, end):
            return False
    elif is_last and m.tensor[b, v, VALID] == FAR and m.tensor[b, v, KIND] == OUTPUT_KIND:
        birth = m.access[b, m.tensor[b, v, FIRST], OP]
        store = store_end(m, b, birth + 1, m.clock[b, OPS], v, supply)
        if store == 0:
            return False
        end = max(end, store)
    choice = m.choice
    choice[b, KEEP, CHOICE_START], choice[b, KEEP, CHOICE_END] = i, end
    choice[b, KEEP, CHOICE_OFFSET], choice[b, KEEP, CHOICE_STORE] = m.access[b, host, OFFSET], store
    return can_extend(m, b, host, end)


@borrowing_kernel
def _fit_without(m: Mapping, b: int, host: int, kept: int, start: int, end: int, v: int, offsets: int) -> int:
    """`fit` as if the residence `host` ended at `kept`."""
    if host < 0 or m.access[b, host, END] <= kept:
        return fit(m, b, start, end, v, offsets)
    rectangles = rectangles_since(m, b, start)
    row, k = rectangles.row, find(rectangles, b, host)
    if k < 0:
        return fit(m, b, start, end, v, offsets)
    first, last = row[b, k, ROW_START], row[b, k, ROW_END]
    row[b, k, ROW_END] = kept
    if kept <= first:
        row[b, k, ROW_START] = row[b, k, ROW_END] = FAR
    offset = fit(m, b, start, end, v, offsets)
    row[b, k, ROW_START], row[b, k, ROW_END] = first, last
    return offset


@borrowing_kernel
def _copy_operand(
    m: Mapping, b: int, a: int, way: int, mode: int, supply: int, offsets: int, prefetch: int
) -> bool:
    """Whether the operand of access a can be fetched in time; writes what that takes."""
    i, v, previous = m.access[b, a, OP], m.access[b, a, TENSOR], m.access[b, a, PREVIOUS]
    host = m.tensor[b, v, HOST]
    in_hbm = way if way > 0 else m.tensor[b, v, VALID]
    left = m.access[b, previous, OP] + 1 if previous >= 0 else 0
    lower, need = max(left, in_hbm), m.tensor[b, v, COPY_TIME]
    start = latest_start(m, b, lower, i, need, supply)
    if start < 0:
        return False
    end, store = i + 1, 0
    heir = m.tensor[b, v, HEIR]
    if heir >= 0 and m.tensor[b, v, LAST] == a:
        end, store = production_needs(m, b, heir, i, mode, supply)
        if end == 0:
            return False
    kept = max(left, way if way > 0 else m.tensor[b, v, OUT_END])
    offset = -1
    if prefetch != LATEST:
        early = lower if prefetch == EARLIEST else preferred_start(m, b, lower, i, need, supply)
        offset = _fit_without(m, b, host, kept, early, end, v, offsets)
        if offset >= 0:
            start = early
    if offset < 0:
        offset = _fit_without(m, b, host, kept, start, end, v, offsets)
    choice = m.choice
    choice[b, COPY, CHOICE_START], choice[b, COPY, CHOICE_END] = start, end
    choice[b, COPY, CHOICE_OFFSET], choice[b, COPY, CHOICE_STORE] = offset, store
    choice[b, COPY, CHOICE_FETCH], choice[b, COPY, CHOICE_KEPT] = start, kept
    return offset >= 0


@borrowing_kernel
def _legal_output(
    m: Mapping, b: int, a: int, mask: NDArray[np.int8], mode: int, supply: int, offsets: int
) -> None:
    i, v = m.access[b, a, OP], m.access[b, a, TENSOR]
    donor, choice = m.tensor[b, v, DONOR], m.choice
    if donor >= 0:
        in_fast = m.tensor[b, donor, HOST] >= 0
        mask[b, DROP], mask[b, KEEP] = not in_fast, in_fast
        return
    mask[b, DROP] = 1
    if m.access[b, a, BANNED]:
        return
    end, store = production_needs(m, b, v, i, mode, supply)
    if end == 0:
        return
    offset = fit(m, b, i, end, v, offsets)
    mask[b, KEEP] = offset >= 0
    choice[b, KEEP, CHOICE_START], choice[b, KEEP, CHOICE_END] = i, end
    choice[b, KEEP, CHOICE_OFFSET], choice[b, KEEP, CHOICE_STORE] = offset, store


@borrowing_call
def legal_actions(
    m: Mapping, b: int, mask: NDArray[np.int8], mode: int, supply: int, offsets: int, prefetch: int
) -> int:
    """Write row b of the mask (B, 3) for the access at the cursor; returns the number of legal actions.

    None is legal at a dead end, and after the last access.
    """
    mask[b, DROP] = mask[b, KEEP] = mask[b, COPY] = 0
    m.choice[b] = 0
    a = m.clock[b, CURSOR]
    if a >= m.clock[b, ACCESSES]:
        m.clock[b, ALLOWED] = 0
        return 0
    if m.access[b, a, WRITE]:
        _legal_output(m, b, a, mask, mode, supply, offsets)
    else:
        i, v = m.access[b, a, OP], m.access[b, a, TENSOR]
        way = _way_to_hbm(m, b, v, i, supply)
        mask[b, DROP] = way >= 0
        m.choice[b, DROP, CHOICE_STORE] = max(way, 0)
        if not m.access[b, a, BANNED]:
            mask[b, KEEP] = _keep_operand(m, b, a, mode, supply)
            mask[b, COPY] = way >= 0 and _copy_operand(m, b, a, way, mode, supply, offsets, prefetch)
    count = mask[b, DROP] + mask[b, KEEP] + mask[b, COPY]
    m.clock[b, ALLOWED] = count
    return count


@borrowing_kernel
def _leave(m: Mapping, b: int, a: int, supply: int) -> None:
    """The operand of access a leaves fast memory after its previous access; HBM holds it from then on."""
    v, previous = m.access[b, a, TENSOR], m.access[b, a, PREVIOUS]
    host, way = m.tensor[b, v, HOST], m.choice[b, DROP, CHOICE_STORE]
    if way > 0:
        give_store_back(m, b, v)
        take_store(m, b, v, m.access[b, m.tensor[b, v, FIRST], OP] + 1, way, supply)
        m.tensor[b, v, VALID] = way
    m.tensor[b, v, RELIED] = 1
    if host >= 0:
        set_end(m, b, host, max(m.access[b, previous, OP] + 1, m.tensor[b, v, OUT_END]))
        m.tensor[b, v, HOST] = -1


@borrowing_kernel
def _drop(m: Mapping, b: int, a: int, supply: int) -> None:
    if m.access[b, a, WRITE]:
        m.tensor[b, m.access[b, a, TENSOR], VALID] = m.access[b, a, OP] + 1
    else:
        _leave(m, b, a, supply)


@borrowing_kernel
def _keep(m: Mapping, b: int, a: int, supply: int) -> None:
    i, v = m.access[b, a, OP], m.access[b, a, TENSOR]
    end, store = m.choice[b, KEEP, CHOICE_END], m.choice[b, KEEP, CHOICE_STORE]
    if m.access[b, a, WRITE]:
        donor = m.tensor[b, v, DONOR]
        if donor >= 0:
            hand_over(m, b, m.tensor[b, donor, HOST], a)
            m.tensor[b, donor, HOST] = -1
            return
        begin_residence(m, b, a, i, end, m.choice[b, KEEP, CHOICE_OFFSET])
        _reserve_production(m, b, v, i, store, supply)
        return
    host, heir, is_last = m.tensor[b, v, HOST], m.tensor[b, v, HEIR], m.tensor[b, v, LAST] == a
    if is_last and not m.tensor[b, v, RELIED]:
        give_store_back(m, b, v)  # nobody reads it from HBM any more
        if heir < 0 and store == 0:
            end = i + 1
    set_end(m, b, host, end)
    if is_last and heir >= 0:
        _reserve_production(m, b, heir, i, store, supply)
    elif store > 0:
        _reserve_production(m, b, v, m.access[b, m.tensor[b, v, FIRST], OP], store, supply)


@borrowing_kernel
def _copy(m: Mapping, b: int, a: int, supply: int, prefetch: int) -> None:
    i, v = m.access[b, a, OP], m.access[b, a, TENSOR]
    choice, heir = m.choice, m.tensor[b, v, HEIR]
    _leave(m, b, a, supply)
    start, latest = choice[b, COPY, CHOICE_FETCH], prefetch == LATEST
    first, last = take_fetch(m, b, m.tensor[b, v, COPY_TIME], start, i, supply, latest)
    m.access[b, a, IN_START], m.access[b, a, IN_END] = first, last
    begin_residence(m, b, a, first, choice[b, COPY, CHOICE_END], choice[b, COPY, CHOICE_OFFSET])
    if heir >= 0 and m.tensor[b, v, LAST] == a:
        _reserve_production(m, b, heir, i, choice[b, COPY, CHOICE_STORE], supply)


@borrowing_kernel
def _free_hold(m: Mapping, b: int, v: int, now: int, supply: int) -> None:
    """If a tensor waits in fast memory for its last use and HBM time has turned up since, store it there instead."""
    host = m.tensor[b, v, HOST]
    if host < 0 or m.tensor[b, v, VALID] != FAR or m.access[b, host, END] <= now + 1:
        return
    last = m.access[b, m.tensor[b, v, LAST], OP]
    birth = m.access[b, m.tensor[b, v, FIRST], OP]
    end = store_end(m, b, birth + 1, min(now + 1, last), v, supply)
    if end > 0:
        take_store(m, b, v, birth + 1, end, supply)
        m.tensor[b, v, VALID] = end
        set_end(m, b, host, now + 1)


@borrowing_kernel
def free_holds(m: Mapping, b: int, i: int, supply: int) -> None:
    """After operation i: its idle HBM time is known now, and may serve those that wait in fast memory for want of it."""
    for v in range(m.clock[b, TENSORS]):
        _free_hold(m, b, v, i, supply)


@borrowing_call
def decide(m: Mapping, b: int, action: int, mode: int, supply: int, prefetch: int) -> None:
    """Take a legal action for the access at the cursor, right after `legal_actions`, and move on to the next."""
    a = m.clock[b, CURSOR]
    if action == DROP:
        _drop(m, b, a, supply)
    else:
        if action == KEEP:
            _keep(m, b, a, supply)
        else:
            _copy(m, b, a, supply, prefetch)
        serve_fast(m, b, a, action)
    m.clock[b, CURSOR] = a + 1
    if mode == SAFE and a + 1 < m.clock[b, ACCESSES] and m.access[b, a + 1, OP] > m.access[b, a, OP]:
        free_holds(m, b, m.access[b, a, OP], supply)


@borrowing_call
def legal_choices(m: Mapping, b: int, mask: NDArray[np.int8]) -> int:
    """As `legal_actions` with one decision for each tensor, or chain of tensors in one place, in order of first access.

    The cursor moves on to the next such access. Keep may not fetch, Copy may; either takes what room there is.
    """
    mask[b, DROP] = mask[b, KEEP] = mask[b, COPY] = 0
    m.choice[b] = 0
    a, total = m.clock[b, CURSOR], m.clock[b, ACCESSES]
    while a < total and (m.access[b, a, PREVIOUS] >= 0 or m.tensor[b, m.access[b, a, TENSOR], DONOR] >= 0):
        a += 1
    m.clock[b, CURSOR], m.clock[b, ALLOWED] = a, 0
    if a >= total:
        return 0
    v = m.access[b, a, TENSOR]
    mask[b, DROP], mask[b, KEEP] = 1, m.access[b, a, WRITE]
    mask[b, COPY] = m.tensor[b, v, LAST] != a or not m.access[b, a, WRITE]
    for k in (KEEP, COPY):
        m.choice[b, k, CHOICE_START] = m.access[b, a, OP]
        m.choice[b, k, CHOICE_END] = m.access[b, m.tensor[b, v, LAST], OP] + 1
    m.clock[b, ALLOWED] = mask[b, DROP] + mask[b, KEEP] + mask[b, COPY]
    return m.clock[b, ALLOWED]


@borrowing_kernel
def culprit(m: Mapping, b: int) -> int:
    """At a dead end: the access in fast memory that has led there, which must be dropped instead."""
    v = m.access[b, m.clock[b, CURSOR], TENSOR]
    donor = m.tensor[b, v, DONOR]
    return m.tensor[b, donor, LAST] if donor >= 0 else m.tensor[b, v, FIRST]
