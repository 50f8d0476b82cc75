"""How a chart is drawn with matplotlib: the page, the blocks, the lines, the legend. `gantt` is its face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.gantt_layout import Layout
from makespan.envs.core.palette import NEUTRAL, colour_of, ink_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#1d2530"
MUTED: Final = "#667180"
GRID: Final = "#e4e8ed"
STRIPE: Final = "#f6f8fa"
HATCH: Final = "#1d253055"  # dark enough to see, faint enough to read a label on
REFERENCE: Final = "#0b7a55"
FILL: Final = 0.80  # share of a chart row that its blocks take
MAX_LEGEND: Final = 30  # more groups than this tell nothing in a legend
INCH_PER_CHARACTER: Final = 0.076  # of the 9 point font
Y_LABEL_LIMIT: Final = 60  # more chart rows than this are numbered sparsely


@dataclass(frozen=True, slots=True)
class Page:
    """Where things stand on a figure, in inches."""

    width: float
    height: float
    left: float
    right: float
    head: float  # title and subtitle
    flags: float  # above each chart, for the labels of its lines
    foot: float  # time axis
    legend: float
    legend_columns: int
    weights: tuple[int, ...]  # lanes of each chart

    @classmethod
    def of(cls, layouts: list[Layout], heading: str, *, size: tuple[float, float] | None, flags: int) -> Page:
        """Measure the page: what the names need on the left, what the rows need in height."""
        groups = {group: name for layout in layouts for group, name in layout.groups.items()}
        entries = len(groups) + any(layout.hatched_kinds for layout in layouts)
        longest = max((len(name) for layout in layouts for name in layout.names), default=0)
        left = min(0.35 + INCH_PER_CHARACTER * longest, 2.6)
        weights = tuple(max(int(layout.num_lanes.sum()), 1) for layout in layouts)
        width = 12.0 if size is None else size[0]
        widest = max((len(name) for name in groups.values()), default=1)
        columns = max(1, int((width - left - 0.2) / (0.36 + INCH_PER_CHARACTER * widest)))
        lines = -(-entries // columns) if 1 <= len(groups) <= MAX_LEGEND else 0
        legend = 0.06 + 0.2 * lines if lines else 0.0
        head, band, foot = 0.62 if heading else 0.2, 0.19 * flags + 0.1, 0.5
        if size is not None:
            if legend > 0.25 * size[1]:
                legend = 0.0  # a small frame has better uses for the room
            height = size[1]
        else:
            body = min(0.36 * sum(weights), 14.0)
            height = head + band * len(layouts) + max(body, 0.8) + foot + legend + 0.12 * (len(layouts) - 1)
        return cls(width, height, left, 0.25, head, band, foot, legend, columns, weights)

    def open(self, heading: str, subtitle: str) -> tuple[Figure, list[Axes]]:
        """The figure with its title and empty axes."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        page = Figure(figsize=(self.width, self.height), dpi=100, facecolor="white")
        FigureCanvasAgg(page)
        x, top = self.left / self.width, self.height
        if heading:
            page.text(
                x,
                1 - 0.13 / top,
                heading,
                color=INK,
                fontsize=13,
                fontweight="bold",
                va="top",
                parse_math=False,
            )
            page.text(x, 1 - 0.40 / top, subtitle, color=MUTED, fontsize=9, va="top", parse_math=False)
        gaps = 0.12 * (len(self.weights) - 1)
        room = max(
            top - self.head - self.foot - self.legend - gaps - self.flags * len(self.weights),
            0.25 * len(self.weights),
        )
        axes, y = [], top - self.head
        for weight in self.weights:
            tall = room * weight / sum(self.weights)
            y -= self.flags + tall
            axes.append(
                page.add_axes(
                    (
                        x,
                        max(y, 0) / top,
                        max(self.width - self.left - self.right, 0.5) / self.width,
                        tall / top,
                    )
                )
            )
            y -= 0.12
        return page, axes


def time_span(layouts: list[Layout], reference: float | None) -> tuple[float, float]:
    """The ends of the time axis."""
    start = min(layout.origin for layout in layouts)
    end = max([float(layout.horizon) for layout in layouts] + ([] if reference is None else [reference]))
    return start, end + 0.01 * (end - start)


