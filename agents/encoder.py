"""The hierarchical graph encoder, built from a `GraphSchema`: one class for every family.

`DeepEncoder` passes messages over whole graphs: along and against the DAG's edges, through stars (the tasks of a
resource meet at its node, never in a clique), and between tasks and their jobs. `LightEncoder` runs at every decision
over the few nodes above the tasks: jobs look at the embeddings of their frontier tasks, jobs and resources exchange
messages along (frontier task, resource) pairs, and all are pooled into the system vector by mean and maximum, so that
weights transfer across sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from makespan.agents.batch import (
    DecisionBatch,
    Edges,
    InstanceBatch,
    Wanted,
    composed_edges,
    deep_edges,
    frontier_edges,
    network_columns,
    parents_of,
    upper_types,
)
from makespan.agents.messages import Relation, pool
from makespan.agents.temporal import SeriesTable, TemporalEncoder, temporal_encoders
from makespan.envs.core.graph import EdgeType, GraphSchema, NodeType


class Mlp(nn.Sequential):
    """Two linear layers around a SiLU."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))

    def forward(
        self, x: Tensor, shared: Tensor | None = None, owner: Tensor | None = None, at: int | None = None
    ) -> Tensor:
        """Of the columns of `x` with the rows `owner` of `shared`, if there are any, put in before column `at`, by default last.

        What many rows share enters the first layer once. The layers are called by their weights: for a single decision,
        calling them as modules would take as long as what they do.

        Shapes:
            x: (n, inputs), or without the columns of `shared` (m, k). owner: (n,). Returns (n, outputs).
        """
        first, _, last = self
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        weight, bias = first.weight, first.bias
        if shared is None or owner is None:
            hidden = F.linear(x, weight, bias)
        else:
            begin = x.shape[-1] if at is None else at
            before, own, after = weight.tensor_split((begin, begin + shared.shape[-1]), dim=1)
            weight = torch.cat([before, after], 1) if after.shape[1] else before
            common = F.linear(shared, own, bias)
            hidden = F.linear(x, weight) + common.index_select(0, owner)
        return F.linear(F.silu(hidden), last.weight, last.bias)


@dataclass(frozen=True, slots=True)
class Memory:
    """Embeddings of an instance batch.

    Attributes:
        embedding: By node type, (n, d); of the wanted rows only where a type is among `place`.
        first: By node type, (B,) number of each graph's first node.
        edges: The edges between the nodes.
        place: By task type, (n,) row of `embedding` of each wanted node.
    """

    embedding: dict[str, Tensor]
    first: dict[str, Tensor]
    edges: dict[str, Edges]
    place: dict[str, Tensor] = field(default_factory=dict)

    def look_up(self, name: str, index: Tensor) -> Tensor:
        """Embeddings (m, d) of nodes (m,) of a type."""
        if name in self.place:
            index = self.place[name][index]
        return self.embedding[name].index_select(0, index)


class _DeepBlock(nn.Module):
    """One residual round of messages over every relation of the graph, in both directions."""

    def __init__(self, schema: GraphSchema, width: int, series: nn.ModuleDict, *, static_only: bool) -> None:
        super().__init__()
        edges = deep_edges(schema, static_only=static_only)
        names = [node.name for node in schema.nodes if node.level != "system"]
        arriving = dict.fromkeys(names, 0)
        self.edge_maps = nn.ModuleDict()
        for edge in edges:
            arriving[edge.target] += 1
            arriving[edge.source] += 1
            if network_columns(edge.features):
                self.edge_maps[edge.name] = nn.Linear(_inputs(edge, series, static_only=False), width)
        self.child_of = parents_of(schema)
        for child, parent in self.child_of.items():
            arriving[child] += 1
            arriving[parent] += 1
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in names})
        self.updates = nn.ModuleDict(
            {name: Mlp((1 + arriving[name]) * width, width, width) for name in names}
        )
        self.endpoints = [(edge.name, edge.source, edge.target) for edge in edges]

    def forward(
        self,
        h: dict[str, Tensor],
        batch: InstanceBatch,
        edge_means: Mapping[str, tuple[Tensor, Tensor]],
        wanted: Mapping[str, Wanted],
    ) -> dict[str, Tensor]:
        """New embeddings by node type.

        Args:
            h: By type, (n, d).
            batch: The graphs.
            edge_means: By edge type, mean features of the edges of each source and of each target.
            wanted: By type, the nodes that matter; of the other types, all do.

        Shapes:
            Returns by type (n, d), or of the wanted nodes (k, d).
        """
        normed = {name: norm(h[name]) for name, norm in self.norms.items()}
        inputs: dict[str, list[_Rows]] = {name: [(x, None)] for name, x in normed.items()}
        for name, source, target in self.endpoints:
            relation = batch.relations[name]
            backwards, forwards = relation.to_sources(normed[target]), relation.to_targets(normed[source])
            if name in self.edge_maps:
                backwards = backwards + relation.out_of.linear(self.edge_maps[name], edge_means[name][0])
                forwards = forwards + relation.into.linear(self.edge_maps[name], edge_means[name][1])
            inputs[target].append((forwards, None))
            inputs[source].append((backwards, None))
        for child, parent in self.child_of.items():
            inputs[child].append((normed[parent], batch.parents[child]))
            inputs[parent].append((batch.kin[child].to_targets(normed[child]), None))
        new = {}
        for name, update in self.updates.items():
            rows = wanted[name].rows if name in wanted else None
            parts = [_select(part, rows) for part in inputs[name]]
            new[name] = _select((h[name], None), rows) + update(torch.cat(parts, -1))
        return new


