"""The validator accepts what the simulator does and refuses corrupted schedules, saying what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fleet_play import play

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.fleet.generator import make_generator
from makespan.envs.fleet.instance import FleetDay
from makespan.envs.fleet.validator import validate

Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def played() -> tuple[FleetDay, Schedule]:
    """A random day with repairs and closures."""
    day = make_generator("tiny", failure=0.1, closure=0.2).day(3)
    return day, play([day], "random").schedule(0)


def corrupt(schedule: Schedule, change: Callable[[Columns], None]) -> Schedule:
    columns: Columns = {
        key: getattr(schedule, key).copy() for key in ("job", "task", "resource", "start", "end")
    }
    columns["kind"] = np.array(schedule.kinds, dtype=object)
    change(columns)
    kind = tuple(columns.pop("kind").tolist())
    return Schedule(**columns, kind=kind, name=schedule.name)


def row_of(columns: Columns, kind: str, number: int = 0) -> int:
    return int(np.flatnonzero(columns["kind"] == kind)[number])


def drop(columns: Columns, row: int) -> None:
    for key in columns:
        columns[key] = np.delete(columns[key], row)


def put(key: str, kind: str, value: int | str, *, add: bool = False) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        row = row_of(columns, kind, 3 if kind != "repair" else 0)
        columns[key][row] = columns[key][row] + value if add else value

    return change


def swap_decisions(columns: Columns) -> None:
    order = np.arange(columns["job"].size)
    order[[10, 60]] = order[[60, 10]]
    for key in columns:
        columns[key] = columns[key][order]


def fly_nowhere(columns: Columns) -> None:
    row = row_of(columns, "stay")
    columns["kind"][row] = "fly"


def cut_the_day(columns: Columns) -> None:
    for key in columns:
        columns[key] = columns[key][:-5]


CORRUPTIONS: dict[str, tuple[Callable[[Columns], None], str]] = {
    "unknown aircraft": (put("job", "fly", 99), "unknown aircraft 99"),
    "negative aircraft": (put("job", "stay", -1), "unknown aircraft -1"),
    "unknown vertiport": (put("resource", "fly", 4), "unknown vertiport 4"),
    "row number": (put("task", "fly", 1, add=True), "expected row"),
    "early decision": (put("start", "fly", -60, add=True), "when the aircraft is free"),
    "late landing": (put("end", "fly", 60, add=True), "departs at"),
    "early landing": (put("end", "fly", -60, add=True), "departs at"),
    "long stay": (put("end", "charge", 300, add=True), "expected 900"),
    "no charge": (put("kind", "charge", "stay"), "beside a free charger"),
    "unknown kind": (put("kind", "fly", "hover"), "unknown kind 'hover'"),
    "no repair": (lambda c: drop(c, row_of(c, "repair")), "no repair of"),
    "short repair": (put("end", "repair", -1, add=True), "repair of"),
    "repair elsewhere": (
        lambda c: c["resource"].__setitem__(
            row_of(c, "repair"), (c["resource"][row_of(c, "repair")] + 1) % 4
        ),
        "repair at",
    ),
    "missing decision": (lambda c: drop(c, 40), "expected row"),
    "another order": (swap_decisions, "decided at"),
    "flight to itself": (fly_nowhere, "to itself"),
    "unfinished day": (cut_the_day, "until the end of the day"),
    "stay elsewhere": (
        lambda c: c["resource"].__setitem__(row_of(c, "stay"), (c["resource"][row_of(c, "stay")] + 1) % 4),
        "stays at",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_is_refused(played: tuple[FleetDay, Schedule], name: str):
    """Each corruption is found, and the first sentences name it."""
    day, schedule = played
    validate(day, schedule)
    change, sentence = CORRUPTIONS[name]
    with pytest.raises(InvalidScheduleError) as caught:
        validate(day, corrupt(schedule, change))
    assert any(sentence in violation for violation in caught.value.violations), caught.value.violations[:4]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("closed", 1, "while the route is closed"),
        ("parking", 2, "places are taken"),
        ("chargers", 1, "chargers are in use"),
        ("flight_energy", 400, "expected at least"),
        ("mean_delay", 900, "departs at"),
        ("downtime", 60, "no repair of"),
    ],
)
def test_another_world_refuses_the_schedule(field: str, value: int, sentence: str):
    """A schedule is no good where routes are closed, places or chargers fewer, flights longer, take-offs later, repairs due."""
    import dataclasses

    day = make_generator("tiny", failure=0.0, closure=0.0, num_vertistops=0, parking=6).day(3)
    schedule = play([day], "random").schedule(0)
    array = getattr(day, field)
    if field == "parking":
        changed = np.array([6, 6, 2, 2], np.int32)
        day = dataclasses.replace(day, chargers=np.minimum(day.chargers, changed))
    elif field == "flight_energy":
        changed = np.where(np.eye(4, dtype=bool), 0, value)
    else:
        changed = np.full_like(array, value)
    with pytest.raises(InvalidScheduleError) as caught:
        validate(dataclasses.replace(day, **{field: changed}), schedule)
    assert any(sentence in violation for violation in caught.value.violations), caught.value.violations[:4]


def test_headway_is_checked_from_the_rows_alone():
    """Three departures in one headway do not fit two corridors, however they are labelled."""
    import dataclasses

    from makespan.envs.fleet.generator_base import ToyDay

    toy = ToyDay().sample()
    day = dataclasses.replace(
        toy,
        parking=np.array([3, 3], np.int32),
        start=np.zeros(3, np.int32),
        delay_noise=np.zeros((3, 5), np.int32),
        downtime=np.zeros((3, 5), np.int32),
        chargers=np.array([3, 3], np.int32),
    )
    schedule = play([day], "longest_queue").schedule(0)
    first = schedule.end[:3].tolist()
    # six passengers: four, two more from the queue of five, then the third aircraft has nobody
    assert first[:2] == [1200, 1200]
    columns = corrupt(schedule, lambda c: None)
    assert columns == schedule
    together = Schedule(
        job=np.array([0, 1, 2]),
        task=np.zeros(3, int),
        resource=np.ones(3, int),
        start=np.zeros(3, int),
        end=np.full(3, 1200),
        kind=("fly",) * 3,
    )
    with pytest.raises(InvalidScheduleError, match="aircraft 2 row 0: departs at 360; expected 540"):
        validate(day, together)
