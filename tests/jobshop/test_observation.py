"""The decision graph: every column recomputed from its description, and written incrementally without a trace."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from plain_graph import PlainGraph
from plain_shop import KINDS, plain, small_shop

import makespan  # noqa: F401
from makespan.envs.core.env import SchedulingEnv
from makespan.envs.core.graph import Observation
from makespan.envs.jobshop.benchmark import load_instance
from makespan.envs.jobshop.generator import FixedShops
from makespan.envs.jobshop.instance import ShopInstance

SCHEMES = ("non_delay", "active", "non_delay_wait", "append")


def make(instances: list[ShopInstance], sgs: str, skip_forced: bool = True) -> SchedulingEnv:
    """An environment whose spaces hold all the instances."""
    env = gymnasium.make(
        "makespan/FlexibleJobShop-v0",
        generator=FixedShops(tuple(instances)),
        sgs=sgs,
        skip_forced=skip_forced,
    ).unwrapped
    assert isinstance(env, SchedulingEnv)
    return env


def assert_equal(found: Observation, expected: Observation, where: str) -> None:
    """Same keys; integers equal, features equal to float32's precision."""
    assert found.keys() == expected.keys()
    for key, array in found.items():
        assert array.dtype == expected[key].dtype
        if array.dtype == np.float32:
            np.testing.assert_allclose(array, expected[key], rtol=2e-6, atol=2e-6, err_msg=f"{where}: {key}")
        else:
            np.testing.assert_array_equal(array, expected[key], err_msg=f"{where}: {key}")


def compare_episode(env: SchedulingEnv, instance: ShopInstance, sgs: str, rng: np.random.Generator) -> None:
    """A random episode, compared with the plain graph at every decision."""
    width = env.schema.edge("eligibility").max_count // env.schema.node("operation").max_count
    shop = plain(instance, sgs)
    shop.settle(keep_last=True)
    observation, _ = env.reset(seed=0, options={"instance": instance})
    terminated, step = False, 0
    while not terminated:
        assert_equal(observation, PlainGraph(shop).observation(env.schema), f"{instance.name}, step {step}")
        choice = shop.allowed()[rng.integers(len(shop.allowed()))]
        action = env.action_space.n - 1 if isinstance(choice, int) else choice.job * width + choice.k
        shop.take(choice)
        shop.settle()
        observation, _, terminated, _, _ = env.step(action)
        step += 1


@pytest.mark.parametrize("sgs", SCHEMES)
def test_every_column_follows_its_description(sgs: str) -> None:
    """All matrices at every state of random episodes, in an env that holds shops of all kinds and sizes in turn."""
    rng = np.random.default_rng(5)
    instances = [small_shop(rng, kind) for _ in range(6) for kind in KINDS]
    if (
        sgs == "active"
    ):  # which of the two active schemes applies is decided by the env's size, not the shop's
        instances = [i for i in instances if i.is_flexible]
    env = make(instances, sgs)
    for instance in instances:
        compare_episode(env, instance, sgs, rng)


@pytest.mark.parametrize("name", ["orb07", "mk01"])
def test_columns_on_the_literature(name: str) -> None:
    """Zero durations (orb07) and a flexible shop of the literature, over a whole episode."""
    instance = load_instance(name)
    compare_episode(make([instance], "non_delay"), instance, "non_delay", np.random.default_rng(0))


@pytest.mark.parametrize("sgs", SCHEMES)
def test_incremental_equals_full_rewrite(sgs: str) -> None:
    """What steps have written equals what a fresh environment shows after the same decisions, bit for bit."""
    rng = np.random.default_rng(9)
    instances = [small_shop(rng, kind) for kind in KINDS]
    used, actions = make(instances, sgs), []
    for instance in instances:  # the used environment carries the leftovers of other shops
        observation, _ = used.reset(seed=0, options={"instance": instance})
        actions, terminated = [], False
        while not terminated:
            fresh = make(instances, sgs)
            again, _ = fresh.reset(seed=0, options={"instance": instance})
            for action in actions:
                again, *_ = fresh.step(action)
            assert all(np.array_equal(observation[key], again[key]) for key in again)
            actions.append(int(rng.choice(np.flatnonzero(observation["action_mask"]))))
            observation, _, terminated, _, _ = used.step(actions[-1])


def test_forbidden_rows_are_empty() -> None:
    """Candidates that the mask forbids have zero features and pointers -1."""
    env = make([load_instance("ft06")], "non_delay_wait")
    observation, _ = env.reset(seed=0)
    rng, terminated = np.random.default_rng(0), False
    while not terminated:
        forbidden = observation["action_mask"] == 0
        assert not observation["candidate_x"][forbidden].any()
        assert (observation["candidate_index"][forbidden] == -1).all()
        observation, _, terminated, _, _ = env.step(int(rng.choice(np.flatnonzero(~forbidden))))
