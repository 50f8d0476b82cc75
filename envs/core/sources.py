"""Where environments take their instances from: a generator, its name with parameters, or instances that are given."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import numpy as np

Instance = TypeVar("Instance")


@dataclass(frozen=True, slots=True)
class Sources:
    """What a family's environments can be made from.

    Attributes:
        make: A generator from its name and parameters.
        default: Name of the generator of an environment that names none.
        fixed: A generator that hands out given instances in turn.
        load: An instance from its name or path.
    """

    make: Callable[..., Any]
    default: str
    fixed: Callable[[tuple[Any, ...]], Any]
    load: Callable[[str], Any]

    def find(self, instance: Any) -> Any:
        """The instance behind a name or path, or the instance itself."""
        return self.load(instance) if isinstance(instance, str) else instance

    def choose(
        self,
        generator: Any,
        instance: Any,
        parameters: Mapping[str, Any],
        instances: Sequence[Any] | None = None,
    ) -> Any:
        """The one generator that a constructor's arguments mean.

        Args:
            generator: A generator, its name, or None for the default one.
            instance: One instance for every episode, or its name; None for what the generator draws.
            parameters: Of the generator that is named.
            instances: One instance for each slot of a batch.

        Raises:
            ValueError: More than one source is named.
        """
        if instances is not None:
            if generator is not None or instance is not None or parameters:
                raise ValueError("instances: given together with another source; expected one")
            return self.fixed(tuple(self.find(one) for one in instances))
        if instance is not None:
            if generator is not None or parameters:
                raise ValueError("instance: given together with a generator; expected one of the two")
            return self.fixed((self.find(instance),))
        if generator is None or isinstance(generator, str):
            return self.make(generator or self.default, **parameters)
        if parameters:
            raise ValueError(
                f"{', '.join(parameters)}: given together with a generator object, which has its own"
            )
        return generator


@dataclass(frozen=True, eq=False)
class GivenInstances(Generic[Instance]):
    """A given list of instances, drawn uniformly; families add its `size`.

    Attributes:
        instances: At least one.
    """

    instances: Sequence[Instance]

    def __post_init__(self) -> None:
        object.__setattr__(self, "instances", tuple(self.instances))
        if not self.instances:
            raise ValueError(f"{type(self).__name__}.instances: empty; expected at least one")

    def sample(self, rng: np.random.Generator) -> Instance:
        """Draw an instance."""
        return self.instances[int(rng.integers(len(self.instances)))]


def check_parameters(name: str, build: Any, parameters: Iterable[str], fixed: Collection[str] = ()) -> None:
    """Raise `TypeError` where a generator's dataclass has no such field.

    Args:
        name: The generator's, for the message.
        build: Its dataclass.
        parameters: Names that are to be set.
        fixed: Fields that the name itself has set.
    """
    known = [one.name for one in fields(build) if one.init and one.name not in fixed]
    for parameter in parameters:
        if parameter not in known:
            near = difflib.get_close_matches(parameter, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise TypeError(
                f"generator {name!r} has no parameter {parameter!r}{hint} It takes: {', '.join(known) or 'none'}"
            )
