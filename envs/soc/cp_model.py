"""The CP-SAT model of a SoC: an optional interval for each task and PE, with like PEs kept in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.plan_kernels import Plan
from makespan.envs.soc.planning import IntArray

if TYPE_CHECKING:
    from ortools.sat.python import cp_model


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be planned, and what is given.

    Attributes:
        instance: The instance; its objective is the model's, over the jobs of `rows`.
        rows: (n,) rows to place.
        durations: (N, M) us that each row takes; -1: cannot run there.
        given: Places of the predecessors that are no part of `rows`.
        free: (M,) us from which each PE is free.
        release: (J,) us from which the tasks of a job may run.
        capped: Whether the jobs of `rows` enter in order under the instance's cap.
    """

    instance: SocInstance
    rows: IntArray
    durations: NDArray[np.int32]
    given: Plan
    free: IntArray
    release: IntArray
    capped: bool = False


@dataclass(frozen=True)
class Answer:
    """What the search found: a plan no worse than the hint, and value and bound in the model's terms."""

    plan: Plan
    value: int
    bound: int
    optimal: bool


def like_pes(instance: SocInstance, marked: NDArray[np.bool_], times: NDArray[np.int64]) -> list[list[int]]:
    """Groups of PEs that could change names.

    Args:
        instance: The instance, in whose bandwidths the PEs of a group are alike.
        marked: (M,) PEs that stand alone.
        times: (n, M) columns that must be equal, too.
    """
    groups: list[list[int]] = []
    for pe in range(instance.num_pes):
        for group in groups:
            other = group[0]
            same = not marked[[pe, other]].any() and np.array_equal(times[:, pe], times[:, other])
            if same and _alike(instance, pe, other):
                group.append(pe)
                break
        else:
            groups.append([pe])
    return groups


def wiring_classes(instance: SocInstance) -> NDArray[np.int64]:
    """(M,) class of each PE; delays between different PEs depend on their classes only."""
    none = np.zeros((1, instance.num_pes), np.int64)
    groups = like_pes(instance, none[0] > 0, none)
    label = np.zeros(instance.num_pes, np.int64)
    for number, group in enumerate(groups):
        label[group] = number
    return label


def _alike(instance: SocInstance, p: int, q: int) -> bool:
    wires, others = instance.bandwidth, np.ones(instance.num_pes, np.bool_)
    others[[p, q]] = False
    return bool(
        wires[p, p] == wires[q, q]
        and wires[p, q] == wires[q, p]
        and np.array_equal(wires[p, others], wires[q, others])
        and np.array_equal(wires[others, p], wires[others, q])
    )


def plan_value(task: Task, plan: Plan) -> int:
    """The model's objective of a plan: the sum of the counted jobs' ends, or the last end, no later than the horizon."""
    instance = task.instance
    ends: dict[int, int] = {}
    for row, job in zip(task.rows.tolist(), instance.row_job[task.rows].tolist(), strict=True):
        ends[job] = max(ends.get(job, 0), int(plan.end[row]))
    horizon = instance.horizon or 2**62
    if instance.objective == "makespan":
        return min(max(ends.values(), default=0), horizon)
    return sum(min(end, horizon) for job, end in ends.items() if instance.counted[job])


