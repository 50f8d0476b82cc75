"""What PPO compares returns with: discounts by time, bootstraps, the other episodes of an instance, reward scales."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import queue_family
import torch
from queue_family import ENV_ID, Queue, queues
from small_shops import small_network

from makespan.agents.advantages import RewardScale, advantages, discounts
from makespan.agents.config import EnvConfig, NetworkConfig, PPOConfig, ShapeConfig
from makespan.agents.demonstrations import Decisions
from makespan.agents.network import ActorCritic
from makespan.agents.ppo import PPOLearner
from makespan.agents.rollouts import Experience, Shops, collect
from makespan.agents.typed_config import ConfigError

ENV = EnvConfig(ENV_ID)
SMALL = NetworkConfig(width=16, depth=1, rounds=1, head_width=16, encode="step")
PLAIN = PPOConfig(gae_lambda=1.0)


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    queue_family.register(monkeypatch)
    torch.set_num_threads(1)


def experience_of(episodes, elapsed=None, bootstrap=None):
    """Experience of [(rewards, values), ...], laid out step by step as a rollout does."""
    slots, columns = [], {"reward": [], "value": [], "elapsed": []}
    for t in range(max(len(rewards) for rewards, _ in episodes)):
        for e, (rewards, values) in enumerate(episodes):
            if t < len(rewards):
                slots.append(e)
                columns["reward"].append(rewards[t])
                columns["value"].append(values[t])
                columns["elapsed"].append(0.0 if elapsed is None else elapsed[e][t])
    size, none = len(episodes), np.zeros(len(slots), np.int64)
    return Experience(
        decisions=Decisions({}, {}, np.array(slots), none, None, size),
        log_p=none.astype(np.float32),
        value=np.array(columns["value"], np.float32),
        reward=np.array(columns["reward"], np.float64),
        elapsed=None if elapsed is None else np.array(columns["elapsed"]),
        bootstrap=np.zeros(size) if bootstrap is None else np.array(bootstrap),
        reference=None,
        objectives=np.zeros(size),
    )


def test_advantages_follow_their_definition():
    """GAE on episodes of unlike length against the sum over later temporal differences, bootstraps included."""
    rng = np.random.default_rng(0)
    lengths, gamma, decay, beyond = [4, 1, 3], 0.9, 0.7, [0.0, 2.0, -1.0]
    reward, value = ([rng.normal(size=n) for n in lengths] for _ in range(2))
    config = PPOConfig(gamma=gamma, gae_lambda=decay)
    experience = experience_of(list(zip(reward, value, strict=True)), bootstrap=beyond)
    found, targets = advantages(experience, config, RewardScale(1.0), 1)
    expected = []
    for t in range(4):
        for e in (e for e in range(3) if lengths[e] > t):
            later = np.append(value[e], beyond[e])
            delta = reward[e] + gamma * later[1:] - value[e]
            expected.append(sum((gamma * decay) ** (k - t) * delta[k] for k in range(t, lengths[e])))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(targets, expected + experience.value, rtol=1e-5)


def test_time_discounts_by_what_has_elapsed():
    """Rewards 4, 8, 16 with steps of 1, 0 and 2 units, gamma 1/2: 4 + (8 + 16) / 2, then 24, then 16, by hand."""
    experience = experience_of([([4.0, 8.0, 16.0], [0.0] * 3)], elapsed=[[1.0, 0.0, 2.0]])
    config = dataclasses.replace(PLAIN, gamma=0.5, discount="time")
    assert advantages(experience, config, RewardScale(1.0), 1)[0].tolist() == [16.0, 24.0, 16.0]
    by_decision = dataclasses.replace(config, discount="decision")
    assert advantages(experience, by_decision, RewardScale(1.0), 1)[0].tolist() == [12.0, 16.0, 16.0]


def test_a_cut_episode_is_discounted_to_its_bootstrap():
    """What lies beyond a cut counts gamma to the power of the last step's length."""
    experience = experience_of([([0.0], [0.0])], elapsed=[[3.0]], bootstrap=[8.0])
    config = dataclasses.replace(PLAIN, gamma=0.5, discount="time")
    assert advantages(experience, config, RewardScale(1.0), 1)[0].tolist() == [1.0]


