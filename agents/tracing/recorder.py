"""A dispatch mode that writes down every ATen operator that runs beneath it.

Tensors are told apart by their storage: whatever shares one is one tensor, so views cost nothing, tied weights are one
parameter, and a `reshape` counts as a copy exactly where it is one. An operator that writes into a storage makes a new
version of the tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from makespan.agents.tracing import aten
from makespan.envs.memory.draft import Draft, DraftOp
from makespan.envs.memory.program import TensorKind

SCALAR_BYTES: Final = 8
"""Tensors up to this size live in registers and are not tracked: step counters, losses, loss scales."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operators on meta tensors as a `Draft`.

    Attributes:
        draft: What was recorded.
        region: Region of the operators that run now, where no module says otherwise.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draft = Draft()
        self.region = ""
        self._path: list[str] = []
        self._region_of_node: dict[int, str] = {}
        self._version: dict[int, int] = {}  # storage -> tensor of the draft
        self._kept_alive: list[torch.Tensor] = []  # a freed storage's address could be given to another
        self._counts: dict[str, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket not in flop_registry and func is not torch.ops.prim.device.default:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        region = self._current_region()
        out = func(*args, **kwargs)
        self._record(func, args, kwargs, out, region)
        return out

    def declare(self, name: str, tensor: torch.Tensor, kind: TensorKind) -> None:
        """Make a parameter or input known before the first operator; the first name of a shared storage counts."""
        storage = _storage(tensor)
        if tensor.untyped_storage().nbytes() > SCALAR_BYTES and storage not in self._version:
            size = tensor.untyped_storage().nbytes()
            self._version[storage] = self.draft.add_tensor(name, size, kind)
            self._kept_alive.append(tensor)

    def mark_outputs(self, tensors: Iterable[torch.Tensor]) -> None:
        """Results must reach HBM; so must everything that replaces a parameter or an input."""
        final = {self._version[s] for s in map(_storage, tensors) if s in self._version}
        final |= {t for t in self._version.values() if self._is_given(self.draft.alias_root(t))}
        for t in final:
            if not self._is_given(t):
                self.draft.tensors[t].kind = TensorKind.OUTPUT

    def _is_given(self, tensor: int) -> bool:
        return self.draft.tensors[tensor].kind <= TensorKind.INPUT

    @contextmanager
    def inside(self, module: nn.Module) -> Iterator[None]:
        """Attribute operators to the submodule of `module` whose forward pass they run in."""
        handles = []
        for path, submodule in module.named_modules():
            if path:
                handles.append(
                    submodule.register_forward_pre_hook(lambda *_, path=path: self._path.append(path))
                )
                handles.append(submodule.register_forward_hook(lambda *_: self._leave()))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @property
    def where(self) -> str:
        """Path of the submodule that runs now, or ran when an error struck."""
        return self._path[-1] if self._path else self.region

    def _leave(self) -> None:
        self._path.pop()

    def _current_region(self) -> str:
        """Module path; in a backward pass, that of the forward operator whose gradient this is."""
        node = torch._C._current_autograd_node()
        if node is not None:
            return self._region_of_node.get(node._sequence_nr(), self.region)
        region = self._path[-1] if self._path else self.region
        if torch.is_grad_enabled():
            number = torch.autograd._get_sequence_nr() - 1  # of the autograd node made for this operator
            self._region_of_node.setdefault(number, f"backward.{region}" if region else "backward")
        return region

    def _record(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, region: str
    ) -> None:
        name = aten.operator_name(func)
        outputs = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        self._kept_alive += outputs
        operands = [t for t in tree_leaves((args, dict(kwargs))) if isinstance(t, torch.Tensor)]
        written = [*_written(func, args, kwargs), *aten.hidden_writes(name, args)]
        known = {_storage(t) for t in operands}
        fresh = [t for t in outputs if _storage(t) not in known]
        if name in aten.NOT_RECORDED or not (written or fresh):
            return  # reserves memory, or returns a view
        op = DraftOp(
            name,
            region,
            flops=aten.matrix_flops(func, args, kwargs, out),
            role=aten.role_of(func, args),
        )
        op.vector_flops = aten.vector_flops(
            func, args, max((t.numel() for t in [*operands, *outputs]), default=0)
        )
        rows = aten.touched_rows(name, args, outputs)
        targets = {_storage(t) for t in written}
        if not aten.reads_nothing(func):
            unread = aten.shape_only(name, args)
            read = [t for t in operands if not any(t is other for other in unread)]
            self._record_reads(op, func, read, targets, rows)
        for tensor in written:
            self._write_in_place(op, tensor, rows if tensor is operands[0] else None)
        for tensor in fresh:
            self._write(op, tensor)
        op.keep = any(t.untyped_storage().nbytes() <= SCALAR_BYTES for t in fresh) and bool(op.reads)
        self.draft.add_op(op)

    def _record_reads(
        self, op: DraftOp, func: Any, operands: Sequence[torch.Tensor], targets: set[int], rows: int | None
    ) -> None:
        """Bytes of each operand; distinct views of one tensor add up, at most to its size."""
        seen: set[tuple[object, ...]] = set()
        for position, tensor in enumerate(operands):
            storage = _storage(tensor)
            version = self._version.get(storage)
            view = (storage, tensor.storage_offset(), tensor.shape, tensor.stride())
            if version is None or view in seen or not tensor.numel():
                continue
            if storage in targets and aten.overwrites(func) and position == 0:
                continue
            seen.add(view)
            touched = _bytes(tensor)
            if position == 0 and rows is not None and (op.name in aten.GATHERS or storage in targets):
                touched = min(touched, max(rows, 1))
            size = self.draft.tensors[version].size
            op.reads[version] = min(op.reads.get(version, 0) + touched, size)

    def _write(self, op: DraftOp, tensor: torch.Tensor) -> None:
        """A result in a storage of its own."""
        size = tensor.untyped_storage().nbytes()
        storage = _storage(tensor)
        if size <= SCALAR_BYTES or storage in self._version:
            return
        version = self.draft.add_tensor(self._numbered(op.name), size)
        self._version[storage] = version
        op.writes[version] = size

    def _write_in_place(self, op: DraftOp, tensor: torch.Tensor, rows: int | None) -> None:
        """A new version of a tensor. Where part of an old version shows through, that part is read as well."""
        storage = _storage(tensor)
        size = tensor.untyped_storage().nbytes()
        old = self._version.get(storage)
        if size <= SCALAR_BYTES or (old is not None and old in op.writes):
            return
        touched = min(_bytes(tensor) if rows is None else max(rows, 1), size)
        whole = touched == size
        given = old is not None and self._is_given(self.draft.alias_root(old))
        if old is not None and not whole:
            op.reads.setdefault(old, touched)
        # A compiler gives an activation that is overwritten as a whole a new place if it likes.
        replaces = old if old is not None and (given or not whole) else -1
        version = self.draft.add_tensor(self._numbered(op.name), size, replaces=replaces)
        self._version[storage] = version
        op.writes[version] = touched if old is not None else size

    def _numbered(self, name: str) -> str:
        count = self._counts.get(name, 0)
        self._counts[name] = count + 1
        return f"{name}.{count}"


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    """Arguments that the operator's schema says it writes."""
    found: list[Any] = []
    for k, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[k] if k < len(args) else kwargs.get(argument.name)
            found += tree_leaves(value)
    return [t for t in found if isinstance(t, torch.Tensor)]


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: torch.Tensor) -> int:
    """Bytes that a view shows; a dimension of stride 0 repeats what is there once."""
    elements = 1
    for extent, stride in zip(tensor.shape, tensor.stride(), strict=True):
        elements *= extent if stride else 1
    return min(elements * tensor.element_size(), tensor.untyped_storage().nbytes())
