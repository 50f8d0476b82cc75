"""Where instances come from: one source at a time, and clear errors for the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.generators import Catalogue, Fixed
from makespan.envs.core.sources import Sources


@dataclass
class Draws:
    """A generator with parameters, one of which a name fixes."""

    num_jobs: int = 3
    spread: float = 0.5
    cache: dict[str, int] = field(default_factory=dict, init=False)


CATALOGUE = Catalogue({"draws": Draws, "wide": Draws}, presets={"wide": {"spread": 0.9}})
make = CATALOGUE.make
SOURCES = Sources(make=make, default="draws", fixed=lambda given: ("fixed", given), load=str.upper)


def test_what_is_chosen() -> None:
    """A name with parameters, the default, an object, one instance, one a slot."""
    assert SOURCES.choose("draws", None, {"num_jobs": 5}) == Draws(num_jobs=5)
    assert SOURCES.choose(None, None, {}) == Draws()
    mine = Draws(spread=0.1)
    assert SOURCES.choose(mine, None, {}) is mine
    assert SOURCES.choose(None, "ft06", {}) == ("fixed", ("FT06",))
    assert SOURCES.choose(None, None, {}, ["ft06", 7]) == ("fixed", ("FT06", 7))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("draws", "ft06", {}), "instance: given together with a generator"),
        ((None, "ft06", {"num_jobs": 5}), "instance: given together with a generator"),
        (("draws", None, {}, ["ft06"]), "instances: given together with another source"),
        ((None, "ft06", {}, ["ft06"]), "instances: given together with another source"),
        ((Draws(), None, {"num_jobs": 5}), "num_jobs: given together with a generator object"),
    ],
)
def test_two_sources_are_one_too_many(arguments: tuple[Any, ...], message: str) -> None:
    """Nothing is dropped silently: whichever two are given, the error names them."""
    with pytest.raises(ValueError, match=message):
        SOURCES.choose(*arguments)


def test_unknown_parameters_are_named() -> None:
    """A misspelt parameter is named with the nearest one; fields that are not settable do not count."""
    with pytest.raises(TypeError, match=r"'draws' has no parameter 'num_job'; did you mean num_jobs\?"):
        make("draws", num_job=5)
    with pytest.raises(TypeError, match=r"no parameter 'cache'\. It takes: num_jobs, spread"):
        make("draws", cache={})


def test_presets_are_defaults() -> None:
    """A preset's parameters differ from the class's, and give way to those that are asked for."""
    assert CATALOGUE.names() == ["draws", "wide"]
    assert make("wide", num_jobs=4) == Draws(4, 0.9)
    assert make("wide", spread=0.2) == Draws(3, 0.2)
    with pytest.raises(UnknownNameError, match=r"did you mean wide\?"):
        make("wid")


def test_given_instances_are_drawn_or_taken_in_turn() -> None:
    """Draws come from the `rng`, turns from the generator; an empty list is refused."""
    drawn = [Fixed("abc").sample(rng) for rng in [np.random.default_rng(1)] for _ in range(60)]
    assert {drawn.count(letter) for letter in "abc"} <= set(range(8, 35)), "roughly alike"
    cycle, rng = Fixed("abc", cycle=True), np.random.default_rng(0)
    assert [cycle.sample(rng) for _ in range(5)] == ["a", "b", "c", "a", "b"]
    with pytest.raises(ValueError, match=r"Fixed\.instances: empty"):
        Fixed(())
