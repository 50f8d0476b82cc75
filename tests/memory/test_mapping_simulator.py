"""The mapping game against cases worked out by hand."""

from __future__ import annotations

import mapping_cases as cases
import numpy as np
import pytest

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.memory.mapping_game import MappingRules
from makespan.envs.memory.mapping_generator import TOY_OPTIMUM, toy_mapping
from makespan.envs.memory.mapping_validator import validate

DROP, KEEP, COPY = range(3)


def test_toy_by_hand() -> None:
    """Keep a, copy w: 200 + 30 + 64 ps; the rewards are the savings of 0 and 126 ps out of 420."""
    toy = toy_mapping()
    engine = cases.engine_for(toy)
    assert engine.objective(0) == 420
    assert (cases.awaited(engine, toy), cases.legal(engine)) == ((0, "a"), [DROP, KEEP])
    assert cases.act(engine, KEEP) == 0.0
    assert (cases.awaited(engine, toy), cases.legal(engine)) == ((1, "w"), [DROP, COPY])
    assert cases.act(engine, COPY) == 126 / 420
    assert engine.outcome.terminated[0]
    assert engine.objective(0) == validate(toy, engine.schedule(0)) == TOY_OPTIMUM
    names = toy.program.tensor_name
    fast = {
        names[t]: (offset, start, end) for t, offset, start, end in cases.rows_of(engine.schedule(0), "fast")
    }
    assert fast == {"a": (0, 0, 3), "w": (40, 0, 2)}
    (fetch,) = cases.rows_of(engine.schedule(0), "copy_in")
    assert fetch == (names.index("w"), 40, 0, 1)


def test_toy_optimum_by_enumeration() -> None:
    """No way to play the toy is shorter than what was found by hand, and one reaches it."""
    assert cases.best_by_enumeration(cases.engine_for(toy_mapping())) == TOY_OPTIMUM


def test_in_place_update_is_one_decision() -> None:
    """Fetching W means writing W' in its place, at its offset, and storing it beside the operation after: 200 + 11 + 200 ps."""
    tensors = {"x": ("i", 10), "g": ("a", 10), "W": ("p", 50), "V": ("o", 50), "z": ("o", 10)}
    ops: list[cases.Op] = [(200, ["x"], ["g"]), (0, ["W", "g"], ["V"]), (200, ["g"], ["z"])]
    instance = cases.problem(100, tensors, ops, in_place={"V": "W"})
    names = instance.program.tensor_name
    engine = cases.engine_for(instance)
    assert engine.objective(0) == 200 + 120 + 200 - 10 == 510
    cases.act(engine, KEEP)  # g
    assert (cases.awaited(engine, instance), cases.legal(engine)) == ((1, "W"), [DROP, COPY])
    cases.act(engine, COPY)
    while not engine.outcome.terminated[0]:
        cases.act(engine, KEEP if KEEP in cases.legal(engine) else DROP)
    schedule = engine.schedule(0)
    assert engine.objective(0) == validate(instance, schedule) == 200 + 11 + 200
    place = {names[t]: row for t, *row in cases.rows_of(schedule, "fast")}
    assert place["W"] == [10, 0, 2]
    assert place["V"] == [10, 1, 3]
    assert cases.rows_of(schedule, "copy_out") == [(names.index("V"), 10, 2, 3)]


def test_in_place_update_needs_a_way_to_hbm() -> None:
    """Without idle HBM time after the update, W' could not reach HBM: W may not be fetched for it."""
    tensors = {"x": ("i", 10), "g": ("a", 10), "W": ("p", 50), "V": ("o", 50), "z": ("o", 10)}
    ops: list[cases.Op] = [(200, ["x"], ["g"]), (0, ["W", "g"], ["V"]), (0, ["g"], ["z"])]
    instance = cases.problem(100, tensors, ops, in_place={"V": "W"})
    engine = cases.engine_for(instance)
    assert cases.awaited(engine, instance) == (0, "g")
    cases.act(engine, DROP)
    assert engine.outcome.terminated[0] or cases.awaited(engine, instance)[1] != "W"


def _long_wait(flops: int) -> tuple[cases.MappingInstance, list[str]]:
    """A waits from operation 0 to 3; c wants almost all of the memory in between."""
    tensors = {"x": ("i", 10), "a": ("a", 10), "c": ("a", 95), "d": ("a", 10), "y": ("o", 10)}
    ops: list[cases.Op] = [
        (0, ["x"], ["a"]),
        (flops, ["x"], ["c"]),
        (flops, ["c"], ["d"]),
        (0, ["a", "d"], ["y"]),
    ]
    instance = cases.problem(100, tensors, ops)
    return instance, list(instance.program.tensor_name)


