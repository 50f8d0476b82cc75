"""SoC instances: job profiles (task graphs), processing elements, and the jobs that arrive."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.soc.power import PowerModel

Objective = Literal["latency", "makespan", "energy"]
OBJECTIVES: Final = ("latency", "makespan", "energy")
LATEST: Final = 2**31
"""No run may conceivably last this long, so that any time fits 32 bits."""

_ARRAYS: Final[dict[str, Any]] = {
    "task_first": np.int32,
    "execution": np.int32,
    "edge_source": np.int32,
    "edge_target": np.int32,
    "edge_volume": np.int64,
    "pe_type": np.int32,
    "pe_cluster": np.int32,
    "bandwidth": np.int64,
    "job_profile": np.int32,
    "arrival": np.int64,
    "realised": np.int32,
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SocInstance:
    """Jobs that are DAGs of tasks, on processing elements (PEs) of unlike types.

    A job of profile p is a copy of the template tasks `task_first[p] : task_first[p + 1]`; its tasks are numbered from 0
    in that order ("local" numbers, the `task` of a `Schedule`). A task starts on one PE once all data have arrived there:
    data of a predecessor on PE p reach PE q `volume // bandwidth[p, q]` after its end (at once where the bandwidth
    is 0). Times are integer microseconds. Edges are kept sorted by target, then source.

    A run with a horizon ends at it or when all jobs that arrive before it are done; tasks still running are cut off, jobs
    still unfinished count with their age. Without a horizon it ends with the last task.

    Attributes:
        name: Name in the literature, or of the generator's draw.
        objective: What is minimised. "latency": mean over `counted` jobs of min(finish, horizon) - arrival, us.
            "makespan": end of the run, us. "energy": pJ drawn until then (needs `power`).
        task_first: (P + 1,) int32, offsets of the profiles' template tasks; every profile has at least one.
        execution: (T, K) int32, us that the scheduler expects of template task t on a PE of type k; -1: cannot run there; 0 is
            allowed.
        edge_source: (E,) int32, template task whose output is needed.
        edge_target: (E,) int32, template task of the same profile that needs it.
        edge_volume: (E,) int64, amount of data.
        pe_type: (M,) int32, type of each PE, 0..K-1.
        pe_cluster: (M,) int32, cluster of each PE, 0..C-1, each with at least one.
        bandwidth: (M, M) int64, volume per us from PE p to PE q; 0: instantaneous.
        job_profile: (J,) int32, profile of each job.
        arrival: (J,) int64, us, nondecreasing.
        realised: (N, M) int32, us that task `row_first[j] + local` really takes on PE m, known only when it ends; -1 where it
            cannot run. Shape (0, M): exactly `execution`.
        deviation: How uncertain durations are, as far as anybody knows: `realised` as if drawn from Gaussians around `execution`,
            rounded and at least 1, with this fraction of it as standard deviation; 0: nothing is known.
        horizon: us at which the run is cut off; 0: when all jobs are done. Jobs that arrive at or after it never enter.
        warm_up: us; jobs that arrive earlier are not counted in the latency.
        max_jobs: Most jobs in the system at once; later arrivals wait outside, in order; 0: no cap.
        power: What the PEs draw; None where energy does not matter.
        pe_names: Names of the PEs for pictures.
        profile_names: Names of the profiles.
        task_names: Names of the template tasks.
    """

    task_first: NDArray[np.int32]
    execution: NDArray[np.int32]
    edge_source: NDArray[np.int32]
    edge_target: NDArray[np.int32]
    edge_volume: NDArray[np.int64]
    pe_type: NDArray[np.int32]
    pe_cluster: NDArray[np.int32]
    bandwidth: NDArray[np.int64]
    job_profile: NDArray[np.int32]
    arrival: NDArray[np.int64]
    realised: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    deviation: float = 0.0
    objective: Objective = "latency"
    horizon: int = 0
    warm_up: int = 0
    max_jobs: int = 0
    power: PowerModel | None = None
    pe_names: tuple[str, ...] = ()
    profile_names: tuple[str, ...] = ()
    task_names: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        if np.size(self.realised) == 0:
            object.__setattr__(self, "realised", np.zeros((0, np.size(self.pe_type)), np.int32))
        for key, kind in _ARRAYS.items():
            given = np.asarray(getattr(self, key))
            if given.size and given.dtype.kind not in "iu":
                raise InvalidInstanceError(f"{key}: dtype {given.dtype}; expected integers")
            array = np.array(given, dtype=kind, order="C")
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        self._check_profiles()
        self._check_platform()
        self._check_edges()
        self._check_jobs()
        self._check_realised()
        self._check_rest()

    def _check_profiles(self) -> None:
        first, execution = self.task_first, self.execution
        if first.ndim != 1 or first.size < 2 or first[0] != 0 or (first[1:] <= first[:-1]).any():
            raise InvalidInstanceError(
                f"task_first: {first.tolist()[:12]}; expected offsets from 0, every profile at least one task"
            )
        if execution.ndim != 2 or execution.shape[0] != first[-1] or execution.shape[1] < 1:
            raise InvalidInstanceError(
                f"execution: shape {execution.shape}; expected ({first[-1]}, PE types)"
            )
        if execution.min() < -1:
            raise InvalidInstanceError(
                f"execution: {execution.min()}; expected us >= 0, or -1 where a task cannot run"
            )

    def _check_platform(self) -> None:
        kind, cluster, num_pes = self.pe_type, self.pe_cluster, self.pe_type.size
        if kind.ndim != 1 or num_pes < 1 or kind.min() < 0 or kind.max() >= self.num_types:
            raise InvalidInstanceError(
                f"pe_type: {kind.tolist()[:12]}; expected at least one PE, types 0..{self.num_types - 1}"
            )
        if cluster.shape != (num_pes,) or not np.array_equal(np.unique(cluster), range(cluster.max() + 1)):
            raise InvalidInstanceError(
                f"pe_cluster: {cluster.tolist()[:12]}; expected {num_pes} clusters numbered from 0 without gaps"
            )
        if self.bandwidth.shape != (num_pes, num_pes) or self.bandwidth.min() < 0:
            raise InvalidInstanceError(
                f"bandwidth: shape {self.bandwidth.shape}; expected ({num_pes}, {num_pes}) of volume per us >= 0"
            )
        nowhere = np.flatnonzero((self.execution[:, np.unique(kind)] < 0).all(axis=1))
        if nowhere.size:
            raise InvalidInstanceError(
                f"execution: no PE can run template task {nowhere[0]}; expected at least one"
            )

    def _check_edges(self) -> None:
        source, target = self.edge_source, self.edge_target
        if not source.shape == target.shape == self.edge_volume.shape == (source.size,):
            shapes = source.shape, target.shape, self.edge_volume.shape
            raise InvalidInstanceError(
                f"edge_source, edge_target, edge_volume: shapes {shapes}; expected one length"
            )
        if source.size == 0:
            return
        if min(source.min(), target.min()) < 0 or max(source.max(), target.max()) >= self.total_tasks:
            raise InvalidInstanceError(f"edges: expected template tasks 0..{self.total_tasks - 1}")
        if self.edge_volume.min() < 0:
            raise InvalidInstanceError(f"edge_volume: {self.edge_volume.min()}; expected >= 0")
        owner = np.repeat(np.arange(self.num_profiles), np.diff(self.task_first))
        crossing = np.flatnonzero(owner[source] != owner[target])
        if crossing.size:
            pair = int(source[crossing[0]]), int(target[crossing[0]])
            raise InvalidInstanceError(f"edges: {pair} joins two profiles; expected tasks of one")
        order = np.lexsort((source, target))
        for key in ("edge_source", "edge_target", "edge_volume"):
            array = getattr(self, key)[order]
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        source, target = self.edge_source, self.edge_target
        twice = np.flatnonzero((source[1:] == source[:-1]) & (target[1:] == target[:-1]))
        if twice.size:
            pair = int(source[twice[0]]), int(target[twice[0]])
            raise InvalidInstanceError(f"edges: {pair} stands there twice; expected once")
        self._check_acyclic()

    def _check_acyclic(self) -> None:
        left = np.ones(self.edge_source.size, np.bool_)
        while left.any():
            waits = np.zeros(self.total_tasks, np.bool_)
            waits[self.edge_target[left]] = True
            still = left & waits[self.edge_source]
            if still.sum() == left.sum():
                edge = np.flatnonzero(still)[0]
                pair = int(self.edge_source[edge]), int(self.edge_target[edge])
                raise InvalidInstanceError(f"edges: a cycle at or before {pair}; expected an acyclic graph")
            left = still

    def _check_jobs(self) -> None:
        profile, arrival = self.job_profile, self.arrival
        if profile.ndim != 1 or profile.size < 1 or profile.min() < 0 or profile.max() >= self.num_profiles:
            raise InvalidInstanceError(
                f"job_profile: {profile.tolist()[:12]}; expected at least one job, profiles 0..{self.num_profiles - 1}"
            )
        if arrival.shape != profile.shape or arrival.min() < 0 or (np.diff(arrival) < 0).any():
            raise InvalidInstanceError(
                f"arrival: {arrival.tolist()[:12]}; expected {profile.size} nondecreasing times >= 0"
            )

    def _check_realised(self) -> None:
        realised, rows = self.realised, self.total_rows
        if realised.ndim != 2 or realised.shape not in ((0, self.num_pes), (rows, self.num_pes)):
            expected = f"({rows}, {self.num_pes}), or (0, {self.num_pes}) where nothing is uncertain"
            raise InvalidInstanceError(f"realised: shape {realised.shape}; expected {expected}")
        if realised.shape[0]:
            known = self.execution[self.row_task][:, self.pe_type] >= 0
            wrong = np.argwhere((realised >= 0) != known)
            if wrong.size or realised.min() < -1:
                where = wrong[0].tolist() if wrong.size else np.argwhere(realised < -1)[0].tolist()
                raise InvalidInstanceError(
                    f"realised: {realised[tuple(where)]} at {where}; expected us >= 0 where the task can run, else -1"
                )

    def _check_rest(self) -> None:
        if self.objective not in OBJECTIVES:
            raise InvalidInstanceError(
                f"objective: {self.objective!r}; expected one of {', '.join(OBJECTIVES)}"
            )
        if not 0 <= self.deviation < 10:
            raise InvalidInstanceError(f"deviation: {self.deviation}; expected a fraction in [0, 10)")
        for key in ("horizon", "warm_up", "max_jobs"):
            if getattr(self, key) < 0:
                raise InvalidInstanceError(f"{key}: {getattr(self, key)}; expected >= 0")
        if not self.counted.any():
            raise InvalidInstanceError(
                f"arrival: no job in [warm_up {self.warm_up}, horizon {self.horizon or 'none'}); expected at least one"
            )
        if self.objective == "energy" and self.power is None:
            raise InvalidInstanceError("power: None; expected a model, for the objective is energy")
        if self.power is not None:
            sizes = np.bincount(self.pe_cluster)
            if self.power.level.size != sizes.size or self.power.table.shape[2] <= sizes.max():
                raise InvalidInstanceError(
                    f"power.table: shape {self.power.table.shape}; "
                    f"expected {sizes.size} clusters of up to {sizes.max()} PEs"
                )
        for key, count, word in (
            ("pe_names", self.num_pes, "PE"),
            ("profile_names", self.num_profiles, "profile"),
            ("task_names", self.total_tasks, "task"),
        ):
            names = tuple(getattr(self, key)) or tuple(f"{word} {i}" for i in range(count))
            if len(names) != count:
                raise InvalidInstanceError(f"{key}: {len(names)} names; expected {count}")
            object.__setattr__(self, key, names)
        if self.latest_end >= LATEST:
            raise InvalidInstanceError(
                f"execution, arrival: a run might last {self.latest_end} us; expected less than 2^31"
            )

    @property
    def num_jobs(self) -> int:
        """J, number of jobs, those at or after the horizon included."""
        return self.job_profile.size

    @property
    def num_pes(self) -> int:
        """M, number of PEs."""
        return self.pe_type.size

    @property
    def num_types(self) -> int:
        """K, number of PE types."""
        return int(self.execution.shape[1])

    @property
    def num_clusters(self) -> int:
        """C, number of clusters."""
        return int(self.pe_cluster.max()) + 1

    @property
    def num_profiles(self) -> int:
        """P, number of job profiles."""
        return self.task_first.size - 1

    @property
    def max_tasks(self) -> int:
        """Tasks of the largest profile."""
        return int(np.diff(self.task_first).max())

    @property
    def total_tasks(self) -> int:
        """T, template tasks of all profiles."""
        return int(self.task_first[-1])

    @property
    def total_rows(self) -> int:
        """N, tasks of all jobs."""
        return int(np.diff(self.task_first)[self.job_profile].sum())

    @property
    def row_first(self) -> NDArray[np.int32]:
        """(J + 1,) int32, offsets of the jobs' tasks."""
        sizes = np.diff(self.task_first)[self.job_profile]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)

    @property
    def row_job(self) -> NDArray[np.int32]:
        """(N,) int32, job of each row."""
        sizes = np.diff(self.task_first)[self.job_profile]
        return np.repeat(np.arange(self.num_jobs, dtype=np.int32), sizes)

    @property
    def row_task(self) -> NDArray[np.int32]:
        """(N,) int32, template task of each row."""
        sizes = np.diff(self.task_first)[self.job_profile]
        local = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return (np.repeat(self.task_first[self.job_profile], sizes) + local).astype(np.int32)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(J,) bool, jobs that count in the latency: warm_up <= arrival, and < horizon if there is one."""
        entered = self.arrival < self.horizon if self.horizon else np.ones(self.num_jobs, np.bool_)
        return (self.arrival >= self.warm_up) & entered

    @property
    def is_deterministic(self) -> bool:
        """Whether every task takes exactly its expected time."""
        return self.realised.shape[0] == 0

    @property
    def durations(self) -> NDArray[np.int32]:
        """(T, M) int32, expected us of template task t on PE m; -1: cannot run there."""
        return self.execution[:, self.pe_type]

    @property
    def row_durations(self) -> NDArray[np.int32]:
        """(N, M) int32, realised us of every row on every PE; -1: cannot run there."""
        if not self.is_deterministic:
            return self.realised
        return self.durations[self.row_task]

    @property
    def latest_end(self) -> int:
        """A time by which every schedule without needless idling is over, us."""
        slowest = self.bandwidth[self.bandwidth > 0].min(initial=np.iinfo(np.int64).max)
        profile_volume = np.zeros(self.total_tasks, np.int64)
        np.add.at(profile_volume, self.edge_target, self.edge_volume // slowest)
        work = int(self.row_durations.max(axis=1).sum(dtype=np.int64)) + int(
            profile_volume[self.row_task].sum()
        )
        return int(self.arrival[-1]) + work

    def __eq__(self, other: object) -> bool:
        """Equal jobs, platform and objective, whatever the names."""
        if not isinstance(other, SocInstance):
            return NotImplemented
        scalars = ("objective", "horizon", "warm_up", "max_jobs")
        return (
            all(np.array_equal(getattr(self, key), getattr(other, key)) for key in _ARRAYS)
            and all(getattr(self, key) == getattr(other, key) for key in scalars)
            and self.power == other.power
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def load(cls, path: str | Path) -> SocInstance:
        """Read the first instance of a JSON file; see `makespan.envs.soc.formats`.

        Raises:
            InstanceFormatError: The file is malformed; the message names file and key.
        """
        from makespan.envs.soc import formats  # it builds instances itself

        return formats.load(path)[0]

    def save(self, path: str | Path) -> None:
        """Write the instance as JSON.

        Raises:
            InstanceFormatError: The format cannot express this instance.
        """
        from makespan.envs.soc import formats

        formats.save([self], path)
