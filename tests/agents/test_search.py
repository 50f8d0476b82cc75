"""Best-of-N and beam search around a network."""

import numpy as np
import pytest
from small_shops import ENV_ID, shops, small_network

from makespan.agents import search
from makespan.agents.policy import LearnedPolicy
from makespan.agents.search import beam, best_of, tune_temperature
from makespan.agents.trials import roll_out, vector_env_maker
from makespan.envs.jobshop.generator import make_generator
from makespan.envs.jobshop.validator import validate

MIXED = [*shops(3), *shops(2, 5, 4, seed=1), *shops(1, seed=2)]


def greedy(network, instances, sgs="active"):
    """Objectives of the greedy network, by the evaluation's own runner."""
    objectives = []
    for instance in instances:
        env = vector_env_maker(ENV_ID)([instance], {"sgs": sgs})
        objectives.append(roll_out(env, LearnedPolicy(network), [instance])[0][0])
    return np.array(objectives)


@pytest.mark.parametrize("encode", ["instance", "step"])
def test_best_of_contains_the_greedy_schedule(encode):
    """Guards sample 0 against noise, and best-of-N against being worse than greedy; shapes keep their order."""
    network = small_network(encode=encode)
    found = best_of(network, ENV_ID, {"sgs": "active"}, MIXED, samples=8, temperature=1.0)
    np.testing.assert_array_equal(found.samples[:, 0], greedy(network, MIXED))
    np.testing.assert_array_equal(found.objectives, found.samples.min(axis=1))
    assert (found.objectives < found.samples[:, 0]).any()
    assert (found.seconds > 0.0).all()
    assert (found.decisions > 0).all()


@pytest.mark.parametrize("sgs", ["non_delay", "active", "append"])
def test_schedules_are_what_they_claim(sgs):
    """Guards the schedules of both searches by the independent validator."""
    network = small_network()
    for found in (
        best_of(network, ENV_ID, {"sgs": sgs}, MIXED, samples=4),
        beam(network, ENV_ID, {"sgs": sgs}, MIXED, width=3),
    ):
        for instance, schedule, objective in zip(MIXED, found.schedules, found.objectives, strict=True):
            assert validate(instance, schedule) == objective


def test_best_of_is_repeatable_and_seeded():
    """Guards determinism: equal seeds, equal samples; another seed, other samples."""
    network = small_network()
    first, again, other = (
        best_of(network, ENV_ID, {"sgs": "active"}, MIXED, samples=8, seed=seed).samples for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first[:, 0] == other[:, 0]).all()
    assert (first != other).any()


def test_small_batches_find_every_sample(monkeypatch):
    """Guards the memory bound: chunks that split an instance's samples still yield all of them."""
    monkeypatch.setattr(search, "MAX_SLOTS", 5)
    network = small_network()
    found = best_of(network, ENV_ID, {"sgs": "active"}, MIXED, samples=7)
    assert np.isfinite(found.samples).all()
    np.testing.assert_array_equal(found.samples[:, 0], greedy(network, MIXED))


def test_an_instance_is_encoded_once_for_its_samples():
    """Guards the speed of sampling: one encoding an instance, not one a sample or a decision."""
    network, encoded = small_network(), []
    network.deep.register_forward_hook(lambda _, inputs, __: encoded.append(inputs[0].num_graphs))
    best_of(network, ENV_ID, {"sgs": "active"}, shops(3), samples=6)
    assert encoded == [3]


@pytest.mark.parametrize("score", ["log_probability", "bound"])
@pytest.mark.parametrize("width", [1, 4, 16])
def test_beam_is_never_worse_than_greedy(score, width):
    """Guards the greedy schedule's place in every beam."""
    network = small_network()
    found = beam(network, ENV_ID, {"sgs": "active"}, MIXED, width, score=score)
    np.testing.assert_array_equal(found.samples[:, 0], greedy(network, MIXED))
    assert (found.objectives <= found.samples[:, 0]).all()


def test_a_wide_beam_is_exhaustive():
    """Guards pruning and deduplication: a beam wider than the search tree finds the known optimum of the toy shop."""
    toy = make_generator("toy").sample(np.random.default_rng(0))
    small = shops(4, 3, 2, seed=5)
    network = small_network()
    wide = beam(network, ENV_ID, {"sgs": "active"}, [toy, *small], 256)
    sampled = best_of(network, ENV_ID, {"sgs": "active"}, [toy, *small], samples=512, temperature=5.0)
    np.testing.assert_array_equal(wide.objectives, np.minimum(sampled.objectives, wide.objectives))
    bound = beam(network, ENV_ID, {"sgs": "active"}, [toy, *small], 256, score="bound")
    np.testing.assert_array_equal(wide.objectives, bound.objectives)


def test_wider_beams_help():
    """Guards the search's worth: on average a wide beam beats the greedy schedule."""
    network, instances = small_network(), shops(8, 6, 5)
    found = beam(network, ENV_ID, {"sgs": "active"}, instances, 16)
    assert found.objectives.mean() < 0.99 * found.samples[:, 0].mean()


def test_networks_transfer_across_sizes():
    """Guards size-free weights: a network made for 4 x 3 searches 8 x 6 and a ragged pair alike."""
    found = best_of(small_network(), ENV_ID, {"sgs": "active"}, shops(2, 8, 6), samples=2)
    assert np.isfinite(found.objectives).all()


def test_temperature_is_tuned_by_the_best_of_n():
    """Guards the choice: the largest mean gain on the greedy schedule, which is never negative."""
    network = small_network()
    best, gains = tune_temperature(network, ENV_ID, {"sgs": "active"}, MIXED, (0.01, 0.5, 2.0), samples=8)
    assert set(gains) == {0.01, 0.5, 2.0}
    assert gains[best] == max(gains.values()) >= min(gains.values()) >= 0.0


def test_search_leaves_the_network_as_it_was():
    """Guards the network's training mode and gradients against the search."""
    network = small_network(dropout=0.5).train()
    best_of(network, ENV_ID, {"sgs": "active"}, shops(1), samples=2)
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"samples": 2, "temperature": 0.0}])
def test_useless_arguments_are_refused(wrong):
    """Guards against N identical greedy schedules passing for a search."""
    with pytest.raises(ValueError, match="samples"):
        best_of(small_network(), ENV_ID, {"sgs": "active"}, shops(1), **wrong)
    with pytest.raises(ValueError, match="width"):
        beam(small_network(), ENV_ID, {"sgs": "active"}, shops(1), 0)
