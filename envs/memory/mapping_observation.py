"""The decision graph of the mapping game, and the kernels that keep it up to date.

Operations belong to regions of the program; tensors stand beside them and are tied to the operations that read and write
them. Times are scaled by the mean latency of an operation served from HBM, sizes by the capacity, distances by the number
of operations, so that policies carry over between programs. Only what a decision changes is written.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateType, EdgeType, Feature, NodeType, raw
from makespan.envs.core.kernels import borrowing_call, borrowing_kernel
from makespan.envs.memory.mapping_copies import idle
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
    write_op,
)
from makespan.envs.memory.mapping_occupancy import MappingSchema, write_occupancy
from makespan.envs.memory.mapping_state import (
    ACCESSES,
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
    *OP_DYNAMIC,
    Feature("decided", "1 once all its accesses are decided", high=1.0),
    *OP_STATIC,
)
TENSOR_FEATURES: Final = (
    Feature("resident", "1 if its last decided access left it in fast memory", high=1.0),
    Feature("in_hbm", "1 if HBM holds it, or will by a copy that is planned", high=1.0),
    Feature("next_use", "position of its next undecided access / operations, 1 if there is none", high=1.0),
    Feature("uses_left", "undecided accesses / 10"),
    Feature("benefit_left", "latency its undecided accesses would save, each alone / mean latency"),
    Feature("offset", "offset in fast memory / capacity, 0 if it is not there", high=1.0),
    *TENSOR_STATIC,
)
SYSTEM_FEATURES: Final = (
    Feature("progress", "accesses decided / accesses", high=1.0),
    Feature("latency", "latency now / latency with everything in HBM", high=1.0),
    Feature("captured", "latency saved / largest saving that the bounds allow", high=1.0),
    *SYSTEM_STATIC,
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


def graph_views(buffers: dict[str, NDArray[Any]]) -> Graph:
    """The kernels' view of a batch of observations."""
    image = buffers.get("occupancy", np.zeros((len(buffers["op_x"]), 2, 0, 0), np.float32))
    return Graph(**{key: buffers[key] for key in Graph._fields[:-1]}, occupancy=image)


_S: Final = columns_of(SYSTEM_FEATURES)
COLUMNS: Final = StaticColumns(len(OP_DYNAMIC) + 1, len(TENSOR_FEATURES) - len(TENSOR_STATIC), _S["headroom"])
_DECIDED: Final = len(OP_DYNAMIC)
_FREE, _GAP, _AHEAD, _BEHIND = (
    _S[f"{name}_{HORIZONS[0]}"] for name in ("free", "gap", "idle", "idle_before")
)
_RAW: Final = columns_of(CANDIDATE_FEATURES)["units"]


@borrowing_kernel
def write_tensor(m: Mapping, graph: Graph, b: int, v: int, following: int) -> None:
    """Write a tensor's row; `following` is its next undecided access, -1 if there is none."""
    host, x = m.tensor[b, v, HOST], graph.tensor_x
    x[b, v, 0] = 1.0 if host >= 0 else 0.0
    x[b, v, 1] = 1.0 if m.tensor[b, v, VALID] <= m.clock[b, OPS] else 0.0
    if following >= 0:
        x[b, v, 2] = np.float32(m.access[b, following, OP] / m.clock[b, OPS])
        x[b, v, 3] = clip(m.access[b, following, USES] / 10.0)
        x[b, v, 4] = clip(m.access[b, following, REMAINING] * per_mean(m, b))
    else:
        x[b, v, 2] = 1.0
        x[b, v, 3] = x[b, v, 4] = 0.0
    x[b, v, 5] = (
        np.float32(m.access[b, host, OFFSET] / m.clock[b, CAPACITY]) if host >= 0 else np.float32(0.0)
    )


@borrowing_call
def write_dynamic(m: Mapping, graph: Graph, b: int, supply: int) -> None:
    """Write slot b's rows of operations that have changed, its system row and its candidates."""
    clock, scale = m.clock, per_mean(m, b)
    a = min(clock[b, CURSOR], clock[b, ACCESSES] - 1)
    finished = clock[b, CURSOR] >= clock[b, ACCESSES]
    now = clock[b, OPS] if finished else m.access[b, a, OP]
    end = min(max(clock[b, DIRTY_HIGH], now + 1), clock[b, OPS])
    for i in range(clock[b, DIRTY_LOW], end):
        write_op(m, graph.op_x, b, i, supply, scale)
        graph.op_x[b, i, _DECIDED] = 1.0 if i < now else 0.0
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


@borrowing_kernel
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
            x[b, 0, _AHEAD + k] = clip(ahead * scale)
            x[b, 0, _BEHIND + k] = clip(behind * scale)
            gap = largest_gap(rectangles_since(m, b, now), b, now, now + step + 1, clock[b, CAPACITY])
            x[b, 0, _GAP + k] = np.float32(gap / clock[b, CAPACITY])
            k += 1


@borrowing_kernel
def _growth(m: Mapping, b: int, a: int, k: int) -> int:
    """Operations by which the tensor's stay in fast memory grows with action k."""
    if k == DROP:
        return 0
    if k == COPY or m.access[b, a, WRITE]:
        return m.choice[b, k, CHOICE_END] - m.choice[b, k, CHOICE_START]
    host = m.tensor[b, m.access[b, a, TENSOR], HOST]
    return max(0, m.choice[b, KEEP, CHOICE_END] - m.access[b, host, END])


@borrowing_kernel
def _write_candidate(m: Mapping, graph: Graph, b: int, a: int, k: int) -> None:
    access, tensor, x, clock = m.access, m.tensor, graph.candidate_x[b, k], m.clock
    i, v = access[b, a, OP], access[b, a, TENSOR]
    scale, num_ops, capacity = per_mean(m, b), clock[b, OPS], clock[b, CAPACITY]
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
    x[4] = clip(benefit * scale)
    x[5] = clip(access[b, a, REMAINING] * scale) if k != DROP else np.float32(0.0)
    x[6] = clip(size)
    x[7] = np.float32(duration / num_ops)
    x[8] = clip(area)
    x[9] = clip(access[b, a, REMAINING] / clock[b, HBM_LATENCY] / area) if area > 0.0 else np.float32(0.0)
    x[10] = clip(tensor[b, v, BOUNDEDNESS] * scale)
    x[11] = clip(tensor[b, v, COPY_TIME] * scale)
    x[12] = clip(copies * scale)
    x[13] = np.float32(distance / num_ops)
    x[14] = clip(access[b, a, USES] / 10.0)
    x[15] = np.float32(m.choice[b, k, CHOICE_OFFSET] / capacity) if k != DROP else np.float32(0.0)
    x[16] = clip((m.op[b, i, COMPUTE] - other) * scale)
    x[17] = 1.0 if tensor[b, v, VALID] <= num_ops else 0.0
    x[_RAW] = min(tensor[b, v, UNITS], 2**24)
    x[_RAW + 1] = duration
    x[_RAW + 2] = distance
    x[_RAW + 3] = access[b, a, USES]
