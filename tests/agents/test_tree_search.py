"""Tree search around a network: never worse than it, exact on what can be solved by hand, and named in evaluations."""

import gymnasium
import numpy as np
import pytest
import torch
from small_shops import ENV_ID, SMALL, shops, small_network

from makespan.agents.config import NetworkConfig
from makespan.agents.contenders import PolicySpecError, parse_policy
from makespan.agents.evaluation import evaluate
from makespan.agents.network import ActorCritic
from makespan.agents.search import best_of
from makespan.agents.tree_search import tree
from makespan.envs.jobshop.validator import validate
from makespan.envs.registration import get_family

MIXED = [*shops(2), *shops(2, 5, 4, seed=1)]
ACTIVE = {"sgs": "active"}


@pytest.mark.parametrize("encode", ["instance", "step"])
def test_tree_is_never_worse_than_greedy(encode):
    """Guards the first trunk, which is the greedy schedule, and the schedules, by the independent validator."""
    network = small_network(encode=encode)
    greedy = best_of(network, ENV_ID, ACTIVE, MIXED, samples=1).objectives
    found = tree(network, ENV_ID, ACTIVE, MIXED, simulations=4)
    np.testing.assert_array_equal(found.samples[:, 0], greedy)
    assert (found.objectives <= greedy).all()
    assert (found.objectives < greedy).any()
    for shop, schedule, objective in zip(MIXED, found.schedules, found.objectives, strict=True):
        assert validate(shop, schedule) == objective


def test_actions_lead_to_the_schedule():
    """Guards the trunk's bookkeeping: the actions of a result, played alone, reach its objective."""
    network = small_network()
    found = tree(network, ENV_ID, ACTIVE, MIXED, simulations=6)
    for shop, actions, objective in zip(MIXED, found.actions, found.objectives, strict=True):
        env = gymnasium.make(ENV_ID, instance=shop, illegal_action="raise", **ACTIVE)
        env.reset(seed=0)
        for action in actions:
            _, _, done, _, info = env.step(action)
        assert done
        assert info["objective"] == objective


def test_tree_is_repeatable_and_seeded():
    """Guards determinism: equal seeds, equal schedules; of several other seeds one finds another."""
    network = small_network()
    runs = [tree(network, ENV_ID, ACTIVE, MIXED, 4, decisions=2, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert runs[0].schedules == runs[1].schedules
    assert any(runs[0].schedules != run.schedules for run in runs[2:])


def test_time_limit_leaves_the_greedy_schedule():
    """Guards the limit: where time is up at once, the network's own schedule is the answer."""
    network = small_network()
    greedy = best_of(network, ENV_ID, ACTIVE, MIXED, samples=1)
    found = tree(network, ENV_ID, ACTIVE, MIXED, 8, time_limit_s=1e-9)
    assert found.schedules == greedy.schedules


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("makespan/MemoryAllocation-v0", {}),
        ("makespan/MemoryMapping-v0", {}),
        ("makespan/MemoryMapping-v0", {"order": "priority"}),
    ],
)
def test_toys_are_solved(env_id, options):
    """Guards the search in families of other rules: a network that knows nothing finds the toys' hand-made optima."""
    family = get_family(env_id)
    toy = family.find_instances("toy")[0]
    schema = gymnasium.make(env_id, instance="toy", **options).unwrapped.schema
    torch.manual_seed(1)
    network = ActorCritic(schema, NetworkConfig(**SMALL)).eval()
    found = tree(network, env_id, options, [toy], simulations=32, temperature=2.0)
    assert found.objectives[0] == family.best_known(toy).upper
    assert family.validate(toy, found.schedules[0]) == found.objectives[0]


class Factory:
    """A network that was never trained, as a trained policy."""

    options = ACTIVE
    temperature = 0.5

    def network(self, schema):
        """The network, whatever the schema."""
        return small_network()

    def build(self, schema, *, greedy, seed, temperature=None):
        """Not asked for here."""
        raise AssertionError


@pytest.mark.parametrize(
    "search", ["search=tree,simulations=4,decisions=3,time_limit=5", "search=beam,width=4"]
)
def test_evaluation_names_a_search(tmp_path, search):
    """Guards the way from a policy string to a search: its rows hold what the search finds, checked."""
    name = f"{tmp_path}[{search}]"
    result = evaluate(
        get_family(ENV_ID), ENV_ID, [name], MIXED[:2], load_policy=lambda *_: Factory(), progress=False
    )
    greedy = best_of(small_network(), ENV_ID, ACTIVE, MIXED[:2], samples=1).objectives
    assert [row.policy for row in result.rows] == [name] * 2
    for row, most in zip(result.rows, greedy, strict=True):
        assert row.valid
        assert row.objective <= most


@pytest.mark.parametrize(
    "options", ["[width=4]", "[search=dfs]", "[search=tree]*8", "[]", "[temperature=1,width=4]"]
)
def test_search_options_are_checked(tmp_path, options):
    """Guards the grammar: a trained policy's options name a search we have, and a search takes no samples."""
    with pytest.raises(PolicySpecError, match="search"):
        parse_policy(f"{tmp_path}{options}", "jobshop")


def test_unknown_search_option_is_an_error(tmp_path):
    """Guards the options themselves: a misspelt one is not ignored."""
    with pytest.raises(PolicySpecError, match="simulation"):
        evaluate(
            get_family(ENV_ID),
            ENV_ID,
            [f"{tmp_path}[search=tree,simulation=4]"],
            MIXED[:1],
            load_policy=lambda *_: Factory(),
            progress=False,
        )
