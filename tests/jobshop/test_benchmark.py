"""The shops of the literature are complete, intact, and found by every spelling."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from makespan.envs.core.errors import InstanceFormatError, UnknownNameError
from makespan.envs.jobshop import benchmark as b
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.validator import lower_bound

BOUNDED = [name for name in b.INSTANCES.names if name not in b.INSTANCE_SETS["pfsp"]]

# SHA-256 of a set's machines and durations, taken when every operation was compared with the collected sources.
DIGESTS = {
    "ft": "892b628d9c483f16",
    "la": "a5af0fcbd55f87d3",
    "abz": "4036e3c08b78882b",
    "orb": "31d9884bc1458660",
    "swv": "1bb32e7dd5b57674",
    "yn": "37c768c7f2188e35",
    "ta": "4aea4bffa37baaff",
    "dmu": "5deaa0709e307269",
    "pfsp": "6e11ea55139e91aa",
    "mk": "544a839c8491bb92",
    "edata": "419ddaa66f7347ff",
    "rdata": "40d8ae4e17d7d071",
    "vdata": "99fb5d61702f820c",
}


def digest(names: tuple[str, ...]) -> str:
    """The first 16 hexadecimal digits over offsets, machines and durations as little-endian 32-bit integers."""
    hasher = hashlib.sha256()
    for name in names:
        shop = b.load_instance(name)
        for array in (shop.job_first, shop.machines, shop.durations):
            hasher.update(array.astype("<i4").tobytes())
    return hasher.hexdigest()[:16]


def test_counts() -> None:
    """The classic sets hold the 242 job shops of the literature, and each other set is whole."""
    assert len(b.INSTANCE_SETS["classic"]) == 242
    expected = {"ft": 3, "la": 40, "abz": 5, "orb": 10, "swv": 20, "yn": 4, "ta": 80, "dmu": 80}
    expected |= {"pfsp": 120, "mk": 15, "edata": 40, "rdata": 40, "vdata": 40}
    assert {name: len(b.INSTANCE_SETS[name]) for name in expected} == expected
    assert len(b.INSTANCES.names) == len(set(b.INSTANCES.names)) == 242 + 120 + 135


@pytest.mark.parametrize("name", DIGESTS)
def test_content(name: str) -> None:
    """Not one machine or duration of the package data has changed."""
    assert digest(b.INSTANCE_SETS[name]) == DIGESTS[name]


def test_size_groups() -> None:
    """A group called ta15x15 holds 15 x 15 shops, and the groups of a set make up the set."""
    groups = [name for name in b.INSTANCE_SETS if "x" in name]
    for name in groups:
        for shop in map(b.load_instance, b.INSTANCE_SETS[name]):
            assert name.endswith(f"{shop.num_jobs}x{shop.num_machines}")
    assert sorted(n for name in groups for n in b.INSTANCE_SETS[name]) == sorted(b.INSTANCE_SETS["classic"])
    assert len(b.INSTANCE_SETS["ta15x15"]) == 10


def test_classic_shops_visit_every_machine_once() -> None:
    """All 242 are square in this sense; dmu41-80 visit the first half of the machines first."""
    for name in b.INSTANCE_SETS["classic"]:
        shop = b.load_instance(name)
        routes = shop.machines.reshape(shop.num_jobs, shop.num_machines)
        assert (np.sort(routes, axis=1) == np.arange(shop.num_machines)).all(), name
        if name.startswith("dmu") and int(name[3:]) > 40:
            assert routes[:, : shop.num_machines // 2].max() < shop.num_machines // 2


def test_ft06() -> None:
    """Fisher and Thompson's 6 x 6 shop, its first and last job as printed in the literature."""
    shop = b.load_instance("ft06")
    pairs = list(zip(shop.machines[:, 0].tolist(), shop.durations[:, 0].tolist(), strict=True))
    assert pairs[:6] == [(2, 1), (0, 3), (1, 6), (3, 7), (5, 3), (4, 6)]
    assert pairs[-6:] == [(1, 3), (3, 3), (5, 9), (0, 10), (4, 4), (2, 1)]


def test_flexible_sets_are_nested() -> None:
    """Hurink's sets are la01-la40 with more and more eligible machines, so optima fall from set to set."""
    for number in range(1, 41):
        classic = b.load_instance(f"la{number:02d}")
        pairs = [
            (b.load_instance(f"{kind}-la{number:02d}").machines >= 0).sum()
            for kind in ("edata", "rdata", "vdata")
        ]
        assert classic.num_operations < pairs[0] < pairs[1] < pairs[2]
        uppers = [b.best_known(f"{kind}la{number:02d}").upper for kind in ("", "edata-", "rdata-", "vdata-")]  # type: ignore[union-attr]
        assert uppers == sorted(uppers, reverse=True)


