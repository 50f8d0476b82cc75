"""Networks as policies, in Stable-Baselines3 and without it."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_masked
from small_shops import ENV_ID, SHOP, SMALL, shops, small_network
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

from makespan.agents.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from makespan.agents.demonstrations import make_batch
from makespan.agents.inference import EncodingCache, choose, decide
from makespan.agents.network import log_probabilities
from makespan.agents.policy import LearnedPolicy, load_policy
from makespan.agents.sb3_policy import GraphPolicy, SelfMaskingGraphPolicy, export_network, import_network
from makespan.agents.vector import make_sb3_vec_env
from makespan.envs.core.policy import PlanningPolicy, Policy, RandomPolicy

BUDGET = {"n_steps": 16, "batch_size": 32, "n_epochs": 2, "device": "cpu", "seed": 0}


def masked_model(num_envs=4, policy_kwargs=SMALL, **shop):
    """A MaskablePPO model on small shops."""
    env = make_sb3_vec_env(ENV_ID, num_envs, seed=0, **{**SHOP, **shop})
    return MaskablePPO(GraphPolicy, env, policy_kwargs=dict(policy_kwargs), **BUDGET)


def plain_model(kind=PPO, num_envs=4):
    """A PPO or A2C model on small shops."""
    env = make_sb3_vec_env(ENV_ID, num_envs, seed=0, **SHOP)
    if kind is A2C:
        return A2C(SelfMaskingGraphPolicy, env, policy_kwargs=dict(SMALL), device="cpu", seed=0)
    return PPO(SelfMaskingGraphPolicy, env, policy_kwargs=dict(SMALL), **BUDGET)


def observations(count=6, steps=3, **shop):
    """A batch of observations some decisions into random episodes."""
    env = make_sb3_vec_env(ENV_ID, count, seed=3, **{**SHOP, **shop})
    policy, observation = RandomPolicy(0), env.reset()
    for _ in range(steps):
        observation, *_ = env.step(policy.act(observation))
    return observation


def weights(module):
    """All weights as one vector."""
    return torch.cat([tensor.flatten() for tensor in module.state_dict().values()])


@pytest.mark.parametrize("encode", ["instance", "step"])
def test_maskable_ppo_trains(encode):
    """Guards `MaskablePPO(GraphPolicy, env)`: two updates run, change the weights and log the episodes."""
    model = masked_model(policy_kwargs={**SMALL, "encode": encode})
    before = weights(model.policy)
    model.learn(128)
    assert not torch.equal(before, weights(model.policy))
    assert model.ep_info_buffer
    assert all(info["r"] <= 0.0 for info in model.ep_info_buffer)


@pytest.mark.parametrize("kind", [PPO, A2C])
def test_plain_sb3_trains_without_illegal_actions(kind):
    """Guards the policy that masks by itself: algorithms without masks never choose a forbidden candidate."""
    model = plain_model(kind)
    illegal = []

    def look(local_variables, _):
        illegal.extend(info.get("invalid_action", False) for info in local_variables["infos"])
        return True

    model.learn(64, callback=look)
    assert len(illegal) >= 64
    assert not any(illegal)


def test_plain_ppo_trains_with_sb3s_own_policy():
    """Guards the environment itself in stock SB3: PPO with MultiInputPolicy on one scalar environment."""
    env = gymnasium.make(ENV_ID, **SHOP)
    model = PPO("MultiInputPolicy", env, **BUDGET)
    model.learn(32)
    assert model.num_timesteps >= 32


def test_scalar_environments_train_too():
    """Guards the path of most users: SB3's DummyVecEnv around the Gymnasium environment."""
    env = make_vec_env(ENV_ID, n_envs=2, env_kwargs=SHOP)
    model = MaskablePPO(GraphPolicy, env, policy_kwargs=dict(SMALL), **BUDGET)
    model.learn(64)
    assert model.num_timesteps == 64


def test_log_probabilities_equal_those_of_the_network():
    """Guards the conversion back from SB3's tensors: its path and ours agree to 1e-6, values too."""
    model, observation = masked_model(), observations()
    actions = torch.from_numpy(RandomPolicy(1).act(observation))
    tensors = {
        key: torch.from_numpy(array).float() for key, array in observation.items()
    }  # as SB3 casts them
    masks = torch.from_numpy(observation["action_mask"] > 0)
    network = export_network(model)
    with torch.no_grad():
        values, log_p, entropy = model.policy.evaluate_actions(tensors, actions, masks)
        logits, own_values, batch = network(observation)
    own = log_probabilities(logits, batch)
    chosen = batch.candidate_slot == actions[batch.candidate_graph]
    torch.testing.assert_close(log_p, own[chosen], atol=1e-6, rtol=0)
    torch.testing.assert_close(values[:, 0], own_values, atol=1e-6, rtol=0)
    own_entropy = torch.zeros(len(actions)).index_add(0, batch.candidate_graph, -own.exp() * own)
    torch.testing.assert_close(entropy, own_entropy, atol=1e-6, rtol=0)


