"""What all SoC generators share: the size they promise, the protocol they keep, and their checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from makespan.envs.soc.instance import SocInstance


@dataclass(frozen=True, slots=True)
class SocSize:
    """Maxima over all instances that a generator may draw; the spaces of an environment are built from them.

    Attributes:
        num_jobs: Jobs of an instance.
        num_pes: PEs.
        num_types: PE types.
        num_clusters: Clusters.
        num_profiles: Job profiles.
        max_tasks: Tasks of a profile.
        total_tasks: Template tasks of all profiles.
        total_edges: Template edges of all profiles.
        total_rows: Tasks of all jobs.
        profile_edges: Edges of a profile.
        in_degree: Predecessors of a task.
        out_degree: Successors of a task.
        max_jobs: Jobs in the system at once; 0 if some instance has no cap.
    """

    num_jobs: int
    num_pes: int
    num_types: int
    num_clusters: int
    num_profiles: int
    max_tasks: int
    total_tasks: int
    total_edges: int
    total_rows: int
    profile_edges: int
    in_degree: int
    out_degree: int
    max_jobs: int = 0

    @classmethod
    def of(cls, *instances: SocInstance) -> SocSize:
        """The smallest size that holds every one of `instances`."""

        def most(key: str) -> int:
            return max(int(getattr(instance, key)) for instance in instances)

        degrees = [edge_counts(instance) for instance in instances]
        caps = [instance.max_jobs for instance in instances]
        return cls(
            num_jobs=most("num_jobs"),
            num_pes=most("num_pes"),
            num_types=most("num_types"),
            num_clusters=most("num_clusters"),
            num_profiles=most("num_profiles"),
            max_tasks=most("max_tasks"),
            total_tasks=most("total_tasks"),
            total_edges=max(instance.edge_source.size for instance in instances),
            total_rows=most("total_rows"),
            profile_edges=max(d[0] for d in degrees),
            in_degree=max(d[1] for d in degrees),
            out_degree=max(d[2] for d in degrees),
            max_jobs=max(caps) if min(caps) > 0 else 0,
        )


def edge_counts(instance: SocInstance) -> tuple[int, int, int]:
    """Most edges of a profile, most predecessors of a task, most successors of a task."""
    if instance.edge_source.size == 0:
        return 0, 0, 0
    profile = np.searchsorted(instance.task_first, instance.edge_source, side="right")
    counts = (np.bincount(ends).max() for ends in (profile, instance.edge_target, instance.edge_source))
    edges, predecessors, successors = (int(count) for count in counts)
    return edges, predecessors, successors


@runtime_checkable
class Generator(Protocol):
    """A distribution over SoC instances."""

    @property
    def size(self) -> SocSize:
        """Maxima over everything `sample` may return."""
        ...

    def sample(self, rng: np.random.Generator) -> SocInstance:
        """Draw an instance; equal states of `rng` give equal instances."""
        ...


def check_ranges(owner: object, **ranges: tuple[float, float]) -> None:
    """Refuse a parameter outside its range: `check_ranges(self, num_jobs=(1, inf))`."""
    for name, (low, high) in ranges.items():
        value = getattr(owner, name)
        if not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{type(owner).__name__}.{name}: {value!r}; expected {low}..{high}")
