"""What the tracer knows of PyTorch's operators: their role in fusion, their flops, and the bytes they touch.

Operators are looked up by their packet's name without a trailing underscore: `add` covers `add.Tensor` and `add_.Scalar`.
Whether an operator is pointwise is read from PyTorch's own tags; the tables add what the tags leave out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch.utils.flop_counter import flop_registry

from makespan.envs.memory.draft import Role

NOT_RECORDED: Final = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"})
"""Operators that only reserve memory."""

GENERATORS: Final = frozenset(
    {
        "arange", "eye", "full", "full_like", "fill", "linspace", "new_full", "new_ones", "new_zeros", "ones",
        "ones_like", "scalar_tensor", "tril_indices", "triu_indices", "zero", "zeros", "zeros_like",
    }
)  # fmt: skip
"""Operators that fill a tensor from nothing."""

UNREAD: Final = GENERATORS | {
    "bernoulli", "exponential", "normal", "normal_functional", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "uniform",
}  # fmt: skip
"""Operators that look at no more than the shape of their first tensor (`bernoulli.default` does, see `reads_nothing`)."""

_COPIES: Final = frozenset(
    {
        "_to_copy", "alias_copy", "clone", "constant_pad_nd", "copy", "expand_copy", "flip", "permute_copy",
        "repeat", "roll", "select_backward", "slice_backward", "t_copy", "transpose_copy", "tril", "triu", "view_copy",
    }
)  # fmt: skip
"""Not tagged pointwise, but a compiler fuses them all the same."""

GATHERS: Final = frozenset({"embedding", "gather", "index", "index_select", "nll_loss_forward", "take"})
"""Read no more rows of their first tensor than they return."""

_SCATTERS: Final[Mapping[str, int]] = {
    "index_add": 3, "index_copy": 3, "index_put": 2, "scatter": 3, "scatter_add": 3, "scatter_reduce": 3,
}  # fmt: skip
"""Touch no more of what they write into, in place, than the argument at this position holds."""

_SHAPE_ONLY: Final[Mapping[str, tuple[int, ...]]] = {
    "avg_pool2d_backward": (1,), "max_pool2d_with_indices_backward": (1,), "native_batch_norm_backward": (3, 4),
    "nll_loss_backward": (1,),
}  # fmt: skip
"""Arguments of which no more than the shape is read (running statistics: in training, which is when gradients are taken)."""

_VECTOR_FLOPS: Final[Mapping[str, int]] = {
    "_log_softmax": 5, "_log_softmax_backward_data": 4, "_native_batch_norm_legit": 5, "_safe_softmax": 5, "_softmax": 5,
    "_softmax_backward_data": 4, "cos": 4, "elu": 5, "elu_backward": 5, "erf": 4, "exp": 4, "expm1": 4, "gelu": 8,
    "gelu_backward": 12, "leaky_relu": 2, "log": 4, "log1p": 4, "log_sigmoid_forward": 8, "mish": 10, "native_batch_norm": 5,
    "native_batch_norm_backward": 8, "native_group_norm": 7, "native_group_norm_backward": 10, "native_layer_norm": 7,
    "native_layer_norm_backward": 10, "pow": 4, "rsqrt": 2, "sigmoid": 6, "sigmoid_backward": 3, "silu": 7,
    "silu_backward": 10, "sin": 4, "softplus": 9, "sqrt": 2, "tan": 4, "tanh": 6, "tanh_backward": 3, "var": 3, "var_mean": 4,
}  # fmt: skip
"""Flops an element where it is not one: a convention of ours (an elementary function counts four, a root two)."""

_NO_FLOPS: Final = _COPIES | GENERATORS | GATHERS | {
    "cat", "masked_fill", "pixel_shuffle", "scatter", "split_with_sizes_copy", "stack", "unfold_backward",
    "upsample_nearest2d", "where",
}  # fmt: skip


def operator_name(func: Any) -> str:
    """Name of an operator's packet, without the underscore of its in-place form."""
    name: str = func.overloadpacket.__name__
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def role_of(func: Any, args: Sequence[Any]) -> Role:
    """What fusion may do with an operator."""
    name = operator_name(func)
    if name in GENERATORS:
        return Role.GENERATOR
    if func.overloadpacket in flop_registry or torch.Tag.nondeterministic_seeded in func.tags:
        return Role.ANCHOR
    if torch.Tag.pointwise in func.tags or name in _COPIES:
        return Role.POINTWISE
    if is_inference_batch_norm(name, args):
        return Role.POINTWISE  # with fixed statistics it only scales and shifts
    return Role.ANCHOR


