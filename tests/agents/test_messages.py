"""Means along edges and over graphs, against sums written out row by row, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from makespan.agents.messages import Relation, Side, Spans, pool

SOURCE, TARGET = (
    np.array([0, 0, 1, 3, 3, 3]),
    np.array([1, 2, 1, 0, 1, 1]),
)  # source 2 and target 3 have no edge
NUM_SOURCES, NUM_TARGETS = 4, 4


def matrix(rows, columns, num_rows, num_columns):
    """The mean over edges as a dense matrix, edges counted as often as they are there."""
    dense = np.zeros((num_rows, num_columns), np.float32)
    np.add.at(dense, (rows, columns), 1.0)
    return torch.from_numpy(dense / np.maximum(dense.sum(1, keepdims=True), 1.0))


def cases():
    """Name, the mean, the table it is taken of, and the dense matrix of the same mean."""
    relation = Relation.of(SOURCE, TARGET, NUM_SOURCES, NUM_TARGETS)
    edges = np.arange(len(SOURCE))
    number = torch.tensor([2, 0, 0, 1, 2, 2])
    return {
        "to_targets": (relation.to_targets, 4, matrix(TARGET, SOURCE, 4, 4)),
        "to_sources": (relation.to_sources, 4, matrix(SOURCE, TARGET, 4, 4)),
        "edges_of_targets": (relation.into.mean_edges, 6, matrix(TARGET, edges, 4, 6)),
        "edges_of_sources": (relation.out_of.mean_edges, 6, matrix(SOURCE, edges, 4, 6)),
        "looked_up": (
            lambda table: relation.into.mean_looked_up(table, number),
            3,
            matrix(TARGET, number.numpy(), 4, 3),
        ),
    }


@pytest.mark.parametrize("name", cases())
def test_means_along_edges_and_their_gradients(name):
    """Every mean is the product with its dense matrix, and so is its gradient; nodes without edges get zeros."""
    mean, rows, dense = cases()[name]
    torch.manual_seed(0)
    x, weight = torch.randn(rows, 5, requires_grad=True), torch.randn(len(dense), 5)
    torch.testing.assert_close(mean(x), dense @ x)
    (mean(x) * weight).sum().backward()
    torch.testing.assert_close(x.grad, dense.T @ weight)
    with torch.inference_mode():
        torch.testing.assert_close(mean(x.detach()), dense @ x.detach())


def test_linear_layers_are_applied_to_means():
    """The layer of a mean is the mean of the layer, its bias included, and zero where nothing is averaged."""
    layer, x = torch.nn.Linear(5, 3), torch.randn(6, 5)
    for own, other, size in ((TARGET, SOURCE, 4), (TARGET % 2, SOURCE, 2)):
        side = Side.of(own, other, size)
        torch.testing.assert_close(side.linear(layer, side.mean_edges(x)), side.mean_edges(layer(x)))


def test_no_edges_at_all():
    """An empty relation gives zeros, between tables with rows and without."""
    none = np.zeros(0, np.int64)
    assert Relation.of(none, none, 2, 3).to_targets(torch.ones(2, 4)).tolist() == [[0.0] * 4] * 3
    assert Relation.of(none, none, 0, 3).to_targets(torch.ones(0, 4)).tolist() == [[0.0] * 4] * 3
    assert Relation.of(none, none, 2, 0).to_targets(torch.ones(2, 4)).shape == (0, 4)


@pytest.mark.parametrize("counts", [[3, 3, 3], [2, 0, 4, 1], [1], [0, 0]])
def test_pooling_and_its_gradient(counts):
    """Mean and maximum of every graph, zeros for an empty one, whether graphs are of one size or not."""
    torch.manual_seed(0)
    x = torch.randn(sum(counts), 4, requires_grad=True)
    spans = Spans.of(np.array(counts))
    assert spans.graph.tolist() == np.repeat(np.arange(len(counts)), counts).tolist()
    assert spans.first.tolist() == np.cumsum([0, *counts[:-1]]).tolist()
    expected = [
        torch.cat([rows.mean(0), rows.max(0).values]) if len(rows) else torch.zeros(8)
        for rows in x.split(counts)
    ]
    pooled = pool(x, spans)
    torch.testing.assert_close(pooled, torch.stack(expected))
    if len(x):
        weight = torch.randn(len(counts), 8)
        (grad,) = torch.autograd.grad((pooled * weight).sum(), x)
        (wanted,) = torch.autograd.grad((torch.stack(expected) * weight).sum(), x)
        torch.testing.assert_close(grad, wanted)
