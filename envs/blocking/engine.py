"""A batch of blocking shops with their decision graphs: the simulator as the environment faces drive it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from makespan.envs.blocking.decisions import legal_actions, take
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.blocking.lookahead import LOOKAHEAD_RULES, look_ahead, make_scratch
from makespan.envs.blocking.observation import Graph, blocking_schema, graph_views
from makespan.envs.blocking.schedules import schedule_of
from makespan.envs.blocking.simulator import (
    ALLOWED,
    BOUND,
    DECISIONS,
    END,
    FINISHED,
    INITIAL_BOUND,
    JOBS,
    LEAVE,
    MAKESPAN,
    NOW,
    PAID_BOUND,
    REPEAT,
    START,
    SWAP,
    SWAPS,
    Shops,
    load_downtime,
    load_shop,
    make_shops,
    start_bound,
    update_bound,
)
from makespan.envs.blocking.writing import write_dynamic, write_start
from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.kernels import borrowed, borrowing_kernel, kernel
from makespan.envs.core.lookahead import parse_lookahead, with_lookahead, write_lookahead
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.slots import SlotEngine, TimedOutcome, Token

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

ADMISSIONS: Final = ("wait", "greedy")
"""What a machine that is asked may do: let a job enter or wait, or only the former."""


@structref.register
class _BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `_Batch`."""


class Ahead(NamedTuple):
    """What looking ahead needs."""

    rules: I64  # (R,) numbers of the rules that finish; none where nobody looks ahead
    scratch: Shops
    values: I64  # (A, R) of one slot's candidates


class _Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument; see the job shop's engine."""

    shops: Shops
    graph: Graph
    outcome: TimedOutcome
    ahead: Ahead
    may_wait: bool
    skip_forced: bool


_FIELDS: Final = ["shops", "graph", "outcome", "ahead", "may_wait", "skip_forced"]
structref.define_boxing(_BatchType, _Batch)
structref.define_constructor(_Batch, _BatchType, _FIELDS)


@kernel
def _make_batch(
    shops: Shops, graph: Graph, outcome: TimedOutcome, ahead: Ahead, may_wait: bool, skip_forced: bool
) -> _Batch:
    """A batch that borrows its arrays: the engine keeps them as long as it."""
    return _Batch(borrowed(shops), borrowed(graph), borrowed(outcome), ahead, may_wait, skip_forced)  # type: ignore[no-untyped-call]


@kernel
def _look_ahead(shops: Shops, graph: Graph, b: int, may_wait: bool, ahead: Ahead) -> None:
    """Write what the rules make of the candidates of slot b's decision."""
    mask, clock = graph.action_mask, shops.clock
    wait = mask.shape[1] - 1 if may_wait else -1
    look_ahead(shops, b, mask, wait, ahead.rules, ahead.scratch, ahead.values)
    scale = np.float32(1.0 / max(1, clock[b, INITIAL_BOUND]))
    write_lookahead(ahead.values, mask[b], clock[b, BOUND], scale, graph.candidate_x[b], graph.system_x[b, 0])


@kernel
def _start(
    batch: _Batch,
    b: int,
    job_first: I32,
    machines: I32,
    durations: I32,
    release: I32,
    windows: I32,
    stop_after: I32,
    stop_length: I32,
    swap: bool,
    repeat: bool,
) -> None:
    """Start an instance in slot b; arrays as in `BlockingShopInstance`. The first decision is never skipped."""
    shops, graph, outcome = batch.shops, batch.graph, batch.outcome
    shops.clock[b, SWAP], shops.clock[b, REPEAT] = swap, repeat
    load_shop(shops, b, job_first, machines, durations, release)
    load_downtime(shops, b, windows, stop_after, stop_length)
    start_bound(shops, b)
    write_start(shops, graph, b)
    legal_actions(shops, b, batch.may_wait, graph.action_mask)
    write_dynamic(shops, graph, b)
    if batch.ahead.rules.size:
        _look_ahead(shops, graph, b, batch.may_wait, batch.ahead)
    outcome.reward[b] = outcome.elapsed[b] = 0.0
    outcome.terminated[b] = False


@borrowing_kernel
def _step_slot(
    shops: Shops, graph: Graph, outcome: TimedOutcome, b: int, action: int, may_wait: bool, skip: bool
) -> None:
    clock, mask = shops.clock, graph.action_mask
    began, wait = clock[b, NOW], mask.shape[1] - 1 if may_wait else -1
    take(shops, b, action, wait)
    while legal_actions(shops, b, may_wait, mask) == 1 and skip:
        forced = 0
        while not mask[b, forced]:
            forced += 1
        take(shops, b, forced, wait)
    update_bound(shops, b)
    scale = max(1, clock[b, INITIAL_BOUND])
    outcome.reward[b] = (clock[b, PAID_BOUND] - clock[b, BOUND]) / scale
    outcome.elapsed[b] = (clock[b, NOW] - began) / scale
    clock[b, PAID_BOUND] = clock[b, BOUND]
    clock[b, DECISIONS] += 1
    write_dynamic(shops, graph, b)
    outcome.terminated[b] = clock[b, ALLOWED] == 0
    if outcome.terminated[b]:
        mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@kernel
