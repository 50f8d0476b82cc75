"""Memory programs from the text of optimised HLO, which XLA prints for a compiled function.

In JAX: `jax.jit(function).lower(*arguments).compile().as_text()`; fusions are formed and the order of the text is the schedule.
The text is no stable format: what is not understood but harmless is passed over, anything else is refused by line.

- Instructions of the entry computation are the operations; a fusion counts the flops of the instructions in it.
- Tuples, their elements and bitcasts are views. Results of up to 8 bytes live in registers and are not tracked.
- A loop is one operation, which touches its carried tensors once and computes as often as its known trip count says, or
  five times, as XLA's memory-space assignment assumes. Custom calls count no flops: the text does not say what they do.
- What an operand's only uses in a fusion slice or gather counts as touched, not the whole tensor.
- Arguments that the module aliases to results are parameters, updated in place; the others are inputs unless told otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError
from makespan.envs.memory.draft import Draft, DraftOp
from makespan.envs.memory.hlo_text import Instruction, Module, Shape, parse_module
from makespan.envs.memory.program import MemoryProgram, TensorKind

Value: TypeAlias = "int | list[Value] | None"
"""A tensor of the draft, None for what is not tracked, or a tuple of them."""

REGISTER_BYTES: Final = 8
UNKNOWN_TRIPS: Final = 5
_VIEWS: Final = frozenset({"bitcast", "optimization-barrier", "copy-done"})
_SLICES: Final = frozenset({"gather", "dynamic-slice", "slice"})
_NO_FLOPS: Final = frozenset(
    {
        "all-gather", "bitcast", "bitcast-convert", "broadcast", "concatenate", "constant", "convert", "copy", "copy-start",
        "custom-call", "dynamic-slice", "dynamic-update-slice", "gather", "get-tuple-element", "iota", "pad", "parameter",
        "reshape", "reverse", "rng-bit-generator", "scatter", "select", "slice", "sort", "transpose", "tuple",
    }
)  # fmt: skip
_ELEMENTARY: Final = frozenset(
    {
        "atan2", "cbrt", "cosine", "erf", "exponential", "exponential-minus-one", "log", "log-plus-one", "logistic", "power",
        "sine", "tan", "tanh",
    }
)  # fmt: skip
_CALLS: Final = ("calls", "to_apply", "body", "condition")


def load_hlo(path: str | Path, *, num_parameters: int = 0) -> MemoryProgram:
    """Read a program from a file of HLO text; see `parse_hlo`.

    Raises:
        InstanceFormatError: The file is malformed; the message names file and line.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InstanceFormatError(f"{path}: not a text file; expected HLO text") from error
    return parse_hlo(text, source=str(path), num_parameters=num_parameters)


def parse_hlo(text: str, *, source: str = "<text>", name: str = "", num_parameters: int = 0) -> MemoryProgram:
    """Make a program of HLO text.

    Args:
        text: What XLA printed.
        source: What error messages call it.
        name: Name of the program; by default the module's.
        num_parameters: So many leading arguments are parameters; those updated in place are anyway.

    Raises:
        InstanceFormatError: The text is malformed or nothing that this reader understands; the message names the line.
    """
    module = parse_module(text, source)
    reader = _Reader(module, source)
    reader.read(num_parameters)
    reader.draft.eliminate_dead()
    try:
        return reader.draft.build(name or module.name, "optimised HLO of XLA")
    except InvalidInstanceError as error:
        raise InstanceFormatError(f"{source}: {error}") from error


@dataclass(frozen=True)
class _Work:
    """Flops of an instruction, with those of the computations that it calls."""

    matrix: int = 0
    vector: int = 0

    def plus(self, other: _Work, times: int = 1) -> _Work:
        return _Work(self.matrix + times * other.matrix, self.vector + times * other.vector)


