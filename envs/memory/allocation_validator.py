"""The independent judge of allocations: written from the problem's definition, and from nothing else.

An allocation is encoded in a `Schedule` with one row for each buffer: `job` is the buffer, `task` 0, `resource` its
offset, `start` and `end` its lifetime, `kind` "buffer". It is feasible if every buffer stands there once with its own
lifetime, at an offset that is not negative, is a multiple of its alignment and equals the prescribed one if there is
any, and if no two buffers hold the same offset at the same time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.allocation_instance import AllocationProblem

_MOST_SENTENCES = 100  # of each kind of violation
KIND = "buffer"


def allocation_schedule(problem: AllocationProblem, offsets: NDArray[np.int64]) -> Schedule:
    """The schedule that encodes an allocation, buffers in their order.

    Args:
        problem: The buffers.
        offsets: (num_buffers,) bytes; buffers with a negative one are left out (a partial allocation).
    """
    placed = np.flatnonzero(offsets >= 0)
    return Schedule(
        job=placed,
        task=np.zeros(placed.size, np.int64),
        resource=offsets[placed],
        start=problem.lower[placed],
        end=problem.upper[placed],
        kind=(KIND,),
        name=problem.name,
    )


def offsets_of(problem: AllocationProblem, schedule: Schedule) -> NDArray[np.int64]:
    """(num_buffers,) offsets that a schedule encodes, -1 for buffers that it does not hold."""
    offsets = np.full(problem.num_buffers, -1, np.int64)
    offsets[schedule.job] = schedule.resource
    return offsets


def validate(problem: AllocationProblem, schedule: Schedule) -> int:
    """Check an allocation against its problem and compute the peak.

    An allocation above the problem's capacity is a valid one, since the peak is what is minimised; see `check_capacity`.

    Returns:
        The peak in bytes: the highest offset + size of any buffer.

    Raises:
        InvalidScheduleError: With one sentence for each violation.
    """
    violations = _row_violations(problem, schedule)
    if not violations:
        violations += _offset_violations(problem, schedule)
        violations += _collisions(problem, schedule)
    if violations:
        raise InvalidScheduleError(violations)
    return int((schedule.resource + problem.size[schedule.job]).max())


def check_capacity(problem: AllocationProblem, schedule: Schedule) -> int:
    """As `validate`, and refuse a peak above the problem's capacity, where it has one."""
    peak = validate(problem, schedule)
    if problem.capacity and peak > problem.capacity:
        raise InvalidScheduleError([f"the peak is {peak} bytes; expected at most {problem.capacity}"])
    return peak


def _name(problem: AllocationProblem, buffer: int) -> str:
    return f"buffer {problem.ids[buffer]}"


def _row_violations(problem: AllocationProblem, schedule: Schedule) -> list[str]:
    """Every buffer exactly once, with its own lifetime, and nothing else."""
    violations = [
        f"row {row} names unknown buffer {schedule.job[row]}; expected 0..{problem.num_buffers - 1}"
        for row in np.flatnonzero((schedule.job < 0) | (schedule.job >= problem.num_buffers))
    ]
    violations += [
        f"row {row} is task {schedule.task[row]}; expected 0: a buffer is one piece"
        for row in np.flatnonzero(schedule.task != 0)
    ]
    violations += [
        f"kind {kind!r} has no meaning here; expected {KIND!r}" for kind in set(schedule.kinds) - {KIND}
    ]
    if violations:
        return violations[:_MOST_SENTENCES]
    times = np.bincount(schedule.job, minlength=problem.num_buffers)
    for buffer in np.flatnonzero(times != 1)[:_MOST_SENTENCES]:
        what = "is missing" if times[buffer] == 0 else f"is placed {times[buffer]} times"
        violations.append(f"{_name(problem, buffer)} {what}; expected once")
    lower, upper = problem.lower[schedule.job], problem.upper[schedule.job]
    for row in np.flatnonzero((schedule.start != lower) | (schedule.end != upper))[:_MOST_SENTENCES]:
        violations.append(
            f"{_name(problem, schedule.job[row])} lives in [{schedule.start[row]}, {schedule.end[row]}); "
            f"expected [{lower[row]}, {upper[row]})"
        )
    return violations


def _offset_violations(problem: AllocationProblem, schedule: Schedule) -> list[str]:
    violations = []
    for buffer, offset in zip(schedule.job.tolist(), schedule.resource.tolist(), strict=True):
        fixed, alignment = int(problem.fixed[buffer]), int(problem.alignment[buffer])
        if offset < 0:
            violations.append(f"{_name(problem, buffer)} lies at offset {offset}; expected at least 0")
        elif offset % alignment:
            violations.append(
                f"{_name(problem, buffer)} lies at offset {offset}; expected a multiple of {alignment}"
            )
        if fixed not in (-1, offset):
            violations.append(
                f"{_name(problem, buffer)} lies at offset {offset}; expected {fixed}, as prescribed"
            )
    return violations[:_MOST_SENTENCES]


def _holdings(problem: AllocationProblem, buffer: int, offset: int) -> list[tuple[int, int, int, int]]:
    """What a buffer holds: (begin, end, low, high) rectangles, its lifetime cut at its gaps."""
    begin, held = int(problem.lower[buffer]), []
    size = int(problem.size[buffer])
    for owner, gap_begin, gap_end, low, high in problem.gaps.tolist():
        if owner == buffer:
            held += [
                (begin, gap_begin, offset, offset + size),
                (gap_begin, gap_end, offset + low, offset + high),
            ]
            begin = gap_end
    held.append((begin, int(problem.upper[buffer]), offset, offset + size))
    return [rectangle for rectangle in held if rectangle[0] < rectangle[1] and rectangle[2] < rectangle[3]]


def _collisions(problem: AllocationProblem, schedule: Schedule) -> list[str]:
    """Pairs of buffers that hold the same offset at the same time: a sweep over time keeps those that live."""
    rectangles = []
    for buffer, offset in zip(schedule.job.tolist(), schedule.resource.tolist(), strict=True):
        rectangles += [(*held, buffer) for held in _holdings(problem, buffer, offset)]
    rectangles.sort()
    violations: list[str] = []
    living: list[tuple[int, int, int, int, int]] = []
    for begin, end, low, high, buffer in rectangles:
        living = [other for other in living if other[1] > begin]
        for _, other_end, other_low, other_high, other in living:
            if other_low < high and low < other_high:
                violations.append(
                    f"{_name(problem, other)} and {_name(problem, buffer)} both hold offset {max(low, other_low)} "
                    f"during [{begin}, {min(end, other_end)})"
                )
        living.append((begin, end, low, high, buffer))
    return violations[:_MOST_SENTENCES]


def lower_bound(problem: AllocationProblem) -> int:
    """A bound that no peak is below, bytes: the largest load at any moment, buffer, or end of a prescribed one."""
    change: dict[int, int] = {}
    for buffer in range(problem.num_buffers):
        for begin, end, low, high in _holdings(problem, buffer, 0):
            change[begin] = change.get(begin, 0) + high - low
            change[end] = change.get(end, 0) - (high - low)
    load = most = 0
    for time in sorted(change):
        load += change[time]
        most = max(most, load)
    prescribed = (problem.fixed + problem.size)[problem.fixed >= 0]
    return max(most, int(problem.size.max()), int(prescribed.max(initial=0)))
