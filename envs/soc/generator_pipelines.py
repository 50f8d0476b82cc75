"""Pipelines of large models as task graphs: mixture-of-experts layers, and overlap of compute with collectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any, Literal

import numpy as np
import yaml

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


@cache
def _times() -> dict[str, Any]:
    file = resources.files("makespan.envs.soc") / "data" / "pipelines.yaml"
    times: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return times


class _Graph:
    """A task graph under construction; every operation has the one resource that can run it."""

    def __init__(self, resource_of: Mapping[str, str]) -> None:
        self.resource_of = resource_of
        self.tasks: list[str] = []
        self.times: dict[str, dict[str, int]] = {}
        self.edges: list[tuple[int, int, int]] = []

    def add(self, operation: str, time: int, after: list[int]) -> int:
        """A task that follows others; its number."""
        self.tasks.append(operation)
        self.times[operation] = {self.resource_of[operation]: time}
        task = len(self.tasks) - 1
        self.edges += [(before, task, 0) for before in after]
        return task

    def profile(self, name: str, source: str) -> Profile:
        """The finished graph."""
        return Profile(name, tuple(self.tasks), self.times, tuple(self.edges), source)


def _platform(name: str, types: tuple[str, ...]) -> Platform:
    sizes = (1,) * len(types)
    return Platform(name, types, sizes, bandwidth_table(types, sizes, 0, 0), {})


class _Pipeline(StreamParameters):
    """What both pipelines share: one profile on resources of which each operation needs a particular one."""

    @property
    def size(self) -> SocSize:
        """Maxima over everything `sample` may return."""
        return stream_size(self.template, self)

    @property
    def template(self) -> SocInstance:
        """An instance with one job."""
        raise NotImplementedError

    def sample(self, rng: np.random.Generator) -> SocInstance:
        """Jobs that arrive; the graph is always the same."""
        return draw_stream(self.template, self, Streams.of(rng))


@dataclass(frozen=True)
class MoePipeline(_Pipeline):
    """Layers of a mixture of experts in chunks, over compute, intra-node and inter-node link (FSMoE).

    A layer is attention, then for every chunk dispatch all-to-all, all-gather, experts, reduce-scatter and combine
    all-to-all; the next layer's attention waits for all chunks. The backward pass mirrors it, and each layer's gradient
    all-reduce runs on the inter-node link beside what follows. An operation on one of r chunks takes its time / r,
    rounded up, plus the start-up. Jobs are micro-batches on the same three resources. Start-up, layers and micro-batches
    are choices of this project; the operation times are FSMoE's.

    Attributes:
        model: "gpt2_xl" or "mixtral".
        testbed: "A" or "B".
        direction: "forward", "backward" or "both".
        layers: Layers of the model part.
        chunks: Chunks of a layer's tokens (the pipeline degree r).
        startup: us that every chunk's operation takes in addition.
    """

    model: str = "gpt2_xl"
    testbed: str = "A"
    direction: Literal["forward", "backward", "both"] = "forward"
    layers: int = 2
    chunks: int = 2
    startup: int = 100
    num_jobs: int = 2

    def __post_init__(self) -> None:
        check_ranges(self, layers=(1, 1000), chunks=(1, 1000), startup=(0, 10**6))
        check_stream(self)
        models = [name for name in _times()["moe"] if name != "source"]
        if self.model not in models:
            raise UnknownNameError("MoE model", self.model, models)
        if self.testbed not in _times()["moe"][self.model]:
            raise UnknownNameError("testbed", self.testbed, _times()["moe"][self.model])
        if self.direction not in ("forward", "backward", "both"):
            raise ValueError(f"direction: {self.direction!r}; expected 'forward', 'backward' or 'both'")

    @cached_property
    def template(self) -> SocInstance:
        """An instance with one micro-batch."""
        links = {
            "all_to_all": "inter",
            "all_reduce": "inter",
            "all_gather": "intra",
            "reduce_scatter": "intra",
        }
        operations = _times()["moe"][self.model][self.testbed]
        graph = _Graph({operation: links.get(operation, "compute") for operation in operations})
        last: list[int] = []
        if self.direction != "backward":
            for _ in range(self.layers):
                attention = [graph.add("attention", operations["attention"], last)]
                last = self._experts(graph, "experts", attention)
        if self.direction != "forward":
            for _ in range(self.layers):
                exchanged = self._experts(graph, "experts_backward", last)
                last = [graph.add("attention_backward", operations["attention_backward"], exchanged)]
                graph.add("all_reduce", operations["all_reduce"], last)
        profile = graph.profile(f"{self.model} {self.direction}", _times()["moe"]["source"])
        return stream_template(_platform("moe", ("compute", "intra", "inter")), [profile], self)

    def _experts(self, graph: _Graph, experts: str, after: list[int]) -> list[int]:
        """The chunks of one layer's expert part; their last tasks."""
        operations = _times()["moe"][self.model][self.testbed]
        ends = []
        for _ in range(self.chunks):
            last = after
            for operation in ("all_to_all", "all_gather", experts, "reduce_scatter", "all_to_all"):
                time = -(-operations[operation] // self.chunks) + self.startup
                last = [graph.add(operation, time, last)]
            ends += last
        return ends


@dataclass(frozen=True)
class OverlapPipeline(_Pipeline):
    """Transformer layers in nano-batches over compute, memory bandwidth and network (after NanoFlow).

    Every nano-batch runs KQV, then decode attention (memory) beside prefill attention, output projection, a collective
    (network), up and gate, down, a second collective, layer after layer. An operation on one of n nano-batches takes its
    time / n, rounded up, plus the start-up. NanoFlow shares one device fractionally; here a resource runs one operation at a
    time, a choice of this project, as are start-up, layers and jobs (iterations).

    Attributes:
        layers: Layers of an iteration.
        nano_batches: Parts of a batch (n).
        startup: us that every part's operation takes in addition.
    """

    layers: int = 2
    nano_batches: int = 3
    startup: int = 200

    def __post_init__(self) -> None:
        check_ranges(self, layers=(1, 1000), nano_batches=(1, 1000), startup=(0, 10**6))
        check_stream(self)

    @cached_property
    def template(self) -> SocInstance:
        """An instance with one iteration."""
        times = _times()["overlap"]
        elsewhere = {"decode_attention": "memory", "network": "network"}
        graph = _Graph({operation: elsewhere.get(operation, "compute") for operation in times})
        last: list[list[int]] = [[] for _ in range(self.nano_batches)]
        for _ in range(self.layers):
            last = [self._layer(graph, before) for before in last]
        profile = graph.profile("overlap", times["source"])
        return stream_template(_platform("overlap", ("compute", "memory", "network")), [profile], self)

    def _layer(self, graph: _Graph, after: list[int]) -> list[int]:
        times, parts = _times()["overlap"], self.nano_batches

        def add(operation: str, after: list[int], share: int = 1) -> int:
            return graph.add(operation, -(-times[operation] // (parts * share)) + self.startup, after)

        kqv = [add("kqv", after)]
        attention = [add("decode_attention", kqv), add("prefill_attention", kqv)]
        reduced = [add("network", [add("output", attention)], share=2)]
        down = [add("down", [add("up_gate", reduced)])]
        return [add("network", down, share=2)]
