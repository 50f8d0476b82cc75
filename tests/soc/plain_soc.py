"""A SoC in plain Python, written from the semantics of DS3 and independent of the kernels: no incremental state."""

from __future__ import annotations

from dataclasses import dataclass, field

from makespan.envs.soc.instance import SocInstance

Key = tuple[int, int]  # job, template task


@dataclass
class PlainTask:
    """One task of one job."""

    job: int
    template: int
    ready: int | None = None
    pe: int | None = None
    number: int = -1  # of the commitment
    start: int | None = None
    expected_end: int = 0
    true_end: int = 0  # known to the world only
    end: int | None = None


@dataclass
class PlainSoc:
    """The run of an instance: `place` and `defer` take decisions, and go on to the next one."""

    instance: SocInstance
    room: int
    now: int = 0
    tasks: dict[Key, PlainTask] = field(default_factory=dict)
    ready: list[Key] = field(default_factory=list)
    arrived: int = 0
    entered: int = 0
    finish: dict[int, int] = field(default_factory=dict)
    estimate: dict[int, int] = field(default_factory=dict)
    deferred: bool = False
    ended: bool = False
    commitments: int = 0
    started: list[Key] = field(default_factory=list)

    def __post_init__(self) -> None:
        i = self.instance
        self.durations, self.true = i.durations.tolist(), i.row_durations.tolist()
        self.sources: list[list[tuple[int, int]]] = [[] for _ in range(i.total_tasks)]
        self.targets: list[list[int]] = [[] for _ in range(i.total_tasks)]
        columns = (i.edge_source.tolist(), i.edge_target.tolist(), i.edge_volume.tolist())
        for a, b, volume in zip(*columns, strict=True):
            self.sources[b].append((a, volume))
            self.targets[a].append(b)
        self.jobs = [t for t in i.arrival.tolist() if not i.horizon or t < i.horizon]
        if i.max_jobs:
            self.room = min(self.room, i.max_jobs)
        self.settle()

    def members(self, job: int) -> range:
        p = int(self.instance.job_profile[job])
        return range(int(self.instance.task_first[p]), int(self.instance.task_first[p + 1]))

    def queue(self, pe: int) -> list[PlainTask]:
        """Committed tasks of a PE that have not started, in the order in which it serves them."""
        waiting = [t for t in self.tasks.values() if t.pe == pe and t.start is None]
        return sorted(waiting, key=lambda t: (t.job, t.number))

    def running(self, pe: int) -> PlainTask | None:
        runs = (t for t in self.tasks.values() if t.pe == pe and t.start is not None and t.end is None)
        return next(runs, None)

    def data(self, task: PlainTask, pe: int) -> int:
        """When a ready task's data are on a PE."""
        latest = 0
        for source, volume in self.sources[task.template]:
            before = self.tasks[task.job, source]
            assert before.end is not None
            wire = int(self.instance.bandwidth[before.pe, pe])
            latest = max(latest, before.end + (volume // wire if wire else 0))
        return latest

    def available(self, pe: int) -> int:
        if self.running(pe) is None and not self.queue(pe):
            return self.now
        return max(self.now, self.estimate[pe])

    def finish_on(self, key: Key, pe: int) -> int:
        """Estimated finish of a ready task on a PE."""
        task = self.tasks[key]
        return max(self.available(pe), self.data(task, pe)) + self.durations[task.template][pe]

    def place(self, key: Key, pe: int) -> None:
        self.estimate[pe] = self.finish_on(key, pe)
        self.tasks[key].pe, self.tasks[key].number = pe, self.commitments
        self.commitments += 1
        self.ready.remove(key)
        self.settle()

    def defer(self) -> None:
        self.deferred = True
        self.settle()

    def settle(self) -> None:
        """Let events happen until a decision is due or the run has ended."""
        while True:
            if len(self.finish) == len(self.jobs):
                self.ended = True
                return
            if self.ready and not self.deferred:
                return
            self.start_tasks()
            events = [self.jobs[self.arrived]] if self.arrived < len(self.jobs) else []
            for pe in range(self.instance.num_pes):
                run = self.running(pe)
                events += [run.true_end] if run else [self.data(t, pe) for t in self.queue(pe)]
            if self.instance.horizon and min(events) >= self.instance.horizon:
                self.now, self.ended = self.instance.horizon, True
                return
            self.now = max(self.now, min(events))
            if self.happen():
                self.deferred = False

    def start_tasks(self) -> None:
        for pe in range(self.instance.num_pes):
            task = next((t for t in self.queue(pe) if self.data(t, pe) <= self.now), None)
            if self.running(pe) is None and task is not None:
                row = int(self.instance.row_first[task.job]) + task.template - self.members(task.job)[0]
                task.start = self.now
                task.expected_end = self.now + self.durations[task.template][pe]
                task.true_end = self.now + self.true[row][pe]
                self.started.append((task.job, task.template))

    def happen(self) -> bool:
        """Arrivals, then ends in the order of the starts; returns whether there were any."""
        before = self.arrived
        while self.arrived < len(self.jobs) and self.jobs[self.arrived] <= self.now:
            self.arrived += 1
        self.enter()
        over = [self.tasks[key] for key in self.started]
        over = [t for t in over if t.end is None and t.true_end <= self.now]
        for task in over:
            self.end_task(task)
            self.enter()
        return self.arrived > before or bool(over)

    def enter(self) -> None:
        while self.entered < self.arrived and self.entered - len(self.finish) < self.room:
            job = self.entered
            self.entered += 1
            for template in self.members(job):
                self.tasks[job, template] = PlainTask(job, template)
            for template in self.members(job):
                if not self.sources[template]:
                    self.make_ready(job, template)

    def make_ready(self, job: int, template: int) -> None:
        self.tasks[job, template].ready = self.now
        self.ready.append((job, template))

    def end_task(self, task: PlainTask) -> None:
        task.end = self.now
        assert task.pe is not None
        self.estimate[task.pe] += self.now - task.expected_end
        for after in self.targets[task.template]:
            if all(self.tasks[task.job, s].end is not None for s, _ in self.sources[after]):
                self.make_ready(task.job, after)
        if all(self.tasks[task.job, t].end is not None for t in self.members(task.job)):
            self.finish[task.job] = self.now

    def latency(self) -> float:
        """Mean latency of the counted jobs, unfinished ones with their age."""
        counted = [j for j in range(self.arrived) if self.instance.counted[j]]
        return sum(self.finish.get(j, self.now) - self.jobs[j] for j in counted) / len(counted)
