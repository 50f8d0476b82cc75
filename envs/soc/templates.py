"""What the simulator derives from an instance before anything runs: degrees, ranks, bounds, optimistic costs, twins.

Ranks are kept in 1/64 us: whole numbers, so that equal ranks tie. *Communication* in ranks is the volume times the mean of
1 / bandwidth over all ordered pairs of different PEs (0 where data move at once).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import kernel

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

RANK_UNIT: Final = 64  # ranks per us
RANK_LIMIT: Final = 2**24  # beyond, float32 no longer counts; reached by ranks of 262 ms

# Columns of `Socs.template`. The row after the last task ends the offsets.
IN_FIRST: Final = 0  # first edge into the task; edges are sorted by target
OUT_FIRST: Final = 1  # first entry of the edges sorted by source
SHORTEST: Final = 2  # us on the fastest PE
LEVEL: Final = 3  # us of the longest path from the task on, each task on its fastest PE, no communication
MEAN: Final = 4  # mean execution over the PEs that can run it, 1/64 us
UPWARD: Final = 5  # upward rank, Topcuoglu et al. (2002), eq. 8, 1/64 us
DOWNWARD: Final = 6  # downward rank, eq. 10, 1/64 us
STATIC: Final = 7  # static level: the upward rank without communication, 1/64 us
OPTIMISTIC: Final = 8  # mean of the optimistic costs over PEs, Arabnejad & Barbosa (2014), eq. 3, 1/64 us
ELIGIBLE: Final = 9  # PEs that can run it
PROFILE: Final = 10
TEMPLATE_COLUMNS: Final = 11

# Columns of `Socs.profile`. The row after the last profile ends the offsets.
TASK_FIRST: Final = 0
BOUND: Final = 1  # critical path, each task on its fastest PE, us
WORK: Final = 2  # sum of the shortest executions, us
PROFILE_COLUMNS: Final = 3

# Columns of `Socs.edge`.
SOURCE: Final = 0
TARGET: Final = 1
BY_SOURCE: Final = 2  # edge at this place of the order by source
TRANSFER: Final = 3  # mean communication, 1/64 us
EDGE_COLUMNS: Final = 4


@kernel
def _ticks(value: float) -> int:
    return min(RANK_LIMIT, int(np.rint(value * RANK_UNIT)))


@kernel
def topological_order(template: I32, edge: I32, num_tasks: int) -> I32:
    """Template tasks (T,), every one after its predecessors."""
    order, left = np.empty(num_tasks, np.int32), np.empty(num_tasks, np.int32)
    count = 0
    for t in range(num_tasks):
        left[t] = template[t + 1, IN_FIRST] - template[t, IN_FIRST]
        if left[t] == 0:
            order[count] = t
            count += 1
    done = 0
    while done < count:
        t = order[done]
        done += 1
        for e in range(template[t, OUT_FIRST], template[t + 1, OUT_FIRST]):
            target = edge[edge[e, BY_SOURCE], TARGET]
            left[target] -= 1
            if left[target] == 0:
                order[count] = target
                count += 1
    return order


@kernel
def write_offsets(template: I32, edge: I32, source: I32, target: I32, num_tasks: int) -> None:
    """Fill the edge table and the offsets of incoming and outgoing edges."""
    template[:, IN_FIRST : OUT_FIRST + 1] = source.size
    template[: num_tasks + 1, IN_FIRST : OUT_FIRST + 1] = 0
    for e in range(source.size):
        edge[e, SOURCE], edge[e, TARGET] = source[e], target[e]
        template[target[e] + 1, IN_FIRST] += 1
        template[source[e] + 1, OUT_FIRST] += 1
    for t in range(num_tasks):
        template[t + 1, IN_FIRST] += template[t, IN_FIRST]
        template[t + 1, OUT_FIRST] += template[t, OUT_FIRST]
    filled = np.zeros(num_tasks, np.int32)
    for e in range(source.size):
        t = source[e]
        edge[template[t, OUT_FIRST] + filled[t], BY_SOURCE] = e
        filled[t] += 1


@kernel
def mean_slowness(bandwidth: I64) -> float:
    """Mean us per volume over all ordered pairs of different PEs."""
    total, count = 0.0, 0
    for p in range(bandwidth.shape[0]):
        for q in range(bandwidth.shape[0]):
            if p != q:
                count += 1
                if bandwidth[p, q] > 0:
                    total += 1.0 / bandwidth[p, q]
    return total / max(1, count)


@kernel
def write_ranks(template: I32, edge: I32, volume: I64, duration: I32, bandwidth: I64, num_tasks: int) -> None:
    """Fill execution means, levels and ranks of all template tasks."""
    slowness, num_pes = mean_slowness(bandwidth), bandwidth.shape[0]
    order = topological_order(template, edge, num_tasks)
    upward, static, downward = np.zeros(num_tasks), np.zeros(num_tasks), np.zeros(num_tasks)
    mean = np.zeros(num_tasks)
    for e in range(volume.size):
        edge[e, TRANSFER] = _ticks(volume[e] * slowness)
    for t in range(num_tasks):
        count, total, shortest = 0, 0, 2**30
        for p in range(num_pes):
            if duration[t, p] >= 0:
                count += 1
                total += duration[t, p]
                shortest = min(shortest, duration[t, p])
        mean[t] = total / count
        template[t, SHORTEST], template[t, ELIGIBLE] = shortest, count
    for i in range(num_tasks - 1, -1, -1):
        t = order[i]
        level = 0
        for k in range(template[t, OUT_FIRST], template[t + 1, OUT_FIRST]):
            e = edge[k, BY_SOURCE]
            after = edge[e, TARGET]
            upward[t] = max(upward[t], volume[e] * slowness + upward[after])
            static[t] = max(static[t], static[after])
            level = max(level, template[after, LEVEL])
        upward[t] += mean[t]
        static[t] += mean[t]
        template[t, LEVEL] = level + template[t, SHORTEST]
    for i in range(num_tasks):
        t = order[i]
        for e in range(template[t, IN_FIRST], template[t + 1, IN_FIRST]):
            before = edge[e, SOURCE]
            downward[t] = max(downward[t], downward[before] + mean[before] + volume[e] * slowness)
    for t in range(num_tasks):
        template[t, MEAN], template[t, UPWARD] = _ticks(mean[t]), _ticks(upward[t])
        template[t, DOWNWARD], template[t, STATIC] = _ticks(downward[t]), _ticks(static[t])


@kernel
def write_costs(
    cost: I32, template: I32, edge: I32, volume: I64, duration: I32, bandwidth: I64, num_tasks: int
) -> None:
    """Fill PEFT's optimistic cost table (T, M), us: Arabnejad & Barbosa (2014), eq. 2, with each pair's own transfer time."""
    num_pes = bandwidth.shape[0]
    order = topological_order(template, edge, num_tasks)
    for i in range(num_tasks - 1, -1, -1):
        t = order[i]
        total = 0
        for p in range(num_pes):
            worst = 0
            for k in range(template[t, OUT_FIRST], template[t + 1, OUT_FIRST]):
                e = edge[k, BY_SOURCE]
                after = edge[e, TARGET]
                best = 2**30
                for q in range(num_pes):
                    if duration[after, q] >= 0 and cost[after, q] + duration[after, q] < best:
                        delay = volume[e] // bandwidth[p, q] if bandwidth[p, q] > 0 else 0
                        best = min(best, cost[after, q] + duration[after, q] + delay)
                worst = max(worst, best)
            cost[t, p] = worst
            total += worst
        template[t, OPTIMISTIC] = _ticks(total / num_pes)


@kernel
def write_twins(twin: I32, pe_type: I32, pe_cluster: I32, bandwidth: I64) -> None:
    """For each PE the lowest one that is like it: same type and cluster, same bandwidth to and from everything."""
    num_pes = pe_type.size
    for q in range(num_pes):
        twin[q] = q
        for p in range(q):
            same = (
                twin[p] == p
                and pe_type[p] == pe_type[q]
                and pe_cluster[p] == pe_cluster[q]
                and bandwidth[p, p] == bandwidth[q, q]
                and bandwidth[p, q] == bandwidth[q, p]
            )
            r = 0
            while same and r < num_pes:
                if r not in (p, q):
                    same = bandwidth[p, r] == bandwidth[q, r] and bandwidth[r, p] == bandwidth[r, q]
                r += 1
            if same:
                twin[q] = p
                break
