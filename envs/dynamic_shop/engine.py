"""A batch of dynamic shops with their decision graphs: the simulator as the environment faces drive it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.kernels import borrowed, borrowing_kernel, kernel
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.slots import SlotEngine, TimedOutcome, Token, corner
from makespan.envs.dynamic_shop.candidates import write_candidates
from makespan.envs.dynamic_shop.generator import DynamicSize
from makespan.envs.dynamic_shop.instance import OBJECTIVES, DynamicShopInstance
from makespan.envs.dynamic_shop.observation import Graph, dynamic_schema, graph_views
from makespan.envs.dynamic_shop.schedules import schedule_of
from makespan.envs.dynamic_shop.simulator import legal_actions, settle, take, update_left
from makespan.envs.dynamic_shop.state import (
    ADMITTED,
    ARRIVED,
    BOUND,
    CHOICE,
    DECISIONS,
    ENDED,
    NOW,
    PAID,
    PAID_TIME,
    SCALE,
    START,
    UNIT,
    Limits,
    Shops,
    World,
    empty_shop,
    load_world,
    make_shops,
)
from makespan.envs.dynamic_shop.writing import write_graph, write_start

ASKS: Final = ("machine", "shop")
"""Who is asked at a moment: the free machines one after the other, or all of them at once."""


class Settings(NamedTuple):
    """How an engine asks, the same for all its shops."""

    whole_shop: bool
    may_wait: bool
    skip_forced: bool


@structref.register
class _BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `_Batch`."""


class _Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument; see the job shop's engine."""

    shops: Shops
    graph: Graph
    outcome: TimedOutcome
    settings: Settings


_FIELDS: Final = ["shops", "graph", "outcome", "settings"]
structref.define_boxing(_BatchType, _Batch)
structref.define_constructor(_Batch, _BatchType, _FIELDS)


@kernel
def _make_batch(shops: Shops, graph: Graph, outcome: TimedOutcome, settings: Settings) -> _Batch:
    """A batch that borrows its arrays: the engine keeps them as long as it."""
    return _Batch(borrowed(shops), borrowed(graph), borrowed(outcome), settings)  # type: ignore[no-untyped-call]


@kernel
def _load(batch: _Batch, b: int, world: World) -> None:
    """Put an instance into shop b, and empty the shop and its graph."""
    load_world(batch.shops, b, world)
    empty_shop(batch.shops, b)
    write_start(batch.shops, batch.graph, b)


@borrowing_kernel
def _step_shop(
    shops: Shops, graph: Graph, outcome: TimedOutcome, settings: Settings, b: int, action: int
) -> None:
    """Take an action (negative: none, an empty shop opens), and go on to the next decision or the end."""
    clock, mask, begins = shops.clock, graph.action_mask, action < 0
    wait = mask.shape[1] - 1 if settings.may_wait else -1
    while True:
        if action >= 0:
            take(shops, b, action, wait)
        # the first decision is asked even if it is forced: an episode has at least one
        count = legal_actions(shops, b, settings.whole_shop, settings.may_wait, mask)
        if count != 1 or not settings.skip_forced or begins:
            break
        action = 0
        while not mask[b, action]:
            action += 1
    update_left(shops, b)
    expected = settle(shops, b)
    if begins:  # the cost so far, if any, is paid with the first decision
        outcome.reward[b] = outcome.elapsed[b] = 0.0
    else:
        clock[b, DECISIONS] += 1
        outcome.reward[b] = (clock[b, PAID] - expected) / clock[b, SCALE]
        outcome.elapsed[b] = (clock[b, NOW] - clock[b, PAID_TIME]) / clock[b, UNIT]
        clock[b, PAID] = expected
    clock[b, PAID_TIME] = clock[b, NOW]
    write_graph(shops, graph, b)
    write_candidates(shops, graph, b, settings.may_wait)
    outcome.terminated[b] = clock[b, ENDED] > 0
    if clock[b, ENDED]:
        mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@kernel
def _run(batch: _Batch, actions: NDArray[np.int64], first: int, begins: bool) -> None:
    """Step shops first, first + 1, ..., or open them; both in one kernel, for it takes long to compile.

    A negative action leaves its shop as it is, with reward 0.
    """
    shops, graph, outcome, settings = batch.shops, batch.graph, batch.outcome, batch.settings
    for i in range(actions.size):
        b = first + i
        if begins or actions[i] >= 0:
            _step_shop(shops, graph, outcome, settings, b, actions[i])
        else:
            outcome.reward[b] = outcome.elapsed[b] = 0.0


_NONE: Final = np.array([-1], np.int64)


