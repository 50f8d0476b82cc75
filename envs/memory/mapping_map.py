"""The memory map of a mapping: stays in fast memory by region of the program; latency, HBM use and load beneath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from makespan.envs.core.schedule import Schedule
from makespan.envs.memory import memory_map
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.memory_map import MemoryMap, Profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MICROSECOND: Final = 10**6  # ps


def mapping_map(instance: MappingInstance, schedule: Schedule) -> MemoryMap:
    """What a memory map of a mapping shows; the schedule may be partial.

    Operations are drawn equally wide. A stay has the colour of the region in which its tensor is first touched. HBM use is
    the share of each operation's latency in which its own accesses keep HBM busy.
    """
    program, unit = instance.program, instance.hardware.alignment
    kinds = np.array(schedule.kinds)
    stays, from_hbm = schedule.select(kinds == "fast"), schedule.select(kinds == "hbm")
    number = instance.access_uses[instance.tensor_first[instance.access_tensor]] - instance.access_uses
    dropped = set(zip(from_hbm.job.tolist(), from_hbm.task.tolist(), strict=True))
    pairs = zip(instance.access_tensor.tolist(), number.tolist(), strict=True)
    fast = np.array([pair not in dropped for pair in pairs])
    hbm_time, fast_time, load = (np.zeros(instance.num_ops) for _ in range(3))
    np.add.at(hbm_time, instance.access_op[~fast], instance.access_hbm[~fast])
    np.add.at(fast_time, instance.access_op[fast], instance.access_fast[fast])
    for tensor, start, end in zip(stays.job.tolist(), stays.start.tolist(), stays.end.tolist(), strict=True):
        load[start:end] += instance.tensor_units[tensor] * unit
    latency = np.maximum(instance.op_compute, hbm_time + fast_time)
    region = program.op_region[instance.access_op[instance.tensor_first]]
    return MemoryMap(
        start=stays.start,
        end=stays.end,
        low=stays.resource * unit,
        high=(stays.resource + instance.tensor_units[stays.job]) * unit,
        owner=stays.job,
        group=region[stays.job].astype(np.int64),
        labels=dict(enumerate(program.tensor_name)),
        groups={k: name or program.name for k, name in enumerate(program.region_name)},
        ticks=np.arange(instance.num_ops + 1),
        capacity=instance.capacity * unit,
        profiles=(
            Profile("latency", latency / _MICROSECOND, "µs"),
            Profile("HBM use", hbm_time / np.maximum(latency, 1), "", 1.0),
            Profile("load", load, "bytes", float(instance.capacity * unit)),
        ),
        title=f"{instance.name}: {instance.hbm_latency / max(1.0, float(latency.sum())):.3f} x all in HBM",
        time_label="operation",
    )


def mapping_figure(instance: MappingInstance, schedule: Schedule) -> Figure:
    """The memory map as a figure."""
    return memory_map.figure(mapping_map(instance, schedule))


def mapping_html(instance: MappingInstance, schedule: Schedule) -> str:
    """The memory map as a self-contained interactive page."""
    return memory_map.html(mapping_map(instance, schedule))
