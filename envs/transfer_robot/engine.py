"""A batch of transfer cells with their decision graphs: the simulator as the environment faces drive it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.kernels import borrowed, borrowing_kernel, kernel
from makespan.envs.core.lookahead import parse_lookahead, with_lookahead
from makespan.envs.core.policy import rules_of
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.slots import SlotEngine, TimedOutcome
from makespan.envs.transfer_robot import simulator as column
from makespan.envs.transfer_robot.decisions import legal_actions, take
from makespan.envs.transfer_robot.generator import CellSize
from makespan.envs.transfer_robot.instance import TransferCell
from makespan.envs.transfer_robot.lookahead import Lookahead
from makespan.envs.transfer_robot.observation import Graph, graph_views, transfer_schema
from makespan.envs.transfer_robot.schedules import schedule_of
from makespan.envs.transfer_robot.simulator import (
    ALLOWED,
    DECISIONS,
    FINISHED,
    FLOW,
    GLASSES,
    INITIAL_BOUND,
    MAKESPAN,
    NOW,
    PAID_BOUND,
    PAID_FLOW,
    PAID_VIOLATIONS,
    PENALTY,
    SPAN_BOUND,
    TACT,
    VIOLATIONS,
    Cells,
    make_cells,
    start_cell,
    update_bound,
)
from makespan.envs.transfer_robot.writing import write_dynamic, write_start

FETCHES: Final = ("ahead", "ready")
"""What a robot may set out for: any glass that will be ready some time, or only those that are ready."""
REWARDS: Final = ("makespan", "flow")
"""What rewards add up to, beside penalties: the makespan, or the mean completion time of the glasses."""


@structref.register
class _BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `_Batch`."""


class _Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument; see the job shop's engine."""

    cells: Cells
    graph: Graph
    outcome: TimedOutcome
    ahead: bool
    flow: bool
    skip_forced: bool


_FIELDS: Final = ["cells", "graph", "outcome", "ahead", "flow", "skip_forced"]
structref.define_boxing(_BatchType, _Batch)
structref.define_constructor(_Batch, _BatchType, _FIELDS)


@kernel
def _make_batch(
    cells: Cells, graph: Graph, outcome: TimedOutcome, ahead: bool, flow: bool, skip_forced: bool
) -> _Batch:
    """A batch that borrows its arrays: the engine keeps them as long as it."""
    return _Batch(borrowed(cells), borrowed(graph), borrowed(outcome), ahead, flow, skip_forced)  # type: ignore[no-untyped-call]


@kernel
def _start(batch: _Batch, b: int) -> None:
    """Start the instance that has been written into slot b. The first decision is never skipped."""
    cells, graph, outcome = batch.cells, batch.graph, batch.outcome
    start_cell(cells, b)
    write_start(cells, graph, b)
    legal_actions(cells, b, batch.ahead, graph.action_mask)
    update_bound(cells, b)
    cells.clock[b, SPAN_BOUND] = cells.clock[b, INITIAL_BOUND] = max(
        cells.clock[b, SPAN_BOUND], cells.clock[b, INITIAL_BOUND]
    )
    cells.clock[b, PAID_BOUND] = cells.clock[b, SPAN_BOUND]
    write_dynamic(cells, graph, b)
    outcome.reward[b] = outcome.elapsed[b] = 0.0
    outcome.terminated[b] = False


