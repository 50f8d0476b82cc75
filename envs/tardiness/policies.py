"""Policies that plan when an episode starts: sequences of heuristics, and the optimal choice in every state.

They see processing times and due dates only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.tardiness.heuristics import construct, wilkerson_irwin
from makespan.envs.tardiness.instance import TardinessInstance
from makespan.envs.tardiness.solver import best_choice, table_of_rests


class SequencePolicy:
    """Follows a sequence that `plan` makes of each instance; subclasses say how.

    Args:
        schema: The decision graph's schema.
        seed: Unused: plans are deterministic.
    """

    def __init__(self, schema: GraphSchema, seed: int = 0) -> None:
        self._place: dict[int, NDArray[np.int64]] = {}  # slot -> position of each job in its sequence
        self._num_jobs = schema.candidates.max_count

    def plan(self, instance: TardinessInstance) -> NDArray[np.int64]:
        """The sequence of jobs (num_jobs,)."""
        raise NotImplementedError

    def begin(self, instances: Sequence[TardinessInstance], slots: NDArray[np.int64]) -> None:
        """Plan for `instances`, which start anew in `slots`."""
        for instance, slot in zip(instances, slots.tolist(), strict=True):
            place = np.full(self._num_jobs, self._num_jobs, np.int64)
            place[self.plan(instance)] = np.arange(instance.num_jobs)
            self._place[slot] = place

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The next job of each slot's sequence (B,)."""
        mask = observation["action_mask"] > 0
        place = np.stack([self._place[slot] for slot in range(len(mask))])
        return np.where(mask, place, self._num_jobs + 1).argmin(axis=-1)


class WilkersonIrwin(SequencePolicy):
    """Wilkerson & Irwin (1971)."""

    def plan(self, instance: TardinessInstance) -> NDArray[np.int64]:
        """The sequence of jobs (num_jobs,)."""
        return wilkerson_irwin(instance.processing, instance.due)


class AugmentedMDD(SequencePolicy):
    """MDD; after each append, earlier jobs are moved to the end where that helps."""

    def plan(self, instance: TardinessInstance) -> NDArray[np.int64]:
        """The sequence of jobs (num_jobs,)."""
        return construct(instance.processing, instance.due, False, True)


class AugmentedMDDC(SequencePolicy):
    """MDDC; after each append, earlier jobs are moved to the end where that helps."""

    def plan(self, instance: TardinessInstance) -> NDArray[np.int64]:
        """The sequence of jobs (num_jobs,)."""
        return construct(instance.processing, instance.due, True, True)


class Optimal:
    """The optimal next job in every state, whoever took the decisions before; at most 25 jobs.

    Args:
        schema: The decision graph's schema.
        seed: Unused.
    """

    def __init__(self, schema: GraphSchema, seed: int = 0) -> None:
        self._slots: dict[int, tuple[TardinessInstance, NDArray[np.int32]]] = {}

    def begin(self, instances: Sequence[TardinessInstance], slots: NDArray[np.int64]) -> None:
        """Solve `instances`, which start anew in `slots`, from every state; 2^num_jobs numbers of 4 bytes each."""
        for instance, slot in zip(instances, slots.tolist(), strict=True):
            self._slots[slot] = instance, table_of_rests(instance)

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """An optimal job in each slot (B,)."""
        waiting = observation["action_mask"] > 0
        actions = np.zeros(len(waiting), np.int64)
        for slot, row in enumerate(waiting):
            instance, table = self._slots[slot]
            jobs = np.flatnonzero(row)
            now = int(instance.processing.sum()) - int(instance.processing[jobs].sum())
            members = sum(1 << job for job in jobs.tolist())
            actions[slot] = best_choice(instance.processing, instance.due, table, members, now)
        return actions
