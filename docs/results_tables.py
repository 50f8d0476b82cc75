"""Tables of results for the documentation, from what is stored in `benchmarks/results/`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from makespan.agents.statistics import Interval, mean_ci, paired_difference

RESULTS: Final = Path(__file__).resolve().parents[1] / "benchmarks" / "results"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def jobshop() -> str:
    """Mean gaps on Lawrence's and Taillard's shops, from the stored evaluation."""
    return _gaps(
        "jobshop_la_ta",
        {"la": "LA, 40", "ta": "TA, 80"},
        ["ta 15x15", "ta 20x20", "ta 30x20", "ta 50x20", "ta 100x20"],
    )


def quickstart() -> str:
    """Mean gaps of the quickstart's agent on the literature, from the stored evaluation."""
    return _gaps("jobshop_quickstart_benchmark", {"la": "LA, 40", "ta": "TA 15x15, 10"}, [])


def ppo() -> str:
    """Mean gaps of PPO from scratch on the literature, from the stored evaluation."""
    return _gaps("jobshop_ppo_benchmark", {"la": "LA, 40", "ta": "TA 15x15, 10"}, [])


def solvers() -> str:
    """Mean gaps of the solvers, from the stored evaluation."""
    return _gaps("jobshop_solvers", {"ta": "TA 15x15 and 20x20"}, ["ta 15x15", "ta 20x20"])


def flexible() -> str:
    """Mean gaps on Brandimarte's shops, from the stored evaluation."""
    return _gaps("flexible_jobshop_mk", {"mk": "mk01-mk10"}, [])


def _gaps(name: str, sets: Mapping[str, str], sizes: Sequence[str]) -> str:
    """Mean gap to best known in % with a bootstrap interval: a row for each policy, best first."""
    document = stored(name)
    meta = document["meta"]
    groups = {info["instance"]: info["group"] for info in meta["instances"]}
    gaps: dict[str, dict[str, list[float]]] = {}
    seconds: dict[str, list[float]] = {}
    for row in document["rows"]:
        for column in (groups[row["instance"]].partition(" ")[0], groups[row["instance"]]):
            gaps.setdefault(row["policy"], {}).setdefault(column, []).append(row["gap_pct"])
        seconds.setdefault(row["policy"], []).append(row["seconds"])
    order = sorted(gaps, key=lambda policy: float(np.mean(gaps[policy][list(sets)[-1]])))
    rows = []
    for policy in order:
        whole = [mean_ci(gaps[policy][prefix]) for prefix in sets]
        cells = [f"{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]" for interval in whole]
        cells += [f"{np.mean(gaps[policy][size]):.1f}" for size in sizes]
        rows.append([f"`{policy}`", *cells, f"{np.mean(seconds[policy]):.2g}"])
    header = ["policy", *sets.values(), *(size.upper().replace("X", "x") for size in sizes), "s / instance"]
    valid = sum(row["valid"] for row in document["rows"])
    note = (
        f"Mean gap to best known, % [95 % bootstrap interval over instances]; {valid} of {len(document['rows'])} schedules "
        f"accepted by the validator. `python {meta['command']}`, seed {meta['seed']}, commit {meta['commit']}, "
        f"{meta['machine']['cpu_count']} cores; seconds were taken on a busy machine. Bounds: {'; '.join(meta['bounds_source'])}."
    )
    return f"{table(header, rows)}\n\n{note}"


