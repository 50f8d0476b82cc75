"""PettingZoo's face of the job shops: one agent a machine."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest

from makespan.envs.core.policy import rule_policy
from makespan.envs.jobshop import machines
from makespan.envs.registration import get_family

WORLDS: dict[str, dict[str, Any]] = {
    "job shop": {"env_id": "makespan/JobShop-v0", "num_jobs": 4, "num_machines": 3},
    "job shop, waiting": {"env_id": "makespan/JobShop-v0", "num_jobs": 4, "num_machines": 3, "sgs": "non_delay_wait"},
    "flexible": {"env_id": "makespan/FlexibleJobShop-v0", "num_jobs": 3, "num_machines": 3, "sgs": "active"},
    "blocking": {"env_id": "makespan/BlockingJobShop-v0", "num_jobs": 4, "num_machines": 3},
    "blocking, greedy": {
        "env_id": "makespan/BlockingJobShop-v0", "num_jobs": 4, "num_machines": 3, "admission": "greedy", "swap": False,
    },
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")  # observations are dictionaries
@pytest.mark.parametrize("name", ["job shop", "flexible", "blocking"])
def test_pettingzoo_checkers(name: str) -> None:
    """PettingZoo's own API and seed tests pass."""
    from pettingzoo.test import api_test, seed_test

    api_test(machines.env(**WORLDS[name]), num_cycles=200)
    seed_test(lambda: machines.env(**WORLDS[name]), num_cycles=50)


def test_made_by_id() -> None:
    """The id is in PettingZoo's registry, where there is one."""
    pettingzoo = pytest.importorskip("pettingzoo", minversion="1.27")
    env = pettingzoo.make("aec", "makespan/jobshop_machines-v0", num_jobs=3, num_machines=2)
    env.reset(seed=0)
    assert env.possible_agents == ["machine_0", "machine_1"]


def world_of(name: str) -> Any:
    keywords = {"illegal_action": "raise", **WORLDS[name]}
    return gymnasium.make(keywords.pop("env_id"), **keywords).unwrapped


def play_candidate(env: machines.JobShopMachinesEnv, candidate: int) -> list[str]:
    """Let the owner of a candidate take it and all before him pass; who was asked."""
    asked = []
    owner = int(env.owners()[candidate])
    for _ in range(len(env.possible_agents)):
        agent = env.agent_selection
        asked.append(agent)
        if owner >= 0 and agent == f"machine_{owner}":
            assert env.observe(agent)["action_mask"][candidate] == 1
            env.step(candidate)
            return asked
        assert env.observe(agent)["action_mask"][env.pass_action] == 1
        more = len(env._queue) > 1
        env.step(env.pass_action)
        if not more:
            assert owner < 0  # a wait
            return asked
    raise AssertionError("nobody took the candidate")


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("policy", ["random", "spt"])
def test_same_trajectory_as_the_gymnasium_env(name: str, policy: str) -> None:
    """The agents that play a policy's candidates lead the same world through the same episode, reward for reward."""
    env, single = machines.raw_env(**WORLDS[name]), world_of(name)
    for seed in range(3):
        env.reset(seed=seed)
        observation, _ = single.reset(seed=seed)
        assert env.instance == single.instance
        who = rule_policy(get_family(WORLDS[name]["env_id"]).name, policy, single.schema, seed=seed)
        terminated = False
        while not terminated:
            for key, values in env.engine.observation.items():
                assert np.array_equal(values[0], observation[key]), key
            action = int(who.act({key: value[None] for key, value in observation.items()})[0])
            observation, reward, terminated, _, info = single.step(action)
            asked = play_candidate(env, action)
            assert asked == sorted(asked, key=lambda one: int(one.removeprefix("machine_")))
            assert env.rewards == dict.fromkeys(env.agents, reward)
        assert all(env.terminations.values())
        assert env.infos[env.agents[0]]["objective"] == info["objective"]
        assert env.schedule() == single.schedule()


