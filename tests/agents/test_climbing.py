"""Local search from a policy's samples: never worse than them, seeded, and named in evaluations."""

import gymnasium
import numpy as np
import pytest
import torch
from small_shops import ENV_ID, SMALL, shops, small_network

from makespan.agents.climbing import climb
from makespan.agents.config import NetworkConfig
from makespan.agents.contenders import PolicySpecError
from makespan.agents.evaluation import evaluate
from makespan.agents.network import ActorCritic
from makespan.agents.search import best_of
from makespan.envs.registration import get_family

MAPPING = ("makespan/MemoryMapping-v0", {"order": "priority", "offset_policy": "best"}, "layered-0@2")
ALLOCATION = ("makespan/MemoryAllocation-v0", {"canonical": True}, "tiling50-0")


def untrained(env_id: str, options: dict, instance: object) -> ActorCritic:
    """A network that knows nothing."""
    schema = gymnasium.make(env_id, instance=instance, **options).unwrapped.schema
    torch.manual_seed(0)
    return ActorCritic(schema, NetworkConfig(**SMALL)).eval()


@pytest.mark.parametrize(("env_id", "options", "name"), [MAPPING, ALLOCATION])
def test_climb_is_better_than_its_starts(env_id: str, options: dict, name: str) -> None:
    """Guards the search: it starts from the samples of best-of-N, improves on all, and its schedule is worth what it claims."""
    family = get_family(env_id)
    instance = family.find_instances(name)[0]
    network = untrained(env_id, options, instance)
    starts = best_of(network, env_id, options, [instance], samples=3)
    found = climb(network, env_id, options, [instance], samples=3, evaluations=200)
    np.testing.assert_array_equal(found.samples, starts.samples)
    assert found.objectives[0] < starts.objectives[0]
    assert family.validate(instance, found.schedules[0]) == found.objectives[0]


@pytest.mark.parametrize(("env_id", "options", "name"), [MAPPING, ALLOCATION])
def test_climb_is_repeatable_and_counts_evaluations(env_id: str, options: dict, name: str) -> None:
    """Guards the seed and the count: nothing but the starts is tried where evaluations are used up by them."""
    instance = get_family(env_id).find_instances(name)[0]
    network = untrained(env_id, options, instance)
    runs = [climb(network, env_id, options, [instance], 2, evaluations=60, seed=seed) for seed in (0, 0, 1)]
    assert runs[0].schedules == runs[1].schedules != runs[2].schedules
    starts = best_of(network, env_id, options, [instance], samples=2)
    used_up = climb(network, env_id, options, [instance], 2, evaluations=2)
    assert used_up.objectives[0] <= starts.objectives[0]
    assert runs[0].objectives[0] < used_up.objectives[0]


class Factory:
    """A network that was never trained, as a trained policy."""

    options = MAPPING[1]
    temperature = 1.0

    def network(self, schema):
        """The same weights for every size."""
        torch.manual_seed(0)
        return ActorCritic(schema, NetworkConfig(**SMALL)).eval()


def test_evaluation_names_a_climb(tmp_path) -> None:
    """Guards the way from a policy string to the search: its row holds what the search finds, checked."""
    env_id, options, name = MAPPING
    family = get_family(env_id)
    instance = family.find_instances(name)[0]
    text = f"{tmp_path}[search=climb,samples=2,evaluations=80]"
    result = evaluate(family, env_id, [text], [instance], load_policy=lambda *_: Factory(), progress=False)
    found = climb(untrained(*MAPPING[:2], instance), env_id, options, [instance], 2, evaluations=80)
    assert [(row.policy, row.valid, row.objective) for row in result.rows] == [
        (text, True, found.objectives[0])
    ]


def test_what_cannot_be_climbed_is_an_error(tmp_path) -> None:
    """Guards the messages: families without a local search, program order, and fewer evaluations than starts."""
    with pytest.raises(ValueError, match="jobshop has no local search"):
        climb(small_network(), ENV_ID, {}, shops(1))
    env_id, options, name = MAPPING
    instance = get_family(env_id).find_instances(name)[0]
    with pytest.raises(ValueError, match="expected at least 1, at least as many"):
        climb(untrained(env_id, options, instance), env_id, options, [instance], 8, evaluations=4)
    program = {"offset_policy": "best"}
    with pytest.raises(ValueError, match="order: 'program'"):
        climb(untrained(env_id, program, instance), env_id, program, [instance], 1)
    with pytest.raises(PolicySpecError, match="evaluation"):
        evaluate(
            get_family(env_id),
            env_id,
            [f"{tmp_path}[search=climb,evaluation=4]"],
            [instance],
            load_policy=lambda *_: Factory(),
            progress=False,
        )