def test_time_without_a_clock_is_refused():
    """The job shop tells no elapsed time; asking for a discount by time is an error, not a silent default."""
    with pytest.raises(ConfigError, match="discount: time"):
        discounts(experience_of([([1.0], [0.0])]), dataclasses.replace(PLAIN, discount="time"))
    with pytest.raises(ConfigError, match="episodes_per_instance"):
        PPOConfig(baseline="instance")


def test_other_episodes_of_an_instance_are_the_baseline():
    """By hand: to go [6, 2] at times 0, 4 and [8, 5] at 0, 2; the other at 4 is nearly over, at 2 half way from 6 to 2."""
    episodes = [([4.0, 2.0], [9.0, 9.0]), ([3.0, 5.0], [9.0, 9.0])]
    experience = experience_of(episodes, elapsed=[[4.0, 2.0], [2.0, 3.0]])
    config = dataclasses.replace(PLAIN, baseline="instance", episodes_per_instance=2)
    found, targets = advantages(experience, config, RewardScale(1.0), 2)
    # rows: episode 0 at 0, episode 1 at 0, episode 0 at 4, episode 1 at 2
    assert found.tolist() == pytest.approx([6 - 8, 8 - 6, 2 - 5 / 3, 5 - 4])
    assert targets.tolist() == [6.0, 8.0, 2.0, 5.0]


def test_instances_are_not_compared_with_each_other():
    """Episodes of another instance do not enter the baseline, whatever luck they had."""
    pairs = [([1.0], [0.0]), ([3.0], [0.0]), ([100.0], [0.0]), ([108.0], [0.0])]
    config = dataclasses.replace(PLAIN, baseline="instance", episodes_per_instance=2)
    assert advantages(experience_of(pairs), config, RewardScale(1.0), 2)[0].tolist() == [-2, 2, -8, 8]


