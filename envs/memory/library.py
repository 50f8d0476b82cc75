"""The shipped programs: traced from models of the project, see `makespan.agents.models.library`."""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.memory.program import MemoryProgram

_SUFFIX: Final = ".json.gz"

HELD_OUT_MODELS: Final = frozenset({"decoder", "denoiser", "graph_network", "moe", "resnet18", "strassen"})
"""Models that policies which ship have not been trained on."""


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


@lru_cache(maxsize=1)
def worthwhile() -> tuple[tuple[str, int], ...]:
    """Programs and capacities in MiB at which decisions matter, on `tpu_v4i_like`.

    Of every shipped program at 8, 16, 32, 64 and 128 MiB those where the bound allows a speed-up of 1.05 over all-HBM, and the
    portfolio of `makespan.envs.memory.mapping_solver` gains at least 1.02 but less than 95 % of what the bound allows
    (`benchmarks/memory_sweep.py`).
    """
    table = resources.files("makespan.envs.memory") / "data" / "traced.csv"
    with table.open(encoding="utf-8") as file:
        return tuple((row["program"], int(row["mib"])) for row in csv.DictReader(file) if row["kept"] == "1")


def _folder() -> Traversable:
    return resources.files("makespan.envs.memory") / "data" / "programs"
