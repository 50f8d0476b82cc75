"""Seeded distributions over SoC instances by name, a toy solved by hand, and one with a known optimum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from makespan.envs.core.generators import Catalogue, Fixed
from makespan.envs.soc.arrivals import DS3_MIX, DS3_TYPES, WIFI_MIX
from makespan.envs.soc.generator_base import Generator, SocSize, check_ranges
from makespan.envs.soc.generator_layered import LayeredSoc
from makespan.envs.soc.generator_pipelines import MoePipeline, OverlapPipeline
from makespan.envs.soc.generator_stream import StreamSoc
from makespan.envs.soc.generator_workflow import WorkflowSoc
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.platform import Platform, assemble, bandwidth_table
from makespan.envs.soc.profiles import Profile

__all__ = [
    "TOY_OPTIMUM",
    "FixedSocs",
    "Generator",
    "KnownOptimumSoc",
    "LayeredSoc",
    "MoePipeline",
    "OverlapPipeline",
    "SocSize",
    "StreamSoc",
    "ToySoc",
    "WorkflowSoc",
    "generator_names",
    "make_generator",
]

TOY_OPTIMUM = 5.0
"""Optimal mean latency in us of the instance that `ToySoc` returns."""


@dataclass(frozen=True)
class ToySoc:
    """Two jobs on a CPU and an accelerator, solved by hand.

    Job 0 arrives at 0: task a (CPU 2), then b (CPU 6, accelerator 3) and c (CPU 3, accelerator 4); a-b carries 1, which takes
    1 us between the two, a-c nothing. Job 1 arrives at 3: task q (CPU 10, accelerator 2).

        CPU          aaccc...
        accelerator  ...qqbbb

    Job 0 takes 8 and job 1 takes 2, the mean is 5. If b ran on the accelerator before q, job 0 would take at least 6 and job 1
    at least 5; with b on the CPU job 0 takes at least 8, and 9 if q is not to wait. At time 2, when b is ready, q
    is still to come: placing b on the accelerator at once, as every rule does that never waits, gives 5.5.
    """

    @property
    def size(self) -> SocSize:
        """Maxima over everything `sample` may return."""
        return SocSize.of(self.sample())

    @property
    def optimum(self) -> float:
        """Optimal mean latency in us."""
        return TOY_OPTIMUM

    def sample(self, rng: np.random.Generator | None = None) -> SocInstance:
        """The toy instance, always the same."""
        types, sizes = ("CPU", "ACC"), (1, 1)
        platform = Platform("toy", types, sizes, bandwidth_table(types, sizes, 0, 1), {})
        fork = Profile(
            "fork",
            ("a", "b", "c"),
            {"a": {"CPU": 2}, "b": {"CPU": 6, "ACC": 3}, "c": {"CPU": 3, "ACC": 4}},
            ((0, 1, 1), (0, 2, 0)),
        )
        burst = Profile("burst", ("q",), {"q": {"CPU": 10, "ACC": 2}}, ())
        jobs, arrival = np.array([0, 1], np.int32), np.array([0, 3], np.int64)
        return assemble(platform, [fork, burst], jobs, arrival, name="toy")


@dataclass(frozen=True)
class KnownOptimumSoc:
    """One random DAG whose optimal makespan is known: its tasks fill every PE from 0 to the optimum without a gap.

    Each PE's time is cut into tasks. A task takes its length where it was cut and up to twice as long elsewhere, so the
    work of all tasks, each at its fastest, is num_pes times the optimum, and no schedule is shorter. Edges with
    volumes join tasks whose places leave time for the transfer.

    Attributes:
        num_pes: PEs, each of a type of its own.
        tasks_per_pe: Tasks cut from each PE's time.
        optimum: Optimal makespan in us.
        density: Share of the possible edges that are drawn.
    """

    num_pes: int = 3
    tasks_per_pe: int = 4
    optimum: int = 100
    density: float = 0.2

    def __post_init__(self) -> None:
        check_ranges(self, num_pes=(1, 1000), tasks_per_pe=(1, 1000), density=(0, 1))
        check_ranges(self, optimum=(self.tasks_per_pe, 10**6))

    @property
    def size(self) -> SocSize:
        """Maxima over everything `sample` may return."""
        tasks = self.num_pes * self.tasks_per_pe
        edges = tasks * (tasks - 1) // 2
        return SocSize(
            num_jobs=1,
            num_pes=self.num_pes,
            num_types=self.num_pes,
            num_clusters=self.num_pes,
            num_profiles=1,
            max_tasks=tasks,
            total_tasks=tasks,
            total_edges=edges,
            total_rows=tasks,
            profile_edges=edges,
            in_degree=tasks - 1,
            out_degree=tasks - 1,
        )

    def sample(self, rng: np.random.Generator) -> SocInstance:
        """Draw an instance."""
        return self.sample_with_schedule(rng)[0]

    def sample_with_schedule(
        self, rng: np.random.Generator
    ) -> tuple[SocInstance, np.ndarray[Any, np.dtype[np.int64]]]:
        """Draw an instance with (PE, start) of each task (tasks, 2) in an optimal schedule."""
        cuts = [
            np.array([0, *np.sort(rng.choice(self.optimum - 1, self.tasks_per_pe - 1, replace=False) + 1)])
            for _ in range(self.num_pes)
        ]
        start = np.concatenate(cuts)
        end = np.concatenate([np.append(cut[1:], self.optimum) for cut in cuts])
        pe = np.repeat(np.arange(self.num_pes), self.tasks_per_pe)
        order = np.lexsort((pe, start))
        pe, start, end = pe[order], start[order], end[order]
        length = end - start
        times = np.ceil(length[:, None] * (1 + rng.random((length.size, self.num_pes)))).astype(np.int64)
        times[np.arange(length.size), pe] = length
        slack = start - end[:, None]  # (before, after)
        possible = np.argwhere((slack >= 0) & (rng.random(slack.shape) < self.density))
        edges = tuple((int(a), int(b), int(rng.integers(0, slack[a, b] + 1))) for a, b in possible)
        types, sizes = tuple(f"P{m + 1}" for m in range(self.num_pes)), (1,) * self.num_pes
        platform = Platform("known_optimum", types, sizes, bandwidth_table(types, sizes, 0, 1), {})
        tasks = tuple(f"task {i}" for i in range(length.size))
        functions = {
            task: {kind: int(t) for kind, t in zip(types, row, strict=True)}
            for task, row in zip(tasks, times, strict=True)
        }
        profile = Profile("known_optimum", tasks, functions, edges)
        nothing = np.zeros(1, np.int64)
        instance = assemble(platform, [profile], nothing.astype(np.int32), nothing, objective="makespan")
        return instance, np.stack([pe, start], axis=1)


class FixedSocs(Fixed[SocInstance]):
    """Given instances."""

    @cached_property
    def size(self) -> SocSize:
        """Maxima over them."""
        return SocSize.of(*self.instances)


_TOP = tuple(f"top_{i}" for i in range(1, 11))
_CATALOGUE: Catalogue[Generator] = Catalogue(
    {
        "topcuoglu": StreamSoc,
        "top-stream": StreamSoc,
        "top-pss3": StreamSoc,
        "soc16-mix": StreamSoc,
        "soc16-wifi": StreamSoc,
        "biglittle": StreamSoc,
        "stream": StreamSoc,
        "layered": LayeredSoc,
        "moe": MoePipeline,
        "overlap": OverlapPipeline,
        "workflow": WorkflowSoc,
        "known-optimum": KnownOptimumSoc,
        "toy": ToySoc,
    },
    presets={
        "topcuoglu": {
            "platform": "topcuoglu",
            "profiles": ("topcuoglu",),
            "num_jobs": 1,
            "scale": 0,
            "objective": "makespan",
        },
        "top-stream": {"platform": "top", "profiles": ("top_1",), "num_jobs": 120, "scale": 75.0},
        "top-pss3": {
            "platform": "top",
            "profiles": _TOP,
            "num_jobs": 0,
            "scale": 50.0,
            "horizon": 5000,
            "max_jobs": 3,
            "initial_jobs": 3,
        },
        "soc16-mix": {"profiles": DS3_TYPES, "probabilities": DS3_MIX},
        "soc16-wifi": {"profiles": DS3_TYPES[:2], "probabilities": WIFI_MIX[:2]},
        "biglittle": {"platform": "biglittle", "probabilities": DS3_MIX, "scale": 600.0},
    },
)
generator_names = _CATALOGUE.names


def make_generator(name: str, **parameters: Any) -> Generator:
    """Build a generator by name, as `Catalogue.make`; underscores in the name count as hyphens."""
    if "profiles" in parameters:  # the preset's weights belong to its own profiles
        parameters.setdefault("probabilities", ())
    return _CATALOGUE.make(name.replace("_", "-"), **parameters)
