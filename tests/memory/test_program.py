"""Memory programs: what is refused, what survives a file."""

from __future__ import annotations

import dataclasses
import gzip
import json
from typing import Any

import numpy as np
import pytest

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError, UnknownNameError
from makespan.envs.memory.hardware import MIB, PRESETS, Hardware, get_hardware, hardware_names
from makespan.envs.memory.program import MemoryProgram
from makespan.envs.memory.program_json import dump_json, load_json

# x and w are given; matmul makes y; update overwrites w in place, having read y
FIELDS: dict[str, Any] = {
    "name": "small",
    "op_name": ("matmul", "update"),
    "op_region": [0, 1],
    "op_flops": [96, 0],
    "op_vector_flops": [0, 8],
    "region_name": ("layer", "update"),
    "tensor_name": ("w", "x", "y", "w.new"),
    "tensor_size": [32, 24, 12, 32],
    "tensor_kind": [0, 1, 2, 3],
    "tensor_alias": [0, -1, -1, 0],
    "access_op": [0, 0, 0, 1, 1, 1],
    "access_tensor": [0, 1, 2, 0, 2, 3],
    "access_bytes": [32, 24, 12, 32, 12, 32],
    "access_write": [False, False, True, False, False, True],
}


def program(**changes: Any) -> MemoryProgram:
    return MemoryProgram(**{**FIELDS, **changes})


def test_counts_and_lifetimes() -> None:
    """Counts, first and last accesses and traffic of the program above, worked out by hand."""
    p = program()
    assert (p.num_ops, p.num_tensors, p.num_accesses, p.num_regions) == (2, 4, 6, 2)
    assert p.written_at.tolist() == [-1, -1, 0, 1]
    assert p.first_access.tolist() == [0, 0, 0, 1]
    assert p.last_access.tolist() == [1, 0, 1, 1]
    assert p.op_bytes.tolist() == [68, 76]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"op_name": ()}, "op_name: empty"),
        ({"op_region": [0, 2]}, "op_region: 2 in row 1; expected 0..1"),
        ({"op_flops": [-1, 0]}, "op_flops: -1 in row 0"),
        ({"op_flops": [1.5, 0]}, "op_flops: float64"),
        ({"op_flops": [2**62 - 1, 2**62 - 1]}, "op_flops: adds up"),
        ({"tensor_size": [32, 0, 12, 32]}, "tensor_size: 0 in row 1"),
        ({"tensor_size": [32, 24, 12]}, "tensor_size: 3 values; expected 4"),
        ({"tensor_size": [32, 24, 12, 64]}, "tensor_alias: tensor 3 (w.new) has 64 bytes"),
        ({"tensor_kind": [0, 1, 2, 4]}, "tensor_kind: 4 in row 3"),
        ({"access_op": [0, 0, 0, 1, 1, 0]}, "access_op: access 5 is of operation 0"),
        ({"access_op": [0, 0, 0, 0, 0, 0]}, "access_op: operation 1 has no access"),
        ({"access_bytes": [33, 24, 12, 32, 12, 32]}, "access_bytes: access 0 touches 33 bytes"),
        ({"access_bytes": [32, 0, 12, 32, 12, 32]}, "access_bytes: access 1 touches 0 bytes"),
        ({"access_tensor": [0, 0, 2, 0, 2, 3], "access_bytes": [1] * 6}, "touches tensor 0 twice"),
        ({"access_tensor": [0, 1, 3, 0, 2, 3], "access_bytes": [1] * 6}, "tensor 2 (y) is written 0 times"),
        ({"access_write": [True, False, True, False, False, True]}, "access 1 reads after operation 0 wrote"),
        (
            {"access_write": [False, False, False, False, True, True]},
            "operation 0 reads tensor 2 (y), which operation 1",
        ),
        ({"tensor_kind": [0, 1, 0, 3]}, "tensor 2 (y) is written 1 times; expected none"),
        (
            {"tensor_alias": [0, -1, 0, 0], "tensor_size": [32, 24, 32, 32]},
            "tensors 0 (w) and 2 (y) of group 0",
        ),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    """Each way in which the arrays can contradict each other has an error that names the place."""
    with pytest.raises(InvalidInstanceError) as caught:
        program(**changes)
    assert message in str(caught.value)


def test_idle_tensor_is_refused() -> None:
    """A tensor that nothing touches has no lifetime."""
    more = {
        key: [*FIELDS[key], value]
        for key, value in (("tensor_size", 8), ("tensor_kind", 0), ("tensor_alias", -1))
    }
    with pytest.raises(InvalidInstanceError, match=r"tensor 4 \(idle\) has no access"):
        program(tensor_name=(*FIELDS["tensor_name"], "idle"), **more)


def test_arrays_cannot_be_written() -> None:
    """Programs are shared, e.g. by the cache of the library; nobody may change one. The caller's arrays stay his own."""
    sizes = np.array(FIELDS["tensor_size"])
    p = program(tensor_size=sizes)
    sizes[0] = 1
    assert p.tensor_size[0] == 32
    with pytest.raises(ValueError, match="read-only"):
        p.tensor_size[0] = 1
    assert dataclasses.replace(p, name="other").name == "other"


