"""Fill the rendered parts of the documentation from the package: `python docs/render.py`.

A rendered part stands between `<!-- rendered: NAME ARGUMENT ... -->` and `<!-- end -->`; whatever is between them is
replaced. So features, rules, solvers, generators, instance sets and ids are documented once, where they are defined.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import gymnasium
import results_tables as results
from results_summary import summary
from results_tables import table

from makespan.agents.config import ShapeConfig, TrainConfig, preset_names, preset_text
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.policy import policies_of, rules_of, solvers_of
from makespan.envs.jobshop import formats
from makespan.envs.registration import AGENT_ENVIRONMENTS, ENVIRONMENTS, get_family

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
_PART: Final = re.compile(
    r"(<!-- rendered: (?P<name>[\w-]+)(?P<arguments>( [\w/.=,*\[\]-]+)*) -->\n).*?(<!-- end -->)", re.DOTALL
)


def environments(*ids: str) -> str:
    """Ids (default: all) with what they show, let do and pay, from the environments' docstrings."""
    rows = []
    for entry in (entry for entry in ENVIRONMENTS if not ids or entry.id in ids):
        module, _, attribute = entry.entry_point.partition(":")
        text = inspect.getdoc(getattr(import_module(module), attribute)) or ""
        headings = ("Observation Space", "Action Space", "Rewards")
        rows.append([f"`{entry.id}`", *(_first_clause(text, heading) for heading in headings)])
    return table(("id", "observation", "action", "reward"), rows)


def agent_environments() -> str:
    """PettingZoo ids with the function that makes each, and what its agents are."""
    rows = []
    for kind, env_id, entry_point in AGENT_ENVIRONMENTS:
        module, _, function = entry_point.partition(":")
        env = getattr(import_module(module), function)()
        first = (inspect.getdoc(type(env.unwrapped)) or "").partition("\n\n")[0]
        rows.append([f"`{env_id}`", kind, f"`{module}.{function}()`", " ".join(first.split())])
    return table(("id", "kind", "function", "what it is"), rows)


def presets() -> str:
    """Presets of `makespan train` with the first line of their comment."""
    rows = ([f"`{name}`", preset_text(name).partition("\n")[0].lstrip("# ")] for name in preset_names())
    return table(("preset", "what it trains"), rows)


def config_keys() -> str:
    """Every key of a preset with its default, from the docstrings of the config's classes."""
    parts = [_keys("", TrainConfig)]
    for one in fields(TrainConfig):
        if is_dataclass(one.default_factory):
            parts.append(_keys(f"{one.name}.", one.default_factory))
    parts.append(_keys("shapes[].", ShapeConfig))
    return "\n\n".join(parts)


def _keys(prefix: str, section: Any) -> str:
    """A table of one section's keys."""
    text = inspect.getdoc(section) or ""
    meanings = dict(
        re.findall(r"^    (\w+): ((?:.+\n?)(?:^      .+\n?)*)", text.partition("Attributes:\n")[2], re.M)
    )
    rows = []
    for one in fields(section):
        if is_dataclass(one.default_factory):
            continue
        default = one.default if one.default is not MISSING else one.default_factory
        shown = (
            "required"
            if default is MISSING
            else ""
            if callable(default) or default in ((), "")
            else f"`{default}`"
        )
        rows.append([f"`{prefix}{one.name}`", shown, " ".join(meanings[one.name].split())])
    return table(("key", "default", "meaning"), rows)


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
    values = (int(value) if value.isdecimal() else value for value in keywords[1::2])
    schema = _schema(env_id, dict(zip(keywords[::2], values, strict=True)))
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
    "agent-environments": agent_environments,
    "presets": presets,
    "config": config_keys,
    "results-summary": summary,
    "results-jobshop": results.jobshop,
    "results-quickstart": results.quickstart,
    "results-ppo": results.ppo,
    "results-solvers": results.solvers,
    "results-speed": results.speed,
    "results-durations": results.durations,
    "results-flexible": results.flexible,
    "results-minimalloc": results.minimalloc,
    "results-gap": results.gap,
    "results-across": results.across,
    "results-mapping": results.mapping,
    "results-pairs": results.pairs,
    "results-objective": results.objective,
    "results-total": results.total,
    "results-seeds": results.seeds,
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
