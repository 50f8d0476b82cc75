"""List search: its costs against plans built anew, its moves, and the plan that an environment keeps and shows."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from soc_runs import engine_for

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.policy import policies_of
from makespan.envs.soc.benchmark import load_instance
from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.env import SocEnv
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.list_search import Desk, Known, Lists, cost_of_trial, improve, make_desk, put_first
from makespan.envs.soc.planning import IntArray, Planner, busy_until, execute
from makespan.envs.soc.policies import ListSearch
from makespan.envs.soc.state import UNIT
from makespan.envs.soc.static_schedulers import HEFT
from makespan.envs.soc.validator import validate


def draw(name: str, seed: int = 0, **parameters: Any) -> SocInstance:
    """An instance of a generator."""
    return make_generator(name, **parameters).sample(np.random.default_rng(seed))


def set_up(instance: SocInstance, *, latest: bool = False) -> tuple[Planner, Known, Lists, Desk]:
    """Everything of an instance to be planned, in the order of HEFT."""
    planner = Planner(instance)
    order = planner.by_rank(planner.rows_of(range(instance.num_jobs)))
    lists = Lists(order, np.full(order.size, -1, np.int32))
    jobs, free = instance.num_jobs, np.zeros(instance.num_pes, np.int64)
    known = Known(free, instance.arrival.copy(), np.zeros(jobs, np.int64), np.ones(jobs), latest, 0.25)
    return planner, known, lists, make_desk(planner.net, planner.empty_plan(), lists, jobs)


def planned_anew(planner: Planner, known: Known, lists: Lists) -> tuple[float, IntArray]:
    """Cost and ends of a list's plan, built in one go and summed up in NumPy."""
    plan = planner.empty_plan()
    busy = busy_until(known.free, lists.order.size)
    planner._insert(plan, busy, lists.order.copy(), known.release, forced=lists.bound.copy())
    last = np.zeros(known.ends.size, np.int64)
    np.maximum.at(last, planner.net.row_job, plan.end)
    work = int((plan.end - plan.start).sum())
    return float(last.max() if known.latest else last.sum()) + known.work * work, plan.end


@pytest.mark.parametrize("latest", [False, True])
def test_search_knows_what_its_plans_cost(latest: bool) -> None:
    """Guards kept prefixes and running sums: after any number of moves the plan is the list's, and so is its cost."""
    instance = draw("soc16-mix", scale=20, num_jobs=4)
    planner, known, lists, desk = set_up(instance, latest=latest)
    costs = []
    for seed in range(6):
        cost = improve(planner.net, known, lists, desk, 0, 60 if seed else 0, seed)
        expected, ends = planned_anew(planner, known, lists)
        assert cost == pytest.approx(expected)
        assert (desk.plan.end == ends).all()
        assert sorted(lists.order.tolist()) == list(range(instance.total_rows))
        costs.append(cost)
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]
    assert validate(instance, execute(instance, desk.plan)) > 0  # raises if a predecessor comes too late


def test_new_jobs_find_their_place() -> None:
    """Guards the block moves: a short job that comes last in the list is put before a long one if that costs less."""
    profiles = {"profiles": ("wifi_tx", "temporal_mitigation"), "scale": 0.0}
    instance = draw("stream", platform="soc16", num_jobs=6, **profiles)
    planner, known, lists, desk = set_up(instance)
    rows = np.concatenate([planner.by_rank(planner.rows_of([job])) for job in range(6)])
    lists.order[:] = rows
    fresh = int((planner.net.row_job == 5).sum())
    alone = improve(planner.net, known, Lists(rows.copy(), lists.bound.copy()), desk, 0, 0, 1)
    placed = improve(planner.net, known, lists, desk, fresh, 0, 1)
    assert placed <= alone
    assert placed == pytest.approx(planned_anew(planner, known, lists)[0])
    own = planner.net.row_job[lists.order] == 5
    assert (lists.order[own] == rows[-fresh:]).all()
    assert (lists.order[~own] == rows[:-fresh]).all()


