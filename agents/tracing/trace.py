"""Trace a PyTorch module into a memory program: its forward pass, or a whole training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map

from makespan.agents.tracing.recorder import Recorder
from makespan.envs.core.errors import MakespanError
from makespan.envs.memory.draft import Draft
from makespan.envs.memory.fusion import fuse
from makespan.envs.memory.program import MemoryProgram, TensorKind

Inputs = Tensor | Sequence[Any] | Mapping[str, Any]
Loss = Callable[[Any], Tensor]

LEARNING_RATE: Final = 0.01  # its value leaves no trace


class TraceError(MakespanError, RuntimeError):
    """A module that cannot be traced; the message says what went wrong where."""


def trace(
    module: nn.Module,
    inputs: Inputs,
    *,
    training: bool = False,
    loss: Loss | None = None,
    dtype: torch.dtype | None = None,
    fused: bool = True,
    name: str = "",
) -> MemoryProgram:
    """Trace a module on the meta device: no memory, no arithmetic, any batch size.

    Every ATen operator that runs is recorded below autograd, in execution order; views share their tensor's storage and are no
    operations. Matrix flops are those of `torch.utils.flop_counter.FlopCounterMode`, to the last. Regions are the
    paths of submodules; the backward pass of `encoder.0` is `backward.encoder.0`. The module itself is left as it was.

    A training step is: forward pass, loss, gradients of all parameters, then plain SGD in place, parameter after parameter. The
    updated parameters (and running statistics) alias the old ones.

    Args:
        module: The module, on any device.
        inputs: Its arguments, of which tensors count by shape and type only: a tensor, a sequence of positional ones, or a
            mapping of keywords.
        training: Trace a training step in training mode, rather than a forward pass in evaluation mode.
        loss: From the module's output to a scalar; by default a scalar output itself, or else the mean square of every floating
            output. Only for training.
        dtype: Type that floating parameters, buffers and inputs are taken to have; None leaves them.
        fused: Fuse pointwise operations into their neighbours, as a compiler would (`makespan.envs.memory.fusion`).
        name: Name of the program; by default the module's class.

    Raises:
        TraceError: The module fails on meta tensors, e.g. because it looks at values, or it has nothing to train.
    """
    name = name or type(module).__name__
    draft = record(module, inputs, training=training, loss=loss, dtype=dtype, name=name)
    if fused:
        fuse(draft)
    else:
        draft.eliminate_dead()
    parts = ["training step" if training else "forward pass", "fused" if fused else "unfused"]
    return draft.build(name, f"PyTorch {torch.__version__.partition('+')[0]}, {', '.join(parts)}")


def record(
    module: nn.Module,
    inputs: Inputs,
    *,
    training: bool = False,
    loss: Loss | None = None,
    dtype: torch.dtype | None = None,
    name: str = "",
) -> Draft:
    """The operators of a module as they run, unfused and with what turns out to be unused; see `trace`."""
    state = _MetaState(dtype)
    held = {key: state(t) for key, t in [*module.named_parameters(), *module.named_buffers()]}
    positional, keywords = _split(inputs)
    positional, keywords = tree_map(state, positional), tree_map(state, keywords)
    recorder = Recorder()
    for key, tensor in held.items():
        recorder.declare(key, tensor, TensorKind.PARAMETER)
    for k, tensor in enumerate(t for t in tree_leaves((positional, keywords)) if isinstance(t, Tensor)):
        recorder.declare(f"input.{k}", tensor, TensorKind.INPUT)

    def step() -> list[Tensor]:
        with recorder.inside(module):
            out = functional_call(module, held, tuple(positional), dict(keywords))
        return _train(recorder, out, held, loss) if training else _tensors(out)

    try:
        with torch.device("meta"), _mode(module, training), torch.set_grad_enabled(training), recorder:
            results = step()
    except MakespanError:
        raise
    except Exception as error:  # a user's module may raise anything
        raise TraceError(
            f"{name or type(module).__name__}: {type(error).__name__} in {recorder.where or 'the module'}: "
            f"{str(error).strip() or 'no message'}. A traced module must not look at the values of tensors (item(), nonzero(), "
            "a branch on a comparison), and all its tensors must be parameters, buffers or inputs"
        ) from error
    recorder.mark_outputs(results)
    return recorder.draft


def _train(recorder: Recorder, out: Any, held: Mapping[str, Tensor], loss: Loss | None) -> list[Tensor]:
    """Loss, gradients and the update of the parameters; returns the loss."""
    parameters = [t for t in held.values() if t.requires_grad]
    if not parameters:
        raise TraceError("nothing to train: no parameter of the module requires a gradient")
    recorder.region = "loss"
    value = _default_loss(out) if loss is None else loss(out)
    if not isinstance(value, Tensor) or value.numel() != 1 or value.grad_fn is None:
        raise TraceError(
            f"loss: {_describe(value)}; expected a tensor of one element that depends on a parameter"
        )
    recorder.region = "backward"
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    recorder.region = "update"
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.sub_(gradient, alpha=LEARNING_RATE)
    return [value]


def _default_loss(out: Any) -> Tensor:
    """A scalar output, or else the mean square of every floating output."""
    tensors = [t for t in _tensors(out) if t.is_floating_point()]
    if not tensors:
        raise TraceError(
            f"loss: the module returns {_describe(out)}; expected floating tensors, or give a loss"
        )
    if len(tensors) == 1 and tensors[0].numel() == 1:
        return tensors[0]
    return (
        torch.stack([t.square().mean() for t in tensors]).sum()
        if len(tensors) > 1
        else tensors[0].square().mean()
    )


class _MetaState:
    """Meta twins of tensors; a tensor that is met twice (a tied weight) has one twin."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype = dtype
        self._twins: dict[int, Tensor] = {}
        self._kept_alive: list[Tensor] = []

    def __call__(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        dtype = self.dtype if self.dtype is not None and leaf.is_floating_point() else leaf.dtype
        if id(leaf) not in self._twins:
            twin = torch.empty_strided(leaf.size(), leaf.stride(), dtype=dtype, device="meta")
            self._twins[id(leaf)] = twin.requires_grad_(leaf.requires_grad and dtype.is_floating_point)
            self._kept_alive.append(leaf)
        return self._twins[id(leaf)]


def _split(inputs: Inputs) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), inputs
    return ((inputs,) if isinstance(inputs, Tensor) else tuple(inputs)), {}


@contextmanager
def _mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Training or evaluation mode for a while; afterwards all attributes are as they were, whatever the forward pass stored."""
    before = {submodule: dict(vars(submodule)) for submodule in module.modules()}
    module.train(training)
    try:
        yield
    finally:
        for submodule, attributes in before.items():
            vars(submodule).clear()
            vars(submodule).update(attributes)


def _tensors(out: Any) -> list[Tensor]:
    """Tensors of a module's output: of nested tuples, lists, mappings, and of dataclass-like results of known libraries."""
    return [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
