"""Runs go from labels to report, can be killed anywhere, and the shipped weights are what they claim to be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from makespan.agents.checkpoint import CheckpointError, load_checkpoint, pretrained_names, pretrained_path
from makespan.agents.config import TrainConfig, from_yaml
from makespan.agents.evaluation import evaluate
from makespan.agents.export import export
from makespan.agents.policy import load_policy
from makespan.agents.run_folder import RunFolder
from makespan.agents.training import make_network, train
from makespan.agents.typed_config import ConfigError
from makespan.envs.registration import get_family

CONFIG = """
name: tiny
network: {width: 8, depth: 1, rounds: 1, head_width: 8}
imitation:
  shapes: [{generator: uniform, parameters: {num_jobs: 3, num_machines: 3}, count: 12, teacher: cp_sat, time_limit_s: 60.0}]
  epochs: 2
  workers: 1
self_labelling:
  iterations: 4
  shapes: [{generator: uniform, parameters: {num_jobs: 3, num_machines: 3}}]
  samples: 4
  batch: 2
  checkpoint_every: 2
ppo:
  total_decisions: 120
  shapes: [{generator: uniform, parameters: {num_jobs: 4, num_machines: 3}}]
  num_envs: 4
  num_steps: 8
  minibatch_size: 16
  epochs: 1
  critic_warmup_updates: 1
  checkpoint_every: 1
evaluation:
  shapes: [{generator: uniform, parameters: {num_jobs: 4, num_machines: 3}}]
  episodes: 4
  instances: [ft06]
  rules: [spt, mwkr]
  samples: [2]
  temperatures: [0.5, 1.0]
"""


class KilledError(Exception):
    """Stands for a process that dies."""


@pytest.fixture(scope="module")
def config() -> TrainConfig:
    return from_yaml(CONFIG)


@pytest.fixture(scope="module")
def unbroken(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nothing interrupts."""
    run = RunFolder.create(config, tmp_path_factory.mktemp("runs"), "unbroken", tensorboard=False)
    train(config, run)
    return run


def final_weights(run: RunFolder) -> dict[str, torch.Tensor]:
    state = run.checkpoints.resume()
    assert state is not None
    assert state[1]["stage"] == "finished"
    return state[0]["network"]


def test_a_run_passes_all_stages_and_reports(unbroken: RunFolder):
    """Every stage logs, the temperature is one of the grid, and both reports are written."""
    assert {row["stage"] for row in unbroken.metrics()} >= {"imitation", "self_labelling", "ppo"}
    assert load_policy(unbroken.path, "makespan/JobShop-v0").temperature in (0.5, 1.0)
    for title in ("random", "benchmark"):
        page = (unbroken.report_path / title / "report.md").read_text()
        assert "best rule" in page


