"""The tracer: operations, bytes, flops and aliases of small modules worked out by hand; large ones against PyTorch's counter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from traced_models import GPT, build_gpt12, build_resnet50, resnet

from makespan.agents.tracing.trace import TraceError, trace
from makespan.envs.memory.program import MemoryProgram, TensorKind

META = torch.device("meta")


def accesses(p: MemoryProgram) -> list[tuple[str, str]]:
    """Each operation with its accesses: `-name bytes` for a read, `+name bytes` for a write."""
    rows: list[list[str]] = [[] for _ in range(p.num_ops)]
    for op, t, size, write in zip(p.access_op, p.access_tensor, p.access_bytes, p.access_write, strict=True):
        rows[op].append(f"{'+' if write else '-'}{p.tensor_name[t]} {size}")
    return [(name, ", ".join(row)) for name, row in zip(p.op_name, rows, strict=True)]


def kinds(p: MemoryProgram, kind: TensorKind) -> list[str]:
    return [name for name, k in zip(p.tensor_name, p.tensor_kind, strict=True) if k == kind]


def groups(p: MemoryProgram) -> list[list[str]]:
    """Names of the tensors of each alias group."""
    return [
        [name for name, a in zip(p.tensor_name, p.tensor_alias, strict=True) if a == group]
        for group in range(int(p.tensor_alias.max()) + 1)
    ]


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.body(x)))


def test_forward_pass_by_hand() -> None:
    """Two dense layers on 3 rows, float32: 3x4x8x2 and 3x8x2x2 flops, and the relu joins the first."""
    p = trace(Tiny(), torch.zeros(3, 4))
    assert accesses(p) == [
        ("addmm+relu", "-body.weight 128, -input.0 48, -body.bias 32, +relu.0 96"),
        ("addmm", "-relu.0 96, -head.weight 64, +addmm.1 24"),  # the bias of 8 bytes lives in a register
    ]
    assert p.op_flops.tolist() == [192, 96]
    assert p.op_vector_flops.tolist() == [24, 0]
    assert [p.region_name[r] for r in p.op_region] == ["body", "head"]
    assert kinds(p, TensorKind.PARAMETER) == ["body.weight", "body.bias", "head.weight"]
    assert kinds(p, TensorKind.INPUT) == ["input.0"]
    assert kinds(p, TensorKind.OUTPUT) == ["addmm.1"]
    assert groups(p) == []


def test_training_step_by_hand() -> None:
    """The unfused training step of a layer without bias: forward, square, mean, backward, update in place of the weight."""
    layer = nn.Sequential(nn.Linear(4, 8, bias=False))
    p = trace(layer, torch.zeros(3, 4), training=True, fused=False)
    assert accesses(p) == [
        ("mm", "-0.weight 128, -input.0 48, +mm.0 96"),
        ("pow", "-mm.0 96, +pow.0 96"),
        ("mean", "-pow.0 96"),
        ("div", "+div.0 96"),  # the gradient of a mean is a scalar divided, expanded
        ("pow", "-mm.0 96, +pow.1 96"),
        ("mul", "-pow.1 96, +mul.0 96"),
        ("mul", "-div.0 96, -mul.0 96, +mul.1 96"),
        ("mm", "-mul.1 96, -input.0 48, +mm.1 128"),
        ("sub", "-0.weight 128, -mm.1 128, +sub.0 128"),
    ]
    assert p.op_flops.tolist() == [192, 0, 0, 0, 0, 0, 0, 192, 0]
    assert groups(p) == [["0.weight", "sub.0"]]
    assert kinds(p, TensorKind.OUTPUT) == ["sub.0"]
    regions = [p.region_name[r] for r in p.op_region]
    assert (regions[0], regions[1], regions[4], regions[7], regions[8]) == (
        "0", "loss", "backward.loss", "backward.0", "update",
    )  # fmt: skip


def test_fused_training_step_by_hand() -> None:
    """The same, fused: the loss's gradient, the weight's and its update are one operation."""
    p = trace(nn.Sequential(nn.Linear(4, 8, bias=False)), torch.zeros(3, 4), training=True)
    assert accesses(p) == [
        ("mm", "-0.weight 128, -input.0 48, +mm.0 96"),
        ("pow+mean", "-mm.0 96"),
        ("pow+mul+2+sub", "-0.weight 128, -mm.0 96, -input.0 48, +sub.0 128"),
    ]


def run(module: nn.Module, inputs: Sequence[Tensor], training: bool) -> int:
    """Flops of a forward pass or of a training step by PyTorch's own counter."""
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
        out = module.train(training)(*inputs)
        if training:
            torch.autograd.grad(out.float().square().mean(), list(module.parameters()))
    return counter.get_total_flops()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_flops_equal_those_of_the_counter(training: bool, fused: bool) -> None:
    """A ResNet and a GPT count the matrix flops of `FlopCounterMode` to the last, fused or not."""
    with META:
        convolutional, image = resnet((1, 1, 1, 1), width=16), torch.empty(2, 3, 64, 64)
        decoder, tokens = GPT(2, 64, 4, 500), torch.empty(2, 32, dtype=torch.long)
    for module, inputs in ((convolutional, image), (decoder, tokens)):
        p = trace(module, inputs, training=training, fused=fused)
        assert int(p.op_flops.sum()) == run(module, (inputs,), training)


