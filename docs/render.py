"""Fill the rendered parts of the documentation from the package: `python docs/render.py`.

A rendered part stands between `<!-- rendered: NAME ARGUMENT ... -->` and `<!-- end -->`; whatever is between them is
replaced. So features, rules, solvers, generators, instance sets and ids are documented once, where they are defined.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import gymnasium
import numpy as np

from makespan.agents.config import preset_names, preset_text
from makespan.agents.statistics import mean_ci
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.policy import policies_of, rules_of, solvers_of
from makespan.envs.jobshop import formats
from makespan.envs.registration import ENVIRONMENTS, get_family

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
_PART: Final = re.compile(
    r"(<!-- rendered: (?P<name>[\w-]+)(?P<arguments>( [\w/-]+)*) -->\n).*?(<!-- end -->)", re.DOTALL
)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def environments(*ids: str) -> str:
    """Ids (default: all) with what they show, let do and pay, from the environments' docstrings."""
    rows = []
    for entry in (entry for entry in ENVIRONMENTS if not ids or entry.id in ids):
        module, _, attribute = entry.entry_point.partition(":")
        text = inspect.getdoc(getattr(import_module(module), attribute)) or ""
        headings = ("Observation Space", "Action Space", "Rewards")
        rows.append([f"`{entry.id}`", *(_first_clause(text, heading) for heading in headings)])
    return table(("id", "observation", "action", "reward"), rows)


def presets() -> str:
    """Presets of `makespan train` with the first line of their comment."""
    rows = ([f"`{name}`", preset_text(name).partition("\n")[0].lstrip("# ")] for name in preset_names())
    return table(("preset", "what it trains"), rows)


def results_jobshop() -> str:
    """Mean gaps on Lawrence's and Taillard's shops, from the stored evaluation."""
    return _gaps(
        "jobshop_la_ta",
        {"la": "LA, 40", "ta": "TA, 80"},
        ["ta 15x15", "ta 20x20", "ta 30x20", "ta 50x20", "ta 100x20"],
    )


def results_quickstart() -> str:
    """Mean gaps of the quickstart's agent on the literature, from the stored evaluation."""
    return _gaps("jobshop_quickstart_benchmark", {"la": "LA, 40", "ta": "TA 15x15, 10"}, [])


def results_ppo() -> str:
    """Mean gaps of PPO from scratch on the literature, from the stored evaluation."""
    return _gaps("jobshop_ppo_benchmark", {"la": "LA, 40", "ta": "TA 15x15, 10"}, [])


def results_speed() -> str:
    """Decisions per CPU second beside other implementations, from the stored benchmark."""
    document = json.loads(
        (ROOT / "benchmarks" / "results" / "speed_jobshop.json").read_text(encoding="utf-8")
    )
    sizes = ("6x6", "15x15", "100x20")
    speeds: dict[tuple[str, int], dict[str, float]] = {}
    for row in document["rows"]:
        if row["size"]:
            speeds.setdefault((row["name"], row["num_envs"]), {})[row["size"]] = row["per_second"]
    peer = speeds["JSSEnv", 1]
    rows = []
    for (name, num_envs), speed in speeds.items():
        cells = [
            f"{speed[size]:,.0f} ({_times(speed[size] / peer[size])})" if size in speed else "-"
            for size in sizes
        ]
        rows.append([name, str(num_envs), *cells])
    note = (
        f"Decisions per CPU second of one process (times JSSEnv), median of {document['repeats']} runs, random legal actions; "
        f"`{document['command']}`, commit {document['commit'][:7]}, {document['machine']['cpu_count']} cores, nearly idle."
    )
    return f"{table(('what', 'environments', *sizes), rows)}\n\n{note}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} x" if ratio >= 10 else f"{ratio:.2g} x"


def results_solvers() -> str:
    """Mean gaps of the solvers, from the stored evaluation."""
    return _gaps("jobshop_solvers", {"ta": "TA 15x15 and 20x20"}, ["ta 15x15", "ta 20x20"])


def results_flexible() -> str:
    """Mean gaps on Brandimarte's shops, from the stored evaluation."""
    return _gaps("flexible_jobshop_mk", {"mk": "mk01-mk10"}, [])


def _gaps(name: str, sets: Mapping[str, str], sizes: Sequence[str]) -> str:
    """Mean gap to best known in % with a bootstrap interval: a row for each policy, best first."""
    document = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    meta, groups = (
        document["meta"],
        {info["instance"]: info["group"] for info in document["meta"]["instances"]},
    )
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


def results_minimalloc() -> str:
    """Peak / capacity on MiniMalloc's files, from the stored evaluation."""
    document = _stored("memory_allocation_minimalloc")
    ratios: dict[str, dict[str, float]] = {}
    seconds: dict[str, list[float]] = {}
    for row in document["rows"]:
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
    return f"{table(header, rows)}\n\nPeak / capacity. {_provenance(document)}"


