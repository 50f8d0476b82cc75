"""Programs of ONNX models: one built by hand, and the nine of the wheel. Skipped where the extra `onnx` is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from test_trace import accesses, kinds

from makespan.envs.core.errors import InstanceFormatError, MakespanError, UnknownNameError
from makespan.envs.memory.onnx_programs import light_models, load_light_model, load_onnx
from makespan.envs.memory.program import TensorKind

INSTALLED = importlib.util.find_spec("onnx") is not None
needs_onnx = pytest.mark.skipif(not INSTALLED, reason="the extra `onnx` is not installed")

WEIGHTS = {  # MiB of float32 weights of the wheel's models
    "bvlc_alexnet": 232.6, "densenet121": 31.1, "inception_v1": 26.7, "inception_v2": 42.9, "resnet50": 97.7,
    "shufflenet": 5.4, "squeezenet": 4.7, "vgg19": 548.0, "zfnet512": 332.8,
}  # fmt: skip


@pytest.mark.skipif(INSTALLED, reason="onnx is installed")
def test_without_onnx_the_extra_is_named() -> None:
    """Where the package is missing, the error says what to install."""
    with pytest.raises(MakespanError, match=r"pip install makespan\[onnx\]"):
        load_onnx("model.onnx")


@needs_onnx
def test_graph_by_hand(tmp_path: Path) -> None:
    """A convolution with relu, a view and a dense layer: constants fold, views vanish, flops and bytes by the formulas."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Mul", ["k", "k"], ["kernel"]),
        helper.make_node("Conv", ["x", "kernel"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "w"], ["y"], transB=1),
    ]
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4, 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 7])]
    weights = [
        helper.make_tensor("k", TensorProto.FLOAT, [5, 3, 3, 3], [0.0] * 135),
        helper.make_tensor("w", TensorProto.FLOAT, [7, 80], [0.0] * 560),
    ]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "g", values, outputs, weights)),
        str(tmp_path / "hand.onnx"),
    )
    p = load_onnx(tmp_path / "hand.onnx")
    assert p.name == "hand"
    assert accesses(p) == [
        ("Conv+Relu", "-kernel 540, -x 384, +b 640"),
        ("Gemm", "-w 2240, -b 640, +y 56"),
    ]
    assert p.op_flops.tolist() == [2 * 2 * 5 * 16 * 27, 2 * 2 * 7 * 80]
    assert p.op_vector_flops.tolist() == [160, 0]
    assert kinds(p, TensorKind.OUTPUT) == ["y"]
    assert list(load_onnx(tmp_path / "hand.onnx", fused=False).op_name) == ["Conv", "Relu", "Gemm"]


@needs_onnx
@pytest.mark.parametrize("name", WEIGHTS)
def test_light_models(name: str) -> None:
    """All nine are read; their weights have the size that their publications imply."""
    p = load_light_model(name)
    weights = p.tensor_size[p.tensor_kind == TensorKind.PARAMETER].sum() / 2**20
    assert weights == pytest.approx(WEIGHTS[name], abs=0.06)
    assert len(kinds(p, TensorKind.OUTPUT)) == 1


@needs_onnx
def test_flops_of_known_networks() -> None:
    """VGG-19 takes 2 x 19.63 G multiply-adds, ResNet-50 2 x 4.09 G."""
    assert load_light_model("vgg19").op_flops.sum() / 1e9 == pytest.approx(39.26, abs=0.02)
    assert load_light_model("resnet50").op_flops.sum() / 1e9 == pytest.approx(8.18, abs=0.02)


@needs_onnx
def test_mistakes_are_explained(tmp_path: Path) -> None:
    """No ONNX file, and no such model."""
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InstanceFormatError, match="expected an ONNX model"):
        load_onnx(tmp_path / "text.onnx")
    with pytest.raises(UnknownNameError, match=r"did you mean .*resnet50"):
        load_light_model("resnet")
    assert len(light_models()) == 9
