"""The memory-mapping family as the command line and the evaluation see it."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.family import Family
from makespan.envs.memory import mapping_priority_rules as mapping_priority_rules  # registers the rules
from makespan.envs.memory import mapping_registry as mapping_registry  # registers solvers and policies
from makespan.envs.memory import mapping_rules as mapping_rules  # registers the rules
from makespan.envs.memory.mapping_benchmark import INSTANCE_SETS, best_known, find_instances
from makespan.envs.memory.mapping_climb import climb_episodes
from makespan.envs.memory.mapping_generator import generator_names, make_generator
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_map import mapping_figure, mapping_html
from makespan.envs.memory.mapping_policies import MappingPolicy
from makespan.envs.memory.mapping_validator import validate


def lower_bound(instance: MappingInstance) -> float:
    """Unlimited fast memory, or the compulsory HBM traffic, ps."""
    return float(instance.lower_bound)


def group(instance: MappingInstance) -> str:
    """Instances are summarised by program kind and capacity."""
    program = instance.program.name
    return f"{program}@{instance.hardware.capacity // 2**20}MiB"


MEMORY_MAPPING: Final = Family(
    name="memory_mapping",
    objective="latency",
    unit="ps",
    env_ids=("makespan/MemoryMapping-v0",),
    instance_sets=INSTANCE_SETS,
    make_generator=make_generator,
    generators=tuple(generator_names()),
    find_instances=find_instances,
    best_known=best_known,
    lower_bound=lower_bound,
    validate=validate,
    mode="order",
    rule_mode="program",
    group=group,
    pictures={"memory_map": mapping_figure},
    html=mapping_html,
    follow=MappingPolicy,
    climb=climb_episodes,
)
