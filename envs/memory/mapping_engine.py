"""A batch of mapping games with their decision graphs: the simulator as the environment faces drive it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowed, borrowing_kernel, kernel
from makespan.envs.core.slots import StepOutcome
from makespan.envs.memory.mapping_decoder import drop_chain, place_chain
from makespan.envs.memory.mapping_game import MappingRules as MappingRules
from makespan.envs.memory.mapping_game import MappingSlots, Rules
from makespan.envs.memory.mapping_graph import STATIC_KEYS, write_static
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_observation import (
    COLUMNS,
    Graph,
    graph_views,
    mapping_schema,
    write_dynamic,
    write_tensor,
)
from makespan.envs.memory.mapping_simulator import (
    culprit,
    decide,
    legal_actions,
    legal_choices,
)
from makespan.envs.memory.mapping_state import (
    ACCESSES,
    ALLOWED,
    BANNED,
    COPY,
    CURSOR,
    DECISIONS,
    DONOR,
    DROP,
    FIRST,
    HBM_LATENCY,
    HEIR,
    LAST_HEAD,
    LATENCY,
    NEXT,
    OP,
    PAID,
    PLACE,
    PREVIOUS,
    REWINDS,
    STAY_CAP,
    TENSOR,
    TENSORS,
    Mapping,
    forget,
    keep_recent,
    reset_slot,
)


@borrowing_kernel
def _take(m: Mapping, graph: Graph, b: int, action: int, rules: Rules) -> None:
    """Take a legal action, and write what that changes."""
    a = m.clock[b, CURSOR]
    v = m.access[b, a, TENSOR]
    if rules.per_tensor:
        if action == DROP:
            drop_chain(m, b, v)
        else:
            place_chain(
                m, b, v, action == COPY, rules.supply, rules.offsets, rules.prefetch, m.clock[b, STAY_CAP]
            )
        m.clock[b, CURSOR] = a + 1
        while v >= 0:
            write_tensor(m, graph, b, v, -1)
            v = m.tensor[b, v, HEIR]
        return
    decide(m, b, action, rules.mode, rules.supply, rules.prefetch)
    if a + 1 < m.clock[b, ACCESSES]:
        forget(m, b, m.access[b, a + 1, OP])
    write_tensor(m, graph, b, v, m.access[b, a, NEXT])
    donor = m.tensor[b, v, DONOR]
    if donor >= 0:
        write_tensor(m, graph, b, donor, -1)


@borrowing_kernel
def _write_tensors(m: Mapping, graph: Graph, b: int) -> None:
    """Write the rows of all tensors as they are before the first access."""
    for v in range(m.clock[b, TENSORS]):
        write_tensor(m, graph, b, v, m.tensor[b, v, FIRST])


@kernel
def _rewind(m: Mapping, graph: Graph, b: int, rules: Rules) -> None:
    """Go back to the access that has led into a dead end, ban fast memory there, and play what came before it again."""
    a = culprit(m, b)
    places = m.access[b, :a, PLACE].copy()
    m.access[b, a, BANNED] = 1
    m.clock[b, REWINDS] += 1
    reset_slot(m, b, True)
    keep_recent(m, b)
    _write_tensors(m, graph, b)
    for k in range(a):
        legal_actions(m, b, graph.action_mask, rules.mode, rules.supply, rules.offsets, rules.prefetch)
        _take(m, graph, b, places[k], rules)


@kernel
def _settle(m: Mapping, graph: Graph, b: int, rules: Rules, keep_last: bool) -> None:
    """Compute the mask, taking forced moves and leaving dead ends on the way.

    With `keep_last` the last access is left for a decision.
    """
    mask, clock = graph.action_mask, m.clock
    while True:
        if rules.per_tensor:
            count = legal_choices(m, b, mask)
        else:
            count = legal_actions(m, b, mask, rules.mode, rules.supply, rules.offsets, rules.prefetch)
        if count == 0 and clock[b, CURSOR] < clock[b, ACCESSES]:
            _rewind(m, graph, b, rules)
        elif count == 1 and rules.skip_forced and not (keep_last and clock[b, LAST_HEAD] == clock[b, CURSOR]):
            action = 0
            while not mask[b, action]:
                action += 1
            _take(m, graph, b, action, rules)
        else:
            return


@borrowing_kernel
def _step_slot(m: Mapping, graph: Graph, outcome: StepOutcome, b: int, action: int, rules: Rules) -> None:
    clock = m.clock
    _take(m, graph, b, action, rules)
    _settle(m, graph, b, rules, False)
    outcome.reward[b] = (clock[b, PAID] - clock[b, LATENCY]) / clock[b, HBM_LATENCY]
    clock[b, PAID] = clock[b, LATENCY]
    clock[b, DECISIONS] += 1
    write_dynamic(m, graph, b, rules.supply)
    outcome.terminated[b] = clock[b, ALLOWED] == 0
    if outcome.terminated[b]:
        graph.action_mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@structref.register
class _BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `_Batch`."""


