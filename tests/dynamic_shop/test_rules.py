"""Due-date rules over decision graphs, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from plain_dynamic import engine_for, shown

from makespan.envs.core.graph import CandidateView
from makespan.envs.core.policy import get_rule, rule_policy, rules_of, solvers_of
from makespan.envs.dynamic_shop.engine import DynamicShopEngine
from makespan.envs.dynamic_shop.instance import DynamicShopInstance
from makespan.envs.dynamic_shop.solver import RandomisedDispatchSolver, dispatch
from makespan.envs.dynamic_shop.validator import validate
from makespan.envs.jobshop.instance import ShopInstance

# At time 10 machine 0 ends job 0 and chooses among jobs 1, 2, 3; machine 1 holds job 4 until 16.
#   job 1: 4 on machine 0, 6 on machine 1; arrives at 2, due 30, weight 1
#   job 2: 8 on machine 0;                 arrives at 5, due 17, weight 4
#   job 3: 2 on machine 0, 3 on machine 1, 5 on machine 0; arrives at 6, due 24, weight 2
SHOP = ShopInstance.from_jobs(
    [[(0, 10)], [(0, 4), (1, 6)], [(0, 8)], [(0, 2), (1, 3), (0, 5)], [(1, 8)]],
    release=[0, 2, 5, 6, 8],
    name="rules",
)
INSTANCE = DynamicShopInstance(SHOP, np.array([20, 30, 17, 24, 40]), np.array([1, 1, 4, 2, 1]))


def at_ten() -> DynamicShopEngine:
    """The shop at the first decision with a choice."""
    engine = engine_for(INSTANCE)
    engine.step(np.array([0]))
    assert engine.now(0) == 10
    assert set(shown(engine)) == {(1, 0), (2, 0), (3, 0)}
    return engine


def priorities(name: str) -> list[float]:
    """Priorities of jobs 1, 2, 3 at time 10."""
    engine = at_ten()
    priority = get_rule("dynamic_shop", name).priority(CandidateView(engine.schema, engine.observation))[0]
    allowed = shown(engine)
    return [float(priority[allowed[job, 0]]) for job in (1, 2, 3)]


# u = 10 / 10 at time 10; work before machine 1: the 6 units left of job 4; mean of 4, 8, 2 is 14 / 3
E1 = math.e
MEAN = 14 / 3
BY_HAND = {
    "edd": [30, 17, 24],
    "odd": [2 + 28 * 4 / 10, 17, 6 + 18 * 2 / 10],
    "mdd": [30, 18, 24],
    "mod": [14, 18, 12],
    "slack": [10, -1, 4],
    "s_opn": [5, -1, 4 / 3],
    "s_rpt": [1, -1 / 8, 4 / 10],
    "cr": [2, 7 / 8, 14 / 10],
    "covert": [-(1 / 4) * 0.5, -(4 / 8), -(2 / 2) * (1 - 4 / 20)],
    "atc": [math.log(4) + 0, math.log(2), math.log(1)],
    "atc_tuned": [math.log(4) + 4 / (2 * MEAN), math.log(2), math.log(1)],
    "wspt": [4, 2, 1],
    "wmdd": [20, 2, 7],
    "wmod": [4, 2, 1],
    "rr": [10 / E1 * 4 / 10 + E1 * 4 + 6, -1 / E1 * 8 / 8 + E1 * 8, 4 / E1 * 2 / 10 + E1 * 2 + 6],
    "spt": [4, 8, 2],
    "lpt": [-4, -8, -2],
    "fifo": [2, 5, 6],
    "lifo": [-2, -5, -6],
    "fasfs": [2, 5, 6],
    "mwkr": [-10, -8, -10],
    "lwkr": [10, 8, 10],
    "mopnr": [-2, -1, -3],
    "lopnr": [2, 1, 3],
    "spt_twk": [4 / 10, 1, 2 / 10],
    "spt_twkr": [4 / 10, 1, 2 / 10],
    "fdd": [6, 13, 8],
    "winq": [6, 0, 6],
    "pt_winq": [10, 8, 8],
    "pt_winq_sl": [10, 7, 8],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_priorities_by_hand(name: str) -> None:
    """The priorities of three jobs are the textbook's, worked out by hand."""
    assert priorities(name) == pytest.approx(BY_HAND[name], rel=1e-6, abs=1e-9)


def test_every_rule_is_worked_out() -> None:
    """No rule is registered without its numbers above; the page's due-date rules are among them."""
    assert set(rules_of("dynamic_shop")) == set(BY_HAND)
    page = {"edd", "odd", "mdd", "mod", "slack", "s_opn", "s_rpt", "cr", "covert", "atc", "wspt", "rr"}
    assert page <= set(BY_HAND)


def test_indices_shown_to_networks() -> None:
    """The columns `atc`, `covert`, `wspt`, `mdd` are the rules' indices relative to the best candidate."""
    engine = at_ten()
    allowed, x = shown(engine), engine.observation["candidate_x"][0]
    rows = [allowed[job, 0] for job in (1, 2, 3)]
    columns = {name: x[rows, engine.schema.action_feature(name)] for name in ("atc", "covert", "wspt", "mdd")}
    atc = np.exp(-np.array(BY_HAND["atc_tuned"]))
    assert columns["atc"] == pytest.approx(atc / atc.max(), rel=1e-5)
    covert = -np.array(BY_HAND["covert"])
    assert columns["covert"] == pytest.approx(covert / covert.max(), rel=1e-5)
    assert columns["wspt"] == pytest.approx([1 / 4, 1 / 2, 1], rel=1e-5)
    assert columns["mdd"] == pytest.approx(np.array([12, 0, 6]) / INSTANCE.unit, rel=1e-5)


def test_ties_go_to_the_first_arrival_and_the_fastest_machine() -> None:
    """Equal jobs are served in order of arrival, whatever their slots; of eligible machines the fastest is taken."""
    jobs = [[[(0, 3)]], [[(0, 5), (1, 4)]], [[(0, 5), (1, 4)]]]
    instance = DynamicShopInstance(
        ShopInstance.from_alternatives(jobs, release=[0, 1, 1]), np.full(3, 9), np.ones(3, np.int32)
    )
    engine = engine_for(instance, ask="shop", skip_forced=False)
    engine.step(np.array([0]))
    policy = rule_policy("dynamic_shop", "edd", engine.schema)
    engine.step(policy.act(engine.observation))
    # at 1 machine 0 is busy; at 3 both machines are free only if job 1 went to machine 1, the faster one
    schedule = engine.schedule(0)
    assert (schedule.job[1], schedule.resource[1], schedule.start[1]) == (1, 1, 1)
    engine.step(policy.act(engine.observation))
    assert engine.objective(0) == 0


def test_randomised_dispatch_is_no_worse_than_its_rule() -> None:
    """Hindsight over noisy runs keeps the rule's own run among them; the validator agrees."""
    instance = INSTANCE
    assert set(solvers_of("dynamic_shop")) == {"randomised_dispatch"}
    solution = RandomisedDispatchSolver().solve(instance, 0.05)
    schedule, value = dispatch(instance)
    assert validate(instance, schedule) == value >= solution.objective
    assert validate(instance, solution.schedule) == solution.objective
    assert solution.bound is not None
    assert solution.bound <= solution.objective
    with pytest.raises(ValueError, match="time_limit_s"):
        RandomisedDispatchSolver().solve(instance, 0.0)
