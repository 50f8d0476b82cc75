"""How a blocking shop would go on: for each candidate a copy of the shop takes it and finishes by a rule.

The copy knows what decision makers know. Operations last as long as their durations say, machines that are up stay up, and one
that is down is repaired after the mean time of the shop's repairs so far; a stop within an operation ends at once.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.blocking.decisions import legal_actions, take
from makespan.envs.blocking.simulator import (
    BEFORE,
    BLOCKED,
    CLOSES,
    COMPLETION,
    DURATION,
    FAR,
    FIRST,
    INTERRUPTED,
    JOBS,
    MACHINE,
    MACHINES,
    MAKESPAN,
    NEXT,
    NOW,
    OPENS,
    OPERATIONS,
    QUEUE_WORK,
    RELEASE,
    REMAINING,
    SINCE,
    STATE,
    STOP_LENGTH,
    TAIL,
    WINDOW,
    WINDOWS,
    Shops,
    is_down,
    make_shops,
)
from makespan.envs.core.kernels import borrowing_kernel, kernel

I64 = NDArray[np.int64]
Mask = NDArray[np.int8]

_BASE: Final = (
    *("spt", "lpt", "fifo", "mwkr", "lwkr", "mopnr", "lopnr"),
    *("ltail", "spt_twk", "spt_twkr", "fdd", "fdd_mwkr", "winq", "pt_winq"),
)
LOOKAHEAD_RULES: Final = (*_BASE, *(f"blocked_{name}" for name in _BASE))
"""Rules that the kernel can finish by: all of the family's, by the same names. A rule's number is its place here."""

_PLAYED, _PRESENT = (
    0,
    1,
)  # slots of a scratch: a copy that is played, and the present as decision makers know it
_COUNT: Final = len(_BASE)


def make_scratch(num_jobs: int, num_operations: int, num_machines: int) -> Shops:
    """Room for the copies of shops of at most this size."""
    scratch = make_shops(2, num_jobs, num_operations, num_machines, 2)
    scratch.window[:] = FAR  # of a machine's two windows the second never comes
    return scratch


@kernel
def _copy(source: Shops, s: int, target: Shops, t: int) -> None:
    """Put slot t of `target` into the state of slot s of `source`, but for the windows of downtime."""
    for column in range(source.clock.shape[1]):
        target.clock[t, column] = source.clock[s, column]
    for j in range(source.clock[s, JOBS] + 1):
        for column in range(source.job.shape[2]):
            target.job[t, j, column] = source.job[s, j, column]
    for o in range(source.clock[s, OPERATIONS]):
        for column in range(source.operation.shape[2]):
            target.operation[t, o, column] = source.operation[s, o, column]
        target.route[t, o] = source.route[s, o]
    for m in range(source.clock[s, MACHINES]):
        for column in range(source.machine.shape[2]):
            target.machine[t, m, column] = source.machine[s, m, column]
        target.need[t, m] = source.need[s, m]


@borrowing_kernel
def _mean_repair(shops: Shops, b: int) -> int:
    """Mean length of the downtimes that have ended, rounded up; 0 before the first."""
    lost, count = 0, 0
    for m in range(shops.clock[b, MACHINES]):
        k = shops.machine[b, m, WINDOW]
        lost += shops.window[b, m, k, BEFORE]
        count += k
    return -(-lost // count) if count > 0 else 0


@kernel
def _remember(shops: Shops, b: int, scratch: Shops) -> None:
    """Make the scratch's present from slot b, with nothing in it that only the future tells."""
    _copy(shops, b, scratch, _PRESENT)
    clock, machine, window = scratch.clock, scratch.machine, scratch.window
    clock[_PRESENT, WINDOWS] = 0
    for m in range(clock[_PRESENT, MACHINES]):
        machine[_PRESENT, m, WINDOW] = 0
        window[_PLAYED, m, 0, OPENS] = window[_PLAYED, m, 0, CLOSES] = FAR
    if not clock[_PRESENT, INTERRUPTED]:
        return
    for o in range(clock[_PRESENT, OPERATIONS]):
        scratch.operation[_PRESENT, o, STOP_LENGTH] = 0
    now, repair = clock[_PRESENT, NOW], _mean_repair(shops, b)
    for m in range(clock[_PRESENT, MACHINES]):
        end = now
        if is_down(shops, b, m):
            opened = shops.window[b, m, shops.machine[b, m, WINDOW], OPENS]
            end = max(now + 1, opened + repair)
            window[_PLAYED, m, 0, OPENS], window[_PLAYED, m, 0, CLOSES] = opened, end
            clock[_PRESENT, WINDOWS] = 1
        if machine[_PRESENT, m, COMPLETION] < FAR:
            machine[_PRESENT, m, COMPLETION] = end + machine[_PRESENT, m, REMAINING]


