"""Who is compared: policies as they are named on the command line, and how to set them to work.

spt                        a dispatching rule, in the mode where the family's rules are at home
spt_twkr@active            the same in another mode of the environment
spt_twkr*128               the best of 128 schedules: the rule itself and 127 with noise on its priorities
random  portfolio          uniform choice; the best schedule of all rules
planner[horizon=5]         a registered policy that plans, searches or remembers, with its options, some of which may be
                           keywords of the environment that it acts in; `*N` with N seeds
runs/x  pretrained         a trained policy, with the environment's options it was trained with
pretrained/soc_soc16       one that ships under a name of its own, beside the environment's
runs/x*32                  the best of 32 schedules: the greedy one and 31 samples at the tuned temperature
runs/x[temperature=0.1]*32 the same at another temperature
runs/x[search=tree,simulations=16]   tree search that it guides; [search=beam,width=8] a beam, [search=climb] a local
                           search from its samples (makespan.agents.guided)
cp_sat[time_limit=10]      a solver with its options
gnn=runs/a+runs/b+runs/c   several training runs of one method, listed one by one and summarised as `gnn`
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from makespan.envs.core.errors import MakespanError, UnknownNameError
from makespan.envs.core.family import Family
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.policy import (
    Policy,
    PolicyEntry,
    RandomPolicy,
    Rule,
    RulePolicy,
    get_rule,
    policies_of,
    rules_of,
    solvers_of,
)

NOISE: Final = 0.2  # sigma of the log-normal noise on a rule's priorities in best-of-N
PRETRAINED: Final = "pretrained"
SEARCHES: Final = ("beam", "tree", "climb")  # that a trained policy can guide

Kind = Literal["rule", "random", "portfolio", "policy", "learned", "solver"]
OptionValue = str | int | float | bool | None
MakePolicy = Callable[[GraphSchema, bool, int], Policy]  # (schema, greedy, seed)

_GRAMMAR: Final = re.compile(
    r"(?P<name>[^\[\]@*+=]+)(\[(?P<options>[^\[\]]*)\])?(@(?P<mode>[A-Za-z0-9_]+))?(\*(?P<samples>[0-9]+))?"
)


class PolicySpecError(MakespanError, ValueError):
    """A policy string that cannot be read; the message says what was expected."""


class PolicyFactory(Protocol):
    """A trained policy, ready to be set to work on instances of any size."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Keywords of the environment it was trained in."""
        ...

    @property
    def temperature(self) -> float:
        """Of its samples, as tuned."""
        ...

    def network(self, schema: GraphSchema) -> Any:
        """What guides a search on decision graphs of `schema`."""
        ...

    def build(
        self, schema: GraphSchema, *, greedy: bool, seed: int, temperature: float | None = None
    ) -> Policy:
        """The policy on decision graphs of `schema`, greedy or sampling, by default at its tuned temperature."""
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
        mode: Mode of the environment, None for the default of its kind.
        options: Of a solver, a registered policy, a trained one's samples, or the search that it guides.
    """

    text: str
    kind: Kind
    name: str
    samples: int = 1
    mode: str | None = None
    options: tuple[tuple[str, OptionValue], ...] = ()

    @property
    def search(self) -> OptionValue:
        """The search that a trained policy guides, None if there is none."""
        return dict(self.options).get("search") if self.kind == "learned" else None


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy that acts in environments, ready to roll.

    Attributes:
        spec: How it was asked for.
        options: Keywords to make the environment with.
        makers: One for each policy it takes the best of: a single one, but for a portfolio.
        factory: The trained policy, None for all others.
    """

    spec: PolicySpec
    options: Mapping[str, Any]
    makers: tuple[MakePolicy, ...]
    factory: PolicyFactory | None = None


