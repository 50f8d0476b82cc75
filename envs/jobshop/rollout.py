"""Whole schedules by dispatching rules, built inside a kernel: no decision graph is written, Python runs between episodes only.

The simulator and the rules are those of the environments, and so are the schedules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import kernel
from makespan.envs.core.native_rules import native_priority, row_type
from makespan.envs.core.policy import get_rule
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop import rules as rules  # registers the family's rules
from makespan.envs.jobshop.constructive import schedule_of
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.observation import CANDIDATE_FEATURES, write_raw
from makespan.envs.jobshop.simulator import (
    CHOICE,
    MAKESPAN,
    NEXT,
    START,
    Shops,
    dispatch,
    legal_actions,
    load_slot,
    make_shops,
    reset_slot,
    scheme_of,
    sum_queues,
)

ROW: Final = row_type(CANDIDATE_FEATURES)


class RuleRollouts:
    """A batch of shops that dispatching rules schedule from start to end.

    Args:
        instances: The shops, classic or flexible.
        sgs: Schedule generation scheme, as of the environments.

    Raises:
        ValueError: There is no instance.
        UnknownNameError: There is no such scheme.
    """

    def __init__(self, instances: Sequence[ShopInstance], sgs: str = "non_delay") -> None:
        if not instances:
            raise ValueError("instances: none; expected at least one")
        self.instances = tuple(instances)
        self._scheme = scheme_of(sgs, max(i.max_alternatives for i in instances))
        sizes = [(i.num_jobs, i.num_operations, i.num_machines, i.max_alternatives) for i in instances]
        self._shops = make_shops(len(sizes), *(max(size) for size in zip(*sizes, strict=True)))
        for slot, shop in enumerate(instances):
            load_slot(
                self._shops,
                slot,
                shop.job_first,
                shop.machines,
                shop.durations,
                shop.release,
                shop.num_machines,
            )
        self._mask = np.zeros((len(sizes), self._shops.frontier.shape[2] + 1), np.int8)
        self._row = np.zeros(1, ROW)

    def play(self, rule: str, factor: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        """Schedule every shop by a rule; returns the makespans (B,), time units.

        Args:
            rule: Name of a rule of the family.
            factor: (B, N, K) by which the priority of each operation on each of its alternatives is multiplied: noise.

        Raises:
            UnknownNameError: There is no such rule.
        """
        B, N, K = self._shops.alternative.shape[:3]
        factor = np.ones((B, N, K)) if factor is None else factor
        priority = native_priority(get_rule("jobshop", rule), ROW)
        _play(self._shops, self._scheme, priority, factor, self._mask, self._row, self._row.view(np.float64))
        return self._shops.clock[:, MAKESPAN].astype(np.int64)

    def schedule(self, slot: int) -> Schedule:
        """The schedule that the last `play` built in a slot."""
        instance = self.instances[slot]
        taken = self._shops.operation[slot, : instance.num_operations]
        return schedule_of(instance, taken[:, START].astype(np.int64), taken[:, CHOICE].astype(np.int64))


def first_schedule(
    instance: ShopInstance, rng: np.random.Generator | None = None, noise: float = 0.0
) -> Schedule:
    """A non-delay schedule by SPT/TWKR: of those that can start first, smallest p / remaining work.

    Args:
        instance: The shop, classic or flexible.
        rng: Source of the noise; needed only if `noise` is positive.
        noise: Sigma of the log-normal noise on the priorities.
    """
    factor = None
    if noise > 0.0 and rng is not None:
        factor = np.exp(noise * rng.standard_normal((1, *instance.machines.shape)))
    rollouts = RuleRollouts([instance])
    rollouts.play("spt_twkr", factor)
    return rollouts.schedule(0)


@kernel
def _play(
    shops: Shops,
    scheme: int,
    priority: Any,
    factor: NDArray[np.float64],
    mask: NDArray[np.int8],
    row: NDArray[np.void],
    values: NDArray[np.float64],
) -> None:
    """Schedule every slot from the start; `row` is one candidate's features, `values` the same memory as numbers."""
    K = shops.alternative.shape[2]
    for b in range(factor.shape[0]):
        reset_slot(shops, b)
        while legal_actions(shops, b, scheme, mask) > 0:
            sum_queues(shops, b)
            best, best_priority, best_end = -1, 0.0, 0.0
            for a in range(shops.frontier.shape[2]):
                if mask[b, a]:
                    write_raw(shops, b, a, values, 0)
                    mine = priority(row[0]) * factor[b, shops.job[b, a // K, NEXT], a % K]
                    end = row[0]["earliest_start"] + row[0]["processing_time"]
                    # ties: the lower job, then its alternative that completes first
                    if (
                        best < 0
                        or mine < best_priority
                        or (mine == best_priority and a // K == best // K and end < best_end)
                    ):
                        best, best_priority, best_end = a, mine, end
            dispatch(shops, b, best // K, best % K)
