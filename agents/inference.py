"""Decisions without gradients: encodings kept between decisions, and the choice among candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.agents.batch import (
    Arrays,
    DecisionBatch,
    Edges,
    deep_edges,
    network_columns,
    static_edges,
)
from makespan.agents.batch_kernels import best_candidates, mark_changed
from makespan.agents.encoder import Memory
from makespan.agents.network import ActorCritic
from makespan.agents.temporal import SeriesTable
from makespan.envs.core.graph import GraphSchema

Batch = TypeVar("Batch")

_ONLY: Final = np.zeros(1, np.int64)  # the only column


@contextmanager
def evaluating(network: ActorCritic) -> Iterator[None]:
    """No gradients and no dropout inside the block; the network's mode is as before afterwards."""
    training = network.training
    if training:
        network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        if training:
            network.train()


def decide(
    network: ActorCritic,
    observation: Arrays,
    memory: Memory | None = None,
    graph: Tensor | None = None,
) -> tuple[Tensor, Tensor, DecisionBatch]:
    """Logits (C,), values (B,) and decisions of a batch of observations.

    Args:
        network: Decides.
        observation: Batched observations.
        memory: Encodings made before; ignored by a network that encodes every decision.
        graph: (B,) graph of `memory` for each decision; by default one each, in order.
    """
    memory, batch = _read(network, observation, memory, graph)
    logits, values = network.decide(memory, batch)
    return logits, values, batch


def rank(
    network: ActorCritic,
    observation: Arrays,
    memory: Memory | None = None,
    graph: Tensor | None = None,
    known: Mapping[str, SeriesTable] | None = None,
) -> tuple[Tensor, DecisionBatch]:
    """As `decide`, without the values; `known` are the time series encoded so far, by type, and is written."""
    memory, batch = _read(network, observation, memory, graph, known)
    return network.score_candidates(memory, batch)[0], batch


def _read(
    network: ActorCritic,
    observation: Arrays,
    memory: Memory | None,
    graph: Tensor | None,
    known: Mapping[str, SeriesTable] | None = None,
) -> tuple[Memory, DecisionBatch]:
    if memory is not None and network.config.encode == "instance":
        return memory, network.reader.decisions(observation, memory, graph)
    instances, batch = network.reader.both(observation)
    return network.encode(instances, batch.wanted, known), batch


def choose(
    logits: Tensor,
    batch: DecisionBatch,
    temperature: float | Tensor = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """An action for each decision, by the Gumbel-max trick: (C,) -> (B,).

    Args:
        logits: Of the allowed candidates.
        batch: Their decisions.
        temperature: Of the softmax that is sampled, one for all or (B,); 0 is greedy, ties to the lower action.
        generator: Source of randomness; needed unless everything is greedy.
    """
    scores = logits
    if isinstance(temperature, Tensor) or temperature > 0.0:
        noise = -torch.empty_like(logits).exponential_(generator=generator).clamp_(min=1e-30).log()
        scale = temperature[batch.candidate_graph] if isinstance(temperature, Tensor) else temperature
        scores = logits + scale * noise
    ends = batch.candidate_slot.numpy(), batch.candidate_graph.numpy()
    return torch.from_numpy(best_candidates(scores.numpy(), *ends, batch.num_graphs))


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A batch, or any part of one, with its tensors on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device)  # type: ignore[return-value]
    if isinstance(batch, dict):
        return {key: to_device(part, device) for key, part in batch.items()}  # type: ignore[return-value]
    if is_dataclass(batch) and not isinstance(batch, type):
        parts = {field.name: to_device(getattr(batch, field.name), device) for field in fields(batch)}
        return replace(batch, **parts)
    return batch


def join(schema: GraphSchema, first: Memory, second: Memory) -> Memory:
    """Both memories as one; the graphs of `second` come after those of `first`."""
    shift = {name: table.shape[0] for name, table in first.embedding.items()}
    edges = {}
    for edge in deep_edges(schema, static_only=True):
        own, more = first.edges[edge.name], second.edges[edge.name]
        edges[edge.name] = Edges(
            torch.cat([own.source, more.source + shift[edge.source]]),
            torch.cat([own.target, more.target + shift[edge.target]]),
            torch.cat([own.x, more.x]),
        )
    embedding = {name: torch.cat([table, second.embedding[name]]) for name, table in first.embedding.items()}
    starts = {name: torch.cat([rows, second.first[name] + shift[name]]) for name, rows in first.first.items()}
    return Memory(embedding, starts, edges)


