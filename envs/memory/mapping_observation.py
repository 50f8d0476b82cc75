"""The decision graph of the mapping game, and the kernels that keep it up to date.

Operations belong to regions of the program; tensors stand beside them and are tied to the operations that read and write
them. Times are scaled by the mean latency of an operation served from HBM, sizes by the capacity, distances by the number
of operations, so that policies carry over between programs. Only what a decision changes is written.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateType, EdgeType, Feature, NodeType, raw
from makespan.envs.core.kernels import inlined_kernel, kernel
from makespan.envs.memory.mapping_copies import idle
from makespan.envs.memory.mapping_instance import INPUT, OUTPUT, PARAMETER, MappingInstance
from makespan.envs.memory.mapping_occupancy import MappingSchema, write_occupancy
from makespan.envs.memory.mapping_state import (
    ACCESSES,
    ALL_HBM,
    BOUNDEDNESS,
    CAPACITY,
    CHOICE_END,
    CHOICE_OFFSET,
    CHOICE_START,
    CHOICE_STORE,
    COMPUTE,
    COPY,
    COPY_TIME,
    COST_FAST,
    COST_HBM,
    CURSOR,
    DIRTY_HIGH,
    DIRTY_LOW,
    DROP,
    END,
    FAST,
    FETCH,
    HBM,
    HBM_LATENCY,
    HOST,
    KEEP,
    LATENCY,
    LOAD,
    LOWER_BOUND,
    NEXT,
    OFFSET,
    OP,
    OPS,
    REMAINING,
    STORE,
    TENSOR,
    UNITS,
    USES,
    VALID,
    WRITE,
    Mapping,
    rectangles_since,
)
from makespan.envs.memory.rectangles import largest_gap

F32 = NDArray[np.float32]

HORIZONS: Final = (1, 4, 16, 64)  # operations ahead (and behind) that the system's profile looks at

OP_FEATURES: Final = (
    Feature("latency", "latency now / latency with everything in HBM", high=1.0),
    Feature("hbm_time", "HBM time of its accesses now / mean latency"),
    Feature("fast_time", "fast-memory time of its accesses now / mean latency"),
    Feature("copy_time", "HBM time of copies beside it / mean latency"),
    Feature("idle", "HBM time left for copies beside it / mean latency"),
    Feature("free", "free fast memory / capacity", high=1.0),
    Feature("decided", "1 once all its accesses are decided", high=1.0),
    Feature("compute", "compute time / mean latency", static=True),
    Feature("all_hbm_time", "HBM time with everything in HBM / mean latency", static=True),
    Feature("boundedness", "(HBM time - compute time) / the longer of them", low=-1.0, high=1.0, static=True),
    Feature("position", "operations before it / operations", high=1.0, static=True),
)
TENSOR_FEATURES: Final = (
    Feature("resident", "1 if its last decided access left it in fast memory", high=1.0),
    Feature("in_hbm", "1 if HBM holds it, or will by a copy that is planned", high=1.0),
    Feature("next_use", "position of its next undecided access / operations, 1 if there is none", high=1.0),
    Feature("uses_left", "undecided accesses / 10"),
    Feature("benefit_left", "latency its undecided accesses would save, each alone / mean latency"),
    Feature("offset", "offset in fast memory / capacity, 0 if it is not there", high=1.0),
    Feature("size", "size / capacity", static=True),
    Feature("copy_time", "HBM time of a copy / mean latency", static=True),
    Feature("benefit", "latency its accesses would save, each alone / mean latency", static=True),
    Feature("density", "benefit / (size x operations from first to last access), as shares", static=True),
    Feature("uses", "accesses / 10", static=True),
    Feature("birth", "position of its first access / operations", high=1.0, static=True),
    Feature("death", "position of its last access / operations", high=1.0, static=True),
    Feature("is_parameter", "1 for a parameter", high=1.0, static=True),
    Feature("is_input", "1 for an input", high=1.0, static=True),
    Feature("is_output", "1 for an output, which must end in HBM", high=1.0, static=True),
    Feature("in_place", "1 if it shares its place with a tensor before or after it", high=1.0, static=True),
)
REGION_FEATURES: Final = (
    Feature("length", "operations of the region / operations", high=1.0, static=True),
    Feature("position", "mean position of its operations / operations", high=1.0, static=True),
    Feature("latency", "latency with everything in HBM / that of the program", high=1.0, static=True),
    Feature("boundedness", "mean boundedness of its operations", low=-1.0, high=1.0, static=True),
)
SYSTEM_FEATURES: Final = (
    Feature("progress", "accesses decided / accesses", high=1.0),
    Feature("latency", "latency now / latency with everything in HBM", high=1.0),
    Feature("captured", "latency saved / largest saving that the bounds allow", high=1.0),
    Feature("headroom", "lower bound / latency with everything in HBM", high=1.0, static=True),
    Feature("pressure", "bytes of all tensors / (bytes of all tensors + capacity)", high=1.0, static=True),
    *(
        Feature(f"free_{k}", f"least free memory of the next {k} operations / capacity", high=1.0)
        for k in HORIZONS
    ),
    *(
        Feature(f"gap_{k}", f"largest gap free for the next {k} operations / capacity", high=1.0)
        for k in HORIZONS
    ),
    *(Feature(f"idle_{k}", f"HBM time left in the next {k} operations / mean latency") for k in HORIZONS),
    *(
        Feature(f"idle_before_{k}", f"HBM time left in the last {k} operations / mean latency")
        for k in HORIZONS
    ),
)
ACCESS_FEATURES: Final = (
    Feature("is_write", "1 if the operation writes the tensor", high=1.0, static=True),
    Feature("bytes", "bytes touched / size", high=1.0, static=True),
    Feature("hbm_time", "HBM time / mean latency", static=True),
    Feature("benefit", "latency it alone would save in fast memory / mean latency", static=True),
)
CANDIDATE_FEATURES: Final = (
    Feature("is_drop", "1 for Drop: served from HBM", high=1.0),
    Feature("is_keep", "1 for Keep: produced in fast memory, or still there", high=1.0),
    Feature("is_copy", "1 for Copy: fetched ahead of its use", high=1.0),
    Feature("is_write", "1 if the access produces the tensor", high=1.0),
    Feature("benefit", "latency that the decision saves now / mean latency"),
    Feature("benefit_left", "latency that the tensor's accesses from this one on would save / mean latency"),
    Feature("size", "size / capacity"),
    Feature("duration", "operations by which its stay in fast memory grows / operations", high=1.0),
    Feature("area", "size x duration, as shares of capacity and operations"),
    Feature("density", "benefit_left / area, as shares of latency from HBM and of memory x operations"),
    Feature("boundedness", "XLA's memory boundedness / mean latency", low=-100.0),
    Feature("copy_time", "HBM time of a copy of the tensor / mean latency"),
    Feature("copies", "HBM time of copies that the decision takes on / mean latency"),
    Feature("next_use", "operations to the tensor's next access / operations, 1 if there is none", high=1.0),
    Feature("uses_left", "accesses of the tensor from this one on / 10"),
    Feature("offset", "offset in fast memory / capacity", high=1.0),
    Feature("slack", "(compute - other accesses' time) of the operation / mean latency", low=-100.0),
    Feature("in_hbm", "1 if HBM holds the tensor, or will by a copy that is planned", high=1.0),
    raw("units", "size, alignment units"),
    raw("operations", "operations by which its stay in fast memory grows"),
    raw("next_use_in", "operations to the tensor's next access; operations of the program if there is none"),
    raw("accesses_left", "accesses of the tensor from this one on"),
)


def mapping_schema(
    num_ops: int, num_accesses: int, num_tensors: int, num_regions: int, occupancy: tuple[int, int] = (0, 0)
) -> MappingSchema:
    """The decision graph of programs of at most this size, with an image of (operations, bins) if asked for."""
    return MappingSchema(
        nodes=(
            NodeType("op", num_ops, OP_FEATURES, "task", parent="region"),
            NodeType("region", num_regions, REGION_FEATURES, "job"),
            NodeType("tensor", num_tensors, TENSOR_FEATURES, "resource"),
            NodeType("system", 1, SYSTEM_FEATURES, "system"),
        ),
        edges=(
            EdgeType("sequence", "op", "op", num_ops, acyclic=True),
            EdgeType("access", "tensor", "op", num_accesses, ACCESS_FEATURES),
        ),
        candidates=CandidateType(3, ("op", "tensor"), CANDIDATE_FEATURES),
        occupancy=occupancy,
    )


class Graph(NamedTuple):
    """The observation buffers that kernels write, as in the schema, with a leading batch axis B."""

    op_x: F32
    tensor_x: F32
    system_x: F32
    candidate_index: NDArray[np.int32]  # (B, 3, 2)
    candidate_x: F32
    action_mask: NDArray[np.int8]  # (B, 3)
    occupancy: F32  # (B, 2, operations, bins), empty unless asked for


STATIC_KEYS: Final = (
    "op_count",
    "region_count",
    "tensor_count",
    "system_count",
    "op_parent",
    "region_x",
    "sequence_index",
    "access_index",
    "access_x",
)
"""Buffers that are written once per episode."""


def graph_views(buffers: dict[str, NDArray[Any]]) -> Graph:
    """The kernels' view of a batch of observations."""
    image = buffers.get("occupancy", np.zeros((len(buffers["op_x"]), 2, 0, 0), np.float32))
    return Graph(**{key: buffers[key] for key in Graph._fields[:-1]}, occupancy=image)


