"""Memory maps: what holds which offsets when, as a figure, a frame, text, or an interactive page.

A `MemoryMap` is a picture's content and nothing else, so that allocation and mapping share it: blocks in time x offset,
coloured by group, the capacity, and profiles (load, bandwidth, latency ...) that are drawn beneath on the same time axis.
Matplotlib is loaded when a picture is drawn, and only through its object interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core import gantt
from makespan.envs.core.gantt_draw import GRID, INK, MUTED, REFERENCE
from makespan.envs.core.html_page import page
from makespan.envs.core.palette import colour_of, ink_on, to_rgb
from makespan.envs.memory.memory_map_page import HINT, SCRIPT, STYLE, TOOLS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

I64 = NDArray[np.int64]
_UNITS: Final = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
_MOST_GROUPS: Final = 24  # more entries than this tell nothing in a legend


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A quantity over time, constant within each step of the map's `ticks`.

    Attributes:
        name: What it is, e.g. "load".
        values: (num_steps,) float64.
        unit: Its unit; "bytes" is shown in KiB, MiB ...
        limit: A value to compare with, drawn as a dashed line; None for none.
    """

    name: str
    values: NDArray[np.float64]
    unit: str = ""
    limit: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MemoryMap:
    """What a memory map shows; n blocks.

    Attributes:
        start: (n,) int64, steps.
        end: (n,) int64, exclusive.
        low: (n,) int64, bytes.
        high: (n,) int64, exclusive.
        owner: (n,) int64, the buffer or tensor of each block; blocks of one owner light up together.
        group: (n,) int64, number of the colour of each block.
        labels: Name by owner.
        groups: Name by group; those not named are left out of the legend.
        ticks: (num_steps + 1,) int64, the time at each step's begin and the end of the last, for the axis; steps are drawn
            equally wide.
        num_steps: Steps of the time axis.
        capacity: Bytes of the memory, drawn as a line; 0 for none.
        bound: Lower bound of the peak, bytes; 0 for none.
        profiles: Drawn beneath, from the top.
        title: Heading.
        time_label: Caption of the time axis.
    """

    start: I64
    end: I64
    low: I64
    high: I64
    owner: I64
    group: I64
    labels: Mapping[int, str]
    groups: Mapping[int, str]
    ticks: I64
    capacity: int = 0
    bound: int = 0
    profiles: tuple[Profile, ...] = ()
    title: str = ""
    time_label: str = "time step"
    num_steps: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_steps", len(self.ticks) - 1)
        lengths = {key: len(getattr(self, key)) for key in ("start", "end", "low", "high", "owner", "group")}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{key} {length}" for key, length in lengths.items())
            raise ValueError(f"blocks of unlike length: {told}; expected one entry a block in each")
        for profile in self.profiles:
            if len(profile.values) != self.num_steps:
                raise ValueError(
                    f"profile {profile.name!r}: {len(profile.values)} values; expected {self.num_steps}"
                )

    @property
    def peak(self) -> int:
        """Highest offset held, exclusive."""
        return int(self.high.max(initial=0))

    @property
    def top(self) -> int:
        """Upper end of the offset axis, bytes."""
        return max(self.peak, self.capacity, self.bound, 1)


def format_bytes(amount: float) -> str:
    """Bytes for readers: 1536 is 1.5 KiB."""
    for factor, unit in _UNITS:
        if abs(amount) >= factor:
            return f"{amount / factor:.4g} {unit}"
    return f"{amount:g} B"


