"""What the decision graphs of both mapping games share: operations, regions, and all that a program fixes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import Feature
from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.memory.mapping_copies import idle
from makespan.envs.memory.mapping_instance import INPUT, OUTPUT, PARAMETER, MappingInstance
from makespan.envs.memory.mapping_state import (
    ALL_HBM,
    CAPACITY,
    COMPUTE,
    FAST,
    FETCH,
    HBM,
    HBM_LATENCY,
    LOAD,
    OPS,
    STORE,
    Mapping,
)

F32 = NDArray[np.float32]

OP_DYNAMIC: Final = (
    Feature("latency", "latency now / latency with everything in HBM", high=1.0),
    Feature("hbm_time", "HBM time of its accesses now / mean latency"),
    Feature("fast_time", "fast-memory time of its accesses now / mean latency"),
    Feature("copy_time", "HBM time of copies beside it / mean latency"),
    Feature("idle", "HBM time left for copies beside it / mean latency"),
    Feature("free", "free fast memory / capacity", high=1.0),
)
OP_STATIC: Final = (
    Feature("compute", "compute time / mean latency", static=True),
    Feature("all_hbm_time", "HBM time with everything in HBM / mean latency", static=True),
    Feature("boundedness", "(HBM time - compute time) / the longer of them", low=-1.0, high=1.0, static=True),
    Feature("position", "operations before it / operations", high=1.0, static=True),
)
TENSOR_STATIC: Final = (
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
SYSTEM_STATIC: Final = (
    Feature("headroom", "lower bound / latency with everything in HBM", high=1.0, static=True),
    Feature("pressure", "bytes of all tensors / (bytes of all tensors + capacity)", high=1.0, static=True),
)
REGION_FEATURES: Final = (
    Feature("length", "operations of the region / operations", high=1.0, static=True),
    Feature("position", "mean position of its operations / operations", high=1.0, static=True),
    Feature("latency", "latency with everything in HBM / that of the program", high=1.0, static=True),
    Feature("boundedness", "mean boundedness of its operations", low=-1.0, high=1.0, static=True),
)
ACCESS_FEATURES: Final = (
    Feature("is_write", "1 if the operation writes the tensor", high=1.0, static=True),
    Feature("bytes", "bytes touched / size", high=1.0, static=True),
    Feature("hbm_time", "HBM time / mean latency", static=True),
    Feature("benefit", "latency it alone would save in fast memory / mean latency", static=True),
)

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


class StaticColumns(NamedTuple):
    """Where the static columns of a game's decision graph begin."""

    op: int
    tensor: int
    system: int


def columns_of(features: tuple[Feature, ...]) -> dict[str, int]:
    """Column of each feature by name."""
    return {feature.name: column for column, feature in enumerate(features)}


@borrowing_kernel
def clip(value: float) -> np.float32:
    """Into the bounds of a feature."""
    return np.float32(min(max(value, -100.0), 100.0))


@borrowing_kernel
def per_mean(m: Mapping, b: int) -> float:
    """1 / mean latency of an operation served from HBM, the unit of times."""
    return m.clock[b, OPS] / m.clock[b, HBM_LATENCY]


@borrowing_kernel
def write_op(m: Mapping, x: F32, b: int, i: int, supply: int, scale: float) -> None:
    """Write the dynamic columns of operation i's row (see `OP_DYNAMIC`)."""
    op = m.op
    latency = max(op[b, i, COMPUTE], op[b, i, HBM] + op[b, i, FAST])
    x[b, i, 0] = np.float32(latency / max(1, max(op[b, i, COMPUTE], op[b, i, ALL_HBM])))
    x[b, i, 1] = clip(op[b, i, HBM] * scale)
    x[b, i, 2] = clip(op[b, i, FAST] * scale)
    x[b, i, 3] = clip((op[b, i, FETCH] + op[b, i, STORE]) * scale)
    x[b, i, 4] = clip(idle(m, b, i, supply, FETCH) * scale)
    x[b, i, 5] = np.float32(1.0 - op[b, i, LOAD] / m.clock[b, CAPACITY])


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
        "op": stack(instance.op_compute * scale, instance.op_hbm * scale, bound, np.arange(O) / O),
        "access_x": stack(
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


def write_static(
    buffers: dict[str, NDArray[Any]], b: int, instance: MappingInstance, columns: StaticColumns
) -> None:
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
    buffers["op_x"][b, :O, columns.op :] = static["op"]
    buffers["tensor_x"][b, :T, columns.tensor :] = static["tensor"]
    buffers["region_x"][b, :G] = static["region_x"]
    buffers["system_x"][b, 0, columns.system : columns.system + len(SYSTEM_STATIC)] = static["system"]


def stack(*columns: NDArray[Any]) -> F32:
    """Columns (n,) side by side, within the bounds of features."""
    return np.stack([np.clip(column, -100.0, 100.0) for column in columns], axis=1).astype(np.float32)


def _tensor_static(instance: MappingInstance, scale: float) -> F32:
    O, kind = instance.num_ops, instance.tensor_kind  # noqa: E741
    size = instance.tensor_units / instance.capacity
    birth = instance.access_op[instance.tensor_first]
    death = instance.access_op[instance.tensor_last]
    benefit = instance.access_remaining[instance.tensor_first]
    area = size * (death - birth + 1) / O
    return stack(
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
    return stack(
        count / O,
        np.bincount(region, np.arange(O), G) / length / O,
        np.bincount(region, latency, G) / instance.hbm_latency,
        np.bincount(region, bound, G) / length,
    )
