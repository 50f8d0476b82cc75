"""The shipped programs: traced from models of the project, see `makespan.agents.models.library`."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.memory.program import MemoryProgram

_SUFFIX: Final = ".json.gz"


@lru_cache(maxsize=1)
def program_names() -> tuple[str, ...]:
    """Names of the shipped programs: model, `inference` or `training`, and batch size, e.g. `resnet18_training_b4`."""
    return tuple(
        sorted(file.name.removesuffix(_SUFFIX) for file in _folder().iterdir() if file.name.endswith(_SUFFIX))
    )


def model_of(name: str) -> str:
    """The model of a shipped program: programs of one model belong on one side of a split."""
    return name.rsplit("_", 2)[0]


@lru_cache(maxsize=128)
def load_program(name: str) -> MemoryProgram:
    """A shipped program by name.

    Raises:
        UnknownNameError: No shipped program has this name.
    """
    if name not in program_names():
        raise UnknownNameError("program", name, program_names())
    with resources.as_file(_folder() / f"{name}{_SUFFIX}") as path:
        return MemoryProgram.load(Path(path))


def _folder() -> Traversable:
    return resources.files("makespan.envs.memory") / "data" / "programs"
