"""Sums along the edges of ragged graphs: the only operations of the network that mix rows.

What arrives at a node is added up in one pass over a table of numbers that was made with the batch, and the gradient is
the same sum along the edges turned round; neither writes a row an edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from makespan.agents.batch_kernels import grouped


@dataclass(frozen=True, slots=True)
class Spans:
    """Rows of graphs, one graph after the other.

    Attributes:
        graph: (n,) graph of each row.
        first: (B,) number of the first row of each graph.
        counts: (B,) rows of each graph.
        each: Rows of every graph where all have equally many, at least one; None elsewhere.
    """

    graph: Tensor
    first: Tensor
    counts: Tensor
    each: int | None

    @classmethod
    def of(cls, counts: NDArray[np.int64]) -> Spans:
        """The spans of graphs with so many rows (B,)."""
        each = int(counts[0]) if len(counts) else 0
        even = each > 0 and bool((counts == each).all())
        if even:
            graph, first = _even_spans(len(counts), each)
        else:
            graph, first = np.repeat(np.arange(len(counts)), counts), np.cumsum(counts) - counts
        graphs, begins, sizes = map(torch.from_numpy, (graph, first, counts))
        return cls(graphs, begins, sizes, each if even else None)


@lru_cache(maxsize=64)
def _even_spans(num_graphs: int, each: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Graphs and first rows; arrays, as tensors that inference makes are of no use to training."""
    graph = np.arange(num_graphs)
    return graph.repeat(each), graph * each


def pool(x: Tensor, spans: Spans) -> Tensor:
    """Mean and maximum of rows by graph, 0 for a graph without any: (n, d) -> (B, 2 d)."""
    if spans.each is not None:
        table = x.view(-1, spans.each, x.shape[-1])
        return torch.cat([table.mean(1), table.amax(1)], -1)
    both = [torch.segment_reduce(x, how, lengths=spans.counts, axis=0) for how in ("mean", "max")]
    return torch.where((spans.counts > 0).unsqueeze(-1), torch.cat(both, -1), 0.0)


@dataclass(frozen=True, slots=True)
class Side:
    """Edges as the nodes at one of their ends have them, node after node.

    Attributes:
        own: (E,) node at this end of each edge, in the order of the edges.
        edge: (E,) number of the edge, node after node like all that follows.
        other: (E,) node at the other end.
        share: (E,) 1 / edges of the node at this end.
        first: (n,) where the edges of each node begin.
        some: (n, 1) 1 if the node has any edge, 0 if it has none; None if all have.
    """

    own: Tensor
    edge: Tensor
    other: Tensor
    share: Tensor
    first: Tensor
    some: Tensor | None

    @classmethod
    def of(cls, own: NDArray[np.int64], other: NDArray[np.int64], size: int) -> Side:
        """The side of `size` nodes, of which `own` (E,) are at this end of the edges and `other` (E,) at that."""
        edge, there, share, first, some, all_have = grouped(own, other, size)
        tensors = map(torch.from_numpy, (own, edge, there, share, first, some))
        own_rows, edges, others, shares, begins, flags = tensors
        return cls(own_rows, edges, others, shares, begins, None if all_have else flags)

    def mean_edges(self, x: Tensor) -> Tensor:
        """Mean of each node's edges, zero where it has none: (E, d) -> (n, d)."""
        if not _differentiable(x):
            return F.embedding_bag(self.edge, x, self.first, mode="sum", per_sample_weights=self.share)
        mean: Tensor = _EdgeMean.apply(x, self)  # type: ignore[no-untyped-call]
        return mean

    def mean_looked_up(self, table: Tensor, number: Tensor) -> Tensor:
        """Mean over each node's edges of the rows `number` (E,) of a table: (u, d) -> (n, d), zero where none are."""
        rows = number.index_select(0, self.edge)
        return F.embedding_bag(rows, table, self.first, mode="sum", per_sample_weights=self.share)

    def linear(self, layer: nn.Module, means: Tensor) -> Tensor:
        """Mean over each node's edges of a linear layer, from their mean features: (n, F) -> (n, d), zero where none are."""
        mapped: Tensor = layer(means)
        return mapped if self.some is None else mapped * self.some


@dataclass(frozen=True, slots=True)
class Relation:
    """Edges between two tables of nodes, which are their sources and their targets, for means in both directions."""

    out_of: Side
    into: Side

    @classmethod
    def of(
        cls, source: NDArray[np.int64], target: NDArray[np.int64], num_sources: int, num_targets: int
    ) -> Relation:
        """The relation of edges (E,) between tables of so many rows."""
        return cls(Side.of(source, target, num_sources), Side.of(target, source, num_targets))

    def to_targets(self, x: Tensor) -> Tensor:
        """Mean of the sources of each target, zero where it has none: (sources, d) -> (targets, d)."""
        return _mean_others(x, self.into, self.out_of)

    def to_sources(self, x: Tensor) -> Tensor:
        """Mean of the targets of each source, zero where it has none: (targets, d) -> (sources, d)."""
        return _mean_others(x, self.out_of, self.into)


def _mean_others(x: Tensor, side: Side, back: Side) -> Tensor:
    if not _differentiable(x):
        return F.embedding_bag(side.other, x, side.first, mode="sum", per_sample_weights=side.share)
    mean: Tensor = _OtherMean.apply(x, side, back)  # type: ignore[no-untyped-call]
    return mean


def _differentiable(x: Tensor) -> bool:
    return x.requires_grad and torch.is_grad_enabled()


# PyTorch's own gradient of `embedding_bag` takes three times as long as these.


class _EdgeMean(torch.autograd.Function):
    """As `Side.mean_edges`: an edge has its share of the gradient of its node."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, side: Side) -> Tensor:
        ctx.side = side
        return F.embedding_bag(side.edge, x, side.first, mode="sum", per_sample_weights=side.share)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        side = ctx.side
        share = torch.empty_like(side.share).index_copy_(0, side.edge, side.share)
        return grads[0].index_select(0, side.own) * share.unsqueeze(-1), None


class _OtherMean(torch.autograd.Function):
    """As `Relation.to_targets` or `to_sources`: the gradient is summed along the edges turned round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, side: Side, back: Side) -> Tensor:
        ctx.side, ctx.back = side, back
        return F.embedding_bag(side.other, x, side.first, mode="sum", per_sample_weights=side.share)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        side, back = ctx.side, ctx.back
        share = torch.empty_like(side.share).index_copy_(0, side.edge, side.share)[back.edge]
        grad = F.embedding_bag(
            back.other, grads[0].contiguous(), back.first, mode="sum", per_sample_weights=share
        )
        return grad, None, None
