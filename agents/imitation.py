"""Imitation: behaviour cloning of a teacher's schedules, DAgger, and self-labelling.

Behaviour cloning follows the candidates that lead to the teacher's schedules. DAgger (Ross, Gordon & Bagnell, AISTATS
2011) lets the student act and asks the teacher again. Self-labelling (Corsini et al., "Self-Labeling the Job Shop
Scheduling Problem", NeurIPS 2024) needs no teacher: it imitates the best of the agent's own samples.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.agents.batch import DecisionBatch
from makespan.agents.config import EnvConfig, ImitationConfig, Options
from makespan.agents.demonstrations import Decisions, minibatches, replay, replay_actions
from makespan.agents.encoder import Memory
from makespan.agents.labels import Labels
from makespan.agents.network import ActorCritic, log_probabilities
from makespan.agents.schedules import learning_rate_factor
from makespan.envs.core.family import Family

CHUNK: Final = 64  # demonstrations replayed together
OPEN_CHUNKS: Final = 12  # chunks that minibatches are drawn from in turn
CHUNK_DECISIONS: Final = 4_096  # decisions replayed together, where each keeps its graph or episodes are long
SECTION: Final = 1_000  # labels between two checkpoints
MAX_GRAD_NORM: Final = 1.0
WARM_UP_UPDATES: Final = 100
FLOOR: Final = 0.02  # of the learning rate, whatever the schedule


@dataclass(frozen=True, slots=True)
class Minibatch:
    """Decisions of a few instances that share their encodings."""

    decisions: Decisions
    instances: NDArray[np.int64]  # (i,)
    rows: NDArray[np.int64]  # (s,)


def mirrored(family: Family, labels: Labels) -> Labels:
    """The mirror images of labels, where the family has a mirror symmetry; nothing otherwise.

    Every decision of an image counts, so what a student played has none: it would end up at the image's end.
    """
    if any(labels.first) or labels.answers:
        raise ValueError("labels that a student began, or that are actions, have no mirror image")
    if family.mirror is None:
        return Labels([], [])
    pairs = [family.mirror(*pair) for pair in zip(labels.instances, labels.schedules, strict=True)]
    return Labels([instance for instance, _ in pairs], [schedule for _, schedule in pairs])


def stream(
    env_id: str,
    options: Options,
    labels: Sequence[Labels],
    *,
    batch_size: int,
    instances_per_batch: int,
    encode: str,
    rng: np.random.Generator,
) -> Iterator[Minibatch]:
    """One pass over all labels in shuffled minibatches, one shape each, the shapes in turn.

    Labels are replayed as they are needed, a few hundred instances at a time: the simulator is faster than a disk.
    """
    chunks = [
        (group, part)
        for group in labels
        for part in _parts(group, rng.permutation(len(group)), by_step=encode == "step")
    ]
    waiting = [chunks[i] for i in rng.permutation(len(chunks))]
    opened: list[Iterator[Minibatch]] = []

    def open_chunk() -> None:
        group, part = waiting.pop()
        decisions = decisions_of(env_id, options, group.select(part), encode)
        parts = minibatches(decisions, instances_per_batch, batch_size, rng)
        opened.append(Minibatch(decisions, instances, rows) for instances, rows in parts)

    while waiting or opened:
        while waiting and len(opened) < OPEN_CHUNKS:
            open_chunk()
        chosen = int(rng.integers(len(opened)))
        try:
            yield next(opened[chosen])
        except StopIteration:
            del opened[chosen]


def decisions_of(env_id: str, options: Options, labels: Labels, encode: str) -> Decisions:
    """Labels as decisions, played again."""
    if labels.answers:
        return replay_actions(
            env_id, options, labels.instances, labels.played, labels.answers, encode=encode
        )[0]
    return replay(env_id, options, labels.instances, labels.schedules, labels.played, encode=encode)[0]


def _parts(group: Labels, order: NDArray[np.int64], *, by_step: bool) -> list[NDArray[np.int64]]:
    """The labels in parts that are replayed together: few enough for memory where each decision keeps its graph."""
    count = -(-len(order) // CHUNK)
    if by_step or group.answers:
        total = sum(group.num_decisions[i] for i in order)
        count = max(count, min(len(order), -(-total // CHUNK_DECISIONS)))
    return [part for part in np.array_split(order, max(1, count)) if len(part)]


def score(network: ActorCritic, batch: Minibatch) -> tuple[Tensor, Tensor, DecisionBatch]:
    """Logits (C,), values (B,) and decisions of a minibatch."""
    decisions = batch.decisions
    if decisions.graphs is not None:
        instances, decided = decisions.graphs.select(batch.rows)
        logits, values = network.decide(network.encode(instances, decided.wanted), decided)
        return logits, values, decided
    owner = decisions.instance[batch.rows]
    observation = {key: array[batch.rows] for key, array in decisions.decisions.items()}
    for key, array in decisions.instances.items():
        if key.endswith("_count"):
            observation[key] = array[owner]
    starts = {key: array[batch.instances] for key, array in decisions.instances.items()}
    graph = torch.from_numpy(np.searchsorted(batch.instances, owner))
    memory: Memory = network.encode(network.reader.instances(starts))
    decided = network.reader.decisions(observation, memory, graph)
    logits, values = network.decide(memory, decided)
    return logits, values, decided


def cloning_loss(
    network: ActorCritic, batch: Minibatch, label_smoothing: float = 0.0
) -> tuple[Tensor, float]:
    """Mean cross-entropy of the demonstrated candidates, and the share of decisions in which they score highest."""
    logits, _, decided = score(network, batch)
    log_p = log_probabilities(logits, decided)  # (C,)
    action = torch.from_numpy(batch.decisions.action[batch.rows])  # (B,)
    chosen = decided.candidate_slot == action[decided.candidate_graph]  # (C,), one a decision
    loss = -log_p[chosen].mean()
    if label_smoothing > 0.0:
        count = torch.bincount(decided.candidate_graph, minlength=decided.num_graphs)
        uniform = -(log_p / count[decided.candidate_graph]).sum() / decided.num_graphs
        loss = (1.0 - label_smoothing) * loss + label_smoothing * uniform
    with torch.no_grad():
        best = torch.full((decided.num_graphs,), -torch.inf)
        best = best.scatter_reduce(0, decided.candidate_graph, log_p, "amax")
        hits = float((log_p[chosen] >= best).float().mean())
    return loss, hits


class MovingAverage:
    """Exponential moving average of a network's weights, with the usual warm-up of its decay."""

    def __init__(self, network: ActorCritic, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    def update(self, network: ActorCritic) -> None:
        """Move towards the network's present weights."""
        self.updates += 1
        decay = min(self.decay, (1.0 + self.updates) / (10.0 + self.updates))
        for name, tensor in network.state_dict().items():
            self.weights[name].lerp_(tensor.detach(), 1.0 - decay)


def sections_per_epoch(num_labels: int) -> int:
    """How many sections a pass over the labels is cut into."""
    return max(1, round(num_labels / SECTION))


class Cloner:
    """Behaviour cloning that can stop after any section and go on as if it never had.

    A pass over the labels is cut into sections of a few chunks; each section draws from a stream of its own, so that its
    number is all that a resumed run needs to know.

    Args:
        network: Trained in place.
        config: Batch sizes, rates.
        env: Where the labels are replayed.
        labels: Groups of one shape each.
        seed: Of the order.
        average: Of the weights so far, which goes on; by default one that starts at the network's.
    """

    def __init__(
        self,
        network: ActorCritic,
        config: ImitationConfig,
        env: EnvConfig,
        labels: Sequence[Labels],
        seed: int,
        average: MovingAverage | None = None,
    ) -> None:
        self.network = network
        self.config = config
        self.env = env
        self.labels = [group for group in labels if len(group)]
        self.seed = seed
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=1e-4)
        self.average = average or MovingAverage(network, config.ema)
        self.updates_before = self.average.updates
        self.sections_per_epoch = sections_per_epoch(sum(len(group) for group in self.labels))
        self.num_sections = config.epochs * self.sections_per_epoch
        self.done = 0

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors and JSON from which `restore` goes on."""
        tensors = {
            "network": self.network.state_dict(),
            "average": self.average.weights,
            "optimizer": self.optimizer.state_dict(),
        }
        return tensors, {
            "done": self.done,
            "updates": self.average.updates,
            "updates_before": self.updates_before,
        }

    def restore(self, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(tensors["network"])
        self.average.weights = {name: tensor.clone() for name, tensor in tensors["average"].items()}
        self.optimizer.load_state_dict(tensors["optimizer"])
        self.average.updates = int(meta["updates"])
        self.updates_before = int(meta.get("updates_before", 0))
        self.done = int(meta["done"])

    def section(self) -> dict[str, float]:
        """Train on the next section; returns mean loss, accuracy and the learning rate at its end."""
        labels = self._section_labels()
        total = sum(len(group) for group in labels)
        rng = np.random.default_rng((self.seed, 1, self.done))
        batches = stream(
            self.env.id,
            self.env.options,
            labels,
            batch_size=self.config.batch_size,
            instances_per_batch=self.config.instances_per_batch,
            encode=self.network.config.encode,
            rng=rng,
        )
        self.network.train()
        # dropout draws from torch's own stream
        torch.manual_seed(int(np.random.SeedSequence((self.seed, 2, self.done)).generate_state(1)[0]))
        losses, hits, weights, within = [], [], [], 0.0
        began = time.process_time()
        for batch in batches:
            rate = self._learning_rate((self.done + min(1.0, within / total)) / self.num_sections)
            loss, hit = cloning_loss(self.network, batch, self.config.label_smoothing)
            apply_gradient(self.network, self.optimizer, loss, rate, MAX_GRAD_NORM)
            self.average.update(self.network)
            within += len(batch.rows) / len(batch.decisions) * batch.decisions.num_instances
            losses.append(float(loss.detach()))
            hits.append(hit)
            weights.append(len(batch.rows))
        self.done += 1
        return {
            "loss": float(np.average(losses, weights=weights)),
            "accuracy": float(np.average(hits, weights=weights)),
            "learning_rate": rate,
            "decisions_per_cpu_s": sum(weights) / (time.process_time() - began),
        }

    def finish(self) -> None:
        """Put the averaged weights into the network."""
        if self.config.ema > 0.0:
            self.network.load_state_dict(self.average.weights)

    def _section_labels(self) -> list[Labels]:
        """The labels of the next section: its share of this epoch's order, shape by shape."""
        epoch, part = divmod(self.done, self.sections_per_epoch)
        rng = np.random.default_rng((self.seed, 0, epoch))
        chosen = []
        for group in self.labels:
            rows = np.array_split(rng.permutation(len(group)), self.sections_per_epoch)
            # shapes with few labels spread over the epoch instead of crowding its first sections
            rows = [rows[i] for i in rng.permutation(self.sections_per_epoch)]
            chosen.append(group.select(rows[part]))
        return [group for group in chosen if len(group)]

    def _learning_rate(self, z: float) -> float:
        schedule = learning_rate_factor(self.config.schedule, z)
        warm_up = min(1.0, (self.average.updates - self.updates_before + 1) / WARM_UP_UPDATES)
        return self.config.learning_rate * warm_up * (FLOOR + (1.0 - FLOOR) * schedule)


def apply_gradient(
    network: ActorCritic,
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    learning_rate: float,
    max_norm: float,
) -> float:
    """One clipped gradient step; returns the gradient's norm."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), max_norm)
    optimizer.step()
    return float(norm)
