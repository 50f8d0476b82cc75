"""Generators keep their promises: sizes, streams of their own, arrival recipes, optima."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import numpy as np
import pytest

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.schedule import Schedule
from makespan.envs.soc.arrivals import Streams, draw_noise, ds3_arrivals, jobs_until
from makespan.envs.soc.bounds import lower_bound
from makespan.envs.soc.generator import (
    FixedSocs,
    KnownOptimumSoc,
    SocSize,
    ToySoc,
    generator_names,
    make_generator,
)
from makespan.envs.soc.validator import validate

DRAWABLE = [name for name in generator_names() if name != "workflow"]


@pytest.mark.parametrize("name", DRAWABLE)
def test_sizes_bound_every_draw(name: str) -> None:
    """Guards that an environment laid out by `size` fits whatever is drawn, and that equal seeds draw equal instances."""
    generator = make_generator(name)
    for seed in range(5):
        instance = generator.sample(np.random.default_rng(seed))
        drawn = SocSize.of(instance)
        for field in dataclasses.fields(SocSize):
            if field.name != "max_jobs":
                assert getattr(drawn, field.name) <= getattr(generator.size, field.name), field.name
        assert instance == generator.sample(np.random.default_rng(seed))


def test_the_arrival_list_of_the_ds3_regression() -> None:
    """Guards the recipe behind the published streaming figures: its known beginnings, counts and first receivers."""
    counts = {}
    for scale in (2000, 200, 100):
        profile, arrival = ds3_arrivals(scale)
        counts[scale] = len(arrival), int(arrival[np.argmax(profile == 1)])
    assert counts == {2000: (20, 13780), 200: (236, 1375), 100: (485, 685)}
    assert ds3_arrivals(200)[1][:7].tolist() == [0, 372, 655, 764, 823, 966, 1069]
    assert ds3_arrivals(2000)[1][:3].tolist() == [0, 3721, 6558]


def test_noise_and_mix_leave_arrivals_alone() -> None:
    """Guards common random numbers: one parameter changes, the other streams do not."""

    def draw(**parameters: Any) -> Any:
        return make_generator("soc16-mix", num_jobs=50, **parameters).sample(np.random.default_rng(3))

    plain, noisy = draw(), draw(noise=0.3)
    assert np.array_equal(plain.arrival, noisy.arrival)
    assert np.array_equal(plain.job_profile, noisy.job_profile)
    assert plain.is_deterministic
    assert not noisy.is_deterministic
    other = draw(probabilities=(1, 0, 0, 0, 0, 0))
    assert np.array_equal(plain.arrival, other.arrival)
    assert (other.job_profile == 0).all()
    assert np.array_equal(plain.arrival > 0, draw(scale=120).arrival > 0)
    louder = draw(noise=0.6)
    expected = noisy.durations[noisy.row_task]
    long = expected > 100  # rounding and the least of 1 hardly matter there
    ratio = (louder.realised - expected)[long] / np.where(
        noisy.realised == expected, np.nan, noisy.realised - expected
    )[long]
    assert np.nanmedian(ratio) == pytest.approx(2.0, abs=0.05)


def test_streams_are_independent() -> None:
    """Guards that arrivals, mix, noise and graphs do not share their random numbers, and that a seed fixes them all."""
    keys = ("arrivals", "mix", "noise", "graph")
    draws = [[getattr(Streams.of(np.random.default_rng(5)), key).random() for key in keys] for _ in range(2)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 4


def test_noise_is_gaussian_with_a_floor() -> None:
    """Guards the noise: mean and deviation, never below 1, zero stays zero, and what cannot run stays so."""
    durations = np.tile(np.array([100, 1, 0, -1], np.int32), (20_000, 1))
    noisy = draw_noise(np.random.default_rng(0), durations, 0.2)
    assert noisy[:, 0].mean() == pytest.approx(100, abs=0.6)
    assert noisy[:, 0].std() == pytest.approx(20, abs=0.5)
    assert noisy[:, 1].min() == 1
    assert set(noisy[:, 2].tolist()) == {0}
    assert set(noisy[:, 3].tolist()) == {-1}


def test_gaps_are_floored_exponentials_or_fixed() -> None:
    """Guards the arrival processes: the mean of floor(Exp(50)) is 49.5, fixed gaps are the scale, 0 is a batch."""
    arrival = make_generator("top-stream", scale=50, num_jobs=20_000).sample(np.random.default_rng(0)).arrival
    assert arrival[0] == 0
    assert np.diff(arrival).mean() == pytest.approx(49.5, abs=1.2)
    fixed = make_generator("top-stream", scale=50, num_jobs=4, gaps="fixed").sample(np.random.default_rng(0))
    assert fixed.arrival.tolist() == [0, 50, 100, 150]
    batch = make_generator("top-stream", scale=0, num_jobs=3).sample(np.random.default_rng(0))
    assert batch.arrival.tolist() == [0, 0, 0]


def test_the_mix_follows_its_probabilities() -> None:
    """Guards the default mix of DS3 against a permutation or a lost weight."""
    profile = make_generator("soc16-mix", num_jobs=50_000).sample(np.random.default_rng(0)).job_profile
    shares = np.bincount(profile, minlength=6) / profile.size
    assert np.allclose(shares, [0.2, 0.2, 0.2, 0.1, 0.1, 0.2], atol=0.006)
    wifi = make_generator("soc16-wifi", num_jobs=50_000).sample(np.random.default_rng(0)).job_profile
    assert np.bincount(wifi)[0] / wifi.size == pytest.approx(0.8, abs=0.006)


def test_streams_until_a_horizon_reach_it() -> None:
    """Guards that a fixed number of drawn jobs covers the horizon, so that load does not fade at its end."""
    generator = make_generator("top-pss3")
    for seed in range(50):
        instance = generator.sample(np.random.default_rng(seed))
        assert instance.arrival[-1] >= instance.horizon
        assert (instance.arrival[:3] == 0).all()
        assert instance.max_jobs == 3
        assert instance.num_jobs == generator.size.num_jobs == 3 + jobs_until(5000, 50)


def test_layered_graphs() -> None:
    """Guards the random DAGs: every task below the first layer has a predecessor, degrees and the ratios hold."""
    parameters: dict[str, Any] = {"num_tasks": 60, "num_pes": 5, "out_degree": 3, "num_graphs": 4}
    generator = make_generator("layered", **parameters, ccr=2.0, heterogeneity=0.5)
    volumes, means, spread = [], [], []
    for seed in range(20):
        instance = generator.sample(np.random.default_rng(seed))
        assert (instance.edge_source < instance.edge_target).all()
        volumes.append(instance.edge_volume.mean())
        means.append(instance.execution.mean())
        long = instance.execution.min(axis=1) > 20
        spread.append((instance.execution[long].max(axis=1) / instance.execution[long].min(axis=1)).max())
    assert np.mean(volumes) / np.mean(means) == pytest.approx(2.0, rel=0.1)
    assert max(spread) <= 1.25 / 0.75 * 1.06
    chain = make_generator("layered", num_tasks=30, shape=0.2).sample(np.random.default_rng(0))
    wide = make_generator("layered", num_tasks=30, shape=5.0).sample(np.random.default_rng(0))
    entries = [30 - np.unique(i.edge_target).size for i in (chain, wide)]
    assert entries[0] < entries[1]


def test_known_optimum_is_reached_and_cannot_be_beaten() -> None:
    """Guards the construction: the built-in schedule is feasible at the optimum, which the area bound proves."""
    generator = KnownOptimumSoc(num_pes=4, tasks_per_pe=5, optimum=77, density=0.4)
    for seed in range(20):
        instance, places = generator.sample_with_schedule(np.random.default_rng(seed))
        tasks = np.arange(20)
        end = places[:, 1] + instance.durations[tasks, places[:, 0]]
        schedule = Schedule(np.zeros(20, int), tasks, places[:, 0], places[:, 1], end)
        assert validate(instance, schedule) == 77 == lower_bound(instance)


def test_pipelines() -> None:
    """Guards the pipelines' graphs by hand: tasks, edges, and the work that each resource has."""
    moe = make_generator("moe", direction="both", layers=2, chunks=3, startup=0, num_jobs=1)
    instance = moe.sample(np.random.default_rng(0))
    assert instance.total_tasks == 2 * (1 + 15) + 2 * (15 + 2)
    work = np.where(instance.durations > 0, instance.durations, 0).sum(axis=0)
    compute = 2 * (1700 + 3 * 1034) + 2 * (3 * 2034 + 3600)  # ceil(3100 / 3), ceil(6100 / 3)
    assert work.tolist() == [compute, 4 * 3 * (1534 + 1800), 4 * 3 * 2 * 2300 + 2 * 5260]
    overlap = make_generator("overlap", layers=1, nano_batches=2, startup=0).sample(np.random.default_rng(0))
    work = np.where(overlap.durations > 0, overlap.durations, 0).sum(axis=0)
    assert work.tolist() == [16100 + 4600 + 16000 + 69900 + 35000, 35600, 4 * 11975]


