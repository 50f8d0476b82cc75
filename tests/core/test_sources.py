"""Where instances come from: one source at a time, and clear errors for the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from makespan.envs.core.sources import GivenInstances, Sources, check_parameters


@dataclass
class Draws:
    """A generator with parameters, one of which a name fixes."""

    num_jobs: int = 3
    spread: float = 0.5
    cache: dict[str, int] = field(default_factory=dict, init=False)


def make(name: str, **parameters: Any) -> Draws:
    """A generator by name."""
    if name != "draws":
        raise KeyError(name)
    check_parameters(name, Draws, parameters)
    return Draws(**parameters)


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
    with pytest.raises(TypeError, match=r"no parameter 'spread'\. It takes: num_jobs"):
        check_parameters("narrow", Draws, ["spread"], fixed=["spread"])


def test_given_instances() -> None:
    """Each given instance is drawn about as often, equal states draw alike, and an empty list is refused by the class's name."""

    class Words(GivenInstances[str]):
        """Some words."""

    words = Words(["a", "b"])
    drawn = [words.sample(np.random.default_rng(seed)) for seed in range(200)]
    assert drawn == [words.sample(np.random.default_rng(seed)) for seed in range(200)]
    assert 60 < drawn.count("a") < 140  # five standard errors around 100
    with pytest.raises(ValueError, match=r"Words\.instances: empty"):
        Words([])