def test_equal_instances_share_an_encoding():
    """Guards the shortcut for many decisions of one instance against mixing instances up."""
    model = masked_model()
    observation = observations()
    doubled = {key: np.concatenate([array, array[::-1]]) for key, array in observation.items()}
    tensors = {key: torch.from_numpy(array) for key, array in doubled.items()}
    with torch.no_grad():
        values = model.policy.predict_values(tensors)[:, 0]
        own = export_network(model)(observation)[1]
    torch.testing.assert_close(values, torch.cat([own, own.flip(0)]), atol=1e-6, rtol=0)


def test_forbidden_candidates_have_no_gradient():
    """Guards the mask: neither policy nor entropy gradient reaches what a forbidden candidate's row holds."""
    model, observation = masked_model(), observations()
    scored = []
    model.policy.network.candidate_input.register_forward_hook(
        lambda _, inputs, __: scored.append(len(inputs[0]))
    )
    tensors = {key: torch.from_numpy(array) for key, array in observation.items()}
    logits, _ = model.policy._score(tensors)
    logits.retain_grad()
    distribution = model.policy.action_dist.proba_distribution(action_logits=logits)
    loss = distribution.log_prob(torch.from_numpy(RandomPolicy(1).act(observation))).sum()
    (loss + distribution.entropy().sum()).backward()
    forbidden = torch.from_numpy(observation["action_mask"] == 0)
    assert forbidden.any()
    assert (logits.grad[forbidden] == 0).all()
    assert (logits.grad[~forbidden] != 0).any()
    assert scored == [int((~forbidden).sum())]  # forbidden candidates are not even looked at
    assert (distribution.distribution.probs[forbidden] == 0).all()


def test_prediction_obeys_the_mask_unasked():
    """Guards plain `predict` and SB3's `evaluate_policy`, which pass no masks, against illegal actions."""
    model, observation = masked_model(), observations()
    for deterministic in (True, False):
        action, _ = model.predict(observation, deterministic=deterministic)
        assert (observation["action_mask"][np.arange(len(action)), action] > 0).all()
    single = {key: array[0] for key, array in observation.items()}
    assert model.predict(single)[0].shape == ()


def test_both_evaluations_of_sb3_run():
    """Guards `evaluate_policy` of SB3 and sb3-contrib: finished episodes, equal means for one greedy policy."""
    model = masked_model()
    env = make_sb3_vec_env(ENV_ID, 2, seed=9, **SHOP)
    masked, _ = evaluate_masked(model, env, n_eval_episodes=6)
    env.seed(9)
    plain, _ = evaluate_policy(model, env, n_eval_episodes=6)
    assert masked == plain < 0.0


def test_models_survive_saving(tmp_path):
    """Guards save, load, a checkpoint callback, and going on with the counter."""
    model = masked_model()
    model.learn(64, callback=CheckpointCallback(16, str(tmp_path)))
    assert list(tmp_path.glob("*.zip"))
    model.save(tmp_path / "model")
    loaded = MaskablePPO.load(
        tmp_path / "model", env=make_sb3_vec_env(ENV_ID, 4, seed=0, **SHOP), device="cpu"
    )
    assert torch.equal(weights(loaded.policy), weights(model.policy))
    loaded.learn(64, reset_num_timesteps=False)
    assert loaded.num_timesteps == 128
    model.policy.save(tmp_path / "policy")
    policy = GraphPolicy.load(tmp_path / "policy", device="cpu")
    np.testing.assert_array_equal(
        policy.predict(observations(), deterministic=True)[0],
        model.predict(observations(), deterministic=True)[0],
    )


def test_wrapped_spaces_need_the_schema():
    """Guards the message where a wrapper hides the schema, and the keyword that helps."""
    env = VecMonitor(make_sb3_vec_env(ENV_ID, 2, seed=0, **SHOP))
    schema = env.get_attr("schema")[0]
    env.observation_space = gymnasium.spaces.Dict(dict(env.observation_space.spaces))
    with pytest.raises(ValueError, match="policy_kwargs"):
        MaskablePPO(GraphPolicy, env, **BUDGET)
    MaskablePPO(GraphPolicy, env, policy_kwargs={**SMALL, "schema": schema}, **BUDGET)


