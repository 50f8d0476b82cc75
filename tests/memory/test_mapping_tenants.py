"""Tenants on one accelerator: PettingZoo's rules, and the common problem."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from makespan.envs.core.errors import IllegalActionError
from makespan.envs.memory.mapping_benchmark import load_instance
from makespan.envs.memory.mapping_generator import toy_mapping
from makespan.envs.memory.mapping_tenants import MemoryTenantsEnv, env, interleave
from makespan.envs.memory.mapping_validator import validate


def test_pettingzoo_api() -> None:
    """PettingZoo's own test finds nothing, over several episodes."""
    from pettingzoo.test import api_test

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        api_test(env(num_tenants=3, num_ops=6), num_cycles=300)


def test_toys_interleave() -> None:
    """Two toys: at 0 both start, at 200 ps both second operations are due, then both third ones; nothing is lost."""
    merged, tenant = interleave([toy_mapping(), toy_mapping()])
    assert tenant.tolist() == [0, 1, 0, 1, 0, 1]
    assert merged.hbm_latency == 840
    assert merged.op_compute.tolist() == [200, 200, 30, 30, 10, 10]
    assert merged.program.tensor_name.count("tenant1.w") == 1


def test_in_place_updates_survive_interleaving() -> None:
    """Each tenant keeps its own alias groups."""
    one = load_instance("mlp_training_b256@8")
    merged, _ = interleave([one, one, one])
    assert (merged.tensor_heir >= 0).sum() == 3 * (one.tensor_heir >= 0).sum()


def test_common_return_is_the_latency() -> None:
    """Every agent's return is 1 - latency / latency from HBM, and the validator accepts the common mapping."""
    game, rng = MemoryTenantsEnv(num_tenants=2, num_ops=8, training=1.0), np.random.default_rng(0)
    for seed in range(3):
        game.reset(seed=seed)
        total, acted = dict.fromkeys(game.agents, 0.0), set()
        while not game.terminations[game.agent_selection]:
            agent = game.agent_selection
            mask = game.observe(agent)["action_mask"]
            acted.add(agent)
            game.step(int(rng.choice(np.flatnonzero(mask))))
            for name, reward in game.rewards.items():
                total[name] += reward
        assert acted == set(game.possible_agents)
        assert game.instance is not None
        latency = validate(game.instance, game.schedule())
        for value in total.values():
            assert value == pytest.approx(1 - latency / game.instance.hbm_latency, abs=1e-12)


def test_illegal_actions_change_nothing() -> None:
    """A forbidden action is refused by name, and the agent may try again."""
    game = MemoryTenantsEnv(num_tenants=2, instances=[toy_mapping(), toy_mapping()])
    game.reset(seed=0)
    agent, before = game.agent_selection, game.observe(game.agent_selection)
    with pytest.raises(IllegalActionError, match=f"of {agent} is not allowed"):
        game.step(2)
    assert all(np.array_equal(before[key], value) for key, value in game.observe(agent).items())
