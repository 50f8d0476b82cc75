"""Named dynamic shops: draws of this suite at stated utilisations, for comparisons that can be repeated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np

from makespan.envs.core.family import BestKnown
from makespan.envs.core.named import NamedInstances
from makespan.envs.dynamic_shop.generator import ToyShop, make_generator
from makespan.envs.dynamic_shop.instance import DynamicShopInstance

_DRAWS: Final = 20
_SEED: Final = 20260601
_KINDS: Final = ("dynamic", "unreliable", "flexible")
_UTILISATIONS: Final = (70, 80, 90, 95)


def _names(kind: str, percent: int) -> tuple[str, ...]:
    return tuple(f"{kind}-u{percent}-{number}" for number in range(_DRAWS))


INSTANCE_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "toy": ("toy",),
        **{f"{kind}-u{u}": _names(kind, u) for kind, u in itertools.product(_KINDS, _UTILISATIONS)},
    }
)
"""Set name -> its instances: the toy, and 20 draws of each of three generators at utilisations of 70, 80, 90 and 95 %."""


def _make(name: str) -> DynamicShopInstance:
    if name == "toy":
        return ToyShop().sample()
    kind, percent, number = name.split("-")
    generator = make_generator(kind, utilisation=int(percent.removeprefix("u")) / 100)
    return replace(generator.sample(np.random.default_rng((_SEED, int(number)))), name=name)


_NAMED: Final = NamedInstances(INSTANCE_SETS, _make, lambda path: [DynamicShopInstance.load(path)])

load_instance = _NAMED.load
"""A shop by name, e.g. `dynamic-u90-3`, or from a file in the suite's JSON; see `NamedInstances.load`."""
find_instances = _NAMED.find
"""Shops that one command-line argument stands for; see `NamedInstances.find`."""


def best_known(instance: DynamicShopInstance) -> BestKnown | None:
    """The toy's optimum where machines may wait; no other shop has a published value."""
    if instance.name == "toy" and instance == load_instance("toy"):
        return BestKnown(2, 2, "by hand")
    return None
