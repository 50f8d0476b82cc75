"""A transfer cell in plain Python, written from the definition: the clock ticks by ones, and dead ends are found by search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from makespan.envs.transfer_robot.instance import TransferCell

Move = tuple[str, int, int]  # ("fetch", station, -1), ("deliver", station, hand), ("wait", -1, -1)


@dataclass
class Robot:
    """Where it is or goes, what it has in its hands, until when it moves."""

    at: int
    held: list[int | None]
    until: int | None = None
    doing: str = ""
    arrival: int = 0
    aside: str = ""


@dataclass
class Chamber:
    """The glass in it or on its way, when its process ends, and whether a robot comes for it."""

    stage: int
    glass: int | None = None
    ready: int = 0
    fetched: bool = False


@dataclass
class PlainCell:
    """One episode; `ask` says whose turn it is and what he may do, `play` takes a move."""

    cell: TransferCell
    ahead: bool = True
    now: int = 0
    taken: int = 0  # glasses taken from the port
    port_ready: int = 0
    out: list[int] = field(default_factory=list)
    late: int = 0

    def __post_init__(self) -> None:
        cell = self.cell
        self.robots = [
            Robot(home, [None] * hands)
            for home, hands in zip(cell.home.tolist(), cell.hands.tolist(), strict=True)
        ]
        stages = [stage for stage, count in enumerate(cell.chambers.tolist(), 1) for _ in range(count)]
        self.chambers = {station: Chamber(stage) for station, stage in enumerate(stages, 1)}
        self.level = [0] * cell.num_glasses
        self.port_ready = int(cell.release[0])
        self.asked = -1

    @property
    def done(self) -> bool:
        return len(self.out) == self.cell.num_glasses

    @property
    def objective(self) -> int:
        return max(self.out) + self.cell.penalty * self.late

    def ask(self) -> tuple[int, set[Move]] | None:
        """Tick on to the next decision: the robot and its moves; None at the end."""
        self._finish_moves()
        while not self.done:
            for r, robot in enumerate(self.robots):
                if robot.until is not None or robot.aside:
                    continue
                moves = set(self._moves(r))
                if not moves:
                    robot.aside = "stuck"
                    continue
                others = any(
                    one.until is None and not one.aside and any(True for _ in self._moves(s))
                    for s, one in enumerate(self.robots)
                    if s > r
                )
                if others or self._something_ahead():
                    moves.add(("wait", -1, -1))
                self.asked = r
                return r, moves
            assert self._something_ahead(), "dead end"
            self._tick()
        return None

    def play(self, move: Move) -> None:
        """Let the asked robot take a move."""
        kind, station, hand = move
        robot, cell = self.robots[self.asked], self.cell
        if kind == "wait":
            robot.aside = "waits"
            return
        robot.arrival = self.now + int(cell.travel[robot.at, station])
        robot.at, robot.doing = station, kind
        if kind == "fetch":
            if station == 0:
                glass, ready = self.taken, self.port_ready
                begin = max(robot.arrival, ready)
                self.taken += 1
                if self.taken < cell.num_glasses:
                    self.port_ready = max(begin, int(cell.release[self.taken]))
            else:
                chamber = self.chambers[station]
                assert chamber.glass is not None
                glass, chamber.fetched = chamber.glass, True
                begin = max(robot.arrival, chamber.ready)
                limit = int(cell.limit[cell.recipe[glass], chamber.stage - 1])
                self.late += limit >= 0 and begin - chamber.ready > limit
            robot.held[robot.held.index(None)] = glass
            robot.until = begin + int(cell.unload_time[station])
        else:
            glass_or_none = robot.held[hand]
            assert glass_or_none is not None
            robot.held[hand] = None
            robot.until = robot.arrival + int(cell.load_time[station])
            self.level[glass_or_none] += 1
            stage = self.level[glass_or_none]
            if stage > cell.num_stages:
                robot.doing = "leave"
            else:
                chamber = self.chambers[station]
                chamber.glass, chamber.fetched = glass_or_none, False
                time = int(
                    cell.process[cell.recipe[glass_or_none], stage - 1] + cell.delay[glass_or_none, stage - 1]
                )
                chamber.ready = robot.until + time
        for other in self.robots:
            if other.aside == "stuck":
                other.aside = ""
        self._finish_moves()

    def _finish_moves(self) -> None:
        for robot in self.robots:
            if robot.until == self.now:
                robot.until = None
                if robot.doing == "leave":
                    self.out.append(self.now)
                elif robot.doing == "fetch" and robot.at > 0:
                    self.chambers[robot.at].glass = None
                    self.chambers[robot.at].fetched = False

    def _waiting_for(self) -> list[int]:
        """When something happens to which an idle robot could react."""
        times = [c.ready for c in self.chambers.values() if c.glass is not None and not c.fetched]
        return times + ([self.port_ready] if self.taken < self.cell.num_glasses else [])

    def _something_ahead(self) -> bool:
        moving = any(robot.until is not None for robot in self.robots)
        return moving or any(time > self.now for time in self._waiting_for())

    def _tick(self) -> None:
        self.now += 1
        event = any(robot.until == self.now for robot in self.robots) or self.now in self._waiting_for()
        self._finish_moves()
        if event:
            for robot in self.robots:
                robot.aside = ""

    def _moves(self, r: int) -> Iterator[Move]:
        robot = self.robots[r]
        if None in robot.held:
            stations = [x for x, c in self.chambers.items() if c.glass is not None and not c.fetched]
            for x in ([0] if self.taken < self.cell.num_glasses else []) + stations:
                ready = self.port_ready if x == 0 else self.chambers[x].ready
                if (self.ahead or ready <= self.now) and not self._ends_dead(r, x):
                    yield ("fetch", x, -1)
        for hand, glass in enumerate(robot.held):
            if glass is None:
                continue
            stage = self.level[glass] + 1
            if stage > self.cell.num_stages:
                yield ("deliver", len(self.chambers) + 1, hand)
            for x, chamber in self.chambers.items():
                if chamber.stage == stage and chamber.glass is None:
                    yield ("deliver", x, hand)

    def _ends_dead(self, r: int, x: int) -> bool:
        """Whether no sequence of moves takes all glasses out once all moves under way, and this fetch, have ended."""
        stages, cell = cell_stages(self.cell), self.cell
        inside = tuple(
            sum(
                c.glass is not None and not c.fetched and station != x
                for station, c in self.chambers.items()
                if c.stage == s
            )
            for s in range(1, cell.num_stages + 1)
        )
        hands = [sorted(self.level[g] for g in robot.held if g is not None) for robot in self.robots]
        hands[r].append(0 if x == 0 else self.chambers[x].stage)
        waiting = cell.num_glasses - self.taken - (x == 0)
        held = tuple(tuple(sorted(one)) for one in hands)
        return not can_end(stages, tuple(cell.hands.tolist()), waiting, inside, held)


def cell_stages(cell: TransferCell) -> tuple[int, ...]:
    """Chambers of each stage."""
    return tuple(cell.chambers.tolist())


@cache
def can_end(
    stages: tuple[int, ...],
    hands: tuple[int, ...],
    waiting: int,
    inside: tuple[int, ...],
    held: tuple[tuple[int, ...], ...],
) -> bool:
    """Whether all glasses can be taken out, one move after the other, by exhaustive search without any clock."""
    if waiting == 0 and not any(inside) and not any(held):
        return True
    for r, one in enumerate(held):
        for i, level in enumerate(one):
            if level < len(stages) and inside[level] == stages[level]:
                continue
            rest = (*held[:r], one[:i] + one[i + 1 :], *held[r + 1 :])
            after = inside if level == len(stages) else _changed(inside, level, 1)
            if can_end(stages, hands, waiting, after, rest):
                return True
        if len(one) == hands[r]:
            continue
        for level in range(len(stages) + 1):
            if (waiting if level == 0 else inside[level - 1]) == 0:
                continue
            more = (*held[:r], tuple(sorted((*one, level))), *held[r + 1 :])
            after = inside if level == 0 else _changed(inside, level - 1, -1)
            if can_end(stages, hands, waiting - (level == 0), after, more):
                return True
    return False


def _changed(inside: tuple[int, ...], stage: int, by: int) -> tuple[int, ...]:
    return (*inside[:stage], inside[stage] + by, *inside[stage + 1 :])