@pytest.mark.parametrize("name", BOUNDED)
def test_bounds(name: str) -> None:
    """Our own lower bound never exceeds the best known makespan, nor the published lower bound the upper."""
    best = b.best_known(name)
    assert best is not None
    assert lower_bound(b.load_instance(name)) <= best.upper
    assert best.lower <= best.upper
    assert "CC BY-SA 4.0" in best.source


@pytest.mark.parametrize(
    ("name", "lower", "upper"),
    [
        ("abz8", 667, 667),  # older tables say 665, which current proofs rule out
        ("ft10", 930, 930),
        ("yn4", 967, 967),
        ("swv06", 1667, 1667),
        ("ta80", 5183, 5183),
        ("dmu80", 6460, 6621),
        ("mk10", 189, 193),
        ("edata-la01", 609, 609),
        ("rdata-la21", 809, 825),
    ],
)
def test_golden_bounds(name: str, lower: int, upper: int) -> None:
    """Bounds on which older tables are stale, or which are still open."""
    best = b.best_known(b.load_instance(name))
    assert best is not None
    assert (best.lower, best.upper, best.proved) == (lower, upper, lower == upper)


def test_open_instances() -> None:
    """As many classic instances are open as the source counts: 3 swv, 12 ta, 45 dmu."""
    is_open = [name for name in b.INSTANCE_SETS["classic"] if not b.best_known(name).proved]  # type: ignore[union-attr]
    counts = {prefix: sum(name.startswith(prefix) for name in is_open) for prefix in ("swv", "ta", "dmu")}
    assert counts == {"swv": 3, "ta": 12, "dmu": 45}
    assert len(is_open) == 60


def test_bounds_belong_to_the_published_shop() -> None:
    """A shop that merely bears a published name has no bounds; the mirror image of the published one has."""
    ft06 = b.load_instance("ft06")
    assert b.best_known(ft06.reversed()) == b.best_known("ft06")
    assert b.best_known(ShopInstance.from_jobs([[(0, 1)]], name="ft06")) is None
    assert b.best_known(ShopInstance.from_jobs([[(0, 1)]])) is None
    assert b.best_known("ta001") is None


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("ft06", ["ft06"]),
        ("FT6", ["ft06"]),
        ("la1", ["la01"]),
        ("abz05", ["abz5"]),
        ("ta1", ["ta01"]),
        ("ta001", ["ta001"]),
        ("MK1", ["mk01"]),
        ("edata-la1", ["edata-la01"]),
        ("yn*", ["yn1", "yn2", "yn3", "yn4"]),
        ("LA0[12]", ["la01", "la02"]),
        ("?data-la40", ["edata-la40", "rdata-la40", "vdata-la40"]),
        ("ft", ["ft06", "ft10", "ft20"]),
        ("TA100x20", [f"ta{k}" for k in range(71, 81)]),
        ("ta*", [f"ta{k:02d}" for k in range(1, 81)]),
        ("pfsp", [f"ta{k:03d}" for k in range(1, 121)]),
    ],
)
def test_find_instances(spec: str, names: list[str]) -> None:
    """Names in any spelling, globs, sets and groups, in the order of the literature."""
    assert [shop.name for shop in b.find_instances(spec)] == names


def test_find_a_file(tmp_path: Path) -> None:
    """A path is read in whatever format it has; a malformed file says so instead of being unknown."""
    path = tmp_path / "mine.txt"
    path.write_text("2 2\n0 3 1 2\n1 4 0 1\n")
    (shop,) = b.find_instances(str(path))
    assert shop.name == "mine"
    path.write_text("2 2\n0 3 1 2\n")
    with pytest.raises(InstanceFormatError, match=r"mine\.txt"):
        b.find_instances(str(path))


@pytest.mark.parametrize("spec", ["la99", "ta81x", "nothing*", "", "no/such/file.txt", "la01,la02"])
def test_unknown_specs(spec: str) -> None:
    """What is neither name, set, glob nor file is refused."""
    with pytest.raises(UnknownNameError):
        b.find_instances(spec)


def test_unknown_instance_names_the_nearest() -> None:
    """A misspelt name is answered with the nearest ones."""
    with pytest.raises(UnknownNameError, match=r"did you mean .*swv"):
        b.load_instance("svw06")


def test_instances_are_shared() -> None:
    """Loading twice gives the same immutable object: environments reset to it often."""
    assert b.load_instance("ta80") is b.load_instance("TA80")
