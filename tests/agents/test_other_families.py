"""The evaluation asks a family what it is: its sense, modes, policies, groups and pictures, none of them the job shop's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from choice_family import CHOICE, ENV_ID, FAMILY, LARGE, PUBLISHED, SAME, SMALL, ChoiceVectorEnv

from makespan.agents import evaluation as ev
from makespan.agents import plots, report
from makespan.agents.cli_pictures import draw, family_pictures
from makespan.agents.contenders import PolicySpecError, parse_policy
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.family import BestKnown, better, smallest_set
from makespan.envs.core.policy import register_policy

MOST = {"small": 9, "same": 7, "large": 27}  # the dearest choices
EARNINGS = replace(
    CHOICE,
    objective="earnings",
    sense="max",
    lower_bound=lambda instance: float(instance.costs.max(axis=1).sum()),
    best_known=lambda instance: None,
)


class Picky:
    """A registered policy: always option `pick`, or with `noisy` a random one of its seed."""

    def __init__(self, schema, seed=0, pick=0, noisy=False):
        self.pick, self.rng, self.noisy = pick, np.random.default_rng(seed), noisy

    def act(self, observation):
        mask = observation["action_mask"]
        if self.noisy:
            return np.where(mask > 0, self.rng.random(mask.shape), -1.0).argmax(axis=1)
        return np.full(len(mask), self.pick)


@pytest.fixture(autouse=True)
def picky(monkeypatch):
    from makespan.envs.core import policy

    monkeypatch.setattr(policy, "_POLICIES", {})
    monkeypatch.setattr(ChoiceVectorEnv, "made", [])
    register_policy(FAMILY, "picky", "none", f"{__name__}:Picky")


def run(family, policies, instances=(SMALL, SAME, LARGE), **keywords):
    return ev.evaluate(family, ENV_ID, policies, instances, progress=False, command="test", **keywords)


def column(evaluation, policy, name):
    return [getattr(row, name) for row in evaluation.rows if row.policy == policy]


def test_maximising_turns_everything_round():
    """Gaps are how far below the reference, bounds are from above, and the dearer rule is the best one."""
    result = run(EARNINGS, ["first", "cheapest"])
    assert column(result, "first", "objective") == [7, 7, 27]
    assert column(result, "first", "gap_pct") == pytest.approx([200 / 9, 0, 0])
    assert column(result, "cheapest", "gap_pct") == pytest.approx([600 / 9, 0, 100 * 23 / 27])
    assert column(result, "first", "bound") == [9, 7, 27]
    assert [info.reference_kind for info in result.instances] == ["upper bound"] * 3
    summary = {row.policy: row for row in result.summary if row.group == "all"}
    assert summary["cheapest"].best_rule == "first"
    assert (summary["cheapest"].wins, summary["cheapest"].ties, summary["cheapest"].losses) == (0, 1, 2)
    page = report.markdown(result)
    assert "The earnings is maximised; gaps are % below the reference: upper bound for 3" in page
    assert "a gap to an upper bound overstates" in page
    first_line = report.summary_table(result).splitlines()[2]
    assert first_line.startswith("| `first`")


def test_maximising_best_of_n_keeps_the_largest():
    """The best of N and the portfolio take the largest objective; N = 64 finds every optimum here."""
    result = run(EARNINGS, ["random*64", "portfolio", "first*2"])
    assert column(result, "random*64", "objective") == list(MOST.values())
    assert column(result, "portfolio", "objective") == [7, 7, 27]
    assert all(row.valid for row in result.rows)


def test_maximising_published_values():
    """A published lower value is what was earned, the upper one what nobody can; a better schedule is reported."""
    published = {"small": BestKnown(8, 9, "t"), "large": BestKnown(27, 27, "t")}
    family = replace(EARNINGS, best_known=lambda instance: published.get(instance.name))
    result = run(family, ["first"], [SMALL, LARGE])
    assert column(result, "first", "best_known") == [8, 27]
    assert column(result, "first", "gap_pct") == pytest.approx([12.5, 0])
    assert column(result, "first", "bound") == [9, 27]


def test_schedule_beyond_the_bound_is_said_aloud(caplog):
    """A valid schedule above an upper bound contradicts it."""
    run(replace(EARNINGS, lower_bound=lambda instance: 5.0), ["first"], [SMALL])
    assert "above the upper bound" in caplog.text


def test_without_bounds_the_best_of_the_run_is_the_reference():
    """Where nothing is known, gaps are to the best schedule found here, and the report says that they flatter."""
    family = replace(CHOICE, lower_bound=lambda instance: 0.0, best_known=lambda instance: None)
    result = run(family, ["first", "cheapest"])
    assert column(result, "first", "gap_pct") == pytest.approx([400 / 3, 0, 575])
    assert {info.reference_kind for info in result.instances} == {"best of this run"}
    assert "the best of this run understates" in report.markdown(result)


def test_objectives_without_gaps_are_compared():
    """Losses (negative earnings) have no gap; wins and the best rule still follow the sense."""
    family = replace(
        EARNINGS,
        lower_bound=lambda instance: float("inf"),
        validate=lambda instance, schedule: CHOICE.validate(instance, schedule) - 100.0,
    )
    result = run(family, ["first", "cheapest"])
    assert column(result, "first", "gap_pct") == [None] * 3
    assert not any(row.valid for row in result.rows)  # the environment claims 100 more
    honest = ev.Evaluation(
        tuple(replace(row, valid=True) for row in result.rows),
        (),
        result.policies,
        result.instances,
        {},
        result.meta,
    ).summarised()
    summary = {row.policy: row for row in honest.summary if row.group == "all"}
    assert summary["cheapest"].best_rule == "first"
    assert (summary["cheapest"].wins, summary["cheapest"].losses) == (0, 2)
    sentence = report.verdict(summary["cheapest"], summary["first"])
    assert "its mean is -95.33 against -86.33" in sentence
    assert "Wilcoxon" in sentence


def test_fractions_are_objectives_too(monkeypatch):
    """An objective that is a mean is accepted up to rounding, and refused beyond."""
    for lie, valid in ((1e-10, True), (1e-4, False)):
        monkeypatch.setattr(ChoiceVectorEnv, "lie", lie)
        family = replace(CHOICE, validate=lambda i, s: CHOICE.validate(i, s) * 1.0)
        assert run(family, ["first"], [SMALL]).rows[0].valid is valid


def test_registered_policies_are_contenders():
    """They take options, N seeds, and count among the rules that a trained policy must beat."""
    result = run(CHOICE, ["picky", "picky[pick=1]", "picky[noisy=true]*64"])
    assert column(result, "picky", "objective") == [7, 7, 27]
    assert column(result, "picky[pick=1]", "objective") == [5, 7, 6]
    assert column(result, "picky[noisy=true]*64", "objective") == [3, 7, 4]
    assert {info.kind for info in result.policies} == {"policy"}
    best = {row.policy: row.best_rule for row in result.summary if row.group == "all"}
    assert best["picky"] == "picky[pick=1]"
    with pytest.raises(PolicySpecError, match="pock"):
        run(CHOICE, ["picky[pock=1]"])
    with pytest.raises(UnknownNameError, match="did you mean picky"):
        parse_policy("pickey", FAMILY)


def test_modes_and_options_reach_the_environment():
    """`@mode` sets the family's keyword, rules have their home mode, and shared options hold for all."""
    family = replace(CHOICE, rule_mode="home")
    result = run(family, ["first", "first@away"], [SMALL])
    assert [info.mode for info in result.policies] == ["home", "away"]
    assert list(dict.fromkeys(made["sgs"] for made in ChoiceVectorEnv.made)) == ["home", "away"]
    run(family, ["first"], [SMALL], options={"sgs": "given"})
    assert ChoiceVectorEnv.made[-1]["sgs"] == "given"
    with pytest.raises(PolicySpecError, match="no modes"):
        run(replace(CHOICE, mode=None), ["first@away"], [SMALL])


