"""Decision graphs as ragged tensors: what the padding hides never reaches a matrix product.

The network reads a decision in two parts. An `InstanceBatch` holds whole graphs, down to every task; it is encoded
once per instance (or once per decision, if the encoder is asked to see dynamic task features). A `DecisionBatch` holds
what changes with every decision: the nodes above the tasks, the frontier, and the candidates. Many decisions may share
one encoding. `GraphReader` makes both of observations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.agents.batch_kernels import composed, wanted_rows
from makespan.agents.messages import Relation, Side, Spans
from makespan.envs.core.graph import EdgeType, Feature, GraphSchema, NodeType

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of one type in a batch of graphs: (n, F) features, and which rows are whose."""

    x: Tensor
    spans: Spans

    @property
    def graph(self) -> Tensor:
        """(n,) graph each node belongs to."""
        return self.spans.graph

    @property
    def first(self) -> Tensor:
        """(B,) number of the first node of each graph."""
        return self.spans.first


@dataclass(frozen=True, slots=True)
class Edges:
    """The edges of one type: (E,) source and target nodes, and (E, F) features."""

    source: Tensor
    target: Tensor
    x: Tensor


class Encoded(Protocol):
    """What decisions point into: an `InstanceBatch`, or the memory made of one."""

    @property
    def first(self) -> dict[str, Tensor]:
        """By node type, (B,) number of the first node of each graph."""
        ...

    @property
    def edges(self) -> dict[str, Edges]:
        """By edge type, in the order of their sources."""
        ...


@dataclass(frozen=True, slots=True)
class InstanceBatch:
    """Whole graphs.

    Attributes:
        nodes: By type, the system left out.
        edges: By type, what the deep encoder reads, in the order of their sources.
        relations: The same edges, ready for sums.
        parents: By child type, (n,) number of the parent among the parent type's nodes.
        kin: By child type, children and parents, ready for sums.
        num_graphs: Number of graphs.
    """

    nodes: dict[str, Nodes]
    edges: dict[str, Edges]
    relations: dict[str, Relation]
    parents: dict[str, Tensor]
    kin: dict[str, Relation]
    num_graphs: int

    @classmethod
    def of(
        cls,
        schema: GraphSchema,
        nodes: dict[str, Nodes],
        edges: dict[str, Edges],
        parents: dict[str, Tensor],
        num_graphs: int,
    ) -> InstanceBatch:
        """Whole graphs, with the relations that follow."""
        size = {name: len(own.x) for name, own in nodes.items()}
        relations = {}
        for edge in schema.edges:
            if edge.name in edges:
                own = edges[edge.name]
                ends = own.source.numpy(), own.target.numpy()
                relations[edge.name] = Relation.of(*ends, size[edge.source], size[edge.target])
        kin = {
            child: Relation.of(np.arange(size[child]), parents[child].numpy(), size[child], size[parent])
            for child, parent in parents_of(schema).items()
        }
        return cls(nodes, edges, relations, parents, kin, num_graphs)

    @property
    def first(self) -> dict[str, Tensor]:
        """By type, (B,) number of the first node of each graph."""
        return {name: own.first for name, own in self.nodes.items()}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Upper nodes (p,) that a frontier edge and an edge of its task join.

    Attributes:
        relation: From nodes of the frontier's type to nodes of the other type.
        frontier: (p,) number of the frontier edge.
        edge: (p,) number of the task's edge, in what the decision points into.
    """

    relation: Relation
    frontier: Tensor
    edge: Tensor


@dataclass(frozen=True, slots=True)
class Pointers:
    """Rows (C,) that candidates point at, -1 for none, and whether all of them point at one."""

    row: Tensor
    all_point: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rows (k,) of a task type that decisions point at, and the place (n,) of each row among them."""

    rows: Tensor
    place: Tensor


