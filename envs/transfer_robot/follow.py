"""From a schedule to the moves that lead to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.core.schedule import Schedule
from makespan.envs.transfer_robot.instance import TransferCell


class _Move(NamedTuple):
    """What a robot does: when it leaves at the earliest, for which station and glass, which hop, and whether it delivers."""

    leaves: int
    station: int
    glass: int
    hop: int
    delivers: bool


class MovesPolicy:
    """Lets every robot make the moves of a given schedule in their order, not before the times at which they begin there.

    What the schedule does is possible in the environment if it came out of it with `fetches="ahead"`. A robot whose move
    is not possible yet waits; where it must not, it makes the lowest allowed move.

    Args:
        schema: The decision graph's schema.
        cells: One a slot.
        schedules: Their schedules.
    """

    def __init__(
        self, schema: GraphSchema, cells: Sequence[TransferCell], schedules: Sequence[Schedule]
    ) -> None:
        self._schema = schema
        self._wait = schema.candidates.max_count - 1
        self._stage = schema.node_feature("glass", "stage")
        self._now = schema.action_feature("now")
        self._stages = [cell.num_stages for cell in cells]
        self._plans = [_plans(cell, one) for cell, one in zip(cells, schedules, strict=True)]

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The next move of the asked robot in each slot (B,)."""
        chosen = [
            self._choose(slot, {key: values[slot] for key, values in observation.items()})
            for slot in range(len(self._plans))
        ]
        return np.array(chosen, np.int64)

    def _choose(self, slot: int, seen: Observation) -> int:
        mask = seen["action_mask"]
        allowed = np.flatnonzero(mask[: self._wait]).tolist()
        index = seen["candidate_index"]
        if not allowed or index[allowed[0], 2] < 0:  # the episode is over
            return int(mask.argmax())
        plan = self._plans[slot][int(index[allowed[0], 2])]
        while plan and self._is_done(slot, plan[0], seen):  # forced moves are made without asking
            plan.pop(0)
        if plan and (plan[0].leaves <= seen["candidate_x"][allowed[0], self._now] or not mask[self._wait]):
            for action in allowed:
                if index[action, 0] == plan[0].glass and index[action, 1] == plan[0].station:
                    return int(action)
        return self._wait if mask[self._wait] else int(allowed[0])

    def _is_done(self, slot: int, move: _Move, seen: Observation) -> bool:
        if not seen["glass_mask"][move.glass]:
            return True
        stage = round(float(seen["glass_x"][move.glass, self._stage]) * (self._stages[slot] + 1))
        carried = seen["carried_index"][0, move.glass] >= 0
        return bool(stage > move.hop or (stage == move.hop and carried and not move.delivers))


def _plans(cell: TransferCell, schedule: Schedule) -> list[list[_Move]]:
    """The moves of each robot in order of time."""
    columns = (schedule.job, schedule.task, schedule.resource, schedule.start, schedule.end)
    rows = list(zip(schedule.kinds, *(column.tolist() for column in columns), strict=True))
    chamber = {(job, task): resource for kind, job, task, resource, *_ in rows if kind == "process"}
    leaves: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)  # ways by robot and station
    for kind, _, task, resource, start, end in rows:
        if kind == "travel":
            leaves[resource, task].append((end, start))
    timed: list[list[tuple[int, int, _Move]]] = [[] for _ in range(cell.num_robots)]
    for kind, job, task, resource, start, end in rows:
        if kind not in ("unload", "load"):
            continue
        delivers = kind == "load"
        level = task + delivers  # where the work is done
        station = 0 if level == 0 else chamber.get((job, level - 1), cell.num_chambers) + 1
        timed[resource - cell.num_chambers].append((start, end, _Move(-1, station, job, task, delivers)))
    plans = []
    for robot, moves in enumerate(timed):
        plan, at = [], int(cell.home[robot])
        for start, _, move in sorted(moves):
            first = start if move.delivers else -1  # who stays where he is may wait for the glass
            if cell.travel[at, move.station]:
                way = max(one for one in leaves[robot + cell.num_chambers, move.station] if one[0] <= start)
                first = way[1]
            plan.append(move._replace(leaves=first))
            at = move.station
        plans.append(plan)
    return plans
