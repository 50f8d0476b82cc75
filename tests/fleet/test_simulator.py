"""The simulator against a day worked by hand and against a plain-Python twin, decision by decision."""

from __future__ import annotations

import numpy as np
import pytest
from fleet_play import play
from plain_fleet import PlainFleet, play_plain

from makespan.envs.fleet.engine import FleetEngine
from makespan.envs.fleet.generator import make_generator
from makespan.envs.fleet.generator_base import TOY_OPTIMUM, FleetSize, ToyDay
from makespan.envs.fleet.validator import audit


def test_toy_day_by_hand():
    """The toy day's three flights bring what the docstring works out, row by row."""
    day = ToyDay().sample()
    engine = FleetEngine(1, FleetSize.of(day))
    engine.load(0, day)
    rewards = []
    for action in (1, 0, 1):
        engine.step(np.array([action]))
        rewards.append(engine.outcome.reward[0])
    assert engine.outcome.terminated[0]
    # 4 x 20 - 10; 20 - 10; 20 - 10 and 30 kWh of the last charge at 0.20
    assert rewards == [70.0, 10.0, 10.0 - 6.0]
    assert engine.objective(0) == TOY_OPTIMUM
    schedule = engine.schedule(0)
    assert schedule.start.tolist() == [0, 1200, 2400]
    assert schedule.end.tolist() == [1200, 2400, 3600]
    books = engine.books(0)
    assert (books.revenue, books.operating, books.electricity) == (12_000, 3_000, 600)
    assert (books.served, books.spilled, books.flights, books.empty_flights) == (6, 0, 3, 0)


def test_toy_optimum_by_brute_force():
    """No sequence of decisions beats the optimum by hand."""
    day, best = ToyDay().sample(), -1e9

    def search(prefix: list[int]) -> float:
        fleet = PlainFleet(day)
        for action in prefix:
            fleet.step(action)
        if fleet.decider is None:
            return fleet.profit / 100
        return max(search([*prefix, action]) for action in fleet.allowed())

    best = search([])
    assert best == TOY_OPTIMUM


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("tiny", {"failure": 0.1, "parking": 4, "chargers": 1}),
        ("tiny", {"time_of_use": True, "final_recharge": False, "closure": 0.3}),
        ("base", {"failure": 0.02, "random_layout": True}),
        ("busy", {"num_corridors": 1}),
        ("legacy22", {}),
    ],
)
def test_twin(preset: str, changes: dict[str, float]):
    """At every decision the twin in plain Python agrees on decider, time and mask, and in the end on every cent."""
    day = make_generator(preset, **changes).day(5)
    engine = FleetEngine(1, FleetSize.of(day))
    engine.load(0, day)
    rng = np.random.default_rng(0)

    def choose(twin: PlainFleet, allowed: list[int]) -> int:
        assert engine.decider(0) == twin.decider
        assert engine.now(0) == twin.now
        mask = engine.observation["action_mask"][0]
        assert np.flatnonzero(mask).tolist() == allowed
        action = int(rng.choice(allowed))
        engine.step(np.array([action]))
        return action

    twin = play_plain(day, choose)
    assert engine.outcome.terminated[0]
    books = engine.books(0)
    assert (books.revenue, books.electricity, books.operating) == (
        twin.revenue,
        twin.electricity,
        twin.operating,
    )
    assert books.profit == twin.profit == engine.profits(0).sum()


@pytest.mark.parametrize("preset", ["tiny", "base", "tou"])
def test_books_balance(preset: str):
    """Revenue - electricity - operating = profit = sum of rewards, in cents; energy and passengers are conserved."""
    days = [make_generator(preset).day(seed) for seed in range(4)]
    envs = play(days, "lookahead")
    for slot, day in enumerate(days):
        books, audited = envs.engine.books(slot), audit(day, envs.schedule(slot))
        assert audited.profit == books.profit == round(100 * envs.objective(slot))
        assert sum(e.revenue for e in audited.entries) == books.revenue
        assert sum(e.electricity for e in audited.entries) == books.electricity
        assert (audited.served, audited.spilled) == (books.served, books.spilled)
        assert audited.served + audited.spilled + audited.waiting == day.passenger_count
        used = sum(e.energy_used for e in audited.entries)
        added = sum(e.energy_added for e in audited.entries)
        left = envs.engine.fleet.aircraft[slot, :, 3].sum()
        assert day.num_aircraft * day.parameters.battery - used + added == left


def test_cost_of_a_step_does_not_grow():
    """The queues are moved on by pointers: a day's last decisions scan no passenger twice."""
    day = make_generator("tiny").day(0)
    engine = FleetEngine(1, FleetSize.of(day))
    engine.load(0, day)
    while not engine.outcome.terminated[0]:
        before = engine.fleet.clock[0, 6:8].copy()
        engine.step(np.array([int(np.flatnonzero(engine.observation["action_mask"][0])[-1])]))
        after = engine.fleet.clock[0, 6:8]
        assert (after >= before).all()
        assert (after <= day.passenger_count).all()


@pytest.mark.slow
def test_thousand_days_are_feasible():
    """The independent validator accepts a thousand random days, and finds the same profit."""
    for preset, count in (("tiny", 700), ("base", 200), ("busy", 50), ("large", 50)):
        generator = make_generator(preset, failure=0.02)
        for first in range(0, count, 50):
            days = [generator.day(seed) for seed in range(first, first + 50)]
            envs = play(days, "random", seed=first)
            for slot, day in enumerate(days):
                assert audit(day, envs.schedule(slot)).profit == envs.engine.books(slot).profit
