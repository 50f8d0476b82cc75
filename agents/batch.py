"""Decision graphs as ragged tensors: what the padding hides never reaches a matrix product.

The network reads a decision in two parts. An `InstanceBatch` holds whole graphs, down to every task; it is encoded
once per instance (or once per decision, if the encoder is asked to see dynamic task features). A `DecisionBatch` holds
what changes with every decision: the nodes above the tasks, the frontier, and the candidates. `memory_graph` says
which graph of the instance batch each decision belongs to, so that many decisions share one encoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.envs.core.graph import EdgeType, Feature, GraphSchema, NodeType

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of one type in a batch of graphs.

    Attributes:
        x: (n, F) features.
        graph: (n,) graph each node belongs to.
        first: (B,) number of the first node of each graph.
    """

    x: Tensor
    graph: Tensor
    first: Tensor


@dataclass(frozen=True, slots=True)
class Edges:
    """The edges of one type: (E,) source and target nodes, and (E, F) features."""

    source: Tensor
    target: Tensor
    x: Tensor


@dataclass(frozen=True, slots=True)
class InstanceBatch:
    """Whole graphs: nodes by type (the system left out), static edges, and each node's parent."""

    nodes: dict[str, Nodes]
    edges: dict[str, Edges]
    parents: dict[str, Tensor]  # (n,) number of the parent among the parent type's nodes
    num_graphs: int


@dataclass(frozen=True, slots=True)
class DecisionBatch:
    """Decisions: nodes above the tasks, dynamic edges, candidates.

    Attributes:
        nodes: By type, the task types left out.
        memory: By type, (n,) row of the instance batch that each node stands for.
        frontier: Dynamic edges from nodes here to task rows of the instance batch.
        candidate_x: (C, F) network features.
        candidate_nodes: By node type, (C,) row the candidate points at (task rows of the instance batch, other nodes'
            rows here), -1 for none.
        candidate_graph: (C,) decision each candidate belongs to.
        candidate_slot: (C,) its action number.
        critic_x: (B, F) what only the critic may read, or None.
        num_graphs: Number B of decisions.
    """

    nodes: dict[str, Nodes]
    memory: dict[str, Tensor]
    frontier: dict[str, Edges]
    candidate_x: Tensor
    candidate_nodes: dict[str, Tensor]
    candidate_graph: Tensor
    candidate_slot: Tensor
    critic_x: Tensor | None
    num_graphs: int


def network_columns(features: tuple[Feature, ...], *, static_only: bool = False) -> list[int]:
    """Columns that a network may read: none that is raw, and only static ones if asked."""
    return [
        column
        for column, feature in enumerate(features)
        if not feature.raw and (feature.static or not static_only)
    ]


def task_types(schema: GraphSchema) -> tuple[NodeType, ...]:
    """Node types of the lowest level."""
    return tuple(node for node in schema.nodes if node.level == "task")


def upper_types(schema: GraphSchema) -> tuple[NodeType, ...]:
    """Node types above the tasks, the system included."""
    return tuple(node for node in schema.nodes if node.level != "task")


def static_edges(schema: GraphSchema) -> tuple[EdgeType, ...]:
    """Edge types that are constant within an episode."""
    return tuple(edge for edge in schema.edges if edge.static)


def frontier_edges(schema: GraphSchema) -> tuple[EdgeType, ...]:
    """Dynamic edge types from a node above the tasks to a task."""
    tasks = {node.name for node in task_types(schema)}
    return tuple(edge for edge in schema.edges if not edge.static and edge.target in tasks)


def instance_batch(schema: GraphSchema, observation: Arrays, *, static_only: bool) -> InstanceBatch:
    """The whole graphs of a batch of observations (leading axis B)."""
    types = [node for node in schema.nodes if node.level != "system"]
    nodes = {node.name: _nodes(node, observation, static_only=static_only) for node in types}
    edges = {}
    for edge in static_edges(schema):
        edges[edge.name] = _edges(edge, observation, nodes[edge.source].first, nodes[edge.target].first)
    parents = {}
    for node in types:
        if node.parent is not None:
            rows = torch.from_numpy(_cut(observation[f"{node.name}_parent"], _counts(node, observation)))
            own = nodes[node.name]
            parents[node.name] = rows.long() + nodes[node.parent].first[own.graph]
    return InstanceBatch(nodes, edges, parents, len(observation["action_mask"]))


