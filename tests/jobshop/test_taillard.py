"""Taillard's shops come out of their seeds bit for bit."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.taillard import load_taillard, uniform_stream

# max(longest job, most loaded machine) of ta01-ta80 as Taillard's files lead to; copied from an independent regeneration.
TRIVIAL_BOUNDS = """
977 942 921 911 940 889 935 963 982 911 1139 1251 1178 1130 1148 1181 1257 1153 1202 1186
1217 1240 1185 1271 1256 1207 1331 1269 1267 1212 1764 1774 1729 1828 1729 1777 1771 1673 1641 1602
1830 1761 1694 1787 1731 1856 1690 1744 1758 1674 2760 2756 2717 2797 2679 2781 2943 2885 2655 2723
2868 2848 2755 2691 2725 2845 2812 2764 3063 2995 5464 5181 5552 5339 5392 5342 5436 5394 5358 5183
"""


def digest(instances: list[ShopInstance]) -> str:
    """SHA-256 over sizes, machines and durations as little-endian 32-bit integers."""
    hasher = hashlib.sha256()
    for shop in instances:
        hasher.update(np.array([shop.num_jobs, shop.num_machines], "<i4").tobytes())
        hasher.update(shop.machines.astype("<i4").tobytes() + shop.durations.astype("<i4").tobytes())
    return hasher.hexdigest()


def schrage(seed: int, count: int) -> list[float]:
    """The generator as the paper states it, with Schrage's split to avoid overflow."""
    draws = []
    for _ in range(count):
        quotient = seed // 127773
        seed = 16807 * (seed % 127773) - quotient * 2836
        seed += 2147483647 * (seed < 0)
        draws.append(seed / 2147483647)
    return draws


@pytest.mark.parametrize("seed", [1, 840612802, 2147483646])
def test_stream_equals_the_papers_recursion(seed: int) -> None:
    """The product form of the generator agrees with the published recursion, draw for draw."""
    expected = [1 + int(u * 99) for u in schrage(seed, 3000)]
    assert uniform_stream(seed, 1, 99, 3000).tolist() == expected


def test_ta01_first_rows() -> None:
    """The first two jobs of ta01 are those of the published file."""
    shop = load_taillard("ta01")
    assert shop.durations[:15, 0].tolist() == [94, 66, 10, 53, 26, 15, 65, 82, 10, 27, 93, 92, 96, 70, 83]
    assert shop.durations[15:30, 0].tolist() == [74, 31, 88, 51, 57, 78, 8, 7, 91, 79, 18, 51, 18, 99, 33]
    assert (shop.machines[:15, 0] + 1).tolist() == [7, 13, 5, 8, 4, 3, 11, 12, 9, 15, 10, 14, 6, 1, 2]
    assert (shop.machines[15:30, 0] + 1).tolist() == [5, 6, 8, 15, 14, 9, 12, 10, 7, 11, 1, 4, 13, 2, 3]


def test_all_job_shops() -> None:
    """All 80 job shops hash to the value they had when checked against the recursion, draw for draw."""
    assert digest([load_taillard(f"ta{k:02d}") for k in range(1, 81)]) == (
        "50b70c8e943e918a7f1d2940c9bb7d951aff0f65048fb085c8b45364f8dd3601"
    )


def test_all_flow_shops() -> None:
    """All 120 flow shops hash to the value they had when checked against the recursion, draw for draw."""
    assert digest([load_taillard(f"ta{k:03d}") for k in range(1, 121)]) == (
        "349d49d52610af6240aa760cf66f137117d4e4e4e759fcc046e53e7a4d7b213f"
    )


def test_trivial_bounds() -> None:
    """Longest job and most loaded machine of all 80 agree with the table of an independent regeneration."""
    for number, expected in enumerate(TRIVIAL_BOUNDS.split(), start=1):
        shop = load_taillard(f"ta{number:02d}")
        duration = shop.durations[:, 0]
        longest_job = np.add.reduceat(duration, shop.job_first[:-1]).max()
        busiest_machine = np.bincount(shop.machines[:, 0], weights=duration).max()
        assert max(longest_job, busiest_machine) == int(expected), shop.name


def test_flow_shops_share_one_route() -> None:
    """Every job of a flow shop visits the machines in order."""
    shop = load_taillard("ta031")
    assert (shop.num_jobs, shop.num_machines) == (50, 5)
    assert (shop.machines.reshape(50, 5) == np.arange(5)).all()


@pytest.mark.parametrize("name", ["ta00", "ta81", "ta000", "ta121", "ta1", "tb01", "ta", "ta-1", "la01"])
def test_unknown_names(name: str) -> None:
    """A name that is none of the 200 is refused rather than wrapped around."""
    with pytest.raises(KeyError, match=name):
        load_taillard(name)
