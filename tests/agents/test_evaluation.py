"""The paired runner on a family that can be reckoned by hand, and on the job shop."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging

import gymnasium
import numpy as np
import pytest
from choice_family import CHOICE, ENV_ID, LARGE, SAME, SMALL, Choices, ChoiceVectorEnv

from makespan.agents import evaluation as ev
from makespan.agents.contenders import (
    PolicySpec,
    PolicySpecError,
    make_contender,
    parse_policies,
    parse_policy,
)
from makespan.agents.results import Evaluation
from makespan.agents.trials import shape_of
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.policy import RandomPolicy, RulePolicy, get_rule, register_solver
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.registration import get_family

ROW_KEYS = [
    *("env", "policy", "instance", "seed", "objective", "unit"),
    *("best_known", "gap_pct", "bound", "decisions", "seconds", "valid"),
]


FT06 = (  # Fisher & Thompson 1963: machine and duration of each operation
    (2, 1, 0, 3, 1, 6, 3, 7, 5, 3, 4, 6),
    (1, 8, 2, 5, 4, 10, 5, 10, 0, 10, 3, 4),
    (2, 5, 3, 4, 5, 8, 0, 9, 1, 1, 4, 7),
    (1, 5, 0, 5, 2, 5, 3, 3, 4, 8, 5, 9),
    (2, 9, 1, 3, 4, 5, 5, 4, 0, 3, 3, 1),
    (1, 3, 3, 3, 5, 9, 0, 10, 4, 4, 2, 1),
)


class LastOption:
    """A trained policy's stand-in: greedy takes the last option, sampling is uniform."""

    options = {"sgs": "trained_mode"}  # noqa: RUF012

    def build(self, schema, *, greedy, seed, temperature=None):
        return Last() if greedy else RandomPolicy(seed)


class Last:
    def act(self, observation):
        return observation["action_mask"].sum(axis=1).astype(np.int64) - 1


class Planner(Last):
    def begin(self, instances, slots):
        assert len(instances) == len(slots)


def load(name, env_id):
    """Every run folder holds the same policy."""
    return LastOption()


@pytest.fixture(autouse=True)
def honest_env(monkeypatch):
    monkeypatch.setattr(ChoiceVectorEnv, "made", [])
    monkeypatch.setattr(ChoiceVectorEnv, "lie", 0)
    monkeypatch.setattr(ChoiceVectorEnv, "cheat", False)


def run(policies, instances=(SMALL, SAME, LARGE), **keywords) -> Evaluation:
    return ev.evaluate(CHOICE, ENV_ID, policies, instances, progress=False, command="test", **keywords)


def column(evaluation, policy, name):
    return [getattr(row, name) for row in evaluation.rows if row.policy == policy]


def test_rows_are_exact():
    """Objective, published value, gap, bound, decisions and order of the rows, reckoned by hand."""
    result = run(["first", "cheapest"])
    assert [(row.policy, row.instance) for row in result.rows] == [
        (policy, name) for policy in ("first", "cheapest") for name in ("small", "same", "large")
    ]
    assert column(result, "first", "objective") == [7, 7, 27]
    assert column(result, "cheapest", "objective") == [3, 7, 4]
    assert column(result, "first", "best_known") == [3, 7, None]
    assert column(result, "first", "bound") == [2, 7, 3]
    assert column(result, "first", "gap_pct") == pytest.approx(
        [400 / 3, 0, 800]
    )  # large: against its bound 3
    assert column(result, "first", "decisions") == [2, 2, 3]
    assert all(row.valid and row.unit == "coins" and row.seed == 0 for row in result.rows)
    assert [info.reference_kind for info in result.instances] == ["best known", "best known", "lower bound"]
    assert [info.group for info in result.instances] == ["toys 2x2", "toys 2x2", "3x3"]