_Rows = tuple[Tensor, Tensor | None]  # rows (n,) of a table, all of them if None


def _select(table_rows: _Rows, wanted: Tensor | None) -> Tensor:
    """The wanted ones (k,) of some rows, all if None."""
    table, rows = table_rows
    if wanted is not None:
        rows = wanted if rows is None else rows[wanted]
    return table if rows is None else table.index_select(0, rows)


def _inputs(part: NodeType | EdgeType, series: nn.ModuleDict, *, static_only: bool) -> int:
    """Columns that the deep encoder reads of a type, its time series encoded."""
    if part.name in series:
        encoder = series[part.name]
        assert isinstance(encoder, TemporalEncoder)
        return encoder.size
    return len(network_columns(part.features, static_only=static_only))


class DeepEncoder(nn.Module):
    """Embeds every node of whole graphs, from static features alone or from all.

    Args:
        schema: The family's decision graph.
        width: Size of every embedding.
        depth: Blocks of messages.
        static_only: Whether nodes are seen by their static features alone.
        temporal: Size of the embedding of a type's time series; 0 reads their columns as they are.
    """

    def __init__(
        self, schema: GraphSchema, width: int, depth: int, *, static_only: bool, temporal: int = 0
    ) -> None:
        super().__init__()
        self.static_only = static_only
        nodes = [node for node in schema.nodes if node.level != "system"]
        edges = deep_edges(schema, static_only=static_only)
        self.series = nn.ModuleDict(
            temporal_encoders(nodes, temporal, static_only=static_only)
            | temporal_encoders(edges, temporal, static_only=False)
        )
        self.inputs = nn.ModuleDict()
        for node in nodes:
            self.inputs[node.name] = nn.Linear(_inputs(node, self.series, static_only=static_only), width)
        self.blocks = nn.ModuleList(
            _DeepBlock(schema, width, self.series, static_only=static_only) for _ in range(depth)
        )
        self.read_edges = [edge.name for edge in edges if depth and network_columns(edge.features)]

    def forward(
        self,
        batch: InstanceBatch,
        wanted: Mapping[str, Wanted] | None = None,
        known: Mapping[str, SeriesTable] | None = None,
    ) -> Memory:
        """Embed an instance batch.

        Args:
            batch: Whole graphs.
            wanted: By task type, the nodes that matter; by default all do.
            known: By type, the time series encoded so far.
        """
        wanted, known = wanted or {}, known or {}
        h = {}
        for name, layer in self.inputs.items():
            x = batch.nodes[name].x
            if name in self.series:
                x = self.series[name](x, known.get(name)).rows()
            if name in wanted and not self.blocks:
                x = x.index_select(0, wanted[name].rows)
            h[name] = layer(x)
        means = {}
        for name in self.read_edges:
            x, relation = batch.edges[name].x, batch.relations[name]
            if name in self.series:
                rows = self.series[name](x, known.get(name))
                means[name] = rows.mean(relation.out_of), rows.mean(relation.into)
            else:
                means[name] = relation.out_of.mean_edges(x), relation.into.mean_edges(x)
        for number, block in enumerate(self.blocks, start=1):
            h = block(h, batch, means, wanted if number == len(self.blocks) else {})
        first = {name: nodes.first for name, nodes in batch.nodes.items()}
        return Memory(h, first, batch.edges, {name: own.place for name, own in wanted.items()})


