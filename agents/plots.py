"""Pictures of an evaluation and of training, drawn on Matplotlib figures without pyplot's global state."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from makespan.agents import statistics
from makespan.agents.results import EVERYTHING, Evaluation, SummaryRow
from makespan.envs.core.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#1d2530"
MUTED: Final = "#69727f"
GRID: Final = "#e3e7ec"
KIND_COLOURS: Final[Mapping[str, str]] = {
    "rule": "#407ab9",
    "policy": "#6e4296",
    "portfolio": "#84c6eb",
    "random": "#b8bec6",
    "learned": "#d9702b",
    "method": "#d9702b",
    "solver": "#3b9982",
}
LINE_COLOURS: Final = ("#407ab9", "#d9702b", "#3b9982", "#6e4296", "#cf5c64", "#935930", "#84c6eb", "#77883a")
DASHES: Final[Mapping[str, str]] = {"rule": "-", "policy": "-", "learned": "-", "method": "-", "solver": "--"}
MOST_BOXES: Final = 16
MOST_LINES: Final = 8
DENSE: Final = 40  # points from which on a learning curve is smoothed
# What a learning curve shows, the first that a run has logged: the end of the name decides.
CURVE_METRICS: Final = ("gap_pct", "gap", "objective", "return", "reward", "accuracy", "loss")


def gap_boxes(evaluation: Evaluation) -> Figure:
    """The gaps of each policy over the instances: box, points and mean, best mean on top."""
    rows = _ranked(evaluation)[:MOST_BOXES]
    figure = _figure(8.0, 1.3 + 0.42 * max(len(rows), 2))
    axes = figure.subplots()
    gaps = [_gaps_of(evaluation, row.policy) for row in rows]
    rng = np.random.default_rng(0)
    for place, (row, values) in enumerate(zip(rows, gaps, strict=True)):
        y, colour = len(rows) - 1 - place, KIND_COLOURS.get(row.kind, MUTED)
        axes.boxplot(
            values,
            positions=[y],
            orientation="horizontal",
            widths=0.56,
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": colour + "38", "edgecolor": colour, "linewidth": 1.2},
            medianprops={"color": colour, "linewidth": 1.8},
            whiskerprops={"color": colour, "linewidth": 1.1},
            capprops={"color": colour, "linewidth": 1.1},
        )
        spread = rng.uniform(-0.17, 0.17, values.size)
        axes.scatter(values, y + spread, s=9, color=colour, alpha=0.45, linewidths=0, zorder=3)
        axes.scatter([values.mean()], [y], s=34, marker="D", color="white", edgecolors=INK, zorder=4)
    axes.set_yticks(range(len(rows)), [row.policy for row in rows][::-1])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(_gap_label(evaluation))
    _finish(axes, "Gap of each policy", "box: quartiles and median · diamond: mean", grid="x")
    _kind_legend(axes, [row.kind for row in rows])
    return figure


def performance_profile(evaluation: Evaluation) -> Figure:
    """Share of instances that each policy solves within a gap."""
    rows = _ranked(evaluation)[:MOST_LINES]
    figure = _figure(9.0, 4.4)
    axes = figure.subplots()
    gaps = {row.policy: _gaps_of(evaluation, row.policy) for row in rows}
    everything = np.concatenate(list(gaps.values()))
    lowest, highest = min(0.0, float(everything.min())), float(np.quantile(everything, 0.99))
    highest = max(highest, lowest + 1.0)
    for colour, row in zip(LINE_COLOURS, rows, strict=False):
        values = np.unique(gaps[row.policy])
        thresholds = np.concatenate([[values[0]], values, [max(highest, values[-1])]])
        shares = 100 * statistics.performance_profile(gaps[row.policy], thresholds)
        shares[0] = 0.0
        style = DASHES.get(row.kind, ":")
        axes.step(
            thresholds, shares, where="post", color=colour, linestyle=style, linewidth=2.0, label=row.policy
        )
    axes.set_xlim(lowest, highest)
    axes.set_ylim(0, 102)
    axes.set_xlabel(_gap_label(evaluation))
    axes.set_ylabel("instances within that gap (%)")
    _finish(axes, "Performance profile", "further up and left is better · dashed: solvers", grid="both")
    _legend_outside(axes)
    return figure


def gaps_by_group(evaluation: Evaluation) -> Figure:
    """Mean gap with its 95 % interval in each size group."""
    groups = evaluation.groups[1:] or evaluation.groups
    names = [row.policy for row in _ranked(evaluation)[:MOST_LINES]]
    table = {(row.policy, row.group): row for row in evaluation.summary}
    figure = _figure(max(6.0, 1.6 + 1.15 * len(groups)), 4.4)
    axes = figure.subplots()
    for number, name in enumerate(names):
        rows = [table[name, group] for group in groups]
        offset = 0.62 * ((number + 0.5) / len(names) - 0.5)
        x = np.arange(len(groups)) + offset
        mean = np.array([_nan(row.mean_gap_pct) for row in rows])
        low = mean - np.array([_nan(row.gap_low) for row in rows])
        high = np.array([_nan(row.gap_high) for row in rows]) - mean
        bars = np.nan_to_num(np.stack([low, high]), nan=0.0).clip(0.0)
        axes.errorbar(
            x,
            mean,
            yerr=bars,
            fmt="o",
            markersize=5,
            color=LINE_COLOURS[number % len(LINE_COLOURS)],
            elinewidth=1.6,
            capsize=2.5,
            label=name,
        )
    for boundary in range(1, len(groups)):
        axes.axvline(boundary - 0.5, color=GRID, linewidth=1.0, zorder=0)
    axes.set_xticks(range(len(groups)), groups, rotation=0 if len(groups) < 7 else 25)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_ylabel(_gap_label(evaluation))
    _finish(axes, "Gap by instance group", "mean with 95 % bootstrap interval", grid="y")
    _legend_outside(axes)
    return figure


def learning_curve(run_folders: Mapping[str, Path]) -> Figure | None:
    """What the runs logged while they learned, a panel for each stage, a line for each run.

    The metric is the first of `CURVE_METRICS` that a run has logged; None where there is none to draw.
    """
    logs = {name: _read_log(folder / "metrics.jsonl") for name, folder in run_folders.items()}
    metric = next((m for m in (_find_metric(log) for log in logs.values()) if m is not None), None)
    if metric is None:
        return None
    curves = {name: _curves(log, metric) for name, log in logs.items()}
    stages = list(dict.fromkeys(stage for curve in curves.values() for stage in curve))
    figure = _figure(max(8.0, 1.0 + 3.6 * len(stages)), 4.2)
    panels = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for number, (axes, stage) in enumerate(zip(panels, stages, strict=True)):
        for colour, (name, curve) in zip(LINE_COLOURS, curves.items(), strict=False):
            if stage in curve:
                _draw_curve(axes, *curve[stage], colour, name)
        axes.set_xlabel("step")
        _finish(axes, "Learning curve" if number == 0 else "", stage.replace("_", " "), grid="both")
    panels[0].set_ylabel(metric.replace("_pct", " (%)").replace("_", " "))
    if len(logs) > 1:
        panels[-1].legend(frameon=False, fontsize=9, labelcolor=INK)
    return figure


def _draw_curve(
    axes: Axes, steps: NDArray[np.float64], values: NDArray[np.float64], colour: str, name: str
) -> None:
    """A line with points; where there are many points, their running mean over the pale line."""
    if steps.size <= DENSE:
        axes.plot(steps, values, color=colour, linewidth=2.0, marker="o", markersize=4, label=name)
        return
    axes.plot(steps, values, color=colour, linewidth=1.0, alpha=0.3)
    axes.plot(steps, _smooth(values), color=colour, linewidth=2.0, label=name)


def gantt(evaluation: Evaluation) -> Figure | None:
    """Schedules of one small instance above each other: best trained policy, best rule, best solver."""
    names = _shown_side_by_side(evaluation)
    instance = _smallest_instance(evaluation, names)
    if instance is None:
        return None
    from makespan.envs.core.gantt import side_by_side

    info = next(info for info in evaluation.instances if info.instance == instance)
    is_makespan = evaluation.meta["objective"] == "makespan"  # which a time axis can show
    unit = str(evaluation.meta["unit"])
    return side_by_side(
        {name: evaluation.schedules[name, instance] for name in names},
        title=f"Instance {instance}",
        reference=info.reference if is_makespan else None,
        reference_name=info.reference_kind,
        time_label=(unit if unit.startswith("time") else f"time ({unit})") if is_makespan else "time",
    )


def family_pictures(evaluation: Evaluation) -> dict[str, Figure]:
    """The family's own first picture of the same schedules, numbered, where it has any."""
    names = _shown_side_by_side(evaluation)
    instance = _smallest_instance(evaluation, names)
    if instance is None or evaluation.family is None or not evaluation.family.pictures:
        return {}
    draw = next(iter(evaluation.family.pictures.values()))
    problem = evaluation.problems[instance]
    return {
        f"schedule-{number}": draw(problem, evaluation.schedules[name, instance])
        for number, name in enumerate(names, 1)
    }


