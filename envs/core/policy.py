"""Who decides: the `Policy` and `Solver` protocols, and the registry of rules, policies and solvers.

A *rule* is a NumPy function of the decision graph: it returns a priority for every candidate, and the smallest
allowed one is served (ties go to the lower candidate). A *solver* works on the instance as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.graph import CandidateView, GraphSchema, Observation
from makespan.envs.core.schedule import Schedule

Actions = NDArray[np.int64]
Priority = Callable[[CandidateView], NDArray[np.float64]]
Status = Literal["optimal", "feasible", "unknown"]


@runtime_checkable
class Policy(Protocol):
    """Chooses a candidate in each decision graph of a batch."""

    def act(self, observation: Observation) -> Actions:
        """Candidate indices (B,) for a batch of observations (leading axis B)."""
        ...


@runtime_checkable
class PlanningPolicy(Policy, Protocol):
    """A policy that looks at the whole instance when an episode starts; reports name what it sees beyond the graph."""

    def begin(self, instances: Sequence[Any], slots: NDArray[np.int64]) -> None:
        """Plan for `instances`, which start anew in the vector environment's `slots`."""
        ...


@dataclass(frozen=True)
class Solution:
    """What a solver found: the schedule, its objective, a proved bound on the optimum (None if it proves none), the status."""

    schedule: Schedule
    objective: float
    bound: float | None
    status: Status


@runtime_checkable
class Solver(Protocol):
    """Solves an instance as a whole."""

    def solve(self, instance: Any, time_limit_s: float, seed: int = 0) -> Solution:
        """The best solution found within `time_limit_s` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """A dispatching rule: `priority` gives (B, A), the smallest allowed candidate is served.

    Ties go to the smallest `tie_break` where the family gives one, then to the lower candidate. `mode` is the mode of the
    environment (`Family.mode`) in which the rule is at home, where that is not the one of the family's rules.
    """

    family: str
    name: str
    citation: str
    priority: Priority
    tie_break: Priority | None = None
    mode: str | None = None

    @property
    def description(self) -> str:
        """First line of the priority's docstring."""
        return (self.priority.__doc__ or "").partition("\n")[0]