@pytest.mark.parametrize("saves", [1, 3, 5])
def test_a_killed_run_ends_with_the_same_weights(
    saves: int, config: TrainConfig, unbroken: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Killed in imitation, in self-labelling or in PPO and resumed: bit for bit the unbroken run's weights."""
    run = RunFolder.create(config, tmp_path, "killed", tensorboard=False)
    save, count = RunFolder.save, iter(range(1_000))

    def save_then_die(self: RunFolder, *state: object) -> Path:
        path = save(self, *state)  # type: ignore[arg-type]
        if next(count) == saves - 1:
            raise KilledError
        return path

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", save_then_die)
        with pytest.raises(KilledError):
            train(config, run)
    resumed = RunFolder.create(config, tmp_path, "killed", resume=True, tensorboard=False)
    train(config, resumed)
    for name, tensor in final_weights(unbroken).items():
        assert torch.equal(tensor, final_weights(resumed)[name]), name
    for ours, theirs in zip(resumed.metrics(), unbroken.metrics(), strict=True):
        timed = {key for key in ours if key.endswith("_per_cpu_s")}  # what the clock says
        assert {key: ours[key] for key in ours.keys() - timed} == {
            key: theirs[key] for key in theirs.keys() - timed
        }


def test_export_keeps_the_policy(unbroken: RunFolder, tmp_path: Path):
    """Half precision changes no weight by more than rounding, and the command that repeats the run is kept."""
    path = export(unbroken, tmp_path / "tiny.pt")
    tensors, meta = load_checkpoint(path)
    assert meta["command"] == "makespan train --config tiny --seed 0"
    for name, tensor in final_weights(unbroken).items():
        assert tensors["network"][name].dtype == torch.float16
        torch.testing.assert_close(tensors["network"][name].float(), tensor, rtol=1e-3, atol=1e-4)


def test_a_run_may_start_from_the_weights_of_another(config: TrainConfig, unbroken: RunFolder):
    """`start_from` begins with a run's weights, bit for bit, and refuses those of another network."""
    follower = replace(config, start_from=str(unbroken.path))
    begun, theirs = make_network(follower).state_dict(), final_weights(unbroken)
    assert all(torch.equal(begun[name], theirs[name]) for name in theirs)
    wider = replace(follower, network=replace(config.network, width=2 * config.network.width))
    with pytest.raises(ConfigError, match="start_from"):
        make_network(wider)


def test_an_unfinished_run_is_not_exported(config: TrainConfig, tmp_path: Path):
    """Weights ship only from runs that came to their end."""
    run = RunFolder.create(config, tmp_path, "fresh", tensorboard=False)
    with pytest.raises(CheckpointError, match="not finished"):
        export(run, tmp_path / "no.pt")


@pytest.mark.parametrize("name", pretrained_names())
def test_shipped_weights_are_small(name: str):
    """Shipped weights take less than a megabyte, and belong to an id that finds them or bear their preset's name."""
    path = pretrained_path(name)
    assert path.stat().st_size < 1_000_000
    _, meta = load_checkpoint(path)
    assert pretrained_path(meta["env"]["id"]) == path or meta["name"] == name
    assert load_policy(f"pretrained/{name}", meta["env"]["id"]).trained_in == meta["env"]["id"]


SHOP_RULES = ("spt", "mwkr", "mopnr", "fdd_mwkr", "spt_twkr")


@pytest.mark.parametrize(
    ("env_id", "names", "rules"),
    [
        ("makespan/JobShop-v0", ("la0*", "ft06"), SHOP_RULES),
        ("makespan/FlexibleJobShop-v0", ("mk01", "mk02", "mk04", "mk05"), SHOP_RULES),
        ("makespan/BlockingJobShop-v0", ("proved",), (*SHOP_RULES, "blocked_spt_twk")),
        (
            "makespan/SingleMachineTardiness-v0",
            ("pvw20-rdd0.[24]-tf0.6-*",),
            ("mdd", "mddc", "psk", "augmented_mdd", "augmented_mddc"),
        ),
    ],
)
def test_shipped_weights_beat_every_rule(env_id: str, names: tuple[str, ...], rules: tuple[str, ...]):
    """On small published instances the pretrained greedy policy has a lower mean gap than the best single rule."""
    family = get_family(env_id)
    instances = [one for name in names for one in family.find_instances(name)]
    result = evaluate(family, env_id, ["pretrained", *rules], instances=instances, load_policy=load_policy)
    gaps: dict[str, list[float]] = {}
    for row in result.rows:
        assert row.valid
        assert row.gap_pct is not None
        gaps.setdefault(row.policy, []).append(row.gap_pct)
    assert np.mean(gaps["pretrained"]) < min(np.mean(gaps[rule]) for rule in rules)


def test_shipped_blocking_agent_meets_the_aim():
    """On the blocking shops with proved optima the pretrained greedy policy has a mean gap below 30 %."""
    env_id = "makespan/BlockingJobShop-v0"
    family = get_family(env_id)
    instances = family.find_instances("proved")
    result = evaluate(family, env_id, ["pretrained"], instances=instances, load_policy=load_policy)
    assert len(result.rows) == 29
    assert all(row.valid and row.gap_pct is not None for row in result.rows)
    assert np.mean([row.gap_pct for row in result.rows if row.gap_pct is not None]) < 30.0


def test_a_policy_of_another_graph_is_refused():
    """Weights are checked against the decision graph they are asked to read."""
    policy = load_policy(pretrained_path("makespan/JobShop-v0"), "makespan/JobShop-v0")
    broken = {name: tensor for name, tensor in policy.weights.items() if "score" not in name}
    from dataclasses import replace

    import gymnasium

    schema = gymnasium.make("makespan/JobShop-v0").unwrapped.schema
    with pytest.raises(CheckpointError, match="does not fit"):
        replace(policy, weights=broken).network(schema)
