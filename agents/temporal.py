"""The temporal encoder: a small transformer over the time series among a node's or an edge's features.

A schema marks columns that hold one quantity at successive times (`Feature.series`). What the transformer makes of
them takes their place, so that the rest of the encoder sees one embedding of the outlook instead of a row of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from makespan.agents.batch import network_columns
from makespan.agents.batch_kernels import number_rows
from makespan.agents.messages import Side
from makespan.envs.core.graph import EdgeType, Feature, NodeType, series_of

HEADS: Final = 2

KEPT: Final = 1 << 14  # series that a table keeps before it begins anew


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
        plain = np.setdiff1d(np.arange(len(read)), series)
        self.series = series.T.ravel()  # T times the channels
        self.plain: Tensor
        self.register_buffer("plain", torch.from_numpy(plain), persistent=False)
        self.span = (int(plain[0]), int(plain[-1]) + 1) if len(plain) else (0, 0)
        self.size = len(plain) + width
        self.token = nn.Linear(series.shape[0], width)
        self.position = nn.Parameter(torch.zeros(series.shape[1], width))
        nn.init.normal_(self.position, std=0.1)
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.update = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, known: SeriesTable | None = None) -> SeriesRows:
        """Encode rows.

        Args:
            x: The rows.
            known: Series encoded before, with the present weights; those that are new are added.

        Shapes:
            x: (n, F). Returns the embedding of n rows.
        """
        table = SeriesTable() if known is None else known
        number = table.look_up(x, self.series, self._embed)
        first, last = self.span
        plain = x[:, first:last] if last - first == len(self.plain) else x.index_select(1, self.plain)
        return SeriesRows(plain, table.embedding, number)

    def _embed(self, series: Tensor) -> Tensor:
        """Embeddings (u, width) of series (u, T channels)."""
        tokens = self.token(series.view(len(series), len(self.position), -1)) + self.position
        seen = self.norms[0](tokens)
        tokens = tokens + self.attention(seen, seen, seen, need_weights=False)[0]
        embedding: Tensor = (tokens + self.update(self.norms[1](tokens))).mean(dim=1)
        return embedding


@dataclass(frozen=True, slots=True)
class SeriesRows:
    """Encoded rows: columns (n, p) of no series, then embeddings (u, d) of the series, row `number` (n,) each."""

    plain: Tensor
    embedding: Tensor
    number: Tensor

    def rows(self) -> Tensor:
        """The rows (n, p + d)."""
        return torch.cat([self.plain, self.embedding.index_select(0, self.number)], dim=-1)

    def mean(self, side: Side) -> Tensor:
        """Means (m, p + d) over the edges of each node of a side, the rows being edges."""
        parts = [side.mean_edges(self.plain), side.mean_looked_up(self.embedding, self.number)]
        return torch.cat(parts, dim=-1)


class SeriesTable:
    """Time series with their embeddings, so that equal ones are encoded once.

    Attributes:
        embedding: (u, d) of the series known.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.embedding = torch.zeros(0, 0)
        self._count = 0
        self._known = np.zeros((0, 0), np.int32)  # bit by bit, as equal is what is encoded alike
        self._table = np.zeros(0, np.int64)

    def look_up(self, x: Tensor, columns: NDArray[np.int64], embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Numbers (n,) of the series in some columns (w,) of rows (n, F), of which `embed` encodes those that are new."""
        if self._count > KEPT:
            self._clear()
        before = self._count
        self._reserve(before + len(x), len(columns))
        words = x.numpy().view(np.int32)
        number, self._count = number_rows(words, columns, self._known, before, self._table)
        if self._count > before:
            fresh = embed(torch.from_numpy(self._known[before : self._count].view(np.float32)))
            self.embedding = torch.cat([self.embedding, fresh]) if before else fresh
        return torch.from_numpy(number)

    def _reserve(self, rows: int, width: int) -> None:
        if 2 * rows <= self._table.size:
            return
        size = 2 << (2 * rows - 1).bit_length()
        known = self._known[: self._count]
        self._known, self._table = np.zeros((size // 2, width), np.int32), np.full(size, -1)
        if len(known):
            number_rows(known, np.arange(width), self._known, 0, self._table)


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
