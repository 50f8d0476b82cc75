"""Quick lower bounds on a SoC's objective, which need no solver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.soc.graphs import delays, topological_order
from makespan.envs.soc.instance import SocInstance

_NEVER = np.int64(2**40)


def shortest_latency(instance: SocInstance) -> NDArray[np.int64]:
    """(J,) us that each job takes at least, alone on the SoC.

    The earliest end of a task on a PE is its realised time there after the data of each predecessor, each coming from the
    PE that serves best: the critical path when PEs are never busy and each edge may choose anew.
    """
    durations = instance.row_durations.astype(np.int64)
    first = instance.row_first
    shortest = np.zeros(instance.num_jobs, np.int64)
    order = topological_order(instance)
    delay = delays(instance)
    for profile in range(instance.num_profiles):
        jobs = np.flatnonzero(instance.job_profile == profile)
        low, high = int(instance.task_first[profile]), int(instance.task_first[profile + 1])
        if jobs.size == 0:
            continue
        end = np.zeros((high - low, jobs.size, instance.num_pes), np.int64)
        for task in order[(order >= low) & (order < high)]:
            ready = np.zeros((jobs.size, instance.num_pes), np.int64)
            for edge in np.flatnonzero(instance.edge_target == task):
                source = int(instance.edge_source[edge])
                arrives = (end[source - low][:, :, None] + delay[edge]).min(axis=1)
                np.maximum(ready, arrives, out=ready)
            took = durations[first[jobs] + task - low]
            end[task - low] = np.where(took >= 0, ready + took, _NEVER)
        shortest[jobs] = end.min(axis=2).max(axis=0)
    return shortest


def makespan_bound(instance: SocInstance) -> int:
    """Time in us before which the last job cannot be done; the horizon if that comes first.

    The largest of every job's arrival plus its shortest latency, and for every set of PEs the least work of the tasks
    that can run on no other, spread evenly over it.
    """
    entered = (
        instance.arrival < instance.horizon if instance.horizon else np.ones(instance.num_jobs, np.bool_)
    )
    bound = int((instance.arrival + shortest_latency(instance))[entered].max())
    rows = entered[instance.row_job]
    durations = instance.row_durations[rows].astype(np.int64)
    can = durations >= 0
    least = np.where(can, durations, _NEVER).min(axis=1)
    for pes in np.unique(can, axis=0):
        inside = ~(can & ~pes).any(axis=1)
        bound = max(bound, int(instance.arrival[0]) + -(-int(least[inside].sum()) // int(pes.sum())))
    return min(bound, instance.horizon) if instance.horizon else bound


def energy_bound(instance: SocInstance) -> int:
    """Energy in pJ that any run draws: everything idle for as long as it must last, and each task at its cheapest on top.

    A task's cheapest is the least that one more busy PE adds to its cluster's power. With a horizon tasks may be left
    undone, and only the idle part remains.
    """
    if instance.power is None:
        return 0
    draw = instance.power.draw
    idle = instance.power.base + int(draw[:, 0].sum())
    total = idle * makespan_bound(instance)
    if instance.horizon:
        return total
    sizes = np.bincount(instance.pe_cluster)
    least = np.array([np.diff(draw[c, : sizes[c] + 1]).min() for c in range(sizes.size)])
    durations = instance.row_durations.astype(np.int64)
    energy = durations * np.minimum(least, draw.max())[instance.pe_cluster]
    return total + int(np.where(durations >= 0, energy, np.iinfo(np.int64).max).min(axis=1).sum())


def lower_bound(instance: SocInstance) -> float:
    """A quick lower bound on the instance's objective: mean latency in us, makespan in us, or energy in pJ."""
    if instance.objective == "makespan":
        return float(makespan_bound(instance))
    if instance.objective == "energy":
        return float(energy_bound(instance))
    shortest = shortest_latency(instance)
    if instance.horizon:
        shortest = np.minimum(shortest, instance.horizon - instance.arrival)
    return float(shortest[instance.counted].mean())
