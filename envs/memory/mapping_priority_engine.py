"""A batch of mapping games in priority order: the simulator as the environment faces drive it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowed, borrowing_call, borrowing_kernel, kernel
from makespan.envs.core.slots import StepOutcome
from makespan.envs.memory.mapping_game import MappingSlots, Rules
from makespan.envs.memory.mapping_graph import STATIC_KEYS, per_mean, write_op, write_static
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_priority import (
    BIRTH,
    CHANGED,
    DEATH,
    OPEN,
    Pool,
    leave,
    load_pool,
    make_pool,
    place_next,
    reset_pool,
    update_accesses,
    update_room,
    update_supply,
)
from makespan.envs.memory.mapping_priority_graph import (
    COLUMNS,
    PriorityGraph,
    allow,
    forbid,
    load_constants,
    priority_schema,
    priority_views,
    write_supply,
    write_system,
    write_tensor,
)
from makespan.envs.memory.mapping_state import (
    DECISIONS,
    DIRTY_HIGH,
    DIRTY_LOW,
    HBM_LATENCY,
    LATENCY,
    OPS,
    PAID,
    Mapping,
    reset_slot,
)


@borrowing_kernel
def _update(m: Mapping, pool: Pool, graph: PriorityGraph, b: int, rules: Rules, least: int) -> None:
    """Write what the last placement has changed; tensors without any room leave, as long as more than `least` are there."""
    low, high = m.clock[b, DIRTY_LOW], min(m.clock[b, DIRTY_HIGH], m.clock[b, OPS])
    scale = per_mean(m, b)
    for i in range(low, high):
        write_op(m, graph.op_x, b, i, rules.supply, scale)
        update_accesses(m, pool, b, i)
    for k in range(pool.left[b, 0] - 1, -1, -1):
        v = pool.waiting[b, k]
        row = pool.tensor[b, v]
        if row[OPEN] == 0 and pool.left[b, 0] > least:
            leave(m, pool, b, v)
            forbid(m, graph, b, v)
            continue
        if row[BIRTH] < high and row[DEATH] >= low:
            update_room(m, pool, b, v, low, high, rules.offsets)
        if row[CHANGED]:
            write_tensor(m, pool, graph, b, v)
    update_supply(m, pool, b, low, rules.supply)


@borrowing_kernel
def _finish(m: Mapping, pool: Pool, graph: PriorityGraph, b: int) -> None:
    """Write what every candidate shows anew after each decision."""
    write_supply(m, pool, graph, b)
    write_system(m, pool, graph, b)


@borrowing_kernel
def _place(m: Mapping, pool: Pool, graph: PriorityGraph, b: int, v: int, rules: Rules) -> None:
    place_next(m, pool, b, v, rules.supply, rules.offsets, rules.prefetch)
    forbid(m, graph, b, v)
    _update(m, pool, graph, b, rules, 0)


@borrowing_call
def _step_slot(
    m: Mapping, pool: Pool, graph: PriorityGraph, outcome: StepOutcome, b: int, action: int, rules: Rules
) -> None:
    clock, v = m.clock, action
    while True:
        _place(m, pool, graph, b, v, rules)
        if pool.left[b, 0] != 1 or not rules.skip_forced:
            break
        v = pool.waiting[b, 0]
    _finish(m, pool, graph, b)
    outcome.reward[b] = (clock[b, PAID] - clock[b, LATENCY]) / clock[b, HBM_LATENCY]
    clock[b, PAID] = clock[b, LATENCY]
    clock[b, DECISIONS] += 1
    outcome.terminated[b] = pool.left[b, 0] == 0
    if outcome.terminated[b]:
        graph.action_mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@structref.register
class _BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `_Batch`."""


class _Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument (see the job shop's engine)."""

    mapping: Mapping
    pool: Pool
    graph: PriorityGraph
    outcome: StepOutcome
    rules: Rules


_FIELDS: Final = ["mapping", "pool", "graph", "outcome", "rules"]
structref.define_boxing(_BatchType, _Batch)
structref.define_constructor(_Batch, _BatchType, _FIELDS)


@kernel
def _make_batch(
    mapping: Mapping, pool: Pool, graph: PriorityGraph, outcome: StepOutcome, rules: Rules
) -> _Batch:
    """A batch that borrows its arrays: the engine keeps them as long as it."""
    return _Batch(borrowed(mapping), borrowed(pool), borrowed(graph), borrowed(outcome), rules)  # type: ignore[no-untyped-call]


@kernel
def _start(batch: _Batch, b: int) -> None:
    """Start the instance that has been loaded into slot b."""
    m, pool, graph = batch.mapping, batch.pool, batch.graph
    reset_slot(m, b, False)
    reset_pool(m, pool, b)
    for k in range(pool.left[b, 0]):
        allow(pool, graph, b, pool.waiting[b, k])
    _update(m, pool, graph, b, batch.rules, 1)
    _finish(m, pool, graph, b)
    batch.outcome.reward[b] = 0.0
    batch.outcome.terminated[b] = False


@kernel
def _step_batch(batch: _Batch, actions: NDArray[np.int64]) -> None:
    """Step every slot; a negative action leaves its slot as it is, with reward 0."""
    m, pool, graph, outcome, rules = batch.mapping, batch.pool, batch.graph, batch.outcome, batch.rules
    for b in range(actions.size):
        if actions[b] >= 0:
            _step_slot(m, pool, graph, outcome, b, actions[b], rules)
        else:
            outcome.reward[b] = 0.0


class PriorityEngine(MappingSlots):
    """`num_slots` mapping games in priority order, stepped together; see `MappingSlots`."""

    def __init__(self, num_slots: int, **arguments: Any) -> None:
        super().__init__(num_slots, **arguments)
        if self.rules.order != "priority":
            raise ValueError(f"order: {self.rules.order!r}; this engine decides in priority order")
        num_ops, num_accesses, num_tensors, _ = self._limits
        self.schema = priority_schema(*self._limits)
        self.observation = self.schema.zeros(num_slots)
        self._graph = priority_views(self.observation)
        self._pool = make_pool(num_slots, num_ops, num_accesses, num_tensors)
        self._batch = _make_batch(self._mapping, self._pool, self._graph, self.outcome, self.rules.compiled())

    def load(self, slot: int, instance: MappingInstance) -> None:
        """Start `instance` in a slot. Raises `InvalidInstanceError` if it is larger than the engine."""
        self._load(slot, instance)
        write_static(self.observation, slot, instance, COLUMNS)
        load_pool(self._pool, slot, instance)
        load_constants(self._graph, slot, instance)
        _start(self._batch, slot)

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        _step_batch(self._batch, actions)

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        static = (self.observation[key] for key in STATIC_KEYS)
        return (*self._mapping, *self._pool, *self._graph, *static, *self.outcome)