def test_every_policy_meets_the_same_instances():
    """Drawn instances are those of `reset(seed=seed + i)`, for all policies and for a second call."""
    result = run(["first", "cheapest", "random"], None, episodes=4, seed=11)
    seeds = [[row.seed for row in result.rows if row.policy == p] for p in ("first", "cheapest", "random")]
    assert seeds == [[11, 12, 13, 14]] * 3
    assert len({row.instance for row in result.rows}) == 4
    drawn = ev.sample_instances(ENV_ID, 4, 11)
    assert column(result, "first", "objective") == [instance.costs[:, 0].sum() for instance in drawn]
    again = run(["random"], None, episodes=4, seed=11)
    assert column(again, "random", "objective") == column(result, "random", "objective")


def test_instances_of_one_shape_share_a_batch():
    """Batches hold instances of one shape, repeated for the samples; nothing is evaluated twice."""
    run(["first*3"])
    rolled = [made["slots"] for made in ChoiceVectorEnv.made if len(made["slots"]) > 1]
    assert rolled == [["small", "same"], ["small", "small", "same", "same"], ["large", "large"]]


def test_batches_are_cut_to_the_memory_bound(monkeypatch):
    """However many samples are asked for, no batch is larger than the bound, and all samples are taken."""
    monkeypatch.setattr("makespan.agents.trials.MAX_SLOTS", 4)
    run(["first*11"], [SMALL])
    sizes = [len(made["slots"]) for made in ChoiceVectorEnv.made]
    assert sizes == [1, 1, 4, 4, 2]  # the warm-up, the greedy one, ten samples


@pytest.mark.parametrize("policy", ["first*20", "runs*20"])
def test_best_of_n_is_never_worse_than_greedy(policy, tmp_path, monkeypatch):
    """The greedy schedule is among the N: for rules with noise and for trained policies alike."""
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    greedy = policy.partition("*")[0]
    rng = np.random.default_rng(0)
    instances = [Choices(rng.integers(1, 50, (6, 4)), f"i{i}") for i in range(20)]
    result = run([greedy, policy], instances, load_policy=load)
    one, best = np.array(column(result, greedy, "objective")), np.array(column(result, policy, "objective"))
    assert (best <= one).all()
    assert (best < one).any()
    assert all(row.valid for row in result.rows)


def test_kept_schedule_is_the_one_that_was_counted():
    """The schedule kept of many samples is the one whose objective and decisions stand in the row."""
    result = run(["first*30"], [LARGE])
    schedule = result.schedules["first*30", "large"]
    assert CHOICE.validate(LARGE, schedule) == result.rows[0].objective
    assert result.rows[0].decisions == 3


def test_portfolio_is_the_best_of_all_rules():
    """A portfolio takes each instance's best rule."""
    crossed = [Choices(np.array([[1, 9]]), "a"), Choices(np.array([[9, 1]]), "b")]
    result = run(["portfolio", "first"], crossed)
    assert column(result, "portfolio", "objective") == [1, 1]
    assert column(result, "first", "objective") == [1, 9]


def test_schedule_modes(tmp_path, monkeypatch):
    """A mode in the string wins; otherwise a trained policy acts in the mode it was trained in."""
    (tmp_path / "net").mkdir()
    monkeypatch.chdir(tmp_path)
    run(["first@active", "first", "net", "net@append"], [SMALL], load_policy=load)
    modes = list(dict.fromkeys(made["sgs"] for made in ChoiceVectorEnv.made))
    assert modes == ["active", "plain", "trained_mode", "append"]


def test_invalid_schedule_is_flagged_not_hidden(monkeypatch, caplog):
    """A schedule the validator refuses keeps its row, has no gap, and is left out of the means."""
    monkeypatch.setattr(ChoiceVectorEnv, "cheat", True)
    with caplog.at_level(logging.WARNING):
        result = run(["first"], [SMALL])
    row = result.rows[0]
    assert (row.valid, row.objective, row.gap_pct) == (False, 7, None)
    assert (result.summary[0].n, result.summary[0].valid, result.summary[0].mean_gap_pct) == (1, 0, None)
    assert "does not last" in caplog.text
    json.loads(result.to_json())


def test_objective_is_the_validators(monkeypatch):
    """An environment that reports another objective than the validator finds is not believed."""
    monkeypatch.setattr(ChoiceVectorEnv, "lie", -1)
    row = run(["first"], [SMALL]).rows[0]
    assert (row.objective, row.valid) == (7, False)


