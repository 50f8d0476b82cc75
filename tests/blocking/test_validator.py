"""The validator accepts what is feasible and names what is not, with and without swaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from makespan.envs.blocking.generator import ToyBlockingShop
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.blocking.validator import lower_bound, validate
from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.instance import ShopInstance

TOY = ToyBlockingShop().sample()
SHOP = BlockingShopInstance(
    ShopInstance.from_jobs([[(0, 2), (1, 3)], [(1, 4)]], release=[0, 0]), down=np.array([(1, 5, 6)])
)
# job 0 blocks machine 0 from 2 to 4 and is interrupted on machine 1 from 5 to 6: done at 8
ROWS = [
    (0, 0, 0, 0, 2, "process"),
    (0, 1, 1, 4, 8, "process"),
    (1, 0, 1, 0, 4, "process"),
    (0, 0, 0, 2, 4, "blocked"),
    (-1, -1, 1, 5, 6, "down"),
]


def table(rows: list[tuple[int, int, int, int, int, str]]) -> Schedule:
    """A schedule from rows (job, task, machine, start, end, kind)."""
    *columns, kinds = zip(*rows, strict=True)
    return Schedule(*(np.array(column) for column in columns), kind=tuple(kinds))  # type: ignore[arg-type]


def with_row(index: int, **changes: int) -> list[tuple[int, int, int, int, int, str]]:
    """ROWS with one of them changed."""
    names = ("job", "task", "resource", "start", "end")
    row = tuple(changes.get(name, value) for name, value in zip(names, ROWS[index], strict=False))
    return [*ROWS[:index], (*row, ROWS[index][5]), *ROWS[index + 1 :]]  # type: ignore[list-item]


def test_accepts_the_hand_made_schedule() -> None:
    """A feasible schedule passes in any order of its rows; its makespan is the latest completion."""
    assert validate(SHOP, table(ROWS)) == 8
    assert validate(SHOP, table(ROWS[::-1])) == 8


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[1:], "job 0 task 0 is missing"),
        ([*ROWS, ROWS[0]], "job 0 task 0 is scheduled twice"),
        (with_row(0, job=5), "names job 5 task 0"),
        (with_row(2, resource=0), "runs on machine 0; expected 1"),
        (with_row(1, end=7), "its work is done at 8"),
        (with_row(1, start=1, end=4), "is left at 1, before its completion at 2"),
        ([*with_row(1, start=3, end=7)[:3], (0, 0, 0, 2, 3, "blocked"), ROWS[4]], "overlap on machine 1"),
        (with_row(1, start=5, end=9), "while it is down"),
        ([*ROWS[:3], ROWS[4]], "the blocked row of job 0 task 0 on machine 0, 2 to 4, is missing"),
        (with_row(3, end=5), "2 to 5, has no reason"),
        (ROWS[:4], "the down row on machine 1, 5 to 6, is missing"),
        ([*ROWS, (-1, -1, 0, 0, 1, "down")], "the down row on machine 0, 0 to 1, has no reason"),
        ([*ROWS, (0, 0, 0, 0, 1, "setup")], "kind 'setup' has no meaning"),
    ],
)
def test_rejects_each_corruption(rows: list[tuple[int, int, int, int, int, str]], message: str) -> None:
    """No single corruption passes, and the message says what is wrong."""
    with pytest.raises(InvalidScheduleError, match=message):
        validate(SHOP, table(rows))


SWAP = [
    (0, 0, 0, 0, 2, "process"),
    (0, 1, 1, 2, 5, "process"),
    (1, 0, 1, 0, 2, "process"),
    (1, 1, 0, 2, 5, "process"),
]


def test_a_swap_needs_permission() -> None:
    """Two jobs that exchange machines at time 2 are right with swaps and impossible without."""
    assert validate(TOY, table(SWAP)) == 5
    with pytest.raises(InvalidScheduleError, match="jobs 0, 1 move at 2"):
        validate(ToyBlockingShop(swap=False).sample(), table(SWAP))


def test_a_chain_needs_no_swap() -> None:
    """Jobs that follow each other at one moment into an empty machine are no swap."""
    shop = ShopInstance.from_jobs([[(0, 2), (1, 2)], [(1, 2), (2, 2)], [(2, 1)]])
    chain = [
        (0, 0, 0, 0, 2, "process"),
        (0, 1, 1, 2, 4, "process"),
        (1, 0, 1, 0, 2, "process"),
        (1, 1, 2, 2, 4, "process"),
        (2, 0, 2, 0, 1, "process"),
    ]
    assert validate(BlockingShopInstance(shop, swap=False), table(chain)) == 4


def test_a_cycle_of_three_is_a_swap() -> None:
    """Three jobs that each take the next one's machine at once cannot move one by one."""
    jobs = [[(0, 1), (1, 1)], [(1, 1), (2, 1)], [(2, 1), (0, 1)]]
    rows = [(j, k, m, k, k + 1, "process") for j, route in enumerate(jobs) for k, (m, _) in enumerate(route)]
    shop = BlockingShopInstance(ShopInstance.from_jobs(jobs))
    assert validate(shop, table(rows)) == 2
    with pytest.raises(InvalidScheduleError, match="impossible without a swap"):
        validate(replace(shop, swap=False), table(rows))


def test_release_and_stops() -> None:
    """Releases hold, and a stop within an operation is part of its time and shown as downtime."""
    instance = BlockingShopInstance(
        ShopInstance.from_jobs([[(0, 4)]], release=[2]), stop_after=np.array([1]), stop_length=np.array([3])
    )
    rows = [(0, 0, 0, 2, 9, "process"), (-1, -1, 0, 3, 6, "down")]
    assert validate(instance, table(rows)) == 9
    with pytest.raises(InvalidScheduleError, match="before its job's release"):
        validate(instance, table([(0, 0, 0, 0, 7, "process"), (-1, -1, 0, 1, 4, "down")]))
    assert lower_bound(instance) == 6
