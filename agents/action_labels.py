"""Labels of a teacher that acts: rules and registered policies, asked in every state that an episode passes through.

A world follows from its instance, so that what was played and what the teacher said in each state is all there is
to keep; the observations come back when the episode is played again. In the cloning round the teacher plays; in
rounds of DAgger the student does, or at each decision the teacher with probability beta.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from makespan.agents.config import EnvConfig, ShapeConfig
from makespan.agents.contenders import PolicySpec, make_contender
from makespan.agents.demonstrations import make_batch
from makespan.agents.labels import Actions, Chunk, Labels, chunks_of, draw, joined, split
from makespan.agents.network import ActorCritic
from makespan.agents.policy import LearnedPolicy
from makespan.agents.progress import Progress
from makespan.agents.shapes import teacher_of
from makespan.envs.core.family import Family
from makespan.envs.core.files import write_atomically
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.policy import PlanningPolicy, Policy

_MIXING = 3  # stream
_TOGETHER = (
    8  # instances a file: a teacher that plans takes its time, and a run that was killed goes on from there
)

Kept = tuple[list[Actions], list[Actions]]  # actions taken, and the teacher's


@dataclass(frozen=True, slots=True)
class Student:
    """Who plays while the teacher comments.

    Attributes:
        network: Plays greedily.
        beta: Probability with which the teacher takes a decision instead.
        name: Names the weights in the files that keep the labels.
    """

    network: ActorCritic
    beta: float
    name: str


def action_labels(
    env: EnvConfig,
    family: Family,
    shapes: Sequence[ShapeConfig],
    seed: int,
    *,
    student: Student | None = None,
    cache_dir: str | Path = "",
) -> list[Labels]:
    """What each shape's teacher does in every state of an episode on each of its instances, one group a shape.

    Args:
        env: Where teacher and student act, both with its options.
        family: Its rules and registered policies are the teachers.
        shapes: What to draw and how many, and the teacher.
        seed: Of the instances, the teacher and the mixing.
        student: Who plays; None lets the teacher play itself.
        cache_dir: Where chunks are kept; empty keeps none.
    """
    folder = Path(cache_dir) if cache_dir else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    who = "teacher" if student is None else f"{student.name}-{student.beta}"
    key = f"actions-{env.id}-{sorted(env.options.items())}-{who}"
    labels = []
    with Progress("labels", sum(shape.count for shape in shapes), unit="episode") as progress:
        for shape in shapes:
            played: list[Actions] = []
            answers: list[Actions] = []
            for chunk in chunks_of(family, shape, seed, folder, key, _TOGETHER):
                kept = _read(chunk) or _write(chunk, _act(env, chunk, student))
                played += kept[0]
                answers += kept[1]
                progress.update(chunk.count)
            instances = draw(family, shape, seed, 0, shape.count)
            labels.append(Labels(instances, [], played, answers))
    return labels


def _act(env: EnvConfig, chunk: Chunk, student: Student | None) -> Kept:
    """Play a chunk's instances: the actions taken and the teacher's, each one array an instance."""
    spec = teacher_of(chunk.family, chunk.shape)
    instances = chunk.instances()
    batch = make_batch(env.id, env.options, instances)
    seeds = np.random.SeedSequence((chunk.seed, _MIXING, chunk.first))
    rng = np.random.default_rng(seeds)
    teacher = _teacher(chunk.family, env, spec, batch.schema, int(seeds.generate_state(1)[0]))
    learner = None if student is None else LearnedPolicy(student.network)
    observation, _ = batch.reset(seed=0)
    if isinstance(teacher, PlanningPolicy):
        teacher.begin(instances, np.arange(len(instances)))
    running = np.ones(len(instances), np.bool_)
    taken, said, shown = [], [], []
    while running.any():
        answer = teacher.act(observation)
        action = answer
        if learner is not None and student is not None:
            action = np.where(rng.random(len(instances)) < student.beta, answer, learner.act(observation))
        taken.append(action.astype(np.int64))
        said.append(answer.astype(np.int64))
        shown.append(running)
        observation, _, terminated, truncated, _ = batch.step(action)
        running = running & ~(terminated | truncated)
    mask = np.array(shown).T  # (I, steps)
    played, answers = np.array(taken).T, np.array(said).T
    return (
        [row[own] for row, own in zip(played, mask, strict=True)],
        [row[own] for row, own in zip(answers, mask, strict=True)],
    )


def _teacher(family: Family, env: EnvConfig, spec: PolicySpec, schema: GraphSchema, seed: int) -> Policy:
    """The teacher on the student's own decision graphs, whatever mode it is at home in."""
    return make_contender(spec, family, env.id).makers[0](schema, True, seed)


def _read(chunk: Chunk) -> Kept | None:
    """What is in the chunk's file; None if there is none, or a damaged one."""
    if chunk.folder is None or not chunk.path.exists():
        return None
    try:
        with np.load(chunk.path, allow_pickle=False) as file:
            length = file["length"]
            kept = split(file["played"], length), split(file["answers"], length)
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
    return kept if len(kept[0]) == chunk.count else None


def _write(chunk: Chunk, kept: Kept) -> Kept:
    """Keep the labels, where there is a folder for them."""
    if chunk.folder is not None:
        played, answers = kept
        buffer = io.BytesIO()
        length = np.array([len(actions) for actions in played])
        np.savez_compressed(buffer, played=joined(played), answers=joined(answers), length=length)
        write_atomically(chunk.path, buffer.getvalue())
    return kept
