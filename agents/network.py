"""The candidate-scoring actor-critic over the decision graph."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from makespan.agents.batch import (
    Arrays,
    DecisionBatch,
    InstanceBatch,
    Wanted,
    changing_parts,
    network_columns,
)
from makespan.agents.config import NetworkConfig
from makespan.agents.encoder import DeepEncoder, LightEncoder, Memory, Mlp
from makespan.agents.messages import pool
from makespan.agents.reader import GraphReader
from makespan.agents.temporal import SeriesTable
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
        self.reader = GraphReader(schema, static_only=config.encode == "instance")
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
        self.candidate_input = Mlp(len(columns) + len(self.points_at) * width, hidden, width)
        self.rival_norm = nn.LayerNorm(width)
        self.rival_update = Mlp(4 * width, hidden, width)
        self.score = nn.Sequential(nn.LayerNorm(width), Mlp(width, hidden, 1))
        self.value = nn.Sequential(nn.LayerNorm(width), Mlp(width, hidden, 1))
        self.critic_input = nn.Linear(len(schema.critic_features), width) if schema.critic_features else None
        self.dropout = nn.Dropout(config.dropout)

    def encode(
        self,
        batch: InstanceBatch,
        wanted: Mapping[str, Wanted] | None = None,
        known: Mapping[str, SeriesTable] | None = None,
    ) -> Memory:
        """Embed whole graphs; reusable for every decision of an episode if the network encodes per instance.

        Args:
            batch: Whole graphs.
            wanted: Of the decisions that will read the memory, if they are known already; others must not read it then.
            known: Time series encoded so far with these weights, by type; written.
        """
        memory: Memory = self.deep(batch, wanted, known)
        return memory

    def decide(self, memory: Memory, batch: DecisionBatch) -> tuple[Tensor, Tensor]:
        """Logits (C,) of the allowed candidates and values (B,) of the decisions."""
        logits, z = self.score_candidates(memory, batch)
        if self.critic_input is not None and batch.critic_x is not None:
            z = z + self.critic_input(batch.critic_x)
        values: Tensor = self.value(z).squeeze(-1)
        return logits, values

    def score_candidates(self, memory: Memory, batch: DecisionBatch) -> tuple[Tensor, Tensor]:
        """Logits (C,) of the allowed candidates, and the system vectors (B, d)."""
        h, z = self.light(memory, batch)
        parts = [batch.candidate_x]
        for name in self.points_at:
            own = batch.candidate_nodes[name]
            row = own.row if own.all_point else own.row.clamp(min=0)
            x = h[name].index_select(0, row) if name in h else memory.look_up(name, row)
            parts.append(x if own.all_point else torch.where((own.row >= 0).unsqueeze(-1), x, 0.0))
        x = torch.cat(parts, -1)
        c = self.candidate_input(self.dropout(x) if self.training else x)  # (C, d)
        normed = self.rival_norm(c)
        rivals = torch.cat([pool(normed, batch.candidates), z], -1)
        c = c + self.rival_update(normed, rivals, batch.candidate_graph)
        logits: Tensor = self.score(c).squeeze(-1)
        return logits, z

    def forward(self, observation: Arrays) -> tuple[Tensor, Tensor, DecisionBatch]:
        """Logits (C,), values (B,) and the decisions they belong to."""
        instances, decisions = self.reader.both(observation)
        logits, values = self.decide(self.encode(instances, decisions.wanted), decisions)
        return logits, values, decisions


def log_probabilities(logits: Tensor, batch: DecisionBatch) -> Tensor:
    """Log-softmax over each decision's candidates: (C,) -> (C,)."""
    top = torch.full((batch.num_graphs,), -torch.inf, dtype=logits.dtype, device=logits.device)
    top = top.scatter_reduce(0, batch.candidate_graph, logits.detach(), "amax")
    shifted = logits - top[batch.candidate_graph]
    total = torch.zeros_like(top).index_add(0, batch.candidate_graph, shifted.exp())
    return shifted - total.log()[batch.candidate_graph]
