"""Rules: each picks what its name says, and they rank as on the reference page."""

from __future__ import annotations

import numpy as np
import pytest
from fleet_play import play

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import rule_policy, rules_of
from makespan.envs.fleet.generator import make_generator
from makespan.envs.fleet.gymnasium_env import UAMFleetEnv


def decisions(count: int) -> list[tuple[UAMFleetEnv, CandidateView, dict[str, np.ndarray]]]:
    """Decision graphs of a lookahead day, all that time apart."""
    env = UAMFleetEnv("tiny")
    observation, _ = env.reset(seed=1)
    policy = rule_policy("fleet", "lookahead", env.schema)
    out = []
    for _ in range(count):
        batch = {key: array[None].copy() for key, array in observation.items()}
        out.append((env, CandidateView(env.schema, batch), batch))
        observation, _, ended, _, _ = env.step(policy.act(batch)[0])
        if ended:
            break
    return out


def test_rules_pick_what_they_say():
    """Recomputed from the candidates' raw columns: longest queue, longest wait, nearest, largest margin; stay without demand."""
    flights = 0
    for env, view, batch in decisions(250):
        allowed = np.flatnonzero(view.mask[0])
        stay = int(allowed[view["is_stay"][0, allowed] > 0][0])
        wanted = [int(a) for a in allowed if a != stay and view["queue_length"][0, a] > 0]
        expected = {
            "longest_queue": lambda a, v=view: v["queue_length"][0, a],
            "fifo": lambda a, v=view: v["first_wait"][0, a],
            "nearest_demand": lambda a, v=view: -v["flight_seconds"][0, a],
        }
        for name, value in expected.items():
            chosen = int(rule_policy("fleet", name, env.schema).act(batch)[0])
            if not wanted:
                assert chosen == stay, name
            else:
                assert value(chosen) == max(map(value, wanted)), name
        chosen = int(rule_policy("fleet", "greedy_profit", env.schema).act(batch)[0])
        assert view["margin_cents"][0, chosen] == max(0.0, view["margin_cents"][0, allowed].max())
        assert int(rule_policy("fleet", "stay", env.schema).act(batch)[0]) == stay
        flights += chosen != stay
    assert flights > 20


def test_margins_by_hand():
    """On the toy day the first flight's margin is 4 x 20 - 10 - 100 x 0.02 = 68 USD, its block 20 min, its recharge 4 min."""
    env = UAMFleetEnv(instance="toy")
    observation, _ = env.reset(seed=0)
    view = CandidateView(env.schema, {key: array[None] for key, array in observation.items()})
    assert view["margin_cents"][0].tolist() == [0.0, 6800.0]
    assert view["block_seconds"][0].tolist() == [900.0, 1200.0]
    assert view["recharge_seconds"][0, 1] == 240.0
    assert view["passengers"][0, 1] == 4
    assert view["queue_length"][0, 1] == 5


@pytest.mark.parametrize(
    ("preset", "changes"), [("base", {}), ("tiny", {}), ("large", {}), ("base", {"num_aircraft": 18})]
)
def test_ranking(preset: str, changes: dict[str, int]):
    """On ten evaluation days: random < FIFO < greedy an hour < look-ahead, and staying earns exactly nothing."""
    generator = make_generator(preset, **changes)
    days = [generator.day(10_000 + seed) for seed in range(10 if preset != "large" else 3)]
    mean = {}
    for name in ("stay", "random", "fifo", "greedy_per_block_hour", "lookahead"):
        envs = play(days, name)
        mean[name] = np.mean([envs.objective(slot) for slot in range(len(days))])
    assert mean["stay"] == 0.0
    assert mean["random"] < mean["fifo"] < mean["greedy_per_block_hour"] < mean["lookahead"]


def test_every_rule_has_a_sentence_and_a_source():
    """What `makespan list` prints of a rule is there."""
    for rule in rules_of("fleet").values():
        assert rule.description.endswith(".")
        assert rule.citation
