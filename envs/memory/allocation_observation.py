"""The decision graph of static allocation, and the kernels that keep it up to date.

Only what a placement changes is written: the placed buffer, those that it moved, and the sections that it touched. When
the bound rises, what is measured against it is written for all.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateType, EdgeType, Feature, GraphSchema, NodeType, raw
from makespan.envs.core.kernels import inlined_kernel
from makespan.envs.memory.allocation_simulator import (
    ALLOWED,
    BASE,
    BOUND,
    BUFFERS,
    CANONICAL,
    DURATION,
    END_SECTION,
    FIRST,
    FLOOR,
    HORIZON,
    INITIAL_BOUND,
    LEFT,
    LOAD,
    LOWEST_FLOOR,
    OFFSET,
    PAID_BOUND,
    PEAK,
    PIECE,
    RIVALS,
    SECTIONS,
    SIZE,
    SPOT,
    STEP,
    TOP,
    UNPLACED,
    WAITING,
    Memories,
    bound_after,
    dominance_limit,
    ground,
)

F32 = NDArray[np.float32]

_SHARED: Final = (
    Feature("size", "size / LB0", static=True),
    Feature("relative_size", "size / size of the largest buffer", high=1.0, static=True),
    Feature("duration", "lifetime / horizon (first step to last)", high=1.0, static=True),
    Feature("area", "size x lifetime / (LB0 x horizon)", static=True),
    Feature("conflicts", "buffers whose lifetimes overlap with this one's / buffers", high=1.0, static=True),
    Feature("load", "load of the fullest section of the lifetime / LB0", high=1.0, static=True),
    Feature("sections", "sections of the lifetime / sections", high=1.0, static=True),
)
BUFFER_FEATURES: Final = (
    Feature("placed", "1 once the buffer is placed", high=1.0),
    Feature("offset", "offset / LB0: actual once placed, else the lowest feasible one"),
    Feature("top", "(that offset + size) / LB0"),
    Feature("rivals", "unplaced buffers whose lifetimes overlap with this one's / buffers", high=1.0),
    *_SHARED,
    Feature("lower", "begin of the lifetime, from the first step of all, / horizon", high=1.0, static=True),
    Feature("upper", "end of the lifetime, from the first step of all, / horizon", high=1.0, static=True),
    Feature("is_fixed", "1 if the offset is prescribed", high=1.0, static=True),
    Feature("has_hint", "1 if somebody suggests an offset", high=1.0, static=True),
    Feature("hint", "suggested offset / LB0", static=True),
    Feature("alignment", "alignment / (alignment + size)", high=1.0, static=True),
    Feature(
        "held", "bytes x steps really held / (size x lifetime); below 1 with gaps", high=1.0, static=True
    ),
)
SECTION_FEATURES: Final = (
    Feature("unplaced", "bytes of unplaced buffers / LB0"),
    Feature("waiting", "unplaced buffers / buffers", high=1.0),
    Feature("top", "highest occupied offset / LB0"),
    Feature("floor", "lowest feasible offset of an unplaced buffer of the section (or the top) / LB0"),
    Feature("slack", "(lower bound - floor - unplaced bytes) / LB0", low=-100.0),
    Feature("holes", "free bytes below the top / LB0"),
    Feature("load", "bytes of all its buffers / LB0", high=1.0, static=True),
    Feature("duration", "steps / horizon", high=1.0, static=True),
    Feature("begin", "first step, from the first step of all, / horizon", high=1.0, static=True),
    Feature("members", "buffers that live in it / buffers", high=1.0, static=True),
)
SYSTEM_FEATURES: Final = (
    Feature("progress", "placed buffers / buffers", high=1.0),
    Feature("peak", "highest occupied offset / LB0"),
    Feature("bound", "(lower bound - LB0) / LB0"),
    Feature("base", "offset of the last placed buffer / LB0"),
    Feature("allowed", "allowed candidates / buffers", high=1.0),
    Feature("capacity", "capacity / LB0, 0 without", static=True),
    Feature("buffers_share", "buffers / (buffers + sections)", high=1.0, static=True),
)
INCIDENCE_FEATURES: Final = (
    Feature("held", "bytes that the buffer holds in the section / LB0", static=True),
)
_SKYLINE: Final = (  # ground: where a section is filled up to, its top or the last placed offset
    Feature("waste", "canonical order: bytes x steps between ground and offset / (LB0 x lifetime)"),
    Feature(
        "need", "canonical order: (offset + unplaced bytes, most of its sections, - bound) / LB0", low=-100.0
    ),
    Feature("outlook", "canonical order: rise of the lower bound by the placement, gaps set aside, / LB0"),
    Feature("left_wall", "canonical order: (ground before the lifetime - offset) / LB0", low=-100.0),
    Feature("right_wall", "canonical order: (ground after the lifetime - offset) / LB0", low=-100.0),
    Feature(
        "left_room",
        "canonical order: steps before the lifetime that are free at the offset / horizon",
        high=1.0,
    ),
    Feature(
        "right_room",
        "canonical order: steps after the lifetime that are free at the offset / horizon",
        high=1.0,
    ),
)
CANDIDATE_FEATURES: Final = (
    Feature("offset", "offset at which it would be placed / LB0"),
    Feature("top", "(that offset + size) / LB0"),
    Feature("rise", "rise of the lower bound by this top alone / LB0"),
    Feature("rivals", "unplaced buffers whose lifetimes overlap with this one's / buffers", high=1.0),
    *_SHARED,
    *_SKYLINE,
    raw("placement", "offset at which it would be placed, units (common divisor; coarser above 2^24)"),
    raw("rivals_count", "unplaced buffers whose lifetimes overlap with this one's"),
    raw("conflict_count", "buffers whose lifetimes overlap with this one's"),
    raw("lifetime_rank", "rank of the lifetime, shortest 0; equal lifetimes share it, as in all ranks"),
    raw("size_rank", "rank of the size, smallest 0"),
    raw("area_rank", "rank of size x lifetime"),
    raw("load_rank", "rank of the load of the fullest section"),
    raw("conflict_size_rank", "rank of conflicts x size"),
    raw("lower_rank", "rank of the begin of the lifetime"),
    raw("upper_rank", "rank of the end of the lifetime"),
    raw("hint_rank", "rank of the suggested offset; buffers without one come last"),
)

NUM_SHARED: Final = len(_SHARED)
NUM_BUFFER_STATIC: Final = len(BUFFER_FEATURES) - 4
NUM_SECTION_STATIC: Final = 4
NUM_RANKS: Final = len(CANDIDATE_FEATURES) - 4 - len(_SHARED) - len(_SKYLINE) - 2
MOST: Final = 100.0  # highest value of an open-ended feature


def allocation_schema(
    num_buffers: int, num_pieces: int, num_sections: int, num_incidences: int
) -> GraphSchema:
    """The decision graph of problems of at most this size."""
    return GraphSchema(
        nodes=(
            NodeType("buffer", num_buffers, BUFFER_FEATURES, "task"),
            NodeType("section", num_sections, SECTION_FEATURES, "resource"),
            NodeType("system", 1, SYSTEM_FEATURES, "system"),
        ),
        edges=(EdgeType("incidence", "buffer", "section", num_incidences, INCIDENCE_FEATURES),),
        candidates=CandidateType(num_buffers, ("buffer", "section"), CANDIDATE_FEATURES),
    )


class Graph(NamedTuple):
    """The observation buffers that kernels write, with a leading batch axis B, and the candidates' constant parts."""

    buffer_x: F32
    section_x: F32
    system_x: F32
    candidate_index: NDArray[np.int32]  # (B, N, 2)
    candidate_x: F32
    action_mask: NDArray[np.int8]  # (B, N)
    fullest: NDArray[np.int32]  # (B, N) the fullest section of each buffer
    constant: F32  # (B, N, F) the candidates' static columns


