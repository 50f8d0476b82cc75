"""Programs from HLO text: a training step as XLA prints one (by hand, and as short as can be), and texts that are refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from test_trace import accesses, groups, kinds

from makespan.agents.tracing.jax_programs import trace_jax
from makespan.envs.core.errors import InstanceFormatError, MakespanError
from makespan.envs.memory.hlo import load_hlo, parse_hlo
from makespan.envs.memory.hlo_text import parse_shape
from makespan.envs.memory.program import TensorKind

STEP = """\
HloModule jit_step, is_scheduled=true, input_output_alias={ {0}: (0, {}, may-alias) }, entry_computation_layout={...}

FileNames
1 "model.py"

%fused_computation (param_0: f32[16,8], param_1: f32[8]) -> f32[16,8] {
  %param_0 = f32[16,8]{1,0} parameter(0)
  %param_1 = f32[8]{0} parameter(1)
  %rows = f32[16,8]{1,0} broadcast(%param_1), dimensions={1}
  %sum = f32[16,8]{1,0} add(%param_0, %rows)
  ROOT %tanh.0 = f32[16,8]{1,0} tanh(%sum), metadata={op_name="jit(step)/body/tanh" stack_frame_id=4}
}

%lookup (param_0.1: f32[1000,4], param_1.1: s32[16]) -> f32[16,4] {
  %param_0.1 = f32[1000,4]{1,0} parameter(0)
  %param_1.1 = s32[16]{0} parameter(1)
  ROOT %gather.2 = f32[16,4]{1,0} gather(%param_0.1, %param_1.1), offset_dims={1}, slice_sizes={1,4}
}

%add_two (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %c = f32[] add(%a, %b)
}

ENTRY %main.7 (w: f32[4,8], table: f32[1000,4], tokens: s32[16], bias: f32[8]) -> (f32[4,8], f32[]) {
  %w = f32[4,8]{1,0} parameter(0), metadata={op_name="w"}
  %table = f32[1000,4]{1,0} parameter(1)
  %tokens = s32[16]{0} parameter(2)
  %bias = f32[8]{0} parameter(3)
  %zero = f32[] constant(0)
  %lookup_fusion = f32[16,4]{1,0} fusion(%table, %tokens), kind=kLoop, calls=%lookup
  %dot.1 = f32[16,8]{1,0} dot(%lookup_fusion, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_name="b/dot"}
  %add_tanh_fusion.3 = f32[16,8]{1,0} fusion(%dot.1, %bias), kind=kLoop, calls=%fused_computation, metadata={op_name="b/tanh"}
  %view = f32[128]{0} bitcast(%add_tanh_fusion.3)
  %loss = f32[] reduce(%view, %zero), dimensions={0}, to_apply=%add_two
  %pair = (f32[16,4]{1,0}, /*index=1*/f32[16,8]{1,0}) tuple(%lookup_fusion, %add_tanh_fusion.3)
  %second = f32[16,8]{1,0} get-tuple-element(%pair), index=1
  %gradient = f32[4,8]{1,0} dot(%lookup_fusion, %second), lhs_contracting_dims={0}, rhs_contracting_dims={0}
  %new = f32[4,8]{1,0} subtract(%w, %gradient)
  ROOT %tuple = (f32[4,8]{1,0}, f32[]) tuple(%new, %loss)
}
"""


def test_training_step_by_hand() -> None:
    """Fusions, gathers, views, tuples, register-sized scalars, the aliased parameter and all flops of the step above."""
    p = parse_hlo(STEP)
    assert p.name == "jit_step"
    assert accesses(p) == [
        ("lookup_fusion", "-table 256, -tokens 64, +lookup_fusion 256"),
        ("dot", "-lookup_fusion 256, -w 128, +dot.1 512"),
        ("add_tanh_fusion", "-dot.1 512, -bias 32, +add_tanh_fusion.3 512"),
        ("reduce", "-add_tanh_fusion.3 512"),
        ("dot", "-add_tanh_fusion.3 512, -lookup_fusion 256, +gradient 128"),
        ("subtract", "-w 128, -gradient 128, +new 128"),
    ]
    assert p.op_flops.tolist() == [0, 2 * 16 * 8 * 4, 0, 0, 2 * 4 * 8 * 16, 0]
    assert p.op_vector_flops.tolist() == [0, 0, 128 + 4 * 128, 128, 0, 32]
    assert p.tensor_size[p.tensor_name.index("table")] == 16_000
    assert groups(p) == [["w", "new"]]
    assert kinds(p, TensorKind.PARAMETER) == ["w"]
    assert kinds(p, TensorKind.OUTPUT) == ["new"]
    assert [p.region_name[r] for r in p.op_region[1:3]] == ["b", "b"]


def test_leading_arguments_are_parameters() -> None:
    """JAX flattens parameters first; the caller says how many."""
    assert kinds(parse_hlo(STEP, num_parameters=2), TensorKind.PARAMETER) == ["table", "w"]


def test_argument_read_after_the_result_is_not_overwritten() -> None:
    """XLA's `may-alias` is no promise: where the old value is read once more, the two are kept apart."""
    text = STEP.replace(
        "  ROOT %tuple = (f32[4,8]{1,0}, f32[]) tuple(%new, %loss)",
        "  %more = f32[4,8]{1,0} negate(%w)\n"
        "  ROOT %tuple = (f32[4,8]{1,0}, f32[], f32[4,8]{1,0}) tuple(%new, %loss, %more)",
    )
    assert groups(parse_hlo(text)) == []


