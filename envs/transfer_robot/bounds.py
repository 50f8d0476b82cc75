"""Lower bounds of a transfer cell: the bottleneck among its stages and its robots, over a whole lot.

Every bound holds for the process times that recipes promise, which the real ones never fall short of, and for all ways
that robots may go. A hop is what a glass needs at least from the beginning of its unloading at one stage to the end of
its loading at the next.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from makespan.envs.transfer_robot.instance import TransferCell

IntArray = NDArray[np.int64]


class Bounds(NamedTuple):
    """What the bounds are made of; times in time units, a hop l leads from level l to level l + 1 (0 is the port in)."""

    hop: IntArray  # (S + 1,), shortest unloading, way and loading
    effort: IntArray  # (S + 1,), what a hop takes of a robot's time, times `max_hands`: a way is shared by full hands
    tail: IntArray  # (N, S + 1), from the beginning of hop l to the end of the last one
    own: IntArray  # (S,), shortest loading and unloading at a stage: what a chamber is occupied for beside the process
    after: IntArray  # (S,), from the end of unloading at a stage to the end of the last hop, for the fastest glass
    lower_bound: int  # of the makespan of the lot
    tact: int  # time units between two glasses in the long run, at least 1


def bounds_of(cell: TransferCell) -> Bounds:
    """All parts of the bounds."""
    stages = [np.flatnonzero(cell.levels == level) for level in range(cell.num_stages + 2)]
    travel, load, unload = (
        array.astype(np.int64) for array in (cell.travel, cell.load_time, cell.unload_time)
    )
    pairs = [np.ix_(one, other) for one, other in itertools.pairwise(stages)]
    carry = np.array([(travel + load)[pair].min() for pair in pairs])
    hop = np.array([(unload[:, None] + travel + load)[pair].min() for pair in pairs])
    least_load = np.array([load[stage].min() for stage in stages])
    least_unload = np.array([unload[stage].min() for stage in stages])
    nominal = cell.process[cell.recipe].astype(np.int64)
    tail = np.zeros((cell.num_glasses, cell.num_stages + 1), np.int64)
    tail[:, -1] = hop[-1]
    for level in range(cell.num_stages - 1, -1, -1):
        tail[:, level] = hop[level] + nominal[:, level] + tail[:, level + 1]
    own = least_load[1:-1] + least_unload[1:-1]
    work = nominal + own
    after = carry[1:] + np.append((nominal[:, 1:] + tail[:, 2:]).min(axis=0), 0)
    hands = cell.max_hands
    effort = np.array([(hands * (unload[:, None] + load) + travel)[pair].min() for pair in pairs])
    alone = cell.num_robots == 1 and cell.max_hands == 1
    gaps = _gaps(cell, stages) if alone else np.zeros(cell.num_stages, np.int64)
    start = np.maximum(cell.release, cell.travel[cell.home, 0].min())  # nobody can take it earlier
    glass = int((start + tail[:, 0]).max())
    head = (start[:, None] + np.cumsum(nominal + hop[:-1], axis=1) - nominal).min(axis=0) - least_load[1:-1]
    stage, stage_tact = _stage_bound(cell, head, work, after, gaps)
    robot, robot_tact = _robot_bound(cell, stages, hop, effort, int(start[0]))
    return Bounds(hop, effort, tail, own, after, max(glass, stage, robot), max(1, stage_tact, robot_tact))


def lower_bound(cell: TransferCell) -> int:
    """A quick lower bound on penalised makespan, in time units: the bottleneck's, as if no limit were violated."""
    return cell.bounds.lower_bound


def _stage_bound(
    cell: TransferCell, head: IntArray, work: IntArray, after: IntArray, gaps: IntArray
) -> tuple[int, int]:
    """The slowest stage: what its chambers are occupied for, the gaps between, the way to it and from it; and its tact."""
    parallel = cell.chambers.astype(np.int64)
    occupied = work.sum(axis=0) + np.maximum(cell.num_glasses - parallel, 0) * gaps
    bound = int((head + -(-occupied // parallel) + after).max())
    tact = (work.mean(axis=0) + gaps) / parallel
    return bound, int(np.ceil(tact.max()))


def _gaps(cell: TransferCell, stages: list[NDArray[np.int64]]) -> IntArray:
    """How long a chamber stays empty between two glasses if the only robot has one hand.

    It takes the glass to the next stage, goes to the stage before, fetches another one and brings it (Sethi et al. 1992).
    """
    gaps = np.zeros(cell.num_stages, np.int64)
    for level in range(1, cell.num_stages + 1):
        before, here, behind = stages[level - 1], stages[level], stages[level + 1]
        away = cell.travel[np.ix_(here, behind)] + cell.load_time[behind]  # (here, behind)
        back = cell.travel[np.ix_(behind, before)] + cell.unload_time[before]  # (behind, before)
        bring = cell.travel[np.ix_(before, here)]  # (before, here)
        ways = away[:, :, None] + back[None, :, :] + bring.T[:, None, :]
        gaps[level - 1] = ways.min()
    return gaps


def _robot_bound(
    cell: TransferCell, stages: list[NDArray[np.int64]], hop: IntArray, effort: IntArray, start: int
) -> tuple[int, int]:
    """All effort shared by the robots, for one hand in all with the ways back to the next glass; and the tact.

    After a delivery a robot with one hand goes elsewhere, or waits for the process that it has just begun.
    """
    shares = cell.max_hands * cell.num_robots
    if shares > 1:
        return start + -(-cell.num_glasses * int(effort.sum()) // shares), -(-int(effort.sum()) // shares)
    fastest = cell.process[cell.recipe].min(axis=0)
    empty = np.zeros(cell.num_stages + 1, np.int64)  # after each hop
    for level in range(1, cell.num_stages + 2):
        ways = cell.travel[stages[level]].astype(np.int64)[
            :, :-1
        ]  # the port out is never gone to with empty hands
        if level <= cell.num_stages:
            ways[np.arange(len(stages[level])), stages[level]] = fastest[level - 1]
        empty[level - 1] = ways.min()
    cycle = int((hop + empty).sum())
    return start + cell.num_glasses * cycle - int(empty.max()), cycle
