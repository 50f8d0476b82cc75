"""Transfer robots as the command line and the evaluation see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from makespan.envs.core import gantt
from makespan.envs.core.family import Family
from makespan.envs.core.schedule import Schedule
from makespan.envs.transfer_robot import registry as registry  # registers the solvers
from makespan.envs.transfer_robot import rules as rules  # registers the rules
from makespan.envs.transfer_robot.benchmark import INSTANCE_SETS, best_known, find_instances
from makespan.envs.transfer_robot.bounds import lower_bound
from makespan.envs.transfer_robot.follow import MovesPolicy
from makespan.envs.transfer_robot.generator import generator_names, make_generator
from makespan.envs.transfer_robot.instance import TransferCell
from makespan.envs.transfer_robot.schedules import resource_names
from makespan.envs.transfer_robot.validator import validate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def chart(cell: TransferCell, schedule: Schedule) -> Figure:
    """Gantt chart with a row for each chamber and each robot."""
    return gantt.figure(schedule, resource_names=resource_names(cell))


def chart_page(cell: TransferCell, schedule: Schedule) -> str:
    """The same as an interactive page."""
    return gantt.html(schedule, resource_names=resource_names(cell))


def group(cell: TransferCell) -> str:
    """Cells are summarised by their robots, and by whether stays are limited."""
    robots = "1 robot" if cell.num_robots == 1 else f"{cell.num_robots} robots"
    hands = "1 hand" if cell.max_hands == 1 else f"{cell.max_hands} hands"
    return f"{robots}, {hands}" + (", limits" if (cell.limit >= 0).any() else "")


TRANSFER_ROBOT: Final = Family(
    name="transfer_robot",
    objective="penalised makespan",
    unit="time units",
    env_ids=("makespan/TransferRobot-v0",),
    instance_sets=INSTANCE_SETS,
    make_generator=make_generator,
    generators=tuple(generator_names()),
    find_instances=find_instances,
    best_known=best_known,
    lower_bound=lower_bound,
    validate=validate,
    mode="fetches",
    rule_mode="ready",
    group=group,
    pictures={"gantt": chart},
    html=chart_page,
    follow=MovesPolicy,
)
