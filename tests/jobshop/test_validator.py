"""The validator accepts what is feasible and names every way in which a schedule can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.rollout import first_schedule
from makespan.envs.jobshop.validator import lower_bound, validate

# Two jobs on three machines, the second job released at 2; optimal schedule by hand, makespan 9:
#   machine 0: job 0 [0, 3), job 1 [4, 6);  machine 1: job 1 [2, 4), job 0 [4, 8);  machine 2: job 1 [6, 9)
SHOP = ShopInstance.from_jobs([[(0, 3), (1, 4)], [(1, 2), (0, 2), (2, 3)]], release=[0, 2])
GOOD = Schedule(
    job=np.array([0, 0, 1, 1, 1]),
    task=np.array([0, 1, 0, 1, 2]),
    resource=np.array([0, 1, 1, 0, 2]),
    start=np.array([0, 4, 2, 4, 6]),
    end=np.array([3, 8, 4, 6, 9]),
)


def changed(column: str, row: int, value: int) -> Schedule:
    """GOOD with one entry replaced."""
    array = getattr(GOOD, column).copy()
    array[row] = value
    return replace(GOOD, **{column: array})


def rows(index: list[int]) -> Schedule:
    """GOOD with only, or with repeated, rows."""
    return replace(GOOD, **{c: getattr(GOOD, c)[index] for c in ("job", "task", "resource", "start", "end")})


def moved(row: int, start: int) -> Schedule:
    """GOOD with one operation shifted in time."""
    length = int(GOOD.end[row] - GOOD.start[row])
    return replace(changed("start", row, start), end=changed("end", row, start + length).end)


def malformed(**columns: object) -> Schedule:
    """GOOD with columns that `Schedule` itself would refuse: the judge does not rely on its constructor."""
    whole = {c: getattr(GOOD, c) for c in ("job", "task", "resource", "start", "end", "kind")}
    return cast(Schedule, SimpleNamespace(**(whole | columns)))


CORRUPTIONS: dict[str, tuple[Callable[[], Schedule], str]] = {
    "missing": (lambda: rows([0, 1, 2, 3]), "job 1 task 2 is missing"),
    "nothing at all": (lambda: rows([]), "job 0 task 0 is missing"),
    "duplicate": (lambda: rows([0, 1, 2, 3, 4, 4]), "job 1 task 2 is scheduled 2 times"),
    "unknown job": (lambda: changed("job", 4, 2), "names unknown job 2; expected 0..1"),
    "negative job": (lambda: changed("job", 4, -1), "names unknown job -1"),
    "unknown task": (lambda: changed("task", 1, 2), "names unknown task 2 of job 0; expected 0..1"),
    "ineligible machine": (
        lambda: changed("resource", 4, 1),
        "runs on ineligible machine 1; expected one of",
    ),
    "machine out of range": (lambda: changed("resource", 4, 3), "names unknown machine 3; expected 0..2"),
    "negative machine": (lambda: changed("resource", 4, -1), "names unknown machine -1"),
    "wrong duration": (lambda: changed("end", 4, 10), "job 1 task 2 takes 4 on machine 2; expected 3"),
    "overlap": (lambda: moved(1, 3), "job 1 task 0 and job 0 task 1 overlap on machine 1"),
    "precedence": (lambda: moved(4, 5), "job 1 task 2 starts at 5, before the job's previous task ends at 6"),
    "release": (lambda: moved(2, 1), "job 1 task 0 starts at 1, before the job's release at 2"),
    "negative start": (lambda: moved(0, -3), "job 0 task 0 starts at negative time -3"),
    "end before start": (lambda: changed("end", 4, 5), "job 1 task 2 ends at 5, before its start at 6"),
    "floats": (
        lambda: malformed(start=GOOD.start + 0.5),
        "column start has type float64; expected integers",
    ),
    "two-dimensional": (lambda: malformed(end=GOOD.end[None]), "column end has shape"),
    "ragged": (lambda: malformed(job=[0, [1, 2]]), "column job is ragged"),
    "unequal lengths": (lambda: malformed(task=GOOD.task[:4]), "the columns differ in length"),
    "kind": (lambda: replace(GOOD, kind=("setup",)), "kind 'setup' has no meaning"),
    "kind count": (
        lambda: malformed(kind=("process",) * 3),
        "column kind has 3 entries; expected 1 or 5",
    ),
}


def test_accepts_the_optimum_found_by_hand() -> None:
    """A feasible schedule passes in any order of its rows, and its makespan is the latest end."""
    assert validate(SHOP, GOOD) == 9
    assert validate(SHOP, rows([3, 0, 4, 2, 1])) == 9


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_rejects_each_corruption(kind: str) -> None:
    """No single corruption passes, and the message says what is wrong and where."""
    corrupt, message = CORRUPTIONS[kind]
    with pytest.raises(InvalidScheduleError) as caught:
        validate(SHOP, corrupt())
    assert any(message in violation for violation in caught.value.violations), caught.value.violations


def test_lists_every_violation() -> None:
    """Independent faults are all reported, not only the first."""
    schedule = replace(GOOD, resource=changed("resource", 4, 7).resource, start=changed("start", 0, -3).start)
    with pytest.raises(InvalidScheduleError) as caught:
        validate(SHOP, schedule)
    assert len(caught.value.violations) == 3  # unknown machine, negative start, wrong duration


def test_zero_durations_are_legal_outside_other_operations() -> None:
    """An operation of length 0 may touch another one on its machine but not stand inside it."""
    shop = ShopInstance.from_jobs([[(0, 4)], [(0, 0)]])
    touching = Schedule(*(np.array(c) for c in ([0, 1], [0, 0], [0, 0], [0, 4], [4, 4])))
    assert validate(shop, touching) == 4
    assert validate(shop, replace(touching, start=np.array([0, 0]), end=np.array([4, 0]))) == 4
    with pytest.raises(InvalidScheduleError, match="overlap"):
        validate(shop, replace(touching, start=np.array([0, 2]), end=np.array([4, 2])))


def test_overlap_with_an_operation_that_is_not_the_previous_one() -> None:
    """A long operation is compared with all that start during it, not only with its neighbour."""
    shop = ShopInstance.from_jobs([[(0, 9)], [(0, 1)], [(0, 1)]])
    schedule = Schedule(*(np.array(c) for c in ([0, 1, 2], [0, 0, 0], [0, 0, 0], [0, 1, 5], [9, 2, 6])))
    with pytest.raises(InvalidScheduleError) as caught:
        validate(shop, schedule)
    assert len(caught.value.violations) == 2


def test_flexible_duration_depends_on_the_machine() -> None:
    """In a flexible shop the duration is that of the machine chosen."""
    shop = ShopInstance.from_alternatives([[[(0, 3), (2, 5)]]], num_machines=3)
    row = Schedule(*(np.array([v]) for v in (0, 0, 2, 0, 5)))
    assert validate(shop, row) == 5
    with pytest.raises(InvalidScheduleError, match="takes 5 on machine 0; expected 3"):
        validate(shop, replace(row, resource=np.array([0])))


def test_lower_bound_by_hand() -> None:
    """Each part of the bound is reached by a shop in which it is the largest."""
    assert lower_bound(SHOP) == 9  # job 1: release 2 + work 7
    one_machine = ShopInstance.from_jobs([[(0, 4), (1, 6)], [(0, 4), (2, 6)], [(1, 3), (0, 1)]])
    assert lower_bound(one_machine) == 14  # machine 0: two of length 4, each followed by 6
    spread = ShopInstance.from_alternatives([[[(0, 5), (1, 5)]]] * 3)
    assert lower_bound(spread) == 8  # 15 units of work on two machines


def test_lower_bound_never_exceeds_a_schedule() -> None:
    """The bound is a bound: no dispatched schedule of random classic or flexible shops is below it."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        jobs = [
            [
                [(int(m), int(rng.integers(0, 9))) for m in rng.permutation(3)[: rng.integers(1, 3)]]
                for _ in range(rng.integers(1, 4))
            ]
            for _ in range(3)
        ]
        shop = ShopInstance.from_alternatives(jobs, num_machines=3, release=rng.integers(0, 5, 3).tolist())
        assert lower_bound(shop) <= validate(shop, first_schedule(shop))