def test_fixed_instances_in_turn() -> None:
    """Guards evaluation on a given list: every instance once, in order."""
    pool = [make_generator("layered").sample(np.random.default_rng(seed)) for seed in range(3)]
    generator = FixedSocs(pool, cycle=True)
    rng = np.random.default_rng(0)
    assert [generator.sample(rng) for _ in range(4)] == [*pool, pool[0]]
    with pytest.raises(ValueError, match="at least one"):
        FixedSocs(())


@pytest.mark.parametrize(
    ("name", "parameters", "error", "message"),
    [
        ("soc17", {}, UnknownNameError, "soc16-mix"),
        ("soc16_mix", {"scal": 3}, TypeError, "did you mean scale"),
        ("soc16-mix", {"scale": -1}, ValueError, "scale: -1"),
        ("soc16-mix", {"num_jobs": 0}, ValueError, "num_jobs: 0"),
        ("soc16-mix", {"probabilities": [1, 2]}, ValueError, "probabilities"),
        ("soc16-mix", {"gaps": "poisson"}, ValueError, "gaps: 'poisson'"),
        ("soc16-mix", {"profiles": ["wifi"]}, UnknownNameError, "wifi_tx"),
        ("top-stream", {"objective": "energy"}, ValueError, "power: None"),
        ("layered", {"heterogeneity": 3}, ValueError, "heterogeneity: 3"),
        ("moe", {"model": "gpt3"}, UnknownNameError, "gpt2_xl"),
        ("moe", {"direction": "up"}, ValueError, "direction: 'up'"),
        ("known-optimum", {"optimum": 3}, ValueError, "optimum: 3"),
    ],
)
def test_bad_parameters(name: str, parameters: dict[str, Any], error: type[Exception], message: str) -> None:
    """Guards that a wrong name or value is told when the generator is made, not in the middle of a training."""
    with pytest.raises(error, match=message):
        make_generator(name, **parameters)


def test_the_toy_is_as_drawn_in_its_docstring() -> None:
    """Guards the hand solution: its schedule is feasible and has the mean latency 5."""
    instance = ToySoc().sample()
    schedule = Schedule(
        np.array([0, 0, 0, 1]),
        np.array([0, 1, 2, 0]),
        np.array([0, 1, 0, 1]),
        np.array([0, 5, 2, 3]),
        np.array([2, 8, 5, 5]),
    )
    assert validate(instance, schedule) == 5.0 == ToySoc().optimum


def test_workflows_name_the_missing_package() -> None:
    """Guards the optional extra: its absence is an ImportError that says what to install; its presence draws a workflow."""
    generator = make_generator("workflow")
    if importlib.util.find_spec("wfcommons") is None:
        with pytest.raises(ImportError, match=r"makespan\[workflows\]"):
            generator.sample(np.random.default_rng(0))
    else:
        instance = generator.sample(np.random.default_rng(0))
        assert "mProject" in instance.task_names
        assert SocSize.of(instance) == generator.size
