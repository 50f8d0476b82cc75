"""What a schedule is worth: pure functions of a `Schedule` and a few arrays, for every family.

Symbols: job j is released at r_j, completes at C_j (the latest end of its rows), is due at d_j, weighs w_j;
resource i is busy for b_i of the horizon H. Times are in the schedule's unit and exact (int64); ratios float.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from makespan.envs.core.schedule import Schedule


def makespan(schedule: Schedule) -> int:
    """C_max = max_j C_j, in time units; 0 for an empty schedule."""
    return schedule.makespan


def completion_times(schedule: Schedule, num_jobs: int | None = None) -> NDArray[np.int64]:
    """C_j, the latest end among the rows of job j, in time units.

    Args:
        schedule: Rows of negative jobs (breakdowns ...) are left out.
        num_jobs: Number of jobs; the highest job number plus one where omitted.

    Returns:
        (num_jobs,) int64.

    Raises:
        ValueError: A job has no row (its completion is undefined) or a number outside 0..num_jobs - 1.
    """
    return _over_jobs(schedule, num_jobs)[1]


def flow_times(schedule: Schedule, release: ArrayLike | None = None) -> NDArray[np.int64]:
    """F_j = C_j - r_j, the time job j spends in the system, in time units.

    Args:
        schedule: All jobs, complete.
        release: (num_jobs,) r_j, 0 where omitted.

    Returns:
        (num_jobs,) int64.
    """
    if release is None:
        return completion_times(schedule)
    released = _per_job("release", release)
    flow: NDArray[np.int64] = completion_times(schedule, len(released)) - released.astype(np.int64)
    return flow


def total_flow_time(schedule: Schedule, release: ArrayLike | None = None) -> int:
    """sum_j F_j, in time units (of jobs)."""
    return int(flow_times(schedule, release).sum())


def mean_flow_time(schedule: Schedule, release: ArrayLike | None = None) -> float:
    """(1 / n) sum_j F_j over n jobs, in time units; 0 without jobs. The latency of a stream of jobs."""
    flow = flow_times(schedule, release)
    return float(flow.mean()) if flow.size else 0.0


def total_weighted_completion_time(schedule: Schedule, weight: ArrayLike) -> int | float:
    """sum_j w_j C_j, in time units times weight; an int where the weights are ints."""
    weights = _per_job("weight", weight)
    return _scalar((weights * completion_times(schedule, len(weights))).sum())


def lateness(schedule: Schedule, due: ArrayLike) -> NDArray[np.int64]:
    """L_j = C_j - d_j, negative for a job ahead of its due time, in time units; (num_jobs,) int64."""
    dues = _per_job("due", due)
    late: NDArray[np.int64] = completion_times(schedule, len(dues)) - dues.astype(np.int64)
    return late


def tardiness(schedule: Schedule, due: ArrayLike) -> NDArray[np.int64]:
    """T_j = max(0, C_j - d_j), in time units; (num_jobs,) int64."""
    return np.maximum(lateness(schedule, due), 0)


def total_weighted_tardiness(
    schedule: Schedule, due: ArrayLike, weight: ArrayLike | None = None
) -> int | float:
    """sum_j w_j T_j, in time units times weight; w_j = 1 where omitted, an int where the weights are ints."""
    tardy = tardiness(schedule, due)
    if weight is None:
        return int(tardy.sum())
    weights = _per_job("weight", weight)
    if weights.shape != tardy.shape:
        raise ValueError(f"weight: {len(weights)} entries; expected {len(tardy)}, as due")
    return _scalar((weights * tardy).sum())


def num_tardy(schedule: Schedule, due: ArrayLike) -> int:
    """Number of jobs with T_j > 0."""
    return int((lateness(schedule, due) > 0).sum())


def busy_times(schedule: Schedule, num_resources: int | None = None) -> NDArray[np.int64]:
    """b_i, the time during which at least one row occupies resource i, in time units.

    Rows that overlap (a resource of capacity above one) count once. To leave kinds out, select rows first.

    Args:
        schedule: Any schedule.
        num_resources: Number of resources; the highest resource number plus one where omitted.

    Returns:
        (num_resources,) int64.

    Raises:
        ValueError: A resource number outside 0..num_resources - 1.
    """
    busy = np.zeros(_count("resource", schedule.resource, num_resources), np.int64)
    if not schedule.num_rows:
        return busy
    order = np.lexsort((schedule.start, schedule.resource))
    resource, start, end = schedule.resource[order], schedule.start[order], schedule.end[order]
    for first, last in _runs(resource):
        reached = np.maximum.accumulate(end[first:last])  # how far the rows so far cover
        covered_from = np.maximum(start[first + 1 : last], reached[:-1])
        gained = np.maximum(end[first + 1 : last] - covered_from, 0)
        busy[resource[first]] = end[first] - start[first] + gained.sum()
    return busy


def utilisation(
    schedule: Schedule, num_resources: int | None = None, horizon: int | None = None
) -> NDArray[np.float64]:
    """U_i = b_i / H, the share of the horizon during which resource i works, 0 to 1.

    Args:
        schedule: Any schedule that starts at time 0 or later.
        num_resources: See `busy_times`.
        horizon: H in time units, the makespan where omitted.

    Returns:
        (num_resources,) float64; zeros where the horizon is 0.
    """
    busy = busy_times(schedule, num_resources)
    span = schedule.makespan if horizon is None else horizon
    return busy / span if span > 0 else np.zeros(busy.shape)


def idle_times(
    schedule: Schedule, num_resources: int | None = None, horizon: int | None = None
) -> NDArray[np.int64]:
    """H - b_i, the part of the horizon that resource i stands idle; (num_resources,) int64, time units."""
    return (schedule.makespan if horizon is None else horizon) - busy_times(schedule, num_resources)


def jobs_in_system(
    schedule: Schedule, release: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of jobs released and not yet complete, as a step function of time.

    Returns:
        times: (k,) int64, ascending, where the number changes.
        counts: (k,) int64, the number from times[i] (included) to times[i + 1].
    """
    completion = completion_times(schedule, None if release is None else len(_per_job("release", release)))
    released = np.zeros_like(completion) if release is None else _per_job("release", release)
    times, place = np.unique(np.concatenate((released, completion)).astype(np.int64), return_inverse=True)
    change = np.repeat(np.array([1, -1]), len(completion))
    steps = np.bincount(place, weights=change, minlength=len(times)).astype(np.int64)
    return times, np.cumsum(steps)