@dataclass(frozen=True, slots=True)
class DecisionBatch:
    """Decisions: nodes above the tasks, dynamic edges, candidates.

    Attributes:
        nodes: By type, the task types left out.
        memory: By type, (n,) row of the instance batch that each node stands for; left out where these are the same rows.
        frontier: Dynamic edges from nodes here to task rows of the instance batch, in the order of those nodes.
        leads: The same edges as the nodes here have them.
        pairs: By the names of a frontier and a deep edge type.
        candidate_x: (C, F) network features.
        candidate_nodes: By node type, what the candidates point at (task rows of the instance batch, other nodes' rows
            here).
        candidates: Which candidates are whose.
        candidate_slot: (C,) action number of each candidate.
        critic_x: (B, F) what only the critic may read, or None.
        wanted: By task type, where every decision has an encoding of its own, of which it needs these rows only.
        num_graphs: Number B of decisions.
    """

    nodes: dict[str, Nodes]
    memory: dict[str, Tensor]
    frontier: dict[str, Edges]
    leads: dict[str, Side]
    pairs: dict[tuple[str, str], Pairs]
    candidate_x: Tensor
    candidate_nodes: dict[str, Pointers]
    candidates: Spans
    candidate_slot: Tensor
    critic_x: Tensor | None
    wanted: dict[str, Wanted]
    num_graphs: int

    @property
    def candidate_graph(self) -> Tensor:
        """(C,) decision each candidate belongs to."""
        return self.candidates.graph


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


def composed_edges(schema: GraphSchema, *, static_only: bool) -> list[tuple[EdgeType, EdgeType]]:
    """Frontier edges (job -> task) with the deep edges (task -> resource) that they compose with to (job, resource) pairs."""
    upper = {node.name for node in upper_types(schema) if node.level != "system"}
    return [
        (frontier, edge)
        for frontier in frontier_edges(schema)
        for edge in deep_edges(schema, static_only=static_only)
        if edge.source == frontier.target and edge.target in upper
    ]


def leads_of(
    schema: GraphSchema, frontier: Mapping[str, Edges], nodes: Mapping[str, Nodes]
) -> dict[str, Side]:
    """Frontier edges as the nodes above the tasks have them."""
    return {
        edge.name: Side.of(
            frontier[edge.name].source.numpy(), frontier[edge.name].target.numpy(), len(nodes[edge.source].x)
        )
        for edge in frontier_edges(schema)
    }


def pairs_of(
    composed_types: list[tuple[EdgeType, EdgeType]],
    frontier: Mapping[str, Edges],
    nodes: Mapping[str, Nodes],
    encoded: Encoded,
    shift: Mapping[str, Tensor],
) -> dict[tuple[str, str], Pairs]:
    """Frontier edges followed by the edges that leave their tasks.

    Args:
        composed_types: As `composed_edges` lists them.
        frontier: Of the decisions.
        nodes: Of the decisions.
        encoded: What the decisions point into.
        shift: By node type, (B,) first row in `encoded` of each decision less its first row in `nodes`.
    """
    pairs = {}
    for first, second in composed_types:
        ends, deep = frontier[first.name], encoded.edges[second.name]
        back = -shift[second.target][nodes[first.source].graph[ends.source]]
        arrays = [t.numpy() for t in (ends.source, ends.target, deep.source, deep.target, back)]
        source, target, own, edge = composed(*arrays)
        relation = Relation.of(source, target, len(nodes[first.source].x), len(nodes[second.target].x))
        pairs[first.name, second.name] = Pairs(relation, torch.from_numpy(own), torch.from_numpy(edge))
    return pairs


def wanted_of(
    schema: GraphSchema,
    instances: InstanceBatch,
    pointed: Mapping[str, Pointers],
    frontier: Mapping[str, Edges],
) -> dict[str, Wanted]:
    """The tasks that candidates or frontier edges point at."""
    wanted = {}
    for node in task_types(schema):
        ends = [frontier[edge.name].target for edge in frontier_edges(schema) if edge.target == node.name]
        index = torch.cat([*ends, *(own.row for name, own in pointed.items() if name == node.name)])
        rows = wanted_rows(len(instances.nodes[node.name].x), index.numpy())
        wanted[node.name] = Wanted(*map(torch.from_numpy, rows))
    return wanted
