"""The independent judge of memory mappings: written from the problem's definition, and from nothing else.

A mapping (see `mapping_plan` for its form) is feasible if stays in fast memory keep to the capacity and do not overlap; if
every access served from fast memory meets its tensor there, valid and at one offset throughout the stay; if every access
served from HBM, and every copy from there, finds the value in HBM; if outputs end in HBM; if tensors that are updated in
place stay in one place; and if all copies find room in the HBM time that the operations leave. Its latency is the sum of
the operations' max(compute, HBM time + fast time).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.mapping_instance import MappingInstance

_KNOWN = ("fast", "copy_in", "copy_out", "hbm")
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table."""

    kind: str
    tensor: int
    number: int
    offset: int
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.kind} of tensor {self.tensor} (number {self.number}) [{self.start}, {self.end})"


@dataclass(slots=True)
class _Tensor:
    """A tensor's accesses (operation, written), and what a plan says of it."""

    index: int
    ops: list[int]
    written: bool
    stays: list[_Row]
    fetches: list[_Row]
    stores: list[_Row]
    dropped: set[int]

    def is_fast(self, number: int) -> bool:
        return number not in self.dropped

    def stay_at(self, op: int) -> _Row | None:
        return next((stay for stay in self.stays if stay.start <= op < stay.end), None)


def validate(
    instance: MappingInstance, schedule: Schedule, supply: Literal["idle", "elapsed"] = "idle"
) -> int:
    """Check a mapping against its instance and compute the latency.

    Args:
        instance: Program and hardware.
        schedule: The mapping, as `mapping_plan` describes it.
        supply: "idle": copies share the HBM time that operations leave; "elapsed": XLA's unphysical model.

    Returns:
        The latency in ps.

    Raises:
        InvalidScheduleError: With one sentence for each violation.
    """
    rows, violations = _rows(instance, schedule)
    tensors = _tensors(instance, rows, violations)
    for tensor in tensors:
        violations += _stay_violations(instance, tensor)
        violations += _copy_violations(instance, tensor)
        violations += _value_violations(instance, tensor)
    violations += _overlap_violations(instance, rows)
    violations += _in_place_violations(instance, tensors)
    if violations:
        raise InvalidScheduleError(violations)
    fast = np.zeros(instance.num_accesses, np.bool_)
    for tensor in tensors:
        for number, access in enumerate(instance.accesses_of(tensor.index)):
            fast[access] = tensor.is_fast(number)
    copies = [row for row in rows if row.kind in ("copy_in", "copy_out")]
    violations = _bandwidth_violations(instance, fast, copies, supply)
    if violations:
        raise InvalidScheduleError(violations)
    return latency(instance, fast)


def latency(instance: MappingInstance, fast: NDArray[np.bool_]) -> int:
    """Latency in ps if the accesses `fast` (A,) are served from fast memory and the others from HBM."""
    hbm_time, fast_time = _times(instance, fast)
    return int(np.maximum(instance.op_compute, hbm_time + fast_time).sum())


