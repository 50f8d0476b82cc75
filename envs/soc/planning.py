"""List scheduling on all known jobs: plans built task by task, and their execution with the realised durations.

The functions here extend a `Plan` by some rows, given when each PE is free and what has its place already: static solvers plan
all jobs with them, and a policy that plans anew at each arrival calls them with what has started as given.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.schedule import Schedule
from makespan.envs.soc import graphs
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.plan_kernels import (
    ETF,
    MAX_MIN,
    MCT,
    MET,
    MIN_MIN,
    SUFFERAGE,
    Busy,
    Network,
    Plan,
    insert_tasks,
    match_tasks,
)

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MATCHERS: Final = {
    "mct": MCT,
    "met": MET,
    "min_min": MIN_MIN,
    "max_min": MAX_MIN,
    "sufferage": SUFFERAGE,
    "etf": ETF,
}
"""List schedulers that choose task and PE together, without filling gaps."""


@dataclass(eq=False)
class Planner:
    """What the list schedulers know of an instance: expected durations, never the realised ones.

    Attributes:
        instance: The instance.
        net: Its tasks, neighbours and PEs as the kernels read them.
        topological: (T,) position of each template task in a topological order.
        rank: (T,) HEFT's upward rank.
    """

    instance: SocInstance
    net: Network = field(init=False)
    topological: IntArray = field(init=False)
    rank: FloatArray = field(init=False)
    _tables: dict[str, FloatArray] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.net = network(self.instance)
        self.topological = np.argsort(graphs.topological_order(self.instance))
        self.rank = graphs.upward_rank(self.instance)

    def table(self, name: str) -> FloatArray:
        """A table of `makespan.envs.soc.graphs` by the name of its function, computed once."""
        if name not in self._tables:
            self._tables[name] = getattr(graphs, name)(self.instance)
        return self._tables[name]

    def empty_plan(self) -> Plan:
        """A plan in which no row has its place."""
        rows = self.instance.total_rows
        return Plan(np.full(rows, -1, np.int32), np.zeros(rows, np.int64), np.zeros(rows, np.int64))

    def rows_of(self, jobs: Sequence[int] | NDArray[np.integer[Any]]) -> IntArray:
        """Rows of some jobs, in topological order."""
        first = self.instance.row_first
        rows = np.concatenate([np.arange(first[job], first[job + 1]) for job in jobs] or [np.zeros(0, int)])
        order = np.lexsort((self.topological[self.net.row_task[rows]], self.net.row_job[rows]))
        return rows[order].astype(np.int64)

    def heft(self, plan: Plan, busy: Busy, rows: IntArray, release: IntArray) -> None:
        """HEFT (Topcuoglu et al. 2002): by falling upward rank, each into the gap where it finishes first.

        Args:
            plan: Given places of started tasks (expected ends for those still running); extended by `rows`.
            busy: Intervals when PEs are taken, see `busy_until`; extended likewise.
            rows: (n,) rows to place; their predecessors are in the plan or among them.
            release: (J,) us from which the tasks of each job may run.
        """
        self._insert(plan, busy, self.by_rank(rows), release)

    def lookahead(self, plan: Plan, busy: Busy, rows: IntArray, release: IntArray) -> None:
        """Lookahead HEFT (Bittencourt et al. 2010): on the PE from which the last of the children could finish first."""
        self._insert(plan, busy, self.by_rank(rows), release, lookahead=True)

    def peft(self, plan: Plan, busy: Busy, rows: IntArray, release: IntArray) -> None:
        """PEFT (Arabnejad & Barbosa 2014): ready tasks by mean optimistic cost, on the PE of least finish plus that cost."""
        cost = self.table("optimistic_cost")
        order = self.by_priority(rows, cost.mean(axis=1))
        self._insert(plan, busy, order, release, bias=np.where(self.net.durations >= 0, cost, 0.0))

    def cpop(self, plan: Plan, busy: Busy, rows: IntArray, release: IntArray) -> None:
        """CPOP (Topcuoglu et al. 2002): a job's critical path on the one PE that runs it fastest, the rest by least finish.

        Of several PEs that run the path equally fast it takes the one that is free first; where no PE can run the whole path,
        its tasks go by least finish, too.
        """
        priority = self.rank + self.table("downward_rank")
        order = self.by_priority(rows, priority)
        forced = np.full(order.size, -1, np.int32)
        on_path = _critical_tasks(self.instance, priority)[self.net.row_task[order]]
        busy_to = np.array([busy.end[m, n - 1] if n else 0 for m, n in enumerate(busy.used)])
        for job in np.unique(self.net.row_job[order]):
            path = np.flatnonzero(on_path & (self.net.row_job[order] == job))
            times = self.net.durations[self.net.row_task[order[path]]]
            whole = np.flatnonzero((times >= 0).all(axis=0))
            if path.size and whole.size:
                work = times[:, whole].sum(axis=0)
                pe = whole[np.lexsort((busy_to[whole], work))[0]]
                forced[path] = pe
                busy_to[pe] = max(busy_to[pe], release[job]) + work.min()
        self._insert(plan, busy, order, release, forced=forced)

    def match(self, name: str, plan: Plan, free: IntArray, rows: IntArray, release: IntArray) -> None:
        """One of `MATCHERS`: task and PE chosen together, appended without filling gaps.

        Args:
            name: Name in `MATCHERS`.
            plan: As in `heft`.
            free: (M,) us from which each PE is free; moved on.
            rows: As in `heft`, in topological order.
            release: As in `heft`.
        """
        match_tasks(self.net, plan, free, rows, release, MATCHERS[name], self.table("static_level"))

    def by_rank(self, rows: IntArray) -> IntArray:
        """Rows by falling upward rank; ties in topological order, then the lower row."""
        task = self.net.row_task[rows]
        return rows[np.lexsort((rows, self.topological[task], -self.rank[task]))]

    def by_priority(self, rows: IntArray, priority: FloatArray) -> IntArray:
        """Rows in the order in which a queue of ready tasks with the largest priority (T,) first gives them out."""
        net, among = self.net, set(rows.tolist())
        waiting = {}
        for row in among:
            task = int(net.row_task[row])
            sources = net.pred_source[net.pred_first[task] : net.pred_first[task + 1]].tolist()
            waiting[row] = sum(row + source - task in among for source in sources)
        # ranks that are equal on paper differ in their last digits
        heap = [(-round(float(priority[net.row_task[row]]), 6), row) for row in among if waiting[row] == 0]
        heapq.heapify(heap)
        order = []
        while heap:
            _, row = heapq.heappop(heap)
            order.append(row)
            task = int(net.row_task[row])
            for target in net.succ_target[net.succ_first[task] : net.succ_first[task + 1]].tolist():
                child = row + target - task
                if child in waiting:
                    waiting[child] -= 1
                    if waiting[child] == 0:
                        heapq.heappush(heap, (-round(float(priority[target]), 6), child))
        return np.array(order, np.int64)

    def _insert(
        self,
        plan: Plan,
        busy: Busy,
        rows: IntArray,
        release: IntArray,
        *,
        forced: NDArray[np.int32] | None = None,
        bias: FloatArray | None = None,
        lookahead: bool = False,
    ) -> None:
        if forced is None:
            forced = np.full(rows.size, -1, np.int32)
        if bias is None:
            bias = np.zeros(self.net.durations.shape)
        insert_tasks(self.net, plan, busy, rows, release, forced, bias, lookahead)


def network(instance: SocInstance) -> Network:
    """An instance as the kernels read it."""
    by_source = np.lexsort((instance.edge_target, instance.edge_source))
    everyone = np.arange(instance.total_tasks + 1)
    return Network(
        instance.row_task,
        instance.row_job,
        instance.durations.astype(np.int64),
        np.searchsorted(instance.edge_target, everyone).astype(np.int32),
        instance.edge_source.copy(),
        instance.edge_volume.copy(),
        np.searchsorted(instance.edge_source[by_source], everyone).astype(np.int32),
        instance.edge_target[by_source],
        instance.bandwidth.copy(),
    )


def busy_until(free: IntArray, capacity: int) -> Busy:
    """Intervals of PEs that are taken from 0 until `free` (M,), with room for `capacity` more on each."""
    start, end = np.zeros((2, free.size, capacity + 1), np.int64)
    end[:, 0] = free
    return Busy(start, end, (free > 0).astype(np.int64))


def _critical_tasks(instance: SocInstance, priority: FloatArray) -> NDArray[np.bool_]:
    """(T,) bool, template tasks on each profile's critical path as CPOP walks it."""
    critical = np.zeros(instance.total_tasks, np.bool_)
    entry = np.ones(instance.total_tasks, np.bool_)
    entry[instance.edge_target] = False
    for low, high in zip(instance.task_first[:-1], instance.task_first[1:], strict=True):
        starts = low + np.flatnonzero(entry[low:high])
        task = int(starts[np.argmax(np.round(priority[starts], 6))])
        while True:
            critical[task] = True
            children = instance.edge_target[instance.edge_source == task]
            on_path = children[np.abs(priority[children] - priority[task]) < 1e-6]
            if on_path.size == 0:
                break
            task = int(on_path[0])
    return critical


