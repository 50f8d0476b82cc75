"""Labels are made once, survive damaged files and dying workers, and follow from the seed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from shop_labels import JOBSHOP_ID, shops, solved

from makespan.agents import labels as labels_module
from makespan.agents.config import ShapeConfig
from makespan.agents.labels import Chunk, Labels, Task, collect, draw, label
from makespan.envs.core.errors import MakespanError
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.completion import complete
from makespan.envs.jobshop.family import JOBSHOP
from makespan.envs.jobshop.validator import validate

SHAPES = (
    ShapeConfig("uniform", {"num_jobs": 3, "num_machines": 3}, count=4, teacher="cp_sat"),
    ShapeConfig("uniform", {"num_jobs": 4, "num_machines": 3}, count=2, teacher="cp_sat"),
)


def no_pool(*_: object, **__: object) -> None:
    """Stands in for the pool where nothing may be solved."""
    raise AssertionError("something is solved again")


def columns(groups: list[Labels]) -> list[list[list[int]]]:
    """Everything in the schedules."""
    return [[[*s.job, *s.task, *s.resource, *s.start, *s.end] for s in group.schedules] for group in groups]


def test_labels_are_optimal_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher's schedules belong to the instances; a second run reads them, and a damaged file is made again."""
    first = label(JOBSHOP_ID, SHAPES, 7, workers=1, cache_dir=tmp_path)
    assert [len(group) for group in first] == [4, 2]
    for group in first:
        best = solved(group.instances)
        for shop, schedule, optimal in zip(group.instances, group.schedules, best.schedules, strict=True):
            assert validate(shop, schedule) == optimal.makespan
    damaged, *_ = sorted(tmp_path.glob("*.npz"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = label(JOBSHOP_ID, SHAPES, 7, workers=1, cache_dir=tmp_path)
    assert columns(again) == columns(first)
    monkeypatch.setattr(labels_module, "ProcessPoolExecutor", no_pool)
    assert columns(label(JOBSHOP_ID, SHAPES, 7, cache_dir=tmp_path)) == columns(first)
    with pytest.raises(AssertionError, match="solved again"):
        label(JOBSHOP_ID, SHAPES, 8, cache_dir=tmp_path)


def test_instances_follow_from_the_seed() -> None:
    """A longer draw begins with the shorter one, and seeds and shapes have streams of their own."""
    shape = SHAPES[0]
    five, three = draw(JOBSHOP, shape, 1, 0, 5), draw(JOBSHOP, shape, 1, 2, 3)
    assert five[2:] == three
    assert draw(JOBSHOP, shape, 2, 0, 5) != five
    assert len({tuple(shop.durations.ravel()) for shop in five}) == 5


@pytest.mark.parametrize("student", ["", "someone"])
def test_a_chunk_keeps_what_was_played(tmp_path: Path, student: str) -> None:
    """The file holds schedules and the student's actions, none of them among others."""
    chunk = Chunk(JOBSHOP, SHAPES[0], 3, 0, 3, tmp_path, student)
    schedules = solved(chunk.instances()[:3]).schedules
    played = [np.arange(n) for n in ((2, 0, 1) if student else (0, 0, 0))]
    assert not chunk.is_there()
    chunk.write(schedules, played)
    assert chunk.is_there()
    there, actions = chunk.read()
    assert [s.start.tolist() for s in there] == [s.start.tolist() for s in schedules]
    assert [a.tolist() for a in actions] == [a.tolist() for a in played]


def test_the_cache_knows_students_apart(tmp_path: Path) -> None:
    """Labels of one student's states are never taken for another's, or for a teacher's own."""
    paths = {Chunk(JOBSHOP, SHAPES[0], 3, 0, 4, tmp_path, name).path for name in ("", "1-a", "2-a", "1-b")}
    assert len(paths) == 4


def test_selected_labels_stay_together() -> None:
    """Instance, schedule and what was played move as one; labels without a student count from the start."""
    labels = solved(shops(3))
    assert labels.first == [0, 0, 0]
    begun = Labels(labels.instances, labels.schedules, [np.arange(i) for i in range(3)])
    part = begun.select([2, 0])
    assert part.first == [2, 0]
    assert part.instances == [labels.instances[2], labels.instances[0]]
    assert part.schedules == [labels.schedules[2], labels.schedules[0]]


def _second_shape_kills(chunk: Chunk) -> Iterator[Task]:
    for instance in chunk.instances():
        if chunk.shape is SHAPES[0]:
            yield Task(complete, (instance, Schedule.empty(), 10.0, 0))
        else:
            yield Task(os._exit, (3,))


def test_a_dying_worker_is_reported_and_costs_no_finished_chunk(tmp_path: Path) -> None:
    """A worker that is killed gives one clear error instead of a hang, and what was finished is kept."""
    with pytest.raises(MakespanError, match=r"worker process died.*run again"):
        collect(JOBSHOP, SHAPES, 7, _second_shape_kills, workers=1, cache_dir=tmp_path, student="x")
    finished = Chunk(JOBSHOP, SHAPES[0], 7, 0, 4, tmp_path, "x")
    assert finished.is_there()
    assert not Chunk(JOBSHOP, SHAPES[1], 7, 0, 2, tmp_path, "x").is_there()
