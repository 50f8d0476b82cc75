"""The temporal encoder: a small transformer over the time series among a node's or an edge's features.

A schema marks columns that hold one quantity at successive times (`Feature.series`). What the transformer makes of
them takes their place, so that the rest of the encoder sees one embedding of the outlook instead of a row of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from makespan.agents.batch import network_columns
from makespan.envs.core.graph import EdgeType, Feature, NodeType, series_of

HEADS: Final = 2

_HASH_SEED: Final = 0  # of the multipliers that tell rows apart; any will do, as collisions are looked for


class TemporalEncoder(nn.Module):
    """Replaces the time series among the columns of a feature matrix by their embedding.

    The step t of all series of a type is one token, with a learnt embedding of t; a layer of self-attention (Vaswani et
    al., 2017) and the mean over time follow. Rows with equal series, such as one forecast that many states share, are
    encoded once.

    Args:
        features: Of the type, of which the network's columns are read.
        width: Size of the embedding.
        static_only: Whether static features alone are read.

    Attributes:
        size: Columns of what comes out: those of no series, then the embedding.
    """

    def __init__(self, features: tuple[Feature, ...], width: int, *, static_only: bool) -> None:
        super().__init__()
        read = tuple(features[column] for column in network_columns(features, static_only=static_only))
        series = series_of(read)  # (channels, T) columns
        self.columns = series.T.tolist()  # T lists of channels
        self.plain = [column for column in range(len(read)) if column not in set(series.ravel().tolist())]
        self.size = len(self.plain) + width
        self.token = nn.Linear(series.shape[0], width)
        self.position = nn.Parameter(torch.zeros(series.shape[1], width))
        nn.init.normal_(self.position, std=0.1)
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.update = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Encode rows.

        Shapes:
            x: (n, F). Returns (n, size).
        """
        series = x[:, self.columns]  # (n, T, channels)
        first, row = _distinct(series)
        tokens = self.token(series[first]) + self.position
        seen = self.norms[0](tokens)
        tokens = tokens + self.attention(seen, seen, seen, need_weights=False)[0]
        embedding = (tokens + self.update(self.norms[1](tokens))).mean(dim=1)
        return torch.cat([x[:, self.plain], embedding[row]], dim=-1)


def temporal_encoders(
    types: Sequence[NodeType | EdgeType], width: int, *, static_only: bool
) -> dict[str, TemporalEncoder]:
    """A temporal encoder for each type that has series among the features read; none if `width` is 0."""
    encoders = {}
    for part in types:
        read = [part.features[column] for column in network_columns(part.features, static_only=static_only)]
        if width and any(feature.series for feature in read):
            encoders[part.name] = TemporalEncoder(part.features, width, static_only=static_only)
    return encoders


def _distinct(x: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers (u,) of the first row of each kind, and for each row (n,) which kind it is."""
    words = x.detach().reshape(len(x), -1).contiguous().numpy().view(np.int32).astype(np.int64)
    multipliers = np.random.default_rng(_HASH_SEED).integers(1, 2**62, words.shape[1]) | 1
    _, first, row = np.unique(words @ multipliers, return_index=True, return_inverse=True)
    if not np.array_equal(words[first][row], words):  # a collision of hashes
        first = row = np.arange(len(x))
    return torch.from_numpy(first), torch.from_numpy(row)