@borrowing_kernel
def _step_slot(
    cells: Cells,
    graph: Graph,
    outcome: TimedOutcome,
    b: int,
    action: int,
    ahead: bool,
    flow: bool,
    skip: bool,
) -> None:
    clock, mask = cells.clock, graph.action_mask
    began, wait = clock[b, NOW], mask.shape[1] - 1
    take(cells, b, action, wait)
    while legal_actions(cells, b, ahead, mask) == 1 and skip:
        forced = 0
        while not mask[b, forced]:
            forced += 1
        take(cells, b, forced, wait)
    update_bound(cells, b)
    bound = clock[b, SPAN_BOUND] + clock[b, PENALTY] * clock[b, VIOLATIONS]
    paid = np.float64(clock[b, PAID_BOUND] - bound)
    if flow:
        paid = (clock[b, PAID_FLOW] - clock[b, FLOW]) / clock[b, GLASSES]
        paid -= clock[b, PENALTY] * (clock[b, VIOLATIONS] - clock[b, PAID_VIOLATIONS])
    outcome.reward[b] = paid / max(1, clock[b, INITIAL_BOUND])
    outcome.elapsed[b] = (clock[b, NOW] - began) / clock[b, TACT]
    clock[b, PAID_BOUND] = bound
    clock[b, PAID_FLOW], clock[b, PAID_VIOLATIONS] = clock[b, FLOW], clock[b, VIOLATIONS]
    clock[b, DECISIONS] += 1
    write_dynamic(cells, graph, b)
    outcome.terminated[b] = clock[b, ALLOWED] == 0
    if outcome.terminated[b]:
        mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@kernel
def _step_batch(batch: _Batch, actions: NDArray[np.int64]) -> None:
    """Step every slot; a negative action leaves its slot as it is, with reward 0."""
    cells, graph, outcome = batch.cells, batch.graph, batch.outcome
    ahead, flow, skip_forced = batch.ahead, batch.flow, batch.skip_forced
    for b in range(actions.size):
        if actions[b] >= 0:
            _step_slot(cells, graph, outcome, b, actions[b], ahead, flow, skip_forced)
        else:
            outcome.reward[b] = outcome.elapsed[b] = 0.0


class TransferEngine(SlotEngine):
    """`num_slots` transfer cells of at most the given size, stepped together.

    Attributes:
        schema: The decision graph's schema.
        observation: The live buffers, batch axis first; overwritten by every step.
        outcome: Reward, termination and time (in tacts) of each slot's last step.
    """

    def __init__(
        self,
        num_slots: int,
        size: CellSize,
        *,
        fetches: str,
        reward: str,
        skip_forced: bool,
        lookahead: str = "",
    ) -> None:
        self._size = size
        self._fetches, self._reward, self._skip_forced = fetches, reward, skip_forced
        self._lookahead = lookahead
        names = parse_lookahead(lookahead, rules_of("transfer_robot"))
        schema = transfer_schema(size.num_glasses, size.num_chambers, size.num_robots, size.max_hands)
        self.schema = with_lookahead(schema, names, "LB0")
        self.observation = self.schema.zeros(num_slots)
        self._graph = graph_views(self.observation)
        self._cells = make_cells(
            num_slots, size.num_glasses, size.num_chambers, size.num_stages, size.num_robots
        )
        self._cells.clock[:, TACT] = 1
        self.outcome = TimedOutcome(np.zeros(num_slots), np.zeros(num_slots, np.bool_), np.zeros(num_slots))
        self.loaded: list[TransferCell | None] = [None] * num_slots
        ahead, flow = fetches == "ahead", reward == "flow"
        self._batch = _make_batch(self._cells, self._graph, self.outcome, ahead, flow, skip_forced)
        count = schema.candidates.max_count
        self._ahead = Lookahead(names, size, num_slots, count) if names else None

    def load(self, slot: int, instance: TransferCell) -> None:
        """Start `instance` in a slot. Raises `InvalidInstanceError` if it is larger than the engine."""
        if not isinstance(instance, TransferCell):
            raise InvalidInstanceError(f"{type(instance).__name__}; expected a TransferCell")
        size = CellSize.of(instance)
        if any(one > limit for one, limit in zip(size, self._size, strict=True)):
            raise InvalidInstanceError(
                f"instance {instance.name!r} has {size}; the environment was made for at most {self._size}"
            )
        _write_cell(self._cells, slot, instance)
        _start(self._batch, slot)
        self.loaded[slot] = instance
        self._look_ahead(np.arange(len(self.loaded)) == slot)

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        _step_batch(self._batch, actions)
        self._look_ahead(np.asarray(actions >= 0))

    def _look_ahead(self, moved: NDArray[np.bool_]) -> None:
        """Show what rules would make of the candidates in slots that have moved (B,)."""
        if self._ahead is not None:
            asked = moved & ~self.outcome.terminated
            self._ahead.look(self._cells, self._graph, asked, self._fetches == "ahead")

    @property
    def state(self) -> Cells:
        """The live state of all slots, for searches."""
        return self._cells

    def objective(self, slot: int) -> float:
        """Latest arrival at the port out so far plus penalties, time units: the penalised makespan at the end."""
        clock = self._cells.clock[slot]
        return float(clock[MAKESPAN] + clock[PENALTY] * clock[VIOLATIONS])

    def lower_bound(self, slot: int) -> float:
        """The bound that rewards have been handed out up to, time units: LB0 at the start, then the present bound."""
        return float(self._cells.clock[slot, PAID_BOUND])

    def num_decisions(self, slot: int) -> int:
        """Decisions taken in the episode; forced moves are not counted."""
        return int(self._cells.clock[slot, DECISIONS])

    def num_violations(self, slot: int) -> int:
        """Residency limits that have been violated."""
        return int(self._cells.clock[slot, VIOLATIONS])

    def schedule(self, slot: int) -> Schedule:
        """What has happened so far in chambers and with robots."""
        instance = self.loaded[slot]
        if instance is None:
            return Schedule.empty()
        clock = self._cells.clock[slot]
        hops = self._cells.hop[slot, : instance.num_glasses, : instance.num_stages + 1].astype(np.int64)
        done = clock[FINISHED] == clock[GLASSES]
        return schedule_of(instance, hops, until=None if done else int(clock[NOW]))

    def _arguments(self) -> dict[str, Any]:
        return {
            "size": self._size,
            "fetches": self._fetches,
            "reward": self._reward,
            "skip_forced": self._skip_forced,
            "lookahead": self._lookahead,
        }

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (*self._cells, *self._graph, *self.outcome)


