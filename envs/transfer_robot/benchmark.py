"""Named instances: draws of the suite's own cells. There is no published set for this problem."""

from __future__ import annotations

import fnmatch
import functools
import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.family import BestKnown
from makespan.envs.transfer_robot.generator import TOY_OPTIMUM, make_generator
from makespan.envs.transfer_robot.instance import TransferCell

_KINDS: Final = ("single_arm", "dual_arm", "two_robots", "two_dual_arms", "residency")
_REPLICATES: Final = 10
_SEED: Final = 231007981

INSTANCE_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "toys": ("toy", "toy-dual"),
        **{kind: tuple(f"{kind}-{k}" for k in range(_REPLICATES)) for kind in _KINDS},
    }
)
"""Set name -> its instances: the toy with one hand and with two, and ten draws of each of the generators' settings."""


@functools.cache
def instance_names() -> tuple[str, ...]:
    """Names of all instances, set after set."""
    return tuple(itertools.chain.from_iterable(INSTANCE_SETS.values()))


@functools.lru_cache(maxsize=256)
def _load(name: str) -> TransferCell:
    if name in INSTANCE_SETS["toys"]:
        toy = make_generator("toy", num_hands=1 if name == "toy" else 2).sample(np.random.default_rng(0))
        return replace(toy, name=name)
    kind, _, number = name.rpartition("-")
    rng = np.random.default_rng((_SEED, _KINDS.index(kind), int(number)))
    return replace(make_generator(kind).sample(rng), name=name)


def load_instance(name: str) -> TransferCell:
    """An instance by name, e.g. `toy` or `two_robots-3`.

    Raises:
        UnknownNameError: There is no such instance.
    """
    if name not in instance_names():
        raise UnknownNameError("instance", name, instance_names())
    return _load(name)


def find_instances(spec: str) -> list[TransferCell]:
    """What one command-line argument stands for: a set, a name, a glob over the names, or the path of a JSON file.

    Raises:
        UnknownNameError: None of these.
        InstanceFormatError: The file is malformed.
    """
    if spec in INSTANCE_SETS:
        return [_load(name) for name in INSTANCE_SETS[spec]]
    if spec in instance_names():
        return [_load(spec)]
    if Path(spec).is_file():
        return [TransferCell.load(spec)]
    found = [name for name in instance_names() if fnmatch.fnmatchcase(name, spec)]
    if not found:
        raise UnknownNameError("instance, set or file", spec, [*INSTANCE_SETS, *instance_names()])
    return [_load(name) for name in found]


def best_known(cell: TransferCell | str) -> BestKnown | None:
    """The toys' optima, worked out by hand; nothing has been published for this problem."""
    name = cell if isinstance(cell, str) else cell.name
    if name not in INSTANCE_SETS["toys"] or (not isinstance(cell, str) and cell != _load(name)):
        return None
    optimum = TOY_OPTIMUM[_load(name).max_hands]
    return BestKnown(optimum, optimum, "by hand; see `ToyCell`")
