"""The report of an evaluation: tables, plain verdicts and pictures in one Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from makespan.agents.plots import family_pages, save_plots
from makespan.agents.results import EVERYTHING, Evaluation, SummaryRow
from makespan.envs.core.files import write_atomically

NONE: Final = "-"
CAPTIONS: Final[Mapping[str, str]] = {
    "gaps": "Gap of each policy over the instances.",
    "profile": "Share of instances solved within a gap.",
    "groups": "Mean gap by instance group.",
    "gantt": "Schedules of one instance, side by side.",
    "schedule": "A schedule of one instance.",
    "learning": "Learning curve.",
}


def write_report(
    folder: str | Path,
    evaluation: Evaluation,
    *,
    title: str | None = None,
    run_folders: Mapping[str, Path] | None = None,
) -> Path:
    """Write `report.md` with its pictures, and the data as `evaluation.json` and `evaluation.csv`.

    Args:
        folder: Where to; made if it is missing.
        evaluation: What to report.
        title: Heading; the environment's id if None.
        run_folders: Name -> run folder whose learning curves are drawn; the policies' own if None.

    Returns:
        The page written.
    """
    folder = Path(folder)
    runs = _run_folders(evaluation) if run_folders is None else run_folders
    plots = save_plots(evaluation, folder, runs)
    evaluation.save_json(folder / "evaluation.json")
    evaluation.save_csv(folder / "evaluation.csv")
    pages = {}
    for number, (policy, text) in enumerate(family_pages(evaluation).items(), 1):
        pages[policy] = f"schedule-{number}.html"
        write_atomically(folder / pages[policy], text)
    page = folder / "report.md"
    names = [path.name for path in plots]
    write_atomically(page, markdown(evaluation, title=title, plots=names, pages=pages))
    return page


def markdown(
    evaluation: Evaluation,
    *,
    title: str | None = None,
    plots: Sequence[str] = (),
    pages: Mapping[str, str] | None = None,
) -> str:
    """The page itself; `plots` are files beside it, and `pages` (by policy) interactive ones."""
    parts = [f"# {title or evaluation.meta['env']}", _introduction(evaluation)]
    parts += ["## Verdict", "\n".join(f"- {sentence}" for sentence in verdicts(evaluation))]
    parts += ["## All instances", summary_table(evaluation)]
    if len(evaluation.groups) > 1:
        parts += ["## By group", group_table(evaluation)]
    if plots:
        parts += ["## Pictures"]
        parts += [f"![{CAPTIONS[Path(plot).stem.partition('-')[0]]}]({plot})" for plot in plots]
    parts += [f"[Interactive page of a schedule of `{name}`]({file})" for name, file in (pages or {}).items()]
    parts += ["## How this was measured", _method(evaluation)]
    return "\n\n".join(parts) + "\n"


def verdicts(evaluation: Evaluation) -> list[str]:
    """A sentence for each trained policy or method against the best rule, and for invalid schedules."""
    samples = {info.policy: info.samples for info in evaluation.policies}
    samples |= {method: samples[runs[0]] for method, runs in evaluation.methods.items()}
    rows = {row.policy: row for row in evaluation.summary if row.group == EVERYTHING}
    sentences = []
    for row in rows.values():
        if row.kind in ("learned", "method"):
            rule = rows.get(row.best_rule or "")
            sentence = verdict(row, rule)
            if rule is not None and samples[row.policy] != samples[rule.policy]:
                sentence += (
                    f" The comparison is not an equal one: best of {samples[row.policy]} against best of"
                    f" {samples[rule.policy]}."
                )
            sentences.append(sentence)
    if not sentences:
        sentences.append("No trained policy was evaluated.")
    invalid = {row.policy: row.runs * row.n - row.valid for row in rows.values()}
    for policy, count in invalid.items():
        if count:
            sentences.append(
                f"**{count} schedules of `{policy}` are invalid**; its means leave them out and flatter it."
            )
    return sentences


def verdict(row: SummaryRow, rule: SummaryRow | None) -> str:
    """Whether a policy beats the best rule: only an interval that excludes zero says so."""
    if rule is None or row.wins is None:
        return f"`{row.policy}` was compared with no rule."
    outcome = (
        f"it is better on {row.wins} of {row.wins + (row.ties or 0) + (row.losses or 0)} instances,"
        f" equal on {row.ties} and worse on {row.losses}."
    )
    if row.difference_pct is None:  # no reference that a gap could be measured against
        means = f"its mean is {_objective(row.mean_objective)} against {_objective(rule.mean_objective)}"
        return (
            f"`{row.policy}` against the best rule, `{rule.policy}`: {means}; {outcome}"
            f" Wilcoxon's p = {_number(row.wilcoxon_p, '.2g')}."
        )
    means = f"its mean gap is {_percent(row.mean_gap_pct)} against {_percent(rule.mean_gap_pct)}"
    direction = "lower" if row.difference_pct < 0 else "higher"
    difference = f"{abs(row.difference_pct):.2f} points {direction}"
    if row.difference_low is None or row.difference_high is None:
        return (
            f"`{row.policy}` against the best rule, `{rule.policy}`: {means}, {difference}; {outcome}"
            " A single instance proves nothing."
        )
    if row.difference_high < 0:
        claim = "beats the best rule,"
    elif row.difference_low > 0:
        claim = "is worse than the best rule,"
    else:
        claim = "does not differ reliably from the best rule,"
    interval = f"95 % interval of the difference {row.difference_low:+.2f} to {row.difference_high:+.2f}"
    return f"`{row.policy}` {claim} `{rule.policy}`: {means}, {difference} ({interval}); {outcome}"


def summary_table(evaluation: Evaluation) -> str:
    """Every policy over all instances, best mean gap first."""
    header = [
        *(
            "policy",
            "kind",
            "mean gap % [95 % CI]",
            "IQM % [95 % CI]",
            "best rule",
            "difference to it [95 % CI]",
        ),
        *(
            "win / tie / loss",
            f"mean {evaluation.meta.get('objective', 'objective')}",
            "s / instance",
            "valid",
        ),
    ]
    lines = []
    for row in _sorted(evaluation, EVERYTHING):
        wins = NONE if row.wins is None else f"{row.wins} / {row.ties} / {row.losses}"
        kind = f"{row.runs} training runs" if row.kind == "method" else row.kind
        lines.append(
            [
                f"`{row.policy}`",
                kind,
                _interval(row.mean_gap_pct, row.gap_low, row.gap_high),
                _interval(row.iqm_gap_pct, row.iqm_low, row.iqm_high),
                NONE if row.best_rule in (None, row.policy) else f"`{row.best_rule}`",
                _interval(row.difference_pct, row.difference_low, row.difference_high, "+"),
                wins,
                _objective(row.mean_objective),
                _number(row.mean_seconds, ".3g"),
                f"{row.valid} / {row.runs * row.n}",
            ]
        )
    return _table(header, lines)


def group_table(evaluation: Evaluation) -> str:
    """Mean gap with its interval, one column for each group, best overall mean first."""
    groups = evaluation.groups[1:]
    sizes = {group: sum(info.group == group for info in evaluation.instances) for group in groups}
    table = {(row.policy, row.group): row for row in evaluation.summary}
    lines = []
    for overall in _sorted(evaluation, EVERYTHING):
        rows = [table[overall.policy, group] for group in groups]
        cells = [_interval(row.mean_gap_pct, row.gap_low, row.gap_high) for row in rows]
        lines.append([f"`{overall.policy}`", *cells])
    return _table(["policy", *(f"{group} (n = {sizes[group]})" for group in groups)], lines)


def _run_folders(evaluation: Evaluation) -> dict[str, Path]:
    """The run folders among the trained policies."""
    learned = [info.policy for info in evaluation.policies if info.kind == "learned"]
    names = dict.fromkeys(text.partition("*")[0].partition("@")[0] for text in learned)
    return {name: Path(name) for name in names if (Path(name) / "metrics.jsonl").is_file()}


def _introduction(evaluation: Evaluation) -> str:
    meta = evaluation.meta
    count = len(evaluation.instances)
    origin = f"drawn from seed {meta['seed']}" if meta["instances_drawn"] else "given by name or file"
    noun = "instance" if count == 1 else "instances"
    return (
        f"{len(evaluation.policies)} policies on the same {count} {noun}, {origin}; every schedule was"
        f" checked by the independent validator. The {meta['objective']} is"
        f" {'maximised' if evaluation.maximises else 'minimised'}; gaps are %"
        f" {'below' if evaluation.maximises else 'above'} the reference: {_references(evaluation)}."
    )


def _references(evaluation: Evaluation) -> str:
    counts: dict[str, int] = {}
    for info in evaluation.instances:
        counts[info.reference_kind] = counts.get(info.reference_kind, 0) + 1
    parts = [f"{kind} for {count}" for kind, count in counts.items()]
    warnings = [
        f"; a gap to {what} {verb} the distance to the optimum"
        for kind, what, verb in (
            ("lower bound", "a lower bound", "overstates"),
            ("upper bound", "an upper bound", "overstates"),
            ("best of this run", "the best of this run", "understates"),
        )
        if kind in counts
    ]
    return ", ".join(parts) + "".join(warnings)


def _method(evaluation: Evaluation) -> str:
    meta = evaluation.meta
    versions, machine = meta["versions"], meta["machine"]
    assert isinstance(versions, Mapping)
    assert isinstance(machine, Mapping)
    sources, planners = meta["bounds_source"], meta["sees_beyond_the_observation"]
    assert isinstance(sources, Sequence)
    assert isinstance(planners, Sequence)
    modes = sorted({info.mode for info in evaluation.policies if info.mode is not None})
    lines = [
        "Intervals are 95 % percentile bootstrap intervals (2 000 resamples) over instances, over training"
        " runs within each instance where a method has several. The best rule is chosen by mean gap on these"
        " same instances, which favours the rule; best-of-N policies meet best-of-N rules where there are"
        " any.",
        "Seconds are wall-clock; policies run in batches whose time is shared out evenly over the instances.",
        f"Best of N: the greedy schedule and N - 1 samples; rules with log-normal noise, sigma ="
        f" {meta['rule_noise_sigma']}.",
        f"Best-known values: {'; '.join(map(str, sources)) or 'none for these instances'}.",
        f"Solver time limit: {meta['time_limit_s']} s for an instance unless an option says otherwise.",
        f"Machine: {machine['cpu_count']} processors. Versions: "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ".",
    ]
    if modes:
        lines.insert(3, f"Modes of the environment: {', '.join(modes)}.")
    if planners:
        lines.append(f"Look at the whole instance, beyond the observation: {', '.join(map(str, planners))}.")
    bullets = "\n".join(f"- {line}" for line in lines)
    return f"{bullets}\n\n```\n{meta['command']}\n```"


def _sorted(evaluation: Evaluation, group: str) -> list[SummaryRow]:
    rows = [row for row in evaluation.summary if row.group == group]
    sign = -1.0 if evaluation.maximises else 1.0
    return sorted(
        rows,
        key=lambda row: (
            row.mean_gap_pct is None,
            row.mean_gap_pct or 0.0,
            sign * (row.mean_objective or 0.0),
        ),
    )


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---" if name in ("policy", "kind", "best rule") else "---:" for name in header]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *lines))


def _interval(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    if value is None:
        return NONE
    if low is None or high is None:
        return f"{value:{sign}.2f}"
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else f"{value:{form}}"


def _objective(value: float | None) -> str:
    """To a tenth, or to four digits where that says more."""
    return NONE if value is None else f"{value:.1f}" if abs(value) >= 100.0 else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f} %"
