"""Pictures of a run: the Gantt chart by PE with its data transfers, and load, latency and energy over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from makespan.envs.core import gantt
from makespan.envs.core.gantt_draw import GRID, INK, MUTED
from makespan.envs.core.palette import BASE, colour_of
from makespan.envs.core.schedule import Schedule
from makespan.envs.soc.curves import busy_pes, jobs_in_system, power_draw, transfers
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.validator import measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def gantt_chart(instance: SocInstance, schedule: Schedule) -> Figure:
    """Gantt chart by PE; a line leads from the end of a task to where and when its data arrive, in the job's colour.

    Transfers that take no time have no line.
    """
    job_names = [
        f"{job} {instance.profile_names[profile]}"
        for job, profile in enumerate(instance.job_profile.tolist())
    ]
    figure = gantt.figure(
        schedule,
        resource_names=instance.pe_names,
        job_names=job_names,
        title=instance.name or None,
        time_label="us",
    )
    _draw_transfers(figure.axes[0], instance, schedule)
    return figure


def _draw_transfers(axes: Axes, instance: SocInstance, schedule: Schedule) -> None:
    from matplotlib.collections import LineCollection

    moved = transfers(instance, schedule)
    if moved.job.size == 0:
        return
    # the chart names every PE, from the top, and PEs run one task at a time: one row each
    height = np.arange(instance.num_pes) + 0.5
    ends = np.stack([moved.leave, height[moved.source], moved.arrive, height[moved.target]], axis=1)
    colours = [colour_of(job) for job in moved.job.tolist()]
    lines = LineCollection(
        list(ends.reshape(-1, 2, 2)),
        colors=colours,
        linewidths=1.1,
        linestyles=(0, (2, 1.2)),
        alpha=0.9,
        zorder=2.6,
    )
    axes.add_collection(lines, autolim=False)
    axes.scatter(
        moved.arrive, height[moved.target], s=11, c=colours, edgecolors=INK, linewidths=0.5, zorder=2.7
    )


def over_time(instance: SocInstance, schedule: Schedule) -> Figure:
    """Jobs in the system and busy PEs, the latency of each job when it finishes, and power with the energy so far.

    Without a power model the last panel is left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels: list[Callable[[Axes, SocInstance, Schedule], None]] = [_draw_load, _draw_latency]
    if instance.power is not None:
        panels.append(_draw_energy)
    figure = Figure(figsize=(10, 2.4 * len(panels) + 0.6), dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(instance.name or "Run", color=INK, fontsize=13, fontweight="bold", x=0.01, ha="left")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, draw in zip(axes, panels, strict=True):
        draw(axis, instance, schedule)
        axis.grid(color=GRID, lw=0.8)
        axis.set_axisbelow(True)
        axis.tick_params(colors=MUTED, labelsize=8.5)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[-1].set_xlabel("us", color=MUTED, fontsize=9)
    axes[-1].set_xlim(0, max(measure(instance, schedule).makespan, 1))
    return figure


def _draw_load(axes: Axes, instance: SocInstance, schedule: Schedule) -> None:
    times, jobs = jobs_in_system(instance, schedule)
    axes.step(times, jobs, where="post", color=BASE[0], lw=1.6, label="jobs in the system")
    times, busy = busy_pes(instance, schedule)
    axes.step(times, busy, where="post", color=BASE[1], lw=0.9, label=f"busy PEs of {instance.num_pes}")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("number", color=MUTED, fontsize=9)
    axes.legend(fontsize=8.5, frameon=False, loc="upper right", labelcolor=INK)


def _draw_latency(axes: Axes, instance: SocInstance, schedule: Schedule) -> None:
    run = measure(instance, schedule)
    for profile, name in enumerate(instance.profile_names):
        done = np.flatnonzero((run.finish >= 0) & (instance.job_profile == profile))
        if done.size:
            latency = run.finish[done] - instance.arrival[done]
            axes.scatter(run.finish[done], latency, s=12, color=colour_of(profile), label=name)
    axes.axhline(run.latency, color=INK, lw=1.1, ls="--")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("latency, us", color=MUTED, fontsize=9)
    axes.set_title(f"mean {run.latency:.1f} us", fontsize=9, color=INK, loc="right")
    axes.legend(fontsize=8.5, frameon=False, loc="upper left", labelcolor=INK, ncols=3)


def _draw_energy(axes: Axes, instance: SocInstance, schedule: Schedule) -> None:
    times, power = power_draw(instance, schedule)
    axes.step(times, power / 1e6, where="post", color=BASE[3], lw=0.9)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("power, W", color=BASE[3], fontsize=9)
    energy = np.concatenate([[0], np.cumsum(power[:-1] * np.diff(times))]) / 1e6
    right = axes.twinx()
    right.plot(times, energy, color=BASE[5], lw=1.6)
    right.set_ylim(bottom=0)
    right.set_ylabel("energy, uJ", color=BASE[5], fontsize=9)
    right.tick_params(colors=MUTED, labelsize=8.5)
    right.spines["top"].set_visible(False)
    axes.set_title(f"{energy[-1]:.0f} uJ in all", fontsize=9, color=INK, loc="right")


PICTURES: Final[Mapping[str, Callable[[SocInstance, Schedule], Figure]]] = MappingProxyType(
    {"gantt": gantt_chart, "over_time": over_time}
)
"""The family's pictures by name; the first is what `render` draws."""
