"""Whole episodes on fresh instances, as experience for a policy gradient.

Every update plays its own episodes from start to end, on instances and with noise that follow from the seed and the
number of the update. So there is no environment state to save, and no episode is favoured for being short; only where
the world itself cuts an episode does the critic say what lies beyond.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.agents.batch import Arrays, DecisionBatch
from makespan.agents.config import EnvConfig, ShapeConfig
from makespan.agents.demonstrations import Decisions, Recorder, decision_keys, make_batch
from makespan.agents.encoder import Memory
from makespan.agents.graph_store import Ragged
from makespan.agents.inference import choose, decide, evaluating
from makespan.agents.network import ActorCritic, log_probabilities
from makespan.agents.shapes import make_generator
from makespan.envs.core.env import Generator
from makespan.envs.core.policy import RandomPolicy
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.registration import get_family

_PROBES: Final = 16  # random episodes that tell how many decisions an episode takes
_INSTANCES, _NOISE, _PROBE = range(3)  # streams


@dataclass(frozen=True, slots=True)
class Experience:
    """S decisions of E whole episodes, with what the policy that took them thought of them.

    Attributes:
        decisions: What was seen and done; its instances are the episodes.
        log_p: (S,) log-probability of each action.
        value: (S,) the critic's estimate, of scaled rewards.
        reward: (S,) as the environment pays it.
        elapsed: (S,) time each step took; None where the environment tells none.
        bootstrap: (E,) the critic's estimate of what lies beyond the end: 0 where an episode terminated.
        reference: Log-probabilities of each decision's candidates under the reference policy; None without one.
        objectives: (E,) objectives.
    """

    decisions: Decisions
    log_p: NDArray[np.float32]
    value: NDArray[np.float32]
    reward: NDArray[np.float64]
    elapsed: NDArray[np.float64] | None
    bootstrap: NDArray[np.float64]
    reference: Ragged | None
    objectives: NDArray[np.float64]

    @property
    def returns(self) -> NDArray[np.float64]:
        """(E,) undiscounted returns."""
        returns = np.zeros(len(self.objectives))
        np.add.at(returns, self.decisions.instance, self.reward)
        return returns


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

    def draw(self, update: int, episodes_per_instance: int = 1) -> list[Any]:
        """The instances of an update, one an episode; equal ones, if any, follow each other."""
        rng = np.random.default_rng((self.seed, _INSTANCES, update))
        count = max(1, round(self.num_episodes / episodes_per_instance))
        numbers = rng.choice(len(self._generators), count, p=self._share)
        drawn = [self._generators[number].sample(rng) for number in numbers]
        return [instance for instance in drawn for _ in range(episodes_per_instance)]

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
    generator: torch.Generator,
    reference: ActorCritic | None = None,
) -> Experience:
    """Play each instance once, sampling from the policy.

    Args:
        network: Policy and critic.
        env_config: Where to play.
        instances: E instances of any shapes.
        generator: Source of randomness.
        reference: Another policy whose log-probabilities are wanted.
    """
    env = make_batch(env_config.id, env_config.options, instances)
    observation, _ = env.reset(seed=0)
    player = _Player(network, observation)
    shadow = None if reference is None else _Player(reference, observation)
    recorder = Recorder(env.schema, network.config.encode, observation)
    columns: dict[str, list[NDArray[Any]]] = defaultdict(list)
    others: list[Ragged] = []
    running = np.arange(len(instances))
    actions = np.zeros(len(instances), np.int64)
    bootstrap = np.zeros(len(instances))
    with evaluating(network):
        while running.size:
            logits, values, batch = player.decide(observation, running, recorder)
            action = choose(logits, batch, 1.0, generator)
            chosen = batch.candidate_slot == action[batch.candidate_graph]
            if shadow is not None:
                own, _, _ = shadow.decide(observation, running)
                others.append(Ragged.of(log_probabilities(own, batch), batch.candidate_graph, running.size))
            actions[running] = action.numpy()
            recorder.act(actions[running])
            columns["log_p"].append(log_probabilities(logits, batch)[chosen].numpy())
            columns["value"].append(values.numpy())
            observation, reward, terminated, truncated, info = env.step(actions)
            columns["reward"].append(reward[running])
            if "elapsed" in info:
                columns["elapsed"].append(info["elapsed"][running])
            cut = running[(truncated & ~terminated)[running]]
            if cut.size:
                bootstrap[cut] = player.decide(observation, cut)[1].numpy()
            running = running[~(terminated | truncated)[running]]
    return _experience(env, recorder, columns, others, bootstrap)


def _experience(
    env: SchedulingVectorEnv,
    recorder: Recorder,
    columns: Mapping[str, list[NDArray[Any]]],
    others: list[Ragged],
    bootstrap: NDArray[np.float64],
) -> Experience:
    flat = {key: np.concatenate(parts) for key, parts in columns.items()}
    return Experience(
        decisions=recorder.decisions(),
        log_p=flat["log_p"],
        value=flat["value"],
        reward=flat["reward"],
        elapsed=flat.get("elapsed"),
        bootstrap=bootstrap,
        reference=Ragged.joined(others) if others else None,
        objectives=np.array([env.objective(slot) for slot in range(env.num_envs)]),
    )


class _Player:
    """A network in a batch of episodes: with one encoding an instance, or one a decision."""

    def __init__(self, network: ActorCritic, start: Arrays) -> None:
        self.network = network
        self.memory: Memory | None = None
        self.counts: Arrays = {}
        if network.config.encode == "instance":
            with evaluating(network):
                self.memory = network.encode(network.reader.instances(start))
            self.keys = decision_keys(network.schema)
            self.counts = {key: array.copy() for key, array in start.items() if key.endswith("_count")}

    def decide(
        self, observation: Arrays, slots: NDArray[np.int64], recorder: Recorder | None = None
    ) -> tuple[Tensor, Tensor, DecisionBatch]:
        """Logits (C,), values (B,) and decisions of some slots (B,), which a recorder may keep."""
        if self.memory is not None:
            if recorder is not None:
                recorder.see(observation, slots)
            shown = {key: observation[key][slots] for key in self.keys}
            shown |= {key: array[slots] for key, array in self.counts.items()}
            return decide(self.network, shown, self.memory, torch.from_numpy(slots))
        shown = {key: array[slots] for key, array in observation.items()}
        instances, decisions = self.network.reader.both(shown)
        if recorder is not None:
            recorder.see_graphs(instances, decisions, slots)
        with evaluating(self.network):
            logits, values = self.network.decide(self.network.encode(instances, decisions.wanted), decisions)
        return logits, values, decisions
