"""The job shop's constructor: one source of instances, sizes that fit, names that help."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import makespan  # noqa: F401
from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.jobshop.benchmark import load_instance
from makespan.envs.jobshop.engine import JobShopEngine
from makespan.envs.jobshop.env import FlexibleJobShopEnv, JobShopEnv, JobShopVectorEnv
from makespan.envs.jobshop.generator import UniformShop
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.validator import validate


def test_sources_are_exclusive() -> None:
    """A generator, a name with parameters or one instance: more than one of them is an error."""
    ft06 = load_instance("ft06")
    for build in (
        lambda: JobShopEnv("uniform", instance=ft06),
        lambda: JobShopEnv(instance=ft06, num_jobs=3),
        lambda: JobShopEnv(UniformShop(), num_jobs=3),
        lambda: JobShopVectorEnv(2, "uniform", instances=[ft06, ft06]),
    ):
        with pytest.raises(ValueError, match="given together"):
            build()


def test_unknown_names_help() -> None:
    """Misspelt generators, parameters, schemes and instances are errors that name what there is."""
    with pytest.raises(UnknownNameError, match="uniform"):
        JobShopEnv("unifrom")
    with pytest.raises(TypeError, match="num_jobs"):
        JobShopEnv("uniform", num_job=3)
    with pytest.raises(UnknownNameError, match="non_delay"):
        JobShopEnv(sgs="nondelay")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="ft06"):
        JobShopEnv(instance="ft6x")


def test_flexible_shops_need_the_flexible_env() -> None:
    """The classic id refuses alternatives and says which id takes them."""
    mk01 = load_instance("mk01")
    with pytest.raises(InvalidInstanceError, match="FlexibleJobShop"):
        JobShopEnv(instance=mk01)
    FlexibleJobShopEnv(instance=mk01).reset(seed=0)


def test_too_large_instances_are_refused() -> None:
    """An instance that outgrows the spaces is refused by name; a smaller one is padded."""
    env = JobShopEnv(num_jobs=6, num_machines=6)
    with pytest.raises(InvalidInstanceError, match=r"'la01' has .*at most"):
        env.reset(options={"instance": "la01"})
    toy = ShopInstance.from_jobs([[(0, 2)], [(0, 3)]])
    observation, _ = env.reset(options={"instance": toy})
    assert env.observation_space.contains(observation)
    assert observation["operation_count"].tolist() == [2]


def test_last_decision_is_left() -> None:
    """A shop without any choice still asks once, so that every episode has a step."""
    env = JobShopEnv(instance=ShopInstance.from_jobs([[(0, 2), (1, 3)]]))
    _, info = env.reset(seed=0)
    assert info["lower_bound"] == 5
    _, reward, terminated, _, info = env.step(0)
    assert (reward, terminated, info["objective"], info["num_decisions"]) == (0.0, True, 5.0, 1)


def test_ft06_to_its_optimum() -> None:
    """Fisher & Thompson's 6 x 6 shop has optimum 55, and some actions under `active` lead there."""
    env = JobShopEnv(instance="ft06", sgs="active")
    best, rng = np.inf, np.random.default_rng(1)
    work = env.schema.action_feature("remaining_work")
    for _ in range(1500):
        observation, _ = env.reset(seed=0)
        terminated = False
        while not terminated:
            noisy = np.where(
                observation["action_mask"],
                (0.5 + observation["candidate_x"][:, work]) * np.exp(0.3 * rng.standard_normal(6)),
                -1.0,
            )
            observation, _, terminated, _, info = env.step(int(noisy.argmax()))
        assert info["objective"] >= 55
        assert validate(env.instance, env.schedule()) == info["objective"]
        best = min(best, info["objective"])
        if best == 55:
            break
    assert best == 55


def test_engine_copies_slots() -> None:
    """`copy_slots` gives a slot the state of another one: what follows is the same."""
    engine = JobShopEngine(
        2,
        num_jobs=6,
        num_operations=36,
        num_machines=6,
        num_alternatives=1,
        sgs="active",
        skip_forced=True,
    )
    for slot, name in enumerate(("ft06", "ft06")):
        engine.load(slot, load_instance(name))
    engine.step(np.array([int(engine.observation["action_mask"][0].argmax()), -1]))
    engine.copy_slots(np.array([0]), np.array([1]))
    while not engine.outcome.terminated.all():
        assert all(np.array_equal(array[0], array[1]) for array in engine.observation.values())
        engine.step(engine.observation["action_mask"].argmax(axis=1).astype(np.int64))
    assert engine.schedule(0) == engine.schedule(1)


def test_make_through_gymnasium() -> None:
    """The documented call works: a generator's name with its parameters as keywords."""
    env = gymnasium.make("makespan/JobShop-v0", generator="taillard", num_jobs=15, num_machines=15)
    observation, _ = env.reset(seed=0)
    assert observation["operation_x"].shape[0] == 225
