"""The decision graph: the one form in which every problem is shown to a decision maker.

A `GraphSchema` names a family's node types (in a hierarchy task -> job -> system, with resources beside it), its edge
types and its candidate actions, each with documented features. Everything else follows from it: the Gymnasium
observation space, the padding, the named lookup of features, and the ragged view that graph networks read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError

Observation = Mapping[str, NDArray[Any]]
Level = Literal["task", "job", "resource", "system"]

RAW_LIMIT = float(2**24)  # float32 counts exactly up to here


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a feature matrix.

    Attributes:
        name: Lookup key, unique within its matrix.
        description: What it is, in units; the docs are rendered from it.
        low: Smallest value.
        high: Largest value.
        raw: An exact number for rules (integer times); networks are not fed raw columns.
        static: Constant within an episode, so that an encoder may read it once per instance.
        series: Name of a quantity over time, of which this column is one value; the columns of a series stand in the
            order of time, and all series of a type have the same times, so that an encoder may read them as sequences.
    """

    name: str
    description: str
    low: float = 0.0
    high: float = 100.0
    raw: bool = False
    static: bool = False
    series: str = ""


def series_of(features: Sequence[Feature]) -> NDArray[np.int64]:
    """Columns of the time series among features: (series, T), in their order; (0, 0) if there are none.

    Raises:
        ValueError: The series differ in length.
    """
    columns: dict[str, list[int]] = {}
    for column, feature in enumerate(features):
        if feature.series:
            columns.setdefault(feature.series, []).append(column)
    lengths = {name: len(own) for name, own in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"series: lengths {lengths}; expected one length for all series of a type")
    return np.array(list(columns.values()), np.int64).reshape(len(columns), -1 if columns else 0)


def raw(name: str, description: str) -> Feature:
    """An exact integer column, read by rules only."""
    return Feature(name, description, low=-RAW_LIMIT, high=RAW_LIMIT, raw=True)


@dataclass(frozen=True)
class NodeType:
    """Nodes of one kind: `<name>_x` (max_count, F), `<name>_count` (1,) and, with a parent, `<name>_parent` (max_count,).

    Rows from `<name>_count` on are unused. Where nodes come and go (`sparse`), rows before it may be empty too:
    `<name>_mask` (max_count,) int8 says which are there, and nothing points at an empty row.
    """

    name: str
    max_count: int
    features: tuple[Feature, ...]
    level: Level
    parent: str | None = None
    sparse: bool = False


@dataclass(frozen=True)
class EdgeType:
    """Directed edges `<name>_index` (2, max_count), rows source and target, -1 where unused; `<name>_x` if it has features.

    `acyclic` edges form a DAG; `static` ones are constant within an episode.
    """

    name: str
    source: str
    target: str
    max_count: int
    features: tuple[Feature, ...] = ()
    acyclic: bool = False
    static: bool = True


@dataclass(frozen=True)
class CandidateType:
    """The candidate actions: `candidate_index` (max_count, len(points_at)) and `candidate_x` (max_count, F).

    Rows of candidates that the mask forbids are zero, their pointers -1. A pointer of an allowed candidate may be -1
    too where it concerns no such node (a wait).
    """

    max_count: int
    points_at: tuple[str, ...]
    features: tuple[Feature, ...]


class CandidateView:
    """Named columns of a batch of candidates, for rules: `view["processing_time"]` is (B, A) float64."""

    def __init__(self, schema: GraphSchema, observation: Observation) -> None:
        self._schema = schema
        self._x = observation["candidate_x"]  # (B, A, F)
        self.index = observation["candidate_index"]  # (B, A, k) int32
        self.mask = observation["action_mask"] > 0  # (B, A) bool
        self.observation = observation

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self._x[..., self._schema.action_feature(name)].astype(np.float64)


class GraphSpace(spaces.Dict):
    """The observation space of a decision graph: a Dict of Boxes that knows its `schema`, so that policies need not."""

    def __init__(self, entries: dict[str, spaces.Space[Any]], schema: GraphSchema) -> None:
        super().__init__(entries)
        self.schema = schema


