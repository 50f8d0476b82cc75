"""What every Gantt chart has in common, before anything is drawn: rows, lanes, colours, names."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.palette import colour_of
from makespan.envs.core.schedule import Schedule

ColourBy = Literal["job", "kind", "resource"]


@dataclass(frozen=True, slots=True)
class Layout:
    """A schedule laid out: one chart row a resource, split into lanes where rows of the schedule overlap.

    Attributes:
        schedule: What is drawn.
        names: Name of each chart row, from the top.
        row: (n,) int64, chart row of each block.
        lane: (n,) int64, lane of each block within its chart row.
        num_lanes: (num_rows,) int64, lanes of each chart row.
        group: (n,) int64, what gives a block its colour: its job, kind or resource number.
        groups: Group number -> name, in the order of a legend.
        labels: Short name of each block's job; empty where it belongs to none.
        horizon: Right end of the time axis.
        origin: Left end of the time axis: 0, or the earliest start if that is negative.
        colour_by: What `group` is.
    """

    schedule: Schedule
    names: tuple[str, ...]
    row: NDArray[np.int64]
    lane: NDArray[np.int64]
    num_lanes: NDArray[np.int64]
    group: NDArray[np.int64]
    groups: dict[int, str]
    labels: tuple[str, ...]
    horizon: int
    origin: int
    colour_by: ColourBy

    @property
    def colours(self) -> list[str]:
        """The colour of each block, #rrggbb."""
        return [colour_of(group) for group in self.group.tolist()]

    @property
    def plain(self) -> NDArray[np.bool_]:
        """(n,) bool, whether a block is of the most frequent kind; the others are hatched."""
        hatched = self.hatched_kinds
        return np.array([kind not in hatched for kind in self.schedule.kinds], np.bool_)

    @property
    def hatched_kinds(self) -> tuple[str, ...]:
        """All kinds but the most frequent; none where the colours tell the kinds apart already."""
        counts = Counter(self.schedule.kinds)  # in order of appearance
        usual = max(counts, key=lambda kind: counts[kind], default="")
        return () if self.colour_by == "kind" else tuple(kind for kind in counts if kind != usual)


def lay_out(
    schedule: Schedule,
    *,
    resource_names: Sequence[str] | None = None,
    job_names: Sequence[str] | None = None,
    colour_by: ColourBy = "job",
    horizon: int | None = None,
    kinds: Sequence[str] = (),
) -> Layout:
    """Lay a schedule out.

    Args:
        schedule: Any schedule, also an empty or an infeasible one.
        resource_names: Names by resource number; those with a name get a row even when they stand idle.
        job_names: Names by job number.
        colour_by: What the colours tell apart.
        horizon: Right end of the time axis, the makespan where omitted; fix it to let frames of a film agree.
        kinds: Kinds that come first in the order of colours, so that several pictures agree.
    """
    numbers = _resource_numbers(schedule, resource_names)
    row = np.searchsorted(numbers, schedule.resource)
    lane, num_lanes = _lanes(schedule, row, len(numbers))
    group, groups = _groups(schedule, colour_by, resource_names, job_names, kinds)
    short = [name_of(job_names, job, "") for job in schedule.job.tolist()]
    return Layout(
        schedule=schedule,
        names=tuple(name_of(resource_names, number, "M") for number in numbers.tolist()),
        row=row,
        lane=lane,
        num_lanes=num_lanes,
        group=group,
        groups=groups,
        labels=tuple(short),
        horizon=max(schedule.makespan if horizon is None else horizon, 1),
        origin=int(schedule.start.min(initial=0)),
        colour_by=colour_by,
    )


def name_of(names: Sequence[str] | None, number: int, prefix: str) -> str:
    """The given name of a number, or prefix and number; empty for numbers below 0."""
    if number < 0:
        return ""
    return str(names[number]) if names is not None and number < len(names) else f"{prefix}{number}"


def summary(schedule: Schedule) -> str:
    """One line on the size of a schedule."""
    jobs = len(np.unique(schedule.job[schedule.job >= 0]))
    resources = len(np.unique(schedule.resource))
    counts = ((jobs, "job"), (resources, "resource"), (schedule.num_rows, "row"))
    return " · ".join(
        f"{count:,} {noun}{'s' if count != 1 else ''}".replace(",", " ") for count, noun in counts
    )


def _resource_numbers(schedule: Schedule, names: Sequence[str] | None) -> NDArray[np.int64]:
    """Resources with a chart row: the named and the used ones, gaps filled unless numbers are sparse."""
    used = np.unique(schedule.resource)
    named = np.arange(len(names) if names is not None else 0)
    if names is None and used.size and used[0] >= 0 and used[-1] < 2 * used.size + 8:
        return np.arange(used[-1] + 1)
    return np.union1d(named, used)


def _lanes(
    schedule: Schedule, row: NDArray[np.int64], num_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lowest free lane for each block in order of start, so that no two blocks of a lane overlap."""
    lane = np.zeros(schedule.num_rows, np.int64)
    count = np.ones(num_rows, np.int64)
    order = np.lexsort((schedule.end, schedule.start, row))
    current, running, free = -1, list[tuple[int, int]](), list[int]()
    for block, at, start, end in zip(
        *(column.tolist() for column in (order, row[order], schedule.start[order], schedule.end[order])),
        strict=True,
    ):
        if at != current:
            current, running, free = at, [], []
        while running and running[0][0] <= start:
            heapq.heappush(free, heapq.heappop(running)[1])
        chosen = heapq.heappop(free) if free else len(running)
        heapq.heappush(running, (max(start, end), chosen))
        lane[block] = chosen
        count[at] = max(count[at], chosen + 1)
    return lane, count


def _groups(
    schedule: Schedule,
    colour_by: ColourBy,
    resource_names: Sequence[str] | None,
    job_names: Sequence[str] | None,
    kinds: Sequence[str],
) -> tuple[NDArray[np.int64], dict[int, str]]:
    if colour_by == "kind":
        order = list(dict.fromkeys((*kinds, *schedule.kinds)))  # then in order of appearance
        number = {kind: index for index, kind in enumerate(order)}
        group = np.array([number[kind] for kind in schedule.kinds], np.int64)
        return group, {index: order[index] for index in np.unique(group).tolist()}
    if colour_by not in ("job", "resource"):
        raise ValueError(f"colour_by: {colour_by!r}; expected 'job', 'kind' or 'resource'")
    group = schedule.job if colour_by == "job" else schedule.resource
    names, prefix = (job_names, "J") if colour_by == "job" else (resource_names, "M")
    return group, {g: name_of(names, g, prefix) or "no job" for g in np.unique(group).tolist()}
