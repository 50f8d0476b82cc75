"""The decision graph of the mapping game in priority order, and the kernels that keep it up to date.

Candidates are the undecided tensors. They show what the orders of the literature look at, and what is left of it: the latency
that a tensor would still save, whether there is still room for it, and HBM time for its copies.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateType, EdgeType, Feature, GraphSchema, NodeType, raw
from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.memory.mapping_decoder import ORDERS
from makespan.envs.memory.mapping_graph import (
    ACCESS_FEATURES,
    OP_DYNAMIC,
    OP_STATIC,
    REGION_FEATURES,
    SYSTEM_STATIC,
    TENSOR_STATIC,
    StaticColumns,
    clip,
    columns_of,
    per_mean,
    stack,
)
from makespan.envs.memory.mapping_instance import INPUT, OUTPUT, PARAMETER, MappingInstance
from makespan.envs.memory.mapping_priority import (
    BEGIN,
    BIRTH,
    CHANGED,
    DEATH,
    GAIN,
    OPEN,
    ROOM,
    SPOT,
    TOTAL,
    UNTIL,
    Pool,
    places_of_tensors,
)
from makespan.envs.memory.mapping_state import (
    CAPACITY,
    COPY_TIME,
    DROP,
    FIRST,
    HBM_LATENCY,
    HEIR,
    LATENCY,
    LOWER_BOUND,
    NEXT,
    OPS,
    PLACE,
    USES,
    Mapping,
)

F32 = NDArray[np.float32]

TENSOR_FEATURES: Final = (
    Feature("undecided", "1 until it is decided", high=1.0),
    Feature("served", "accesses served from fast memory / its accesses", high=1.0),
    Feature("gain", "latency its place's accesses with room would save now, each alone / mean latency"),
    Feature("open", "accesses of its place with room / those of the place", high=1.0),
    Feature("room", "least free fast memory from first to last access / capacity", high=1.0),
    *TENSOR_STATIC,
)
SYSTEM_FEATURES: Final = (
    Feature("progress", "tensors decided / tensors", high=1.0),
    Feature("latency", "latency now / latency with everything in HBM", high=1.0),
    Feature("captured", "latency saved / largest saving that the bounds allow", high=1.0),
    Feature("occupied", "mean occupied fast memory / capacity", high=1.0),
    Feature("idle", "HBM time left for copies / latency with everything in HBM"),
    *SYSTEM_STATIC,
)
CANDIDATE_DYNAMIC: Final = (
    Feature("gain", "latency its accesses with room would save now, each alone / mean latency"),
    Feature("gain_density", "gain / area, as shares of latency from HBM and of memory x operations"),
    Feature("log_gain_density", "ln(gain_density), at least -14", low=-14.0, high=14.0),
    Feature("gain_left", "gain / what it was at the start", high=100.0),
    Feature("open", "accesses with room / accesses", high=1.0),
    Feature("room", "least free fast memory from first to last access / capacity", high=1.0),
    Feature("slack", "(room - size) / capacity", low=-100.0, high=1.0),
    Feature("fits", "1 if an offset is free from first to last access", high=1.0),
    Feature(
        "supply",
        "HBM time left to fetch it before its first use, or to write it back / time of a copy",
        high=10.0,
    ),
)
CANDIDATE_STATIC: Final = (
    Feature("size", "size / capacity", static=True),
    Feature("log_size", "ln(size), at least -14", low=-14.0, high=14.0, static=True),
    Feature("duration", "operations from first to last access / operations", high=1.0, static=True),
    Feature("area", "size x duration", static=True),
    Feature("benefit", "latency its accesses would save, each alone / mean latency", static=True),
    Feature(
        "density", "benefit / area, as shares of latency from HBM and of memory x operations", static=True
    ),
    Feature("log_density", "ln(density), at least -14", low=-14.0, high=14.0, static=True),
    Feature("boundedness", "XLA's memory boundedness / mean latency", low=-100.0, static=True),
    Feature("copy_time", "HBM time of a copy / mean latency", static=True),
    Feature("uses", "accesses / 10", static=True),
    Feature("is_parameter", "1 for a parameter", high=1.0, static=True),
    Feature("is_input", "1 for an input", high=1.0, static=True),
    Feature("is_output", "1 for an output, which must end in HBM", high=1.0, static=True),
    Feature("in_place", "1 if another tensor is written in its place", high=1.0, static=True),
    Feature("density_quantile", "tensors of higher density / tensors", high=1.0, static=True),
    Feature("xla_quantile", "tensors that XLA's order puts before it / tensors", high=1.0, static=True),
    Feature("size_quantile", "larger tensors / tensors", high=1.0, static=True),
)
CANDIDATE_FEATURES: Final = (
    *CANDIDATE_DYNAMIC,
    *CANDIDATE_STATIC,
    *(raw(f"{name}_rank", f"its place in the order `{name}`, from 0") for name in ORDERS),
)
COLUMNS: Final = StaticColumns(
    len(OP_DYNAMIC),
    len(TENSOR_FEATURES) - len(TENSOR_STATIC),
    len(SYSTEM_FEATURES) - len(SYSTEM_STATIC),
)
NUM_DYNAMIC: Final = len(CANDIDATE_DYNAMIC)
_LOG_GAIN: Final = columns_of(CANDIDATE_FEATURES)["log_gain_density"]
_SUPPLY: Final = columns_of(CANDIDATE_FEATURES)["supply"]
_SIZE: Final = columns_of(CANDIDATE_FEATURES)["size"]
_AREA: Final = columns_of(CANDIDATE_FEATURES)["area"]
_BENEFIT: Final = columns_of(CANDIDATE_FEATURES)["benefit"]
_LEAST: Final = -14.0  # of a logarithm


def priority_schema(num_ops: int, num_accesses: int, num_tensors: int, num_regions: int) -> GraphSchema:
    """The decision graph of programs of at most this size."""
    return GraphSchema(
        nodes=(
            NodeType("op", num_ops, (*OP_DYNAMIC, *OP_STATIC), "task", parent="region"),
            NodeType("region", num_regions, REGION_FEATURES, "job"),
            NodeType("tensor", num_tensors, TENSOR_FEATURES, "resource"),
            NodeType("system", 1, SYSTEM_FEATURES, "system"),
        ),
        edges=(
            EdgeType("sequence", "op", "op", num_ops, acyclic=True),
            EdgeType("access", "tensor", "op", num_accesses, ACCESS_FEATURES),
        ),
        candidates=CandidateType(num_tensors, ("tensor", "op"), CANDIDATE_FEATURES),
    )


class PriorityGraph(NamedTuple):
    """The observation buffers that kernels write, with a leading batch axis B, and the candidates' constant columns."""

    op_x: F32
    tensor_x: F32
    system_x: F32
    candidate_index: NDArray[np.int32]  # (B, T, 2)
    candidate_x: F32
    action_mask: NDArray[np.int8]  # (B, T)
    constant: F32  # (B, T, F - NUM_DYNAMIC)


