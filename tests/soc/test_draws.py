"""Rollouts in drawn worlds: the law of the draws, what they may know, and the pilot that goes by them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from soc_runs import engine_for, play

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import rule_policy
from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.policies import Pilot
from makespan.envs.soc.schema import MODES, ROLLOUT_RULES

COLUMNS = ("rollout", "rollout_best", "rollout_end", "rollout_work")


def overdue(noise: float) -> SocInstance:
    """A task of 100 us that has run for 130 when one comes that takes 20 us behind it, or 200 at once elsewhere."""
    return SocInstance(
        task_first=np.array([0, 1, 2]),
        execution=np.array([[100, -1], [20, 200]]),
        edge_source=np.zeros(0, np.int32),
        edge_target=np.zeros(0, np.int32),
        edge_volume=np.zeros(0, np.int64),
        pe_type=np.array([0, 1]),
        pe_cluster=np.array([0, 1]),
        bandwidth=np.zeros((2, 2), np.int64),
        job_profile=np.array([0, 1]),
        arrival=np.array([0, 130]),
        realised=np.array([[160, -1], [20, 200]]),
        deviation=noise,
    )


def columns(engine: SocEngine, *names: str) -> np.ndarray:
    """Candidate columns of slot 0, (A, names)."""
    x = engine.observation["candidate_x"][0]
    return x[:, [engine.schema.action_feature(name) for name in names]]


def test_what_is_left_of_an_overdue_task_is_drawn_given_what_has_passed() -> None:
    """Guards the conditional law against the mean of a truncated Gaussian in closed form; without draws it is 1 us."""
    unit = 60.0  # mean of the profiles' critical paths, 100 and 20
    beyond = 1.525  # (130.5 - 100) / 20
    hazard = math.exp(-(beyond**2) / 2) / math.sqrt(2 * math.pi) / (0.5 * math.erfc(beyond / math.sqrt(2)))
    remainders = {}
    for draws in (0, 3000):
        engine = engine_for(overdue(0.2), rollout_rule="fifo_eft", rollout_draws=draws)
        engine.step(np.zeros(1, np.int64))
        assert engine.now(0) == 130
        cost = columns(engine, "rollout")[:, 0]
        remainders[draws] = 180 - unit * float(cost[1] - cost[0])
    assert remainders[0] == pytest.approx(1, abs=0.01)
    assert remainders[3000] == pytest.approx(100 + 20 * hazard - 130, abs=0.5)


def test_error_is_that_of_the_mean() -> None:
    """Guards the columns' scale: in n times the worlds the mean stays, and its error falls by the root of n."""
    few, many = (engine_for(overdue(0.3), rollout_rule="fifo_eft", rollout_draws=n) for n in (200, 3200))
    for engine in (few, many):
        engine.step(np.zeros(1, np.int64))
        rollout, error, clear = columns(engine, "rollout", "rollout_error", "rollout_clear")[1]
        assert clear == pytest.approx(rollout / (rollout + error), rel=1e-5)
        assert columns(engine, "rollout_rule")[:, 0].nonzero()[0].tolist() == [0]
    ratio = columns(few, "rollout_error")[1, 0] / columns(many, "rollout_error")[1, 0]
    assert ratio == pytest.approx(4, rel=0.15)
    assert columns(few, "rollout")[1, 0] == pytest.approx(columns(many, "rollout")[1, 0], rel=0.05)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ROLLOUT_RULES)
def test_rule_column_marks_what_the_rule_takes(name: str, mode: str) -> None:
    """Guards `rollout_rule` against the rule that reads the mode's candidates."""
    instance = make_generator("soc16-mix", scale=5, num_jobs=4, noise=0.2).sample(np.random.default_rng(7))
    engine = engine_for(instance, mode=mode, max_ready=8, rollout_rule=name, rollout_draws=1)
    rule, rng = rule_policy("soc", name, engine.schema), np.random.default_rng(3)
    while not engine.outcome.terminated[0]:
        marked = columns(engine, "rollout_rule")[:, 0].nonzero()[0]
        assert marked.tolist() == rule.act(engine.observation).tolist()
        allowed = np.flatnonzero(engine.observation["action_mask"][0])
        engine.step(rng.choice(allowed, 1))


