"""Who is compared: policies as they are named on the command line, and how to set them to work.

spt                        a dispatching rule, in the non-delay schedule mode
spt_twkr@active            the same in another schedule mode
spt_twkr*128               the best of 128 schedules: the rule itself and 127 with noise on its priorities
random  portfolio          uniform choice; the best schedule of all rules
runs/x  pretrained         a trained policy, in the schedule mode it was trained in
runs/x*32                  the best of 32 schedules: the greedy one and 31 samples at the tuned temperature
cp_sat[time_limit=10]      a solver with its options
gnn=runs/a+runs/b+runs/c   several training runs of one method, listed one by one and summarised as `gnn`
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from makespan.envs.core.errors import MakespanError, UnknownNameError
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.policy import Policy, RandomPolicy, RulePolicy, get_rule, rules_of, solvers_of

NOISE: Final = 0.2  # sigma of the log-normal noise on a rule's priorities in best-of-N
DEFAULT_SGS: Final[Mapping[str, str]] = {
    "jobshop": "non_delay"
}  # a rule's schedule mode, where a family has any
PRETRAINED: Final = "pretrained"

Kind = Literal["rule", "random", "portfolio", "learned", "solver"]
OptionValue = str | int | float | bool | None
MakePolicy = Callable[[GraphSchema, bool, int], Policy]  # (schema, greedy, seed)

_GRAMMAR: Final = re.compile(
    r"(?P<name>[^\[\]@*+=]+)(\[(?P<options>[^\[\]]*)\])?(@(?P<sgs>[a-z_]+))?(\*(?P<samples>[0-9]+))?"
)


class PolicySpecError(MakespanError, ValueError):
    """A policy string that cannot be read; the message says what was expected."""


class PolicyFactory(Protocol):
    """A trained policy, ready to be set to work on instances of any size."""

    @property
    def sgs(self) -> str | None:
        """Schedule mode it was trained in; None where the family has none."""
        ...

    def build(self, schema: GraphSchema, *, greedy: bool, seed: int) -> Policy:
        """The policy on decision graphs of `schema`, greedy or sampling at its tuned temperature."""
        ...


class LoadPolicy(Protocol):
    """Finds trained policies."""

    def __call__(self, name: str, env_id: str) -> PolicyFactory:
        """The policy of a run folder or checkpoint, or the `pretrained` one for an environment."""
        ...


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """One policy of a comparison.

    Attributes:
        text: As it was written; the name in every table.
        kind: What it is.
        name: Name of the rule or solver, or the run folder.
        samples: Schedules to take the best of.
        sgs: Schedule mode, None for the default of its kind.
        options: A solver's options.
    """

    text: str
    kind: Kind
    name: str
    samples: int = 1
    sgs: str | None = None
    options: tuple[tuple[str, OptionValue], ...] = ()


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy that acts in environments, ready to roll.

    Attributes:
        spec: How it was asked for.
        sgs: Schedule mode to make the environment in, None for the environment's default.
        makers: One for each policy it takes the best of: a single one, but for a portfolio.
    """

    spec: PolicySpec
    sgs: str | None
    makers: tuple[MakePolicy, ...]


def parse_policy(text: str, family: str) -> PolicySpec:
    """Read one policy string `name[options]@schedule_mode*samples`.

    Args:
        text: The string; see the module's docstring.
        family: Family whose rules and solvers are meant.

    Raises:
        PolicySpecError: The string is malformed, or asks a solver for samples or a schedule mode.
        UnknownNameError: No rule, solver or run folder has that name; the message names the nearest.
    """
    match = _GRAMMAR.fullmatch(text.strip())
    if match is None:
        raise PolicySpecError(f"policy {text!r}; expected name[option=value,...]@schedule_mode*samples")
    name = match["name"].strip()
    kind = _kind_of(name, family)
    options = _read_options(text, match["options"])
    samples = int(match["samples"] or 1)
    if samples < 1:
        raise PolicySpecError(f"policy {text!r}: {samples} samples; expected at least 1")
    if kind == "solver" and (match["sgs"] or match["samples"]):
        raise PolicySpecError(f"policy {text!r}: a solver takes neither a schedule mode nor samples")
    if kind == "portfolio" and match["samples"]:
        raise PolicySpecError(f"policy {text!r}: a portfolio has one schedule for each rule, no samples")
    if kind != "solver" and match["options"] is not None:
        raise PolicySpecError(f"policy {text!r}: only solvers take options")
    return PolicySpec(text.strip(), kind, name, samples, match["sgs"], options)


