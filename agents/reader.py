"""Padded observations read into ragged batches.

Where nodes come and go (`NodeType.sparse`), rows that are empty are left out and the others renumbered; such graphs
are encoded once per decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from makespan.agents.batch import (
    Arrays,
    DecisionBatch,
    Edges,
    Encoded,
    InstanceBatch,
    Nodes,
    Pointers,
    composed_edges,
    deep_edges,
    frontier_edges,
    leads_of,
    network_columns,
    pairs_of,
    parents_of,
    upper_types,
    wanted_of,
)
from makespan.agents.batch_kernels import first_rows, marked_rows, pointed_rows, take, used_edges
from makespan.agents.messages import Spans
from makespan.envs.core.graph import EdgeType, Feature, GraphSchema, NodeType

_SAME: Final = np.zeros((0, 0), np.int64)  # numbers of rows that keep theirs

Columns = NDArray[np.int64]


class GraphReader:
    """Makes the batches that a network reads of observations.

    Args:
        schema: The family's decision graph.
        static_only: Whether the deep encoder reads static node features alone, so that decisions may share an encoding.
    """

    def __init__(self, schema: GraphSchema, *, static_only: bool) -> None:
        self.schema = schema
        self.static_only = static_only
        self._whole = [
            (node, _columns(node.features, static_only=static_only))
            for node in schema.nodes
            if node.level != "system"
        ]
        self._upper = [(node, _columns(node.features)) for node in upper_types(schema)]
        self._deep = [(edge, _columns(edge.features)) for edge in deep_edges(schema, static_only=static_only)]
        self._frontier = [(edge, _columns(edge.features)) for edge in frontier_edges(schema)]
        self._composed = composed_edges(schema, static_only=static_only)
        self._candidate = _columns(schema.candidates.features)

    def instances(self, observation: Arrays) -> InstanceBatch:
        """The whole graphs of a batch of observations (leading axis B)."""
        return self._instances(observation, self._places(observation))

    def decisions(
        self, observation: Arrays, encoded: Encoded, memory_graph: Tensor | None = None
    ) -> DecisionBatch:
        """The decisions of a batch of observations (leading axis B).

        Args:
            observation: Batched observations.
            encoded: What they point into.
            memory_graph: (B,) graph there of each decision; default: one each, in order.
        """
        return self._decisions(observation, self._places(observation), encoded, memory_graph)

    def both(self, observation: Arrays) -> tuple[InstanceBatch, DecisionBatch]:
        """Both parts of a batch of observations (leading axis B), one graph a decision."""
        places = self._places(observation)
        instances = self._instances(observation, places)
        return instances, self._decisions(observation, places, instances, None)

    def _places(self, observation: Arrays) -> dict[str, _Places]:
        return {node.name: _Places.of(node, observation) for node in self.schema.nodes}

    def _instances(self, observation: Arrays, places: dict[str, _Places]) -> InstanceBatch:
        nodes = {node.name: _nodes(node, columns, observation, places) for node, columns in self._whole}
        first = {name: own.first for name, own in nodes.items()}
        edges = {edge.name: _edges(edge, columns, observation, places, first) for edge, columns in self._deep}
        parents = {}
        for name, parent in parents_of(self.schema).items():
            parent_of = _flat(observation[f"{name}_parent"]).reshape(-1, 1)
            rows, numbers = places[name].rows(len(parent_of) // len(first[name])), places[parent].numbers
            row, _ = pointed_rows(
                parent_of, rows, 0, numbers, nodes[name].graph.numpy(), first[parent].numpy()
            )
            parents[name] = torch.from_numpy(row)
        return InstanceBatch.of(self.schema, nodes, edges, parents, len(observation["action_mask"]))

    def _decisions(
        self,
        observation: Arrays,
        places: dict[str, _Places],
        encoded: Encoded,
        memory_graph: Tensor | None,
    ) -> DecisionBatch:
        schema, there, memory = self.schema, encoded.first, {}
        nodes = {node.name: _nodes(node, columns, observation, places) for node, columns in self._upper}
        first = {name: own.first for name, own in nodes.items()}
        if memory_graph is not None:
            there = {name: rows[memory_graph] for name, rows in there.items()}
        shift = {name: there[name] - rows for name, rows in first.items() if name in there}
        if memory_graph is not None:
            for name, own in shift.items():
                memory[name] = torch.arange(len(nodes[name].x)) + own[nodes[name].graph]
        first = there | first
        frontier = {
            edge.name: _edges(edge, columns, observation, places, first) for edge, columns in self._frontier
        }
        mask = np.asarray(observation["action_mask"])
        rows, counts = marked_rows(mask)
        candidates = Spans.of(counts)
        index, graph = _flat(observation["candidate_index"]), candidates.graph.numpy()
        pointed = {}
        for column, name in enumerate(schema.candidates.points_at):
            row, all_point = pointed_rows(
                index, rows, column, places[name].numbers, graph, first[name].numpy()
            )
            pointed[name] = Pointers(torch.from_numpy(row), all_point)
        wanted = {}
        if isinstance(encoded, InstanceBatch) and not self.static_only:
            wanted = wanted_of(schema, encoded, pointed, frontier)
        critic = torch.from_numpy(np.asarray(observation["critic_x"])) if schema.critic_features else None
        return DecisionBatch(
            nodes=nodes,
            memory=memory,
            frontier=frontier,
            leads=leads_of(schema, frontier, nodes),
            pairs=pairs_of(self._composed, frontier, nodes, encoded, shift),
            candidate_x=torch.from_numpy(take(_flat(observation["candidate_x"]), rows, self._candidate)),
            candidate_nodes=pointed,
            candidates=candidates,
            candidate_slot=torch.from_numpy(rows % mask.shape[1]),
            critic_x=critic,
            wanted=wanted,
            num_graphs=len(mask),
        )


def _columns(features: tuple[Feature, ...], *, static_only: bool = False) -> Columns:
    return np.array(network_columns(features, static_only=static_only), np.int64)


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """(B, n, ...) -> (B n, ...)."""
    array = np.asarray(array)
    return array.reshape(-1, *array.shape[2:])


@dataclass(frozen=True, slots=True)
class _Places:
    """Which rows of a padded node type are there, in each graph.

    Attributes:
        spans: Of the nodes that are there.
        present: (m,) numbers of those rows, all graphs' rows numbered on; None where they are the first ones.
        numbers: (B, n + 1) new number of each row, -1 for empty rows and for the pointer -1; (0, 0) where rows keep theirs.
    """

    spans: Spans
    present: NDArray[np.int64] | None
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, node: NodeType, observation: Arrays) -> _Places:
        counts = np.asarray(observation[f"{node.name}_count"])[:, 0].astype(np.int64)
        if not node.sparse:
            return cls(Spans.of(counts), None, _SAME)
        mask = np.asarray(observation[f"{node.name}_mask"]) > 0
        present = (mask & (np.arange(mask.shape[1]) < counts[:, None])).astype(np.int8)
        numbers = np.full((len(mask), mask.shape[1] + 1), -1)
        numbers[:, :-1] = np.where(present > 0, np.cumsum(present, axis=1) - 1, -1)
        rows, counts = marked_rows(present)
        return cls(Spans.of(counts), rows, numbers)

    def rows(self, height: int) -> NDArray[np.int64]:
        """(m,) numbers of the rows that are there, in graphs of some height."""
        if self.present is not None:
            return self.present
        rows: NDArray[np.int64] = first_rows(self.spans.counts.numpy(), height)
        return rows


def _nodes(node: NodeType, columns: Columns, observation: Arrays, places: dict[str, _Places]) -> Nodes:
    own, x = places[node.name], np.asarray(observation[f"{node.name}_x"])
    return Nodes(torch.from_numpy(take(_flat(x), own.rows(x.shape[1]), columns)), own.spans)


def _edges(
    edge: EdgeType,
    columns: Columns,
    observation: Arrays,
    places: dict[str, _Places],
    first: dict[str, Tensor],
) -> Edges:
    """The used edges of a type, in the order of their sources where that order is not the given one already."""
    index = np.asarray(observation[f"{edge.name}_index"])
    numbers = places[edge.source].numbers, places[edge.target].numbers
    begins = first[edge.source].numpy(), first[edge.target].numpy()
    # slots of dynamic edges are filled in any order
    rows, source, target = used_edges(index, *numbers, *begins, not edge.static)
    x = np.zeros((rows.size, 0), np.float32)
    if columns.size:
        x = take(_flat(observation[f"{edge.name}_x"]), rows, columns)
    return Edges(*map(torch.from_numpy, (source, target, x)))
