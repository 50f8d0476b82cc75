"""The validator of transfer schedules: accepts what is right, and rejects every corruption by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from random_play import play
from small_cells import engine_for

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.transfer_robot.generator import RailCell, ToyCell
from makespan.envs.transfer_robot.instance import TransferCell
from makespan.envs.transfer_robot.validator import validate

Row = list[int | str]  # kind, job, task, resource, start, end
Change = Callable[[list[Row]], None]

CELL = RailCell(num_glasses=4, num_stages=2, num_chambers=3, num_robots=2).sample(np.random.default_rng(2))


def solved() -> tuple[TransferCell, list[Row]]:
    """A valid schedule of `CELL`, as rows."""
    engine = engine_for(1)
    engine.load(0, CELL)
    play(engine, np.random.default_rng(0))
    return CELL, rows_of(engine.schedule(0))


def rows_of(schedule: Schedule) -> list[Row]:
    """A schedule as rows."""
    columns = (schedule.job, schedule.task, schedule.resource, schedule.start, schedule.end)
    return [list(row) for row in zip(schedule.kinds, *(column.tolist() for column in columns), strict=True)]


def table(rows: list[Row]) -> Schedule:
    """Rows as a schedule."""
    kinds, *columns = zip(*rows, strict=True)
    return Schedule(*(np.array(column, np.int64) for column in columns), kind=tuple(kinds))


def find(rows: list[Row], kind: str, job: int, task: int) -> Row:
    """The row of that kind, glass and task."""
    return next(row for row in rows if row[:3] == [kind, job, task])


def shift(row: Row, by: int) -> None:
    """Move a row in time."""
    row[4] = int(row[4]) + by
    row[5] = int(row[5]) + by


def drop(kind: str, job: int, task: int) -> Change:
    return lambda rows: rows.remove(find(rows, kind, job, task))


def late_process(rows: list[Row]) -> None:
    shift(find(rows, "process", 0, 0), 1)


def short_process(rows: list[Row]) -> None:
    row = find(rows, "process", 1, 1)
    row[5] = int(row[5]) - 1


def wrong_stage(rows: list[Row]) -> None:
    find(rows, "process", 0, 0)[3] = find(rows, "process", 0, 1)[3]


def other_robot(rows: list[Row]) -> None:
    row = find(rows, "load", 2, 1)
    row[3] = 2 * CELL.num_chambers + 1 - int(row[3])


def early_unload(rows: list[Row]) -> None:
    row = find(rows, "unload", 3, 1)
    shift(row, -int(row[4]) + int(find(rows, "process", 3, 0)[5]) - 1)


def long_load(rows: list[Row]) -> None:
    row = find(rows, "load", 0, 2)
    row[5] = int(row[5]) + 1


def beam(rows: list[Row]) -> None:
    """A robot is at the far end of the rail at once."""
    row = find(rows, "load", 0, 2)
    shift(row, int(find(rows, "unload", 0, 2)[5]) - int(row[4]))


def twice(rows: list[Row]) -> None:
    rows.append(list(find(rows, "process", 0, 0)))


def strange_kind(rows: list[Row]) -> None:
    rows.append(["rest", 0, 0, 0, 0, 1])


def longer_way(rows: list[Row]) -> None:
    row = next(row for row in rows if row[0] == "travel")
    row[5] = int(row[5]) + 1


def way_to_nowhere(rows: list[Row]) -> None:
    rows.append(["travel", -1, 1, CELL.num_chambers, 10**6, 10**6 + 2])


def told_wait(rows: list[Row]) -> None:
    row = find(rows, "process", 0, 0)
    rows.append(["wait", 0, 0, row[3], row[5], int(row[5]) + 10**5])


CORRUPTIONS: dict[str, tuple[Change, str]] = {
    "a process is missing": (drop("process", 0, 1), "process: glass 0 task 1 is missing"),
    "a loading is missing": (drop("load", 2, 0), "load: glass 2 task 0 is missing"),
    "a way is missing": (lambda rows: rows.remove(next(r for r in rows if r[0] == "travel")), "way to"),
    "a process begins late": (late_process, "expected at once"),
    "a process is cut short": (short_process, "it takes"),
    "a chamber of another stage": (wrong_stage, "for stage 0"),
    "the robots change in a hop": (other_robot, "expected one robot"),
    "unloaded before the process ends": (early_unload, "processed until"),
    "loading takes too long": (long_load, "it takes"),
    "a way in no time": (beam, "the way takes"),
    "a process twice": (twice, "twice"),
    "an unknown kind": (strange_kind, "has no meaning"),
    "a way too long": (longer_way, "it takes"),
    "a way too many": (way_to_nowhere, "ways too many"),
    "a wait that was none": (told_wait, "wait"),
}


def test_right_schedules_pass() -> None:
    """The schedule that corruptions are made of is valid, in any order of rows, and its makespan the last loading's end."""
    cell, rows = solved()
    last = max(int(row[5]) for row in rows if row[0] == "load")
    assert validate(cell, table(rows)) == last
    assert validate(cell, table(rows[::-1])) == last


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_is_named(name: str) -> None:
    """Each way of spoiling the schedule is rejected with a sentence that names it."""
    change, message = CORRUPTIONS[name]
    cell, rows = solved()
    change(rows)
    with pytest.raises(InvalidScheduleError) as error:
        validate(cell, table(rows))
    assert any(message in sentence for sentence in error.value.violations), error.value.violations