def _columns(features: tuple[Feature, ...]) -> dict[str, int]:
    return {feature.name: column for column, feature in enumerate(features)}


_OP: Final = _columns(OP_FEATURES)
OP_STATIC: Final = _OP["compute"]
TENSOR_STATIC: Final = _columns(TENSOR_FEATURES)["size"]
_S: Final = _columns(SYSTEM_FEATURES)
_FREE, _GAP, _AHEAD, _BEHIND = (
    _S[f"{name}_{HORIZONS[0]}"] for name in ("free", "gap", "idle", "idle_before")
)
_RAW: Final = _columns(CANDIDATE_FEATURES)["units"]


@inlined_kernel
def _clip(value: float) -> np.float32:
    """Into the bounds of a feature."""
    return np.float32(min(max(value, -100.0), 100.0))


@inlined_kernel
def _per_mean(m: Mapping, b: int) -> float:
    """1 / mean latency of an operation served from HBM, the unit of times."""
    return m.clock[b, OPS] / m.clock[b, HBM_LATENCY]


@inlined_kernel
def _write_op(m: Mapping, graph: Graph, b: int, i: int, supply: int, now: int, scale: float) -> None:
    op, x = m.op, graph.op_x
    latency = max(op[b, i, COMPUTE], op[b, i, HBM] + op[b, i, FAST])
    x[b, i, 0] = np.float32(latency / max(1, max(op[b, i, COMPUTE], op[b, i, ALL_HBM])))
    x[b, i, 1] = _clip(op[b, i, HBM] * scale)
    x[b, i, 2] = _clip(op[b, i, FAST] * scale)
    x[b, i, 3] = _clip((op[b, i, FETCH] + op[b, i, STORE]) * scale)
    x[b, i, 4] = _clip(idle(m, b, i, supply, FETCH) * scale)
    x[b, i, 5] = np.float32(1.0 - op[b, i, LOAD] / m.clock[b, CAPACITY])
    x[b, i, 6] = 1.0 if i < now else 0.0


