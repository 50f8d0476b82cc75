"""What an allocation problem looks like in a slot, as far as it is constant: written once per episode, with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from makespan.envs.memory import allocation_simulator as sim
from makespan.envs.memory.allocation_instance import AllocationProblem, Pieces
from makespan.envs.memory.allocation_observation import (
    MOST,
    NUM_BUFFER_STATIC,
    NUM_RANKS,
    NUM_SECTION_STATIC,
    NUM_SHARED,
    Graph,
)

I64 = NDArray[np.int64]
_EXACT = 2**24  # float32 counts exactly up to here


def load_memory(memories: sim.Memories, slot: int, problem: AllocationProblem) -> None:
    """Write the constant columns of a problem; sizes are checked by the caller."""
    N, P, S = problem.num_buffers, problem.num_pieces, problem.num_sections
    clock, buffer = memories.clock[slot], memories.buffer[slot]
    begin = int(problem.lower.min())
    clock[sim.BUFFERS], clock[sim.SECTIONS], clock[sim.CAPACITY] = N, S, problem.capacity
    clock[sim.INITIAL_BOUND], clock[sim.BEGIN] = problem.load_bound, begin
    clock[sim.HORIZON], clock[sim.LARGEST] = int(problem.upper.max()) - begin, problem.size.max()
    highest = int(problem.size.sum() + problem.alignment.sum() + problem.fixed.max(initial=0))
    clock[sim.STEP] = max(problem.unit, -(-highest // _EXACT))
    columns = (problem.lower, problem.upper, problem.size, problem.alignment, problem.fixed)
    for column, values in enumerate(columns):
        buffer[:N, column] = values
    buffer[: N + 1, sim.PIECE] = problem.piece_first
    memories.piece[slot, :P] = problem.pieces[:, Pieces.START :]
    section = memories.section[slot]
    _, sections, member, _ = _incidences(problem)
    section[: S + 1, sim.MEMBER] = np.searchsorted(sections, np.arange(S + 1))
    section[:S, sim.LOAD] = problem.load
    section[:S, sim.DURATION] = problem.sections[:, 1] - problem.sections[:, 0]
    memories.member[slot, : member.size] = member


def _incidences(problem: AllocationProblem) -> tuple[I64, I64, I64, I64]:
    """Piece, section, buffer and bytes held of each incidence, by section and then by buffer."""
    first, last = problem.pieces[:, Pieces.FIRST], problem.pieces[:, Pieces.LAST]
    span = last - first
    piece = np.repeat(np.arange(problem.num_pieces), span)
    section = np.arange(span.sum()) - np.repeat(np.cumsum(span) - span, span) + first[piece]
    order = np.argsort(section, kind="stable")
    piece, section = piece[order], section[order]
    held = problem.pieces[piece, Pieces.HIGH] - problem.pieces[piece, Pieces.LOW]
    return piece, section, problem.pieces[piece, Pieces.BUFFER], held


def conflict_counts(problem: AllocationProblem) -> I64:
    """(num_buffers,) how many other buffers' lifetimes overlap with each one's."""
    begun = np.searchsorted(np.sort(problem.lower), problem.upper, side="left")
    ended = np.searchsorted(np.sort(problem.upper), problem.lower, side="right")
    return begun - ended - 1


def fullest_sections(problem: AllocationProblem) -> I64:
    """(num_buffers,) the first of the fullest sections of each buffer's lifetime."""
    pieces, first = problem.pieces, problem.piece_first
    begin, end = pieces[first[:-1], Pieces.FIRST], pieces[first[1:] - 1, Pieces.LAST]
    width = int((end - begin).max())
    index = begin[:, None] + np.arange(width)
    inside = index < end[:, None]
    load = np.where(inside, problem.load[np.minimum(index, problem.num_sections - 1)], -1)
    return begin + load.argmax(axis=1)