def speed(family: str, reference: str = "") -> str:
    """Decisions per CPU second by size, with ratios to the references of the family's stored benchmark, or to one of them.

    Single environments are compared with a single one, batches with a batch where one is a reference.
    """
    document = stored(f"speed_{family}")
    sizes = list(dict.fromkeys(row["size"] for row in document["rows"] if row["size"]))
    speeds: dict[tuple[str, int], dict[str, float]] = {}
    peers: dict[bool, dict[str, float]] = {False: {}, True: {}}  # of batches?
    names: dict[bool, str] = {}
    for row in document["rows"]:
        if row["size"]:
            speeds.setdefault((row["name"], row["num_envs"]), {})[row["size"]] = row["per_second"]
            many = row["num_envs"] > 1
            if not row["reference"] or (reference and row["reference"] != reference):
                continue
            if names.setdefault(many, row["reference"]) == row["reference"]:
                peers[many][row["size"]] = row["per_second"]
    rows = []
    for (name, num_envs), speed in speeds.items():
        peer = peers[num_envs > 1] or peers[False]
        cells = []
        for size in sizes:
            ratio = f" ({_times(speed[size] / peer[size])})" if size in speed and size in peer else ""
            cells.append(f"{speed[size]:,.0f}{ratio}" if size in speed else "-")
        rows.append([name, str(num_envs), *cells])
    times = f" (times {' and '.join(dict.fromkeys(names.values()))})" if names else ""
    note = (
        f"Decisions per CPU second of one process{times}, median of {document['repeats']} runs, random legal actions; "
        f"`{document['command']}`, commit {document['commit'][:7]}, {document['machine']['cpu_count']} cores, shared with "
        "other work: compare ratios."
    )
    return f"{table(('what', 'environments', *sizes), rows)}\n\n{note}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} x" if ratio >= 10 else f"{ratio:.2g} x"


def minimalloc(*names: str) -> str:
    """Peak / capacity on MiniMalloc's files, from stored evaluations."""
    documents = [stored(name) for name in names]
    ratios: dict[str, dict[str, float]] = {}
    seconds: dict[str, list[float]] = {}
    for row in (row for document in documents for row in document["rows"]):
        name, _, capacity = row["instance"].rpartition(".")
        ratios.setdefault(row["policy"], {})[name] = row["objective"] / int(capacity)
        seconds.setdefault(row["policy"], []).append(row["seconds"])
    order = sorted(ratios, key=lambda policy: float(np.mean(list(ratios[policy].values()))))
    rows = []
    for policy in order:
        cells = [
            f"{ratio:.3f}" for ratio in (np.mean(list(ratios[policy].values())), *ratios[policy].values())
        ]
        rows.append([f"`{policy}`", *cells, f"{np.mean(seconds[policy]):.2g}"])
    header = ("policy", "mean", *ratios[order[0]], "s / instance")
    return f"{table(header, rows)}\n\nPeak / capacity. {' '.join(map(_provenance, documents))}"


def gap(name: str) -> str:
    """Mean gap to the optimum of each policy and, in pairs, against the best rule or heuristic, from a stored evaluation.

    Instances whose optimum is 0 have no gap and are left out.
    """
    document = stored(name)
    gaps: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    for row in document["rows"]:
        if row["gap_pct"] is not None and np.isfinite(row["gap_pct"]):
            gaps.setdefault(row["policy"], []).append(row["gap_pct"])
        seconds.setdefault(row["policy"], []).append(row["seconds"])
    order = sorted(gaps, key=lambda policy: float(np.mean(gaps[policy])))
    best = _best_rule(document, order)
    rows = []
    for policy in order:
        mean, difference = mean_ci(gaps[policy]), paired_difference(gaps[policy], gaps[best])
        cells = [f"{mean.estimate:.2f} [{mean.low:.2f}, {mean.high:.2f}]"]
        cells += ["-" if policy == best else _signed(difference), f"{np.mean(seconds[policy]):.2g}"]
        rows.append([f"`{policy}`", *cells])
    header = (
        "policy",
        f"mean gap, %, {len(gaps[best])} instances",
        f"against `{best}`, points",
        "s / instance",
    )
    note = "Means [95 % bootstrap interval over instances]."
    return f"{table(header, rows)}\n\n{note} {_provenance(document)}"


