"""A batch of job shops with their decision graphs: the simulator as the environment faces drive it."""

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
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.observation import (
    Graph,
    StaticGraph,
    graph_views,
    jobshop_schema,
    write_dispatch,
    write_dynamic,
    write_static,
)
from makespan.envs.jobshop.simulator import (
    ALLOWED,
    BOUND,
    CHOICE,
    DECISIONS,
    DURATION,
    FIRST,
    I32,
    INITIAL_BOUND,
    MACHINE,
    MAKESPAN,
    NEXT,
    NON_DELAY_WAIT,
    OPERATIONS,
    PAID_BOUND,
    SCHEDULED,
    START,
    Shops,
    dispatch,
    legal_actions,
    load_slot,
    make_shops,
    reset_slot,
    scheme_of,
    wait,
)


@borrowing_kernel
def _take(shops: Shops, graph: Graph, b: int, action: int) -> None:
    """Dispatch a candidate, and write what that changes."""
    K = shops.alternative.shape[2]
    j = action // K
    o = shops.job[b, j, NEXT]
    dispatch(shops, b, j, action % K)
    write_dispatch(shops, graph, b, j, o)


@borrowing_kernel
def _settle(shops: Shops, graph: Graph, b: int, scheme: int, skip_forced: bool, keep_last: bool) -> None:
    """Compute the mask, taking forced moves on the way; with `keep_last` the last operation is left for a decision."""
    mask, clock = graph.action_mask, shops.clock
    while legal_actions(shops, b, scheme, mask) == 1 and skip_forced:
        if keep_last and clock[b, SCHEDULED] == clock[b, OPERATIONS] - 1:
            return
        action = 0
        while not mask[b, action]:
            action += 1
        _take(shops, graph, b, action)


@borrowing_kernel
def _step_slot(
    shops: Shops, graph: Graph, outcome: StepOutcome, b: int, action: int, scheme: int, skip_forced: bool
) -> None:
    clock = shops.clock
    if scheme == NON_DELAY_WAIT and action == graph.action_mask.shape[1] - 1:
        wait(shops, b)
    else:
        _take(shops, graph, b, action)
    _settle(shops, graph, b, scheme, skip_forced, False)
    outcome.reward[b] = (clock[b, PAID_BOUND] - clock[b, BOUND]) / max(1, clock[b, INITIAL_BOUND])
    clock[b, PAID_BOUND] = clock[b, BOUND]
    clock[b, DECISIONS] += 1
    write_dynamic(shops, graph, b)
    outcome.terminated[b] = clock[b, ALLOWED] == 0
    if outcome.terminated[b]:
        graph.action_mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@structref.register
class _BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `_Batch`."""


class _Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument.

    Numba takes a tuple of arrays apart at every call from Python, which costs several times a decision; this it does not.
    """

    shops: Shops
    graph: Graph
    static: StaticGraph
    outcome: StepOutcome
    scheme: int
    skip_forced: bool


_FIELDS: Final = ["shops", "graph", "static", "outcome", "scheme", "skip_forced"]
structref.define_boxing(_BatchType, _Batch)
structref.define_constructor(_Batch, _BatchType, _FIELDS)


@kernel
def _make_batch(
    shops: Shops, graph: Graph, static: StaticGraph, outcome: StepOutcome, scheme: int, skip_forced: bool
) -> _Batch:
    """A batch that borrows its arrays: the engine keeps them as long as it."""
    return _Batch(  # type: ignore[no-untyped-call]
        borrowed(shops), borrowed(graph), borrowed(static), borrowed(outcome), scheme, skip_forced
    )


@kernel
def _start(
    batch: _Batch, b: int, job_first: I32, machines: I32, durations: I32, release: I32, num_machines: int
) -> None:
    """Start an instance in slot b; arrays as in `ShopInstance`."""
    shops, graph, outcome = batch.shops, batch.graph, batch.outcome
    load_slot(shops, b, job_first, machines, durations, release, num_machines)
    reset_slot(shops, b)
    write_static(shops, graph, batch.static, b)
    _settle(shops, graph, b, batch.scheme, batch.skip_forced, True)
    write_dynamic(shops, graph, b)
    outcome.reward[b] = 0.0
    outcome.terminated[b] = False


