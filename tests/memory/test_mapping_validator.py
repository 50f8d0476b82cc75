"""The judge of mappings: accepts what is right, and says of every corruption what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import mapping_cases as cases
import numpy as np
import pytest

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import COLUMNS, Schedule
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_validator import latency, validate

Rows = list[list]
TENSORS = {
    "x": ("i", 10),
    "g": ("a", 10),
    "W": ("p", 50),
    "V": ("o", 50),
    "b": ("a", 20),
    "z": ("o", 10),
    "u": ("p", 30),
}
OPS: list[cases.Op] = [
    (200, ["x"], ["g"]),
    (0, ["W", "g"], ["V"]),
    (200, ["g"], ["b"]),
    (200, ["x"], ["z"]),
    (10, ["b", "u", "g"], []),
]


def example() -> tuple[MappingInstance, Rows]:
    """A mapping written by hand: (kind, tensor, number, offset, start, end)."""
    instance = cases.problem(100, TENSORS, OPS, in_place={"V": "W"})
    rows = [
        ["fast", "g", 0, 0, 0, 3],
        ["copy_out", "g", 0, 0, 2, 3],
        ["hbm", "g", 3, -1, 4, 5],
        ["fast", "W", 0, 10, 0, 2],
        ["copy_in", "W", 0, 10, 0, 1],
        ["fast", "V", 0, 10, 1, 3],
        ["copy_out", "V", 0, 10, 2, 3],
        ["fast", "b", 0, 60, 2, 5],
        ["fast", "u", 0, 10, 3, 5],
        ["copy_in", "u", 0, 10, 3, 4],
        ["hbm", "x", 0, -1, 0, 1],
        ["hbm", "x", 1, -1, 3, 4],
        ["hbm", "z", 0, -1, 3, 4],
    ]
    return instance, rows


def table(instance: MappingInstance, rows: Rows) -> Schedule:
    number = {name: t for t, name in enumerate(instance.program.tensor_name)}
    columns = np.array([[number.get(row[1], row[1]), *row[2:]] for row in rows], dtype=np.int64).T
    return Schedule(*columns, kind=tuple(row[0] for row in rows))


def test_example_by_hand() -> None:
    """200 + 11 + 200 + 200 + 15 ps: at the end g (10) comes from HBM, b and u (50) from fast memory."""
    instance, rows = example()
    assert instance.hbm_latency == 200 + 110 + 200 + 200 + 60
    assert validate(instance, table(instance, rows)) == 200 + 11 + 200 + 200 + 15
    assert validate(instance, table(instance, rows[::-1])) == 626
    assert latency(instance, np.zeros(instance.num_accesses, np.bool_)) == instance.hbm_latency


def change(row: int, column: int, value: object) -> Callable[[Rows], None]:
    def apply(rows: Rows) -> None:
        rows[row][column] = value

    return apply


def remove(row: int) -> Callable[[Rows], None]:
    def apply(rows: Rows) -> None:
        del rows[row]

    return apply


def add(*row: object) -> Callable[[Rows], None]:
    def apply(rows: Rows) -> None:
        rows.append(list(row))

    return apply


CORRUPTIONS: dict[str, tuple[Callable[[Rows], None], str]] = {
    "unknown kind": (change(0, 0, "quick"), "unknown kind"),
    "unknown tensor": (change(0, 1, 99), "expected a tensor 0..6"),
    "beyond the program": (change(7, 5, 6), "expected operations within 0..5"),
    "not an access": (change(10, 4, 1), "no such access|expected operations"),
    "dropped twice": (add("hbm", "x", 0, -1, 0, 1), "given twice"),
    "HBM with an offset": (change(10, 3, 5), "expected -1"),
    "numbered wrong": (change(7, 2, 3), "expected number 0"),
    "beyond the capacity": (change(7, 3, 90), "expected 0..80"),
    "overlap": (change(7, 3, 30), "overlaps"),
    "stays twice at once": (add("fast", "g", 1, 0, 2, 5), "begins during another stay"),
    "stay without a source": (remove(9), "begins with 0 copies and 0 productions"),
    "stay that serves nothing": (add("fast", "z", 0, 10, 4, 5), "serves no access"),
    "fast without a stay": (remove(2), "is not in fast memory for its access 3"),
    "copy at another offset": (change(4, 3, 20), "expected number 0 and offset 10"),
    "copy not over in time": (change(9, 5, 5), "not over before operation 4"),
    "copy between no accesses": (add("copy_in", "g", 3, 0, 4, 5), "belongs to no stay"),
    "stored before it is made": (change(1, 4, 0), "expected to run after operation 0"),
    "stored after it has left": (change(1, 5, 4), "within fast"),
    "parameter stored": (add("copy_out", "u", 0, 10, 3, 4), "not produced in fast memory"),
    "read before HBM has it": (remove(1), "which does not hold it yet"),
    "output left behind": (remove(6), "does not end in HBM"),
    "moved in place": (change(5, 3, 40), "shifts it"),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_are_named(name: str) -> None:
    """Each corruption of the example is refused with a sentence that names it."""
    instance, rows = example()
    corrupt, message = CORRUPTIONS[name]
    corrupt(rows)
    with pytest.raises(InvalidScheduleError, match=message):
        validate(instance, table(instance, rows))


def test_in_place_halves_must_agree() -> None:
    """W fast and V in HBM, though the operation updates one to the other in place."""
    instance, rows = example()
    del rows[5:7]
    rows.append(["hbm", "V", 0, -1, 1, 2])
    with pytest.raises(InvalidScheduleError, match="in place, but moves it"):
        validate(instance, table(instance, rows))


def test_bandwidth_is_shared_by_deadline() -> None:
    """Two copies beside one operation of 55 idle ps: 50 + 5 fit, 50 + 6 do not, and a wider window rescues them."""
    for size, fits in ((5, True), (6, False)):
        tensors = {"x": ("i", 45), "w": ("p", 50), "v": ("p", size), "y": ("o", 10), "q": ("i", 20)}
        ops: list[cases.Op] = [(0, ["q"], []), (100, ["x"], []), (0, ["w", "v"], ["y"])]
        instance = cases.problem(200, tensors, ops)
        rows = [["fast", "w", 0, 0, 1, 3], ["copy_in", "w", 0, 0, 1, 2]]
        rows += [["fast", "v", 0, 60, 1, 3], ["copy_in", "v", 0, 60, 1, 2]]
        rows += [["hbm", "q", 0, -1, 0, 1], ["hbm", "x", 0, -1, 1, 2], ["hbm", "y", 0, -1, 2, 3]]
        if fits:
            assert validate(instance, table(instance, rows)) == 20 + 100 + 10 + 5 + 1
        else:
            with pytest.raises(InvalidScheduleError, match="lacks 1 ps of HBM time"):
                validate(instance, table(instance, rows))


def test_columns_come_in_any_order() -> None:
    """Rows may come in any order, and the name does not matter."""
    instance, rows = example()
    schedule = table(instance, rows)
    shuffled = schedule.select(np.random.default_rng(0).permutation(len(schedule)))
    assert validate(instance, replace(shuffled, name="other")) == validate(instance, schedule)
    assert set(COLUMNS) == {"job", "task", "resource", "start", "end"}
