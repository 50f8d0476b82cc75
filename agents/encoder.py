"""The hierarchical graph encoder, built from a `GraphSchema`: one class for every family.

`DeepEncoder` passes messages over whole graphs: along and against the DAG's edges, through stars (the tasks of a
resource meet at its node, never in a clique), and between tasks and their jobs. `LightEncoder` runs at every decision
over the few nodes above the tasks: jobs look at the embeddings of their frontier tasks, jobs and resources exchange
messages along (frontier task, resource) pairs, and all are pooled into the system vector by mean and maximum, so that
weights transfer across sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from makespan.agents.batch import (
    DecisionBatch,
    Edges,
    InstanceBatch,
    deep_edges,
    frontier_edges,
    network_columns,
    parents_of,
    upper_types,
)
from makespan.agents.temporal import TemporalEncoder, temporal_encoders
from makespan.envs.core.graph import EdgeType, GraphSchema, NodeType


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers around a SiLU."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


def mean_to(x: Tensor, index: Tensor, size: int) -> Tensor:
    """Mean of rows by target: (E, d), (E,) -> (size, d), zero where nothing arrives."""
    mean: Tensor = scatter(x, index, dim=0, dim_size=size, reduce="mean")
    return mean


def pool(x: Tensor, graph: Tensor, size: int) -> Tensor:
    """Mean and maximum of rows by graph: (n, d), (n,) -> (size, 2 d)."""
    maximum: Tensor = scatter(x, graph, dim=0, dim_size=size, reduce="max")
    return torch.cat([mean_to(x, graph, size), maximum], dim=-1)


@dataclass(frozen=True, slots=True)
class Memory:
    """Embeddings of an instance batch: by node type (n, d), and where each graph's rows begin."""

    embedding: dict[str, Tensor]
    first: dict[str, Tensor]
    edges: dict[str, Edges]


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
            {name: mlp((1 + arriving[name]) * width, width, width) for name in names}
        )
        self.endpoints = [(edge.name, edge.source, edge.target) for edge in edges]

    def forward(self, h: dict[str, Tensor], batch: InstanceBatch) -> dict[str, Tensor]:
        """New embeddings by node type.

        Shapes:
            h: by type (n, d). Returns the same.
        """
        normed = {name: norm(h[name]) for name, norm in self.norms.items()}
        inputs = {name: [x] for name, x in normed.items()}
        for name, source, target in self.endpoints:
            edges = batch.edges[name]
            forwards, backwards = normed[source][edges.source], normed[target][edges.target]  # (E, d)
            if name in self.edge_maps:
                shift = self.edge_maps[name](edges.x)
                forwards, backwards = forwards + shift, backwards + shift
            inputs[target].append(mean_to(forwards, edges.target, normed[target].shape[0]))
            inputs[source].append(mean_to(backwards, edges.source, normed[source].shape[0]))
        for child, parent in self.child_of.items():
            row = batch.parents[child]
            inputs[child].append(normed[parent][row])
            inputs[parent].append(mean_to(normed[child], row, normed[parent].shape[0]))
        return {name: h[name] + update(torch.cat(inputs[name], -1)) for name, update in self.updates.items()}


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

    def forward(self, batch: InstanceBatch) -> Memory:
        """Embed an instance batch.

        Shapes:
            Returns by node type (n, d).
        """
        h = {name: layer(self._encoded(name, batch.nodes[name].x)) for name, layer in self.inputs.items()}
        edges = {name: replace(own, x=self._encoded(name, own.x)) for name, own in batch.edges.items()}
        for block in self.blocks:
            h = block(h, replace(batch, edges=edges))
        return Memory(h, {name: nodes.first for name, nodes in batch.nodes.items()}, batch.edges)

    def _encoded(self, name: str, x: Tensor) -> Tensor:
        encoded: Tensor = self.series[name](x) if name in self.series else x
        return encoded


