"""Who is asked what: the decision epochs of a blocking shop.

At a moment when everything that happens by itself has happened, the free machine of lowest number that is up and has
jobs waiting for it is asked: which of them enters, or (with `may_wait`) none before the next event. Waiting is allowed
while some event lies ahead or another machine has yet to be asked, so that something always goes on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.blocking.simulator import (
    ALLOWED,
    ASIDE,
    ASKED,
    BLOCKED,
    FAR,
    FINISHED,
    HOLDER,
    JOBS,
    MACHINES,
    QUEUE,
    RUNNING,
    STATE,
    SWAP,
    TARGET,
    WAITING,
    WINDOWS,
    Shops,
    advance,
    enter,
    is_down,
    mark_safe,
    next_event,
    process_events,
)
from makespan.envs.core.kernels import borrowing_kernel, kernel

Mask = NDArray[np.int8]


@borrowing_kernel
def _may_be_asked(shops: Shops, b: int, m: int) -> bool:
    machine = shops.machine
    if machine[b, m, HOLDER] >= 0 or machine[b, m, QUEUE] == 0 or machine[b, m, ASIDE] != 0:
        return False
    return shops.clock[b, WINDOWS] == 0 or not is_down(shops, b, m)


@kernel
def _write_candidates(shops: Shops, b: int, m: int, mask: Mask) -> int:
    """Mark the jobs that may enter machine m now in row b of the mask; returns their number."""
    clock, job = shops.clock, shops.job
    count = 0
    for j in range(mask.shape[1]):
        mask[b, j] = 0
    for j in range(clock[b, JOBS]):
        state = job[b, j, STATE]
        if state in (WAITING, BLOCKED) and job[b, j, TARGET] == m:
            mask[b, j] = 1
            count += 1
    return count if clock[b, SWAP] else mark_safe(shops, b, m, mask)


@borrowing_kernel
def _others_wait(shops: Shops, b: int, asked: int, mask: Mask) -> bool:
    """Whether another machine still to be asked has a candidate; leaves the mask as it was for the asked one."""
    found = False
    for m in range(asked + 1, shops.clock[b, MACHINES]):  # lower ones have been asked
        if not found and _may_be_asked(shops, b, m):
            found = shops.clock[b, SWAP] != 0 or _write_candidates(shops, b, m, mask) > 0
    if not shops.clock[b, SWAP]:
        _write_candidates(shops, b, asked, mask)
    return found


@kernel
def legal_actions(shops: Shops, b: int, may_wait: bool, mask: Mask) -> int:
    """Go on to the next decision and write row b of its mask (B, J + 1); the number of allowed candidates, 0 at the end.

    Candidate j is the entry of job j; the last candidate waits.
    """
    clock, machine = shops.clock, shops.machine
    process_events(shops, b)
    while clock[b, FINISHED] < clock[b, JOBS]:
        for m in range(clock[b, MACHINES]):
            if not _may_be_asked(shops, b, m):
                continue
            count = _write_candidates(shops, b, m, mask)
            if count == 0:
                machine[b, m, ASIDE] = 2
                continue
            ahead = clock[b, RUNNING] > 0 or next_event(shops, b) < FAR
            if may_wait and (ahead or _others_wait(shops, b, m, mask)):
                mask[b, mask.shape[1] - 1] = 1
                count += 1
            clock[b, ASKED], clock[b, ALLOWED] = m, count
            return count
        event = next_event(shops, b)
        if event < FAR:
            advance(shops, b, event)
            continue
        reopened = False
        for m in range(
            clock[b, MACHINES]
        ):  # some machine that waits has a safe candidate, or there was no way out
            reopened |= machine[b, m, ASIDE] == 1
            machine[b, m, ASIDE] = 0
        if not reopened:
            raise RuntimeError("dead end: no job can move")
    clock[b, ASKED], clock[b, ALLOWED] = -1, 0
    for a in range(mask.shape[1]):
        mask[b, a] = 0
    return 0


@borrowing_kernel
def take(shops: Shops, b: int, action: int, wait: int) -> None:
    """Let a job enter the asked machine, or (action `wait`) let it wait for the next event."""
    clock, machine = shops.clock, shops.machine
    if action == wait:
        machine[b, clock[b, ASKED], ASIDE] = 1
        return
    enter(shops, b, action)
    if not clock[b, SWAP]:
        for m in range(clock[b, MACHINES]):  # the move may have made others safe
            if machine[b, m, ASIDE] == 2:
                machine[b, m, ASIDE] = 0
