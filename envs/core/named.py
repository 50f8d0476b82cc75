"""Named instances: what `instance="..."` and `--instances` understand, the same in every family."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from makespan.envs.core.errors import UnknownNameError

Instance = TypeVar("Instance")


class NamedInstances(Generic[Instance]):
    """A family's instances by name, the sets they form, and files of further ones.

    Args:
        sets: Set name -> names of its instances; both in lower case.
        make: Name -> the instance.
        read: Path of a file -> its instances.
        canonical: A spelling -> the name it stands for, which need not be in a set; None if it is nobody's. By default
            case does not matter.
        select: Names that a glob pattern means, out of those it fits; all of them by default.
    """

    def __init__(
        self,
        sets: Mapping[str, Sequence[str]],
        make: Callable[[str], Instance],
        read: Callable[[str], Sequence[Instance]],
        *,
        canonical: Callable[[str], str | None] | None = None,
        select: Callable[[str, list[str]], list[str]] | None = None,
    ) -> None:
        self.sets = sets
        self._make = lru_cache(maxsize=512)(make)
        self._read = read
        self._canonical = canonical
        self._select = select

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all instances, set after set."""
        return tuple(dict.fromkeys(name for names in self.sets.values() for name in names))

    def canonical(self, name: str) -> str | None:
        """The name that a spelling stands for, or None."""
        if self._canonical is not None:
            return self._canonical(name)
        return name.lower() if name.lower() in self.names else None

    def load(self, name: str) -> Instance:
        """The instance of a name, or that of a file's path. Names are tried before paths.

        Raises:
            UnknownNameError: There is neither such an instance nor such a file.
            InstanceFormatError: The file is malformed.
            ValueError: The file holds several instances.
        """
        known = self.canonical(name)
        if known is not None:
            return self._make(known)
        if not Path(name).is_file():
            raise UnknownNameError("instance or file", name, self.names)
        found = self._read(name)
        if len(found) != 1:
            raise ValueError(f"{name}: {len(found)} instances in the file; expected one")
        return found[0]

    def find(self, spec: str) -> list[Instance]:
        """The instances that one command-line argument stands for: a set, a name, a file's path, or a glob over the names.

        Raises:
            UnknownNameError: None of these.
            InstanceFormatError: The file is malformed.
        """
        lowered = spec.lower()
        if lowered in self.sets:
            return [self._make(name) for name in self.sets[lowered]]
        known = self.canonical(spec)
        if known is not None:
            return [self._make(known)]
        if Path(spec).is_file():
            return list(self._read(spec))
        fitting = [name for name in self.names if fnmatch.fnmatchcase(name, lowered)]
        if not fitting:
            raise UnknownNameError("instance, set or file", spec, [*self.sets, *self.names])
        return [self._make(name) for name in (self._select(lowered, fitting) if self._select else fitting)]
