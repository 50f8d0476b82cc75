"""The shipped programs, and the command that makes them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from makespan.agents.models import library as models
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.memory.hardware import MIB, get_hardware
from makespan.envs.memory.library import HELD_OUT_MODELS, load_program, model_of, program_names, worthwhile
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.program import MemoryProgram, TensorKind


def test_every_program_of_the_models_is_shipped_and_valid() -> None:
    """The files are what the models' list promises: at least 12 models, each valid, named and with matrix flops."""
    assert sorted(models.library_names()) == list(program_names())
    assert len({model_of(name) for name in program_names()}) >= 12
    for name in program_names():
        p = load_program(name)
        assert p.name == name
        assert p.op_flops.sum() > 0
        assert ((p.tensor_kind == TensorKind.OUTPUT).any() and p.num_regions >= 1) or "training" in name


def test_training_updates_every_parameter_in_place() -> None:
    """In a training step each parameter that has a gradient is in an alias group with its update."""
    for name in program_names():
        p = load_program(name)
        if "_training_" not in name:
            continue
        first = p.tensor_kind <= TensorKind.INPUT
        grouped = p.tensor_alias >= 0
        updated = {p.tensor_name[t] for t in np.flatnonzero(grouped & first)}
        weights = {
            n
            for n, kind in zip(p.tensor_name, p.tensor_kind, strict=True)
            if kind == 0 and n.endswith("weight")
        }
        assert weights <= updated, name


def test_models_on_both_sides_of_the_split() -> None:
    """Held-out models exist, are a minority, and both sides have instances worth mapping."""
    known = {model.name for model in models.MODELS}
    assert known > HELD_OUT_MODELS
    assert len(HELD_OUT_MODELS) < len(known) / 2
    sides = {model_of(name) in HELD_OUT_MODELS for name, _ in worthwhile()}
    assert sides == {True, False}


def test_worthwhile_instances_have_room() -> None:
    """The bound of each instance in the table allows 1.05, recomputed here, and capacities are those of the page."""
    assert {mib for _, mib in worthwhile()} <= {8, 16, 32, 64, 128}
    for name, mib in worthwhile()[::10]:
        instance = MappingInstance(load_program(name), get_hardware("tpu_v4i_like", capacity=mib * MIB))
        assert instance.hbm_latency >= 1.05 * instance.lower_bound


def test_one_program_is_made_again_exactly(tmp_path: Path) -> None:
    """The committed command writes the committed bytes, with the version of PyTorch that the file names."""
    name = "graph_network_training_b1"
    shipped = load_program(name)
    models.main([name, "--out", str(tmp_path)])
    fresh = MemoryProgram.load(tmp_path / f"{name}.json.gz")
    if fresh.source != shipped.source:
        pytest.skip(f"shipped programs are of {shipped.source!r}, this is {fresh.source!r}")
    assert fresh == shipped
    folder = resources.files("makespan.envs.memory") / "data" / "programs"
    assert (tmp_path / f"{name}.json.gz").read_bytes() == (folder / f"{name}.json.gz").read_bytes()


def test_strassen_makes_seven_products_a_level() -> None:
    """Two levels of Strassen's algorithm are 49 products of quarter size: 49/64 of the classical flops."""
    p = load_program("strassen_inference_b2")
    assert (p.op_flops > 0).sum() == 49
    assert int(p.op_flops.sum()) == 2 * 1024**3 * 49 // 64


def test_unknown_names_are_answered() -> None:
    """A misspelt program or model gets a suggestion."""
    with pytest.raises(UnknownNameError, match=r"did you mean .*unet_training_b1"):
        load_program("unet_training")
    with pytest.raises(UnknownNameError, match=r"did you mean .*encoder"):
        models.build_model("encode", 1)
    with pytest.raises(UnknownNameError, match="unknown program 'x'"):
        models.trace_program("x")