def parse_policy(text: str, family: str) -> PolicySpec:
    """Read one policy string `name[options]@mode*samples`.

    Args:
        text: The string; see the module's docstring.
        family: Family whose rules and solvers are meant.

    Raises:
        PolicySpecError: The string is malformed, or asks a solver for samples or a mode.
        UnknownNameError: No rule, solver, registered policy or run folder has that name; the message names the nearest.
    """
    match = _GRAMMAR.fullmatch(text.strip())
    if match is None:
        raise PolicySpecError(f"policy {text!r}; expected name[option=value,...]@mode*samples")
    name = match["name"].strip()
    kind = _kind_of(name, family)
    options = _read_options(text, match["options"])
    samples = int(match["samples"] or 1)
    if samples < 1:
        raise PolicySpecError(f"policy {text!r}: {samples} samples; expected at least 1")
    if kind == "solver" and (match["mode"] or match["samples"]):
        raise PolicySpecError(f"policy {text!r}: a solver takes neither a mode nor samples")
    if kind == "portfolio" and match["samples"]:
        raise PolicySpecError(f"policy {text!r}: a portfolio has one schedule for each rule, no samples")
    if kind not in ("solver", "policy", "learned") and match["options"] is not None:
        raise PolicySpecError(
            f"policy {text!r}: only solvers, registered policies and trained ones take options"
        )
    if kind == "learned" and match["options"] is not None:
        _check_learned(text, dict(options), sampled=match["samples"] is not None)
    return PolicySpec(text.strip(), kind, name, samples, match["mode"], options)


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
    spec: PolicySpec,
    family: Family,
    env_id: str,
    load_policy: LoadPolicy | None = None,
    options: Mapping[str, Any] | None = None,
) -> Contender:
    """Set a policy that acts in environments to work.

    Args:
        spec: The policy.
        family: Its family.
        env_id: Where it acts.
        load_policy: Finds trained policies.
        options: Keywords of the environment for every contender; what a policy was trained with and a mode that was
            asked for come first, a rule's own mode last.

    Raises:
        PolicySpecError: There is no `load_policy` to find it, or the family has no modes.
    """
    asked: dict[str, Any] = {}
    if spec.mode is not None:
        if family.mode is None:
            raise PolicySpecError(f"policy {spec.text!r}: {family.name} environments have no modes")
        asked[family.mode] = spec.mode
    given = dict(options or {})
    if spec.kind == "learned":
        if load_policy is None:
            raise PolicySpecError(f"policy {spec.text!r}: trained policies need a `load_policy` function")
        factory = load_policy(spec.name, env_id)
        return Contender(
            spec, {**given, **factory.options, **asked}, (_learned_maker(spec, factory),), factory
        )
    own, home = _own_mode(spec, family.name), family.rule_mode
    if family.mode is not None and own is not None:
        given[family.mode] = own
    if spec.kind == "policy":
        given |= policies_of(family.name)[spec.name].environment(dict(spec.options))
    first = {} if family.mode is None or home is None else {family.mode: home}
    return Contender(spec, {**first, **given, **asked}, tuple(_makers(spec, family.name)))


def _own_mode(spec: PolicySpec, family: str) -> str | None:
    """The mode that a rule or registered policy was made for, if it was for one."""
    known: Mapping[str, Rule | PolicyEntry] = rules_of(family) if spec.kind == "rule" else policies_of(family)
    return known[spec.name].mode if spec.name in known else None


def _makers(spec: PolicySpec, family: str) -> list[MakePolicy]:
    """How to make what needs no training; several for a portfolio."""
    if spec.kind == "random":
        return [lambda schema, greedy, seed: RandomPolicy(seed)]
    if spec.kind == "policy":
        return [_policy_maker(spec, policies_of(family)[spec.name])]
    if spec.kind == "portfolio":
        names = sorted(name for name, entry in rules_of(family).items() if entry.mode is None)
    else:
        names = [spec.name]
    return [_rule_maker(family, name) for name in names]


def _policy_maker(spec: PolicySpec, entry: PolicyEntry) -> MakePolicy:
    options = dict(spec.options)

    def make(schema: GraphSchema, greedy: bool, seed: int) -> Policy:
        try:
            return entry.load(schema, seed=seed, **options)
        except (TypeError, ValueError, ImportError) as error:
            raise PolicySpecError(f"policy {spec.text!r}: {error}") from error

    return make


def _rule_maker(family: str, name: str) -> MakePolicy:
    rule = get_rule(family, name)

    def make(schema: GraphSchema, greedy: bool, seed: int) -> Policy:
        return RulePolicy(rule, schema, noise=0.0 if greedy else NOISE, seed=seed)

    return make


def _learned_maker(spec: PolicySpec, factory: PolicyFactory) -> MakePolicy:
    temperature: Any = dict(spec.options).get("temperature")

    def make(schema: GraphSchema, greedy: bool, seed: int) -> Policy:
        return factory.build(schema, greedy=greedy, seed=seed, temperature=temperature)

    return make


def _kind_of(name: str, family: str) -> Kind:
    if name in rules_of(family):
        return "rule"
    if name in solvers_of(family):
        return "solver"
    if name in policies_of(family):
        return "policy"
    if name == "random":
        return "random"
    if name == "portfolio":
        return "portfolio"
    if name.partition("/")[0] == PRETRAINED or Path(name).exists():
        return "learned"
    known = [*rules_of(family), *solvers_of(family), *policies_of(family), "random", "portfolio", PRETRAINED]
    parent = Path(name).parent
    if "/" in name and parent.is_dir():
        known = [str(neighbour) for neighbour in parent.iterdir()]
    raise UnknownNameError("policy", name, known)


def _check_learned(text: str, options: Mapping[str, OptionValue], *, sampled: bool) -> None:
    """Refuse options of a trained policy that are neither those of a search nor the temperature of its samples."""
    if options.get("search") in SEARCHES:
        if sampled:
            raise PolicySpecError(f"policy {text!r}: a search takes no samples")
        return
    if set(options) != {"temperature"}:
        raise PolicySpecError(
            f"policy {text!r}: options of a trained policy are its temperature or those of a search; "
            f"expected temperature=NUMBER or search={'|'.join(SEARCHES)}"
        )
    temperature = options["temperature"]
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not temperature > 0:
        raise PolicySpecError(f"policy {text!r}: temperature {temperature!r}; expected more than 0")


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
