"""PettingZoo's face of the SoC."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from makespan.envs.soc import clusters as soc
from makespan.envs.soc.env import SocEnv
from makespan.envs.soc.validator import validate

WORLD: dict[str, Any] = {"generator": "soc16-mix", "scale": 60.0, "num_jobs": 3}


@pytest.mark.filterwarnings("ignore::UserWarning")  # observations are dictionaries
def test_pettingzoo_checkers() -> None:
    """PettingZoo's own API and seed tests pass."""
    from pettingzoo.test import api_test, seed_test

    api_test(soc.env(**WORLD), num_cycles=200)
    seed_test(lambda: soc.env(**WORLD), num_cycles=50)


def test_made_by_id() -> None:
    """The id is in PettingZoo's registry, where there is one."""
    pettingzoo = pytest.importorskip("pettingzoo", minversion="1.27")
    env = pettingzoo.make("aec", "makespan/soc_clusters-v0", **WORLD)
    env.reset(seed=0)
    assert env.possible_agents == [f"cluster_{c}" for c in range(5)]


def test_clusters_share_the_world_of_the_gymnasium_env() -> None:
    """Same seed, same instance; clusters offer only their own PEs; the schedule is valid and every agent's return the team's."""
    env = soc.raw_env(**WORLD)
    env.reset(seed=4)
    single = SocEnv(**WORLD)
    single.reset(seed=4)
    assert env.instance == single.instance
    rng, returns = np.random.default_rng(0), dict.fromkeys(env.agents, 0.0)
    last = env.schema.candidates.max_count - 1
    while not any(env.terminations.values()):
        agent = env.agent_selection
        seen = env.observe(agent)
        cluster = int(agent.removeprefix("cluster_"))
        own = np.flatnonzero(seen["action_mask"][:last])
        assert (env.instance.pe_cluster[own] == cluster).all()
        other = next(name for name in env.agents if name != agent)
        assert np.flatnonzero(env.observe(other)["action_mask"]).tolist() == [last]
        env.step(int(rng.choice(np.flatnonzero(seen["action_mask"]))))
        for name in env.agents:
            returns[name] += env.rewards[name]
    objective = env.engine.objective(0)
    assert validate(env.instance, env.schedule()) == objective
    for total in returns.values():
        assert total == pytest.approx(env.engine.return_of(0, objective))


def test_the_last_cluster_must_serve_when_nothing_else_would_happen() -> None:
    """On an empty system with one job each cluster may pass the task on, but not the last one."""
    env = soc.raw_env(instance="topcuoglu")
    env.reset(seed=0)
    last = env.schema.candidates.max_count - 1
    for cluster in range(3):
        assert env.agent_selection == f"cluster_{cluster}"
        assert env.observe(env.agent_selection)["action_mask"][last] == (cluster < 2)
        if cluster < 2:
            env.step(last)
    env.step(last)  # forbidden: taken for the lowest allowed action
    assert env.infos["cluster_2"]["invalid_action"]
    assert env.schedule().resource.tolist() == [2]