def work_in_process(schedule: Schedule, release: ArrayLike | None = None) -> float:
    """The time average of the number of jobs in the system, sum_j F_j / C_max; 0 for an empty schedule."""
    span = schedule.makespan
    return total_flow_time(schedule, release) / span if span > 0 else 0.0


def throughput(schedule: Schedule, horizon: int | None = None) -> float:
    """|{j: C_j <= H}| / H, jobs completed within the horizon a time unit; H is the makespan where omitted."""
    span = schedule.makespan if horizon is None else horizon
    if span <= 0:
        return 0.0
    _, completion = _over_jobs(schedule, None, gaps=True)
    return int((completion <= span).sum()) / span


@overload
def gap_pct(objective: float, reference: float) -> float: ...
@overload
def gap_pct(objective: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]: ...
def gap_pct(objective: ArrayLike, reference: ArrayLike) -> float | NDArray[np.float64]:
    """100 (objective - reference) / reference, in per cent; above 0 is worse where less is better.

    Args:
        objective: One value or an array.
        reference: An optimum, a best-known value or a bound; one value or an array that broadcasts.

    Raises:
        ValueError: A reference is not above 0, where a ratio means nothing.
    """
    base = np.asarray(reference, dtype=np.float64)
    if not (base > 0).all():
        raise ValueError(f"reference: {reference!r}; expected values above 0")
    gap = 100.0 * (np.asarray(objective, dtype=np.float64) - base) / base
    return float(gap) if np.ndim(gap) == 0 else gap


def _over_jobs(
    schedule: Schedule, num_jobs: int | None, *, gaps: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The job numbers that occur and their completion times; `gaps` allows jobs without rows."""
    rows = schedule.job >= 0
    count = _count("job", schedule.job[rows], num_jobs)
    jobs, place = np.unique(schedule.job[rows], return_inverse=True)
    if not gaps and len(jobs) < count:
        missing = int(np.setdiff1d(np.arange(count), jobs)[0])
        raise ValueError(f"job {missing} has no row; its completion time is undefined")
    completion = np.full(len(jobs), np.iinfo(np.int64).min)
    np.maximum.at(completion, place, schedule.end[rows])
    return jobs, completion


def _count(what: str, numbers: NDArray[np.int64], count: int | None) -> int:
    lowest, highest = int(numbers.min(initial=0)), int(numbers.max(initial=-1))
    if count is None:
        count = highest + 1
    if lowest < 0 or highest >= count:
        raise ValueError(f"{what}: {lowest if lowest < 0 else highest}; expected 0..{count - 1}")
    return count


def _per_job(what: str, values: ArrayLike) -> NDArray[np.int64] | NDArray[np.float64]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{what}: shape {array.shape}; expected (num_jobs,)")
    return array


def _scalar(value: np.integer | np.floating) -> int | float:
    return int(value) if isinstance(value, np.integer) else float(value)


def _runs(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Where equal neighbours begin and end."""
    edges = np.flatnonzero(np.diff(values)) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), len(values)], strict=True))