def figure(plan: MemoryMap, size: tuple[float, float] = (12.0, 7.0)) -> Figure:
    """Draw a memory map, with its profiles beneath.

    Args:
        plan: What to draw; it may be empty.
        size: (width, height) in inches.

    Returns:
        A figure on the Agg canvas; `figure.savefig(path)` writes PNG, PDF or SVG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    page = Figure(figsize=size, dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(page)
    rows = 1 + len(plan.profiles)
    grid = page.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=[4.0] + [1.0] * (rows - 1))
    axes = grid[:, 0]
    _draw_blocks(axes[0], plan)
    for axis, profile in zip(axes[1:], plan.profiles, strict=True):
        _draw_profile(axis, plan, profile)
    for axis in axes:
        axis.tick_params(colors=MUTED, labelsize=8.5, color=GRID)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[-1].set_xlabel(plan.time_label, color=MUTED, fontsize=9)
    shown = np.unique(np.linspace(0, plan.num_steps, min(plan.num_steps, 10) + 1).astype(np.int64))
    axes[-1].set_xticks(shown, [str(tick) for tick in plan.ticks[shown]])
    _draw_legend(page, plan)
    return page


def _draw_blocks(axis: Axes, plan: MemoryMap) -> None:
    from matplotlib.collections import PolyCollection

    corners = np.stack((plan.start, plan.low, plan.end, plan.high), axis=1)[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    colours = [colour_of(int(group)) for group in plan.group]
    width = 0.6 if len(corners) < 400 else 0.2
    blocks = PolyCollection(
        list(corners.reshape(-1, 4, 2).astype(np.float64)), facecolors=colours, edgecolors="white",
        linewidths=width, zorder=2,
    )  # fmt: skip
    axis.add_collection(blocks, autolim=False)
    axis.set_xlim(0, max(plan.num_steps, 1))
    axis.set_ylim(0, 1.04 * plan.top)
    axis.grid(axis="y", color=GRID, lw=0.8, zorder=0)
    ticks = np.linspace(0, plan.top, 5)
    axis.set_yticks(ticks, [format_bytes(round(tick)) for tick in ticks])
    axis.set_ylabel("offset", color=MUTED, fontsize=9)
    lines = [(plan.peak, f"peak {format_bytes(plan.peak)}", INK, "-")] if len(corners) else []
    if plan.bound:
        lines.append((plan.bound, f"lower bound {format_bytes(plan.bound)}", REFERENCE, "--"))
    if plan.capacity:
        lines.append((plan.capacity, f"capacity {format_bytes(plan.capacity)}", REFERENCE, ":"))
    for height, _, colour, dashes in lines:
        axis.axhline(height, color=colour, lw=1.2, ls=dashes, zorder=3)
    heading = "   ".join(text for _, text, _, _ in lines)
    axis.set_title(plan.title, loc="left", color=INK, fontsize=12, fontweight="bold", parse_math=False)
    axis.set_title(heading, loc="right", color=MUTED, fontsize=9, parse_math=False)
    if not len(corners):
        axis.text(
            0.5, 0.5, "nothing placed yet", transform=axis.transAxes, ha="center", va="center",
            color=MUTED, fontsize=10, fontstyle="italic",
        )  # fmt: skip
    _write_labels(axis, plan)


def _write_labels(axis: Axes, plan: MemoryMap) -> None:
    """The owner's name in every block where it fits."""
    wide = (plan.end - plan.start) / max(plan.num_steps, 1) * 130  # characters across the page
    tall = (plan.high - plan.low) / plan.top * 34  # lines down the page
    for block in np.flatnonzero((tall >= 1) & (wide >= 2)):
        label = plan.labels.get(int(plan.owner[block]), "")
        if 0 < len(label) <= wide[block]:
            axis.text(
                (plan.start[block] + plan.end[block]) / 2, (plan.low[block] + plan.high[block]) / 2, label,
                color=ink_on(colour_of(int(plan.group[block]))), ha="center", va="center", fontsize=7.5,
                zorder=4, parse_math=False, clip_on=True,
            )  # fmt: skip


def _draw_profile(axis: Axes, plan: MemoryMap, profile: Profile) -> None:
    axis.stairs(profile.values, np.arange(plan.num_steps + 1), fill=True, color="#407ab9", alpha=0.75)
    highest = max(float(np.max(profile.values, initial=0.0)), profile.limit or 0.0, 1e-12)
    if profile.limit is not None:
        axis.axhline(profile.limit, color=REFERENCE, lw=1.2, ls="--")
    axis.set_ylim(0, 1.08 * highest)
    if profile.unit == "bytes":
        axis.set_yticks([0, highest], ["0", format_bytes(round(highest))])
    axis.set_ylabel(profile.name, color=MUTED, fontsize=9, parse_math=False)
    axis.grid(axis="y", color=GRID, lw=0.8)


def _draw_legend(page: Figure, plan: MemoryMap) -> None:
    from matplotlib.patches import Patch

    present = set(plan.group.tolist())
    named = {group: name for group, name in sorted(plan.groups.items()) if group in present}
    if 1 < len(named) <= _MOST_GROUPS:
        handles = [Patch(facecolor=colour_of(group), label=name) for group, name in named.items()]
        page.legend(handles=handles, loc="outside lower center", ncols=8, frameon=False, fontsize=8)


