"""CP-SAT on memory mapping: exact on programs of a few dozen tensors."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from makespan.envs.core.policy import Solution, Status
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.mapping_instance import OUTPUT, MappingInstance
from makespan.envs.memory.mapping_solver import PortfolioSolver, check_time_limit
from makespan.envs.memory.mapping_validator import validate

if TYPE_CHECKING:
    from ortools.sat.python import cp_model


@dataclass(frozen=True)
class CPSATSolver:
    """OR-Tools' CP-SAT on the whole problem: what is where and when, at which offset, and how copies share HBM time.

    Attributes:
        workers: Search threads; None for one per processor.
    """

    workers: int | None = None

    def solve(self, instance: MappingInstance, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The best mapping found in the time, with the bound that CP-SAT proved; never worse than the portfolio's."""
        from ortools.sat.python import cp_model

        check_time_limit(time_limit_s)
        began = time.monotonic()
        other = PortfolioSolver().solve(instance)
        if other.status == "optimal":
            return other
        model = _Model(instance, int(other.objective))
        search = cp_model.CpSolver()
        search.parameters.max_time_in_seconds = max(0.1, time_limit_s - (time.monotonic() - began))
        search.parameters.num_workers = self.workers or os.cpu_count() or 1
        search.parameters.random_seed = seed
        answer = search.solve(model.model)
        if answer not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return other
        schedule = model.read(search)
        latency = validate(instance, schedule)
        bound = max(instance.lower_bound, round(search.best_objective_bound))
        status: Status = "optimal" if latency <= bound else "feasible"
        if latency > other.objective:
            return Solution(other.schedule, other.objective, bound, "feasible")
        return Solution(schedule, latency, bound, status)


