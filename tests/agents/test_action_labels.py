"""Rules and registered policies as teachers, by what they do in every state: cloning, DAgger, cache, resume."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import queue_family
import torch
from queue_family import ENV_ID, queues
from shop_labels import solved
from small_shops import ENV_ID as SHOP_ID
from small_shops import small_network

from makespan.agents.action_labels import Student, action_labels
from makespan.agents.config import EnvConfig, ImitationConfig, NetworkConfig, ShapeConfig
from makespan.agents.demonstrations import make_batch, replay_actions
from makespan.agents.imitation import decisions_of, stream
from makespan.agents.imitator import Imitator
from makespan.agents.labels import draw
from makespan.agents.network import ActorCritic
from makespan.agents.policy import LearnedPolicy
from makespan.envs.core.errors import MakespanError
from makespan.envs.core.policy import rule_policy
from makespan.envs.registration import get_family

ENV = EnvConfig(ENV_ID)
SHAPES = (
    ShapeConfig("stream", {"num_jobs": 5}, count=3, teacher="srpt"),
    ShapeConfig("stream", {"num_jobs": 7, "num_slots": 2}, count=2, teacher="shortest[skew=0.0]"),
)


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    queue_family.register(monkeypatch)
    torch.set_num_threads(1)


def network(seed=0):
    torch.manual_seed(seed)
    config = NetworkConfig(width=16, depth=1, rounds=1, head_width=16, encode="step")
    return ActorCritic(queue_family.schema_of(3), config)


def objectives(policy, instances):
    """What a policy pays on each instance."""
    env = make_batch(ENV_ID, {}, instances)
    observation, _ = env.reset(seed=0)
    ended = np.zeros(len(instances), bool)
    while not ended.all():
        observation, _, terminated, truncated, _ = env.step(policy.act(observation))
        ended |= terminated | truncated
    return np.array([env.objective(slot) for slot in range(len(instances))])


def test_the_teachers_own_episodes():
    """The teacher plays and agrees with itself; what it pays is what the rule pays, instance by instance."""
    labels = action_labels(ENV, queue_family.QUEUE, SHAPES, 0)
    assert [len(group) for group in labels] == [3, 2]
    for group, shape, num_slots in zip(labels, SHAPES, (3, 2), strict=True):
        assert group.instances[0].num_jobs == shape.parameters["num_jobs"]
        for played, answer in zip(group.played, group.answers, strict=True):
            assert len(played) == 2 * group.instances[0].num_jobs
            assert played.tolist() == answer.tolist()
        _, paid = replay_actions(ENV_ID, {}, group.instances, group.played, group.answers, encode="step")
        srpt = rule_policy("queue", "srpt", queue_family.schema_of(num_slots))
        assert paid.tolist() == objectives(srpt, group.instances).tolist()


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_student_plays_and_the_teacher_comments(beta):
    """Actions are the student's (the teacher's with probability beta); every state has the teacher's answer."""
    net = network()
    (group, _) = action_labels(ENV, queue_family.QUEUE, SHAPES, 0, student=Student(net, beta, "s"))
    decisions, _ = replay_actions(ENV_ID, {}, group.instances, group.played, group.answers, encode="step")
    for e, (played, answers) in enumerate(zip(group.played, group.answers, strict=True)):
        env = make_batch(ENV_ID, {}, group.instances[e : e + 1])
        observation, _ = env.reset(seed=0)
        student, srpt = LearnedPolicy(net), rule_policy("queue", "srpt", env.schema)
        own = []
        for action, answer in zip(played, answers, strict=True):
            assert srpt.act(observation)[0] == answer
            own.append(int(student.act(observation)[0]))
            observation, _, terminated, _, _ = env.step(np.array([action]))
        assert terminated[0]
        assert decisions.action[decisions.instance == e].tolist() == answers.tolist()
        if beta == 0.0:
            assert played.tolist() == own
        if beta == 1.0:
            assert played.tolist() == answers.tolist()
        assert own != answers.tolist() or beta != 0.5  # the untrained student disagrees somewhere


