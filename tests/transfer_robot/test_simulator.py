"""The transfer cell's simulator: hand-worked cells, a ticking simulator in plain Python, dead ends, optima."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plain_cell import Move, PlainCell
from random_play import best_reachable, play
from small_cells import engine_for, small_cell

from makespan.envs.transfer_robot.engine import TransferEngine
from makespan.envs.transfer_robot.generator import TOY_OPTIMUM, OneChamberCell, RailCell, ToyCell
from makespan.envs.transfer_robot.instance import TransferCell
from makespan.envs.transfer_robot.solver import CPSATSolver
from makespan.envs.transfer_robot.validator import count_violations, validate

WIDTH = 6  # stations but the last, of the largest small cell


def moves_of(engine: TransferEngine, slot: int = 0) -> dict[Move, int]:
    """The allowed moves, in the words of the plain simulator, and their candidates."""
    moves: dict[Move, int] = {}
    for a in np.flatnonzero(engine.observation["action_mask"][slot]).tolist():
        if a < WIDTH:
            moves["fetch", a, -1] = a
        elif a < 3 * WIDTH:
            moves["deliver", a % WIDTH + 1, a // WIDTH - 1] = a
        else:
            moves["wait", -1, -1] = a
    return moves


@pytest.mark.parametrize("hands", [1, 2])
def test_toy_by_hand(hands: int) -> None:
    """46 with one hand, 34 with two; the best of all sequences of decisions is just that, and the second's times are right."""
    engine = engine_for(1)
    assert best_reachable(engine, ToyCell(hands).sample()) == TOY_OPTIMUM[hands]
    if hands == 1:
        return
    engine = engine_for(1, skip_forced=False)
    engine.load(0, ToyCell(2).sample())
    for move in (
        ("fetch", 0, -1),  # 0 - 2
        ("deliver", 1, 0),  # there at 4, in at 5
        ("fetch", 0, -1),  # there at 7, 9
        ("fetch", 1, -1),  # there at 11, waits until 15, 17
        ("deliver", 1, 0),  # 17 - 18
        ("deliver", 2, 1),  # there at 21, 22
        ("fetch", 1, -1),  # there at 25, waits until 28, 30
        ("deliver", 2, 0),  # there at 33, 34
    ):
        engine.step(np.array([moves_of(engine)[move]]))
    assert engine.outcome.terminated[0]
    schedule = engine.schedule(0)
    rows = zip(
        schedule.kinds, schedule.job.tolist(), schedule.start.tolist(), schedule.end.tolist(), strict=True
    )
    found = set(rows)
    assert {("process", 0, 5, 15), ("process", 1, 18, 28), ("load", 1, 33, 34)} <= found
    assert engine.objective(0) == 34


@pytest.mark.parametrize("fetches", ["ahead", "ready"])
def test_plain_simulator_agrees(fetches: str) -> None:
    """Masks, clocks, ends and violations are those of a simulator that ticks, whose mask searches for a way to the end.

    So the mask allows a fetch exactly where all glasses can still be taken out afterwards.
    """
    rng, engine = np.random.default_rng(3), engine_for(1, fetches, skip_forced=False)
    forbidden = 0
    for _ in range(150):
        cell = small_cell(rng)
        engine.load(0, cell)
        plain = PlainCell(cell, fetches == "ahead")
        while True:
            asked = plain.ask()
            if asked is None:
                break
            moves = moves_of(engine)
            assert set(moves) == asked[1]
            forbidden += any(
                c.glass is not None and not c.fetched and ("fetch", x, -1) not in moves
                for x, c in plain.chambers.items()
            )
            system = engine.observation["system_x"][0, 0]
            assert system[3] == pytest.approx(
                min(100.0, plain.now / max(1, engine.state.clock[0, 7])), abs=1e-4
            )
            move = sorted(asked[1])[int(rng.integers(len(asked[1])))]
            plain.play(move)
            engine.step(np.array([moves[move]]))
        assert engine.outcome.terminated[0]
        assert engine.objective(0) == plain.objective
        assert engine.num_violations(0) == plain.late
        schedule = engine.schedule(0)
        assert validate(cell, schedule) == plain.objective
        assert count_violations(cell, schedule) == plain.late
    assert forbidden > 100  # the mask had something to do


@pytest.mark.parametrize("fetches", ["ahead", "ready"])
def test_never_a_dead_end(fetches: str) -> None:
    """Thousands of random episodes on ragged cells all end with every glass out, and the validator accepts some of each batch."""
    rng, engine = np.random.default_rng(4), engine_for(256, fetches)
    for _ in range(20):
        cells = [small_cell(rng) for _ in range(256)]
        for slot, cell in enumerate(cells):
            engine.load(slot, cell)
        play(engine, rng)
        for slot in range(0, 256, 8):
            assert validate(cells[slot], engine.schedule(slot)) == engine.objective(slot)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_never_a_dead_end_often(seed: int) -> None:
    """Fifty thousand random episodes in all, in both modes: none ends in a dead end, all are valid."""
    for fetches in ("ahead", "ready"):
        rng, engine = np.random.default_rng(100 + seed), engine_for(256, fetches)
        for _ in range(13):
            cells = [small_cell(rng) for _ in range(256)]
            for slot, cell in enumerate(cells):
                engine.load(slot, cell)
            play(engine, rng)
            for slot, cell in enumerate(cells):
                assert validate(cell, engine.schedule(slot)) == engine.objective(slot)


