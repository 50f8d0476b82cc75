"""Distributions over allocation problems: known optima, promised sizes, equal seeds, parameters that are checked."""

from __future__ import annotations

import numpy as np
import pytest
from plain_allocation import best_order_peak

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.memory.allocation_benchmark import (
    INSTANCE_SETS,
    best_known,
    find_instances,
    group_of,
    load_instance,
)
from makespan.envs.memory.allocation_formats import save
from makespan.envs.memory.allocation_generator import (
    TOY_OPTIMUM,
    FixedProblems,
    GuillotineBuffers,
    RandomProgram,
    TiledBuffers,
    ToyBuffers,
    UNetBuffers,
    UniformBuffers,
    generator_names,
    make_generator,
)
from makespan.envs.memory.allocation_validator import allocation_schedule, lower_bound, validate


@pytest.mark.parametrize("name", generator_names())
def test_samples_keep_the_promised_size(name: str) -> None:
    """Nothing is larger than `size`, equal seeds give equal problems, and other seeds others."""
    generator = make_generator(name)
    drawn = [generator.sample(np.random.default_rng(seed)) for seed in range(30)]
    for problem in drawn:
        for key in ("num_buffers", "num_pieces", "num_sections", "num_incidences"):
            assert getattr(problem, key) <= getattr(generator.size, key)
    assert generator.sample(np.random.default_rng(3)) == drawn[3]
    assert (drawn[3] == drawn[4]) == (name == "toy")


def test_toy_is_solved_by_hand() -> None:
    """Seven is the load bound and the best of all orders; the allocation of the docstring has it."""
    toy = ToyBuffers().sample()
    offsets = np.array([0, 3, 0, 5, 3, 0])
    assert (
        validate(toy, allocation_schedule(toy, offsets))
        == best_order_peak(toy)
        == lower_bound(toy)
        == TOY_OPTIMUM
    )


@pytest.mark.parametrize(
    "generator",
    [
        GuillotineBuffers(60),
        GuillotineBuffers(60, squareness=0.0),
        GuillotineBuffers(12, horizon=3, units=4),
        GuillotineBuffers(1),
    ],
)
def test_guillotine_cuts_fill_the_rectangle(generator: GuillotineBuffers) -> None:
    """The parts lie within the capacity without overlap and fill every moment: the capacity is the optimum."""
    rng = np.random.default_rng(1)
    for _ in range(10):
        problem, offsets = generator.sample_with_offsets(rng)
        assert (
            validate(problem, allocation_schedule(problem, offsets)) == generator.optimum == problem.capacity
        )
        assert set(problem.load.tolist()) == {generator.optimum}
        assert problem.num_buffers == generator.num_buffers


def test_guillotine_with_slack() -> None:
    """Smaller parts still fit where the larger ones lay, and leave something free."""
    generator = GuillotineBuffers(40, slack=0.3)
    problem, offsets = generator.sample_with_offsets(np.random.default_rng(2))
    assert validate(problem, allocation_schedule(problem, offsets)) <= generator.optimum
    assert 0.7 * generator.optimum - 40 * 1024 <= problem.load.min() < generator.optimum


def test_guillotine_parts_without_squareness() -> None:
    """A coin's cuts leave parts that are far longer than large or far larger than long; squarer ones leave them less so."""
    spread = []
    for squareness in (0.0, 1.0, 4.0):
        generator = GuillotineBuffers(100, horizon=512, squareness=squareness)
        problems = [generator.sample(np.random.default_rng(seed)) for seed in range(5)]
        shape = [np.log((p.upper - p.lower) / 512) - np.log(p.size / generator.optimum) for p in problems]
        spread.append(np.concatenate(shape).std())
    assert spread[0] > 1.1 * spread[1] > 1.1 * 1.1 * spread[2]


def test_unet_skips_live_until_the_decoder() -> None:
    """Two levels, one operator each: outputs 0 and 1 are read again by operators 4 and 3."""
    problem = UNetBuffers(levels=2, blocks=1, top_units=64, sigma=0.0, scratch=0.0, unit=1).sample(
        np.random.default_rng(0)
    )
    assert problem.lower[:5].tolist() == [0, 1, 2, 3, 4]
    assert problem.upper[:5].tolist() == [5, 4, 4, 5, 5]
    assert problem.size[:5].tolist() == [64, 32, 16, 32, 64]
    assert problem.size[5:].tolist() == [1] * 5


def test_random_programs_and_tiles() -> None:
    """Tensors hold their producer's step and that of their last use; lanes are cut without holes where there is no noise."""
    problem = RandomProgram(40, num_steps=20, max_lag=5).sample(np.random.default_rng(0))
    assert problem.lower.tolist() == [i // 2 for i in range(40)]
    assert (problem.upper - problem.lower).min() >= 1
    assert (problem.upper - problem.lower).max() <= 6
    tiles = TiledBuffers(200, horizon=10, max_duration=10, noise=0.0).sample(np.random.default_rng(0))
    assert np.unique(tiles.load).size <= 2  # whole lanes, and one that is not full


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UniformBuffers(0), "num_buffers: 0"),
        (lambda: UniformBuffers(max_duration=99), "max_duration: 99; expected 1..32"),
        (lambda: RandomProgram(max_lag=32), "max_lag: 32"),
        (lambda: UNetBuffers(levels=4, top_units=8), "top_units: 8"),
        (lambda: GuillotineBuffers(99, horizon=3, units=4), "num_buffers: 99; expected 1..12"),
        (lambda: GuillotineBuffers(squareness=-1.0), "squareness: -1.0; expected 0..4"),
        (lambda: TiledBuffers(noise=2.0), "noise: 2.0"),
        (lambda: FixedProblems(()), "empty"),
    ],
)
def test_parameters_out_of_range(build: object, message: str) -> None:
    """The error names generator, parameter, value and range."""
    with pytest.raises(ValueError, match=message):
        build()  # type: ignore[operator]


def test_names_help() -> None:
    """Misspelt generators and parameters name what there is."""
    with pytest.raises(UnknownNameError, match="guillotine"):
        make_generator("guilotine")
    with pytest.raises(TypeError, match="did you mean num_buffers"):
        make_generator("uniform", num_bufers=3)


def test_benchmark_names(tmp_path) -> None:
    """Sets, names, globs and files are found; optima are known where they are, and for no impostor."""
    assert [p.name for p in find_instances("examples")] == ["toy", "minimalloc-example"]
    assert (
        find_instances("guillotine50-3")[0]
        == load_instance("guillotine50-3")
        != load_instance("guillotine50-4")
    )
    assert len(find_instances("guillotine*")) == 20
    assert all(len(names) in (2, 10) for names in INSTANCE_SETS.values())
    save(load_instance("toy"), tmp_path / "mine.csv")
    assert find_instances(str(tmp_path / "mine.csv"))[0] == load_instance("toy")
    assert (best_known("toy").upper, best_known("minimalloc-example").upper) == (7, 12)
    known = best_known("guillotine200-1")
    assert known.proved
    assert known.upper == 4096 * 1024
    assert best_known("slack200-0") is None
    assert best_known(find_instances(str(tmp_path / "mine.csv"))[0]) is None
    assert group_of(load_instance("guillotine50-3")) == "guillotine50"
    assert group_of(find_instances(str(tmp_path / "mine.csv"))[0]) == "6 buffers"
    with pytest.raises(UnknownNameError, match="toy"):
        find_instances("toi")