class _Model:
    """One Boolean says whether an access is fast, one whether it stayed since the access before; else it was fetched.

    Fetching holds its place for some operations before the use (`held`), storing for some after the production
    (`storing`); both take HBM time of these operations alone.
    """

    def __init__(self, instance: MappingInstance, upper: int) -> None:
        from ortools.sat.python import cp_model

        self.instance, self.model = instance, cp_model.CpModel()
        self.zero = self.model.new_constant(0)
        A = instance.num_accesses
        self.fast = [self.model.new_bool_var(f"fast{a}") for a in range(A)]
        top = [max(0, instance.capacity - int(units)) for units in instance.tensor_units]
        self.offset = [
            self.model.new_int_var(0, top[instance.access_tensor[a]], f"offset{a}") for a in range(A)
        ]
        self.stayed: list[Any] = [self.zero] * A
        self.held: list[dict[int, Any]] = [{} for _ in range(A)]
        self.fetch: list[dict[int, Any]] = [{} for _ in range(A)]
        self.storing: list[dict[int, Any]] = [{} for _ in range(instance.num_tensors)]
        self.store: list[dict[int, Any]] = [{} for _ in range(instance.num_tensors)]
        self.stored: list[Any] = [self.zero] * instance.num_tensors
        self.tails: list[dict[int, Any]] = [{} for _ in range(instance.num_tensors)]
        self.idle_limit = np.maximum(instance.op_compute, instance.op_hbm).tolist()
        self.time_intervals: list[Any] = []
        self.space_intervals: list[Any] = []
        for t in range(instance.num_tensors):
            self._add_tensor(t)
        self.model.add_no_overlap_2d(self.time_intervals, self.space_intervals)
        self._add_latency(upper)

    def _add_tensor(self, t: int) -> None:
        instance, accesses = self.instance, self.instance.accesses_of(t)
        first = accesses[0]
        if instance.tensor_units[t] > instance.capacity:
            for a in accesses:
                self.model.add(self.fast[a] == 0)
        if instance.access_write[first]:
            self._add_store(t, accesses)
        for previous, a in zip([-1, *accesses[:-1]], accesses, strict=True):
            if not instance.access_write[a]:
                self._add_read(t, previous, a)
        donor = int(instance.tensor_donor[t])
        if donor >= 0:
            last = int(instance.tensor_last[donor])
            self.model.add(self.fast[first] == self.fast[last])
            self.model.add(self.offset[first] == self.offset[last])
        for a in accesses:
            if a != first or donor < 0:  # an heir's production lies where its donor does
                self._add_rectangle(t, a)
        if instance.access_write[first]:
            self._add_tails(t, accesses)

    def _window(self, previous: int, a: int) -> range:
        op = self.instance.access_op
        return range(int(op[previous]) + 1 if previous >= 0 else 0, int(op[a]))

    def _add_read(self, t: int, previous: int, a: int) -> None:
        """A fast operand has stayed, or is fetched in the window since its last access."""
        model, instance, copy = self.model, self.instance, int(self.instance.tensor_copy[t])
        fetched = model.new_bool_var(f"fetched{a}")
        if previous >= 0:
            self.stayed[a] = model.new_bool_var(f"stayed{a}")
            model.add_implication(self.stayed[a], self.fast[previous])
            model.add(self.offset[a] == self.offset[previous]).only_enforce_if(self.stayed[a])
        model.add(self.stayed[a] + fetched == self.fast[a])
        window = self._window(previous, a)
        for i in window:
            self.held[a][i] = model.new_bool_var(f"held{a},{i}")
            self.fetch[a][i] = model.new_int_var(0, min(copy, self.idle_limit[i]), f"fetch{a},{i}")
            model.add(self.fetch[a][i] == 0).only_enforce_if(~self.held[a][i])
            model.add_implication(self.held[a][i], fetched)
            if i > window.start:
                model.add_implication(self.held[a][i - 1], self.held[a][i])
        model.add(sum(self.fetch[a].values()) == copy * fetched)
        birth = int(instance.tensor_first[t])
        if instance.access_write[birth]:
            op = int(instance.access_op[a])
            model.add_bool_or(self.fast[a], ~self.fast[birth], self.stored[t])
            model.add_bool_or(self.fast[a], ~self.fast[birth], ~self.storing[t][op])
            for i in window:
                model.add_bool_or(~self.held[a][i], ~self.fast[birth], self.stored[t])
                model.add_bool_or(~self.held[a][i], ~self.fast[birth], ~self.storing[t][i])

    def _add_store(self, t: int, accesses: list[int]) -> None:
        """A tensor produced in fast memory may be copied to HBM, while it has not left."""
        model, instance, copy = self.model, self.instance, int(self.instance.tensor_copy[t])
        birth = accesses[0]
        op = int(instance.access_op[birth])
        self.stored[t] = model.new_bool_var(f"stored{t}")
        model.add_implication(self.stored[t], self.fast[birth])
        for i in range(op + 1, instance.num_ops):
            self.storing[t][i] = model.new_bool_var(f"storing{t},{i}")
            self.store[t][i] = model.new_int_var(0, min(copy, self.idle_limit[i]), f"store{t},{i}")
            model.add(self.store[t][i] == 0).only_enforce_if(~self.storing[t][i])
            model.add_implication(self.storing[t][i], self.stored[t])
            if i > op + 1:
                model.add_implication(self.storing[t][i], self.storing[t][i - 1])
        model.add(sum(self.store[t].values()) == copy * self.stored[t])
        if instance.tensor_kind[t] == OUTPUT:
            model.add_implication(self.fast[birth], self.stored[t])

    def _add_tails(self, t: int, accesses: list[int]) -> None:
        """While it is stored it has stayed over all accesses so far, or lies on after the last of them."""
        model, op = self.model, self.instance.access_op
        for k, a in enumerate(accesses):
            end = int(op[accesses[k + 1]]) if k + 1 < len(accesses) else self.instance.num_ops
            here = [self.storing[t][i] for i in range(int(op[a]) + 1, end)]
            for i in range(int(op[a]), end):
                if k and i in self.storing[t]:
                    model.add_implication(self.storing[t][i], self.stayed[a])
            if not here:
                continue
            on = model.new_bool_var(f"tail{a}")
            self.tails[t][a] = on
            following = self.stayed[accesses[k + 1]] if k + 1 < len(accesses) else self.zero
            for one in here:
                model.add_bool_or(~one, on, following)
            start = int(op[a]) + 1
            length = model.new_int_var(0, len(here), f"length{a}")
            model.add(length >= sum(here)).only_enforce_if(on)
            end_at = model.new_int_var(start, end, f"end{a}")
            self.time_intervals.append(model.new_optional_interval_var(start, length, end_at, on, f"tail{a}"))
            self._add_space(t, a, on)

    def _add_rectangle(self, t: int, a: int) -> None:
        """The place of an access, from the access before or from the first operation of its copy."""
        model, op = self.model, int(self.instance.access_op[a])
        previous = int(self.instance.access_previous[a])
        gap = len(self._window(previous, a)) if previous >= 0 else 0
        span = max(gap, len(self.held[a])) + 1
        length = model.new_int_var(1, span, f"span{a}")
        model.add(length == 1 + gap * self.stayed[a] + sum(self.held[a].values()))
        start = model.new_int_var(op + 1 - span, op, f"start{a}")
        self.time_intervals.append(
            model.new_optional_interval_var(start, length, op + 1, self.fast[a], f"time{a}")
        )
        self._add_space(t, a, self.fast[a])

    def _add_space(self, t: int, a: int, present: Any) -> None:
        units = int(self.instance.tensor_units[t])
        interval = self.model.new_optional_fixed_size_interval_var(
            self.offset[a], units, present, f"space{a}"
        )
        self.space_intervals.append(interval)

    def _add_latency(self, upper: int) -> None:
        instance, model = self.instance, self.model
        latencies = []
        for i in range(instance.num_ops):
            accesses = range(int(instance.op_first[i]), int(instance.op_first[i + 1]))
            hbm = sum(int(instance.access_hbm[a]) * (1 - self.fast[a]) for a in accesses)
            fast = sum(int(instance.access_fast[a]) * self.fast[a] for a in accesses)
            compute = int(instance.op_compute[i])
            latency = model.new_int_var(compute, self.idle_limit[i], f"latency{i}")
            model.add_max_equality(latency, [hbm + fast, compute])
            copies = [fetch[i] for fetch in self.fetch if i in fetch]
            copies += [store[i] for store in self.store if i in store]
            if copies:
                model.add(sum(copies) <= latency - hbm)
            latencies.append(latency)
        total = sum(latencies)
        model.add(total <= upper)
        model.add(total >= instance.lower_bound)
        model.minimize(total)

    def read(self, search: cp_model.CpSolver) -> Schedule:
        """The mapping that the search ended with."""
        rows: list[tuple[int, int, int, int, int]] = []
        kinds: list[str] = []
        for t in range(self.instance.num_tensors):
            for kind, number, offset, start, end in self._rows_of(t, search):
                kinds.append(kind)
                rows.append((t, number, offset, start, end))
        columns = np.array(rows, np.int64).reshape(-1, 5)
        job, task, resource, begin, finish = columns.T
        return Schedule(
            job, task, resource, begin, finish, kind=tuple(kinds) or ("hbm",), name=self.instance.name
        )

    def _rows_of(self, t: int, search: cp_model.CpSolver) -> list[tuple[str, int, int, int, int]]:
        rows: list[tuple[str, int, int, int, int]] = []
        stay: list[int] = []  # offset, start, end
        stays: list[list[int]] = []
        for number, a in enumerate(self.instance.accesses_of(t)):
            op = int(self.instance.access_op[a])
            if not search.value(self.fast[a]):
                rows.append(("hbm", number, -1, op, op + 1))
            elif search.value(self.stayed[a]):
                stay[2] = op + 1
            else:
                used = [i for i, time in self.fetch[a].items() if search.value(time)]
                stay = [search.value(self.offset[a]), min([*used, op]), op + 1]
                stays.append(stay)
                if used:
                    rows.append(("copy_in", number, stay[0], used[0], used[-1] + 1))
        used = [i for i, time in self.store[t].items() if search.value(time)]
        if used:
            rows.append(("copy_out", 0, stays[0][0], used[0], used[-1] + 1))
            stays[0][2] = max(stays[0][2], used[-1] + 1)
        return rows + [("fast", k, *stay) for k, stay in enumerate(stays)]  # type: ignore[misc]
