"""Decision graphs as ragged tensors: what the padding hides never reaches a matrix product.

The network reads a decision in two parts. An `InstanceBatch` holds whole graphs, down to every task; it is encoded
once per instance (or once per decision, if the encoder is asked to see dynamic task features). A `DecisionBatch` holds
what changes with every decision: the nodes above the tasks, the frontier, and the candidates. `memory_graph` says
which graph of the instance batch each decision belongs to, so that many decisions share one encoding.

Where nodes come and go (`NodeType.sparse`), rows that are empty are left out and the others renumbered; such graphs
are encoded once per decision.
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
    """Whole graphs: nodes by type (the system left out), the edges that the deep encoder reads, and each node's parent."""

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
    return tuple(
        edge for edge in schema.edges if not edge.static and edge.target in tasks and edge.source not in tasks
    )


def deep_edges(schema: GraphSchema, *, static_only: bool) -> tuple[EdgeType, ...]:
    """Edge types that the deep encoder reads: the static ones, or all but the frontier.

    The system's own edges are left out, as all nodes are pooled into it.
    """
    system = {node.name for node in schema.nodes if node.level == "system"}
    frontier = {edge.name for edge in frontier_edges(schema)}
    return tuple(
        edge
        for edge in schema.edges
        if (edge.static or (not static_only and edge.name not in frontier))
        and not system & {edge.source, edge.target}
    )


def parents_of(schema: GraphSchema) -> dict[str, str]:
    """Node type -> its parent type, where that is not the system."""
    system = {node.name for node in schema.nodes if node.level == "system"}
    return {n.name: n.parent for n in schema.nodes if n.parent is not None and n.parent not in system}


def changing_parts(schema: GraphSchema) -> list[str]:
    """Names of nodes that come and go and of dynamic edges that are no frontier: what only `encode: step` can show."""
    frontier = {edge.name for edge in frontier_edges(schema)}
    edges = [edge.name for edge in schema.edges if not edge.static and edge.name not in frontier]
    return [node.name for node in schema.nodes if node.sparse] + edges


def instance_batch(schema: GraphSchema, observation: Arrays, *, static_only: bool) -> InstanceBatch:
    """The whole graphs of a batch of observations (leading axis B)."""
    types = [node for node in schema.nodes if node.level != "system"]
    places = {node.name: _Places.of(node, observation) for node in types}
    nodes = {
        node.name: _nodes(node, observation, places[node.name], static_only=static_only) for node in types
    }
    edges = {}
    for edge in deep_edges(schema, static_only=static_only):
        source, target = places[edge.source], places[edge.target]
        ends = nodes[edge.source].first, nodes[edge.target].first
        edges[edge.name] = _edges(edge, observation, source, target, *ends)
    parents = {}
    for name, parent in parents_of(schema).items():
        graph = nodes[name].graph
        number = places[parent].number(graph.numpy(), places[name].cut(observation[f"{name}_parent"]))
        parents[name] = torch.from_numpy(number) + nodes[parent].first[graph]
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
    places = {node.name: _Places.of(node, observation) for node in schema.nodes}
    nodes, memory = {}, {}
    for node in upper_types(schema):
        nodes[node.name] = own = _nodes(node, observation, places[node.name], static_only=False)
        if node.level != "system":
            local = torch.arange(own.graph.numel()) - own.first[own.graph]
            memory[node.name] = memory_first[node.name][graph[own.graph]] + local
    frontier = {}
    for edge in frontier_edges(schema):
        source, target = places[edge.source], places[edge.target]
        ends = nodes[edge.source].first, memory_first[edge.target][graph]
        frontier[edge.name] = _edges(edge, observation, source, target, *ends)
    batch_row, slot = np.nonzero(observation["action_mask"])
    candidate_graph = torch.from_numpy(batch_row)
    columns = network_columns(schema.candidates.features)
    pointers = observation["candidate_index"][batch_row, slot].astype(np.int64)  # (C, k)
    pointed = {}
    for column, name in enumerate(schema.candidates.points_at):
        first = nodes[name].first if name in nodes else memory_first[name][graph]
        local = torch.from_numpy(places[name].number(batch_row, pointers[:, column]))
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


@dataclass(frozen=True, slots=True)
class _Places:
    """Which rows of a padded node type are there, in each graph.

    Attributes:
        counts: (B,) nodes that are there.
        present: (B, n) which rows those are; None where they are the first ones.
        numbers: (B, n + 1) new number of each row, -1 for empty rows and for the pointer -1; None likewise.
    """

    counts: NDArray[np.int64]
    present: NDArray[np.bool_] | None = None
    numbers: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, node: NodeType, observation: Arrays) -> _Places:
        counts = np.asarray(observation[f"{node.name}_count"])[:, 0].astype(np.int64)
        if not node.sparse:
            return cls(counts)
        mask = np.asarray(observation[f"{node.name}_mask"]) > 0
        present = mask & (np.arange(mask.shape[1]) < counts[:, None])
        numbers = np.full((len(mask), mask.shape[1] + 1), -1)
        numbers[:, :-1] = np.where(present, np.cumsum(present, axis=1) - 1, -1)
        return cls(present.sum(axis=1), present, numbers)

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """Rows (B, n, ...) that are there, flattened to (sum of counts, ...)."""
        array = np.asarray(array)
        if self.present is not None:
            return array[self.present]
        if (self.counts == array.shape[1]).all():
            return array.reshape(-1, *array.shape[2:])
        return array[np.arange(array.shape[1]) < self.counts[:, None]]

    def number(self, graph: NDArray[np.int64], rows: NDArray[Any]) -> NDArray[np.int64]:
        """New numbers (m,) of old rows (m,) in graphs (m,)."""
        rows = rows.astype(np.int64)
        return rows if self.numbers is None else self.numbers[graph, rows]


def _nodes(node: NodeType, observation: Arrays, places: _Places, *, static_only: bool) -> Nodes:
    columns = network_columns(node.features, static_only=static_only)
    x = places.cut(observation[f"{node.name}_x"])
    if len(columns) < x.shape[1]:
        x = x[:, columns]
    sizes = torch.from_numpy(places.counts)
    first = torch.cumsum(sizes, 0) - sizes
    graph = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    return Nodes(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)), graph, first)


def _edges(
    edge: EdgeType,
    observation: Arrays,
    source_places: _Places,
    target_places: _Places,
    source_first: Tensor,
    target_first: Tensor,
) -> Edges:
    """The used edges of a type, in the order of their sources where that order is not the given one already."""
    index = np.asarray(observation[f"{edge.name}_index"])
    graph, column = np.nonzero(index[:, 0] >= 0)
    rows = torch.from_numpy(graph)
    source = torch.from_numpy(source_places.number(graph, index[graph, 0, column])) + source_first[rows]
    target = torch.from_numpy(target_places.number(graph, index[graph, 1, column])) + target_first[rows]
    columns = network_columns(edge.features)
    if columns:
        features = np.asarray(observation[f"{edge.name}_x"])[graph, column][:, columns]
        x = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
    else:
        x = torch.zeros(source.numel(), 0)
    if not edge.static and bool((source[1:] < source[:-1]).any()):  # slots are filled in any order
        order = torch.argsort(source, stable=True)
        source, target, x = source[order], target[order], x[order]
    return Edges(source, target, x)
