"""CP-SAT on small transfer cells: every loading and unloading has a start, and any two that share a robot or chamber an order.

The model is the problem's definition, for every number of robots and hands, with residency limits; robots may come late on
purpose. It grows with the square of glasses times stages, and is meant for a handful of glasses.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from makespan.envs.core.policy import Solution, Status
from makespan.envs.core.schedule import Schedule
from makespan.envs.transfer_robot.instance import TransferCell
from makespan.envs.transfer_robot.schedules import schedule_of
from makespan.envs.transfer_robot.search import best_rule
from makespan.envs.transfer_robot.validator import validate

if TYPE_CHECKING:
    from ortools.sat.python import cp_model


@dataclass(frozen=True)
class CPSATSolver:
    """OR-Tools' CP-SAT on a transfer cell; delays are known to it, as to every solver here.

    One worker with a fixed seed is reproducible unless the time limit cuts it off; several workers are not.

    Attributes:
        workers: Search threads; None for one per processor.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: {self.workers}; expected at least 1, or None for one per processor")

    def solve(self, instance: TransferCell, time_limit_s: float = 60.0, seed: int = 0) -> Solution:
        """The best schedule found in the time, with the bound that CP-SAT proved.

        Args:
            instance: The cell.
            time_limit_s: Wall-clock seconds, model building included.
            seed: Seed of the search.
        """
        from ortools.sat.python import cp_model

        if not time_limit_s > 0:
            raise ValueError(f"time_limit_s: {time_limit_s}; expected seconds > 0")
        began = time.monotonic()
        (schedule, objective), bound = best_rule(instance), instance.bounds.lower_bound
        if objective == bound:
            return Solution(schedule, objective, bound, "optimal")
        model = _Model(instance, bound, objective)
        search = cp_model.CpSolver()
        search.parameters.max_time_in_seconds = max(0.01, time_limit_s - (time.monotonic() - began))
        search.parameters.num_workers = self.workers or os.cpu_count() or 1
        search.parameters.random_seed = seed
        answer = search.solve(model.model)
        if answer in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            schedule = model.read(search)
            objective = validate(instance, schedule)
        bound = max(bound, int(np.ceil(search.best_objective_bound - 1e-6)))
        proved = answer == cp_model.OPTIMAL or bound >= objective
        status: Status = "optimal" if proved else "feasible"
        return Solution(schedule, objective, objective if proved else bound, status)


@dataclass(frozen=True, slots=True)
class _Work:
    """Loading or unloading: start and end, where it may be (station -> literal), and who may do it (robot -> literal)."""

    start: cp_model.IntVar
    end: cp_model.IntVar
    at: dict[int, cp_model.BoolVarT]
    by: list[cp_model.BoolVarT]