def test_safe_mode_holds_what_cannot_reach_hbm() -> None:
    """Memory-bound operations leave no HBM time to store a, so keeping it reserves its place until operation 3."""
    instance, names = _long_wait(0)
    engine = cases.engine_for(instance)
    assert cases.awaited(engine, instance) == (0, "a")
    cases.act(engine, KEEP)
    stay = next(row for row in cases.rows_of(engine.schedule(0), "fast") if row[0] == names.index("a"))
    assert stay[2:] == (0, 4)
    assert cases.awaited(engine, instance) != (1, "c")  # 95 bytes no longer fit: a forced Drop


def test_safe_mode_stores_and_takes_back() -> None:
    """With idle HBM time a is stored beside operation 1, which frees its place; if it stays after all, the copy is undone."""
    instance, names = _long_wait(200)
    engine = cases.engine_for(instance)
    cases.act(engine, KEEP)
    a = names.index("a")
    assert (a, 0, 1, 2) in cases.rows_of(engine.schedule(0), "copy_out")
    assert (a, 0, 0, 2) in cases.rows_of(engine.schedule(0), "fast")
    while not engine.outcome.terminated[0]:
        op, name = cases.awaited(engine, instance)
        cases.act(engine, KEEP if name == "a" and op == 3 else DROP)
    schedule = engine.schedule(0)
    assert (a, 0, 0, 4) in cases.rows_of(schedule, "fast")
    assert cases.rows_of(schedule, "copy_out") == []
    assert validate(instance, schedule) == engine.objective(0)


def test_safe_mode_stores_when_time_turns_up() -> None:
    """Nothing is idle while b counts as served from HBM; b kept leaves 10 ps beside operation 1, just enough to store a."""
    tensors = {
        "x": ("i", 10),
        "b": ("a", 100),
        "a": ("a", 10),
        "c": ("o", 10),
        "z": ("o", 10),
        "y": ("o", 10),
    }
    ops: list[cases.Op] = [(0, ["x"], ["b", "a"]), (0, ["b"], ["c"]), (0, ["x"], ["z"]), (0, ["a"], ["y"])]
    instance = cases.problem(120, tensors, ops)
    a = instance.program.tensor_name.index("a")
    engine = cases.engine_for(instance)
    assert cases.awaited(engine, instance) == (0, "b")
    cases.act(engine, KEEP)
    cases.act(engine, KEEP)
    assert (a, 100, 0, 2) in cases.rows_of(engine.schedule(0), "fast")
    assert (a, 100, 1, 2) in cases.rows_of(engine.schedule(0), "copy_out")
    assert (cases.awaited(engine, instance), cases.legal(engine)) == ((3, "a"), [DROP, KEEP])
    cases.act(engine, DROP)
    assert validate(instance, engine.schedule(0)) == engine.objective(0)


def test_drop_backup_goes_back() -> None:
    """Without reservation c may take a's place; at operation 3 the game goes back, drops a, and takes back the savings."""
    instance, _ = _long_wait(0)
    engine = cases.engine_for(instance, MappingRules(dead_ends="drop_backup"))
    assert cases.act(engine, KEEP) == (20 - 11) / 260  # a: 10 + 10 ps become 10 + 1
    assert cases.awaited(engine, instance) == (1, "c")
    total = (20 - 11) / 260
    while engine.num_rewinds(0) == 0:
        reward = cases.act(engine, KEEP if KEEP in cases.legal(engine) else DROP)
        total += reward
    assert reward < 0
    assert cases.awaited(engine, instance) == (1, "c")  # behind a's production, which is dropped now
    assert total == pytest.approx(0.0, abs=1e-15)
    total += cases.play_randomly(engine, np.random.default_rng(0))
    assert total == pytest.approx(1 - engine.objective(0) / instance.hbm_latency, abs=1e-12)
    assert validate(instance, engine.schedule(0)) == engine.objective(0)
    assert instance.hbm_latency == 260