class _LightRound(nn.Module):
    """Messages between jobs and resources along frontier pairs, and with the system vector."""

    def __init__(self, names: list[str], arriving: dict[str, int], width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in names})
        self.updates = nn.ModuleDict(
            {name: Mlp((2 + arriving[name]) * width, width, width) for name in names}
        )
        self.system_norm = nn.LayerNorm(width)
        self.system_update = Mlp((1 + 2 * len(names)) * width, width, width)

    def forward(
        self,
        h: dict[str, Tensor],
        z: Tensor,
        batch: DecisionBatch,
        pairs: list[_Pair],
    ) -> tuple[dict[str, Tensor], Tensor]:
        """New embeddings of the upper nodes by type (n, d), and of the system (B, d)."""
        normed = {name: norm(h[name]) for name, norm in self.norms.items()}
        system = self.system_norm(z)
        inputs = {name: [x] for name, x in normed.items()}
        for pair in pairs:
            inputs[pair.target].append(pair.relation.to_targets(normed[pair.source]) + pair.at_targets)
            inputs[pair.source].append(pair.relation.to_sources(normed[pair.target]) + pair.at_sources)
        h = {
            name: h[name]
            + update(torch.cat(inputs[name], -1), system, batch.nodes[name].graph, at=normed[name].shape[-1])
            for name, update in self.updates.items()
        }
        pooled = [pool(x, batch.nodes[name].spans) for name, x in normed.items()]
        return h, z + self.system_update(torch.cat([system, *pooled], -1))


@dataclass(frozen=True, slots=True)
class _Pair:
    """Upper nodes joined by a frontier task and an edge of it, with the mean (n, d) of what the pairs say to each node."""

    source: str
    target: str
    relation: Relation
    at_sources: Tensor
    at_targets: Tensor


class LightEncoder(nn.Module):
    """Embeds what changes with every decision: jobs, resources and the system."""

    def __init__(self, schema: GraphSchema, width: int, rounds: int, *, static_only: bool) -> None:
        super().__init__()
        upper = [node for node in upper_types(schema) if node.level != "system"]
        self.system_name = next(node.name for node in schema.nodes if node.level == "system")
        self.frontiers = [(edge.name, edge.source, edge.target) for edge in frontier_edges(schema)]
        extra = {node.name: 0 for node in upper}
        arriving = {node.name: 0 for node in upper}
        for _, source, _ in self.frontiers:
            extra[source] += 1
        self.pairs = composed_edges(schema, static_only=static_only)
        self.pair_maps = nn.ModuleDict()
        for first, second in self.pairs:
            arriving[first.source] += 1
            arriving[second.target] += 1
            columns = network_columns(second.features)
            self.pair_maps[f"{first.name}_{second.name}"] = nn.Linear(len(columns) + width, width)
        self.inputs = nn.ModuleDict()
        for node in upper:
            columns = network_columns(node.features)
            self.inputs[node.name] = Mlp(len(columns) + (1 + extra[node.name]) * width, width, width)
        system_columns = network_columns(schema.node(self.system_name).features)
        self.system_input = nn.Linear(len(system_columns), width)
        names = [node.name for node in upper]
        self.rounds = nn.ModuleList(_LightRound(names, arriving, width) for _ in range(rounds))

    def forward(self, memory: Memory, batch: DecisionBatch) -> tuple[dict[str, Tensor], Tensor]:
        """Embeddings of the upper nodes by type (n, d), and of the system (B, d)."""
        tasks = {name: memory.look_up(task, batch.frontier[name].target) for name, _, task in self.frontiers}
        h = {}
        for name, layer in self.inputs.items():
            embedding = memory.embedding[name]
            if name in batch.memory:
                embedding = embedding.index_select(0, batch.memory[name])
            parts = [batch.nodes[name].x, embedding]
            for frontier, source, _ in self.frontiers:
                if source == name:
                    parts.append(batch.leads[frontier].mean_edges(tasks[frontier]))
            h[name] = layer(torch.cat(parts, -1))
        z = self.system_input(batch.nodes[self.system_name].x)
        pairs = [self._pair(memory, batch, tasks[first.name], first, second) for first, second in self.pairs]
        for light_round in self.rounds:
            h, z = light_round(h, z, batch, pairs)
        return h, z

    def _pair(
        self, memory: Memory, batch: DecisionBatch, tasks: Tensor, first: EdgeType, second: EdgeType
    ) -> _Pair:
        own = batch.pairs[first.name, second.name]
        edge_x = memory.edges[second.name].x.index_select(0, own.edge)
        features = torch.cat([edge_x, tasks.index_select(0, own.frontier)], -1)  # (pairs, F)
        layer, relation = self.pair_maps[f"{first.name}_{second.name}"], own.relation
        at_sources = relation.out_of.linear(layer, relation.out_of.mean_edges(features))
        at_targets = relation.into.linear(layer, relation.into.mean_edges(features))
        return _Pair(first.source, second.target, relation, at_sources, at_targets)
