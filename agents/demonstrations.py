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

from makespan.agents.batch import DecisionBatch, InstanceBatch
from makespan.agents.config import Options
from makespan.agents.graph_store import GraphStore
from makespan.agents.reader import GraphReader
from makespan.envs.core.errors import MakespanError
from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.core.policy import Policy
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.registration import get_family

_NEVER = np.int64(2**40)


class SchedulePolicy:
    """Follows one schedule a slot: of the allowed candidates the one whose task starts first there, on its resource.

    A candidate whose task the schedule puts on another resource comes last. Works for every family whose tasks are
    numbered job after job and whose candidates point at a task and a resource; others have a `Family.follow` of their own.
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
        instances: Observation arrays of each instance's start (I, ...), for a deep encoder that reads them once an
            instance; empty with `graphs`.
        decisions: Observation arrays of each decision (S, ...), keys that never change left out; empty with `graphs`.
        instance: (S,) instance of each decision.
        action: (S,) what the demonstration did.
        graphs: The decisions without their padding, for a network that encodes each of them.
        num_instances: Number of demonstrated instances.
    """

    instances: dict[str, NDArray[Any]]
    decisions: dict[str, NDArray[Any]]
    instance: NDArray[np.int64]
    action: NDArray[np.int64]
    graphs: GraphStore | None
    num_instances: int

    def __len__(self) -> int:
        return len(self.action)


class Recorder:
    """Collects the decisions that a batch of environments shows, in the form that a network's encoding asks for.

    Args:
        schema: Of the decision graphs.
        encode: "instance" keeps padded arrays without what never changes, "step" keeps whole graphs without padding.
        start: The first observation of every slot (I, ...).
    """

    def __init__(self, schema: GraphSchema, encode: str, start: Observation) -> None:
        self.schema = schema
        self.by_step = encode == "step"
        self._reader = GraphReader(schema, static_only=not self.by_step)
        self.num_instances = len(start["action_mask"])
        self._start = {} if self.by_step else {key: array.copy() for key, array in start.items()}
        self._keys = [] if self.by_step else decision_keys(schema)
        self._kept: list[dict[str, NDArray[Any]]] = []
        self._graphs: list[GraphStore] = []
        self._slots: list[NDArray[np.int64]] = []
        self._actions: list[NDArray[np.int64]] = []

    def see(self, observation: Observation, slots: NDArray[np.int64]) -> None:
        """Keep what some slots show, before the next step overwrites it."""
        if self.by_step:
            shown = {key: array[slots] for key, array in observation.items()}
            self.see_graphs(*self._reader.both(shown), slots)
        else:
            self._kept.append({key: observation[key][slots] for key in self._keys})
            self._slots.append(slots)

    def see_graphs(
        self, instances: InstanceBatch, decisions: DecisionBatch, slots: NDArray[np.int64]
    ) -> None:
        """The same, where the batch has been made already."""
        self._graphs.append(GraphStore.of(self.schema, instances, decisions))
        self._slots.append(slots)

    def act(self, actions: NDArray[np.int64]) -> None:
        """The actions of the slots seen last."""
        self._actions.append(actions)

    def decisions(self) -> Decisions:
        """All that was seen and done."""
        return Decisions(
            self._start,
            {key: np.concatenate([part[key] for part in self._kept]) for key in self._keys},
            np.concatenate(self._slots),
            np.concatenate(self._actions),
            GraphStore.joined(self._graphs) if self.by_step else None,
            self.num_instances,
        )


def static_keys(schema: GraphSchema) -> set[str]:
    """Observation keys that stay as they are within an episode."""
    lasting = [node for node in schema.nodes if not node.sparse]
    keys = {f"{node.name}_count" for node in lasting}
    keys |= {f"{node.name}_parent" for node in lasting if node.parent is not None}
    for edge in schema.edges:
        if edge.static:
            keys |= {f"{edge.name}_index"} | ({f"{edge.name}_x"} if edge.features else set())
    return keys