def test_advantages_scaled_by_instance():
    """Two instances of two episodes, returns 1 and 3, then 10 and 50: both pairs have advantages -1 and 1; equal returns none."""
    config = dataclasses.replace(PLAIN, baseline="instance", episodes_per_instance=2, scale_by_instance=True)
    episodes = [([total], [0.0]) for total in (1.0, 3.0, 10.0, 50.0, 7.0, 7.0)]
    found, targets = advantages(experience_of(episodes), config, RewardScale(1.0), 2)
    np.testing.assert_allclose(found, [-1.0, 1.0, -1.0, 1.0, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(targets, [1.0, 3.0, 10.0, 50.0, 7.0, 7.0], rtol=1e-6)


def test_running_scale_is_the_standard_deviation_of_all_returns():
    """Batch after batch the divisor is numpy's standard deviation of everything seen, and it survives a resume."""
    rng = np.random.default_rng(0)
    batches = [rng.normal(5.0, 30.0, n) for n in (7, 100, 3)]
    scale = RewardScale(0.0)
    for number, batch in enumerate(batches, 1):
        if number == 3:
            again = RewardScale(0.0)
            again.restore(scale.state())
            scale = again
        assert scale(batch) == pytest.approx(np.concatenate(batches[:number]).std())
    assert RewardScale(4.0)(batches[0]) == 4.0


def test_scaled_rewards_scale_everything():
    """Advantages and targets are those of divided rewards; returns are reported as the environment pays."""
    episodes = [([4.0, 2.0], [0.0, 0.0])]
    found, targets = advantages(experience_of(episodes), PLAIN, RewardScale(2.0), 1)
    assert (found.tolist(), targets.tolist()) == ([3.0, 1.0], [3.0, 1.0])
    assert experience_of(episodes).returns.tolist() == [6.0]


def network(seed=0, **config):
    torch.manual_seed(seed)
    return ActorCritic(queue_family.schema_of(3), dataclasses.replace(SMALL, **config))


def test_rollouts_tell_time_and_bootstrap_what_was_cut():
    """Elapsed times sum to the episode's length; a cut episode ends on the critic's value of its last state."""
    instances = queues(3, horizon=25)
    experience = collect(network(), ENV, instances, generator=torch.Generator().manual_seed(0))
    assert experience.elapsed is not None
    assert (experience.elapsed >= 0).all()
    np.testing.assert_allclose(experience.returns, -experience.objectives)
    assert (experience.bootstrap != 0.0).all()
    whole = collect(network(), ENV, queues(3), generator=torch.Generator().manual_seed(0))
    assert (whole.bootstrap == 0.0).all()
    for e, instance in enumerate(instances):
        assert experience.elapsed[experience.decisions.instance == e].sum() * instance.unit >= 25


def test_bootstrap_is_the_value_of_the_last_state():
    """Replayed by hand, the state in which the horizon cut the episode has the value that was kept."""
    from makespan.agents.demonstrations import make_batch

    instances = queues(1, horizon=25)
    net = network()
    experience = collect(net, ENV, instances, generator=torch.Generator().manual_seed(0))
    env = make_batch(ENV_ID, {}, instances)
    env.reset(seed=0)
    for action in experience.decisions.action:
        observation, *_ = env.step(np.array([action]))
    with torch.no_grad():
        assert float(net.eval()(observation)[1]) == pytest.approx(experience.bootstrap[0], abs=1e-6)


def test_episodes_on_the_same_instance():
    """K episodes share each instance, in a row; the number of episodes stays about the same."""
    shapes = (ShapeConfig("stream", {"num_jobs": 4}),)
    shops = Shops(ENV, shapes, 800, seed=0)
    drawn = shops.draw(0, 4)
    assert len(drawn) == pytest.approx(len(shops.draw(0)), abs=4)
    assert all(drawn[i] is drawn[i - i % 4] for i in range(len(drawn)))
    assert len({id(one) for one in drawn}) == len(drawn) // 4


TINY = PPOConfig(
    total_decisions=600,
    shapes=(ShapeConfig("stream", {"num_jobs": 5, "horizon": 30}),),
    num_envs=10,
    num_steps=10,
    minibatch_size=50,
    epochs=2,
    learning_rate=1e-3,
    target_kl=1.0,
    gamma=0.95,
    discount="time",
    episodes_per_instance=2,
    baseline="instance",
    reward_scale=0.0,
)


def weights(net):
    return torch.cat([tensor.flatten() for tensor in net.state_dict().values()])


def test_a_resumed_run_with_a_running_scale_is_bitwise_equal():
    """Exact resume holds for discounts by time, group baselines, cut episodes and the running reward scale."""
    whole = PPOLearner(network(), TINY, ENV, 3)
    for _ in range(3):
        metrics = whole.update()
    assert metrics["rollout_decisions_per_cpu_s"] > 0
    assert metrics["learning_decisions_per_cpu_s"] > 0
    first = PPOLearner(network(), TINY, ENV, 3)
    first.update()
    tensors, meta = first.state()
    second = PPOLearner(network(seed=9), TINY, ENV, 3)
    second.restore(tensors, meta)
    for _ in range(2):
        second.update()
    assert torch.equal(weights(whole.network), weights(second.network))


def test_the_future_reaches_the_critic_alone():
    """By gradient: what only a critic may read has none on any logit, and some on every value."""
    net = network().eval()
    env_observation = _some_observation()
    instances, decisions = net.reader.both(env_observation)
    future = decisions.critic_x.clone().requires_grad_(True)
    decisions = dataclasses.replace(decisions, critic_x=future)
    logits, values = net.decide(net.encode(instances), decisions)
    (leak,) = torch.autograd.grad(logits.square().sum(), future, allow_unused=True, retain_graph=True)
    assert leak is None or not leak.any()
    (known,) = torch.autograd.grad(values.sum(), future)
    assert (known != 0).all()
    changed = {**env_observation, "critic_x": env_observation["critic_x"] + 5.0}
    with torch.no_grad():
        assert torch.equal(net(changed)[0], net(env_observation)[0])
        assert not torch.allclose(net(changed)[1], net(env_observation)[1])


def test_the_actors_loss_does_not_train_the_critics_input():
    """The policy's gradient never reaches the weights that read the future."""
    net = network().eval()
    logits, _, _ = net(_some_observation())
    logits.square().sum().backward()
    assert net.critic_input.weight.grad is None
    assert net.score[1][0].weight.grad.abs().sum() > 0


def _some_observation():
    from makespan.agents.demonstrations import make_batch

    env = make_batch(ENV_ID, {}, [*queues(3), Queue(np.array([0, 1, 2]), np.ones((3, 2), np.int64))])
    return {key: array.copy() for key, array in env.reset(seed=0)[0].items()}


def test_rollouts_without_time_have_none():
    """Environments whose time does not run between decisions leave it out."""
    from small_shops import ENV_ID as SHOP_ID
    from small_shops import shops

    config = EnvConfig(SHOP_ID, {"sgs": "active"})
    experience = collect(small_network(), config, shops(2), generator=torch.Generator().manual_seed(0))
    assert experience.elapsed is None
