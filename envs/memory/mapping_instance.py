"""A mapping problem: a program on a piece of hardware, with every cost as a whole number of picoseconds.

Costs are rounded once, here, so that latencies are exact sums of integers. An access served from HBM costs
`access_hbm` of its operation's time, one served from fast memory `access_fast`; an operation takes
max(compute, all its accesses), and a copy of a tensor between the memories takes `tensor_copy` of HBM time (the cost
model of XLA's memory-space assignment without its overheads, cost_analysis.cc).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.memory.hardware import Hardware
from makespan.envs.memory.program import MemoryProgram

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

PICOSECONDS: Final = 10**12
PARAMETER: Final = 0
INPUT: Final = 1
ACTIVATION: Final = 2
OUTPUT: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class MappingInstance:
    """A program to be mapped onto a fast memory.

    Accesses are numbered in program order, tensors and operations as in the program. A tensor's *heir* is the tensor that
    an operation writes in place of it: both are in one alias group and of one size, the operation reads the one and
    writes the other, and nothing reads the one afterwards. Members of an alias group that do not meet like that are
    tensors of their own.

    Attributes:
        program: What is to be run.
        hardware: Rates, capacity and alignment.
        name: The program's name unless given.
        op_compute: (O,) int64 ps, the longer of matrix and vector work.
        op_hbm: (O,) int64 ps, all accesses served from HBM.
        op_first: (O + 1,) int32, offsets of the operations' accesses.
        access_op: (A,) int32.
        access_tensor: (A,) int32.
        access_hbm: (A,) int64 ps, if served from HBM.
        access_fast: (A,) int64 ps, if served from fast memory; never more than from HBM.
        access_previous: (A,) int32, the tensor's access before, -1 at its first.
        access_next: (A,) int32, the tensor's access after, -1 at its last.
        tensor_units: (T,) int64, size in alignment units, rounded up; capacity + 1 for all that do not fit at all.
        tensor_copy: (T,) int64 ps of HBM time for a copy in either direction.
        tensor_first: (T,) int32, first access, -1 where there is none.
        tensor_last: (T,) int32, last access.
        tensor_heir: (T,) int32, the tensor written in its place, -1 where there is none.
        tensor_donor: (T,) int32, the tensor in whose place it is written.
        access_benefit: (A,) int64 ps that its operation would be shorter if it alone were served from fast memory.
        access_remaining: (A,) int64 ps, benefits of the tensor from this access on.
        access_uses: (A,) int32, accesses of the tensor from this one on.
        tensor_boundedness: (T,) float64 ps, XLA's memory boundedness (cost_analysis.cc): benefits and, where an operation
            is bound by compute, its negative slack, added up where both are positive, else the larger.
        capacity: Fast memory in alignment units.
        hbm_latency: Latency in ps if nothing is ever in fast memory.
        unlimited_latency: Latency in ps if everything always is.
        compulsory_time: HBM time in ps that no mapping avoids: every parameter and input has to be read once, every output
            written once, by the operation itself or by a copy.

    Raises:
        InvalidInstanceError: The program or the hardware contradicts itself; the message names the field.
    """

    program: MemoryProgram
    hardware: Hardware
    name: str = ""
    op_compute: I64 = field(init=False, repr=False)
    op_hbm: I64 = field(init=False, repr=False)
    op_first: I32 = field(init=False, repr=False)
    access_op: I32 = field(init=False, repr=False)
    access_tensor: I32 = field(init=False, repr=False)
    access_hbm: I64 = field(init=False, repr=False)
    access_fast: I64 = field(init=False, repr=False)
    access_previous: I32 = field(init=False, repr=False)
    access_next: I32 = field(init=False, repr=False)
    tensor_units: I64 = field(init=False, repr=False)
    tensor_copy: I64 = field(init=False, repr=False)
    tensor_first: I32 = field(init=False, repr=False)
    tensor_last: I32 = field(init=False, repr=False)
    tensor_heir: I32 = field(init=False, repr=False)
    tensor_donor: I32 = field(init=False, repr=False)
    access_benefit: I64 = field(init=False, repr=False)
    access_remaining: I64 = field(init=False, repr=False)
    access_uses: I32 = field(init=False, repr=False)
    tensor_boundedness: NDArray[np.float64] = field(init=False, repr=False)
    capacity: int = field(init=False, repr=False)
    hbm_latency: int = field(init=False, repr=False)
    unlimited_latency: int = field(init=False, repr=False)
    compulsory_time: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        program, hardware = self.program, self.hardware
        if not self.name:
            object.__setattr__(self, "name", program.name)
        arrays = {**_costs(program, hardware), **_accesses(program)}
        capacity = hardware.capacity // hardware.alignment
        units = -(-program.tensor_size // hardware.alignment)
        arrays["tensor_units"] = np.minimum(units, capacity + 1)
        arrays["tensor_heir"], arrays["tensor_donor"] = _heirs(program, arrays)
        arrays |= _benefits(program, arrays)
        for key, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        object.__setattr__(self, "capacity", capacity)
        latency = int(np.maximum(self.op_compute, self.op_hbm).sum())
        if not 0 < latency < 2**62:
            raise InvalidInstanceError(f"latency: {latency} ps from HBM; expected 1..2^62")
        object.__setattr__(self, "hbm_latency", latency)
        object.__setattr__(self, "unlimited_latency", self._unlimited())
        object.__setattr__(self, "compulsory_time", self._compulsory())

    def _unlimited(self) -> int:
        fast = np.zeros(self.num_ops, np.int64)
        np.add.at(fast, self.access_op, self.access_fast)
        return int(np.maximum(self.op_compute, fast).sum())

    def _compulsory(self) -> int:
        needed = (self.tensor_kind != ACTIVATION) & (self.tensor_first >= 0)
        once = np.minimum(self.access_hbm[self.tensor_first], self.tensor_copy)
        return int(once[needed].sum())

    @property
    def lower_bound(self) -> int:
        """Latency in ps that no mapping beats: unlimited fast memory, or the compulsory HBM traffic alone."""
        return max(self.unlimited_latency, self.compulsory_time)

    @property
    def num_ops(self) -> int:
        """Operations of the program."""
        return int(self.program.num_ops)

    @property
    def num_tensors(self) -> int:
        """Tensors of the program."""
        return int(self.program.num_tensors)

    @property
    def num_accesses(self) -> int:
        """Accesses of the program: at most so many decisions."""
        return int(self.program.num_accesses)

    @property
    def num_regions(self) -> int:
        """Regions of the program."""
        return int(self.program.num_regions)

    @property
    def access_write(self) -> NDArray[np.bool_]:
        """(A,) bool, whether the access produces its tensor."""
        return self.program.access_write

    @property
    def tensor_kind(self) -> NDArray[np.int8]:
        """(T,) int8: 0 parameter, 1 input, 2 activation, 3 output."""
        return self.program.tensor_kind

    def accesses_of(self, tensor: int) -> list[int]:
        """Accesses of a tensor in program order."""
        found, access = [], int(self.tensor_first[tensor])
        while access >= 0:
            found.append(access)
            access = int(self.access_next[access])
        return found


def _picoseconds(amounts: NDArray[Any], per_second: int) -> I64:
    """Amounts / rate in ps, rounded up; Python's integers, because the products outgrow 64 bits."""
    return np.array([-(-int(amount) * PICOSECONDS // per_second) for amount in amounts.tolist()], np.int64)


def _costs(program: MemoryProgram, hardware: Hardware) -> dict[str, NDArray[Any]]:
    matrix = _picoseconds(program.op_flops, hardware.matrix_flops_per_s)
    vector = _picoseconds(program.op_vector_flops, hardware.vector_flops_per_s)
    hbm = _picoseconds(program.access_bytes, hardware.hbm_bytes_per_s)
    op_hbm = np.zeros(program.num_ops, np.int64)
    np.add.at(op_hbm, program.access_op, hbm)
    return {
        "op_compute": np.maximum(matrix, vector),
        "op_hbm": op_hbm,
        "access_hbm": hbm,
        "access_fast": _picoseconds(program.access_bytes, hardware.fast_bytes_per_s),
        "tensor_copy": _picoseconds(program.tensor_size, hardware.hbm_bytes_per_s),
    }


def _accesses(program: MemoryProgram) -> dict[str, NDArray[Any]]:
    """Links between the accesses of each tensor."""
    A, T = program.num_accesses, program.num_tensors
    op, tensor = program.access_op.astype(np.int32), program.access_tensor.astype(np.int32)
    previous, following = np.full(A, -1, np.int32), np.full(A, -1, np.int32)
    first, last = np.full(T, -1, np.int32), np.full(T, -1, np.int32)
    for access, t in enumerate(tensor.tolist()):
        if last[t] >= 0:
            previous[access], following[last[t]] = last[t], access
        else:
            first[t] = access
        last[t] = access
    return {
        "op_first": np.searchsorted(op, np.arange(program.num_ops + 1)).astype(np.int32),
        "access_op": op,
        "access_tensor": tensor,
        "access_previous": previous,
        "access_next": following,
        "tensor_first": first,
        "tensor_last": last,
    }


def _heirs(program: MemoryProgram, arrays: dict[str, NDArray[Any]]) -> tuple[I32, I32]:
    """(T,) the tensor written in place of each, and the reverse; -1 where there is none."""
    T = program.num_tensors
    heir, donor = np.full(T, -1, np.int32), np.full(T, -1, np.int32)
    first, last = arrays["tensor_first"], arrays["tensor_last"]
    groups: dict[int, list[int]] = {}
    for t in np.argsort(first, kind="stable").tolist():
        if program.tensor_alias[t] >= 0:
            groups.setdefault(int(program.tensor_alias[t]), []).append(t)
    for members in groups.values():
        for mate, t in pairwise(members):
            meet = program.access_op[last[mate]] == program.access_op[first[t]]
            if meet and not program.access_write[last[mate]] and program.tensor_kind[mate] != OUTPUT:
                heir[mate], donor[t] = t, mate
    return heir, donor


def _benefits(program: MemoryProgram, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What each access alone would save, summed up along each tensor."""
    compute, op_hbm = arrays["op_compute"][arrays["access_op"]], arrays["op_hbm"][arrays["access_op"]]
    moved = op_hbm - arrays["access_hbm"] + arrays["access_fast"]
    benefit = np.maximum(compute, op_hbm) - np.maximum(compute, moved)
    remaining, uses = benefit.copy(), np.ones(program.num_accesses, np.int32)
    # the gain of an operand of a memory-bound operation, the negative slack of one of a compute-bound one
    bound = np.where(op_hbm > compute, op_hbm - moved, np.minimum(op_hbm - compute, 0)).astype(np.float64)
    boundedness = np.zeros(program.num_tensors)
    for access in range(program.num_accesses - 1, -1, -1):
        following = arrays["access_next"][access]
        if following >= 0:
            remaining[access] += remaining[following]
            uses[access] += uses[following]
    for access, t in enumerate(arrays["access_tensor"].tolist()):
        if arrays["access_previous"][access] < 0:
            boundedness[t] = bound[access]
        elif boundedness[t] > 0 and bound[access] > 0:
            boundedness[t] += bound[access]
        else:
            boundedness[t] = max(boundedness[t], bound[access])
    return {
        "access_benefit": benefit,
        "access_remaining": remaining,
        "access_uses": uses,
        "tensor_boundedness": boundedness,
    }
