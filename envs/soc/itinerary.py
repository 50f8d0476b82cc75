"""The plan of one run, as a policy follows it decision by decision: what it reads of a decision graph, and its queues."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.soc.cp_model import Task, improve
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.plan_kernels import Busy, Plan
from makespan.envs.soc.planning import IntArray, Planner, busy_until
from makespan.envs.soc.solver import list_plan

METHODS: Final = ("heft", "peft", "cpop", "lookahead")
MOST_SECONDS: Final = 60.0  # a plan's wall-clock limit, never met: the deterministic one is


class View:
    """One decision graph as a planner reads it, in the numbers of the instance."""

    def __init__(
        self,
        schema: GraphSchema,
        instance: SocInstance,
        row_first: IntArray,
        observation: Observation,
        b: int,
    ) -> None:
        task = {
            name: schema.node_feature("task", name)
            for name in ("template", "end", "ready", "running", "done")
        }
        task_x, mask = observation["task_x"][b], observation["task_mask"][b] > 0
        self.nodes = np.flatnonzero(mask)
        slots = observation["task_parent"][b][self.nodes]
        job_x = observation["job_x"][b]
        numbers = job_x[:, schema.node_feature("job", "number")].astype(np.int64)
        profiles = job_x[:, schema.node_feature("job", "profile")].astype(np.int64)
        self.now = int(observation["system_x"][b, 0, schema.node_feature("system", "now")])
        self.jobs = np.sort(numbers[observation["job_mask"][b] > 0])
        template = task_x[self.nodes, task["template"]].astype(np.int64)
        self.rows = row_first[numbers[slots]] + template - instance.task_first[profiles[slots]]
        self.row_of = np.full(mask.size, -1, np.int64)
        self.row_of[self.nodes] = self.rows
        self.pe = observation["assignment_index"][b, 1][self.nodes]
        ends = task_x[self.nodes, task["end"]].astype(np.int64)
        self.known_end = (task_x[self.nodes, task["running"]] + task_x[self.nodes, task["done"]]) > 0
        self.ready = task_x[self.nodes, task["ready"]] > 0
        wait = observation["pe_x"][b, :, schema.node_feature("pe", "available_us")].astype(np.int64)
        self.free = self.now + wait[: instance.num_pes]
        self.idle = observation["pe_x"][b, : instance.num_pes, schema.node_feature("pe", "idle")] > 0
        self.data_wait = observation["candidate_x"][b, :, schema.action_feature("data_us")]
        self.end = np.where(self.known_end, ends, self.free[np.maximum(self.pe, 0)])


class Itinerary:
    """The plan of one run: which tasks each PE is to run, in which order.

    Args:
        instance: The instance.
        method: One of `METHODS`.
        replan: Whether all tasks not yet committed are planned anew when a job arrives; otherwise each job is planned once, into
            the gaps that the jobs before it leave.
    """

    def __init__(self, instance: SocInstance, method: str, replan: bool) -> None:
        self.instance, self.method, self.replan = instance, method, replan
        self.planner = Planner(instance)
        self.row_first = instance.row_first.astype(np.int64)
        self.plan: Plan = self.planner.empty_plan()
        self.queues: list[list[int]] = [[] for _ in range(instance.num_pes)]
        self.planned: set[int] = set()

    def update(self, view: View) -> None:
        """Plan the jobs that have come since the last call; all over again if somebody else has decided in between."""
        fresh = [int(job) for job in view.jobs if job not in self.planned]
        waiting = view.rows[view.pe < 0]
        job = self.planner.net.row_job[waiting]
        known = waiting[~np.isin(job, fresh)]
        strayed = sorted(known.tolist()) != sorted(row for queue in self.queues for row in queue)
        if not fresh and not strayed:
            return
        self.planned.update(fresh)
        placed = view.pe >= 0
        self.plan.pe[view.rows[placed]], self.plan.end[view.rows[placed]] = view.pe[placed], view.end[placed]
        if strayed:
            self.queues = [[] for _ in self.queues]
        if self.replan or strayed:
            self._insert(view, waiting)
            return
        for one in fresh:
            self._insert(view, waiting[job == one])

    def _insert(self, view: View, waiting: IntArray) -> None:
        """Plan tasks (rows of the instance) that are not committed, anew or for the first time."""
        taken = set(waiting.tolist())
        self.queues = [[row for row in queue if row not in taken] for queue in self.queues]
        rows = self.planner.rows_of(np.unique(self.planner.net.row_job[waiting]).astype(np.int64))
        rows = rows[np.isin(rows, waiting)]
        self._place(view, rows)
        for row in rows.tolist():
            self.queues[self.plan.pe[row]].append(row)
        order = {row: i for i, row in enumerate(rows.tolist())}
        for queue in self.queues:
            queue.sort(key=lambda row: (self.plan.start[row], self.plan.end[row], order.get(row, -1)))

    def _place(self, view: View, rows: IntArray) -> None:
        """Give rows, in topological order, their places in the plan."""
        busy = self._busy(view, rows.size)
        self.plan.pe[rows] = -1
        release = np.full(self.instance.num_jobs, view.now, np.int64)
        getattr(self.planner, self.method)(self.plan, busy, rows, release)

    def _busy(self, view: View, new: int) -> Busy:
        """When PEs are taken: by what is committed, and by the plans of earlier jobs that stay."""
        kept = 0 if self.replan else max(len(queue) for queue in self.queues)
        busy = busy_until(view.free, new + kept)
        if not self.replan:
            self._retime(view)
            for p, queue in enumerate(self.queues):
                first = busy.used[p]
                busy.start[p, first : first + len(queue)] = self.plan.start[queue]
                busy.end[p, first : first + len(queue)] = self.plan.end[queue]
                busy.used[p] += len(queue)
        return busy

    def _retime(self, view: View) -> None:
        """Move the times of what is planned to where they would be now, each PE's order unchanged.

        Without this, jobs planned from now on could be put before what they wait for.
        """
        net, free = self.planner.net, view.free.copy()
        heads = [0] * len(self.queues)
        left = {row for queue in self.queues for row in queue}
        while left:
            for p, queue in enumerate(self.queues):
                while heads[p] < len(queue):
                    row = queue[heads[p]]
                    task = int(net.row_task[row])
                    edges = range(net.pred_first[task], net.pred_first[task + 1])
                    before = [row + int(net.pred_source[edge]) - task for edge in edges]
                    if not left.isdisjoint(before):
                        break
                    start = int(free[p])
                    for edge, source in zip(edges, before, strict=True):
                        wire = int(net.bandwidth[self.plan.pe[source], p])
                        delay = int(net.pred_volume[edge]) // wire if wire else 0
                        start = max(start, int(self.plan.end[source]) + delay)
                    self.plan.start[row], self.plan.end[row] = start, start + net.durations[task, p]
                    free[p] = self.plan.end[row]
                    left.remove(row)
                    heads[p] += 1

    def choose(self, view: View, candidates: NDArray[np.int32], allowed: IntArray) -> int:
        """The candidate (of those `allowed`) that the plan takes next; -1 to defer.

        A task is committed when its PE has nothing else to do before it: earlier, it might overtake. Ready tasks beyond the
        candidate slots are passed by the next of their PE.
        """
        task = candidates[allowed, 0]
        offered = set(view.row_of[task].tolist())
        ready = set(view.rows[view.ready].tolist())
        best, best_start = -1, np.inf
        for p in np.flatnonzero(view.idle).tolist():
            for row in self.queues[p]:
                if row in offered and self.plan.start[row] < best_start:
                    best, best_start = row, self.plan.start[row]
                if row in offered or row not in ready:  # what is ready but not offered lets others pass
                    break
        if best < 0:
            return -1
        p = int(self.plan.pe[best])
        here = allowed[(view.row_of[task] == best) & (task >= 0)]
        exact = here[candidates[here, 2] == p]
        if (
            exact.size == 0
        ):  # an idle PE like it stands for it: not the one where data lie, if there is another
            q = candidates[here, 2]
            twins = here[self._likes(p)[q] & view.idle[q] & (q < p)]
            exact = twins[[np.argmax(view.data_wait[twins])]]
            self._swap(p, int(candidates[exact[0], 2]))
        self._drop(best)
        return int(exact[0])

    def force(self, view: View, candidates: NDArray[np.int32], allowed: IntArray) -> int:
        """Where nothing may be deferred: the offered task that the plan starts first, on its PE if that is allowed."""
        rows = view.row_of[candidates[allowed, 0]]
        on_plan = self.plan.pe[rows] == candidates[allowed, 2]
        pick = int(np.lexsort((~on_plan, self.plan.start[rows]))[0])
        self._drop(int(rows[pick]))
        self.plan.pe[rows[pick]] = candidates[allowed[pick], 2]
        return int(allowed[pick])

    def _drop(self, row: int) -> None:
        self.queues[self.plan.pe[row]].remove(row)

    def _likes(self, p: int) -> NDArray[np.bool_]:
        """PEs of p's type and cluster (M,)."""
        kind, cluster = self.instance.pe_type, self.instance.pe_cluster
        return (kind == kind[p]) & (cluster == cluster[p])

    def _swap(self, p: int, q: int) -> None:
        """Let two PEs change places in what is left of the plan."""
        self.queues[p], self.queues[q] = self.queues[q], self.queues[p]
        for pe in (p, q):
            for row in self.queues[pe]:
                self.plan.pe[row] = pe


