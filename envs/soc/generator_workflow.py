"""Scientific workflows: the topologies that the optional package wfcommons ships, with a PE table drawn here."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.soc.arrivals import Streams
from makespan.envs.soc.generator_base import SocSize, check_ranges
from makespan.envs.soc.generator_stream import (
    StreamParameters,
    check_stream,
    draw_stream,
    stream_size,
    stream_template,
)
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.platform import Platform, bandwidth_table
from makespan.envs.soc.profiles import Profile

_DUMMIES = ("SRC", "DST")


def recipes_folder() -> Path:
    """Where the installed wfcommons keeps its recipes.

    Raises:
        ImportError: wfcommons is not installed.
    """
    package = find_spec("wfcommons")
    if package is None or not package.submodule_search_locations:
        raise ImportError('workflow topologies need the package wfcommons: pip install "makespan[workflows]"')
    return Path(package.submodule_search_locations[0]) / "wfchef" / "recipes"


@cache
def topology_names() -> tuple[str, ...]:
    """Names "recipe/topology" of all workflows, by recipe."""
    graphs = recipes_folder().glob("*/microstructures/*/base_graph.pickle")
    return tuple(sorted(f"{path.parts[-4]}/{path.parts[-2]}" for path in graphs))


@dataclass(frozen=True, slots=True)
class Topology:
    """Shape of a workflow.

    Attributes:
        kinds: Type of each task, in topological order.
        edges: (source, target) by task number.
        mean: Middle of the runtimes that wfcommons gives for each task's type, in s.
    """

    kinds: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    mean: tuple[float, ...]


@cache
def load_topology(name: str) -> Topology:
    """A workflow by its name "recipe/topology".

    Raises:
        ImportError: wfcommons, or networkx that it needs, is not installed.
        UnknownNameError: There is none of that name.
    """
    if name not in topology_names():
        raise UnknownNameError("workflow", name, topology_names())
    recipe, _, topology = name.partition("/")
    folder = recipes_folder() / recipe
    # a file of the installed package, as trustworthy as its code
    graph = pickle.loads((folder / "microstructures" / topology / "base_graph.pickle").read_bytes())
    statistics = json.loads((folder / "task_type_stats.json").read_text(encoding="utf-8"))
    real = [
        (data["level"], node, data["type"]) for node, data in graph.nodes(data=True) if node not in _DUMMIES
    ]
    number = {node: i for i, (_, node, _) in enumerate(sorted(real))}
    kinds = tuple(kind for _, _, kind in sorted(real))
    edges = tuple(sorted((number[a], number[b]) for a, b in graph.edges() if a in number and b in number))
    runtime = {kind: statistics[kind]["runtime"] for kind in set(kinds)}
    return Topology(kinds, edges, tuple((runtime[k]["min"] + runtime[k]["max"]) / 2 for k in kinds))


@dataclass(frozen=True)
class WorkflowSoc(StreamParameters):
    """A scientific workflow on unrelated PEs; static or streaming.

    The graph is a real one from wfcommons. Tasks of one type have one mean time, in the proportions of wfcommons' runtimes and
    scaled to `mean_execution`; times on the PEs and volumes are drawn as in `LayeredSoc`, for wfcommons has none.

    Attributes:
        workflow: "recipe/topology", e.g. "montage/montage-chameleon-2mass-005d-001", or a recipe for its smallest one.
        num_pes: PEs, each of a type of its own.
        ccr: Ratio of mean communication to mean computation.
        heterogeneity: Spread of a task type's times over the PEs, 0..2.
        mean_execution: Mean time of the tasks in us.
    """

    workflow: str = "montage"
    num_pes: int = 4
    ccr: float = 0.5
    heterogeneity: float = 1.0
    mean_execution: int = 100

    def __post_init__(self) -> None:
        check_ranges(self, num_pes=(1, 1000), ccr=(0, 1000), heterogeneity=(0, 2), mean_execution=(1, 10**6))
        check_stream(self)

    @cached_property
    def topology(self) -> Topology:
        """The workflow's shape."""
        if "/" in self.workflow:
            return load_topology(self.workflow)
        names = [name for name in topology_names() if name.startswith(f"{self.workflow}/")]
        if not names:
            raise UnknownNameError("workflow", self.workflow, topology_names())
        return min((load_topology(name) for name in names), key=lambda topology: len(topology.kinds))

    @property
    def size(self) -> SocSize:
        """Maxima over everything `sample` may return."""
        return stream_size(self._template(np.random.default_rng(0)), self)

    def sample(self, rng: np.random.Generator) -> SocInstance:
        """Draw execution times, volumes and jobs."""
        streams = Streams.of(rng)
        return draw_stream(self._template(streams.graph), self, streams)

    def _template(self, rng: np.random.Generator) -> SocInstance:
        topology = self.topology
        types = tuple(f"P{m + 1}" for m in range(self.num_pes))
        factor = self.mean_execution / max(float(np.mean(topology.mean)), 1e-9)
        functions = {}
        for kind, mean in dict(zip(topology.kinds, topology.mean, strict=True)).items():
            spread = 1 + self.heterogeneity * (rng.random(self.num_pes) - 0.5)
            times = np.maximum(1, np.rint(factor * mean * spread))
            functions[kind] = {t: int(time) for t, time in zip(types, times, strict=True)}
        volumes = np.rint(2 * self.ccr * self.mean_execution * rng.random(len(topology.edges)))
        edges = tuple((a, b, int(v)) for (a, b), v in zip(topology.edges, volumes, strict=True))
        profile = Profile(self.workflow, topology.kinds, functions, edges, "wfcommons (LGPL-3), topology")
        sizes = (1,) * self.num_pes
        platform = Platform("workflow", types, sizes, bandwidth_table(types, sizes, 0, 1), {})
        return stream_template(platform, [profile], self)
