"""The PettingZoo faces: the library's own tests, equality with Gymnasium, determinism over whole days, conflicts."""

from __future__ import annotations

import contextlib
import io
import pickle
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    render_test,
    seed_test,
    state_test,
)
from pettingzoo.utils.conversions import parallel_to_aec

import makespan  # noqa: F401
from makespan.envs import fleet
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.policy import rule_policy
from makespan.envs.fleet.gymnasium_env import UAMFleetEnv
from makespan.envs.fleet.validator import audit

TINY = {"generator": "tiny", "failure": 0.05}
EXPECTED = ("Observation space for each agent probably", "Observation is not a NumPy array")


def quietly(test: Callable[..., object], *arguments: Any, **keywords: Any) -> None:
    """Run one of PettingZoo's tests; only the two warnings that any Dict observation draws are expected."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("error")
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message=message)
        test(*arguments, **keywords)


@pytest.mark.parametrize("reward", ["individual", "team", "terminal"])
def test_api(reward: str):
    """PettingZoo's `api_test`, with exact rewards, for each way of paying."""
    quietly(api_test, fleet.env(**TINY, reward=reward), num_cycles=300)


def test_api_of_the_graph_and_of_base():
    """The same with the decision graph as observation, and on forty aircraft."""
    quietly(api_test, fleet.env(**TINY, obs="graph"), num_cycles=60)
    quietly(api_test, fleet.env(), num_cycles=60)


def test_parallel_api():
    """`parallel_api_test`, over several days."""
    quietly(parallel_api_test, fleet.parallel_env(**TINY), num_cycles=400)
    quietly(parallel_api_test, fleet.parallel_env(**TINY, obs="graph"), num_cycles=20)


def test_seeds():
    """`seed_test` and `parallel_seed_test`."""
    quietly(seed_test, lambda: fleet.env(**TINY), num_cycles=300)
    quietly(parallel_seed_test, lambda: fleet.parallel_env(**TINY))


def test_states():
    """`state_test`: the global vector lies in its space, in both faces."""
    quietly(state_test, fleet.env(**TINY), fleet.parallel_env(**TINY))


def test_max_cycles():
    """`max_cycles_test` on the parallel environment and its conversion: an event-driven AEC cannot pass it."""

    class Module:
        parallel_env = staticmethod(lambda max_cycles: fleet.parallel_env(**TINY, max_cycles=max_cycles))
        env = staticmethod(lambda max_cycles: parallel_to_aec(Module.parallel_env(max_cycles)))

    quietly(max_cycles_test, Module)


def test_render(monkeypatch: pytest.MonkeyPatch):
    """`render_test` in every mode; no window is opened here."""
    from makespan.envs.core import gantt

    monkeypatch.setattr(gantt, "show", lambda frame: None)
    quietly(render_test, lambda render_mode: fleet.raw_env(**TINY, render_mode=render_mode))


def test_registry():
    """`pettingzoo.make` finds both faces after `import makespan`."""
    if not hasattr(pettingzoo, "make"):
        pytest.skip("PettingZoo has a registry since 1.27")
    aec = pettingzoo.make("aec", "makespan/uam_fleet-v0", generator="tiny")
    parallel = pettingzoo.make("parallel", "makespan/uam_fleet-v0", generator="tiny")
    assert str(aec) == "uam_fleet_v0"
    aec.reset(seed=0)
    assert len(parallel.reset(seed=0)[0]) == len(aec.agents) == 8


@pytest.mark.parametrize("rule", ["lookahead", "random"])
@pytest.mark.parametrize("seed", [0, 1])
def test_aec_earns_what_gymnasium_earns(rule: str, seed: int):
    """The same seed and policy give the same schedule and the same cents over a whole day, and rewards say so."""
    env = UAMFleetEnv(**TINY)
    observation, _ = env.reset(seed=seed)
    policy = rule_policy("fleet", rule, env.schema, seed=seed)
    terminated = False
    while not terminated:
        action = policy.act({key: array[None] for key, array in observation.items()})[0]
        observation, _, terminated, _, _ = env.step(action)

    agents = fleet.env(**TINY, obs="graph")
    agents.reset(seed=seed)
    policy = rule_policy("fleet", rule, env.schema, seed=seed)
    cents = 0
    for _ in agents.agent_iter():
        seen, reward, terminated, _, info = agents.last()
        cents += round(100 * reward)
        if terminated:
            assert round(100 * info["episode"]["profit"]) == env.fleet_engine.books(0).profit
            agents.step(None)
            continue
        graph = {**seen["observation"], "action_mask": seen["action_mask"]}
        assert np.array_equal(info["action_mask"], seen["action_mask"])
        agents.step(policy.act({key: array[None] for key, array in graph.items()})[0])
    assert cents == env.fleet_engine.books(0).profit
    assert agents.unwrapped.engine.schedule(0) == env.schedule()


def day_of(env: Any, seed: int) -> list[Any]:
    """Everything that a whole day of random actions shows, masks not heeded."""
    rng, out = np.random.default_rng(seed), []
    env.reset(seed=seed)
    while env.agents:
        actions = {agent: int(rng.integers(4)) for agent in env.agents}
        out.append(env.step(actions))
    return out


