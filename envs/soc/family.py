"""The SoC family as the command line and the evaluation see it."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.family import Family
from makespan.envs.soc import policies as policies  # registers the planning policies
from makespan.envs.soc import registry as registry  # registers the solvers
from makespan.envs.soc import rules as rules  # registers the rules
from makespan.envs.soc.benchmark import INSTANCE_SETS, best_known, find_instances
from makespan.envs.soc.bounds import lower_bound
from makespan.envs.soc.generator import generator_names, make_generator
from makespan.envs.soc.pictures import PICTURES
from makespan.envs.soc.validator import validate

SOC: Final = Family(
    name="soc",
    objective="mean latency",
    unit="us",
    env_ids=("makespan/SoC-v0",),
    instance_sets=INSTANCE_SETS,
    make_generator=make_generator,
    generators=tuple(generator_names()),
    find_instances=find_instances,
    best_known=best_known,
    lower_bound=lower_bound,
    validate=validate,
    mode="mode",
    rule_mode="task_pe",
    pictures=PICTURES,
)
