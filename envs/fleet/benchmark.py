"""Fixed days by name: `base-eval-017` is the day of seed 10 017 of preset `base`, and so on for every preset.

Evaluation days have the seeds 10 000 to 10 099. Days drawn for training have 62-bit seeds, which meet them with
probability 1e-17 a draw; the named training days `base-train-0017` have the seeds below 10 000.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.family import BestKnown
from makespan.envs.fleet.formats import load
from makespan.envs.fleet.generator import PRESETS, UAMFleet, make_generator
from makespan.envs.fleet.generator_base import ToyDay
from makespan.envs.fleet.instance import FleetDay

EVALUATION_SEED: Final = 10_000
NUM_DAYS: Final = 100

INSTANCE_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {f"{preset}-eval": tuple(f"{preset}-eval-{day:03d}" for day in range(NUM_DAYS)) for preset in PRESETS}
)
"""Set name -> its evaluation days."""

_NAME: Final = re.compile(r"(?P<preset>.+)-(?P<kind>eval|train)-(?P<day>\d+)")


@functools.cache
def _preset(name: str) -> UAMFleet:
    generator = make_generator(name)
    assert isinstance(generator, UAMFleet)
    return generator


@functools.lru_cache(maxsize=256)
def load_instance(name: str) -> FleetDay:
    """A day by name: `toy`, `<preset>-eval-000` to `-099`, `<preset>-train-0` to `-9999`.

    Raises:
        UnknownNameError: There is no such day.
    """
    if name == "toy":
        return ToyDay().sample()
    match = _NAME.fullmatch(name.lower())
    if match and match["preset"] in PRESETS:
        day = int(match["day"])
        if match["kind"] == "eval" and day < NUM_DAYS:
            return _preset(match["preset"]).day(EVALUATION_SEED + day, f"{match['preset']}-eval-{day:03d}")
        if match["kind"] == "train" and day < EVALUATION_SEED:
            return _preset(match["preset"]).day(day, f"{match['preset']}-train-{day:04d}")
    raise UnknownNameError("day", name, _names())


def _names() -> list[str]:
    return ["toy", *(name for names in INSTANCE_SETS.values() for name in names)]


def find_instances(spec: str) -> list[FleetDay]:
    """Days that one command-line argument stands for.

    Args:
        spec: A set (`base-eval`), a day (`base-eval-017`), a glob over the evaluation days (`base-eval-00?`), or a file's path.

    Raises:
        UnknownNameError: None of these.
        InstanceFormatError: The file is malformed.
    """
    if spec in INSTANCE_SETS:
        return [load_instance(name) for name in INSTANCE_SETS[spec]]
    if Path(spec).is_file():
        return [load(spec)]
    if any(symbol in spec for symbol in "*?["):
        names = [name for name in _names() if fnmatch.fnmatchcase(name, spec)]
        if names:
            return [load_instance(name) for name in names]
        raise UnknownNameError("day, set or file", spec, [*INSTANCE_SETS, *_names()])
    return [load_instance(spec)]


def best_known(instance: FleetDay) -> BestKnown | None:
    """Nobody has published bounds on these days."""
    return None


def group(instance: FleetDay) -> str:
    """The preset of a named day, else its size."""
    match = re.fullmatch(r"(.+)-(eval|train|seed)-\d+", instance.name)
    return match[1] if match else f"{instance.num_vertiports}x{instance.num_aircraft}"
