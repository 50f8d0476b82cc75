"""Seeded distributions over mapping problems, and a toy solved by hand."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.memory.hardware import Hardware, get_hardware
from makespan.envs.memory.mapping_instance import ACTIVATION, INPUT, OUTPUT, PARAMETER, MappingInstance
from makespan.envs.memory.program import MemoryProgram


@dataclass(frozen=True, slots=True)
class MappingSize:
    """Maxima over all instances that a generator may draw; the spaces of an environment are built from them."""

    num_ops: int
    num_accesses: int
    num_tensors: int
    num_regions: int

    @classmethod
    def of(cls, *instances: MappingInstance) -> MappingSize:
        """The smallest size that holds every one of `instances`."""
        return cls(
            max(i.num_ops for i in instances),
            max(i.num_accesses for i in instances),
            max(i.num_tensors for i in instances),
            max(i.num_regions for i in instances),
        )


@runtime_checkable
class Generator(Protocol):
    """A distribution over mapping problems."""

    @property
    def size(self) -> MappingSize:
        """Maxima over everything `sample` may return."""
        ...

    def sample(self, rng: np.random.Generator) -> MappingInstance:
        """Draw an instance; equal states of `rng` give equal instances."""
        ...


class ProgramDraft:
    """Collects operations and tensors of a program in execution order."""

    def __init__(self) -> None:
        self.size: list[int] = []
        self.kind: list[int] = []
        self.alias: list[int] = []
        self.ops: list[tuple[int, int, int]] = []  # region, matrix flops, vector flops
        self.accesses: list[tuple[int, int, int, bool]] = []  # op, tensor, bytes, write

    def tensor(self, kind: int, size: int, alias: int = -1) -> int:
        """A new tensor's number."""
        self.size.append(size)
        self.kind.append(kind)
        self.alias.append(alias)
        return len(self.size) - 1

    def op(
        self, region: int, reads: Sequence[int], writes: Sequence[int], *, flops: int = 0, vector_flops: int = 0
    ) -> int:
        """Append an operation; returns its number."""
        number = len(self.ops)
        self.ops.append((region, flops, vector_flops))
        for t in sorted(dict.fromkeys(reads), key=lambda t: -self.size[t]):
            self.accesses.append((number, t, self.size[t], False))
        self.accesses += [(number, t, self.size[t], True) for t in writes]
        return number

    def bytes_of(self, tensors: Sequence[int]) -> int:
        """Bytes of some tensors."""
        return sum(self.size[t] for t in tensors)

    def build(self, name: str) -> MemoryProgram:
        """The program; tensors that no operation touches are left out."""
        touched = sorted({t for _, t, _, _ in self.accesses})
        number = {t: k for k, t in enumerate(touched)}
        op, tensor, size, write = zip(*self.accesses, strict=True)
        region, flops, vector = zip(*self.ops, strict=True)
        return MemoryProgram(
            name,
            tuple(f"op{i}" for i in range(len(self.ops))),
            np.array(region),
            np.array(flops),
            np.array(vector),
            tuple(f"block{i}" for i in range(max(region) + 1)),
            tuple(f"t{t}" for t in touched),
            np.array([self.size[t] for t in touched]),
            np.array([self.kind[t] for t in touched]),
            np.array([self.alias[t] for t in touched]),
            np.array(op),
            np.array([number[t] for t in tensor]),
            np.array(size),
            np.array(write),
        )


def live_peak(program: MemoryProgram) -> int:
    """Largest number of bytes of activations and outputs alive at an operation, from production to last use."""
    change = np.zeros(program.num_ops + 1, np.int64)
    made = program.tensor_kind >= ACTIVATION
    np.add.at(change, program.first_access[made], program.tensor_size[made])
    np.add.at(change, program.last_access[made] + 1, -program.tensor_size[made])
    return int(change.cumsum().max())