def priority_views(buffers: dict[str, NDArray[Any]]) -> PriorityGraph:
    """The kernels' view of a batch of observations."""
    B, T, F = buffers["candidate_x"].shape
    constant = np.zeros((B, T, F - NUM_DYNAMIC), np.float32)
    return PriorityGraph(**{key: buffers[key] for key in PriorityGraph._fields[:-1]}, constant=constant)


@lru_cache(maxsize=128)
def constant_columns(instance: MappingInstance) -> F32:
    """(T, F - NUM_DYNAMIC) what a candidate shows throughout the episode; benefits are summed up over each place."""
    root, table = places_of_tensors(instance)
    O, T, kind = instance.num_ops, instance.num_tensors, instance.tensor_kind  # noqa: E741
    scale = O / instance.hbm_latency
    size = instance.tensor_units / instance.capacity
    duration = (table[:, DEATH] - table[:, BIRTH] + 1) / O
    benefit = np.zeros(T)
    np.add.at(benefit, root, instance.access_remaining[instance.tensor_first])
    area = np.where(table[:, TOTAL] > 0, size * duration, 1.0)
    density = benefit / instance.hbm_latency / area
    is_output = np.zeros(T, np.bool_)
    np.logical_or.at(is_output, root, kind == OUTPUT)
    orders = np.empty((len(ORDERS), T), np.int64)
    for row, order in zip(orders, ORDERS.values(), strict=True):
        row[order(instance)] = np.arange(T)
    rank = dict(zip(ORDERS, orders, strict=True))
    floor = np.exp(_LEAST)
    shown = stack(
        size,
        np.log(np.maximum(size, floor)),
        duration,
        area,
        benefit * scale,
        density,
        np.clip(np.log(np.maximum(density, floor)), _LEAST, -_LEAST),
        instance.tensor_boundedness * scale,
        instance.tensor_copy * scale,
        table[:, TOTAL] / 10.0,
        kind == PARAMETER,
        kind == INPUT,
        is_output,
        instance.tensor_heir >= 0,
        rank["density"] / T,
        rank["xla"] / T,
        rank["big_first"] / T,
    )
    return np.concatenate([shown, orders.T.astype(np.float32)], axis=1)


def load_constants(graph: PriorityGraph, b: int, instance: MappingInstance) -> None:
    """Put the candidates' constant columns into slot b, and clear its candidates."""
    graph.constant[b, : instance.num_tensors] = constant_columns(instance)
    graph.candidate_index[b] = -1
    graph.candidate_x[b] = 0.0
    graph.action_mask[b] = 0