def execute(instance: SocInstance, plan: Plan, decided: IntArray | None = None) -> Schedule:
    """What happens when PEs run their tasks in the plan's order, each as soon as PE, data and job are there.

    Durations are the realised ones. Without noise nothing starts later than planned.

    Args:
        instance: The instance.
        plan: Places of the rows that run.
        decided: (N,) us at which each row was given its place, before which it cannot start; None: early enough.
    """
    rows = np.flatnonzero(plan.pe >= 0)
    topological = np.argsort(graphs.topological_order(instance))
    row_task, row_job = instance.row_task, instance.row_job
    # a job that enters as an earlier one ends comes after it, even where tasks of no length tie
    rows = rows[np.lexsort((topological[row_task[rows]], row_job[rows], plan.end[rows], plan.start[rows]))]
    durations = instance.row_durations
    pred_first = np.searchsorted(instance.edge_target, np.arange(instance.total_tasks + 1)).tolist()
    source, volume = instance.edge_source.tolist(), instance.edge_volume.tolist()
    bandwidth = instance.bandwidth.tolist()
    free, end = [0] * instance.num_pes, dict[int, int]()
    gate = Gate(instance)
    start = np.zeros(rows.size, np.int64)
    for i, row in enumerate(rows.tolist()):
        task, job, place = int(row_task[row]), int(row_job[row]), int(plan.pe[row])
        ready = max(free[place], gate.admission(job), 0 if decided is None else int(decided[row]))
        for edge in range(pred_first[task], pred_first[task + 1]):
            before = row + source[edge] - task
            wire = bandwidth[plan.pe[before]][place]
            ready = max(ready, end[before] + (volume[edge] // wire if wire else 0))
        start[i] = ready
        end[row] = free[place] = ready + int(durations[row, place])
        gate.finish_task(job, end[row])
    ends = np.array([end[row] for row in rows.tolist()], np.int64)
    kept = start < instance.horizon if instance.horizon else np.ones(rows.size, np.bool_)
    local = rows - instance.row_first[row_job[rows]]
    columns = [column[kept].astype(np.int64) for column in (row_job[rows], local, plan.pe[rows])]
    return Schedule(columns[0], columns[1], columns[2], start[kept], ends[kept], name=instance.name).sorted()


class Gate:
    """Entry of jobs in order under the cap, as tasks of earlier jobs get their ends."""

    def __init__(self, instance: SocInstance) -> None:
        self.cap = instance.max_jobs
        self.arrival = instance.arrival.tolist()
        self._left = np.diff(instance.row_first).tolist()
        self._last = [0] * instance.num_jobs
        self._admission: dict[int, int] = {}

    def admission(self, job: int) -> int:
        """Time at which a job may enter, given what has its end; jobs without are taken to stay."""
        if job in self._admission or self.cap == 0:
            return self._admission.get(job, self.arrival[job])
        time = self.arrival[job]
        if job >= self.cap:
            done = sorted(self._last[j] if self._left[j] == 0 else 2**62 for j in range(job))
            time = max(time, done[job - self.cap], self._admission.get(job - 1, 0))
        self._admission[job] = time
        return time

    def finish_task(self, job: int, end: int) -> None:
        """One more task of a job has its end."""
        self._left[job] -= 1
        self._last[job] = max(self._last[job], end)