@borrowing_kernel
def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator != 0.0 else numerator


@kernel
def _priority(shops: Shops, b: int, j: int, base: int) -> float:
    """What the rule number `base` says of job j's next operation; `makespan.envs.blocking.rules` defines the same."""
    job, operation, machine = shops.job, shops.operation, shops.machine
    o, first, end = job[b, j, NEXT], job[b, j, FIRST], job[b, j + 1, FIRST]
    p, tail = float(operation[b, o, DURATION]), float(operation[b, o, TAIL])
    total = float(operation[b, first, DURATION] + operation[b, first, TAIL])
    due = job[b, j, RELEASE] + total - tail
    if base == 0:
        return p
    if base == 1:
        return -p
    if base == 2:
        return float(job[b, j, SINCE])
    if base == 3:
        return -p - tail
    if base == 4:
        return p + tail
    if base == 5:
        return float(o - end)
    if base == 6:
        return float(end - o)
    if base == 7:
        return -tail
    if base == 8:
        return _ratio(p, total)
    if base == 9:
        return _ratio(p, p + tail)
    if base == 10:
        return due
    if base == 11:
        return _ratio(due, p + tail)
    queue = 0.0
    if o + 1 < end:
        m = operation[b, o + 1, MACHINE]
        queue = float(machine[b, m, QUEUE_WORK])
        if machine[b, m, COMPLETION] < FAR:
            queue += machine[b, m, COMPLETION] - shops.clock[b, NOW]
    return queue if base == 12 else p + queue


@kernel
def _finish(shops: Shops, b: int, rule: int, mask: Mask) -> int:
    """Let a rule finish the shop, no machine ever waiting; the makespan."""
    blocked_first, base = rule >= _COUNT, rule % _COUNT
    while legal_actions(shops, b, False, mask) > 0:
        chosen, least, leads = -1, 0.0, False
        for j in range(shops.clock[b, JOBS]):
            if not mask[b, j]:
                continue
            own, first = _priority(shops, b, j, base), blocked_first and shops.job[b, j, STATE] == BLOCKED
            if chosen < 0 or (first and not leads) or (first == leads and own < least):
                chosen, least, leads = j, own, first
        take(shops, b, chosen, -1)
    return shops.clock[b, MAKESPAN]


@kernel
def look_ahead(shops: Shops, b: int, mask: Mask, wait: int, rules: I64, scratch: Shops, values: I64) -> None:
    """Write what each rule makes of each allowed candidate of slot b's decision.

    Args:
        shops: The shops, right after `update_bound`.
        b: Slot.
        mask: (B, A) allowed candidates.
        wait: The candidate that waits, -1 if there is none.
        rules: (R,) numbers of rules.
        scratch: From `make_scratch`, as large as the shops.
        values: (A, R) makespans, written where candidates are allowed and 0 elsewhere.
    """
    _remember(shops, b, scratch)
    played = np.zeros((1, mask.shape[1]), np.int8)
    for a in range(mask.shape[1]):
        for r in range(rules.size):
            values[a, r] = 0
            if mask[b, a]:
                _copy(scratch, _PRESENT, scratch, _PLAYED)
                take(scratch, _PLAYED, a, wait)
                values[a, r] = _finish(scratch, _PLAYED, rules[r], played)
