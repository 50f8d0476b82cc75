"""Schedules of transfer cells: rows for chambers and robots.

Resources 0 .. C - 1 are the chambers in order of their stations, C .. C + R - 1 the robots. The kinds of rows:

- "process": glass (job), stage (task, from 0), chamber; from the end of loading until the process ends in fact.
- "wait": the same glass and chamber, from there until a robot begins to unload it, if it does not do so at once.
- "unload", "load": glass, hop (task: 0 out of the load port, S into the port out), robot.
- "travel": no glass (-1), the station that it goes to (task), robot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.schedule import Schedule
from makespan.envs.transfer_robot.instance import TransferCell

IntArray = NDArray[np.int64]
KINDS = ("process", "wait", "unload", "load", "travel")


def schedule_of(cell: TransferCell, hops: IntArray, until: int | None = None) -> Schedule:
    """The table that belongs to what has been settled of each hop.

    Args:
        cell: The cell.
        hops: (num_glasses, num_stages + 1, 7) robot, departure and arrival of the fetch, begin of unloading, departure with the
            glass, begin of loading, station; -1 for what has not been settled.
        until: Show only what has begun before, cut off there; None if everything has ended.
    """
    robot, left_for, arrival, fetch, brought_from, bring, to = np.moveaxis(hops, -1, 0)
    glass, level = np.indices(robot.shape)
    source = np.concatenate([np.zeros((cell.num_glasses, 1), np.int64), to[:, :-1]], axis=1)
    fetched, brought = fetch >= 0, bring >= 0
    unloaded = fetch + cell.unload_time[source]
    loaded = bring + cell.load_time[to]
    row_of_robot = cell.num_chambers + robot
    inside = brought[:, :-1]
    process_begin = loaded[:, :-1]
    process_end = process_begin + cell.durations
    taken = np.where(fetched[:, 1:], fetch[:, 1:], np.iinfo(np.int64).max if until is None else until)
    chamber = to[:, :-1] - 1
    nobody = np.full(robot.shape, -1)
    stage = level[:, :-1]
    parts = [
        ("process", inside, glass[:, :-1], stage, chamber, process_begin, process_end),
        ("wait", inside & (taken > process_end), glass[:, :-1], stage, chamber, process_end, taken),
        ("unload", fetched, glass, level, row_of_robot, fetch, unloaded),
        ("load", brought, glass, level, row_of_robot, bring, loaded),
        ("travel", fetched & (arrival > left_for), nobody, source, row_of_robot, left_for, arrival),
        ("travel", brought & (bring > brought_from), nobody, to, row_of_robot, brought_from, bring),
    ]
    kinds: list[str] = []
    columns: list[list[IntArray]] = [[], [], [], [], []]
    for kind, chosen, *values in parts:
        shown = chosen if until is None else chosen & (values[3] < until)
        for column, value in zip(columns, values, strict=True):
            column.append(np.broadcast_to(value, shown.shape)[shown].astype(np.int64))
        kinds += [kind] * int(shown.sum())
    job, task, resource, start, end = (np.concatenate(column) for column in columns)
    if until is not None:
        end = np.minimum(end, until)
    return Schedule(job, task, resource, start, end, kind=tuple(kinds) or ("process",), name=cell.name)


def resource_names(cell: TransferCell) -> list[str]:
    """Names of a schedule's resources: stage and letter of each chamber, then the robots."""
    names = []
    for stage, count in enumerate(cell.chambers.tolist(), 1):
        names += [
            f"stage {stage}{chr(97 + i) if count > 1 and i < 26 else f'.{i}' if count > 1 else ''}"
            for i in range(count)
        ]
    return names + [f"robot {r}" for r in range(cell.num_robots)]
