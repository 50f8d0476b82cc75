"""Random layered task graphs, after the generator of the HEFT paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from makespan.envs.soc.arrivals import Streams
from makespan.envs.soc.generator_base import SocSize, check_ranges
from makespan.envs.soc.generator_stream import (
    StreamParameters,
    check_stream,
    draw_stream,
    job_count,
    stream_template,
)
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.platform import Platform, bandwidth_table
from makespan.envs.soc.profiles import Profile


@dataclass(frozen=True)
class LayeredSoc(StreamParameters):
    """Random layered DAGs on unrelated PEs, after Topcuoglu, Hariri & Wu 2002, section 5.1; static or streaming.

    A graph of v tasks has a height uniform around sqrt(v) / shape. Each task below the first layer has a predecessor in the
    layer before; further edges lead to later layers until a task has its out-degree. A task's mean time is uniform on
    [0, 2 mean_execution], its time on a PE uniform within a factor 1 +- heterogeneity / 2 of it, at least 1. Volumes are
    uniform on [0, 2 ccr mean_execution], with bandwidth 1 between PEs and no delay on one.

    Attributes:
        num_tasks: Tasks of a graph (v).
        num_pes: PEs, each of a type of its own.
        num_graphs: Different graphs of an instance, its profiles.
        ccr: Ratio of mean communication to mean computation.
        shape: Wide graphs above 1, long ones below (alpha).
        out_degree: Successors that a task may have.
        heterogeneity: Spread of a task's times over the PEs (beta), 0..2.
        mean_execution: Mean time of the tasks in us.
    """

    num_tasks: int = 20
    num_pes: int = 4
    num_graphs: int = 1
    ccr: float = 1.0
    shape: float = 1.0
    out_degree: int = 4
    heterogeneity: float = 1.0
    mean_execution: int = 50

    def __post_init__(self) -> None:
        check_ranges(
            self,
            num_tasks=(1, 10_000),
            num_pes=(1, 1000),
            num_graphs=(1, 1000),
            ccr=(0, 1000),
            shape=(0.01, 100),
            out_degree=(1, 10_000),
            heterogeneity=(0, 2),
            mean_execution=(1, 10**6),
        )
        check_stream(self)

    @property
    def size(self) -> SocSize:
        """Maxima over everything `sample` may return."""
        # every task has at most out_degree successors, but for the one predecessor each task must have
        edges = min(self.num_tasks * (self.out_degree + 1), self.num_tasks * (self.num_tasks - 1) // 2)
        return SocSize(
            num_jobs=job_count(self),
            num_pes=self.num_pes,
            num_types=self.num_pes,
            num_clusters=self.num_pes,
            num_profiles=self.num_graphs,
            max_tasks=self.num_tasks,
            total_tasks=self.num_tasks * self.num_graphs,
            total_edges=edges * self.num_graphs,
            total_rows=job_count(self) * self.num_tasks,
            profile_edges=edges,
            in_degree=self.num_tasks - 1,
            out_degree=self.num_tasks - 1,
            max_jobs=self.max_jobs,
        )

    def sample(self, rng: np.random.Generator) -> SocInstance:
        """Draw graphs, and jobs that are copies of them."""
        streams = Streams.of(rng)
        graphs = [self._graph(streams.graph, f"layered {i}") for i in range(self.num_graphs)]
        template = stream_template(self._platform(), graphs, self)
        return draw_stream(template, self, streams)

    def _platform(self) -> Platform:
        types = tuple(f"P{m + 1}" for m in range(self.num_pes))
        sizes = (1,) * self.num_pes
        return Platform("layered", types, sizes, bandwidth_table(types, sizes, 0, 1), {})

    def _graph(self, rng: np.random.Generator, name: str) -> Profile:
        mean = 2 * self.mean_execution * rng.random(self.num_tasks)
        spread = 1 + self.heterogeneity * (rng.random((self.num_tasks, self.num_pes)) - 0.5)
        times = np.maximum(1, np.rint(mean[:, None] * spread)).astype(np.int64)
        pairs = layered_edges(rng, self.num_tasks, self.shape, self.out_degree)
        volumes = np.rint(2 * self.ccr * self.mean_execution * rng.random(len(pairs))).astype(np.int64)
        edges = tuple((a, b, int(v)) for (a, b), v in zip(pairs, volumes, strict=True))
        tasks = tuple(f"task {i}" for i in range(self.num_tasks))
        functions = {
            task: {f"P{m + 1}": int(time) for m, time in enumerate(row)}
            for task, row in zip(tasks, times, strict=True)
        }
        return Profile(name, tasks, functions, edges)


def layered_edges(
    rng: np.random.Generator, num_tasks: int, shape: float, out_degree: int
) -> list[tuple[int, int]]:
    """Edges of a random layered graph whose tasks are numbered layer after layer."""
    mean_height = np.sqrt(num_tasks) / shape
    height = int(np.clip(rng.integers(1, max(2, round(2 * mean_height))), 1, num_tasks))
    cuts = (
        np.sort(rng.choice(num_tasks - 1, height - 1, replace=False)) + 1 if height > 1 else np.zeros(0, int)
    )
    first = np.concatenate([[0], cuts, [num_tasks]])
    layer = np.repeat(np.arange(height), np.diff(first))
    edges = set()
    for task in range(int(first[1]), num_tasks):
        above = int(layer[task]) - 1
        edges.add((int(rng.integers(first[above], first[above + 1])), task))
    degree = np.bincount([a for a, _ in edges], minlength=num_tasks)
    for task in range(int(first[height - 1])):
        below = int(first[layer[task] + 1])
        more = int(rng.integers(1, out_degree + 1)) - int(degree[task])
        if more > 0:
            targets = rng.choice(np.arange(below, num_tasks), min(more, num_tasks - below), replace=False)
            edges |= {(task, int(target)) for target in targets}
    return sorted(edges)
