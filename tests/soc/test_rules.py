"""Rules and planning policies of the SoC: what they choose, worked out by hand, and the published makespans."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from soc_runs import play

import makespan  # noqa: F401
from makespan.envs.core.graph import CandidateView, GraphSchema
from makespan.envs.core.policy import get_rule, policies_of, rules_of
from makespan.envs.soc import policies as policies  # registers the policies
from makespan.envs.soc.env import SocEnv
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.solver import RollingCPSAT
from makespan.envs.soc.validator import validate

# two ready tasks (rows) on two PEs: what a candidate shows
COLUMNS: dict[str, list[float]] = {
    "order": [0, 0, 1, 1],
    "execution_us": [9, 6, 3, 4],
    "shortest_us": [6, 6, 3, 3],
    "start_us": [2, 7, 2, 7],
    "finish_us": [11, 13, 5, 11],
    "pe_us": [2, 7, 2, 7],
    "best_us": [11, 11, 5, 5],
    "second_us": [13, 13, 11, 11],
    "upward": [64 * 40, 64 * 40, 64 * 30, 64 * 30],
    "static_level": [64 * 20, 64 * 20, 64 * 25, 64 * 25],
    "priority_oct": [64 * 7, 64 * 7, 64 * 9, 64 * 9],
    "optimistic_us": [5, 1, 20, 1],
    "job_age_us": [50, 50, 80, 80],
    "job_path_us": [60, 60, 30, 30],
    "running": [1, 1, 1, 1],
    "assigned": [4, 3, 4, 3],
}
CHOSEN = {
    "fifo_eft": 0,  # first task, finish 11 < 13
    "met": 1,  # first task, execution 6 < 9
    "olb": 0,  # first task, free at 2
    "stf": 2,  # second task is shorter, on its fastest PE
    "min_min": 2,  # finish 5
    "etf": 2,  # start 2 twice, static level 25 > 20
    "max_min": 0,  # earliest finishes 11 > 5
    "sufferage": 2,  # 6 > 2
    "heft_ready": 0,  # rank 40 > 30
    "peft_ready": 3,  # mean optimistic cost 9 > 7; 11 + 1 < 5 + 20
    "oldest_job": 2,
    "shortest_job": 2,
}


class FakeView(CandidateView):
    """Candidates made of named columns."""

    def __init__(self, columns: dict[str, list[float]]) -> None:
        self.columns = columns

    def __getitem__(self, name: str) -> Any:
        return np.array([self.columns[name]], np.float64)


@pytest.mark.parametrize("name", CHOSEN)
def test_choices_by_hand(name: str) -> None:
    """Every rule takes the candidate that its definition names, where the definitions disagree."""
    priority = get_rule("soc", name).priority(FakeView(COLUMNS))
    assert int(priority.argmin()) == CHOSEN[name]


def test_every_rule_is_covered() -> None:
    """A new rule needs a line above."""
    assert set(rules_of("soc")) == set(CHOSEN)


def test_rules_share_one_world() -> None:
    """Every rule finishes the same noisy stream, in a valid schedule."""
    instance = make_generator("soc16-mix", scale=60.0, num_jobs=10, noise=0.2).sample(
        np.random.default_rng(0)
    )
    for name in rules_of("soc"):
        engine = play(instance, name)
        assert validate(instance, engine.schedule(0)) == engine.objective(0), name


def run_policy(name: str, **keywords: Any) -> SocEnv:
    """A whole episode of a registered policy."""
    env = gymnasium.make("makespan/SoC-v0", **keywords).unwrapped
    assert isinstance(env, SocEnv)
    observation, _ = env.reset(seed=0)
    policy = policies_of("soc")[name].load(env.schema)
    policy.begin([env.instance], np.array([0]))  # type: ignore[attr-defined]
    terminated = False
    while not terminated:
        action = policy.act({key: value[None] for key, value in observation.items()})[0]
        observation, _, terminated, _, info = env.step(action)
        assert not info["invalid_action"]
    assert validate(env.instance, env.schedule()) == env.objective
    return env


@pytest.mark.parametrize(
    ("name", "makespan_us"),
    [("heft", 80), ("heft_replan", 80), ("peft", 85), ("cpop", 86), ("lookahead", 81), ("cp_sat_replan", 73)],
)
def test_plans_are_kept(name: str, makespan_us: int) -> None:
    """Executed event by event, the plans of the literature give their published makespans on the graph of the HEFT paper."""
    assert run_policy(name, instance="topcuoglu").objective == makespan_us


def test_heft_leaves_gaps_to_later_jobs() -> None:
    """Two copies of the graph at once: HEFT plans the second into the gaps of the first and ends at 109, the first at 80.

    109 is also what a third-party HEFT gives for the second copy.
    """
    env = run_policy("heft", generator="topcuoglu", num_jobs=2, objective="makespan")
    schedule = env.schedule()
    assert schedule.end[schedule.job == 0].max() == 80
    assert env.objective == 109


@pytest.mark.parametrize("name", ["heft", "heft_replan"])
def test_planning_in_a_stream(name: str) -> None:
    """Under load, noise and merged twins the plans neither stall nor fall far behind list scheduling."""
    world: dict[str, Any] = {"generator": "soc16-mix", "scale": 60.0, "num_jobs": 40, "noise": 0.2}
    planned = run_policy(name, **world)
    assert planned.objective < 1.5 * play(planned.instance, "fifo_eft").objective(0)


def test_searched_plans_reach_what_the_rolling_solver_does() -> None:
    """The decisions of `task_pe` with deferral can follow CP-SAT's plans: within 3 % of the solver, far below the best rule."""
    world: dict[str, Any] = {"generator": "top-stream", "scale": 60.0, "num_jobs": 12}
    planned = run_policy("cp_sat_replan", **world)
    solved = RollingCPSAT(effort=0.2).solve(planned.instance).objective
    best = min(play(planned.instance, name).objective(0) for name in rules_of("soc"))
    assert abs(planned.objective - solved) < 0.03 * solved
    assert planned.objective < 0.95 * best


@pytest.mark.parametrize("name", ["heft", "heft_replan", "cp_sat_replan"])
def test_plans_go_on_where_somebody_else_decided(name: str) -> None:
    """A teacher that a student does not obey plans anew: it always has an answer, and that answer is allowed."""
    env = gymnasium.make("makespan/SoC-v0", generator="top-stream", scale=60.0, num_jobs=6).unwrapped
    assert isinstance(env, SocEnv)
    observation, info = env.reset(seed=3)
    policy = policies_of("soc")[name].load(env.schema)
    policy.begin([env.instance], np.array([0]))  # type: ignore[attr-defined]
    rng, terminated, differed = np.random.default_rng(0), False, 0
    while not terminated:
        answer = int(policy.act({key: value[None] for key, value in observation.items()})[0])
        assert info["action_mask"][answer]
        action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        differed += action != answer
        observation, _, terminated, _, info = env.step(action)
    assert differed > 10
    assert validate(env.instance, env.schedule()) == env.objective


def test_planning_needs_pairs() -> None:
    """A planning policy says which mode it needs."""
    env = gymnasium.make("makespan/SoC-v0", mode="task").unwrapped
    schema: GraphSchema = env.schema  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="task_pe"):
        policies_of("soc")["heft"].load(schema)
