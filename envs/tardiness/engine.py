"""A batch of single machines with their decision graphs: the simulator as the environment faces drive it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.kernels import borrowed, borrowing_kernel, kernel
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.slots import SlotEngine, StepOutcome
from makespan.envs.tardiness.heuristics import construct, total_tardiness
from makespan.envs.tardiness.instance import TardinessInstance
from makespan.envs.tardiness.simulator import (
    BOUND,
    BY_DUE,
    BY_PROCESSING,
    BY_SLACK,
    DONE,
    DUE,
    JOBS,
    LONGEST,
    PROCESSING,
    SCALE,
    START,
    TARDINESS,
    WORK,
    Graph,
    Machines,
    append,
    graph_views,
    make_machines,
    tardiness_schema,
    write_graph,
)


@structref.register
class _BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `_Batch`."""


class _Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument; see the job shop's engine."""

    machines: Machines
    graph: Graph
    outcome: StepOutcome
    skip_forced: bool


_FIELDS: Final = ["machines", "graph", "outcome", "skip_forced"]
structref.define_boxing(_BatchType, _Batch)
structref.define_constructor(_Batch, _BatchType, _FIELDS)


@kernel
def _make_batch(machines: Machines, graph: Graph, outcome: StepOutcome, skip_forced: bool) -> _Batch:
    """A batch that borrows its arrays: the engine keeps them as long as it."""
    return _Batch(borrowed(machines), borrowed(graph), borrowed(outcome), skip_forced)  # type: ignore[no-untyped-call]


@kernel
def _write_start(batch: _Batch, b: int) -> None:
    """Write what stays constant, and the first decision, of the instance that `load` put into slot b."""
    machines, graph, clock = batch.machines, batch.graph, batch.machines.clock
    graph.job_count[b, 0], graph.system_count[b, 0] = clock[b, JOBS], 1
    graph.job_x[b] = 0.0
    graph.candidate_x[b] = 0.0
    graph.candidate_index[b] = -1
    graph.action_mask[b] = 0
    mean = clock[b, WORK] / clock[b, JOBS]
    for j in range(clock[b, JOBS]):
        p, d = machines.job[b, j, PROCESSING], machines.job[b, j, DUE]
        graph.job_x[b, j, 4] = np.float32(min(100.0, p / mean))
        graph.job_x[b, j, 5] = np.float32(p / clock[b, LONGEST])
        graph.job_x[b, j, 6] = np.float32(max(-100.0, min(100.0, d / clock[b, WORK])))
    write_graph(machines, graph, b)
    batch.outcome.reward[b] = 0.0
    batch.outcome.terminated[b] = False


@borrowing_kernel
def _step_slot(
    machines: Machines, graph: Graph, outcome: StepOutcome, b: int, action: int, skip_forced: bool
) -> None:
    clock = machines.clock
    before = clock[b, BOUND]
    append(machines, b, action)
    if skip_forced and clock[b, DONE] == clock[b, JOBS] - 1:
        last = 0
        while machines.job[b, last, START] >= 0:
            last += 1
        append(machines, b, last)
    outcome.reward[b] = (before - clock[b, BOUND]) / clock[b, SCALE]
    outcome.terminated[b] = clock[b, DONE] == clock[b, JOBS]
    write_graph(machines, graph, b)
    if outcome.terminated[b]:
        graph.action_mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@kernel
def _step_batch(batch: _Batch, actions: NDArray[np.int64]) -> None:
    """Step every slot; a negative action leaves its slot as it is, with reward 0."""
    machines, graph, outcome, skip_forced = batch.machines, batch.graph, batch.outcome, batch.skip_forced
    for b in range(actions.size):
        if actions[b] >= 0:
            _step_slot(machines, graph, outcome, b, actions[b], skip_forced)
        else:
            outcome.reward[b] = 0.0


class TardinessEngine(SlotEngine):
    """`num_slots` single machines of at most the given number of jobs, stepped together.

    Attributes:
        schema: The decision graph's schema.
        observation: The live buffers, batch axis first; overwritten by every step.
        outcome: Reward and termination of each slot after the last step.
    """

    def __init__(self, num_slots: int, *, num_jobs: int, skip_forced: bool) -> None:
        self._num_jobs, self._skip_forced = num_jobs, skip_forced
        self.schema = tardiness_schema(num_jobs)
        self.observation = self.schema.zeros(num_slots)
        self._graph = graph_views(self.observation)
        self._machines = make_machines(num_slots, num_jobs)
        self.outcome = StepOutcome(np.zeros(num_slots), np.zeros(num_slots, np.bool_))
        self._batch = _make_batch(self._machines, self._graph, self.outcome, skip_forced)
        self.loaded = [""] * num_slots

    def load(self, slot: int, instance: TardinessInstance) -> None:
        """Start `instance` in a slot. Raises `InvalidInstanceError` if it is larger than the engine."""
        if not isinstance(instance, TardinessInstance):
            raise InvalidInstanceError(f"{type(instance).__name__}; expected a TardinessInstance")
        n = instance.num_jobs
        if n > self._num_jobs:
            raise InvalidInstanceError(
                f"instance {instance.name!r} has {n} jobs; the environment was made for at most {self._num_jobs}"
            )
        processing, due = instance.processing, instance.due
        sequence = construct(processing, due, False, False)
        clock, job = self._machines.clock[slot], self._machines.job[slot]
        clock[:] = 0
        clock[JOBS], clock[WORK], clock[LONGEST] = n, processing.sum(), processing.max()
        clock[SCALE] = max(1, total_tardiness(processing, due, sequence, n))
        clock[BOUND] = np.maximum(0, processing - due).sum()
        job[:n, PROCESSING], job[:n, DUE], job[:n, START] = processing, due, -1
        job[:n, BY_SLACK] = np.argsort(due - processing, kind="stable")
        job[:n, BY_PROCESSING] = np.argsort(processing, kind="stable")
        job[:n, BY_DUE] = np.argsort(due, kind="stable")
        _write_start(self._batch, slot)
        self.loaded[slot] = instance.name

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        _step_batch(self._batch, actions)

    def objective(self, slot: int) -> float:
        """Total tardiness of the jobs scheduled so far, time units."""
        return float(self._machines.clock[slot, TARDINESS])

    def lower_bound(self, slot: int) -> float:
        """Lower bound of the total tardiness given the decisions so far, time units."""
        return float(self._machines.clock[slot, BOUND])

    def scale(self, slot: int) -> float:
        """Total tardiness of the MDD sequence, at least 1: the unit of rewards."""
        return float(self._machines.clock[slot, SCALE])

    def num_decisions(self, slot: int) -> int:
        """Decisions taken in the episode; the last job is no decision."""
        clock = self._machines.clock[slot]
        forced = self._skip_forced and clock[JOBS] > 1 and clock[DONE] == clock[JOBS]
        return int(clock[DONE]) - int(forced)

    def schedule(self, slot: int) -> Schedule:
        """What is scheduled so far, in order of time."""
        clock, job = self._machines.clock[slot], self._machines.job[slot]
        jobs = np.flatnonzero(job[: clock[JOBS], START] >= 0)
        jobs = jobs[np.argsort(job[jobs, START])]
        start, zeros = job[jobs, START].astype(np.int64), np.zeros(jobs.size, np.int64)
        return Schedule(jobs, zeros, zeros, start, start + job[jobs, PROCESSING], name=self.loaded[slot])

    def _arguments(self) -> dict[str, Any]:
        return {"num_jobs": self._num_jobs, "skip_forced": self._skip_forced}

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (*self._machines, *self._graph, *self.outcome)
