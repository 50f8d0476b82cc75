"""Memory programs: straight-line sequences of operations that read and write tensors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError

Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]

_COLUMNS = {
    "op_region": np.int32,
    "op_flops": np.int64,
    "op_vector_flops": np.int64,
    "tensor_size": np.int64,
    "tensor_kind": np.int8,
    "tensor_alias": np.int32,
    "access_op": np.int32,
    "access_tensor": np.int32,
    "access_bytes": np.int64,
    "access_write": np.bool_,
}
_LARGEST_SUM = 2**62  # sums of bytes and of flops stay exact in int64


class TensorKind(IntEnum):
    """Where a tensor comes from, and whether it must reach HBM."""

    PARAMETER = 0
    """In HBM before the first operation; weights, buffers and constants."""
    INPUT = 1
    """In HBM before the first operation; given anew to every run."""
    ACTIVATION = 2
    """Written by an operation, read by later ones."""
    OUTPUT = 3
    """Written by an operation; must be in HBM at the end."""


@dataclass(frozen=True, slots=True, eq=False)
class MemoryProgram:
    """A program for an accelerator, as memory sees it: operations in execution order and the tensors they touch.

    A three-level hierarchy: an operation belongs to a region (the path of the module it comes from), the regions to
    the program. Parameters and inputs are in HBM before the first operation and never written; every other tensor
    is written by one access, before its first read. Tensors of one alias group share their bytes (an update in
    place): they have one size, and none is read after another of the group has been written later than itself.

    Attributes:
        name: Name of the program.
        op_name: (num_ops,) names of the operations, e.g. `convolution`.
        op_region: (num_ops,) int32, index into `region_name`.
        op_flops: (num_ops,) int64, matrix flops (a multiply-add counts two).
        op_vector_flops: (num_ops,) int64, pointwise flops.
        region_name: (num_regions,) module paths, e.g. `layers.0.attention`; `""` is the program itself.
        tensor_name: (num_tensors,) names of the tensors.
        tensor_size: (num_tensors,) int64, bytes.
        tensor_kind: (num_tensors,) int8, a `TensorKind`.
        tensor_alias: (num_tensors,) int32, alias group, or -1 for a tensor that shares its bytes with no other.
        access_op: (num_accesses,) int32, the operation, in order; each has at least one access.
        access_tensor: (num_accesses,) int32, the tensor. In an operation: what it reads, largest first, then what
            it writes.
        access_bytes: (num_accesses,) int64, bytes really touched, at most the tensor's size (a gather touches rows).
        access_write: (num_accesses,) bool, whether the access writes.
        source: How the program was made.
    """

    name: str
    op_name: tuple[str, ...]
    op_region: Int32Array
    op_flops: Int64Array
    op_vector_flops: Int64Array
    region_name: tuple[str, ...]
    tensor_name: tuple[str, ...]
    tensor_size: Int64Array
    tensor_kind: NDArray[np.int8]
    tensor_alias: Int32Array
    access_op: Int32Array
    access_tensor: Int32Array
    access_bytes: Int64Array
    access_write: NDArray[np.bool_]
    source: str = ""

    def __post_init__(self) -> None:
        for key in ("op_name", "region_name", "tensor_name"):
            object.__setattr__(self, key, tuple(getattr(self, key)))
        for key, dtype in _COLUMNS.items():
            given = np.asarray(getattr(self, key))
            array: NDArray[Any] = np.array(given, dtype=dtype, order="C")
            if array.ndim != 1 or not np.array_equal(array, given):
                raise InvalidInstanceError(
                    f"{key}: {given.dtype} of shape {given.shape}; expected a row of {array.dtype} values"
                )
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        self._validate_ops()
        self._validate_tensors()
        self._validate_accesses()
        self._validate_order()

    def _validate_ops(self) -> None:
        if not self.op_name:
            raise InvalidInstanceError("op_name: empty; expected at least one operation")
        for key in ("op_region", "op_flops", "op_vector_flops"):
            _expect_length(key, getattr(self, key), self.num_ops, "num_ops")
        _expect_range("op_region", self.op_region, 0, self.num_regions - 1, "a row of region_name")
        for key in ("op_flops", "op_vector_flops"):
            _expect_range(key, getattr(self, key), 0, _LARGEST_SUM, "flops")
        for key in ("op_flops", "op_vector_flops", "tensor_size", "access_bytes"):
            if getattr(self, key).sum(dtype=np.float64) >= _LARGEST_SUM:
                raise InvalidInstanceError(f"{key}: adds up to 2^62 or more; sums would not be exact")

    def _validate_tensors(self) -> None:
        if not self.tensor_name:
            raise InvalidInstanceError("tensor_name: empty; expected at least one tensor")
        for key in ("tensor_size", "tensor_kind", "tensor_alias"):
            _expect_length(key, getattr(self, key), self.num_tensors, "num_tensors")
        _expect_range("tensor_size", self.tensor_size, 1, _LARGEST_SUM, "bytes")
        _expect_range("tensor_kind", self.tensor_kind, 0, 3, "a TensorKind")
        _expect_range(
            "tensor_alias", self.tensor_alias, -1, self.num_tensors - 1, "an alias group, or -1 for none"
        )
        grouped = np.flatnonzero(self.tensor_alias >= 0)
        smallest = np.full(self.num_tensors, _LARGEST_SUM, np.int64)
        np.minimum.at(smallest, self.tensor_alias[grouped], self.tensor_size[grouped])
        odd = grouped[self.tensor_size[grouped] != smallest[self.tensor_alias[grouped]]]
        if odd.size:
            t = int(odd[0])
            raise InvalidInstanceError(
                f"tensor_alias: tensor {t} ({self.tensor_name[t]}) has {self.tensor_size[t]} bytes, another of group "
                f"{self.tensor_alias[t]} has {smallest[self.tensor_alias[t]]}; expected one size in a group"
            )

    def _validate_accesses(self) -> None:
        for key in ("access_tensor", "access_bytes", "access_write"):
            _expect_length(key, getattr(self, key), self.num_accesses, "num_accesses")
        _expect_range("access_op", self.access_op, 0, self.num_ops - 1, "an operation")
        _expect_range("access_tensor", self.access_tensor, 0, self.num_tensors - 1, "a tensor")
        if (np.diff(self.access_op) < 0).any():
            a = int(np.flatnonzero(np.diff(self.access_op) < 0)[0]) + 1
            raise InvalidInstanceError(
                f"access_op: access {a} is of operation {self.access_op[a]}, the one before of "
                f"{self.access_op[a - 1]}; expected program order"
            )
        silent = np.flatnonzero(np.bincount(self.access_op, minlength=self.num_ops) == 0)
        if silent.size:
            raise InvalidInstanceError(
                f"access_op: operation {silent[0]} has no access; expected at least one"
            )
        size = self.tensor_size[self.access_tensor]
        bad = np.flatnonzero((self.access_bytes < 1) | (self.access_bytes > size))
        if bad.size:
            a = int(bad[0])
            raise InvalidInstanceError(
                f"access_bytes: access {a} touches {self.access_bytes[a]} bytes of tensor {self.access_tensor[a]}; "
                f"expected 1..{size[a]}, its size"
            )
        same = np.diff(self.access_op) == 0
        late = np.flatnonzero(same & self.access_write[:-1] & ~self.access_write[1:])
        if late.size:
            a = int(late[0]) + 1
            raise InvalidInstanceError(
                f"access_write: access {a} reads after operation {self.access_op[a]} wrote; expected reads first"
            )
        keys = self.access_op.astype(np.int64) * self.num_tensors + self.access_tensor
        _, first = np.unique(keys, return_index=True)
        if first.size != keys.size:
            a = int(np.setdiff1d(np.arange(keys.size), first)[0])
            raise InvalidInstanceError(
                f"access_tensor: operation {self.access_op[a]} touches tensor {self.access_tensor[a]} twice; "
                "expected one access (an update in place writes another tensor of its alias group)"
            )

    def _validate_order(self) -> None:
        """Who writes what, and when."""
        writes = np.bincount(self.access_tensor[self.access_write], minlength=self.num_tensors)
        given = self.tensor_kind <= TensorKind.INPUT
        wrong = np.flatnonzero(writes != np.where(given, 0, 1))
        if wrong.size:
            t = int(wrong[0])
            expected = "none, as it is a parameter or an input" if given[t] else "one"
            raise InvalidInstanceError(
                f"access_write: tensor {t} ({self.tensor_name[t]}) is written {writes[t]} times; expected {expected}"
            )
        idle = np.flatnonzero(np.bincount(self.access_tensor, minlength=self.num_tensors) == 0)
        if idle.size:
            raise InvalidInstanceError(
                f"access_tensor: tensor {idle[0]} ({self.tensor_name[idle[0]]}) has no access; expected at least one"
            )
        written = self.written_at
        early = np.flatnonzero(~self.access_write & (self.access_op <= written[self.access_tensor]))
        if early.size:
            a = int(early[0])
            t = int(self.access_tensor[a])
            raise InvalidInstanceError(
                f"access_op: operation {self.access_op[a]} reads tensor {t} ({self.tensor_name[t]}), which operation "
                f"{written[t]} writes; expected an earlier one"
            )
        self._validate_aliases(written)

    def _validate_aliases(self, written: Int32Array) -> None:
        """In a group, the next member is written at or after the last read of the one before."""
        group = self.tensor_alias
        members = np.flatnonzero(group >= 0)
        members = members[np.lexsort((written[members], group[members]))]
        before, after = members[:-1], members[1:]
        together = group[before] == group[after]
        lost = np.flatnonzero(together & (self.tensor_kind[before] == TensorKind.OUTPUT))
        if lost.size:
            t = int(before[lost[0]])
            raise InvalidInstanceError(
                f"tensor_alias: tensor {t} ({self.tensor_name[t]}) is an output, and {self.tensor_name[int(after[lost[0]])]} "
                f"of group {group[t]} overwrites it; expected outputs to stay"
            )
        clash = together & ((written[before] == written[after]) | (self.last_access[before] > written[after]))
        if clash.any():
            k = int(np.flatnonzero(clash)[0])
            a, b = int(before[k]), int(after[k])
            raise InvalidInstanceError(
                f"tensor_alias: tensors {a} ({self.tensor_name[a]}) and {b} ({self.tensor_name[b]}) of group "
                f"{group[a]} are alive together; expected the second to be written when the first is no longer read"
            )

    @property
    def num_ops(self) -> int:
        """Number of operations."""
        return len(self.op_name)

    @property
    def num_regions(self) -> int:
        """Number of regions."""
        return len(self.region_name)

    @property
    def num_tensors(self) -> int:
        """Number of tensors."""
        return len(self.tensor_name)

    @property
    def num_accesses(self) -> int:
        """Number of accesses of all operations."""
        return int(self.access_op.size)

    @property
    def written_at(self) -> Int32Array:
        """(num_tensors,) int32, the operation that writes each tensor; -1 for parameters and inputs."""
        written = np.full(self.num_tensors, -1, np.int32)
        written[self.access_tensor[self.access_write]] = self.access_op[self.access_write]
        return written

    @property
    def first_access(self) -> Int32Array:
        """(num_tensors,) int32, the first operation that touches each tensor."""
        first = np.full(self.num_tensors, self.num_ops, np.int32)
        np.minimum.at(first, self.access_tensor, self.access_op)
        return first

    @property
    def last_access(self) -> Int32Array:
        """(num_tensors,) int32, the last operation that touches each tensor."""
        last = np.full(self.num_tensors, -1, np.int32)
        np.maximum.at(last, self.access_tensor, self.access_op)
        return last

    @property
    def op_bytes(self) -> Int64Array:
        """(num_ops,) int64, bytes that each operation reads and writes."""
        total = np.zeros(self.num_ops, np.int64)
        np.add.at(total, self.access_op, self.access_bytes)
        return total

    def __eq__(self, other: object) -> bool:
        """Equal programs, whatever their own names and sources."""
        if not isinstance(other, MemoryProgram):
            return NotImplemented
        names = ("op_name", "region_name", "tensor_name")
        return all(getattr(self, key) == getattr(other, key) for key in names) and all(
            np.array_equal(getattr(self, key), getattr(other, key)) for key in _COLUMNS
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def load(cls, path: str | Path) -> MemoryProgram:
        """Read a program from its JSON, gzipped if the name ends in `.gz`.

        Raises:
            InstanceFormatError: The file is malformed; the message names file and place.
        """
        from makespan.envs.memory import program_json  # it builds programs itself

        return program_json.load(path)

    def save(self, path: str | Path) -> None:
        """Write the program as JSON, gzipped if the name ends in `.gz`."""
        from makespan.envs.memory import program_json

        program_json.save(self, path)


def _expect_length(key: str, array: NDArray[np.generic], length: int, what: str) -> None:
    if array.size != length:
        raise InvalidInstanceError(f"{key}: {array.size} values; expected {length}, {what}")


def _expect_range(
    key: str, array: Int32Array | Int64Array | NDArray[np.int8], low: int, high: int, what: str
) -> None:
    bad = np.flatnonzero((array < low) | (array > high))
    if bad.size:
        raise InvalidInstanceError(f"{key}: {array[bad[0]]} in row {bad[0]}; expected {low}..{high}, {what}")
