"""An interactive Gantt chart as one HTML page: no server, no network, no library."""

from __future__ import annotations

from collections.abc import Sequence

from makespan.envs.core.gantt_layout import ColourBy, lay_out, name_of, summary
from makespan.envs.core.gantt_page import HINT, SCRIPT, TOOLS
from makespan.envs.core.html_page import page
from makespan.envs.core.metrics import busy_times
from makespan.envs.core.palette import colour_of, ink_on
from makespan.envs.core.schedule import Schedule


def html(
    schedule: Schedule,
    *,
    resource_names: Sequence[str] | None = None,
    job_names: Sequence[str] | None = None,
    title: str | None = None,
    colour_by: ColourBy = "job",
    reference: float | None = None,
    reference_name: str = "best known",
    time_label: str = "time",
) -> str:
    """Draw a Gantt chart as a self-contained page that can be zoomed, panned, hovered and filtered.

    The page follows the reader's light or dark scheme and fetches nothing. Names are data, never markup:
    whatever they contain, they are shown as text.

    Args:
        schedule: What to draw; thousands of rows stay fluid.
        resource_names: Names by resource number; those with a name get a row even when idle.
        job_names: Names by job number.
        title: Heading; the schedule's name if None.
        colour_by: What the colours (and the legend's switches) tell apart.
        reference: A makespan to compare with, drawn as a dashed line.
        reference_name: What the reference is called.
        time_label: Caption of the time axis, with the unit if there is one.

    Returns:
        The page; write it with `write_atomically` or any other way, in UTF-8.
    """
    layout = lay_out(schedule, resource_names=resource_names, job_names=job_names, colour_by=colour_by)
    heading = title if title is not None else schedule.name or "Schedule"
    kinds = list(dict.fromkeys(schedule.kinds))
    number = {kind: index for index, kind in enumerate(kinds)}
    columns = (
        *(getattr(schedule, key).tolist() for key in ("job", "task", "resource", "start", "end")),
        [number[kind] for kind in schedule.kinds],
        layout.row.tolist(),
        layout.lane.tolist(),
        layout.group.tolist(),
    )
    data = {
        "title": heading,
        "timeLabel": time_label,
        "rows": list(layout.names),
        "lanes": layout.num_lanes.tolist(),
        "kinds": kinds,
        "hatched": [number[kind] for kind in layout.hatched_kinds],
        "jobs": {job: name_of(job_names, job, "J") for job in sorted(set(schedule.job.tolist()))},
        "labels": dict(zip(schedule.job.tolist(), layout.labels, strict=True)),
        "groups": [
            [group, name, colour_of(group), ink_on(colour_of(group))]
            for group, name in sorted(layout.groups.items())
        ],
        "operations": [list(row) for row in zip(*columns, strict=True)],
        "makespan": schedule.makespan,
        "origin": layout.origin,
        "horizon": max(float(layout.horizon), reference or 0.0),
        "reference": reference,
        "referenceName": reference_name,
        "facts": _facts(schedule, len(layout.names), reference, reference_name),
    }
    return page(
        title=heading,
        summary=f"{heading}: {summary(schedule)}, makespan {schedule.makespan}",
        data=data,
        script=SCRIPT,
        tools=TOOLS,
        hint=HINT,
    )


def _facts(
    schedule: Schedule, num_rows: int, reference: float | None, reference_name: str
) -> list[list[str]]:
    """(value, caption) of the figures in the head of the page."""
    facts = [[f"{schedule.makespan:,}", "makespan"]]
    if reference is not None:
        facts.append([f"{reference:,g}", reference_name])
        if reference > 0 and schedule.num_rows:
            facts.append([f"{100 * (schedule.makespan - reference) / reference:+.1f} %", "gap"])
    facts.append([f"{len(set(schedule.job[schedule.job >= 0].tolist())):,}", "jobs"])
    facts.append([f"{num_rows:,}", "resources"])
    facts.append([f"{schedule.num_rows:,}", "operations" if set(schedule.kinds) == {"process"} else "rows"])
    if schedule.makespan > 0 and num_rows and (schedule.resource >= 0).all():
        share = busy_times(schedule).sum() / (num_rows * schedule.makespan)
        facts.append([f"{100 * share:.1f} %", "mean utilisation"])
    return [[value.replace(",", "\u202f"), caption] for value, caption in facts]
