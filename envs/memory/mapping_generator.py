"""Generators of mapping problems by name, and a toy solved by hand; the distributions are in `mapping_synthetic`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.generators import Fixed, check_parameters
from makespan.envs.memory.draft import Draft, DraftOp
from makespan.envs.memory.hardware import Hardware
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.program import MemoryProgram, TensorKind


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


def live_peak(program: MemoryProgram) -> int:
    """Largest number of bytes of activations and outputs alive at an operation, from production to last use."""
    change = np.zeros(program.num_ops + 1, np.int64)
    made = program.tensor_kind >= TensorKind.ACTIVATION
    np.add.at(change, program.first_access[made], program.tensor_size[made])
    np.add.at(change, program.last_access[made] + 1, -program.tensor_size[made])
    return int(change.cumsum().max())


TOY_OPTIMUM = 294
"""Latency of the toy's best mapping, ps; 420 from HBM alone."""


def toy_mapping() -> MappingInstance:
    """Three operations, solved by hand: a byte takes 1 ps from HBM and 0.1 ps from fast memory, a flop 1 ps.

    `x -> a` computes for 200 ps, which leaves time to fetch the weight w (60 bytes) for `a, w -> b`; with a (40 bytes) that
    fills the 100 bytes of fast memory, so that b stays in HBM: 200 + 30 + 64 ps. Keeping b (20 bytes) in place of w gives 312.
    """
    hardware = Hardware("toy", 10**12, 10**12, 10**12, 10**13, 100)
    draft = Draft()
    x, w = draft.add_tensor("x", 40, TensorKind.INPUT), draft.add_tensor("w", 60, TensorKind.PARAMETER)
    a, b, y = (
        draft.add_tensor("a", 40),
        draft.add_tensor("b", 20),
        draft.add_tensor("y", 40, TensorKind.OUTPUT),
    )
    draft.add_op(DraftOp("first", "head", flops=200, reads={x: 40}, writes={a: 40}))
    draft.add_op(DraftOp("second", "head", flops=30, reads={a: 40, w: 60}, writes={b: 20}))
    draft.add_op(DraftOp("third", "tail", flops=10, reads={a: 40, b: 20}, writes={y: 40}))
    return MappingInstance(draft.build("toy", "hand-made"), hardware)


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


class FixedMappings(Fixed[MappingInstance]):
    """Given instances."""

    @cached_property
    def size(self) -> MappingSize:
        """Maxima over them."""
        return MappingSize.of(*self.instances)


_SYNTHETIC: Final = "makespan.envs.memory.mapping_synthetic"
_GENERATORS: Final = {
    "layered": (_SYNTHETIC, "LayeredChain"),
    "series_parallel": (_SYNTHETIC, "SeriesParallel"),
    "long_skips": (_SYNTHETIC, "LongSkips"),
    "library": (_SYNTHETIC, "LibraryMapping"),
    "toy": (__name__, "Toy"),
}


def generator_names() -> list[str]:
    """Names that `make_generator` knows."""
    return list(_GENERATORS)


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
    if name not in _GENERATORS:
        raise UnknownNameError("generator", name, _GENERATORS)
    module, attribute = _GENERATORS[name]
    build: Callable[..., Generator] = getattr(import_module(module), attribute)  # they build on this module
    check_parameters(name, build, parameters)
    return build(**parameters)
