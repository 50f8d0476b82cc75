"""Static list schedulers as solvers: a plan over all jobs, each known from its arrival on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from makespan.envs.core.policy import Solution, Status
from makespan.envs.soc.bounds import lower_bound
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.plan_kernels import Busy, Plan
from makespan.envs.soc.planning import Gate, IntArray, Planner, busy_until, execute
from makespan.envs.soc.validator import validate


@dataclass(frozen=True)
class ListScheduler:
    """Plans jobs when they arrive, on top of what is planned, and executes the plan with the realised durations.

    Jobs that arrive together are planned together; under a cap, and with `jointly=False`, one after the other.

    Attributes:
        jointly: Whether jobs that arrive together are planned together.
    """

    method: ClassVar[str] = ""
    inserts: ClassVar[bool] = True

    jointly: bool = True

    def solve(self, instance: SocInstance, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The schedule that the method builds; time limit and seed are not needed."""
        schedule = execute(instance, self.plan(instance))
        value, bound = validate(instance, schedule), lower_bound(instance)
        status: Status = "optimal" if value <= bound else "feasible"
        return Solution(schedule, value, bound, status)

    def plan(self, instance: SocInstance) -> Plan:
        """The plan, with expected durations."""
        planner = Planner(instance)
        plan, free = planner.empty_plan(), np.zeros(instance.num_pes, np.int64)
        busy = busy_until(free, instance.total_rows)
        for rows, release in arriving_groups(planner, plan, self.jointly):
            if self.inserts:
                self.insert(planner, plan, busy, rows, release)
            else:
                planner.match(self.method, plan, free, rows, release)
        return plan

    def insert(self, planner: Planner, plan: Plan, busy: Busy, rows: IntArray, release: IntArray) -> None:
        """Extend the plan by some rows."""
        extend = getattr(planner, self.method)
        extend(plan, busy, rows, release)


def arriving_groups(planner: Planner, plan: Plan, jointly: bool) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows to be planned together, with the release (J,) of the jobs; `plan` must hold the groups before."""
    instance = planner.instance
    horizon = instance.horizon or np.inf
    jobs = np.flatnonzero(instance.arrival < horizon)
    release, gate, first = instance.arrival.copy(), Gate(instance), instance.row_first
    if jointly and not instance.max_jobs:
        cuts = np.flatnonzero(np.diff(instance.arrival[jobs])) + 1
        groups = np.split(jobs, cuts)
    else:
        groups = [jobs[i : i + 1] for i in range(jobs.size)]
    for group in groups:
        for job in group.tolist():
            release[job] = gate.admission(job)
        yield planner.rows_of(group), release
        for job in group.tolist():
            for end in plan.end[first[job] : first[job + 1]].tolist():
                gate.finish_task(job, end)


class HEFT(ListScheduler):
    """Heterogeneous earliest finish time, with insertion (Topcuoglu, Hariri & Wu 2002)."""

    method = "heft"


class CPOP(ListScheduler):
    """Critical path on a processor (Topcuoglu, Hariri & Wu 2002)."""

    method = "cpop"


class PEFT(ListScheduler):
    """Predict earliest finish time (Arabnejad & Barbosa 2014)."""

    method = "peft"


class Lookahead(ListScheduler):
    """HEFT with lookahead to the children (Bittencourt, Sakellariou & Madeira 2010)."""

    method = "lookahead"


class MinMin(ListScheduler):
    """The pair of task and PE with the smallest finish first (Ibarra & Kim 1977; "ETF" in DS3)."""

    method, inserts = "min_min", False


class MaxMin(ListScheduler):
    """The task whose best finish is largest first (Ibarra & Kim 1977)."""

    method, inserts = "max_min", False


class Sufferage(ListScheduler):
    """The task that loses most without its best PE first (Maheswaran et al. 1999)."""

    method, inserts = "sufferage", False


class ETF(ListScheduler):
    """The pair with the earliest start first, ties by static level (Hwang et al. 1989)."""

    method, inserts = "etf", False


class MET(ListScheduler):
    """Tasks first come first served, each on its fastest PE, ties by finish (Braun et al. 2001)."""

    method, inserts = "met", False


class MCT(ListScheduler):
    """Tasks first come first served, each where it finishes first (Braun et al. 2001)."""

    method, inserts = "mct", False


Method = Literal["heft", "cpop", "peft", "lookahead", "min_min", "max_min", "sufferage", "etf", "met", "mct"]
METHODS: dict[str, type[ListScheduler]] = {
    "heft": HEFT,
    "cpop": CPOP,
    "peft": PEFT,
    "lookahead": Lookahead,
    "min_min": MinMin,
    "max_min": MaxMin,
    "sufferage": Sufferage,
    "etf": ETF,
    "met": MET,
    "mct": MCT,
}
"""All static list schedulers by name."""