def draw_chart(axes: Axes, layout: Layout, span: tuple[float, float], page: Page) -> None:
    """The rows, the blocks and what is written in them."""
    from matplotlib.ticker import MaxNLocator

    num_rows = len(layout.names)
    axes.set_xlim(*span)
    tops = np.concatenate(([0], np.cumsum(layout.num_lanes)))
    axes.set_ylim(max(int(tops[-1]), 1), 0)
    step = max(1, -(-num_rows // Y_LABEL_LIMIT))
    centres = ((tops[:-1] + tops[1:]) / 2)[::step]
    axes.set_yticks(centres, layout.names[::step], color=INK, fontsize=9, parse_math=False)
    for row in range(0, num_rows, 2):
        axes.axhspan(tops[row], tops[row + 1], color=STRIPE, zorder=0, lw=0)
    axes.grid(axis="x", color=GRID, lw=0.8, zorder=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", colors=MUTED, labelsize=8.5, length=3, color=GRID)
    axes.tick_params(axis="y", length=0, pad=7)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#c3cad3")
    if layout.schedule.num_rows == 0:
        axes.text(
            0.5, 0.5, "nothing scheduled yet", transform=axes.transAxes, ha="center", va="center",
            color=MUTED, fontsize=10, fontstyle="italic",
        )  # fmt: skip
        return
    low = (tops[layout.row] + layout.lane).astype(np.float64) + (1 - FILL) / 2
    _blocks(axes, layout, low, span, page)


def _blocks(
    axes: Axes, layout: Layout, low: NDArray[np.float64], span: tuple[float, float], page: Page
) -> None:
    from matplotlib.collections import PolyCollection

    schedule, colours = layout.schedule, np.array(layout.colours)
    start, end = schedule.start.astype(np.float64), schedule.end.astype(np.float64)
    inch = (page.width - page.left - page.right) / (span[1] - span[0])
    wide = (end - start) * inch * 100.0  # pixels at 100 dots per inch
    edges = np.clip(0.06 * wide, 0.0, 0.9)  # a white edge would swallow a narrow block
    corners = np.stack((start, low, end, low + FILL), axis=1)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    plain = layout.plain
    for rows, edge, hatch in ((plain, "white", None), (~plain, HATCH, "////")):
        if rows.any():
            blocks = PolyCollection(
                list(corners[rows]), facecolors=colours[rows], edgecolors=edge, linewidths=edges[rows],
                hatch=hatch, zorder=2,
            )  # fmt: skip
            axes.add_collection(blocks, autolim=False)
    for row in np.flatnonzero(wide <= 0.5):  # would vanish: a line, so that it is seen
        axes.plot([start[row]] * 2, [low[row], low[row] + FILL], color=colours[row], lw=1.5, zorder=2.5)
    _write_labels(axes, layout, low, wide)


def _write_labels(axes: Axes, layout: Layout, low: NDArray[np.float64], wide: NDArray[np.float64]) -> None:
    """The job's name in every block where it fits."""
    schedule = layout.schedule
    lane_points = axes.bbox.height / axes.figure.dpi * 72 / max(int(layout.num_lanes.sum()), 1) * FILL
    points = min(8.5, 0.8 * lane_points)
    if points < 5.5:
        return
    length = np.array([len(label) for label in layout.labels])
    length = np.maximum(length, np.median(length))  # else of a hundred jobs only the first ten have labels
    room = length * points * 0.66 / 72 * 100 + 4
    for row in np.flatnonzero((room <= wide) & (schedule.job >= 0)):
        axes.text(
            (schedule.start[row] + schedule.end[row]) / 2, low[row] + FILL / 2, layout.labels[row],
            color=ink_on(colour_of(int(layout.group[row]))), ha="center", va="center_baseline",
            fontsize=points, zorder=3, parse_math=False, clip_on=True,
        )  # fmt: skip


def draw_flags(axes: Axes, layout: Layout, reference: float | None, reference_name: str) -> None:
    """The makespan and the reference as lines with a label above the chart."""
    makespan = layout.schedule.makespan
    lines: list[tuple[float, str, str, str]] = []
    if reference is not None:
        lines.append((reference, f"{reference_name} {reference:g}", REFERENCE, "--"))
    if layout.schedule.num_rows:
        gap = f" ({100 * (makespan - reference) / reference:+.1f} %)" if reference else ""
        lines.append((makespan, f"makespan {makespan:,}{gap}".replace(",", " "), INK, "-"))
    visible = [line for line in lines if line[0] <= axes.get_xlim()[1]]
    for level, (time, text, colour, dashes) in enumerate(visible):
        rise = 4 + 13 * level
        axes.axvline(time, color=colour, lw=1.3, ls=dashes, zorder=2.8)
        left_half = time < sum(axes.get_xlim()) / 2
        axes.annotate(
            text, (time, 1), (3 if left_half else -3, rise), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="left" if left_half else "right", va="bottom", color=colour,
            fontsize=8.5, fontweight="bold", parse_math=False, annotation_clip=False,
        )  # fmt: skip
        stem = {"arrowstyle": "-", "color": colour, "lw": 1.3, "ls": dashes, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            "", (time, 1), (0, rise + 8), xycoords=("data", "axes fraction"), textcoords="offset points",
            arrowprops=stem, annotation_clip=False,
        )  # fmt: skip


def draw_legend(canvas: Figure, layouts: list[Layout], page: Page) -> None:
    """A colour for each group of all charts, in columns along the foot."""
    if not page.legend:
        return
    from matplotlib.patches import Patch

    groups = {group: name for layout in layouts for group, name in layout.groups.items()}
    handles = [Patch(facecolor=colour_of(group), label=name) for group, name in sorted(groups.items())]
    hatched = sorted({kind for layout in layouts for kind in layout.hatched_kinds})
    if hatched:
        label = ", ".join(hatched)
        handles.append(Patch(facecolor=NEUTRAL, edgecolor=HATCH, hatch="//////", lw=0, label=label))
    legend = canvas.legend(
        handles=handles, loc="lower left", ncols=min(page.legend_columns, len(handles)), frameon=False,
        bbox_to_anchor=((page.left - 0.08) / page.width, 0.02 / page.height), fontsize=8.5, labelcolor=INK,
        handlelength=0.9, handleheight=0.9, handletextpad=0.45, columnspacing=1.1, labelspacing=0.35,
        borderpad=0.2, borderaxespad=0.1,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