def is_inference_batch_norm(name: str, args: Sequence[Any]) -> bool:
    """Whether this is a batch normalisation with fixed statistics."""
    return name == "_native_batch_norm_legit_no_training" or (
        name == "native_batch_norm" and len(args) > 5 and args[5] is False
    )


def hidden_writes(name: str, args: Sequence[Any]) -> list[torch.Tensor]:
    """Tensors that an operator updates although its schema does not say so: running statistics."""
    if name == "native_batch_norm" and not is_inference_batch_norm(name, args):
        return [t for t in args[3:5] if isinstance(t, torch.Tensor)]
    return []


def shape_only(name: str, args: Sequence[Any]) -> list[torch.Tensor]:
    """Tensors that an operator is handed but of which it reads no more than the shape."""
    positions = list(_SHAPE_ONLY.get(name, ()))
    if name == "convolution_backward":  # the gradient of the input needs the weight, and the other way round
        wants_input, wants_weight, _ = args[10]
        positions += [1] * (not wants_weight) + [2] * (not wants_input)
    return [args[k] for k in positions if k < len(args) and isinstance(args[k], torch.Tensor)]


def reads_nothing(func: Any) -> bool:
    """Whether an operator looks at no more than the shape of its tensors."""
    return operator_name(func) in UNREAD and str(func) != "aten.bernoulli.default"


def overwrites(func: Any) -> bool:
    """Whether an in-place operator does not need what was there before."""
    return operator_name(func) == "copy" or reads_nothing(func)


def matrix_flops(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    """Flops by PyTorch's own formulas, those of `FlopCounterMode`."""
    formula = flop_registry.get(func.overloadpacket)
    return 0 if formula is None else int(formula(*args, **kwargs, out_val=out))


def vector_flops(func: Any, args: Sequence[Any], largest: int) -> int:
    """Pointwise flops: a count an element of the largest tensor that the operator touches.

    Args:
        func: The operator.
        args: Its arguments.
        largest: Elements of that tensor.
    """
    name = operator_name(func)
    if func.overloadpacket in flop_registry or name in _NO_FLOPS or reads_nothing(func):
        return 0
    if name == "nll_loss_forward":
        return args[1].numel()
    if is_inference_batch_norm(name, args):
        return 2 * largest
    if name.startswith(("max_pool2d", "avg_pool2d")) and not name.endswith("backward"):
        window = args[1]
        return largest_window(window) * torch.Size(args[0].shape[:-2]).numel() * _pooled(args, largest)
    return _VECTOR_FLOPS.get(name, 1) * largest


def largest_window(window: int | Sequence[int]) -> int:
    """Elements of a square or rectangular pooling window."""
    if isinstance(window, int):
        return window * window
    return int(torch.Size(window).numel() if len(window) > 1 else window[0] * window[0])


def _pooled(args: Sequence[Any], largest: int) -> int:
    """Positions of a pooling window in one channel, from kernel, stride and padding."""
    positions = 1
    for axis, extent in enumerate(args[0].shape[-2:]):
        kernel, stride, padding = (_along(args, k, axis) for k in (1, 2, 3))
        positions *= max((extent + 2 * padding - kernel) // (stride or kernel) + 1, 1)
    return positions


def _along(args: Sequence[Any], k: int, axis: int) -> int:
    value = args[k] if len(args) > k else 0
    if isinstance(value, int):
        return value
    return int(value[axis % len(value)]) if len(value) else 0


def touched_rows(name: str, args: Sequence[Any], out: Sequence[torch.Tensor]) -> int | None:
    """Bytes of its first tensor that a gather or an in-place scatter touches; None if it is neither."""
    if name == "nll_loss_forward":
        return args[1].numel() * args[0].element_size()
    if name in GATHERS:
        return sum(t.numel() * t.element_size() for t in out)
    position = _SCATTERS.get(name)
    if position is None or len(args) <= position:
        return None
    source = args[position]
    if isinstance(source, torch.Tensor):
        return source.numel() * args[0].element_size()
    index = args[2]
    return index.numel() * args[0].element_size() if isinstance(index, torch.Tensor) else None
