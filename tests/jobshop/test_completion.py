"""Completions keep the past, build forwards, are optimal on tiny shops, and exist however short the time."""

from __future__ import annotations

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.benchmark import load_instance
from makespan.envs.jobshop.completion import _Model, complete
from makespan.envs.jobshop.generator import make_generator
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.validator import validate


def small_shop(rng: np.random.Generator, flexible: bool) -> ShopInstance:
    """Three jobs of two flexible or three fixed operations, with release dates and durations that may be 0."""
    jobs = []
    for _ in range(3):
        widths = rng.integers(1, 3, 2) if flexible else np.ones(3, np.int64)
        jobs.append([[(int(m), int(rng.integers(0, 9))) for m in rng.permutation(3)[:k]] for k in widths])
    return ShopInstance.from_alternatives(jobs, num_machines=3, release=rng.integers(0, 6, 3).tolist())


def random_past(shop: ShopInstance, rng: np.random.Generator, count: int) -> Schedule:
    """`count` operations put one after the other on random machines, sometimes later than they could start."""
    job_free, machine_free = shop.release.tolist(), [0] * shop.num_machines
    upcoming = shop.job_first[:-1].tolist()
    rows = []
    for _ in range(count):
        job = rng.choice([j for j in range(shop.num_jobs) if upcoming[j] < shop.job_first[j + 1]])
        operation = upcoming[job]
        k = rng.integers((shop.machines[operation] >= 0).sum())
        machine = int(shop.machines[operation, k])
        start = max(job_free[job], machine_free[machine]) + int(rng.integers(0, 2))
        end = start + int(shop.durations[operation, k])
        rows.append((job, operation - shop.job_first[job], machine, start, end))
        job_free[job] = machine_free[machine] = end
        upcoming[job] += 1
    return Schedule(*np.array(rows, np.int64).reshape(-1, 5).T)


def brute_force(shop: ShopInstance, past: Schedule) -> int:
    """The best makespan of all forward completions: every order, every machine."""
    job_free, machine_free, upcoming = shop.release.tolist(), [0] * shop.num_machines, []
    for job in range(shop.num_jobs):
        mine = past.job == job
        job_free[job] = max(job_free[job], int(past.end[mine].max(initial=0)))
        upcoming.append(int(shop.job_first[job] + mine.sum()))
    for machine in range(shop.num_machines):
        machine_free[machine] = int(past.end[past.resource == machine].max(initial=0))

    def best(job_free: list[int], machine_free: list[int], upcoming: list[int]) -> int:
        options = [j for j in range(shop.num_jobs) if upcoming[j] < shop.job_first[j + 1]]
        if not options:
            return max(past.makespan, *job_free)
        found = 2**31
        for job in options:
            operation = upcoming[job]
            for machine, duration in zip(shop.machines[operation], shop.durations[operation], strict=True):
                if machine >= 0:
                    jobs, machines, rest = job_free.copy(), machine_free.copy(), upcoming.copy()
                    jobs[job] = machines[machine] = int(max(jobs[job], machines[machine]) + duration)
                    rest[job] += 1
                    found = min(found, best(jobs, machines, rest))
        return found

    return best(job_free, machine_free, upcoming)


def rows_of(schedule: Schedule) -> set[tuple[int, ...]]:
    """Its rows, whatever their order."""
    columns = (schedule.job, schedule.task, schedule.resource, schedule.start, schedule.end)
    return set(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("flexible", [False, True])
def test_the_completion_is_the_best_that_keeps_the_past(
    flexible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against brute force on tiny shops: feasible, the past kept, no machine before its past, optimal."""
    rng = np.random.default_rng(3)
    searched = 0

    def counted(model: _Model, seconds: float, seed: int) -> object:
        nonlocal searched
        searched += 1
        return search(model, seconds, seed)

    search = _Model.search
    monkeypatch.setattr(_Model, "search", counted)
    for _ in range(40):
        shop = small_shop(rng, flexible)
        past = random_past(shop, rng, int(rng.integers(0, shop.num_operations // 2 + 1)))
        done = complete(shop, past, 10.0, 0)
        assert validate(shop, done) == brute_force(shop, past)
        assert rows_of(past) <= rows_of(done)
        last = [int(past.end[past.resource == m].max(initial=0)) for m in range(shop.num_machines)]
        for _, _, machine, start, _ in rows_of(done) - rows_of(past):
            assert start >= last[machine]
    assert searched > 5  # dispatching does not always meet the lower bound


def test_the_search_improves_on_dispatching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the search the label would be a rule's schedule."""
    shop = load_instance("ft06")
    monkeypatch.setattr(_Model, "search", lambda *_: None)
    assert validate(shop, complete(shop, Schedule.empty(), 20.0, 0)) > 55


def test_without_a_past_it_is_the_optimum() -> None:
    """The completion of nothing is the job shop itself: ft06 at 55."""
    shop = load_instance("ft06")
    assert validate(shop, complete(shop, Schedule.empty(), 20.0, 0)) == 55


def test_a_finished_past_comes_back() -> None:
    """Nothing is left to do: the same rows."""
    shop = load_instance("ft06")
    done = complete(shop, Schedule.empty(), 1e-9, 0)
    assert complete(shop, done, 1.0, 0) == done


@pytest.mark.parametrize("generator", ["uniform", "flexible_sd1"])
def test_no_time_still_gives_a_feasible_completion(generator: str) -> None:
    """A limit that ends the search at once leaves the dispatched completion, on larger shops too."""
    rng = np.random.default_rng(0)
    shop = make_generator(generator, num_jobs=12, num_machines=8).sample(rng)
    past = random_past(shop, rng, shop.num_operations // 3)
    done = complete(shop, past, 1e-9, 0)
    assert validate(shop, done) >= past.makespan
    assert rows_of(past) <= rows_of(done)


def test_the_search_repeats_itself() -> None:
    """One seed, one schedule: labels that are made again are the same."""
    rng = np.random.default_rng(1)
    shop = make_generator("uniform", num_jobs=6, num_machines=6).sample(rng)
    past = random_past(shop, rng, 12)
    assert complete(shop, past, 10.0, 5) == complete(shop, past, 10.0, 5)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((7, 0, 0, 0, 1), "unknown job 7"),
        ((0, 9, 0, 0, 1), "job 0 task 9 is unknown"),
        ((0, 0, 5, 0, 1), "on machine 5, where it cannot"),
        ((0, 1, 0, 3, 6), "not the one before"),
    ],
)
def test_what_is_no_beginning_is_refused(row: tuple[int, ...], message: str) -> None:
    """A past of another instance is named as such instead of giving a wrong label."""
    with pytest.raises(InvalidScheduleError, match=message):
        complete(load_instance("ft06"), Schedule(*([value] for value in row)), 1.0, 0)
