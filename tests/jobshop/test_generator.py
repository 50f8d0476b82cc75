"""Generators keep their promised sizes and distributions, and known optima are optima."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop import generator as g
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.validator import validate

GENERATORS: list[g.Generator] = [
    *(g.make_generator(name) for name in g.generator_names()),
    g.UniformShop(9, 7, min_jobs=2, min_machines=3, release_factor=1.0),
    g.UniformShop(1, 1),
    g.CorrelatedShop(by="machine"),
    g.FlexibleShop(3, 1),
    g.KnownOptimumShop(3, 8),
    g.FixedShops([g.ToyShop().sample(), ShopInstance.from_jobs([[(0, 1)]] * 5)]),
]


def job_of(shop: ShopInstance) -> np.ndarray:
    """The job of each operation."""
    return np.repeat(np.arange(shop.num_jobs), np.diff(shop.job_first))


@pytest.mark.parametrize("generator", GENERATORS, ids=repr)
def test_size_bounds_every_draw(generator: g.Generator) -> None:
    """Spaces are built from `size`: a draw beyond it would not fit an observation."""
    assert isinstance(generator, g.Generator)
    rng = np.random.default_rng(3)
    for _ in range(50):
        drawn, size = g.ShopSize.of(generator.sample(rng)), generator.size
        for key in ("num_jobs", "num_machines", "num_operations", "num_alternatives"):
            assert getattr(drawn, key) <= getattr(size, key)


@pytest.mark.parametrize("generator", GENERATORS, ids=repr)
def test_draws_follow_the_seed(generator: g.Generator) -> None:
    """Equal seeds give equal shops; a generator survives pickling (workers are spawned)."""
    copy = pickle.loads(pickle.dumps(generator))
    first, second = np.random.default_rng(5), np.random.default_rng(5)
    for _ in range(3):
        assert generator.sample(first) == copy.sample(second)


@pytest.mark.parametrize(
    "name", ["uniform", "two_set", "correlated", "flexible_sd1", "brandimarte", "known_optimum"]
)
def test_draws_differ(name: str) -> None:
    """Consecutive draws are not the same shop."""
    generator, rng = g.make_generator(name), np.random.default_rng(0)
    assert generator.sample(rng) != generator.sample(rng)


def test_uniform() -> None:
    """Durations reach both ends evenly, routes are permutations, and every machine is as likely in every position."""
    rng = np.random.default_rng(0)
    shops = [g.UniformShop(10, 5, low=3, high=7).sample(rng) for _ in range(400)]
    durations = np.concatenate([shop.durations[:, 0] for shop in shops])
    shares = np.bincount(durations, minlength=8)[3:] / durations.size
    assert durations.min() == 3
    assert durations.max() == 7
    np.testing.assert_allclose(shares, 0.2, atol=0.015)
    routes = np.concatenate([shop.machines.reshape(10, 5) for shop in shops])
    assert (np.sort(routes, axis=1) == np.arange(5)).all()
    for position in range(5):
        np.testing.assert_allclose(
            np.bincount(routes[:, position], minlength=5) / len(routes), 0.2, atol=0.04
        )


def test_uniform_sizes_and_releases() -> None:
    """Drawn sizes cover their whole range, and release dates stay below the factor times the mean machine load."""
    rng = np.random.default_rng(1)
    shops = [
        g.UniformShop(5, 4, min_jobs=3, min_machines=2, release_factor=0.5).sample(rng) for _ in range(300)
    ]
    assert {shop.num_jobs for shop in shops} == {3, 4, 5}
    assert {shop.num_machines for shop in shops} == {2, 3, 4}
    for shop in shops:
        assert shop.release.max() <= 0.5 * shop.durations.sum() / shop.num_machines
    assert max(int(shop.release.max()) for shop in shops) > 0


@pytest.mark.parametrize("num_machines", [2, 5, 15])
def test_two_set(num_machines: int) -> None:
    """The first half of every route is the first half of the machines, in different orders."""
    shop = g.TwoSetShop(30, num_machines).sample(np.random.default_rng(0))
    routes, half = shop.machines.reshape(30, num_machines), num_machines // 2
    assert (np.sort(routes[:, :half], axis=1) == np.arange(half)).all()
    assert (np.sort(routes[:, half:], axis=1) == np.arange(half, num_machines)).all()
    if num_machines > 2:
        assert len(np.unique(routes, axis=0)) > 1
    assert shop.durations.max() > 99


def test_flow() -> None:
    """All jobs take the same route."""
    shop = g.FlowShop(7, 4).sample(np.random.default_rng(0))
    assert (shop.machines.reshape(7, 4) == np.arange(4)).all()


@pytest.mark.parametrize("by", ["job", "machine"])
def test_correlated(by: str) -> None:
    """Durations of a job (machine) stay within its band, the bands differ, and correlation 1 leaves no width."""
    rng = np.random.default_rng(0)
    shop = g.CorrelatedShop(12, 12, correlation=0.8, by=by).sample(rng)  # type: ignore[arg-type]
    key = job_of(shop) if by == "job" else shop.machines[:, 0]
    groups = [shop.durations[key == k, 0] for k in range(12)]
    assert max(np.ptp(group) for group in groups) <= 2 * int(0.2 * 98 / 2)
    assert np.std([group.mean() for group in groups]) > 10
    assert shop.durations.min() >= 1
    assert shop.durations.max() <= 99
    equal = g.CorrelatedShop(5, 5, correlation=1.0, by=by).sample(rng)  # type: ignore[arg-type]
    key = job_of(equal) if by == "job" else equal.machines[:, 0]
    assert all(np.ptp(equal.durations[key == k]) == 0 for k in range(5))


def test_flexible_sd1() -> None:
    """Lengths within 0.8 m .. 1.2 m, alternatives 1 .. m, durations 1 .. 20 and within 20 % of a common mean."""
    rng = np.random.default_rng(0)
    shops = [g.FlexibleShop(10, 5, "sd1").sample(rng) for _ in range(100)]
    lengths = np.concatenate([np.diff(shop.job_first) for shop in shops])
    counts = np.concatenate([(shop.machines >= 0).sum(axis=1) for shop in shops])
    assert set(lengths) == {4, 5, 6}
    np.testing.assert_allclose(np.bincount(counts)[1:] / counts.size, 0.2, atol=0.02)
    for shop in shops:
        used = shop.machines >= 0
        low = np.where(used, shop.durations, 99).min(axis=1)
        high = shop.durations.max(axis=1)
        assert low.min() >= 1
        assert high.max() <= 20
        assert (high <= np.rint(low / 0.8 * 1.2) + 2).all()  # two roundings apart at most


def test_flexible_sd2() -> None:
    """Every job has m operations, and durations fill 1 .. 99."""
    rng = np.random.default_rng(0)
    shops = [g.FlexibleShop(10, 5, "sd2").sample(rng) for _ in range(50)]
    assert all((np.diff(shop.job_first) == 5).all() for shop in shops)
    durations = np.concatenate([shop.durations[shop.machines >= 0] for shop in shops])
    assert (durations.min(), durations.max()) == (1, 99)
    assert abs(durations.mean() - 50) < 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32), st.floats(0, 1), st.data())
def test_known_optimum(
    num_jobs: int, num_machines: int, seed: int, slack: float, data: st.DataObject
) -> None:
    """The construction is a feasible schedule that ends at `optimum`, and a machine or job is busy that long."""
    full = data.draw(st.integers(1, min(num_jobs, num_machines)))
    horizon = data.draw(st.sampled_from([0, max(num_jobs, num_machines), 997]))
    generator = g.KnownOptimumShop(num_jobs, num_machines, horizon, full, slack)
    shop, start = generator.sample_with_schedule(np.random.default_rng(seed))
    job, machine, duration = job_of(shop), shop.machines[:, 0], shop.durations[:, 0]
    task = np.arange(shop.num_operations) - shop.job_first[job]
    assert validate(shop, Schedule(job, task, machine, start, start + duration)) == generator.optimum
    load = max(np.bincount(machine, weights=duration).max(), np.bincount(job, weights=duration).max())
    assert load == generator.optimum
    assert (np.sort(shop.machines.reshape(num_jobs, num_machines), axis=1) == np.arange(num_machines)).all()


def semi_active_makespan(shop: ShopInstance, order: Sequence[int]) -> int:
    """Makespan when the jobs' next operations are appended in this order."""
    next_of, job_free, machine_free = (
        shop.job_first[:-1].tolist(),
        [0] * shop.num_jobs,
        [0] * shop.num_machines,
    )
    for job in order:
        machine, duration = int(shop.machines[next_of[job], 0]), int(shop.durations[next_of[job], 0])
        end = max(job_free[job], machine_free[machine]) + duration
        job_free[job] = machine_free[machine] = end
        next_of[job] += 1
    return max(job_free)


