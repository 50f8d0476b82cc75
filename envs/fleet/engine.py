"""A batch of fleets with their decision graphs: the simulator as the environment faces drive it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.kernels import borrowed, borrowing_kernel, compiled, kernel
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.slots import SlotEngine, TimedOutcome
from makespan.envs.fleet.generator_base import FleetSize
from makespan.envs.fleet.instance import FleetDay
from makespan.envs.fleet.observation import Graph, graph_view, write_dynamic, write_static
from makespan.envs.fleet.schema import fleet_schema
from makespan.envs.fleet.simulator import (
    AIRCRAFT,
    AT,
    CHANGED,
    CHARGERS,
    COST,
    DECIDER,
    DECISIONS,
    DELAY,
    DOWNTIME,
    ELECTRICITY,
    EMPTY,
    ENERGY,
    F32,
    FLIGHTS,
    FREE_AT,
    KINDS,
    LOG_END,
    LOG_JOB,
    LOG_KIND,
    LOG_PLACE,
    LOG_START,
    LOG_TASK,
    MEAN_DELAY,
    NEEDED,
    NOW,
    OPERATING,
    PAID,
    PAIR,
    PARKING,
    PLACE,
    POTENTIAL,
    PROFIT,
    REVENUE,
    ROWS,
    SERVED,
    SPILLED,
    STAY_TIME,
    TIME,
    Fleet,
    advance,
    decide,
    link_passengers,
    make_fleet,
    profit,
    replace_event,
    reset_slot,
)

CENTS: Final = 100.0  # in a USD, the unit of rewards


class Books(NamedTuple):
    """The books of a day so far, in cents and counts."""

    revenue: int
    electricity: int
    operating: int
    served: int
    spilled: int
    flights: int
    empty_flights: int

    @property
    def profit(self) -> int:
        """Revenue less electricity and operating costs, cents."""
        return self.revenue - self.electricity - self.operating


@borrowing_kernel
def settle_accounts(fleet: Fleet, outcome: TimedOutcome, b: int, before: int) -> None:
    """Hand out the profit that has come in since the last time."""
    clock, total = fleet.clock, profit(fleet, b)
    outcome.reward[b] = (total - clock[b, PAID]) / CENTS
    clock[b, PAID] = total
    outcome.elapsed[b] = (clock[b, NOW] - before) / fleet.parameter[b, STAY_TIME]


@structref.register
class BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `Batch`."""


class Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument: cheaper to hand over from Python than its arrays."""

    fleet: Fleet
    graph: Graph
    outcome: TimedOutcome
    actions: tuple[NDArray[np.int64]]  # (B,), negative where a slot is to stay as it is


structref.define_boxing(BatchType, Batch)
structref.define_constructor(Batch, BatchType, ["fleet", "graph", "outcome", "actions"])


@kernel
def _make_batch(
    fleet: Fleet, graph: Graph, outcome: TimedOutcome, actions: tuple[NDArray[np.int64]]
) -> Batch:
    """A batch that borrows its arrays: the caller keeps them as long as it."""
    return Batch(borrowed(fleet), borrowed(graph), borrowed(outcome), borrowed(actions))  # type: ignore[no-untyped-call]


@kernel
def _start(batch: Batch, b: int, position: F32) -> None:
    """Start the day whose data stand in slot b; `_run` completes its graph."""
    link_passengers(batch.fleet, b)
    reset_slot(batch.fleet, b)
    write_static(batch.fleet, batch.graph, b, position)


@borrowing_kernel
def _step_slot(fleet: Fleet, graph: Graph, outcome: TimedOutcome, b: int, action: int) -> None:
    """Take an action; a negative one writes the graph of a day that begins or has been run otherwise."""
    before = fleet.clock[b, NOW]
    if action >= 0:
        k = fleet.clock[b, DECIDER]
        decide(fleet, b, k, action)
        fleet.changed[b, 0] = k
        fleet.clock[b, CHANGED] = 1
        replace_event(fleet, b, fleet.aircraft[b, k, FREE_AT], k)
        advance(fleet, b)
        settle_accounts(fleet, outcome, b, before)
        outcome.terminated[b] = fleet.clock[b, DECIDER] < 0
    write_dynamic(fleet, graph, b)


_SHOW: Final = -1
_EACH: Final = -2


@kernel
def _run(batch: Batch, first: int, count: int, action: int) -> None:
    """Step `count` slots from `first` on; all in one kernel, for it takes long to compile.

    Args:
        batch: Whose slots they are.
        first: The first slot.
        count: How many slots.
        action: For all of them; `_EACH` takes each slot's own of `batch.actions`, where a negative one leaves its slot as it is,
            with reward 0; `_SHOW` writes the graphs anew.
    """
    fleet, graph, outcome, actions = batch.fleet, batch.graph, batch.outcome, batch.actions[0]
    for b in range(first, first + count):
        own = actions[b] if action == _EACH else action
        if own >= 0 or action == _SHOW:
            _step_slot(fleet, graph, outcome, b, own)
        else:
            outcome.reward[b] = outcome.elapsed[b] = 0.0


def scaled_position(day: FleetDay) -> NDArray[np.float32]:
    """(V, 2) positions from 0 at the western and southern ends, in units of the network's larger side."""
    low = day.position.min(axis=0)
    side = max(1, int((day.position.max(axis=0) - low).max()))
    return ((day.position - low) / side).astype(np.float32)


