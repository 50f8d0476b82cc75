"""Self-labelling learns from the best of its own samples, and resumes exactly."""

import numpy as np
import pytest
import torch

from makespan.agents.config import EnvConfig, NetworkConfig, SelfLabellingConfig, ShapeConfig, TrainConfig
from makespan.agents.self_labelling import SelfLabeller
from makespan.agents.training import make_network

ENV = EnvConfig(options={"sgs": "active"})


def learner(iterations: int = 6) -> SelfLabeller:
    """A small learner on 4 x 3 shops, always the same."""
    config = TrainConfig(network=NetworkConfig(width=8, depth=1, rounds=1, head_width=8))
    shapes = (
        ShapeConfig("uniform", {"num_jobs": 4, "num_machines": 3}),
        ShapeConfig("uniform", {"num_jobs": 3, "num_machines": 3}),
    )
    settings = SelfLabellingConfig(
        iterations=iterations, shapes=shapes, samples=8, batch=4, learning_rate=1e-2
    )
    return SelfLabeller(make_network(config), settings, ENV, seed=3)


def weights(of: SelfLabeller) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in of.network.state_dict().items()}


def test_an_iteration_labels_and_learns():
    """The best of the samples is never worse than greedy, and the weights move."""
    subject = learner()
    before = weights(subject)
    metrics = subject.iterate()
    assert metrics["best_of_gain_pct"] >= 0.0
    assert np.isfinite(metrics["loss"])
    assert any(not torch.equal(before[name], tensor) for name, tensor in weights(subject).items())


def test_a_resumed_learner_ends_with_the_same_weights():
    """Six iterations in one go equal two, a restored state in a fresh learner, and four more."""
    whole = learner()
    for _ in range(6):
        whole.iterate()
    first = learner()
    for _ in range(2):
        first.iterate()
    tensors, meta = first.state()
    saved = {
        key: {name: tensor.clone() for name, tensor in part.items()} if key != "optimizer" else part
        for key, part in tensors.items()
    }
    second = learner()
    second.restore(saved, meta)
    for _ in range(4):
        second.iterate()
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(second)[name]), name
    assert all(
        torch.equal(whole.average.weights[name], second.average.weights[name]) for name in weights(whole)
    )


def test_finishing_takes_the_average():
    """The averaged weights are what the run ends with."""
    subject = learner()
    subject.iterate()
    subject.finish()
    for name, tensor in weights(subject).items():
        assert torch.equal(tensor, subject.average.weights[name])


def test_it_learns_on_fixed_shapes():
    """After a few dozen iterations the greedy schedules are better than those of the fresh network."""
    from makespan.agents.labels import draw
    from makespan.agents.search import best_of

    subject = learner(iterations=40)
    shops = draw(subject.family, subject.config.shapes[0], 99, 0, 40)
    fresh = best_of(subject.network, ENV.id, ENV.options, shops, 1).objectives.mean()
    for _ in range(40):
        subject.iterate()
    subject.finish()
    assert best_of(subject.network, ENV.id, ENV.options, shops, 1).objectives.mean() < fresh


def test_shapes_are_required():
    """A stage that is switched on without shapes is refused by name."""
    from makespan.agents.typed_config import ConfigError

    with pytest.raises(ConfigError, match="shapes"):
        SelfLabellingConfig(iterations=1)