def across(*labelled: str) -> str:
    """The learned policy against the best rule, and the best planner, of several stored evaluations given as `label=name`."""
    rows, planned = [], False
    for label, _, name in (one.partition("=") for one in labelled):
        document = stored(name)
        values: dict[str, list[float]] = {}
        for row in document["rows"]:
            values.setdefault(row["policy"], []).append(row["objective"])
        kinds = {one["policy"]: one["kind"] for one in document["meta"]["policies"]}
        order = sorted(values, key=lambda policy: float(np.mean(values[policy])))
        own = next(policy for policy in order if kinds[policy] == "learned")
        cells = [label, f"{np.mean(values[own]):.1f}"]
        for kind in ("rule", "policy"):
            best = next((policy for policy in order if kinds[policy] == kind), None)
            if best is None:
                cells += ["-", "-"]
                continue
            planned |= kind == "policy"
            ratio = 100.0 * (np.array(values[own]) / np.array(values[best]) - 1.0)
            better = f"better on {(ratio < 0.0).sum()} of {ratio.size}"
            cells += [f"`{best}` {np.mean(values[best]):.1f}", f"{_signed(mean_ci(ratio))}, {better}"]
        rows.append(cells)
    header = ["", f"`{own}`", "best rule", "against it, %", "best planner", "against it, %"]
    if not planned:
        header, rows = header[:4], [cells[:4] for cells in rows]
    what = f"Mean {document['meta']['objective']} and mean difference in pairs [95 % bootstrap interval over instances]"
    return f"{table(header, rows)}\n\n{what}; each row has those that were best there. Last row: {_provenance(document)}"


def _best_rule(document: Mapping[str, Any], order: Sequence[str]) -> str:
    """The first policy of an order that neither learns nor solves."""
    kinds = {one["policy"]: one["kind"] for one in document["meta"]["policies"]}
    return next(policy for policy in order if kinds[policy] not in ("learned", "solver"))


def _signed(interval: Interval) -> str:
    return f"{interval.estimate:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def mapping(*names: str) -> str:
    """Latency against the portfolio's, from stored evaluations; with `programs` at the end one row for each program."""
    per_program = names[-1] == "programs"
    documents = [stored(name) for name in names if name != "programs"]
    latency: dict[str, dict[str, float]] = {}
    seconds: dict[str, list[float]] = {}
    for row in (row for document in documents for row in document["rows"]):
        latency.setdefault(row["policy"], {})[row["instance"]] = row["objective"]
        seconds.setdefault(row["policy"], []).append(row["seconds"])
    best = latency["portfolio"]
    gain = {policy: {name: best[name] / own[name] for name in own} for policy, own in latency.items()}
    if per_program:
        chosen = [policy for policy in gain if policy != "portfolio"]
        lines = [[f"`{name}`", *(f"{gain[policy][name]:.3f}" for policy in chosen)] for name in sorted(best)]
        return table(("program@MiB", *(f"`{policy}`" for policy in chosen)), lines)
    rows = []
    for policy in sorted(gain, key=lambda policy: -float(np.mean(np.log(list(gain[policy].values()))))):
        mean = mean_ci(np.log(list(gain[policy].values())))
        estimate, low, high = (np.exp(value) for value in (mean.estimate, mean.low, mean.high))
        better = sum(value > 1.0 for value in gain[policy].values())
        cells = [f"{estimate:.3f} [{low:.3f}, {high:.3f}]", str(better), f"{np.mean(seconds[policy]):.2g}"]
        rows.append([f"`{policy}`", *cells])
    header = ("policy", "speed-up over the portfolio", f"better than it, of {len(best)}", "s / program")
    note = "Geometric mean of the portfolio's latency / the policy's [95 % bootstrap interval over programs]."
    return f"{table(header, rows)}\n\n{note} {' '.join(map(_provenance, documents))}"


def pairs(names: str, *policies: str) -> str:
    """Policies two by two on the same instances, the second's objective / the first's, from stored evaluations `a,b,...`."""
    documents = [stored(name) for name in names.split(",")]
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for row in (row for document in documents for row in document["rows"]):
        found.setdefault(row["policy"], {})[row["instance"]] = row["objective"], row["seconds"]
    rows = []
    for one, other in zip(policies[::2], policies[1::2], strict=True):
        both = np.array([(*found[one][name], *found[other][name]) for name in found[one]])
        gain = np.log(both[:, 2] / both[:, 0])
        mean = mean_ci(list(gain))
        estimate, low, high = (np.exp(value) for value in (mean.estimate, mean.low, mean.high))
        counts = f"{(gain > 0).sum()} / {(gain == 0).sum()} / {(gain < 0).sum()}"
        spent = f"{both[:, 1].mean():.2g} / {both[:, 3].mean():.2g}"
        rows.append([f"`{one}`", f"`{other}`", f"{estimate:.3f} [{low:.3f}, {high:.3f}]", counts, spent])
    header = ("policy", "against", "ratio", "better / equal / worse", "s / instance, of both")
    note = "Geometric mean of the other's objective / the policy's [95 % bootstrap interval over instances]; rows as above."
    return f"{table(header, rows)}\n\n{note}"


