"""Colours of the pictures: many jobs that stay apart, also for colour-blind readers.

The first ten were chosen by eye, the others to lie as far from all before them as they can, in OKLab and for
normal sight and for full deuteranopia, protanopia and tritanopia (Machado, Oliveira & Fernandes 2009).
"""

from __future__ import annotations

from typing import Final

BASE: Final = (
    *("#407ab9", "#eca338", "#3b9982", "#cf5c64", "#84c6eb", "#6e4296", "#f4d16d", "#935930"),
    *("#eda3c0", "#77883a", "#aa91f6", "#bbe0ba", "#c683b6", "#32636c", "#c5be86", "#84e6f7"),
    *("#71ae7d", "#973246", "#9c9a3d", "#8281dd", "#94658f", "#5e5cb3", "#a0aefd", "#c39cd0"),
)
NEUTRAL: Final = "#b8bec6"  # rows that belong to no job


def colour_of(number: int) -> str:
    """The colour of a job (or of a kind) as #rrggbb.

    The same number always has the same colour, whatever else is in the picture; negative numbers (no job) are
    grey. After 24 the palette comes again darker, then lighter.
    """
    if number < 0:
        return NEUTRAL
    base, cycle = BASE[number % len(BASE)], number // len(BASE) % 3
    return (
        base
        if cycle == 0
        else _mix(base, (20, 24, 32), 0.32)
        if cycle == 1
        else _mix(base, (255, 255, 255), 0.38)
    )


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on a colour (the WCAG contrast ratio, leaning to white)."""
    return "#ffffff" if _luminance(colour) < 0.30 else "#1d2530"


def to_rgb(colour: str) -> tuple[int, int, int]:
    """(red, green, blue), 0..255, of #rrggbb."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = ((channel / 255.0) ** 2.2 for channel in to_rgb(colour))
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def _mix(colour: str, other: tuple[int, int, int], share: float) -> str:
    mixed = (round(a + (b - a) * share) for a, b in zip(to_rgb(colour), other, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