_OBSERVED: Final = Graph._fields[:6]


def graph_views(buffers: dict[str, NDArray[Any]]) -> Graph:
    """The kernels' view of a batch of observations."""
    shape = buffers["candidate_x"].shape
    return Graph(
        **{key: buffers[key] for key in _OBSERVED},
        fullest=np.zeros(shape[:2], np.int32),
        constant=np.zeros(shape, np.float32),
    )


# Numba freezes module constants at compile time: the kernels name their columns through these.
_OUTLINE: Final = 4 + NUM_SHARED  # the first column of the skyline
_RAW: Final = _OUTLINE + len(_SKYLINE)  # the first raw column: placement, then rivals_count


@inlined_kernel
def _share(value: int, scale: float) -> np.float32:
    return np.float32(max(-MOST, min(MOST, value * scale)))


@inlined_kernel
def write_start(memories: Memories, graph: Graph, b: int, mode: int) -> None:
    """Write slot b's dynamic columns at the start of an episode; the static ones stand there already."""
    clock = memories.clock
    for i in range(clock[b, BUFFERS]):
        _write_buffer(memories, graph, b, i)
        graph.action_mask[b, i] = 0
    for k in range(clock[b, LEFT]):
        i = memories.waiting[b, k]
        share = np.float32(1.0 / clock[b, BUFFERS])
        graph.buffer_x[b, i, 3] = np.float32(memories.buffer[b, i, RIVALS]) * share
    for s in range(clock[b, SECTIONS]):
        _write_section(memories, graph, b, s)
    if mode != CANONICAL:
        for k in range(clock[b, LEFT]):
            _allow(memories, graph, b, memories.waiting[b, k])
    _write_rest(memories, graph, b, mode)


