"""The blocking shop's environments keep every promise of the suite, of Gymnasium and of Stable-Baselines3."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import makespan  # noqa: F401
from makespan.envs.blocking.env import BlockingJobShopEnv, BlockingJobShopVectorEnv
from makespan.envs.blocking.generator import UniformBlockingShop
from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.testing import check_scheduling_env, check_scheduling_vector_env

ID = "makespan/BlockingJobShop-v0"
SETTINGS: dict[str, dict[str, object]] = {
    "default": {},
    "greedy": {"admission": "greedy"},
    "no swap": {"swap": False, "illegal_action": "raise"},
    "per_step": {"shutdown": "per_step", "probability": 0.02, "repair_high": 20, "illegal_action": "noop"},
    "per_op repeat": {"shutdown": "per_op", "probability": 0.3, "repeat": True, "swap": False},
    "exponential": {"shutdown": "exponential", "mtbf": 80.0, "mttr": 20.0, "skip_forced": False},
    "lookahead": {
        "lookahead": "blocked_spt_twk/winq",
        "swap": False,
        "shutdown": "per_step",
        "probability": 0.05,
        "repair_high": 9,
    },
    "ragged": {"min_jobs": 2, "min_machines": 2, "release_factor": 0.5},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_promises(name: str) -> None:
    """Masks, return identity, bound, validator, seeding, clones, copies, spec and illegal actions, in every setting."""
    env = gymnasium.make(ID, num_jobs=4, num_machines=4, **SETTINGS[name])
    check_scheduling_env(env)


@pytest.mark.parametrize("name", ["default", "greedy"])
def test_gymnasium_and_sb3_checkers(name: str) -> None:
    """Gymnasium's and Stable-Baselines3's own checkers accept the environment."""
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gymnasium.make(ID, num_jobs=3, num_machines=3, **SETTINGS[name])
    check_env(env.unwrapped, skip_render_check=True)
    sb3.check_env(env.unwrapped, warn=False)


@pytest.mark.parametrize("name", ["default", "no swap", "per_step", "lookahead"])
def test_vector_equals_scalar(name: str) -> None:
    """Slot i of the native batch sees, gets and schedules what the scalar environment seeded seed + i does."""
    check_scheduling_vector_env(ID, num_jobs=4, num_machines=3, **SETTINGS[name])


def test_sources_are_exclusive_and_names_help() -> None:
    """More than one source is an error, and misspelt names are told what there is."""
    for build in (
        lambda: BlockingJobShopEnv("uniform", instance="ft06"),
        lambda: BlockingJobShopEnv(UniformBlockingShop(), num_jobs=3),
        lambda: BlockingJobShopVectorEnv(2, "uniform", instances=["ft06", "ft06"]),
    ):
        with pytest.raises(ValueError, match="given together"):
            build()
    with pytest.raises(UnknownNameError, match="greedy"):
        BlockingJobShopEnv(admission="gredy")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="did you mean blocked_fifo"):
        BlockingJobShopEnv(lookahead="spt/blocked_fif")
    with pytest.raises(UnknownNameError, match="per_step"):
        BlockingJobShopEnv(shutdown="perstep")
    with pytest.raises(UnknownNameError, match="ft06"):
        BlockingJobShopEnv(instance="ft6x")
    with pytest.raises(TypeError, match="did you mean swap"):
        BlockingJobShopEnv(swaps=False)
    env = BlockingJobShopEnv(num_jobs=6, num_machines=6)
    with pytest.raises(InvalidInstanceError, match=r"'la01' has .*at most"):
        env.reset(options={"instance": "la01"})
    with pytest.raises(InvalidInstanceError, match="expected a BlockingShopInstance"):
        env.reset(options={"instance": 3})


def test_windows_may_grow() -> None:
    """An environment made for shops without downtime takes one with many windows: they are no part of its spaces."""
    env = BlockingJobShopEnv(num_jobs=4, num_machines=4)
    often = UniformBlockingShop(num_jobs=4, num_machines=4, shutdown="per_step", probability=0.1)
    env.reset(seed=0)
    before = env.clone()
    env.reset(options={"instance": often.sample(np.random.default_rng(0))})
    observation = env.restore(before)
    assert env.observation_space.contains(observation)


def test_one_decision_is_left() -> None:
    """A shop without any choice still asks once, so that every episode has a step."""
    env = BlockingJobShopEnv(num_jobs=1, num_machines=2, admission="greedy")
    env.reset(seed=0)
    _, _, terminated, _, info = env.step(0)
    assert terminated
    assert info["num_decisions"] == 1


def test_graph_follows_the_shop() -> None:
    """Operations leave the graph with their edges, waits-for edges name who blocks whom, and nothing points at what is gone."""
    env = BlockingJobShopEnv(num_jobs=5, num_machines=3, skip_forced=False)
    rng = np.random.default_rng(0)
    waits = 0
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        terminated = False
        while not terminated:
            there = observation["operation_mask"] > 0
            for key, side in (
                ("precedence_index", (0, 1)),
                ("eligibility_index", (0,)),
                ("frontier_index", (1,)),
            ):
                for row in side:
                    pointed = observation[key][row]
                    assert there[pointed[pointed >= 0]].all()
            blocked = observation["job_x"][:, env.schema.node_feature("job", "blocked")] > 0
            held = dict(zip(observation["holds_index"][1], observation["holds_index"][0], strict=True))
            for waiting, holder in observation["waits_for_index"].T:
                if waiting < 0:
                    continue
                waits += 1
                operation = int(observation["frontier_index"][1, waiting]) + 1
                machine = int(observation["eligibility_index"][1, operation])
                assert blocked[waiting]
                assert held[machine] == holder
            ragged = env.schema.ragged(observation)
            assert len(ragged["operation_x"]) == there.sum()
            action = rng.choice(np.flatnonzero(info["action_mask"]))
            observation, _, terminated, _, info = env.step(action)
        assert not observation["operation_mask"].any()
    assert waits > 10
