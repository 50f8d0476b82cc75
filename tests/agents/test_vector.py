"""The native batch behind Stable-Baselines3's `VecEnv` interface."""

import gymnasium
import numpy as np
import pytest
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from small_shops import ENV_ID, SHOP
from stable_baselines3.common.monitor import Monitor

from makespan.agents.vector import SB3VecEnv, make_sb3_vec_env
from makespan.envs.core.policy import RandomPolicy


def run(env, steps, seed=0):
    """Random play; all rewards (steps, B), dones and infos."""
    policy = RandomPolicy(seed)
    observation = env.reset()
    rewards, dones, infos = [], [], []
    for _ in range(steps):
        observation, reward, done, info = env.step(policy.act(observation))
        rewards.append(reward)
        dones.append(done)
        infos.append(info)
    return np.array(rewards), np.array(dones), infos


def test_masks_reach_maskable_ppo():
    """Guards `action_masks` where sb3-contrib looks for it, and that it is the observation's mask."""
    env = make_sb3_vec_env(ENV_ID, 4, seed=0, **SHOP)
    observation = env.reset()
    assert is_masking_supported(env)
    masks = get_action_masks(env)
    assert masks.dtype == bool
    np.testing.assert_array_equal(masks, observation["action_mask"] > 0)
    np.testing.assert_array_equal(env.env_method("action_masks", indices=[2])[0], masks[2])
    np.testing.assert_array_equal(env.get_attr("action_masks")[1](), masks[1])


def test_episodes_are_reported_as_monitor_would():
    """Guards ep_rew_mean and ep_len_mean in training logs: sums of the rewards and steps of each episode."""
    env = make_sb3_vec_env(ENV_ID, 3, seed=1, **SHOP)
    rewards, dones, infos = run(env, 40)
    assert env.env_is_wrapped(Monitor) == [True] * 3
    for slot in range(3):
        first = 0
        for last in np.flatnonzero(dones[:, slot]):
            episode = infos[last][slot]["episode"]
            assert episode["r"] == pytest.approx(rewards[first : last + 1, slot].sum(), abs=1e-5)
            assert episode["l"] == last + 1 - first
            first = last + 1
        assert first > 0


def test_last_observation_and_truncation():
    """Guards the bootstrap: ended episodes hand out their last observation, and completion is no time limit."""
    env = make_sb3_vec_env(ENV_ID, 2, seed=1, **SHOP)
    _, dones, infos = run(env, 40)
    step, slot = np.argwhere(dones)[0]
    info = infos[step][slot]
    assert info["TimeLimit.truncated"] is False
    assert info["terminal_observation"]["system_x"][0, 0] == 1.0  # progress
    assert info["objective"] > 0


def test_no_ops_end_in_a_truncation():
    """Guards `TimeLimit.truncated`, without which a cut episode would count as a finished one."""
    env = make_sb3_vec_env(ENV_ID, 1, seed=1, illegal_action="noop", **SHOP)
    env.reset()
    for _ in range(1000):
        _, _, dones, infos = env.step(np.array([-1]))
        assert infos[0]["invalid_action"]
        if dones[0]:
            break
    assert infos[0]["TimeLimit.truncated"] is True


def test_batch_equals_the_scalar_environment():
    """Guards slot i against any deviation from a scalar environment seeded with seed + i."""
    env = make_sb3_vec_env(ENV_ID, 2, seed=7, **SHOP)
    first = env.reset()
    scalar = gymnasium.make(ENV_ID, **SHOP)
    for slot in range(2):
        observation, _ = scalar.reset(seed=7 + slot)
        for key, array in observation.items():
            np.testing.assert_array_equal(first[key][slot], array)


def test_seeds_make_runs_repeatable():
    """Guards reproducibility through SB3's seeding, which takes effect at the next reset."""
    env = make_sb3_vec_env(ENV_ID, 3, seed=5, **SHOP)
    rewards, _, _ = run(env, 20)
    env.seed(5)
    again, _, _ = run(env, 20)
    np.testing.assert_array_equal(rewards, again)
    assert rewards.dtype == np.float32


def test_options_choose_the_instances():
    """Guards evaluation on given instances through SB3's options."""
    env = make_sb3_vec_env(ENV_ID, 2, seed=5, **SHOP)
    env.reset()
    instances = env.get_attr("instance")
    env.set_options([{"instance": instances[1]}, {"instance": instances[0]}])
    env.reset()
    assert env.get_attr("instance") == instances[::-1]


def test_observations_outlive_the_next_step():
    """Guards against live buffers: SB3 stores an observation after the step that follows it."""
    env = make_sb3_vec_env(ENV_ID, 2, seed=5, **SHOP)
    observation = env.reset()
    before = observation["job_x"].copy()
    env.step(RandomPolicy().act(observation))
    np.testing.assert_array_equal(observation["job_x"], before)


@pytest.mark.parametrize(
    "wrong", [{"autoreset_mode": "NextStep"}, {"autoreset_mode": "SameStep", "copy": False}]
)
def test_unsuitable_batches_are_refused(wrong):
    """Guards against silent training bugs of a wrong autoreset mode or shared buffers."""
    env = gymnasium.make_vec(ENV_ID, num_envs=2, vectorization_mode="vector_entry_point", **SHOP, **wrong)
    with pytest.raises(ValueError, match=r"SAME_STEP|copy"):
        SB3VecEnv(env)


def test_elapsed_time_reaches_stable_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each environment's info tells how long its step took, where the family tells any."""
    import queue_family

    queue_family.register(monkeypatch)
    env = make_sb3_vec_env(queue_family.ENV_ID, num_envs=2, seed=0, horizon=12, num_jobs=3)
    env.reset()
    done = False
    while not done:
        mask = np.array(env.env_method("action_masks"))
        _, _, dones, infos = env.step(mask.argmax(axis=1))
        assert all(info["elapsed"] >= 0.0 for info in infos)
        done = bool(dones[0])
    assert infos[0]["elapsed"] > 0.0
    assert infos[0]["TimeLimit.truncated"] or infos[0]["num_decisions"] == 6
