"""HBM time for copies: the *idle-bandwidth* model.

An operation of latency max(compute, HBM time + fast time) leaves HBM idle for its latency less its own HBM time; copies in
either direction run beside it in what is left. Serving an access from fast memory never shrinks an operation's idle
time, so a copy that is legal once stays legal, and no copy ever makes an operation wait.

For comparison only there is the *elapsed* model of XLA's memory-space assignment (algorithm.cc), in which every operation
offers its whole latency, once for each direction. It oversubscribes HBM.
"""

from __future__ import annotations

from typing import Final

from makespan.envs.core.kernels import borrowing_call, borrowing_kernel
from makespan.envs.memory.mapping_state import (
    ALL_HBM,
    BACK,
    COMPUTE,
    COPY_TIME,
    FAST,
    FETCH,
    FREE,
    HBM,
    OUT_END,
    OUT_START,
    PART_NEXT,
    PART_OP,
    PART_TIME,
    STORE,
    Mapping,
    touch,
)

IDLE: Final = 0
ELAPSED: Final = 1

LATEST: Final = 0
PREFERRED: Final = 1
EARLIEST: Final = 2

PREFERRED_NUMERATOR: Final = 3  # a preferred copy window offers 3/2 of the copy's time
PREFERRED_DENOMINATOR: Final = 2


@borrowing_kernel
def idle(m: Mapping, b: int, i: int, supply: int, direction: int) -> int:
    """HBM time, ps, that operation i has left for copies in a direction (`FETCH` or `STORE`)."""
    op = m.op
    if supply == ELAPSED:
        return max(op[b, i, COMPUTE], op[b, i, ALL_HBM]) - op[b, i, direction]
    latency = max(op[b, i, COMPUTE], op[b, i, HBM] + op[b, i, FAST])
    return latency - op[b, i, HBM] - op[b, i, FETCH] - op[b, i, STORE]


@borrowing_kernel
def latest_start(m: Mapping, b: int, lower: int, end: int, need: int, supply: int) -> int:
    """The latest operation >= lower such that those from it to `end` (exclusive) have `need` idle time, -1 if none."""
    i = end - 1
    while i >= lower:
        need -= idle(m, b, i, supply, FETCH)
        if need <= 0:
            return i
        i -= 1
    return -1


@borrowing_kernel
def preferred_start(m: Mapping, b: int, lower: int, end: int, need: int, supply: int) -> int:
    """As `latest_start` with half as much idle time again, or `lower` if there is less."""
    more = (need * PREFERRED_NUMERATOR) // PREFERRED_DENOMINATOR
    return max(lower, latest_start(m, b, lower, end, more, supply))


@borrowing_call
def store_end(m: Mapping, b: int, start: int, end: int, v: int, supply: int) -> int:
    """Exclusive end of the earliest copy of tensor v to HBM within the operations [start, end); 0 if it does not fit.

    Idle time that v's own copy has reserved counts as free.
    """
    need = m.tensor[b, v, COPY_TIME]
    own = m.tensor[b, v, BACK]
    for i in range(start, end):
        need -= idle(m, b, i, supply, STORE)
        while own >= 0 and m.part[b, own, PART_OP] <= i:
            if m.part[b, own, PART_OP] == i:
                need -= m.part[b, own, PART_TIME]
            own = m.part[b, own, PART_NEXT]
        if need <= 0:
            return i + 1
    return 0


@borrowing_call
def take_store(m: Mapping, b: int, v: int, start: int, end: int, supply: int) -> None:
    """Reserve the earliest copy of tensor v to HBM within the operations [start, end), which must hold it."""
    need, last = m.tensor[b, v, COPY_TIME], -1
    m.tensor[b, v, OUT_START] = start
    for i in range(start, end):
        time = min(need, idle(m, b, i, supply, STORE))
        if time > 0:
            k = m.clock[b, FREE]
            m.clock[b, FREE] = m.part[b, k, PART_NEXT]
            m.part[b, k, PART_OP], m.part[b, k, PART_TIME], m.part[b, k, PART_NEXT] = i, time, -1
            if last < 0:
                m.tensor[b, v, BACK] = k
                m.tensor[b, v, OUT_START] = i
            else:
                m.part[b, last, PART_NEXT] = k
            last = k
            m.op[b, i, STORE] += time
            need -= time
        if need == 0:
            m.tensor[b, v, OUT_END] = i + 1
            touch(m, b, start, i + 1)
            return


@borrowing_kernel
def give_store_back(m: Mapping, b: int, v: int) -> None:
    """Undo tensor v's copy to HBM."""
    k = m.tensor[b, v, BACK]
    if k >= 0:
        touch(m, b, m.tensor[b, v, OUT_START], m.tensor[b, v, OUT_END])
    while k >= 0:
        m.op[b, m.part[b, k, PART_OP], STORE] -= m.part[b, k, PART_TIME]
        following = m.part[b, k, PART_NEXT]
        m.part[b, k, PART_NEXT] = m.clock[b, FREE]
        m.clock[b, FREE] = k
        k = following
    m.tensor[b, v, BACK] = -1
    m.tensor[b, v, OUT_START] = m.tensor[b, v, OUT_END] = 0


@borrowing_call
def take_fetch(
    m: Mapping, b: int, need: int, start: int, end: int, supply: int, latest: bool
) -> tuple[int, int]:
    """Take `need` idle time of the operations [start, end), from the end or from the start; returns the ones used."""
    first, last = end, start
    for step in range(end - start):
        i = end - 1 - step if latest else start + step
        time = min(need, idle(m, b, i, supply, FETCH))
        if time > 0:
            m.op[b, i, FETCH] += time
            need -= time
            first, last = min(first, i), max(last, i)
        if need == 0:
            break
    touch(m, b, first, last + 1)
    return first, last + 1