def family_pages(evaluation: Evaluation) -> dict[str, str]:
    """The family's own interactive page of the same schedules, by policy, where it has any."""
    names = _shown_side_by_side(evaluation)
    instance = _smallest_instance(evaluation, names)
    if instance is None or evaluation.family is None or evaluation.family.html is None:
        return {}
    problem, page = evaluation.problems[instance], evaluation.family.html
    return {name: page(problem, evaluation.schedules[name, instance]) for name in names}


def _smallest_instance(evaluation: Evaluation, names: Sequence[str]) -> str | None:
    """The instance of fewest tasks that all these policies have a schedule of."""
    sizes = {
        info.instance: evaluation.schedules[names[0], info.instance].job.size
        for info in evaluation.instances
        if names and all((name, info.instance) in evaluation.schedules for name in names)
    }
    return min(sizes, key=lambda name: sizes[name], default=None)


def save_plots(
    evaluation: Evaluation, folder: str | Path, run_folders: Mapping[str, Path] | None = None
) -> list[Path]:
    """Draw everything there is to draw into `folder` as PNG; returns the files, in the order of a report."""
    figures: dict[str, Figure | None] = {}
    if _ranked(evaluation):
        figures["gaps"] = gap_boxes(evaluation)
        figures["profile"] = performance_profile(evaluation)
        if len(evaluation.groups) > 1:
            figures["groups"] = gaps_by_group(evaluation)
    pictures = family_pictures(evaluation)
    if pictures:
        figures.update(pictures)
    else:
        figures["gantt"] = gantt(evaluation)
    figures["learning"] = learning_curve(run_folders) if run_folders else None
    written = []
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        if figure is None:
            continue
        path = Path(folder) / f"{name}.png"
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=160, facecolor="white")
        write_atomically(path, image.getvalue())
        written.append(path)
    return written


