"""Whole episodes on fresh instances, as experience for a policy gradient.

Every update plays its own episodes from start to end, on instances and with noise that follow from the seed and the
number of the update. So there is no environment state to save, nothing to bootstrap from, and no episode is favoured
for being short.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.agents.batch import Arrays, DecisionBatch
from makespan.agents.config import EnvConfig, ShapeConfig
from makespan.agents.demonstrations import Decisions, decision_keys, make_batch
from makespan.agents.encoder import Memory
from makespan.agents.inference import choose, decide, evaluating
from makespan.agents.network import ActorCritic, log_probabilities
from makespan.agents.shapes import make_generator
from makespan.envs.core.env import Generator
from makespan.envs.core.policy import RandomPolicy
from makespan.envs.registration import get_family

_PROBES: Final = 16  # random episodes that tell how many decisions an episode takes
_INSTANCES, _NOISE, _PROBE = range(3)  # streams


@dataclass(frozen=True, slots=True)
class Experience:
    """S decisions of E whole episodes, with what the policy that took them thought of them.

    Attributes:
        decisions: What was seen and done; its instances are the episodes.
        log_p: (S,) log-probability of each action.
        advantage: (S,) generalised advantage estimate.
        value: (S,) the critic's estimate.
        reference: (S, A) log-probabilities under the reference policy, -inf where forbidden; None without one.
        returns: (E,) undiscounted returns.
        objectives: (E,) objectives.
    """

    decisions: Decisions
    log_p: NDArray[np.float32]
    advantage: NDArray[np.float32]
    value: NDArray[np.float32]
    reference: NDArray[np.float32] | None
    returns: NDArray[np.float64]
    objectives: NDArray[np.float64]

    @property
    def targets(self) -> NDArray[np.float32]:
        """(S,) what the critic should have estimated."""
        return self.advantage + self.value


class Shops:
    """The instances that updates play on: shapes in proportion to their `count`.

    Args:
        env: Where they are played.
        shapes: Their distributions.
        num_decisions: Decisions of an update; as many whole episodes are played as take about that many.
        seed: Of the instances.
    """

    def __init__(self, env: EnvConfig, shapes: Sequence[ShapeConfig], num_decisions: int, seed: int) -> None:
        self.seed = seed
        family = get_family(env.id)
        self._generators: list[Generator] = [make_generator(family, shape) for shape in shapes]
        counts = np.array([shape.count for shape in shapes], np.float64)
        self._share = counts / counts.sum()
        lengths = [self._mean_decisions(env, number) for number in range(len(shapes))]
        self.num_episodes = max(1, round(num_decisions / float(self._share @ np.array(lengths))))

    def draw(self, update: int) -> list[Any]:
        """The instances of an update, one an episode."""
        rng = np.random.default_rng((self.seed, _INSTANCES, update))
        numbers = rng.choice(len(self._generators), self.num_episodes, p=self._share)
        return [self._generators[number].sample(rng) for number in numbers]

    def _mean_decisions(self, env_config: EnvConfig, number: int) -> float:
        rng = np.random.default_rng((self.seed, _PROBE, number))
        instances = [self._generators[number].sample(rng) for _ in range(_PROBES)]
        env = make_batch(env_config.id, env_config.options, instances)
        policy, (observation, _) = RandomPolicy(self.seed), env.reset(seed=0)
        running = np.ones(_PROBES, np.bool_)
        total = 0
        while running.any():
            total += int(running.sum())
            observation, _, terminated, truncated, _ = env.step(policy.act(observation))
            running &= ~(terminated | truncated)
        return total / _PROBES


def noise_seed(seed: int, update: int) -> int:
    """Seed of an update's random choices."""
    return int(np.random.SeedSequence((seed, _NOISE, update)).generate_state(1)[0])