def decision_batch(
    schema: GraphSchema,
    observation: Arrays,
    memory_first: Mapping[str, Tensor],
    memory_graph: Tensor | None = None,
) -> DecisionBatch:
    """The decisions of a batch of observations (leading axis B).

    Args:
        schema: The family's schema.
        observation: Batched observations.
        memory_first: `first` of each node type in the instance batch.
        memory_graph: (B,) graph of the instance batch for each decision; default: one each, in order.
    """
    num_graphs = len(observation["action_mask"])
    graph = torch.arange(num_graphs) if memory_graph is None else memory_graph
    nodes, memory = {}, {}
    for node in upper_types(schema):
        nodes[node.name] = own = _nodes(node, observation, static_only=False)
        if node.level != "system":
            local = torch.arange(own.graph.numel()) - own.first[own.graph]
            memory[node.name] = memory_first[node.name][graph[own.graph]] + local
    frontier = {}
    for edge in frontier_edges(schema):
        target_first = memory_first[edge.target][graph]
        frontier[edge.name] = _edges(edge, observation, nodes[edge.source].first, target_first)
    batch_row, slot = np.nonzero(observation["action_mask"])
    candidate_graph = torch.from_numpy(batch_row)
    columns = network_columns(schema.candidates.features)
    pointers = observation["candidate_index"][batch_row, slot].astype(np.int64)  # (C, k)
    pointed = {}
    for column, name in enumerate(schema.candidates.points_at):
        first = nodes[name].first if name in nodes else memory_first[name][graph]
        local = torch.from_numpy(pointers[:, column])
        pointed[name] = torch.where(local >= 0, local + first[candidate_graph], -1)
    critic = torch.from_numpy(np.asarray(observation["critic_x"])) if schema.critic_features else None
    return DecisionBatch(
        nodes,
        memory,
        frontier,
        torch.from_numpy(observation["candidate_x"][batch_row, slot][:, columns]),
        pointed,
        candidate_graph,
        torch.from_numpy(slot),
        critic,
        num_graphs,
    )


def _counts(node: NodeType, observation: Arrays) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.asarray(observation[f"{node.name}_count"])[:, 0].astype(np.int64)
    return counts


def _cut(array: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Rows (B, n, ...) without the padding, flattened to (sum of counts, ...)."""
    if (counts == array.shape[1]).all():
        return array.reshape(-1, *array.shape[2:])
    return array[np.arange(array.shape[1]) < counts[:, None]]


def _nodes(node: NodeType, observation: Arrays, *, static_only: bool) -> Nodes:
    counts = _counts(node, observation)
    columns = network_columns(node.features, static_only=static_only)
    x = _cut(np.asarray(observation[f"{node.name}_x"]), counts)
    if len(columns) < x.shape[1]:
        x = x[:, columns]
    sizes = torch.from_numpy(counts)
    first = torch.cumsum(sizes, 0) - sizes
    graph = torch.repeat_interleave(torch.arange(len(counts)), sizes)
    return Nodes(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)), graph, first)


def _edges(edge: EdgeType, observation: Arrays, source_first: Tensor, target_first: Tensor) -> Edges:
    index = np.asarray(observation[f"{edge.name}_index"])
    graph, column = np.nonzero(index[:, 0] >= 0)
    rows = torch.from_numpy(graph)
    source = torch.from_numpy(index[graph, 0, column].astype(np.int64)) + source_first[rows]
    target = torch.from_numpy(index[graph, 1, column].astype(np.int64)) + target_first[rows]
    columns = network_columns(edge.features)
    if not columns:
        return Edges(source, target, torch.zeros(source.numel(), 0))
    x = np.asarray(observation[f"{edge.name}_x"])[graph, column][:, columns]
    return Edges(source, target, torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)))