def test_toy_optimum() -> None:
    """Exhaustive search over all 1680 dispatch orders finds the makespan solved by hand."""
    shop = g.ToyShop().sample()
    orders = set(itertools.permutations([0] * 3 + [1] * 3 + [2] * 3))
    assert len(orders) == 1680
    assert min(semi_active_makespan(shop, order) for order in orders) == g.TOY_OPTIMUM == g.ToyShop().optimum


def test_fixed_shops() -> None:
    """Cycling keeps the order whatever the seed; drawing reaches every shop."""
    shops = [ShopInstance.from_jobs([[(0, d)]]) for d in (1, 2, 3)]
    rng = np.random.default_rng(0)
    cycle = g.FixedShops(shops, cycle=True)
    assert [int(cycle.sample(rng).durations[0, 0]) for _ in range(5)] == [1, 2, 3, 1, 2]
    drawn = [int(g.FixedShops(shops).sample(rng).durations[0, 0]) for _ in range(60)]
    assert set(drawn) == {1, 2, 3}
    with pytest.raises(ValueError, match=r"FixedShops\.instances: empty"):
        g.FixedShops([])


def test_make_generator() -> None:
    """Names build what they say; `taillard` is `uniform`."""
    assert g.make_generator("taillard", num_jobs=15, num_machines=10) == g.UniformShop(15, 10)
    assert g.make_generator("flexible_sd2", num_jobs=4) == g.FlexibleShop(4, variant="sd2")