def test_elapsed_supply_oversubscribes_hbm() -> None:
    """XLA's copy model fetches w beside an operation that keeps HBM busy all the time; the honest one refuses."""
    tensors = {"x": ("i", 60), "a": ("a", 60), "w": ("p", 50), "y": ("o", 10)}
    ops: list[cases.Op] = [(0, ["x"], ["a"]), (0, ["w", "a"], ["y"])]
    instance = cases.problem(100, tensors, ops)
    engine = cases.engine_for(instance, MappingRules(supply="elapsed"))
    while not engine.outcome.terminated[0]:
        cases.act(engine, COPY if COPY in cases.legal(engine) else DROP)
    schedule = engine.schedule(0)
    assert engine.objective(0) == validate(instance, schedule, "elapsed") == 120 + 75
    with pytest.raises(InvalidScheduleError, match="lacks 50 ps"):
        validate(instance, schedule)
    engine = cases.engine_for(instance)
    while not engine.outcome.terminated[0]:
        assert COPY not in cases.legal(engine)
        cases.act(engine, DROP)


@pytest.mark.parametrize(("policy", "offset"), [("lowest", 0), ("best", 60), ("highest", 70)])
def test_offset_policies(policy: str, offset: int) -> None:
    """Free are [0, 40) and [60, 100): 30 bytes go to 0, where the smaller gap is, or to the top."""
    tensors = {
        "x": ("i", 10),
        "a": ("a", 45),
        "b": ("a", 20),
        "c": ("a", 30),
        "y": ("o", 10),
        "z": ("o", 10),
    }
    ops: list[cases.Op] = [
        (0, ["x"], ["a"]),
        (0, ["a"], ["b"]),
        (0, ["x"], ["c"]),
        (0, ["b", "c"], ["y"]),
        (0, ["y"], ["z"]),
    ]
    instance = cases.problem(100, tensors, ops)
    engine = cases.engine_for(instance, MappingRules(offset_policy=policy))  # type: ignore[arg-type]
    while not engine.outcome.terminated[0]:
        cases.act(engine, KEEP if KEEP in cases.legal(engine) else DROP)
    names = instance.program.tensor_name
    found = {names[t]: low for t, low, _, _ in cases.rows_of(engine.schedule(0), "fast")}
    expected = {
        # a [0, 45) then b beside it in operation 1
        "lowest": {"a": 0, "b": 45, "c": 0},
        "best": {"a": 0, "b": 45, "c": 65},
        "highest": {"a": 55, "b": 35, "c": 70},
    }
    assert {key: found[key] for key in "abc"} == expected[policy]
    assert offset >= 0


@pytest.mark.parametrize(("prefetch", "start"), [("latest", 3), ("preferred", 2), ("earliest", 0)])
def test_prefetch_policies(prefetch: str, start: int) -> None:
    """Four operations of 40 idle ps each before w's 30: one is enough, 45 need two, the earliest begins at once."""
    tensors = {"x": ("i", 10), "w": ("p", 30), "y": ("o", 10)} | {f"o{i}": ("o", 10) for i in range(4)}
    ops: list[cases.Op] = [(60, ["x"], [f"o{i}"]) for i in range(4)]
    instance = cases.problem(100, tensors, [*ops, (0, ["w"], ["y"])])
    engine = cases.engine_for(instance, MappingRules(prefetch=prefetch))  # type: ignore[arg-type]
    while not engine.outcome.terminated[0]:
        cases.act(engine, COPY if COPY in cases.legal(engine) else DROP)
    (fetch,) = cases.rows_of(engine.schedule(0), "copy_in")
    assert fetch[2:] == (start, start + 1)
    assert validate(instance, engine.schedule(0)) == engine.objective(0) == 4 * 60 + 13


def test_tensor_granularity_by_hand() -> None:
    """One decision a tensor: x may only be fetched (and cannot), a and w go to fast memory, b finds no room: 294 ps."""
    toy = toy_mapping()
    engine = cases.engine_for(toy, MappingRules(granularity="tensor"))
    seen = []
    while not engine.outcome.terminated[0]:
        seen.append(cases.awaited(engine, toy)[1])
        cases.act(engine, cases.legal(engine)[-1])
    assert seen == ["x", "a", "w", "b", "y"][: len(seen)]
    assert engine.objective(0) == validate(toy, engine.schedule(0)) == TOY_OPTIMUM


def test_copied_slots_have_one_future() -> None:
    """`copy_slots` gives a slot the state of another one, mapping and observation."""
    engine = cases.engine_for(toy_mapping(), slots=2)
    engine.step(np.array([KEEP, -1]))
    engine.copy_slots(np.array([0]), np.array([1]))
    engine.step(np.array([COPY, COPY]))
    assert engine.objective(0) == engine.objective(1) == TOY_OPTIMUM
    assert engine.schedule(0) == engine.schedule(1)