def with_another_future(engine: SocEngine, instance: SocInstance) -> SocInstance:
    """The instance as it might be as well: later jobs come otherwise, what has not ended takes otherwise long."""
    now, run = engine.now(0), engine.schedule(0)
    ended = np.zeros(instance.total_rows, np.bool_)
    least = np.ones(instance.total_rows, np.int64)
    rows = instance.row_first[run.job] + run.task
    ended[rows] = run.end <= now
    least[rows] = now + 1 - run.start
    other = np.where(
        instance.realised > 0, np.maximum(least[:, None], instance.realised // 2 + 3), instance.realised
    )
    arrival = np.where(instance.arrival > now, instance.arrival + 17, instance.arrival)
    realised = np.where(ended[:, None], instance.realised, other)
    return dataclasses.replace(instance, realised=realised, arrival=arrival)


@pytest.mark.parametrize("draws", [0, 2])
def test_candidates_know_nothing_of_the_future(draws: int) -> None:
    """Guards against a leak: worlds that differ only in what is yet to be seen show the same candidates."""
    instance = make_generator("soc16-mix", scale=30, num_jobs=4, noise=0.3).sample(np.random.default_rng(3))
    options = {"rollout_rule": "fifo_eft", "rollout_draws": draws, "max_ready": 4}
    engine = engine_for(instance, **options)
    rng = np.random.default_rng(1)
    played: list[int] = []
    while not engine.outcome.terminated[0]:
        if len(played) % 12 == 5:
            twin = engine_for(with_another_future(engine, instance), **options)
            for action in played:
                twin.step(np.array([action]))
            assert np.array_equal(twin.observation["candidate_x"], engine.observation["candidate_x"])
        played.append(int(rng.choice(np.flatnonzero(engine.observation["action_mask"][0]))))
        engine.step(np.array(played[-1:]))
    assert len(played) >= 40


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_nothing_is_drawn_where_no_law_is_known(noise: float) -> None:
    """Guards that instances without noise, or with noise of an unknown law, are played out by expected durations, as ever."""
    instance = make_generator("top-stream", scale=40, num_jobs=4, noise=noise).sample(
        np.random.default_rng(0)
    )
    instance = dataclasses.replace(instance, deviation=0.0)
    plain = engine_for(instance, rollout_rule="stf", rollout_samples=2)
    drawn = engine_for(instance, rollout_rule="stf", rollout_samples=2, rollout_draws=4)
    while not plain.outcome.terminated[0]:
        assert np.array_equal(columns(plain, *COLUMNS), columns(drawn, *COLUMNS))
        assert not columns(drawn, "rollout_error").any()
        action = Pilot(plain.schema, samples=2).act(plain.observation)
        assert action == Pilot(drawn.schema, samples=2, draws=4, doubt=2.0).act(drawn.observation)
        plain.step(action)
        drawn.step(action)


def test_pilot_keeps_to_its_rule_where_a_lead_is_in_doubt() -> None:
    """Guards `doubt`: of candidates within so many standard errors of the best, the rule chooses."""
    instance = make_generator("top-stream", scale=40, num_jobs=2, noise=0.2).sample(np.random.default_rng(0))
    engine = engine_for(instance, rollout_rule="stf", rollout_draws=2)
    schema, observation = engine.schema, engine.observation
    view = CandidateView(schema, observation)
    best = int(np.where(view.mask, view["execution_us"], -1)[0].argmax())
    observation["candidate_x"][0, :, schema.action_feature("rollout")] = 0.5
    observation["candidate_x"][0, :, schema.action_feature("rollout_error")] = 0.4
    observation["candidate_x"][0, best, schema.action_feature("rollout")] = 0.0
    observation["candidate_x"][0, best, schema.action_feature("rollout_error")] = 0.0
    rule = int(np.where(view.mask & (view.index[..., 0] >= 0), view["execution_us"], np.inf)[0].argmin())
    assert rule != best
    assert Pilot(schema, draws=2, doubt=1.0).act(observation) == best
    assert Pilot(schema, draws=2, doubt=2.0).act(observation) == rule
    with pytest.raises(ValueError, match="doubt"):
        Pilot(engine_for(instance, rollout_rule="stf").schema, doubt=1.0)


@pytest.mark.slow
def test_draws_keep_the_margin_under_noise() -> None:
    """Guards what the draws are for: rollouts by expected durations lose to plain rules on noisy streams, drawn ones do not."""
    source = make_generator("soc16-mix", scale=50, num_jobs=20, noise=0.2)
    gain = 0.0
    for seed in range(4):
        instance = source.sample(np.random.default_rng(seed))
        options = {"max_live_jobs": 16, "max_ready": 8, "skip_forced": True, "merge_twins": True}
        engine = engine_for(instance, rollout_rule="fifo_eft", rollout_draws=8, **options)
        pilot = Pilot(engine.schema, rule="fifo_eft", draws=8, doubt=1.5)
        while not engine.outcome.terminated[0]:
            engine.step(pilot.act(engine.observation))
        gain += math.log(play(instance, "min_min", max_live_jobs=16).objective(0) / engine.objective(0))
    assert gain / 4 > 0.02