def test_a_candidate_is_tried_before_all_else() -> None:
    """Guards the candidates' costs: the row comes first, on its PE, the rest in the list's order."""
    planner, known, lists, desk = set_up(load_instance("topcuoglu"), latest=True)
    improve(planner.net, known, lists, desk, 0, 0, 1)
    for pe in range(3):
        put_first(lists, desk, 0, pe)
        tried = Lists(lists.order, np.array([pe, *[-1] * 9], np.int32))
        expected = planned_anew(planner, known, tried)[0]
        assert cost_of_trial(planner.net, known, desk, 0, np.inf) == pytest.approx(expected)
        assert cost_of_trial(planner.net, known, desk, 0, expected - 1) == np.inf


def test_moves_find_the_optimum_of_the_heft_paper() -> None:
    """Guards the neighbourhood: 73 is proved optimal for the sample graph of Topcuoglu et al. (2002), HEFT makes 80."""
    planner, known, lists, desk = set_up(load_instance("topcuoglu"), latest=True)
    improve(planner.net, known._replace(work=0.0), lists, desk, 0, 3000, 1)
    assert desk.plan.end.max() == 73


def follow(instance: SocInstance, moves: int, **options: Any) -> SocEngine:
    """A whole run of the plan."""
    engine = engine_for(instance, plan_moves=moves, **options)
    policy = ListSearch(engine.schema)
    while not engine.outcome.terminated[0]:
        engine.step(policy.act(engine.observation))
    return engine


@pytest.mark.parametrize("moves", [0, 30])
def test_plans_beat_heft_where_all_is_known(moves: int) -> None:
    """Guards the way from the plan to decisions: with every job there and no noise nothing is lost on it."""
    better = 0
    for seed in range(6):
        instance = draw("soc16-mix", seed, scale=0.0, num_jobs=4)
        own, heft = follow(instance, moves, plan_work=0.0).objective(0), HEFT().solve(instance).objective
        assert own <= heft + 1e-9
        better += own < heft
    assert better >= 3


def test_plans_are_better_than_heft_on_streams() -> None:
    """Guards the benefit under arrivals and noise, on a few streams."""
    for noise in (0.0, 0.2):
        instances = [draw("soc16-mix", seed, scale=40, num_jobs=12, noise=noise) for seed in range(4)]
        own = sum(follow(instance, 0).objective(0) for instance in instances)
        assert own < 0.98 * sum(HEFT().solve(instance).objective for instance in instances)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_columns_say_what_is_planned(noise: float) -> None:
    """Guards the columns: something allowed is always planned, what is planned costs nothing, PEs are free for it."""
    engine = engine_for(draw("soc16-mix", 3, scale=30, num_jobs=6, noise=noise), plan_moves=20, max_ready=5)
    view = {
        name: engine.schema.action_feature(name) for name in ("planned", "plan_here", "plan_cost", "idle")
    }
    rng = np.random.default_rng(0)
    free = 0
    while not engine.outcome.terminated[0]:
        x, mask = engine.observation["candidate_x"][0], engine.observation["action_mask"][0] > 0
        planned = x[:, view["planned"]] > 0
        assert planned.any()
        assert mask[planned].all()
        assert (x[~mask][:, list(view.values())[:3]] == 0).all()
        commits = planned.copy()
        commits[-1] = False
        assert (x[commits, view["plan_here"]] == 1).all()
        if mask[-1]:
            assert (x[commits, view["idle"]] == 1).all()
            free += int((x[commits, view["plan_cost"]] == 0).sum())
        assert (x[:, view["plan_cost"]] >= 0).all()
        engine.step(rng.choice(np.flatnonzero(mask), 1))
    assert free > 10