class _Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument (see the job shop's engine)."""

    mapping: Mapping
    graph: Graph
    outcome: StepOutcome
    rules: Rules


_FIELDS: Final = ["mapping", "graph", "outcome", "rules"]
structref.define_boxing(_BatchType, _Batch)
structref.define_constructor(_Batch, _BatchType, _FIELDS)


@kernel
def _make_batch(mapping: Mapping, graph: Graph, outcome: StepOutcome, rules: Rules) -> _Batch:
    """A batch that borrows its arrays: the engine keeps them as long as it."""
    return _Batch(borrowed(mapping), borrowed(graph), borrowed(outcome), rules)  # type: ignore[no-untyped-call]


@borrowing_kernel
def _last_decision(m: Mapping, b: int, per_tensor: bool) -> int:
    """The last access at which a decision may be due."""
    a = m.clock[b, ACCESSES] - 1
    while per_tensor and (m.access[b, a, PREVIOUS] >= 0 or m.tensor[b, m.access[b, a, TENSOR], DONOR] >= 0):
        a -= 1
    return a


@kernel
def _start(batch: _Batch, b: int) -> None:
    """Start the instance that has been loaded into slot b."""
    m, graph, outcome = batch.mapping, batch.graph, batch.outcome
    reset_slot(m, b, False)
    if not batch.rules.per_tensor:  # whose searches reach far back
        keep_recent(m, b)
    m.clock[b, LAST_HEAD] = _last_decision(m, b, batch.rules.per_tensor)
    _write_tensors(m, graph, b)
    _settle(m, graph, b, batch.rules, True)
    m.clock[b, PAID] = m.clock[b, HBM_LATENCY]
    write_dynamic(m, graph, b, batch.rules.supply)
    outcome.reward[b] = 0.0
    outcome.terminated[b] = False


@kernel
def _step_batch(batch: _Batch, actions: NDArray[np.int64]) -> None:
    """Step every slot; a negative action leaves its slot as it is, with reward 0."""
    m, graph, outcome, rules = batch.mapping, batch.graph, batch.outcome, batch.rules
    for b in range(actions.size):
        if actions[b] >= 0:
            _step_slot(m, graph, outcome, b, actions[b], rules)
        else:
            outcome.reward[b] = 0.0


class MappingEngine(MappingSlots):
    """`num_slots` mapping games in program order, stepped together; see `MappingSlots`."""

    def __init__(self, num_slots: int, **arguments: Any) -> None:
        super().__init__(num_slots, **arguments)
        if self.rules.order != "program":
            raise ValueError(f"order: {self.rules.order!r}; this engine decides in program order")
        self.schema = mapping_schema(*self._limits, self.rules.occupancy)
        self.observation = self.schema.zeros(num_slots)
        self._graph = graph_views(self.observation)
        self._batch = _make_batch(self._mapping, self._graph, self.outcome, self.rules.compiled())

    def load(self, slot: int, instance: MappingInstance) -> None:
        """Start `instance` in a slot. Raises `InvalidInstanceError` if it is larger than the engine."""
        self._load(slot, instance)
        write_static(self.observation, slot, instance, COLUMNS)
        _start(self._batch, slot)

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        _step_batch(self._batch, actions)

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        static = (self.observation[key] for key in STATIC_KEYS)
        return (*self._mapping, *self._graph, *static, *self.outcome)
