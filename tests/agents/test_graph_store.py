"""Decisions kept without their padding give the network what the padded ones give."""

from __future__ import annotations

import numpy as np
import pytest
import queue_family
import torch
from queue_family import queues
from small_shops import ENV_ID as SHOP_ID
from small_shops import shops, small_network

from makespan.agents.config import NetworkConfig
from makespan.agents.demonstrations import make_batch
from makespan.agents.graph_store import GraphStore, Ragged
from makespan.agents.network import ActorCritic


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    queue_family.register(monkeypatch)


def test_ragged_rows_are_selected_in_any_order():
    """Rows of lengths 2, 0 and 3, chosen with repetition, against slices."""
    table = Ragged(np.arange(5), np.array([2, 0, 3]))
    chosen = table.select(np.array([2, 0, 1, 2]))
    assert chosen.values.tolist() == [2, 3, 4, 0, 1, 2, 3, 4]
    assert chosen.counts.tolist() == [3, 2, 0, 3]
    assert chosen.owner.tolist() == [0, 0, 0, 1, 1, 3, 3, 3]
    both = Ragged.joined([table, chosen])
    assert both.select(np.array([3])).values.tolist() == [2, 3, 4]


def played(env_id, instances, network, steps=9):
    """Stores and padded observations of some steps of random play."""
    env = make_batch(env_id, {}, instances)
    observation, _ = env.reset(seed=0)
    stores, seen = [], []
    for _ in range(steps):
        stores.append(GraphStore.of(network.schema, *network.reader.both(observation)))
        seen.append({key: array.copy() for key, array in observation.items()})
        observation, *_ = env.step(observation["action_mask"].argmax(axis=1))
    whole = {key: np.concatenate([one[key] for one in seen]) for key in seen[0]}
    return GraphStore.joined(stores), whole


@pytest.mark.parametrize("family", ["queue", "jobshop"])
def test_selected_decisions_are_the_padded_ones(family):
    """Any selection gives the logits, values, action numbers and decisions that its observations give."""
    if family == "queue":
        env_id, instances = queue_family.ENV_ID, queues(5, num_jobs=10)
        torch.manual_seed(0)
        config = NetworkConfig(width=16, depth=2, rounds=1, head_width=16, encode="step")
        network = ActorCritic(queue_family.schema_of(3), config).eval()
    else:
        env_id, instances, network = SHOP_ID, [*shops(3), *shops(2, 3, 3)], small_network(encode="step")
    store, whole = played(env_id, instances, network)
    assert len(store) == 45
    rows = np.random.default_rng(0).permutation(45)[:20]
    with torch.no_grad():
        expected, values, wanted = network({key: array[rows] for key, array in whole.items()})
        instances, decisions = store.select(rows)
        logits, found = network.decide(network.encode(instances), decisions)
        wanted_only, _ = network.decide(network.encode(instances, decisions.wanted), decisions)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(wanted_only, expected)
    torch.testing.assert_close(found, values)
    assert torch.equal(decisions.candidate_slot, wanted.candidate_slot)
    assert torch.equal(decisions.candidate_graph, wanted.candidate_graph)


def test_padding_costs_nothing():
    """A decision takes the bytes of what it shows: a quarter of an environment with four times as many slots."""
    torch.manual_seed(0)
    config = NetworkConfig(width=8, depth=1, rounds=1, head_width=8, encode="step")
    sizes = {}
    for num_slots in (8, 64):
        network = ActorCritic(queue_family.schema_of(num_slots), config).eval()
        store, whole = played(queue_family.ENV_ID, queues(4, num_slots=num_slots, gap=20.0), network)
        sizes[num_slots] = store.nbytes
        assert store.nbytes < sum(array.nbytes for array in whole.values())
    assert sizes[8] == sizes[64]  # the same jobs in the same slots
