"""The job-shop family as the command line and the evaluation see it."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.family import Family, smallest_set
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop import registry as registry  # registers the solvers
from makespan.envs.jobshop import rules as rules  # registers the rules
from makespan.envs.jobshop.benchmark import INSTANCE_SETS, best_known, find_instances
from makespan.envs.jobshop.completion import complete
from makespan.envs.jobshop.generator import generator_names, make_generator
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.validator import lower_bound, validate


def mirror(instance: ShopInstance, schedule: Schedule) -> tuple[ShopInstance, Schedule]:
    """The time-reversed shop with the reversed schedule: same makespan, another problem to look at."""
    makespan = schedule.end.max()
    last = instance.job_first[schedule.job + 1] - instance.job_first[schedule.job] - 1
    reverse = Schedule(
        schedule.job,
        last - schedule.task,
        schedule.resource,
        makespan - schedule.end,
        makespan - schedule.start,
    )
    return instance.reversed(), reverse


def group(instance: ShopInstance) -> str:
    """An instance's set, if any, and its size as the literature writes it: `la 15x15`."""
    size = f"{instance.num_jobs}x{instance.num_machines}"
    return f"{(smallest_set(INSTANCE_SETS, instance.name) or '').removesuffix(size)} {size}".strip()


JOBSHOP: Final = Family(
    name="jobshop",
    objective="makespan",
    unit="time units",
    env_ids=("makespan/JobShop-v0", "makespan/FlexibleJobShop-v0"),
    instance_sets=INSTANCE_SETS,
    make_generator=make_generator,
    find_instances=find_instances,
    best_known=best_known,
    lower_bound=lower_bound,
    validate=validate,
    mirror=mirror,
    complete=complete,
    generators=tuple(generator_names()),
    mode="sgs",
    rule_mode="non_delay",
    group=group,
)