def _write_cell(cells: Cells, b: int, cell: TransferCell) -> None:
    """Write an instance into slot b."""
    N, S, R, X = cell.num_glasses, cell.num_stages, cell.num_robots, cell.num_stations
    parts, levels = cell.bounds, cell.levels
    clock, station, level = cells.clock[b], cells.station[b], cells.level[b]
    clock[: column.INITIAL_BOUND + 1] = (
        N,
        S,
        cell.num_chambers,
        R,
        int(cell.hands.sum()),
        cell.penalty,
        parts.tact,
        parts.lower_bound,
    )
    station[:X, column.LEVEL] = levels
    station[:X, column.LOAD], station[:X, column.UNLOAD] = cell.load_time, cell.unload_time
    level[:] = 0
    level[: S + 2, column.FIRST] = np.searchsorted(levels, np.arange(S + 2))
    level[: S + 2, column.LAST] = np.searchsorted(levels, np.arange(S + 2), side="right")
    level[: S + 1, column.HOP], level[: S + 1, column.EFFORT] = parts.hop, parts.effort
    level[1 : S + 1, column.AFTER] = parts.after
    level[1 : S + 1, column.OWN] = parts.own
    cells.robot[b, :R, column.AT], cells.robot[b, :R, column.HAND_COUNT] = cell.home, cell.hands
    glass = cells.glass[b, :N]
    glass[:, column.RELEASE] = cell.release
    glass[:, column.LATEST] = _most_from_here(cell.release + parts.tail[:, 0])
    glass[:, column.LONGEST] = _most_from_here(parts.tail[:, 0])
    process = cells.process[b, :N, :S]
    process[..., column.TIME] = cell.process[cell.recipe]
    process[..., column.DELAY] = cell.delay
    process[..., column.LIMIT] = cell.limit[cell.recipe]
    cells.tail[b, :N, : S + 1] = parts.tail
    cells.travel[b, :X, :X] = cell.travel


def _most_from_here(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest of each value and those after it."""
    most: NDArray[np.int64] = np.maximum.accumulate(values[::-1])[::-1]
    return most
