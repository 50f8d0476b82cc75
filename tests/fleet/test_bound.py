"""The flow model: the bound dominates every policy, is tight where it can be, and the planners plan."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fleet_play import play

from makespan.envs.core.policy import policies_of, rules_of, solvers_of
from makespan.envs.fleet.bound import realised_problem, upper_bound
from makespan.envs.fleet.family import FLEET
from makespan.envs.fleet.generator import make_generator
from makespan.envs.fleet.generator_base import TOY_OPTIMUM, ToyDay
from makespan.envs.fleet.genetic import GeneticSolver
from makespan.envs.fleet.gymnasium_env import UAMFleetVectorEnv
from makespan.envs.fleet.planners import RebalancingPolicy, RollingHorizonPolicy
from makespan.envs.fleet.schema import fleet_schema
from makespan.envs.fleet.time_expanded import largest_value, solve_flow
from makespan.envs.fleet.validator import validate


def test_toy_bound_by_hand():
    """With divisible aircraft the toy's six passengers need one and two quarter flights, all full: 120 - 1.5 x 12 = 102 USD.

    Floored to 15 min a flight takes one bin, so all three can be flown in time. HiGHS' tolerance is added.
    """
    assert 102.0 <= upper_bound(ToyDay().sample()) <= 102.03
    assert upper_bound(ToyDay().sample()) >= TOY_OPTIMUM


def test_both_algorithms_find_the_same_bound():
    """The interior point method, which gives no flow, reaches the value of the simplex method's flow."""
    problem = realised_problem(make_generator("tiny").day(3))
    flow = solve_flow(problem)
    assert largest_value(problem) == pytest.approx(flow.value, rel=1e-7)
    assert flow.value > 0.0


def test_bound_without_demand():
    """Where nobody wants to fly, the bound is what staying earns: nothing."""
    day = make_generator("tiny").day(0)
    empty = dataclasses.replace(
        day, arrival_time=np.zeros(0, np.int32), arrival_pair=np.zeros(0, np.int32), name="empty"
    )
    assert 0.0 <= upper_bound(empty) <= 0.03


@pytest.mark.parametrize("changes", [{}, {"time_of_use": True}, {"final_recharge": False}, {"closure": 0.4}])
def test_bound_dominates_every_policy(changes: dict[str, float]):
    """No rule, planner or genetic day earns more than the bound."""
    days = [make_generator("tiny", **changes).day(seed) for seed in range(2)]
    bounds = [upper_bound(day) for day in days]
    assert FLEET.lower_bound(days[0]) == bounds[0]
    schema = fleet_schema(4, 8)
    days = days[:1] if changes else days
    policies = [*rules_of("fleet"), "random", RebalancingPolicy(schema), RollingHorizonPolicy(schema, bins=3)]
    for policy in policies:
        envs = play(days, policy)
        for slot, bound in enumerate(bounds[: len(days)]):
            assert envs.objective(slot) <= bound, policy
    assert GeneticSolver(population=20, generations=5).solve(days[0]).objective <= bounds[0]


@pytest.mark.parametrize("policy", [RebalancingPolicy, RollingHorizonPolicy])
def test_planners_beat_greedy_flights(policy: type[RebalancingPolicy] | type[RollingHorizonPolicy]):
    """A plan on the forecast earns more than random feasible flights, on valid days."""
    days = [make_generator("tiny").day(seed) for seed in range(2)]
    planner = policy(fleet_schema(4, 8), **({"bins": 4} if policy is RollingHorizonPolicy else {}))
    envs, chance = play(days, planner), play(days, "random")
    planned = sum(validate(day, envs.schedule(slot)) for slot, day in enumerate(days))
    assert planned > 1.5 * sum(chance.objective(slot) for slot in range(2))


def test_planners_do_not_see_the_realisation():
    """A day whose passengers all come later than a moment is planned alike until then, whatever comes."""
    day = make_generator("tiny").day(0)
    early = day.arrival_time < 3600
    changed = dataclasses.replace(
        day, arrival_time=day.arrival_time[early], arrival_pair=day.arrival_pair[early]
    )
    for policy in (RebalancingPolicy(fleet_schema(4, 8)), RollingHorizonPolicy(fleet_schema(4, 8), bins=4)):
        envs = UAMFleetVectorEnv(2, instances=[day, changed], autoreset_mode="Disabled", copy=False)
        seen, _ = envs.reset(seed=0)
        policy.begin([day, changed], np.arange(2))
        decisions = 0
        while envs.engine.now(0) < 3600:
            actions = policy.act(seen)
            assert actions[0] == actions[1]
            seen, *_ = envs.step(actions)
            decisions += 1
        assert decisions > 10


def test_genetic_algorithm():
    """It improves from generation to generation, counts its evaluations, is reproducible, and its day is feasible."""
    day = make_generator("tiny").day(1)
    solver = GeneticSolver(population=30, generations=12)
    run = solver.run(day, 60.0, seed=3)
    assert run.evaluations == 30 + 12 * 29
    assert list(run.history) == sorted(run.history)
    assert run.history[-1] > run.history[0]
    assert validate(day, run.schedule) == run.profit / 100
    again = solver.run(day, 60.0, seed=3)
    assert (again.profit, again.schedule) == (run.profit, run.schedule)
    assert run.seconds > 0
    with pytest.raises(ValueError, match="population"):
        GeneticSolver(population=1)


def test_registered():
    """Planners and solver are found by name."""
    assert set(policies_of("fleet")) == {"rebalancing", "rolling_horizon"}
    assert set(solvers_of("fleet")) == {"genetic"}
    policy = policies_of("fleet")["rolling_horizon"].load(fleet_schema(4, 8), bins=2)
    assert isinstance(policy, RollingHorizonPolicy)
