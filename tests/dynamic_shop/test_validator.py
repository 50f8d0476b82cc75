"""The dynamic shop's validator accepts what is feasible and names what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.dynamic_shop.instance import DynamicShopInstance
from makespan.envs.dynamic_shop.validator import lower_bound, validate
from makespan.envs.jobshop.instance import ShopInstance

# job 0 is not counted; job 1 may run on machine 1 or, slower, on machine 0; realised durations differ from the forecasts
SHOP = ShopInstance.from_alternatives(
    [[[(0, 2)], [(1, 3)]], [[(1, 4), (0, 6)]], [[(0, 2)], [(1, 1)]]], release=[0, 1, 3], name="dynamic"
)
INSTANCE = DynamicShopInstance(
    SHOP,
    due=np.array([6, 5, 9]),
    weight=np.array([1, 3, 2]),
    realised=np.array([[2, 0], [3, 0], [5, 7], [3, 0], [1, 0]]),
    down=np.array([(1, 4, 6), (0, 30, 31)]),
    warm_up=1,
)
# machine 1: job 1 from 1, interrupted from 4 to 6, done at 8 (3 late, weight 3); job 0 from 8; job 2 from 11 (3 late, weight 2)
ROWS = [
    (0, 0, 0, 0, 2, "process"),
    (0, 1, 1, 8, 11, "process"),
    (1, 0, 1, 1, 8, "process"),
    (2, 0, 0, 3, 6, "process"),
    (2, 1, 1, 11, 12, "process"),
    (-1, -1, 1, 4, 6, "down"),
]
Rows = list[tuple[int, int, int, int, int, str]]


def table(rows: Rows) -> Schedule:
    """A schedule from rows (job, task, machine, start, end, kind)."""
    *columns, kinds = zip(*rows, strict=True)
    return Schedule(*(np.array(column) for column in columns), kind=tuple(kinds))  # type: ignore[arg-type]


def with_row(index: int, **changes: int) -> Rows:
    """ROWS with one of them changed."""
    names = ("job", "task", "resource", "start", "end")
    row = tuple(changes.get(name, value) for name, value in zip(names, ROWS[index], strict=False))
    return [*ROWS[:index], (*row, ROWS[index][5]), *ROWS[index + 1 :]]  # type: ignore[list-item]


def test_objectives_by_hand() -> None:
    """Weighted tardiness 3 * 3 + 2 * 3, flow times 7 + 9, latest completion 12: of the counted jobs 1 and 2."""
    assert validate(INSTANCE, table(ROWS)) == 3 * 3 + 2 * 3
    assert validate(INSTANCE, table(ROWS[::-1])) == 15
    assert validate(replace(INSTANCE, objective="flow_time"), table(ROWS)) == 16
    assert validate(replace(INSTANCE, objective="makespan"), table(ROWS)) == 12


def test_jobs_that_are_not_counted_may_be_left_undone() -> None:
    """Without job 0's last operation, or without job 0, nothing is violated and the objective is the same."""
    assert validate(INSTANCE, table([ROWS[0], *ROWS[2:]])) == 15
    assert validate(INSTANCE, table(ROWS[2:])) == 15


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS[:2], *ROWS[3:]], "job 1 task 0 is missing; job 1 is counted"),
        ([*ROWS[:4], ROWS[5]], "job 2 task 1 is missing"),
        (ROWS[1:], r"job 0 has tasks \[1\]; expected the first ones"),
        ([*ROWS, ROWS[0]], "job 0 task 0 is scheduled twice"),
        (with_row(0, job=7), "names job 7 task 0, which the shop does not have"),
        (with_row(0, resource=1), r"runs on machine 1; expected one of \[0\]"),
        (with_row(2, start=0, end=7), "begins at 0, before its job's arrival at 1"),
        (with_row(4, start=5, end=6), "begins at 5, before the end of the task before at 6"),
        (with_row(4, start=5, end=6), "while machine 1 is down"),
        (with_row(2, end=7), "ends at 7; its work is done at 8"),
        (with_row(3, end=5), "ends at 5; its work is done at 6"),
        (with_row(4, start=10, end=11), "overlap on machine 1"),
        (ROWS[:5], "the down row on machine 1, 4 to 6, is missing"),
        ([*ROWS, (-1, -1, 0, 0, 1, "down")], "the down row on machine 0, 0 to 1, has no reason"),
        ([*ROWS, (0, 0, 0, 0, 1, "setup")], "kind 'setup' has no meaning"),
        ([ROWS[5]], "no operation is scheduled"),
    ],
)
def test_rejects_each_corruption(rows: Rows, message: str) -> None:
    """No single corruption passes, and the message says what is wrong."""
    with pytest.raises(InvalidScheduleError, match=message):
        validate(INSTANCE, table(rows))


def test_lower_bound_by_hand() -> None:
    """Nobody waits, nothing breaks down: job 1 ends at 6, one late at weight 3; job 2 at 7 in time."""
    assert lower_bound(INSTANCE) == 3
    assert lower_bound(replace(INSTANCE, objective="flow_time")) == 5 + 4
    assert lower_bound(replace(INSTANCE, objective="makespan")) == 7
