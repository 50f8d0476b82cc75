"""Rollouts against real environments that are played on, and the pilot method that goes by them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from soc_runs import engine_for, play

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import policies_of, rule_policy
from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.env import SocEnv
from makespan.envs.soc.family import SOC
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.policies import Pilot

CASES = (
    ("stf", "top-stream", {"scale": 30.0, "num_jobs": 4, "noise": 0.3}, {}, 0),
    ("stf", "top-stream", {"scale": 30.0, "num_jobs": 3, "noise": 0.3}, {}, 3),
    ("heft_ready", "top-stream", {"scale": 60.0, "num_jobs": 4}, {"max_live_jobs": 2, "max_ready": 2}, 0),
    ("fifo_eft", "soc16-mix", {"scale": 30.0, "num_jobs": 3, "noise": 0.2}, {"mode": "task"}, 0),
    ("stf", "top-stream", {"scale": 30.0, "num_jobs": 3, "noise": 0.3}, {"mode": "task"}, 3),
    ("min_min", "top-stream", {"scale": 20.0, "num_jobs": 4}, {"mode": "task", "max_ready": 3}, 1),
    ("fifo_eft", "top-stream", {"scale": 50.0, "num_jobs": 4}, {"mode": "pe"}, 0),
    ("stf", "top-stream", {"scale": 30.0, "num_jobs": 3, "noise": 0.3}, {"mode": "pe"}, 3),
    ("heft_ready", "top-stream", {"scale": 30.0, "num_jobs": 4}, {"mode": "pe"}, 0),
    ("min_min", "soc16-mix", {"scale": 30.0, "num_jobs": 3}, {"mode": "pe", "merge_twins": True}, 0),
    ("min_min", "top-stream", {"scale": 50.0, "num_jobs": 4, "horizon": 200}, {}, 0),
    ("stf", "layered", {"num_tasks": 8, "num_pes": 3}, {"merge_twins": True}, 1),
)


def known_to(engine: SocEngine, instance: SocInstance) -> SocInstance:
    """The instance without what nobody knows yet: no further job, and every open task takes its expected time."""
    now, run = engine.now(0), engine.schedule(0)
    arrived = int(np.searchsorted(instance.arrival, now, side="right"))
    known = dataclasses.replace(
        instance,
        job_profile=instance.job_profile[:arrived],
        arrival=instance.arrival[:arrived],
        realised=np.zeros((0, 0), np.int32),
    )
    if instance.is_deterministic:
        return known
    realised = known.row_durations.copy()
    for job, task, pe, start, end in zip(run.job, run.task, run.resource, run.start, run.end, strict=True):
        row = instance.row_first[job] + task
        late = max(int(realised[row, pe]), now + 1 - int(start))
        realised[row, pe] = end - start if end <= now else late
    return dataclasses.replace(known, realised=realised)


STORED = (224.65853617340326, 203.0, 147.82926753908396, 214.09756055)
WORD = 2**32 - 1


def number(a: int, b: int) -> float:
    """The number that rollouts have for a pair."""
    x = (a * 0x9E3779B1 + b * 0x85EBCA77 + 0x165667B1) & WORD
    for factor in (0x2C1B3C6D, 0x297A2D39):
        x = ((x ^ (x >> 15)) * factor) & WORD
    return (x ^ (x >> 15)) / 2**32


def weighted_sum(engine: SocEngine, sample: int) -> int:
    """What the list rule of a sample takes, from the decision graph's columns."""
    c = CandidateView(engine.schema, engine.observation)
    unit = c["execution_us"] / np.maximum(c["execution"], 1e-9)
    rows = c.index[..., 0]
    own = np.array([[number(sample, 16 + max(0, int(row))) for row in rows[0]]])
    priority = c["finish_us"] + 2 * number(sample, 1) * c["shortest_us"]
    priority = priority + 2 * number(sample, 2) * (c["execution_us"] - c["shortest_us"])
    priority = priority - 0.5 * number(sample, 3) * c["upward"] / 64
    priority = priority + 0.5 * number(sample, 4) * c["optimistic_us"]
    priority = priority + 0.1 * number(sample, 5) * np.round(unit[unit > 0].min()) * own
    return int(np.where(c.mask & (rows >= 0), priority, np.inf).argmin())


def cost_of(
    engine: SocEngine, played: list[int], action: int, rule: str, sample: int, options: dict[str, Any]
) -> float | None:
    """The sum behind the objective if a run of what is known begins as played, takes an action, and goes on by a rule."""
    instance = engine.loaded[0]
    assert instance is not None
    known = known_to(engine, instance)
    twin = engine_for(instance, **options)
    twin.load(0, known)
    for one in [*played, action]:
        if not twin.observation["action_mask"][0, one]:
            return None  # a wait that nothing known would end
        twin.step(np.array([one]))
    policy = rule_policy("soc", rule, twin.schema)
    while not twin.outcome.terminated[0]:
        twin.step(policy.act(twin.observation) if sample == 0 else np.array([weighted_sum(twin, sample)]))
    return twin.objective(0) * (known.num_jobs if known.objective == "latency" else 1)


