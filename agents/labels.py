"""Labels: instances drawn from a seed, solved by a teacher in worker processes, kept on disk.

An instance follows from the seed, so only the schedules (and what a student did before the teacher took over)
are kept, in chunks: a run that was killed goes on with the chunk it was at. Nothing is pickled to disk.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import multiprocessing
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from makespan.agents.config import ShapeConfig
from makespan.agents.contenders import PolicySpec
from makespan.agents.progress import Progress
from makespan.agents.shapes import GENERATOR, make_generator, teacher_of
from makespan.envs.core.errors import MakespanError
from makespan.envs.core.family import Family
from makespan.envs.core.files import write_atomically
from makespan.envs.core.policy import Solver, SolverEntry, solvers_of
from makespan.envs.core.schedule import Schedule
from makespan.envs.registration import get_family

CHUNK: Final = 50  # instances a file
COLUMNS: Final = ("job", "task", "resource", "start", "end")
Actions = NDArray[np.int64]
NOTHING: Final[Actions] = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Labels:
    """Instances of one shape with what a teacher makes of them: schedules, or actions in every state of an episode.

    Attributes:
        instances: What was solved.
        schedules: One each; empty where the teacher gave actions.
        played: Actions (k,) with which each schedule begins and that no teacher chose: the label counts from
            the decision after them, none for any if left out. With `answers`, the actions (k,) of whole episodes.
        answers: The teacher's action (k,) in each state of those episodes; empty where it gave schedules.
    """

    instances: list[Any]
    schedules: list[Schedule]
    played: list[Actions] = field(default_factory=list)
    answers: list[Actions] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.played:
            object.__setattr__(self, "played", [NOTHING] * len(self.instances))

    def __len__(self) -> int:
        return len(self.instances)

    @property
    def first(self) -> list[int]:
        """The first decision of each label that counts."""
        return [0 if self.answers else len(actions) for actions in self.played]

    @property
    def num_decisions(self) -> list[int]:
        """Decisions of each label, at most."""
        if self.answers:
            return [len(actions) for actions in self.answers]
        return [len(schedule) for schedule in self.schedules]

    def select(self, rows: Iterable[int]) -> Labels:
        """The labels in these rows, in that order."""
        rows = list(rows)
        return Labels(
            [self.instances[i] for i in rows],
            [self.schedules[i] for i in rows] if self.schedules else [],
            [self.played[i] for i in rows],
            [self.answers[i] for i in rows] if self.answers else [],
        )


def draw(family: Family, shape: ShapeConfig, seed: int, first: int, count: int) -> list[Any]:
    """Instances `first` to `first + count` of a shape's endless sequence; each has a stream of its own."""
    generator = make_generator(family, shape)
    return [generator.sample(_stream(shape, seed, i)) for i in range(first, first + count)]


def _stream(shape: ShapeConfig, seed: int, i: int) -> np.random.Generator:
    return np.random.default_rng((seed, *_digest(_distribution(shape))[:2], i))


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
    return collect(get_family(env_id), shapes, seed, _teach, workers=workers, cache_dir=cache_dir)


class Task(NamedTuple):
    """A label to make: a function for a worker process, its arguments, and what was played before."""

    function: Callable[..., Schedule]
    arguments: tuple[Any, ...]
    played: Actions = NOTHING


def collect(
    family: Family,
    shapes: Sequence[ShapeConfig],
    seed: int,
    tasks: Callable[[Chunk], Iterable[Task]],
    *,
    workers: int = 0,
    cache_dir: str | Path = "",
    student: str = "",
) -> list[Labels]:
    """Labels of every shape's instances, from the chunks that are on disk and from worker processes.

    Args:
        family: Family of the instances.
        shapes: What to draw and how many.
        seed: Of the instances.
        tasks: How a chunk that is missing is labelled, one task an instance.
        workers: Processes; 0 for one a core.
        cache_dir: Where chunks are kept; empty keeps none.
        student: All that the labels depend on besides instances and shape.

    Raises:
        MakespanError: A worker died.
    """
    folder = Path(cache_dir) if cache_dir else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    chunks = [chunk for shape in shapes for chunk in chunks_of(family, shape, seed, folder, student)]
    missing = [chunk for chunk in chunks if not chunk.is_there()]
    solved = dict(_solve_all(missing, tasks, workers))
    labels = []
    for shape in shapes:
        parts = [
            solved[chunk] if chunk in solved else chunk.read() for chunk in chunks if chunk.shape is shape
        ]
        schedules = [one for part in parts for one in part[0]]
        played = [one for part in parts for one in part[1]]
        labels.append(Labels(draw(family, shape, seed, 0, shape.count), schedules, played))
    return labels


