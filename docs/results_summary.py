"""The summary of results in the README: each agent that ships against the best rule, planner and solver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from results_tables import stored, table

from makespan.agents.statistics import mean_ci

SUMMARY: Final = (
    ("classic job shop", "LA and TA, 120", "", ("jobshop_la_ta",)),
    ("flexible job shop", "mk01-mk10", "", ("flexible_jobshop_mk",)),
    ("blocking job shop", "proved optima, 29", "", ("blocking_proved",)),
    ("dynamic job shop", "90 % utilisation, 100", "", ("dynamic_shop_90",)),
    ("single machine", "n = 20, 400", "", ("tardiness_n20",)),
    ("transfer robots", "limits on stays, 100", "", ("transfer_robot_residency",)),
    ("transfer robots", "two hands, 100", "", ("transfer_robot_dual_arm",)),
    ("transfer robots", "two robots, 100", "", ("transfer_robot_two_robots",)),
    ("tasks on a chip", "three PEs, 75 us, 50", "", ("soc_top_stream_75",)),
    ("tasks on a chip", "the same, 20 % noise, 50", "", ("soc_top_stream_75_noise",)),
    ("tasks on a chip", "sixteen PEs, 50 us, 50", "", ("soc16_mix_50",)),
    ("tasks on a chip", "the same, 20 % noise, 50", "", ("soc16_mix_50_noise",)),
    (
        "memory mapping",
        "programs of unseen models, 70",
        "density",
        (
            *(f"memory_mapping_priority_{group}" for group in range(5)),
            "memory_mapping_orders",
            "memory_mapping_climb",
        ),
    ),
    ("memory allocation", "perfect packings, 10", "", ("memory_allocation_guillotine",)),
    (
        "memory allocation",
        "MiniMalloc A, B, C",
        "",
        ("memory_allocation_minimalloc", "memory_allocation_minimalloc_samples"),
    ),
    ("aircraft fleet", "`base`, 100 days", "", ("fleet_base",)),
    ("aircraft fleet", "`tiny`, 100 days", "", ("fleet_tiny",)),
    ("aircraft fleet", "`busy`, 100 days", "", ("fleet_busy",)),
    ("aircraft fleet", "`large`, untrained, 100 days", "", ("fleet_large",)),
)
"""Problem, instances, the rule to beat ("": the best one), and the stored evaluations."""
TOTALS: Final = frozenset({"total tardiness", "total weighted tardiness", "profit"})
"""Objectives that may be next to nothing on an instance: means are compared, not instances."""


def summary() -> str:
    """The agents that ship against the best rule, planner and solver of each problem, from the stored evaluations."""
    header = (
        *(
            "problem",
            "instances",
            "objective, better is",
            "best rule",
            "agent, one shot",
            "agent, samples or search",
        ),
        *("solver", "agent, one shot, against the best planner"),
    )
    note = (
        "Mean change of the objective against the best rule on the same instances, in the last column against the best planner "
        "(a policy that plans, or plays rules out before it decides), % [95 % bootstrap interval over instances] (of tardiness "
        "and profit, which may be next to nothing: change of the mean); one training seed each. Commands and rows: the families' "
        "pages and `benchmarks/results/`."
    )
    return f"{table(header, [_summary_of(*entry) for entry in SUMMARY])}\n\n{note}"


def _summary_of(problem: str, instances: str, rule: str, names: Sequence[str]) -> list[str]:
    """A row of the summary."""
    documents = [stored(name) for name in names]
    meta = documents[0]["meta"]
    sign = -1.0 if meta.get("sense") == "max" else 1.0
    values: dict[str, dict[str, float]] = {}
    for row in (row for document in documents for row in document["rows"]):
        values.setdefault(row["policy"], {})[row["instance"]] = row["objective"]
    mean = {policy: sign * float(np.mean(list(own.values()))) for policy, own in values.items()}
    best = {"rule": rule} if rule else {}
    for one in (one for document in documents for one in document["meta"]["policies"]):
        policy, kind = one["policy"], one["kind"]
        if one["samples"] > 1 or "search=" in policy:
            kind += ", searching"
        if kind not in best or (mean[policy] < mean[best[kind]] and not (rule and kind == "rule")):
            best[kind] = policy

    def change(kind: str, reference: str, shown: str = "") -> str:
        if kind not in best or reference not in best or best[kind] == best[reference]:
            return "-"
        own, theirs = values[best[kind]], values[best[reference]]
        average = float(np.mean(list(theirs.values())))
        total = meta["objective"] in TOTALS
        parts = [100.0 * (own[name] - base) / (average if total else base) for name, base in theirs.items()]
        interval = mean_ci(parts)
        return f"{shown}{interval.estimate:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]"

    def name_of(kind: str) -> str:
        return f"`{best[kind].replace('pretrained', '')}` " if kind in best else ""

    return [
        *(
            problem,
            instances,
            f"{meta['objective']}, {'higher' if sign < 0 else 'lower'}",
            f"`{best['rule']}`",
        ),
        change("learned", "rule"),
        change("learned, searching", "rule", name_of("learned, searching")),
        change("solver", "rule", name_of("solver")),
        change("learned", "policy", name_of("policy")),
    ]
