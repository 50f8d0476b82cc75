"""Behaviour cloning learns, follows its loss's formula, sees every decision, and can be interrupted anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from shop_labels import JOBSHOP_ID, shops, solved, tiny_network

from makespan.agents import imitation
from makespan.agents.checkpoint import load_checkpoint, save_checkpoint
from makespan.agents.config import EnvConfig, ImitationConfig
from makespan.agents.demonstrations import minibatches, replay
from makespan.agents.imitation import Cloner, Minibatch, MovingAverage, cloning_loss, mirrored, score, stream
from makespan.agents.labels import Labels
from makespan.agents.network import ActorCritic
from makespan.envs.jobshop.family import JOBSHOP
from makespan.envs.jobshop.validator import validate

CONFIG = ImitationConfig(epochs=2, batch_size=16, instances_per_batch=4, ema=0.9)


def some_minibatch() -> Minibatch:
    """Decisions of four shops."""
    labels = solved(shops(8, 4, 4))
    decisions, _ = replay(JOBSHOP_ID, {"sgs": "active"}, labels.instances, labels.schedules)
    instances, rows = next(minibatches(decisions, 4, 24, np.random.default_rng(0)))
    return Minibatch(decisions, instances, rows)


@pytest.mark.parametrize("encode", ["instance", "step"])
def test_cloning_learns(encode: str) -> None:
    """A few passes over a few shops lower the loss and raise the accuracy."""
    network = tiny_network(encode=encode)
    config = ImitationConfig(epochs=12, batch_size=32, instances_per_batch=4, learning_rate=5e-3)
    cloner = Cloner(network, config, EnvConfig(options={"sgs": "active"}), [solved(shops(12, 4, 4))], 0)
    rows = [cloner.section() for _ in range(cloner.num_sections)]
    assert rows[-1]["loss"] < 0.9 * rows[0]["loss"]
    assert rows[-1]["accuracy"] > rows[0]["accuracy"] + 0.03


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_smoothed_cross_entropy(smoothing: float) -> None:
    """Decision by decision: (1 - e) log p(label) + e mean of log p over the allowed candidates."""
    network, batch = tiny_network(), some_minibatch()
    network.eval()
    loss, hits = cloning_loss(network, batch, smoothing)
    logits, _, decided = score(network, batch)
    terms, right = [], []
    for decision, action in enumerate(batch.decisions.action[batch.rows]):
        mine = decided.candidate_graph == decision
        log_p = torch.log_softmax(logits[mine], 0)
        label = int((decided.candidate_slot[mine] == action).nonzero())
        terms.append(-(1 - smoothing) * log_p[label] - smoothing * log_p.mean())
        right.append(bool(log_p[label] == log_p.max()))
    torch.testing.assert_close(loss, torch.stack(terms).mean())
    assert hits == pytest.approx(np.mean(right))


def test_the_stream_shows_every_decision_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the chunks and shapes, one pass has each decision once, and none of what a student played."""
    monkeypatch.setattr(imitation, "CHUNK", 3)
    monkeypatch.setattr(imitation, "OPEN_CHUNKS", 2)
    small, large = solved(shops(7)), solved(shops(5, 4, 4))
    decisions, _ = replay(JOBSHOP_ID, {"sgs": "active"}, large.instances, large.schedules)
    played = [decisions.action[decisions.instance == i][: i + 1] for i in range(len(large))]
    begun = Labels(large.instances, large.schedules, played)
    expected = len(replay(JOBSHOP_ID, {"sgs": "active"}, small.instances, small.schedules)[0])
    expected += len(decisions) - sum(begun.first)
    batches = stream(
        JOBSHOP_ID,
        {"sgs": "active"},
        [small, begun],
        batch_size=8,
        instances_per_batch=2,
        encode="instance",
        rng=np.random.default_rng(0),
    )
    seen = [(id(batch.decisions), row) for batch in list(batches) for row in batch.rows.tolist()]
    assert len(seen) == len(set(seen)) == expected


def test_mirror_images_are_schedules_as_good() -> None:
    """The reversed schedule is feasible in the reversed shop and ends at the same time; begun labels have none."""
    labels = solved(shops(6, 4, 3))
    images = mirrored(JOBSHOP, labels)
    for shop, image, schedule, original in zip(
        images.instances, labels.instances, images.schedules, labels.schedules, strict=True
    ):
        assert validate(shop, schedule) == original.makespan
        assert shop != image
    begun = Labels(labels.instances, labels.schedules, [np.zeros(1, np.int64)] * len(labels))
    with pytest.raises(ValueError, match="no mirror image"):
        mirrored(JOBSHOP, begun)


def assert_equal_weights(one: ActorCritic, other: ActorCritic) -> None:
    """Bit for bit."""
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_an_interrupted_cloning_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Sections, checkpoint, restore, sections equal all sections in a row, dropout and moving average included."""
    monkeypatch.setattr(imitation, "SECTION", 5)
    labels = [solved(shops(9)), solved(shops(6, 4, 4))]

    def fresh() -> Cloner:
        return Cloner(tiny_network(dropout=0.1), CONFIG, EnvConfig(options={"sgs": "active"}), labels, 3)

    straight = fresh()
    assert straight.num_sections == 6
    for _ in range(straight.num_sections):
        last = straight.section()
    broken = fresh()
    for _ in range(stop):
        broken.section()
    path = save_checkpoint(tmp_path / "state", *broken.state())
    torch.manual_seed(99)
    resumed = fresh()
    resumed.restore(*load_checkpoint(path))
    while resumed.done < resumed.num_sections:
        row = resumed.section()
    del row["decisions_per_cpu_s"], last["decisions_per_cpu_s"]  # what the clock says
    assert row == last
    assert_equal_weights(straight.network, resumed.network)
    straight.finish()
    resumed.finish()
    assert_equal_weights(straight.network, resumed.network)


def test_finish_leaves_the_moving_average() -> None:
    """The average follows its formula, warm-up included, and is what remains in the network."""
    network = tiny_network()
    average = MovingAverage(network, 0.9)
    name, first = next((name, tensor.clone()) for name, tensor in network.state_dict().items())
    with torch.no_grad():
        network.get_parameter(name).add_(1.0)
    average.update(network)  # decay (1 + 1) / (10 + 1)
    torch.testing.assert_close(average.weights[name], first + 1.0 - 2.0 / 11.0)
    cloner = Cloner(network, CONFIG, EnvConfig(options={"sgs": "active"}), [solved(shops(2))], 0, average)
    cloner.finish()
    torch.testing.assert_close(network.state_dict()[name], first + 1.0 - 2.0 / 11.0)


def test_a_later_round_warms_its_rate_up_again() -> None:
    """A cloner that takes an average over starts with a small step, as its optimiser knows nothing yet."""
    network = tiny_network()
    average = MovingAverage(network, 0.999)
    average.updates = 5000
    config = ImitationConfig(epochs=1, schedule="constant")
    first = Cloner(network, config, EnvConfig(options={"sgs": "active"}), [solved(shops(4))], 0)
    later = Cloner(network, config, EnvConfig(options={"sgs": "active"}), [solved(shops(4))], 0, average)
    assert first.section()["learning_rate"] == later.section()["learning_rate"] < config.learning_rate