def distinct(rows: Sequence[bytes]) -> tuple[list[int], NDArray[np.int64]]:
    """Positions of the first of equal rows, and for every row (n,) the number of its equal among them."""
    numbers: dict[bytes, int] = {}
    first: list[int] = []
    for position, row in enumerate(rows):
        if row not in numbers:
            numbers[row] = len(first)
            first.append(position)
    return first, np.array([numbers[row] for row in rows], np.int64)


def static_columns(schema: GraphSchema) -> dict[str, list[int] | None]:
    """What a deep encoder that reads static features only sees: observation keys, and the columns, all if None."""
    columns: dict[str, list[int] | None] = {}
    for node in schema.nodes:
        if node.level != "system":
            columns[f"{node.name}_count"] = None
            columns[f"{node.name}_x"] = network_columns(node.features, static_only=True)
        if node.parent is not None:
            columns[f"{node.name}_parent"] = None
    for edge in static_edges(schema):
        columns[f"{edge.name}_index"] = None
        if edge.features:
            columns[f"{edge.name}_x"] = None
    return columns


def static_parts(schema: GraphSchema, observation: Arrays) -> list[NDArray[Any]]:
    """The same of a batch of observations: arrays (B, ...)."""
    return [
        np.asarray(observation[key] if columns is None else observation[key][..., columns])
        for key, columns in static_columns(schema).items()
    ]


def fingerprints(parts: Sequence[NDArray[Any]]) -> list[bytes]:
    """The arrays' contents, slot by slot."""
    return [b"".join(part[slot].tobytes() for part in parts) for slot in range(len(parts[0]))]


class EncodingCache:
    """Encodes an instance once, however many decisions and slots it takes.

    An encoding is a function of what does not change within an episode, so a slot is encoded anew exactly when that
    part of its observation changes: no reset has to be announced. Slots with equal instances share an encoding.

    Args:
        network: Its weights must not change while the cache is in use.
    """

    def __init__(self, network: ActorCritic) -> None:
        self._network = network
        self._columns = {
            key: None if columns is None else np.array(columns, np.int64)
            for key, columns in static_columns(network.schema).items()
        }
        self._seen: dict[str, NDArray[Any]] = {}
        self._memory: Memory | None = None
        self._graph = np.zeros(0, np.int64)
        self._num_graphs = 0

    def look_up(self, observation: Arrays) -> tuple[Memory | None, Tensor | None]:
        """The encodings of a batch of observations, and the graph (B,) of each; None for a network without any."""
        if self._network.config.encode == "step":
            return None, None
        changed = self._changed(observation)
        if changed.any():
            if self._num_graphs > 2 * len(changed):  # mostly instances that are over: begin again
                changed[:] = True
            self._encode(observation, np.flatnonzero(changed))
        return self._memory, torch.from_numpy(self._graph)

    def _changed(self, observation: Arrays) -> NDArray[np.bool_]:
        """Slots (B,) whose instance is another than at the last look."""
        changed = np.zeros(len(observation["action_mask"]), np.bool_)
        for key, columns in self._columns.items():
            now, before = np.asarray(observation[key]), self._seen.get(key)
            if before is None or now.shape != before.shape:
                return np.ones(len(changed), np.bool_)
            if columns is None:
                now, before = now.reshape(len(now), -1, 1), before.reshape(len(now), -1, 1)
                columns = _ONLY
            mark_changed(now, before, columns, changed)
        return changed

    def _encode(self, observation: Arrays, slots: NDArray[np.int64]) -> None:
        shown = {key: array[slots] for key, array in observation.items()}
        first, number = distinct(fingerprints(static_parts(self._network.schema, shown)))
        memory = self._network.encode(
            self._network.reader.instances({key: array[first] for key, array in shown.items()})
        )
        num_slots = len(observation["action_mask"])
        if self._memory is None or len(slots) == len(self._graph) or len(self._graph) != num_slots:
            self._graph, self._num_graphs = number, len(first)
        else:
            memory = join(self._network.schema, self._memory, memory)
            self._graph = self._graph.copy()
            self._graph[slots] = self._num_graphs + number
            self._num_graphs += len(first)
        self._memory = memory
        self._seen = {key: np.array(observation[key]) for key in self._columns}