@pytest.mark.parametrize("kind", ["masked", "plain"])
def test_weights_move_both_ways_and_across_sizes(kind, tmp_path):
    """Guards export, our checkpoints and import: logits equal to 1e-6, and weights that depend on no size."""
    model = masked_model() if kind == "masked" else plain_model()
    network = export_network(model)
    save_checkpoint(tmp_path / "c.pt", {"network": network.state_dict()}, {})
    other = masked_model(num_jobs=6, num_machines=5) if kind == "masked" else plain_model()
    own = small_network(seed=8)
    own.load_state_dict(load_checkpoint(tmp_path / "c.pt")[0]["network"])
    import_network(other, own)
    observation = observations()
    with torch.no_grad():
        before, after = network(observation)[0], export_network(other, network.schema)(observation)[0]
    torch.testing.assert_close(after, before, atol=1e-6, rtol=0)
    large = observations(num_jobs=6, num_machines=5)
    if kind == "masked":
        action, _ = other.predict(large)
        assert (large["action_mask"][np.arange(len(action)), action] > 0).all()


def test_other_architectures_are_refused():
    """Guards import against a network of another width."""
    with pytest.raises(ValueError, match="width"):
        import_network(masked_model(), small_network(width=8))


# ---- without Stable-Baselines3 ----


def play(policy, instances, sgs="active"):
    """Objectives of one episode a slot."""
    env = make_batch(ENV_ID, {"sgs": sgs}, instances)
    observation, _ = env.reset(seed=0)
    running = np.ones(len(instances), bool)
    while running.any():
        observation, _, terminated, _, _ = env.step(policy.act(observation))
        running &= ~terminated
    return np.array([env.objective(slot) for slot in range(len(instances))])


def test_learned_policies_follow_the_protocol():
    """Guards `Policy`, and that no learned policy is reported as one that sees more than the graph."""
    policy = LearnedPolicy(small_network())
    assert isinstance(policy, Policy)
    assert not isinstance(policy, PlanningPolicy)


@pytest.mark.parametrize("encode", ["instance", "step"])
def test_cached_encodings_change_nothing(encode):
    """Guards the cache over many episodes that start at different times, in slots that see other shops each time."""
    network = small_network(encode=encode)
    env = make_sb3_vec_env(ENV_ID, 5, seed=0, **SHOP)
    policy, observation = LearnedPolicy(network), env.reset()
    for _ in range(60):
        with torch.no_grad():
            logits, _, batch = network(observation)
        expected = choose(logits, batch).numpy()
        action = policy.act(observation)
        np.testing.assert_array_equal(action, expected)
        observation, *_ = env.step(action)


def test_encodings_are_reused_and_forgotten():
    """Guards one encoding an instance, shared by equal slots, and a memory that does not grow with the episodes."""
    network, encoded = small_network(), []
    network.deep.register_forward_hook(lambda _, inputs, __: encoded.append(inputs[0].num_graphs))
    one, two = shops(2)
    play(LearnedPolicy(network), [one, two, one, one])
    assert encoded == [2]
    cache, env = EncodingCache(network), make_sb3_vec_env(ENV_ID, 3, seed=0, **SHOP)
    policy, observation = RandomPolicy(), env.reset()
    for _ in range(100):
        memory, _ = cache.look_up(observation)
        assert len(memory.first["job"]) <= 3 * 3
        observation, *_ = env.step(policy.act(observation))


def test_joined_encodings_keep_their_graphs_apart():
    """Guards the row offsets of joined memories by the logits of decisions in both parts."""
    network = small_network()
    env = make_batch(ENV_ID, {"sgs": "active"}, shops(3))
    observation, _ = env.reset(seed=0)
    cache = EncodingCache(network)
    cache.look_up(observation)
    env.reset(options={"instances": shops(3, seed=1), "reset_mask": np.array([False, True, False])})
    memory, graph = cache.look_up(observation)
    assert graph.tolist() == [0, 3, 2]
    with torch.no_grad():
        expected = network(observation)[0]
        logits, _ = network.decide(memory, network.reader.decisions(observation, memory, graph))
    torch.testing.assert_close(logits, expected, atol=1e-6, rtol=0)


