"""The simulator against a plain-Python twin written from the definitions, and against brute force on tiny shops."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from plain_shop import KINDS, PlainShop, all_schedules, plain, small_shop, starts

import makespan  # noqa: F401
from makespan.envs.core.env import SchedulingEnv
from makespan.envs.jobshop.benchmark import load_instance
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.validator import validate

SCHEMES = ("non_delay", "active", "non_delay_wait", "append")


def make(instance: ShopInstance, **options: object) -> SchedulingEnv:
    """The environment of one instance, bare."""
    kind = "FlexibleJobShop" if instance.is_flexible else "JobShop"
    env = gymnasium.make(
        f"makespan/{kind}-v0", instance=instance, illegal_action="raise", **options
    ).unwrapped
    assert isinstance(env, SchedulingEnv)
    return env


def random_walk(env: SchedulingEnv, shop: PlainShop, skip_forced: bool, seed: int) -> None:
    """Play the same random decisions in both, comparing masks, bounds, rewards and the schedule."""
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=0)
    if skip_forced:
        shop.settle(keep_last=True)
    scale, paid, total = max(1, shop.initial_bound), shop.initial_bound, 0
    assert info["lower_bound"] == shop.initial_bound
    terminated = False
    while not terminated:
        choices = shop.allowed()
        assert np.flatnonzero(env.action_masks()).tolist() == sorted(shop.action(c) for c in choices)
        choice = choices[rng.integers(len(choices))]
        shop.take(choice)
        if skip_forced:
            shop.settle()
        _, reward, terminated, _, info = env.step(shop.action(choice))
        assert reward == (paid - shop.bound) / scale
        assert info["lower_bound"] == shop.bound
        assert env.objective == shop.makespan
        total, paid = total + paid - shop.bound, shop.bound
        assert terminated == shop.finished
    assert total == shop.initial_bound - shop.makespan  # the return, in integers
    schedule = env.schedule()
    rows = zip(schedule.job, schedule.task, schedule.resource, schedule.start, schedule.end, strict=True)
    assert all(shop.done[job][task] == (machine, start, end) for job, task, machine, start, end in rows)
    assert validate(env.instance, schedule) == shop.makespan


@pytest.mark.parametrize("skip_forced", [True, False])
@pytest.mark.parametrize("sgs", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_plain_simulator(kind: str, sgs: str, skip_forced: bool) -> None:
    """Random rollouts give the plain simulator's masks, bounds, rewards and schedules, whatever the shop."""
    rng = np.random.default_rng(7)
    for seed in range(12):
        instance = small_shop(rng, kind)
        random_walk(make(instance, sgs=sgs, skip_forced=skip_forced), plain(instance, sgs), skip_forced, seed)


@pytest.mark.parametrize("sgs", SCHEMES)
@pytest.mark.parametrize("name", ["ft06", "orb07"])
def test_agrees_on_the_literature(name: str, sgs: str) -> None:
    """A whole 10 x 10 shop with operations of zero duration (orb07), and ft06, decision by decision."""
    instance = load_instance(name)
    random_walk(make(instance, sgs=sgs), plain(instance, sgs), True, 3)


def optimum(instance: ShopInstance) -> int:
    """Smallest makespan of all semi-active schedules, by enumeration."""
    return min(shop.makespan for shop in all_schedules(plain(instance, "append")))


def reached(env: SchedulingEnv) -> list[tuple[int, SchedulingEnv]]:
    """Every complete schedule the environment can reach, as (makespan, start times)."""
    ends = []

    def explore() -> None:
        for action in np.flatnonzero(env.action_masks()):
            token = env.clone()
            _, _, terminated, _, _ = env.step(int(action))
            if terminated:
                s = env.schedule()
                ends.append((int(s.end.max()), tuple(s.start.tolist()) + tuple(s.resource.tolist())))
            else:
                explore()
            env.restore(token)

    env.reset(seed=0)
    explore()
    return ends


def tiny(kind: str, count: int) -> list[ShopInstance]:
    """Little shops of few enough operations to enumerate."""
    rng, found = np.random.default_rng(11), []
    while len(found) < count:
        instance = small_shop(rng, kind)
        pairs = int((instance.machines >= 0).sum())
        if instance.num_operations <= 7 and pairs <= 9:
            found.append(instance)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sgs", ["active", "non_delay_wait"])
def test_an_optimum_is_within_reach(kind: str, sgs: str) -> None:
    """`active` (Giffler & Thompson, and its flexible form) and `non_delay_wait` lose no optimum."""
    for instance in tiny(kind, 12):
        best = optimum(instance)
        assert min(end for end, _ in reached(make(instance, sgs=sgs))) == best, instance


def is_active(shop: PlainShop) -> bool:
    """Whether no operation can start earlier, in any gap, without delaying another one."""
    rows = [(j, i, *row) for j, job in enumerate(shop.done) for i, row in enumerate(job)]
    for j, i, m, start, end in rows:
        ready = shop.done[j][i - 1][2] if i else shop.release[j]
        others = [(s, e) for jj, ii, mm, s, e in rows if mm == m and (jj, ii) != (j, i)]
        for t in range(ready, start):
            if all(t + end - start <= s or e <= t for s, e in others):
                return False
    return True


@pytest.mark.parametrize("kind", ["classic", "ragged", "released"])
def test_waiting_reaches_every_active_schedule(kind: str) -> None:
    """Under `non_delay_wait` each active schedule (found among all semi-active ones) can be built."""
    for instance in tiny(kind, 10):
        active = {
            tuple(start for job in starts(shop) for _, start, _ in job)
            for shop in all_schedules(plain(instance, "append"))
            if is_active(shop)
        }
        built = {key[: instance.num_operations] for _, key in reached(make(instance, sgs="non_delay_wait"))}
        assert active <= built, instance
        giffler_thompson = {
            key[: instance.num_operations] for _, key in reached(make(instance, sgs="active"))
        }
        assert giffler_thompson == active, instance


@pytest.mark.parametrize("kind", KINDS)
def test_lower_bound_is_a_bound(kind: str) -> None:
    """At every state the bound is at most the best makespan that any completion of it reaches."""
    for instance in tiny(kind, 6):
        env = make(instance, sgs="append", skip_forced=False)
        _, info = env.reset(seed=0)

        def best_below(bound: float, env: SchedulingEnv = env) -> float:
            best = np.inf
            for action in np.flatnonzero(env.action_masks()):
                token = env.clone()
                _, _, terminated, _, info = env.step(int(action))
                assert info["lower_bound"] >= bound
                best = min(best, env.objective if terminated else best_below(info["lower_bound"]))
                env.restore(token)
            assert bound <= best
            return best

        assert best_below(info["lower_bound"]) == optimum(instance)
