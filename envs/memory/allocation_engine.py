"""A batch of memories with their decision graphs: the simulator as the environment faces drive it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.kernels import inlined_kernel, kernel
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.slots import SlotEngine, StepOutcome
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_observation import (
    Graph,
    allocation_schema,
    graph_views,
    write_placement,
    write_start,
)
from makespan.envs.memory.allocation_simulator import (
    BEST_FIT,
    BOUND,
    CANONICAL,
    DECISIONS,
    INITIAL_BOUND,
    LEFT,
    LOWEST,
    OFFSET,
    PAID_BOUND,
    PEAK,
    Memories,
    make_memories,
    place_buffer,
    reset_slot,
)
from makespan.envs.memory.allocation_statics import load_graph, load_memory
from makespan.envs.memory.allocation_validator import allocation_schedule

MODES: Final = {"lowest": LOWEST, "best": BEST_FIT, "canonical": CANONICAL}


@structref.register
class _BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `_Batch`."""


class _Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument; see `makespan.envs.jobshop.engine`."""

    memories: Memories
    graph: Graph
    outcome: StepOutcome
    mode: int


_FIELDS: Final = ["memories", "graph", "outcome", "mode"]
structref.define_boxing(_BatchType, _Batch)
structref.define_constructor(_Batch, _BatchType, _FIELDS)


@kernel
def _make_batch(memories: Memories, graph: Graph, outcome: StepOutcome, mode: int) -> _Batch:
    return _Batch(memories, graph, outcome, mode)  # type: ignore[no-untyped-call]


@inlined_kernel
def _step_slot(
    memories: Memories, graph: Graph, outcome: StepOutcome, b: int, action: int, mode: int
) -> None:
    clock = memories.clock
    place_buffer(memories, b, action, mode)
    write_placement(memories, graph, b, action, mode)
    outcome.reward[b] = (clock[b, PAID_BOUND] - clock[b, BOUND]) / clock[b, INITIAL_BOUND]
    clock[b, PAID_BOUND] = clock[b, BOUND]
    outcome.terminated[b] = clock[b, LEFT] == 0
    if outcome.terminated[b]:
        graph.action_mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@kernel
def _start(batch: _Batch, b: int) -> None:
    """Start the problem whose static parts stand in slot b."""
    memories, graph, outcome = batch.memories, batch.graph, batch.outcome
    reset_slot(memories, b, batch.mode)
    write_start(memories, graph, b, batch.mode)
    outcome.reward[b] = 0.0
    outcome.terminated[b] = False


@kernel
def _step_batch(batch: _Batch, actions: NDArray[np.int64]) -> None:
    """Step every slot; a negative action leaves its slot as it is, with reward 0."""
    memories, graph, outcome, mode = batch.memories, batch.graph, batch.outcome, batch.mode
    for b in range(actions.size):
        if actions[b] >= 0:
            _step_slot(memories, graph, outcome, b, actions[b], mode)
        else:
            outcome.reward[b] = 0.0


class AllocationEngine(SlotEngine):
    """`num_slots` allocation problems of at most the given size, stepped together.

    Attributes:
        schema: The decision graph's schema.
        observation: The live buffers, batch axis first; overwritten by every step.
        outcome: Reward and termination of each slot after the last step.
    """

    def __init__(
        self,
        num_slots: int,
        *,
        num_buffers: int,
        num_pieces: int,
        num_sections: int,
        num_incidences: int,
        mode: str,
    ) -> None:
        self._limits = (num_buffers, num_pieces, num_sections, num_incidences)
        self._mode = mode
        self.schema = allocation_schema(*self._limits)
        self.observation = self.schema.zeros(num_slots)
        self._graph = graph_views(self.observation)
        self._memories = make_memories(num_slots, *self._limits)
        self.outcome = StepOutcome(np.zeros(num_slots), np.zeros(num_slots, np.bool_))
        self._batch = _make_batch(self._memories, self._graph, self.outcome, MODES[mode])
        self.loaded: list[AllocationProblem | None] = [None] * num_slots

    def load(self, slot: int, instance: AllocationProblem) -> None:
        """Start `instance` in a slot.

        Raises:
            InvalidInstanceError: It is larger than the engine, or all its offsets are prescribed.
        """
        size = (instance.num_buffers, instance.num_pieces, instance.num_sections, instance.num_incidences)
        if any(own > limit for own, limit in zip(size, self._limits, strict=True)):
            raise InvalidInstanceError(
                f"instance {instance.name!r} has (buffers, pieces, sections, incidences) = {size}; "
                f"the environment was made for at most {self._limits}"
            )
        if (instance.fixed >= 0).all():
            raise InvalidInstanceError(
                f"instance {instance.name!r}: every offset is prescribed; expected something to decide"
            )
        load_memory(self._memories, slot, instance)
        load_graph(self.observation, self._graph, slot, instance)
        _start(self._batch, slot)
        self.loaded[slot] = instance

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        _step_batch(self._batch, actions)

    def objective(self, slot: int) -> float:
        """Peak of what is placed so far, bytes."""
        return float(self._memories.clock[slot, PEAK])

    def lower_bound(self, slot: int) -> float:
        """The bound that rewards have been handed out up to, bytes: the load bound at the start."""
        return float(self._memories.clock[slot, PAID_BOUND])

    def num_decisions(self, slot: int) -> int:
        """Decisions taken in the episode."""
        return int(self._memories.clock[slot, DECISIONS])

    def schedule(self, slot: int) -> Schedule:
        """What is placed so far; `makespan.envs.memory.allocation_validator` says how a schedule encodes it."""
        problem = self.loaded[slot]
        if problem is None:
            return Schedule.empty()
        return allocation_schedule(problem, self._memories.buffer[slot, : problem.num_buffers, OFFSET])

    def _arguments(self) -> dict[str, Any]:
        num_buffers, num_pieces, num_sections, num_incidences = self._limits
        return {
            "num_buffers": num_buffers,
            "num_pieces": num_pieces,
            "num_sections": num_sections,
            "num_incidences": num_incidences,
            "mode": self._mode,
        }

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        """All state, with a leading axis of slots."""
        memories, graph = self._memories, self._graph
        own = (*memories[:-1], *memories.placed, graph.fullest, graph.constant, *self.outcome)
        return (*own, *self.observation.values())