@dataclass(frozen=True, slots=True)
class SolverEntry:
    """A solver, imported only when it is asked for. `entry_point` is "module:Class"."""

    family: str
    name: str
    citation: str
    entry_point: str

    def load(self, **options: Any) -> Solver:
        """The solver, built with its own options."""
        module, _, attribute = self.entry_point.partition(":")
        solver: Solver = getattr(import_module(module), attribute)(**options)
        return solver


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """A policy that is more than a rule (it plans, searches or remembers), imported only when it is asked for.

    `entry_point` is "module:Class"; the class is made with the schema and a seed, and is a `Policy` or `PlanningPolicy`.
    `mode` is as in `Rule`. `needs` are keywords of the environment without which it cannot act: for each the option of the
    policy that gives it its value, and the option's default.
    """

    family: str
    name: str
    citation: str
    entry_point: str
    mode: str | None = None
    needs: Mapping[str, tuple[str, Any]] = field(default_factory=dict)

    def environment(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The keywords it needs the environment to be made with, given its own options."""
        return {key: options.get(option, default) for key, (option, default) in self.needs.items()}

    def load(self, schema: GraphSchema, seed: int = 0, **options: Any) -> Policy:
        """The policy on decision graphs of `schema`, built with its own options."""
        module, _, attribute = self.entry_point.partition(":")
        policy: Policy = getattr(import_module(module), attribute)(schema, seed=seed, **options)
        return policy


_RULES: Final[dict[tuple[str, str], Rule]] = {}
_SOLVERS: Final[dict[tuple[str, str], SolverEntry]] = {}
_POLICIES: Final[dict[tuple[str, str], PolicyEntry]] = {}
_LAST: Final = float(np.finfo(np.float64).max)  # behind every real priority, before what the mask forbids


def rule(
    family: str, name: str, citation: str, tie_break: Priority | None = None, mode: str | None = None
) -> Callable[[Priority], Priority]:
    """Register the decorated priority function as a rule of `family`; see `Rule`."""

    def register(priority: Priority) -> Priority:
        _RULES[family, name] = Rule(family, name, citation, priority, tie_break, mode)
        return priority

    return register


def register_solver(family: str, name: str, citation: str, entry_point: str) -> None:
    """Register a solver of `family` under a name."""
    _SOLVERS[family, name] = SolverEntry(family, name, citation, entry_point)


def register_policy(
    family: str,
    name: str,
    citation: str,
    entry_point: str,
    mode: str | None = None,
    needs: Mapping[str, tuple[str, Any]] | None = None,
) -> None:
    """Register a policy of `family` under a name; see `PolicyEntry`."""
    _POLICIES[family, name] = PolicyEntry(family, name, citation, entry_point, mode, needs or {})


def policies_of(family: str) -> dict[str, PolicyEntry]:
    """All policies of a family that are no rules, by name."""
    return {name: entry for (owner, name), entry in _POLICIES.items() if owner == family}


def rules_of(family: str) -> dict[str, Rule]:
    """All rules of a family by name."""
    return {name: entry for (owner, name), entry in _RULES.items() if owner == family}


def solvers_of(family: str) -> dict[str, SolverEntry]:
    """All solvers of a family by name."""
    return {name: entry for (owner, name), entry in _SOLVERS.items() if owner == family}


def get_rule(family: str, name: str) -> Rule:
    """The rule of that name; unknown names raise `UnknownNameError`."""
    known = rules_of(family)
    if name not in known:
        raise UnknownNameError(f"{family} rule", name, known)
    return known[name]


class RulePolicy:
    """A rule at work, with optional log-normal noise on its priorities.

    With `noise` sigma > 0 each priority is multiplied by exp(sigma N(0, 1)): the randomised rule whose best of N samples is
    the fair opponent of a sampled network. Candidates that concern no node (a wait) are served only when nothing else is.
    """

    def __init__(self, rule: Rule, schema: GraphSchema, *, noise: float = 0.0, seed: int = 0) -> None:
        self.rule = rule
        self.schema = schema
        self.noise = noise
        self.rng = np.random.default_rng(seed)

    def act(self, observation: Observation) -> Actions:
        """The allowed candidate of smallest priority (B,)."""
        view = CandidateView(self.schema, observation)
        priority = self.rule.priority(view)
        if self.noise > 0.0:
            priority = priority * np.exp(self.noise * self.rng.standard_normal(priority.shape))
        priority = np.where(view.mask, priority, np.inf)
        idle = view.mask & (view.index[..., 0] < 0)
        if idle.any():
            idle &= (view.index < 0).all(axis=-1)
            priority[idle] = _LAST
        if self.rule.tie_break is None:
            return priority.argmin(axis=-1)
        tied = priority == priority.min(axis=-1, keepdims=True)
        actions = tied.argmax(axis=-1)
        rows = np.flatnonzero(tied.sum(axis=-1) > 1)
        if rows.size:
            later = self.rule.tie_break(CandidateView(self.schema, _rows(observation, rows)))
            actions[rows] = np.where(tied[rows], later, np.inf).argmin(axis=-1)
        return actions


def _rows(observation: Observation, rows: NDArray[np.int64]) -> Observation:
    """The candidates of some rows of a batch, which is all that a tie break looks at."""
    return {key: observation[key][rows] for key in ("candidate_x", "candidate_index", "action_mask")}


class RandomPolicy:
    """Uniform over the allowed candidates, from its own generator."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def act(self, observation: Observation) -> Actions:
        """A random allowed candidate in each decision graph."""
        mask = observation["action_mask"] > 0
        return np.where(mask, self.rng.random(mask.shape), -1.0).argmax(axis=-1)


def rule_policy(
    family: str, name: str, schema: GraphSchema, *, noise: float = 0.0, seed: int = 0
) -> RulePolicy | RandomPolicy:
    """The policy of a rule by name; "random" is the uniform one."""
    if name == "random":
        return RandomPolicy(seed)
    return RulePolicy(get_rule(family, name), schema, noise=noise, seed=seed)
