"""Job profiles: the task graphs that jobs are copies of, and the package's own encoding of known ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError

_FILES = ("profiles_top.yaml", "profiles_ds3.yaml")


@dataclass(frozen=True, slots=True)
class Profile:
    """A task graph whose execution times are known by PE type.

    Attributes:
        name: Short name, e.g. "wifi_tx".
        tasks: Function of each task; two tasks may run the same one.
        functions: Function -> PE type -> us; types that are missing cannot run it.
        edges: (source, target, volume) by task number.
        source: Where the numbers are from.
    """

    name: str
    tasks: tuple[str, ...]
    functions: Mapping[str, Mapping[str, int]]
    edges: tuple[tuple[int, int, int], ...]
    source: str = ""

    def execution(
        self, types: Sequence[str], override: Mapping[str, Mapping[str, int]] | None = None
    ) -> NDArray[np.int32]:
        """(tasks, types) int32, us of each task on each PE type; -1: cannot run there.

        Args:
            types: PE types of a platform.
            override: Function -> PE type -> us that hold on this platform instead of the profile's.
        """
        known = {**self.functions, **{f: t for f, t in (override or {}).items() if f in self.functions}}
        table = [[known[function].get(kind, -1) for kind in types] for function in self.tasks]
        return np.array(table, np.int32)


def _task_list(entries: Sequence[Any]) -> tuple[str, ...]:
    """Flatten `{repeat: n, tasks: [...]}` groups."""
    tasks: list[str] = []
    for entry in entries:
        tasks += entry["tasks"] * entry["repeat"] if isinstance(entry, dict) else [entry]
    return tuple(tasks)


@cache
def _library() -> dict[str, Any]:
    folder = resources.files("makespan.envs.soc") / "data"
    return {
        name: entry
        for file in _FILES
        for name, entry in yaml.safe_load((folder / file).read_text(encoding="utf-8")).items()
    }


def profile_names() -> list[str]:
    """Names that `load_profile` knows."""
    return list(_library())


@cache
def load_profile(name: str) -> Profile:
    """A profile of the package's data by name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in _library():
        raise UnknownNameError("job profile", name, _library())
    entry = _library()[name]
    edges = tuple(
        (source, target, volume)
        for source, targets in entry["edges"].items()
        for target, volume in targets.items()
    )
    return Profile(name, _task_list(entry["tasks"]), entry["functions"], edges, entry["source"])


def check_runnable(profile: Profile, types: Sequence[str], table: NDArray[np.int32], platform: str) -> None:
    """Refuse a profile with a task that no PE type of the platform can run."""
    stuck = np.flatnonzero((table < 0).all(axis=1))
    if stuck.size:
        raise InvalidInstanceError(
            f"profile {profile.name!r}: no PE of platform {platform!r} runs {profile.tasks[stuck[0]]!r}; "
            f"it has {', '.join(types)}"
        )
