"""Static allocation in plain Python, from the definitions: slow, obvious, and sharing no code with the kernels."""

from __future__ import annotations

import itertools

import numpy as np

from makespan.envs.memory.allocation_instance import AllocationProblem


def small_problem(
    rng: np.random.Generator,
    *,
    num_buffers: int = 5,
    aligned: bool = False,
    gaps: str = "",
    fixed: bool = False,
) -> AllocationProblem:
    """A random problem: sizes 1..4, times 0..6; `gaps` is "", "empty" or "windows"."""
    lower = rng.integers(0, 5, num_buffers)
    upper = lower + rng.integers(1, 4, num_buffers)
    size = rng.integers(1, 5, num_buffers)
    alignment = rng.choice([1, 2, 3], num_buffers) if aligned else np.ones(num_buffers, int)
    rows = []
    if gaps:
        for i in np.flatnonzero(upper - lower >= 2):
            begin = int(rng.integers(lower[i], upper[i] - 1))
            low, high = sorted(rng.integers(0, size[i] + 1, 2)) if gaps == "windows" else (0, 0)
            rows.append([i, begin, begin + 1, low, high])
    where = np.full(num_buffers, -1)
    if fixed:
        where[0] = alignment[0] * int(rng.integers(3))
    return AllocationProblem(
        lower, upper, size, alignment, where, gaps=np.array(rows, int).reshape(-1, 5), name="small"
    )


def full_problem(rng: np.random.Generator, *, load: int = 5, horizon: int = 4) -> AllocationProblem:
    """A random problem whose load is the same at every time."""
    buffers: list[tuple[int, int, int]] = []
    for time in range(horizon):
        free = load - sum(size for _, upper, size in buffers if upper > time)
        while free > 0:
            size = int(rng.integers(1, min(free, 3) + 1))
            buffers.append((time, min(horizon, time + int(rng.integers(1, 4))), size))
            free -= size
    return AllocationProblem.from_buffers(buffers)


def held_at(problem: AllocationProblem, i: int, time: int, offset: int) -> set[int]:
    """The bytes that buffer i holds at a time."""
    if not problem.lower[i] <= time < problem.upper[i]:
        return set()
    for owner, begin, end, low, high in problem.gaps.tolist():
        if owner == i and begin <= time < end:
            return set(range(offset + low, offset + high))
    return set(range(offset, offset + int(problem.size[i])))


def feasible(problem: AllocationProblem, offsets: dict[int, int], i: int, offset: int) -> bool:
    """Whether buffer i may lie at an offset beside those that are placed."""
    return all(
        not held_at(problem, i, time, offset) & held_at(problem, j, time, other)
        for j, other in offsets.items()
        for time in range(int(problem.lower[i]), int(problem.upper[i]))
    )


