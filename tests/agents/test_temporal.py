"""The temporal encoder of time series among features, against a transformer layer written out by hand."""

import numpy as np
import pytest
import torch

from makespan.agents import temporal
from makespan.agents.config import NetworkConfig
from makespan.agents.network import ActorCritic
from makespan.agents.policy import LearnedPolicy
from makespan.agents.temporal import SeriesTable, TemporalEncoder, temporal_encoders
from makespan.envs.core.graph import EdgeType, Feature, NodeType, raw, series_of
from makespan.envs.fleet.gymnasium_env import UAMFleetVectorEnv
from makespan.envs.fleet.schema import fleet_schema

FEATURES = (
    Feature("length", "a plain column", static=True),
    Feature("a_0", "now", series="a"),
    raw("minutes", "not for networks"),
    Feature("b_0", "now", series="b"),
    Feature("a_1", "then", series="a"),
    Feature("b_1", "then", series="b"),
    Feature("closed", "a plain column"),
)


def test_series_are_found_by_name_and_in_order():
    """Guards the lookup: columns of each series, whatever stands between them, and unlike lengths refused by name."""
    assert series_of(FEATURES).tolist() == [[1, 4], [3, 5]]
    assert series_of(FEATURES[:1]).size == 0
    with pytest.raises(ValueError, match=r"lengths \{'a': 2, 'b': 1\}"):
        series_of(FEATURES[:5])


def by_hand(encoder, x):
    """What the encoder's description says, row by row in NumPy: tokens, one layer of attention, mean over time."""
    weights = {name: tensor.detach().double().numpy() for name, tensor in encoder.named_parameters()}

    def norm(y, number):
        y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
        return y * weights[f"norms.{number}.weight"] + weights[f"norms.{number}.bias"]

    def linear(y, name, bias="bias", weight="weight"):
        return y @ weights[f"{name}{weight}"].T + weights[f"{name}{bias}"]

    out = []
    for length, a0, b0, a1, b1, closed in x:  # network columns: the raw one is gone
        tokens = linear(np.array([[a0, b0], [a1, b1]]), "token.") + weights["position"]
        q, k, v = np.split(linear(norm(tokens, 0), "attention.in_proj_", "bias", "weight"), 3, axis=-1)
        heads = []
        for head in np.split(np.arange(q.shape[1]), 2):
            score = q[:, head] @ k[:, head].T / np.sqrt(head.size)
            share = np.exp(score - score.max(-1, keepdims=True))
            heads.append(share / share.sum(-1, keepdims=True) @ v[:, head])
        tokens = tokens + linear(np.concatenate(heads, -1), "attention.out_proj.")
        hidden = linear(norm(tokens, 1), "update.0.")
        tokens = tokens + linear(hidden / (1 + np.exp(-hidden)), "update.2.")
        out.append(np.concatenate([[length, closed], tokens.mean(axis=0)]))
    return np.array(out)


def test_forward_is_the_transformer_it_says():
    """Guards the arithmetic and the order of tokens and channels, with rows that share their series and rows that do not."""
    torch.manual_seed(0)
    encoder = TemporalEncoder(FEATURES, 8, static_only=False)
    x = np.random.default_rng(0).random((6, 6)).astype(np.float32)
    x[3, 1:5] = x[0, 1:5]  # equal series, unlike plain columns
    out = encoder(torch.from_numpy(x)).rows().detach().numpy()
    assert out.shape == (6, encoder.size) == (6, 10)
    np.testing.assert_allclose(out, by_hand(encoder, x.astype(np.float64)), atol=1e-5)


def test_equal_series_are_encoded_once():
    """Guards the saving: the tokens of a batch with two kinds of series are two, and gradients of all rows add up."""
    encoder = TemporalEncoder(FEATURES, 8, static_only=False)
    seen = []
    encoder.token.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[0]))
    x = torch.rand(2, 6)[torch.tensor([0, 1, 1, 0, 1])]
    encoder(x).rows().sum().backward()
    assert seen == [2]
    shared = encoder.token.weight.grad.clone()
    encoder.zero_grad()
    for row in x:
        encoder(row[None]).rows().sum().backward()
    torch.testing.assert_close(encoder.token.weight.grad, shared, atol=1e-5, rtol=1e-4)


def test_a_table_keeps_what_is_encoded():
    """Guards the policy's saving: known series are not encoded again, new ones are, and what comes out is the same."""
    torch.manual_seed(0)
    encoder, table, seen = TemporalEncoder(FEATURES, 8, static_only=False), SeriesTable(), []
    encoder.token.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[0]))
    x = torch.rand(40, 6)
    with torch.inference_mode():
        expected = encoder(x).rows()
        for rows, new in ((slice(0, 3), 3), (slice(1, 30), 27), (slice(0, 40), 10), (slice(0, 40), 0)):
            seen.clear()
            torch.testing.assert_close(encoder(x[rows], table).rows(), expected[rows])
            assert sum(seen) == new


def test_a_full_table_begins_anew(monkeypatch):
    """Guards the bound on memory: beyond it series are forgotten, and encoded as before when they come again."""
    monkeypatch.setattr(temporal, "KEPT", 5)
    encoder, table = TemporalEncoder(FEATURES, 8, static_only=False), SeriesTable()
    x = torch.rand(9, 6)
    with torch.inference_mode():
        expected = encoder(x).rows()
        for rows in (slice(0, 6), slice(6, 9), slice(0, 9)):
            torch.testing.assert_close(encoder(x[rows], table).rows(), expected[rows])
    assert len(table.embedding) == 9


def test_only_types_with_series_have_an_encoder():
    """Guards families without series, and `temporal: 0`: their networks, and so their stored weights, stay as they were."""
    node = NodeType("n", 3, FEATURES[:1], "task")
    edge = EdgeType("e", "n", "n", 3, FEATURES)
    assert list(temporal_encoders([node, edge], 8, static_only=False)) == ["e"]
    assert list(temporal_encoders([node, edge], 8, static_only=True)) == []
    assert list(temporal_encoders([node, edge], 0, static_only=False)) == []
    network = ActorCritic(
        fleet_schema(4, 8), NetworkConfig(width=8, depth=1, rounds=1, encode="step", temporal=0)
    )
    assert not any("series" in name for name in network.state_dict())


def test_the_forecast_reaches_the_fleets_decisions():
    """Guards that the fleet's demand and fare series are marked, and that a policy's scores depend on them."""
    edge = fleet_schema(4, 8).edge("route")
    names = [[edge.features[column].name for column in row] for row in series_of(edge.features)]
    assert [row[0] for row in names] == ["demand_0", "fare_0"]
    assert all(row[-1].endswith("_7") for row in names)
    envs = UAMFleetVectorEnv(4, "tiny")
    observation, _ = envs.reset(seed=0)
    torch.manual_seed(0)
    network = ActorCritic(envs.schema, NetworkConfig(width=8, depth=1, rounds=1, encode="step")).eval()
    assert LearnedPolicy(network).act(observation).shape == (4,)
    logits = network.decide(*_encoded(network, observation))[0]
    changed = {key: array.copy() for key, array in observation.items()}
    changed["route_x"][:, :, series_of(edge.features)[0, -1]] += 1.0  # demand in four hours
    assert not torch.allclose(logits, network.decide(*_encoded(network, changed))[0])


def _encoded(network, observation):
    instances, decisions = network.reader.both(observation)
    return network.encode(instances), decisions