def collect(
    network: ActorCritic,
    env_config: EnvConfig,
    instances: Sequence[Any],
    *,
    gamma: float,
    gae_lambda: float,
    generator: torch.Generator,
    reference: ActorCritic | None = None,
) -> Experience:
    """Play each instance once, sampling from the policy.

    Args:
        network: Policy and critic.
        env_config: Where to play.
        instances: E instances of any shapes.
        gamma: Discount for each decision.
        gae_lambda: Decay of generalised advantage estimation.
        generator: Source of randomness.
        reference: Another policy whose log-probabilities are wanted.
    """
    env = make_batch(env_config.id, env_config.options, instances)
    observation, _ = env.reset(seed=0)
    start = {key: array.copy() for key, array in observation.items()}
    keys = decision_keys(env.schema, with_tasks=network.config.encode == "step")
    columns: dict[str, list[NDArray[Any]]] = defaultdict(list)
    running = np.arange(len(instances))
    actions = np.zeros(len(instances), np.int64)
    with evaluating(network):
        memory = _encode(network, start)
        reference_memory = None if reference is None else _encode(reference, start)
        while running.size:
            seen = {key: observation[key][running] for key in keys}
            graph = torch.from_numpy(running)
            whole = _with_static(network, seen, start, running)
            logits, values, batch = decide(network, whole, memory, graph)
            action = choose(logits, batch, env.schema.candidates.max_count, 1.0, generator)
            chosen = batch.candidate_slot == action[batch.candidate_graph]
            if reference is not None:
                own, _, _ = decide(reference, whole, reference_memory, graph)
                columns["reference"].append(
                    _table(log_probabilities(own, batch), batch, seen["action_mask"].shape)
                )
            actions[running] = action.numpy()
            observation, reward, terminated, truncated, _ = env.step(actions)
            columns["slot"].append(running)
            columns["action"].append(actions[running])
            columns["log_p"].append(log_probabilities(logits, batch)[chosen].numpy())
            columns["value"].append(values.numpy())
            columns["reward"].append(reward[running])
            for key, array in seen.items():
                columns[key].append(array)
            running = running[~(terminated | truncated)[running]]
    advantage = _advantages(
        columns["reward"], columns["value"], columns["slot"], len(instances), gamma, gae_lambda
    )
    flat = {key: np.concatenate(parts) for key, parts in columns.items()}
    returns = np.zeros(len(instances))
    np.add.at(returns, flat["slot"], flat["reward"])
    return Experience(
        decisions=Decisions(start, {key: flat[key] for key in keys}, flat["slot"], flat["action"]),
        log_p=flat["log_p"],
        advantage=advantage,
        value=flat["value"],
        reference=flat.get("reference"),
        returns=returns,
        objectives=np.array([env.objective(slot) for slot in range(len(instances))]),
    )


def _encode(network: ActorCritic, start: Arrays) -> Memory | None:
    return None if network.config.encode == "step" else network.encode(network.instances(start))


def _with_static(network: ActorCritic, seen: Arrays, start: Arrays, slots: NDArray[np.int64]) -> Arrays:
    """The decisions' observations, completed by what the network reads of their instances."""
    wanted = [key for key in start if key.endswith("_count") or network.config.encode == "step"]
    return {key: start[key][slots] for key in wanted} | dict(seen)


def _table(log_p: Tensor, batch: DecisionBatch, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Candidates' log-probabilities (C,) as (B, A), -inf where forbidden."""
    table = torch.full(shape, -torch.inf)
    table[batch.candidate_graph, batch.candidate_slot] = log_p
    array: NDArray[np.float32] = table.numpy()
    return array


def _advantages(
    rewards: Sequence[NDArray[np.float64]],
    values: Sequence[NDArray[np.float32]],
    slots: Sequence[NDArray[np.int64]],
    num_slots: int,
    gamma: float,
    gae_lambda: float,
) -> NDArray[np.float32]:
    """Generalised advantage estimates of whole episodes, in the order of the decisions.

    Args:
        rewards: At each step, (running slots,).
        values: Likewise.
        slots: Likewise, which slots were running.
        num_slots: Number of episodes.
        gamma: Discount.
        gae_lambda: Decay.
    """
    next_value, next_advantage = np.zeros(num_slots), np.zeros(num_slots)  # zero beyond the end of an episode
    backwards = []
    for reward, value, slot in zip(rewards[::-1], values[::-1], slots[::-1], strict=True):
        delta = reward + gamma * next_value[slot] - value
        next_advantage[slot] = delta + gamma * gae_lambda * next_advantage[slot]
        next_value[slot] = value
        backwards.append(next_advantage[slot].astype(np.float32))
    return np.concatenate(backwards[::-1])
