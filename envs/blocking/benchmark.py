"""Named blocking shops: the classic job shops of the literature without buffers, and their proved optima.

`la01` is the shop with swaps, `la01-noswap` the one without.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Final

from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.core.family import BestKnown
from makespan.envs.core.named import NamedInstances
from makespan.envs.jobshop import benchmark as classic

SOURCES: Final = {
    True: "ScheduleOpt/optalcp-benchmarks (OptalCP 0.9.2, CP Optimizer 22.1) and wsgisler/job-shop-scheduling (2020)",
    False: "proved by the suite's own CP-SAT model",
}
"""Where the optima with and without swaps come from; name it wherever a gap to them is printed."""

NO_SWAP: Final = "-noswap"


@functools.cache
def _optima() -> dict[str, int]:
    source = resources.files("makespan.envs.blocking") / "data" / "best_known.csv"
    rows = csv.reader(line for line in source.read_text(encoding="utf-8").splitlines() if line[0] != "#")
    next(rows)
    return {name + ("" if swap == "1" else NO_SWAP): int(makespan) for name, swap, makespan in rows}


def _instance_sets() -> dict[str, tuple[str, ...]]:
    sets = {name: names for name, names in classic.INSTANCE_SETS.items() if not set(names) & _foreign()}
    proved = tuple(name for name in _optima() if not name.endswith(NO_SWAP))
    sets |= {f"{name}{NO_SWAP}": tuple(one + NO_SWAP for one in names) for name, names in sets.items()}
    return {
        "proved": proved,
        "proved-noswap": tuple(name for name in _optima() if name.endswith(NO_SWAP)),
        **sets,
    }


def _foreign() -> set[str]:
    """Names that are no classic job shops: flow shops and flexible shops."""
    return {name for names in classic.INSTANCE_SETS.values() for name in names} - set(
        classic.INSTANCE_SETS["classic"]
    )


INSTANCE_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(_instance_sets())
"""Set name -> its instances: those of the classic job shop, each also with `-noswap`.

`proved` are the 29 shops whose optimum with swaps is known, `proved-noswap` the two without.
"""


def _canonical(name: str) -> str | None:
    stem, swap = name.lower(), True
    if stem.endswith(NO_SWAP):
        stem, swap = stem.removesuffix(NO_SWAP), False
    known = classic.canonical_name(stem)
    if known is None or known not in INSTANCE_SETS["classic"]:
        return None
    return known if swap else known + NO_SWAP


def _make(name: str) -> BlockingShopInstance:
    stem = name.removesuffix(NO_SWAP)
    return BlockingShopInstance(classic.load_instance(stem), swap=stem == name, name=name)


def _with_swaps_unless_asked(pattern: str, names: list[str]) -> list[str]:
    """`la*` means the shops with swaps; `la*-noswap` the others."""
    return names if NO_SWAP in pattern else [name for name in names if not name.endswith(NO_SWAP)]


_NAMED: Final = NamedInstances(
    INSTANCE_SETS,
    _make,
    lambda path: [BlockingShopInstance.load(path)],
    canonical=_canonical,
    select=_with_swaps_unless_asked,
)

load_instance = _NAMED.load
"""A shop of the literature without buffers, e.g. `la01` or `la01-noswap`, or from a file; see `NamedInstances.load`."""
find_instances = _NAMED.find
"""Shops that one command-line argument stands for; see `NamedInstances.find`."""


def best_known(instance: BlockingShopInstance | str) -> BestKnown | None:
    """The proved optimum of a shop without downtime; None if there is none, or if only the name is the published one's."""
    name = _canonical(instance if isinstance(instance, str) else instance.name)
    if name is None or name not in _optima():
        return None
    published = load_instance(name)
    if not isinstance(instance, str) and instance != published:
        return None
    return BestKnown(_optima()[name], _optima()[name], SOURCES[published.swap])
