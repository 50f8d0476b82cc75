"""The transfer cell's simulator: robots that commit to moves, chambers that process by themselves, and the clock.

A robot that is free commits to one move: to fetch the glass of a station (go there, wait until the glass is ready, unload
it) or to deliver a glass from one of its hands (go to an empty chamber of the next stage or to the port out, load it). A move
is never broken off, and its times are settled as it begins. Decisions are taken by the kernels in `decisions`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel

I32 = NDArray[np.int32]

FAR: Final = 2**30  # later than everything

# Columns of `Cells.clock`.
GLASSES: Final = 0
STAGES: Final = 1
CHAMBERS: Final = 2
ROBOTS: Final = 3
HANDS: Final = 4  # of all robots
PENALTY: Final = 5
TACT: Final = 6
INITIAL_BOUND: Final = 7  # LB0; what stands from here on is reset at every start
NOW: Final = 8
NEXT_GLASS: Final = 9  # at the load port
FINISHED: Final = 10
MAKESPAN: Final = 11  # latest arrival at the port out, moves under way included
VIOLATIONS: Final = 12  # whose unloading has begun, or that are certain by now
SPAN_BOUND: Final = 13  # lower bound of the makespan
PAID_BOUND: Final = 14  # bound of the objective that rewards have been handed out up to
ASKED: Final = 15  # robot, -1 at the end
ALLOWED: Final = 16
DECISIONS: Final = 17
MOVES: Final = 18  # begun
ROBOT_WORK: Final = 19  # effort of the hops not yet begun; see `Bounds`
MOST_HANDS: Final = 20  # of a robot
FLOW: Final = 21  # time integral of the glasses that are not out
PAID_FLOW: Final = 22
PAID_VIOLATIONS: Final = 23
NUM_CLOCK: Final = 24

# Columns of `Cells.station`.
LEVEL: Final = 0
LOAD: Final = 1
UNLOAD: Final = 2
GLASS: Final = 3  # in it or on its way to it, -1 if empty
LOADED: Final = 4  # when the process of that glass begins
READY: Final = 5  # when its process ends in fact
PROMISED: Final = 6  # when it ends by the recipe
BROUGHT_BY: Final = 7  # robot whose delivery is under way, -1 if none
CLAIMED: Final = 8  # robot that has committed to fetch the glass, -1 if none
OVERDUE: Final = 9  # 1 once the residency limit is certain to be violated

# Columns of `Cells.level`.
FIRST: Final = 0  # station; those of a level lie side by side
LAST: Final = 1  # exclusive
HOP: Final = 2  # from here to the next level; see `Bounds`, as the next one
EFFORT: Final = 3
OWN: Final = 4  # shortest loading and unloading here
AFTER: Final = 5
LEFT: Final = 6  # occupation of chambers by glasses that are not on their way here yet
ROOM: Final = 7  # scratch: chambers that are empty, or will be
EMPTY: Final = 8  # scratch, as the last decision sees it: chambers that are empty
SOON: Final = 9  # when the first of them is, or should have a glass ready
WAITING: Final = 10  # chambers in which a glass is ready

# Columns of `Cells.robot`.
AT: Final = 0  # station, where it will be after its move
FREE: Final = 1  # when its move ends
MOVE: Final = 2
TARGET: Final = 3  # station
ARRIVAL: Final = 4
ASIDE: Final = 5  # not asked before the next event: 1 it waits, 2 it cannot move
HAND_COUNT: Final = 6
FULL: Final = 7  # hands, counting moves under way as done
HELD: Final = 8  # glass in its first hand, -1 if empty; the second hand follows

# Values of MOVE.
IDLE: Final = 0
FETCHES: Final = 1
DELIVERS: Final = 2

# Columns of `Cells.glass`.
STAGE: Final = 0  # level where it is, where it was fetched, or where it is being brought
PLACE: Final = 1  # station, -1 while a robot has it
CARRIER: Final = 2  # robot, -1 while in a station
RELEASE: Final = 3
SINCE: Final = 4  # when it was taken up last
LATEST: Final = 5  # release + tail, the most of this glass and those after it
LONGEST: Final = 6  # tail, the most of this glass and those after it

# Columns of `Cells.process`.
TIME: Final = 0  # by the recipe
DELAY: Final = 1
LIMIT: Final = 2  # residency limit, -1 for none

# Columns of `Cells.hop`: what has been settled of each glass's hops.
FETCHED_BY: Final = 0
LEFT_FOR: Final = 1  # the robot leaves to fetch the glass
FETCH_ARRIVAL: Final = 2
FETCH: Final = 3  # unloading begins
BROUGHT_FROM: Final = 4  # the robot leaves with the glass
BRING: Final = 5  # loading begins
TO: Final = 6  # station
NUM_HOP: Final = 7


class Cells(NamedTuple):
    """A batch of B cells of at most this size, instance and state; times in time units."""

    clock: I32  # (B, NUM_CLOCK)
    station: I32  # (B, C + 2, 10)
    level: I32  # (B, C + 2, 11); a cell has S + 2 of them
    robot: I32  # (B, R, 10)
    glass: I32  # (B, N, 7)
    process: I32  # (B, N, S, 3)
    tail: I32  # (B, N, S + 1)
    travel: I32  # (B, C + 2, C + 2)
    hop: I32  # (B, N, S + 1, NUM_HOP)


def make_cells(
    num_slots: int, num_glasses: int, num_chambers: int, num_stages: int, num_robots: int
) -> Cells:
    """Zeroed arrays for `num_slots` cells of at most this size."""
    B, N, C, S, R = num_slots, num_glasses, num_chambers, num_stages, num_robots
    shapes = (
        (NUM_CLOCK,),
        (C + 2, 10),
        (C + 2, 11),
        (R, 10),
        (N, 7),
        (N, S, 3),
        (N, S + 1),
        (C + 2, C + 2),
        (N, S + 1, NUM_HOP),
    )
    return Cells(*(np.zeros((B, *shape), np.int32) for shape in shapes))


@borrowing_kernel
def start_cell(cells: Cells, b: int) -> None:
    """Put slot b, whose instance has been written, into its state at time 0."""
    clock, station, robot, glass = cells.clock, cells.station, cells.robot, cells.glass
    for column in range(NOW, NUM_CLOCK):
        clock[b, column] = 0
    last = clock[b, CHAMBERS] + 2
    for x in range(last):
        station[b, x, GLASS] = station[b, x, BROUGHT_BY] = station[b, x, CLAIMED] = -1
        station[b, x, LOADED] = station[b, x, READY] = station[b, x, PROMISED] = FAR
        station[b, x, OVERDUE] = 0
    for r in range(clock[b, ROBOTS]):
        robot[b, r, HELD] = robot[b, r, HELD + 1] = -1
        robot[b, r, FULL] = robot[b, r, FREE] = robot[b, r, MOVE] = robot[b, r, ASIDE] = 0
        robot[b, r, TARGET] = robot[b, r, AT]
        clock[b, MOST_HANDS] = max(clock[b, MOST_HANDS], robot[b, r, HAND_COUNT])
    clock[b, ROBOT_WORK] = clock[b, MOST_HANDS] = 0
    for lev in range(clock[b, STAGES] + 1):
        clock[b, ROBOT_WORK] += cells.level[b, lev, EFFORT] * clock[b, GLASSES]
        cells.level[b, lev, LEFT] = 0
    for g in range(clock[b, GLASSES]):
        glass[b, g, STAGE], glass[b, g, PLACE], glass[b, g, CARRIER] = 0, 0, -1
        for lev in range(clock[b, STAGES] + 1):
            for column in range(NUM_HOP):
                cells.hop[b, g, lev, column] = -1
            if lev > 0:
                cells.level[b, lev, LEFT] += cells.process[b, g, lev - 1, TIME] + cells.level[b, lev, OWN]
    clock[b, SPAN_BOUND] = clock[b, PAID_BOUND] = clock[b, INITIAL_BOUND]
    _show_port(cells, b, 0)


@borrowing_kernel
def _show_port(cells: Cells, b: int, since: int) -> None:
    """Put the next glass of the lot at the front of the load port, where the one before it is taken up at `since`."""
    clock, port = cells.clock, cells.station[b, 0]
    g = clock[b, NEXT_GLASS]
    there = g < clock[b, GLASSES]
    port[GLASS] = g if there else -1
    port[READY] = max(since, cells.glass[b, g, RELEASE]) if there else FAR
    port[LOADED] = port[PROMISED] = port[READY]


@borrowing_kernel
def fetch(cells: Cells, b: int, r: int, x: int) -> None:
    """Robot r commits to fetch the glass of station x with its first empty hand."""
    clock, station, robot = cells.clock, cells.station, cells.robot
    g, now, lev = station[b, x, GLASS], clock[b, NOW], station[b, x, LEVEL]
    arrival = now + cells.travel[b, robot[b, r, AT], x]
    begin = max(arrival, station[b, x, READY])
    robot[b, r, AT] = robot[b, r, TARGET] = x
    robot[b, r, ARRIVAL], robot[b, r, FREE], robot[b, r, MOVE] = (
        arrival,
        begin + station[b, x, UNLOAD],
        FETCHES,
    )
    robot[b, r, FULL] += 1
    hand = HELD if robot[b, r, HELD] < 0 else HELD + 1
    robot[b, r, hand] = g
    hop = cells.hop[b, g, lev]
    hop[FETCHED_BY], hop[LEFT_FOR], hop[FETCH_ARRIVAL], hop[FETCH] = r, now, arrival, begin
    cells.glass[b, g, CARRIER], cells.glass[b, g, SINCE] = r, begin
    clock[b, MOVES] += 1
    clock[b, ROBOT_WORK] -= cells.level[b, lev, EFFORT]
    if x == 0:
        cells.glass[b, g, PLACE] = -1
        clock[b, NEXT_GLASS] += 1
        _show_port(cells, b, begin)
    else:
        station[b, x, CLAIMED] = r


@borrowing_kernel
def deliver(cells: Cells, b: int, r: int, hand: int, y: int) -> None:
    """Robot r commits to bring the glass in its `hand` (column HELD or HELD + 1) to station y."""
    clock, station, robot, glass = cells.clock, cells.station, cells.robot, cells.glass
    g, now = robot[b, r, hand], clock[b, NOW]
    lev = glass[b, g, STAGE]
    arrival = now + cells.travel[b, robot[b, r, AT], y]
    end = arrival + station[b, y, LOAD]
    robot[b, r, AT] = robot[b, r, TARGET] = y
    robot[b, r, ARRIVAL], robot[b, r, FREE], robot[b, r, MOVE] = arrival, end, DELIVERS
    robot[b, r, hand] = -1
    robot[b, r, FULL] -= 1
    hop = cells.hop[b, g, lev]
    hop[BROUGHT_FROM], hop[BRING], hop[TO] = now, arrival, y
    glass[b, g, STAGE], glass[b, g, PLACE], glass[b, g, CARRIER] = lev + 1, y, -1
    clock[b, MOVES] += 1
    if lev == clock[b, STAGES]:
        clock[b, MAKESPAN] = max(clock[b, MAKESPAN], end)
        return
    promised = end + cells.process[b, g, lev, TIME]
    station[b, y, GLASS], station[b, y, LOADED], station[b, y, BROUGHT_BY] = g, end, r
    station[b, y, PROMISED], station[b, y, READY] = promised, promised + cells.process[b, g, lev, DELAY]
    station[b, y, OVERDUE] = 0
    cells.level[b, lev + 1, LEFT] -= cells.process[b, g, lev, TIME] + cells.level[b, lev + 1, OWN]


@borrowing_kernel
def _count_violation(cells: Cells, b: int, x: int) -> None:
    """Count the glass in chamber x as soon as its limit is violated for certain."""
    clock, station = cells.clock, cells.station
    g, now, ready = station[b, x, GLASS], clock[b, NOW], station[b, x, READY]
    limit = cells.process[b, g, station[b, x, LEVEL] - 1, LIMIT]
    if limit < 0 or ready > now or station[b, x, OVERDUE]:
        return
    begin = now
    if station[b, x, CLAIMED] >= 0:
        begin = max(ready, cells.robot[b, station[b, x, CLAIMED], ARRIVAL])
    if begin - ready > limit:
        station[b, x, OVERDUE] = 1
        clock[b, VIOLATIONS] += 1


@borrowing_kernel
def settle(cells: Cells, b: int) -> None:
    """Moves that end now: a fetched glass leaves its chamber, a delivered one is in."""
    clock, station, robot, glass = cells.clock, cells.station, cells.robot, cells.glass
    now = clock[b, NOW]
    for r in range(clock[b, ROBOTS]):
        if robot[b, r, MOVE] == IDLE or robot[b, r, FREE] > now:
            continue
        x = robot[b, r, TARGET]
        if robot[b, r, MOVE] == DELIVERS:
            station[b, x, BROUGHT_BY] = -1
            if x == clock[b, CHAMBERS] + 1:
                clock[b, FINISHED] += 1
        elif x > 0:
            _count_violation(cells, b, x)
            glass[b, station[b, x, GLASS], PLACE] = -1
            station[b, x, GLASS] = station[b, x, CLAIMED] = -1
            station[b, x, READY] = station[b, x, PROMISED] = station[b, x, LOADED] = FAR
        robot[b, r, MOVE] = IDLE


@borrowing_kernel
def next_event(cells: Cells, b: int) -> int:
    """The next end of a move; where a robot is idle also of a process, or an arrival. FAR if nothing happens by itself."""
    clock, station, robot = cells.clock, cells.station, cells.robot
    event, idle = FAR, False
    for r in range(clock[b, ROBOTS]):
        if robot[b, r, MOVE] == IDLE:
            idle = True
        else:
            event = min(event, robot[b, r, FREE])
    if idle:
        for x in range(clock[b, CHAMBERS] + 1):
            waits = station[b, x, GLASS] >= 0 and station[b, x, CLAIMED] < 0
            if waits and station[b, x, READY] > clock[b, NOW]:
                event = min(event, station[b, x, READY])
    return event


@borrowing_kernel
def advance(cells: Cells, b: int, event: int) -> None:
    """Move the clock to the next event and let it happen."""
    clock = cells.clock
    clock[b, FLOW] += (event - clock[b, NOW]) * (clock[b, GLASSES] - clock[b, FINISHED])
    clock[b, NOW] = event
    for r in range(cells.clock[b, ROBOTS]):
        cells.robot[b, r, ASIDE] = 0
    settle(cells, b)


@borrowing_kernel
def foreseen(cells: Cells, b: int, x: int) -> int:
    """When the unloading of the glass in station x can begin at the earliest, as far as the past tells."""
    clock, station = cells.clock, cells.station
    ready, now = station[b, x, READY], clock[b, NOW]
    if ready > now and x > 0:  # the port's arrivals are known
        ready = max(now, station[b, x, PROMISED])
    r = station[b, x, CLAIMED]
    if r >= 0:
        return max(ready, cells.robot[b, r, ARRIVAL])
    return max(ready, now)


@borrowing_kernel
def foreseen_free(cells: Cells, b: int, r: int) -> int:
    """When robot r can be free at the earliest, as far as the past tells; now if it is idle."""
    robot, now = cells.robot, cells.clock[b, NOW]
    if robot[b, r, MOVE] == IDLE:
        return now
    x = robot[b, r, TARGET]
    if robot[b, r, MOVE] == DELIVERS or x == 0:
        return robot[b, r, FREE]
    return foreseen(cells, b, x) + cells.station[b, x, UNLOAD]


@borrowing_kernel
def update_bound(cells: Cells, b: int) -> None:
    """Raise the lower bound of the makespan, and count the violations that are certain, knowing the past only."""
    clock, station, level, robot = cells.clock, cells.station, cells.level, cells.robot
    now, num_robots = clock[b, NOW], clock[b, ROBOTS]
    span = max(clock[b, SPAN_BOUND], clock[b, MAKESPAN])
    if clock[b, NEXT_GLASS] < clock[b, GLASSES]:
        waiting = cells.glass[b, clock[b, NEXT_GLASS]]
        span = max(span, waiting[LATEST], now + waiting[LONGEST])
    for lev in range(1, clock[b, STAGES] + 1):
        left, busy = level[b, lev, LEFT], level[b, lev, LEFT] > 0
        for x in range(level[b, lev, FIRST], level[b, lev, LAST]):
            g = station[b, x, GLASS]
            if g < 0:
                continue
            _count_violation(cells, b, x)
            begin, busy = foreseen(cells, b, x), True
            span = max(span, begin + cells.tail[b, g, lev])
            left += begin + station[b, x, UNLOAD] - now
        if busy:
            parallel = level[b, lev, LAST] - level[b, lev, FIRST]
            span = max(span, now + (left + parallel - 1) // parallel + level[b, lev, AFTER])
    shares = clock[b, MOST_HANDS]  # of a robot's time: full hands share a way
    effort = clock[b, ROBOT_WORK]
    for r in range(num_robots):
        free = foreseen_free(cells, b, r)
        effort += (free - now) * shares
        for hand in range(HELD, HELD + 2):
            g = robot[b, r, hand]
            if g < 0:
                continue
            lev, least = cells.glass[b, g, STAGE], FAR
            for y in range(level[b, lev + 1, FIRST], level[b, lev + 1, LAST]):
                least = min(least, station[b, y, LOAD])
            effort += least * shares
            end = free + least
            if lev < clock[b, STAGES]:
                end += cells.process[b, g, lev, TIME] + cells.tail[b, g, lev + 1]
            span = max(span, end)
    shares *= num_robots
    span = max(span, now + (effort + shares - 1) // shares)
    clock[b, SPAN_BOUND] = span
