"""What an evaluation leaves behind: rows, their summary, and the files they are written to."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.agents import statistics
from makespan.agents.contenders import Kind
from makespan.agents.statistics import Interval
from makespan.envs.core.family import Family
from makespan.envs.core.files import write_atomically
from makespan.envs.core.schedule import Schedule

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
EVERYTHING: Final = "all"  # the group of all instances


@dataclass(frozen=True, slots=True)
class Row:
    """One policy on one instance.

    Attributes:
        env: Environment id.
        policy: The policy as it was asked for.
        instance: Instance name, unique within the evaluation.
        seed: Of the instance if it was generated (`reset(seed=...)` draws it again), else of the evaluation.
        objective: As the validator recomputed it; for a refused schedule what was claimed, None if nothing
            was.
        unit: Unit of the objective.
        best_known: Best published objective, None if there is none.
        gap_pct: 100 (objective / reference - 1), or 100 (1 - objective / reference) where the objective is
            maximised; None if invalid or without a positive reference; `meta["instances"]` names the reference.
        bound: Tightest bound known on the optimum (lower, or upper where the objective is maximised): published,
            quick, or proved by a solver of this evaluation.
        decisions: Decisions taken in the episode of this schedule; None for a solver.
        seconds: Wall-clock seconds; a batch's time is shared out evenly, best-of-N counts all N.
        valid: Whether the independent validator accepts the schedule with the objective that was claimed.
    """

    env: str
    policy: str
    instance: str
    seed: int
    objective: float | None
    unit: str
    best_known: float | None
    gap_pct: float | None
    bound: float | None
    decisions: int | None
    seconds: float
    valid: bool


@dataclass(frozen=True, slots=True)
class PolicyInfo:
    """What a policy of an evaluation is."""

    policy: str
    kind: Kind
    samples: int
    mode: str | None


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """An instance of an evaluation: its group and what gaps are measured against.

    `reference_kind` is "best known" (published), "proved in this run", "lower bound" or "upper bound" (whichever
    the optimum cannot be beyond), which overstates gaps, "best of this run", which understates them, or "none".
    """

    instance: str
    group: str
    reference: float | None
    reference_kind: str


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One policy (or one method with several training runs) on one group of instances.

    Means, intervals and comparisons leave invalid schedules out; `valid` < `runs` x `n` says that there are
    some. All intervals are 95 % bootstrap intervals over instances (over training runs within each instance
    where `runs` > 1), Wilson's for the win rate. The best rule is the one of least mean gap in the group (of best
    mean objective where there are no gaps), registered policies included, among those with as many samples if
    there are any, else among those with one; it is chosen on these very instances, which favours it. A
    negative difference favours the policy.
    """

    policy: str
    kind: str
    group: str
    runs: int
    n: int
    valid: int
    mean_objective: float | None = None
    mean_gap_pct: float | None = None
    gap_low: float | None = None
    gap_high: float | None = None
    iqm_gap_pct: float | None = None
    iqm_low: float | None = None
    iqm_high: float | None = None
    best_rule: str | None = None
    win_rate: float | None = None
    win_rate_low: float | None = None
    win_rate_high: float | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    difference_pct: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    wilcoxon_p: float | None = None
    mean_seconds: float | None = None
    reference: str = ""


