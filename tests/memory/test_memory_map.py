"""Memory maps: blocks stand where they lie, pages fetch nothing and take names for text."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from makespan.envs.memory import memory_map
from makespan.envs.memory.allocation_benchmark import load_instance
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_map import allocation_figure, allocation_html, allocation_map
from makespan.envs.memory.allocation_validator import allocation_schedule
from makespan.envs.memory.memory_map import MemoryMap, Profile, format_bytes

TOY = load_instance("toy")
BEST = allocation_schedule(TOY, np.array([0, 3, 0, 5, 3, 0]))


def test_text_map_is_the_docstring_of_the_toy() -> None:
    """A letter a byte and a column a time step, as drawn by hand in `ToyBuffers`."""
    text = memory_map.ansi(allocation_map(TOY, BEST), width=5, height=7, colour=False)
    cells = [line.partition("│")[2] for line in text.splitlines()[1:-1]]
    assert cells == ["EBBDD", "EBBDD", "EBB·F", "EBB·F", "AACCF", "AACCF", "AACCF"]
    assert text.startswith("toy: peak 7 B, lower bound 7 B")
    coloured = memory_map.ansi(allocation_map(TOY, BEST), width=5, height=7)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured).count("·") == 2


def test_figure_draws_every_piece() -> None:
    """One rectangle a piece at its offsets; a gap leaves two, its window a third; the load beneath."""
    problem = AllocationProblem([0, 0], [9, 9], [6, 2], gaps=[[0, 3, 6, 1, 3]], capacity=10)
    figure = allocation_figure(problem, allocation_schedule(problem, np.array([0, 6])))
    blocks = figure.axes[0].collections[0].get_paths()
    boxes = sorted(
        tuple(map(int, (*path.vertices.min(axis=0), *path.vertices.max(axis=0)))) for path in blocks
    )
    assert boxes == [(0, 0, 1, 6), (0, 6, 3, 8), (1, 1, 2, 3), (2, 0, 3, 6)]
    assert len(figure.axes) == 2
    assert any("capacity 10 B" in axis.get_title(loc="right") for axis in figure.axes)
    empty = allocation_figure(problem, allocation_schedule(problem, np.array([-1, -1])))
    assert any(text.get_text() == "nothing placed yet" for text in empty.axes[0].texts)


def test_page_holds_every_block_and_fetches_nothing() -> None:
    """All blocks are in the page's data, no address is, and a name that is markup stays text."""
    nasty = "</script><img src=x onerror=alert(1)>"
    problem = AllocationProblem([0, 0], [2, 3], [4, 2], ids=(nasty, "b"), name=nasty)
    page = allocation_html(problem, allocation_schedule(problem, np.array([0, 4])))
    assert "<img" not in page
    assert not re.search(r"(https?:)?//[a-z]", page)
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert data["blocks"] == [[0, 1, 0, 4, 0, 0], [0, 2, 4, 6, 1, 1]]
    assert data["labels"] == {"0": nasty, "1": "b"}
    assert data["ticks"] == [0, 2, 3]
    assert data["profiles"] == [["load", [6.0, 2.0], "bytes", 6.0]]


def test_frames() -> None:
    """Pixels of the asked size, equal for equal maps; too small a frame is an error."""
    plan = allocation_map(TOY, BEST)
    frame = memory_map.rgb_array(plan, 400, 300)
    assert frame.shape == (300, 400, 3)
    assert (frame == memory_map.rgb_array(plan, 400, 300)).all()
    with pytest.raises(ValueError, match="at least 200 x 120"):
        memory_map.rgb_array(plan, 100, 100)


def test_bytes_for_readers() -> None:
    """Binary units with four digits."""
    amounts = (0, 12, 1536, 2**20, 5 * 2**30 // 2)
    assert [format_bytes(n) for n in amounts] == ["0 B", "12 B", "1.5 KiB", "1 MiB", "2.5 GiB"]


def test_contradictory_maps_are_refused() -> None:
    """Columns of unlike length, and profiles of another time axis."""
    one, two = np.zeros(1, np.int64), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="unlike length"):
        MemoryMap(one, one, one, one, one, two, {}, {}, ticks=np.arange(3))
    with pytest.raises(ValueError, match="profile 'load': 5 values; expected 2"):
        MemoryMap(
            one, one, one, one, one, one, {}, {}, ticks=np.arange(3), profiles=(Profile("load", np.zeros(5)),)
        )