def objective(name: str, *columns: str) -> str:
    """Mean objective of each policy on the same instances, and how far it is from the best rule, from a stored evaluation.

    With the column `seconds`, also what each took for an instance; with `against POLICY`, how far it is from that one.
    """
    document = stored(name)
    meta = document["meta"]
    values: dict[str, list[float]] = {}
    for row in document["rows"]:
        values.setdefault(row["policy"], []).append(row["objective"])
    upper = meta.get("sense") == "max"
    order = sorted(values, key=lambda policy: float(np.mean(values[policy])), reverse=upper)
    best = columns[columns.index("against") + 1] if "against" in columns else _best_rule(document, order)
    rows = []
    for policy in order:
        mean = mean_ci(values[policy])
        ratio = mean_ci(list(100.0 * (np.array(values[policy]) / np.array(values[best]) - 1.0)))
        change = "-" if policy == best else f"{ratio.estimate:+.1f} [{ratio.low:+.1f}, {ratio.high:+.1f}]"
        rows.append([f"`{policy}`", f"{mean.estimate:.1f} [{mean.low:.1f}, {mean.high:.1f}]", change])
        if "seconds" in columns:
            spent = [row["seconds"] for row in document["rows"] if row["policy"] == policy]
            rows[-1].append(f"{np.mean(spent):.2g}")
    bounds = {row["instance"]: row["bound"] for row in document["rows"] if row["bound"] is not None}
    if upper and bounds:
        mean = mean_ci(list(bounds.values()))
        bound = f"{mean.estimate:.1f} [{mean.low:.1f}, {mean.high:.1f}]"
        rows.insert(0, ["upper bound", bound, *[""] * (len(rows[0]) - 2)])
    valid = sum(row["valid"] for row in document["rows"])
    header = ["policy", f"{meta['objective']}, {meta['unit']}", f"against `{best}`, %"]
    header += ["seconds"] if "seconds" in columns else []
    note = (
        f"Means [95 % bootstrap interval over instances], paired; {valid} of {len(document['rows'])} schedules accepted by the "
        f"validator. `{meta['command']}`, commit {meta['commit']}, {meta['machine']['cpu_count']} cores."
    )
    return f"{table(header, rows)}\n\n{note}"


def seeds(name: str, *rules: str) -> str:
    """Mean objective of runs with several seeds on each preset's days, and as a multiple of rules', from a stored comparison."""
    document = stored(name)
    meta = document["meta"]
    runs = [one["policy"] for one in meta["policies"] if one["kind"] == "learned"]
    values: dict[str, dict[str, list[float]]] = {}
    for row in document["rows"]:
        values.setdefault(row["preset"], {}).setdefault(row["policy"], []).append(row["objective"])
    rows = []
    for preset, of_policy in values.items():
        scores = np.array([of_policy[run] for run in runs])
        means = scores.mean(axis=1)
        interval = mean_ci(list(means))
        cells = [f"{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]"]
        cells.append(f"{means.min():.1f} to {means.max():.1f}")
        for rule in rules:
            low, middle, high = np.array([interval.low, interval.estimate, interval.high]) / np.mean(
                of_policy[rule]
            )
            cells.append(f"{middle:.3f} [{low:.3f}, {high:.3f}]")
        rows.append([f"`{preset}`, {scores.shape[1]} days", *cells])
    header = ["", f"mean {meta['objective']}, {meta['unit']}", "lowest to highest seed"]
    header += [f"times `{rule}`" for rule in rules]
    valid = sum(row["valid"] for row in document["rows"])
    note = (
        f"{len(runs)} seeds ({', '.join(run.removeprefix('seed ') for run in runs)}) [95 % bootstrap interval over their "
        f"means]; {valid} of {len(document['rows'])} schedules accepted by the validator. "
        f"`{meta['command']}`, commit {meta['commit'][:7]}, {meta['machine']['cpu_count']} cores."
    )
    return f"{table(header, rows)}\n\n{note}"


