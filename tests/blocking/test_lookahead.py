"""Looking ahead in the blocking shop: values are what rules reach, from what is known, and the pilot improves on its rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from blocking_shops import small_shop
from looking_ahead import compare_values, random_action

from makespan.envs.blocking.engine import BlockingShopEngine
from makespan.envs.blocking.generator import UniformBlockingShop
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.blocking.lookahead import LOOKAHEAD_RULES
from makespan.envs.blocking.randomised import dispatch
from makespan.envs.blocking.simulator import NOW, WINDOW
from makespan.envs.blocking.validator import validate
from makespan.envs.core.lookahead import PilotPolicy
from makespan.envs.core.policy import rules_of


def engine_for(
    instances: list[BlockingShopInstance], admission: str, rules: tuple[str, ...]
) -> BlockingShopEngine:
    """An engine that looks ahead, with an instance in each slot."""
    engine = BlockingShopEngine(
        len(instances),
        num_jobs=max(one.num_jobs for one in instances),
        num_operations=max(one.num_operations for one in instances),
        num_machines=max(one.num_machines for one in instances),
        admission=admission,
        skip_forced=False,
        lookahead="/".join(rules),
    )
    for slot, instance in enumerate(instances):
        engine.load(slot, instance)
    return engine


def test_every_rule_can_finish() -> None:
    """The kernel knows the family's rules, by the same names."""
    assert set(LOOKAHEAD_RULES) == set(rules_of("blocking"))


@pytest.mark.parametrize("admission", ["wait", "greedy"])
@pytest.mark.parametrize("swap", [True, False])
def test_values_are_what_the_rule_reaches(admission: str, swap: bool) -> None:
    """In random states of ragged shops each candidate's value is the makespan of the same shop played on by the rule."""
    rng = np.random.default_rng(int(swap))
    for rule in LOOKAHEAD_RULES:
        for low in (0, 1):
            engine, compared = engine_for([small_shop(rng, swap, low=low)], admission, (rule,)), 0
            while not engine.outcome.terminated[0]:
                compared += compare_values(engine, "blocking", rule)
                engine.step(random_action(engine, rng))
            assert compared


@pytest.mark.parametrize("repeat", [False, True])
def test_values_under_downtime(repeat: bool) -> None:
    """Once the future holds no more failures, and repairs take as long as they always did, values are exact."""
    rng, exact = np.random.default_rng(4), 0
    for _ in range(30):
        start = rng.integers(0, 12, 3)
        again = start + 9 + rng.integers(0, 30, 3)
        windows = [(m, t, t + 7) for m in range(3) for t in (start[m], again[m])]
        shop = UniformBlockingShop(num_jobs=4, num_machines=3, high=20).sample(rng).shop
        engine = engine_for(
            [BlockingShopInstance(shop, repeat=repeat, down=np.array(windows))], "wait", ("blocked_spt_twk",)
        )
        while not engine.outcome.terminated[0]:
            ended = engine._shops.machine[0, :3, WINDOW].sum()
            if ended and engine._shops.clock[0, NOW] >= again.max():
                exact += compare_values(engine, "blocking", "blocked_spt_twk")
            engine.step(random_action(engine, rng))
    assert exact > 50


def test_pilot_is_never_worse_than_its_rule() -> None:
    """In undisturbed shops the rule's own choice stays among the candidates: the pilot is never worse."""
    rng = np.random.default_rng(0)
    for swap in (True, False):
        instances = [UniformBlockingShop(swap=swap).sample(rng) for _ in range(20)]
        for admission in ("wait", "greedy"):
            engine = engine_for(instances, admission, ("blocked_fifo",))
            policy = PilotPolicy(engine.schema)
            while not engine.outcome.terminated.all():
                engine.step(np.where(engine.outcome.terminated, -1, policy.act(engine.observation)))
            gains = [
                validate(one, dispatch(one, "blocked_fifo")) - validate(one, engine.schedule(slot))
                for slot, one in enumerate(instances)
            ]
            assert min(gains) >= 0
            assert np.mean(gains) > 0


def test_values_know_the_past_only() -> None:
    """Shops whose downtime differs in the future only look the same ahead; repairs to come are guessed from those that ended."""
    shop = UniformBlockingShop(high=9).sample(np.random.default_rng(2)).shop
    early = [(0, 5, 9), (2, 10, 14), (3, 40, 200)]
    runs = [
        replace(BlockingShopInstance(shop), down=np.array([*early, *late])) for late in ([], [(1, 61, 90)])
    ]
    runs.append(replace(runs[0], down=np.array([*early[:2], (3, 40, 70), (4, 62, 400)])))
    engine = engine_for(runs, "wait", ("spt", "blocked_fdd"))
    rng, compared = np.random.default_rng(0), 0
    while engine._shops.clock[:, NOW].max() <= 60:
        for key in ("candidate_x", "system_x", "action_mask"):
            assert (engine.observation[key] == engine.observation[key][:1]).all(), key
        engine.step(np.repeat(random_action(engine, rng)[:1], 3))
        compared += 1
    assert compared > 10


def test_columns_leave_the_rest_alone() -> None:
    """With and without looking ahead the same decisions show the same other columns and lead to the same schedule."""
    instance = UniformBlockingShop(shutdown="per_step", probability=0.05).sample(np.random.default_rng(1))
    plain, ahead = engine_for([instance], "wait", ()), engine_for([instance], "wait", ("lpt",))
    width, rng = len(plain.schema.candidates.features), np.random.default_rng(0)
    while not plain.outcome.terminated[0]:
        for key, array in plain.observation.items():
            other = ahead.observation[key]
            assert np.array_equal(array, other[..., : array.shape[-1]]), key
        assert ahead.observation["candidate_x"].shape[-1] == width + 5
        action = random_action(plain, rng)
        plain.step(action)
        ahead.step(action)
    assert plain.schedule(0) == ahead.schedule(0)