def parse_policies(
    texts: Sequence[str], family: str
) -> tuple[tuple[PolicySpec, ...], dict[str, tuple[str, ...]]]:
    """Read policy strings, and the methods that several training runs stand for.

    Returns:
        The policies in order, without repetition; and for each `label=a+b+...` its policies' texts.
    """
    specs: dict[str, PolicySpec] = {}
    methods: dict[str, tuple[str, ...]] = {}
    for text in texts:
        bracket = text.find("[")
        label, separator, rest = text.partition("=")
        if not separator or 0 <= bracket < len(label):
            label, rest = "", text
        members = [
            parse_policy(part, family) for part in (rest.split("+") if label or "+" in rest else [rest])
        ]
        specs.update({member.text: member for member in members})
        if label or len(members) > 1:
            methods[label.strip() or text] = tuple(member.text for member in members)
    return tuple(specs.values()), methods


def make_contender(
    spec: PolicySpec, family: str, env_id: str, load_policy: LoadPolicy | None = None
) -> Contender:
    """Set a policy that acts in environments to work; trained ones are loaded with `load_policy`."""
    if spec.kind == "learned":
        if load_policy is None:
            raise PolicySpecError(f"policy {spec.text!r}: trained policies need a `load_policy` function")
        factory = load_policy(spec.name, env_id)
        return Contender(spec, spec.sgs or factory.sgs, (_learned_maker(factory),))
    sgs = spec.sgs or DEFAULT_SGS.get(family)
    if spec.kind == "random":
        return Contender(spec, sgs, (lambda schema, greedy, seed: RandomPolicy(seed),))
    names = sorted(rules_of(family)) if spec.kind == "portfolio" else [spec.name]
    return Contender(spec, sgs, tuple(_rule_maker(family, name) for name in names))


def _rule_maker(family: str, name: str) -> MakePolicy:
    rule = get_rule(family, name)

    def make(schema: GraphSchema, greedy: bool, seed: int) -> Policy:
        return RulePolicy(rule, schema, noise=0.0 if greedy else NOISE, seed=seed)

    return make


def _learned_maker(factory: PolicyFactory) -> MakePolicy:
    def make(schema: GraphSchema, greedy: bool, seed: int) -> Policy:
        return factory.build(schema, greedy=greedy, seed=seed)

    return make


def _kind_of(name: str, family: str) -> Kind:
    if name in rules_of(family):
        return "rule"
    if name in solvers_of(family):
        return "solver"
    if name == "random":
        return "random"
    if name == "portfolio":
        return "portfolio"
    if name == PRETRAINED or Path(name).exists():
        return "learned"
    known = [*rules_of(family), *solvers_of(family), "random", "portfolio", PRETRAINED]
    parent = Path(name).parent
    if "/" in name and parent.is_dir():
        known = [str(neighbour) for neighbour in parent.iterdir()]
    raise UnknownNameError("policy", name, known)


def _read_options(text: str, written: str | None) -> tuple[tuple[str, OptionValue], ...]:
    options: dict[str, OptionValue] = {}
    for part in (written or "").split(","):
        if not part.strip():
            continue
        key, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator or not key.isidentifier() or not value:
            raise PolicySpecError(f"policy {text!r}: option {part.strip()!r}; expected name=value")
        if key in options:
            raise PolicySpecError(f"policy {text!r}: option {key!r} is given twice")
        options[key] = _read_value(value)
    return tuple(options.items())


def _read_value(written: str) -> OptionValue:
    named: dict[str, OptionValue] = {"true": True, "false": False, "none": None}
    if written.lower() in named:
        return named[written.lower()]
    try:
        value = ast.literal_eval(written)
    except (ValueError, SyntaxError):
        return written
    return value if isinstance(value, str | int | float) else written
