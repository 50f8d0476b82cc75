"""Mapping problems: costs, links and bounds worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import mapping_cases as cases
import numpy as np
import pytest

from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.memory.hardware import MIB
from makespan.envs.memory.mapping_benchmark import find_instances, load_instance
from makespan.envs.memory.mapping_bounds import linear_bound
from makespan.envs.memory.mapping_generator import generator_names, make_generator, toy_mapping
from makespan.envs.memory.mapping_instance import MappingInstance


def test_toy_costs() -> None:
    """Bytes at 1 and 0.1 ps, flops at 1 ps; unlimited: 200 + 30 + 10; compulsory: x, w and y once, 140."""
    toy = toy_mapping()
    names = toy.program.tensor_name
    assert toy.op_compute.tolist() == [200, 30, 10]
    assert toy.op_hbm.tolist() == [80, 120, 100]
    assert (toy.hbm_latency, toy.unlimited_latency, toy.compulsory_time, toy.lower_bound) == (
        420,
        240,
        140,
        240,
    )
    assert toy.capacity == 100
    w, a = names.index("w"), names.index("a")
    assert (toy.tensor_copy[w], toy.tensor_units[w]) == (60, 60)
    ops = [int(toy.access_op[access]) for access in toy.accesses_of(a)]
    assert ops == [0, 1, 2]
    # alone: nothing beside 200 ps of work, 120 - 84 in the second operation, 100 - 64 in the third
    assert [int(toy.access_benefit[access]) for access in toy.accesses_of(a)] == [0, 36, 36]
    assert [int(toy.access_remaining[access]) for access in toy.accesses_of(a)] == [72, 72, 36]
    assert [int(toy.access_uses[access]) for access in toy.accesses_of(a)] == [3, 2, 1]
    # XLA: slack 80 - 200 at the production, then gains of 36: max(-120, 36), then added up
    assert toy.tensor_boundedness[a] == 72
    assert toy.tensor_boundedness[names.index("x")] == -120


def test_costs_round_up() -> None:
    """7 bytes at 3 bytes a second are 7/3 s, rounded up to whole picoseconds; sizes fill whole alignment units."""
    instance = cases.problem(16, {"x": ("i", 7), "y": ("o", 9)}, [(0, ["x"], ["y"])])
    slow = replace(instance.hardware, hbm_bytes_per_s=3, fast_bytes_per_s=3, capacity=16, alignment=8)
    priced = MappingInstance(instance.program, slow)
    assert priced.access_hbm.tolist() == [2_333_333_333_334, 3_000_000_000_000]
    assert priced.tensor_units.tolist() == [1, 2]
    assert priced.capacity == 2


def test_heirs_meet_in_one_operation() -> None:
    """V takes W's place where an operation reads W and writes V; otherwise the two are tensors of their own."""
    tensors = {"W": ("p", 50), "V": ("o", 50), "g": ("i", 10), "t": ("a", 10)}
    together = cases.problem(100, tensors, [(0, ["W", "g"], ["V", "t"])], in_place={"V": "W"})
    names = together.program.tensor_name
    assert together.tensor_heir[names.index("W")] == names.index("V")
    assert together.tensor_donor[names.index("V")] == names.index("W")
    apart = cases.problem(100, tensors, [(0, ["W", "g"], ["t"]), (0, ["t"], ["V"])], in_place={"V": "W"})
    assert (apart.tensor_heir == -1).all()
    assert (apart.tensor_donor == -1).all()


def test_compulsory_traffic_counts_touched_rows() -> None:
    """A table of 1000 bytes of which 10 are read costs 10, not 1000."""
    instance = cases.problem(2000, {"table": ("p", 1000), "y": ("o", 10)}, [(0, ["table"], ["y"])])
    gather = replace(instance.program, access_bytes=np.array([10, 10]))
    assert MappingInstance(gather, instance.hardware).compulsory_time == 20


def test_linear_bound_knows_the_capacity() -> None:
    """Two operands of 100 bytes, room for one: 110 ps, where unlimited memory would promise 20, compulsory traffic 0."""
    tensors = {"x": ("i", 1), "a": ("a", 100), "b": ("a", 100), "t": ("a", 1)}
    ops: list[cases.Op] = [(500, ["x"], ["a"]), (500, ["x"], ["b"]), (0, ["a", "b"], ["t"])]
    instance = cases.problem(100, tensors, ops)
    assert instance.lower_bound == 1000 + 21
    # half of each in fast memory, or all of one: 100 + 10 + what t takes
    assert 1000 + 109 < linear_bound(instance) <= 1000 + 100 + 10 + 1


def test_names_and_sets() -> None:
    """Names give program, hardware and capacity; sets, globs and misspelt names do what they should."""
    instance = load_instance("unet_training_b1@tpu_v5e_like:16")
    assert (instance.hardware.name, instance.hardware.capacity) == ("tpu_v5e_like", 16 * MIB)
    assert instance.name == "unet_training_b1@tpu_v5e_like:16"
    assert load_instance("unet_training_b1").hardware.capacity == 128 * MIB
    assert load_instance("mlp_inference_b64@tpu_v5e_like").hardware.name == "tpu_v5e_like"
    assert len(find_instances("unet")) == 12
    assert [i.name for i in find_instances("vae_*_b8@8")] == ["vae_inference_b8@8", "vae_training_b8@8"]
    with pytest.raises(UnknownNameError, match="unet_training_b1"):
        load_instance("unet_trainign_b1@8")
    with pytest.raises(UnknownNameError, match="tpu_v5e_like"):
        load_instance("unet_training_b1@tpu_v5_like:8")
    with pytest.raises(InvalidInstanceError, match="whole MiB"):
        load_instance("unet_training_b1@tpu_v5e_like:8.5")


@pytest.mark.parametrize("name", generator_names())
def test_generators_keep_their_size(name: str) -> None:
    """Equal seeds give equal instances, and none outgrows the promised size."""
    generator = make_generator(name)
    for seed in range(5):
        instance, again = (generator.sample(np.random.default_rng(seed)) for _ in range(2))
        assert instance.program == again.program
        assert instance.capacity == again.capacity
        for key in ("num_ops", "num_accesses", "num_tensors", "num_regions"):
            assert getattr(instance, key) <= getattr(generator.size, key)


def test_unknown_generators_and_parameters_help() -> None:
    """Misspelt names are errors that name what there is."""
    with pytest.raises(UnknownNameError, match="layered"):
        make_generator("layerd")
    with pytest.raises(TypeError, match="num_ops"):
        make_generator("layered", num_op=3)
    with pytest.raises(ValueError, match="training"):
        make_generator("layered", training=2.0)
