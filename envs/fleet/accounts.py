"""A day replayed in plain Python from instance and schedule alone: what each row earned, carried and used.

Written from the description of the problem; it shares no code with the simulator. The validator judges with it, the
pictures draw it.

A schedule has a row for each decision and each repair, in the order in which they were taken: `job` is the aircraft,
`task` counts its rows from 0, `resource` is the vertiport it stays at or flies to, `start` the second of the decision
(of the landing, for a repair), `end` when it is over. `kind` is "stay" (without a charger), "charge", "fly" or "repair".
A departure is `end` less the flight time; who boards, and what is charged and paid, follows from the instance.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass, field

from makespan.envs.core.schedule import Schedule
from makespan.envs.fleet.instance import CLOSURE_BLOCK, FARE_BIN, FleetDay

_TOO_MANY = 200  # sentences


@dataclass(frozen=True, slots=True)
class Entry:
    """What one row of a schedule came to.

    Attributes:
        origin: Where the aircraft was when the row began.
        boarded: When each passenger who boarded had arrived, s.
        revenue: Fares, cents.
        operating: Operating cost, cents.
        electricity: Energy billed with this row, the last charge of the day included, cents.
        energy_used: By the flight, 0.1 kWh.
        energy_added: On the charger, 0.1 kWh.
        energy_after: In the battery at the end, 0.1 kWh.
        departure: Of the flight, s; the start of other rows.
    """

    origin: int
    boarded: tuple[int, ...] = ()
    revenue: int = 0
    operating: int = 0
    electricity: int = 0
    energy_used: int = 0
    energy_added: int = 0
    energy_after: int = 0
    departure: int = 0

    @property
    def passengers(self) -> int:
        """How many boarded."""
        return len(self.boarded)


@dataclass(slots=True)
class Replay:
    """The rows' entries, and a sentence for each rule that the schedule breaks.

    Attributes:
        entries: One a row.
        violations: One a broken rule.
        spilled: Passengers who gave up.
        waiting: Passengers who still waited at the end.
    """

    entries: list[Entry] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    spilled: int = 0
    waiting: int = 0

    @property
    def served(self) -> int:
        """Passengers of the day."""
        return sum(e.passengers for e in self.entries)

    @property
    def profit(self) -> int:
        """Of the day, cents."""
        return sum(e.revenue - e.operating - e.electricity for e in self.entries)


@dataclass(slots=True, eq=False)
class _Aircraft:
    number: int
    place: int
    energy: int
    free_at: int = 0
    rows: int = 0
    flights: int = 0
    landings: int = 0
    landing: int | None = None  # of the flight that no later row has followed yet
    billed: bool = False


class _World:
    """The state of the day while it is replayed."""

    def __init__(self, day: FleetDay, tick: int) -> None:
        self.day, self.tick = day, tick
        p = day.parameters
        self.aircraft = [_Aircraft(k, int(place), p.battery) for k, place in enumerate(day.start)]
        self.occupancy = [int((day.start == i).sum()) for i in range(day.num_vertiports)]
        self.queues: dict[tuple[int, int], deque[int]] = {}
        self.arrivals = iter(zip(day.arrival_time.tolist(), day.arrival_pair.tolist(), strict=True))
        self.coming = next(self.arrivals, None)
        self.departures: dict[tuple[int, int], list[int]] = {}
        self.charging: list[list[int]] = [[] for _ in range(day.num_vertiports)]  # ends of the blocks
        self.out = Replay()

    def complain(self, sentence: str) -> None:
        if len(self.out.violations) < _TOO_MANY:
            self.out.violations.append(sentence)

    def admit(self, now: int) -> None:
        """Passengers who have arrived by now queue up."""
        while self.coming is not None and self.coming[0] <= now:
            time, pair = self.coming
            self.queues.setdefault(divmod(pair, self.day.num_vertiports), deque()).append(time)
            self.coming = next(self.arrivals, None)

    def board(self, origin: int, destination: int, now: int) -> tuple[int, ...]:
        """Let up to an aircraft's seats of them board, the longest waiting first, who have not given up."""
        queue = self.queues.get((origin, destination), deque())
        while queue and queue[0] + self.day.parameters.patience <= now:
            queue.popleft()
            self.out.spilled += 1
        return tuple(queue.popleft() for _ in range(min(len(queue), self.day.parameters.seats)))

    def next_tick(self, time: int) -> int:
        return -(-time // self.tick) * self.tick


def replay(day: FleetDay, schedule: Schedule, tick: int = 1) -> Replay:
    """Replay a schedule, and note every rule that it breaks.

    Args:
        day: The instance.
        schedule: See the module's docstring.
        tick: Seconds between the moments at which decisions are taken; 1 in event order, 300 in the Parallel environment.
    """
    world = _World(day, tick)
    rows = zip(
        *(getattr(schedule, key).tolist() for key in ("job", "task", "resource", "start", "end")),
        schedule.kinds,
        strict=True,
    )
    latest = 0
    for number, (job, task, place, start, end, kind) in enumerate(rows):
        if not 0 <= job < day.num_aircraft:
            world.complain(f"row {number} names unknown aircraft {job}; expected 0..{day.num_aircraft - 1}")
            continue
        if not 0 <= place < day.num_vertiports:
            world.complain(
                f"row {number} names unknown vertiport {place}; expected 0..{day.num_vertiports - 1}"
            )
            continue
        where = f"aircraft {job} row {task}"
        aircraft = world.aircraft[job]
        if task != aircraft.rows:
            world.complain(f"{where}: expected row {aircraft.rows}")
        aircraft.rows = task + 1
        if kind == "repair":
            _repair(world, where, aircraft, place, start, end)
            continue
        if start < latest:
            world.complain(f"{where}: decided at {start}, but an earlier row was decided at {latest}")
        latest = max(latest, start)
        _decision(world, where, aircraft, place, start, end, kind)
    _close(world)
    return world.out


def _decision(
    world: _World, where: str, aircraft: _Aircraft, place: int, start: int, end: int, kind: str
) -> None:
    day, p = world.day, world.day.parameters
    if aircraft.landing is not None:
        downtime = _downtime(world, aircraft)
        if downtime:
            world.complain(f"{where}: no repair of {downtime} s after the landing at {aircraft.landing}")
        aircraft.landing = None
    due = world.next_tick(aircraft.free_at)
    if start != due:
        world.complain(f"{where}: decided at {start}; expected {due}, when the aircraft is free")
    if start >= p.horizon or start < 0:
        world.complain(f"{where}: decided at {start}; expected a time of the day 0..{p.horizon - 1}")
        return
    world.admit(start)
    origin = aircraft.place
    bin_, price = start // FARE_BIN, int(day.energy_price[start // FARE_BIN])
    if kind == "fly":
        entry = _flight(world, where, aircraft, place, start, end, bin_)
    elif kind in ("stay", "charge"):
        entry = _stay(world, where, aircraft, place, start, end, kind, price)
    else:
        world.complain(f"{where}: unknown kind {kind!r}; expected stay, charge, fly or repair")
        entry = Entry(origin)
    aircraft.free_at = end
    world.out.entries.append(_with_last_bill(world, aircraft, entry))


def _flight(world: _World, where: str, aircraft: _Aircraft, j: int, start: int, end: int, bin_: int) -> Entry:
    day, p, i, k = world.day, world.day.parameters, aircraft.place, aircraft.number
    if i == j:
        world.complain(f"{where}: flies from vertiport {i} to itself")
        return Entry(i)
    departure = end - int(day.flight_time[i, j])
    delay = min(max(int(day.mean_delay[i] + day.delay_noise[k, aircraft.flights]), 0), p.max_delay)
    ready = start + p.takeoff_time + delay
    slots = world.departures.setdefault((i, j), [])
    if p.num_corridors:
        # in each of c corridors departures follow one another by the headway: so do every c-th of all in order
        recent = sorted(slots)[-p.num_corridors :]
        earliest = recent[0] + p.headway if len(recent) == p.num_corridors else ready
        ready = max(ready, earliest)
    slots.append(departure)
    if departure != ready:
        world.complain(
            f"{where}: departs at {departure}; expected {ready} by take-off time, delay and headway"
        )
    if day.closed[i, j, start // CLOSURE_BLOCK]:
        world.complain(f"{where}: flies from {i} to {j} at {start}, while the route is closed")
    used = int(day.flight_energy[i, j])
    needed = int(day.energy_needed[j])
    if aircraft.energy - used < needed:
        world.complain(
            f"{where}: lands at {j} with energy {aircraft.energy - used}; expected at least {needed}"
        )
    if world.occupancy[j] >= day.parking[j]:
        world.complain(f"{where}: flies to {j}, where all {day.parking[j]} places are taken")
    world.occupancy[i] -= 1
    world.occupancy[j] += 1
    boarding = world.board(i, j, start)
    aircraft.energy -= used
    aircraft.place, aircraft.landing = j, end
    aircraft.flights += 1
    return Entry(
        origin=i,
        boarded=boarding,
        revenue=len(boarding) * int(day.fare[i, j, bin_]),
        operating=int(day.operating_cost[i, j]),
        energy_used=used,
        energy_after=aircraft.energy,
        departure=departure,
    )


def _stay(
    world: _World,
    where: str,
    aircraft: _Aircraft,
    place: int,
    start: int,
    end: int,
    kind: str,
    price: int,
) -> Entry:
    p, i = world.day.parameters, aircraft.place
    if place != i:
        world.complain(f"{where}: stays at {place}, but the aircraft is at {i}")
    if end - start != p.stay_time:
        world.complain(f"{where}: stays for {end - start} s; expected {p.stay_time}")
    busy = [until for until in world.charging[i] if until > start]
    world.charging[i] = busy
    missing, free = p.battery - aircraft.energy, int(world.day.chargers[i]) - len(busy)
    added = 0
    if kind == "charge":
        if free <= 0:
            world.complain(f"{where}: charges at {i}, where all {world.day.chargers[i]} chargers are in use")
        if missing <= 0:
            world.complain(f"{where}: charges with a full battery")
        busy.append(end)
        added = min(missing, p.charge_per_stay)
    elif missing > 0 and free > 0:
        world.complain(f"{where}: stays at {i} with energy {aircraft.energy} beside a free charger")
    aircraft.energy += added
    return Entry(
        origin=i,
        electricity=added * price,
        energy_added=added,
        energy_after=aircraft.energy,
        departure=start,
    )


def _downtime(world: _World, aircraft: _Aircraft) -> int:
    """Repair after the landing at hand, which is counted."""
    aircraft.landings += 1
    return int(world.day.downtime[aircraft.number, aircraft.landings - 1])


def _repair(world: _World, where: str, aircraft: _Aircraft, place: int, start: int, end: int) -> None:
    if aircraft.landing is None:
        world.complain(f"{where}: a repair that follows no landing")
    else:
        if start != aircraft.landing:
            world.complain(f"{where}: repair from {start}; expected from the landing at {aircraft.landing}")
        downtime = _downtime(world, aircraft)
        if end - start != downtime:
            world.complain(f"{where}: repair of {end - start} s; expected {downtime}")
        aircraft.landing = None
    if place != aircraft.place:
        world.complain(f"{where}: repair at {place}, but the aircraft is at {aircraft.place}")
    aircraft.free_at = end
    entry = Entry(aircraft.place, energy_after=aircraft.energy, departure=start)
    world.out.entries.append(_with_last_bill(world, aircraft, entry))


def _with_last_bill(world: _World, aircraft: _Aircraft, entry: Entry) -> Entry:
    """Add the last charge to an entry after which the aircraft cannot decide any more today."""
    p = world.day.parameters
    if aircraft.billed or world.next_tick(aircraft.free_at) < p.horizon:
        return entry
    aircraft.billed = True
    bill = (p.battery - aircraft.energy) * p.final_energy_price
    return dataclasses.replace(entry, electricity=entry.electricity + bill)


def _close(world: _World) -> None:
    """At the end of the day nobody may have a decision left; those whose patience is over have gone."""
    horizon = world.day.parameters.horizon
    world.admit(horizon)
    for queue in world.queues.values():
        world.out.spilled += sum(time + world.day.parameters.patience <= horizon for time in queue)
        world.out.waiting += sum(time + world.day.parameters.patience > horizon for time in queue)
    for k, aircraft in enumerate(world.aircraft):
        if aircraft.landing is not None and aircraft.landing < world.day.parameters.horizon:
            downtime = _downtime(world, aircraft)
            if downtime:
                world.complain(f"aircraft {k}: no repair of {downtime} s after its last landing")
        due = world.next_tick(aircraft.free_at)
        if due < world.day.parameters.horizon:
            world.complain(f"aircraft {k} has no decision at {due}; expected rows until the end of the day")
