"""Solutions as demonstrations: schedules of both memory families lead back to themselves, and survive their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from makespan.agents.config import ShapeConfig
from makespan.agents.demonstrations import replay
from makespan.agents.labels import draw, label
from makespan.agents.shapes import teacher_of
from makespan.agents.typed_config import ConfigError
from makespan.envs.memory.allocation_benchmark import load_instance as load_allocation
from makespan.envs.memory.allocation_family import ALLOCATION
from makespan.envs.memory.allocation_generator import make_generator
from makespan.envs.memory.allocation_solver import BranchAndBoundSolver
from makespan.envs.memory.mapping_benchmark import load_instance as load_mapping
from makespan.envs.memory.mapping_decoder import PriorityDecoder, density_order
from makespan.envs.memory.mapping_family import MEMORY_MAPPING
from makespan.envs.memory.mapping_policies import places_of
from makespan.envs.memory.mapping_solver import PortfolioSolver

ALLOCATION_ID = "makespan/MemoryAllocation-v0"
MAPPING_ID = "makespan/MemoryMapping-v0"
CUTS = ShapeConfig("guillotine", {"num_buffers": 12, "horizon": 8, "units": 32}, count=3, teacher="generator")


def test_cuts_are_followed_to_the_optimum() -> None:
    """The cuts of a perfect packing, followed in canonical order, end at the known optimum."""
    generator = make_generator("guillotine", num_buffers=20, horizon=12, units=64)
    pairs = [generator.sample_solved(np.random.default_rng(seed)) for seed in range(8)]  # type: ignore[attr-defined]
    problems, schedules = zip(*pairs, strict=True)
    for seed, (problem, schedule) in enumerate(pairs):
        assert problem == generator.sample(np.random.default_rng(seed))
        assert ALLOCATION.validate(problem, schedule) == 64 * 1024
    decisions, peaks = replay(ALLOCATION_ID, {"canonical": True}, problems, schedules, encode="step")
    assert peaks.tolist() == [64 * 1024] * 8
    assert len(decisions) == 160


def test_toy_allocation_is_followed() -> None:
    """The toy's optimum of seven bytes, as branch and bound finds it, is reached again."""
    toy = load_allocation("toy")
    schedule = BranchAndBoundSolver().solve(toy, 300.0).schedule  # the first call compiles
    assert replay(ALLOCATION_ID, {"canonical": True}, [toy], [schedule])[1].tolist() == [7.0]


def test_mappings_are_followed() -> None:
    """The toy's best mapping (294 ps) is reached again; what a plan does at each access is read off its rows."""
    toy = load_mapping("toy")
    solution = PortfolioSolver().solve(toy)
    assert solution.objective == 294
    assert replay(MAPPING_ID, {}, [toy], [solution.schedule])[1].tolist() == [294.0]
    for name in ("layered-1@2", "series_parallel-2@8", "long_skips-3@2"):
        instance = load_mapping(name)
        decoder, order = PriorityDecoder(instance), density_order(instance)
        places = places_of(instance, decoder.schedule(order))
        assert places.tolist() == decoder.places(order).tolist()
        assert set(places.tolist()) == {0, 1, 2}


def test_generators_teach(tmp_path: Path) -> None:
    """The teacher `generator` labels with the solutions that its problems were drawn with; kinds survive the file."""
    first = label(ALLOCATION_ID, [CUTS], 3, workers=1, cache_dir=tmp_path)[0]
    again = label(ALLOCATION_ID, [CUTS], 3, workers=1, cache_dir=tmp_path)[0]
    assert first.instances == draw(ALLOCATION, CUTS, 3, 0, 3)
    for problem, schedule, read in zip(first.instances, first.schedules, again.schedules, strict=True):
        assert ALLOCATION.validate(problem, schedule) == 32 * 1024
        assert read.kinds == schedule.kinds
        assert ALLOCATION.validate(problem, read) == 32 * 1024
    with pytest.raises(ConfigError, match="draws no solutions"):
        teacher_of(ALLOCATION, ShapeConfig("uniform", teacher="generator"))


def test_mapping_labels_keep_their_kinds(tmp_path: Path) -> None:
    """A mapping's rows mean nothing without their kinds: labels read from a file are the mappings that were found."""
    shape = ShapeConfig("layered", {"num_ops": 6}, count=2, teacher="portfolio")
    label(MAPPING_ID, [shape], 0, workers=1, cache_dir=tmp_path)
    read = label(MAPPING_ID, [shape], 0, workers=1, cache_dir=tmp_path)[0]
    for instance, schedule in zip(read.instances, read.schedules, strict=True):
        assert MEMORY_MAPPING.validate(instance, schedule) == PortfolioSolver().solve(instance).objective