def test_one_chamber_has_no_choice() -> None:
    """With one chamber and one hand every course has the closed form's makespan, and the first bound is tight."""
    generator, rng = OneChamberCell(num_glasses=4), np.random.default_rng(0)
    for _ in range(20):
        cell = generator.sample(rng)
        assert cell.bounds.lower_bound == generator.optimum(cell)
        engine = TransferEngine(1, generator.size, fetches="ready", reward="makespan", skip_forced=True)
        engine.load(0, cell)
        play(engine, rng)
        assert engine.objective(0) == generator.optimum(cell)


def tiny(rng: np.random.Generator, robots: int, limited: bool, glasses: int) -> TransferCell:
    """A cell that CP-SAT solves in a moment."""
    hands = rng.integers(1, 3, robots)
    given = {} if limited else {"limit": np.zeros(0)}
    while True:
        cell = small_cell(rng, 0, hands=hands, home=np.zeros(robots), delay=np.zeros(0), **given)
        if 2 <= cell.num_glasses <= glasses and cell.num_stages <= 2:
            return cell


def test_decisions_reach_the_optimum() -> None:
    """With one robot and no limits the best of all sequences of decisions is CP-SAT's proved optimum."""
    rng, engine = np.random.default_rng(5), engine_for(1, skip_forced=False)
    for _ in range(15):
        cell = tiny(rng, 1, limited=False, glasses=3)
        solution = CPSATSolver(workers=1).solve(cell, 20)
        assert solution.status == "optimal"
        assert best_reachable(engine, cell) == solution.objective
        assert cell.bounds.lower_bound <= solution.objective


def test_decisions_never_beat_the_optimum() -> None:
    """With limits (where it can pay to be late on purpose) and two robots no course beats CP-SAT's optimum; most reach it."""
    rng, engine, reached = np.random.default_rng(6), engine_for(1, skip_forced=False), 0
    for k in range(16):
        cell = tiny(rng, 1 + k % 2, limited=True, glasses=2)
        solution = CPSATSolver(workers=1).solve(cell, 20)
        assert solution.status == "optimal"
        best = best_reachable(engine, cell)
        assert best >= solution.objective
        reached += best == solution.objective
    assert reached >= 10


@pytest.mark.parametrize(("limit", "objective"), [(-1, 22), (5, 22), (4, 72)])
def test_penalty_by_hand(limit: int, objective: int) -> None:
    """The toy with a process of 1: ready at 6, fetched at 11 after a way to the port. A limit of 4 costs 50, 5 nothing."""
    toy = ToyCell(2).sample()
    cell = replace(toy, process=np.array([[1]]), limit=np.array([[limit]]), penalty=50)
    engine = engine_for(1, skip_forced=False)
    engine.load(0, cell)
    for move in (
        ("fetch", 0, -1),  # 0 - 2
        ("deliver", 1, 0),  # 4 - 5, ready at 6
        ("fetch", 0, -1),  # 7 - 9
        ("fetch", 1, -1),  # 11 - 13
        ("deliver", 1, 0),  # 13 - 14, ready at 15
        ("fetch", 1, -1),  # 15 - 17
        ("deliver", 2, 1),  # 20 - 21
        ("deliver", 2, 0),  # 21 - 22
    ):
        engine.step(np.array([moves_of(engine)[move]]))
    assert engine.outcome.terminated[0]
    assert engine.objective(0) == objective
    assert validate(cell, engine.schedule(0)) == objective


def test_rewards_of_flow() -> None:
    """With `reward="flow"` the return is exactly -(mean completion time + penalties) / LB0."""
    rng, engine = np.random.default_rng(7), engine_for(1, reward="flow")
    for _ in range(50):
        cell = small_cell(rng)
        engine.load(0, cell)
        bound, total = engine.lower_bound(0), 0.0
        while not engine.outcome.terminated[0]:
            mask = engine.observation["action_mask"][0]
            engine.step(np.array([rng.choice(np.flatnonzero(mask))]))
            total += engine.outcome.reward[0]
        schedule = engine.schedule(0)
        final = (np.array(schedule.kinds) == "load") & (schedule.task == cell.num_stages)
        mean = schedule.end[final].mean()
        expected = -(mean + cell.penalty * count_violations(cell, schedule)) / max(1, bound)
        assert total == pytest.approx(expected, abs=1e-9)


def test_lower_bound_holds() -> None:
    """The bound never falls and never exceeds what comes out, whatever is played."""
    rng, engine = np.random.default_rng(8), engine_for(1)
    for _ in range(100):
        cell = small_cell(rng)
        engine.load(0, cell)
        bounds = [engine.lower_bound(0)]
        while not engine.outcome.terminated[0]:
            mask = engine.observation["action_mask"][0]
            engine.step(np.array([rng.choice(np.flatnonzero(mask))]))
            bounds.append(engine.lower_bound(0))
        assert bounds == sorted(bounds)
        assert bounds[-1] == engine.objective(0)


def test_hidden_delays_stay_hidden() -> None:
    """Two cells that differ in delays only show the same graph until the first process could have ended."""
    generator = RailCell(num_glasses=4, num_hands=2)
    cell = generator.sample(np.random.default_rng(0))
    late = RailCell(num_glasses=4, num_hands=2, noise=0.5).sample(np.random.default_rng(0))
    assert (late.delay > 0).any()
    assert np.array_equal(cell.process, late.process)
    engine = TransferEngine(2, generator.size, fetches="ahead", reward="makespan", skip_forced=False)
    engine.load(0, cell)
    engine.load(1, late)
    first = int(cell.process.min())
    for _ in range(100):
        seen = {key: values.copy() for key, values in engine.observation.items()}
        if engine.state.clock[:, 8].max() >= first:
            break
        for key, values in seen.items():
            assert np.array_equal(values[0], values[1]), key
        action = int(seen["action_mask"][0].argmax())
        engine.step(np.array([action, action]))