@kernel
def _step_batch(batch: _Batch, actions: NDArray[np.int64]) -> None:
    """Step every slot; a negative action leaves its slot as it is, with reward 0."""
    shops, graph, outcome = batch.shops, batch.graph, batch.outcome
    scheme, skip_forced = batch.scheme, batch.skip_forced
    for b in range(actions.size):
        if actions[b] >= 0:
            _step_slot(shops, graph, outcome, b, actions[b], scheme, skip_forced)
        else:
            outcome.reward[b] = 0.0


class JobShopEngine(SlotEngine):
    """`num_slots` job shops of at most the given size, stepped together.

    Attributes:
        schema: The decision graph's schema.
        observation: The live buffers, batch axis first; overwritten by every step.
        outcome: Reward and termination of each slot after the last step.
    """

    def __init__(
        self,
        num_slots: int,
        *,
        num_jobs: int,
        num_operations: int,
        num_machines: int,
        num_alternatives: int,
        sgs: str,
        skip_forced: bool,
    ) -> None:
        self._limits = (num_jobs, num_operations, num_machines, num_alternatives)
        self._sgs, self._skip_forced = sgs, skip_forced
        scheme = scheme_of(sgs, num_alternatives)
        self.schema = jobshop_schema(*self._limits, scheme == NON_DELAY_WAIT)
        self.observation = self.schema.zeros(num_slots)
        self._graph, self._static = graph_views(self.observation)
        self._shops = make_shops(num_slots, *self._limits)
        self.outcome = StepOutcome(np.zeros(num_slots), np.zeros(num_slots, np.bool_))
        self._batch = _make_batch(self._shops, self._graph, self._static, self.outcome, scheme, skip_forced)
        self.loaded = [""] * num_slots

    def load(self, slot: int, instance: ShopInstance) -> None:
        """Start `instance` in a slot. Raises `InvalidInstanceError` if it is larger than the engine."""
        machines, (jobs, operations, machine_limit, alternatives) = instance.machines, self._limits
        rows, width = machines.shape
        if (
            instance.num_jobs > jobs
            or rows > operations
            or width > alternatives
            or instance.num_machines > machine_limit
        ):
            size = (instance.num_jobs, rows, instance.num_machines, width)
            raise InvalidInstanceError(
                f"instance {instance.name!r} has (jobs, operations, machines, alternatives) = {size}; "
                f"the environment was made for at most {self._limits}"
            )
        _start(
            self._batch,
            slot,
            instance.job_first,
            machines,
            instance.durations,
            instance.release,
            instance.num_machines,
        )
        self.loaded[slot] = instance.name

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        _step_batch(self._batch, actions)

    def objective(self, slot: int) -> float:
        """Makespan of what is scheduled so far, time units."""
        return float(self._shops.clock[slot, MAKESPAN])

    def lower_bound(self, slot: int) -> float:
        """The bound that rewards have been handed out up to, time units: LB0 at the start, then the present bound."""
        return float(self._shops.clock[slot, PAID_BOUND])

    def num_decisions(self, slot: int) -> int:
        """Decisions taken in the episode; forced moves are not counted."""
        return int(self._shops.clock[slot, DECISIONS])

    def schedule(self, slot: int) -> Schedule:
        """What is scheduled so far, in the order of operations."""
        operation, alternative = self._shops.operation[slot], self._shops.alternative[slot]
        done = np.arange(self._shops.clock[slot, OPERATIONS])
        done = done[operation[done, START] >= 0]
        job = self._static.operation_parent[slot, done].astype(np.int64)
        taken = alternative[done, operation[done, CHOICE]].astype(np.int64)
        start = operation[done, START].astype(np.int64)
        return Schedule(
            job=job,
            task=done - self._shops.job[slot, job, FIRST],
            resource=taken[:, MACHINE],
            start=start,
            end=start + taken[:, DURATION],
            name=self.loaded[slot],
        )

    def _arguments(self) -> dict[str, Any]:
        num_jobs, num_operations, num_machines, num_alternatives = self._limits
        return {
            "num_jobs": num_jobs,
            "num_operations": num_operations,
            "num_machines": num_machines,
            "num_alternatives": num_alternatives,
            "sgs": self._sgs,
            "skip_forced": self._skip_forced,
        }

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (*self._shops, *self._graph, *self._static, *self.outcome)
