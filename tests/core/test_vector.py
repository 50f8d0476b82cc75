"""The native batch: slot by slot the scalar environment, and Gymnasium's autoreset to the letter."""

from __future__ import annotations

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

import makespan  # noqa: F401
from makespan.envs.core.errors import IllegalActionError
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.jobshop.benchmark import load_instance
from makespan.envs.testing import check_scheduling_vector_env

JOBSHOP = "makespan/JobShop-v0"
SMALL = {"num_jobs": 3, "num_machines": 3, "min_jobs": 2}


def native(num_envs: int, **options: object) -> SchedulingVectorEnv:
    """A native batch of little shops."""
    envs = gymnasium.make_vec(
        JOBSHOP,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        **(options if "instances" in options else {**SMALL, **options}),
    ).unwrapped
    assert isinstance(envs, SchedulingVectorEnv)
    return envs


def sync(num_envs: int, mode: AutoresetMode) -> SyncVectorEnv:
    """Gymnasium's own batch of the scalar environment."""
    return SyncVectorEnv([lambda: gymnasium.make(JOBSHOP, **SMALL)] * num_envs, autoreset_mode=mode)


def first_allowed(observation: dict[str, np.ndarray]) -> np.ndarray:
    """The lowest allowed candidate in each slot."""
    return observation["action_mask"].argmax(axis=1)


def assert_same(one: object, other: object) -> None:
    """Equal nested structures."""
    if isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray) and one.dtype == object:
        for left, right in zip(one, other, strict=True):  # type: ignore[call-overload]
            assert_same(left, right)
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("env_id", ["makespan/JobShop-v0", "makespan/FlexibleJobShop-v0"])
def test_slot_is_the_scalar_env(env_id: str) -> None:
    """Slot i shows what the scalar environment seeded `seed + i` shows, over several episodes."""
    check_scheduling_vector_env(env_id, episodes=3, seed=10)


def test_a_batch_that_differs_is_told_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails on a batch that pays otherwise, hides a candidate or mixes up its seeds."""
    step, reset = SchedulingVectorEnv.step, SchedulingVectorEnv.reset

    def overpaid(self: SchedulingVectorEnv, actions: np.ndarray) -> object:
        observation, rewards, *rest = step(self, actions)
        return observation, rewards + 1e-9, *rest

    monkeypatch.setattr(SchedulingVectorEnv, "step", overpaid)
    with pytest.raises(AssertionError, match=r"step 0, slot 0: .* in the batch"):
        check_scheduling_vector_env(JOBSHOP, **SMALL)
    monkeypatch.setattr(SchedulingVectorEnv, "step", step)
    monkeypatch.setattr(SchedulingVectorEnv, "reset", lambda self, *, seed: reset(self, seed=seed + 1))
    with pytest.raises(AssertionError, match=r"step 0, slot 0: .* differs"):
        check_scheduling_vector_env(JOBSHOP, **SMALL)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_autoreset_is_gymnasiums(mode: AutoresetMode) -> None:
    """Observations, rewards, ends and final observations equal SyncVectorEnv's, step by step."""
    ours, theirs = native(3, autoreset_mode=mode), sync(3, mode)
    observation, info = ours.reset(seed=5)
    other, _ = theirs.reset(seed=5)
    ends = 0
    for _ in range(60):
        assert_same(dict(observation), dict(other))
        np.testing.assert_array_equal(info["action_mask"], observation["action_mask"])
        actions = first_allowed(observation)
        observation, *result, info = ours.step(actions)
        other, *expected, other_info = theirs.step(actions)
        assert_same(result, expected)
        ends += int(result[1].sum())
        assert ("final_obs" in info) == ("final_obs" in other_info)
        if "final_obs" in info:
            assert_same(info["_final_obs"], other_info["_final_obs"])
            assert_same(info["final_obs"], other_info["final_obs"])
            done = info["_final_obs"]
            np.testing.assert_array_equal(
                info["final_info"]["objective"][done], other_info["final_info"]["objective"][done]
            )
        elif "objective" in info:
            done = info["_objective"]
            np.testing.assert_array_equal(done, other_info["_objective"])
            np.testing.assert_array_equal(info["objective"][done], other_info["objective"][done])
    assert ends > 6
    assert ours.metadata["autoreset_mode"] is mode


def test_disabled_autoreset_waits_for_the_mask() -> None:
    """Finished slots stay as they are until `reset_mask` names them; the others go on undisturbed."""
    ours, theirs = native(3, autoreset_mode="Disabled"), sync(3, AutoresetMode.DISABLED)
    observation, _ = ours.reset(seed=5)
    theirs.reset(seed=5)
    for _ in range(40):
        actions = first_allowed(observation)
        observation, rewards, terminated, *_ = ours.step(actions)
        other, other_rewards, other_terminated, *_ = theirs.step(actions)
        assert_same(dict(observation), dict(other))
        assert_same([rewards, terminated], [other_rewards, other_terminated])
        if terminated.any():
            frozen = {key: array.copy() for key, array in observation.items()}
            observation, _ = ours.reset(options={"reset_mask": terminated.copy()})
            other, _ = theirs.reset(options={"reset_mask": terminated.copy()})
            assert_same(dict(observation), dict(other))
            for slot in np.flatnonzero(~terminated):
                assert all(np.array_equal(observation[key][slot], frozen[key][slot]) for key in frozen)