def rgb_array(plan: MemoryMap, width: int = 1000, height: int = 560) -> NDArray[np.uint8]:
    """Draw `figure` as a frame (height, width, 3) uint8, e.g. for `render_mode="rgb_array"`."""
    if width < 200 or height < 120:
        raise ValueError(f"width x height: {width} x {height}; expected at least 200 x 120 pixels")
    canvas = figure(plan, size=((width + 0.01) / 100, (height + 0.01) / 100))
    canvas.canvas.draw()
    pixels = np.asarray(canvas.canvas.buffer_rgba())  # type: ignore[attr-defined]  # Agg's canvas
    return np.ascontiguousarray(pixels[:, :, :3])


def ansi(plan: MemoryMap, width: int = 72, height: int = 20, colour: bool = True) -> str:
    """A memory map in text: time to the right, offsets upwards, a coloured cell for what holds its middle.

    Args:
        plan: What to draw.
        width: Characters of the time axis.
        height: Lines of the offset axis.
        colour: Paint the cells with ANSI escapes; otherwise groups are letters.
    """
    columns = min(width, max(plan.num_steps, 1))
    times = ((np.arange(columns) + 0.5) * plan.num_steps / columns).astype(np.int64)
    offsets = ((np.arange(height)[::-1] + 0.5) * plan.top / height).astype(np.int64)
    lines = []
    for offset in offsets.tolist():
        cells = []
        for time in times.tolist():
            inside = (plan.start <= time) & (time < plan.end) & (plan.low <= offset) & (offset < plan.high)
            blocks = np.flatnonzero(inside)
            cells.append(_cell(int(plan.group[blocks[0]]), colour) if blocks.size else "·")
        lines.append(f"{format_bytes(offset):>9} │" + "".join(cells))
    head = f"{plan.title}: peak {format_bytes(plan.peak)}" + (
        f", lower bound {format_bytes(plan.bound)}" if plan.bound else ""
    )
    return "\n".join([head, *lines, f"{'':>9} └" + "─" * columns])


def _cell(group: int, colour: bool) -> str:
    if not colour:
        return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[group % 26]
    red, green, blue = to_rgb(colour_of(group))
    return f"\x1b[48;2;{red};{green};{blue}m \x1b[0m"


def show(plan: MemoryMap, render_mode: str) -> str | NDArray[np.uint8] | None:
    """The map in one of Gymnasium's render modes; "human" opens a window."""
    if render_mode == "ansi":
        return ansi(plan)
    frame = rgb_array(plan)
    if render_mode == "human":
        gantt.show(frame)
        return None
    return frame


def html(plan: MemoryMap) -> str:
    """A memory map as a self-contained page that can be zoomed in both directions, panned, hovered and filtered.

    The page follows the reader's light or dark scheme and fetches nothing. Names are data, never markup.
    """
    columns = (plan.start, plan.end, plan.low, plan.high, plan.owner, plan.group)
    present = sorted(set(plan.group.tolist()))
    facts = [[format_bytes(plan.peak), "peak"]]
    if plan.bound:
        facts.append([format_bytes(plan.bound), "lower bound"])
        facts.append([f"{100 * (plan.peak / plan.bound - 1):.1f} %", "above it"])
    if plan.capacity:
        facts.append([format_bytes(plan.capacity), "capacity"])
    facts.append([str(len(set(plan.owner.tolist()))), "buffers"])
    data = {
        "title": plan.title,
        "timeLabel": plan.time_label,
        "blocks": [list(block) for block in zip(*(c.tolist() for c in columns), strict=True)],
        "labels": {owner: plan.labels.get(owner, str(owner)) for owner in set(plan.owner.tolist())},
        "groups": [
            [group, plan.groups.get(group, ""), colour_of(group), ink_on(colour_of(group))]
            for group in present
        ],
        "ticks": plan.ticks.tolist(),
        "top": plan.top,
        "lines": [
            [value, name]
            for value, name in ((plan.peak, "peak"), (plan.bound, "bound"), (plan.capacity, "capacity"))
            if value
        ],
        "profiles": [[p.name, p.values.tolist(), p.unit, p.limit] for p in plan.profiles],
        "facts": facts,
    }
    heading = plan.title or "Memory map"
    return page(
        title=heading,
        summary=f"{heading}: peak {format_bytes(plan.peak)}",
        data=data,
        script=SCRIPT,
        tools=TOOLS,
        hint=HINT,
        style=STYLE,
    )