def _step_batch(batch: _Batch, actions: NDArray[np.int64]) -> None:
    """Step every slot; a negative action leaves its slot as it is, with reward 0."""
    shops, graph, outcome = batch.shops, batch.graph, batch.outcome
    may_wait, skip_forced = batch.may_wait, batch.skip_forced
    for b in range(actions.size):
        if actions[b] >= 0:
            _step_slot(shops, graph, outcome, b, actions[b], may_wait, skip_forced)
            if batch.ahead.rules.size and not outcome.terminated[b]:
                _look_ahead(shops, graph, b, may_wait, batch.ahead)
        else:
            outcome.reward[b] = outcome.elapsed[b] = 0.0


class BlockingShopEngine(SlotEngine):
    """`num_slots` blocking shops of at most the given size, stepped together.

    Attributes:
        schema: The decision graph's schema.
        observation: The live buffers, batch axis first; overwritten by every step.
        outcome: Reward, termination and time of each slot's last step.
    """

    def __init__(
        self,
        num_slots: int,
        *,
        num_jobs: int,
        num_operations: int,
        num_machines: int,
        admission: str,
        skip_forced: bool,
        lookahead: str = "",
    ) -> None:
        self._limits = (num_jobs, num_operations, num_machines)
        self._admission, self._skip_forced, self._lookahead = admission, skip_forced, lookahead
        rules = parse_lookahead(lookahead, LOOKAHEAD_RULES)
        self.schema = with_lookahead(blocking_schema(*self._limits, admission == "wait"), rules, "LB0")
        self.observation = self.schema.zeros(num_slots)
        self._graph = graph_views(self.observation)
        self._shops = make_shops(num_slots, *self._limits, 1)
        self.outcome = TimedOutcome(np.zeros(num_slots), np.zeros(num_slots, np.bool_), np.zeros(num_slots))
        self._ahead = Ahead(
            np.array([LOOKAHEAD_RULES.index(rule) for rule in rules], np.int64),
            make_scratch(*self._limits),
            np.zeros((self.schema.candidates.max_count, len(rules)), np.int64),
        )
        self.loaded: list[BlockingShopInstance | None] = [None] * num_slots
        self._connect()

    def _connect(self) -> None:
        waits = self._admission == "wait"
        self._batch = _make_batch(
            self._shops, self._graph, self.outcome, self._ahead, waits, self._skip_forced
        )

    def load(self, slot: int, instance: BlockingShopInstance) -> None:
        """Start `instance` in a slot. Raises `InvalidInstanceError` if it is larger than the engine."""
        if not isinstance(instance, BlockingShopInstance):
            raise InvalidInstanceError(f"{type(instance).__name__}; expected a BlockingShopInstance")
        shop = instance.shop
        size = (shop.num_jobs, shop.num_operations, shop.num_machines)
        if any(one > limit for one, limit in zip(size, self._limits, strict=True)):
            raise InvalidInstanceError(
                f"instance {instance.name!r} has (jobs, operations, machines) = {size}; "
                f"the environment was made for at most {self._limits}"
            )
        self._make_room(instance.windows.shape[1])
        _start(
            self._batch,
            slot,
            shop.job_first,
            shop.machines,
            shop.durations,
            shop.release,
            instance.windows,
            instance.stop_after,
            instance.stop_length,
            instance.swap,
            instance.repeat,
        )
        self.loaded[slot] = instance

    def _make_room(self, num_windows: int) -> None:
        """Let the slots hold that many windows a machine; they are no part of the spaces, and may grow."""
        old = self._shops.window
        if num_windows <= old.shape[2]:
            return
        window = np.zeros((*old.shape[:2], num_windows + num_windows // 2, 3), np.int32)
        window[:, :, : old.shape[2]] = old
        self._shops = self._shops._replace(window=window)
        self._connect()

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        _step_batch(self._batch, actions)

    def objective(self, slot: int) -> float:
        """Latest completion so far, time units: the makespan at the end."""
        return float(self._shops.clock[slot, MAKESPAN])

    def lower_bound(self, slot: int) -> float:
        """The bound that rewards have been handed out up to, time units: LB0 at the start, then the present bound."""
        return float(self._shops.clock[slot, PAID_BOUND])

    def num_decisions(self, slot: int) -> int:
        """Decisions taken in the episode; forced moves are not counted."""
        return int(self._shops.clock[slot, DECISIONS])

    def num_swaps(self, slot: int) -> int:
        """Cycles of two or more jobs that have exchanged places."""
        return int(self._shops.clock[slot, SWAPS])

    def schedule(self, slot: int) -> Schedule:
        """What has happened so far: operations, the time they blocked their machines, downtime."""
        instance = self.loaded[slot]
        if instance is None:
            return Schedule.empty()
        clock = self._shops.clock[slot]
        rows = self._shops.operation[slot, : instance.num_operations].astype(np.int64)
        done = clock[FINISHED] == clock[JOBS]
        return schedule_of(
            instance, rows[:, START], rows[:, END], rows[:, LEAVE], until=None if done else int(clock[NOW])
        )

    def _fit(self, token: Token) -> None:
        self._make_room(token[Shops._fields.index("window")].shape[1])

    def _arguments(self) -> dict[str, Any]:
        num_jobs, num_operations, num_machines = self._limits
        return {
            "num_jobs": num_jobs,
            "num_operations": num_operations,
            "num_machines": num_machines,
            "admission": self._admission,
            "skip_forced": self._skip_forced,
            "lookahead": self._lookahead,
        }

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (*self._shops, *self._graph, *self.outcome)
