"""Many decision graphs without their padding: what a network that encodes every decision keeps of a rollout.

Padded, a decision costs as many bytes as the largest that its environment could show; here it costs what it shows.
Nothing a network reads is lost: `GraphStore.select` gives the very batches that the observations would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.agents.batch import (
    DecisionBatch,
    Edges,
    InstanceBatch,
    Nodes,
    Pointers,
    composed_edges,
    deep_edges,
    frontier_edges,
    leads_of,
    pairs_of,
    parents_of,
    upper_types,
    wanted_of,
)
from makespan.agents.messages import Spans
from makespan.envs.core.graph import EdgeType, GraphSchema


@dataclass(frozen=True)
class Ragged:
    """Rows of unlike length, one after the other: `values` (sum of counts, ...) and `counts` (S,)."""

    values: NDArray[Any]
    counts: NDArray[np.int64]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(S,) where each row begins."""
        starts: NDArray[np.int64] = np.cumsum(self.counts) - self.counts
        return starts

    @property
    def owner(self) -> NDArray[np.int64]:
        """Row that each value belongs to."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @classmethod
    def joined(cls, parts: Sequence[Ragged]) -> Ragged:
        """The rows of all parts, in order."""
        values = np.concatenate([part.values for part in parts])
        return cls(values, np.concatenate([part.counts for part in parts]))

    @classmethod
    def of(cls, values: Tensor, owner: Tensor, size: int) -> Ragged:
        """Values whose owners do not fall."""
        return cls(values.numpy(), torch.bincount(owner, minlength=size).numpy())

    def select(self, rows: NDArray[np.int64]) -> Ragged:
        """Some rows (s,), in that order."""
        counts = self.counts[rows]
        begin = np.repeat(self.starts[rows] - (np.cumsum(counts) - counts), counts)
        return Ragged(self.values[begin + np.arange(len(begin))], counts)

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return self.values.nbytes + self.counts.nbytes


Tables = dict[str, Ragged]


@dataclass(frozen=True)
class GraphStore:
    """S decisions of a network that encodes each of them; numbers of nodes count within their graphs.

    Attributes:
        schema: The family's decision graph.
        nodes: By type, the system included, (n, F) network features.
        parents: By type, (n,) int32.
        ends: By edge type, (E, 2) int32 source and target.
        edge_x: By edge type, (E, F) network features.
        candidate_x: (C, F) network features.
        pointers: (C, k) int32 nodes that candidates point at, -1 for none.
        slot: (C,) int32 action numbers.
        critic_x: (S, F), or None.
    """

    schema: GraphSchema
    nodes: Tables
    parents: Tables
    ends: Tables
    edge_x: Tables
    candidate_x: Ragged
    pointers: Ragged
    slot: Ragged
    critic_x: NDArray[np.float32] | None

    @classmethod
    def of(cls, schema: GraphSchema, instances: InstanceBatch, decisions: DecisionBatch) -> GraphStore:
        """Take a batch apart, as `ActorCritic.batch` makes it: one graph a decision."""
        size, tables = decisions.num_graphs, {**instances.nodes, **decisions.nodes}
        ends, edge_x = {}, {}
        for edge in _edge_types(schema):
            edges = decisions.frontier.get(edge.name) or instances.edges[edge.name]
            source, target = tables[edge.source], tables[edge.target]
            graph = source.graph[edges.source]
            pairs = torch.stack([edges.source - source.first[graph], edges.target - target.first[graph]], 1)
            ends[edge.name] = Ragged.of(pairs.int(), graph, size)
            edge_x[edge.name] = Ragged.of(edges.x, graph, size)
        parents = {}
        for child, parent in parents_of(schema).items():
            graph = tables[child].graph
            local = instances.parents[child] - tables[parent].first[graph]
            parents[child] = Ragged.of(local.int(), graph, size)
        graph = decisions.candidate_graph
        pointed = [
            torch.where(own.row >= 0, own.row - tables[name].first[graph], -1)
            for name, own in decisions.candidate_nodes.items()
        ]
        return cls(
            schema=schema,
            nodes={name: Ragged.of(one.x, one.graph, size) for name, one in tables.items()},
            parents=parents,
            ends=ends,
            edge_x=edge_x,
            candidate_x=Ragged.of(decisions.candidate_x, graph, size),
            pointers=Ragged.of(torch.stack(pointed, 1).int(), graph, size),
            slot=Ragged.of(decisions.candidate_slot.int(), graph, size),
            critic_x=None if decisions.critic_x is None else decisions.critic_x.numpy().copy(),
        )

    @classmethod
    def joined(cls, parts: Sequence[GraphStore]) -> GraphStore:
        """The decisions of all parts, in order."""
        one = parts[0]

        def tables(name: str) -> Tables:
            own: Tables = getattr(one, name)
            return {key: Ragged.joined([getattr(part, name)[key] for part in parts]) for key in own}

        critic = [part.critic_x for part in parts if part.critic_x is not None]
        return cls(
            one.schema,
            tables("nodes"),
            tables("parents"),
            tables("ends"),
            tables("edge_x"),
            Ragged.joined([part.candidate_x for part in parts]),
            Ragged.joined([part.pointers for part in parts]),
            Ragged.joined([part.slot for part in parts]),
            np.concatenate(critic) if critic else None,
        )

    def __len__(self) -> int:
        return len(self.slot.counts)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        grouped = (self.nodes, self.parents, self.ends, self.edge_x)
        tables = [table for group in grouped for table in group.values()]
        tables += [self.candidate_x, self.pointers, self.slot]
        critic = 0 if self.critic_x is None else self.critic_x.nbytes
        return sum(table.nbytes for table in tables) + critic

    def select(self, rows: NDArray[np.int64]) -> tuple[InstanceBatch, DecisionBatch]:
        """Both parts of a batch of some decisions (s,), in that order."""
        nodes = {name: _nodes(table.select(rows)) for name, table in self.nodes.items()}
        edges = {edge.name: self._edges(edge, rows, nodes) for edge in _edge_types(self.schema)}
        parents = {}
        for child, parent in parents_of(self.schema).items():
            local = torch.from_numpy(self.parents[child].select(rows).values).long()
            parents[child] = local + nodes[parent].first[nodes[child].graph]
        system = {node.name for node in self.schema.nodes if node.level == "system"}
        frontier = {edge.name: edges.pop(edge.name) for edge in frontier_edges(self.schema)}
        lower = {name: one for name, one in nodes.items() if name not in system}
        instances = InstanceBatch.of(self.schema, lower, edges, parents, len(rows))
        upper = {node.name: nodes[node.name] for node in upper_types(self.schema)}
        candidates = self.candidate_x.select(rows)
        spans = Spans.of(candidates.counts)
        pointers = torch.from_numpy(self.pointers.select(rows).values).long()
        pointed = {}
        for column, name in enumerate(self.schema.candidates.points_at):
            local = pointers[:, column]
            there = local >= 0
            row = torch.where(there, local + nodes[name].first[spans.graph], -1)
            pointed[name] = Pointers(row, bool(there.all()))
        composed = composed_edges(self.schema, static_only=False)
        still = dict.fromkeys(upper, torch.zeros(len(rows), dtype=torch.long))
        decisions = DecisionBatch(
            nodes=upper,
            memory={},
            frontier=frontier,
            leads=leads_of(self.schema, frontier, upper),
            pairs=pairs_of(composed, frontier, upper, instances, still),
            candidate_x=torch.from_numpy(candidates.values),
            candidate_nodes=pointed,
            candidates=spans,
            candidate_slot=torch.from_numpy(self.slot.select(rows).values).long(),
            critic_x=None if self.critic_x is None else torch.from_numpy(self.critic_x[rows]),
            wanted=wanted_of(self.schema, instances, pointed, frontier),
            num_graphs=len(rows),
        )
        return instances, decisions

    def _edges(self, edge: EdgeType, rows: NDArray[np.int64], nodes: dict[str, Nodes]) -> Edges:
        own = self.ends[edge.name].select(rows)
        graph = torch.from_numpy(own.owner)
        ends = torch.from_numpy(own.values).long()
        return Edges(
            ends[:, 0] + nodes[edge.source].first[graph],
            ends[:, 1] + nodes[edge.target].first[graph],
            torch.from_numpy(self.edge_x[edge.name].select(rows).values),
        )


def _edge_types(schema: GraphSchema) -> tuple[EdgeType, ...]:
    return (*deep_edges(schema, static_only=False), *frontier_edges(schema))


def _nodes(table: Ragged) -> Nodes:
    return Nodes(torch.from_numpy(table.values), Spans.of(table.counts))
