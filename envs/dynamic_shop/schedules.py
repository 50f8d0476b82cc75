"""Schedules of dynamic shops: rows of kind "process" and "down"."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.schedule import Schedule
from makespan.envs.dynamic_shop.instance import DynamicShopInstance

IntArray = NDArray[np.int64]


def schedule_of(instance: DynamicShopInstance, start: IntArray, choice: IntArray, now: int) -> Schedule:
    """The table that belongs to given starts.

    A "process" row lasts from an operation's start to its true end, downtime included; "down" rows (no job) are the windows that
    begin before the latest of `now` and all ends.

    Args:
        instance: The shop.
        start: (total_operations,) when each operation begins, -1 if it has not.
        choice: (total_operations,) on which of its eligible machines.
        now: Time of the run.
    """
    shop = instance.shop
    begun = np.flatnonzero(start >= 0)
    job = np.repeat(np.arange(shop.num_jobs), np.diff(shop.job_first))[begun]
    task = begun - shop.job_first[job]
    machine = shop.machines[begun, choice[begun]].astype(np.int64)
    start = start[begun]
    end = completions(instance, machine, start, instance.realised[begun, choice[begun]].astype(np.int64))
    down = instance.down[instance.down[:, 1] < max(now, int(end.max(initial=0)))].astype(np.int64)
    nobody = np.full(len(down), -1, np.int64)
    return Schedule(
        np.concatenate([job, nobody]),
        np.concatenate([task, nobody]),
        np.concatenate([machine, down[:, 0]]),
        np.concatenate([start, down[:, 1]]),
        np.concatenate([end, down[:, 2]]),
        kind=("process",) * len(begun) + ("down",) * len(down) or ("process",),
        name=instance.name,
    )


def completions(
    instance: DynamicShopInstance, machine: IntArray, start: IntArray, work: IntArray
) -> IntArray:
    """When work (n,) that begins at `start` (n,) on `machine` (n,) ends, interrupted by the machines' downtime."""
    opens, closes, before = (instance.windows[:, :, column].astype(np.int64) for column in range(3))
    end = start + work
    for m in np.unique(machine):
        rows = np.flatnonzero(machine == m)
        # up time at which each window begins: it interrupts what still needs more
        up = opens[m] - before[m]
        first = np.searchsorted(closes[m], start[rows], side="right")  # windows that end later
        reached = start[rows] - before[m, first]  # up time at the start, where the machine is up
        last = np.searchsorted(up, reached + work[rows], side="left")  # windows before the end
        end[rows] += before[m, np.maximum(first, last)] - before[m, first]
    return end
