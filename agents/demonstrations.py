"""Schedules as demonstrations: replayed through the environment, they become labelled decisions.

A demonstration is only a schedule; which candidate it takes in a decision graph follows from the candidates' pointers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from makespan.agents.config import Options
from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.vector import SchedulingVectorEnv

_NEVER = np.int64(2**40)


class SchedulePolicy:
    """Follows one schedule a slot: of the allowed candidates the one whose task starts first there, on its resource.

    A candidate whose task the schedule puts on another resource comes last. Works for every family whose tasks are
    numbered job after job and whose candidates point at a task and a resource.
    """

    def __init__(self, schema: GraphSchema, schedules: Sequence[Schedule]) -> None:
        points = schema.candidates.points_at
        levels = {node.name: node.level for node in schema.nodes}
        self._task = next(i for i, name in enumerate(points) if levels[name] == "task")
        self._resource = next(i for i, name in enumerate(points) if levels[name] == "resource")
        width = max(len(schedule.job) for schedule in schedules)
        self._start = np.full((len(schedules), width), _NEVER)
        self._on = np.full((len(schedules), width), -1)
        for slot, schedule in enumerate(schedules):
            order = np.lexsort((schedule.task, schedule.job))
            self._start[slot, : len(order)] = schedule.start[order]
            self._on[slot, : len(order)] = schedule.resource[order]

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The schedule's candidate in each slot (B,)."""
        index = observation["candidate_index"]
        task, resource = index[..., self._task], index[..., self._resource]  # (B, A)
        slot = np.arange(len(index))[:, None]
        start = np.where(task >= 0, self._start[slot, task], _NEVER)
        start = np.where(self._on[slot, task] == resource, start, start + _NEVER)
        start = np.where(observation["action_mask"] > 0, start, 4 * _NEVER)
        action: NDArray[np.int64] = start.argmin(axis=-1)
        return action


def make_batch(env_id: str, options: Options, instances: Sequence[Any]) -> SchedulingVectorEnv:
    """A native batch with one instance a slot, live buffers, no autoreset; `options` are the environment's keywords."""
    keywords: dict[str, Any] = dict(options)
    env = gymnasium.make_vec(
        env_id,
        num_envs=len(instances),
        vectorization_mode="vector_entry_point",
        instances=list(instances),
        autoreset_mode=AutoresetMode.DISABLED,
        copy=False,
        **keywords,
    )
    assert isinstance(env, SchedulingVectorEnv)
    return env


@dataclass(frozen=True, slots=True)
class Decisions:
    """Labelled decisions of instances of one shape.

    Attributes:
        instances: Observation arrays of each instance's start (I, ...), for the deep encoder.
        decisions: Observation arrays of each decision (S, ...); keys that never change are left out.
        instance: (S,) instance of each decision.
        action: (S,) what the demonstration did.
    """

    instances: dict[str, NDArray[Any]]
    decisions: dict[str, NDArray[Any]]
    instance: NDArray[np.int64]
    action: NDArray[np.int64]

    @property
    def num_instances(self) -> int:
        """Number of demonstrated instances."""
        return len(self.instances["action_mask"])

    def __len__(self) -> int:
        return len(self.action)


def static_keys(schema: GraphSchema) -> set[str]:
    """Observation keys that stay as they are within an episode."""
    lasting = [node for node in schema.nodes if not node.sparse]
    keys = {f"{node.name}_count" for node in lasting}
    keys |= {f"{node.name}_parent" for node in lasting if node.parent is not None}
    for edge in schema.edges:
        if edge.static:
            keys |= {f"{edge.name}_index"} | ({f"{edge.name}_x"} if edge.features else set())
    return keys


def decision_keys(schema: GraphSchema, *, with_tasks: bool) -> list[str]:
    """Observation keys to keep at each decision; task features only where the encoder reads them there."""
    tasks = {f"{node.name}_x" for node in schema.nodes if node.level == "task"}
    drop = static_keys(schema) | (set() if with_tasks else tasks)
    return [key for key in schema.space.spaces if key not in drop]


def replay(
    env_id: str,
    options: Options,
    instances: Sequence[Any],
    schedules: Sequence[Schedule],
    played: Sequence[NDArray[np.int64]] = (),
    *,
    with_tasks: bool = False,
) -> tuple[Decisions, NDArray[np.float64]]:
    """The decisions that lead to each schedule, and the objectives that the replay reached (I,).

    The replay equals the schedule where the schedule generation scheme can reach it, and is close to it elsewhere.

    Args:
        env_id: Where to replay.
        options: Keywords of the environment.
        instances: One shape.
        schedules: One each.
        played: Actions (k,) with which each replay begins; they are followed, but are no decisions of the
            demonstration. None if left out.
        with_tasks: Keep the task features of every decision.
    """
    first = np.array([len(actions) for actions in played] or [0] * len(instances))
    before = np.full((max(first), len(instances)), -1)
    for slot, actions in enumerate(played):
        before[: len(actions), slot] = actions
    env = make_batch(env_id, options, instances)
    policy = SchedulePolicy(env.schema, schedules)
    observation, _ = env.reset(seed=0)
    start = {key: array.copy() for key, array in observation.items()}
    keys = decision_keys(env.schema, with_tasks=with_tasks)
    kept: list[dict[str, NDArray[Any]]] = []
    slots: list[NDArray[np.int64]] = []
    taken: list[NDArray[np.int64]] = []
    running = np.ones(len(instances), np.bool_)
    while running.any():
        action = policy.act(observation)
        step = len(taken)
        if step < len(before):
            action = np.where(before[step] >= 0, before[step], action)
        shown = np.flatnonzero(running & (step >= first))
        kept.append({key: observation[key][shown] for key in keys})
        slots.append(shown)
        taken.append(action[shown])
        observation, _, terminated, truncated, _ = env.step(action)
        running &= ~(terminated | truncated)
    decisions = Decisions(
        start,
        {key: np.concatenate([part[key] for part in kept]) for key in keys},
        np.concatenate(slots),
        np.concatenate(taken),
    )
    return decisions, np.array([env.objective(slot) for slot in range(len(instances))])


def minibatches(
    decisions: Decisions, num_instances: int, num_decisions: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """One pass over the decisions in minibatches that share encodings.

    Decisions of an instance are shuffled and dealt out in as many hands as it takes; each minibatch joins one hand of
    each of `num_instances` instances.

    Yields:
        The instances (i,) and the decisions (s,) of a minibatch, about `num_decisions` of them.
    """
    per_instance = max(1, num_decisions // num_instances)
    shuffled = rng.permutation(len(decisions))
    shuffled = shuffled[np.argsort(decisions.instance[shuffled], kind="stable")]
    first = np.searchsorted(decisions.instance[shuffled], np.arange(decisions.num_instances + 1))
    hands = []
    for begin, end in itertools.pairwise(first):
        hands += np.array_split(shuffled[begin:end], max(1, round((end - begin) / per_instance)))
    order = rng.permutation(len(hands))
    for begin in range(0, len(order), num_instances):
        chosen = np.concatenate([hands[i] for i in order[begin : begin + num_instances]])
        yield np.unique(decisions.instance[chosen]), chosen