def test_known_flops_of_large_models() -> None:
    """ResNet-50 on 8 images takes 65.427 G flops in 56 fused operations, GPT of 12 layers 487.210 G on 4 x 512 tokens.

    The figures were measured with another tracer (of `torch.fx` graphs) and with `FlopCounterMode`.
    """
    module, inputs = build_resnet50()
    p = trace(module, inputs, dtype=torch.bfloat16)
    assert round(p.op_flops.sum() / 1e9, 3) == 65.427
    assert (p.num_ops, p.num_accesses) == (56, 395)
    assert round(p.tensor_size[p.tensor_kind == TensorKind.PARAMETER].sum() / 2**20, 1) == 48.8
    assert trace(module, inputs, fused=False).num_ops == 174
    gpt, tokens = build_gpt12()
    assert round(trace(gpt, tokens).op_flops.sum() / 1e9, 3) == 487.21


def test_views_are_free_and_read_what_they_show() -> None:
    """Halves of one tensor are no operations; each use reads its half, both together all, the same one twice counts once."""

    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = torch.cumsum(x, 0)
            a, b = y.chunk(2)
            return torch.cat((torch.cumsum(a, 0), torch.cumsum(a * a, 0), torch.cumsum(a * b, 0)))

    p = trace(Halves(), torch.zeros(6, 4), fused=False)
    assert accesses(p)[:5] == [
        ("cumsum", "-input.0 96, +cumsum.0 96"),
        ("cumsum", "-cumsum.0 48, +cumsum.1 48"),
        ("mul", "-cumsum.0 48, +mul.0 48"),
        ("cumsum", "-mul.0 48, +cumsum.2 48"),
        ("mul", "-cumsum.0 96, +mul.1 48"),
    ]


def test_expanded_view_reads_what_is_there_once() -> None:
    """A row broadcast over 5 rows is read once."""

    class Broadcast(nn.Module):
        def forward(self, x: Tensor, row: Tensor) -> Tensor:
            return x * row.expand(5, 4)

    p = trace(Broadcast(), (torch.zeros(5, 4), torch.zeros(4)))
    assert accesses(p) == [("mul", "-input.0 80, -input.1 16, +mul.0 80")]