@inlined_kernel
def write_placement(memories: Memories, graph: Graph, b: int, i: int, mode: int) -> None:
    """Write what the placement of buffer i has changed."""
    clock = memories.clock
    _write_buffer(memories, graph, b, i)
    _forbid(graph, b, i)
    graph.buffer_x[b, i, 3] = 0.0
    share = np.float32(1.0 / clock[b, BUFFERS])
    for k in range(memories.met[b, memories.met.shape[1] - 1]):
        j = memories.met[b, k]
        rivals = np.float32(memories.buffer[b, j, RIVALS])
        graph.buffer_x[b, j, 3] = rivals * share
        if graph.action_mask[b, j]:
            graph.candidate_x[b, j, 3] = rivals * share
            graph.candidate_x[b, j, _RAW + 1] = rivals
    for k in range(memories.moved[b, memories.moved.shape[1] - 1]):
        j = memories.moved[b, k]
        _write_buffer(memories, graph, b, j)
        if graph.action_mask[b, j]:
            _write_candidate(memories, graph, b, j)
    for k in range(memories.touched[b, memories.touched.shape[1] - 1]):
        _write_section(memories, graph, b, memories.touched[b, k])
    if clock[b, BOUND] != clock[b, PAID_BOUND]:
        for s in range(clock[b, SECTIONS]):
            _write_section(memories, graph, b, s)
        for k in range(clock[b, LEFT]):
            j = memories.waiting[b, k]
            if graph.action_mask[b, j]:
                _write_candidate(memories, graph, b, j)
    _write_rest(memories, graph, b, mode)


@inlined_kernel
def _write_rest(memories: Memories, graph: Graph, b: int, mode: int) -> None:
    """Write the mask of a canonical order, and the system."""
    clock, buffer = memories.clock, memories.buffer
    allowed = clock[b, LEFT]
    if mode == CANONICAL:
        limit, allowed = dominance_limit(memories, b, mode), 0
        for k in range(clock[b, LEFT]):
            j = memories.waiting[b, k]
            may = buffer[b, j, FLOOR] < limit
            allowed += may
            if may and not graph.action_mask[b, j]:
                _allow(memories, graph, b, j)
            elif graph.action_mask[b, j] and not may:
                _forbid(graph, b, j)
            if may:
                _write_skyline(memories, graph, b, j)
    clock[b, ALLOWED] = allowed
    scale = 1.0 / clock[b, INITIAL_BOUND]
    x, buffers = graph.system_x, clock[b, BUFFERS]
    x[b, 0, 0] = np.float32(1.0 - clock[b, LEFT] / buffers)
    x[b, 0, 1] = _share(clock[b, PEAK], scale)
    x[b, 0, 2] = _share(clock[b, BOUND] - clock[b, INITIAL_BOUND], scale)
    x[b, 0, 3] = _share(clock[b, BASE], scale)
    x[b, 0, 4] = np.float32(allowed / buffers)


@inlined_kernel
def _write_buffer(memories: Memories, graph: Graph, b: int, i: int) -> None:
    buffer, x, scale = memories.buffer, graph.buffer_x, 1.0 / memories.clock[b, INITIAL_BOUND]
    placed = buffer[b, i, OFFSET] >= 0
    x[b, i, 0] = 1.0 if placed else 0.0
    x[b, i, 1] = _share(buffer[b, i, FLOOR], scale)
    x[b, i, 2] = _share(buffer[b, i, FLOOR] + buffer[b, i, SIZE], scale)