def decision_keys(schema: GraphSchema) -> list[str]:
    """Observation keys that change with every decision and that a network reads which encodes once an instance."""
    tasks = {f"{node.name}_x" for node in schema.nodes if node.level == "task"}
    drop = static_keys(schema) | tasks
    return [key for key in schema.space.spaces if key not in drop]


def replay(
    env_id: str,
    options: Options,
    instances: Sequence[Any],
    schedules: Sequence[Schedule],
    played: Sequence[NDArray[np.int64]] = (),
    *,
    encode: str = "instance",
) -> tuple[Decisions, NDArray[np.float64]]:
    """The decisions that lead to each schedule, and the objectives that the replay reached (I,).

    The replay equals the schedule where the environment's mode can reach it, and is close to it elsewhere.

    Args:
        env_id: Where to replay.
        options: Keywords of the environment.
        instances: One shape.
        schedules: One each.
        played: Actions (k,) with which each replay begins; they are followed, but are no decisions of the
            demonstration. None if left out.
        encode: Of the network that will read the decisions.
    """
    first = np.array([len(actions) for actions in played] or [0] * len(instances))
    before = _table(played, max(first), len(instances))
    env = make_batch(env_id, options, instances)
    follow = get_family(env_id).follow
    policy: Policy = (
        SchedulePolicy(env.schema, schedules) if follow is None else follow(env.schema, instances, schedules)
    )
    observation, _ = env.reset(seed=0)
    recorder = Recorder(env.schema, encode, observation)
    running, step = np.ones(len(instances), np.bool_), 0
    while running.any():
        action = policy.act(observation)
        if step < len(before):
            action = np.where(before[step] >= 0, before[step], action)
        shown = np.flatnonzero(running & (step >= first))
        if shown.size:
            recorder.see(observation, shown)
            recorder.act(action[shown])
        observation, _, terminated, truncated, _ = env.step(action)
        running &= ~(terminated | truncated)
        step += 1
    return recorder.decisions(), np.array([env.objective(slot) for slot in range(len(instances))])


def replay_actions(
    env_id: str,
    options: Options,
    instances: Sequence[Any],
    played: Sequence[NDArray[np.int64]],
    answers: Sequence[NDArray[np.int64]],
    *,
    encode: str = "instance",
) -> tuple[Decisions, NDArray[np.float64]]:
    """The decisions of whole episodes with a teacher's answers to them, and their objectives (I,).

    Args:
        env_id: Where to replay.
        options: Keywords of the environment.
        instances: One shape.
        played: The actions (k,) of each episode.
        answers: The teacher's action (k,) in each of their states, which becomes the label.
        encode: Of the network that will read the decisions.

    Raises:
        MakespanError: An episode does not end where its actions do: the environment or its options are others.
    """
    taken = _table(played, max(map(len, played)), len(instances))
    said = _table(answers, len(taken), len(instances))
    length = np.array([len(actions) for actions in played])
    env = make_batch(env_id, options, instances)
    observation, _ = env.reset(seed=0)
    recorder = Recorder(env.schema, encode, observation)
    ended = np.zeros(len(instances), np.bool_)
    for step in range(len(taken)):
        if (ended != (step >= length)).any():
            break
        shown = np.flatnonzero(~ended)
        recorder.see(observation, shown)
        recorder.act(said[step, shown])
        observation, _, terminated, truncated, _ = env.step(np.where(ended, 0, taken[step]))
        ended |= terminated | truncated
    if not ended.all():
        raise MakespanError(
            f"recorded actions lead elsewhere in {env_id}; delete the labels and make them again"
        )
    return recorder.decisions(), np.array([env.objective(slot) for slot in range(len(instances))])


def _table(actions: Sequence[NDArray[np.int64]], steps: int, slots: int) -> NDArray[np.int64]:
    """Actions (k,) of each slot as (steps, slots), -1 beyond their ends."""
    table = np.full((steps, slots), -1)
    for slot, own in enumerate(actions):
        table[: len(own), slot] = own
    return table


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
