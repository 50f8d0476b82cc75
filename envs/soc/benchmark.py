"""Named SoC instances, the sets they form, and the best values known for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from makespan.envs.core.family import BestKnown
from makespan.envs.core.named import NamedInstances
from makespan.envs.soc import formats
from makespan.envs.soc.arrivals import DS3_TYPES, ds3_arrivals
from makespan.envs.soc.generator import TOY_OPTIMUM, ToySoc
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.platform import assemble, load_platform
from makespan.envs.soc.profiles import load_profile

_PROVED = "proved by CP-SAT (this project)"
_REGRESSION_SCALES = (2000, 200, 100)

# name -> (platform, profile, makespan or latency in us, source); lower and upper bound meet
_SINGLE: dict[str, tuple[str, str, int]] = {
    "topcuoglu": ("topcuoglu", "topcuoglu", 73),
    "single-wifi_tx": ("soc16", "wifi_tx", 69),
    "single-wifi_rx": ("soc16", "wifi_rx", 288),
    "single-range_detection": ("soc16", "range_detection", 176),
    "single-sc_tx": ("soc16", "sc_tx", 56),
    "single-sc_rx": ("soc16", "sc_rx", 153),
    "single-temporal_mitigation": ("soc16", "temporal_mitigation", 79),
}

INSTANCE_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "single": tuple(_SINGLE),
        "ds3": tuple(f"ds3-wifi-{scale}" for scale in _REGRESSION_SCALES),
        "tiny": ("toy", "topcuoglu"),
    }
)
"""Set name -> its instances.

`single` are one job each (the graph of the HEFT paper, and DS3's six jobs on its default SoC), `ds3` the streams of the DS3
scheduling case study (WiFi transmitters and receivers, 50 ms, warm-up 10 ms) at three mean gaps in us.
"""


def _make(name: str) -> SocInstance:
    if name == "toy":
        return ToySoc().sample()
    if name.startswith("ds3-wifi-"):
        profile, arrival = ds3_arrivals(float(name.rpartition("-")[2]))
        inside = arrival < 50_000
        graphs = [load_profile(kind) for kind in DS3_TYPES[:2]]
        return assemble(
            load_platform("soc16"),
            graphs,
            profile[inside],
            arrival[inside],
            horizon=50_000,
            warm_up=10_000,
            name=name,
        )
    platform, kind, _ = _SINGLE[name]
    nothing = np.zeros(1, np.int64)
    return assemble(
        load_platform(platform),
        [load_profile(kind)],
        nothing.astype(np.int32),
        nothing,
        objective="makespan" if name == "topcuoglu" else "latency",
        name=name,
    )


def _canonical(name: str) -> str | None:
    """Case, hyphens and underscores do not matter."""
    return _SPELLINGS.get(_spelling(name))


def _spelling(name: str) -> str:
    return name.lower().replace("_", "-")


_SPELLINGS: Final = {_spelling(name): name for names in INSTANCE_SETS.values() for name in names}
_NAMED: Final = NamedInstances(INSTANCE_SETS, _make, formats.load, canonical=_canonical)

load_instance = _NAMED.load
"""An instance by name, e.g. `topcuoglu` or `ds3-wifi-200`, or from a JSON file; see `NamedInstances.load`."""
find_instances = _NAMED.find
"""Instances that one command-line argument stands for; see `NamedInstances.find`."""


def best_known(instance: SocInstance | str) -> BestKnown | None:
    """Proved optima of the single jobs and the toy.

    Args:
        instance: The name of an instance, or an instance: it must be what its name stands for; the graph of the HEFT paper
            is known under any name.

    Returns:
        The bounds on its objective, or None if there are none.
    """
    if not isinstance(instance, str):
        candidates = ["topcuoglu", instance.name]
        name = next(
            (n for n in candidates if n in _NAMED.names and same_problem(instance, load_instance(n))), None
        )
    else:
        name = load_instance(instance).name
    if name == "toy":
        return BestKnown(TOY_OPTIMUM, TOY_OPTIMUM, "solved by hand")
    if name in _SINGLE:
        optimum = _SINGLE[name][2]
        return BestKnown(optimum, optimum, _PROVED)
    return None


def same_problem(one: SocInstance, other: SocInstance) -> bool:
    """Whether two instances have the same tasks, PEs, jobs and objective, however their PE types are numbered."""
    if one.durations.shape != other.durations.shape or one.row_durations.shape != other.row_durations.shape:
        return False
    arrays = (
        "task_first",
        "edge_source",
        "edge_target",
        "edge_volume",
        "job_profile",
        "arrival",
        "bandwidth",
    )
    scalars = ("objective", "horizon", "warm_up", "max_jobs")
    return (
        all(np.array_equal(getattr(one, key), getattr(other, key)) for key in arrays)
        and all(getattr(one, key) == getattr(other, key) for key in scalars)
        and np.array_equal(one.durations, other.durations)
        and np.array_equal(one.row_durations, other.row_durations)
    )