def test_solver_that_finds_nothing():
    """No schedule within the time is an invalid row without an objective, and valid JSON."""
    result = run(["exact[finds=false]", "first"], [SMALL])
    row = result.rows[0]
    assert (row.objective, row.gap_pct, row.valid, row.decisions) == (None, None, False, None)
    assert json.loads(result.to_json())["rows"][0]["objective"] is None


def test_proved_result_becomes_the_reference():
    """Without published values, gaps are against what a solver proved in this run; its bound is shown."""
    result = run(["first", "exact"], [LARGE])
    assert result.instances[0].reference_kind == "proved in this run"
    assert column(result, "first", "gap_pct") == [575.0]  # 27 / 4 - 1
    assert column(result, "first", "bound") == [4]
    unproved = run(["first", "exact[proves=false]"], [LARGE])
    assert unproved.instances[0].reference_kind == "lower bound"
    assert unproved.summary[0].reference == "lower bound (1)"


def test_summary_compares_with_the_best_rule(tmp_path, monkeypatch):
    """Wins, ties, losses and the difference against the rule of least mean gap, by hand."""
    (tmp_path / "net").mkdir()
    monkeypatch.chdir(tmp_path)
    result = run(["first", "cheapest", "net"], load_policy=load)  # net: small 1 + 4, same 7, large 5 + 5 + 1
    summary = {row.policy: row for row in result.summary if row.group == "all"}
    assert summary["net"].best_rule == "cheapest"
    assert (summary["net"].wins, summary["net"].ties, summary["net"].losses) == (0, 1, 2)
    assert summary["net"].win_rate == pytest.approx(1 / 6)
    gaps_net, gaps_rule = np.array([200 / 3, 0, 800 / 3]), np.array([0, 0, 100 / 3])
    assert summary["net"].mean_gap_pct == pytest.approx(gaps_net.mean())
    assert summary["net"].difference_pct == pytest.approx((gaps_net - gaps_rule).mean())
    assert summary["cheapest"].wins is None  # it is not compared with itself
    assert [row.group for row in result.summary][::3] == ["all", "toys 2x2", "3x3"]


def test_best_rule_has_as_many_samples_where_possible():
    """Best-of-N is compared with a best-of-N rule if there is one: equal sample counts."""
    result = run(["first", "cheapest", "first*8", "random*8", "random"])
    best = {row.policy: row.best_rule for row in result.summary if row.group == "all"}
    assert best["random*8"] == "first*8"
    assert best["random"] == "cheapest"


def test_training_runs_of_one_method(tmp_path, monkeypatch):
    """`label=a+b` lists both runs and adds one row for the method, with their pooled mean."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    result = run(["gnn=a+b*2", "first"], load_policy=load)
    method = next(row for row in result.summary if row.policy == "gnn" and row.group == "all")
    pooled = np.mean([result.gaps("a"), result.gaps("b*2")])
    assert (method.kind, method.runs, method.n, method.valid) == ("method", 2, 3, 6)
    assert method.mean_gap_pct == pytest.approx(pooled)


def test_json_has_exactly_the_agreed_keys(tmp_path):
    """The document's keys are a contract, and reading it back gives the same evaluation."""
    result = run(["first", "exact", "cheapest*2"])
    path = tmp_path / "deep" / "result.json"
    result.save_json(path)
    document = json.loads(path.read_text())
    assert list(document) == ["rows", "summary", "meta"]
    assert all(list(row) == ROW_KEYS for row in document["rows"])
    assert document["meta"]["command"] == "test"
    assert document["meta"]["bounds_source"] == ["table 1"]
    assert set(document["meta"]["machine"]) == {"cpu_count"}
    again = Evaluation.load(path)
    assert again.rows == result.rows
    assert again.summarised().summary == result.summary
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]  # no temporary file is left


def test_csv_has_the_rows():
    """CSV has the same columns, in order, and empty cells for missing numbers."""
    result = run(["first"], [LARGE])
    lines = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert list(lines[0]) == ROW_KEYS
    assert (lines[0]["best_known"], lines[0]["objective"]) == ("", "27.0")