@inlined_kernel
def write_tensor(m: Mapping, graph: Graph, b: int, v: int, following: int) -> None:
    """Write a tensor's row; `following` is its next undecided access, -1 if there is none."""
    host, x = m.tensor[b, v, HOST], graph.tensor_x
    x[b, v, 0] = 1.0 if host >= 0 else 0.0
    x[b, v, 1] = 1.0 if m.tensor[b, v, VALID] <= m.clock[b, OPS] else 0.0
    if following >= 0:
        x[b, v, 2] = np.float32(m.access[b, following, OP] / m.clock[b, OPS])
        x[b, v, 3] = _clip(m.access[b, following, USES] / 10.0)
        x[b, v, 4] = _clip(m.access[b, following, REMAINING] * _per_mean(m, b))
    else:
        x[b, v, 2] = 1.0
        x[b, v, 3] = x[b, v, 4] = 0.0
    x[b, v, 5] = (
        np.float32(m.access[b, host, OFFSET] / m.clock[b, CAPACITY]) if host >= 0 else np.float32(0.0)
    )


@kernel
def write_dynamic(m: Mapping, graph: Graph, b: int, supply: int) -> None:
    """Write slot b's rows of operations that have changed, its system row and its candidates."""
    clock, scale = m.clock, _per_mean(m, b)
    a = min(clock[b, CURSOR], clock[b, ACCESSES] - 1)
    finished = clock[b, CURSOR] >= clock[b, ACCESSES]
    now = clock[b, OPS] if finished else m.access[b, a, OP]
    end = min(max(clock[b, DIRTY_HIGH], now + 1), clock[b, OPS])
    for i in range(clock[b, DIRTY_LOW], end):
        _write_op(m, graph, b, i, supply, now, scale)
    clock[b, DIRTY_LOW], clock[b, DIRTY_HIGH] = now, 0
    _write_system(m, graph, b, supply, now, scale)
    write_occupancy(m, graph.occupancy, b, now)
    for k in range(3):
        if graph.action_mask[b, k] and not finished:
            _write_candidate(m, graph, b, a, k)
        else:
            for column in range(graph.candidate_x.shape[2]):
                graph.candidate_x[b, k, column] = 0.0
            graph.candidate_index[b, k, 0] = graph.candidate_index[b, k, 1] = -1


