"""Schedules as decisions: the orders in which machines serve jobs, kept whatever the times turn out to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.blocking.engine import BlockingShopEngine
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.core.schedule import Schedule

_LAST: Final = np.int64(2**31)  # behind every place in an order


class OrderPolicy:
    """Follows one schedule a slot: each machine serves its operations in the schedule's order, and waits for the next of them.

    Times are not looked at, so that a schedule is compressed where it leaves gaps, and can be followed on shops whose
    machines shut down. Where waiting is not allowed, the earliest of the candidates is served.
    """

    def __init__(
        self, schema: GraphSchema, instances: Sequence[BlockingShopInstance], schedules: Sequence[Schedule]
    ) -> None:
        self._begun = schema.node_feature("operation", "begun")
        points = schema.candidates.points_at
        self._operation, self._machine = points.index("operation"), points.index("machine")
        shape = (len(instances), schema.node("operation").max_count)
        self._place = np.full(shape, _LAST)  # of each operation in its machine's order
        self._on = np.full(shape, -1)
        for slot, (instance, schedule) in enumerate(zip(instances, schedules, strict=True)):
            rows = np.flatnonzero(np.array(schedule.kinds) == "process")
            operation = instance.shop.job_first[schedule.job[rows]] + schedule.task[rows]
            order = np.lexsort((schedule.end[rows], schedule.start[rows]))
            self._place[slot, operation[order]] = np.arange(len(rows))
            self._on[slot, operation] = schedule.resource[rows]

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The next operation of the asked machine's order in each slot (B,), or to wait for it."""
        index, allowed = observation["candidate_index"], observation["action_mask"] > 0
        operation = index[..., self._operation]
        slot = np.arange(len(index))[:, None]
        enters = allowed & (operation >= 0)
        place = np.where(enters, self._place[slot, operation], _LAST)  # (B, A)
        asked = np.where(enters, index[..., self._machine], -1).max(axis=-1, keepdims=True)
        remains = observation["operation_mask"] > 0
        ahead = remains & (observation["operation_x"][..., self._begun] == 0.0) & (self._on == asked)
        next_place = np.where(ahead, self._place, _LAST).min(axis=-1)
        action: NDArray[np.int64] = place.argmin(axis=-1)
        waits = allowed & ~enters
        wait = waits.any(axis=-1) & (place.min(axis=-1) > next_place)
        return np.where(wait, waits.argmax(axis=-1), action)


def follow(instance: BlockingShopInstance, schedule: Schedule) -> Schedule:
    """What becomes of a schedule's orders on an instance, its downtime included.

    Args:
        instance: The shop.
        schedule: A schedule of the same shop, with or without downtime.
    """
    engine = BlockingShopEngine(
        1,
        num_jobs=instance.num_jobs,
        num_operations=instance.num_operations,
        num_machines=instance.num_machines,
        admission="wait",
        skip_forced=True,
    )
    engine.load(0, instance)
    policy = OrderPolicy(engine.schema, [instance], [schedule])
    while not engine.outcome.terminated[0]:
        engine.step(policy.act(engine.observation))
    return engine.schedule(0)