class FleetEngine(SlotEngine):
    """`num_slots` fleets of at most the given size, stepped together.

    Attributes:
        schema: The decision graph's schema.
        observation: The live buffers, batch axis first; overwritten by every step.
        outcome: Reward, termination and elapsed time of each slot after the last step.
        fleet: The simulator's arrays.
        graph: The kernels' view of `observation`.
    """

    def __init__(self, num_slots: int, size: FleetSize, num_bins: int = 24, num_arrivals: int = 256) -> None:
        self.size, self._num_bins = size, num_bins
        self.schema = fleet_schema(size.num_vertiports, size.num_aircraft)
        self.observation = self.schema.zeros(num_slots)
        self.outcome = TimedOutcome(np.zeros(num_slots), np.zeros(num_slots, np.bool_), np.zeros(num_slots))
        self.fleet = make_fleet(
            num_slots,
            size.num_vertiports,
            size.num_aircraft,
            size.num_legs,
            size.num_chargers,
            size.num_corridors,
            num_bins,
            num_arrivals,
        )
        self.loaded = [""] * num_slots
        self._actions = np.zeros(num_slots, np.int64)
        self._bind()
        self._run = compiled(_run, self.batch, 0, 1, _EACH)

    def _bind(self) -> None:
        self.graph = graph_view(self.observation)
        self.batch = _make_batch(self.fleet, self.graph, self.outcome, (self._actions,))
        self._clock = self.fleet.clock.data

    def load(self, slot: int, instance: FleetDay, tick: int = 1) -> None:
        """Start a day in a slot, with decisions at multiples of `tick` s.

        Raises `InvalidInstanceError` if the day is larger than the engine.
        """
        self.write(slot, instance, tick)
        _start(self.batch, slot, scaled_position(instance))
        self._run(self.batch, slot, 1, _SHOW)
        self.outcome.reward[slot] = self.outcome.elapsed[slot] = 0.0
        self.outcome.terminated[slot] = False

    def show(self, slot: int) -> None:
        """Write all of a slot's decision graph that may change in a day, after something else than `step` has run it."""
        K = int(self.fleet.parameter[slot, AIRCRAFT])
        self.fleet.changed[slot, :K] = np.arange(K)
        self.fleet.clock[slot, CHANGED] = K
        self._run(self.batch, slot, 1, _SHOW)

    def write(self, slot: int, instance: FleetDay, tick: int = 1) -> None:
        """Put a day's data into a slot, without starting it."""
        self._check(instance)
        self._make_room(instance.passenger_count)
        self.loaded[slot] = instance.name
        fleet, p = self.fleet, instance.parameters
        V, K, H = instance.num_vertiports, instance.num_aircraft, p.num_bins
        between = ~np.eye(V, dtype=bool)
        money = max(1, round(p.seats * float(instance.fare[between].mean())))
        fleet.parameter[slot] = (
            *(V, K, p.horizon, p.seats, p.battery, p.charge_per_stay, p.stay_time, p.takeoff_time),
            *(p.max_delay, p.patience, p.num_corridors, p.headway, p.final_energy_price),
            *(instance.passenger_count, H, money, p.day_start, tick),
        )
        leg = fleet.leg[slot, :V, :V]
        leg[..., TIME], leg[..., ENERGY] = instance.flight_time, instance.flight_energy
        leg[..., COST] = instance.operating_cost
        fleet.fare[slot, :V, :V, :H], fleet.forecast[slot, :V, :V, :H] = instance.fare, instance.forecast
        fleet.highest[slot, :V, :V] = instance.fare.max(axis=2)
        fleet.closed[slot, :V, :V, : instance.closed.shape[2]] = instance.closed
        fleet.price[slot, :H] = instance.energy_price
        fleet.arrival[slot, : instance.passenger_count, AT] = instance.arrival_time
        fleet.arrival[slot, : instance.passenger_count, PAIR] = instance.arrival_pair
        legs = min(instance.delay_noise.shape[1], self.size.num_legs)
        fleet.trouble[slot, :K, :legs, DELAY] = instance.delay_noise[:, :legs]
        fleet.trouble[slot, :K, :legs, DOWNTIME] = instance.downtime[:, :legs]
        port = fleet.vertiport[slot, :V]
        port[:, PARKING], port[:, CHARGERS] = instance.parking, instance.chargers
        port[:, MEAN_DELAY], port[:, NEEDED] = instance.mean_delay, instance.energy_needed
        fleet.aircraft[slot, :K, PLACE] = instance.start

    def _check(self, instance: FleetDay) -> None:
        asked = FleetSize.of(instance)
        limits = {key: getattr(self.size, key) for key in FleetSize.__dataclass_fields__}
        if any(getattr(asked, key) > limit for key, limit in limits.items()):
            raise InvalidInstanceError(
                f"instance {instance.name!r} has {asked}; the environment was made for at most {self.size}"
            )
        if instance.parameters.num_bins > self._num_bins:
            raise InvalidInstanceError(
                f"instance {instance.name!r} has {instance.parameters.num_bins} half hours; "
                f"the environment was made for at most {self._num_bins}"
            )

    def _make_room(self, passengers: int) -> None:
        """Let the arrays hold a busier day than any before: its passengers are no part of an observation."""
        held = self.fleet.arrival
        if passengers > held.shape[1]:
            grown = np.zeros((held.shape[0], passengers * 5 // 4, held.shape[2]), np.int32)
            grown[:, : held.shape[1]] = held
            self.fleet = self.fleet._replace(arrival=grown)
            self._bind()

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        self._actions[:] = actions
        self._run(self.batch, 0, len(self.loaded), _EACH)

    def step_one(self, action: int) -> None:
        """Take one decision in slot 0, which must be allowed."""
        self._run(self.batch, 0, 1, action)

    def objective(self, slot: int) -> float:
        """Profit so far, USD."""
        return self.books(slot).profit / CENTS

    def lower_bound(self, slot: int) -> float:
        """Upper bound of the profit given the decisions so far, USD: all passengers left pay their route's highest fare."""
        return (
            self._clock[slot, PAID] + self._clock[slot, POTENTIAL]
        ) / CENTS  # a step pays out all profit so far

    def books(self, slot: int) -> Books:
        """The books so far."""
        clock = self.fleet.clock[slot]
        columns = (REVENUE, ELECTRICITY, OPERATING, SERVED, SPILLED, FLIGHTS, EMPTY)
        return Books(*(int(clock[column]) for column in columns))

    def profits(self, slot: int) -> NDArray[np.int64]:
        """Profit of each aircraft so far (K,), cents."""
        return self.fleet.aircraft[slot, :, PROFIT].astype(np.int64)

    def decider(self, slot: int) -> int:
        """The aircraft that decides now, -1 once the day is over."""
        return self._clock[slot, DECIDER]

    def now(self, slot: int) -> int:
        """Present time, s."""
        return self._clock[slot, NOW]

    def num_decisions(self, slot: int) -> int:
        """Decisions taken in the episode."""
        return self._clock[slot, DECISIONS]

    def schedule(self, slot: int) -> Schedule:
        """What has been decided so far, in the order of decisions; see `makespan.envs.fleet.validator`."""
        log = self.fleet.log[slot, : self.fleet.clock[slot, ROWS]].astype(np.int64)
        return Schedule(
            job=log[:, LOG_JOB],
            task=log[:, LOG_TASK],
            resource=log[:, LOG_PLACE],
            start=log[:, LOG_START],
            end=log[:, LOG_END],
            kind=tuple(KINDS[kind] for kind in log[:, LOG_KIND]) or ("stay",),
            name=self.loaded[slot],
        )

    def _arguments(self) -> dict[str, Any]:
        arrivals = self.fleet.arrival.shape[1]
        return {"size": self.size, "num_bins": self._num_bins, "num_arrivals": arrivals}

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (*self.fleet, *self.observation.values(), *self.outcome)
