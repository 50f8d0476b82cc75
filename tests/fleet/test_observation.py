"""What policies see: nothing of the future, incremental = rewritten, everything inside its space."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from makespan.envs.core.kernels import kernel
from makespan.envs.fleet.engine import FleetEngine, scaled_position
from makespan.envs.fleet.generator import make_generator
from makespan.envs.fleet.generator_base import FleetSize
from makespan.envs.fleet.instance import FleetDay
from makespan.envs.fleet.observation import write_static


def twin_futures() -> tuple[FleetDay, FleetDay]:
    """Two days that are alike up to second 7200 and differ in passengers, closures, delays and failures from then on."""
    one, other = make_generator("tiny", failure=0.3).day(0), make_generator("tiny", failure=0.3).day(1)
    early, late = one.arrival_time < 7200, other.arrival_time >= 7200
    closed = one.closed.copy()
    closed[:, :, 2:] = other.closed[:, :, 2:]
    return one, dataclasses.replace(
        one,
        arrival_time=np.concatenate([one.arrival_time[early], other.arrival_time[late]]),
        arrival_pair=np.concatenate([one.arrival_pair[early], other.arrival_pair[late]]),
        closed=closed,
    )


def test_the_future_is_not_shown():
    """Until the two days part, every observation but the critic's is the same, and rewards are."""
    engines = []
    for day in twin_futures():
        engine = FleetEngine(1, FleetSize.of(day))
        engine.load(0, day)
        engines.append(engine)
    rng, critic_differs, steps = np.random.default_rng(0), False, 0
    while engines[0].now(0) < 7200:
        for key in engines[0].observation:
            one, other = (engine.observation[key] for engine in engines)
            if key == "critic_x":
                critic_differs |= not np.array_equal(one, other)
            else:
                assert np.array_equal(one, other), (key, engines[0].now(0))
        action = rng.choice(np.flatnonzero(engines[0].observation["action_mask"][0]))
        for engine in engines:
            engine.step(np.array([action]))
        assert engines[0].outcome.reward[0] == engines[1].outcome.reward[0]
        steps += 1
    assert critic_differs
    assert steps > 30


def test_repairs_are_not_foreseen():
    """Until an aircraft lands, whether it will need a repair changes nothing that is shown."""
    day = make_generator("tiny", failure=0.0).day(0)
    broken = dataclasses.replace(day, downtime=np.full_like(day.downtime, 7200))
    engines = [FleetEngine(1, FleetSize.of(day)) for _ in range(2)]
    engines[0].load(0, day)
    engines[1].load(0, broken)
    for _ in range(day.num_aircraft):  # all decide at 06:00; nobody has landed before the last has decided
        action = int(np.flatnonzero(engines[0].observation["action_mask"][0])[-1])
        for key in engines[0].observation:
            assert np.array_equal(engines[0].observation[key], engines[1].observation[key]), key
        for engine in engines:
            engine.step(np.array([action]))


@kernel
def rewrite(fleet, graph, b, position):
    write_static(fleet, graph, b, position)


def test_incremental_writes_equal_a_rewrite():
    """At every decision of a day, the graph that steps have kept is the one written from scratch."""
    day = make_generator("tiny", failure=0.1).day(2)
    engine, fresh = FleetEngine(1, FleetSize.of(day)), FleetEngine(1, FleetSize.of(day))
    engine.load(0, day)
    rng = np.random.default_rng(0)
    while not engine.outcome.terminated[0]:
        fresh.load(0, day)
        for ours, theirs in zip(fresh.fleet, engine.fleet, strict=True):
            ours[:] = theirs
        rewrite(fresh.fleet, fresh.graph, 0, scaled_position(day))
        fresh.fleet.clock[0, 14] = -1
        fresh.show(0)
        for key in engine.observation:
            assert np.array_equal(engine.observation[key], fresh.observation[key]), key
        engine.step(np.array([rng.choice(np.flatnonzero(engine.observation["action_mask"][0]))]))


@pytest.mark.parametrize("preset", ["tiny", "busy", "rich", "legacy22", "large"])
def test_inside_the_space(preset: str):
    """Extreme days too keep every feature within its bounds."""
    changes = {"demand_scale": 50.0} if preset == "tiny" else {}
    day = make_generator(preset, **changes).day(0)
    engine = FleetEngine(1, FleetSize.of(day))
    engine.load(0, day)
    rng, step = np.random.default_rng(0), 0
    while not engine.outcome.terminated[0]:
        if step % 7 == 0:
            for key, box in engine.schema.space.spaces.items():
                assert box.contains(engine.observation[key][0]), key
        engine.step(np.array([rng.choice(np.flatnonzero(engine.observation["action_mask"][0]))]))
        step += 1


def test_hierarchy():
    """Aircraft belong to where they are or fly to; candidates point at the decider and its destinations; one is the stay."""
    day = make_generator("tiny").day(0)
    engine = FleetEngine(1, FleetSize.of(day))
    engine.load(0, day)
    rng = np.random.default_rng(0)
    for _ in range(150):
        seen = {key: array[0] for key, array in engine.observation.items()}
        k = engine.decider(0)
        assert seen["aircraft_x"][:, 0].tolist() == [float(n == k) for n in range(8)]
        assert (seen["aircraft_parent"] == engine.fleet.aircraft[0, :, 0]).all()
        allowed = np.flatnonzero(seen["action_mask"])
        assert (seen["candidate_index"][allowed] == [[k, j] for j in allowed]).all()
        assert seen["candidate_x"][allowed, 0].sum() == 1
        assert seen["candidate_x"][seen["aircraft_parent"][k], 0] == 1
        engine.step(np.array([rng.choice(allowed)]))