def test_unknown_generator() -> None:
    """A misspelt name is answered with the nearest."""
    with pytest.raises(UnknownNameError, match="did you mean uniform"):
        g.make_generator("unifrom")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("uniform", {"n_jobs": 5}, "no parameter 'n_jobs'; did you mean num_jobs"),
        ("toy", {"num_jobs": 3}, "It takes: none"),
    ],
)
def test_unknown_parameters(name: str, parameters: dict[str, float | str], message: str) -> None:
    """A parameter that the generator does not have is a TypeError that lists those it has."""
    with pytest.raises(TypeError, match=message):
        g.make_generator(name, **parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("uniform", {"num_jobs": 0}),
        ("uniform", {"low": 9, "high": 3}),
        ("uniform", {"low": -1}),
        ("uniform", {"min_jobs": 7}),
        ("uniform", {"release_factor": -1}),
        ("two_set", {"num_machines": 1}),
        ("correlated", {"correlation": 1.5}),
        ("correlated", {"by": "day"}),
        ("known_optimum", {"horizon": 3}),
        ("known_optimum", {"num_full": 7}),
        ("known_optimum", {"slack": 2}),
    ],
)
def test_parameters_out_of_range(name: str, parameters: dict[str, float | str]) -> None:
    """A parameter out of range is refused when the generator is made, and named."""
    with pytest.raises(ValueError, match=r"\w+Shop\.\w+: "):
        g.make_generator(name, **parameters)
