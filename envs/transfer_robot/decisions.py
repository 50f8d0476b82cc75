"""Who is asked what: the decision epochs of a transfer cell, and the mask that keeps it out of dead ends.

The mask. Look at the state in which all moves under way have ended. A state is *dead* if every hand of every robot is full and
no held glass could be delivered: all chambers of the stages that they wait for are occupied. Nothing can be fetched then, so
nothing ever moves again. A delivery empties a hand and a wait changes nothing, so only fetching can lead there, and it is
forbidden exactly where it would.

In every other state, by the following, some move is allowed, at the latest when the processes that are running have ended. If a
held glass could be delivered, that is such a move. If not, some robot has an empty hand.

- It has a glass in its other hand: all chambers of that glass's next stage are occupied. Fetching a glass from one of them
  fills its hands, but leaves an empty chamber for the first glass: the new state is not dead.
- It has no glass: if chambers are occupied, take one of the last stage that has any. The stage behind it is empty, or is the
  port out, so the glass could be delivered after it has been fetched: not dead. If no chamber is occupied, the same holds for
  the next glass of the load port, which arrives some time; and if that is empty too, all glasses left are in hands of other
  robots and could be delivered, as every chamber is empty.

Every move takes a glass one step on, and 2 (S + 1) moves take it out; processes and moves end by themselves; robots may wait
only while something lies ahead or another robot has yet to be asked. So every episode ends with all glasses out, and no move
is forbidden after which that would still have been possible.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel, kernel
from makespan.envs.transfer_robot.simulator import (
    ALLOWED,
    ASIDE,
    ASKED,
    CHAMBERS,
    CLAIMED,
    FAR,
    FINISHED,
    FIRST,
    FULL,
    GLASS,
    GLASSES,
    HAND_COUNT,
    HANDS,
    HELD,
    IDLE,
    LAST,
    LEVEL,
    MOVE,
    NOW,
    READY,
    ROBOTS,
    ROOM,
    STAGE,
    STAGES,
    Cells,
    advance,
    deliver,
    fetch,
    next_event,
    settle,
)

Mask = NDArray[np.int8]

# Candidates of a cell with C chambers: fetch from station a for a <= C; then for each hand, deliver to station y for 1 <= y <=
# C + 1; the last one waits.


@borrowing_kernel
def delivery(num_stations: int, hand: int, y: int) -> int:
    """The candidate that brings the glass in a hand (0, 1) to station y; `num_stations` is that of the largest cell."""
    return (hand + 1) * (num_stations - 1) + y - 1


@borrowing_kernel
def _count_room(cells: Cells, b: int) -> int:
    """Count in ROOM the chambers of each stage that are empty after all moves under way; returns the empty hands then."""
    clock, station, level = cells.clock, cells.station, cells.level
    for lev in range(1, clock[b, STAGES] + 1):
        level[b, lev, ROOM] = 0
        for x in range(level[b, lev, FIRST], level[b, lev, LAST]):
            if station[b, x, GLASS] < 0 or station[b, x, CLAIMED] >= 0:
                level[b, lev, ROOM] += 1
    empty = clock[b, HANDS]
    for r in range(clock[b, ROBOTS]):
        empty -= cells.robot[b, r, FULL]
    return empty


@borrowing_kernel
def _could_deliver(cells: Cells, b: int, lev: int, vacated: int) -> bool:
    """Whether a held glass of level `lev` could be delivered once a chamber of level `vacated` is empty."""
    return lev == cells.clock[b, STAGES] or lev + 1 == vacated or cells.level[b, lev + 1, ROOM] > 0


@borrowing_kernel
def _is_safe(cells: Cells, b: int, x: int) -> bool:
    """Whether fetching from station x with the last empty hand leads to a state that is not dead."""
    robot, vacated = cells.robot, cells.station[b, x, LEVEL]
    if _could_deliver(cells, b, vacated, vacated):
        return True
    for r in range(cells.clock[b, ROBOTS]):
        for hand in range(HELD, HELD + 2):
            g = robot[b, r, hand]
            if g >= 0 and _could_deliver(cells, b, cells.glass[b, g, STAGE], vacated):
                return True
    return False


@kernel
def _write_candidates(cells: Cells, b: int, r: int, ahead: bool, mask: Mask) -> int:
    """Mark the moves of robot r in row b of the mask; returns their number."""
    clock, station, robot = cells.clock, cells.station, cells.robot
    for a in range(mask.shape[1]):
        mask[b, a] = 0
    count, empty = 0, _count_room(cells, b)
    if robot[b, r, FULL] < robot[b, r, HAND_COUNT]:
        for x in range(clock[b, CHAMBERS] + 1):
            if station[b, x, GLASS] < 0 or station[b, x, CLAIMED] >= 0:
                continue
            if (ahead or station[b, x, READY] <= clock[b, NOW]) and (empty > 1 or _is_safe(cells, b, x)):
                mask[b, x] = 1
                count += 1
    for hand in range(2):
        g = robot[b, r, HELD + hand]
        if g < 0:
            continue
        lev = cells.glass[b, g, STAGE] + 1
        for y in range(cells.level[b, lev, FIRST], cells.level[b, lev, LAST]):
            if station[b, y, GLASS] < 0:
                mask[b, delivery(station.shape[1], hand, y)] = 1
                count += 1
    return count


@borrowing_kernel
def _may_be_asked(cells: Cells, b: int, r: int) -> bool:
    return cells.robot[b, r, MOVE] == IDLE and cells.robot[b, r, ASIDE] == 0


@borrowing_kernel
def _others_move(cells: Cells, b: int, asked: int, ahead: bool, mask: Mask) -> bool:
    """Whether a robot still to be asked could move; leaves the mask as it was for the asked one."""
    found = False
    for r in range(asked + 1, cells.clock[b, ROBOTS]):  # lower ones have been asked
        if not found and _may_be_asked(cells, b, r):
            found = _write_candidates(cells, b, r, ahead, mask) > 0
    _write_candidates(cells, b, asked, ahead, mask)
    return found


@kernel
def legal_actions(cells: Cells, b: int, ahead: bool, mask: Mask) -> int:
    """Go on to the next decision and write row b of its mask (B, A); the number of allowed candidates, 0 at the end.

    With `ahead` a robot may set out for a glass that is not ready yet.
    """
    clock, robot = cells.clock, cells.robot
    settle(cells, b)
    while clock[b, FINISHED] < clock[b, GLASSES]:
        for r in range(clock[b, ROBOTS]):
            if not _may_be_asked(cells, b, r):
                continue
            count = _write_candidates(cells, b, r, ahead, mask)
            if count == 0:
                robot[b, r, ASIDE] = 2
                continue
            if next_event(cells, b) < FAR or _others_move(cells, b, r, ahead, mask):
                mask[b, mask.shape[1] - 1] = 1
                count += 1
            clock[b, ASKED], clock[b, ALLOWED] = r, count
            return count
        event = next_event(cells, b)
        if event == FAR:
            raise RuntimeError("dead end: no robot can move")
        advance(cells, b, event)
    clock[b, ASKED], clock[b, ALLOWED] = -1, 0
    for a in range(mask.shape[1]):
        mask[b, a] = 0
    return 0


@borrowing_kernel
def take(cells: Cells, b: int, action: int, wait: int) -> None:
    """Let the asked robot begin a move, or (action `wait`) wait for the next event."""
    clock, stations = cells.clock, cells.station.shape[1]
    r = clock[b, ASKED]
    if action == wait:
        cells.robot[b, r, ASIDE] = 1
        return
    if action < stations - 1:
        fetch(cells, b, r, action)
    else:
        place = action - (stations - 1)
        deliver(cells, b, r, HELD + place // (stations - 1), place % (stations - 1) + 1)
    for other in range(clock[b, ROBOTS]):  # the move may have made room for another one
        if cells.robot[b, other, ASIDE] == 2:
            cells.robot[b, other, ASIDE] = 0
