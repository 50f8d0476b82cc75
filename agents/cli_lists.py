"""What `makespan list` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from makespan.envs.core.family import Family
from makespan.envs.registration import AGENT_ENVIRONMENTS, PLAIN_ENVIRONMENTS, env_ids, get_family

Rows = Iterator[tuple[str, str]]


def _families() -> list[Family]:
    """Every family once; loading them registers their rules and solvers."""
    families = {family.name: family for family in map(get_family, env_ids())}
    return list(families.values())


def environments(full: bool) -> Rows:
    """Ids with family and objective."""
    for env_id in env_ids():
        family = get_family(env_id)
        yield env_id, f"{family.name}, {family.sense}imises the {family.objective} ({family.unit})"
    for env_id, _ in PLAIN_ENVIRONMENTS:
        yield env_id, "Gymnasium, actions are no candidates"
    for kind, env_id, _ in AGENT_ENVIRONMENTS:
        yield env_id, f"PettingZoo, {kind}"


def rules(full: bool) -> Rows:
    """Dispatching rules with their sources."""
    from makespan.envs.core.policy import rules_of

    for family in _families():
        for name, rule in rules_of(family.name).items():
            meaning = (rule.priority.__doc__ or "").strip().partition("\n")[0]
            yield name, f"{family.name}: {meaning} {rule.citation}".strip()


def policies(full: bool) -> Rows:
    """Policies that are no rules, with their sources."""
    from makespan.envs.core.policy import policies_of

    for family in _families():
        for name, policy in policies_of(family.name).items():
            yield name, f"{family.name}: {policy.citation}"


def solvers(full: bool) -> Rows:
    """Solvers with their sources."""
    from makespan.envs.core.policy import solvers_of

    for family in _families():
        for name, solver in solvers_of(family.name).items():
            yield name, f"{family.name}: {solver.citation}"


def instances(full: bool) -> Rows:
    """Instance sets; in full, with the names of their members."""
    for family in _families():
        for name, members in family.instance_sets.items():
            few = ", ".join(members) if full or len(members) < 3 else f"{members[0]} ... {members[-1]}"
            yield name, f"{len(members)}: {few}"


def presets(full: bool) -> Rows:
    """Configs of `makespan train`, with the first line of their comment."""
    from makespan.agents.config import preset_names, preset_text

    for name in preset_names():
        first = preset_text(name).partition("\n")[0]
        yield name, first.removeprefix("#").strip() if first.startswith("#") else ""


def pretrained(full: bool) -> Rows:
    """Shipped checkpoints."""
    from makespan.agents.checkpoint import pretrained_names

    for name in pretrained_names():
        yield name, ""


LISTINGS: Final[dict[str, Callable[[bool], Rows]]] = {
    "envs": environments,
    "rules": rules,
    "policies": policies,
    "solvers": solvers,
    "instances": instances,
    "presets": presets,
    "pretrained": pretrained,
}
