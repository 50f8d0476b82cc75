"""The report says what the numbers say, in words and in pictures."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from choice_family import CHOICE, ENV_ID, LARGE, SAME, SMALL

from makespan.agents import plots, report
from makespan.agents.evaluation import evaluate
from makespan.agents.results import Evaluation, InstanceInfo, PolicyInfo, Row, SummaryRow
from makespan.envs.core import gantt
from makespan.envs.core.schedule import Schedule

META = {
    "env": "test/Choice-v0",
    "objective": "cost",
    "unit": "coins",
    "instances_drawn": False,
    "seed": 0,
    "time_limit_s": 10.0,
    "rule_noise_sigma": 0.2,
    "bounds_source": ["table 1"],
    "command": "makespan evaluate --policies net,rule",
    "versions": {"python": "3.11"},
    "machine": {"cpu_count": 2},
    "sees_beyond_the_observation": [],
}


def made_up(gaps, kinds, samples=None, methods=None) -> Evaluation:
    """An evaluation with given gaps (policy -> one for each instance)."""
    count = len(next(iter(gaps.values())))
    infos = tuple(InstanceInfo(f"i{i}", ("a", "b")[i % 2], 100.0, "best known") for i in range(count))
    rows = tuple(
        Row(ENV_ID, policy, f"i{i}", 0, 100.0 + gap, "coins", 100.0, float(gap), 90.0, 5, 0.01, True)
        for policy, values in gaps.items()
        for i, gap in enumerate(values)
    )
    policies = tuple(PolicyInfo(p, kinds[p], (samples or {}).get(p, 1), None) for p in gaps)
    return Evaluation(rows, (), policies, infos, methods or {}, META).summarised()


RULE = np.linspace(5, 25, 40)
NOISE = np.where(np.arange(40) % 2 == 0, 1.0, -1.0)


@pytest.mark.parametrize(
    ("net", "claim"),
    [
        (RULE - 2 + NOISE, "`net` beats the best rule, `rule`"),
        (RULE + 2 + NOISE, "`net` is worse than the best rule, `rule`"),
        (RULE + 3 * NOISE, "`net` does not differ reliably from the best rule, `rule`"),
    ],
)
def test_verdict_follows_the_interval(net, claim):
    """Only an interval of the paired difference on one side of zero is called a win or a defeat."""
    result = made_up({"net": net, "rule": RULE}, {"net": "learned", "rule": "rule"})
    (sentence,) = report.verdicts(result)
    assert sentence.startswith(claim)


def test_verdict_counts_wins():
    """The sentence gives both means, the difference with its interval, and wins, ties and losses."""
    net = np.concatenate([RULE[:30] - 2, RULE[30:35], RULE[35:] + 1])
    result = made_up({"net": net, "rule": RULE}, {"net": "learned", "rule": "rule"})
    (sentence,) = report.verdicts(result)
    assert "13.62 % against 15.00 %, 1.38 points lower" in sentence
    assert "better on 30 of 40 instances, equal on 5 and worse on 5" in sentence
    assert "95 % interval of the difference -1.7" in sentence


def test_unequal_samples_are_named():
    """Best of 128 against a rule's single schedule is said to be no equal comparison."""
    kinds = {"net*128": "learned", "rule": "rule"}
    result = made_up({"net*128": RULE - 3, "rule": RULE}, kinds, {"net*128": 128})
    assert "not an equal one: best of 128 against best of 1" in report.verdicts(result)[0]


def test_one_instance_proves_nothing():
    """Without an interval no claim is made."""
    result = made_up({"net": [1.0], "rule": [9.0]}, {"net": "learned", "rule": "rule"})
    (sentence,) = report.verdicts(result)
    assert "proves nothing" in sentence
    assert "beats" not in sentence


def test_without_rules_nothing_is_beaten():
    """A trained policy alone has beaten nobody."""
    result = made_up({"net": RULE}, {"net": "learned"})
    assert report.verdicts(result) == ["`net` was compared with no rule."]


def test_invalid_schedules_are_in_the_verdict():
    """Refused schedules are announced on top, not only counted in a column."""
    result = made_up({"net": RULE, "rule": RULE}, {"net": "learned", "rule": "rule"})
    broken = dataclasses.replace(result.rows[0], valid=False, gap_pct=None)
    result = dataclasses.replace(result, rows=(broken, *result.rows[1:])).summarised()
    assert "1 schedules of `net` are invalid" in report.verdicts(result)[-1]
    assert "| 39 / 40 |" in report.summary_table(result)


def test_tables_are_sorted_and_complete():
    """Best mean gap first, every policy once, method rows with their number of runs."""
    gaps = {"a": RULE - 1, "b": RULE - 3, "rule": RULE}
    kinds = {"a": "learned", "b": "learned", "rule": "rule"}
    result = made_up(gaps, kinds, methods={"gnn": ("a", "b")})
    lines = report.summary_table(result).splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == ["b", "gnn", "a", "rule"]
    assert "2 training runs" in lines[1]
    assert "| 80 / 80 |" in lines[1]
    assert "a (n = 20) | b (n = 20)" in report.group_table(result)