@pytest.mark.parametrize(("rule", "generator", "parameters", "options", "samples"), CASES)
def test_rollouts_are_what_an_environment_comes_to(
    rule: str, generator: str, parameters: dict[str, Any], options: dict[str, Any], samples: int
) -> None:
    """Guards the spare system: the rules, what the mode lets them choose, what they may know, and the slot left alone."""
    rng = np.random.default_rng(7)
    instance = make_generator(generator, **parameters).sample(rng)
    engine = engine_for(instance, rollout_rule=rule, rollout_samples=samples, **options)
    first_column = engine.schema.action_feature("rollout")
    played: list[int] = []
    compared = 0
    while not engine.outcome.terminated[0]:
        allowed = np.flatnonzero(engine.observation["action_mask"][0]).tolist()
        if len(played) % 7 == 2:
            costs = {}
            for action in allowed:
                found = [cost_of(engine, played, action, rule, s, options) for s in range(samples + 1)]
                if found[0] is not None:
                    costs[action] = min(found)
            reward = -engine.return_of(0, 1.0)  # of an objective of 1
            if instance.objective == "latency":
                reward /= np.sum(instance.arrival < (instance.horizon or np.inf))
            rollout, best = engine.observation["candidate_x"][0, :, first_column : first_column + 2].T
            first = next(iter(costs))
            for action, cost in costs.items():
                expected = (cost - costs[first]) * reward
                assert rollout[action] - rollout[first] == pytest.approx(expected, rel=1e-5, abs=1e-5)
            compared += len(costs)
            assert rollout[allowed].min() == 0
            assert (best[allowed] == (rollout[allowed] == 0)).all()
        played.append(int(rng.choice(allowed)))
        engine.step(np.array(played[-1:]))
    assert compared >= 5
    alone = engine_for(instance, **options)
    for action in played:
        alone.step(np.array([action]))
    assert engine.schedule(0) == alone.schedule(0)


def test_rollouts_of_pairs_are_those_that_the_shipped_agent_learnt_from() -> None:
    """Guards the columns in the mode `task_pe` against a slow drift: sums over a run, stored when the agent was trained."""
    instance = make_generator("top-stream", scale=50, num_jobs=8, noise=0.2).sample(np.random.default_rng(5))
    engine = engine_for(instance, rollout_rule="stf", rollout_samples=8, max_ready=12)
    first = engine.schema.action_feature("rollout")
    sums, rng = np.zeros(4), np.random.default_rng(1)
    while not engine.outcome.terminated[0]:
        sums += engine.observation["candidate_x"][0, :, first : first + 4].sum(axis=0, dtype=np.float64)
        allowed = np.flatnonzero(engine.observation["action_mask"][0])
        engine.step(rng.choice(allowed, 1))
    assert sums == pytest.approx(STORED, rel=1e-6)


@pytest.mark.parametrize("samples", [0, 4])
def test_pilot_is_never_worse_than_its_rule_where_all_is_known(samples: int) -> None:
    """Guards the choice between equals: with every job there and no noise, a rollout algorithm improves on its rule."""
    source = make_generator("layered", num_tasks=12, num_pes=3)
    better = 0
    for seed in range(10):
        instance = source.sample(np.random.default_rng(seed))
        engine = engine_for(instance, rollout_rule="stf", rollout_samples=samples)
        pilot = Pilot(engine.schema, rule="stf", samples=samples)
        while not engine.outcome.terminated[0]:
            engine.step(pilot.act(engine.observation))
        own, rule = engine.objective(0), play(instance, "stf").objective(0)
        assert own <= rule
        better += own < rule
    assert better >= 5


def test_pilot_brings_its_rollouts_along() -> None:
    """Guards `pilot[rule=...]` on the command line: the environment is made with the rule's rollouts."""
    entry = policies_of(SOC.name)["pilot"]
    assert entry.environment({}) == {"rollout_rule": "stf", "rollout_samples": 0, "rollout_draws": 0}
    wanted = {"rule": "min_min", "samples": 8, "work": 0.3, "draws": 4}
    assert entry.environment(wanted) == {
        "rollout_rule": "min_min",
        "rollout_samples": 8,
        "rollout_draws": 4,
    }
    with pytest.raises(ValueError, match="rollout_rule"):
        entry.load(SocEnv(generator="toy").schema)
    with pytest.raises(UnknownNameError, match=r"rollout_rule.*stff.*stf"):
        SocEnv(generator="toy", rollout_rule="stff")
