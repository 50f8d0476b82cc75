"""A dynamic shop in plain Python, written from the problem's definition and independent of the kernels: no incremental state."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from makespan.envs.dynamic_shop.engine import DynamicShopEngine
from makespan.envs.dynamic_shop.generator import DynamicSize
from makespan.envs.dynamic_shop.instance import DynamicShopInstance

Pair = tuple[int, int]  # job, machine


@dataclass
class PlainShop:
    """The run of an instance: `take` decides, and goes on to the next decision."""

    instance: DynamicShopInstance
    ask: str
    may_wait: bool
    room: int
    now: int = 0
    done: dict[int, int] = field(default_factory=dict)  # job -> tasks that have ended
    queued: dict[int, int] = field(default_factory=dict)  # job -> since when it waits
    running: dict[int, tuple[int, int]] = field(default_factory=dict)  # machine -> job, end
    entered: list[int] = field(default_factory=list)
    completion: dict[int, int] = field(default_factory=dict)
    rows: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    aside: set[int] = field(default_factory=set)
    pairs: list[Pair] = field(default_factory=list)
    can_wait: bool = False
    asked: int = -1

    def __post_init__(self) -> None:
        i = self.instance
        self.first, self.arrival = i.shop.job_first.tolist(), i.shop.release.tolist()
        self.counted = range(i.warm_up, i.num_jobs - i.cool_down)
        self.down = {
            m: sorted((s, e) for machine, s, e in i.down.tolist() if machine == m)
            for m in range(i.num_machines)
        }
        self.happen()
        self.settle()

    @property
    def over(self) -> bool:
        return all(job in self.completion for job in self.counted)

    def works(self, m: int, time: int) -> bool:
        """Whether machine m is up in the time unit that begins now."""
        return not any(s <= time < e for s, e in self.down[m])

    def end_of(self, m: int, work: int) -> int:
        """When work that begins now is done, counted time unit by time unit."""
        time = self.now
        while work > 0:
            work -= self.works(m, time)
            time += 1
        return time

    def options(self, job: int) -> dict[int, int]:
        """Eligible machine -> realised duration of the job's next operation."""
        o = self.first[job] + self.done[job]
        machines, work = self.instance.shop.machines[o].tolist(), self.instance.realised[o].tolist()
        return {m: p for m, p in zip(machines, work, strict=True) if m >= 0}

    def happen(self) -> None:
        """Ends, then arrivals into the room that there is."""
        for m in sorted(self.running):
            job, end = self.running[m]
            if end <= self.now:
                del self.running[m]
                self.done[job] += 1
                if self.first[job] + self.done[job] == self.first[job + 1]:
                    self.completion[job] = self.now
                else:
                    self.queued[job] = self.now
        for job, time in enumerate(self.arrival):
            inside = len(self.entered) - len(self.completion)
            if time <= self.now and job not in self.done and inside < self.room:
                self.entered.append(job)
                self.done[job], self.queued[job] = 0, time

    def free(self) -> list[int]:
        """Machines that may be asked."""
        return [
            m
            for m in range(self.instance.num_machines)
            if m not in self.running
            and m not in self.aside
            and self.works(m, self.now)
            and any(m in self.options(job) for job in self.queued)
        ]

    def events(self) -> list[int]:
        """Times of what happens by itself."""
        times = [end for _, end in self.running.values()]
        times += [time for time in self.arrival if time > self.now]
        for m, windows in self.down.items():
            wanted = any(m in self.options(job) for job in self.queued)
            if m not in self.running and wanted and not self.works(m, self.now):
                times += [e for s, e in windows if s <= self.now < e]
        return times

    def settle(self) -> None:
        """Go on to the next decision."""
        self.happen()
        while not self.over:
            free = self.free()
            if free:
                self.asked = -1 if self.ask == "shop" else free[0]
                machines = free if self.ask == "shop" else free[:1]
                self.pairs = sorted(
                    (job, m) for job in self.queued for m in self.options(job) if m in machines
                )
                others = self.ask == "machine" and len(free) > 1
                self.can_wait = self.may_wait and (bool(self.events()) or others)
                return
            self.now = min(self.events())
            self.aside = set()
            self.happen()
        self.pairs, self.can_wait = [], False

    def take(self, choice: Pair | None) -> None:
        """Begin an operation, or wait (None)."""
        if choice is None:
            self.aside |= set(range(self.instance.num_machines)) if self.asked < 0 else {self.asked}
        else:
            job, m = choice
            end = self.end_of(m, self.options(job)[m])
            self.rows.append((job, self.done[job], m, self.now, end))
            self.running[m] = (job, end)
            del self.queued[job]
        self.settle()

    def objective(self) -> int:
        """Of the counted jobs, at the end."""
        i = self.instance
        if i.objective == "makespan":
            return max(self.completion[job] for job in self.counted)
        if i.objective == "flow_time":
            return sum(self.completion[job] - self.arrival[job] for job in self.counted)
        return sum(int(i.weight[j]) * max(0, self.completion[j] - int(i.due[j])) for j in self.counted)


def engine_for(instance: DynamicShopInstance, num_shops: int = 1, **options: object) -> DynamicShopEngine:
    """An engine that fits an instance, with it in every slot."""
    engine = DynamicShopEngine(num_shops, DynamicSize.of(instance), **options)  # type: ignore[arg-type]
    for slot in range(num_shops):
        engine.load(slot, instance)
    return engine


def shown(engine: DynamicShopEngine) -> dict[Pair | None, int]:
    """What the engine's first shop allows now: job and machine (None: a wait) -> action."""
    number = engine.schema.action_feature("job_number")
    allowed: dict[Pair | None, int] = {}
    for action in np.flatnonzero(engine.observation["action_mask"][0]).tolist():
        machine = int(engine.observation["candidate_index"][0, action, 2])
        job = int(engine.observation["candidate_x"][0, action, number])
        allowed[(job, machine) if machine >= 0 else None] = action
    return allowed


def play(engine: DynamicShopEngine, rng: np.random.Generator) -> None:
    """Random legal decisions until every slot's episode is over."""
    while not engine.outcome.terminated.all():
        mask = engine.observation["action_mask"]
        actions = np.where(mask > 0, rng.random(mask.shape), -1.0).argmax(axis=1)
        engine.step(np.where(engine.outcome.terminated, -1, actions))
