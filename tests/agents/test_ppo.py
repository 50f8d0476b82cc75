"""The PPO learner: what it learns from, that it learns, and that it resumes exactly."""

import dataclasses
import platform

import numpy as np
import pytest
import torch
from small_shops import ENV_ID, small_network

from makespan.agents import ppo, runtime
from makespan.agents.config import EnvConfig, PPOConfig, ShapeConfig, TrainConfig
from makespan.agents.imitation import Minibatch, score
from makespan.agents.network import log_probabilities
from makespan.agents.policy import LearnedPolicy
from makespan.agents.ppo import PPOLearner, train_ppo
from makespan.agents.rollouts import Shops, collect
from makespan.agents.run_folder import RunFolder
from makespan.agents.trials import roll_out, vector_env_maker
from makespan.envs.core.policy import RandomPolicy
from makespan.envs.registration import get_family

ENV = EnvConfig(ENV_ID, {"sgs": "active"})
SHAPES = (
    ShapeConfig("uniform", {"num_jobs": 4, "num_machines": 3}, count=3),
    ShapeConfig("uniform", {"num_jobs": 3, "num_machines": 4}),
)
TINY = PPOConfig(
    total_decisions=400,
    shapes=SHAPES,
    num_envs=8,
    num_steps=10,
    minibatch_size=40,
    epochs=2,
    learning_rate=1e-3,
    target_kl=1.0,
    critic_warmup_updates=2,
    checkpoint_every=2,
)


@pytest.fixture(autouse=True)
def _one_thread():
    """Bitwise equality needs a fixed order of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def play(network, update=0, count=80, **kwargs):
    """The experience of one update."""
    instances = Shops(ENV, SHAPES, count, seed=0).draw(update)
    generator = torch.Generator().manual_seed(1)
    return instances, collect(network, ENV, instances, generator=generator, **kwargs)


def simple_bound(instance):
    """The longer of the longest job and the busiest machine: the unit of the rewards."""
    jobs = np.add.reduceat(instance.durations[:, 0], instance.job_first[:-1])
    return max(jobs.max(), np.bincount(instance.machines[:, 0], instance.durations[:, 0]).max())


def without_speed(rows):
    """Metrics but for what the clock says."""
    return [{key: value for key, value in row.items() if not key.endswith("_per_cpu_s")} for row in rows]


def vector(network):
    """All weights as one vector."""
    return torch.cat([tensor.flatten() for tensor in network.state_dict().values()])


@pytest.mark.parametrize("encode", ["instance", "step"])
def test_experience_is_whole_episodes_of_the_policy(encode):
    """Guards what PPO learns from: every episode ends, returns are the objective's, and re-scoring gives ratio 1."""
    network = small_network(encode=encode)
    instances, experience = play(network)
    bounds = np.array([simple_bound(instance) for instance in instances])
    np.testing.assert_allclose(experience.returns, -(experience.objectives - bounds) / bounds, atol=1e-9)
    decisions = experience.decisions
    assert set(decisions.instance) == set(range(len(instances)))
    everything = Minibatch(decisions, np.arange(len(instances)), np.arange(len(decisions)))
    with torch.no_grad():
        logits, values, decided = score(network, everything)
    log_p = log_probabilities(logits, decided)
    action = torch.from_numpy(decisions.action)
    chosen = decided.candidate_slot == action[decided.candidate_graph]
    np.testing.assert_allclose(log_p[chosen].numpy(), experience.log_p, atol=1e-5)
    np.testing.assert_allclose(values.numpy(), experience.value, atol=1e-5)


def test_shapes_come_in_proportion():
    """Guards the mix of shapes, and updates that differ from each other but not from run to run."""
    shops = Shops(ENV, SHAPES, 4000, seed=0)
    sizes = [instance.num_jobs for instance in shops.draw(0)]
    assert sizes.count(4) / len(sizes) == pytest.approx(0.75, abs=0.07)
    again, other = Shops(ENV, SHAPES, 4000, seed=0).draw(0), shops.draw(1)
    assert again == shops.draw(0)
    assert again != other