class _LightRound(nn.Module):
    """Messages between jobs and resources along frontier pairs, and with the system vector."""

    def __init__(self, names: list[str], arriving: dict[str, int], width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in names})
        self.updates = nn.ModuleDict(
            {name: mlp((2 + arriving[name]) * width, width, width) for name in names}
        )
        self.system_norm = nn.LayerNorm(width)
        self.system_update = mlp((1 + 2 * len(names)) * width, width, width)

    def forward(
        self,
        h: dict[str, Tensor],
        z: Tensor,
        batch: DecisionBatch,
        pairs: list[tuple[str, str, Edges]],
    ) -> tuple[dict[str, Tensor], Tensor]:
        """New embeddings of the upper nodes by type (n, d), and of the system (B, d)."""
        normed = {name: norm(h[name]) for name, norm in self.norms.items()}
        system = self.system_norm(z)
        inputs = {name: [x, system[batch.nodes[name].graph]] for name, x in normed.items()}
        for source, target, edges in pairs:
            forwards = normed[source][edges.source] + edges.x
            backwards = normed[target][edges.target] + edges.x
            inputs[target].append(mean_to(forwards, edges.target, normed[target].shape[0]))
            inputs[source].append(mean_to(backwards, edges.source, normed[source].shape[0]))
        h = {name: h[name] + update(torch.cat(inputs[name], -1)) for name, update in self.updates.items()}
        pooled = [pool(x, batch.nodes[name].graph, batch.num_graphs) for name, x in normed.items()]
        return h, z + self.system_update(torch.cat([system, *pooled], -1))


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
        # A frontier edge (job -> task) and a deep edge (task -> resource) compose to a (job, resource) pair.
        self.pairs = [
            (frontier, source, edge.name, edge.target)
            for frontier, source, task in self.frontiers
            for edge in deep_edges(schema, static_only=static_only)
            if edge.source == task and edge.target in arriving
        ]
        self.pair_maps = nn.ModuleDict()
        for frontier, source, name, target in self.pairs:
            arriving[source] += 1
            arriving[target] += 1
            columns = network_columns(schema.edge(name).features)
            self.pair_maps[f"{frontier}_{name}"] = nn.Linear(len(columns) + width, width)
        self.inputs = nn.ModuleDict()
        for node in upper:
            columns = network_columns(node.features)
            self.inputs[node.name] = mlp(len(columns) + (1 + extra[node.name]) * width, width, width)
        system_columns = network_columns(schema.node(self.system_name).features)
        self.system_input = nn.Linear(len(system_columns), width)
        names = [node.name for node in upper]
        self.rounds = nn.ModuleList(_LightRound(names, arriving, width) for _ in range(rounds))

    def forward(self, memory: Memory, batch: DecisionBatch) -> tuple[dict[str, Tensor], Tensor]:
        """Embeddings of the upper nodes by type (n, d), and of the system (B, d)."""
        h = {}
        for name, layer in self.inputs.items():
            x = batch.nodes[name].x
            parts = [x, memory.embedding[name][batch.memory[name]]]
            for frontier, source, task in self.frontiers:
                if source == name:
                    edges = batch.frontier[frontier]
                    parts.append(mean_to(memory.embedding[task][edges.target], edges.source, x.shape[0]))
            h[name] = layer(torch.cat(parts, -1))
        z = self.system_input(batch.nodes[self.system_name].x)
        pairs = [self._compose(memory, batch, *pair) for pair in self.pairs]
        for light_round in self.rounds:
            h, z = light_round(h, z, batch, pairs)
        return h, z

    def _compose(
        self, memory: Memory, batch: DecisionBatch, frontier: str, source: str, name: str, target: str
    ) -> tuple[str, str, Edges]:
        """Pairs of upper nodes joined by a frontier task and an edge of it.

        The edges of a task are contiguous and in the order of tasks (static ones are written that way, others sorted), so the
        edges of the frontier tasks are found by counting.
        """
        task = next(task for edge, _, task in self.frontiers if edge == frontier)
        ends, static = batch.frontier[frontier], memory.edges[name]
        degree = torch.bincount(static.source, minlength=memory.embedding[task].shape[0])
        offset = torch.cumsum(degree, 0) - degree
        repeats = degree[ends.target]  # (frontier edges,)
        row = torch.repeat_interleave(torch.arange(repeats.numel(), device=repeats.device), repeats)
        within = torch.arange(row.numel(), device=row.device) - (torch.cumsum(repeats, 0) - repeats)[row]
        edge = offset[ends.target][row] + within  # (pairs,) row of the static edge
        own = ends.source[row]
        # resource rows of the instance batch, shifted to this batch's rows of the same graph
        graph = batch.nodes[source].graph[own]
        shift = batch.nodes[target].first - batch.memory[target][batch.nodes[target].first]  # (B,)
        resource = static.target[edge] + shift[graph]
        features = torch.cat([static.x[edge], memory.embedding[task][ends.target][row]], -1)
        return source, target, Edges(own, resource, self.pair_maps[f"{frontier}_{name}"](features))
