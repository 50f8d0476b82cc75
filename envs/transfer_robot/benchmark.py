"""Named instances: draws of the suite's own cells. There is no published set for this problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np

from makespan.envs.core.family import BestKnown
from makespan.envs.core.named import NamedInstances
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


def _make(name: str) -> TransferCell:
    if name in INSTANCE_SETS["toys"]:
        toy = make_generator("toy", num_hands=1 if name == "toy" else 2).sample(np.random.default_rng(0))
        return replace(toy, name=name)
    kind, _, number = name.rpartition("-")
    rng = np.random.default_rng((_SEED, _KINDS.index(kind), int(number)))
    return replace(make_generator(kind).sample(rng), name=name)


_NAMED: Final = NamedInstances(INSTANCE_SETS, _make, lambda path: [TransferCell.load(path)])

load_instance = _NAMED.load
"""A cell by name, e.g. `toy` or `two_robots-3`, or from a JSON file; see `NamedInstances.load`."""
find_instances = _NAMED.find
"""Cells that one command-line argument stands for; see `NamedInstances.find`."""


def best_known(cell: TransferCell | str) -> BestKnown | None:
    """The toys' optima, worked out by hand; nothing has been published for this problem."""
    name = cell if isinstance(cell, str) else cell.name
    if name not in INSTANCE_SETS["toys"] or (not isinstance(cell, str) and cell != load_instance(name)):
        return None
    optimum = TOY_OPTIMUM[load_instance(name).max_hands]
    return BestKnown(optimum, optimum, "by hand; see `ToyCell`")
