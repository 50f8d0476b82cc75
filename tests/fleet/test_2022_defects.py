"""The defects of the simulator published in 2022, each of which some test here would catch."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest
from fleet_play import play

import makespan  # noqa: F401
from makespan.envs.fleet.engine import FleetEngine
from makespan.envs.fleet.generator import make_generator
from makespan.envs.fleet.generator_base import FleetSize, ToyDay
from makespan.envs.fleet.validator import audit


def test_boarding_takes_from_the_time_varying_demand():
    """Who boards was among the arrivals of that pair, once, after arriving, within patience; queues are never negative."""
    day = make_generator("tiny").day(1)
    envs = play([day], "random")
    audited, schedule = audit(day, envs.schedule(0)), envs.schedule(0)
    V = day.num_vertiports
    boarded: dict[tuple[int, int], list[int]] = {}
    for row, entry in enumerate(audited.entries):
        for time in entry.boarded:
            assert time <= schedule.start[row] < time + day.parameters.patience
            boarded.setdefault((entry.origin, int(schedule.resource[row])), []).append(time)
    assert sum(map(len, boarded.values())) == envs.engine.books(0).served > 50
    for (i, j), times in boarded.items():
        arrivals = day.arrival_time[day.arrival_pair == i * V + j].tolist()
        for time in times:
            arrivals.remove(time)  # raises if anybody boards twice
    assert (envs.engine.fleet.queue[..., 0] >= 0).all()


def test_the_afternoon_peak_exists():
    """Demand out of the hubs peaks at 16:30, into them at 08:30, in forecast and realisation alike."""
    generator = make_generator("base")
    day = generator.day(0)
    peaks = day.forecast.argmax(axis=2)
    clock = 6.0 + 0.5 * peaks
    into, out = clock == 8.0, clock == 16.0  # bins 08:00-08:30 and 08:30-09:00 tie but for the sampling
    assert (np.isin(clock, (8.0, 8.5)).sum(), np.isin(clock, (16.0, 16.5)).sum()) == (15, 15)
    assert into.any() or out.any()
    hours = np.concatenate([generator.day(seed).arrival_time for seed in range(20)]) // 3600
    counts = np.bincount(hours, minlength=12)
    assert counts[2] > 1.5 * counts[6]  # 08-09 h against noon
    assert counts[10] > 1.5 * counts[6]  # 16-17 h


def test_the_battery_gates_flights():
    """An aircraft with too little energy may not fly; the level falls by each flight and rises on a charger only."""
    day = dataclasses.replace(ToyDay().sample(), flight_energy=np.array([[0, 900], [900, 0]], np.int32))
    engine = FleetEngine(1, FleetSize.of(day))
    engine.load(0, day)
    engine.step(np.array([1]))
    assert engine.fleet.aircraft[0, 0, 3] == 200
    assert engine.observation["action_mask"][0].tolist() == [0, 1]  # 200 - 900 leaves no reserve
    engine.step(np.array([1]))
    assert engine.fleet.aircraft[0, 0, 3] == 200 + 375
    assert engine.observation["action_mask"][0].tolist() == [0, 1]


def test_nobody_teleports():
    """An aircraft decides at its destination when its flight has ended, not before: times and places of all rows connect."""
    day = make_generator("base").day(2)
    schedule = play([day], "random").schedule(0)
    for k in range(day.num_aircraft):
        rows = schedule.select(schedule.job == k)
        place, free = int(day.start[k]), 0
        for start, end, to, kind in zip(rows.start, rows.end, rows.resource, rows.kinds, strict=True):
            assert start == free
            if kind == "fly":
                assert end - start >= day.parameters.takeoff_time + day.flight_time[place, to]
            else:
                assert to == place
            place, free = int(to), int(end)


def test_an_arrival_needs_a_place_and_no_charger():
    """Places are reserved when a flight is decided on; a vertiport whose chargers are all in use may still be flown to."""
    day = make_generator("tiny", chargers=1, parking=6).day(0)
    envs = play([day], "random")
    schedule = envs.schedule(0)
    flights = schedule.kinds.count("fly")
    assert flights > 20
    # with one charger a vertiport, most landings find it taken or another waiting for it
    ends = {}
    met = 0
    for place, start, end, kind in zip(
        schedule.resource, schedule.start, schedule.end, schedule.kinds, strict=True
    ):
        if kind == "charge":
            ends[int(place)] = int(end)
        elif kind == "fly":
            met += ends.get(int(place), 0) > start
    assert met > 0
    assert (envs.engine.fleet.vertiport[0, :, 4] <= 6).all()


def test_every_vertiport_can_be_chosen():
    """No vertiport is cut off the action space: random days fly to each of them, the last included."""
    days = [make_generator("base").day(seed) for seed in range(3)]
    envs = play(days, "random")
    for slot in range(3):
        schedule = envs.schedule(slot)
        flown = {int(p) for p, kind in zip(schedule.resource, schedule.kinds, strict=True) if kind == "fly"}
        assert flown == set(range(8))


def test_no_global_randomness():
    """The global generator neither changes a day nor is changed by it."""
    env = gymnasium.make("makespan/UAMFleet-v0", generator="tiny")
    np.random.seed(1)  # noqa: NPY002
    first, _ = env.reset(seed=3)
    np.random.seed(2)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    again, _ = env.reset(seed=3)
    assert all((first[key] == again[key]).all() for key in first)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_seeds_and_layouts():
    """Seeds give days; the layout stays unless it is asked to change with them."""
    fixed, free = make_generator("base"), make_generator("base", random_layout=True)
    assert fixed.day(1) == fixed.day(1)
    assert fixed.day(1) != fixed.day(2)
    assert (fixed.day(1).position == fixed.day(2).position).all()
    assert (free.day(1).position != free.day(2).position).any()
    assert (make_generator("base", layout_seed=9).day(1).position != fixed.day(1).position).any()


def test_demand_does_not_depend_on_what_is_decided():
    """The world is drawn before the first decision: two policies meet the same passengers, delays and closures."""
    days = [make_generator("tiny").day(7)] * 2
    before = days[0].arrival_time.copy()
    one, other = play(days, "lookahead"), play(days, "random")
    assert one.engine.books(0) != other.engine.books(0)
    for envs in (one, other):
        assert (envs.engine.fleet.arrival[0, : before.size, 0] == before).all()
        assert not days[0].arrival_time.flags.writeable


@pytest.mark.parametrize("stream", ["closure", "failure", "delays"])
def test_streams_are_apart(stream: str):
    """Weather, failures and delays have streams of their own: without them the passengers stay the same."""
    with_it = make_generator("base").day(4)
    without = make_generator("base", **{stream: False if stream == "delays" else 0.0}).day(4)
    assert (with_it.arrival_time == without.arrival_time).all()
    assert (with_it.arrival_pair == without.arrival_pair).all()