def test_planning_policies_are_named(tmp_path, monkeypatch):
    """A policy that looks at whole instances is told of them and named in the report's data."""
    (tmp_path / "planner").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LastOption, "build", lambda self, schema, **options: Planner())
    result = run(["planner", "first"], load_policy=load)
    assert result.meta["sees_beyond_the_observation"] == ["planner"]


def test_parse_policy():
    """The grammar of policy strings."""
    assert parse_policy("first", "choice") == PolicySpec("first", "rule", "first")
    assert parse_policy("first@active*32", "choice") == PolicySpec(
        "first@active*32", "rule", "first", 32, "active"
    )
    exact = parse_policy("exact[time_limit=2.5, proves=false]", "choice")
    assert (exact.kind, exact.options) == ("solver", (("time_limit", 2.5), ("proves", False)))
    assert parse_policy("pretrained*128", "choice").kind == "learned"
    assert parse_policy("pretrained/soc_soc16", "choice").kind == "learned"
    assert parse_policies(["a=first+cheapest", "first"], "choice")[1] == {"a": ("first", "cheapest")}
    assert len(parse_policies(["exact[time_limit=1]", "first", "first"], "choice")[0]) == 2


def test_unknown_policy_names_the_nearest(tmp_path):
    """A typing error is answered with the nearest rule, or the nearest run folder."""
    with pytest.raises(UnknownNameError, match="did you mean cheapest"):
        run(["cheepest"])
    (tmp_path / "experiment-1").mkdir()
    with pytest.raises(UnknownNameError, match=r"did you mean .*experiment-1"):
        run([f"{tmp_path}/experimnt-1"])


def test_temperature_of_a_trained_policy(tmp_path):
    """A trained policy samples at the temperature that its string names, and at its own without one."""
    seen = []

    class Heated(LastOption):
        def build(self, schema, *, greedy, seed, temperature=None):
            seen.append(temperature)
            return super().build(schema, greedy=greedy, seed=seed)

    hot, own = f"{tmp_path}[temperature=2]*4", f"{tmp_path}*4"
    result = run([hot, own], load_policy=lambda name, env_id: Heated())
    assert set(seen) == {2, None}
    assert {row.policy for row in result.rows} == {hot, own}
    for temperature in ("0", "-1", "true", "warm"):
        with pytest.raises(PolicySpecError, match="temperature"):
            parse_policy(f"{tmp_path}[temperature={temperature}]", "choice")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "first*0",
        "first**2",
        "first[noise=1]",
        "exact*3",
        "exact@active",
        "portfolio*2",
        "exact[time_limit]",
        "exact[time_limit=1,time_limit=2]",
        "exact[time_limit=-1]",
        "exact[time_limit=soon]",
        "exact[speed=1]",
        "pretrained",
    ],
)
def test_bad_policy_strings(bad):
    """What cannot be meant is refused before anything runs, with a message that repeats the string."""
    with pytest.raises(PolicySpecError, match="policy"):
        run([bad])
    assert ChoiceVectorEnv.made == []


def test_solver_whose_package_is_missing():
    """A solver that cannot be imported is an error of the request, not a traceback after an hour's work."""
    register_solver("choice", "absent", "none", "makespan_absent_package:Solver")
    with pytest.raises(PolicySpecError, match="makespan_absent_package"):
        run(["first", "absent"])
    assert ChoiceVectorEnv.made == []


def test_nothing_to_do():
    """No policies or no instances is an error, not an empty table."""
    with pytest.raises(ev.EvaluationError, match="policies"):
        run([])
    with pytest.raises(ev.EvaluationError, match="instances"):
        run(["first"], [])


def test_a_schedule_below_the_bound_is_reported(caplog):
    """A bound that a valid schedule contradicts is wrong, and the log says so."""
    family = dataclasses.replace(CHOICE, lower_bound=lambda instance: 99.0)
    with caplog.at_level(logging.ERROR):
        ev.evaluate(family, ENV_ID, ["first"], [SMALL], progress=False)
    assert "below the lower bound 99" in caplog.text


def test_shape_of_reads_sizes_only():
    """Shape is what a batch must share: numbers and maxima, in a fixed order."""
    assert shape_of(SMALL) == shape_of(SAME) == (2, 2)
    assert shape_of(LARGE) == (3, 3)


