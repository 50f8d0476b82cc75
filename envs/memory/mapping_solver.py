"""Baselines that place tensors one after the other: each is an order and the priority decoder."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.policy import Solution
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.mapping_copies import LATEST, PREFERRED
from makespan.envs.memory.mapping_decoder import (
    ORDERS,
    PriorityDecoder,
    big_first_order,
    density_order,
    small_first_order,
    time_order,
    xla_cap,
    xla_order,
)
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_simulator import BEST, LOWEST
from makespan.envs.memory.mapping_state import NO_CAP
from makespan.envs.memory.mapping_validator import validate


def check_time_limit(time_limit_s: float) -> None:
    """Raise `ValueError` unless the limit is a positive number of seconds."""
    if not (math.isfinite(time_limit_s) and time_limit_s > 0):
        raise ValueError(f"time_limit_s: {time_limit_s}; expected a positive number of seconds")


def solution_of(instance: MappingInstance, schedule: Schedule) -> Solution:
    """A judged mapping with the instance's bound."""
    latency = validate(instance, schedule)
    status = "optimal" if latency == instance.lower_bound else "feasible"
    return Solution(schedule, latency, instance.lower_bound, status)  # type: ignore[arg-type]


def all_hbm(instance: MappingInstance) -> Schedule:
    """The mapping without fast memory."""
    use = instance.access_uses
    number = use[instance.tensor_first[instance.access_tensor]] - use
    nowhere = np.full(instance.num_accesses, -1)
    tensor, op = instance.access_tensor.astype(np.int64), instance.access_op.astype(np.int64)
    return Schedule(tensor, number.astype(np.int64), nowhere, op, op + 1, kind=("hbm",), name=instance.name)


@dataclass(frozen=True)
class AllHBMSolver:
    """Everything stays in HBM."""

    def solve(self, instance: MappingInstance, time_limit_s: float = 1.0, seed: int = 0) -> Solution:
        """The mapping without fast memory; limit and seed do not matter."""
        return solution_of(instance, all_hbm(instance))


@dataclass(frozen=True)
class OrderSolver:
    """Tensors in a fixed order, placed by the priority decoder at the best-fitting offset, fetched as late as possible."""

    def order(self, instance: MappingInstance) -> NDArray[np.int64]:
        """The order (T,) in which tensors are placed."""
        raise NotImplementedError

    def decoder(self, instance: MappingInstance) -> PriorityDecoder:
        """The decoder this baseline uses."""
        return PriorityDecoder(instance)

    def solve(self, instance: MappingInstance, time_limit_s: float = 1.0, seed: int = 0) -> Solution:
        """The order's mapping; limit and seed do not matter."""
        return solution_of(instance, self.decoder(instance).schedule(self.order(instance)))


@dataclass(frozen=True)
class TimeOrderSolver(OrderSolver):
    """Tensors by their first access."""

    def order(self, instance: MappingInstance) -> NDArray[np.int64]:
        """The order (T,) in which tensors are placed."""
        return time_order(instance)


@dataclass(frozen=True)
class BigFirstSolver(OrderSolver):
    """Largest tensors first."""

    def order(self, instance: MappingInstance) -> NDArray[np.int64]:
        """The order (T,) in which tensors are placed."""
        return big_first_order(instance)


@dataclass(frozen=True)
class SmallFirstSolver(OrderSolver):
    """Smallest tensors first."""

    def order(self, instance: MappingInstance) -> NDArray[np.int64]:
        """The order (T,) in which tensors are placed."""
        return small_first_order(instance)


@dataclass(frozen=True)
class DensitySolver(OrderSolver):
    """Largest benefit per byte and operation of the tensor's lifetime first."""

    def order(self, instance: MappingInstance) -> NDArray[np.int64]:
        """The order (T,) in which tensors are placed."""
        return density_order(instance)


@dataclass(frozen=True)
class XLASolver(OrderSolver):
    """XLA's memory-space assignment under honest bandwidth.

    Order by boundedness / sqrt(size); a stay bridges no gap longer than `max_ratio` copies of the whole fast memory; copies
    start where 1.5 times their time is idle, later if there is no room. (XLA itself counts elapsed time in place of idle time;
    the ratios are those of its tests, because production values are not public.)

    Attributes:
        max_ratio: Longest live range, in copies of the whole fast memory; `inf` for none.
    """

    max_ratio: float = 10.0

    def order(self, instance: MappingInstance) -> NDArray[np.int64]:
        """The order (T,) in which tensors are placed."""
        return xla_order(instance)

    def decoder(self, instance: MappingInstance) -> PriorityDecoder:
        """The decoder with XLA's cap and preferred start."""
        cap = xla_cap(instance, self.max_ratio) if math.isfinite(self.max_ratio) else NO_CAP
        return PriorityDecoder(instance, prefetch=PREFERRED, cap=cap)


@dataclass(frozen=True)
class PortfolioSolver:
    """The best of all orders, each with best-fitting and lowest offsets and with late and preferred copies, and XLA's."""

    def solve(self, instance: MappingInstance, time_limit_s: float = 10.0, seed: int = 0) -> Solution:
        """The best mapping of the portfolio; limit and seed do not matter."""
        options = [
            (offset, prefetch, NO_CAP) for offset in (BEST, LOWEST) for prefetch in (LATEST, PREFERRED)
        ]
        options.append((BEST, PREFERRED, xla_cap(instance)))
        best, found = instance.hbm_latency, all_hbm(instance)
        for offset, prefetch, cap in options:
            decoder = PriorityDecoder(instance, offset_policy=offset, prefetch=prefetch, cap=cap)
            for order in ORDERS.values():
                priorities = order(instance)
                latency = decoder.decode(priorities)
                if latency < best:
                    best, found = latency, decoder.schedule(priorities)
        return solution_of(instance, found)
