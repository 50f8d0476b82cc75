"""How a cell would go on: for each candidate a copy of the cell takes it, and a rule takes all glasses out.

The copy knows what decision makers know: processes end when their recipes say, those that should have ended by now in a moment.
Rules are the family's own, compiled; each has a pass of its own over the batch, so that none makes the kernels anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowed, borrowing_kernel, kernel
from makespan.envs.core.lookahead import write_lookahead
from makespan.envs.core.native_rules import native_priority, row_type
from makespan.envs.core.policy import get_rule
from makespan.envs.transfer_robot import rules as rules  # registers the family's rules
from makespan.envs.transfer_robot.decisions import legal_actions, take
from makespan.envs.transfer_robot.generator import CellSize
from makespan.envs.transfer_robot.observation import CANDIDATE_FEATURES, Graph
from makespan.envs.transfer_robot.simulator import (
    ARRIVAL,
    CHAMBERS,
    DELAY,
    FETCHES,
    FREE,
    GLASS,
    GLASSES,
    INITIAL_BOUND,
    MAKESPAN,
    MOVE,
    NOW,
    PAID_BOUND,
    PENALTY,
    PROMISED,
    READY,
    ROBOTS,
    SINCE,
    STAGES,
    TARGET,
    UNLOAD,
    VIOLATIONS,
    Cells,
    make_cells,
)
from makespan.envs.transfer_robot.writing import write_raw

I64 = NDArray[np.int64]
Mask = NDArray[np.int8]

_ROW: Final = row_type(CANDIDATE_FEATURES)
# Slots of the scratch.
_PLAYED: Final = 0  # a copy that is played
_PRESENT: Final = 1  # the present as decision makers know it


class Lookahead:
    """What a batch of cells needs to look ahead.

    Args:
        rules: Names of the family's rules that finish.
        size: Of the largest cell.
        num_slots: Cells of the batch.
        num_candidates: Of a decision.
    """

    def __init__(self, rules: Sequence[str], size: CellSize, num_slots: int, num_candidates: int) -> None:
        self._priorities = [native_priority(get_rule("transfer_robot", name), _ROW) for name in rules]
        self._scratch = make_cells(2, size.num_glasses, size.num_chambers, size.num_stages, size.num_robots)
        self._mask = np.zeros((2, num_candidates), np.int8)
        self._row = np.zeros(1, _ROW)
        self._values = np.zeros((num_slots, num_candidates, len(rules)), np.int64)

    def look(self, cells: Cells, graph: Graph, asked: NDArray[np.bool_], ahead: bool) -> None:
        """Write what the rules make of the candidates of each slot that is `asked` (B,); `ahead` as in the environment."""
        scratch, row = (self._scratch, self._mask), (self._row, self._row.view(np.float64))
        for r, priority in enumerate(self._priorities):
            _play_out(cells, graph.action_mask, asked, ahead, priority, scratch, row, self._values[..., r])
        _write_columns(cells, graph, asked, self._values)


@borrowing_kernel
def _copy(source: Cells, s: int, target: Cells, t: int) -> None:
    """Put slot t of `target` into the state of slot s of `source`; what has been settled of hops is left out."""
    for column in range(source.clock.shape[1]):
        target.clock[t, column] = source.clock[s, column]
    for x in range(source.clock[s, CHAMBERS] + 2):
        for column in range(source.station.shape[2]):
            target.station[t, x, column] = source.station[s, x, column]
    for lev in range(source.clock[s, STAGES] + 2):
        for column in range(source.level.shape[2]):
            target.level[t, lev, column] = source.level[s, lev, column]
    for r in range(source.clock[s, ROBOTS]):
        for column in range(source.robot.shape[2]):
            target.robot[t, r, column] = source.robot[s, r, column]
    for g in range(source.clock[s, GLASSES]):
        for column in range(source.glass.shape[2]):
            target.glass[t, g, column] = source.glass[s, g, column]


@borrowing_kernel
def _remember(cells: Cells, b: int, scratch: Cells) -> None:
    """Make the scratch's present from slot b, with nothing in it that only the future tells."""
    _copy(cells, b, scratch, _PRESENT)
    clock, station, robot = scratch.clock, scratch.station, scratch.robot
    now, last = clock[_PRESENT, NOW], clock[_PRESENT, CHAMBERS] + 2
    for x in range(last):
        for y in range(last):
            scratch.travel[_PLAYED, x, y] = cells.travel[b, x, y]
    for g in range(clock[_PRESENT, GLASSES]):
        for stage in range(clock[_PRESENT, STAGES]):
            for column in range(cells.process.shape[3]):
                scratch.process[_PLAYED, g, stage, column] = cells.process[b, g, stage, column]
            scratch.process[_PLAYED, g, stage, DELAY] = 0
    for x in range(1, last - 1):
        if station[_PRESENT, x, GLASS] >= 0 and station[_PRESENT, x, READY] > now:
            station[_PRESENT, x, READY] = max(now + 1, station[_PRESENT, x, PROMISED])
    for r in range(clock[_PRESENT, ROBOTS]):
        x = robot[_PRESENT, r, TARGET]
        if robot[_PRESENT, r, MOVE] == FETCHES and x > 0:
            begin = max(robot[_PRESENT, r, ARRIVAL], station[_PRESENT, x, READY])
            robot[_PRESENT, r, FREE] = begin + station[_PRESENT, x, UNLOAD]
            scratch.glass[_PRESENT, station[_PRESENT, x, GLASS], SINCE] = begin