def results_guillotine() -> str:
    """Mean gaps on perfect packings, from the stored evaluation."""
    document = _stored("memory_allocation_guillotine")
    gaps: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    for row in document["rows"]:
        gaps.setdefault(row["policy"], []).append(row["gap_pct"])
        seconds.setdefault(row["policy"], []).append(row["seconds"])
    rows = []
    for policy in sorted(gaps, key=lambda policy: float(np.mean(gaps[policy]))):
        mean = mean_ci(gaps[policy])
        cells = [f"{mean.estimate:.1f} [{mean.low:.1f}, {mean.high:.1f}]", f"{np.mean(seconds[policy]):.2g}"]
        rows.append([f"`{policy}`", *cells])
    note = "Mean gap to the optimum, % [95 % bootstrap interval over instances]."
    return f"{table(('policy', 'guillotine50, 10', 's / instance'), rows)}\n\n{note} {_provenance(document)}"


def results_mapping(*names: str) -> str:
    """Latency against the portfolio's, from stored evaluations; with `programs` at the end one row for each program."""
    per_program = names[-1] == "programs"
    documents = [_stored(name) for name in names if name != "programs"]
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


def speed(family: str) -> str:
    """Decisions per CPU second by size, from a family's stored benchmark."""
    document = _stored(f"speed_{family}")
    sizes = list(dict.fromkeys(row["size"] for row in document["rows"]))
    speeds: dict[tuple[str, int], dict[str, float]] = {}
    for row in document["rows"]:
        speeds.setdefault((row["name"], row["num_envs"]), {})[row["size"]] = row["per_second"]
    rows = [
        [name, str(num_envs), *(f"{own[size]:,.0f}" if size in own else "-" for size in sizes)]
        for (name, num_envs), own in speeds.items()
    ]
    note = (
        f"Decisions per CPU second of one process, median of {document['repeats']} runs; `{document['command']}`, commit "
        f"{document['commit'][:7]}, {document['machine']['cpu_count']} cores, busy."
    )
    return f"{table(('what', 'environments', *sizes), rows)}\n\n{note}"


def _stored(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8")
    )
    return document


def _provenance(document: Mapping[str, Any]) -> str:
    meta, rows = document["meta"], document["rows"]
    command = re.sub(r"(--instances \S+)( [^-\s]\S*){5,}", r"\1 ...", meta["command"])  # in full in the file
    return (
        f"{sum(row['valid'] for row in rows)} of {len(rows)} solutions accepted by the validator. "
        f"`python {command}`, seed {meta['seed']}, commit {meta['commit']}, "
        f"{meta['machine']['cpu_count']} cores; seconds were taken on a busy machine."
    )


def results_objective(name: str) -> str:
    """Mean objective of each policy on the same instances, and how far it is from the best rule, from a stored evaluation."""
    document = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    meta = document["meta"]
    values: dict[str, list[float]] = {}
    for row in document["rows"]:
        values.setdefault(row["policy"], []).append(row["objective"])
    learned = {one["policy"] for one in meta["policies"] if one["kind"] == "learned"}
    order = sorted(values, key=lambda policy: float(np.mean(values[policy])))
    best = next(policy for policy in order if policy not in learned)
    rows = []
    for policy in order:
        mean = mean_ci(values[policy])
        ratio = mean_ci(list(100.0 * (np.array(values[policy]) / np.array(values[best]) - 1.0)))
        change = "-" if policy == best else f"{ratio.estimate:+.1f} [{ratio.low:+.1f}, {ratio.high:+.1f}]"
        rows.append([f"`{policy}`", f"{mean.estimate:.1f} [{mean.low:.1f}, {mean.high:.1f}]", change])
    valid = sum(row["valid"] for row in document["rows"])
    header = ("policy", f"{meta['objective']}, {meta['unit']}", f"against `{best}`, %")
    note = (
        f"Means [95 % bootstrap interval over instances], paired; {valid} of {len(document['rows'])} schedules accepted by the "
        f"validator. `{meta['command']}`, commit {meta['commit']}, {meta['machine']['cpu_count']} cores."
    )
    return f"{table(header, rows)}\n\n{note}"


def rules(family: str, mode: str = "") -> str:
    """A family's rules with their sources: those at home where all are, or those made for another mode."""
    rows = (
        [f"`{name}`", rule.description, rule.citation]
        for name, rule in rules_of(family).items()
        if (rule.mode or "") == mode
    )
    return table(("rule", "serves first", "source"), rows)


def solvers(family: str) -> str:
    """A family's solvers, and its policies that are no rules, with their sources."""
    entries = [*policies_of(family).items(), *solvers_of(family).items()]
    return table(("solver", "source"), ([f"`{name}`", entry.citation] for name, entry in entries))


