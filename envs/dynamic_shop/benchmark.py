"""Named dynamic shops: draws of this suite at stated utilisations, for comparisons that can be repeated."""

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


@functools.cache
def instance_names() -> tuple[str, ...]:
    """Names of all instances, set after set."""
    return tuple(itertools.chain.from_iterable(INSTANCE_SETS.values()))


@functools.lru_cache(maxsize=512)
def _load(name: str) -> DynamicShopInstance:
    if name == "toy":
        return ToyShop().sample()
    kind, percent, number = name.split("-")
    generator = make_generator(kind, utilisation=int(percent.removeprefix("u")) / 100)
    return replace(generator.sample(np.random.default_rng((_SEED, int(number)))), name=name)


def load_instance(name: str) -> DynamicShopInstance:
    """A shop by name, e.g. `dynamic-u90-3`, or from the path of a file in the suite's JSON.

    Raises:
        UnknownNameError: There is neither such an instance nor such a file.
        InstanceFormatError: The file is malformed.
    """
    if name in instance_names():
        return _load(name)
    if Path(name).is_file():
        return DynamicShopInstance.load(name)
    raise UnknownNameError("instance or file", name, instance_names())


def find_instances(spec: str) -> list[DynamicShopInstance]:
    """Shops that one command-line argument stands for: a set, a name, a glob over the names, or the path of a file.

    Raises:
        UnknownNameError: None of these.
        InstanceFormatError: The file is malformed.
    """
    if spec in INSTANCE_SETS:
        return [_load(name) for name in INSTANCE_SETS[spec]]
    if spec in instance_names() or Path(spec).is_file():
        return [load_instance(spec)]
    found = [name for name in instance_names() if fnmatch.fnmatchcase(name, spec)]
    if not found:
        raise UnknownNameError("instance, set or file", spec, [*INSTANCE_SETS, *instance_names()])
    return [_load(name) for name in found]


def best_known(instance: DynamicShopInstance) -> BestKnown | None:
    """The toy's optimum where machines may wait; no other shop has a published value."""
    if instance.name == "toy" and instance == _load("toy"):
        return BestKnown(2, 2, "by hand")
    return None