def loop(config: str) -> str:
    return (
        "HloModule loop\n"
        "%body (p: (s32[], f32[8,8])) -> (s32[], f32[8,8]) {\n"
        "  %p = (s32[], f32[8,8]{1,0}) parameter(0)\n"
        "  %i = s32[] get-tuple-element(%p), index=0\n"
        "  %x = f32[8,8]{1,0} get-tuple-element(%p), index=1\n"
        "  %y = f32[8,8]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}\n"
        "  ROOT %t = (s32[], f32[8,8]{1,0}) tuple(%i, %y)\n"
        "}\n"
        "%condition (q: (s32[], f32[8,8])) -> pred[] {\n"
        "  %q = (s32[], f32[8,8]{1,0}) parameter(0)\n"
        "  %j = s32[] get-tuple-element(%q), index=0\n"
        "  ROOT %less = pred[] compare(%j, %j), direction=LT\n"
        "}\n"
        "ENTRY %main (x.1: f32[8,8]) -> f32[8,8] {\n"
        "  %x.1 = f32[8,8]{1,0} parameter(0)\n"
        "  %start = s32[] constant(0)\n"
        "  %state = (s32[], f32[8,8]{1,0}) tuple(%start, %x.1)\n"
        f"  %while.1 = (s32[], f32[8,8]{{1,0}}) while(%state), condition=%condition, body=%body{config}\n"
        "  ROOT %end = f32[8,8]{1,0} get-tuple-element(%while.1), index=1\n"
        "}\n"
    )


def test_loops_count_their_trips() -> None:
    """A loop's flops are those of its body times the known trip count, or times five as in XLA's memory-space assignment."""
    known = parse_hlo(loop(', backend_config={"known_trip_count":{"n":"3"}}'))
    assert accesses(known) == [("while", "-x.1 256, +while.1.1 256")]
    assert (known.op_flops.tolist(), known.op_vector_flops.tolist()) == ([3 * 1024], [3])
    assert parse_hlo(loop("")).op_flops.tolist() == [5 * 1024]


def test_convolution_flops() -> None:
    """A multiply-add for each of 3x3 positions and 2 input channels of each of 2x4x4x6 results; groups have fewer channels."""
    text = (
        "HloModule conv\nENTRY %main (x: f32[2,4,4,2], k: f32[3,3,2,6]) -> f32[2,4,4,6] {\n"
        "  %x = f32[2,4,4,2]{3,2,1,0} parameter(0)\n  %k = f32[3,3,2,6]{3,2,1,0} parameter(1)\n"
        "  ROOT %y = f32[2,4,4,6]{3,2,1,0} convolution(%x, %k), window={size=3x3 pad=1_1x1_1}, "
        "dim_labels=b01f_01io->b01f\n}\n"
    )
    assert parse_hlo(text).op_flops.tolist() == [2 * 2 * 4 * 4 * 6 * 9 * 2]