def _ranked(evaluation: Evaluation) -> list[SummaryRow]:
    """Summary rows of all instances with gaps, best mean first; a method stands for its runs."""
    runs = {run for members in evaluation.methods.values() for run in members}
    rows = [
        row
        for row in evaluation.summary
        if row.group == EVERYTHING and row.mean_gap_pct is not None and row.policy not in runs
    ]
    return sorted(rows, key=lambda row: _nan(row.mean_gap_pct))


def _gaps_of(evaluation: Evaluation, policy: str) -> NDArray[np.float64]:
    members = evaluation.methods.get(policy, (policy,))
    values = np.concatenate([evaluation.gaps(member) for member in members])
    return np.asarray(values[np.isfinite(values)])


def _shown_side_by_side(evaluation: Evaluation) -> list[str]:
    """Best rule, best trained policy, best solver; the next best where these are fewer than two."""
    rows = [row for row in evaluation.summary if row.group == EVERYTHING and row.kind != "method"]
    sign = -1.0 if evaluation.maximises else 1.0
    rows.sort(key=lambda row: (_nan(row.mean_gap_pct, math.inf), sign * _nan(row.mean_objective, math.inf)))
    best = {row.kind: row.policy for row in reversed(rows)}
    names = [best[kind] for kind in ("rule", "policy", "learned", "solver") if kind in best]
    others = [row.policy for row in rows if row.policy not in names]
    return names + others[: max(0, 2 - len(names))]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _finish(axes: Axes, title: str, subtitle: str, grid: Literal["x", "y", "both"]) -> None:
    axes.set_title(title, loc="left", fontsize=12.5, fontweight="bold", color=INK, pad=22)
    axes.annotate(
        subtitle,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 7),
        textcoords="offset points",
        fontsize=9,
        color=MUTED,
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(axis=grid, color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)


def _kind_legend(axes: Axes, kinds: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    shown = list(dict.fromkeys("learned" if kind == "method" else kind for kind in kinds))
    if len(shown) > 1:
        handles = [Patch(facecolor=KIND_COLOURS[kind] + "60", edgecolor=KIND_COLOURS[kind]) for kind in shown]
        axes.legend(handles, shown, frameon=False, fontsize=9, labelcolor=INK, loc="best")


def _legend_outside(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _gap_label(evaluation: Evaluation) -> str:
    kinds = list(dict.fromkeys(info.reference_kind for info in evaluation.instances))
    return f"gap to {' or '.join(kinds)} (%)"


def _read_log(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # the last is empty, or cut short by a crash
    return [json.loads(line) for line in lines if line.strip()]


def _find_metric(log: Sequence[Mapping[str, object]]) -> str | None:
    names = list(
        dict.fromkeys(name for row in log for name, value in row.items() if isinstance(value, float))
    )
    for ending in CURVE_METRICS:
        for name in names:
            if name.endswith(ending):
                return name
    return None


def _curves(
    log: Sequence[Mapping[str, object]], metric: str
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Steps and values of a metric in each stage that has any."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in log:
        value, step = row.get(metric), row.get("step")
        if isinstance(value, int | float) and isinstance(step, int | float):
            points.setdefault(str(row.get("stage", "")), []).append((step, value))
    return {stage: (np.array(p)[:, 0], np.array(p)[:, 1]) for stage, p in points.items()}


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running mean over a twentieth of the points, centred, shorter at the ends."""
    width = max(3, values.size // 20) | 1
    kernel = np.ones(width)
    weight = np.convolve(np.ones_like(values), kernel, "same")
    return np.asarray(np.convolve(values, kernel, "same") / weight)


def _nan(value: float | None, instead: float = math.nan) -> float:
    return instead if value is None else value
