"""The fleet family as the command line and the evaluation see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from makespan.envs.core.family import Family
from makespan.envs.core.schedule import Schedule
from makespan.envs.fleet import registry as registry  # registers planners and solvers
from makespan.envs.fleet import rules as rules  # registers the rules
from makespan.envs.fleet.benchmark import INSTANCE_SETS, best_known, find_instances, group
from makespan.envs.fleet.generator import generator_names, make_generator
from makespan.envs.fleet.instance import FleetDay
from makespan.envs.fleet.validator import validate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def upper_bound(instance: FleetDay) -> float:
    """The perfect-information LP bound in USD; seconds on `base`."""
    from makespan.envs.fleet.bound import upper_bound  # SciPy's optimisers are slow to import

    return upper_bound(instance)


def _map(instance: FleetDay, schedule: Schedule) -> Figure:
    from makespan.envs.fleet.pictures import day_map  # matplotlib is slow to import

    return day_map(instance, schedule)


def _space_time(instance: FleetDay, schedule: Schedule) -> Figure:
    from makespan.envs.fleet.pictures import space_time

    return space_time(instance, schedule)


def _profit(instance: FleetDay, schedule: Schedule) -> Figure:
    from makespan.envs.fleet.pictures import profit_breakdown

    return profit_breakdown(instance, schedule)


def _html(instance: FleetDay, schedule: Schedule) -> str:
    from makespan.envs.fleet.map_page import html

    return html(instance, schedule)


FLEET: Final = Family(
    name="fleet",
    objective="profit",
    unit="USD",
    env_ids=("makespan/UAMFleet-v0",),
    instance_sets=INSTANCE_SETS,
    make_generator=make_generator,
    generators=tuple(generator_names()),
    find_instances=find_instances,
    best_known=best_known,
    lower_bound=upper_bound,
    validate=validate,
    sense="max",
    group=group,
    pictures={"map": _map, "space_time": _space_time, "profit": _profit},
    html=_html,
)