def test_cells_are_the_summarys_numbers():
    """Interval cells hold mean, low and high of the summary."""
    result = made_up({"rule": RULE}, {"rule": "rule"})
    row: SummaryRow = result.summary[0]
    assert f"| 15.00 [{row.gap_low:.2f}, {row.gap_high:.2f}] |" in report.summary_table(result)


def test_report_of_a_real_evaluation(tmp_path):
    """The page links every picture, names bounds, reference and command; the data lie beside it."""
    result = evaluate(
        CHOICE,
        ENV_ID,
        ["first", "cheapest", "exact"],
        [SMALL, SAME, LARGE],
        progress=False,
        command="the command",
    )
    result = dataclasses.replace(result, schedules={})
    page = report.write_report(tmp_path / "report", result).read_text()
    names = sorted(path.name for path in (tmp_path / "report").iterdir())
    expected = ["evaluation.csv", "evaluation.json", "gaps.png", "groups.png", "profile.png", "report.md"]
    assert names == expected
    for picture in ("gaps", "groups", "profile"):
        assert f"({picture}.png)" in page
        assert (tmp_path / "report" / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    for fact in ("table 1", "the command", "best known for 2", "proved in this run for 1"):
        assert fact in page
    assert Evaluation.load(tmp_path / "report" / "evaluation.json").rows == result.rows


def test_learning_curve_reads_what_runs_log(tmp_path):
    """One panel for each stage that logged the metric; a line cut short by a crash is left out."""
    rows = [{"stage": "imitation", "step": s, "loss": 1.0, "gap_pct": 20.0 - s} for s in range(5)]
    rows += [{"stage": "ppo", "step": 10 * s, "loss": None, "gap_pct": 12.0 - 0.01 * s} for s in range(60)]
    rows += [{"stage": "evaluation", "step": 0, "seconds": 3.0}]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"stage": "ppo", "st'
    (tmp_path / "metrics.jsonl").write_text(text)
    figure = plots.learning_curve({"run": tmp_path})
    assert figure is not None
    first, second = figure.axes
    assert first.get_ylabel() == "gap (%)"
    np.testing.assert_array_equal(first.lines[0].get_ydata(), [20, 19, 18, 17, 16])
    pale, smooth = second.lines
    assert len(pale.get_xdata()) == 60
    np.testing.assert_allclose(np.mean(smooth.get_ydata()), np.mean(pale.get_ydata()), atol=0.01)


def test_learning_curves_of_the_policies_are_found(tmp_path, monkeypatch):
    """A report on run folders draws their curves, once for each run, without being told where they are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "metrics.jsonl").write_text('{"stage": "imitation", "step": 1, "loss": 2.5}\n')
    result = made_up({"net": RULE, "net@active*8": RULE}, {"net": "learned", "net@active*8": "learned"})
    page = report.write_report("out", result).read_text()
    assert (tmp_path / "out" / "learning.png").is_file()
    assert "(learning.png)" in page


def test_learning_curve_without_metrics(tmp_path):
    """A run that logged nothing drawable has no picture, and no error."""
    assert plots.learning_curve({"run": tmp_path}) is None


def test_profile_is_the_statistics(tmp_path):
    """The drawn steps are the shares of instances within each gap."""
    result = made_up({"rule": [1.0, 2.0, 2.0, 8.0]}, {"rule": "rule"})
    (line,) = plots.performance_profile(result).axes[0].lines
    drawn = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert (drawn[1.0], drawn[2.0], drawn[8.0]) == (25, 75, 100)


def test_gantt_shows_the_best_of_each_kind(monkeypatch):
    """Side by side on the smallest instance: best rule, best trained policy, best solver, in this order."""
    kinds = {"bad": "rule", "rule": "rule", "net": "learned", "exact": "solver"}
    gaps = {"bad": [9.0, 9.0], "rule": [4.0, 4.0], "net": [3.0, 3.0], "exact": [0.0, 0.0]}

    def schedule(rows):
        column = np.arange(rows, dtype=np.int64)
        return Schedule(column, column, column * 0, column, column + 1)

    schedules = {(policy, f"i{i}"): schedule(5 - i) for policy in kinds for i in range(2)}
    result = made_up(gaps, kinds)
    result = dataclasses.replace(result, schedules=schedules, meta={**result.meta, "objective": "makespan"})
    asked = {}
    monkeypatch.setattr(gantt, "side_by_side", lambda charts, **rest: asked.update(rest, charts=charts))
    plots.gantt(result)
    assert list(asked["charts"]) == ["rule", "net", "exact"]
    assert asked["title"] == "Instance i1"
    assert asked["reference"] == 100.0


def test_matplotlib_is_loaded_only_to_draw():
    """Importing evaluation and report loads neither Matplotlib nor torch."""
    code = (
        "import sys, makespan.agents.evaluation, makespan.agents.report\n"
        "print([m for m in ('matplotlib', 'torch', 'ortools') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
