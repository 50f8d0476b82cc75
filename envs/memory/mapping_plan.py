"""A mapping as a `Schedule`, so that it can be saved, drawn and judged like every other.

Time counts operations: row [start, end) covers the operations start..end - 1. `job` is the tensor, and `resource` an offset
in fast memory, alignment units. There are four kinds of rows:

| kind | task | resource | [start, end) |
|---|---|---|---|
| `fast` | number of the stay, from 0 for each tensor | offset | operations throughout which the tensor is in fast memory |
| `copy_in` | number of the access (of the tensor's) that it serves | offset | operations beside which it is fetched |
| `copy_out` | 0 | offset | operations beside which it is copied to HBM |
| `hbm` | number of the access (of the tensor's) | -1 | the operation, which is served from HBM |

Accesses that no `hbm` row names are served from fast memory. A stay begins with the tensor's production or with a
`copy_in`, which is over before the access it serves. How a copy shares its operations' idle time with others is
left open: a plan is feasible if there is a way.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_state import (
    DROP,
    END,
    FIRST,
    IN_END,
    IN_START,
    OFFSET,
    OP,
    OUT_END,
    OUT_START,
    PLACE,
    START,
    TENSOR,
    Mapping,
)

KINDS: Final = ("fast", "copy_in", "copy_out", "hbm")


def plan_of(m: Mapping, b: int, instance: MappingInstance) -> Schedule:
    """The mapping in slot b; rows by kind, then in program order."""
    access = m.access[b, : instance.num_accesses]
    tensor = m.tensor[b, : instance.num_tensors]
    number = instance.access_uses[instance.tensor_first[instance.access_tensor]] - instance.access_uses
    stays = np.flatnonzero(access[:, END] > 0)
    fetches = np.flatnonzero(access[:, IN_END] > 0)
    stores = np.flatnonzero(tensor[:, OUT_END] > 0)
    drops = np.flatnonzero(access[:, PLACE] == DROP)
    blocks = [
        (access[stays, TENSOR], _ordinal(access[stays, TENSOR]), *access[stays][:, [OFFSET, START, END]].T),
        (access[fetches, TENSOR], number[fetches], *access[fetches][:, [OFFSET, IN_START, IN_END]].T),
        (
            stores,
            np.zeros_like(stores),
            access[tensor[stores, FIRST], OFFSET],
            *tensor[stores][:, [OUT_START, OUT_END]].T,
        ),
        (
            access[drops, TENSOR],
            number[drops],
            np.full_like(drops, -1),
            access[drops, OP],
            access[drops, OP] + 1,
        ),
    ]
    job, task, resource, start, end = (np.concatenate(column) for column in zip(*blocks, strict=True))
    kind = tuple(name for name, block in zip(KINDS, blocks, strict=True) for _ in range(len(block[0])))
    return Schedule(job, task, resource, start, end, kind=kind or ("fast",), name=instance.name)


def _ordinal(tensors: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each entry, how many equal ones stand before it."""
    order = np.argsort(tensors, kind="stable")
    ordered = tensors[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(order) else order
    count = np.arange(len(order)) - np.repeat(begins, np.diff(np.concatenate([begins, [len(order)]])))
    out = np.empty_like(count)
    out[order] = count
    return out
