"""Platforms and profiles of the package say what their sources say."""

from __future__ import annotations

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.soc.graphs import delays, levels
from makespan.envs.soc.platform import assemble, load_platform
from makespan.envs.soc.profiles import load_profile, profile_names


def test_profiles_have_their_published_sizes() -> None:
    """Guards the encoding of the task graphs: tasks and edges of each profile."""
    sizes = {name: (len(load_profile(name).tasks), len(load_profile(name).edges)) for name in profile_names()}
    assert sizes["topcuoglu"] == (10, 15)
    top = [sizes[f"top_{i}"] for i in range(1, 11)]
    assert top == [(10, edges) for edges in (15, 14, 12, 13, 14, 15, 14, 14, 14, 15)]
    real = ("wifi_tx", "wifi_rx", "range_detection", "sc_tx", "sc_rx", "temporal_mitigation")
    assert [sizes[name] for name in real] == [(27, 30), (34, 37), (7, 7), (8, 7), (8, 7), (10, 12)]


@pytest.mark.parametrize(
    ("profile", "depth"), [("wifi_tx", 6), ("wifi_rx", 9), ("range_detection", 5), ("sc_tx", 7)]
)
def test_longest_chains(profile: str, depth: int) -> None:
    """Guards the shape of the graphs: edges on the longest path, counted on the block diagrams."""
    instance = assemble(
        load_platform("soc16"), [load_profile(profile)], np.zeros(1, np.int32), np.zeros(1, np.int64)
    )
    assert levels(instance).max() == depth


def test_execution_times_by_type() -> None:
    """Guards single cells of the tables: accelerators run their function and nothing else."""
    soc = load_platform("soc16")
    assert soc.types == ("A7", "A15", "MM", "FFT", "VIT")
    tx = load_profile("wifi_tx").execution(soc.types)
    assert tx[0].tolist() == [22, 10, -1, -1, -1]
    assert tx[4].tolist() == [296, 118, -1, 16, -1]
    rx = load_profile("wifi_rx").execution(soc.types)
    assert rx[31].tolist() == [1828, 739, -1, -1, 2]
    matrix = load_profile("temporal_mitigation").execution(soc.types)
    assert matrix[8].tolist() == [210, 44, 22, -1, -1]


def test_transfers_on_soc16() -> None:
    """Guards the bandwidths: 10, 30 and 80 units cost 1, 3 and 8 us from or to an FFT unit; 3000 cost 3 between cores."""
    instance = assemble(
        load_platform("soc16"), [load_profile("wifi_rx")], np.zeros(1, np.int32), np.zeros(1, np.int64)
    )
    delay = delays(instance)
    a7, a15, fft, vit = 0, 4, 10, 14
    by_volume = {int(volume): edge for edge, volume in enumerate(instance.edge_volume)}
    assert delay[by_volume[30], a7, fft] == 3
    assert delay[by_volume[80], fft, a15] == 8
    assert delay[by_volume[3000], a7, a15] == 3
    assert delay[by_volume[3000], a7, a7 + 1] == 3
    assert delay[by_volume[3000], a7, fft] == 300
    assert delay[by_volume[3000], fft, vit] == 3
    assert delay[by_volume[3000], a7, a7] == 0


def test_biglittle_has_slow_filters() -> None:
    """Guards that a platform's own figures win over the profile's."""
    soc = load_platform("biglittle")
    assert load_profile("sc_tx").execution(soc.types, soc.functions)[7].tolist() == [6468, 1393]
    assert load_profile("sc_rx").execution(soc.types, soc.functions)[:2].tolist() == [
        [4997, 1133],
        [7033, 1561],
    ]


def test_cluster_power() -> None:
    """Guards the power tables: profiled points as published, an unprofiled one worked out by hand.

    Leakage of an A15 core at 42 C: V (0.002488 * 315.15^2 * exp(-2660 / 315.15) + 0.000519) / 4 = V * 0.013471 W. At 1400 MHz
    and 1.1 V one busy core draws 4 * 0.014818 + (3.32 - 4 * 0.018347) * (1400 * 1.1^2) / (2000 * 1.362^2) = 1.5417 W.
    """
    model = load_platform("soc16").power
    assert model is not None
    assert model.base == 167_400
    a7, a15 = model.table[0], model.table[1]
    assert a7[model.frequency[0].tolist().index(1000), 1:].tolist() == [190_000, 290_000, 350_000, 400_000]
    assert model.draw[1, 1:].tolist() == [3_320_000, 5_050_000, 6_150_000, 6_910_000]
    assert a15[4, 0] == pytest.approx(59_272, abs=10)
    assert a15[4, 1] == pytest.approx(1_541_700, rel=1e-3)
    assert model.draw[3, 1:].tolist() == [91_300, 182_600, 273_900, 365_200]


def test_frequencies_choose_operating_points() -> None:
    """Guards DVFS: A7 at 1000 of 1400 MHz takes 1.4 times as long, rounded up, and draws what is profiled there."""
    instance = assemble(
        load_platform("biglittle"),
        [load_profile("sc_tx")],
        np.zeros(1, np.int32),
        np.zeros(1, np.int64),
        frequencies=(900, 0),
    )
    assert instance.execution[0].tolist() == [9, 2]  # ceil(6 * 1.4)
    assert instance.power is not None
    assert instance.power.draw[0, 4] == 400_000
    with pytest.raises(ValueError, match="1500 MHz for A7"):
        load_platform("biglittle").at_frequencies((1500, 0))
    with pytest.raises(ValueError, match="no operating points"):
        load_platform("top").at_frequencies((600, 600, 600))


def test_unknown_and_unfit_names() -> None:
    """Guards clear errors for names, and for a job that a platform cannot run."""
    with pytest.raises(UnknownNameError, match="soc16"):
        load_platform("soc15")
    with pytest.raises(UnknownNameError, match="wifi_tx"):
        load_profile("wifi_t")
    with pytest.raises(InvalidInstanceError, match="no PE of platform 'top' runs 'scrambler_encoder'"):
        assemble(
            load_platform("top"), [load_profile("wifi_tx")], np.zeros(1, np.int32), np.zeros(1, np.int64)
        )
