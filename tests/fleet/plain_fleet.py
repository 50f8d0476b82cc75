"""The fleet in plain Python, written from the description: slow, readable, and sharing nothing with ours but the instance."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from makespan.envs.fleet.instance import FleetDay


class PlainFleet:
    """One day, decision by decision: `decider` is the aircraft whose turn it is, None at the end."""

    def __init__(self, day: FleetDay) -> None:
        self.day, self.p = day, day.parameters
        self.place = day.start.tolist()
        self.energy = [self.p.battery] * day.num_aircraft
        self.events = [(0, k) for k in range(day.num_aircraft)]
        self.flights, self.landings = [0] * day.num_aircraft, [0] * day.num_aircraft
        self.in_air = [False] * day.num_aircraft
        self.coming = deque(zip(day.arrival_time.tolist(), day.arrival_pair.tolist(), strict=True))
        self.queues: dict[tuple[int, int], deque[int]] = defaultdict(deque)
        self.slots: dict[tuple[int, int, int], int] = {}
        self.charger_free: dict[tuple[int, int], int] = {}
        self.heading = self.place.copy()  # where each aircraft is or will be
        self.profit = self.revenue = self.electricity = self.operating = 0
        self.now, self.decider = 0, 0
        self._next()

    def _next(self) -> None:
        while True:
            time, k = min(self.events)
            if time >= self.p.horizon:
                self.decider = None
                return
            if self.in_air[k]:
                self.in_air[k] = False
                down = int(self.day.downtime[k, self.landings[k]])
                self.landings[k] += 1
                if down:
                    self._busy(k, time + down)
                    continue
            self.now, self.decider = time, k
            while self.coming and self.coming[0][0] <= time:
                arrived, pair = self.coming.popleft()
                self.queues[divmod(pair, self.day.num_vertiports)].append(arrived)
            return

    def _busy(self, k: int, until: int) -> None:
        self.events[k] = (until, k)
        if until >= self.p.horizon:
            bill = (self.p.battery - self.energy[k]) * self.p.final_energy_price
            self.electricity += bill
            self.profit -= bill

    def waiting(self, i: int, j: int) -> deque[int]:
        queue = self.queues[i, j]
        while queue and queue[0] + self.p.patience <= self.now:
            queue.popleft()
        return queue

    def allowed(self) -> list[int]:
        """Destinations of the decider, its own place included."""
        k, day = self.decider, self.day
        i = self.heading[k]
        out = []
        for j in range(day.num_vertiports):
            needed = self.p.reserve
            if day.chargers[j] == 0:
                needed += min(
                    int(day.flight_energy[j, h]) for h in range(day.num_vertiports) if day.chargers[h]
                )
            fits = sum(place == j for place in self.heading) < day.parking[j]
            is_open = not day.closed[i, j, self.now // 3600]
            if j == i or (fits and is_open and self.energy[k] - day.flight_energy[i, j] >= needed):
                out.append(j)
        return out

    def step(self, j: int) -> None:
        """The decider flies to j, or stays."""
        k, day, half_hour = self.decider, self.day, self.now // 1800
        i = self.heading[k]
        if i == j:
            until = self.now + self.p.stay_time
            for c in range(day.chargers[i]):
                if self.energy[k] < self.p.battery and self.charger_free.get((i, c), 0) <= self.now:
                    self.charger_free[i, c] = until
                    added = min(self.p.battery - self.energy[k], self.p.charge_per_stay)
                    self.energy[k] += added
                    self.electricity += added * int(day.energy_price[half_hour])
                    self.profit -= added * int(day.energy_price[half_hour])
                    break
        else:
            queue = self.waiting(i, j)
            riders = min(len(queue), self.p.seats)
            for _ in range(riders):
                queue.popleft()
            delay = int(day.mean_delay[i] + day.delay_noise[k, self.flights[k]])
            leaves = self.now + min(max(delay, 0), self.p.max_delay) + self.p.takeoff_time
            if self.p.num_corridors:
                corridors = range(self.p.num_corridors)
                c = min(corridors, key=lambda c: self.slots.get((i, j, c), -self.p.headway))
                leaves = max(leaves, self.slots.get((i, j, c), -self.p.headway) + self.p.headway)
                self.slots[i, j, c] = leaves
            until = leaves + int(day.flight_time[i, j])
            self.heading[k], self.in_air[k] = j, True
            self.flights[k] += 1
            self.energy[k] -= int(day.flight_energy[i, j])
            fares, cost = riders * int(day.fare[i, j, half_hour]), int(day.operating_cost[i, j])
            self.revenue += fares
            self.operating += cost
            self.profit += fares - cost
        self._busy(k, until)
        self._next()


def play_plain(day: FleetDay, choose: Callable[[PlainFleet, list[int]], int]) -> PlainFleet:
    """The day at its end."""
    fleet = PlainFleet(day)
    while fleet.decider is not None:
        fleet.step(choose(fleet, fleet.allowed()))
    return fleet
