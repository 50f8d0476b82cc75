"""The decision graph, written decision by decision, equals one computed from scratch."""

from __future__ import annotations

import mapping_cases as cases
import numpy as np
import pytest

from makespan.envs.memory.mapping_benchmark import load_instance
from makespan.envs.memory.mapping_game import MappingRules, MappingSlots
from makespan.envs.memory.mapping_generator import toy_mapping
from makespan.envs.memory.mapping_instance import MappingInstance

DYNAMIC_OPS = ("latency", "hbm_time", "fast_time", "copy_time", "idle", "free")


def plain_ops(engine: MappingSlots, instance: MappingInstance, decided: np.ndarray) -> dict[str, np.ndarray]:
    """Operations' features from the schedule so far; how copies are spread only in total."""
    schedule = engine.schedule(0)
    O = instance.num_ops  # noqa: E741
    fast = np.ones(instance.num_accesses, bool)
    for t, _, start, _ in cases.rows_of(schedule, "hbm"):
        fast[(instance.access_tensor == t) & (instance.access_op == start)] = False
    hbm, quick, load = np.zeros(O), np.zeros(O), np.zeros(O)
    np.add.at(hbm, instance.access_op[~fast], instance.access_hbm[~fast])
    np.add.at(quick, instance.access_op[fast], instance.access_fast[fast])
    heirs = {int(h) for h in instance.tensor_heir if h >= 0}
    for t, _, start, end in cases.rows_of(schedule, "fast"):
        load[start + (t in heirs) : end] += instance.tensor_units[t]  # where it is handed over it counts once
    mean = instance.hbm_latency / O
    latency = np.maximum(instance.op_compute, hbm + quick)
    return {
        "latency": latency / np.maximum(1, np.maximum(instance.op_compute, instance.op_hbm)),
        "hbm_time": hbm / mean,
        "fast_time": quick / mean,
        "free": 1 - load / instance.capacity,
        "idle + copies": (latency - hbm) / mean,
    }


@pytest.mark.parametrize(
    "rules", [MappingRules(), MappingRules(dead_ends="drop_backup")], ids=["safe", "backup"]
)
@pytest.mark.parametrize("name", ["layered-1@2", "decode_step_inference_b1@8", "mlp_training_b256@8"])
def test_rows_equal_a_recomputation(name: str, rules: MappingRules) -> None:
    """After every decision every operation's row is what the mapping so far says, also where nothing was rewritten."""
    instance = load_instance(name)
    engine, rng = cases.engine_for(instance, rules), np.random.default_rng(3)
    column = {feature: engine.schema.node_feature("op", feature) for feature in (*DYNAMIC_OPS, "decided")}
    while not engine.outcome.terminated[0]:
        cases.act(engine, int(rng.choice(cases.legal(engine))))
        x = engine.observation["op_x"][0, : instance.num_ops]
        expected = plain_ops(engine, instance, x[:, column["decided"]] > 0)
        for feature in ("latency", "hbm_time", "fast_time", "free"):
            np.testing.assert_allclose(
                x[:, column[feature]], np.clip(expected[feature], -100, 100), atol=2e-5
            )
        shared = x[:, column["idle"]] + x[:, column["copy_time"]]
        inside = expected["idle + copies"] < 50
        np.testing.assert_allclose(shared[inside], expected["idle + copies"][inside], atol=1e-4)
        now = engine.observation["candidate_index"][0, :, 0].max()
        if now >= 0:
            assert (x[:, column["decided"]] == (np.arange(instance.num_ops) < now)).all()


def test_tensor_rows_equal_a_recomputation() -> None:
    """Residence, next use and uses left of every tensor follow the accesses decided so far."""
    instance = load_instance("layered-1@2")
    engine, rng = cases.engine_for(instance, MappingRules(skip_forced=False)), np.random.default_rng(4)
    feature = {n: engine.schema.node_feature("tensor", n) for n in ("next_use", "uses_left", "resident")}
    for access in range(instance.num_accesses):
        x = engine.observation["tensor_x"][0]
        for t in range(instance.num_tensors):
            left = [int(instance.access_op[a]) for a in instance.accesses_of(t) if a >= access]
            assert x[t, feature["uses_left"]] == pytest.approx(len(left) / 10)
            expected = left[0] / instance.num_ops if left else 1.0
            assert x[t, feature["next_use"]] == pytest.approx(expected)
        action = int(rng.choice(cases.legal(engine)))
        donors = instance.tensor_donor >= 0
        t = int(instance.access_tensor[access])
        cases.act(engine, action)
        assert engine.observation["tensor_x"][0, t, feature["resident"]] == (action > 0)
        assert donors.shape == (instance.num_tensors,)


def test_candidates_of_the_toy() -> None:
    """At w: 54 ps saved (120 to 66 ps), a stay of two operations and 60 of 100 bytes, next use never, 60 ps copied."""
    toy = toy_mapping()
    engine = cases.engine_for(toy)
    cases.act(engine, 1)
    row = {
        f.name: engine.observation["candidate_x"][0, 2, k]
        for k, f in enumerate(engine.schema.candidates.features)
    }
    mean = 420 / 3
    expected = {
        "is_copy": 1.0,
        "benefit": 54 / mean,
        "size": 0.6,
        "duration": 2 / 3,
        "area": 0.4,
        "density": 54 / 420 / 0.4,
        "copies": 60 / mean,
        "next_use": 1.0,
        "offset": 0.4,
        "slack": (30 - 60) / mean,
        "in_hbm": 1.0,
        "units": 60.0,
        "operations": 2.0,
        "accesses_left": 1.0,
    }
    assert {key: pytest.approx(value) for key, value in expected.items()} == {
        key: row[key] for key in expected
    }


def test_profile_of_the_toy() -> None:
    """With a at [0, 40) throughout, 60 units are free ahead, in one gap; beside operation 0 160 ps are idle."""
    toy = toy_mapping()
    engine = cases.engine_for(toy)
    cases.act(engine, 1)
    system = {
        f.name: engine.observation["system_x"][0, 0, k]
        for k, f in enumerate(engine.schema.node("system").features)
    }
    for name in ("free_1", "free_4", "gap_1", "gap_4"):
        assert system[name] == pytest.approx(0.6)
    assert system["idle_before_1"] == pytest.approx(160 / 140)
    assert system["idle_1"] == pytest.approx(0.0)
    assert system["headroom"] == pytest.approx(240 / 420)


def test_occupancy_of_the_toy() -> None:
    """A is kept at [0, 40) of 100 units for operations 0 to 2: seen from operation 1, two of five bins, ending with the 2nd."""
    toy = toy_mapping()
    engine = cases.engine_for(toy, MappingRules(occupancy=(3, 5)))
    assert not engine.observation["occupancy"].any()
    cases.act(engine, 1)
    occupied, ending = engine.observation["occupancy"][0]
    np.testing.assert_allclose(occupied, [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    np.testing.assert_allclose(ending, [[0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    assert "occupancy" not in cases.engine_for(toy).observation