@pytest.mark.parametrize("name", WORLDS)
def test_masks(name: str) -> None:
    """A machine sees its own candidates only, those of all asked machines are the world's, and who is not asked may only pass."""
    env, rng = machines.raw_env(**WORLDS[name]), np.random.default_rng(0)
    column = env.schema.candidates.points_at.index("machine")
    env.reset(seed=1)
    shown, fresh = np.zeros(env.schema.candidates.max_count, np.bool_), True
    while not any(env.terminations.values()):
        agent, number = env.agent_selection, int(env.agent_selection.removeprefix("machine_"))
        whole = env.engine.observation["action_mask"][0] > 0
        if fresh:
            shown[:] = False
        seen = env.observe(agent)
        own = seen["observation"]["action_mask"] > 0
        assert env.observation_space(agent).contains(seen)
        assert (seen["observation"]["candidate_index"][own, column] == number).all()
        assert not (own & ~whole).any()
        assert not seen["observation"]["candidate_x"][~own].any()
        shown |= own
        for other in env.agents:
            if other != agent:
                assert np.flatnonzero(env.observe(other)["action_mask"]).tolist() == [env.pass_action]
        may_pass = seen["action_mask"][env.pass_action] > 0
        last = len(env._queue) == 1
        if last:
            waits = whole & (env.owners() < 0)
            assert fresh is False or np.array_equal(shown | waits, whole) or not last
            assert may_pass == (waits.any() or not own.any())
        else:
            assert may_pass
        action = int(rng.choice(np.flatnonzero(seen["action_mask"])))
        fresh = not (action == env.pass_action and not last)
        env.step(action)


def run(env: machines.JobShopMachinesEnv, seed: int, turns: int) -> list[tuple[str, int, float]]:
    """Random turns over as many episodes as they last."""
    rng, seen = np.random.default_rng(seed), []
    env.reset(seed=seed)
    for _ in range(turns):
        if any(env.terminations.values()):
            env.reset()
        agent = env.agent_selection
        action = int(rng.choice(np.flatnonzero(env.observe(agent)["action_mask"])))
        env.step(action)
        seen.append((agent, action, env.rewards[agent]))
    return seen


@pytest.mark.parametrize("name", ["job shop, waiting", "blocking"])
def test_long_determinism_and_pickling(name: str) -> None:
    """One seed gives one course over thousands of turns and many episodes; a pickled copy has the same future."""
    first = run(machines.raw_env(**WORLDS[name]), 5, 3000)
    env = machines.raw_env(**WORLDS[name])
    assert run(env, 5, 3000) == first
    env.reset(seed=9)
    agent = env.agent_selection
    env.step(int(env.observe(agent)["action_mask"].argmax()))
    copy = pickle.loads(pickle.dumps(env))
    for one in (env, copy):
        rng = np.random.default_rng(1)
        while not any(one.terminations.values()):
            mask = one.observe(one.agent_selection)["action_mask"]
            one.step(int(rng.choice(np.flatnonzero(mask))))
    assert env.schedule() == copy.schedule()


def test_forbidden_actions_and_ends() -> None:
    """A forbidden action is taken for the lowest allowed one and told; turns can be limited; errors name what is wrong."""
    env = machines.raw_env(num_jobs=3, num_machines=2, max_cycles=2)
    env.reset(seed=0)
    agent = env.agent_selection
    lowest = int(env.observe(agent)["action_mask"].argmax())
    other = machines.raw_env(num_jobs=3, num_machines=2)
    other.reset(seed=0)
    other.step(lowest)
    env.step(999)
    assert env.infos[agent]["invalid_action"]
    assert env.schedule() == other.schedule()
    env.step(int(env.observe(env.agent_selection)["action_mask"].argmax()))
    assert all(env.truncations.values())
    with pytest.raises(ValueError, match="None for machine"):
        other.step(None)
    with pytest.raises(ValueError, match="no machines that candidates point at"):
        machines.raw_env(env_id="makespan/SingleMachineTardiness-v0")
