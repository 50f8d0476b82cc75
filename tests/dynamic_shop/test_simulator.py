"""The dynamic shop's simulator: against a plain one, by hand, and against the theory of queues."""

from __future__ import annotations

import numpy as np
import pytest
from plain_dynamic import PlainShop, engine_for, play, shown

from makespan.envs.core.policy import rule_policy
from makespan.envs.dynamic_shop.engine import DynamicShopEngine
from makespan.envs.dynamic_shop.generator import (
    DynamicSize,
    KnownOptimumShop,
    PoissonShop,
    ToyShop,
    make_generator,
)
from makespan.envs.dynamic_shop.instance import DynamicShopInstance
from makespan.envs.dynamic_shop.validator import lower_bound, validate
from makespan.envs.jobshop.instance import ShopInstance

SMALL = {"num_jobs": 14, "num_machines": 3, "warm_up": 3, "cool_down": 2, "high": 12, "tightness": 1.5}
WORLDS: dict[str, dict[str, object]] = {
    "plain": {},
    "breakdowns": {"mtbf": 30.0, "mttr": 10.0},
    "noise": {"noise": 0.5},
    "flexible": {"flexibility": 3, "spread": 0.6},
    "everything": {"mtbf": 25.0, "mttr": 8.0, "noise": 0.4, "flexibility": 2, "objective": "flow_time"},
    "crowded": {"utilisation": 1.6, "objective": "makespan"},
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("ask", ["machine", "shop"])
@pytest.mark.parametrize("wait", [False, True])
def test_agrees_with_a_plain_simulator(world: str, ask: str, wait: bool) -> None:
    """On random play, what is allowed, the time, the schedule and the objective are those of a simulator without kernels."""
    generator = PoissonShop(**{**SMALL, **WORLDS[world]})  # type: ignore[arg-type]
    rng = np.random.default_rng(7)
    room = 3 if world == "crowded" else 20
    engine = DynamicShopEngine(
        1, generator.size, ask=ask, may_wait=wait, skip_forced=False, max_live_jobs=room
    )
    for _ in range(6):
        instance = generator.sample(rng)
        engine.load(0, instance)
        plain = PlainShop(instance, ask, wait, room)
        while not engine.outcome.terminated[0]:
            allowed = shown(engine)
            assert set(allowed) == {*plain.pairs, *([None] if plain.can_wait else [])}
            assert engine.now(0) == plain.now
            names = sorted(allowed, key=lambda pair: pair or (-1, -1))
            choice = names[int(rng.integers(len(names)))]
            engine.step(np.array([allowed[choice]]))
            plain.take(choice)
        assert plain.over
        schedule = engine.schedule(0)
        done = schedule.select(np.array(schedule.kinds) == "process")
        columns = (done.job, done.task, done.resource, done.start, done.end)
        assert sorted(zip(*(column.tolist() for column in columns), strict=True)) == sorted(plain.rows)
        assert engine.objective(0) == plain.objective() == validate(instance, schedule)
        assert engine.objective(0) >= lower_bound(instance)


def test_toy_by_hand() -> None:
    """Without waiting the toy has no choice and costs 4; with waiting the best of all plays costs 2."""
    toy = ToyShop()
    engine = engine_for(toy.sample())
    play(engine, np.random.default_rng(0))
    assert engine.objective(0) == toy.optimum(wait=False) == 4
    engine = engine_for(toy.sample(), may_wait=True, skip_forced=False)
    start, best = engine.clone(0), []
    open_states = [start]
    while open_states:
        engine.restore(0, open_states.pop())
        if engine.outcome.terminated[0]:
            best.append(engine.objective(0))
            continue
        token = engine.clone(0)
        for action in np.flatnonzero(engine.observation["action_mask"][0]):
            engine.restore(0, token)
            engine.step(np.array([action]))
            open_states.append(engine.clone(0))
    assert min(best) == toy.optimum(wait=True) == 2


def test_smith_is_optimal_where_everybody_is_late() -> None:
    """One machine, all jobs there and due at time 0: WSPT attains the known optimum, and nothing in 200 random plays beats it."""
    generator = KnownOptimumShop(num_jobs=7)
    instance = generator.sample(np.random.default_rng(3))
    engine = engine_for(instance, 200)
    play(engine, np.random.default_rng(0))
    assert min(engine.objective(slot) for slot in range(200)) >= generator.optimum(instance)
    engine = engine_for(instance)
    policy = rule_policy("dynamic_shop", "wspt", engine.schema)
    while not engine.outcome.terminated[0]:
        engine.step(policy.act(engine.observation))
    assert engine.objective(0) == generator.optimum(instance)


def test_reward_by_hand() -> None:
    """Two jobs on one machine, u = 4: the one that waits pays as soon as its tardiness is certain, in all exactly -T / scale.

    Job 0: 6 units, due 6, weight 1; job 1: 2 units, due 3, weight 2; both there at 0. Job 0 first: job 1 ends at 8, 5 late: 10.
    Scale: u times the weights, 4 * 3.
    """
    shop = ShopInstance.from_jobs([[(0, 6)], [(0, 2)]], name="two")
    instance = DynamicShopInstance(shop, np.array([6, 3]), np.array([1, 2]))
    engine = engine_for(instance, skip_forced=False)
    assert (instance.unit, instance.scale) == (4, 12)
    engine.step(np.array([0]))
    assert engine.now(0) == 6
    # at 6 job 1 is expected to end at 8
    assert engine.outcome.reward[0] == pytest.approx(-10 / 12)
    assert engine.outcome.elapsed[0] == pytest.approx(6 / 4)
    engine.step(np.array([1]))
    assert engine.outcome.reward[0] == 0.0
    assert engine.objective(0) == 10
    assert engine.return_of(0, 10) == pytest.approx(-10 / 12)


def test_breakdown_by_hand() -> None:
    """A machine that is down from 3 to 5 and from 6 to 10 does 4 units of work from 1 on by 11, and begins nothing while down."""
    shop = ShopInstance.from_jobs([[(0, 4)], [(0, 2)]], release=[1, 12], name="broken")
    down = np.array([(0, 6, 10), (0, 3, 5), (0, 12, 14)])
    instance = DynamicShopInstance(shop, np.array([5, 14]), np.array([1, 1]), down=down)
    engine = engine_for(instance, skip_forced=False)
    engine.step(np.array([0]))
    assert engine.now(0) == 14  # the second job arrives on a broken machine
    engine.step(np.array([0]))
    schedule = engine.schedule(0)
    assert schedule.end[:2].tolist() == [11, 16]
    assert engine.objective(0) == (11 - 5) + (16 - 14) == validate(instance, schedule)


def test_jobs_outside_are_not_lost() -> None:
    """With a single slot, jobs enter one at a time in order of arrival, and all are served."""
    instance = PoissonShop(**{**SMALL, "utilisation": 2.0}).sample(np.random.default_rng(1))  # type: ignore[arg-type]
    engine = engine_for(instance, max_live_jobs=1, skip_forced=False)
    most = 0
    while not engine.outcome.terminated[0]:
        most = max(most, engine.num_outside(0))
        engine.step(np.array([0]))
    assert most > 2
    schedule = engine.schedule(0)
    assert (np.diff(schedule.start) >= 0).all()  # job after job
    assert validate(instance, schedule) == engine.objective(0)


def test_what_is_not_counted_is_not_paid_for() -> None:
    """The objective is over the jobs of the window, and the run ends with the last of them."""
    instance = PoissonShop(**{**SMALL, "utilisation": 1.2}).sample(np.random.default_rng(2))  # type: ignore[arg-type]
    engine = engine_for(instance)
    play(engine, np.random.default_rng(0))
    schedule = engine.schedule(0)
    completion = {job: int(schedule.end[schedule.job == job].max()) for job in range(3, 12)}
    expected = sum(int(instance.weight[j]) * max(0, completion[j] - int(instance.due[j])) for j in completion)
    assert engine.objective(0) == expected
    assert engine.now(0) == max(completion.values())


def test_state_does_not_grow() -> None:
    """Arrays of the state do not depend on how long a run has gone on: the slots are as many at the end as at the beginning."""
    generator = make_generator("dynamic", num_jobs=600, num_machines=2, utilisation=0.7)
    instance = generator.sample(np.random.default_rng(0))
    engine = DynamicShopEngine(1, DynamicSize.of(instance), max_live_jobs=16)
    engine.load(0, instance)
    policy = rule_policy("dynamic_shop", "spt", engine.schema)
    most = 0
    for _ in range(400):
        engine.step(policy.act(engine.observation))
        jobs = engine.observation["job_mask"][0].sum()
        most = max(most, int(engine.observation["operation_mask"][0].sum()))
        assert jobs <= 16
    assert most <= 32


def mean_flow(rule: str, generator: PoissonShop, seeds: int) -> tuple[float, float]:
    """Mean flow time of the counted jobs of some draws, and its standard error over draws."""
    instances = [generator.sample(np.random.default_rng((11, i))) for i in range(seeds)]
    engine = DynamicShopEngine(seeds, generator.size, max_live_jobs=256)
    for slot, instance in enumerate(instances):
        engine.load(slot, instance)
    policy = rule_policy("dynamic_shop", rule, engine.schema)
    while not engine.outcome.terminated.all():
        engine.step(np.where(engine.outcome.terminated, -1, policy.act(engine.observation)))
    flow = np.array([engine.objective(i) / instances[i].counted.sum() for i in range(seeds)])
    return float(flow.mean()), float(flow.std(ddof=1) / np.sqrt(seeds))


@pytest.mark.slow
def test_single_machine_queues() -> None:
    """M/M/1 at 80 %: FIFO's mean flow is p / (1 - rho); SPT's is that of the shortest-job-first queue (Phipps 1956).

    Cobham's priority formula in the limit of a class for each duration: the wait of a job of duration x is
    lambda E[p^2] / 2 / (1 - lambda E[p; p <= x])^2.
    """
    mean, rho = 200.0, 0.8
    generator = PoissonShop(
        num_machines=1,
        min_operations=1,
        law="exponential",
        low=1,
        high=399,
        objective="flow_time",
        num_jobs=6000,
        warm_up=1000,
        cool_down=500,
        utilisation=rho,
    )
    rate = rho / mean
    x = np.linspace(0.0, 40.0 * mean, 400_001)
    density = np.exp(-x / mean) / mean
    below = np.concatenate([[0.0], np.cumsum((x * density)[1:] * np.diff(x))])
    wait = rate * mean**2 / (1.0 - rate * below) ** 2  # E[p^2] / 2 = mean^2
    theory = {"fifo": mean / (1.0 - rho), "spt": mean + float((wait * density)[1:] @ np.diff(x))}
    for rule, expected in theory.items():
        flow, error = mean_flow(rule, generator, 40)
        assert abs(flow - expected) < 3.0 * error, (rule, flow, error, expected)
        assert error < 0.05 * expected
