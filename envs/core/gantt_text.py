"""Gantt charts as text, for terminals and logs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.gantt_layout import ColourBy, Layout, lay_out, summary
from makespan.envs.core.palette import colour_of, ink_on, to_rgb
from makespan.envs.core.schedule import Schedule

SYMBOLS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
EIGHTHS: Final = " ▏▎▍▌▋▊▉█"  # the left k eighths of a cell filled
RESET: Final = "\x1b[0m"
DIM: Final = "\x1b[2m"
MAX_NAME: Final = 16
MAX_LEGEND: Final = 40


def ansi(
    schedule: Schedule,
    width: int = 100,
    colour: bool = True,
    *,
    resource_names: Sequence[str] | None = None,
    job_names: Sequence[str] | None = None,
    title: str | None = None,
    colour_by: ColourBy = "job",
    horizon: int | None = None,
) -> str:
    """Draw a Gantt chart as text: a line a resource (more where rows overlap), a time axis and a legend.

    In colour, block ends are drawn to an eighth of a character in 24-bit colours, with the job's name where
    it fits. Without, the chart is plain ASCII: each character shows the job (0-9, A-Z, a-z, then #) that
    takes most of its span, "." is idle time, "-" a row that belongs to no job.

    Args:
        schedule: What to draw; it may be empty.
        width: Characters a line, at least 30.
        colour: Whether to use colours and block characters; see `supports_colour`.
        resource_names: Names by resource number; those with a name get a line even when idle.
        job_names: Names by job number.
        title: First line; the schedule's name if None.
        colour_by: What the colours (or characters) tell apart.
        horizon: Right end of the time axis; the makespan if None.
    """
    if width < 30:
        raise ValueError(f"width: {width}; expected at least 30 characters")
    layout = lay_out(
        schedule, resource_names=resource_names, job_names=job_names, colour_by=colour_by, horizon=horizon
    )
    margin = min(max((len(name) for name in layout.names), default=1), MAX_NAME)
    cells = width - margin - 3
    bar = "│" if colour else "|"
    heading = title if title is not None else schedule.name or "Schedule"
    lines = [
        _clean(f"{heading}: makespan {schedule.makespan}, {summary(schedule)}".replace(" ·", ","))[:width]
    ]
    for row, name in enumerate(layout.names):
        for lane in range(int(layout.num_lanes[row])):
            blocks = np.flatnonzero((layout.row == row) & (layout.lane == lane))
            blocks = blocks[np.argsort(layout.schedule.start[blocks], kind="stable")]
            label = _clean(name)[:margin].rjust(margin) if lane == 0 else " " * margin
            body = _colour_line(layout, blocks, cells) if colour else _ascii_line(layout, blocks, cells)
            lines.append(f"{label} {bar}{body}{bar}")
    lines += _axis(layout, margin, cells, colour)
    if schedule.num_rows:
        lines += _legend(layout, width, colour)
    return "\n".join(lines)


def supports_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal that takes colours and block characters (honours NO_COLOR)."""
    encoding = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
    willing = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return willing and encoding == "utf8" and stream.isatty()


def _symbol(group: int) -> str:
    return "-" if group < 0 else SYMBOLS[group] if group < len(SYMBOLS) else "#"


def _clean(text: str) -> str:
    """Without control characters, which a name could use to write anywhere on the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _positions(layout: Layout, blocks: NDArray[np.int64], cells: int) -> list[tuple[float, float, int]]:
    """(left, right, block) of each block in cells."""
    scale = cells / (layout.horizon - layout.origin)
    left = (layout.schedule.start[blocks] - layout.origin) * scale
    right = (layout.schedule.end[blocks] - layout.origin) * scale
    return list(
        zip(np.clip(left, 0, cells).tolist(), np.clip(right, 0, cells).tolist(), blocks.tolist(), strict=True)
    )


def _ascii_line(layout: Layout, blocks: NDArray[np.int64], cells: int) -> str:
    """Each cell shows what takes the largest part of it, idle time included."""
    shares: list[dict[str, float]] = [{} for _ in range(cells)]
    for left, right, block in _positions(layout, blocks, cells):
        symbol = _symbol(int(layout.group[block]))
        for cell in range(int(left), min(int(np.ceil(right)), cells)):
            part = min(right, cell + 1) - max(left, cell)
            shares[cell][symbol] = shares[cell].get(symbol, 0.0) + part
    line = ""
    for share in shares:
        symbol, part = max(share.items(), key=lambda item: item[1], default=(".", 0.0))
        line += symbol if part >= 1 - sum(share.values()) and part > 0 else "."
    return line


def _colour_line(layout: Layout, blocks: NDArray[np.int64], cells: int) -> str:
    """Blocks to an eighth of a cell: a cell holds at most two colours, the left part over the right."""
    eighths: list[int | None] = [None] * (8 * cells)  # the group at each eighth of a cell
    names: dict[int, tuple[str, int]] = {}  # cell -> character of a label, its block's group
    for left, right, block in _positions(layout, blocks, cells):
        group, label = int(layout.group[block]), _clean(layout.labels[block])
        first, last = round(8 * left), round(8 * right)
        eighths[first:last] = [group] * (last - first)
        whole = range(-(-first // 8), last // 8)
        if label and len(label) + 1 <= len(whole):
            at = whole.start + (len(whole) - len(label)) // 2
            names |= {at + offset: (character, group) for offset, character in enumerate(label)}
    return "".join(
        _written(*names[cell]) if cell in names else _cell(eighths[8 * cell : 8 * cell + 8])
        for cell in range(cells)
    )


def _written(character: str, group: int) -> str:
    colour = colour_of(group)
    return f"{_background(colour)}{_foreground(ink_on(colour))}{character}{RESET}"


def _cell(parts: list[int | None]) -> str:
    """One character for eight parts of a cell."""
    first = parts[0]
    change = next((at for at, part in enumerate(parts) if part != first), 8)
    rest = parts[-1] if change < 8 else first
    if first is None:
        if rest is None:
            inner = next((part for part in parts if part is not None), None)
            return " " if inner is None else f"{_foreground(colour_of(inner))}▪{RESET}"  # all within a cell
        # the right part is filled: draw the gap in reverse
        return f"{_foreground(colour_of(rest))}\x1b[7m{EIGHTHS[change]}{RESET}"
    if change == 8:  # a filled cell is a background: fonts leave seams between full blocks
        return f"{_background(colour_of(first))} {RESET}"
    left = _foreground(colour_of(first))
    right = "" if rest is None else _background(colour_of(rest))
    return f"{left}{right}{EIGHTHS[change]}{RESET}"


def _foreground(colour: str) -> str:
    return "\x1b[38;2;{};{};{}m".format(*to_rgb(colour))


def _background(colour: str) -> str:
    return "\x1b[48;2;{};{};{}m".format(*to_rgb(colour))


def _axis(layout: Layout, margin: int, cells: int, colour: bool) -> list[str]:
    """The time axis: round numbers with a tick at the cell where their time begins."""
    span = layout.horizon - layout.origin
    step = _round_step(span * max(len(str(layout.horizon)) + 3, 8) / cells)
    ticks, numbers = list(("─" if colour else "-") * (cells + 1)), [" "] * (margin + cells + 3)
    for time in range(-(-layout.origin // step) * step, layout.horizon + 1, step):
        cell = (time - layout.origin) * cells // span
        ticks[cell] = "┬" if colour else "+"
        text = str(time)
        at = margin + 2 + cell
        if at + len(text) <= len(numbers):
            numbers[at : at + len(text)] = text
    corner = ("└", "┘") if colour else ("+", "+")
    return [" " * (margin + 1) + corner[0] + "".join(ticks[:cells]) + corner[1], "".join(numbers).rstrip()]


def _round_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 ... that is not below `least`."""
    power = 10 ** max(int(np.floor(np.log10(max(least, 1)))), 0)
    return next(int(power * factor) for factor in (1, 2, 5, 10) if power * factor >= least)


def _legend(layout: Layout, width: int, colour: bool) -> list[str]:
    entries = []
    for group, name in sorted(layout.groups.items())[:MAX_LEGEND]:
        mark = f"{_foreground(colour_of(group))}■{RESET} " if colour else f"{_symbol(group)}="
        entries.append((mark + _clean(name), len(_clean(name)) + 2))
    if len(layout.groups) > MAX_LEGEND:
        more = f"and {len(layout.groups) - MAX_LEGEND} more"
        entries.append((more, len(more)))
    lines, used = [""], 0
    for text, length in entries:
        if used and used + 2 + length > width:
            lines, used = [*lines, ""], 0
        lines[-1] += ("  " if used else "") + text
        used += length + (2 if used else 0)
    return lines
