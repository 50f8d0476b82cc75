"""Seeded distributions over mapping problems: synthetic programs of several shapes, and the shipped ones at random capacities."""

from __future__ import annotations

import fnmatch
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.memory.draft import Draft
from makespan.envs.memory.hardware import MIB, get_hardware
from makespan.envs.memory.library import load_program, program_names
from makespan.envs.memory.mapping_generator import MappingSize, live_peak
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.program import MemoryProgram
from makespan.envs.memory.program_generator import Sizes, Sketch, finish, layered, long_skips, series_parallel


@dataclass(frozen=True, kw_only=True)
class SyntheticMapping:
    """What all synthetic distributions share: sizes, backward passes and capacities.

    Attributes:
        training: Probability of a training step in place of a forward pass.
        mean_bytes: Median size of a tensor.
        spread: Standard deviation of the logarithm of sizes.
        weighted: Probability that an operation has weights and is a matrix operation.
        low_share: Smallest capacity, as a share of the program's peak of live bytes.
        high_share: Largest capacity; the share is log-uniform in between.
        hardware: Preset whose rates and alignment are used.
    """

    training: float = 0.5
    mean_bytes: int = MIB
    spread: float = 1.0
    weighted: float = 0.5
    low_share: float = 0.05
    high_share: float = 0.5
    hardware: str = "tpu_v4i_like"

    def __post_init__(self) -> None:
        self._check("training", 0, 1)
        self._check("mean_bytes", 1, 2**40)
        self._check("spread", 0, 5)
        self._check("weighted", 0, 1)
        self._check("low_share", 1e-6, self.high_share)
        self._check("high_share", self.low_share, math.inf)
        get_hardware(self.hardware)

    @property
    def size(self) -> MappingSize:
        """Maxima over everything `sample` may return."""
        ops, reads, regions = self._extent()
        tensors = 2 * ops + 1  # an input, and at most one weight and one result an operation
        if self.training == 0:
            return MappingSize(ops, reads + ops, tensors, regions)
        return MappingSize(2 * ops, 4 * reads + 2 * ops, tensors + reads, 2 * regions)

    def sample(self, rng: np.random.Generator) -> MappingInstance:
        """Draw a program and a capacity."""
        program = self.sample_program(rng)
        hardware = get_hardware(self.hardware)
        share = math.exp(rng.uniform(math.log(self.low_share), math.log(self.high_share)))
        units = max(1, int(share * live_peak(program)) // hardware.alignment)
        return MappingInstance(program, get_hardware(self.hardware, capacity=units * hardware.alignment))

    def sample_program(self, rng: np.random.Generator) -> MemoryProgram:
        """Draw a program only."""
        training = bool(rng.random() < self.training)
        draft = self._forward(rng)
        finish(draft, training)
        kind = "training" if training else "inference"
        return draft.build(f"{type(self).__name__.lower()}_{kind}", "synthetic")

    def _sizes(self) -> Sizes:
        return Sizes(self.mean_bytes, self.spread)

    def _sketch(self, rng: np.random.Generator) -> Sketch:
        return Sketch(rng, self._sizes(), self.weighted)

    def _forward(self, rng: np.random.Generator) -> Draft:
        raise NotImplementedError

    def _extent(self) -> tuple[int, int, int]:
        """Operations, reads and regions of a forward pass, at most."""
        raise NotImplementedError

    def _check(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise ValueError(f"{type(self).__name__}.{name}: {value}; expected {low}..{high}")


@dataclass(frozen=True, kw_only=True)
class LayeredChain(SyntheticMapping):
    """Layers one after the other, some of which read an earlier result too.

    Attributes:
        num_ops: Operations of the forward pass.
        reach: How many operations back a skip may go.
        skip: Probability of one.
    """

    num_ops: int = 32
    reach: int = 8
    skip: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("num_ops", 1, 10**6)
        self._check("reach", 1, 10**6)
        self._check("skip", 0, 1)

    def _forward(self, rng: np.random.Generator) -> Draft:
        sketch = self._sketch(rng)
        layered(sketch, rng, self.num_ops, self.reach, self.skip)
        return sketch.draft

    def _extent(self) -> tuple[int, int, int]:
        return self.num_ops, 3 * self.num_ops, -(-self.num_ops // 4)


@dataclass(frozen=True, kw_only=True)
class SeriesParallel(SyntheticMapping):
    """Random series-parallel graphs: blocks of eight operations, branching and joining within.

    Attributes:
        num_ops: Operations of the forward pass.
        parallel: Probability that a part of at least three operations branches.
    """

    num_ops: int = 32
    parallel: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("num_ops", 1, 10**6)
        self._check("parallel", 0, 1)

    def _forward(self, rng: np.random.Generator) -> Draft:
        sketch = self._sketch(rng)
        series_parallel(sketch, rng, self.num_ops, self.parallel)
        return sketch.draft

    def _extent(self) -> tuple[int, int, int]:
        return self.num_ops, 3 * self.num_ops, -(-self.num_ops // 8)


@dataclass(frozen=True, kw_only=True)
class LongSkips(SyntheticMapping):
    """U-Nets: activations of the way down wait, the first of them longest, for the way up.

    Attributes:
        levels: Levels above the bottom one.
        depth: Operations of a level in each direction.
    """

    levels: int = 4
    depth: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("levels", 1, 40)
        self._check("depth", 1, 10**4)

    def _forward(self, rng: np.random.Generator) -> Draft:
        sketch = self._sketch(rng)
        long_skips(sketch, self._sizes(), rng, self.levels, self.depth)
        return sketch.draft

    def _extent(self) -> tuple[int, int, int]:
        ops = (2 * self.levels + 1) * self.depth
        return ops, 2 * ops + self.levels, 2 * self.levels + 1


@dataclass(frozen=True)
class LibraryMapping:
    """Shipped programs, each draw one of them at a log-uniform capacity.

    Attributes:
        programs: Globs over `program_names()`, separated by commas; a `!` before one takes its matches out again.
        low_mib: Smallest capacity in MiB.
        high_mib: Largest capacity in MiB.
        max_accesses: Programs with more accesses are left out.
        hardware: Preset whose rates and alignment are used.
    """

    programs: str = "*"
    low_mib: int = 8
    high_mib: int = 128
    max_accesses: int = 2**31
    hardware: str = "tpu_v4i_like"

    def __post_init__(self) -> None:
        if not 1 <= self.low_mib <= self.high_mib:
            raise ValueError(f"LibraryMapping.low_mib: {self.low_mib}; expected 1..high_mib, {self.high_mib}")
        get_hardware(self.hardware)
        if not self.names:
            raise UnknownNameError("program", self.programs, program_names())

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Programs that are drawn."""
        chosen: set[str] = set()
        for pattern in self.programs.split(","):
            matches = fnmatch.filter(program_names(), pattern.strip().removeprefix("!"))
            chosen = chosen - set(matches) if pattern.strip().startswith("!") else chosen | set(matches)
        return tuple(n for n in sorted(chosen) if load_program(n).num_accesses <= self.max_accesses)

    @cached_property
    def size(self) -> MappingSize:
        """Maxima over everything `sample` may return."""
        programs = [load_program(name) for name in self.names]
        return MappingSize(
            max(p.num_ops for p in programs),
            max(p.num_accesses for p in programs),
            max(p.num_tensors for p in programs),
            max(p.num_regions for p in programs),
        )

    def sample(self, rng: np.random.Generator) -> MappingInstance:
        """Draw a program and a capacity."""
        name = self.names[int(rng.integers(len(self.names)))]
        hardware = get_hardware(self.hardware)
        bytes_drawn = MIB * math.exp(rng.uniform(math.log(self.low_mib), math.log(self.high_mib)))
        units = max(1, int(bytes_drawn) // hardware.alignment)
        return MappingInstance(
            load_program(name), get_hardware(self.hardware, capacity=units * hardware.alignment)
        )
