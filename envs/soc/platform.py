"""Platforms: the processing elements of a SoC, their bandwidths and their power, and the package's own encoding of known ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.soc.instance import Objective, SocInstance
from makespan.envs.soc.power import PowerModel, scaled
from makespan.envs.soc.profiles import Profile, check_runnable


@dataclass(frozen=True, slots=True, eq=False)
class Platform:
    """A SoC; a cluster holds the PEs of one type, so clusters and types have the same numbers.

    Attributes:
        name: Short name, e.g. "soc16".
        types: Names of the PE types.
        sizes: PEs of each type.
        bandwidth: (M, M) int64, volume per us between PEs; 0: at once.
        functions: Function -> PE type -> us that hold here whatever a profile says.
        power: What the clusters draw at all their operating points, each at its fastest; None if unknown.
        source: Where the numbers are from.
    """

    name: str
    types: tuple[str, ...]
    sizes: tuple[int, ...]
    bandwidth: NDArray[np.int64]
    functions: Mapping[str, Mapping[str, int]]
    power: PowerModel | None = None
    source: str = ""

    @property
    def pe_type(self) -> NDArray[np.int32]:
        """(M,) int32, type of each PE."""
        return np.repeat(np.arange(len(self.sizes), dtype=np.int32), self.sizes)

    @property
    def pe_names(self) -> tuple[str, ...]:
        """Names of the PEs: that of the type, numbered where there are several."""
        return tuple(
            kind if size == 1 else f"{kind}.{i}"
            for kind, size in zip(self.types, self.sizes, strict=True)
            for i in range(size)
        )

    def at_frequencies(self, frequencies: Sequence[int]) -> PowerModel:
        """The power model with each cluster at its slowest operating point of at least the given MHz; 0: its fastest.

        Raises:
            ValueError: The platform has no operating points, or not one frequency a cluster, or one is too high.
        """
        if self.power is None:
            raise ValueError(f"frequencies: platform {self.name!r} has no operating points")
        if len(frequencies) != len(self.types):
            raise ValueError(
                f"frequencies: {len(frequencies)}; expected one for each of {', '.join(self.types)}"
            )
        level = self.power.level.copy()
        for cluster, wanted in enumerate(frequencies):
            known = self.power.frequency[cluster]
            if not 0 <= wanted <= known.max():
                raise ValueError(
                    f"frequencies: {wanted} MHz for {self.types[cluster]}; expected 0..{known.max()}"
                )
            if wanted:
                level[cluster] = int(np.argmax(known >= wanted))
        return PowerModel(self.power.frequency, self.power.table, level, self.power.base)


def bandwidth_table(
    types: Sequence[str],
    sizes: Sequence[int],
    same: int,
    other: int,
    pairs: Sequence[tuple[str, str, int]] = (),
) -> NDArray[np.int64]:
    """(M, M) int64, volume per us: `same` on one PE, the value of the pair of types where given, else `other`."""
    by_type = np.full((len(types), len(types)), other, np.int64)
    for a, b, value in pairs:
        by_type[types.index(a), types.index(b)] = by_type[types.index(b), types.index(a)] = value
    kind = np.repeat(np.arange(len(types)), sizes)
    table = by_type[kind[:, None], kind]
    np.fill_diagonal(table, same)
    return table


def _leakage_w(volt: float, entry: Mapping[str, Any], kelvin: float, share: float) -> float:
    """Leakage of a core in W: share * (V c1 T^2 exp(-c2 / T) + gate V) / 4 (DS3)."""
    thermal = entry["c1"] * kelvin**2 * math.exp(-entry["c2"] / kelvin)
    return share * volt * (thermal + entry["gate"]) / 4


def _cluster_w(entry: Mapping[str, Any], cluster: Mapping[str, Any], size: int, mhz: int) -> list[float]:
    """W of a cluster with 0..size busy cores at an operating point: C f V^2 scaled from the next profiled frequency."""
    profiled = min(f for f in cluster["profiled_w"] if f >= mhz)
    share = cluster.get("leakage_share", 1.0)
    volt, volt_profiled = cluster["opp"][mhz] / 1000, cluster["opp"][profiled] / 1000
    leak, leak_profiled = (
        size * _leakage_w(v, entry["leakage"], entry["temperature_k"], share) for v in (volt, volt_profiled)
    )
    ratio = mhz * volt**2 / (profiled * volt_profiled**2)
    return [leak] + [leak + (w - leak_profiled) * ratio for w in cluster["profiled_w"][profiled][:size]]


def _power_model(entry: Mapping[str, Any], sizes: Mapping[str, int]) -> PowerModel:
    clusters = [entry["clusters"][kind] for kind in sizes]
    levels, most = max(len(c["opp"]) for c in clusters), max(sizes.values())
    frequency = np.zeros((len(clusters), levels), np.int32)
    table = np.zeros((len(clusters), levels, most + 1), np.int64)
    for c, (cluster, size) in enumerate(zip(clusters, sizes.values(), strict=True)):
        for level, mhz in enumerate(sorted(cluster["opp"])):
            watts = _cluster_w(entry, cluster, size, mhz)
            frequency[c, level] = mhz
            table[c, level] = np.round(1e6 * np.array(watts + [watts[-1]] * (most - size)))
    fastest = (frequency > 0).sum(axis=1) - 1
    return PowerModel(frequency, table, fastest.astype(np.int32), round(1e6 * entry["base_w"]))


@cache
def _library() -> dict[str, Any]:
    file = resources.files("makespan.envs.soc") / "data" / "platforms.yaml"
    library: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return library


def platform_names() -> list[str]:
    """Names that `load_platform` knows."""
    return list(_library())


@cache
def load_platform(name: str) -> Platform:
    """A platform of the package's data by name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in _library():
        raise UnknownNameError("SoC platform", name, _library())
    entry = _library()[name]
    types, sizes = tuple(entry["clusters"]), tuple(entry["clusters"].values())
    wires = entry["bandwidth"]
    table = bandwidth_table(types, sizes, wires["same"], wires["other"], wires.get("pairs", ()))
    power = _power_model(entry["power"], entry["clusters"]) if "power" in entry else None
    return Platform(name, types, sizes, table, entry.get("functions", {}), power, entry["source"])