class Model:
    """The constraint model of a `Task`, built around a hint that bounds it from above."""

    def __init__(self, task: Task, hint: Plan) -> None:
        from ortools.sat.python import cp_model

        self.task = task
        self.model = cp_model.CpModel()
        self.hint, self.upper = hint, self._upper_bounds(hint)
        self.start: dict[int, cp_model.IntVar] = {}
        self.end: dict[int, cp_model.LinearExprT] = {}
        self.on: dict[int, dict[int, cp_model.IntVar]] = {}  # row -> PE -> whether it runs there
        self.class_of = wiring_classes(task.instance)
        self.members = [np.flatnonzero(self.class_of == c).tolist() for c in range(self.class_of.max() + 1)]
        self._on_class: dict[tuple[int, int], cp_model.IntVar] = {}
        self._add_tasks()
        self._add_edges()
        self.job_end = self._job_ends()
        if task.capped:
            self._add_cap()
        self._minimise()

    def _upper_bounds(self, hint: Plan) -> dict[int, int]:
        """Latest end worth considering for each job: no schedule that is as good as the hint has a later one."""
        task, instance = self.task, self.task.instance
        jobs = np.unique(instance.row_job[task.rows])
        value = plan_value(task, hint)
        last = int(max(task.free.max(), task.release[jobs].max(), task.given.end.max(initial=0)))
        anything = last + instance.latest_end
        if instance.horizon:
            return {int(job): anything for job in jobs}
        if instance.objective == "makespan":
            return {int(job): value for job in jobs}
        least = {int(job): int(task.release[job]) for job in jobs if instance.counted[job]}
        slack = value - sum(least.values())
        return {int(job): least[int(job)] + slack if int(job) in least else anything for job in jobs}

    def _add_tasks(self) -> None:
        task, model = self.task, self.model
        instance, durations = task.instance, task.durations
        intervals: list[list[cp_model.IntervalVar]] = [[] for _ in range(instance.num_pes)]
        allowed = self._allowed()
        for row in task.rows.tolist():
            job = int(instance.row_job[row])
            start = model.new_int_var(int(task.release[job]), self.upper[job], "")
            length = model.new_int_var(0, int(durations[row].max()), "")
            self.start[row], self.on[row] = start, {}
            for pe in np.flatnonzero(durations[row] >= 0).tolist():
                if not allowed[row][pe]:
                    continue
                here = model.new_bool_var("")
                size = int(durations[row, pe])
                self.on[row][pe] = here
                intervals[pe].append(model.new_optional_fixed_size_interval_var(start, size, here, ""))
                model.add(length == size).only_enforce_if(here)
                if task.free[pe] > task.release[job]:
                    model.add(start >= int(task.free[pe])).only_enforce_if(here)
            model.add_exactly_one(list(self.on[row].values()))
            self.end[row] = start + length
        for on_pe in intervals:
            model.add_no_overlap(on_pe)

    def _allowed(self) -> dict[int, NDArray[np.bool_]]:
        """PEs of each row when like PEs are named in the order in which the hint's rows first use them.

        The i-th row needs only the first i + 1 PEs of a group of like ones: renaming by first use keeps every schedule's value.
        """
        task = self.task
        times = np.vstack([task.free, task.durations[task.rows]])
        groups = like_pes(task.instance, self._with_data(), times)
        order = task.rows[np.lexsort((task.rows, self.hint.start[task.rows]))].tolist()
        allowed = {row: np.ones(task.instance.num_pes, np.bool_) for row in order}
        name = np.arange(task.instance.num_pes)
        for group in groups:
            runs = [row for row in order if task.durations[row, group[0]] >= 0]
            for i, row in enumerate(runs[: len(group)]):
                allowed[row][group[i + 1 :]] = False
            used = list(dict.fromkeys(int(self.hint.pe[row]) for row in runs if self.hint.pe[row] in group))
            name[used + [pe for pe in group if pe not in used]] = group
        renamed = self.hint.pe.copy()
        renamed[task.rows] = name[self.hint.pe[task.rows]]
        self.hint = Plan(renamed, self.hint.start, self.hint.end)
        return allowed

    def _with_data(self) -> NDArray[np.bool_]:
        """(M,) PEs that hold data which some row needs."""
        task, marked = self.task, np.zeros(self.task.instance.num_pes, np.bool_)
        rows = set(task.rows.tolist())
        for before, _, _ in self._edges():
            if before not in rows:
                marked[task.given.pe[before]] = True
        return marked

    def _edges(self) -> list[tuple[int, int, int]]:
        """(row before, row, volume) of every edge into a row."""
        instance, edges = self.task.instance, []
        first = np.searchsorted(instance.edge_target, np.arange(instance.total_tasks + 1))
        source, volume = instance.edge_source.tolist(), instance.edge_volume.tolist()
        for row in self.task.rows.tolist():
            template = int(instance.row_task[row])
            edges += [
                (row + source[e] - template, row, volume[e])
                for e in range(first[template], first[template + 1])
            ]
        return edges

    def _add_edges(self) -> None:
        task, model = self.task, self.model
        for before, row, volume in self._edges():
            if before not in self.start:
                source, done = int(task.given.pe[before]), int(task.given.end[before])
                for pe, here in self.on[row].items():
                    arrives = done + self._delay(volume, source, pe)
                    if arrives > task.release[task.instance.row_job[row]]:
                        model.add(self.start[row] >= arrives).only_enforce_if(here)
                continue
            model.add(self.start[row] >= self.end[before])
            self._add_transfer(before, row, volume)

    def _add_transfer(self, before: int, row: int, volume: int) -> None:
        """Delays between the classes of two rows' PEs; within a class, between different PEs and on one."""
        model, start, end = self.model, self.start[row], self.end[before]
        for a, b in np.ndindex(len(self.members), len(self.members)):
            inside, inside_too = self._in_class(before, a), self._in_class(row, b)
            if inside is None or inside_too is None:
                continue
            both = [inside, inside_too]
            p, q = self.members[a][0], self.members[b][-1]
            delay, on_one = self._delay(volume, p, q), self._delay(volume, p, p)
            if a != b or p == q:
                if delay > 0:
                    model.add(start >= end + delay).only_enforce_if(both)
                continue
            if min(on_one, delay) > 0:
                model.add(start >= end + min(on_one, delay)).only_enforce_if(both)
            if delay > on_one:
                same = self._same_pe(before, row, self.members[a])
                model.add(start >= end + delay).only_enforce_if([*both, same.negated()])
            elif on_one > delay:
                for pe in set(self.members[a]) & set(self.on[before]) & set(self.on[row]):
                    pair = [self.on[before][pe], self.on[row][pe]]
                    model.add(start >= end + on_one).only_enforce_if(pair)

    def _same_pe(self, before: int, row: int, members: Sequence[int]) -> cp_model.IntVar:
        """A literal that may be true only if both rows run on one PE of a class."""
        model, same = self.model, self.model.new_bool_var("")
        for pe in members:
            if pe in self.on[before]:
                there = [self.on[row][pe]] if pe in self.on[row] else []
                model.add_bool_or([same.negated(), self.on[before][pe].negated(), *there])
        return same

    def _in_class(self, row: int, number: int) -> cp_model.IntVar | None:
        """A literal for "the row runs on a PE of the class"; None if it cannot."""
        if (row, number) not in self._on_class:
            literals = [self.on[row][pe] for pe in self.members[number] if pe in self.on[row]]
            if not literals:
                return None
            inside = literals[0] if len(literals) == 1 else self.model.new_bool_var("")
            if len(literals) > 1:
                self.model.add(sum(literals) == inside)
            self._on_class[row, number] = inside
        return self._on_class[row, number]

    def _delay(self, volume: int, p: int, q: int) -> int:
        wire = int(self.task.instance.bandwidth[p, q])
        return volume // wire if wire else 0

    def _job_ends(self) -> dict[int, cp_model.IntVar]:
        instance, ends = self.task.instance, {}
        for row in self.task.rows.tolist():
            job = int(instance.row_job[row])
            if job not in ends:
                low = int(self.task.release[job])
                ends[job] = self.model.new_int_var(low, max(self.upper[job], low), "")
            self.model.add(ends[job] >= self.end[row])
        return ends

    def _add_cap(self) -> None:
        """Jobs enter in order, and never more than the cap are in the system."""
        model, stays, before = self.model, [], None
        for job in sorted(self.job_end):
            entry = model.new_int_var(int(self.task.release[job]), self.upper[job], "")
            length = model.new_int_var(0, self.upper[job], "")
            stays.append(model.new_interval_var(entry, length, self.job_end[job], ""))
            if before is not None:
                model.add(entry >= before)
            before = entry
            for row in self.task.rows[self.task.instance.row_job[self.task.rows] == job].tolist():
                model.add(self.start[row] >= entry)
        model.add_cumulative(stays, [1] * len(stays), self.task.instance.max_jobs)

    def _minimise(self) -> None:
        instance, model = self.task.instance, self.model
        ends = [
            end
            for job, end in self.job_end.items()
            if instance.objective != "latency" or instance.counted[job]
        ]
        if instance.objective == "makespan":
            last = model.new_int_var(0, max(self.upper.values()), "")
            model.add_max_equality(last, ends)
            ends = [last]
        if instance.horizon:
            cut = []
            for end in ends:
                cut.append(model.new_int_var(0, instance.horizon, ""))
                model.add_min_equality(cut[-1], [end, instance.horizon])
            ends = cut
        model.minimize(sum(ends))

    def add_hint(self) -> None:
        """Hand the hint to the search."""
        for row, start in self.start.items():
            self.model.add_hint(start, int(self.hint.start[row]))
            for pe, here in self.on[row].items():
                self.model.add_hint(here, int(pe == self.hint.pe[row]))
        ends: dict[int, int] = {}
        for row, job in zip(
            self.task.rows.tolist(), self.task.instance.row_job[self.task.rows].tolist(), strict=True
        ):
            ends[job] = max(ends.get(job, 0), int(self.hint.end[row]))
        for job, end in self.job_end.items():
            self.model.add_hint(end, ends[job])

    def read(self, search: cp_model.CpSolver) -> Plan:
        """The plan that the search found, with the given places."""
        given = self.task.given
        plan = Plan(given.pe.copy(), given.start.copy(), given.end.copy())
        for row, start in self.start.items():
            pe = next(pe for pe, here in self.on[row].items() if search.value(here))
            plan.pe[row], plan.start[row] = pe, search.value(start)
            plan.end[row] = plan.start[row] + self.task.durations[row, pe]
        return plan