@dataclass(frozen=True)
class RandomPrograms:
    """Random programs in the shape of neural networks: a chain of layers with skip connections and weights.

    With `training` every layer has a backward operation, which reads what the forward one left, and every weight is
    updated in place at the end. Sizes are log-normal, arithmetic intensities log-uniform around the ridge of the
    hardware's roofline; a third of the operations are pointwise. The capacity is a share of the program's peak of live
    bytes.

    Attributes:
        num_layers: Layers of the forward pass.
        training: Probability of a training step in place of a forward pass.
        mean_bytes: Median size of a tensor.
        spread: Standard deviation of the logarithm of sizes.
        skip: Probability that a layer reads an earlier activation too.
        low_share: Smallest capacity as a share of the live peak.
        high_share: Largest capacity.
        hardware: Preset whose rates and alignment are used.
    """

    num_layers: int = 32
    training: float = 0.5
    mean_bytes: int = 2**20
    spread: float = 1.0
    skip: float = 0.3
    low_share: float = 0.05
    high_share: float = 0.5
    hardware: str = "tpu_v4i_like"

    def __post_init__(self) -> None:
        limits = {"num_layers": (1, np.inf), "training": (0, 1), "mean_bytes": (1, 2**40), "spread": (0, 5)}
        limits |= {"skip": (0, 1), "low_share": (0, self.high_share), "high_share": (self.low_share, np.inf)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"RandomPrograms.{name}: {value}; expected {low}..{high}")
        get_hardware(self.hardware)

    @property
    def size(self) -> MappingSize:
        """Maxima over the programs."""
        n = self.num_layers
        if self.training == 0:
            return MappingSize(n, 4 * n, 2 * n + 1, -(-n // 4))
        return MappingSize(3 * n, 12 * n, 6 * n + 1, -(-n // 4) * 2 + 1)

    def sample(self, rng: np.random.Generator) -> MappingInstance:
        """Draw a program and a capacity."""
        hardware, draft = get_hardware(self.hardware), ProgramDraft()
        with_backward = rng.random() < self.training
        layers = self._forward(draft, rng, hardware, with_backward)
        if with_backward:
            self._backward(draft, rng, hardware, layers)
        program = draft.build(f"random{self.num_layers}{'-training' if with_backward else ''}")
        share = rng.uniform(self.low_share, self.high_share)
        units = max(1, int(share * live_peak(program)) // hardware.alignment)
        return MappingInstance(program, get_hardware(self.hardware, capacity=units * hardware.alignment))

    def _bytes(self, rng: np.random.Generator) -> int:
        return max(1, int(self.mean_bytes * np.exp(self.spread * rng.standard_normal())))

    def _work(
        self, draft: ProgramDraft, rng: np.random.Generator, hardware: Hardware, tensors: Sequence[int]
    ) -> dict[str, int]:
        """Flops of an operation on some tensors."""
        size = draft.bytes_of(tensors)
        if rng.random() < 1 / 3:
            return {"vector_flops": size}
        intensity = hardware.matrix_flops_per_s / hardware.hbm_bytes_per_s * np.exp(rng.uniform(-1.5, 1.5))
        return {"flops": int(size * intensity)}

    def _forward(
        self, draft: ProgramDraft, rng: np.random.Generator, hardware: Hardware, with_backward: bool
    ) -> list[tuple[list[int], int]]:
        """Operands and output of each layer."""
        made = [draft.tensor(INPUT, self._bytes(rng))]
        layers = []
        for layer in range(self.num_layers):
            reads = [made[-1]]
            if rng.random() < self.skip and len(made) > 1:
                reads.append(made[int(rng.integers(len(made) - 1))])
            if rng.random() < 2 / 3:
                reads.append(draft.tensor(PARAMETER, self._bytes(rng)))
            last = layer == self.num_layers - 1
            out = draft.tensor(OUTPUT if last and not with_backward else ACTIVATION, self._bytes(rng))
            draft.op(layer // 4, reads, [out], **self._work(draft, rng, hardware, [*reads, out]))
            made.append(out)
            layers.append((reads, out))
        return layers

    def _backward(
        self,
        draft: ProgramDraft,
        rng: np.random.Generator,
        hardware: Hardware,
        layers: list[tuple[list[int], int]],
    ) -> None:
        blocks = -(-self.num_layers // 4)
        gradient, updates = layers[-1][1], []
        for layer in range(self.num_layers - 1, -1, -1):
            reads = [*layers[layer][0], gradient]
            out = draft.tensor(ACTIVATION, draft.size[reads[0]])
            writes = [out]
            for weight in (t for t in reads if draft.kind[t] == PARAMETER):
                draft.alias[weight] = len(updates)
                writes.append(draft.tensor(ACTIVATION, draft.size[weight]))
                updates.append((weight, writes[-1]))
            draft.op(2 * blocks - 1 - layer // 4, reads, writes, **self._work(draft, rng, hardware, [*reads, *writes]))
            gradient = out
        for number, (weight, its_gradient) in enumerate(updates):
            out = draft.tensor(OUTPUT, draft.size[weight], number)
            draft.op(2 * blocks, [weight, its_gradient], [out], vector_flops=draft.size[weight])


TOY_OPTIMUM = 294
"""Latency of the toy's best mapping, ps; 420 from HBM alone."""


def toy_mapping() -> MappingInstance:
    """Three operations, solved by hand: a byte takes 1 ps from HBM and 0.1 ps from fast memory, a flop 1 ps.

    `x -> a` computes for 200 ps, which leaves time to fetch the weight w (60 bytes) for `a, w -> b`; with a (40 bytes) that
    fills the 100 bytes of fast memory, so that b stays in HBM: 200 + 30 + 64 ps. Keeping b (20 bytes) in place of w gives 312.
    """
    hardware = Hardware("toy", 10**12, 10**12, 10**12, 10**13, 100)
    draft = ProgramDraft()
    x, w = draft.tensor(INPUT, 40), draft.tensor(PARAMETER, 60)
    a, b, y = draft.tensor(ACTIVATION, 40), draft.tensor(ACTIVATION, 20), draft.tensor(OUTPUT, 40)
    draft.op(0, [x], [a], flops=200)
    draft.op(0, [a, w], [b], flops=30)
    draft.op(1, [a, b], [y], flops=10)
    return MappingInstance(draft.build("toy"), hardware)


@dataclass(frozen=True)
class Toy:
    """`toy_mapping`, always the same."""

    @property
    def size(self) -> MappingSize:
        """The toy's size."""
        return MappingSize.of(toy_mapping())

    def sample(self, rng: np.random.Generator | None = None) -> MappingInstance:
        """The toy."""
        return toy_mapping()


@dataclass(frozen=True, eq=False)
class FixedMappings:
    """A given list of instances, drawn uniformly."""

    instances: Sequence[MappingInstance]

    def __post_init__(self) -> None:
        object.__setattr__(self, "instances", tuple(self.instances))
        if not self.instances:
            raise ValueError("FixedMappings.instances: empty; expected at least one")

    @cached_property
    def size(self) -> MappingSize:
        """Maxima over the instances."""
        return MappingSize.of(*self.instances)

    def sample(self, rng: np.random.Generator) -> MappingInstance:
        """Draw an instance."""
        return self.instances[int(rng.integers(len(self.instances)))]


def _generators() -> dict[str, Callable[..., Generator]]:
    from makespan.envs.memory import mapping_synthetic as synthetic  # it builds on this module

    return {
        "random": RandomPrograms,
        "toy": Toy,
        "layered": synthetic.LayeredChain,
        "series_parallel": synthetic.SeriesParallel,
        "long_skips": synthetic.LongSkips,
        "library": synthetic.LibraryMapping,
    }


def generator_names() -> list[str]:
    """Names that `make_generator` knows."""
    return list(_generators())


def make_generator(name: str, **parameters: Any) -> Generator:
    """Build a generator by name.

    Args:
        name: One of `generator_names()`.
        **parameters: Fields of the generator's dataclass.

    Raises:
        UnknownNameError: No generator has this name.
        TypeError: The generator has no such parameter.
        ValueError: A parameter is out of range.
    """
    generators = _generators()
    if name not in generators:
        raise UnknownNameError("generator", name, generators)
    build = generators[name]
    known = [f.name for f in fields(build) if f.init]  # type: ignore[arg-type]
    for parameter in parameters:
        if parameter not in known:
            near = difflib.get_close_matches(parameter, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TypeError(
                f"generator {name!r} has no parameter {parameter!r}{hint} It takes: {', '.join(known) or 'none'}"
            )
    return build(**parameters)
