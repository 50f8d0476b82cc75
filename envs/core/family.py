"""What the command line, the evaluation and the report need to know of a family, and nothing more."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.env import Generator
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.schedule import Schedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from makespan.envs.core.policy import Policy


@dataclass(frozen=True, slots=True)
class BestKnown:
    """Published bounds on an instance's optimum; equal bounds mean a proved optimum."""

    lower: float
    upper: float
    source: str

    @property
    def proved(self) -> bool:
        """Whether the bounds meet."""
        return self.lower == self.upper


def better(family: Family, objective: float, than: float) -> bool:
    """Whether an objective is truly better, in the family's sense, than another one; NaN is worse than any number."""
    if math.isnan(than):
        return not math.isnan(objective)
    return objective > than if family.sense == "max" else objective < than


def smallest_set(instance_sets: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The instance set of fewest members that an instance belongs to: `la` says more than `classic`."""
    sets = [set_name for set_name, members in instance_sets.items() if name in members]
    return min(sets, key=lambda set_name: len(instance_sets[set_name]), default=None)


@dataclass(frozen=True, slots=True)
class Family:
    """One family of problems.

    Attributes:
        name: Registry name of its rules and solvers, e.g. "jobshop".
        objective: What is minimised (or maximised, see `sense`), e.g. "makespan".
        unit: Unit of the objective.
        env_ids: Gymnasium ids of the family; the first is the default.
        instance_sets: Set name -> names of its instances, in the order of the literature.
        make_generator: Name and parameters -> a generator of instances.
        generators: Names that `make_generator` knows.
        find_instances: One argument of `--instances` (name, glob, set name or path) -> instances.
        best_known: Published bounds by instance, None if there are none.
        lower_bound: A quick bound on the optimum that needs no solver.
        validate: The independent checker: recomputes the objective from instance and schedule alone and raises
            `InvalidScheduleError` if anything is violated.
        mirror: Turns an instance and a schedule of it into another instance and its schedule, equally good, where the
            problem has such a symmetry; None where it has none.
        complete: The best schedule that keeps a partial one as it is and uses each resource only after what is
            already there, given seconds and a seed: what a teacher does from a state that a student
            has reached. None where no teacher can.
        sense: Whether the objective is minimised or maximised; `lower_bound` gives an upper bound in the latter case.
        mode: Keyword of the environments that sets what an action means (`sgs`), which `rule@mode` names; None if there is none.
        rule_mode: The mode in which rules are at home; None for the environment's default.
        group: Name of the group in which an instance is summarised; None derives it from sets and sizes.
        pictures: Name -> figure of an instance and a schedule of it; the first is what `render` draws. None: the Gantt chart.
        html: Self-contained interactive page of an instance and a schedule of it; None for the Gantt page.
        follow: Makes the policy that leads to given schedules, (schema, instances, schedules), one a slot; None where candidates
            point at a task and a resource, and schedules are followed by the order of their starts.
        climb: The best schedule of a local search that starts from complete episodes, given the instance, the environment's
            keywords, the actions (k,) of each episode, how many schedules may be tried (theirs included), and a seed. None
            where there is no such search.
    """

    name: str
    objective: str
    unit: str
    env_ids: tuple[str, ...]
    instance_sets: Mapping[str, Sequence[str]]
    make_generator: Callable[..., Generator]
    find_instances: Callable[[str], list[Any]]
    best_known: Callable[[Any], BestKnown | None]
    lower_bound: Callable[[Any], float]
    validate: Callable[[Any, Schedule], float]
    mirror: Callable[[Any, Schedule], tuple[Any, Schedule]] | None = None
    complete: Callable[[Any, Schedule, float, int], Schedule] | None = None
    generators: tuple[str, ...] = ()
    sense: Literal["min", "max"] = "min"
    mode: str | None = None
    rule_mode: str | None = None
    group: Callable[[Any], str] | None = None
    pictures: Mapping[str, Callable[[Any, Schedule], Figure]] | None = None
    html: Callable[[Any, Schedule], str] | None = None
    follow: Callable[[GraphSchema, Sequence[Any], Sequence[Schedule]], Policy] | None = None
    climb: Callable[[Any, Mapping[str, Any], Sequence[NDArray[np.int64]], int, int], Schedule] | None = None