def generators(env_id: str) -> str:
    """The generators of an environment's family with their parameters."""
    rows = []
    family = get_family(env_id)
    for name in family.generators:
        generator = family.make_generator(name)
        parameters = inspect.signature(type(generator)).parameters
        shown = (
            f"{key}={getattr(generator, key)!r}"
            for key, value in parameters.items()
            if not key.startswith("_")
        )
        first = (inspect.getdoc(type(generator)) or "").partition("\n")[0]
        rows.append([f"`{name}`", first, ", ".join(f"`{one}`" for one in shown) or "none"])
    return table(("generator", "draws", "parameters and defaults"), rows)


def instance_sets(env_id: str) -> str:
    """The literature's sets of an environment's family, and how many of their members are solved."""
    rows, family = [], get_family(env_id)
    sources: set[str] = set()
    for name, members in family.instance_sets.items():
        if re.search(r"\dx\d", name):  # a size group within a set
            continue
        bounds = [family.best_known(one) for member in members for one in family.find_instances(member)]
        sources |= {bound.source for bound in bounds if bound is not None}
        known = sum(bound is not None for bound in bounds)
        proved = sum(bound is not None and bound.proved for bound in bounds)
        rows.append(
            [f"`{name}`", str(len(members)), f"{members[0]} ... {members[-1]}", str(known), str(proved)]
        )
    header = ("set", "instances", "names", "with published bounds", "of these proved optimal")
    return f"{table(header, rows)}\n\nBounds: {'; '.join(sorted(sources))}."


def text_formats() -> str:
    """The table of formats in the reader's docstring."""
    lines = (formats.__doc__ or "").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def graph(env_id: str, *keywords: str) -> str:
    """The decision graph of an environment made with keywords (name, value, name ...): node and edge types, every column."""
    schema = _schema(env_id, dict(zip(keywords[::2], keywords[1::2], strict=True)))
    nodes = (
        [f"`{n.name}`", n.level, f"`{n.parent}`" if n.parent else "", str(len(n.features))]
        for n in schema.nodes
    )
    edges = (
        [
            f"`{e.name}`",
            f"{e.source} → {e.target}",
            str(len(e.features)),
            "yes" if e.acyclic else "no",
            "static" if e.static else "dynamic",
        ]
        for e in schema.edges
    )
    points_at = ", ".join(f"`{name}`" for name in schema.candidates.points_at)
    return "\n\n".join(
        (
            table(("nodes", "level", "parent", "columns"), nodes),
            table(("edges", "from → to", "columns", "acyclic", "within an episode"), edges),
            f"A candidate points at (columns of `candidate_index`): {points_at}.",
            schema.to_markdown().strip(),
        )
    )


PARTS: Final[dict[str, Callable[..., str]]] = {
    "environments": environments,
    "presets": presets,
    "results-jobshop": results_jobshop,
    "results-quickstart": results_quickstart,
    "results-ppo": results_ppo,
    "results-solvers": results_solvers,
    "results-speed": results_speed,
    "results-flexible": results_flexible,
    "results-minimalloc": results_minimalloc,
    "results-guillotine": results_guillotine,
    "results-mapping": results_mapping,
    "speed": speed,
    "results-objective": results_objective,
    "rules": rules,
    "solvers": solvers,
    "generators": generators,
    "instance-sets": instance_sets,
    "jobshop-formats": text_formats,
    "graph": graph,
}


def render(page: str) -> str:
    """The text of a page with its rendered parts renewed."""
    for entry in ENVIRONMENTS:
        get_family(entry.id)  # registers rules and solvers

    def fill(match: re.Match[str]) -> str:
        arguments = match["arguments"].split()
        return f"{match[1]}{PARTS[match['name']](*arguments)}\n<!-- end -->"

    return _PART.sub(fill, page)


def main() -> None:
    """Rewrite the pages in place."""
    for name in PAGES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        rendered = render(text)
        if rendered != text:
            path.write_text(rendered, encoding="utf-8")
            sys.stdout.write(f"rendered {name}\n")


def _first_clause(docstring: str, heading: str) -> str:
    """The first sentence (or what comes before its colon) under a heading of an environment's docstring."""
    match = re.search(rf"## {heading}\n(.*?)(\n\n|\Z)", docstring, re.DOTALL)
    if match is None:
        raise ValueError(f"no heading {heading!r} in the docstring")
    text = " ".join(match[1].split())
    return re.split(r"(?<=[^.])\.(?= |$)|;", text, maxsplit=1)[0]


def _schema(env_id: str, keywords: Mapping[str, Any]) -> GraphSchema:
    env = gymnasium.make(env_id, **keywords)
    schema: GraphSchema = env.unwrapped.schema  # type: ignore[attr-defined]
    env.close()
    return schema


if __name__ == "__main__":
    main()
