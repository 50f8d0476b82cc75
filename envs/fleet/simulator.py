"""The fleet simulator: Numba kernels over struct-of-arrays state with a leading batch axis.

An aircraft decides when it has landed, when it has been repaired, and when a stay ends. It flies to another vertiport or stays.

* *Fly* i to j: up to `seats` of those who wait for j board; the place at i is free, one at j is taken. The aircraft leaves at the
  latest of: decision + take-off time + delay, and the earliest slot of the corridors from i to j. It decides again on landing.
* *Stay* at i: for `stay_time`. If energy is missing and a charger is free, the charger is held and the energy billed.

Aircraft that are free at the same second decide in the order of their numbers. Time is in s, energy in 0.1 kWh, money in cents:
all sums are exact. A passenger waits from arrival until, and not including, arrival + patience. Queues are first in, first out,
one for each ordered pair, kept up to date by two pointers into the day's passengers: a step costs no more late in the day.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.fleet.instance import CLOSURE_BLOCK, FARE_BIN

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]

STAY: Final = 0
CHARGE: Final = 1
FLY: Final = 2
REPAIR: Final = 3
KINDS: Final = ("stay", "charge", "fly", "repair")

# Columns of `Fleet.parameter`.
VERTIPORTS: Final = 0
AIRCRAFT: Final = 1
HORIZON: Final = 2
SEATS: Final = 3
BATTERY: Final = 4
CHARGE_PER_STAY: Final = 5
STAY_TIME: Final = 6
TAKEOFF: Final = 7
MAX_DELAY: Final = 8
PATIENCE: Final = 9
CORRIDORS: Final = 10
HEADWAY: Final = 11
FINAL_PRICE: Final = 12
ARRIVALS: Final = 13
BINS: Final = 14
MONEY: Final = 15  # revenue of a full flight at the day's mean fare, cents
DAY_START: Final = 16
TICK: Final = 17  # decisions are taken at multiples of it; 1 in event order
NUM_PARAMETERS: Final = 18

# Columns of `Fleet.clock`.
NOW: Final = 0
DECIDER: Final = 1  # -1 once the day is over
REVENUE: Final = 2
ELECTRICITY: Final = 3
OPERATING: Final = 4
PAID: Final = 5  # profit up to which rewards have been handed out
ARRIVED: Final = 6  # passengers who have arrived
EXPIRED: Final = 7  # passengers whose patience is over, aboard or not
SERVED: Final = 8
SPILLED: Final = 9
FLIGHTS: Final = 10
EMPTY: Final = 11  # flights without passengers
DECISIONS: Final = 12
ROWS: Final = 13
WRITTEN_BIN: Final = 14  # half hour that the observation's series stand for
CHANGED: Final = 15  # aircraft in `Fleet.changed`
CONSUMED: Final = 16  # energy of all flights, 0.1 kWh
CHARGED: Final = 17  # energy charged in the day, 0.1 kWh
POTENTIAL: Final = 18  # highest fares of all who wait or will still arrive, cents
NUM_CLOCK: Final = 19

# Columns of `Fleet.aircraft`.
PLACE: Final = 0  # where it stands, or where it flies to
STATUS: Final = 1  # the kind of its present row
FREE_AT: Final = 2  # end of its present row
LEVEL: Final = 3  # energy in the battery
ABOARD: Final = 4
FLOWN: Final = 5  # flights begun
LANDED: Final = 6
LEGS: Final = 7  # rows so far
PROFIT: Final = 8
DONE: Final = 9  # no further decision today; the last charge is billed
PARKED: Final = 10  # 1 if its present row is over and it awaits a decision
DEPARTS: Final = 11
NUM_AIRCRAFT: Final = 12

# Columns of `Fleet.vertiport`.
PARKING: Final = 0
CHARGERS: Final = 1
MEAN_DELAY: Final = 2
NEEDED: Final = 3  # energy that a landing must leave
OCCUPANCY: Final = 4  # aircraft there or on the way
INBOUND: Final = 5
NUM_VERTIPORT: Final = 6

# Columns of `Fleet.leg`.
TIME: Final = 0
ENERGY: Final = 1
COST: Final = 2

# Columns of `Fleet.arrival`.
AT: Final = 0
PAIR: Final = 1
NEXT: Final = 2  # next passenger of the pair

# Columns of `Fleet.queue`.
LENGTH: Final = 0
HEAD: Final = 1  # passenger who waits longest
TAIL: Final = 2  # last who has arrived

# Columns of `Fleet.stale`.
FROM: Final = 0
TO: Final = 1

# Columns of `Fleet.trouble`.
DELAY: Final = 0
DOWNTIME: Final = 1

# Columns of `Fleet.log`; the job is the aircraft.
LOG_JOB: Final = 0
LOG_TASK: Final = 1
LOG_PLACE: Final = 2
LOG_START: Final = 3
LOG_END: Final = 4
LOG_KIND: Final = 5

_SHIFT: Final = 8192  # keys of the event heap: time * _SHIFT + aircraft


class Fleet(NamedTuple):
    """A batch of B days and their states."""

    parameter: I32  # (B, 18)
    leg: I32  # (B, V, V, 3)
    fare: I32  # (B, V, V, H)
    highest: I32  # (B, V, V) fare of the day
    forecast: F32  # (B, V, V, H)
    closed: NDArray[np.int8]  # (B, V, V, H / 2)
    price: I32  # (B, H)
    realised: I32  # (B, H) passengers who arrive in each half hour
    arrival: I32  # (B, N, 3)
    trouble: I32  # (B, K, L, 2)
    clock: I64  # (B, 19)
    aircraft: I32  # (B, K, 12)
    vertiport: I32  # (B, V, 6)
    queue: I32  # (B, V, V, 3)
    charger: I32  # (B, V, C) when each charger is free
    corridor: I32  # (B, V, V, max(1, c)) last departure in each corridor
    event: I64  # (B, K) heap of the aircraft's next events
    changed: I32  # (B, K) aircraft whose rows in the observation are out of date
    log: I32  # (B, 2 K L, 6)
    stale: NDArray[
        np.int8
    ]  # (B, V, 2) 1 if what is shown of the queues from, and to, a vertiport is out of date
    soon: F32  # (B, V, V) expected passengers of this half hour and the next
    worth: F32  # (B, V, V) cents a passenger of a full flight, costs deducted; 0 out of reach


def make_fleet(
    num_slots: int,
    num_vertiports: int,
    num_aircraft: int,
    num_legs: int,
    num_chargers: int,
    num_corridors: int,
    num_bins: int,
    num_arrivals: int,
) -> Fleet:
    """Zeroed arrays for `num_slots` days of at most this size."""
    B, V, K, H = num_slots, num_vertiports, num_aircraft, num_bins
    return Fleet(
        parameter=np.zeros((B, NUM_PARAMETERS), np.int32),
        leg=np.zeros((B, V, V, 3), np.int32),
        fare=np.zeros((B, V, V, H), np.int32),
        highest=np.zeros((B, V, V), np.int32),
        forecast=np.zeros((B, V, V, H), np.float32),
        closed=np.zeros((B, V, V, H * FARE_BIN // CLOSURE_BLOCK), np.int8),
        price=np.zeros((B, H), np.int32),
        realised=np.zeros((B, H), np.int32),
        arrival=np.zeros((B, num_arrivals, 3), np.int32),
        trouble=np.zeros((B, K, num_legs, 2), np.int32),
        clock=np.zeros((B, NUM_CLOCK), np.int64),
        aircraft=np.zeros((B, K, NUM_AIRCRAFT), np.int32),
        vertiport=np.zeros((B, V, NUM_VERTIPORT), np.int32),
        queue=np.zeros((B, V, V, 3), np.int32),
        charger=np.zeros((B, V, max(1, num_chargers)), np.int32),
        corridor=np.zeros((B, V, V, max(1, num_corridors)), np.int32),
        event=np.zeros((B, K), np.int64),
        changed=np.zeros((B, K), np.int32),
        log=np.zeros((B, 2 * K * num_legs, 6), np.int32),
        stale=np.zeros((B, V, 2), np.int8),
        soon=np.zeros((B, V, V), np.float32),
        worth=np.zeros((B, V, V), np.float32),
    )


@borrowing_kernel
def link_passengers(fleet: Fleet, b: int) -> None:
    """Write each passenger's successor in the pair's queue, and the realised arrivals of each half hour."""
    arrival, queue = fleet.arrival, fleet.queue
    V, N = fleet.parameter[b, VERTIPORTS], fleet.parameter[b, ARRIVALS]
    fleet.realised[b] = 0
    queue[b] = -1
    for n in range(N):
        arrival[b, n, NEXT] = -1
        i, j = arrival[b, n, PAIR] // V, arrival[b, n, PAIR] % V
        if queue[b, i, j, TAIL] >= 0:
            arrival[b, queue[b, i, j, TAIL], NEXT] = n
        queue[b, i, j, TAIL] = n
        fleet.realised[b, arrival[b, n, AT] // FARE_BIN] += 1


@borrowing_kernel
def reset_slot(fleet: Fleet, b: int) -> None:
    """Start the day in slot b anew; places of the aircraft stand in `aircraft[b, :, PLACE]`."""
    parameter, clock, aircraft, vertiport = fleet.parameter, fleet.clock, fleet.aircraft, fleet.vertiport
    clock[b] = 0
    clock[b, WRITTEN_BIN] = -1
    fleet.queue[b] = 0
    fleet.charger[b] = 0
    fleet.corridor[b] = -parameter[b, HEADWAY]
    vertiport[b, :, OCCUPANCY:] = 0
    for k in range(parameter[b, AIRCRAFT]):
        aircraft[b, k, STATUS:] = 0
        aircraft[b, k, LEVEL] = parameter[b, BATTERY]
        vertiport[b, aircraft[b, k, PLACE], OCCUPANCY] += 1
        fleet.event[b, k] = k
        aircraft[b, k, PARKED] = 1
    V = parameter[b, VERTIPORTS]
    for n in range(parameter[b, ARRIVALS]):
        pair = fleet.arrival[b, n, PAIR]
        clock[b, POTENTIAL] += fleet.highest[b, pair // V, pair % V]
    clock[b, DECIDER] = 0
    admit(fleet, b, 0)


@borrowing_kernel
def current_bin(fleet: Fleet, b: int) -> int:
    """Half hour of the present moment."""
    return min(fleet.clock[b, NOW] // FARE_BIN, fleet.parameter[b, BINS] - 1)


@borrowing_kernel
def _mark_stale(fleet: Fleet, b: int, i: int, j: int) -> None:
    """Note that the queue from i to j has changed."""
    fleet.stale[b, i, FROM] = 1
    fleet.stale[b, j, TO] = 1


@borrowing_kernel
def admit(fleet: Fleet, b: int, now: int) -> None:
    """Let passengers arrive up to and including `now`, and those leave whose patience is over."""
    arrival, queue, clock = fleet.arrival, fleet.queue, fleet.clock
    V, N, patience = (
        fleet.parameter[b, VERTIPORTS],
        fleet.parameter[b, ARRIVALS],
        fleet.parameter[b, PATIENCE],
    )
    n = clock[b, ARRIVED]
    while n < N and arrival[b, n, AT] <= now:
        i, j = arrival[b, n, PAIR] // V, arrival[b, n, PAIR] % V
        if queue[b, i, j, LENGTH] == 0:
            queue[b, i, j, HEAD] = n
        queue[b, i, j, LENGTH] += 1
        _mark_stale(fleet, b, i, j)
        n += 1
    clock[b, ARRIVED] = n
    e = clock[b, EXPIRED]
    while e < n and arrival[b, e, AT] + patience <= now:
        i, j = arrival[b, e, PAIR] // V, arrival[b, e, PAIR] % V
        if queue[b, i, j, LENGTH] > 0 and queue[b, i, j, HEAD] == e:  # else aboard already
            queue[b, i, j, LENGTH] -= 1
            queue[b, i, j, HEAD] = arrival[b, e, NEXT]
            _mark_stale(fleet, b, i, j)
            clock[b, SPILLED] += 1
            clock[b, POTENTIAL] -= fleet.highest[b, i, j]
        e += 1
    clock[b, EXPIRED] = e


@borrowing_kernel
def may_fly(fleet: Fleet, b: int, k: int, j: int) -> bool:
    """Whether aircraft k may fly to another vertiport j now: energy, a place there, an open route."""
    i = fleet.aircraft[b, k, PLACE]
    left = fleet.aircraft[b, k, LEVEL] - fleet.leg[b, i, j, ENERGY]
    if left < fleet.vertiport[b, j, NEEDED] or fleet.closed[b, i, j, fleet.clock[b, NOW] // CLOSURE_BLOCK]:
        return False
    return bool(fleet.vertiport[b, j, OCCUPANCY] < fleet.vertiport[b, j, PARKING])


@borrowing_kernel
def corridor_slot(fleet: Fleet, b: int, i: int, j: int) -> int:
    """The corridor from i to j in which a departure is possible first; -1 where no separation is asked for."""
    best = -1
    for c in range(fleet.parameter[b, CORRIDORS]):
        if best < 0 or fleet.corridor[b, i, j, c] < fleet.corridor[b, i, j, best]:
            best = c
    return best


@borrowing_kernel
def free_charger(fleet: Fleet, b: int, i: int) -> int:
    """A free charger of vertiport i, or -1."""
    for c in range(fleet.vertiport[b, i, CHARGERS]):
        if fleet.charger[b, i, c] <= fleet.clock[b, NOW]:
            return c
    return -1


@borrowing_kernel
def decide(fleet: Fleet, b: int, k: int, j: int) -> None:
    """Aircraft k, which awaits a decision, flies to vertiport j or, if it is there already, stays."""
    aircraft, clock = fleet.aircraft, fleet.clock
    aircraft[b, k, PARKED] = 0
    if aircraft[b, k, PLACE] == j:
        _stay(fleet, b, k)
    else:
        _fly(fleet, b, k, j)
    clock[b, DECISIONS] += 1
    _bill_last_charge(fleet, b, k)


@borrowing_kernel
def _stay(fleet: Fleet, b: int, k: int) -> None:
    parameter, aircraft, clock = fleet.parameter, fleet.aircraft, fleet.clock
    now, place = clock[b, NOW], aircraft[b, k, PLACE]
    end = now + parameter[b, STAY_TIME]
    missing = parameter[b, BATTERY] - aircraft[b, k, LEVEL]
    kind = STAY
    if missing > 0:
        c = free_charger(fleet, b, place)
        if c >= 0:
            kind = CHARGE
            fleet.charger[b, place, c] = end
            added = min(missing, parameter[b, CHARGE_PER_STAY])
            bill = added * fleet.price[b, current_bin(fleet, b)]
            aircraft[b, k, LEVEL] += added
            aircraft[b, k, PROFIT] -= bill
            clock[b, ELECTRICITY] += bill
            clock[b, CHARGED] += added
    aircraft[b, k, ABOARD] = 0
    log_row(fleet, b, k, kind, now, end)


@borrowing_kernel
def _fly(fleet: Fleet, b: int, k: int, j: int) -> None:
    parameter, aircraft, clock, vertiport = fleet.parameter, fleet.aircraft, fleet.clock, fleet.vertiport
    now, i = clock[b, NOW], aircraft[b, k, PLACE]
    riders = min(parameter[b, SEATS], fleet.queue[b, i, j, LENGTH])
    for _ in range(riders):
        fleet.queue[b, i, j, HEAD] = fleet.arrival[b, fleet.queue[b, i, j, HEAD], NEXT]
    fleet.queue[b, i, j, LENGTH] -= riders
    _mark_stale(fleet, b, i, j)
    clock[b, POTENTIAL] -= riders * fleet.highest[b, i, j]
    revenue, cost = riders * fleet.fare[b, i, j, current_bin(fleet, b)], fleet.leg[b, i, j, COST]
    delay = vertiport[b, i, MEAN_DELAY] + fleet.trouble[b, k, aircraft[b, k, FLOWN], DELAY]
    departs = now + parameter[b, TAKEOFF] + min(max(delay, 0), parameter[b, MAX_DELAY])
    c = corridor_slot(fleet, b, i, j)
    if c >= 0:
        departs = max(departs, fleet.corridor[b, i, j, c] + parameter[b, HEADWAY])
        fleet.corridor[b, i, j, c] = departs
    vertiport[b, i, OCCUPANCY] -= 1
    vertiport[b, j, OCCUPANCY] += 1
    vertiport[b, j, INBOUND] += 1
    aircraft[b, k, PLACE], aircraft[b, k, ABOARD], aircraft[b, k, DEPARTS] = j, riders, departs
    aircraft[b, k, LEVEL] -= fleet.leg[b, i, j, ENERGY]
    aircraft[b, k, FLOWN] += 1
    aircraft[b, k, PROFIT] += revenue - cost
    clock[b, REVENUE] += revenue
    clock[b, OPERATING] += cost
    clock[b, SERVED] += riders
    clock[b, FLIGHTS] += 1
    clock[b, EMPTY] += riders == 0
    clock[b, CONSUMED] += fleet.leg[b, i, j, ENERGY]
    log_row(fleet, b, k, FLY, now, departs + fleet.leg[b, i, j, TIME])


@borrowing_kernel
def log_row(fleet: Fleet, b: int, k: int, kind: int, start: int, end: int) -> None:
    """Note what an aircraft does from `start` to `end`."""
    aircraft, row = fleet.aircraft, fleet.log[b, fleet.clock[b, ROWS]]
    aircraft[b, k, STATUS], aircraft[b, k, FREE_AT] = kind, end
    row[LOG_JOB], row[LOG_TASK], row[LOG_PLACE] = k, aircraft[b, k, LEGS], aircraft[b, k, PLACE]
    row[LOG_START], row[LOG_END], row[LOG_KIND] = start, end, kind
    aircraft[b, k, LEGS] += 1
    fleet.clock[b, ROWS] += 1


@borrowing_kernel
def _bill_last_charge(fleet: Fleet, b: int, k: int) -> None:
    """Bill charging to full once it is certain that an aircraft decides no more."""
    parameter, aircraft = fleet.parameter, fleet.aircraft
    tick = parameter[b, TICK]
    if -(-aircraft[b, k, FREE_AT] // tick) * tick >= parameter[b, HORIZON] and not aircraft[b, k, DONE]:
        bill = (parameter[b, BATTERY] - aircraft[b, k, LEVEL]) * parameter[b, FINAL_PRICE]
        aircraft[b, k, DONE] = 1
        aircraft[b, k, PROFIT] -= bill
        fleet.clock[b, ELECTRICITY] += bill


@borrowing_kernel
def finish_row(fleet: Fleet, b: int, k: int) -> bool:
    """End aircraft k's present row at its time; whether it awaits a decision then, and is not under repair."""
    aircraft = fleet.aircraft
    if aircraft[b, k, STATUS] == FLY:
        place, landing = aircraft[b, k, PLACE], aircraft[b, k, FREE_AT]
        fleet.vertiport[b, place, INBOUND] -= 1
        downtime = fleet.trouble[b, k, aircraft[b, k, LANDED], DOWNTIME]
        aircraft[b, k, LANDED] += 1
        aircraft[b, k, ABOARD] = 0
        if downtime > 0:
            log_row(fleet, b, k, REPAIR, landing, landing + downtime)
            _bill_last_charge(fleet, b, k)
            return False
    aircraft[b, k, PARKED] = 1
    return True