def assemble(
    platform: Platform,
    profiles: Sequence[Profile],
    job_profile: NDArray[np.int32],
    arrival: NDArray[np.int64],
    *,
    realised: NDArray[np.int32] | None = None,
    frequencies: Sequence[int] = (),
    objective: Objective = "latency",
    horizon: int = 0,
    warm_up: int = 0,
    max_jobs: int = 0,
    name: str = "",
) -> SocInstance:
    """An instance: jobs of some profiles on a platform.

    Args:
        platform: The SoC.
        profiles: The task graphs that `job_profile` counts.
        job_profile: (J,) profile of each job.
        arrival: (J,) us, nondecreasing.
        realised: (N, M) realised us of each row; None: as expected.
        frequencies: MHz of each cluster (see `Platform.at_frequencies`); empty: the fastest.
        objective: As the instance's.
        horizon: As the instance's, us.
        warm_up: As the instance's, us.
        max_jobs: As the instance's.
        name: As the instance's.
    """
    execution, power = graph_times(platform, profiles, frequencies)
    sizes = [len(profile.tasks) for profile in profiles]
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    edges = np.array(
        [
            (int(first[p]) + a, int(first[p]) + b, v)
            for p, profile in enumerate(profiles)
            for a, b, v in profile.edges
        ],
        np.int64,
    ).reshape(-1, 3)
    num_pes = sum(platform.sizes)
    return SocInstance(
        task_first=first,
        execution=execution,
        edge_source=edges[:, 0].astype(np.int32),
        edge_target=edges[:, 1].astype(np.int32),
        edge_volume=edges[:, 2],
        pe_type=platform.pe_type,
        pe_cluster=platform.pe_type,
        bandwidth=platform.bandwidth,
        job_profile=job_profile,
        arrival=arrival,
        realised=np.zeros((0, num_pes), np.int32) if realised is None else realised,
        objective=objective,
        horizon=horizon,
        warm_up=warm_up,
        max_jobs=max_jobs,
        power=power,
        pe_names=platform.pe_names,
        profile_names=tuple(profile.name for profile in profiles),
        task_names=tuple(task for profile in profiles for task in profile.tasks),
        name=name,
    )


def graph_times(
    platform: Platform, profiles: Sequence[Profile], frequencies: Sequence[int] = ()
) -> tuple[NDArray[np.int32], PowerModel | None]:
    """Expected us (T, K) of the profiles' tasks at the given frequencies, and the power model there.

    Raises:
        InvalidInstanceError: No PE of the platform can run some task.
        ValueError: As `Platform.at_frequencies`.
    """
    tables = [profile.execution(platform.types, platform.functions) for profile in profiles]
    for profile, table in zip(profiles, tables, strict=True):
        check_runnable(profile, platform.types, table, platform.name)
    execution = np.concatenate(tables)
    if not any(frequencies):
        return execution, platform.power
    power = platform.at_frequencies(frequencies)
    for kind, level in enumerate(power.level):
        known = power.frequency[kind]
        execution[:, kind] = scaled(execution[:, kind], int(known.max()), int(known[level]))
    return execution, power
