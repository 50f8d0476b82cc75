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
_BLOCKING: Final = "makespan.envs.blocking"
_DYNAMIC: Final = "makespan.envs.dynamic_shop"
_TARDINESS: Final = "makespan.envs.tardiness"
_TRANSFER: Final = "makespan.envs.transfer_robot"
_SOC: Final = "makespan.envs.soc"
_MEMORY: Final = "makespan.envs.memory"
_FLEET: Final = "makespan.envs.fleet"

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
        "makespan/BlockingJobShop-v0",
        f"{_BLOCKING}.env:BlockingJobShopEnv",
        f"{_BLOCKING}.env:BlockingJobShopVectorEnv",
        f"{_BLOCKING}.family:BLOCKING",
    ),
    EnvEntry(
        "makespan/DynamicJobShop-v0",
        f"{_DYNAMIC}.env:DynamicJobShopEnv",
        f"{_DYNAMIC}.env:DynamicJobShopVectorEnv",
        f"{_DYNAMIC}.family:DYNAMIC_SHOP",
    ),
    EnvEntry(
        "makespan/SingleMachineTardiness-v0",
        f"{_TARDINESS}.env:SingleMachineTardinessEnv",
        f"{_TARDINESS}.env:SingleMachineTardinessVectorEnv",
        f"{_TARDINESS}.family:TARDINESS",
    ),
    EnvEntry(
        "makespan/TransferRobot-v0",
        f"{_TRANSFER}.env:TransferRobotEnv",
        f"{_TRANSFER}.env:TransferRobotVectorEnv",
        f"{_TRANSFER}.family:TRANSFER_ROBOT",
    ),
    EnvEntry(
        "makespan/SoC-v0",
        f"{_SOC}.env:SocEnv",
        f"{_SOC}.env:SocVectorEnv",
        f"{_SOC}.family:SOC",
    ),
    EnvEntry(
        "makespan/MemoryMapping-v0",
        f"{_MEMORY}.mapping_env:MemoryMappingEnv",
        f"{_MEMORY}.mapping_env:MemoryMappingVectorEnv",
        f"{_MEMORY}.mapping_family:MEMORY_MAPPING",
    ),
    EnvEntry(
        "makespan/MemoryAllocation-v0",
        f"{_MEMORY}.allocation_env:MemoryAllocationEnv",
        f"{_MEMORY}.allocation_env:MemoryAllocationVectorEnv",
        f"{_MEMORY}.allocation_family:ALLOCATION",
    ),
    EnvEntry(
        "makespan/UAMFleet-v0",
        f"{_FLEET}.gymnasium_env:UAMFleetEnv",
        f"{_FLEET}.gymnasium_env:UAMFleetVectorEnv",
        f"{_FLEET}.family:FLEET",
    ),
)

# Plain Gymnasium environments: their actions are no candidates, so they belong to no family.
PLAIN_ENVIRONMENTS: Final = (("makespan/AMoDRebalance-v0", "makespan.envs.amod.env:AMoDRebalanceEnv"),)

# PettingZoo: kind of environment, id and entry point.
AGENT_ENVIRONMENTS: Final = (
    ("aec", "makespan/jobshop_machines-v0", f"{_JOBSHOP}.machines:env"),
    ("aec", "makespan/soc_clusters-v0", f"{_SOC}.clusters:env"),
    ("aec", "makespan/memory_tenants-v0", f"{_MEMORY}.mapping_tenants:env"),
    ("aec", "makespan/uam_fleet-v0", f"{_FLEET}:env"),
    ("parallel", "makespan/uam_fleet-v0", f"{_FLEET}:parallel_env"),
)


def register_all() -> None:
    """Register every id with Gymnasium and PettingZoo; a second call changes nothing."""
    for entry in ENVIRONMENTS:
        if entry.id not in gymnasium.registry:
            gymnasium.register(
                entry.id,
                entry_point=entry.entry_point,
                vector_entry_point=entry.vector_entry_point,
                kwargs=dict(entry.kwargs),
            )
    for env_id, entry_point in PLAIN_ENVIRONMENTS:
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, entry_point=entry_point)
    _register_agent_environments()


def _register_agent_environments() -> None:
    """Register with PettingZoo, which has a registry since 1.27."""
    import pettingzoo

    if not hasattr(pettingzoo, "register"):
        return
    registries = {"aec": pettingzoo.aec_registry, "parallel": pettingzoo.parallel_registry}
    for kind, env_id, entry_point in AGENT_ENVIRONMENTS:
        if env_id not in registries[kind]:
            pettingzoo.register(kind, env_id, entry_point)


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