def improve(
    task: Task, hint: Plan, *, seconds: float, deterministic: float = 0.0, workers: int = 1, seed: int = 0
) -> Answer:
    """Search for a better plan than a hint.

    Args:
        task: What is to be planned.
        hint: A feasible plan of the same rows.
        seconds: Wall-clock limit.
        deterministic: CP-SAT's deterministic time limit, reproducible with one worker; 0: none.
        workers: Search threads.
        seed: Seed of the search.
    """
    from ortools.sat.python import cp_model

    model = Model(task, hint)
    model.add_hint()
    search = cp_model.CpSolver()
    search.parameters.max_time_in_seconds = max(seconds, 0.01)
    if deterministic > 0:
        search.parameters.max_deterministic_time = deterministic
    search.parameters.num_workers = workers
    search.parameters.random_seed = seed
    answer = search.solve(model.model)
    hint_value = plan_value(task, hint)
    bound = int(np.ceil(search.best_objective_bound - 1e-6)) if answer != cp_model.MODEL_INVALID else 0
    if answer not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Answer(hint, hint_value, min(bound, hint_value), False)
    plan = model.read(search)
    value = plan_value(task, plan)
    if value > hint_value:
        plan, value = hint, hint_value
    return Answer(plan, value, min(bound, value), answer == cp_model.OPTIMAL or bound >= value)