def test_disabled_slots_ignore_actions() -> None:
    """A finished slot takes no action, earns nothing and stays terminated while the others play on."""
    envs = native(2, autoreset_mode="Disabled", instances=["ft06", load_instance("la01")])
    observation, _ = envs.reset(seed=0)
    terminated = np.zeros(2, bool)
    while not terminated.all():
        before, was = envs.objective(0), terminated[0]
        observation, rewards, terminated, _, _ = envs.step(first_allowed(observation))
        if was:
            assert terminated[0]
            assert rewards[0] == 0.0
            assert envs.objective(0) == before


def test_copy_or_live_buffers() -> None:
    """`copy=True` hands out arrays that stay; `copy=False` hands out the buffers that the next step overwrites."""
    for copy in (True, False):
        envs = native(2, copy=copy)
        observation, _ = envs.reset(seed=0)
        before = {key: array.copy() for key, array in observation.items()}
        after, *_ = envs.step(first_allowed(observation))
        kept = all(np.array_equal(observation[key], before[key]) for key in before)
        assert kept is copy
        assert (after["candidate_x"] is observation["candidate_x"]) is not copy


def test_wrong_shapes_are_refused() -> None:
    """Action, mask, seed and instance lists of the wrong length are errors that name what was expected."""
    envs = native(2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(np.zeros(2, np.int64))
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        envs.step(np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"reset_mask: .*expected bool"):
        envs.reset(options={"reset_mask": np.ones(2, np.int64)})
    with pytest.raises(ValueError, match="one for each of 2 slots"):
        envs.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="one for each of 2 slots"):
        envs.reset(options={"instances": ["ft06"]})


def test_raise_changes_nothing() -> None:
    """One illegal action refuses the whole batch before any slot has moved."""
    envs = native(3, illegal_action="raise", sgs="active")
    observation, _ = envs.reset(seed=0)
    actions = first_allowed(observation)
    actions[2] = envs.single_action_space.n
    with pytest.raises(IllegalActionError, match="slot 2"):
        envs.step(actions)
    assert_same(dict(envs.reset(options={"reset_mask": np.zeros(3, bool)})[0]), dict(observation))


@pytest.mark.parametrize("mode", ["noop", "random"])
def test_illegal_actions_as_in_the_scalar_env(mode: str) -> None:
    """No-ops and replacements happen slot by slot as in the scalar environment, from the same streams."""
    envs = native(2, illegal_action=mode, autoreset_mode="Disabled")
    scalars = [gymnasium.make(JOBSHOP, illegal_action=mode, **SMALL) for _ in range(2)]
    envs.reset(seed=4)
    for i, env in enumerate(scalars):
        env.reset(seed=4 + i)
    active = [True, True]
    for _ in range(200):
        observation, rewards, terminated, truncated, info = envs.step(np.array([99, 99]))
        for i, env in enumerate(scalars):
            if active[i]:
                single, reward, done, cut, told = env.step(99)
                assert_same({key: array[i] for key, array in observation.items()}, single)
                assert (rewards[i], terminated[i], truncated[i]) == (reward, done, cut)
                assert info["invalid_action"][i] == told["invalid_action"]
                active[i] = not (done or cut)
    assert active == [False, False]


def test_pickle_plays_on() -> None:
    """A pickled batch has the same future, random streams included."""
    envs = native(3, autoreset_mode="SameStep")
    observation, _ = envs.reset(seed=0)
    for _ in range(5):
        observation, *_ = envs.step(first_allowed(observation))
    other = pickle.loads(pickle.dumps(envs))
    for _ in range(30):
        actions = first_allowed(observation)
        observation, rewards, *_ = envs.step(actions)
        again, other_rewards, *_ = other.step(actions)
        assert_same(dict(observation), dict(again))
        assert_same(rewards, other_rewards)


def test_spawned_workers() -> None:
    """AsyncVectorEnv works under "spawn": the environments pickle and import themselves in a fresh process."""
    envs: VectorEnv = AsyncVectorEnv([_make_one, _make_one], context="spawn")
    try:
        observation, _ = envs.reset(seed=3)
        local = sync(2, AutoresetMode.NEXT_STEP)
        other, _ = local.reset(seed=3)
        for _ in range(12):
            assert_same(dict(observation), dict(other))
            actions = first_allowed(observation)
            observation, *_ = envs.step(actions)
            other, *_ = local.step(actions)
    finally:
        envs.close()


def _make_one() -> gymnasium.Env:
    return gymnasium.make(JOBSHOP, **SMALL)