@borrowing_kernel
def replace_event(fleet: Fleet, b: int, time: int, k: int) -> None:
    """Give the aircraft at the top of the heap a new time."""
    event, K = fleet.event, fleet.parameter[b, AIRCRAFT]
    key, hole = np.int64(time) * _SHIFT + k, 0
    while True:
        child = 2 * hole + 1
        if child >= K:
            break
        if child + 1 < K and event[b, child + 1] < event[b, child]:
            child += 1
        if key <= event[b, child]:
            break
        event[b, hole] = event[b, child]
        hole = child
    event[b, hole] = key


@borrowing_kernel
def advance(fleet: Fleet, b: int) -> None:
    """Move on to the next decision, or to the end of the day."""
    clock, aircraft = fleet.clock, fleet.aircraft
    while True:
        time, k = fleet.event[b, 0] // _SHIFT, fleet.event[b, 0] % _SHIFT
        if time >= fleet.parameter[b, HORIZON]:
            clock[b, DECIDER] = -1
            time = fleet.parameter[b, HORIZON]
            break
        if finish_row(fleet, b, k):
            clock[b, DECIDER] = k
            break
        fleet.changed[b, clock[b, CHANGED]] = k
        clock[b, CHANGED] += 1
        replace_event(fleet, b, aircraft[b, k, FREE_AT], k)
    clock[b, NOW] = time
    admit(fleet, b, time)


@borrowing_kernel
def profit(fleet: Fleet, b: int) -> int:
    """Profit so far in cents."""
    return fleet.clock[b, REVENUE] - fleet.clock[b, ELECTRICITY] - fleet.clock[b, OPERATING]
