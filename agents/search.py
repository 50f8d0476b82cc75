"""Search at inference: the best of N samples, and policy-guided beam search.

Both always contain the greedy schedule, so that neither is ever worse than the network alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.agents.batch import Arrays
from makespan.agents.config import Options
from makespan.agents.demonstrations import decision_keys, make_batch
from makespan.agents.encoder import Memory
from makespan.agents.inference import choose, evaluating, rank
from makespan.agents.network import ActorCritic
from makespan.agents.trials import shape_of
from makespan.envs.core.family import Family
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.registration import get_family

MAX_SLOTS: Final = 512  # slots of a batch; more make the network no faster
MAX_BYTES: Final = 512 * 2**20  # of the observations of a batch


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found for I instances.

    Attributes:
        objectives: (I,) of the best schedules.
        schedules: The best schedules.
        decisions: (I,) decisions that led to them.
        seconds: (I,) wall time, shared evenly by the instances that were searched together.
        samples: (I, N) objectives of all complete schedules, the greedy one first; of a beam, the greedy and the best.
        actions: The actions (k,) that led to them; none after a beam search. After a local search, those of its start.
    """

    objectives: NDArray[np.float64]
    schedules: list[Schedule]
    decisions: NDArray[np.int64]
    seconds: NDArray[np.float64]
    samples: NDArray[np.float64]
    actions: list[NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Rollout:
    """Complete episodes, one a slot: objectives (B,), decisions (B,), actions (steps, B) and the environment."""

    env: SchedulingVectorEnv
    objectives: NDArray[np.float64]
    decisions: NDArray[np.int64]
    actions: NDArray[np.int64]


def roll(
    network: ActorCritic,
    env_id: str,
    options: Options,
    instances: Sequence[Any],
    owner: NDArray[np.int64],
    temperature: Tensor,
    generator: torch.Generator,
) -> Rollout:
    """One episode in each of B slots, with one encoding an instance.

    Args:
        network: Decides, in evaluation mode and without gradients.
        env_id: Where it acts.
        options: Keywords of the environment.
        instances: Distinct instances.
        owner: (B,) instance of each slot; every instance must have a slot.
        temperature: (B,) of each slot, 0 for greedy.
        generator: Source of randomness.
    """
    env = make_batch(env_id, options, [instances[i] for i in owner])
    observation, _ = env.reset(seed=0)
    _, first = np.unique(owner, return_index=True)
    memory = encode_start(network, {key: array[first] for key, array in observation.items()})
    keys = [*decision_keys(env.schema), *(key for key in observation if key.endswith("_count"))]
    if network.config.encode == "step":
        keys = list(observation)
    graph = torch.from_numpy(owner)
    running = np.arange(len(owner))
    actions = np.zeros(len(owner), np.int64)
    decisions = np.zeros(len(owner), np.int64)
    taken: list[NDArray[np.int64]] = []
    while running.size:
        whole = running.size == len(owner)
        seen = observation if whole else {key: observation[key][running] for key in keys}
        logits, batch = rank(network, seen, memory, graph[running])
        actions[running] = choose(logits, batch, temperature[running], generator).numpy()
        taken.append(actions.copy())
        decisions[running] += 1
        observation, _, terminated, truncated, _ = env.step(actions)
        running = running[~(terminated | truncated)[running]]
    objectives = np.array([env.objective(slot) for slot in range(len(owner))])
    return Rollout(env, objectives, decisions, np.array(taken))


def best_of(
    network: ActorCritic,
    env_id: str,
    options: Options,
    instances: Sequence[Any],
    samples: int,
    temperature: float = 1.0,
    seed: int = 0,
) -> SearchResult:
    """The best of N schedules of each instance: the greedy one and N - 1 samples.

    Args:
        network: Decides.
        env_id: Where it acts.
        options: Keywords of the environment.
        instances: Of any shapes; those of one shape are searched together.
        samples: Number N of schedules of each instance.
        temperature: Of the softmax that is sampled.
        seed: Of the samples.
    """
    if samples < 1 or temperature <= 0.0:
        raise ValueError(f"samples: {samples}, temperature: {temperature}; expected at least 1, more than 0")
    search = Best(get_family(env_id), len(instances), samples)
    generator = torch.Generator().manual_seed(seed)
    with evaluating(network):
        for members in _same_shape(instances):
            width = num_slots(env_id, options, instances[members[0]])
            jobs = [(i, sample) for i in members for sample in range(samples)]
            for begin in range(0, len(jobs), width):
                part = np.array(jobs[begin : begin + width])
                chosen, owner = np.unique(part[:, 0], return_inverse=True)
                heat = torch.from_numpy(np.where(part[:, 1] == 0, 0.0, temperature).astype(np.float32))
                began = time.perf_counter()
                rollout = roll(
                    network, env_id, options, [instances[i] for i in chosen], owner, heat, generator
                )
                search.keep(rollout, part, (time.perf_counter() - began) / len(part))
    return search.result()


def beam(
    network: ActorCritic,
    env_id: str,
    options: Options,
    instances: Sequence[Any],
    width: int,
    *,
    score: str = "log_probability",
) -> SearchResult:
    """Policy-guided beam search, instance by instance.

    In each round the 2 `width` likeliest children of all partial schedules are built; of those that the network could
    not tell apart one is kept, and the best `width` go on. The greedy schedule is always among them, and a partial
    schedule whose bound is no better than the best complete one is dropped.

    Args:
        network: Decides.
        env_id: Where it acts.
        options: Keywords of the environment.
        instances: Of any shapes.
        width: Partial schedules that are kept.
        score: What makes a partial schedule good: its "log_probability", or its "bound" first.
    """
    if width < 1 or score not in ("log_probability", "bound"):
        raise ValueError(
            f"width: {width}, score: {score!r}; expected at least 1, 'log_probability' or 'bound'"
        )
    search = Best(get_family(env_id), len(instances), 2)
    with evaluating(network):
        for i, instance in enumerate(instances):
            began = time.perf_counter()
            env = make_batch(env_id, options, [instance] * (2 * width))
            _Beam(network, env, width, score, search.sign).run(search, i)
            search.seconds[i] = time.perf_counter() - began
    return search.result()


def tune_temperature(
    network: ActorCritic,
    env_id: str,
    options: Options,
    instances: Sequence[Any],
    grid: Sequence[float],
    samples: int,
    seed: int = 0,
) -> tuple[float, dict[float, float]]:
    """The temperature whose best of N is best on validation instances.

    Returns:
        That temperature, and for each of the grid what the best of N gains on the greedy objective, relative to it.
    """
    gains = {}
    for temperature in grid:
        found = best_of(network, env_id, options, instances, samples, temperature, seed)
        gains[temperature] = relative_gain(get_family(env_id), found)
    return max(gains, key=gains.__getitem__), gains


def relative_gain(family: Family, found: SearchResult) -> float:
    """Mean of what the best schedules gain on the greedy ones, relative to these; 0 where a greedy objective is 0."""
    greedy = found.samples[:, 0]
    gain = found.objectives - greedy if family.sense == "max" else greedy - found.objectives
    return float(np.divide(gain, np.abs(greedy), out=np.zeros_like(gain), where=greedy != 0.0).mean())


class Best:
    """The best schedule of each instance so far."""

    def __init__(self, family: Family, num_instances: int, samples: int) -> None:
        self.sign = -1.0 if family.sense == "max" else 1.0  # what is kept has the least objective times this
        self.schedules: list[Schedule | None] = [None] * num_instances
        self.objectives = np.full(num_instances, self.sign * np.inf)
        self.decisions = np.zeros(num_instances, np.int64)
        self.actions: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * num_instances
        self.seconds = np.zeros(num_instances)
        self.samples = np.full((num_instances, samples), self.sign * np.inf)

    def keep(self, rollout: Rollout, jobs: NDArray[np.int64], seconds: float) -> None:
        """Enter a rollout whose slot s is sample jobs[s, 1] of instance jobs[s, 0]."""
        self.samples[jobs[:, 0], jobs[:, 1]] = rollout.objectives
        np.add.at(self.seconds, jobs[:, 0], seconds)
        for i in np.unique(jobs[:, 0]):
            slots = np.flatnonzero(jobs[:, 0] == i)
            slot = int(slots[(self.sign * rollout.objectives[slots]).argmin()])
            count = int(rollout.decisions[slot])
            self.enter(int(i), rollout.env, slot, count, rollout.actions[:count, slot])

    def enter(
        self,
        i: int,
        env: SchedulingVectorEnv,
        slot: int,
        decisions: int,
        actions: NDArray[np.int64] | None = None,
    ) -> None:
        """Enter one complete schedule of instance i."""
        if self.improves(i, env.objective(slot)):
            self.replace(i, env.schedule(slot), env.objective(slot), decisions)
            if actions is not None:
                self.actions[i] = actions.copy()

    def improves(self, i: int, objective: float) -> bool:
        """Whether an objective is better than the best of instance i so far."""
        return bool(self.sign * objective < self.sign * self.objectives[i])

    def replace(self, i: int, schedule: Schedule, objective: float, decisions: int) -> None:
        """Put a better schedule of instance i in the place of the best so far."""
        self.schedules[i], self.objectives[i], self.decisions[i] = schedule, objective, decisions

    def result(self) -> SearchResult:
        """The best of all that was entered."""
        schedules = [schedule for schedule in self.schedules if schedule is not None]
        return SearchResult(
            self.objectives, schedules, self.decisions, self.seconds, self.samples, self.actions
        )


class _Beam:
    """A beam search on one instance: parents in the first slots of a batch, their children built over them."""

    def __init__(
        self, network: ActorCritic, env: SchedulingVectorEnv, width: int, score: str, sign: float
    ) -> None:
        self.sign = sign
        self.network = network
        self.env = env
        self.width = width
        self.by_bound = score == "bound"
        observation, _ = env.reset(seed=0)
        self.memory = encode_start(network, {key: array[:1] for key, array in observation.items()})
        candidates = ("candidate_index", "candidate_x", "action_mask")
        keys = list(observation) if network.config.encode == "step" else decision_keys(env.schema)
        self.state_keys = [key for key in keys if key not in candidates]
        self.log_p = np.zeros(1)  # (parents,)
        self.greedy = True  # whether the first parent is where the network alone would be

    def run(self, search: Best, i: int) -> None:
        """Search to the end; enter the complete schedules as instance i."""
        decisions = 0
        while self.log_p.size:
            decisions += 1
            parents, actions, scores = self._children()
            self.env.engine.copy_slots(parents, np.arange(len(parents)))
            padded = np.full(self.env.num_envs, -1)
            padded[: len(actions)] = actions
            self.env.engine.step(padded)
            outcome = self.env.engine.outcome
            complete = (outcome.terminated | getattr(outcome, "truncated", False))[: len(actions)]
            for slot in np.flatnonzero(complete):
                search.enter(i, self.env, int(slot), decisions)
                if slot == 0 and self.greedy:
                    search.samples[i, 0] = self.env.objective(0)
            self._select(np.flatnonzero(~complete), scores, search.objectives[i])
        search.samples[i, 1] = search.objectives[i]

    def _children(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Parents, actions and log-probabilities of the likeliest children, the greedy schedule's child first."""
        count = self.log_p.size
        seen = {key: array[:count] for key, array in self.env.engine.observation.items()}
        graph = torch.zeros(count, dtype=torch.int64)
        logits, batch = rank(self.network, seen, self.memory, graph)
        table = torch.full((count, self.env.schema.candidates.max_count), -torch.inf)
        table[batch.candidate_graph, batch.candidate_slot] = logits
        scores = self.log_p[:, None] + torch.log_softmax(table.double(), 1).numpy()
        ranked = scores.copy()
        if self.greedy:
            ranked[0, int(table[0].argmax())] = np.inf
        order = np.argsort(-ranked, axis=None, kind="stable")[: min(2 * self.width, len(logits))]
        parents, actions = np.divmod(order, scores.shape[1])
        return parents, actions, scores.ravel()[order]

    def _select(self, slots: NDArray[np.int64], scores: NDArray[np.float64], incumbent: float) -> None:
        """Move the best `width` of the children in `slots` to the front."""
        greedy_goes_on = self.greedy and slots.size > 0 and slots[0] == 0
        # of the objective times the sign: bounds from below, whatever the sense
        bounds = self.sign * np.array([self.env.engine.lower_bound(int(slot)) for slot in slots])
        order = (
            np.lexsort((-scores[slots], bounds))
            if self.by_bound
            else np.argsort(-scores[slots], kind="stable")
        )
        if greedy_goes_on:
            order = np.concatenate([[0], order[order != 0]])
        slots, bounds = slots[order], bounds[order]
        promising = bounds < self.sign * incumbent
        promising[:1] |= greedy_goes_on
        slots = self._distinct(slots[promising])[: self.width]
        self.env.engine.copy_slots(slots, np.arange(len(slots)))
        self.log_p = scores[slots]
        self.greedy = greedy_goes_on

    def _distinct(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first of every set of slots that look alike to the network, and so have the same future."""
        if not slots.size:
            return slots
        observation = self.env.engine.observation
        rows = [observation[key][slots].reshape(len(slots), -1).view(np.uint8) for key in self.state_keys]
        joined = np.ascontiguousarray(np.concatenate(rows, axis=1))
        _, first = np.unique(joined.view(np.dtype((np.void, joined.shape[1])))[:, 0], return_index=True)
        return slots[np.sort(first)]


def encode_start(network: ActorCritic, observation: Arrays) -> Memory | None:
    """The encodings of the instances that just begin; None for a network that encodes every decision."""
    return None if network.config.encode == "step" else network.encode(network.reader.instances(observation))


def _same_shape(instances: Sequence[Any]) -> list[list[int]]:
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, instance in enumerate(instances):
        shapes.setdefault(shape_of(instance), []).append(i)
    return list(shapes.values())


def num_slots(env_id: str, options: Options, instance: Any) -> int:
    """Slots of a batch of such instances that fit into memory."""
    schema = make_batch(env_id, options, [instance]).schema
    slot_bytes = sum(box.nbytes for box in schema.zeros(1).values())
    return int(np.clip(MAX_BYTES // slot_bytes, 1, MAX_SLOTS))