def test_sampling_follows_the_softmax():
    """Guards the Gumbel trick: frequencies at a temperature against the softmax probabilities."""
    network = small_network()
    observation = {key: np.repeat(array[:1], 4000, 0) for key, array in observations(steps=0).items()}
    with torch.no_grad():
        logits, _, batch = decide(network, observation)
    generator = torch.Generator().manual_seed(0)
    for temperature in (1.0, 0.1):
        action = choose(logits, batch, temperature, generator)
        own = batch.candidate_graph == 0
        expected = torch.softmax(logits[own] / temperature, 0)
        assert own.sum() > 1
        counts = torch.stack([(action == slot).double().mean() for slot in batch.candidate_slot[own]])
        torch.testing.assert_close(counts.float(), expected, atol=0.03, rtol=0)


def test_seeds_temperatures_and_greedy_slots():
    """Guards determinism, the spread of samples, and the greedy slot among them."""
    network, instances = small_network(), shops(1, 6, 5) * 12
    sampled = play(LearnedPolicy(network, temperature=2.0, seed=1), instances)
    again = play(LearnedPolicy(network, temperature=2.0, seed=1), instances)
    np.testing.assert_array_equal(sampled, again)
    assert len(set(sampled)) > 1
    greedy = play(LearnedPolicy(network), instances)
    assert len(set(greedy)) == 1
    mask = np.arange(12) == 0
    mixed = play(LearnedPolicy(network, temperature=2.0, greedy=mask, seed=1), instances)
    assert mixed[0] == greedy[0]
    assert len(set(mixed)) > 1


def test_policies_are_found_in_run_folders_and_files(tmp_path):
    """Guards what `evaluate` loads: the last checkpoint, its averaged weights, the scheme and the temperature."""
    network = small_network()
    meta = {
        "network": {**SMALL, "encode": "instance", "dropout": 0.0},
        "env": {"id": ENV_ID, "options": {"sgs": "active"}},
    }
    folder = tmp_path / "run" / "checkpoints"
    save_checkpoint(folder / "last.pt", {"network": network.state_dict()}, meta)
    assert load_policy(tmp_path / "run", ENV_ID).temperature == 1.0
    average = {name: tensor + 1.0 for name, tensor in network.state_dict().items()}
    tensors = {"network": network.state_dict(), "average": average}
    save_checkpoint(folder / "last.pt", tensors, {**meta, "temperature": 0.25})
    trained = load_policy(tmp_path / "run", ENV_ID)
    assert (trained.options, trained.temperature) == ({"sgs": "active"}, 0.25)
    assert torch.equal(weights(trained.network(network.schema)), weights(network) + 1.0)
    assert isinstance(trained.build(network.schema, greedy=True, seed=0), LearnedPolicy)
    assert trained.build(network.schema, greedy=False, seed=0).temperature == 0.25
    assert trained.build(network.schema, greedy=False, seed=0, temperature=2.0).temperature == 2.0
    assert trained.build(network.schema, greedy=True, seed=0, temperature=2.0).temperature == 0.0
    assert load_policy(folder / "last.pt", ENV_ID).options == {"sgs": "active"}
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_policy(tmp_path, ENV_ID)
    save_checkpoint(tmp_path / "odd.pt", {"weights": {}}, {})
    with pytest.raises(CheckpointError, match="no policy"):
        load_policy(tmp_path / "odd.pt", ENV_ID)


def test_the_policy_module_leaves_sb3_alone():
    """Guards the command line's start: evaluation does not load Stable-Baselines3, asking for its policy does."""
    code = (
        "import sys, makespan.agents.policy as p; assert 'stable_baselines3' not in sys.modules;"
        "p.GraphPolicy; assert 'stable_baselines3' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("env_id", "instance", "logits", "value"),
    [
        (ENV_ID, "ft06", [-6.283968, -7.555259], -0.03910144),
        (
            "makespan/UAMFleet-v0",
            "tiny-eval-000",
            [-7.366587, -5.737832, 2.872806, -7.415385],
            0.9842391,
        ),
    ],
)
def test_shipped_weights_say_what_they_said(env_id, instance, logits, value):
    """Guards faster ways to the same numbers: scores of the thirteenth decision, as first computed after training."""
    trained = load_policy("pretrained", env_id)
    env = make_batch(env_id, trained.options, [instance])
    network = trained.network(env.schema)
    observation, _ = env.reset(seed=0)
    with torch.inference_mode():
        for _ in range(12):
            scores, _, batch = decide(network, observation)
            observation, *_ = env.step(choose(scores, batch).numpy())
        scores, values, _ = decide(network, observation)
    torch.testing.assert_close(scores, torch.tensor(logits), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(values, torch.tensor([value]), rtol=1e-5, atol=1e-5)