def test_labels_come_from_the_cache(tmp_path, monkeypatch):
    """A second call reads what the first has written; another student, beta, option or shape does not; damage is mended."""
    first = action_labels(ENV, queue_family.QUEUE, SHAPES, 0, cache_dir=tmp_path)
    files = sorted(tmp_path.glob("*.npz"))
    assert len(files) == 2
    assert files[0].name.startswith("stream-5-00000-")
    with monkeypatch.context() as patch:
        patch.setattr("makespan.agents.action_labels._act", None)
        again = action_labels(ENV, queue_family.QUEUE, SHAPES, 0, cache_dir=tmp_path)
    for one, other in zip(first, again, strict=True):
        assert all(map(np.array_equal, one.answers, other.answers))
    files[0].write_bytes(files[0].read_bytes()[:100])
    mended = action_labels(ENV, queue_family.QUEUE, SHAPES, 0, cache_dir=tmp_path)
    assert all(map(np.array_equal, first[0].answers, mended[0].answers))
    action_labels(
        ENV, queue_family.QUEUE, SHAPES, 0, student=Student(network(), 0.5, "a"), cache_dir=tmp_path
    )
    action_labels(
        ENV, queue_family.QUEUE, SHAPES, 0, student=Student(network(), 0.2, "a"), cache_dir=tmp_path
    )
    other = (replace(SHAPES[0], teacher="fcfs"),)
    action_labels(ENV, queue_family.QUEUE, other, 0, cache_dir=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 7


def test_labels_of_another_world_are_refused():
    """Recorded actions that do not end their episodes are an error, not silently wrong labels."""
    group = action_labels(ENV, queue_family.QUEUE, SHAPES[:1], 0)[0]
    with pytest.raises(MakespanError, match="lead elsewhere"):
        replay_actions(ENV_ID, {}, queues(3, num_jobs=8), group.played, group.answers)


def test_long_episodes_are_replayed_in_small_parts(monkeypatch):
    """Parts hold few decisions, however many instances that is, and a pass shows every decision once."""
    monkeypatch.setattr("makespan.agents.imitation.CHUNK_DECISIONS", 10)
    labels = action_labels(ENV, queue_family.QUEUE, SHAPES, 0)
    batches = list(
        stream(
            ENV_ID,
            {},
            labels,
            batch_size=4,
            instances_per_batch=2,
            encode="step",
            rng=np.random.default_rng(0),
        )
    )
    assert {batch.decisions.num_instances for batch in batches} == {1}
    assert sum(len(batch.rows) for batch in batches) == 3 * 10 + 2 * 14


CONFIG = ImitationConfig(
    shapes=(ShapeConfig("stream", {"num_jobs": 8}, count=24, teacher="srpt"),),
    epochs=6,
    batch_size=32,
    learning_rate=1e-2,
    dagger_rounds=1,
    dagger_epochs=2,
)


def test_students_learn_the_rule(tmp_path):
    """Cloning and DAgger bring a network from far off to within a few per cent of the rule on unseen instances."""
    net, test = network(), queues(20, seed=5)
    srpt = rule_policy("queue", "srpt", queue_family.schema_of(3))
    before = objectives(LearnedPolicy(net), test).mean()
    imitator = Imitator(net, CONFIG, ENV, 0, tmp_path)
    metrics = {}
    while imitator.done < imitator.num_sections:
        metrics = imitator.section()
    imitator.finish()
    assert metrics["decisions_per_cpu_s"] > 0
    after, rule = objectives(LearnedPolicy(net), test).mean(), objectives(srpt, test).mean()
    assert after < 1.03 * rule
    assert after < 0.5 * (before + rule) or before < 1.05 * rule


def test_a_resumed_imitation_is_bitwise_equal(tmp_path):
    """Stopped in DAgger and restored, with and without the cached labels, the weights are those of an unbroken run."""

    def run(net, folder, sections, state=None):
        imitator = Imitator(net, replace(CONFIG, epochs=2), ENV, 0, folder)
        if state is not None:
            imitator.restore(*state)
        while imitator.done < sections:
            imitator.section()
        return imitator

    whole = run(network(), tmp_path / "a", 4)
    cut = run(network(), tmp_path / "b", 3)
    for folder in ("b", "c"):
        resumed = run(network(seed=4), tmp_path / folder, 4, deepcopy(cut.state()))
        for name, tensor in whole.network.state_dict().items():
            assert torch.equal(tensor, resumed.network.state_dict()[name])


def test_rules_teach_networks_that_encode_once_an_instance():
    """The job shop's network learns from a rule by the same labels, in the student's own mode of the environment."""
    env, family = EnvConfig(SHOP_ID, {"sgs": "active"}), get_family(SHOP_ID)
    shape = ShapeConfig("uniform", {"num_jobs": 4, "num_machines": 3}, count=3, teacher="mwkr")
    (group,) = action_labels(env, family, [shape], 0)
    decisions = decisions_of(SHOP_ID, env.options, group, "instance")
    assert decisions.graphs is None
    assert len(decisions) == sum(map(len, group.answers))
    batch = make_batch(SHOP_ID, env.options, group.instances)
    observation, _ = batch.reset(seed=0)
    mwkr = rule_policy(family.name, "mwkr", batch.schema)
    assert [answers[0] for answers in group.answers] == mwkr.act(observation).tolist()
    config = ImitationConfig(shapes=(shape,), epochs=1)
    imitator = Imitator(small_network(), config, env, 0, "")
    assert imitator.section()["loss"] > 0


def test_teachers_may_be_mixed(monkeypatch):
    """Solvers' schedules and rules' actions stand side by side, in the order of the shapes."""
    family = get_family(SHOP_ID)

    def label(env_id, shapes, seed, **options):
        return [solved(draw(family, shape, seed, 0, shape.count)) for shape in shapes]

    monkeypatch.setattr("makespan.agents.imitator.label", label)
    shapes = tuple(
        ShapeConfig("uniform", {"num_jobs": 3, "num_machines": 3}, count=count, teacher=teacher)
        for count, teacher in ((2, "spt"), (3, "tabu_search"), (4, "random"))
    )
    config = ImitationConfig(shapes=shapes, epochs=1, mirror=False, workers=1)
    imitator = Imitator(small_network(), config, EnvConfig(SHOP_ID, {"sgs": "active"}), 0, "")
    groups = imitator._labels
    assert [len(group) for group in groups] == [2, 3, 4]
    assert [bool(group.answers) for group in groups] == [True, False, True]
    assert groups[1].instances == draw(family, shapes[1], 0, 0, 3)
    imitator.section()