def chunks_of(
    family: Family, shape: ShapeConfig, seed: int, folder: Path | None, student: str, size: int = CHUNK
) -> list[Chunk]:
    """A shape's instances in chunks; `student` is all that their labels depend on besides instances and shape."""
    return [
        Chunk(family, shape, seed, first, min(size, shape.count - first), folder, student)
        for first in range(0, shape.count, size)
    ]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive instances of a shape, labelled together."""

    family: Family
    shape: ShapeConfig
    seed: int
    first: int
    count: int
    folder: Path | None
    student: str = ""

    @property
    def path(self) -> Path:
        """The chunk's file; its name says all that the labels depend on."""
        assert self.folder is not None
        shape = {key: value for key, value in asdict(self.shape).items() if key != "count"}
        shape |= {"student": self.student} if self.student else {}
        parts = _digest(
            {"family": self.family.name, "seed": self.seed, "first": self.first, "n": self.count, **shape}
        )
        name = re.sub(r"[^A-Za-z0-9_.,=-]", "_", self.shape.name)[:80]
        return self.folder / f"{name}-{self.first:05d}-{parts[0]:08x}{parts[1]:08x}.npz"

    def is_there(self) -> bool:
        """Whether the file exists and can be read; a damaged one is solved again."""
        if self.folder is None or not self.path.exists():
            return False
        try:
            return len(self.read()[0]) == self.count
        except (OSError, ValueError, KeyError, BadZipFile):
            return False

    def instances(self) -> list[Any]:
        """The chunk's instances."""
        return draw(self.family, self.shape, self.seed, self.first, self.count)

    def read(self) -> Solved:
        """What is in the file."""
        with np.load(self.path, allow_pickle=False) as file:
            columns = {key: split(file[key], file["length"]) for key in COLUMNS}
            played = [NOTHING] * len(file["length"])
            if "played" in file:
                played = split(file["played"], file["first"])
            kinds: list[tuple[str, ...]] = [("process",)] * len(file["length"])
            if "kind" in file:
                names = file["kind_names"].tolist()
                kinds = [tuple(names[i] for i in row) for row in split(file["kind"], file["length"])]
        job, task, resource, start, end = (columns[key] for key in COLUMNS)
        return list(map(Schedule, job, task, resource, start, end, kinds)), played

    def write(self, schedules: Sequence[Schedule], played: Sequence[Actions]) -> None:
        """Keep the labels."""
        if self.folder is None:
            return
        arrays = {key: joined([getattr(schedule, key) for schedule in schedules]) for key in COLUMNS}
        arrays["length"] = np.array([len(schedule) for schedule in schedules])
        if any(len(actions) for actions in played):
            arrays |= {"played": joined(played), "first": np.array([len(actions) for actions in played])}
        kinds = [kind for schedule in schedules for kind in schedule.kinds]
        if set(kinds) - {"process"}:
            arrays["kind_names"], arrays["kind"] = np.unique(kinds, return_inverse=True)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        write_atomically(self.path, buffer.getvalue())


Solved = tuple[list[Schedule], list[Actions]]


