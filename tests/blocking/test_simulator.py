"""The blocking shop's simulator: hand-worked shops, brute force against CP-SAT, downtime, deadlocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from blocking_shops import LAWS, engine_for, small_shop
from random_play import best_reachable, play

from makespan.envs.blocking.engine import BlockingShopEngine
from makespan.envs.blocking.generator import TOY_OPTIMUM, ToyBlockingShop, UniformBlockingShop
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.blocking.solver import CPSATSolver
from makespan.envs.blocking.validator import validate
from makespan.envs.jobshop.instance import ShopInstance

ONE = ShopInstance.from_jobs([[(0, 5), (1, 2)], [(1, 4)]])


def times(engine: BlockingShopEngine, kind: str = "process") -> list[tuple[int, int, int, int, int]]:
    """Rows (job, task, machine, start, end) of one kind."""
    schedule = engine.schedule(0)
    columns = (schedule.job, schedule.task, schedule.resource, schedule.start, schedule.end)
    rows = zip(schedule.kinds, *(column.tolist() for column in columns), strict=True)
    return [row[1:] for row in rows if row[0] == kind]  # type: ignore[misc]


def run(instance: BlockingShopInstance, admission: str = "greedy") -> BlockingShopEngine:
    """The shop played with the lowest allowed candidate."""
    engine = engine_for(1, admission)
    engine.load(0, instance)
    while not engine.outcome.terminated[0]:
        engine.step(engine.observation["action_mask"].argmax(axis=1).astype(np.int64))
    return engine


@pytest.mark.parametrize("swap", [True, False])
def test_toy_by_hand(swap: bool) -> None:
    """Two crossing jobs: 5 with a swap at time 2, 10 without; brute force over the decisions finds just that."""
    assert best_reachable(engine_for(1), ToyBlockingShop(swap).sample()) == TOY_OPTIMUM[swap]
    engine = run(ToyBlockingShop(swap).sample())
    assert engine.objective(0) == TOY_OPTIMUM[swap]
    assert engine.num_swaps(0) == int(swap)


def test_blocking_by_hand() -> None:
    """A finished job holds its machine until the next one is free: job 0 blocks machine 0 from 2 to 4."""
    engine = run(BlockingShopInstance(ShopInstance.from_jobs([[(0, 2), (1, 3)], [(1, 4)], [(0, 1)]])))
    assert times(engine) == [(0, 0, 0, 0, 2), (0, 1, 1, 4, 7), (1, 0, 1, 0, 4), (2, 0, 0, 4, 5)]
    assert times(engine, "blocked") == [(0, 0, 0, 2, 4)]


@pytest.mark.parametrize(
    ("repeat", "down", "end"),
    [
        (False, [(0, 2, 4)], 7),  # 2 + 3 units of work around the window
        (True, [(0, 2, 4)], 9),  # two lost, five from 4 on
        (False, [(0, 2, 4), (0, 6, 7)], 8),
        (True, [(0, 2, 4), (0, 8, 9)], 14),  # four lost in the second attempt
        (True, [(0, 5, 6)], 5),  # done as the machine goes down
        (False, [(0, 0, 3)], 8),  # entry only after the repair
    ],
)
def test_windows_by_hand(repeat: bool, down: list[tuple[int, int, int]], end: int) -> None:
    """Preempt-resume keeps the work done before a shutdown, preempt-repeat loses it; nobody enters a machine that is down."""
    instance = BlockingShopInstance(ONE, repeat=repeat, down=np.array(down))
    engine = run(instance)
    assert times(engine)[0][4] == end
    assert validate(instance, engine.schedule(0)) == engine.objective(0)


@pytest.mark.parametrize(("repeat", "end"), [(False, 8), (True, 11)])
def test_stops_by_hand(repeat: bool, end: int) -> None:
    """A stop of 3 after 3 units of a work of 5: the operation ends at 8, or at 3 + 3 + 5 if it starts over."""
    stops = {"stop_after": np.array([3, 0, 0]), "stop_length": np.array([3, 0, 0])}
    engine = run(BlockingShopInstance(ONE, repeat=repeat, **stops))
    assert times(engine)[0] == (0, 0, 0, 0, end)
    assert times(engine, "down") == [(-1, -1, 0, 3, 6)]


def test_swap_waits_for_repair() -> None:
    """A cycle exchanges places only when all its machines are up: machine 1 is down from 1 to 6."""
    toy = ToyBlockingShop().sample().shop
    engine = run(BlockingShopInstance(toy, down=np.array([(1, 1, 6)])))
    # job 1 has done 1 of 2 on machine 1 at time 1, ends at 7; the swap is at 7
    assert times(engine) == [(0, 0, 0, 0, 2), (0, 1, 1, 7, 10), (1, 0, 1, 0, 7), (1, 1, 0, 7, 10)]
    engine = run(BlockingShopInstance(toy, down=np.array([(1, 2, 6)])))
    assert times(engine)[1] == (0, 1, 1, 6, 9)


@pytest.mark.parametrize("low", [0, 1])
def test_swap_decisions_reach_the_optimum(low: int) -> None:
    """On tiny shops the best of all sequences of decisions is CP-SAT's proved optimum, zero durations included."""
    rng, engine, compared = np.random.default_rng(low), engine_for(1), 0
    while compared < 20:
        instance = small_shop(rng, swap=True, low=low)
        if instance.num_operations > 10:
            continue
        solution = CPSATSolver(workers=1).solve(instance, 20)
        assert solution.status == "optimal"
        assert best_reachable(engine, instance) == solution.objective
        compared += 1