class DynamicShopEngine(SlotEngine):
    """`num_shops` dynamic shops of at most the given size, stepped together.

    Args:
        num_shops: Shops.
        size: Maxima over the instances to come; more jobs are taken too, the arrays grow.
        ask: One of `ASKS`.
        may_wait: Whether a candidate lets what is asked wait for the next event.
        skip_forced: Take decisions with a single candidate without asking, but for the first.
        max_live_jobs: Slots for jobs in the shop; more wait outside in the order of their arrival.

    Attributes:
        schema: The decision graph's schema.
        observation: The live buffers, batch axis first; overwritten by every step.
        outcome: Reward, end and time of each shop's last step.
    """

    def __init__(
        self,
        num_shops: int,
        size: DynamicSize,
        *,
        ask: str = "machine",
        may_wait: bool = False,
        skip_forced: bool = True,
        max_live_jobs: int = 48,
    ) -> None:
        self._options = {
            "size": size,
            "ask": ask,
            "may_wait": may_wait,
            "skip_forced": skip_forced,
            "max_live_jobs": max_live_jobs,
        }
        self._size = size
        self._settings = Settings(ask == "shop", may_wait, skip_forced)
        sizes = (max_live_jobs, size.longest_route, size.num_machines, size.max_alternatives)
        self.schema = dynamic_schema(*sizes, may_wait)
        self.observation = self.schema.zeros(num_shops)
        self._graph = graph_views(self.observation)
        total = size.num_jobs * size.longest_route
        self._limits = Limits(
            max_live_jobs, size.num_machines, size.max_alternatives, size.num_jobs, total, 1
        )
        self._shops = make_shops(num_shops, self._limits)
        self.outcome = TimedOutcome(np.zeros(num_shops), np.zeros(num_shops, np.bool_), np.zeros(num_shops))
        self.loaded: list[DynamicShopInstance | None] = [None] * num_shops
        self._connect()

    def _connect(self) -> None:
        self._batch = _make_batch(self._shops, self._graph, self.outcome, self._settings)

    def load(self, slot: int, instance: DynamicShopInstance) -> None:
        """Start `instance` in a slot. Raises `InvalidInstanceError` if it outgrows the environment's spaces."""
        if not isinstance(instance, DynamicShopInstance):
            raise InvalidInstanceError(f"{type(instance).__name__}; expected a DynamicShopInstance")
        own = DynamicSize.of(instance)
        for key in ("num_machines", "longest_route", "max_alternatives"):
            if getattr(own, key) > getattr(self._size, key):
                raise InvalidInstanceError(
                    f"instance {instance.name!r} has size {own}; the environment was made for at most {self._size}"
                )
        self._make_room(instance.num_jobs, instance.total_operations, instance.windows.shape[1])
        shop = instance.shop
        numbers = (
            instance.warm_up,
            instance.num_jobs - instance.cool_down,
            OBJECTIVES.index(instance.objective),
            instance.scale,
            instance.unit,
        )
        world = World(
            shop.job_first,
            shop.machines,
            shop.durations,
            instance.realised,
            shop.release,
            instance.due,
            instance.weight,
            instance.windows,
            np.array(numbers, np.int64),
        )
        _load(self._batch, slot, world)
        _run(self._batch, _NONE, slot, True)
        self.loaded[slot] = instance

    def _make_room(self, num_jobs: int, total_operations: int, num_windows: int) -> None:
        """Let the arrays hold longer runs: jobs, operations and windows are no part of the spaces."""
        limits = self._limits
        needed = (num_jobs, total_operations, num_windows)
        if all(one <= limit for one, limit in zip(needed, limits[3:], strict=True)):
            return
        grown = [
            limit if one <= limit else one + one // 4 for one, limit in zip(needed, limits[3:], strict=True)
        ]
        self._limits = Limits(*limits[:3], *grown)
        old, self._shops = self._shops, make_shops(len(self.loaded), self._limits)
        for key, array in old._asdict().items():
            getattr(self._shops, key)[corner(array)] = array
        self._connect()

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        _run(self._batch, actions, 0, False)

    def objective(self, slot: int) -> float:
        """What the counted jobs have cost so far, those present up to now; once the run has ended, the objective."""
        return float(self._shops.clock[slot, BOUND])

    def lower_bound(self, slot: int) -> float:
        """What the counted jobs have cost so far: the objective will not be less."""
        return float(self._shops.clock[slot, BOUND])

    def return_of(self, slot: int, objective: float) -> float:
        """The return of a whole run with that objective."""
        return -objective / float(self._shops.clock[slot, SCALE])

    def num_decisions(self, slot: int) -> int:
        """Decisions taken in the episode; forced moves are not counted."""
        return int(self._shops.clock[slot, DECISIONS])

    def now(self, slot: int) -> int:
        """Time, time units."""
        return int(self._shops.clock[slot, NOW])

    def num_outside(self, slot: int) -> int:
        """Jobs that have arrived and found no slot yet."""
        return int(self._shops.clock[slot, ARRIVED] - self._shops.clock[slot, ADMITTED])

    def schedule(self, slot: int) -> Schedule:
        """Every operation that has begun, by job and task, with its true end, and the downtime up to now."""
        instance = self.loaded[slot]
        if instance is None:
            return Schedule.empty()
        rows = self._shops.operation[slot, : instance.total_operations].astype(np.int64)
        return schedule_of(instance, rows[:, START], rows[:, CHOICE], self.now(slot))

    def _fit(self, token: Token) -> None:
        job, operation, window = (token[Shops._fields.index(key)] for key in ("job", "operation", "window"))
        self._make_room(job.shape[0] - 1, operation.shape[0], window.shape[1])

    def _arguments(self) -> dict[str, Any]:
        return dict(self._options)

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (*self._shops, *self.observation.values(), self._graph.written, *self.outcome)
