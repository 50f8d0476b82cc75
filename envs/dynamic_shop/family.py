"""The dynamic job shop as the command line and the evaluation see it."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.family import Family
from makespan.envs.dynamic_shop import registry as registry  # registers the solvers
from makespan.envs.dynamic_shop import rules as rules  # registers the rules
from makespan.envs.dynamic_shop.benchmark import INSTANCE_SETS, best_known, find_instances
from makespan.envs.dynamic_shop.generator import generator_names, make_generator
from makespan.envs.dynamic_shop.instance import DynamicShopInstance
from makespan.envs.dynamic_shop.validator import lower_bound, validate


def group(instance: DynamicShopInstance) -> str:
    """Draws are summarised by what they were drawn from: `dynamic-u90-3` without its number."""
    stem, _, number = instance.name.replace("#", "-").rpartition("-")
    return stem if number.isdigit() else instance.name


DYNAMIC_SHOP: Final = Family(
    name="dynamic_shop",
    objective="total weighted tardiness",
    unit="time units",
    env_ids=("makespan/DynamicJobShop-v0",),
    instance_sets=INSTANCE_SETS,
    make_generator=make_generator,
    generators=tuple(generator_names()),
    find_instances=find_instances,
    best_known=best_known,
    lower_bound=lower_bound,
    validate=validate,
    group=group,
    mode="ask",
)
