"""Ids: registered once, found with and without import, and specs that survive a trip through JSON."""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec

import makespan
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.family import Family
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.registration import AGENT_ENVIRONMENTS, env_ids, get_family, register_all


@pytest.mark.parametrize("env_id", env_ids())
def test_ids_are_complete(env_id: str) -> None:
    """Each id makes a scalar env, a native batch with the same spaces, and belongs to a family that lists it."""
    env = gymnasium.make(env_id)
    envs = gymnasium.make_vec(env_id, num_envs=2, vectorization_mode="vector_entry_point")
    assert isinstance(envs.unwrapped, SchedulingVectorEnv)
    assert envs.unwrapped.single_observation_space == env.observation_space
    assert envs.unwrapped.single_action_space == env.action_space
    family = get_family(env_id)
    assert isinstance(family, Family)
    assert env_id in family.env_ids


def test_registering_twice_changes_nothing() -> None:
    """`register_all` is idempotent: the specs stay the very same objects and nothing is warned about."""
    before = {env_id: gymnasium.registry[env_id] for env_id in env_ids()}
    register_all()
    gymnasium.register_envs(makespan)
    assert all(gymnasium.registry[env_id] is spec for env_id, spec in before.items())


def test_unknown_id_names_the_nearest() -> None:
    """A misspelt id is an error that helps."""
    with pytest.raises(UnknownNameError, match="makespan/JobShop-v0"):
        get_family("makespan/JobShp-v0")


@pytest.mark.parametrize(
    ("env_id", "keywords"),
    [
        ("makespan/JobShop-v0", {}),
        ("makespan/JobShop-v0", {"generator": "taillard", "num_jobs": 4, "num_machines": 3, "sgs": "active"}),
        ("makespan/JobShop-v0", {"instance": "ft06", "illegal_action": "raise"}),
        ("makespan/FlexibleJobShop-v0", {"generator": "flexible_sd2", "sgs": "non_delay_wait"}),
    ],
)
def test_spec_survives_json_and_pickle(env_id: str, keywords: dict[str, object]) -> None:
    """An env made from a spec's JSON or pickle plays the same episode as the original."""
    env = gymnasium.make(env_id, **keywords)
    specs = [EnvSpec.from_json(env.spec.to_json()), pickle.loads(pickle.dumps(env.spec))]
    assert json.loads(specs[0].to_json())["kwargs"] == keywords
    first, _ = env.reset(seed=8)
    for spec in specs:
        other, _ = gymnasium.make(spec).reset(seed=8)
        assert other.keys() == first.keys()
        assert all((other[key] == first[key]).all() for key in first)


def test_module_form_needs_no_import() -> None:
    """`module:id` works in a fresh interpreter that has never imported the package."""
    code = (
        "import gymnasium; print(gymnasium.make('makespan.envs:makespan/JobShop-v0').reset(seed=0)[1].keys())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "action_mask" in result.stdout


@pytest.mark.parametrize(("kind", "env_id", "entry_point"), AGENT_ENVIRONMENTS)
def test_pettingzoo_ids_make_what_the_functions_make(kind: str, env_id: str, entry_point: str) -> None:
    """PettingZoo's registry gives the module's environment, whose name is the id's."""
    pettingzoo = pytest.importorskip("pettingzoo", minversion="1.27")
    module, _, function = entry_point.partition(":")
    made, called = pettingzoo.make(kind, env_id), getattr(importlib.import_module(module), function)()
    assert type(made.unwrapped) is type(called.unwrapped)
    assert made.metadata["name"] == env_id.removeprefix("makespan/").replace("-", "_")
    assert made.possible_agents == called.possible_agents
