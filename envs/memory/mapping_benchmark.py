"""Named mapping problems: a program, a preset of hardware, and a capacity.

A name is `program@MiB` on the default hardware (`forward-3@8`) or `program@hardware:MiB` (`forward-3@tpu_v5e_like:8`); without
a capacity the preset's own is meant. Programs are the shipped ones, the synthetic ones below, or JSON files by path.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.core.family import BestKnown
from makespan.envs.memory import library
from makespan.envs.memory.hardware import MIB, get_hardware
from makespan.envs.memory.mapping_generator import RandomPrograms, toy_mapping
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.program import MemoryProgram

DEFAULT_HARDWARE: Final = "tpu_v4i_like"
CAPACITIES: Final = (2, 4, 8)  # MiB, for the synthetic programs
_SEEDS: Final = range(8)
_SYNTHETIC: Final = {"forward": 0.0, "training": 1.0}


@functools.lru_cache(maxsize=64)
def load_program(name: str) -> MemoryProgram:
    """A program by name (`resnet18_training_b4`, `forward-0` .. `training-7`), or from a JSON file.

    Raises:
        UnknownNameError: There is no such program, and no such file.
        InstanceFormatError: The file is malformed.
    """
    if name in library.program_names():
        return library.load_program(name)
    kind, _, seed = name.rpartition("-")
    if kind in _SYNTHETIC and seed.isdigit() and int(seed) in _SEEDS:
        draws = RandomPrograms(32, training=_SYNTHETIC[kind])
        return draws.sample(np.random.default_rng(int(seed))).program
    if Path(name).is_file():
        return MemoryProgram.load(name)
    raise UnknownNameError("program", name, program_names())


def program_names() -> list[str]:
    """Names of all programs."""
    return [*(f"{kind}-{seed}" for kind in _SYNTHETIC for seed in _SEEDS), *library.program_names()]


def _instance_sets() -> dict[str, tuple[str, ...]]:
    sets = {
        kind: tuple(f"{kind}-{seed}@{capacity}" for seed in _SEEDS for capacity in CAPACITIES)
        for kind in _SYNTHETIC
    }
    return {"synthetic": sets["forward"] + sets["training"], **sets, "toy": ("toy",)}


INSTANCE_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(_instance_sets())
"""Set name -> names of its instances."""


@functools.cache
def instance_names() -> tuple[str, ...]:
    """Names of all instances, set after set."""
    return tuple(dict.fromkeys(name for names in INSTANCE_SETS.values() for name in names))


@functools.lru_cache(maxsize=256)
def load_instance(name: str) -> MappingInstance:
    """An instance by name, `program@MiB` or `program@hardware:MiB`; "toy" is the hand-solved one.

    Raises:
        UnknownNameError: Program or hardware is not known.
        InvalidInstanceError: The capacity is no whole number of MiB.
    """
    if name == "toy":
        return toy_mapping()
    program, _, place = name.rpartition("@") if "@" in name else (name, "", "")
    hardware, _, capacity = place.rpartition(":")
    if not hardware and not capacity.isdigit() and capacity:
        hardware, capacity = capacity, ""
    if capacity and not capacity.isdigit():
        raise InvalidInstanceError(f"instance {name!r}: capacity {capacity!r}; expected whole MiB")
    size = int(capacity) * MIB if capacity else None
    chosen = get_hardware(hardware or DEFAULT_HARDWARE, capacity=size)
    return MappingInstance(load_program(program), chosen, name)


def find_instances(spec: str) -> list[MappingInstance]:
    """Instances that one command-line argument stands for.

    Args:
        spec: The name of a set or of an instance, a glob over the names, or the path of a program's JSON, with
            `@MiB` or `@hardware:MiB` behind it.

    Raises:
        UnknownNameError: None of these.
    """
    if spec in INSTANCE_SETS:
        return [load_instance(name) for name in INSTANCE_SETS[spec]]
    if any(symbol in spec for symbol in "*?["):
        names = [name for name in instance_names() if fnmatch.fnmatchcase(name, spec)]
        if names:
            return [load_instance(name) for name in names]
        raise UnknownNameError("instance or set", spec, [*INSTANCE_SETS, *instance_names()])
    return [load_instance(spec)]


def best_known(instance: MappingInstance | str) -> BestKnown | None:
    """None but for the toy: nothing has been published for these problems."""
    name = instance if isinstance(instance, str) else instance.name
    if name != "toy":
        return None
    from makespan.envs.memory.mapping_generator import TOY_OPTIMUM

    return BestKnown(TOY_OPTIMUM, TOY_OPTIMUM, "solved by hand")