def test_types() -> None:
    """Bytes of types with and without a layout, in tuples, packed, of one byte, and with a bounded size."""
    sizes = {
        "f32[8,128]{1,0:T(8,128)}": 4096,
        "bf16[3]": 6,
        "pred[5]{0}": 5,
        "f8e4m3fn[7]": 7,
        "s4[5]": 3,
        "c64[2]": 16,
    }
    sizes |= {"f32[]": 4, "(f32[2]{0}, (s32[], u8[3]))": 15, "f32[<=16]": 64, "token[]": 0}
    assert {text: parse_shape(text).bytes for text in sizes} == sizes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no ENTRY computation"),
        ("HloModule m\n\nFileNames\n1 x\n", "no ENTRY computation"),
        (STEP.replace("dot(%lookup_fusion, %w)", "dot(%lookup, %w)"), "line 33: %dot.1: operand %lookup is not defined"),
        (STEP.replace("= f32[16,8]{1,0} dot(", "= f99q[16 dot("), "line 33"),
        (STEP.replace("= f32[16,8]{1,0} dot(", "= float[16,8] dot("), "expected a type such as f32[8,128]"),
        (STEP.replace("%new = f32[4,8]{1,0} subtract(%w, %gradient)", "%new f32"), "expected %name = type opcode"),
        (STEP.replace("subtract(%w, %gradient)", "subtract(%w, %gradient"), "a parenthesis is not closed"),
        (STEP.replace("calls=%lookup\n", "calls=%look\n"), "computation %look is called but not defined"),
        (STEP.replace("%second = f32[16,8]{1,0} get-tuple-element(%pair), index=1", "%second = f32[16,8]{1,0} "
                      "get-tuple-element(%pair), index=2"), "no such element of a tuple"),
        (STEP.replace("lhs_contracting_dims={0}", "lhs_contracting_dims={7}"), "lhs_contracting_dims 7 of a shape (16, 4)"),
        (STEP.replace("subtract(%w", "all-reduce-start(%w"), "the asynchronous all-reduce-start is not supported"),
        (STEP.rstrip().removesuffix("}"), "computation %main.7 does not end"),
    ],
)  # fmt: skip
def test_malformed_text_is_refused(text: str, message: str) -> None:
    """Each malformed text has an error with the file's name and, where there is one, the line."""
    with pytest.raises(InstanceFormatError) as caught:
        parse_hlo(text, source="m.hlo")
    assert str(caught.value).startswith("m.hlo")
    assert message in str(caught.value)


def test_file(tmp_path: Path) -> None:
    """A file is read as the text is; one that is no text is refused."""
    (tmp_path / "step.hlo").write_text(STEP)
    assert load_hlo(tmp_path / "step.hlo") == parse_hlo(STEP)
    (tmp_path / "binary.hlo").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InstanceFormatError, match="not a text file"):
        load_hlo(tmp_path / "binary.hlo")


@pytest.mark.skipif(importlib.util.find_spec("jax") is not None, reason="jax is installed")
def test_without_jax_the_extra_is_named() -> None:
    """Where JAX is missing, the error says what to install."""
    with pytest.raises(MakespanError, match=r"pip install makespan\[jax\]"):
        trace_jax(lambda x: x, ())


def test_jax_function() -> None:
    """Two dense layers compiled by the installed XLA: flops and parameters of the formula, and the result is the output."""
    jax = pytest.importorskip("jax", reason="the extra `jax` is not installed")
    numpy = jax.numpy

    def net(weights: list[object], x: object) -> object:
        for w in weights:
            x = numpy.tanh(x @ w)
        return x

    shapes = [jax.ShapeDtypeStruct((64, 64), "float32")] * 2
    p = trace_jax(net, (shapes, jax.ShapeDtypeStruct((16, 64), "float32")), num_parameters=2)
    assert int(p.op_flops.sum()) == 2 * 2 * 16 * 64 * 64
    assert len(kinds(p, TensorKind.PARAMETER)) == 2
    assert p.tensor_size[p.tensor_kind == TensorKind.OUTPUT].tolist() == [4096]
