"""Single-machine total tardiness as the command line and the evaluation see it."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.family import Family
from makespan.envs.tardiness import registry as registry  # registers the solvers
from makespan.envs.tardiness import rules as rules  # registers the rules
from makespan.envs.tardiness.benchmark import INSTANCE_SETS, best_known, find_instances
from makespan.envs.tardiness.generator import generator_names, make_generator
from makespan.envs.tardiness.instance import TardinessInstance
from makespan.envs.tardiness.validator import lower_bound, validate


def group(instance: TardinessInstance) -> str:
    """Instances are summarised by their number of jobs."""
    return f"n = {instance.num_jobs}"


TARDINESS: Final = Family(
    name="tardiness",
    objective="total tardiness",
    unit="time units",
    env_ids=("makespan/SingleMachineTardiness-v0",),
    instance_sets=INSTANCE_SETS,
    make_generator=make_generator,
    generators=tuple(generator_names()),
    find_instances=find_instances,
    best_known=best_known,
    lower_bound=lower_bound,
    validate=validate,
    group=group,
)
