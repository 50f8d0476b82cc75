"""Nodes that come and go, time between decisions, episodes that the world cuts: from the engine to the network."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import queue_family
import torch
from gymnasium.vector import AutoresetMode
from queue_family import ENV_ID, Queue, queues, srpt

from makespan.agents.config import NetworkConfig
from makespan.agents.network import ActorCritic
from makespan.agents.reader import GraphReader
from makespan.agents.search import beam, best_of, relative_gain
from makespan.agents.typed_config import ConfigError
from makespan.envs.core.graph import CandidateType, EdgeType, Feature, GraphSchema, NodeType
from makespan.envs.core.policy import RandomPolicy, Rule, RulePolicy
from makespan.envs.testing import check_scheduling_env

SMALL = NetworkConfig(width=16, depth=2, rounds=1, head_width=16, encode="step")
SRPT = RulePolicy(Rule("queue", "srpt", "", srpt), queue_family.schema_of(3))


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    queue_family.register(monkeypatch)


def batch(instances, **options):
    return gymnasium.make_vec(
        ENV_ID,
        num_envs=len(instances),
        vectorization_mode="vector_entry_point",
        instances=instances,
        **{"autoreset_mode": AutoresetMode.DISABLED, **options},
    ).unwrapped


def observations(steps=16):
    """Observations of twelve queues in the middle of things, with gaps among their slots."""
    env = batch(queues(12, num_jobs=12))
    observation, _ = env.reset(seed=0)
    policy = RandomPolicy(0)
    for _ in range(steps):
        observation, *_ = env.step(policy.act(observation))
    gaps = observation["job_mask"].sum(axis=1) < observation["job_count"][:, 0]
    assert gaps.any()
    return env.schema, observation


def compact(schema, observation):
    """The same decision graphs with their rows moved together, one by one through the ragged view."""
    dense = schema.zeros(len(observation["action_mask"]))
    for b in range(len(observation["action_mask"])):
        view = schema.ragged({key: array[b] for key, array in observation.items()})
        for node in schema.nodes:
            count = len(view[f"{node.name}_x"])
            dense[f"{node.name}_count"][b] = count
            dense[f"{node.name}_x"][b, :count] = view[f"{node.name}_x"]
            if node.parent is not None:
                dense[f"{node.name}_parent"][b, :count] = view[f"{node.name}_parent"]
            if node.sparse:
                dense[f"{node.name}_mask"][b, :count] = 1
        for edge in schema.edges:
            index = view[f"{edge.name}_index"]
            dense[f"{edge.name}_index"][b, :, : index.shape[1]] = index
            if edge.features:
                dense[f"{edge.name}_x"][b, : index.shape[1]] = view[f"{edge.name}_x"]
        count = len(view["action"])
        dense["candidate_index"][b, :count] = view["candidate_index"]
        dense["candidate_x"][b, :count] = view["candidate_x"]
        dense["action_mask"][b, :count] = 1
        dense["critic_x"][b] = view["critic_x"]
    return dense


def test_the_toy_keeps_the_suites_promises():
    """The toy of these tests is itself a sound environment: masks, clones, validator, return; horizon or none."""
    for horizon in (0, 20):
        env = gymnasium.make(ENV_ID, horizon=horizon)
        check_scheduling_env(env, return_of=lambda objective, bound: -objective)


def test_empty_rows_reach_no_tensor():
    """Nodes, edges, parents and pointers of a batch equal those of the ragged views, graph after graph."""
    schema, observation = observations()
    instances, decisions = GraphReader(schema, static_only=False).both(observation)
    first = instances.first
    views = [
        schema.ragged({key: array[b] for key, array in observation.items()})
        for b in range(len(observation["action_mask"]))
    ]
    for name in ("task", "job", "machine"):
        np.testing.assert_array_equal(
            instances.nodes[name].x, np.concatenate([v[f"{name}_x"] for v in views])
        )
        sizes = [len(view[f"{name}_x"]) for view in views]
        assert instances.nodes[name].first.tolist() == np.cumsum([0, *sizes[:-1]]).tolist()
    for name, source, target in (("before", "task", "task"), ("runs_on", "task", "machine")):
        expected = [
            (first[source][b] + s, first[target][b] + t)
            for b, view in enumerate(views)
            for s, t in view[f"{name}_index"].T.tolist()
        ]
        edges = instances.edges[name]
        assert sorted(zip(edges.source.tolist(), edges.target.tolist(), strict=True)) == sorted(
            (int(s), int(t)) for s, t in expected
        )
    parents = [int(first["job"][b]) + view["task_parent"] for b, view in enumerate(views)]
    assert instances.parents["task"].tolist() == np.concatenate(parents).tolist()
    pointed = [int(first["task"][b]) + view["candidate_index"][:, 0] for b, view in enumerate(views)]
    assert decisions.candidate_nodes["task"].row.tolist() == np.concatenate(pointed).tolist()
    assert decisions.candidate_slot.tolist() == np.concatenate([view["action"] for view in views]).tolist()


def test_where_a_job_sits_does_not_matter():
    """Logits and values are the same when all rows are moved together: no empty row is ever counted."""
    schema, observation = observations()
    torch.manual_seed(0)
    network = ActorCritic(schema, SMALL).eval()
    with torch.no_grad():
        logits, values, _ = network(observation)
        moved, moved_values, _ = network(compact(schema, observation))
    torch.testing.assert_close(moved, logits, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(moved_values, values, rtol=1e-5, atol=1e-6)


def test_rubbish_in_empty_rows_does_not_matter():
    """Whatever an engine leaves in the rows that are empty, and beyond the count, changes nothing."""
    schema, observation = observations()
    network = ActorCritic(schema, SMALL).eval()
    soiled = {key: array.copy() for key, array in observation.items()}
    for name in ("task", "job"):
        soiled[f"{name}_x"][soiled[f"{name}_mask"] == 0] = 77.0
    with torch.no_grad():
        torch.testing.assert_close(network(soiled)[0], network(observation)[0], rtol=0, atol=0)


def test_every_part_is_read():
    """Step encoding reads dynamic edges too: without the precedence edges the logits are others."""
    schema, observation = observations()
    network = ActorCritic(schema, SMALL).eval()
    for key in ("before_index", "runs_on_index", "frontier_index"):
        cut = {**observation, key: np.full_like(observation[key], -1)}
        with torch.no_grad():
            assert not torch.allclose(network(cut)[0], network(observation)[0], atol=1e-6), key


def test_edges_may_stand_in_any_order():
    """Pairs of frontier and eligibility edges are found however an engine orders the eligibility edges."""
    schema, observation = observations()
    network = ActorCritic(schema, SMALL).eval()
    turned = dict(observation)
    for key in ("runs_on_index", "runs_on_x"):
        axis = 2 if key.endswith("index") else 1
        turned[key] = np.flip(observation[key], axis=axis).copy()
    with torch.no_grad():
        torch.testing.assert_close(network(turned)[0], network(observation)[0], rtol=1e-5, atol=1e-6)


def test_instance_encoding_is_refused():
    """A network that encodes once an instance cannot see what comes and goes, and says so."""
    schema = queue_family.schema_of(3)
    with pytest.raises(ConfigError, match=r"expected step, as task, job, before, runs_on change"):
        ActorCritic(schema, NetworkConfig(encode="instance"))


def test_graphs_without_nodes_are_fine():
    """A decision with no task at all among others has finite logits for its pointerless candidate."""
    schema = GraphSchema(
        nodes=(
            NodeType("task", 2, (Feature("a", ""),), "task", sparse=True),
            NodeType("site", 2, (Feature("a", ""),), "resource", sparse=True),
            NodeType("system", 1, (Feature("a", ""),), "system"),
        ),
        edges=(EdgeType("on", "task", "site", 2, static=False),),
        candidates=CandidateType(2, ("task",), (Feature("a", ""),)),
    )
    observation = schema.zeros(2)
    observation["system_count"][:] = 1
    observation["action_mask"][:, 0] = 1
    observation["task_count"][1], observation["task_mask"][1, 1] = 2, 1
    observation["candidate_index"][1, 0] = 1
    network = ActorCritic(schema, SMALL).eval()
    logits, values, _ = network(observation)
    assert torch.isfinite(logits).all()
    assert torch.isfinite(values).all()


def test_stable_baselines_learns_on_changing_graphs():
    """MaskablePPO takes the sparse space; its scores are those of the network alone."""
    from sb3_contrib import MaskablePPO

    from makespan.agents.policy import GraphPolicy
    from makespan.agents.vector import make_sb3_vec_env

    env = make_sb3_vec_env(ENV_ID, num_envs=4, seed=0, num_jobs=4)
    model = MaskablePPO(
        GraphPolicy,
        env,
        n_steps=16,
        batch_size=32,
        n_epochs=1,
        policy_kwargs={"encode": "step", "width": 16, "depth": 1, "rounds": 1, "head_width": 16},
    )
    model.learn(64)
    _, observation = observations()
    with torch.no_grad():
        table, _ = model.policy._score({key: torch.from_numpy(array) for key, array in observation.items()})
        logits, _, _ = model.policy.network(observation)
    torch.testing.assert_close(table[torch.from_numpy(observation["action_mask"]) > 0], logits)


@pytest.mark.parametrize("sense", ["min", "max"])
def test_search_keeps_the_best_in_the_familys_sense(sense, monkeypatch):
    """Best-of-N keeps the smallest objective, or the largest; the gain on the greedy schedule is never negative."""
    monkeypatch.setattr(queue_family, "QUEUE", replace(queue_family.QUEUE, sense=sense))
    torch.manual_seed(0)
    network = ActorCritic(queue_family.schema_of(3), SMALL)
    found = best_of(network, ENV_ID, {}, queues(4), samples=8)
    best = found.samples.max(axis=1) if sense == "max" else found.samples.min(axis=1)
    assert found.objectives.tolist() == best.tolist()
    assert found.samples.min() < found.samples.max()
    assert [
        queue_family.validate(*pair) for pair in zip(queues(4), found.schedules, strict=True)
    ] == best.tolist()
    assert relative_gain(queue_family.QUEUE, found) > 0.0
    narrow = beam(network, ENV_ID, {}, queues(2), 2)
    assert np.isfinite(narrow.objectives).all()


TWO = Queue(np.array([0, 1]), np.array([[2, 4], [1, 1]]), num_slots=2)  # mean task: 2


def test_elapsed_is_in_the_infos():
    """Both faces tell how long a step took: 2, 4, then idle until 50, in units of the mean task."""
    late = Queue(np.array([0, 50]), np.array([[2, 4], [1, 1]]), num_slots=2)
    env = gymnasium.make(ENV_ID, instance=late)
    env.reset(seed=0)
    assert [env.step(0)[4]["elapsed"] for _ in range(4)] == [1.0, 24.0, 0.5, 0.5]
    vector = batch([late, TWO])
    vector.reset(seed=0)
    infos = [vector.step(np.zeros(2, np.int64))[4] for _ in range(2)]
    assert [info["elapsed"].tolist() for info in infos] == [[1.0, 1.0], [24.0, 2.0]]
    assert infos[0]["_elapsed"].all()


def test_the_world_may_cut_an_episode():
    """A horizon truncates both faces, with the objective so far; the slot stays finished until it is reset."""
    cut = Queue(TWO.arrival, TWO.duration, 2, horizon=5)
    env = gymnasium.make(ENV_ID, instance=cut)
    env.reset(seed=0)
    assert env.step(0)[2:4] == (False, False)
    _, _, terminated, truncated, info = env.step(0)  # at 6: job 0 took 6, job 1 has waited 5
    assert (terminated, truncated, info["objective"]) == (False, True, 11.0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(1)
    vector = batch([cut, TWO])
    vector.reset(seed=0)
    for _ in range(2):
        _, _, _, truncated, info = vector.step(np.zeros(2, np.int64))
    assert truncated.tolist() == [True, False]
    assert (info["objective"][0], info["_objective"].tolist()) == (11.0, [True, False])
    _, reward, _, truncated, info = vector.step(np.ones(2, np.int64))
    assert "objective" not in info
    assert (reward[0], truncated[0], info["elapsed"][0]) == (0.0, True, 0.0)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_autoreset_after_a_cut(mode):
    """A truncated slot starts anew as a terminated one does."""
    cut = Queue(TWO.arrival, TWO.duration, 2, horizon=1)
    vector = batch([cut], autoreset_mode=mode)
    vector.reset(seed=0)
    _, _, _, truncated, info = vector.step(np.zeros(1, np.int64))
    assert truncated[0]
    assert info.get("final_info", info)["objective"][0] == 3.0
    observation, reward, _, truncated, info = vector.step(np.zeros(1, np.int64))
    if mode is AutoresetMode.NEXT_STEP:
        assert (reward[0], truncated[0], info["elapsed"][0]) == (0.0, False, 0.0)
        assert observation["job_mask"].tolist() == [[1, 0]]
    else:
        assert (reward[0], truncated[0], info["elapsed"][0]) == (-3.0, True, 1.0)