def lowest(problem: AllocationProblem, offsets: dict[int, int], i: int, floor: int = 0) -> int:
    """The lowest feasible offset of buffer i that is not below the floor."""
    step = int(problem.alignment[i])
    return next(
        o for o in itertools.count(-(-floor // step) * step, step) if feasible(problem, offsets, i, o)
    )


def peak_of(problem: AllocationProblem, offsets: dict[int, int]) -> int:
    return max(o + int(problem.size[i]) for i, o in offsets.items())


def placed(problem: AllocationProblem) -> dict[int, int]:
    """The prescribed offsets."""
    return {i: int(o) for i, o in enumerate(problem.fixed) if o >= 0}


def bits(problem: AllocationProblem) -> list[dict[int, int]]:
    """For each buffer the bytes it holds at each time when it lies at offset 0, as bits of an integer."""
    return [
        {
            time: sum(1 << byte for byte in held_at(problem, i, time, 0))
            for time in range(int(lower), int(upper))
        }
        for i, (lower, upper) in enumerate(zip(problem.lower, problem.upper, strict=True))
    ]


def exhaust(problem: AllocationProblem, choices: str) -> int:
    """Lowest peak over all orders of lowest placements ("orders") or over all offsets ("offsets")."""
    held, size = bits(problem), problem.size.tolist()
    used = [0] * int(problem.upper.max())
    best = sum(size) + int(problem.alignment.sum()) + int(problem.fixed.max()) + 1

    def fits(i: int, offset: int) -> bool:
        return all(not used[time] & (mask << offset) for time, mask in held[i].items())

    def toggle(i: int, offset: int) -> None:
        for time, mask in held[i].items():
            used[time] ^= mask << offset

    def search(left: tuple[int, ...], peak: int) -> None:
        nonlocal best
        if not left:
            best = min(best, peak)
            return
        for i in left if choices == "orders" else left[:1]:
            for offset in range(0, best - size[i], int(problem.alignment[i])):
                if fits(i, offset):
                    toggle(i, offset)
                    search(tuple(j for j in left if j != i), max(peak, offset + size[i]))
                    toggle(i, offset)
                    if choices == "orders":
                        break

    for i, offset in placed(problem).items():
        toggle(i, offset)
    start = max((o + size[i] for i, o in placed(problem).items()), default=0)
    search(tuple(i for i in range(problem.num_buffers) if problem.fixed[i] < 0), start)
    return best


def best_order_peak(problem: AllocationProblem) -> int:
    """Lowest peak over all orders of lowest placements."""
    return exhaust(problem, "orders")


def optimum(problem: AllocationProblem) -> int:
    """Lowest peak over all offsets, tried one by one; for a handful of buffers."""
    return exhaust(problem, "offsets")


class PlainMemory:
    """The environment's state by definition, for any mode."""

    def __init__(self, problem: AllocationProblem, mode: str) -> None:
        self.problem, self.mode = problem, mode
        self.offsets = placed(problem)
        self.base = 0
        times = sorted({t for p in problem.pieces.tolist() for t in p[1:3]})
        spans = [(a, b) for a, b in itertools.pairwise(times) if self.load(range(problem.num_buffers), a)]
        self.sections = spans
        self.initial = max(
            max(self.load(range(problem.num_buffers), a) for a, _ in spans),
            int(problem.size.max()),
            max((o + int(problem.size[i]) for i, o in self.offsets.items()), default=0),
        )
        self.paid = self.bound = self.initial
        self.raise_bound()

    def load(self, buffers: object, time: int) -> int:
        return sum(len(held_at(self.problem, i, time, 0)) for i in buffers)  # type: ignore[attr-defined]

    def members(self, section: tuple[int, int]) -> list[int]:
        return [i for i in range(self.problem.num_buffers) if held_at(self.problem, i, section[0], 0)]

    def waiting(self) -> list[int]:
        return [i for i in range(self.problem.num_buffers) if i not in self.offsets]

    def floor(self, i: int) -> int:
        least = 0
        if self.mode == "canonical":
            least = self.base
        return lowest(self.problem, self.offsets, i, least)

    def spot(self, i: int) -> int:
        if self.mode != "best" or (self.problem.gaps[:, 0] == i).any():
            return self.floor(i)
        size, step = int(self.problem.size[i]), int(self.problem.alignment[i])
        used: set[int] = set()
        for j, o in self.offsets.items():
            for time in range(int(self.problem.lower[i]), int(self.problem.upper[i])):
                used |= held_at(self.problem, j, time, o)
        top = max(used, default=-1) + 1
        gaps, begin = [], 0
        for byte in [*sorted(used), None]:
            end = byte if byte is not None else 10**9
            offset = -(-begin // step) * step
            if end > begin and offset + size <= end:
                gaps.append((end - begin, offset))
            begin = end + 1
        assert top < 10**8
        return min(gaps)[1]

    def top(self, section: tuple[int, int]) -> int:
        return max(
            (max(held_at(self.problem, i, section[0], o), default=-1) + 1 for i, o in self.offsets.items()),
            default=0,
        )

    def section_floor(self, section: tuple[int, int]) -> int:
        floors = [self.floor(i) for i in self.members(section) if i not in self.offsets]
        return min(floors) if floors else self.top(section)

    def unplaced(self, section: tuple[int, int]) -> int:
        return self.load([i for i in self.members(section) if i not in self.offsets], section[0])

    def raise_bound(self) -> None:
        candidates = [self.bound, peak_of(self.problem, self.offsets) if self.offsets else 0]
        candidates += [self.floor(i) + int(self.problem.size[i]) for i in self.waiting()]
        candidates += [self.section_floor(s) + self.unplaced(s) for s in self.sections]
        self.bound = max(candidates)

    def allowed(self) -> list[int]:
        waiting = self.waiting()
        if self.mode != "canonical" or not waiting:
            return waiting
        limit = min(self.floor(i) + int(self.problem.size[i]) for i in waiting)
        return [i for i in waiting if self.floor(i) < limit]

    def place(self, i: int) -> float:
        """Place a buffer; returns the reward."""
        offset = self.spot(i)
        self.offsets[i] = offset
        self.base = offset
        self.raise_bound()
        reward = (self.paid - self.bound) / self.initial
        self.paid = self.bound
        return reward

    def conflicts(self, i: int, others: list[int]) -> int:
        p = self.problem
        return sum(j != i and p.lower[j] < p.upper[i] and p.lower[i] < p.upper[j] for j in others)

    def shared(self, i: int) -> list[float]:
        """size, relative_size, duration, area, conflicts, load, sections."""
        p, scale = self.problem, 1 / self.initial
        size, life = int(p.size[i]), int(p.upper[i] - p.lower[i])
        horizon = int(p.upper.max() - p.lower.min())
        own = [k for k, (a, _) in enumerate(self.sections) if p.lower[i] <= a < p.upper[i]]
        held = [k for k in own if held_at(p, i, self.sections[k][0], 0)]
        own = own[own.index(held[0]) : own.index(held[-1]) + 1]
        load = max(self.load(range(p.num_buffers), self.sections[k][0]) for k in own)
        everyone = list(range(p.num_buffers))
        return [
            size * scale,
            size / int(p.size.max()),
            life / horizon,
            size * scale * life / horizon,
            self.conflicts(i, everyone) / p.num_buffers,
            load * scale,
            len(own) / len(self.sections),
        ]

    def skyline(self, i: int) -> list[float]:
        """waste, need, outlook, left_wall, right_wall, left_room, right_room."""
        if self.mode != "canonical":
            return [0.0] * 7
        p, offset = self.problem, self.spot(i)
        horizon = int(p.upper.max() - p.lower.min())
        ground = [max(self.base, self.top(section)) for section in self.sections]
        steps = [end - begin for begin, end in self.sections]
        held = [k for k, (a, _) in enumerate(self.sections) if held_at(p, i, a, 0)]
        own = range(held[0], held[-1] + 1)
        wasted = sum(steps[k] * max(0, offset - ground[k]) for k in own) / sum(steps[k] for k in own)
        need = offset + max(self.unplaced(self.sections[k]) for k in own) - self.bound
        outlook = self.bound_after(i, own) - self.bound
        walls, rooms = [], []
        for outside in (range(own[0])[::-1], range(own[-1] + 1, len(ground))):
            walls.append((ground[outside[0]] if outside else self.bound) - offset)
            free = list(itertools.takewhile(lambda k: ground[k] <= offset, outside))
            rooms.append(sum(steps[k] for k in free) / horizon)
        return [*(value / self.initial for value in (wasted, need, outlook, *walls)), *rooms]

    def bound_after(self, i: int, own: range) -> int:
        """The bound once a buffer of the sections `own` is placed, as if lifetimes had no gaps."""
        p, offset, size = self.problem, self.spot(i), int(self.problem.size[i])
        floors = {}
        for j in self.waiting():
            meets = p.lower[j] < p.upper[i] and p.lower[i] < p.upper[j]
            floors[j] = max(self.floor(j), offset + size if meets else offset)
        del floors[i]
        candidates = [self.bound, offset + size, *(floor + int(p.size[j]) for j, floor in floors.items())]
        for k, section in enumerate(self.sections):
            left = [floors[j] for j in self.members(section) if j in floors]
            if left:
                candidates.append(min(left) + self.unplaced(section) - (size if k in own else 0))
        return max(candidates)
