"""Named instances: the example of arXiv 2510.24013, and draws of the classes of Potts & Van Wassenhove with proved optima."""

from __future__ import annotations

import csv
import functools
import itertools
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from types import MappingProxyType
from typing import Final

import numpy as np

from makespan.envs.core.family import BestKnown
from makespan.envs.core.named import NamedInstances
from makespan.envs.tardiness.generator import DUE_DATE_RANGES, TARDINESS_FACTORS, PottsVanWassenhove
from makespan.envs.tardiness.instance import TardinessInstance

_REPLICATES: Final = 10
_SEED: Final = 20251024
SOURCE: Final = "the suite's own dynamic programming"


def _names(num_jobs: int) -> tuple[str, ...]:
    classes = itertools.product(DUE_DATE_RANGES, TARDINESS_FACTORS, range(_REPLICATES))
    return tuple(f"pvw{num_jobs}-rdd{r:g}-tf{t:g}-{k}" for r, t, k in classes)


INSTANCE_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"example": ("six",), **{f"pvw{n}": _names(n) for n in (20, 50, 100)}}
)
"""Set name -> its instances: the paper's example of six jobs; ten draws of each of the 20 classes with 20, 50, 100 jobs."""


def _make(name: str) -> TardinessInstance:
    if name == "six":
        return TardinessInstance(np.array([10, 11, 10, 10, 11, 10]), np.array([15, 11, 13, 11, 12, 11]), name)
    size, spread, factor, number = name.split("-")
    spread_value, factor_value = float(spread.removeprefix("rdd")), float(factor.removeprefix("tf"))
    num_jobs = int(size.removeprefix("pvw"))
    generator = PottsVanWassenhove(num_jobs, due_date_range=spread_value, tardiness_factor=factor_value)
    seed = (_SEED, num_jobs, round(10 * spread_value), round(10 * factor_value), int(number))
    return replace(generator.sample(np.random.default_rng(seed)), name=name)


_NAMED: Final = NamedInstances(INSTANCE_SETS, _make, lambda path: [TardinessInstance.load(path)])

load_instance = _NAMED.load
"""An instance by name, e.g. `six` or `pvw20-rdd0.2-tf0.6-3`, or from a CSV file; see `NamedInstances.load`."""
find_instances = _NAMED.find
"""Instances that one command-line argument stands for; see `NamedInstances.find`."""


@functools.cache
def _optima() -> dict[str, int]:
    source = resources.files("makespan.envs.tardiness") / "data" / "optima.csv"
    rows = csv.reader(line for line in source.read_text(encoding="utf-8").splitlines() if line[0] != "#")
    next(rows)
    return {name: int(value) for name, value in rows}


def best_known(instance: TardinessInstance) -> BestKnown | None:
    """The proved optimum of `six` and of the instances of 20 jobs; None for others, and where it is 0 (a gap has no meaning)."""
    value = _optima().get(instance.name, 0)
    if value == 0 or instance != load_instance(instance.name):
        return None
    return BestKnown(value, value, SOURCE)
