"""Rollouts of rules inside a kernel give the schedules that the environments give."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import makespan  # noqa: F401
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.policy import RulePolicy, rules_of
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.jobshop.generator import make_generator
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.rollout import RuleRollouts, first_schedule
from makespan.envs.jobshop.validator import validate

SHOPS: dict[str, dict[str, Any]] = {
    "uniform": {"num_jobs": 9, "num_machines": 4, "min_jobs": 4, "release_factor": 0.5},
    "flexible_sd1": {"num_jobs": 7, "num_machines": 4},
}


def draw(generator: str) -> list[ShopInstance]:
    rng = np.random.default_rng(3)
    source = make_generator(generator, **SHOPS[generator])
    return [source.sample(rng) for _ in range(6)]


def by_environment(shops: list[ShopInstance], rule: str, sgs: str) -> list[Schedule]:
    """The schedules of a rule that decides in the environment, by the decision graph."""
    envs = gymnasium.make_vec(
        "makespan/FlexibleJobShop-v0",
        num_envs=len(shops),
        vectorization_mode="vector_entry_point",
        instances=shops,
        autoreset_mode=AutoresetMode.DISABLED,
        sgs=sgs,
    ).unwrapped
    assert isinstance(envs, SchedulingVectorEnv)
    policy = RulePolicy(rules_of("jobshop")[rule], envs.schema)
    observation, _ = envs.reset(seed=0)
    over = np.zeros(len(shops), np.bool_)
    while not over.all():
        actions = np.where(over, -1, policy.act(observation))
        observation, _, terminated, _, _ = envs.step(actions)
        over |= terminated
    return [envs.schedule(slot) for slot in range(len(shops))]


@pytest.mark.parametrize("generator", SHOPS)
@pytest.mark.parametrize("sgs", ["non_delay", "active", "non_delay_wait", "append"])
def test_schedules_are_those_of_the_environment(generator: str, sgs: str) -> None:
    shops = draw(generator)
    rollouts = RuleRollouts(shops, sgs)
    for rule in rules_of("jobshop"):
        makespans = rollouts.play(rule)
        for slot, expected in enumerate(by_environment(shops, rule, sgs)):
            schedule = rollouts.schedule(slot)
            assert validate(shops[slot], schedule) == makespans[slot]
            for column in ("job", "task", "resource", "start", "end"):
                np.testing.assert_array_equal(
                    getattr(schedule, column), getattr(expected, column), err_msg=rule
                )


def test_factors_disturb_the_priorities() -> None:
    shop = draw("uniform")[0]
    rollouts = RuleRollouts([shop] * 40)
    factor = np.exp(np.random.default_rng(0).standard_normal((40, shop.num_operations, 1)))
    factor[0] = 1.0
    makespans = rollouts.play("spt", factor)
    assert makespans[0] == RuleRollouts([shop]).play("spt")[0]
    assert len(set(makespans.tolist())) > 3


def test_first_schedules_are_reproducible_and_noisy_on_demand() -> None:
    shop = draw("flexible_sd1")[0]
    plain = first_schedule(shop)
    assert validate(shop, plain) == RuleRollouts([shop]).play("spt_twkr")[0]
    noisy = [first_schedule(shop, np.random.default_rng(seed), 0.5).makespan for seed in (1, 1, 2, 3, 4)]
    assert noisy[0] == noisy[1]
    assert len(set(noisy)) > 1


def test_unknown_names_and_no_instances_are_named() -> None:
    shop = draw("uniform")[0]
    with pytest.raises(UnknownNameError, match="spt_twkr"):
        RuleRollouts([shop]).play("spt_twkrr")
    with pytest.raises(UnknownNameError, match="non_delay"):
        RuleRollouts([shop], "nondelay")
    with pytest.raises(ValueError, match="at least one"):
        RuleRollouts([])