@inlined_kernel
def _write_system(m: Mapping, graph: Graph, b: int, supply: int, now: int, scale: float) -> None:
    clock, x, num_ops = m.clock, graph.system_x, m.clock[b, OPS]
    saved, most = clock[b, HBM_LATENCY] - clock[b, LATENCY], clock[b, HBM_LATENCY] - clock[b, LOWER_BOUND]
    x[b, 0, 0] = np.float32(clock[b, CURSOR] / clock[b, ACCESSES])
    x[b, 0, 1] = np.float32(clock[b, LATENCY] / clock[b, HBM_LATENCY])
    x[b, 0, 2] = np.float32(min(1.0, saved / max(1, most)))
    least, ahead, behind, k = clock[b, CAPACITY], 0, 0, 0
    for step in range(HORIZONS[-1]):
        i = now + step
        if i < num_ops:
            least = min(least, clock[b, CAPACITY] - m.op[b, i, LOAD])
            ahead += idle(m, b, i, supply, FETCH)
        if now - 1 - step >= 0:
            behind += idle(m, b, now - 1 - step, supply, FETCH)
        if step + 1 == HORIZONS[k]:
            x[b, 0, _FREE + k] = np.float32(least / clock[b, CAPACITY])
            x[b, 0, _AHEAD + k] = _clip(ahead * scale)
            x[b, 0, _BEHIND + k] = _clip(behind * scale)
            gap = largest_gap(rectangles_since(m, b, now), b, now, now + step + 1, clock[b, CAPACITY])
            x[b, 0, _GAP + k] = np.float32(gap / clock[b, CAPACITY])
            k += 1


@inlined_kernel
def _growth(m: Mapping, b: int, a: int, k: int) -> int:
    """Operations by which the tensor's stay in fast memory grows with action k."""
    if k == DROP:
        return 0
    if k == COPY or m.access[b, a, WRITE]:
        return m.choice[b, k, CHOICE_END] - m.choice[b, k, CHOICE_START]
    host = m.tensor[b, m.access[b, a, TENSOR], HOST]
    return max(0, m.choice[b, KEEP, CHOICE_END] - m.access[b, host, END])


@inlined_kernel
def _write_candidate(m: Mapping, graph: Graph, b: int, a: int, k: int) -> None:
    access, tensor, x, clock = m.access, m.tensor, graph.candidate_x[b, k], m.clock
    i, v = access[b, a, OP], access[b, a, TENSOR]
    scale, num_ops, capacity = _per_mean(m, b), clock[b, OPS], clock[b, CAPACITY]
    graph.candidate_index[b, k, 0], graph.candidate_index[b, k, 1] = i, v
    other = m.op[b, i, HBM] + m.op[b, i, FAST] - access[b, a, COST_HBM]
    benefit = 0
    if k != DROP:
        before = max(m.op[b, i, COMPUTE], other + access[b, a, COST_HBM])
        benefit = before - max(m.op[b, i, COMPUTE], other + access[b, a, COST_FAST])
    duration, following = _growth(m, b, a, k), access[b, a, NEXT]
    distance = access[b, following, OP] - i if following >= 0 else num_ops
    size = tensor[b, v, UNITS] / capacity
    area = size * duration / num_ops
    copies = tensor[b, v, COPY_TIME] if k == COPY else 0
    if m.choice[b, k, CHOICE_STORE] > 0:
        copies += tensor[b, v, COPY_TIME]
    x[0], x[1], x[2], x[3] = k == DROP, k == KEEP, k == COPY, access[b, a, WRITE]
    x[4] = _clip(benefit * scale)
    x[5] = _clip(access[b, a, REMAINING] * scale) if k != DROP else np.float32(0.0)
    x[6] = _clip(size)
    x[7] = np.float32(duration / num_ops)
    x[8] = _clip(area)
    x[9] = _clip(access[b, a, REMAINING] / clock[b, HBM_LATENCY] / area) if area > 0.0 else np.float32(0.0)
    x[10] = _clip(tensor[b, v, BOUNDEDNESS] * scale)
    x[11] = _clip(tensor[b, v, COPY_TIME] * scale)
    x[12] = _clip(copies * scale)
    x[13] = np.float32(distance / num_ops)
    x[14] = _clip(access[b, a, USES] / 10.0)
    x[15] = np.float32(m.choice[b, k, CHOICE_OFFSET] / capacity) if k != DROP else np.float32(0.0)
    x[16] = _clip((m.op[b, i, COMPUTE] - other) * scale)
    x[17] = 1.0 if tensor[b, v, VALID] <= num_ops else 0.0
    x[_RAW] = min(tensor[b, v, UNITS], 2**24)
    x[_RAW + 1] = duration
    x[_RAW + 2] = distance
    x[_RAW + 3] = access[b, a, USES]


