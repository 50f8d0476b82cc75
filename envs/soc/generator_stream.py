"""Streams (and batches) of known jobs on a known platform."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from makespan.envs.soc.arrivals import (
    DS3_MIX,
    DS3_TYPES,
    Gaps,
    Streams,
    draw_arrivals,
    draw_mix,
    jobs_until,
    with_noise,
)
from makespan.envs.soc.generator_base import SocSize, check_ranges, edge_counts
from makespan.envs.soc.instance import Objective, SocInstance
from makespan.envs.soc.platform import Platform, assemble, load_platform
from makespan.envs.soc.profiles import Profile, load_profile


@dataclass(frozen=True)
class StreamSoc:
    """Jobs that arrive one after the other, each a random one of some profiles.

    Arrivals, mix and noise come from streams of their own: changing one parameter leaves the other draws as they are.

    Attributes:
        platform: Name of the platform.
        profiles: Names of the job profiles.
        probabilities: Probability of each profile (any weights); empty: all alike.
        scale: Mean gap between arrivals in us; 0: all jobs arrive at 0.
        num_jobs: Number of jobs; 0: as many as arrive before the horizon.
        gaps: "exponential" (rounded down, as DS3) or "fixed".
        initial_jobs: Jobs that are there at time 0.
        noise: Standard deviation of the realised durations as a fraction of the expected ones.
        horizon: us at which a run is cut off; 0: when all jobs are done.
        warm_up: us; jobs that arrive earlier are not counted.
        max_jobs: Most jobs in the system at once; 0: no cap.
        objective: "latency", "makespan" or "energy".
        frequencies: MHz of each cluster; 0, or none given: the fastest.
    """

    platform: str = "soc16"
    profiles: tuple[str, ...] = DS3_TYPES
    probabilities: tuple[float, ...] = ()
    scale: float = 60.0
    num_jobs: int = 100
    gaps: Gaps = "exponential"
    initial_jobs: int = 1
    noise: float = 0.0
    horizon: int = 0
    warm_up: int = 0
    max_jobs: int = 0
    objective: Objective = "latency"
    frequencies: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for key in ("profiles", "probabilities", "frequencies"):  # lists in a config
            object.__setattr__(self, key, tuple(getattr(self, key)))
        check_stream(self)
        if not self.profiles:
            raise ValueError("StreamSoc.profiles: empty; expected at least one name")
        if self.probabilities and (
            len(self.probabilities) != len(self.profiles)
            or min(self.probabilities) < 0
            or sum(self.probabilities) <= 0
        ):
            raise ValueError(
                f"StreamSoc.probabilities: {self.probabilities}; expected a weight >= 0 for each of {self.profiles}"
            )
        self.template  # noqa: B018 - unknown names and bad combinations are told here

    @cached_property
    def template(self) -> SocInstance:
        """An instance with one job, whose graphs and platform every draw shares."""
        graphs = [load_profile(name) for name in self.profiles]
        return stream_template(load_platform(self.platform), graphs, self)

    @property
    def size(self) -> SocSize:
        """Maxima over everything `sample` may return."""
        used = [p for p in range(len(self.profiles)) if not self.probabilities or self.probabilities[p] > 0]
        return stream_size(self.template, self, used)

    def sample(self, rng: np.random.Generator) -> SocInstance:
        """Draw a stream of jobs."""
        return draw_stream(self.template, self, Streams.of(rng), self.probabilities)


@dataclass(frozen=True)
class StreamParameters:
    """The part of `StreamSoc`'s parameters that every generator of jobs has.

    Attributes:
        scale: Mean gap between arrivals in us; 0: all jobs arrive at 0.
        num_jobs: Number of jobs; 0: as many as arrive before the horizon.
        gaps: "exponential" (rounded down, as DS3) or "fixed".
        initial_jobs: Jobs that are there at time 0.
        noise: Standard deviation of the realised durations as a fraction of the expected ones.
        horizon: us at which a run is cut off; 0: when all jobs are done.
        warm_up: us; jobs that arrive earlier are not counted.
        max_jobs: Most jobs in the system at once; 0: no cap.
        objective: "latency", "makespan" or "energy".
    """

    scale: float = 0.0
    num_jobs: int = 1
    gaps: Gaps = "exponential"
    initial_jobs: int = 1
    noise: float = 0.0
    horizon: int = 0
    warm_up: int = 0
    max_jobs: int = 0
    objective: Objective = "makespan"


Stream = StreamSoc | StreamParameters


def check_stream(stream: Stream) -> None:
    """Refuse what cannot be drawn from."""
    check_ranges(
        stream,
        scale=(0, 1e9),
        num_jobs=(0, 10**6),
        initial_jobs=(1, 10**6),
        noise=(0, 10),
        horizon=(0, 2**31 - 1),
        warm_up=(0, max(stream.horizon - 1, 0) if stream.horizon else 2**31 - 1),
        max_jobs=(0, 10**6),
    )
    kind = type(stream).__name__
    if stream.gaps not in ("exponential", "fixed"):
        raise ValueError(f"{kind}.gaps: {stream.gaps!r}; expected 'exponential' or 'fixed'")
    if stream.num_jobs == 0 and (stream.horizon == 0 or stream.scale == 0):
        raise ValueError(
            f"{kind}.num_jobs: 0; expected at least 1, or a horizon and a scale that limit the jobs"
        )


def job_count(stream: Stream) -> int:
    """Jobs of every draw."""
    if stream.num_jobs:
        return stream.num_jobs
    return stream.initial_jobs + jobs_until(stream.horizon, stream.scale)


def stream_template(platform: Platform, graphs: list[Profile], stream: Stream) -> SocInstance:
    """One job at time 0; graphs, platform and objective of a stream."""
    return assemble(
        platform,
        graphs,
        np.zeros(1, np.int32),
        np.zeros(1, np.int64),
        frequencies=getattr(stream, "frequencies", ()),
        objective=stream.objective,
        horizon=stream.horizon,
        max_jobs=stream.max_jobs,
    )


def stream_size(template: SocInstance, stream: Stream, used: list[int] | None = None) -> SocSize:
    """Size of every draw of a stream; `used` are the profiles that may occur."""
    tasks = np.diff(template.task_first)
    edges, predecessors, successors = edge_counts(template)
    num_jobs = job_count(stream)
    return SocSize(
        num_jobs=num_jobs,
        num_pes=template.num_pes,
        num_types=template.num_types,
        num_clusters=template.num_clusters,
        num_profiles=template.num_profiles,
        max_tasks=template.max_tasks,
        total_tasks=template.total_tasks,
        total_edges=template.edge_source.size,
        total_rows=num_jobs * int(tasks[used].max() if used else tasks.max()),
        profile_edges=edges,
        in_degree=predecessors,
        out_degree=successors,
        max_jobs=stream.max_jobs,
    )


def draw_stream(
    template: SocInstance, stream: Stream, streams: Streams, probabilities: tuple[float, ...] = ()
) -> SocInstance:
    """Jobs on the template's graphs and platform; a warm-up that no job survives counts the last job alone."""
    num_jobs = job_count(stream)
    arrival = draw_arrivals(streams.arrivals, num_jobs, stream.scale, stream.gaps, stream.initial_jobs)
    weights = probabilities or (1.0,) * template.num_profiles
    profile = draw_mix(streams.mix, num_jobs, weights)
    entered = arrival[arrival < stream.horizon] if stream.horizon else arrival
    instance = dataclasses.replace(
        template,
        job_profile=profile,
        arrival=arrival,
        warm_up=min(stream.warm_up, int(entered[-1])),
    )
    if stream.noise == 0:
        return instance
    realised = with_noise(instance, streams.noise, stream.noise)
    return dataclasses.replace(instance, realised=realised, deviation=stream.noise)


SOC16_MIX = DS3_MIX
"""Weights of the DS3 profiles in `soc16-mix`."""
