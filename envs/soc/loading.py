"""Putting an instance into a slot of the simulator, and the bounds that follow from it alone."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from makespan.envs.core.kernels import kernel
from makespan.envs.soc.instance import OBJECTIVES, SocInstance
from makespan.envs.soc.simulator import bound_of
from makespan.envs.soc.state import (
    BASE_POWER,
    CLUSTER,
    CLUSTERS,
    COUNTED,
    DEVIATION,
    ENERGY,
    FIRST_BOUND,
    FIRST_END,
    FIRST_WAITING,
    HEAD,
    HORIZON,
    I32,
    I64,
    ID,
    JOB_PROFILE,
    JOBS,
    LATENCY,
    MILLION,
    MOST_PREDECESSORS,
    MOST_SUCCESSORS,
    MOVED,
    NOW,
    OBJECTIVE,
    PES,
    PROFILES,
    RENEWED,
    ROOM,
    ROW,
    RUNS,
    SCALE,
    STOCHASTIC,
    TASKS,
    TIME,
    TWIN,
    UNIT,
    WARM_UP,
    WORLD,
    Socs,
)
from makespan.envs.soc.templates import (
    BOUND,
    IN_FIRST,
    LEVEL,
    OUT_FIRST,
    PROFILE,
    SHORTEST,
    TASK_FIRST,
    WORK,
    write_costs,
    write_offsets,
    write_ranks,
    write_twins,
)

_TABLES: Final = (
    "task_first",
    "execution",
    "edge_source",
    "edge_target",
    "edge_volume",
    "pe_type",
    "pe_cluster",
    "bandwidth",
    "draw",
)


class World(NamedTuple):
    """A `SocInstance` as the kernels take it.

    `scalars` are horizon, warm-up, `max_jobs`, number of the objective, base power (-1 without a model), jobs that
    enter, deviation in millionths.
    """

    task_first: I32
    execution: I32
    edge_source: I32
    edge_target: I32
    edge_volume: I64
    pe_type: I32
    pe_cluster: I32
    bandwidth: I64
    job_profile: I32
    arrival: I64
    realised: I32
    draw: I64  # (C, A + 1) uW, (0, 0) without a power model
    scalars: I64


def world_of(instance: SocInstance) -> World:
    """The arrays of an instance, not copied."""
    power = instance.power
    entering = np.searchsorted(instance.arrival, instance.horizon) if instance.horizon else instance.num_jobs
    scalars = (
        instance.horizon,
        instance.warm_up,
        instance.max_jobs,
        OBJECTIVES.index(instance.objective),
        -1 if power is None else power.base,
        entering,
        round(MILLION * instance.deviation),
    )
    return World(
        instance.task_first,
        instance.execution,
        instance.edge_source,
        instance.edge_target,
        instance.edge_volume,
        instance.pe_type,
        instance.pe_cluster,
        instance.bandwidth,
        instance.job_profile,
        instance.arrival,
        instance.realised,
        np.zeros((0, 0), np.int64) if power is None else power.draw,
        np.array(scalars, np.int64),
    )


def same_tables(one: SocInstance, other: SocInstance) -> bool:
    """Whether two instances have the same graphs, PEs and power of clusters."""
    worlds = world_of(one), world_of(other)
    return all(np.array_equal(*(getattr(world, key) for world in worlds)) for key in _TABLES)


@kernel
def _load_platform(socs: Socs, b: int, world: World) -> None:
    clock, num_pes = socs.clock, world.pe_type.size
    clock[b, PES], clock[b, CLUSTERS] = num_pes, 1 + world.pe_cluster.max()
    socs.bandwidth[b, :num_pes, :num_pes] = world.bandwidth
    socs.platform[b, :num_pes, CLUSTER] = world.pe_cluster
    write_twins(socs.platform[b, :num_pes, TWIN], world.pe_type, world.pe_cluster, world.bandwidth)
    socs.draw[b] = 0
    for c in range(world.draw.shape[0]):
        for n in range(min(world.draw.shape[1], num_pes + 1)):
            socs.draw[b, c, n] = world.draw[c, n]


@kernel
def _load_profiles(socs: Socs, b: int, world: World) -> None:
    clock, template, profile = socs.clock, socs.template[b], socs.profile[b]
    num_pes, num_tasks, num_profiles = world.pe_type.size, world.execution.shape[0], world.task_first.size - 1
    clock[b, TASKS], clock[b, PROFILES] = num_tasks, num_profiles
    for t in range(num_tasks):
        for p in range(num_pes):
            socs.duration[b, t, p] = world.execution[t, world.pe_type[p]]
    socs.volume[b, : world.edge_volume.size] = world.edge_volume
    duration, cost = socs.duration[b, :, :num_pes], socs.cost[b, :, :num_pes]
    write_offsets(template, socs.edge[b], world.edge_source, world.edge_target, num_tasks)
    write_ranks(template, socs.edge[b], world.edge_volume, duration, world.bandwidth, num_tasks)
    write_costs(cost, template, socs.edge[b], world.edge_volume, duration, world.bandwidth, num_tasks)
    predecessors, successors, bounds = 1, 1, 0
    for t in range(num_tasks):
        predecessors = max(predecessors, template[t + 1, IN_FIRST] - template[t, IN_FIRST])
        successors = max(successors, template[t + 1, OUT_FIRST] - template[t, OUT_FIRST])
    clock[b, MOST_PREDECESSORS], clock[b, MOST_SUCCESSORS] = predecessors, successors
    for i in range(num_profiles):
        profile[i, TASK_FIRST], profile[i + 1, TASK_FIRST] = world.task_first[i], world.task_first[i + 1]
        profile[i, BOUND] = profile[i, WORK] = 0
        for t in range(world.task_first[i], world.task_first[i + 1]):
            template[t, PROFILE] = i
            profile[i, BOUND] = max(profile[i, BOUND], template[t, LEVEL])
            profile[i, WORK] += template[t, SHORTEST]
        bounds += profile[i, BOUND]
    clock[b, UNIT] = max(1, (2 * bounds + num_profiles) // (2 * num_profiles))


@kernel
def load_slot(socs: Socs, b: int, world: World) -> None:
    """Put an instance into slot b; sizes are checked by the caller."""
    clock = socs.clock
    clock[b] = 0
    clock[b, WORLD] = b
    _load_platform(socs, b, world)
    _load_profiles(socs, b, world)
    horizon, warm_up, cap, objective, base, entering, deviation = world.scalars
    clock[b, HORIZON], clock[b, WARM_UP], clock[b, OBJECTIVE] = horizon, warm_up, objective
    clock[b, JOBS], clock[b, BASE_POWER] = entering, base
    clock[b, DEVIATION] = deviation
    clock[b, ROOM] = socs.job.shape[1] if cap == 0 else min(cap, socs.job.shape[1])
    row = 0
    for j in range(world.job_profile.size):
        i = world.job_profile[j]
        socs.arrival[b, j, TIME], socs.arrival[b, j, JOB_PROFILE] = world.arrival[j], i
        socs.arrival[b, j, ROW] = row
        row += world.task_first[i + 1] - world.task_first[i]
    clock[b, STOCHASTIC] = world.realised.shape[0] > 0
    for n in range(world.realised.shape[0]):
        for p in range(world.realised.shape[1]):
            socs.realised[b, n, p] = world.realised[n, p]
    _bound_objective(socs, b)


@kernel
def _bound_objective(socs: Socs, b: int) -> None:
    """What the objective's sum is at least, and what rewards are divided by."""
    clock, horizon = socs.clock, socs.clock[b, HORIZON]
    total, end, counted = 0, 0, 0
    for j in range(clock[b, JOBS]):
        bound = bound_of(socs, b, j)
        end = max(end, socs.arrival[b, j, TIME] + bound)
        if socs.arrival[b, j, TIME] >= clock[b, WARM_UP]:
            total += bound
            counted += 1
    if horizon > 0:
        end = min(end, horizon)
    clock[b, COUNTED] = counted
    if clock[b, OBJECTIVE] == LATENCY:
        clock[b, FIRST_BOUND], clock[b, SCALE] = total, clock[b, UNIT]
    elif clock[b, OBJECTIVE] == ENERGY:
        least, most = clock[b, BASE_POWER], clock[b, BASE_POWER]
        for c in range(clock[b, CLUSTERS]):
            size = 0
            for p in range(clock[b, PES]):
                size += socs.platform[b, p, CLUSTER] == c
            least += socs.draw[b, c, : size + 1].min()
            most += socs.draw[b, c, size]
        clock[b, FIRST_BOUND], clock[b, SCALE] = least * end, max(1, most * end)
    else:
        clock[b, FIRST_BOUND], clock[b, SCALE] = end, max(1, end)


@kernel
def clear_slot(socs: Socs, b: int) -> None:
    """An empty system at time 0, in the world that `load_slot` has put there."""
    socs.job[b], socs.task[b], socs.pe[b], socs.busy[b], socs.plan[b] = 0, 0, 0, 0, 0
    socs.record[b] = -1
    socs.clock[b, NOW:MOST_PREDECESSORS] = 0
    socs.clock[b, FIRST_END] = socs.clock[b, FIRST_WAITING] = -1
    socs.clock[b, MOVED] = 1
    for slot in range(socs.job.shape[1]):
        socs.job[b, slot, ID] = -1
        socs.job[b, slot, RENEWED] = 0
    for p in range(socs.pe.shape[1]):
        socs.pe[b, p, RUNS] = socs.pe[b, p, HEAD] = -1
