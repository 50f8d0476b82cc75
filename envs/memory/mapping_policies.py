"""Policies of the mapping game that plan: they see the whole program when an episode starts, and follow a mapping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.mapping_decoder import PriorityDecoder, density_order, xla_order
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_state import COPY, DROP, KEEP

# What is taken in place of a planned action that is not legal: the game places offsets in another order than the plan.
_INSTEAD: Final = {KEEP: (KEEP, COPY, DROP), COPY: (COPY, KEEP, DROP), DROP: (DROP, KEEP, COPY)}


class PlanPolicy:
    """Does what an order's mapping does at each access, or the nearest that is legal.

    Args:
        schema: The decision graph's schema.
        seed: Not used.
    """

    def __init__(self, schema: GraphSchema, seed: int = 0) -> None:
        self._plans: dict[int, NDArray[np.int64]] = {}  # slot -> (operations, tensors) planned action

    def order(self, instance: MappingInstance) -> NDArray[np.int64]:
        """The order (T,) whose mapping is followed."""
        raise NotImplementedError

    def begin(self, instances: Sequence[MappingInstance], slots: NDArray[np.int64]) -> None:
        """Plan for `instances`, which start anew in `slots`."""
        for instance, slot in zip(instances, slots.tolist(), strict=True):
            self._follow(slot, instance, PriorityDecoder(instance).places(self.order(instance)))

    def _follow(self, slot: int, instance: MappingInstance, places: NDArray[np.int64]) -> None:
        plan = np.zeros((instance.num_ops, instance.num_tensors), np.int64)
        plan[instance.access_op, instance.access_tensor] = places
        self._plans[slot] = plan

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The planned action of each slot (B,), or the nearest legal one."""
        mask, index = observation["action_mask"], observation["candidate_index"]
        actions = np.zeros(len(mask), np.int64)
        for slot in range(len(mask)):
            legal = np.flatnonzero(mask[slot])
            op, tensor = index[slot, legal[0]].tolist()
            planned = int(self._plans[slot][op, tensor]) if op >= 0 else DROP
            actions[slot] = next(action for action in _INSTEAD[planned] if mask[slot, action])
        return actions


class DensityPlanPolicy(PlanPolicy):
    """Follows the mapping that density order gives."""

    def order(self, instance: MappingInstance) -> NDArray[np.int64]:
        """The order (T,) whose mapping is followed."""
        return density_order(instance)


class XLAPlanPolicy(PlanPolicy):
    """Follows the mapping that XLA's order gives."""

    def order(self, instance: MappingInstance) -> NDArray[np.int64]:
        """The order (T,) whose mapping is followed."""
        return xla_order(instance)


class MappingPolicy(PlanPolicy):
    """Does at each access what given mappings do, or the nearest that is legal.

    Offsets follow from the game's rules, in program order, and may leave less room than those of the mapping.

    Args:
        schema: The decision graph's schema.
        instances: One a slot.
        schedules: Their mappings.
    """

    def __init__(
        self, schema: GraphSchema, instances: Sequence[MappingInstance], schedules: Sequence[Schedule]
    ) -> None:
        super().__init__(schema)
        if "is_drop" not in {feature.name for feature in schema.candidates.features}:
            raise ValueError(
                "schedules do not tell in which order tensors were placed; with order='priority' imitate a policy that does, "
                "e.g. hill_climb_priority"
            )
        for slot, (instance, schedule) in enumerate(zip(instances, schedules, strict=True)):
            self._follow(slot, instance, places_of(instance, schedule))


def places_of(instance: MappingInstance, schedule: Schedule) -> NDArray[np.int64]:
    """The action (A,) of each access in a mapping."""
    use = instance.access_uses
    number = use[instance.tensor_first[instance.access_tensor]] - use
    place = np.full((instance.num_tensors, int(number.max()) + 1), KEEP)
    kinds = np.array(schedule.kinds)
    for kind, action in (("copy_in", COPY), ("hbm", DROP)):
        rows = kinds == kind
        place[schedule.job[rows], schedule.task[rows]] = action
    return place[instance.access_tensor, number]
