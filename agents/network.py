"""The candidate-scoring actor-critic over the decision graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from makespan.agents.batch import (
    Arrays,
    DecisionBatch,
    InstanceBatch,
    changing_parts,
    decision_batch,
    instance_batch,
    network_columns,
)
from makespan.agents.config import NetworkConfig
from makespan.agents.encoder import DeepEncoder, LightEncoder, Memory, mlp, pool
from makespan.agents.typed_config import ConfigError
from makespan.envs.core.graph import GraphSchema


class ActorCritic(nn.Module):
    """Scores each allowed candidate, and values each decision.

    The parameters depend on the schema's features but on no size: weights trained on 6 x 6 shops run on 100 x 20.

    Args:
        schema: The family's decision graph.
        config: Widths and depths; `encode="instance"` lets the deep part see static features once per instance,
            "step" lets it see all features at every decision.
    """

    def __init__(self, schema: GraphSchema, config: NetworkConfig) -> None:
        super().__init__()
        self.schema = schema
        self.config = config
        width, hidden = config.width, config.head_width
        static_only = config.encode == "instance"
        if static_only and (changing := changing_parts(schema)):
            raise ConfigError(
                f"encode: instance; expected step, as {', '.join(changing)} change within an episode"
            )
        self.deep = DeepEncoder(
            schema, width, config.depth, static_only=static_only, temporal=config.temporal
        )
        self.light = LightEncoder(schema, width, config.rounds, static_only=static_only)
        columns = network_columns(schema.candidates.features)
        self.points_at = schema.candidates.points_at
        self.candidate_input = mlp(len(columns) + len(self.points_at) * width, hidden, width)
        self.rival_norm = nn.LayerNorm(width)
        self.rival_update = mlp(4 * width, hidden, width)
        self.score = nn.Sequential(nn.LayerNorm(width), mlp(width, hidden, 1))
        self.value = nn.Sequential(nn.LayerNorm(width), mlp(width, hidden, 1))
        self.critic_input = nn.Linear(len(schema.critic_features), width) if schema.critic_features else None
        self.dropout = nn.Dropout(config.dropout)

    def batch(self, observation: Arrays) -> tuple[InstanceBatch, DecisionBatch]:
        """Both parts of a batch of observations (leading axis B)."""
        instances = self.instances(observation)
        first = {name: nodes.first for name, nodes in instances.nodes.items()}
        return instances, decision_batch(self.schema, observation, first)

    def instances(self, observation: Arrays) -> InstanceBatch:
        """The part of a batch of observations that the deep encoder reads."""
        return instance_batch(self.schema, observation, static_only=self.deep.static_only)

    def encode(self, batch: InstanceBatch) -> Memory:
        """Embed whole graphs; reusable for every decision of an episode if the network encodes per instance."""
        memory: Memory = self.deep(batch)
        return memory

    def decide(self, memory: Memory, batch: DecisionBatch) -> tuple[Tensor, Tensor]:
        """Logits (C,) of the allowed candidates and values (B,) of the decisions."""
        h, z = self.light(memory, batch)
        parts = [batch.candidate_x]
        for name in self.points_at:
            table = h[name] if name in h else memory.embedding[name]
            row = batch.candidate_nodes[name]
            known = (row >= 0).unsqueeze(-1)
            parts.append(torch.where(known, table[row.clamp(min=0)], 0.0))
        c = self.candidate_input(self.dropout(torch.cat(parts, -1)))  # (C, d)
        graph = batch.candidate_graph
        normed = self.rival_norm(c)
        rivals = pool(normed, graph, batch.num_graphs)[graph]
        c = c + self.rival_update(torch.cat([normed, rivals, z[graph]], -1))
        logits: Tensor = self.score(c).squeeze(-1)
        if self.critic_input is not None and batch.critic_x is not None:
            z = z + self.critic_input(batch.critic_x)
        values: Tensor = self.value(z).squeeze(-1)
        return logits, values

    def forward(self, observation: Arrays) -> tuple[Tensor, Tensor, DecisionBatch]:
        """Logits (C,), values (B,) and the decisions they belong to."""
        instances, decisions = self.batch(observation)
        logits, values = self.decide(self.encode(instances), decisions)
        return logits, values, decisions


def log_probabilities(logits: Tensor, batch: DecisionBatch) -> Tensor:
    """Log-softmax over each decision's candidates: (C,) -> (C,)."""
    top = torch.full((batch.num_graphs,), -torch.inf, dtype=logits.dtype, device=logits.device)
    top = top.scatter_reduce(0, batch.candidate_graph, logits.detach(), "amax")
    shifted = logits - top[batch.candidate_graph]
    total = torch.zeros_like(top).index_add(0, batch.candidate_graph, shifted.exp())
    return shifted - total.log()[batch.candidate_graph]
