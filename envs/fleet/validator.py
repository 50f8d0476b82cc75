"""The independent judge of a fleet's schedule: feasibility and profit from instance and schedule alone."""

from __future__ import annotations

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.fleet.accounts import Replay, replay
from makespan.envs.fleet.instance import FleetDay


def audit(instance: FleetDay, schedule: Schedule, tick: int = 1) -> Replay:
    """Replay a schedule that must be feasible.

    Args:
        instance: The day.
        schedule: One row a decision or repair, in the order in which they were taken; see `makespan.envs.fleet.accounts`.
        tick: Seconds between the moments of decision: 1 in event order, 300 in the Parallel environment.

    Raises:
        InvalidScheduleError: With one sentence for each violation: whose turn it is and when, energy, chargers, parking places,
            closures, take-off times, delays and headway, repairs, and decisions that are missing.
    """
    books = replay(instance, schedule, tick)
    if books.violations:
        raise InvalidScheduleError(books.violations)
    return books


def validate(instance: FleetDay, schedule: Schedule, tick: int = 1) -> float:
    """Check a schedule against its day and compute the profit in USD; arguments and errors as of `audit`."""
    return audit(instance, schedule, tick).profit / 100.0
