"""Generators by name, and generators that hand out given instances."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

import numpy as np

from makespan.envs.core.errors import UnknownNameError

Instance = TypeVar("Instance")
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Fixed(Generic[Instance]):
    """A given list of instances; families add their `size`.

    Attributes:
        instances: The instances.
        cycle: Whether to hand them out in turn, whatever the `rng` (the turn is then a state of this object);
            otherwise every draw is uniform.
    """

    instances: Sequence[Instance]
    cycle: bool = False
    _turn: list[int] = field(default_factory=lambda: [0], init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "instances", tuple(self.instances))
        if not self.instances:
            raise ValueError(f"{type(self).__name__}.instances: empty; expected at least one")

    def sample(self, rng: np.random.Generator) -> Instance:
        """Draw an instance, or take the next."""
        if not self.cycle:
            return self.instances[int(rng.integers(len(self.instances)))]
        index = self._turn[0]
        self._turn[0] = (index + 1) % len(self.instances)
        return self.instances[index]


class Catalogue(Generic[Made]):
    """A family's generators by name.

    Args:
        classes: Name -> dataclass of the generator.
        presets: Name -> parameters whose defaults differ from the class's, for the names that have such.
    """

    def __init__(
        self,
        classes: Mapping[str, Callable[..., Made]],
        presets: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._classes = dict(classes)
        self._presets = dict(presets or {})

    def names(self) -> list[str]:
        """Names that `make` knows."""
        return list(self._classes)

    def make(self, name: str, **parameters: Any) -> Made:
        """Build a generator by name.

        Args:
            name: One of `names()`.
            **parameters: Fields of the generator's dataclass.

        Raises:
            UnknownNameError: No generator has this name.
            TypeError: The generator has no such parameter.
            ValueError: A parameter is out of range.
        """
        if name not in self._classes:
            raise UnknownNameError("generator", name, self._classes)
        check_parameters(name, self._classes[name], parameters)
        return self._classes[name](**{**self._presets.get(name, {}), **parameters})


def check_parameters(name: str, build: Any, parameters: Iterable[str]) -> None:
    """Raise `TypeError` where a generator's dataclass has no such field.

    Args:
        name: The generator's, for the message.
        build: Its dataclass.
        parameters: Names that are to be set.
    """
    known = [one.name for one in fields(build) if one.init]
    for parameter in parameters:
        if parameter not in known:
            near = difflib.get_close_matches(parameter, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise TypeError(
                f"generator {name!r} has no parameter {parameter!r}{hint} It takes: {', '.join(known) or 'none'}"
            )