def test_job_shop_rules_and_solver():
    """On ft06 (optimum 55) the rows are those of the literature and of the env itself."""
    family = get_family("makespan/JobShop-v0")
    instances = [
        ShopInstance.from_jobs([list(zip(job[::2], job[1::2], strict=True)) for job in FT06], name="ft06")
    ]
    result = ev.evaluate(
        family,
        "makespan/JobShop-v0",
        ["spt", "spt@active", "fifo*16", "fifo", "portfolio", "cp_sat[workers=1]"],
        instances,
        progress=False,
    )
    assert all(row.valid and row.best_known == row.bound == 55 for row in result.rows)
    objective = {row.policy: row.objective for row in result.rows}
    assert objective["cp_sat[workers=1]"] == 55
    assert objective["fifo*16"] <= objective["fifo"]
    assert objective["portfolio"] <= min(objective["spt"], objective["fifo"])
    env = gymnasium.make("makespan/JobShop-v0", instance=instances[0], sgs="active").unwrapped
    rule = RulePolicy(get_rule("jobshop", "spt"), env.schema)
    observation, info = env.reset(seed=0)
    while "objective" not in info:
        action = rule.act({key: value[None] for key, value in observation.items()})[0]
        observation, _, _, _, info = env.step(action)
    row = result.rows[1]
    assert (row.objective, row.decisions) == (info["objective"], info["num_decisions"])


def test_policy_that_needs_an_environment():
    """Keywords of the environment that a registered policy needs reach it, from the registry or from the policy's options."""
    family, env_id = get_family("makespan/BlockingJobShop-v0"), "makespan/BlockingJobShop-v0"
    wanted = {"pilot": "blocked_spt_twk", "pilot[lookahead=spt/fifo]": "spt/fifo"}
    for text, rules in wanted.items():
        contender = make_contender(parse_policy(text, "blocking"), family, env_id)
        assert contender.options == {"admission": "greedy", "lookahead": rules}
    result = ev.evaluate(
        family,
        env_id,
        ["blocked_spt_twk", "pilot", "pilot@wait"],
        instances=family.find_instances("ft06"),
        options={"lookahead": "lpt"},
        progress=False,
        command="test",
    )
    rule, *pilots = result.rows
    assert all(row.valid and row.objective <= rule.objective for row in pilots)


def test_generated_job_shops_are_paired_and_reproducible():
    """Two calls draw the same shops; noise and batches of unlike instances leave that untouched."""
    family = get_family("makespan/JobShop-v0")
    size = {"generator": "uniform", "num_jobs": 4, "num_machines": 3}
    policies = ["mwkr", "mwkr*4", "random"]
    first, second = (
        ev.evaluate(
            family, "makespan/JobShop-v0", policies, episodes=5, seed=3, env_kwargs=size, progress=False
        )
        for _ in range(2)
    )
    assert [row.objective for row in first.rows] == [row.objective for row in second.rows]
    assert {info.group for info in first.instances} == {"4x3"}
    assert first.meta["env_kwargs"] == size


def test_groups_are_named_as_in_the_literature():
    """The group is the smallest set an instance belongs to, with its size once."""
    family = get_family("makespan/JobShop-v0")
    (ta01,) = family.find_instances("ta01")
    assert ev.group_of(family, ta01) == "ta 15x15"
    assert ev.group_of(CHOICE, SMALL) == "toys 2x2"
    assert ev.group_of(CHOICE, LARGE) == "3x3"


@pytest.mark.slow
def test_taillard_means_of_the_literature():
    """Non-delay SPT, MWKR and SPT/TWKR are 27.5, 19.6 and 14.5 % above best known on Taillard's 80."""
    family = get_family("makespan/JobShop-v0")
    instances = family.find_instances("ta")
    result = ev.evaluate(
        family, "makespan/JobShop-v0", ["spt", "mwkr", "spt_twkr"], instances, progress=False
    )
    means = [row.mean_gap_pct for row in result.summary if row.group == "all"]
    assert means == pytest.approx([27.5, 19.6, 14.5], abs=0.1)
