"""Looking ahead with transfer robots: values are what rules reach, from what is known, and the pilot improves on its rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from looking_ahead import compare_values, random_action
from small_cells import SMALL, small_cell

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.lookahead import PilotPolicy
from makespan.envs.core.policy import rules_of
from makespan.envs.transfer_robot import rules as rules  # registers them
from makespan.envs.transfer_robot.engine import TransferEngine
from makespan.envs.transfer_robot.env import TransferRobotEnv
from makespan.envs.transfer_robot.generator import CellSize, make_generator
from makespan.envs.transfer_robot.instance import TransferCell
from makespan.envs.transfer_robot.search import dispatch
from makespan.envs.transfer_robot.simulator import NOW


def engine_for(
    cells: list[TransferCell], lookahead: str, fetches: str = "ahead", size: CellSize = SMALL
) -> TransferEngine:
    """An engine that looks ahead, with a cell in each slot."""
    engine = TransferEngine(
        len(cells), size, fetches=fetches, reward="makespan", skip_forced=False, lookahead=lookahead
    )
    for slot, cell in enumerate(cells):
        engine.load(slot, cell)
    return engine


@pytest.mark.parametrize("fetches", ["ahead", "ready"])
def test_values_are_what_the_rule_reaches(fetches: str) -> None:
    """In random states of ragged cells without delays each candidate's value is the objective when the rule plays on."""
    rng = np.random.default_rng(0)
    for rule in rules_of("transfer_robot"):
        for low in (0, 1):
            cell = small_cell(rng, low)
            engine = engine_for([replace(cell, delay=np.zeros_like(cell.delay))], rule, fetches)
            compared = 0
            while not engine.outcome.terminated[0]:
                compared += compare_values(engine, "transfer_robot", rule)
                engine.step(random_action(engine, rng))
            assert compared


def test_values_know_the_past_only() -> None:
    """Cells whose delays differ look the same ahead for as long as they look the same at present."""
    rng, compared = np.random.default_rng(1), 0
    own = len(engine_for([small_cell(rng)], "").schema.candidates.features)
    for _ in range(60):
        cell = small_cell(rng, 1)
        late = replace(cell, delay=cell.delay + rng.integers(1, 6, cell.delay.shape))
        engine = engine_for([cell, late], "swap_push/earliest")
        while not engine.outcome.terminated.any():
            seen = {**engine.observation, "clock": engine.state.clock[:, NOW]}
            present = {
                **seen,
                "candidate_x": seen["candidate_x"][..., :own],
                "system_x": seen["system_x"][..., :-1],
            }
            if not all(np.array_equal(*both) for both in present.values()):
                break  # a delay has shown
            assert np.array_equal(*seen["candidate_x"])
            assert np.array_equal(*seen["system_x"])
            compared += 1
            engine.step(np.repeat(random_action(engine, rng)[:1], 2))
    assert compared > 150


def test_pilot_is_never_worse_than_its_rule() -> None:
    """Without delays the rule's own choice stays among the candidates: the pilot is never worse, and better on average."""
    rng = np.random.default_rng(0)
    for name in ("dual_arm", "two_robots"):
        generator = make_generator(name, num_glasses=8)
        cells = [generator.sample(rng) for _ in range(10)]
        engine = engine_for(cells, "forward", size=generator.size)
        policy = PilotPolicy(engine.schema)
        while not engine.outcome.terminated.all():
            engine.step(np.where(engine.outcome.terminated, -1, policy.act(engine.observation)))
        gains = [dispatch(cell, "forward")[1] - engine.objective(slot) for slot, cell in enumerate(cells)]
        assert min(gains) >= 0
        assert np.mean(gains) > 0


def test_columns_leave_the_rest_alone() -> None:
    """With and without looking ahead the same decisions show the same other columns and lead to the same schedule."""
    rng = np.random.default_rng(3)
    cell = small_cell(rng, 1)
    plain, ahead = engine_for([cell], ""), engine_for([cell], "fifo")
    while not plain.outcome.terminated[0]:
        for key, array in plain.observation.items():
            assert np.array_equal(array, ahead.observation[key][..., : array.shape[-1]]), key
        action = random_action(plain, rng)
        plain.step(action)
        ahead.step(action)
    assert plain.schedule(0) == ahead.schedule(0)


def test_unknown_rules_are_named() -> None:
    """A misspelt rule to look ahead by is an error that names the nearest."""
    with pytest.raises(UnknownNameError, match="swap_push"):
        TransferRobotEnv(lookahead="earliest/swap_pish")
