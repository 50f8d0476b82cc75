"""What a run looked like over time, recomputed from instance and schedule: transfers, jobs in the system, power."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.schedule import Schedule
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.validator import measure

IntArray = NDArray[np.int64]


class Transfers(NamedTuple):
    """Data that took time to get from one task to another.

    Attributes:
        job: (n,) job.
        source: (n,) PE that sent them.
        target: (n,) PE that waited for them.
        leave: (n,) us, end of the sending task.
        arrive: (n,) us.
    """

    job: IntArray
    source: IntArray
    target: IntArray
    leave: IntArray
    arrive: IntArray


def transfers(instance: SocInstance, schedule: Schedule) -> Transfers:
    """All transfers of a schedule that take time, in the order of its rows and the template's edges."""
    row_of = np.full(instance.total_rows, -1, np.int64)
    rows = instance.row_first[schedule.job] + schedule.task
    row_of[rows] = np.arange(rows.size)
    template = instance.row_task[rows]
    first = np.searchsorted(instance.edge_target, np.arange(instance.total_tasks + 1))
    count = (first[1:] - first[:-1])[template]
    after = np.repeat(np.arange(rows.size), count)
    edge = np.repeat(first[template] - np.cumsum(count) + count, count) + np.arange(count.sum())
    before = row_of[rows[after] + instance.edge_source[edge] - template[after]]
    known = before >= 0
    after, before, edge = after[known], before[known], edge[known]
    source, target = schedule.resource[before], schedule.resource[after]
    wire = instance.bandwidth[source, target]
    delay = np.where(wire > 0, instance.edge_volume[edge] // np.maximum(wire, 1), 0)
    slow = delay > 0
    leave = schedule.end[before]
    return Transfers(
        schedule.job[after][slow], source[slow], target[slow], leave[slow], (leave + delay)[slow]
    )


def jobs_in_system(instance: SocInstance, schedule: Schedule) -> tuple[IntArray, IntArray]:
    """Times (n,) in us at which the number of unfinished jobs that have arrived changes, and the number (n,) from then on.

    Jobs that wait outside under a cap are counted; the last time is the end of the run.
    """
    run = measure(instance, schedule)
    entered = instance.arrival < (instance.horizon or run.makespan + 1)
    done = run.finish[entered & (run.finish >= 0)]
    times = np.concatenate([instance.arrival[entered], done, [run.makespan]])
    change = np.repeat([1, -1, 0], [int(entered.sum()), done.size, 1])
    return _steps(times, change)


def busy_pes(
    instance: SocInstance, schedule: Schedule, cluster: int | None = None
) -> tuple[IntArray, IntArray]:
    """Times (n,) in us at which the number of busy PEs, of one cluster or of all, changes, and the number (n,) from then on."""
    end = measure(instance, schedule).makespan
    here = schedule.end > schedule.start
    if cluster is not None:
        here &= instance.pe_cluster[schedule.resource] == cluster
    times = np.concatenate([[0], schedule.start[here], np.minimum(schedule.end[here], end), [end]])
    change = np.repeat([0, 1, -1, 0], [1, int(here.sum()), int(here.sum()), 1])
    return _steps(times, change)


def power_draw(instance: SocInstance, schedule: Schedule) -> tuple[IntArray, IntArray]:
    """Times (n,) in us at which the power changes, and the power (n,) in uW from then on; the last time is the end of the run.

    Raises:
        ValueError: The instance has no power model.
    """
    if instance.power is None:
        raise ValueError("power: None; the instance has no power model")
    curves = [busy_pes(instance, schedule, cluster) for cluster in range(instance.num_clusters)]
    times = np.unique(np.concatenate([times for times, _ in curves]))
    total = np.full(times.size, instance.power.base, np.int64)
    for cluster, (at, busy) in enumerate(curves):
        total += instance.power.draw[cluster, busy[np.searchsorted(at, times, side="right") - 1]]
    return times, total


def _steps(times: IntArray, change: IntArray) -> tuple[IntArray, IntArray]:
    """Distinct times, sorted, and the running sum after all changes at each."""
    at, inverse = np.unique(times, return_inverse=True)
    total = np.zeros(at.size, np.int64)
    np.add.at(total, inverse, change)
    return at, np.cumsum(total)
