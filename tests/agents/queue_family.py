"""A toy of the online families: jobs come and go, time passes between decisions, and a horizon may cut the episode.

Jobs of two tasks arrive at one machine; `num_slots` of them are shown at a time, the others wait outside, first come,
first served. A decision takes the next task of one of the jobs shown. The objective is the total flow time, of which
every step pays its share; the world (arrivals, durations) is in the instance.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from makespan.envs import registration
from makespan.envs.core.env import SchedulingEnv
from makespan.envs.core.errors import InvalidScheduleError, UnknownNameError
from makespan.envs.core.family import Family
from makespan.envs.core.graph import CandidateType, EdgeType, Feature, GraphSchema, NodeType, raw
from makespan.envs.core.policy import register_policy, rule
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.vector import SchedulingVectorEnv

ENV_ID = "test/Queue-v0"
STAGES = 2


@dataclass(frozen=True, eq=False)
class Queue:
    """`arrival` (n,) non-decreasing, `duration` (n, 2); `horizon` 0 plays to the end."""

    arrival: np.ndarray
    duration: np.ndarray
    num_slots: int = 3
    horizon: int = 0
    name: str = ""

    @property
    def num_jobs(self) -> int:
        return len(self.arrival)

    @property
    def unit(self) -> float:
        return float(self.duration.mean())


class Size(NamedTuple):
    num_slots: int


@dataclass(frozen=True)
class Stream:
    """Exponential gaps of mean `gap`, durations U[1, longest]."""

    num_jobs: int = 8
    num_slots: int = 3
    gap: float = 6.0
    longest: int = 9
    horizon: int = 0

    @property
    def size(self) -> Size:
        return Size(self.num_slots)

    def sample(self, rng) -> Queue:
        arrival = np.floor(np.cumsum(rng.exponential(self.gap, self.num_jobs))).astype(np.int64)
        duration = rng.integers(1, self.longest + 1, (self.num_jobs, STAGES))
        return Queue(arrival - arrival[0], duration, self.num_slots, self.horizon)


@dataclass(frozen=True)
class Fixed:
    instances: tuple

    @property
    def size(self) -> Size:
        return Size(max(i.num_slots for i in self.instances))

    def sample(self, rng):
        return self.instances[int(rng.integers(len(self.instances)))]


def make_generator(name, **parameters):
    if name != "stream":
        raise UnknownNameError("generator", name, ["stream"])
    return Stream(**parameters)


def schema_of(num_slots: int) -> GraphSchema:
    tasks = STAGES * num_slots
    return GraphSchema(
        nodes=(
            NodeType(
                "task",
                tasks,
                (Feature("size", "time"), Feature("next", "is next")),
                "task",
                "job",
                sparse=True,
            ),
            NodeType(
                "job",
                num_slots,
                (Feature("left", "time"), Feature("age", "time")),
                "job",
                "system",
                sparse=True,
            ),
            NodeType("machine", 1, (Feature("load", "time"),), "resource"),
            NodeType("system", 1, (Feature("crowd", "jobs"), Feature("outside", "jobs")), "system"),
        ),
        edges=(
            EdgeType("before", "task", "task", num_slots, acyclic=True, static=False),
            EdgeType("runs_on", "task", "machine", tasks, (Feature("size", "time"),), static=False),
            EdgeType("frontier", "job", "task", num_slots, static=False),
        ),
        candidates=CandidateType(
            num_slots,
            ("task", "job", "machine"),
            (Feature("left", "time left"), raw("remaining", "time left"), raw("arrival", "time")),
        ),
        critic_features=(Feature("future", "arrivals to come"),),
    )


@dataclass
class State:
    instance: Queue
    time: int = 0
    arrived: int = 0
    flow: int = 0
    decisions: int = 0
    shown: list = field(default_factory=list)  # job in each slot, -1 for none
    outside: list = field(default_factory=list)
    stage: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: list = field(default_factory=list)


class QueueEngine:
    """Any number of queues, one step each."""

    def __init__(self, num_envs: int, num_slots: int) -> None:
        self.schema = schema_of(num_slots)
        self.observation = self.schema.zeros(num_envs)
        self.num_slots = num_slots
        self.state = [None] * num_envs
        self.outcome = SimpleNamespace(
            reward=np.zeros(num_envs),
            terminated=np.zeros(num_envs, np.bool_),
            truncated=np.zeros(num_envs, np.bool_),
            elapsed=np.zeros(num_envs),
        )

    def load(self, slot, instance) -> None:
        state = State(instance, shown=[-1] * self.num_slots, stage=np.zeros(instance.num_jobs, np.int64))
        self.state[slot] = state
        self._advance(state, int(instance.arrival[0]))
        self._admit(state)
        self._set(slot, 0.0, False, False, 0.0)

    def step(self, actions) -> None:
        for slot, action in enumerate(actions):
            if action < 0:
                self.outcome.reward[slot] = self.outcome.elapsed[slot] = 0.0
                continue
            state = self.state[slot]
            instance, began, flow = state.instance, state.time, state.flow
            job = state.shown[action]
            duration = int(instance.duration[job, state.stage[job]])
            state.rows.append((job, state.stage[job], 0, state.time, state.time + duration))
            state.stage[job] += 1
            state.decisions += 1
            self._advance(state, state.time + duration)
            if state.stage[job] == STAGES:
                state.shown[action] = -1
            self._admit(state)
            if self._present(state) == 0 and state.arrived < instance.num_jobs:
                self._advance(state, int(instance.arrival[state.arrived]))
                self._admit(state)
            over = self._present(state) == 0
            cut = not over and 0 < instance.horizon <= state.time
            self._set(slot, float(flow - state.flow), over, cut, (state.time - began) / instance.unit)

    def _present(self, state) -> int:
        return sum(job >= 0 for job in state.shown) + len(state.outside)

    def _advance(self, state, time) -> None:
        """Let time pass; every job that is present pays for it."""
        arrival = state.instance.arrival
        while state.arrived < state.instance.num_jobs and arrival[state.arrived] <= time:
            now = max(state.time, int(arrival[state.arrived]))
            state.flow += (now - state.time) * self._present(state)
            state.time = now
            state.outside.append(state.arrived)
            state.arrived += 1
        state.flow += (time - state.time) * self._present(state)
        state.time = time

    def _admit(self, state) -> None:
        for slot, job in enumerate(state.shown):
            if job < 0 and state.outside:
                state.shown[slot] = state.outside.pop(0)

    def _set(self, slot, reward, over, cut, elapsed) -> None:
        outcome = self.outcome
        outcome.reward[slot], outcome.terminated[slot], outcome.truncated[slot] = reward, over, cut
        outcome.elapsed[slot] = elapsed
        self._write(slot)

    def _write(self, slot) -> None:
        """The decision graph of a slot, from scratch."""
        state, o = self.state[slot], {key: array[slot] for key, array in self.observation.items()}
        for key, array in o.items():
            array[...] = -1 if key.endswith(("_index", "_parent")) else 0
        instance, unit = state.instance, state.instance.unit
        present = [(row, job) for row, job in enumerate(state.shown) if job >= 0]
        o["task_count"][0] = STAGES * (present[-1][0] + 1) if present else 0
        o["job_count"][0] = present[-1][0] + 1 if present else 0
        o["machine_count"][0] = o["system_count"][0] = 1
        total = 0.0
        for number, (row, job) in enumerate(present):
            left = int(instance.duration[job, state.stage[job] :].sum())
            total += left / unit
            o["job_mask"][row] = 1
            o["job_parent"][row] = 0
            o["job_x"][row] = left / unit, min(100.0, (state.time - instance.arrival[job]) / unit)
            for stage in range(state.stage[job], STAGES):
                task = STAGES * row + stage
                o["task_mask"][task] = 1
                o["task_parent"][task] = row
                o["task_x"][task] = instance.duration[job, stage] / unit, stage == state.stage[job]
                o["runs_on_index"][:, task] = task, 0
                o["runs_on_x"][task] = instance.duration[job, stage] / unit
                if stage > state.stage[job]:
                    o["before_index"][:, row] = task - 1, task
            first = STAGES * row + int(state.stage[job])
            o["frontier_index"][:, number] = row, first
            o["candidate_index"][row] = first, row, 0
            o["candidate_x"][row] = left / unit, left, instance.arrival[job]
            o["action_mask"][row] = 1
        o["machine_x"][0] = total
        o["system_x"][0] = len(present), len(state.outside)
        o["critic_x"][0] = instance.num_jobs - state.arrived
        if not present:
            o["action_mask"][0] = 1

    def objective(self, slot) -> float:
        return float(self.state[slot].flow)

    lower_bound = objective  # what was paid already; it never falls

    def num_decisions(self, slot) -> int:
        return self.state[slot].decisions

    def schedule(self, slot) -> Schedule:
        columns = np.array(self.state[slot].rows, np.int64).reshape(-1, 5).T
        return Schedule(*columns, name=self.state[slot].instance.name)

    def clone(self, slot):
        parts = (getattr(self.outcome, key)[slot] for key in ("reward", "terminated", "truncated", "elapsed"))
        return (
            deepcopy(self.state[slot], {id(self.state[slot].instance): self.state[slot].instance}),
            *parts,
        )

    def restore(self, slot, token) -> None:
        state, *outcome = token
        self.state[slot] = deepcopy(state, {id(state.instance): state.instance})
        self._set(slot, *outcome)

    def copy_slots(self, source, target) -> None:
        for old, token in [(int(t), self.clone(int(s))) for s, t in zip(source, target, strict=True)]:
            self.restore(old, token)


def _source(generator, instance, parameters):
    if instance is not None:
        return Fixed((instance,))
    return make_generator(generator or "stream", **parameters)


class QueueEnv(SchedulingEnv):
    """The scalar face."""

    def __init__(
        self,
        generator=None,
        *,
        instance=None,
        illegal_action="random",
        render_mode=None,
        copy=True,
        **parameters,
    ) -> None:
        source = _source(generator, instance, parameters)
        engine = QueueEngine(1, source.size.num_slots)
        super().__init__(engine, source, illegal_action=illegal_action, copy=copy, render_mode=render_mode)


class QueueVectorEnv(SchedulingVectorEnv):
    """The batch."""

    def __init__(
        self,
        num_envs=1,
        generator=None,
        *,
        instance=None,
        instances=None,
        illegal_action="random",
        autoreset_mode=AutoresetMode.NEXT_STEP,
        copy=True,
        **parameters,
    ) -> None:
        source = (
            Fixed(tuple(instances)) if instances is not None else _source(generator, instance, parameters)
        )
        super().__init__(
            QueueEngine(num_envs, source.size.num_slots),
            source,
            num_envs,
            instances=instances,
            illegal_action=illegal_action,
            autoreset_mode=autoreset_mode,
            copy=copy,
        )


def validate(instance: Queue, schedule: Schedule) -> float:
    """Total flow time; of an episode that the horizon cut, up to the last end."""
    wrong, free, ready = [], 0, dict(enumerate(instance.arrival.tolist()))
    done = [0] * instance.num_jobs
    for job, task, start, end in zip(schedule.job, schedule.task, schedule.start, schedule.end, strict=True):
        if task != done[job] or start < max(free, ready[job]) or end - start != instance.duration[job, task]:
            wrong.append(f"job {job}, task {task}, {start} to {end}")
        done[job] += 1
        free = ready[job] = int(end)
    if wrong:
        raise InvalidScheduleError(wrong)
    if all(count == STAGES for count in done):
        return float(sum(ready[job] - arrival for job, arrival in enumerate(instance.arrival)))
    if not 0 < instance.horizon <= max(free, int(instance.arrival.max())):
        raise InvalidScheduleError(["not all tasks are done"])
    pending = [job for job in range(instance.num_jobs) if done[job] < STAGES]
    now = max(free, min(int(instance.arrival[job]) for job in pending))
    ends = [ready[job] if done[job] == STAGES else now for job in range(instance.num_jobs)]
    return float(sum(max(0, end - arrival) for end, arrival in zip(ends, instance.arrival, strict=True)))


@rule("queue", "srpt", "Schrage 1968")
def srpt(c):
    """Least remaining time."""
    return c["remaining"]


@rule("queue", "fcfs", "none")
def fcfs(c):
    """Earliest arrival."""
    return c["arrival"]


class Shortest:
    """The rule srpt as a registered policy; `skew` is added to the time left of higher slots."""

    def __init__(self, schema, seed=0, skew=0.0) -> None:
        self.column, self.skew = schema.action_feature("remaining"), skew

    def act(self, observation):
        left = observation["candidate_x"][..., self.column]
        left = left + self.skew * np.arange(left.shape[1])
        return np.where(observation["action_mask"] > 0, left, np.inf).argmin(axis=-1)


register_policy("queue", "shortest", "none", f"{__name__}:Shortest")

QUEUE = Family(
    name="queue",
    objective="flow time",
    unit="time units",
    env_ids=(ENV_ID,),
    instance_sets={},
    make_generator=make_generator,
    find_instances=lambda name: [],
    best_known=lambda instance: None,
    lower_bound=lambda instance: float(instance.duration.sum()),
    validate=validate,
)

ENTRY = registration.EnvEntry(
    ENV_ID, f"{__name__}:QueueEnv", f"{__name__}:QueueVectorEnv", f"{__name__}:QUEUE"
)

if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point=QueueEnv, vector_entry_point=QueueVectorEnv)


def register(monkeypatch) -> None:
    """Make the family known to the suite for one test."""
    monkeypatch.setattr(registration, "ENVIRONMENTS", (*registration.ENVIRONMENTS, ENTRY))


def queues(count, seed=0, **parameters):
    """Distinct instances, always the same."""
    return [Stream(**parameters).sample(np.random.default_rng((seed, i))) for i in range(count)]