def joined(columns: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
    """Columns of unlike length as one, of 32-bit numbers."""
    return np.concatenate(columns).astype(np.int32)


def split(column: NDArray[Any], lengths: NDArray[Any]) -> list[NDArray[np.int64]]:
    """What `joined` has joined; raises `ValueError` where the lengths do not add up."""
    if len(column) != lengths.sum():
        raise ValueError(f"{len(column)} rows; expected {lengths.sum()}")
    return np.split(column.astype(np.int64), np.cumsum(lengths)[:-1])


class _Pending(NamedTuple):
    """A chunk that workers are at."""

    chunk: Chunk
    futures: list[Future[Schedule]]
    played: list[Actions]

    def result(self, progress: Progress) -> tuple[Chunk, Solved]:
        """Wait for the chunk, and keep it."""
        schedules = []
        for future in self.futures:
            schedules.append(future.result())
            progress.update()
        self.chunk.write(schedules, self.played)
        return self.chunk, (schedules, self.played)


def _solve_all(
    chunks: Sequence[Chunk], tasks: Callable[[Chunk], Iterable[Task]], workers: int
) -> Iterator[tuple[Chunk, Solved]]:
    total = sum(chunk.count for chunk in chunks)
    if not total:
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=context)
    try:
        with Progress("labels", total, unit="instance") as progress:
            pending: deque[_Pending] = deque()
            for chunk in chunks:
                own = list(tasks(chunk))
                futures = [pool.submit(task.function, *task.arguments) for task in own]
                pending.append(_Pending(chunk, futures, [task.played for task in own]))
                while pending and all(future.done() for future in pending[0].futures):
                    yield pending.popleft().result(progress)
            while pending:
                yield pending.popleft().result(progress)
    except BrokenProcessPool as error:
        raise MakespanError(
            "a worker process died while it made labels (it was killed, or memory was short; what it said "
            "itself stands above); finished chunks are kept where there is a cache: run again to go on, with "
            "fewer workers if memory is short"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)  # what nobody waits for any more need not be solved


def _teach(chunk: Chunk) -> Iterator[Task]:
    shape = chunk.shape
    teacher = teacher_of(chunk.family, shape)
    if teacher.name == GENERATOR:
        for i in range(chunk.first, chunk.first + chunk.count):
            yield Task(_draw_solution, (chunk.family.env_ids[0], shape, chunk.seed, i))
        return
    for i, instance in enumerate(chunk.instances(), chunk.first):
        yield Task(_solve, (chunk.family.env_ids[0], teacher, instance, shape.time_limit_s, i))


def _draw_solution(env_id: str, shape: ShapeConfig, seed: int, i: int) -> Schedule:
    """The solution that instance i of a shape's sequence is drawn with."""
    generator: Any = make_generator(get_family(env_id), shape)
    solution: Schedule = generator.sample_solved(_stream(shape, seed, i))[1]
    return solution


def _solve(env_id: str, teacher: PolicySpec, instance: Any, time_limit_s: float, seed: int) -> Schedule:
    """One label, in a worker process that has imported nothing yet."""
    entry = solvers_of(get_family(env_id).name)[teacher.name]  # finding the family registers its solvers
    solution = _alone(entry, dict(teacher.options)).solve(instance, time_limit_s, seed)
    if solution.schedule is None:
        raise MakespanError(f"{teacher.text} found no schedule of {instance.name!r} in {time_limit_s} s")
    return solution.schedule


def _alone(entry: SolverEntry, options: dict[str, Any]) -> Solver:
    """The solver, kept to one worker where it has several: there is a process for each core already."""
    solver = entry.load(**options)
    if "workers" in inspect.signature(type(solver)).parameters and "workers" not in options:
        return entry.load(workers=1, **options)
    return solver


@dataclass(frozen=True, slots=True)
class Finish:
    """Completes a student's past in a worker process; keeps the student's own completion if it is better.

    It is here, not beside its use, because a worker imports the module it comes from, and needs no torch.
    """

    complete: Callable[[Any, Schedule, float, int], Schedule]
    validate: Callable[[Any, Schedule], float]
    sense: Literal["min", "max"] = "min"

    def __call__(
        self,
        instance: Any,
        past: Schedule,
        own: Schedule,
        time_limit_s: float,
        seed: int,
    ) -> Schedule:
        """The better of both completions."""
        best = self.complete(instance, past, time_limit_s, seed)
        gain = self.validate(instance, own) - self.validate(instance, best)
        return best if (gain <= 0.0 if self.sense == "max" else gain >= 0.0) else own


def _distribution(shape: ShapeConfig) -> dict[str, Any]:
    return {"generator": shape.generator, "parameters": dict(shape.parameters)}


def _digest(data: dict[str, Any]) -> tuple[int, ...]:
    """A stable hash as 32-bit words."""
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).digest()
    return tuple(np.frombuffer(digest, np.uint32).tolist())
