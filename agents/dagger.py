"""DAgger (Ross, Gordon & Bagnell, AISTATS 2011): the student acts, the teacher says how to go on from there.

Cloning alone shows a student only states that a teacher reaches. Here it plays fresh instances greedily; in
each, one of its decisions is drawn, and the teacher completes the schedule from there as well as it can, with
the past as it is. Only decisions from there on become training rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from makespan.agents.config import EnvConfig, ShapeConfig
from makespan.agents.demonstrations import make_batch
from makespan.agents.labels import Actions, Chunk, Finish, Labels, Task, collect
from makespan.agents.network import ActorCritic
from makespan.agents.policy import LearnedPolicy
from makespan.envs.core.errors import MakespanError
from makespan.envs.core.family import Family
from makespan.envs.core.schedule import Schedule


def dagger_labels(
    network: ActorCritic,
    env: EnvConfig,
    family: Family,
    shapes: Sequence[ShapeConfig],
    seed: int,
    round_number: int,
    *,
    workers: int = 0,
    cache_dir: str | Path = "",
) -> list[Labels]:
    """What the solver makes of states that the student reaches, on instances that no other round has seen.

    Args:
        network: The student.
        env: Where it acts.
        family: Its `complete` is the teacher, whatever the shapes name.
        shapes: What to draw, how many, and the seconds for each completion.
        seed: Of the run.
        round_number: Counts from 1.
        workers: Processes; 0 for one a core.
        cache_dir: Where chunks are kept; empty keeps none.

    Raises:
        MakespanError: Nothing completes schedules of this family, or a worker died.
    """
    if not shapes:
        return []
    if family.complete is None:
        raise MakespanError(
            f"nothing completes a {family.name} schedule that was begun; set imitation.dagger_rounds to 0, or let a rule "
            "or registered policy teach"
        )
    finish = Finish(family.complete, family.validate, family.sense)

    def tasks(chunk: Chunk) -> Iterator[Task]:
        instances = chunk.instances()
        rng = np.random.default_rng((chunk.seed, 1, chunk.first))
        for i, (instance, cut) in enumerate(
            zip(instances, roll_out(network, env, instances, rng), strict=True)
        ):
            arguments = (instance, cut.past, cut.schedule, chunk.shape.time_limit_s, chunk.first + i)
            yield Task(finish, arguments, cut.played)

    return collect(
        family,
        shapes,
        round_seed(seed, round_number),
        tasks,
        workers=workers,
        cache_dir=cache_dir,
        student=f"{round_number}-{env.id}-{sorted(env.options.items())}-{digest(network.state_dict())}",
    )


def round_seed(seed: int, round_number: int) -> int:
    """A seed for each round; the run's own for round 0, the cloning."""
    if round_number == 0:
        return seed
    return int(np.random.SeedSequence((seed, round_number)).generate_state(1)[0])


def digest(weights: Mapping[str, Tensor]) -> str:
    """A hash of all weights and their names."""
    content = hashlib.sha256()
    for name in sorted(weights):
        content.update(name.encode())
        content.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Cut:
    """A student's episode, cut before one of its decisions.

    Attributes:
        played: (k,) its actions before the cut.
        past: What they had scheduled.
        schedule: What the student made of the whole instance.
    """

    played: Actions
    past: Schedule
    schedule: Schedule


def roll_out(
    network: ActorCritic, env: EnvConfig, instances: Sequence[Any], rng: np.random.Generator
) -> list[Cut]:
    """Play instances of one shape greedily, each cut at a decision drawn uniformly from its own."""
    batch = make_batch(env.id, env.options, instances)
    student = LearnedPolicy(network)
    observation, _ = batch.reset(seed=0)
    running = np.ones(len(instances), np.bool_)
    cut = np.zeros(len(instances), np.int64)
    pasts = [Schedule.empty()] * len(instances)
    actions: list[Actions] = []
    while running.any():
        # reservoir sampling: uniform although nobody knows yet how many decisions there will be
        taken = running & (rng.random(len(instances)) * (len(actions) + 1) < 1.0)
        for slot in np.flatnonzero(taken).tolist():
            cut[slot], pasts[slot] = len(actions), batch.schedule(slot)
        action = student.act(observation)
        actions.append(action)
        observation, _, terminated, truncated, _ = batch.step(action)
        running &= ~(terminated | truncated)
    played = np.array(actions)  # (steps, I)
    return [Cut(played[: cut[slot], slot], past, batch.schedule(slot)) for slot, past in enumerate(pasts)]
