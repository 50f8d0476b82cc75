"""Memory programs of ONNX models (the extra `onnx`), and of the nine models that its wheel carries.

- Shapes come from ONNX's own shape inference. What depends on initialisers and constants alone is a parameter, not an operation.
- Reshape, Flatten, Squeeze, Unsqueeze, Identity and Dropout (in inference) are views.
- Matrix flops count a multiply-add as two; pointwise flops by the table below, elements of the result unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from makespan.envs.core.errors import (
    InstanceFormatError,
    InvalidInstanceError,
    MakespanError,
    UnknownNameError,
)
from makespan.envs.memory.draft import Draft, DraftOp, Role
from makespan.envs.memory.fusion import fuse
from makespan.envs.memory.program import MemoryProgram, TensorKind

if TYPE_CHECKING:
    from types import ModuleType

_VIEWS: Final = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
_CONSTANTS: Final = frozenset({"Constant", "ConstantOfShape"})
_SHAPES: Final = frozenset({"Shape", "Size"})
_POINTWISE: Final[Mapping[str, int]] = {
    "Abs": 1, "Add": 1, "BatchNormalization": 2, "Cast": 0, "Clip": 2, "Div": 1, "Elu": 5, "Erf": 4, "Exp": 4, "Gelu": 8,
    "HardSigmoid": 3, "HardSwish": 5, "LeakyRelu": 2, "Log": 4, "Max": 1, "Min": 1, "Mul": 1, "Neg": 1, "PRelu": 2, "Pow": 4,
    "Reciprocal": 1, "Relu": 1, "Sigmoid": 6, "Sqrt": 2, "Sub": 1, "Sum": 1, "Tanh": 6, "Where": 0,
}  # fmt: skip
"""Flops an element of operators that fuse; those of `BatchNormalization` with fixed statistics."""
_OTHERS: Final[Mapping[str, int]] = {
    "Concat": 0, "Expand": 0, "Gather": 0, "LayerNormalization": 7, "LogSoftmax": 5, "Pad": 0, "Resize": 0, "Slice": 0,
    "Softmax": 5, "Split": 0, "Tile": 0, "Transpose": 0, "Upsample": 0,
}  # fmt: skip
_ELEMENT_BYTES: Final[Mapping[int, int]] = {
    1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 14: 8, 15: 16, 16: 2,
}  # fmt: skip
"""Bytes of `TensorProto.DataType`s."""


def load_onnx(path: str | Path, *, fused: bool = True, name: str = "") -> MemoryProgram:
    """Make a program of an ONNX file.

    Args:
        path: The file; weights kept outside it need not be there.
        fused: Fuse pointwise operators into their neighbours.
        name: Name of the program; by default the file's.

    Raises:
        MakespanError: The package `onnx` is not installed.
        InstanceFormatError: No ONNX model, a shape that cannot be inferred, or a type of unknown size.
    """
    onnx = _onnx()
    path = Path(path)
    try:
        model = onnx.load(str(path), load_external_data=False)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except OSError:
        raise
    except Exception as error:  # protobuf's and onnx's own errors
        raise InstanceFormatError(
            f"{path}: {type(error).__name__}: {str(error)[:200]}; expected an ONNX model"
        ) from error
    reader = _Reader(onnx, model.graph, str(path))
    reader.read()
    if fused:
        fuse(reader.draft)
    else:
        reader.draft.eliminate_dead()
    try:
        return reader.draft.build(name or path.stem, f"ONNX, {'fused' if fused else 'unfused'}")
    except InvalidInstanceError as error:
        raise InstanceFormatError(f"{path}: {error}") from error


def light_models() -> dict[str, Path]:
    """The models that the wheel of `onnx` carries (Apache-2.0), weights left out: name -> file.

    Raises:
        MakespanError: The package `onnx` is not installed.
    """
    folder = Path(str(_onnx().__file__)).parent / "backend" / "test" / "data" / "light"
    return {p.stem.removeprefix("light_"): p for p in sorted(folder.glob("*.onnx"))}


def load_light_model(name: str) -> MemoryProgram:
    """One of the wheel's models as a program.

    Raises:
        MakespanError: The package `onnx` is not installed.
        UnknownNameError: It carries no such model.
    """
    models = light_models()
    if name not in models:
        raise UnknownNameError("ONNX model", name, models)
    return load_onnx(models[name], name=name)


def _onnx() -> ModuleType:
    try:
        import onnx
        import onnx.shape_inference
    except ModuleNotFoundError as error:
        raise MakespanError("ONNX models need the package 'onnx': pip install makespan[onnx]") from error
    return onnx  # type: ignore[no-any-return]


class _Reader:
    """Walks a graph in its order, which is a topological one."""

    def __init__(self, onnx: ModuleType, graph: Any, source: str) -> None:
        self.onnx, self.graph, self.source = onnx, graph, source
        self.draft = Draft()
        self._types = {v.name: v.type.tensor_type for v in (*graph.input, *graph.value_info, *graph.output)}
        self._tensor: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._constant: set[str] = set()

    def read(self) -> None:
        for weight in self.graph.initializer:
            self._shapes[weight.name] = tuple(weight.dims)
            size = math.prod(weight.dims) * self._element(weight.data_type, weight.name)
            self._add(weight.name, size, TensorKind.PARAMETER)
            self._constant.add(weight.name)
        for value in self.graph.input:
            if value.name not in self._constant:
                self._add(value.name, self._bytes(value.name), TensorKind.INPUT)
        for node in self.graph.node:
            self._read_node(node)
        for value in self.graph.output:
            tensor = self._tensor.get(value.name, -1)
            if tensor >= 0 and self.draft.tensors[tensor].kind == TensorKind.ACTIVATION:
                self.draft.tensors[tensor].kind = TensorKind.OUTPUT

    def _read_node(self, node: Any) -> None:
        inputs = [name for name in node.input if name]
        if node.op_type in _CONSTANTS | _SHAPES or all(name in self._constant for name in inputs):
            for name in node.output:
                self._constant.add(name)
                if self._is_known(name):
                    self._add(name, self._bytes(name), TensorKind.PARAMETER)
            return
        if node.op_type in _VIEWS:
            if inputs[0] in self._tensor:
                self._tensor[node.output[0]] = self._tensor[inputs[0]]
            return
        self._operation(node, inputs)

    def _operation(self, node: Any, inputs: Sequence[str]) -> None:
        results = [name for k, name in enumerate(node.output) if name and (k == 0 or self._is_known(name))]
        role = Role.POINTWISE if node.op_type in _POINTWISE else Role.ANCHOR
        op = DraftOp(node.op_type, node.name.rpartition("/")[0], role=role)
        for position, name in enumerate(inputs):
            tensor = self._tensor.get(name, -1)
            if tensor < 0:
                continue  # empty, or a shape that nothing but views needs
            size = self.draft.tensors[tensor].size
            if node.op_type in ("Gather", "Slice") and position == 0:
                size = min(size, max(self._bytes(results[0]), 1))
            op.reads[tensor] = max(size, op.reads.get(tensor, 0))
        op.flops = self._matrix_flops(node, inputs, results)
        op.vector_flops = 0 if op.flops else self._vector_flops(node, inputs, results)
        for name in results:
            self._add(name, self._bytes(name), TensorKind.ACTIVATION)
            if self._tensor.get(name, -1) >= 0:
                op.writes[self._tensor[name]] = self.draft.tensors[self._tensor[name]].size
        if op.reads or op.writes:
            self.draft.add_op(op)

    def _matrix_flops(self, node: Any, inputs: Sequence[str], results: Sequence[str]) -> int:
        if node.op_type in ("Conv", "ConvTranspose"):
            kernel = self._shape(
                inputs[1]
            )  # Conv: (out, in / groups, ...); ConvTranspose: (in, out / groups, ...)
            scanned = results[0] if node.op_type == "Conv" else inputs[0]
            return 2 * math.prod(self._shape(scanned)) * math.prod(kernel[1:])
        if node.op_type == "Gemm":
            left = self._shape(inputs[0])
            return (
                2 * math.prod(self._shape(results[0])) * left[0 if self._attribute(node, "transA", 0) else 1]
            )
        if node.op_type == "MatMul":
            return 2 * math.prod(self._shape(results[0])) * self._shape(inputs[0])[-1]
        return 0

    def _vector_flops(self, node: Any, inputs: Sequence[str], results: Sequence[str]) -> int:
        elements = math.prod(self._shape(results[0]))
        if node.op_type in _POINTWISE:
            operands = len(inputs) - 1 if node.op_type in ("Max", "Min", "Sum") else 1
            return _POINTWISE[node.op_type] * elements * max(operands, 1)
        if node.op_type in ("MaxPool", "AveragePool"):
            return math.prod(self._attribute(node, "kernel_shape", [1])) * elements
        if node.op_type == "LRN":
            return (
                2 * self._attribute(node, "size", 1) + 6
            ) * elements  # squares, their sum, a power, a quotient
        return (
            _OTHERS[node.op_type] * elements if node.op_type in _OTHERS else math.prod(self._shape(inputs[0]))
        )

    def _attribute(self, node: Any, key: str, default: Any) -> Any:
        for attribute in node.attribute:
            if attribute.name == key:
                return self.onnx.helper.get_attribute_value(attribute)
        return default

    def _add(self, name: str, size: int, kind: TensorKind) -> None:
        self._tensor[name] = self.draft.add_tensor(name, size, kind) if size else -1

    def _is_known(self, name: str) -> bool:
        kind = self._types.get(name)
        return (
            kind is not None
            and kind.HasField("shape")
            and all(d.HasField("dim_value") for d in kind.shape.dim)
        )

    def _shape(self, name: str) -> tuple[int, ...]:
        if name not in self._shapes:
            if not self._is_known(name):
                raise InstanceFormatError(
                    f"{self.source}: the shape of {name!r} cannot be inferred; expected fixed input shapes"
                )
            self._shapes[name] = tuple(d.dim_value for d in self._types[name].shape.dim)
        return self._shapes[name]

    def _bytes(self, name: str) -> int:
        return math.prod(self._shape(name)) * self._element(self._types[name].elem_type, name)

    def _element(self, data_type: int, name: str) -> int:
        if data_type not in _ELEMENT_BYTES:
            raise InstanceFormatError(
                f"{self.source}: {name!r} has elements of type {data_type}, of unknown size"
            )
        return _ELEMENT_BYTES[data_type]
