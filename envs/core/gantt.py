"""Gantt charts of a `Schedule`: a matplotlib figure, an RGB frame, several schedules on one axis, a GIF.

The text and HTML charts (`ansi`, `html`) can be imported from here as well. Matplotlib is loaded when a
picture is drawn, not when this module is imported, and only through its object interface: no global state.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.files import write_atomically
from makespan.envs.core.gantt_draw import INK, MUTED, Page, draw_chart, draw_flags, draw_legend, time_span
from makespan.envs.core.gantt_html import html
from makespan.envs.core.gantt_layout import ColourBy, lay_out, summary
from makespan.envs.core.gantt_text import ansi
from makespan.envs.core.schedule import Schedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ansi", "figure", "html", "rgb_array", "save_gif", "side_by_side"]


def figure(
    schedule: Schedule,
    *,
    resource_names: Sequence[str] | None = None,
    job_names: Sequence[str] | None = None,
    title: str | None = None,
    colour_by: ColourBy = "job",
    reference: float | None = None,
    reference_name: str = "best known",
    horizon: int | None = None,
    time_label: str = "time",
    size: tuple[float, float] | None = None,
) -> Figure:
    """Draw a Gantt chart: a row a resource, a block an occupation; blocks that overlap in time are stacked.

    Blocks of the most frequent kind are plain, those of other kinds hatched.

    Args:
        schedule: What to draw; it may be empty, partial or infeasible.
        resource_names: Names by resource number ("M0" ... if None); a named one has a row even when idle.
        job_names: Names by job number.
        title: Heading; the schedule's name if None.
        colour_by: What the colours tell apart.
        reference: A makespan to compare with, drawn as a dashed line.
        reference_name: What the reference is called.
        horizon: Right end of the time axis; the latest end (and the reference) if None.
        time_label: Caption of the time axis, with the unit if there is one.
        size: (width, height) in inches; chosen by the number of rows if None.

    Returns:
        A figure on the Agg canvas; `figure.savefig(path)` writes PNG, PDF or SVG.
    """
    layout = lay_out(
        schedule, resource_names=resource_names, job_names=job_names, colour_by=colour_by, horizon=horizon
    )
    heading = title if title is not None else schedule.name or "Schedule"
    span = time_span([layout], reference)
    page = Page.of([layout], heading, size=size, flags=1 if reference is None else 2)
    canvas, axes = page.open(heading, summary(schedule))
    draw_chart(axes[0], layout, span, page)
    draw_flags(axes[0], layout, reference, reference_name)
    axes[0].set_xlabel(time_label, color=MUTED, fontsize=9)
    draw_legend(canvas, [layout], page)
    return canvas


def side_by_side(
    schedules: Mapping[str, Schedule],
    *,
    resource_names: Sequence[str] | None = None,
    job_names: Sequence[str] | None = None,
    title: str | None = None,
    colour_by: ColourBy = "job",
    reference: float | None = None,
    reference_name: str = "best known",
    time_label: str = "time",
    size: tuple[float, float] | None = None,
) -> Figure:
    """Draw several schedules of one instance above each other on one time axis, for reports.

    Args:
        schedules: Name of the method -> its schedule, from the top.
        resource_names: See `figure`, as the arguments below.
        job_names: Names by job number.
        title: Heading; the first schedule's name if None.
        colour_by: What the colours tell apart.
        reference: A makespan to compare with, drawn through all charts.
        reference_name: What the reference is called.
        time_label: Caption of the time axis.
        size: (width, height) in inches.

    Raises:
        ValueError: There is no schedule.
    """
    if not schedules:
        raise ValueError("schedules: none; expected at least one")
    kinds = list(dict.fromkeys(kind for schedule in schedules.values() for kind in schedule.kinds))
    layouts = [
        lay_out(
            schedule, resource_names=resource_names, job_names=job_names, colour_by=colour_by, kinds=kinds
        )
        for schedule in schedules.values()
    ]
    heading = title if title is not None else layouts[0].schedule.name or "Schedules"
    page = Page.of(layouts, heading, size=size, flags=1 if reference is None else 2)
    canvas, axes = page.open(heading, f"{len(layouts)} schedules on one time axis")
    span = time_span(layouts, reference)
    for axis, layout, name in zip(axes, layouts, schedules, strict=True):
        draw_chart(axis, layout, span, page)
        draw_flags(axis, layout, reference, reference_name)
        axis.annotate(
            name, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", color=INK,
            fontsize=10, fontweight="bold", parse_math=False,
        )  # fmt: skip
        axis.tick_params(labelbottom=axis is axes[-1])
    axes[-1].set_xlabel(time_label, color=MUTED, fontsize=9)
    draw_legend(canvas, layouts, page)
    return canvas


def rgb_array(
    schedule: Schedule,
    width: int = 1000,
    height: int = 500,
    *,
    resource_names: Sequence[str] | None = None,
    job_names: Sequence[str] | None = None,
    title: str | None = None,
    colour_by: ColourBy = "job",
    reference: float | None = None,
    horizon: int | None = None,
) -> NDArray[np.uint8]:
    """Draw `figure` as a frame, e.g. for `render_mode="rgb_array"`; about 0.1 s.

    Frames of one episode agree when `resource_names` and `horizon` are given, since these fix the axes.

    Args:
        schedule: What to draw.
        width: Pixels, at least 200.
        height: Pixels, at least 120.
        resource_names: See `figure`, as the other arguments.
        job_names: Names by job number.
        title: Heading.
        colour_by: What the colours tell apart.
        reference: A makespan to compare with.
        horizon: Right end of the time axis.

    Returns:
        (height, width, 3) uint8.
    """
    if width < 200 or height < 120:
        raise ValueError(f"width x height: {width} x {height}; expected at least 200 x 120 pixels")
    canvas = figure(
        schedule,
        resource_names=resource_names,
        job_names=job_names,
        title=title,
        colour_by=colour_by,
        reference=reference,
        horizon=horizon,
        size=((width + 0.01) / 100, (height + 0.01) / 100),  # the canvas rounds down
    )
    canvas.canvas.draw()
    pixels = np.asarray(canvas.canvas.buffer_rgba())  # type: ignore[attr-defined]  # Agg's canvas
    return np.ascontiguousarray(pixels[:, :, :3])


def show(frame: NDArray[np.uint8]) -> None:
    """Show a frame, (height, width, 3) uint8, in a window that later frames reuse: `render_mode="human"`.

    Uses matplotlib's interactive backend, the only place in the suite that does; without a display nothing is shown.
    """
    from matplotlib import pyplot

    height, width = frame.shape[:2]
    window = pyplot.figure("makespan", figsize=(width / 100, height / 100), dpi=100)
    window.clear()
    window.figimage(frame)
    pyplot.pause(0.001)


def save_gif(frames: Iterable[NDArray[np.uint8]], path: str | os.PathLike[str], fps: float = 10.0) -> None:
    """Write frames as an endless GIF.

    Args:
        frames: (height, width, 3) uint8 each, all of one shape, e.g. from `rgb_array`; at least one.
        path: Target.
        fps: Frames a second, up to 50; the format counts in hundredths of a second.

    Raises:
        ValueError: There is no frame, the frames differ in shape, or `fps` is out of range.
    """
    from PIL import Image

    if not 0 < fps <= 50:
        raise ValueError(f"fps: {fps}; expected above 0 and up to 50")
    arrays = list(frames)
    if not arrays or len({array.shape for array in arrays}) > 1:
        raise ValueError(
            f"frames: shapes {sorted({array.shape for array in arrays})}; expected one, at least once"
        )
    images = [Image.fromarray(array).quantize(256, dither=Image.Dither.NONE) for array in arrays]
    data = io.BytesIO()
    images[0].save(
        data,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=round(100 / fps) * 10,
        loop=0,
        optimize=False,
    )
    write_atomically(path, data.getvalue())