def test_reshape_is_a_copy_only_where_it_is_one() -> None:
    """A reshape of a contiguous tensor is a view, one of a transposed tensor a copy."""

    class Reshape(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cumsum(x.reshape(-1), 0) + torch.cumsum(x.t().reshape(-1), 0)

    p = trace(Reshape(), torch.zeros(3, 4), fused=False)
    assert list(p.op_name) == ["cumsum", "clone", "cumsum", "add"]


def test_gather_touches_rows_only() -> None:
    """Six tokens of 8 floats touch 192 bytes of a table of 32 000; an index touches what it picks."""

    class Lookup(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(1000, 8)

        def forward(self, tokens: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.table(tokens), x[tokens[0]]

    p = trace(Lookup(), (torch.zeros(2, 3, dtype=torch.long), torch.zeros(50, 4)))
    assert accesses(p) == [
        ("embedding", "-table.weight 192, -input.0 48, +embedding.0 192"),
        ("index", "-input.1 48, -input.0 24, +index.0 48"),
    ]
    assert p.tensor_size[p.tensor_name.index("table.weight")] == 32_000


def test_tied_weights_are_one_parameter() -> None:
    """The table of the embedding and of the projection is stored once and updated once, from both gradients."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(10, 4)
            self.head = nn.Linear(4, 10, bias=False)
            self.head.weight = self.table.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.table(tokens))

    p = trace(Tied(), torch.zeros(6, dtype=torch.long), training=True)
    assert kinds(p, TensorKind.PARAMETER) == ["table.weight"]
    assert len(groups(p)) == 1
    assert len(groups(p)[0]) == 2


def test_cache_updated_in_place_aliases_the_input() -> None:
    """Writing one of 8 rows of a cache touches that row; the new cache is the old one's alias and an output."""

    class Cache(nn.Module):
        def forward(self, x: Tensor, cache: Tensor) -> Tensor:
            cache[2] = x
            return torch.cumsum(cache, 0)

    p = trace(Cache(), (torch.zeros(4), torch.zeros(8, 4)))
    assert accesses(p) == [
        ("copy", "-input.0 16, -input.1 16, +copy.0 16"),
        ("cumsum", "-copy.0 128, +cumsum.0 128"),
    ]
    assert groups(p) == [["input.1", "copy.0"]]
    assert kinds(p, TensorKind.OUTPUT) == ["copy.0", "cumsum.0"]


def test_running_statistics_are_updated_in_training_only() -> None:
    """A batch normalisation joins its convolution in inference, and updates mean and variance in place in training."""
    module = nn.Sequential(nn.Conv2d(4, 8, 3, bias=False), nn.BatchNorm2d(8))
    x = torch.zeros(2, 4, 6, 6)
    (name,) = trace(module, x).op_name
    assert name.startswith("convolution+")
    found = groups(trace(module, x, training=True))
    firsts = {group[0] for group in found}
    assert firsts == {"0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    assert all(len(group) == 2 for group in found)


def test_results_of_one_operation_are_told_apart() -> None:
    """Values and indices of a top-k are two tensors; the one that nothing reads is not written."""

    class Top(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.topk(4, 1).indices

    p = trace(Top(), torch.zeros(3, 8))
    assert accesses(p) == [("topk", "-input.0 96, +topk.1 96")]


def test_convolution_gradient_reads_what_it_needs() -> None:
    """The first layer's backward convolution makes no gradient of the image, so it does not read the weight."""
    module = nn.Conv2d(2, 4, 3, bias=False)
    p = trace(module, torch.zeros(1, 2, 5, 5), training=True, fused=False)
    row = dict(accesses(p))["convolution_backward"]
    assert "weight" not in row
    assert "input.0 200" in row


def test_module_is_left_as_it_was() -> None:
    """Weights, modes, hooks and attributes of a traced module are untouched, also when tracing fails."""

    class Remembering(nn.Module):
        seen: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            self.seen = x
            return x

    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), Remembering()).eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    trace(module, torch.zeros(3, 4), training=True)
    with pytest.raises(TraceError):
        trace(module, torch.zeros(3, 5))
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert all(value.device.type == "cpu" for value in module.state_dict().values())
    assert module[3].seen is None
    assert not any(m.training or m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_dtype_scales_bytes() -> None:
    """In bfloat16 floating tensors have half the bytes; integers keep theirs."""
    module, tokens = nn.Embedding(100, 8), torch.zeros(5, dtype=torch.long)
    assert accesses(trace(module, tokens)) == [("embedding", "-weight 160, -input.0 40, +embedding.0 160")]
    assert accesses(trace(module, tokens, dtype=torch.bfloat16)) == [
        ("embedding", "-weight 80, -input.0 40, +embedding.0 80")
    ]


def test_tracing_twice_gives_the_same_program() -> None:
    """Nothing depends on addresses or on what was traced before."""
    module = GPT(1, 16, 2, 50)
    tokens = torch.zeros(2, 8, dtype=torch.long)
    assert trace(module, tokens, training=True) == trace(module, tokens, training=True)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"gate": _Gate()})

    def forward(self, x: Tensor) -> Tensor:
        return self.inner["gate"](x)


class _Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (Branching(), {}, r"Branching: \w+ in inner\.gate: .*must not look at the values"),
        (nn.Linear(5, 3), {}, "Linear: RuntimeError in the module"),
        (nn.ReLU(), {"training": True}, "nothing to train"),
        (nn.Linear(4, 3), {"training": True, "loss": lambda out: out}, r"loss: a tensor of shape \(3, 3\)"),
        (nn.Linear(4, 3), {"training": True, "loss": lambda out: 0.0}, "loss: a float; expected a tensor"),
    ],
)
def test_what_cannot_be_traced_is_explained(module: nn.Module, options: dict[str, Any], message: str) -> None:
    """Errors name the module, the submodule and what was expected."""
    with pytest.raises(TraceError, match=message):
        trace(module, torch.zeros(3, 4), **options)