@kernel
def _finish(
    cells: Cells,
    b: int,
    ahead: bool,
    priority: Any,
    mask: Mask,
    row: NDArray[np.void],
    numbers: NDArray[np.float64],
) -> int:
    """Let a rule take all glasses out; the penalised makespan. `row` is a candidate's features, `numbers` the same memory."""
    wait = mask.shape[1] - 1
    while legal_actions(cells, b, ahead, mask) > 0:
        chosen, least = -1, 0.0
        for a in range(wait):
            if mask[b, a]:
                write_raw(cells, b, a, numbers, 0)
                own = priority(row[0])
                if chosen < 0 or own < least:
                    chosen, least = a, own
        take(cells, b, chosen, wait)
    return cells.clock[b, MAKESPAN] + cells.clock[b, PENALTY] * cells.clock[b, VIOLATIONS]


@kernel
def _play_out(
    all_cells: Cells,
    mask: Mask,
    asked: NDArray[np.bool_],
    ahead: bool,
    priority: Any,
    scratch: tuple[Cells, Mask],
    row: tuple[NDArray[np.void], NDArray[np.float64]],
    values: I64,
) -> None:
    """Write what a rule makes of each allowed candidate of the slots that are asked into `values` (B, A), else 0."""
    cells, copies, played = borrowed(all_cells), borrowed(scratch[0]), scratch[1]
    wait = mask.shape[1] - 1
    for b in range(asked.size):
        if not asked[b]:
            continue
        _remember(cells, b, copies)
        for a in range(wait + 1):
            values[b, a] = 0
            if mask[b, a]:
                _copy(copies, _PRESENT, copies, _PLAYED)
                take(copies, _PLAYED, a, wait)
                values[b, a] = _finish(copies, _PLAYED, ahead, priority, played, row[0], row[1])


@kernel
def _write_columns(cells: Cells, graph: Graph, asked: NDArray[np.bool_], values: I64) -> None:
    """Turn the values (B, A, R) into the columns of candidates and system."""
    for b in range(asked.size):
        if asked[b]:
            scale = np.float32(1.0 / max(1, cells.clock[b, INITIAL_BOUND]))
            bound = cells.clock[b, PAID_BOUND]
            write_lookahead(
                values[b], graph.action_mask[b], bound, scale, graph.candidate_x[b], graph.system_x[b, 0]
            )