@dataclass(frozen=True)
class GraphSchema:
    """The shape and meaning of a family's decision graph."""

    nodes: tuple[NodeType, ...]
    edges: tuple[EdgeType, ...]
    candidates: CandidateType
    critic_features: tuple[Feature, ...] = ()

    def node(self, name: str) -> NodeType:
        """The node type of that name."""
        return _named("node type", name, {n.name: n for n in self.nodes})

    def edge(self, name: str) -> EdgeType:
        """The edge type of that name."""
        return _named("edge type", name, {e.name: e for e in self.edges})

    def node_feature(self, node: str, name: str) -> int:
        """Column of a feature in `<node>_x`."""
        return _column(f"feature of {node}", name, self.node(node).features)

    def action_feature(self, name: str) -> int:
        """Column of a feature in `candidate_x`."""
        return _column("candidate feature", name, self.candidates.features)

    @cached_property
    def space(self) -> GraphSpace:
        """The Gymnasium space: a Dict of fixed-size Boxes with finite bounds."""
        entries: dict[str, spaces.Space[Any]] = {}
        for node in self.nodes:
            entries[f"{node.name}_x"] = _feature_box(node.max_count, node.features)
            entries[f"{node.name}_count"] = spaces.Box(0, node.max_count, (1,), np.int32)
            if node.parent is not None:
                highest = self.node(node.parent).max_count - 1
                entries[f"{node.name}_parent"] = spaces.Box(-1, highest, (node.max_count,), np.int32)
            if node.sparse:
                entries[f"{node.name}_mask"] = spaces.Box(0, 1, (node.max_count,), np.int8)
        for edge in self.edges:
            highest = max(self.node(edge.source).max_count, self.node(edge.target).max_count) - 1
            entries[f"{edge.name}_index"] = spaces.Box(-1, highest, (2, edge.max_count), np.int32)
            if edge.features:
                entries[f"{edge.name}_x"] = _feature_box(edge.max_count, edge.features)
        actions = self.candidates
        highest = max(self.node(name).max_count for name in actions.points_at) - 1
        entries["candidate_index"] = spaces.Box(
            -1, highest, (actions.max_count, len(actions.points_at)), np.int32
        )
        entries["candidate_x"] = _feature_box(actions.max_count, actions.features)
        entries["action_mask"] = spaces.Box(0, 1, (actions.max_count,), np.int8)
        if self.critic_features:
            box = _feature_box(1, self.critic_features)
            entries["critic_x"] = spaces.Box(box.low[0], box.high[0], dtype=np.float32)
        return GraphSpace(entries, self)

    def zeros(self, num_envs: int) -> dict[str, NDArray[Any]]:
        """An empty batch of observations (leading axis `num_envs`), indices -1, to be filled in place."""
        batch = {}
        for key, box in self.space.spaces.items():
            fill = -1 if key.endswith(("_index", "_parent")) else 0
            assert box.shape is not None
            batch[key] = np.full((num_envs, *box.shape), fill, dtype=box.dtype)
        return batch

    def ragged(self, observation: Observation) -> dict[str, NDArray[Any]]:
        """One unbatched observation without its padding, as PyG's `HeteroData` wants it.

        Returns:
            The same keys; node rows cut to those that are there and renumbered, edges and candidates cut to the used
            ones, `action_mask` replaced by `action` (C,), the action number of each remaining candidate.
        """
        out: dict[str, NDArray[Any]] = {}
        rows = {node.name: self._rows(observation, node) for node in self.nodes}
        number = {node.name: _numbering(rows[node.name], node.max_count) for node in self.nodes}
        for node in self.nodes:
            out[f"{node.name}_x"] = observation[f"{node.name}_x"][rows[node.name]]
            if node.parent is not None:
                parent = observation[f"{node.name}_parent"][rows[node.name]]
                out[f"{node.name}_parent"] = number[node.parent][parent]
        for edge in self.edges:
            used = observation[f"{edge.name}_index"][0] >= 0
            source, target = observation[f"{edge.name}_index"][:, used]
            out[f"{edge.name}_index"] = np.stack([number[edge.source][source], number[edge.target][target]])
            if edge.features:
                out[f"{edge.name}_x"] = observation[f"{edge.name}_x"][used]
        allowed = np.flatnonzero(observation["action_mask"])
        out["action"] = allowed
        index = observation["candidate_index"][allowed]
        points = [number[name][index[:, i]] for i, name in enumerate(self.candidates.points_at)]
        out["candidate_index"] = np.stack(points, axis=1)
        out["candidate_x"] = observation["candidate_x"][allowed]
        if self.critic_features:
            out["critic_x"] = observation["critic_x"]
        return out

    def _rows(self, observation: Observation, node: NodeType) -> NDArray[np.int64]:
        """Rows of the nodes that are there."""
        count = int(observation[f"{node.name}_count"][0])
        if node.sparse:
            return np.flatnonzero(observation[f"{node.name}_mask"][:count])
        return np.arange(count)

    def to_markdown(self) -> str:
        """The feature tables of the docs page."""
        lines: list[str] = []
        tables = [(f"`{n.name}_x` ({n.level} level)", n.features) for n in self.nodes]
        tables += [(f"`{e.name}_x` ({e.source} to {e.target})", e.features) for e in self.edges if e.features]
        tables += [("`candidate_x`", self.candidates.features)]
        if self.critic_features:
            tables += [("`critic_x`", self.critic_features)]
        for title, features in tables:
            lines += [f"**{title}**", "", "| column | name | meaning | kind |", "|---|---|---|---|"]
            for column, feature in enumerate(features):
                kind = "raw" if feature.raw else "static" if feature.static else "dynamic"
                lines.append(f"| {column} | `{feature.name}` | {feature.description} | {kind} |")
            lines.append("")
        return "\n".join(lines)


def _named(what: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise UnknownNameError(what, name, known)
    return known[name]


def _column(what: str, name: str, features: tuple[Feature, ...]) -> int:
    for column, feature in enumerate(features):
        if feature.name == name:
            return column
    raise UnknownNameError(what, name, [f.name for f in features])


def _numbering(rows: NDArray[np.int64], max_count: int) -> NDArray[np.int32]:
    """(max_count + 1,) new number of each old row; -1 for rows that are gone, and for the pointer -1."""
    number = np.full(max_count + 1, -1, np.int32)
    number[rows] = np.arange(len(rows), dtype=np.int32)
    return number


def _feature_box(count: int, features: tuple[Feature, ...]) -> spaces.Box:
    low = np.tile(np.array([f.low for f in features], np.float32), (count, 1))
    high = np.tile(np.array([f.high for f in features], np.float32), (count, 1))
    return spaces.Box(low, high, dtype=np.float32)
