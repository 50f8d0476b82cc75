"""The rectangle engine against a plain grid of cells."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from makespan.envs.memory import rectangles as rect

TIMES, CEILING = 9, 16


@njit
def query(store, start, end, size, alignment, floor):
    """Every search for room at once; kernels that are inlined are called from compiled code."""
    return (
        rect.lowest_fit(store, 1, start, end, 0, size, alignment, floor),
        rect.best_fit(store, 1, start, end, size, alignment, CEILING),
        rect.highest_fit(store, 1, start, end, size, alignment, CEILING),
        rect.largest_gap(store, 1, start, end, CEILING),
    )


@njit
def place(store, owner, start, end, low, high):
    rect.place(store, 1, owner, start, end, low, high)


@njit
def extend(store, owner, start, end):
    return rect.extend(store, 1, owner, start, end)


@njit
def release(store, owner):
    return rect.release(store, 1, owner)


def plain(grid: np.ndarray, start: int, end: int, size: int, alignment: int, floor: int) -> tuple:
    """The same answers by trying every offset of a grid (time, offset) of owners, -1 where free."""
    free = (grid[start:end] < 0).all(axis=0)
    fits = [o for o in range(0, len(free) - size + 1, alignment) if free[o : o + size].all()]
    runs, begin = [], None
    for offset in range(CEILING + 1):
        open_ = offset < CEILING and free[offset]
        if open_ and begin is None:
            begin = offset
        if not open_ and begin is not None:
            runs.append((offset - begin, begin))
            begin = None
    best = -1
    for length, low in sorted(runs):
        offset = -(-low // alignment) * alignment
        if offset + size <= low + length:
            best = offset
            break
    below = [o for o in fits if o + size <= CEILING]
    return (
        min(o for o in fits if o >= floor),
        best,
        max(below, default=-1),
        max((length for length, _ in runs), default=0),
    )


@pytest.mark.parametrize("seed", range(4))
def test_searches_agree_with_a_grid(seed: int) -> None:
    """Lowest, best and highest fit, largest gap, extension, release and profile on random memories."""
    rng = np.random.default_rng(seed)
    store = rect.make_rectangles(2, 64)
    grid = np.full((TIMES, 200), -1)
    for owner in range(60):
        start = int(rng.integers(TIMES))
        end = int(rng.integers(start + 1, TIMES + 1))
        size, alignment, floor = int(rng.integers(1, 5)), int(rng.choice([1, 1, 2, 4])), int(rng.integers(12))
        expected = plain(grid, start, end, size, alignment, floor)
        assert query(store, start, end, size, alignment, floor) == expected
        low = expected[int(rng.integers(3))]
        if low >= 0 and low + size <= CEILING + 4:
            place(store, owner, start, end, low, low + size)
            grid[start:end, low : low + size] = owner
        if owner % 3 == 2:
            chosen = int(rng.choice(grid[grid >= 0]))
            times, offsets = np.nonzero(grid == chosen)
            begin, until = int(rng.integers(times.min() + 1)), int(rng.integers(times.max() + 1, TIMES + 1))
            part = grid[begin:until, offsets.min() : offsets.max() + 1]
            possible = bool(((part < 0) | (part == chosen)).all())
            assert extend(store, chosen, begin, until) == possible
            if possible:
                part[:] = chosen
        if owner % 5 == 4:
            chosen = int(rng.choice(grid[grid >= 0]))
            assert release(store, chosen) == 1
            grid[grid == chosen] = -1
        load = np.zeros(TIMES, np.int64)
        rect.load_profile(store, 1, load)
        assert load.tolist() == (grid >= 0).sum(axis=1).tolist()
        used = np.flatnonzero((grid >= 0).any(axis=0))
        assert rect.peak(store, 1) == used.max(initial=-1) + 1
    assert rect.peak(store, 0) == 0
    lows = store.row[1, : store.used[1, 0], rect.LOW]
    assert (np.diff(lows) >= 0).all()


def test_a_piece_may_begin_above_its_offset() -> None:
    """lowest_fit asks for [o + low, o + high): a window that starts above its buffer's offset."""
    store = rect.make_rectangles(2, 4)
    place(store, 0, 0, 4, 3, 6)

    @njit
    def window(store, low, high, floor):
        return rect.lowest_fit(store, 1, 0, 1, low, high, 1, floor)

    assert window(store, 3, 5, 0) == 3  # [3, 5) collides; its lowest free place is [6, 8)
    assert window(store, 0, 3, 0) == 0  # [0, 3) touches, and that is no collision
    assert window(store, 0, 3, 1) == 6