def test_no_swap_decisions_never_beat_the_optimum() -> None:
    """Without swaps no sequence of decisions beats CP-SAT's optimum, and most tiny shops reach it.

    The banker's mask forbids some states that are no dead ends: in about one ragged tiny shop of ten the optimum is lost.
    """
    rng, engine, excess = np.random.default_rng(3), engine_for(1), []
    while len(excess) < 20:
        instance = small_shop(rng, swap=False)
        if instance.num_operations > 10:
            continue
        excess.append(best_reachable(engine, instance) - CPSATSolver(workers=1).solve(instance, 20).objective)
    assert min(excess) == 0
    assert np.mean(np.array(excess) == 0) >= 0.75


def random_rollouts(count: int, seed: int) -> None:
    """Random episodes over all laws, with and without swaps: each validated, its makespan the last bound."""
    rng, engine = np.random.default_rng(seed), engine_for(50)
    cases = [(swap, law, repeat) for swap in (True, False) for law in LAWS for repeat in (False, True)]
    for batch in range(-(-count // 50)):
        swap, law, repeat = cases[batch % len(cases)]
        instances = [small_shop(rng, swap, law, repeat, low=batch % 2) for _ in range(50)]
        for slot, instance in enumerate(instances):
            engine.load(slot, instance)
        play(engine, rng)
        for slot, instance in enumerate(instances):
            makespan = validate(instance, engine.schedule(slot))
            assert makespan == engine.objective(slot) == engine.lower_bound(slot)


def test_random_rollouts_pass_the_validator() -> None:
    """The simulator's schedules are feasible under every shutdown law, with and without swaps."""
    random_rollouts(800, seed=0)


@pytest.mark.slow
def test_ten_thousand_rollouts_pass_the_validator() -> None:
    """As above, 10 000 episodes."""
    random_rollouts(10_000, seed=1)


def random_no_swap_episodes(count: int, seed: int) -> None:
    """Random episodes without swaps; a dead end raises in the simulator, an endless one runs out of steps."""
    rng = np.random.default_rng(seed)
    engine = BlockingShopEngine(
        200, num_jobs=6, num_operations=36, num_machines=6, admission="wait", skip_forced=True
    )
    generator = UniformBlockingShop(swap=False, high=9, min_jobs=2, min_machines=2)
    for _ in range(count // 200):
        for slot in range(200):
            engine.load(slot, generator.sample(rng))
        for _ in range(2000):
            mask = engine.observation["action_mask"]
            actions = np.where(mask > 0, rng.random(mask.shape), -1.0).argmax(axis=1)
            engine.step(np.where(engine.outcome.terminated, -1, actions))
            if engine.outcome.terminated.all():
                break
        assert engine.outcome.terminated.all()


def test_no_swap_never_deadlocks() -> None:
    """Without swaps the mask keeps random play out of deadlocks: 4 000 episodes end."""
    random_no_swap_episodes(4_000, seed=0)


@pytest.mark.slow
def test_no_swap_never_deadlocks_in_100_000_episodes() -> None:
    """As above, 100 000 episodes."""
    random_no_swap_episodes(100_000, seed=1)


def trajectory(instance: BlockingShopInstance, admission: str) -> list[dict[str, np.ndarray]]:
    """Everything a random player sees, gets and leaves behind."""
    engine = BlockingShopEngine(
        1, num_jobs=6, num_operations=36, num_machines=6, admission=admission, skip_forced=True
    )
    engine.load(0, instance)
    rng, seen = np.random.default_rng(5), []
    while not engine.outcome.terminated[0]:
        mask = engine.observation["action_mask"]
        engine.step(np.where(mask > 0, rng.random(mask.shape), -1.0).argmax(axis=1))
        step = {key: array.copy() for key, array in engine.observation.items()}
        seen.append({**step, "reward": engine.outcome.reward.copy()})
    schedule = engine.schedule(0)
    seen.append({key: getattr(schedule, key) for key in ("job", "task", "resource", "start", "end")})
    return seen


def equal(one: list[dict[str, np.ndarray]], other: list[dict[str, np.ndarray]]) -> bool:
    """Bit for bit."""
    return len(one) == len(other) and all(
        a.keys() == b.keys() and all(a[key].tobytes() == b[key].tobytes() for key in a)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("admission", ["wait", "greedy"])
@pytest.mark.parametrize("swap", [True, False])
def test_probability_zero_is_the_uninterrupted_shop(admission: str, swap: bool) -> None:
    """Shutdown probability 0 gives the same shops, observations, rewards and schedules as no shutdowns, bit for bit.

    So does, but for what critics may know, a machine whose first failure comes after the end: the code for downtime
    changes nothing.
    """
    plain = UniformBlockingShop(swap=swap).sample(np.random.default_rng(7))
    for law in ("per_step", "per_op"):
        never = UniformBlockingShop(swap=swap, shutdown=law, probability=0.0).sample(np.random.default_rng(7))
        assert equal(trajectory(plain, admission), trajectory(never, admission))
    late = replace(plain, down=np.array([(m, 200_000, 200_010) for m in range(6)]))
    assert equal(trajectory(plain, admission), trajectory(late, admission))


def test_nothing_seen_knows_the_future() -> None:
    """Two shops whose downtime differs only after time 60 look and pay the same until then, but for `critic_x`."""
    shop = UniformBlockingShop(high=9).sample(np.random.default_rng(2)).shop
    early = [(0, 5, 30), (2, 10, 20), (3, 40, 55)]
    runs = [
        BlockingShopInstance(shop, down=np.array([*early, *late]))
        for late in ([(1, 61, 90), (4, 62, 400)], [(0, 70, 75), (5, 64, 99)])
    ]
    engines = []
    for instance in runs:
        engine = BlockingShopEngine(
            1, num_jobs=6, num_operations=36, num_machines=6, admission="wait", skip_forced=False
        )
        engine.load(0, instance)
        engines.append(engine)
    rng, compared, unit = np.random.default_rng(0), 0, engines[0].lower_bound(0)
    now = engines[0].schema.node_feature("system", "now")
    while True:
        one, other = (engine.observation for engine in engines)
        if max(e.observation["system_x"][0, 0, now] for e in engines) * unit > 60:
            break
        for key in one:
            assert key == "critic_x" or np.array_equal(one[key], other[key]), key
        assert engines[0].outcome.reward[0] == engines[1].outcome.reward[0]
        action = np.where(one["action_mask"] > 0, rng.random(one["action_mask"].shape), -1.0).argmax(axis=1)
        for engine in engines:
            engine.step(action)
        compared += 1
    assert compared > 10