def _rank(values: I64) -> I64:
    """Dense ranks from 0; equal values share one."""
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def load_graph(buffers: dict[str, NDArray[Any]], graph: Graph, slot: int, problem: AllocationProblem) -> None:
    """Write the constant parts of a problem's decision graph, and clear what it does not use."""
    N, S = problem.num_buffers, problem.num_sections
    for key, array in buffers.items():
        array[slot] = -1 if key.endswith("_index") else 0
    scale, begin = 1.0 / problem.load_bound, int(problem.lower.min())
    horizon = int(problem.upper.max()) - begin
    buffers["buffer_count"][slot], buffers["section_count"][slot] = N, S
    buffers["system_count"][slot] = 1
    _, section, member, held = _incidences(problem)
    E = section.size
    buffers["incidence_index"][slot, 0, :E] = member
    buffers["incidence_index"][slot, 1, :E] = section
    buffers["incidence_x"][slot, :E, 0] = held * scale
    fullest, conflicts = fullest_sections(problem), conflict_counts(problem)
    graph.fullest[slot, :N] = fullest
    shared, pieces = _shared_columns(problem, conflicts, fullest), problem.pieces
    volume = (pieces[:, Pieces.END] - pieces[:, Pieces.START]) * (
        pieces[:, Pieces.HIGH] - pieces[:, Pieces.LOW]
    )
    area = problem.size * (problem.upper - problem.lower)
    own = (
        (problem.lower - begin) / horizon,
        (problem.upper - begin) / horizon,
        problem.fixed >= 0,
        problem.hint >= 0,
        np.minimum(np.maximum(problem.hint, 0) * scale, MOST),
        problem.alignment / (problem.alignment + problem.size),
        np.bincount(pieces[:, Pieces.BUFFER], volume, N) / area,
    )
    x = buffers["buffer_x"][slot]
    x[:N, -NUM_BUFFER_STATIC:] = np.concatenate((shared, np.stack(own, axis=1)), axis=1)
    spans = problem.sections
    members = np.bincount(section, minlength=S)
    columns = (
        problem.load * scale,
        (spans[:, 1] - spans[:, 0]) / horizon,
        (spans[:, 0] - begin) / horizon,
        members / N,
    )
    buffers["section_x"][slot, :S, -NUM_SECTION_STATIC:] = np.stack(columns, axis=1)
    buffers["system_x"][slot, 0, 5:] = min(problem.capacity * scale, MOST), N / (N + S)
    graph.constant[slot, :N, 4 : 4 + NUM_SHARED] = shared
    graph.constant[slot, :N, -NUM_RANKS:] = _ranks(problem, conflicts, fullest, area)


def _shared_columns(problem: AllocationProblem, conflicts: I64, fullest: I64) -> NDArray[np.float64]:
    """The static columns that buffers and candidates have in common, in the schema's order."""
    scale, duration = 1.0 / problem.load_bound, problem.upper - problem.lower
    horizon = int(problem.upper.max() - problem.lower.min())
    pieces, first = problem.pieces, problem.piece_first
    span = pieces[first[1:] - 1, Pieces.LAST] - pieces[first[:-1], Pieces.FIRST]
    columns = (
        problem.size * scale,
        problem.size / problem.size.max(),
        duration / horizon,
        problem.size * scale * duration / horizon,
        conflicts / problem.num_buffers,
        problem.load[fullest] * scale,
        span / problem.num_sections,
    )
    return np.stack(columns, axis=1)


def _ranks(problem: AllocationProblem, conflicts: I64, fullest: I64, area: I64) -> NDArray[np.float64]:
    """The raw static columns of the candidates, in the schema's order."""
    hint = np.where(problem.hint >= 0, problem.hint, np.iinfo(np.int64).max)
    ranks = (
        conflicts,
        _rank(problem.upper - problem.lower),
        _rank(problem.size),
        _rank(area),
        _rank(problem.load[fullest]),
        _rank(conflicts * problem.size),
        _rank(problem.lower),
        _rank(problem.upper),
        _rank(hint),
    )
    return np.stack(ranks, axis=1).astype(np.float64)