def durations(name: str, *agents: str) -> str:
    """Seconds an instance of everybody in a stored timing, and as a multiple of the agents', whose names contain these words."""
    document = stored(name)
    seconds: dict[str, list[float]] = {}
    for row in document["rows"]:
        seconds.setdefault(row["what"], []).append(row["seconds"])
    means = {what: float(np.mean(taken)) for what, taken in seconds.items()}
    chosen = [next(what for what in means if agent in what) for agent in agents]
    rows = [
        [what, f"{mean:.3g}", *(_times(mean / means[agent]) for agent in chosen)]
        for what, mean in sorted(means.items(), key=lambda item: -item[1])
    ]
    meta = document["meta"]
    note = (
        f"CPU seconds of one process, means over {len(next(iter(seconds.values())))} days, on a busy machine; in plain Python "
        f"{meta['sample']} of {meta['evaluations']:,} days are played and the rest extrapolated. `{meta['command']}`, commit "
        f"{meta['commit'][:7]}, {meta['machine']['cpu_count']} cores."
    )
    return f"{table(['', 'seconds a day', *(f'times {agent}' for agent in chosen)], rows)}\n\n{note}"


def total(name: str) -> str:
    """Total objective of each policy over the same instances against the best rule's, from a stored evaluation.

    Where single objectives may be next to nothing, ratios of totals say what ratios of single instances cannot.
    """
    document = stored(name)
    meta = document["meta"]
    values: dict[str, list[float]] = {}
    for row in document["rows"]:
        values.setdefault(row["policy"], []).append(row["objective"])
    learned = {one["policy"] for one in meta["policies"] if one["kind"] == "learned"}
    order = sorted(values, key=lambda policy: float(np.mean(values[policy])))
    best = np.array(values[next(policy for policy in order if policy not in learned)])
    draws = np.random.default_rng(0).integers(len(best), size=(10_000, len(best)))
    rows = []
    for policy in order:
        own = np.array(values[policy])
        change = 100.0 * (own[draws].sum(axis=1) / best[draws].sum(axis=1) - 1.0)
        low, high = np.percentile(change, [2.5, 97.5])
        told = f"{100.0 * (own.sum() / best.sum() - 1.0):+.1f} [{low:+.1f}, {high:+.1f}]"
        wins = f"{(own < best).sum()} / {(own == best).sum()} / {(own > best).sum()}"
        is_best = bool((own == best).all())
        rows.append([f"`{policy}`", f"{own.mean():.0f}", "-" if is_best else told, "-" if is_best else wins])
    header = (
        "policy",
        f"mean {meta['objective']}",
        "total against the best rule's, %",
        "better / equal / worse",
    )
    note = f"{len(best)} instances, paired; ratio of the totals [95 % bootstrap interval over instances]. {_provenance(document)}"
    return f"{table(header, rows)}\n\n{note}"


def stored(name: str) -> dict[str, Any]:
    """An evaluation that is kept in `benchmarks/results/`."""
    document: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return document


def _provenance(document: Mapping[str, Any]) -> str:
    meta, rows = document["meta"], document["rows"]
    command = re.sub(r"(--instances \S+)( [^-\s]\S*){5,}", r"\1 ...", meta["command"])  # in full in the file
    return (
        f"{sum(row['valid'] for row in rows)} of {len(rows)} solutions accepted by the validator. "
        f"`python {command}`, seed {meta['seed']}, commit {meta['commit']}, "
        f"{meta['machine']['cpu_count']} cores; seconds were taken on a busy machine."
    )
