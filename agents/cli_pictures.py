"""Gantt charts for the command line: the format is the file's suffix, `-` is text on standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.agents.cli import UsageError, echo
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.family import Family
from makespan.envs.core.schedule import Schedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Page = Callable[[Any, Schedule], str]
Picture = Callable[[Any, Schedule], "Figure"]

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


def family_pictures(family: Family, name: str | None) -> tuple[Page | None, Picture | None]:
    """What a family draws of its own: its page, and its picture of that name (the first if None)."""
    pictures = family.pictures or {}
    if name is not None and name not in pictures:
        raise UnknownNameError(f"{family.name} picture", name, pictures)
    return family.html, pictures[name] if name else next(iter(pictures.values()), None)


def draw(
    schedule: Schedule,
    out: str,
    *,
    title: str,
    reference: float | None = None,
    instance: Any = None,
    page: Page | None = None,
    picture: Picture | None = None,
) -> None:
    """Draw a schedule.

    Args:
        schedule: What to draw.
        out: Where to: a path that `check_output(path, SUFFIXES)` accepts, or `-`.
        title: Heading of a Gantt chart.
        reference: A makespan to compare with, where the format shows one.
        instance: What the schedule solves, for what follows.
        page: Makes the HTML, instead of the Gantt page.
        picture: Draws the figure, instead of the Gantt chart.
    """
    from makespan.envs.core import gantt
    from makespan.envs.core.gantt_text import supports_colour

    suffix = Path(out).suffix.lower()
    if out == "-":
        echo(gantt.ansi(schedule, colour=supports_colour(sys.stdout), title=title))
    elif suffix == ".html":
        text = page(instance, schedule) if page else gantt.html(schedule, title=title, reference=reference)
        Path(out).write_text(text, encoding="utf-8")
    elif suffix == ".gif":
        gantt.save_gif(frames(schedule, title), out, FRAMES_PER_SECOND)
    elif picture is not None:
        picture(instance, schedule).savefig(out)
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