def test_groups_are_the_familys():
    """A family may name its groups itself."""
    result = run(replace(CHOICE, group=lambda instance: f"{instance.num_steps} steps"), ["first"])
    assert [info.group for info in result.instances] == ["2 steps", "2 steps", "3 steps"]


def test_pictures_are_the_familys(tmp_path):
    """`render` and the report draw what the family draws; the instance comes with the schedule."""
    from matplotlib.figure import Figure

    drawn = []

    def picture(instance, schedule):
        drawn.append((instance.name, len(schedule.job)))
        return Figure()

    family = replace(
        CHOICE,
        pictures={"chart": picture, "other": lambda i, s: Figure()},
        html=lambda instance, schedule: f"<p>{instance.name}</p>",
    )
    result = run(family, ["first", "cheapest"])
    files = [path.name for path in plots.save_plots(result, tmp_path)]
    assert files[-2:] == ["schedule-1.png", "schedule-2.png"]
    assert "gantt.png" not in files
    assert drawn == [("small", 2)] * 2  # best first
    assert "A schedule of one instance." in report.markdown(result, plots=files)
    text = report.write_report(tmp_path / "report", result).read_text()
    assert "[Interactive page of a schedule of `cheapest`](schedule-1.html)" in text
    assert (tmp_path / "report" / "schedule-1.html").read_text() == "<p>small</p>"
    page, figure = family_pictures(family, None)
    schedule = result.schedules["first", "large"]
    draw(schedule, str(tmp_path / "x.html"), title="", instance=LARGE, page=page, picture=figure)
    draw(schedule, str(tmp_path / "x.png"), title="", instance=LARGE, page=page, picture=figure)
    assert (tmp_path / "x.html").read_text() == "<p>large</p>"
    assert drawn[-1] == ("large", 3)
    with pytest.raises(UnknownNameError, match="did you mean chart"):
        family_pictures(family, "chrt")


def test_better_and_smallest_set():
    """NaN is worse than any number in both senses; ties are not better; the smallest set names an instance."""
    assert better(CHOICE, 1.0, 2.0)
    assert not better(CHOICE, 2.0, 2.0)
    assert better(EARNINGS, 2.0, 1.0)
    assert not better(EARNINGS, 1.0, 1.0)
    assert better(EARNINGS, -5.0, np.nan)
    assert not better(CHOICE, np.nan, 1.0)
    sets = {"many": ("a", "b", "c"), "few": ("a", "b"), "one": ("c",)}
    assert [smallest_set(sets, name) for name in ("a", "c", "d")] == ["few", "one", None]
    assert PUBLISHED["same"].proved
