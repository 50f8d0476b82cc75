"""The blocking job shop as the command line and the evaluation see it."""

from __future__ import annotations

from typing import Final

from makespan.envs.blocking import registry as registry  # registers the solvers
from makespan.envs.blocking import rules as rules  # registers the rules
from makespan.envs.blocking.benchmark import INSTANCE_SETS, best_known, find_instances
from makespan.envs.blocking.follow import OrderPolicy
from makespan.envs.blocking.generator import generator_names, make_generator
from makespan.envs.blocking.validator import lower_bound, validate
from makespan.envs.core.family import Family

BLOCKING: Final = Family(
    name="blocking",
    objective="makespan",
    unit="time units",
    env_ids=("makespan/BlockingJobShop-v0",),
    instance_sets=INSTANCE_SETS,
    make_generator=make_generator,
    generators=tuple(generator_names()),
    find_instances=find_instances,
    best_known=best_known,
    lower_bound=lower_bound,
    validate=validate,
    mode="admission",
    rule_mode="greedy",
    follow=OrderPolicy,
)
