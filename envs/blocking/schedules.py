"""Schedules of blocking shops: rows of kind "process", "blocked" and "down"."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.core.schedule import Schedule

IntArray = NDArray[np.int64]


def schedule_of(
    instance: BlockingShopInstance, start: IntArray, end: IntArray, leave: IntArray, until: int | None = None
) -> Schedule:
    """The table that belongs to given times, one entry an operation, -1 for what has not happened.

    A "process" row lasts from an operation's start to its completion, interruptions included; a "blocked" row from there
    until the job leaves the machine, if it does not leave at once. "down" rows (no job) are the windows that begin
    before the last completion, and the stops within operations.

    Args:
        instance: The shop.
        start: (num_operations,) when each operation enters its machine.
        end: (num_operations,) its completion.
        leave: (num_operations,) when its job leaves the machine.
        until: Show only what has happened before; None if everything has.
    """
    shop = instance.shop
    job = np.repeat(np.arange(shop.num_jobs), np.diff(shop.job_first))
    task = np.arange(shop.num_operations) - shop.job_first[job]
    machine = shop.machines[:, 0].astype(np.int64)
    now = int(end.max(initial=0)) if until is None else until
    begun = np.flatnonzero(start >= 0)
    left = np.where(leave >= 0, leave, now)
    stuck = begun[left[begun] > end[begun]]
    process = [job[begun], task[begun], machine[begun], start[begun], np.minimum(end[begun], now)]
    blocked = [job[stuck], task[stuck], machine[stuck], end[stuck], left[stuck]]
    down = _downtime(instance, start, machine, now)
    job, task, resource, start, end = (
        np.concatenate(parts) for parts in zip(process, blocked, down, strict=True)
    )
    kinds = ("process",) * len(begun) + ("blocked",) * len(stuck) + ("down",) * len(down[0])
    return Schedule(job, task, resource, start, end, kind=kinds or ("process",), name=instance.name)


def _downtime(instance: BlockingShopInstance, start: IntArray, machine: IntArray, now: int) -> list[IntArray]:
    """The columns of the "down" rows that begin before `now`."""
    windows = instance.down[instance.down[:, 1] < now].astype(np.int64)
    begins = start + instance.stop_after
    hit = np.flatnonzero((start >= 0) & (instance.stop_length > 0) & (begins < now))
    resource = np.concatenate([windows[:, 0], machine[hit]])
    nobody = np.full(resource.size, -1, np.int64)
    opens = np.concatenate([windows[:, 1], begins[hit]])
    closes = np.concatenate([windows[:, 2], begins[hit] + instance.stop_length[hit]])
    return [nobody, nobody, resource, opens, closes]