@dataclass(frozen=True)
class Evaluation:
    """A finished comparison.

    Attributes:
        rows: One for each policy and instance, policies in the order asked for.
        summary: `summarise(...)` of the rows.
        policies: What the policies are.
        instances: The instances with their references.
        methods: Method name -> the policies that are its training runs.
        meta: Versions, command, seed, machine, source of the bounds: whatever is needed to repeat it.
        schedules: (policy, instance) -> schedule; not written to the JSON, like the two that follow.
        problems: Name -> instance.
        family: Their family, for its pictures.
    """

    rows: tuple[Row, ...]
    summary: tuple[SummaryRow, ...]
    policies: tuple[PolicyInfo, ...]
    instances: tuple[InstanceInfo, ...]
    methods: Mapping[str, tuple[str, ...]]
    meta: Mapping[str, Json]
    schedules: Mapping[tuple[str, str], Schedule] = field(default_factory=dict, repr=False)
    problems: Mapping[str, Any] = field(default_factory=dict, repr=False)
    family: Family | None = field(default=None, repr=False)

    @property
    def groups(self) -> tuple[str, ...]:
        """`all`, and the size groups where there are several, in order of appearance."""
        groups = tuple(dict.fromkeys(info.group for info in self.instances))
        return (EVERYTHING, *groups) if len(groups) > 1 else (EVERYTHING,)

    @property
    def maximises(self) -> bool:
        """Whether larger objectives are better."""
        return self.meta.get("sense", "min") == "max"

    def gaps(self, policy: str) -> NDArray[np.float64]:
        """Gap of a policy on each instance (num_instances,), NaN where there is none."""
        by_instance = {row.instance: row.gap_pct for row in self.rows if row.policy == policy}
        values = [by_instance.get(info.instance) for info in self.instances]
        return np.array([math.nan if value is None else value for value in values])

    def summarised(self) -> Evaluation:
        """The same with its summary computed."""
        return replace(self, summary=tuple(summarise(self)))

    def to_json(self) -> str:
        """The document `{"rows": [...], "summary": [...], "meta": {...}}`; missing numbers are null."""
        meta = {
            **self.meta,
            "policies": [asdict(info) for info in self.policies],
            "instances": [asdict(info) for info in self.instances],
            "methods": {name: list(members) for name, members in self.methods.items()},
        }
        document: dict[str, Any] = {
            "rows": list(map(asdict, self.rows)),
            "summary": list(map(asdict, self.summary)),
            "meta": meta,
        }
        return json_lines(document) + "\n"

    def to_csv(self) -> str:
        """The rows as CSV with a header; empty where JSON has null."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, [column.name for column in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.rows)
        return buffer.getvalue()

    def save_json(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON document, whole or not at all."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.to_json())

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as CSV, whole or not at all."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.to_csv())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Evaluation:
        """Read what `save_json` wrote; schedules are not in it."""
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        meta = document["meta"]
        return cls(
            rows=tuple(Row(**row) for row in document["rows"]),
            summary=tuple(SummaryRow(**row) for row in document["summary"]),
            policies=tuple(PolicyInfo(**info) for info in meta.pop("policies")),
            instances=tuple(InstanceInfo(**info) for info in meta.pop("instances")),
            methods={name: tuple(members) for name, members in meta.pop("methods").items()},
            meta=meta,
        )


def summarise(evaluation: Evaluation) -> list[SummaryRow]:
    """One row for each group and policy, then each method that stands for several training runs."""
    summary = []
    for group in evaluation.groups:
        members = [info for info in evaluation.instances if group in (EVERYTHING, info.group)]
        tables = {info.policy: _Table.of(evaluation, (info.policy,), members) for info in evaluation.policies}
        rules = {i.policy: i.samples for i in evaluation.policies if i.kind in ("rule", "policy")}
        for info in evaluation.policies:
            best = _best_rule(tables, rules, info.samples)
            summary.append(_summary_row(info.policy, info.kind, group, tables, tables[info.policy], best))
        samples = {info.policy: info.samples for info in evaluation.policies}
        for method, runs in evaluation.methods.items():
            best = _best_rule(tables, rules, samples[runs[0]])
            table = _Table.of(evaluation, runs, members)
            summary.append(_summary_row(method, "method", group, tables, table, best))
    return summary


@dataclass(frozen=True)
class _Table:
    """Scores (num_runs, num_instances) of the runs of one method, NaN where a schedule is invalid.

    `loss` is the objective, negative where it is maximised: smaller is better.
    """

    objective: NDArray[np.float64]
    gap: NDArray[np.float64]
    loss: NDArray[np.float64]
    seconds: NDArray[np.float64]
    valid: int
    reference: str

    @classmethod
    def of(cls, evaluation: Evaluation, runs: Sequence[str], members: Sequence[InstanceInfo]) -> _Table:
        rows = {(row.policy, row.instance): row for row in evaluation.rows}
        grid = [[rows[run, info.instance] for info in members] for run in runs]
        counts: dict[str, int] = {}
        for info in members:
            counts[info.reference_kind] = counts.get(info.reference_kind, 0) + 1
        objective = np.array(
            [[_number(row.objective if row.valid else None) for row in line] for line in grid]
        )
        return cls(
            objective=objective,
            loss=-objective if evaluation.maximises else objective,
            gap=np.array([[_number(row.gap_pct) for row in line] for line in grid]),
            seconds=np.array([[row.seconds for row in line] for line in grid]),
            valid=sum(row.valid for line in grid for row in line),
            reference=", ".join(f"{kind} ({count})" for kind, count in counts.items()),
        )

    def interval(self, statistic: statistics.Statistic) -> Interval | None:
        """Of the gaps, over the instances on which every run is valid."""
        gap = self.gap[:, np.isfinite(self.gap).all(axis=0)]
        if gap.size == 0:
            return None
        if gap.shape[0] > 1:
            return statistics.stratified_bootstrap_ci(gap, statistic)
        return statistics.bootstrap_ci(gap[0], statistic)


def _best_rule(tables: Mapping[str, _Table], rules: Mapping[str, int], samples: int) -> str | None:
    equal = [rule for rule, count in rules.items() if count == samples]
    rivals = equal or [rule for rule, count in rules.items() if count == 1] or list(rules)
    means = {rule: _mean(tables[rule].gap) for rule in rivals}
    if all(math.isnan(mean) for mean in means.values()):
        means = {rule: _mean(tables[rule].loss) for rule in rivals}
    return min(means, key=lambda rule: (math.isnan(means[rule]), means[rule]), default=None)


def _summary_row(
    policy: str, kind: str, group: str, tables: Mapping[str, _Table], table: _Table, best: str | None
) -> SummaryRow:
    runs, n = table.gap.shape
    gap, middle = table.interval(statistics.mean_of), table.interval(statistics.iqm_of)
    row = SummaryRow(
        policy=policy,
        kind=kind,
        group=group,
        runs=runs,
        n=n,
        valid=table.valid,
        mean_objective=_finite(_mean(table.objective)),
        mean_seconds=_finite(_mean(table.seconds)),
        reference=table.reference,
        best_rule=best,
    )
    if gap is not None and middle is not None:
        row = replace(
            row,
            mean_gap_pct=gap.estimate,
            gap_low=_finite(gap.low),
            gap_high=_finite(gap.high),
            iqm_gap_pct=middle.estimate,
            iqm_low=_finite(middle.low),
            iqm_high=_finite(middle.high),
        )
    if best is None or best == policy:
        return row
    return _compare(row, table, tables[best])


def _compare(row: SummaryRow, table: _Table, rival: _Table) -> SummaryRow:
    """Fill in the paired comparison with the best rule; several runs count by their mean on each instance."""
    by_gap = bool(np.isfinite(rival.gap).any())
    ours = (table.gap if by_gap else table.loss).mean(axis=0)
    theirs = (rival.gap if by_gap else rival.loss)[0]
    both = np.isfinite(ours) & np.isfinite(theirs)
    if not both.any():
        return row
    ours, theirs = ours[both], theirs[both]
    outcome = statistics.win_tie_loss(ours, theirs)
    rate = statistics.paired_win_rate(ours, theirs)
    row = replace(
        row,
        win_rate=rate.estimate,
        win_rate_low=rate.low,
        win_rate_high=rate.high,
        wins=outcome.wins,
        ties=outcome.ties,
        losses=outcome.losses,
        wilcoxon_p=statistics.wilcoxon_p(ours, theirs),
    )
    if not by_gap:
        return row
    difference = statistics.paired_difference(ours, theirs)
    return replace(
        row,
        difference_pct=difference.estimate,
        difference_low=_finite(difference.low),
        difference_high=_finite(difference.high),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _mean(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def json_lines(value: Json) -> str:
    """JSON with a line for each key of a mapping that holds more mappings, and for each of these."""
    if isinstance(value, Mapping) and any(isinstance(one, list | dict) for one in value.values()):
        return (
            "{\n" + ",\n".join(f"{json.dumps(key)}: {json_lines(one)}" for key, one in value.items()) + "\n}"
        )
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "[\n" + ",\n".join(json.dumps(one, allow_nan=False) for one in value) + "\n]"
    return json.dumps(value, allow_nan=False)
