"""A job-shop simulator in plain Python, written from the definitions: slow, readable, and sharing nothing with ours."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from makespan.envs.jobshop.instance import ShopInstance

WAIT = -1


class Pair(NamedTuple):
    """The next operation of a job on its k-th alternative, with its earliest start and end."""

    job: int
    k: int
    machine: int
    start: int
    end: int


@dataclass
class PlainShop:
    """A partial schedule. `jobs[j][i]` lists the (machine, duration) alternatives of job j's i-th operation."""

    jobs: list[list[list[tuple[int, int]]]]
    num_machines: int
    release: list[int]
    sgs: str
    time: int = 0
    done: list[list[tuple[int, int, int]]] = field(default_factory=list)  # job -> (machine, start, end)
    bound: int = 0

    def __post_init__(self) -> None:
        self.done = [[] for _ in self.jobs]
        self.initial_bound = self.bound = self.lower_bound()

    def job_ready(self, j: int) -> int:
        return self.done[j][-1][2] if self.done[j] else self.release[j]

    def machine_ready(self, m: int) -> int:
        return max((end for job in self.done for machine, _, end in job if machine == m), default=0)

    def remaining(self, j: int) -> list[list[tuple[int, int]]]:
        return self.jobs[j][len(self.done[j]) :]

    def remaining_work(self, j: int) -> int:
        return sum(min(p for _, p in operation) for operation in self.remaining(j))

    def unscheduled(self) -> list[list[tuple[int, int]]]:
        return [operation for j in range(len(self.jobs)) for operation in self.remaining(j)]

    @property
    def makespan(self) -> int:
        return max((end for job in self.done for _, _, end in job), default=0)

    @property
    def finished(self) -> bool:
        return not self.unscheduled()

    def lower_bound(self) -> int:
        """Largest of the job bounds, the machine bounds and the mean machine load."""
        bounds = [self.job_ready(j) + self.remaining_work(j) for j in range(len(self.jobs))]
        for m in range(self.num_machines):
            only = sum(o[0][1] for o in self.unscheduled() if len(o) == 1 and o[0][0] == m)
            bounds.append(self.machine_ready(m) + only)
        ready = sum(self.machine_ready(m) for m in range(self.num_machines))
        work = sum(min(p for _, p in o) for o in self.unscheduled())
        bounds.append(-(-(ready + work) // self.num_machines))
        return max(bounds)

    def pairs(self) -> list[Pair]:
        """What could be scheduled next, not before the clock."""
        pairs = []
        for j in range(len(self.jobs)):
            if self.remaining(j):
                for k, (m, p) in enumerate(self.remaining(j)[0]):
                    start = max(self.job_ready(j), self.machine_ready(m), self.time)
                    pairs.append(Pair(j, k, m, start, start + p))
        return pairs

    def allowed(self) -> list[Pair | int]:
        """The candidates of the schedule generation scheme; `WAIT` is one of them where waiting is allowed."""
        pairs = self.pairs()
        if not pairs or self.sgs == "append":
            return list(pairs)
        now, first_end = min(p.start for p in pairs), min(p.end for p in pairs)
        if self.sgs == "active":
            # an operation without duration may end at the first completion though it does not start before it
            conflict = [p for p in pairs if p.start < first_end or p.end == first_end]
            if max(len(o) for job in self.jobs for o in job) == 1:
                machine = next(p.machine for p in pairs if p.end == first_end)
                conflict = [p for p in conflict if p.machine == machine]
            return list(conflict)
        self.time = now
        startable: list[Pair | int] = [p for p in pairs if p.start == now]
        later = [p.start for p in pairs if p.start > now]
        first_end_now = min(p.end for p in pairs if p.start == now)
        if self.sgs == "non_delay_wait" and later and min(later) < first_end_now:
            startable.append(WAIT)
        return startable

    def take(self, choice: Pair | int) -> None:
        if isinstance(choice, Pair):
            self.done[choice.job].append((choice.machine, choice.start, choice.end))
            self.bound = max(self.bound, self.lower_bound())
        else:
            self.time = min(p.start for p in self.pairs() if p.start > self.time)

    def settle(self, keep_last: bool = False) -> None:
        """Take forced moves."""
        while len(choices := self.allowed()) == 1 and not (keep_last and len(self.unscheduled()) == 1):
            self.take(choices[0])

    def action(self, choice: Pair | int) -> int:
        """The number of a candidate in the environment, for a shop that fills the spaces."""
        width = max(len(o) for job in self.jobs for o in job)
        return choice.job * width + choice.k if isinstance(choice, Pair) else len(self.jobs) * width


def plain(instance: ShopInstance, sgs: str) -> PlainShop:
    """The instance as nested lists."""
    jobs = []
    for j in range(instance.num_jobs):
        rows = range(instance.job_first[j], instance.job_first[j + 1])
        jobs.append(
            [
                [
                    (int(m), int(p))
                    for m, p in zip(instance.machines[o], instance.durations[o], strict=True)
                    if m >= 0
                ]
                for o in rows
            ]
        )
    return PlainShop(jobs, instance.num_machines, instance.release.tolist(), sgs)


def all_schedules(shop: PlainShop) -> Iterator[PlainShop]:
    """Every complete schedule that the shop's scheme reaches."""
    choices = shop.allowed()
    if not choices:
        yield shop
    for choice in choices:
        after = copy.deepcopy(shop)
        after.take(choice)
        yield from all_schedules(after)


def starts(shop: PlainShop) -> tuple[tuple[tuple[int, int, int], ...], ...]:
    """The schedule as a hashable value."""
    return tuple(tuple(job) for job in shop.done)


def small_shop(rng: np.random.Generator, kind: str) -> ShopInstance:
    """A little random shop: "classic", "ragged", "released", "zero" (durations of 0) or "flexible"."""
    num_jobs, num_machines = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    jobs = []
    for _ in range(num_jobs):
        length = num_machines if kind == "classic" else int(rng.integers(1, num_machines + 2))
        route = []
        for i in range(length):
            width = int(rng.integers(1, num_machines + 1)) if kind == "flexible" else 1
            machines = rng.permutation(num_machines)
            if kind == "classic":
                machines = np.roll(np.arange(num_machines), -i)
            low = 0 if kind == "zero" else 1
            route.append(
                [(int(m), int(rng.integers(low, 7 if kind != "zero" else 3))) for m in machines[:width]]
            )
        jobs.append(route)
    release = rng.integers(0, 9, num_jobs).tolist() if kind == "released" else ()
    return ShopInstance.from_alternatives(jobs, num_machines=num_machines, release=release, name=kind)


KINDS = ("classic", "ragged", "released", "zero", "flexible")