def hand_made(hands: int, second: int) -> Schedule:
    """The toy with two hands as worked by hand; glass 1 is put in `second` after glass 0 is out of the chamber."""
    rows: list[Row] = [
        ["unload", 0, 0, 1, 0, 2], ["travel", -1, 1, 1, 2, 4], ["load", 0, 0, 1, 4, 5], ["process", 0, 0, 0, 5, 15],
        ["travel", -1, 0, 1, 5, 7], ["unload", 1, 0, 1, 7, 9], ["travel", -1, 1, 1, 9, 11], ["unload", 0, 1, 1, 15, 17],
        ["load", 1, 0, 1, 17 + second, 18 + second], ["process", 1, 0, 0, 18 + second, 28 + second],
        ["travel", -1, 2, 1, 18 + second, 21 + second], ["load", 0, 1, 1, 21 + second, 22 + second],
        ["travel", -1, 1, 1, 22 + second, 25 + second], ["unload", 1, 1, 1, 28 + second, 30 + second],
        ["travel", -1, 2, 1, 30 + second, 33 + second], ["load", 1, 1, 1, 33 + second, 34 + second],
    ]  # fmt: skip
    return table(rows)


def test_hands_and_chambers_are_exclusive() -> None:
    """An exchange needs two hands, and a chamber that is empty before the second glass comes in."""
    assert validate(ToyCell(2).sample(), hand_made(2, 0)) == 34
    assert validate(ToyCell(2).sample(), hand_made(2, 3)) == 37
    with pytest.raises(InvalidScheduleError, match="holds 2 glasses at 15; it has 1 hands"):
        validate(ToyCell(1).sample(), hand_made(1, 0))
    with pytest.raises(InvalidScheduleError, match="chamber 0: glass 1 comes in at 16, glass 0 is out at 17"):
        validate(ToyCell(2).sample(), hand_made(2, -1))


def test_order_and_arrival() -> None:
    """Glasses are taken from the port in order, and not before they arrive."""
    toy = ToyCell(2).sample()
    late = TransferCell(
        toy.process, toy.recipe, toy.chambers, toy.travel, toy.load_time, toy.unload_time, toy.hands, release=np.array([0, 8])
    )  # fmt: skip
    with pytest.raises(InvalidScheduleError, match="glass 1 is taken up at 7; it arrives at 8"):
        validate(late, hand_made(2, 0))
    rows = rows_of(hand_made(2, 0))
    for row in rows:
        if row[1] in (0, 1):
            row[1] = 1 - int(row[1])
    with pytest.raises(InvalidScheduleError, match="glass 1 is taken from the load port before glass 0"):
        validate(toy, table(rows))
