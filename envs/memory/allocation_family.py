"""Static memory allocation as the command line and the evaluation see it."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.family import Family
from makespan.envs.memory import allocation_registry as allocation_registry  # registers the solvers
from makespan.envs.memory import allocation_rules as allocation_rules  # registers the rules
from makespan.envs.memory.allocation_benchmark import INSTANCE_SETS, best_known, find_instances, group_of
from makespan.envs.memory.allocation_complete import complete_allocation
from makespan.envs.memory.allocation_follow import OffsetsPolicy
from makespan.envs.memory.allocation_generator import generator_names, make_generator
from makespan.envs.memory.allocation_map import allocation_figure, allocation_html
from makespan.envs.memory.allocation_search import climb_episodes
from makespan.envs.memory.allocation_validator import lower_bound, validate

ALLOCATION: Final = Family(
    name=allocation_rules.FAMILY,
    objective="peak",
    unit="bytes",
    env_ids=("makespan/MemoryAllocation-v0",),
    instance_sets=INSTANCE_SETS,
    make_generator=make_generator,
    generators=tuple(generator_names()),
    find_instances=find_instances,
    best_known=best_known,
    lower_bound=lower_bound,
    validate=validate,
    complete=complete_allocation,
    mode="fit",
    rule_mode="lowest",
    group=group_of,
    pictures={"memory_map": allocation_figure},
    html=allocation_html,
    follow=OffsetsPolicy,
    climb=climb_episodes,
)