class _Model:
    """The constraint model of a cell whose objective is known to be at most `upper`."""

    def __init__(self, cell: TransferCell, lower: int, upper: int) -> None:
        from ortools.sat.python import cp_model

        self.cell, self.model, self.last = cell, cp_model.CpModel(), upper
        self.true = self.model.new_constant(1)
        hops = range(cell.num_stages + 1)
        glasses = range(cell.num_glasses)
        self.at = {(g, level): self._places(level) for g in glasses for level in range(cell.num_stages + 2)}
        self.by = {(g, hop): self._choice(cell.num_robots) for g in glasses for hop in hops}
        self.unload = {key: self._work(self.at[key], cell.unload_time, self.by[key]) for key in self.by}
        self.load = {
            key: self._work(self.at[key[0], key[1] + 1], cell.load_time, self.by[key]) for key in self.by
        }
        late = [self._add_glass(g) for g in glasses]
        self._add_chambers()
        self._add_robots()
        makespan = self.model.new_int_var(lower, upper, "makespan")
        for g in glasses:
            final = self.load[g, cell.num_stages]
            self.model.add(makespan >= final.end)
        self.model.minimize(makespan + cell.penalty * sum(itertools.chain.from_iterable(late)))

    def _choice(self, count: int) -> list[cp_model.BoolVarT]:
        """Literals of which exactly one holds."""
        if count == 1:
            return [self.true]
        literals: list[cp_model.BoolVarT] = [self.model.new_bool_var("") for _ in range(count)]
        self.model.add_exactly_one(literals)
        return literals

    def _places(self, level: int) -> dict[int, cp_model.BoolVarT]:
        stations = np.flatnonzero(self.cell.levels == level).tolist()
        return dict(zip(stations, self._choice(len(stations)), strict=True))

    def _work(
        self, at: dict[int, cp_model.BoolVarT], times: np.ndarray, by: list[cp_model.BoolVarT]
    ) -> _Work:
        time_there = sum(int(times[station]) * literal for station, literal in at.items())
        start, end = (self.model.new_int_var(0, self.last, "") for _ in range(2))
        self.model.add(end == start + time_there)
        return _Work(start, end, at, by)

    def _add_glass(self, g: int) -> list[cp_model.IntVar]:
        """Everything in order for one glass; one literal for each violation of a limit."""
        cell, late = self.cell, []
        self.model.add(self.unload[g, 0].start >= int(cell.release[g]))
        if g > 0:
            self.model.add(self.unload[g, 0].start >= self.unload[g - 1, 0].start)
        for hop in range(cell.num_stages + 1):
            self._follow(self.unload[g, hop], self.load[g, hop], [])
            if hop == 0:
                continue
            before = self.load[g, hop - 1]
            ready = before.end + int(cell.durations[g, hop - 1])
            self.model.add(self.unload[g, hop].start >= ready)
            limit = int(cell.limit[cell.recipe[g], hop - 1])
            if limit >= 0 and cell.penalty:
                violated = self.model.new_bool_var("")
                self.model.add(self.unload[g, hop].start <= ready + limit).only_enforce_if(~violated)
                late.append(violated)
        return late

    def _follow(self, one: _Work, other: _Work, conditions: list[cp_model.BoolVarT]) -> None:
        """The other work begins after the first one and the way between, under conditions."""
        for x, there in one.at.items():
            for y, here in other.at.items():
                way = int(self.cell.travel[x, y])
                rule = self.model.add(other.start >= one.end + way)
                rule.only_enforce_if([there, here, *conditions])

    def _add_chambers(self) -> None:
        stays: dict[int, list[cp_model.IntervalVar]] = {}
        for (g, level), places in self.at.items():
            if not 0 < level <= self.cell.num_stages:
                continue
            begin, out = self.load[g, level - 1].start, self.unload[g, level]
            for station, literal in places.items():
                size = self.model.new_int_var(0, self.last, "")
                end = out.start + int(self.cell.unload_time[station])
                stays.setdefault(station, []).append(
                    self.model.new_optional_interval_var(begin, size, end, literal, "")
                )
        for intervals in stays.values():
            self.model.add_no_overlap(intervals)

    def _add_robots(self) -> None:
        cell, works = self.cell, [*self.unload.values(), *self.load.values()]
        for r in range(cell.num_robots):
            for work in works:
                for station, literal in work.at.items():
                    way = int(cell.travel[cell.home[r], station])
                    self.model.add(work.start >= way).only_enforce_if([literal, work.by[r]])
            carried = []
            for key, work in self.unload.items():
                size, end = self.model.new_int_var(0, self.last, ""), self.load[key].end
                carried.append(self.model.new_optional_interval_var(work.start, size, end, work.by[r], ""))
            self.model.add_cumulative(carried, [1] * len(carried), int(cell.hands[r]))
        for one, other in itertools.combinations(works, 2):
            first = self.model.new_bool_var("")
            for r in range(cell.num_robots):
                both = [] if cell.num_robots == 1 else [one.by[r], other.by[r]]
                self._follow(one, other, [first, *both])
                self._follow(other, one, [~first, *both])

    def read(self, search: cp_model.CpSolver) -> Schedule:
        """The schedule that the search ended with."""
        cell = self.cell
        hops = np.zeros((cell.num_glasses, cell.num_stages + 1, 7), np.int64)
        days: list[list[tuple[int, int, int, tuple[int, int], int]]] = [[] for _ in range(cell.num_robots)]
        for into, works in enumerate((self.unload, self.load)):
            for key, work in works.items():
                robot = next(r for r, literal in enumerate(work.by) if search.value(literal))
                station = next(x for x, literal in work.at.items() if search.value(literal))
                start = search.value(work.start)
                days[robot].append((start, search.value(work.end), station, key, into))
        for robot, day in enumerate(days):
            at = int(cell.home[robot])
            for start, _, station, (glass, hop), into in sorted(day):
                way, row = int(cell.travel[at, station]), hops[glass, hop]
                if into:
                    row[4:] = start - way, start, station
                else:
                    row[:4] = robot, start - way, start, start
                at = station
        return schedule_of(cell, hops)