class _Reader:
    """Walks the entry computation."""

    def __init__(self, module: Module, source: str) -> None:
        self.module, self.source = module, source
        self.draft = Draft()
        self._values: dict[str, Value] = {}
        self._work: dict[str, _Work] = {}

    def read(self, num_parameters: int) -> None:
        arguments: dict[int, Value] = {}
        for instruction in self.module.entry.instructions:
            if instruction.opcode == "parameter":
                number = instruction.number
                given = number < num_parameters or number in self.module.aliases.values()
                kind = TensorKind.PARAMETER if given else TensorKind.INPUT
                arguments[number] = self._values[instruction.name] = self._tensors(
                    instruction.shape, instruction.name, kind
                )
            else:
                self._values[instruction.name] = self._value(instruction)
        self._mark_outputs(arguments)

    def _value(self, instruction: Instruction) -> Value:
        """What an instruction returns; one that is no view becomes an operation."""
        operands = [self._operand(instruction, name) for name in instruction.operands]
        if instruction.opcode == "tuple":
            return operands
        if instruction.opcode == "get-tuple-element":
            first = operands[0]
            if not isinstance(first, list) or instruction.number >= len(first):
                raise self._refuse(instruction, "no such element of a tuple")
            return first[instruction.number]
        if instruction.opcode in _VIEWS:
            first = operands[0]
            return first[0] if instruction.opcode == "copy-done" and isinstance(first, list) else first
        if instruction.opcode == "constant":
            return self._tensors(instruction.shape, instruction.name, TensorKind.PARAMETER)
        if instruction.opcode.endswith(("-start", "-done")) and instruction.opcode != "copy-start":
            raise self._refuse(instruction, f"the asynchronous {instruction.opcode} is not supported")
        return self._operation(instruction, operands)

    def _operation(self, instruction: Instruction, operands: list[Value]) -> Value:
        work = self._work_of(instruction)
        title = _title(instruction)
        op = DraftOp(title, instruction.region, work.matrix, work.vector)
        for position, value in enumerate(operands):
            limit = self._touched(instruction, position)
            for tensor in _flat(value):
                size = self.draft.tensors[tensor].size
                touched = size if limit is None or isinstance(value, list) else min(max(limit, 1), size)
                op.reads[tensor] = max(op.reads.get(tensor, 0), touched)
        if instruction.opcode == "copy-start":  # (destination, source, context)
            result: Value = [self._tensors(instruction.shape.parts[0], title), operands[0], None]
            written = _flat(result[0]) if isinstance(result, list) else []
        else:
            result = self._tensors(instruction.shape, instruction.name)
            written = _flat(result)
        op.writes = {tensor: self.draft.tensors[tensor].size for tensor in written}
        op.keep = not op.writes and bool(op.reads)
        self.draft.add_op(op)
        return result

    def _mark_outputs(self, arguments: dict[int, Value]) -> None:
        """Results reach HBM; those that the module lets overwrite an argument do so, if nothing reads it afterwards."""
        root = self._values[self.module.entry.root.name]
        parts = root if isinstance(root, list) else [root]
        writer, readers = self.draft.writers(), self.draft.readers()
        used: set[int] = set()
        for index, part in enumerate(parts):
            for tensor in _flat(part):
                if self.draft.tensors[tensor].kind == TensorKind.ACTIVATION:
                    self.draft.tensors[tensor].kind = TensorKind.OUTPUT
            old = arguments.get(self.module.aliases.get(index, -1))
            if not isinstance(part, int) or not isinstance(old, int) or part not in writer or old in used:
                continue
            after = any(op > writer[part] for op in readers.get(old, ()))
            if not after and self.draft.tensors[part].size == self.draft.tensors[old].size:
                self.draft.tensors[part].replaces = old
                used.add(old)

    def _tensors(self, shape: Shape, name: str, kind: TensorKind = TensorKind.ACTIVATION) -> Value:
        """New tensors for a shape."""
        if shape.is_tuple:
            return [self._tensors(part, f"{name}.{k}", kind) for k, part in enumerate(shape.parts)]
        if shape.bytes <= REGISTER_BYTES:
            return None
        return self.draft.add_tensor(name, shape.bytes, kind)

    def _operand(self, instruction: Instruction, name: str) -> Value:
        if name not in self._values:
            raise self._refuse(instruction, f"operand %{name} is not defined before")
        return self._values[name]

    def _touched(self, instruction: Instruction, position: int) -> int | None:
        """Bytes of an operand that are touched, where less than all of it."""
        if instruction.opcode in _SLICES and position == 0:
            return instruction.shape.bytes
        called = self.module.computations.get(instruction.attribute("calls"))
        if instruction.opcode != "fusion" or called is None:
            return None
        own = [i.name for i in called.instructions if i.opcode == "parameter" and i.number == position]
        uses = [i for i in called.instructions if own and own[0] in i.operands]
        if uses and all(u.opcode in _SLICES and u.operands[0] == own[0] for u in uses):
            return sum(u.shape.bytes for u in uses)
        return None

    def _work_of(self, instruction: Instruction) -> _Work:
        """Flops, by the rules at the top of this module."""
        opcode, elements = instruction.opcode, instruction.shape.elements
        if opcode == "dot":
            return _Work(matrix=2 * elements * self._contracted(instruction))
        if opcode == "convolution":
            return _Work(matrix=2 * elements * self._kernel(instruction))
        if opcode in ("reduce", "reduce-window", "select-and-scatter"):
            return _Work(vector=self._reduced(instruction))
        total = _Work()
        times = instruction.trip_count or UNKNOWN_TRIPS if opcode == "while" else 1
        called = [instruction.attribute(key) for key in _CALLS if instruction.attribute(key)]
        if opcode in ("fusion", "call", "while", "map"):
            for name in called:
                total = total.plus(self._work_in(name), elements if opcode == "map" else times)
            return total
        if opcode in _NO_FLOPS:
            return total
        return _Work(vector=elements * (4 if opcode in _ELEMENTARY else 1))

    def _work_in(self, name: str) -> _Work:
        """Flops of a computation."""
        if name not in self._work:
            self._work[name] = _Work()  # a recursion, which HLO has none of, would end here
            computation = self.module.computations.get(name)
            if computation is None:
                raise InstanceFormatError(f"{self.source}: computation %{name} is called but not defined")
            total = _Work()
            for instruction in computation.instructions:
                shapes = {i.name: i.shape for i in computation.instructions}
                total = total.plus(self._work_of(replace(instruction, scope=shapes)))
            self._work[name] = total
        return self._work[name]

    def _shape(self, instruction: Instruction, position: int) -> Shape:
        scope = instruction.scope or self.module.entry.shapes
        if position >= len(instruction.operands) or instruction.operands[position] not in scope:
            raise self._refuse(instruction, f"operand {position} has no known shape")
        return scope[instruction.operands[position]]

    def _contracted(self, instruction: Instruction) -> int:
        left = self._shape(instruction, 0)
        extent = 1
        for axis in instruction.numbers("lhs_contracting_dims"):
            if axis >= len(left.dimensions):
                raise self._refuse(instruction, f"lhs_contracting_dims {axis} of a shape {left.dimensions}")
            extent *= left.dimensions[axis]
        return extent

    def _kernel(self, instruction: Instruction) -> int:
        """Multiply-adds for an element of a convolution's result: kernel positions times channels of a group."""
        kernel = self._shape(instruction, 1)
        labels = re.search(r"_(\w+)->", instruction.attribute("dim_labels"))
        if labels is None or len(labels[1]) != len(kernel.dimensions) or "o" not in labels[1]:
            raise self._refuse(instruction, "dim_labels; expected some like b01f_01io->b01f")
        return kernel.elements // max(kernel.dimensions[labels[1].index("o")], 1)

    def _reduced(self, instruction: Instruction) -> int:
        """An operation for each element that is reduced."""
        window = re.search(r"size=([\dx]+)", instruction.attribute("window"))
        if window is None:
            return self._shape(instruction, 0).elements
        positions = 1
        for extent in window[1].split("x"):
            positions *= int(extent)
        return positions * instruction.shape.elements

    def _refuse(self, instruction: Instruction, why: str) -> InstanceFormatError:
        return InstanceFormatError(f"{self.source}, line {instruction.line}: %{instruction.name}: {why}")


def _title(instruction: Instruction) -> str:
    """`fusion` says little: XLA's name for it lists what is in it."""
    if instruction.opcode != "fusion":
        return instruction.opcode
    return re.sub(r"[.\d]+$", "", instruction.name)


def _flat(value: Value) -> list[int]:
    """Tensors of a value."""
    if isinstance(value, list):
        return [tensor for part in value for tensor in _flat(part)]
    return [] if value is None else [value]