class SearchedItinerary(Itinerary):
    """The best list schedule of everything not yet committed, improved by CP-SAT at each arrival.

    Args:
        instance: The instance; its objective is the latency or the makespan.
        effort: CP-SAT's deterministic time for each plan.
        seed: Of the searches.
    """

    def __init__(self, instance: SocInstance, effort: float, seed: int) -> None:
        if instance.objective == "energy":
            raise ValueError("objective: 'energy'; CP-SAT expects 'latency' or 'makespan'")
        super().__init__(instance, "cp_sat", replan=True)
        self.effort, self.seed = effort, seed

    def _place(self, view: View, rows: IntArray) -> None:
        instance = self.instance
        self.plan.pe[rows] = -1
        release = np.full(instance.num_jobs, view.now, np.int64)
        given = Plan(self.plan.pe.copy(), self.plan.start.copy(), self.plan.end.copy())
        task = Task(instance, rows, instance.durations[instance.row_task], given, view.free, release)
        hint = list_plan(self.planner, task)
        best = improve(task, hint, seconds=MOST_SECONDS, deterministic=self.effort, seed=self.seed).plan
        self.plan.pe[rows], self.plan.start[rows], self.plan.end[rows] = (
            best.pe[rows],
            best.start[rows],
            best.end[rows],
        )
