"""PettingZoo's Parallel environments behind Stable-Baselines3's `VecEnv` interface."""

from typing import ClassVar

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import ParallelEnv
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import PPO

from makespan.agents.multi_agent import ParallelVecEnv, pettingzoo_to_sb3
from makespan.envs import fleet


def make_tiny():
    """The Parallel face of a small fleet: eight aircraft, four vertiports."""
    return fleet.parallel_env(generator="tiny", max_cycles=None)


class Countdown(ParallelEnv):
    """Two agents without masks; an episode lasts three steps, agent k earns its action times k + 1."""

    metadata: ClassVar = {"name": "countdown_v0"}

    def __init__(self, early=False, truncate=False, other=False):
        self.possible_agents = ["player_0", "player_1"]
        self.agents, self.early, self.truncate, self.other = [], early, truncate, other

    def observation_space(self, agent):
        high = 3.0 if self.other and agent == "player_1" else 9.0
        return spaces.Box(0.0, high, (1,), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(3)

    def reset(self, seed=None, options=None):
        self.agents, self.left, self.seed = list(self.possible_agents), 3, seed
        return self._see(), {agent: {} for agent in self.agents}

    def _see(self):
        return {agent: np.array([self.left], np.float32) for agent in self.possible_agents}

    def step(self, actions):
        self.left -= 1
        rewards = {agent: float(actions[agent] * (k + 1)) for k, agent in enumerate(self.possible_agents)}
        over = dict.fromkeys(self.possible_agents, self.left == 0)
        if self.early:
            over["player_0"] = True
        never = dict.fromkeys(self.possible_agents, False)
        terminated, truncated = (never, over) if self.truncate else (over, never)
        return self._see(), rewards, terminated, truncated, {agent: {} for agent in self.possible_agents}

    def close(self):
        self.closed = True


def choose(masks, rng):
    """A random allowed action a row."""
    return (rng.random(masks.shape) * masks).argmax(axis=1)


def test_slots_are_the_agents_of_the_copies():
    """Guards that slot c * K + k shows agent k of copy c, its mask, its reward and its info, over a whole day and the next."""
    vec, twins, rng = (
        pettingzoo_to_sb3(make_tiny, 2, seed=5),
        [make_tiny(), make_tiny()],
        np.random.default_rng(0),
    )
    agents, seen = twins[0].possible_agents, vec.reset()
    shown = [twin.reset(seed=5 + c)[0] for c, twin in enumerate(twins)]
    days = 0
    for _ in range(150):
        masks = get_action_masks(vec)
        for c, k in ((0, 0), (0, 7), (1, 3)):
            np.testing.assert_array_equal(seen[8 * c + k], shown[c][agents[k]]["observation"])
            np.testing.assert_array_equal(masks[8 * c + k], shown[c][agents[k]]["action_mask"] > 0)
        actions = choose(masks, rng)
        seen, rewards, dones, infos = vec.step(actions)
        for c, twin in enumerate(twins):
            taken = dict(zip(agents, actions[8 * c : 8 * c + 8].tolist(), strict=True))
            shown[c], paid, over, _, told = twin.step(taken)
            np.testing.assert_allclose(rewards[8 * c : 8 * c + 8], list(paid.values()), rtol=1e-6)
            assert infos[8 * c + 3]["time_min"] == told[agents[3]]["time_min"]
            if all(over.values()):
                days += 1
                assert dones[8 * c : 8 * c + 8].all()
                last = infos[8 * c + 3]
                np.testing.assert_array_equal(
                    last["terminal_observation"], shown[c][agents[3]]["observation"]
                )
                assert last["summary"] == told[agents[3]]["episode"]
                shown[c] = twin.reset()[0]
    assert days == 2  # a day has 144 ticks


def test_returns_add_up_to_the_days_profit():
    """Guards the episode reports: over the agents of a copy they sum to the profit in the day's own summary."""
    vec, rng = pettingzoo_to_sb3(make_tiny, 1, seed=3), np.random.default_rng(1)
    vec.reset()
    for _ in range(144):
        *_, dones, infos = vec.step(choose(get_action_masks(vec), rng))
    assert dones.all()
    assert infos[0]["episode"]["l"] == 144
    total = sum(info["episode"]["r"] for info in infos)
    assert total == pytest.approx(infos[0]["summary"]["profit"], abs=1e-3)


def test_maskable_ppo_trains_a_shared_policy_and_takes_allowed_actions_only():
    """Guards the use that the adapter is for; an action that is not allowed would be reported in the info."""
    vec = pettingzoo_to_sb3(make_tiny, 2, seed=0)
    assert is_masking_supported(vec)
    assert vec.num_envs == 16
    bad = []
    model = MaskablePPO("MlpPolicy", vec, n_steps=16, batch_size=64, n_epochs=1, seed=0)
    before = model.policy.state_dict()["action_net.weight"].clone()
    model.learn(
        512, callback=lambda local, _: bad.extend(info["invalid_action"] for info in local["infos"]) or True
    )
    assert len(bad) == 512
    assert not any(bad)
    assert not np.allclose(before, model.policy.state_dict()["action_net.weight"])


def test_an_agent_with_one_action_has_no_say_in_the_loss():
    """Guards the module's claim: where the mask leaves a single action, log-probability and entropy are 0 for any weights."""
    vec = pettingzoo_to_sb3(make_tiny, 1, seed=0)
    model = MaskablePPO("MlpPolicy", vec, n_steps=8, batch_size=8, seed=0)
    seen = vec.reset()
    for _ in range(3):
        seen, *_ = vec.step(choose(get_action_masks(vec), np.random.default_rng(0)))
    masks = get_action_masks(vec)
    busy = np.flatnonzero(masks.sum(axis=1) == 1)
    assert busy.size
    policy = model.policy
    tensor, _ = policy.obs_to_tensor(seen)
    actions = policy.predict(seen, action_masks=masks)[0]
    _, log_p, entropy = policy.evaluate_actions(tensor, tensor.new_tensor(actions), masks)
    assert np.abs(log_p[busy].detach().numpy()).max() < 1e-6
    assert np.abs(entropy[busy].detach().numpy()).max() < 1e-6


def test_graph_observations_become_a_batched_dict():
    """Guards `obs="graph"`: the nested Dict that Stable-Baselines3 refuses comes out flat, one row an agent."""
    vec = pettingzoo_to_sb3(lambda: fleet.parallel_env(generator="tiny", obs="graph"), 1, seed=0)
    seen = vec.reset()
    assert isinstance(vec.observation_space, spaces.Dict)
    assert seen["vertiport_x"].shape[:2] == (8, 4)
    assert vec.observation_space.contains({key: array[0] for key, array in seen.items()})


@pytest.mark.parametrize("truncate", [False, True])
def test_without_masks_everything_is_allowed_and_ends_are_told_apart(truncate):
    """Guards environments that have no mask, hand-worked returns, and `TimeLimit.truncated`."""
    vec = ParallelVecEnv([Countdown(truncate=truncate)])
    vec.seed(11)
    assert vec.reset().tolist() == [[3.0], [3.0]]
    assert vec.envs[0].seed == 11
    assert get_action_masks(vec).all()
    vec.step(np.array([1, 2]))
    vec.step(np.array([0, 1]))
    seen, rewards, dones, infos = vec.step(np.array([2, 2]))
    assert rewards.tolist() == [2.0, 4.0]
    assert dones.tolist() == [True, True]
    assert [info["episode"]["r"] for info in infos] == [3.0, 10.0]
    assert infos[0]["TimeLimit.truncated"] is truncate
    assert infos[1]["terminal_observation"].tolist() == [0.0]
    assert seen.tolist() == [[3.0], [3.0]]
    assert vec.envs[0].seed is None
    PPO("MlpPolicy", vec, n_steps=8, batch_size=16, n_epochs=1).learn(16)
    vec.close()
    assert vec.envs[0].closed


def test_what_cannot_be_shared_is_refused():
    """Guards the errors: unlike agents, agents that end alone, no copies."""
    with pytest.raises(ValueError, match="player_1: spaces unlike those of player_0"):
        ParallelVecEnv([Countdown(other=True)])
    with pytest.raises(ValueError, match="envs: none"):
        ParallelVecEnv([])
    vec = ParallelVecEnv([Countdown(early=True)])
    vec.reset()
    with pytest.raises(ValueError, match="player_0 ended before the others"):
        vec.step(np.array([0, 0]))
