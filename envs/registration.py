"""The one table of environment ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

import gymnasium

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.family import Family


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """An id: where its environments are, and which family ("module:attribute") it belongs to."""

    id: str
    entry_point: str
    vector_entry_point: str
    family: str
    kwargs: dict[str, Any] = field(default_factory=dict)


_JOBSHOP: Final = "makespan.envs.jobshop"
_MEMORY: Final = "makespan.envs.memory"
_SOC: Final = "makespan.envs.soc"

ENVIRONMENTS: Final = (
    EnvEntry(
        "makespan/JobShop-v0",
        f"{_JOBSHOP}.env:JobShopEnv",
        f"{_JOBSHOP}.env:JobShopVectorEnv",
        f"{_JOBSHOP}.family:JOBSHOP",
    ),
    EnvEntry(
        "makespan/FlexibleJobShop-v0",
        f"{_JOBSHOP}.env:FlexibleJobShopEnv",
        f"{_JOBSHOP}.env:FlexibleJobShopVectorEnv",
        f"{_JOBSHOP}.family:JOBSHOP",
    ),
    EnvEntry(
        "makespan/MemoryAllocation-v0",
        f"{_MEMORY}.allocation_env:MemoryAllocationEnv",
        f"{_MEMORY}.allocation_env:MemoryAllocationVectorEnv",
        f"{_MEMORY}.allocation_family:ALLOCATION",
    ),
    EnvEntry(
        "makespan/SoC-v0",
        f"{_SOC}.env:SocEnv",
        f"{_SOC}.env:SocVectorEnv",
        f"{_SOC}.family:SOC",
    ),
)


def register_all() -> None:
    """Register every id with Gymnasium; a second call changes nothing."""
    for entry in ENVIRONMENTS:
        if entry.id not in gymnasium.registry:
            gymnasium.register(
                entry.id,
                entry_point=entry.entry_point,
                vector_entry_point=entry.vector_entry_point,
                kwargs=dict(entry.kwargs),
            )


def env_ids() -> tuple[str, ...]:
    """All ids."""
    return tuple(entry.id for entry in ENVIRONMENTS)


def get_family(env_id: str) -> Family:
    """The family an id belongs to; unknown ids raise `UnknownNameError`."""
    for entry in ENVIRONMENTS:
        if entry.id == env_id:
            module, _, attribute = entry.family.partition(":")
            family: Family = getattr(import_module(module), attribute)
            return family
    raise UnknownNameError("environment", env_id, env_ids())
