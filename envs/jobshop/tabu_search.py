"""Tabu search on the job shop, with a small population tied together by path relinking.

Each member of the population is the best of a tabu walk (Nowicki & Smutnicki 1996; neighbourhood N6 of
Balas & Vazacopoulos 1998). When a walk gains nothing any more, a new one starts part of the way from
one member to another (path relinking; Peng, Lü & Cheng 2015). Flexible shops have their own
neighbourhood (Mastrolilli & Gambardella 2000; `flexible_search`). Works with ragged jobs, release dates
and operations of zero duration.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.policy import Solution
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop import tabu_kernels as kernels
from makespan.envs.jobshop.classic_search import ClassicSearch
from makespan.envs.jobshop.constructive import check_time_limit
from makespan.envs.jobshop.flexible_search import FlexibleSearch
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.tabu_course import Limits
from makespan.envs.jobshop.validator import validate

Neighbourhood = Literal["n5", "n6", "n7"]
_NEIGHBOURHOODS: Final[dict[str, int]] = {"n5": kernels.N5, "n6": kernels.N6, "n7": kernels.N7}


@dataclass(frozen=True)
class TabuSearchSolver:
    """Tabu search (Nowicki & Smutnicki 1996; Balas & Vazacopoulos 1998; Mastrolilli & Gambardella 2000).

    The same seed and iteration limit give the same schedule unless the time limit cuts the search off. The
    clock starts after the kernels are compiled or read from Numba's cache.

    Attributes:
        neighbourhood: "n5", "n6" or "n7"; flexible shops have their own and ignore it.
        max_iterations: Most moves over all walks; None for no limit but the time.
        patience: A walk ends after this many moves without gain; None for 10 000, in flexible shops 1 000.
        population: Number of members; 1 restarts each walk from the best schedule, shaken.
        tenure: Fewest moves for which the reversal of a move is tabu; None for 6, in flexible shops 15. Up to
            two thirds more are drawn for each move.
    """

    neighbourhood: Neighbourhood = "n6"
    max_iterations: int | None = None
    patience: int | None = None
    population: int = 6
    tenure: int | None = None

    def __post_init__(self) -> None:
        if self.neighbourhood not in _NEIGHBOURHOODS:
            raise UnknownNameError("neighbourhood", self.neighbourhood, _NEIGHBOURHOODS)
        for name, least in (("patience", 1), ("population", 1), ("tenure", 0), ("max_iterations", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: {value}; expected at least {least}")

    def solve(
        self, instance: ShopInstance, time_limit_s: float = 10.0, seed: int = 0, hint: Schedule | None = None
    ) -> Solution:
        """The best schedule found.

        Args:
            instance: The shop, classic or flexible.
            time_limit_s: Wall-clock seconds.
            seed: Seed of first schedules, ties, tenures and relinking.
            hint: A feasible schedule to walk from first; InvalidScheduleError if it is not feasible.
        """
        check_time_limit(time_limit_s)
        if hint is not None:
            validate(instance, hint)
        search = self._search(instance, seed, hint)
        schedule = search.run(time.monotonic() + time_limit_s)
        makespan = int(schedule.end.max())
        proved = makespan == search.lower
        return Solution(schedule, makespan, search.lower, "optimal" if proved else "feasible")

    def _search(
        self, instance: ShopInstance, seed: int, hint: Schedule | None
    ) -> FlexibleSearch | ClassicSearch:
        flexible = instance.is_flexible
        limits = Limits(
            max_iterations=self.max_iterations,
            patience=self.patience or (1_000 if flexible else 10_000),
            population=self.population,
            tenure=self.tenure if self.tenure is not None else (15 if flexible else 6),
        )
        if flexible:
            return FlexibleSearch(instance, seed, hint, limits)
        return ClassicSearch(instance, seed, hint, limits, _NEIGHBOURHOODS[self.neighbourhood])