def test_parallel_is_deterministic_over_a_day():
    """Two instances with the same seed show the same at every one of 144 ticks (PettingZoo's own test checks one)."""
    one, other = day_of(fleet.parallel_env(**TINY), 5), day_of(fleet.parallel_env(**TINY), 5)
    assert len(one) == len(other) == 144
    for left, right in zip(one, other, strict=True):
        assert left[1:4] == right[1:4]
        for agent in left[0]:
            for key in ("observation", "action_mask"):
                assert np.array_equal(left[0][agent][key], right[0][agent][key])
            told, again = dict(left[4][agent]), dict(right[4][agent])
            assert np.array_equal(told.pop("action_mask"), again.pop("action_mask"))
            assert told == again
    assert day_of(fleet.parallel_env(**TINY), 6)[3][1] != one[3][1]


def test_parallel_days_are_feasible_and_conflicts_reported():
    """The validator accepts the ticked day and finds the sum of the rewards; scarce places, seats and chargers are fought for."""
    env = fleet.parallel_env(generator="tiny", parking=4, chargers=1, failure=0.05)
    met: Counter[str | None] = Counter()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        seen, _ = env.reset(seed=seed)
        cents = 0
        while env.agents:
            actions = {a: int(rng.choice(np.flatnonzero(seen[a]["action_mask"]))) for a in env.agents}
            due = {a for a in env.agents if (seen[a]["action_mask"].sum() > 1)}
            seen, rewards, _, _, infos = env.step(actions)
            cents += sum(round(100 * reward) for reward in rewards.values())
            met.update(info["conflict"] for info in infos.values())
            assert not any(info["invalid_action"] for info in infos.values())
            assert all(
                infos[a]["conflict"] is None or a in due or infos[a]["conflict"] == "charger" for a in infos
            )
        books = env.engine.books(0)
        assert cents == books.profit == audit(env.instance, env.engine.schedule(0), 300).profit
    assert met["parking"] > 0
    assert met["seats"] > 0
    assert met["charger"] > 0


def test_busy_aircraft_may_only_go_on():
    """Masks are never all zero; a busy aircraft's is one-hot on its destination, and another action is reported and ignored."""
    env = fleet.parallel_env(generator="tiny")
    seen, infos = env.reset(seed=0)
    assert all(info["needs_decision"] for info in infos.values())
    rng = np.random.default_rng(0)
    ignored = 0
    for _ in range(40):
        places = env.engine.fleet.aircraft[0, :, 0].copy()
        actions = {}
        for k, agent in enumerate(env.agents):
            mask = seen[agent]["action_mask"]
            assert mask.sum() >= 1
            if not infos[agent]["needs_decision"]:
                assert np.flatnonzero(mask).tolist() == [places[k]]
            actions[agent] = int(rng.integers(4))
        waiting = {agent for agent in env.agents if not infos[agent]["needs_decision"]}
        seen, _, _, _, infos = env.step(actions)
        for k, agent in enumerate(env.possible_agents):
            if agent in waiting and actions[agent] != places[k]:
                assert infos[agent]["invalid_action"]
                ignored += 1
    assert ignored > 20


def test_pickle():
    """A pickled environment passes the API test, and goes on as the original does."""
    env = fleet.raw_env(**TINY)
    env.reset(seed=2)
    for _ in range(50):
        env.step(int(np.flatnonzero(env.last()[0]["action_mask"])[-1]))
    other = pickle.loads(pickle.dumps(env))
    for _ in range(50):
        assert env.agent_selection == other.agent_selection
        one, two = env.last(), other.last()
        assert one[1:4] == two[1:4]
        assert np.array_equal(one[0]["observation"], two[0]["observation"])
        action = int(np.flatnonzero(one[0]["action_mask"])[0])
        env.step(action)
        other.step(action)
    quietly(api_test, other, num_cycles=20)


def test_illegal_action_means_stay():
    """Without a mask an illegal action keeps the aircraft where it is, and is reported."""
    env = fleet.raw_env(generator="tiny")
    env.reset(seed=0)
    for _ in range(200):
        agent, mask = env.agent_selection, env.last()[0]["action_mask"]
        illegal = np.flatnonzero(mask == 0)
        action = int(illegal[0]) if illegal.size else int(np.flatnonzero(mask)[0])
        k = int(agent.split("_")[1])
        place = env.engine.fleet.aircraft[0, k, 0]
        env.step(action)
        if illegal.size:
            assert env.infos[agent]["invalid_action"]
            assert env.engine.fleet.aircraft[0, k, 0] == place
            return
    pytest.fail("no illegal action in 200 turns")


def test_malformed_arguments():
    """Errors name what was expected."""
    with pytest.raises(UnknownNameError, match="flat"):
        fleet.raw_env(obs="flatt")
    with pytest.raises(UnknownNameError, match="individual"):
        fleet.parallel_env(reward="solo")
    with pytest.raises(gymnasium.error.ResetNeeded, match="before reset"):
        fleet.env(generator="tiny").step(0)
    env = fleet.parallel_env(generator="tiny")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="aircraft_1"):
        env.step({"aircraft_0": 0})
