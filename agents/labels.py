"""Labels: instances drawn from a seed, solved by a teacher in worker processes, kept on disk.

An instance follows from the seed, so only the schedules are kept, in chunks: a run that was killed goes on with the
chunk it was at. Nothing is pickled to disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from makespan.agents.config import ShapeConfig
from makespan.agents.progress import Progress
from makespan.envs.core.errors import MakespanError
from makespan.envs.core.family import Family
from makespan.envs.core.files import write_atomically
from makespan.envs.core.policy import solvers_of
from makespan.envs.core.schedule import Schedule
from makespan.envs.registration import get_family

CHUNK: Final = 50  # instances a file
COLUMNS: Final = ("job", "task", "resource", "start", "end")


@dataclass(frozen=True, slots=True)
class Labels:
    """Instances of one shape with the teacher's schedules."""

    instances: list[Any]
    schedules: list[Schedule]

    def __len__(self) -> int:
        return len(self.instances)


def draw(family: Family, shape: ShapeConfig, seed: int, first: int, count: int) -> list[Any]:
    """Instances `first` to `first + count` of a shape's endless sequence; each has a stream of its own."""
    generator = family.make_generator(
        shape.generator, num_jobs=shape.num_jobs, num_machines=shape.num_machines
    )
    streams = [(seed, *_digest(_distribution(shape))[:2], i) for i in range(first, first + count)]
    return [generator.sample(np.random.default_rng(stream)) for stream in streams]


def label(
    env_id: str, shapes: Sequence[ShapeConfig], seed: int, *, workers: int = 0, cache_dir: str | Path = ""
) -> list[Labels]:
    """Solve every shape's instances, or read the schedules that are already there.

    Args:
        env_id: Its family's solvers are the teachers.
        shapes: What to draw, how many, who solves them and for how long.
        seed: Of the instances and the teachers.
        workers: Processes; 0 for one a core.
        cache_dir: Where chunks are kept; empty keeps none.
    """
    family = get_family(env_id)
    folder = Path(cache_dir) if cache_dir else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    chunks = [
        _Chunk(family, shape, seed, first, min(CHUNK, shape.count - first), folder)
        for shape in shapes
        for first in range(0, shape.count, CHUNK)
    ]
    missing = [chunk for chunk in chunks if not chunk.is_there()]
    solved = dict(_solve_all(missing, workers))
    labels = []
    for shape in shapes:
        own = [chunk for chunk in chunks if chunk.shape is shape]
        schedules = [one for chunk in own for one in solved.get(chunk) or chunk.read()]
        labels.append(Labels(draw(family, shape, seed, 0, shape.count), schedules))
    return labels


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Consecutive instances of a shape, labelled together."""

    family: Family
    shape: ShapeConfig
    seed: int
    first: int
    count: int
    folder: Path | None

    @property
    def path(self) -> Path:
        """The chunk's file; its name says all that the labels depend on."""
        assert self.folder is not None
        shape = {key: value for key, value in asdict(self.shape).items() if key != "count"}
        parts = _digest(
            {"family": self.family.name, "seed": self.seed, "first": self.first, "n": self.count, **shape}
        )
        name = f"{self.shape.generator}-{self.shape.num_jobs}x{self.shape.num_machines}"
        return self.folder / f"{name}-{self.first:05d}-{parts[0]:08x}{parts[1]:08x}.npz"

    def is_there(self) -> bool:
        """Whether the file exists and can be read; a damaged one is solved again."""
        if self.folder is None or not self.path.exists():
            return False
        try:
            return len(self.read()) == self.count
        except (OSError, ValueError, KeyError, BadZipFile):
            return False

    def tasks(self) -> Iterator[tuple[str, str, Any, float, int]]:
        """Arguments of `_solve`, one tuple an instance."""
        instances = draw(self.family, self.shape, self.seed, self.first, self.count)
        for i, instance in enumerate(instances, self.first):
            yield self.family.name, self.shape.teacher, instance, self.shape.time_limit_s, i

    def read(self) -> list[Schedule]:
        """The schedules in the file."""
        with np.load(self.path, allow_pickle=False) as file:
            ends = np.cumsum(file["length"])
            columns = [np.split(file[key].astype(np.int64), ends[:-1]) for key in COLUMNS]
        rows = zip(*columns, strict=True)
        return [Schedule(job, task, resource, start, end) for job, task, resource, start, end in rows]

    def write(self, schedules: Sequence[Schedule]) -> None:
        """Keep the schedules."""
        if self.folder is None:
            return
        arrays: dict[str, NDArray[Any]] = {
            key: np.concatenate([getattr(schedule, key) for schedule in schedules]).astype(np.int32)
            for key in COLUMNS
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, length=np.array([len(s.job) for s in schedules]), **arrays)  # type: ignore[arg-type]
        write_atomically(self.path, buffer.getvalue())


def _solve_all(chunks: Sequence[_Chunk], workers: int) -> Iterator[tuple[_Chunk, list[Schedule]]]:
    total = sum(chunk.count for chunk in chunks)
    if not total:
        return
    context = multiprocessing.get_context("spawn")
    with (
        Progress("labels", total, unit="instance") as progress,
        ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=context) as pool,
    ):
        pending = [(chunk, [pool.submit(_solve, *task) for task in chunk.tasks()]) for chunk in chunks]
        for chunk, futures in pending:
            schedules = []
            for future in futures:
                schedules.append(future.result())
                progress.update()
            chunk.write(schedules)
            yield chunk, schedules


def _solve(family: str, teacher: str, instance: Any, time_limit_s: float, seed: int) -> Schedule:
    """One label, in a worker process that has imported nothing yet."""
    _register(family)
    options = {"workers": 1} if teacher == "cp_sat" else {}
    solution = solvers_of(family)[teacher].load(**options).solve(instance, time_limit_s, seed)
    if solution.schedule is None:
        raise MakespanError(f"{teacher} found no schedule of {instance.name!r} in {time_limit_s} s")
    return solution.schedule


def _register(family: str) -> None:
    from importlib import import_module

    import_module(f"makespan.envs.{family}.registry")


def _distribution(shape: ShapeConfig) -> dict[str, Any]:
    return {"generator": shape.generator, "jobs": shape.num_jobs, "machines": shape.num_machines}


def _digest(data: dict[str, Any]) -> tuple[int, ...]:
    """A stable hash as 32-bit words."""
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).digest()
    return tuple(np.frombuffer(digest, np.uint32).tolist())
