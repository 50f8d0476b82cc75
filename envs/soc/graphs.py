"""Task graphs as arrays: order, neighbours, transfer delays, and the ranks that list schedulers sort by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.soc.instance import SocInstance

FloatArray = NDArray[np.float64]


def levels(instance: SocInstance) -> NDArray[np.int32]:
    """(T,) int32, longest path in edges from an entry task to each template task."""
    level = np.zeros(instance.total_tasks, np.int32)
    while True:
        deeper = level.copy()
        np.maximum.at(deeper, instance.edge_target, level[instance.edge_source] + 1)
        if np.array_equal(deeper, level):
            return level
        level = deeper


def topological_order(instance: SocInstance) -> NDArray[np.int64]:
    """(T,) template tasks, every one after its predecessors; by level, then number."""
    return np.argsort(levels(instance), kind="stable")


def delays(instance: SocInstance) -> NDArray[np.int64]:
    """(E, M, M) int64, us that the data of each edge take from PE p to PE q."""
    bandwidth = instance.bandwidth
    volume = instance.edge_volume[:, None, None]
    return np.where(bandwidth > 0, volume // np.maximum(bandwidth, 1), 0)


def mean_execution(instance: SocInstance) -> FloatArray:
    """(T,) mean expected us over the PEs that can run the task."""
    durations = instance.durations
    can = durations >= 0
    return np.where(can, durations, 0).sum(axis=1) / can.sum(axis=1)


def mean_delay(instance: SocInstance) -> FloatArray:
    """(E,) mean delay in us over the pairs of different PEs that can run the edge's two tasks.

    Topcuoglu et al. 2002, section 3, take the mean over all pairs of processors; where the data cannot leave one PE (a single one
    can run both tasks) it is 0.
    """
    can = instance.durations >= 0
    pairs = can[instance.edge_source][:, :, None] & can[instance.edge_target][:, None, :]
    pairs = pairs & ~np.eye(instance.num_pes, dtype=np.bool_)
    return np.where(pairs, delays(instance), 0).sum(axis=(1, 2)) / np.maximum(pairs.sum(axis=(1, 2)), 1)


def upward_rank(instance: SocInstance) -> FloatArray:
    """(T,) HEFT's rank: mean execution plus the largest mean delay plus rank of a successor (Topcuoglu et al. 2002, eq. 9)."""
    rank, delay = mean_execution(instance), mean_delay(instance)
    longest = np.zeros(instance.total_tasks)
    for task in topological_order(instance)[::-1]:
        rank[task] += longest[task]
        edges = np.flatnonzero(instance.edge_target == task)
        np.maximum.at(longest, instance.edge_source[edges], delay[edges] + rank[task])
    return rank


def downward_rank(instance: SocInstance) -> FloatArray:
    """(T,) longest mean way from an entry to the start of each task (Topcuoglu et al. 2002, eq. 11)."""
    mean, delay = mean_execution(instance), mean_delay(instance)
    rank = np.zeros(instance.total_tasks)
    for task in topological_order(instance):
        edges = np.flatnonzero(instance.edge_target == task)
        sources = instance.edge_source[edges]
        rank[task] = (rank[sources] + mean[sources] + delay[edges]).max(initial=0.0)
    return rank


def static_level(instance: SocInstance) -> FloatArray:
    """(T,) longest way of mean executions to the end, without communication (Hwang et al. 1989)."""
    level = mean_execution(instance)
    longest = np.zeros(instance.total_tasks)
    for task in topological_order(instance)[::-1]:
        level[task] += longest[task]
        edges = np.flatnonzero(instance.edge_target == task)
        np.maximum.at(longest, instance.edge_source[edges], level[task])
    return level


def optimistic_cost(instance: SocInstance) -> FloatArray:
    """(T, M) PEFT's table: the least time from a task's end on a PE to the end of its job (Arabnejad & Barbosa 2014, eq. 3).

    OCT(t, p) is the largest over successors s of the least over PEs q of OCT(s, q) + execution + mean delay if q is not p.
    """
    durations = np.where(instance.durations >= 0, instance.durations, np.inf).astype(np.float64)
    table = np.zeros((instance.total_tasks, instance.num_pes))
    elsewhere = ~np.eye(instance.num_pes, dtype=np.bool_)
    delay = mean_delay(instance)
    for task in topological_order(instance)[::-1]:
        for edge in np.flatnonzero(instance.edge_target == task):
            source = int(instance.edge_source[edge])
            way = (table[task] + durations[task])[None, :] + delay[edge] * elsewhere
            table[source] = np.maximum(table[source], way.min(axis=1))
    return table
