"""Imitation: behaviour cloning of a teacher's schedules, DAgger, and self-labelling.

Behaviour cloning follows the candidates that lead to the teacher's schedules. DAgger (Ross, Gordon & Bagnell, AISTATS
2011) lets the student act and asks the teacher again. Self-labelling (Corsini et al., "Self-Labeling the Job Shop
Scheduling Problem", NeurIPS 2024) needs no teacher: it imitates the best of the agent's own samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.agents.batch import DecisionBatch, decision_batch
from makespan.agents.demonstrations import Decisions, minibatches, replay
from makespan.agents.encoder import Memory
from makespan.agents.labels import Labels
from makespan.agents.network import ActorCritic, log_probabilities
from makespan.envs.core.family import Family

CHUNK = 64  # demonstrations replayed together
OPEN_CHUNKS = 12  # chunks that minibatches are drawn from in turn


@dataclass(frozen=True, slots=True)
class Minibatch:
    """Decisions of a few instances that share their encodings."""

    decisions: Decisions
    instances: NDArray[np.int64]  # (i,)
    rows: NDArray[np.int64]  # (s,)


def mirrored(family: Family, labels: Labels) -> Labels:
    """The mirror images of labels, where the family has a mirror symmetry; nothing otherwise."""
    if family.mirror is None:
        return Labels([], [])
    pairs = [family.mirror(*pair) for pair in zip(labels.instances, labels.schedules, strict=True)]
    return Labels([instance for instance, _ in pairs], [schedule for _, schedule in pairs])


def stream(
    env_id: str,
    sgs: str,
    labels: Sequence[Labels],
    *,
    batch_size: int,
    instances_per_batch: int,
    with_tasks: bool,
    rng: np.random.Generator,
) -> Iterator[Minibatch]:
    """One pass over all labels in shuffled minibatches, one shape each, the shapes in turn.

    Labels are replayed as they are needed, a few hundred instances at a time: the simulator is faster than a disk.
    """
    chunks = []
    for group in labels:
        order = rng.permutation(len(group))
        chunks += [(group, part) for part in np.array_split(order, max(1, -(-len(order) // CHUNK))) if len(part)]
    waiting = [chunks[i] for i in rng.permutation(len(chunks))]
    opened: list[Iterator[Minibatch]] = []

    def open_chunk() -> None:
        group, part = waiting.pop()
        decisions, _ = replay(
            env_id,
            sgs,
            [group.instances[i] for i in part],
            [group.schedules[i] for i in part],
            with_tasks=with_tasks,
        )
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


def score(network: ActorCritic, batch: Minibatch) -> tuple[Tensor, Tensor, DecisionBatch]:
    """Logits (C,), values (B,) and decisions of a minibatch."""
    decisions = batch.decisions
    owner = decisions.instance[batch.rows]
    observation = {key: array[batch.rows] for key, array in decisions.decisions.items()}
    for key, array in decisions.instances.items():
        if key.endswith("_count"):
            observation[key] = array[owner]
    if network.config.encode == "instance":
        starts = {key: array[batch.instances] for key, array in decisions.instances.items()}
        graph = torch.from_numpy(np.searchsorted(batch.instances, owner))
    else:
        starts = {key: array[owner] for key, array in decisions.instances.items()} | observation
        graph = None
    memory: Memory = network.encode(network.instances(starts))
    decided = decision_batch(network.schema, observation, memory.first, graph)
    logits, values = network.decide(memory, decided)
    return logits, values, decided


def cloning_loss(network: ActorCritic, batch: Minibatch, label_smoothing: float = 0.0) -> tuple[Tensor, float]:
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