def test_tasks_start_when_the_plan_says() -> None:
    """Guards the column of planned starts, and their keeping: where all is known, each task starts when it was to."""
    instance = draw("soc16-mix", 2, scale=0.0, num_jobs=4)
    engine = engine_for(instance, plan_moves=20)
    policy, start = ListSearch(engine.schema), engine.schema.action_feature("plan_start")
    planned, unit = {}, float(engine._socs.clock[0, UNIT])
    while not engine.outcome.terminated[0]:
        action = policy.act(engine.observation)
        row, _, pe = engine.observation["candidate_index"][0, action[0]]
        if row >= 0:
            job, task = divmod(int(row), engine._socs.task.shape[1] // engine._socs.job.shape[1])
            wait = engine.observation["candidate_x"][0, action[0], start] * unit
            planned[job, task, int(pe)] = engine.now(0) + round(float(wait))
        engine.step(action)
    run = engine.schedule(0)
    assert dict(zip(zip(run.job, run.task, run.resource, strict=True), run.start, strict=True)) == planned


def test_nothing_waits_for_what_is_not_on_offer() -> None:
    """Guards against a standstill: with one ready task on offer, no wait is planned while every PE is idle."""
    idle_moments = 0
    for seed in range(4):
        engine = engine_for(draw("soc16-mix", seed, scale=60, num_jobs=6), plan_moves=0, max_ready=1)
        policy, idle = ListSearch(engine.schema), engine.schema.node_feature("pe", "idle")
        while not engine.outcome.terminated[0]:
            action = policy.act(engine.observation)
            if (engine.observation["pe_x"][0, :, idle] == 1).all():
                idle_moments += 1
                assert engine.observation["candidate_index"][0, action[0], 0] >= 0
            engine.step(action)
    assert idle_moments > 4


def test_plans_are_part_of_the_state() -> None:
    """Guards clones: from a restored state the same plans follow, and other slots do not matter."""
    instance = draw("top-stream", 1, scale=40, num_jobs=6, noise=0.2)
    engine = engine_for(instance, plan_moves=40)
    policy = ListSearch(engine.schema)
    for _ in range(25):
        engine.step(policy.act(engine.observation))
    token = engine.clone(0)
    for _ in range(2):
        engine.restore(0, token)
        while not engine.outcome.terminated[0]:
            engine.step(policy.act(engine.observation))
        assert engine.schedule(0) == follow(instance, 40).schedule(0)


def test_policy_brings_its_environment() -> None:
    """Guards the registry entry: options of the policy become keywords of the environment."""
    entry = policies_of("soc")["list_search"]
    wanted = {"plan_moves": 50, "plan_work": 1.0, "max_ready": 24, "merge_twins": False}
    assert entry.environment({"moves": 50}) == wanted
    env = SocEnv("top-stream", num_jobs=3, **entry.environment({"moves": 5}))
    assert isinstance(entry.load(env.engine.schema, moves=5), ListSearch)
    with pytest.raises(ValueError, match="plan_moves"):
        entry.load(SocEnv("top-stream").engine.schema)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"plan_moves": -1}, "plan_moves: -1"),
        ({"plan_moves": 5, "mode": "task"}, "task_pe"),
        ({"plan_moves": 5, "plan_work": float("nan")}, "plan_work: nan"),
    ],
)
def test_senseless_options_are_refused(options: dict[str, Any], named: str) -> None:
    """Guards the messages."""
    with pytest.raises(ValueError, match=named):
        gymnasium.make("makespan/SoC-v0", **options)


def test_energy_is_not_planned() -> None:
    """Guards the error where a plan's cost would not be the objective."""
    with pytest.raises(InvalidInstanceError, match="energy"):
        SocEnv("soc16-mix", objective="energy", plan_moves=5).reset(seed=0)


def test_waiting_has_its_cost() -> None:
    """Guards the column of the wait: leaving a PE idle costs what it delays, waiting for a busy one costs nothing."""
    instance = draw("layered", num_tasks=6, num_pes=2, num_jobs=2, scale=30.0, objective="latency")
    engine = engine_for(instance, plan_moves=0)
    cost, wait = engine.schema.action_feature("plan_cost"), engine.schema.candidates.max_count - 1
    waits = []
    while not engine.outcome.terminated[0]:
        allowed = np.flatnonzero(engine.observation["action_mask"][0])
        waits += [engine.observation["candidate_x"][0, wait, cost]] if wait in allowed else []
        engine.step(allowed[:1])
    assert max(waits) > min(waits) == 0
