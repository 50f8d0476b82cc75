"""The judge of allocations: sound ones pass with their peak, each corruption is named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from plain_allocation import feasible, small_problem

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.allocation_benchmark import load_instance
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_validator import (
    allocation_schedule,
    check_capacity,
    lower_bound,
    offsets_of,
    validate,
)

PROBLEM = AllocationProblem(
    [0, 0, 3], [4, 4, 6], [4, 2, 3], [2, 1, 1], [-1, 4, -1], gaps=[[0, 1, 2, 0, 0]], capacity=8, name="p"
)
SOUND = allocation_schedule(PROBLEM, np.array([0, 4, 6]))


def test_a_sound_allocation_has_its_peak() -> None:
    """Highest offset + size; the encoding holds one row a buffer and gives the offsets back."""
    assert validate(PROBLEM, SOUND) == 9
    assert offsets_of(PROBLEM, SOUND).tolist() == [0, 4, 6]
    assert (SOUND.resource.tolist(), SOUND.start.tolist(), SOUND.end.tolist()) == (
        [0, 4, 6],
        [0, 0, 3],
        [4, 4, 6],
    )
    partial = allocation_schedule(PROBLEM, np.array([0, -1, 6]))
    assert partial.job.tolist() == [0, 2]


def changed(**columns: list) -> Schedule:
    return dataclasses.replace(SOUND, **columns)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (SOUND.select([0, 1]), "buffer 2 is missing"),
        (SOUND.select([0, 1, 2, 2]), "buffer 2 is placed 2 times"),
        (changed(job=[0, 1, 7]), "unknown buffer 7"),
        (changed(job=[0, 1, -1]), "unknown buffer -1"),
        (changed(task=[0, 1, 0]), "row 1 is task 1"),
        (changed(kind=("copy",)), "kind 'copy'"),
        (changed(start=[0, 0, 2]), r"buffer 2 lives in \[2, 6\)"),
        (changed(end=[4, 4, 5]), r"buffer 2 lives in \[3, 5\)"),
        (changed(resource=[-2, 4, 6]), "buffer 0 lies at offset -2; expected at least 0"),
        (changed(resource=[7, 4, 11]), "buffer 0 lies at offset 7; expected a multiple of 2"),
        (changed(resource=[6, 3, 10]), "buffer 1 lies at offset 3; expected 4, as prescribed"),
        (changed(resource=[2, 4, 6]), "buffer 0 and buffer 1 both hold offset 4 during"),
        (changed(resource=[0, 4, 5]), r"buffer 1 and buffer 2 both hold offset 5 during \[3, 4\)"),
    ],
)
def test_corruptions_are_named(schedule: Schedule, message: str) -> None:
    """Each violation has its sentence."""
    with pytest.raises(InvalidScheduleError, match=message):
        validate(PROBLEM, schedule)


def test_capacity_is_a_question_of_its_own() -> None:
    """A peak above the capacity is a valid allocation, which `check_capacity` refuses."""
    with pytest.raises(InvalidScheduleError, match="the peak is 9 bytes; expected at most 8"):
        check_capacity(PROBLEM, SOUND)
    assert check_capacity(dataclasses.replace(PROBLEM, capacity=9), SOUND) == 9
    assert check_capacity(dataclasses.replace(PROBLEM, capacity=0), SOUND) == 9


def test_verdicts_agree_with_bytes() -> None:
    """Random offsets are accepted exactly if no byte is held twice, gaps and windows included."""
    rng = np.random.default_rng(8)
    verdicts = []
    for _ in range(300):
        problem = small_problem(rng, num_buffers=4, gaps="windows")
        offsets = rng.integers(0, 8, 4)
        pairs = [(i, j) for i in range(4) for j in range(i)]
        sound = all(feasible(problem, {j: int(offsets[j])}, i, int(offsets[i])) for i, j in pairs)
        schedule = allocation_schedule(problem, offsets)
        if sound:
            assert validate(problem, schedule) == (offsets + problem.size).max()
        else:
            with pytest.raises(InvalidScheduleError, match="both hold"):
                validate(problem, schedule)
        verdicts.append(sound)
    assert 30 < sum(verdicts) < 270


def test_lower_bound_by_hand() -> None:
    """Largest load; a buffer that is never whole, and a prescribed end, count too. It agrees with the instance's own."""
    assert lower_bound(load_instance("toy")) == 7
    assert lower_bound(load_instance("minimalloc-example")) == 12
    assert lower_bound(AllocationProblem([0], [2], [6], gaps=[[0, 0, 2, 1, 3]])) == 6
    assert lower_bound(PROBLEM) == 9  # all three live at 3
    assert lower_bound(AllocationProblem([0], [1], [2], fixed=[10])) == 12
    rng = np.random.default_rng(0)
    for _ in range(50):
        problem = small_problem(rng, gaps="windows", fixed=True)
        assert lower_bound(problem) == problem.load_bound