def test_an_update_has_the_decisions_asked_for():
    """Guards the size of an update: whole episodes of about num_envs * num_steps decisions."""
    learner = PPOLearner(small_network(), dataclasses.replace(TINY, num_envs=64), ENV, 0)
    learner.update()
    assert learner.decisions == pytest.approx(640, rel=0.2)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_resumed_run_ends_bitwise_equal(tmp_path, dropout):
    """Guards exact resume through the run folder: weights, counters and metrics as if nothing had happened."""
    config = dataclasses.replace(TINY, kl_to_imitation=0.1)
    start = small_network(dropout=dropout)

    def fresh():
        network = small_network(seed=3, dropout=dropout)
        network.load_state_dict(start.state_dict())
        return network

    with RunFolder.create(TrainConfig(name="whole"), tmp_path, tensorboard=False) as run:
        whole = train_ppo(fresh(), config, ENV, 7, run=run, pretrained=True)
        expected = run.metrics()
    assert len(expected) > 4
    with RunFolder.create(TrainConfig(name="cut"), tmp_path, tensorboard=False) as run:
        learner = PPOLearner(fresh(), config, ENV, 7, pretrained=True)
        for _ in range(2):
            run.log("ppo", learner.updates + 1, learner.update())
        run.save(learner.state()[0], learner.state()[1])
        run.log("ppo", 3, learner.update())  # lost in the crash
    torch.manual_seed(99)
    with RunFolder.open(tmp_path / "cut-seed0", tensorboard=False) as run:
        resumed = train_ppo(fresh(), config, ENV, 7, run=run, pretrained=True, state=run.resume())
        assert without_speed(run.metrics()) == without_speed(expected)
    assert torch.equal(vector(whole), vector(resumed))
    assert not torch.equal(vector(whole), vector(start))


def test_training_leaves_the_global_generator_alone():
    """Guards other people's random numbers: torch's global generator is where it was."""
    learner = PPOLearner(small_network(dropout=0.2), TINY, ENV, 0)
    before = torch.get_rng_state()
    learner.update()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_critic_warms_up_alone():
    """Guards a pretrained actor: the first updates change the value head and nothing else."""
    network = small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    learner = PPOLearner(network, TINY, ENV, 0, pretrained=True)
    metrics = learner.update()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("value.") for name in changed)
    assert "policy_loss" not in metrics
    assert all(parameter.requires_grad for parameter in network.parameters())
    learner.update()
    assert "policy_loss" in learner.update()


def test_actors_from_scratch_need_no_warm_up():
    """Guards the meaning of `critic_warmup_updates`: it concerns pretrained actors only."""
    assert "policy_loss" in PPOLearner(small_network(), TINY, ENV, 0).update()


def test_the_imitated_policy_holds_the_learner_back():
    """Guards the sign and the weight of the divergence from the reference policy."""

    def divergence(weight):
        network = small_network()
        config = dataclasses.replace(TINY, kl_to_imitation=weight, critic_warmup_updates=0, epochs=4)
        learner = PPOLearner(network, config, ENV, 0, pretrained=True)
        for _ in range(4):
            learner.update()
        _, experience = play(network, reference=small_network())
        own = experience.reference.counts
        slot = np.nonzero(experience.decisions.decisions["action_mask"])[1]
        chosen = experience.reference.values[slot == np.repeat(experience.decisions.action, own)]
        return float((experience.log_p - chosen).mean())

    assert divergence(30.0) < 0.3 * divergence(1e-9)


def test_target_kl_stops_an_update():
    """Guards the early stop: a divergence beyond the target ends the update before another step."""
    config = dataclasses.replace(TINY, target_kl=1e-9, epochs=20)
    network = small_network()
    calls = []
    original = ppo.apply_gradient
    ppo.apply_gradient = lambda *args: calls.append(1) or original(*args)
    try:
        PPOLearner(network, config, ENV, 0).update()
    finally:
        ppo.apply_gradient = original
    assert len(calls) == 1  # the first minibatch is on-policy, the second is not


def test_relative_entropy_of_a_uniform_policy_is_1():
    """Guards the normalisation by log(number of candidates), whatever their number."""
    log_p = torch.log(torch.tensor([1 / 2] * 2 + [1 / 5] * 5))
    graph = torch.tensor([0] * 2 + [1] * 5)
    assert float(ppo._relative_entropy(log_p, graph, 2)) == pytest.approx(1.0)


def test_ppo_beats_the_random_policy():
    """Guards learning itself: 6 000 decisions on 4 x 4 shops leave random play well behind, greedy and sampled."""
    shape = ShapeConfig("uniform", {"num_jobs": 4, "num_machines": 4})
    config = PPOConfig(
        total_decisions=6_000,
        shapes=(shape,),
        num_envs=32,
        num_steps=16,
        minibatch_size=128,
        learning_rate=2e-3,
    )
    network = train_ppo(small_network(width=32), config, ENV, 0)
    test = Shops(ENV, (shape,), 2_000, seed=123).draw(0)
    bounds = np.array([get_family(ENV_ID).lower_bound(instance) for instance in test])

    def gap(policy):
        objectives, _ = roll_out(vector_env_maker(ENV_ID)(test, {"sgs": "active"}), policy, test)
        return float((objectives / bounds - 1.0).mean())

    uniform = gap(RandomPolicy(0))
    assert gap(LearnedPolicy(network)) < 0.7 * uniform
    assert gap(LearnedPolicy(network, temperature=1.0)) < 0.9 * uniform


def test_malloc_is_tuned_on_glibc_only(monkeypatch):
    """Guards the platform check and the checked return value."""
    assert runtime.tune_malloc() == (platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(runtime.platform, "libc_ver", lambda: ("", ""))
    assert not runtime.tune_malloc()
