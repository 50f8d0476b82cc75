"""Named mapping problems: a program, a preset of hardware, and a capacity.

A name is `program@MiB` on the default hardware (`unet_training_b1@32`) or `program@hardware:MiB`
(`unet_training_b1@tpu_v5e_like:32`); without a capacity the preset's own is meant. Programs are the shipped ones (`library`),
the synthetic ones below, or JSON files by path.
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
from makespan.envs.memory.mapping_generator import TOY_OPTIMUM, toy_mapping
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_synthetic import LayeredChain, LongSkips, SeriesParallel
from makespan.envs.memory.program import MemoryProgram

DEFAULT_HARDWARE: Final = "tpu_v4i_like"
CAPACITIES: Final = (8, 32, 128)
"""MiB at which the shipped programs are posed."""
_SYNTHETIC: Final = {"layered": LayeredChain, "series_parallel": SeriesParallel, "long_skips": LongSkips}
_SYNTHETIC_CAPACITIES: Final = (2, 8)
_SEEDS: Final = range(4)


@functools.lru_cache(maxsize=64)
def load_program(name: str) -> MemoryProgram:
    """A program by name, shipped or synthetic (`layered-0` .. `long_skips-3`, odd ones are training steps), or a JSON file.

    Raises:
        UnknownNameError: There is no such program, and no such file.
        InstanceFormatError: The file is malformed.
    """
    kind, _, seed = name.rpartition("-")
    if kind in _SYNTHETIC and seed.isdigit() and int(seed) in _SEEDS:
        return _SYNTHETIC[kind](training=int(seed) % 2).sample_program(np.random.default_rng(int(seed)))
    if name in library.program_names():
        return library.load_program(name)
    if Path(name).is_file():
        return MemoryProgram.load(name)
    raise UnknownNameError("program", name, program_names())


def program_names() -> list[str]:
    """Names of all programs."""
    return [*library.program_names(), *(f"{kind}-{seed}" for kind in _SYNTHETIC for seed in _SEEDS)]


def _instance_sets() -> dict[str, tuple[str, ...]]:
    shipped = library.program_names()
    sets = {"traced": tuple(f"{program}@{mib}" for program in shipped for mib in CAPACITIES)}
    for mib in CAPACITIES:
        sets[f"traced{mib}"] = tuple(f"{program}@{mib}" for program in shipped)
    for kind in ("inference", "training"):
        sets[kind] = tuple(name for name in sets["traced"] if f"_{kind}_" in name)
    for model in dict.fromkeys(library.model_of(program) for program in shipped):
        sets[model] = tuple(name for name in sets["traced"] if library.model_of(name.split("@")[0]) == model)
    sets["worthwhile"] = tuple(f"{program}@{mib}" for program, mib in library.worthwhile())
    for side, held_out in (("worthwhile_seen", False), ("worthwhile_held_out", True)):
        sets[side] = tuple(
            name
            for name in sets["worthwhile"]
            if (library.model_of(name.split("@")[0]) in library.HELD_OUT_MODELS) == held_out
        )
    sets["synthetic"] = tuple(
        f"{kind}-{seed}@{mib}" for kind in _SYNTHETIC for seed in _SEEDS for mib in _SYNTHETIC_CAPACITIES
    )
    return {**sets, "toy": ("toy",)}


INSTANCE_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(_instance_sets())
"""Set name -> names of its instances.

`traced` holds every shipped program at 8, 32 and 128 MiB, `traced8` .. `traced128` those at one capacity, `inference` and
`training` those of one kind, and each model has a set (`unet`). Many of these are trivial: `worthwhile` leaves such out (see
`library.worthwhile`), `worthwhile_held_out` are those of models that shipped policies have not been trained on,
`worthwhile_seen` the rest.
"""


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
    return BestKnown(TOY_OPTIMUM, TOY_OPTIMUM, "solved by hand")
