"""Decision graphs as `HeteroData`: what PyTorch Geometric makes of them agrees with the observation."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.nn import HeteroConv, SAGEConv
from torch_geometric.transforms import ToUndirected

import makespan  # noqa: F401  # registers the ids
from makespan.agents.hetero import hetero_data

IDS = ("makespan/JobShop-v0", "makespan/BlockingJobShop-v0", "makespan/SoC-v0", "makespan/UAMFleet-v0")


def played(env_id: str, steps: int) -> tuple[Any, dict[str, np.ndarray]]:
    """An environment's schema, and what it shows after some random steps."""
    env = gymnasium.make(env_id)
    observation, info = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(steps):
        observation, _, ended, _, info = env.step(env.action_space.sample(info["action_mask"]))
        assert not ended
    return env.unwrapped.schema, observation  # type: ignore[attr-defined]


@pytest.mark.parametrize("env_id", IDS)
def test_graphs_are_whole_and_valid(env_id: str) -> None:
    """Counts, edges and candidates are those of the observation, indices stay inside, raw columns are gone."""
    schema, observation = played(env_id, 5)
    data = hetero_data(schema, observation)
    assert data.validate()
    for node in schema.nodes:
        assert data[node.name].x.shape[1] == sum(not feature.raw for feature in node.features)
    for edge in schema.edges:
        kind = edge.source, edge.name, edge.target
        assert data[kind].edge_index.shape[1] == (observation[f"{edge.name}_index"][0] >= 0).sum()
    allowed = np.flatnonzero(observation["action_mask"])
    assert data["candidate"].action.tolist() == allowed.tolist()
    assert data["candidate"].x.shape[1] == sum(not feature.raw for feature in schema.candidates.features)
    ends = sum(index.shape[1] for kind, index in data.edge_index_dict.items() if kind[0] == "candidate")
    assert ends == (observation["candidate_index"][allowed] >= 0).sum()


@pytest.mark.parametrize("env_id", IDS)
def test_a_network_of_pyg_scores_candidates(env_id: str) -> None:
    """Two collated graphs pass a heterogeneous convolution that gives each candidate of each graph a score."""
    schema, first = played(env_id, 2)
    graphs = [hetero_data(schema, observation) for observation in (first, played(env_id, 6)[1])]
    batch = ToUndirected()(Batch.from_data_list(graphs))
    layer = HeteroConv({kind: SAGEConv((-1, -1), 8) for kind in batch.edge_types})
    scores = layer(batch.x_dict, batch.edge_index_dict)["candidate"]
    assert scores.shape == (sum(len(graph["candidate"].action) for graph in graphs), 8)
    assert torch.isfinite(scores).all()
    assert batch["candidate"].batch.bincount().tolist() == [
        len(graph["candidate"].action) for graph in graphs
    ]