def _times(instance: MappingInstance, fast: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(O,) HBM and fast-memory time of each operation, ps."""
    hbm_time, fast_time = np.zeros(instance.num_ops, np.int64), np.zeros(instance.num_ops, np.int64)
    np.add.at(hbm_time, instance.access_op[~fast], instance.access_hbm[~fast])
    np.add.at(fast_time, instance.access_op[fast], instance.access_fast[fast])
    return hbm_time, fast_time


def _rows(instance: MappingInstance, schedule: Schedule) -> tuple[list[_Row], list[str]]:
    """The rows that say something about the program, and what is wrong with the others."""
    table = zip(
        schedule.kinds,
        schedule.job.tolist(),
        schedule.task.tolist(),
        schedule.resource.tolist(),
        schedule.start.tolist(),
        schedule.end.tolist(),
        strict=True,
    )
    rows, violations = [], []
    for entry in table:
        row = _Row(*entry)
        if row.kind not in _KNOWN:
            violations.append(f"{row}: unknown kind; expected one of {', '.join(_KNOWN)}")
        elif not 0 <= row.tensor < instance.num_tensors:
            violations.append(f"{row}: expected a tensor 0..{instance.num_tensors - 1}")
        elif not 0 <= row.start < row.end <= instance.num_ops:
            violations.append(f"{row}: expected operations within 0..{instance.num_ops}")
        else:
            rows.append(row)
    return rows, violations


def _tensors(instance: MappingInstance, rows: list[_Row], violations: list[str]) -> list[_Tensor]:
    by_tensor: dict[tuple[int, str], list[_Row]] = defaultdict(list)
    for row in rows:
        by_tensor[row.tensor, row.kind].append(row)
    tensors = []
    for t in range(instance.num_tensors):
        accesses = instance.accesses_of(t)
        ops = [int(instance.access_op[access]) for access in accesses]
        dropped: set[int] = set()
        for row in by_tensor[t, "hbm"]:
            if not 0 <= row.number < len(ops) or (row.start, row.end) != (
                ops[row.number],
                ops[row.number] + 1,
            ):
                violations.append(f"{row}: the tensor has no such access; they are at operations {ops}")
            elif row.number in dropped:
                violations.append(f"{row}: given twice")
            elif row.offset != -1:
                violations.append(f"{row}: offset {row.offset}; expected -1")
            dropped.add(row.number)
        stays = sorted(by_tensor[t, "fast"], key=lambda row: row.start)
        written = bool(accesses) and bool(instance.access_write[accesses[0]])
        tensors.append(
            _Tensor(t, ops, written, stays, by_tensor[t, "copy_in"], by_tensor[t, "copy_out"], dropped)
        )
    return tensors


def _stay_violations(instance: MappingInstance, tensor: _Tensor) -> list[str]:
    """Place and number of a tensor's stays, and what each begins and serves."""
    found = []
    size = -(-int(instance.program.tensor_size[tensor.index]) // instance.hardware.alignment)
    capacity = instance.hardware.capacity // instance.hardware.alignment
    for number, stay in enumerate(tensor.stays):
        if stay.number != number:
            found.append(f"{stay}: expected number {number}")
        if not 0 <= stay.offset <= capacity - size:
            found.append(f"{stay}: offset {stay.offset} for {size} units; expected 0..{capacity - size}")
        if number and stay.start < tensor.stays[number - 1].end:
            found.append(f"{stay}: begins during another stay of the tensor")
        served = [k for k, op in enumerate(tensor.ops) if stay.start <= op < stay.end and tensor.is_fast(k)]
        fetches = [row for row in tensor.fetches if stay.start <= row.start < stay.end]
        produced = tensor.written and tensor.is_fast(0) and tensor.ops[0] == stay.start
        if not served:
            found.append(f"{stay}: serves no access")
        elif len(fetches) + produced != 1:
            found.append(
                f"{stay}: begins with {len(fetches)} copies and {int(produced)} productions; expected one"
            )
        elif fetches and (fetches[0].number != served[0] or fetches[0].offset != stay.offset):
            found.append(f"{fetches[0]}: expected number {served[0]} and offset {stay.offset}, as its stay")
    for number, op in enumerate(tensor.ops):
        covering = tensor.stay_at(op)
        if tensor.is_fast(number) and covering is None:
            found.append(
                f"tensor {tensor.index} is not in fast memory for its access {number} at operation {op}"
            )
        elif tensor.is_fast(number) and number == 0 and tensor.written and covering.start != op:  # type: ignore[union-attr]
            found.append(f"{covering}: expected to begin with the tensor's production at operation {op}")
    return found


def _copy_violations(instance: MappingInstance, tensor: _Tensor) -> list[str]:
    """Copies run between the accesses they serve, and within a stay."""
    found = []
    for row in tensor.fetches:
        stay = tensor.stay_at(row.start)
        if stay is None or not 0 <= row.number < len(tensor.ops):
            found.append(f"{row}: belongs to no stay, or to no access")
        elif row.end > tensor.ops[row.number] or row.end > stay.end:
            found.append(f"{row}: not over before operation {tensor.ops[row.number]}")
        elif row.number and row.start <= tensor.ops[row.number - 1]:
            found.append(f"{row}: begins before the access at operation {tensor.ops[row.number - 1]}")
    for row in tensor.stores:
        home = tensor.stays[0] if tensor.stays else None
        if len(tensor.stores) > 1 or row.number != 0:
            found.append(f"{row}: expected one copy to HBM, numbered 0")
        elif not tensor.written or not tensor.is_fast(0) or home is None:
            found.append(f"{row}: the tensor was not produced in fast memory")
        elif row.start <= tensor.ops[0] or row.end > home.end or row.offset != home.offset:
            found.append(
                f"{row}: expected to run after operation {tensor.ops[0]}, within {home}, at its offset"
            )
    return found


def _value_violations(instance: MappingInstance, tensor: _Tensor) -> list[str]:
    """HBM holds a value before it is read there, and the outputs at the end."""
    valid = 0
    if tensor.written and tensor.ops:
        stored = tensor.stores[0].end if tensor.stores else _NEVER
        valid = stored if tensor.is_fast(0) else tensor.ops[0] + 1
    found = []
    for number, op in enumerate(tensor.ops):
        if number in tensor.dropped and not (tensor.written and number == 0) and op < valid:
            found.append(f"tensor {tensor.index}: its access {number} reads HBM, which does not hold it yet")
    for row in tensor.fetches:
        if row.start < valid:
            found.append(f"{row}: HBM does not hold the tensor yet")
    if instance.program.tensor_kind[tensor.index] == 3 and valid > instance.num_ops:
        found.append(f"tensor {tensor.index} is an output and does not end in HBM")
    return found


def _in_place_pairs(instance: MappingInstance) -> dict[tuple[int, int], int]:
    """(operand, output) of one alias group that an operation updates in place -> the operation."""
    program = instance.program
    written = {int(t): int(op) for t, op in zip(program.access_tensor, program.access_op, strict=True)}
    first, last, pairs = {}, written, {}
    for a in range(program.num_accesses - 1, -1, -1):
        first[int(program.access_tensor[a])] = a
    for t, a in first.items():
        if not program.access_write[a] or program.tensor_alias[t] < 0:
            continue
        op = int(program.access_op[a])
        for mate in np.flatnonzero(program.tensor_alias == program.tensor_alias[t]).tolist():
            reads = not (program.access_write[first[mate]] and program.access_op[first[mate]] == op)
            if mate != t and last[mate] == op and reads and program.tensor_kind[mate] != 3:
                pairs[mate, t] = op
    return pairs


def _in_place_violations(instance: MappingInstance, tensors: list[_Tensor]) -> list[str]:
    found = []
    for (operand, output), op in _in_place_pairs(instance).items():
        before, after = tensors[operand], tensors[output]
        if before.is_fast(len(before.ops) - 1) != after.is_fast(0):
            found.append(f"operation {op} updates tensor {operand} to {output} in place, but moves it")
        elif after.is_fast(0):
            old, new = before.stay_at(op), after.stay_at(op)
            if old is not None and new is not None and old.offset != new.offset:
                found.append(f"operation {op} updates tensor {operand} in place, but shifts it")
    return found


def _overlap_violations(instance: MappingInstance, rows: list[_Row]) -> list[str]:
    stays = sorted((row for row in rows if row.kind == "fast"), key=lambda row: row.start)
    size = -(-instance.program.tensor_size // instance.hardware.alignment)
    pairs = _in_place_pairs(instance)
    found: list[str] = []
    alive: list[_Row] = []
    for row in stays:
        alive = [other for other in alive if other.end > row.start]
        for other in alive:
            apart = (
                other.offset + size[other.tensor] <= row.offset
                or row.offset + size[row.tensor] <= other.offset
            )
            handed = pairs.get((other.tensor, row.tensor)) == row.start == other.end - 1
            if not apart and not handed:
                found.append(f"{row} overlaps {other}")
        alive.append(row)
    return found


def _bandwidth_violations(
    instance: MappingInstance, fast: NDArray[np.bool_], copies: list[_Row], supply: str
) -> list[str]:
    """Whether all copies fit: earliest deadline first is optimal where work may be interrupted (Jackson 1955)."""
    hbm_time, fast_time = _times(instance, fast)
    if supply == "idle":
        supplies = [(np.maximum(instance.op_compute, hbm_time + fast_time) - hbm_time, copies)]
    else:
        whole = np.maximum(instance.op_compute, _times(instance, np.zeros_like(fast))[0])
        supplies = [(whole, [row for row in copies if row.kind == kind]) for kind in ("copy_in", "copy_out")]
    found = []
    for supplied, rows in supplies:
        waiting = sorted(rows, key=lambda row: row.start)
        ready: list[tuple[int, int, int]] = []  # (end, position, time left)
        position = 0
        for op, available in enumerate(supplied.tolist()):
            while position < len(waiting) and waiting[position].start <= op:
                need = int(instance.tensor_copy[waiting[position].tensor])
                heapq.heappush(ready, (waiting[position].end, position, need))
                position += 1
            while ready and (available > 0 or ready[0][0] <= op):
                end, who, need = heapq.heappop(ready)
                if end <= op:
                    found.append(f"{waiting[who]}: lacks {need} ps of HBM time")
                    continue
                time = min(need, available)
                available -= time
                if need > time:
                    heapq.heappush(ready, (end, who, need - time))
        found += [f"{waiting[who]}: lacks {need} ps of HBM time" for _, who, need in ready]
    return found
