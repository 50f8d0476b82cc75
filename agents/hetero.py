"""Decision graphs as PyTorch Geometric's `HeteroData`, for networks of your own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from makespan.envs.core.graph import Feature, GraphSchema, Observation


def hetero_data(schema: GraphSchema, observation: Observation) -> HeteroData:
    """One unbatched observation as a heterogeneous graph, without padding; PyG's loaders and `Batch` collate them.

    Node types are those of the schema, and `candidate`: the allowed actions, with their numbers in
    `data["candidate"].action` (C,). Beside the schema's edge types, (child, "in", parent) leads up to the system, and
    ("candidate", "at", type) to each node a candidate points at, under "at_0", "at_1" ... by place where a
    type is pointed at twice. Columns that only rules read (`Feature.raw`) are left out.

    Args:
        schema: The environment's, `env.unwrapped.schema`.
        observation: As `reset` and `step` give it.

    Returns:
        `x` (n, F) float32 of each node type, `edge_index` (2, E) int64 of each edge type, and `edge_attr` (E, F) float32 where
        edges have features; `critic_x` (1, F) of the whole, for critics only, in stochastic worlds.
    """
    ragged, data = schema.ragged(observation), HeteroData()
    system = next(node.name for node in schema.nodes if node.level == "system")
    for node in schema.nodes:
        data[node.name].x = _features(ragged[f"{node.name}_x"], node.features)
        if node.parent is not None:
            parent = torch.from_numpy(ragged[f"{node.name}_parent"]).long()
            data[node.name, "in", node.parent].edge_index = _enumerated(parent)
        elif node.level != "system":
            data[node.name, "in", system].edge_index = _enumerated(
                torch.zeros(data[node.name].num_nodes).long()
            )
    for edge in schema.edges:
        kind = edge.source, edge.name, edge.target
        data[kind].edge_index = torch.from_numpy(ragged[f"{edge.name}_index"]).long()
        if edge.features:
            data[kind].edge_attr = _features(ragged[f"{edge.name}_x"], edge.features)
    candidates, pointed = data["candidate"], schema.candidates.points_at
    candidates.x = _features(ragged["candidate_x"], schema.candidates.features)
    candidates.action = torch.from_numpy(ragged["action"])
    for place, name in enumerate(pointed):
        row = torch.from_numpy(ragged["candidate_index"][:, place]).long()
        points = torch.nonzero(row >= 0)[:, 0]  # a wait concerns no node
        relation = "at" if pointed.count(name) == 1 else f"at_{place}"
        data["candidate", relation, name].edge_index = torch.stack([points, row[points]])
    if schema.critic_features:
        data.critic_x = torch.from_numpy(ragged["critic_x"])[None]
    return data


def _enumerated(targets: Tensor) -> Tensor:
    """Edges (2, n) from node i to `targets[i]` (n,)."""
    return torch.stack([torch.arange(len(targets)), targets])


def _features(x: np.ndarray, features: tuple[Feature, ...]) -> Tensor:
    """The columns that networks read."""
    return torch.from_numpy(x[:, [not feature.raw for feature in features]])