@borrowing_kernel
def allow(pool: Pool, graph: PriorityGraph, b: int, v: int) -> None:
    """Make undecided tensor v a candidate; its dynamic columns are for `write_tensor`."""
    graph.action_mask[b, v] = 1
    graph.candidate_index[b, v, 0], graph.candidate_index[b, v, 1] = v, pool.tensor[b, v, BIRTH]
    for column in range(graph.constant.shape[2]):
        graph.candidate_x[b, v, NUM_DYNAMIC + column] = graph.constant[b, v, column]


@borrowing_kernel
def forbid(m: Mapping, graph: PriorityGraph, b: int, v: int) -> None:
    """Make tensor v, which has been decided, no candidate, and say so in the rows of all that share its place."""
    graph.action_mask[b, v] = 0
    graph.candidate_index[b, v, 0] = graph.candidate_index[b, v, 1] = -1
    for column in range(graph.candidate_x.shape[2]):
        graph.candidate_x[b, v, column] = 0.0
    x = graph.tensor_x
    while v >= 0:
        served, a = 0, m.tensor[b, v, FIRST]
        while a >= 0:
            served += m.access[b, a, PLACE] != DROP
            a = m.access[b, a, NEXT]
        uses = max(1, m.access[b, m.tensor[b, v, FIRST], USES])
        x[b, v, 0], x[b, v, 1] = np.float32(0.0), np.float32(served / uses)
        x[b, v, 2] = x[b, v, 3] = x[b, v, 4] = np.float32(0.0)
        v = m.tensor[b, v, HEIR]


@borrowing_kernel
def write_tensor(m: Mapping, pool: Pool, graph: PriorityGraph, b: int, v: int) -> None:
    """Write an undecided tensor as a candidate, and the rows of all that share its place."""
    row, x, scale = pool.tensor[b, v], graph.candidate_x[b, v], per_mean(m, b)
    constant, capacity = graph.constant[b, v], m.clock[b, CAPACITY]
    gain, opened = clip(row[GAIN] * scale), np.float32(row[OPEN] / row[TOTAL])
    room = np.float32(row[ROOM] / capacity)
    density = row[GAIN] / m.clock[b, HBM_LATENCY] / constant[_AREA - NUM_DYNAMIC]
    x[0], x[1] = gain, clip(density)
    x[_LOG_GAIN] = np.float32(min(max(np.log(max(density, 1e-30)), _LEAST), -_LEAST))
    x[3] = clip(gain / constant[_BENEFIT - NUM_DYNAMIC]) if row[GAIN] > 0 else np.float32(0.0)
    x[4], x[5] = opened, room
    x[6] = clip(room - constant[_SIZE - NUM_DYNAMIC])
    x[7] = np.float32(1.0) if row[SPOT] >= 0 else np.float32(0.0)
    row[CHANGED] = 0
    while v >= 0:
        shown = graph.tensor_x[b, v]
        shown[0], shown[1] = np.float32(1.0), np.float32(0.0)
        shown[2], shown[3], shown[4] = gain, opened, room
        v = m.tensor[b, v, HEIR]


@borrowing_kernel
def write_supply(m: Mapping, pool: Pool, graph: PriorityGraph, b: int) -> None:
    """Write what every candidate shows of the HBM time left for its copies."""
    for k in range(pool.left[b, 0]):
        v = pool.waiting[b, k]
        time = pool.supply[b, pool.tensor[b, v, UNTIL], 0] - pool.supply[b, pool.tensor[b, v, BEGIN], 0]
        graph.candidate_x[b, v, _SUPPLY] = np.float32(min(10.0, time / max(1, m.tensor[b, v, COPY_TIME])))


@borrowing_kernel
def write_system(m: Mapping, pool: Pool, graph: PriorityGraph, b: int) -> None:
    """Write the system's row."""
    clock, x, num_ops = m.clock, graph.system_x, m.clock[b, OPS]
    saved, most = clock[b, HBM_LATENCY] - clock[b, LATENCY], clock[b, HBM_LATENCY] - clock[b, LOWER_BOUND]
    x[b, 0, 0] = np.float32(1.0 - pool.left[b, 0] / max(1, pool.left[b, 1]))
    x[b, 0, 1] = np.float32(clock[b, LATENCY] / clock[b, HBM_LATENCY])
    x[b, 0, 2] = np.float32(min(1.0, saved / max(1, most)))
    x[b, 0, 3] = np.float32(pool.supply[b, num_ops, 1] / num_ops / clock[b, CAPACITY])
    x[b, 0, 4] = clip(pool.supply[b, num_ops, 0] / clock[b, HBM_LATENCY])
