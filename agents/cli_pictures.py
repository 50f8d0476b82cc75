"""Gantt charts for the command line: the format is the file's suffix, `-` is text on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.agents.cli import UsageError, echo
from makespan.envs.core.schedule import Schedule

FIGURES: Final = (".png", ".pdf", ".svg")
SUFFIXES: Final = (".html", ".gif", *FIGURES)
MAX_FRAMES: Final = 60
FRAMES_PER_SECOND: Final = 10.0


def check_output(path: str | None, suffixes: tuple[str, ...] | None = None) -> None:
    """Refuse an output that cannot be written, before the work rather than after it.

    Args:
        path: File to write, `-` for standard output, None for no output.
        suffixes: Those it may have; None means any.
    """
    if path is None or path == "-":
        return
    if suffixes is not None and Path(path).suffix.lower() not in suffixes:
        raise UsageError(f"{path}: expected a file named {', '.join(suffixes)}")
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"{path}: the folder {Path(path).parent} does not exist")


def draw(schedule: Schedule, out: str, *, title: str, reference: float | None = None) -> None:
    """Draw a schedule.

    Args:
        schedule: What to draw.
        out: Where to: a path that `check_output(path, SUFFIXES)` accepts, or `-`.
        title: Heading.
        reference: A makespan to compare with, where the format shows one.
    """
    from makespan.envs.core import gantt
    from makespan.envs.core.gantt_text import supports_colour

    suffix = Path(out).suffix.lower()
    if out == "-":
        echo(gantt.ansi(schedule, colour=supports_colour(sys.stdout), title=title))
    elif suffix == ".html":
        Path(out).write_text(gantt.html(schedule, title=title, reference=reference), encoding="utf-8")
    elif suffix == ".gif":
        gantt.save_gif(frames(schedule, title), out, FRAMES_PER_SECOND)
    else:
        gantt.figure(schedule, title=title, reference=reference).savefig(out)


def frames(schedule: Schedule, title: str) -> Iterator[NDArray[np.uint8]]:
    """A finished schedule as time goes by: (height, width, 3) frames, the last one complete."""
    from makespan.envs.core import gantt

    horizon = int(schedule.end.max(initial=1))
    names = [f"M{i}" for i in range(int(schedule.resource.max(initial=0)) + 1)]
    for now in np.linspace(0, horizon, min(MAX_FRAMES, horizon) + 1)[1:]:
        begun = schedule.select(schedule.start < now)
        begun = replace(begun, end=np.minimum(begun.end, int(np.ceil(now))))
        yield gantt.rgb_array(begun, title=title, resource_names=names, horizon=horizon)