@inlined_kernel
def _write_section(memories: Memories, graph: Graph, b: int, s: int) -> None:
    clock, section, x = memories.clock, memories.section, graph.section_x
    scale = 1.0 / clock[b, INITIAL_BOUND]
    unplaced, top, floor = section[b, s, UNPLACED], section[b, s, TOP], section[b, s, LOWEST_FLOOR]
    x[b, s, 0] = _share(unplaced, scale)
    x[b, s, 1] = np.float32(section[b, s, WAITING] / clock[b, BUFFERS])
    x[b, s, 2] = _share(top, scale)
    x[b, s, 3] = _share(floor, scale)
    x[b, s, 4] = _share(clock[b, BOUND] - floor - unplaced, scale)
    x[b, s, 5] = _share(top - section[b, s, LOAD] + unplaced, scale)


@inlined_kernel
def _write_candidate(memories: Memories, graph: Graph, b: int, i: int) -> None:
    clock, buffer, x = memories.clock, memories.buffer, graph.candidate_x
    scale = 1.0 / clock[b, INITIAL_BOUND]
    spot, top = buffer[b, i, SPOT], buffer[b, i, SPOT] + buffer[b, i, SIZE]
    x[b, i, 0] = _share(spot, scale)
    x[b, i, 1] = _share(top, scale)
    x[b, i, 2] = _share(max(0, top - clock[b, BOUND]), scale)
    x[b, i, _RAW] = np.float32(np.floor(spot / clock[b, STEP]))


@inlined_kernel
def _write_skyline(memories: Memories, graph: Graph, b: int, i: int) -> None:
    """Write how candidate i would lie on the ground of its sections, and between their neighbours."""
    clock, buffer, section, x = memories.clock, memories.buffer, memories.section, graph.candidate_x
    offset, bound, num_sections = buffer[b, i, SPOT], clock[b, BOUND], clock[b, SECTIONS]
    first = memories.piece[b, buffer[b, i, PIECE], FIRST]
    last = memories.piece[b, buffer[b, i + 1, PIECE] - 1, END_SECTION]
    wasted, steps, unplaced = 0, 0, 0
    for s in range(first, last):
        wasted += section[b, s, DURATION] * max(0, offset - ground(memories, b, s))
        steps += section[b, s, DURATION]
        unplaced = max(unplaced, section[b, s, UNPLACED])
    left, right, before, after = 0, 0, first - 1, last
    while before >= 0 and ground(memories, b, before) <= offset:
        left += section[b, before, DURATION]
        before -= 1
    while after < num_sections and ground(memories, b, after) <= offset:
        right += section[b, after, DURATION]
        after += 1
    left_wall = ground(memories, b, first - 1) if first > 0 else bound
    right_wall = ground(memories, b, last) if last < num_sections else bound
    scale, horizon = 1.0 / clock[b, INITIAL_BOUND], clock[b, HORIZON]
    x[b, i, _OUTLINE] = _share(wasted, scale / steps)
    x[b, i, _OUTLINE + 1] = _share(offset + unplaced - bound, scale)
    x[b, i, _OUTLINE + 2] = _share(bound_after(memories, b, i) - bound, scale)
    x[b, i, _OUTLINE + 3] = _share(left_wall - offset, scale)
    x[b, i, _OUTLINE + 4] = _share(right_wall - offset, scale)
    x[b, i, _OUTLINE + 5] = np.float32(left / horizon)
    x[b, i, _OUTLINE + 6] = np.float32(right / horizon)


@inlined_kernel
def _allow(memories: Memories, graph: Graph, b: int, i: int) -> None:
    graph.action_mask[b, i] = 1
    graph.candidate_index[b, i, 0], graph.candidate_index[b, i, 1] = i, graph.fullest[b, i]
    for column in range(graph.candidate_x.shape[2]):
        graph.candidate_x[b, i, column] = graph.constant[b, i, column]
    graph.candidate_x[b, i, 3] = graph.buffer_x[b, i, 3]
    graph.candidate_x[b, i, _RAW + 1] = np.float32(memories.buffer[b, i, RIVALS])
    _write_candidate(memories, graph, b, i)


@inlined_kernel
def _forbid(graph: Graph, b: int, i: int) -> None:
    graph.action_mask[b, i] = 0
    for column in range(graph.candidate_index.shape[2]):
        graph.candidate_index[b, i, column] = -1
    for column in range(graph.candidate_x.shape[2]):
        graph.candidate_x[b, i, column] = 0.0