@pytest.mark.parametrize("name", ["p.json", "p.json.gz"])
def test_file_round_trip(name: str, tmp_path: Any) -> None:
    """Nothing is lost in a file, compressed or not, and equal programs make equal bytes."""
    p = program(source="by hand")
    p.save(tmp_path / name)
    q = MemoryProgram.load(tmp_path / name)
    assert q == p
    assert (q.name, q.source) == ("small", "by hand")
    first = (tmp_path / name).read_bytes()
    q.save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == first
    assert program(op_flops=[95, 0]) != p


def changed(**changes: Any) -> str:
    """The JSON of the program with fields replaced, e.g. `tensor__size=...`; None removes one."""
    content = json.loads(dump_json(program()))
    for key, value in changes.items():
        table, _, column = key.partition("__")
        place = content[table] if column else content
        place[column or table] = value
        if value is None:
            del place[column or table]
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: Expecting value; expected JSON"),
        ("[]", 'expected an object with "kind": "makespan/memory-program"'),
        (changed(kind="makespan/shop"), '"kind": "makespan/memory-program"'),
        (changed(version=2), "version 2; expected 1"),
        (changed(extra=1), "unknown field extra"),
        (changed(tensor__colour=[]), "unknown field tensor.colour"),
        (changed(tensor=None), "tensor: found None; expected columns"),
        (changed(tensor__size=None), "tensor.size: found None; expected a list"),
        (changed(tensor__size=[32, "24", 12, 32]), "tensor.size[1]: found '24'; expected a whole number"),
        (changed(tensor__size=[32, True, 12, 32]), "tensor.size[1]: found True"),
        (changed(tensor__size=[32, 2**70, 12, 32]), "tensor.size[1]: found 1180591620717411303424"),
        (changed(tensor__name=["w", "x", 3, "z"]), "tensor.name[2]: found 3; expected a text"),
        (changed(access__write=[0, 0, 2, 0, 0, 1]), "access.write[2]: found 2; expected 0 or 1"),
        (changed(name=3), "name: found 3; expected a text"),
        (changed(tensor__kind=[0, 1, 2, 9]), "tensor_kind: 9 in row 3"),
        (changed(tensor__kind=[0, 1, 2, 300]), "tensor_kind"),
    ],
)
def test_malformed_json_is_refused(text: str, message: str) -> None:
    """Every malformed JSON is refused with the file's name and the place, as a format error."""
    with pytest.raises(InstanceFormatError) as caught:
        load_json(text, "f.json")
    assert str(caught.value).startswith("f.json")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(b"{}", mtime=0)[:-6], gzip.compress(b"\xff\xfe", mtime=0)]
)
def test_broken_compressed_file_is_refused(data: bytes, tmp_path: Any) -> None:
    """A `.gz` that is none, is cut off or holds no text is a format error, not a crash."""
    (tmp_path / "p.json.gz").write_bytes(data)
    with pytest.raises(InstanceFormatError, match=r"p\.json\.gz"):
        MemoryProgram.load(tmp_path / "p.json.gz")


def test_hardware_presets_say_where_they_come_from() -> None:
    """No preset passes for a measurement, and all hold at least 8 MiB but the one of XLA's unit tests."""
    for preset in PRESETS:
        assert "no measurement" in preset.source or preset.name == "xla_test"
        assert preset.capacity >= 8 * MIB or preset.name == "xla_test"
    test = get_hardware("xla_test")
    assert (test.hbm_bytes_per_s, test.fast_bytes_per_s, test.matrix_flops_per_s) == (100, 1000, 1000)
    assert (test.capacity, test.alignment) == (128, 8)
    assert get_hardware("tpu_v5e_like", capacity=8 * MIB).capacity == 8 * MIB


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacity": 100}, "capacity: 100 bytes; expected a multiple of the alignment, 8"),
        ({"capacity": 0}, "capacity: 0; expected a whole number >= 1"),
        ({"hbm_bytes_per_s": 2000}, "fast_bytes_per_s: 1000; expected at least hbm_bytes_per_s"),
        ({"matrix_flops_per_s": 1.5}, "matrix_flops_per_s: 1.5; expected a whole number"),
    ],
)
def test_impossible_hardware_is_refused(changes: dict[str, Any], message: str) -> None:
    """Parameters out of range are named."""
    with pytest.raises(InvalidInstanceError) as caught:
        dataclasses.replace(get_hardware("xla_test"), **changes)
    assert message in str(caught.value)


def test_unknown_hardware_names_the_nearest() -> None:
    """A misspelt preset is answered with a suggestion."""
    with pytest.raises(UnknownNameError, match=r"did you mean .*tpu_v4i_like"):
        get_hardware("tpu_v4i")
    assert all(isinstance(get_hardware(name), Hardware) for name in hardware_names())
