"""Fixed days by name: `base-eval-017` is the day of seed 10 017 of preset `base`, and so on for every preset.

Evaluation days have the seeds 10 000 to 10 099. Days drawn for training have 62-bit seeds, which meet them with
probability 1e-17 a draw; the named training days `base-train-0017` have the seeds below 10 000.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from makespan.envs.core.family import BestKnown
from makespan.envs.core.named import NamedInstances
from makespan.envs.fleet.formats import load
from makespan.envs.fleet.generator import PRESETS, UAMFleet, make_generator
from makespan.envs.fleet.generator_base import ToyDay
from makespan.envs.fleet.instance import FleetDay

EVALUATION_SEED: Final = 10_000
NUM_DAYS: Final = 100

INSTANCE_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "toy": ("toy",),
        **{
            p: tuple(f"{p}-{day:03d}" for day in range(NUM_DAYS))
            for p in (f"{name}-eval" for name in PRESETS)
        },
    }
)
"""Set name -> its days: the toy, and the evaluation days of each preset."""

_NAME: Final = re.compile(r"(?P<preset>.+)-(?P<kind>eval|train)-(?P<day>\d+)")


@functools.cache
def _preset(name: str) -> UAMFleet:
    generator = make_generator(name)
    assert isinstance(generator, UAMFleet)
    return generator


def _canonical(name: str) -> str | None:
    """`toy`, `<preset>-eval-000` to `-099`, `<preset>-train-0000` to `-9999`; leading zeros may be left out."""
    match = _NAME.fullmatch(name.lower())
    if match and match["preset"] in PRESETS:
        day = int(match["day"])
        if match["kind"] == "eval" and day < NUM_DAYS:
            return f"{match['preset']}-eval-{day:03d}"
        if match["kind"] == "train" and day < EVALUATION_SEED:
            return f"{match['preset']}-train-{day:04d}"
    return "toy" if name.lower() == "toy" else None


def _make(name: str) -> FleetDay:
    if name == "toy":
        return ToyDay().sample()
    preset, kind, day = name.rsplit("-", 2)
    return _preset(preset).day(int(day) + (EVALUATION_SEED if kind == "eval" else 0), name)


_NAMED: Final = NamedInstances(INSTANCE_SETS, _make, lambda path: [load(path)], canonical=_canonical)

load_instance = _NAMED.load
"""A day by name, e.g. `base-eval-017`, `tiny-train-3` or `toy`, or from a file; see `NamedInstances.load`."""
find_instances = _NAMED.find
"""Days that one command-line argument stands for; see `NamedInstances.find`."""


def best_known(instance: FleetDay) -> BestKnown | None:
    """Nobody has published bounds on these days."""
    return None


def group(instance: FleetDay) -> str:
    """The preset of a named day, else its size."""
    match = re.fullmatch(r"(.+)-(eval|train|seed)-\d+", instance.name)
    return match[1] if match else f"{instance.num_vertiports}x{instance.num_aircraft}"
