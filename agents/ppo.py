"""Proximal policy optimisation with action masks (Schulman et al., 2017) on the native batch of environments.

The learner behind `makespan train`. Users of Stable-Baselines3 write `MaskablePPO(GraphPolicy, env)` instead; this one
encodes an instance once for all its decisions, mixes shops of many shapes, and resumes exactly.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.agents.advantages import RewardScale, advantages
from makespan.agents.config import EnvConfig, PPOConfig
from makespan.agents.demonstrations import minibatches
from makespan.agents.imitation import Minibatch, apply_gradient, score
from makespan.agents.network import ActorCritic, log_probabilities
from makespan.agents.progress import Progress
from makespan.agents.rollouts import Experience, Shops, collect, noise_seed
from makespan.agents.run_folder import RunFolder
from makespan.agents.runtime import tune_malloc
from makespan.agents.schedules import Annealing

DECISIONS_PER_ENCODING: Final = 8  # decisions of an instance in a minibatch, which share its encoding
FLOOR: Final = 0.02  # of the learning rate, whatever the schedule
_ADAM_EPS: Final = 1e-5


@dataclass
class _Lesson:
    """An update's experience with its advantages (S,) and the critic's targets (S,); `learnt` counts what was read."""

    experience: Experience
    advantage: NDArray[np.float32]
    targets: NDArray[np.float32]
    learnt: int = 0


class PPOLearner:
    """PPO that can stop after any update and go on as if it never had.

    An update plays whole episodes that follow from the seed and its number, so weights, optimiser and two counters are
    all that a resumed run needs.

    Args:
        network: Trained in place.
        config: Batch sizes, rates, coefficients.
        env: Where it acts.
        seed: Of instances, actions and minibatches.
        pretrained: Whether the actor has learnt before: then the critic is fitted first, and the policy may be held
            near to what it was.
    """

    def __init__(
        self, network: ActorCritic, config: PPOConfig, env: EnvConfig, seed: int, *, pretrained: bool = False
    ) -> None:
        self.network = network
        self.config = config
        self.env = env
        self.seed = seed
        self.pretrained = pretrained
        self.reference = deepcopy(network).eval() if pretrained and config.kl_to_imitation > 0.0 else None
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, eps=_ADAM_EPS)
        self.learning_rate = Annealing(config.learning_rate, FLOOR * config.learning_rate, config.schedule)
        self.entropy = Annealing(config.entropy, config.entropy_final)
        self.shops = Shops(env, config.shapes, config.num_envs * config.num_steps, seed)
        self.scale = RewardScale(config.reward_scale)
        self.updates = 0
        self.decisions = 0

    @property
    def finished(self) -> bool:
        """Whether the budget is spent."""
        return self.decisions >= self.config.total_decisions

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors and JSON from which `restore` goes on."""
        tensors: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.reference is not None:
            tensors["reference"] = self.reference.state_dict()
        counters = {"updates": self.updates, "decisions": self.decisions}
        return tensors, {**counters, "reward_scale": self.scale.state()}

    def restore(self, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(tensors["network"])
        self.optimizer.load_state_dict(tensors["optimizer"])
        if self.reference is not None:
            self.reference.load_state_dict(tensors["reference"])
        self.scale.restore(meta["reward_scale"])
        self.updates, self.decisions = int(meta["updates"]), int(meta["decisions"])

    def update(self) -> dict[str, float]:
        """Play one batch of episodes and learn from it; returns the update's metrics."""
        noise, began = noise_seed(self.seed, self.updates), time.process_time()
        experience = collect(
            self.network,
            self.env,
            self.shops.draw(self.updates, self.config.episodes_per_instance),
            generator=torch.Generator().manual_seed(noise),
            reference=self.reference,
        )
        played = time.process_time()
        advantage, targets = advantages(
            experience, self.config, self.scale, self.config.episodes_per_instance
        )
        lesson = _Lesson(experience, advantage, targets)
        critic_only = self.pretrained and self.updates < self.config.critic_warmup_updates
        spent = self.decisions / self.config.total_decisions
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(noise)  # dropout draws from torch's own generator
            losses = self._learn(lesson, spent, np.random.default_rng(noise), critic_only=critic_only)
        self.updates += 1
        self.decisions += len(experience.decisions)
        residual = float(np.var(targets - experience.value))
        count = len(experience.decisions)
        return {
            "decisions": self.decisions,
            "return": float(experience.returns.mean()),
            "explained_variance": 1.0 - residual / max(float(np.var(targets)), 1e-12),
            "learning_rate": self.learning_rate(spent),
            **losses,
            "rollout_decisions_per_cpu_s": count / (played - began),
            "learning_decisions_per_cpu_s": lesson.learnt / (time.process_time() - played),
        }

    def _learn(
        self, lesson: _Lesson, spent: float, rng: np.random.Generator, *, critic_only: bool
    ) -> dict[str, float]:
        rows: list[dict[str, float]] = []
        rate = self.learning_rate(spent)
        self.network.train()
        with _critic_alone(self.network) if critic_only else _everything():
            for batch, advantage in self._minibatches(lesson, rng):
                loss, numbers = self._loss(lesson, batch, advantage, spent, critic_only=critic_only)
                rows.append(numbers)
                lesson.learnt += len(batch.rows)
                if not critic_only and numbers["kl"] > self.config.target_kl:
                    break
                numbers["gradient_norm"] = apply_gradient(
                    self.network, self.optimizer, loss, rate, self.config.max_grad_norm
                )
        return {key: float(np.mean([row[key] for row in rows if key in row] or [np.nan])) for key in rows[0]}

    def _minibatches(
        self, lesson: _Lesson, rng: np.random.Generator
    ) -> Iterator[tuple[Minibatch, NDArray[np.float32]]]:
        """Minibatches of all epochs, with their normalised advantages."""
        size = self.config.minibatch_size
        num_instances = max(1, size // DECISIONS_PER_ENCODING)
        advantage, decisions = lesson.advantage, lesson.experience.decisions
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        for _ in range(self.config.epochs):
            for instances, rows in minibatches(decisions, num_instances, size, rng):
                yield Minibatch(decisions, instances, rows), advantage[rows]

    def _loss(
        self,
        lesson: _Lesson,
        batch: Minibatch,
        advantage: NDArray[np.float32],
        spent: float,
        *,
        critic_only: bool,
    ) -> tuple[Tensor, dict[str, float]]:
        logits, values, decided = score(self.network, batch)
        experience = lesson.experience
        error = values - torch.from_numpy(lesson.targets[batch.rows])
        value_loss = error.square().mean()
        if critic_only:
            return self.config.value_coef * value_loss, {"value_loss": float(value_loss.detach())}
        log_p = log_probabilities(logits, decided)  # (C,)
        graph = decided.candidate_graph
        action = torch.from_numpy(batch.decisions.action[batch.rows])
        change = log_p[decided.candidate_slot == action[graph]] - torch.from_numpy(
            experience.log_p[batch.rows]
        )
        ratio, gain = change.exp(), torch.from_numpy(advantage)
        clipped = ratio.clamp(1.0 - self.config.clip, 1.0 + self.config.clip)
        policy_loss = -torch.minimum(ratio * gain, clipped * gain).mean()
        entropy = _relative_entropy(log_p, graph, decided.num_graphs)
        loss = policy_loss + self.config.value_coef * value_loss - self.entropy(spent) * entropy
        if experience.reference is not None:
            reference = torch.from_numpy(experience.reference.select(batch.rows).values)
            divergence = (log_p.exp() * (log_p - reference)).sum() / decided.num_graphs
            loss = loss + self.config.kl_to_imitation * divergence
        with torch.no_grad():
            numbers = {
                "policy_loss": float(policy_loss),
                "value_loss": float(value_loss),
                "entropy": float(entropy),
                "kl": float((ratio - 1.0 - change).mean()),  # Schulman's low-variance estimate
                "clip_fraction": float((ratio != clipped).float().mean()),
            }
        return loss, numbers


def train_ppo(
    network: ActorCritic,
    config: PPOConfig,
    env: EnvConfig,
    seed: int = 0,
    *,
    run: RunFolder | None = None,
    pretrained: bool = False,
    state: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> ActorCritic:
    """Train a network in place until the budget of decisions is spent.

    Args:
        network: Trained in place.
        config: How.
        env: Where it acts.
        seed: Of everything random.
        run: Where metrics are logged and checkpoints kept.
        pretrained: Whether the actor has learnt before; see `PPOLearner`.
        state: Of an interrupted run, as `PPOLearner.state` gave it and `RunFolder.resume` returns it.
        meta: JSON for the checkpoints, beside the learner's own.

    Returns:
        The network.
    """
    tune_malloc()
    torch.set_num_threads(1)
    learner = PPOLearner(network, config, env, seed, pretrained=pretrained)
    if state is not None:
        learner.restore(*state)
    with Progress("ppo", config.total_decisions, unit="decision", done=learner.decisions) as progress:
        while not learner.finished:
            before = learner.decisions
            metrics = learner.update()
            if run is not None:
                run.log("ppo", learner.updates, metrics)
                if learner.updates % config.checkpoint_every == 0 or learner.finished:
                    tensors, counters = learner.state()
                    run.save(tensors, {**(meta or {}), "stage": "ppo", **counters})
            progress.update(learner.decisions - before, **{"return": metrics["return"]})
    return network.eval()


def _relative_entropy(log_p: Tensor, graph: Tensor, num_graphs: int) -> Tensor:
    """Mean entropy of the decisions, each relative to log(number of candidates): 1 for a uniform policy."""
    entropy = torch.zeros(num_graphs).index_add(0, graph, -log_p.exp() * log_p)
    count = torch.bincount(graph, minlength=num_graphs).clamp(min=2)
    return (entropy / count.log()).mean()


@contextmanager
def _critic_alone(network: ActorCritic) -> Iterator[None]:
    """Only what no action depends on has gradients: the value head, and the critic's own inputs."""
    critic = [network.value, *([network.critic_input] if network.critic_input is not None else [])]
    network.requires_grad_(False)
    for module in critic:
        module.requires_grad_(True)
    try:
        yield
    finally:
        network.requires_grad_(True)


@contextmanager
def _everything() -> Iterator[None]:
    yield
