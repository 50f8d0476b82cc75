"""Programs in the making: what tracers and loaders fill, and how it becomes a `MemoryProgram`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.memory.program import MemoryProgram, TensorKind


class Role(Enum):
    """What fusion may do with an operation."""

    ANCHOR = "anchor"
    """A matrix product, convolution, reduction, gather ...: at most one in a fused operation."""
    POINTWISE = "pointwise"
    """Element by element, or a copy: joins its producer or its consumer."""
    GENERATOR = "generator"
    """Fills a tensor from nothing (zeros, ranges): made anew wherever it is read, never stored."""


@dataclass(slots=True)
class DraftTensor:
    """A tensor in the making.

    Attributes:
        name: Its name.
        size: Bytes.
        kind: Parameter, input, activation or output.
        replaces: The tensor whose bytes it overwrites in place, or -1.
    """

    name: str
    size: int
    kind: TensorKind
    replaces: int = -1


@dataclass(slots=True)
class DraftOp:
    """An operation in the making.

    Attributes:
        name: Its name; `+` joins those of fused ones.
        region: Module path.
        flops: Matrix flops.
        vector_flops: Pointwise flops.
        role: What fusion may do with it.
        reads: Bytes read of each tensor.
        writes: Bytes written of each tensor.
        keep: Whether it stays even if nothing that it writes is read (it yields a scalar that is not tracked).
    """

    name: str
    region: str = ""
    flops: int = 0
    vector_flops: int = 0
    role: Role = Role.ANCHOR
    reads: dict[int, int] = field(default_factory=dict)
    writes: dict[int, int] = field(default_factory=dict)
    keep: bool = False


@dataclass(slots=True)
class Draft:
    """Operations in execution order and the tensors they touch; every tensor is written at most once.

    Attributes:
        tensors: Tensors, referred to by their position.
        ops: Operations.
    """

    tensors: list[DraftTensor] = field(default_factory=list)
    ops: list[DraftOp] = field(default_factory=list)

    def add_tensor(
        self, name: str, size: int, kind: TensorKind = TensorKind.ACTIVATION, replaces: int = -1
    ) -> int:
        """Add a tensor and return its position."""
        self.tensors.append(DraftTensor(name, size, kind, replaces))
        return len(self.tensors) - 1

    def add_op(self, op: DraftOp) -> None:
        """Add an operation after the others."""
        self.ops.append(op)

    def alias_root(self, tensor: int) -> int:
        """The first tensor of those that `tensor` overwrites, one after the other."""
        while self.tensors[tensor].replaces >= 0:
            tensor = self.tensors[tensor].replaces
        return tensor

    def writers(self) -> dict[int, int]:
        """The operation that writes each tensor."""
        return {tensor: k for k, op in enumerate(self.ops) for tensor in op.writes}

    def readers(self) -> dict[int, set[int]]:
        """The operations that read each tensor."""
        found: dict[int, set[int]] = {}
        for k, op in enumerate(self.ops):
            for tensor in op.reads:
                found.setdefault(tensor, set()).add(k)
        return found

    def eliminate_dead(self) -> None:
        """Drop activations that nothing reads, and operations that then write nothing."""
        needed: set[int] = set()
        alive: list[DraftOp] = []
        for op in reversed(self.ops):
            op.writes = {
                t: size
                for t, size in op.writes.items()
                if t in needed or self.tensors[t].kind == TensorKind.OUTPUT
            }
            if op.writes or op.keep:
                needed |= op.reads.keys()
                alive.append(op)
        self.ops = [op for op in reversed(alive) if op.reads or op.writes]

    def build(self, name: str, source: str = "") -> MemoryProgram:
        """The program: tensors in the order of their first access, operands largest first.

        Raises:
            InvalidInstanceError: Nothing is left of the program, or it contradicts itself.
        """
        if not self.ops:
            raise InvalidInstanceError(
                f"{name or 'program'}: no operation touches a tensor; expected at least one"
            )
        regions: dict[str, int] = {}
        rows: list[tuple[int, int, int, bool]] = []
        for k, op in enumerate(self.ops):
            regions.setdefault(op.region, len(regions))
            rows += [(k, t, size, False) for t, size in _largest_first(op.reads)]
            rows += [(k, t, size, True) for t, size in _largest_first(op.writes)]
        new = {t: k for k, t in enumerate(dict.fromkeys(t for _, t, _, _ in rows))}
        tensors = [self.tensors[t] for t in new]
        return MemoryProgram(
            name=name,
            op_name=tuple(op.name for op in self.ops),
            op_region=np.array([regions[op.region] for op in self.ops], np.int32),
            op_flops=np.array([op.flops for op in self.ops], np.int64),
            op_vector_flops=np.array([op.vector_flops for op in self.ops], np.int64),
            region_name=tuple(regions),
            tensor_name=tuple(t.name for t in tensors),
            tensor_size=np.array([t.size for t in tensors], np.int64),
            tensor_kind=np.array([t.kind for t in tensors], np.int8),
            tensor_alias=np.array(self._alias_groups(new), np.int32),
            access_op=np.array([op for op, _, _, _ in rows], np.int32),
            access_tensor=np.array([new[t] for _, t, _, _ in rows], np.int32),
            access_bytes=np.array([size for _, _, size, _ in rows], np.int64),
            access_write=np.array([write for _, _, _, write in rows], np.bool_),
            source=source,
        )

    def _alias_groups(self, new: Mapping[int, int]) -> list[int]:
        """Group number of each tensor that is left, -1 where it shares with none."""
        members: dict[int, list[int]] = {}
        for t in new:
            members.setdefault(self.alias_root(t), []).append(t)
        shared = [group for group in members.values() if len(group) > 1]
        group_of = {t: number for number, group in enumerate(shared) for t in group}
        return [group_of.get(t, -1) for t in new]


def _largest_first(accesses: Mapping[int, int]) -> list[tuple[int, int]]:
    return sorted(accesses.items(), key=lambda item: (-item[1], item[0]))