@lru_cache(maxsize=128)
def _static_graph(instance: MappingInstance) -> dict[str, NDArray[Any]]:
    """What does not change during an episode, without padding."""
    program, O, A = instance.program, instance.num_ops, instance.num_accesses  # noqa: E741
    scale = O / instance.hbm_latency
    bound = (instance.op_hbm - instance.op_compute) / np.maximum(
        1, np.maximum(instance.op_hbm, instance.op_compute)
    )
    total = float(program.tensor_size.sum())
    headroom = instance.lower_bound / instance.hbm_latency
    return {
        "op_parent": program.op_region,
        "sequence_index": np.stack([np.arange(O - 1), np.arange(1, O)]),
        "access_index": np.stack([instance.access_tensor, instance.access_op]),
        "op": _stack(instance.op_compute * scale, instance.op_hbm * scale, bound, np.arange(O) / O),
        "access_x": _stack(
            instance.access_write,
            program.access_bytes / program.tensor_size[instance.access_tensor],
            instance.access_hbm * scale,
            instance.access_benefit * scale,
        ),
        "tensor": _tensor_static(instance, scale),
        "region_x": _regions(instance, bound),
        "system": np.array([headroom, total / (total + instance.hardware.capacity)], np.float32),
        "count": np.array([O, A, instance.num_tensors, instance.num_regions]),
    }


def write_static(buffers: dict[str, NDArray[Any]], b: int, instance: MappingInstance) -> None:
    """Write slot b's graph at the start of an episode; the kernels complete it."""
    static = _static_graph(instance)
    O, A, T, G = static["count"].tolist()  # noqa: E741
    for key in ("op", "region", "tensor"):
        buffers[f"{key}_x"][b] = 0.0
    for key in ("op_parent", "sequence_index", "access_index", "candidate_index"):
        buffers[key][b] = -1
    buffers["access_x"][b] = 0.0
    for key, count in {"op": O, "region": G, "tensor": T, "system": 1}.items():
        buffers[f"{key}_count"][b, 0] = count
    buffers["op_parent"][b, :O] = static["op_parent"]
    buffers["sequence_index"][b, :, : O - 1] = static["sequence_index"]
    buffers["access_index"][b, :, :A] = static["access_index"]
    buffers["access_x"][b, :A] = static["access_x"]
    buffers["op_x"][b, :O, OP_STATIC:] = static["op"]
    buffers["tensor_x"][b, :T, TENSOR_STATIC:] = static["tensor"]
    buffers["region_x"][b, :G] = static["region_x"]
    buffers["system_x"][b, 0, _S["headroom"] : _S["headroom"] + 2] = static["system"]


def _stack(*columns: NDArray[Any]) -> F32:
    return np.stack([np.clip(column, -100.0, 100.0) for column in columns], axis=1).astype(np.float32)


def _tensor_static(instance: MappingInstance, scale: float) -> F32:
    O, kind = instance.num_ops, instance.tensor_kind  # noqa: E741
    size = instance.tensor_units / instance.capacity
    birth = instance.access_op[instance.tensor_first]
    death = instance.access_op[instance.tensor_last]
    benefit = instance.access_remaining[instance.tensor_first]
    area = size * (death - birth + 1) / O
    return _stack(
        size,
        instance.tensor_copy * scale,
        benefit * scale,
        benefit / instance.hbm_latency / area,
        instance.access_uses[instance.tensor_first] / 10.0,
        birth / O,
        death / O,
        kind == PARAMETER,
        kind == INPUT,
        kind == OUTPUT,
        (instance.tensor_heir >= 0) | (instance.tensor_donor >= 0),
    )


def _regions(instance: MappingInstance, bound: NDArray[np.float64]) -> F32:
    O, G, region = instance.num_ops, instance.num_regions, instance.program.op_region  # noqa: E741
    count = np.bincount(region, minlength=G)
    length = np.maximum(count, 1)
    latency = np.maximum(instance.op_compute, instance.op_hbm)
    return _stack(
        count / O,
        np.bincount(region, np.arange(O), G) / length / O,
        np.bincount(region, latency, G) / instance.hbm_latency,
        np.bincount(region, bound, G) / length,
    )
