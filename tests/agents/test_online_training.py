"""A whole run on a family that is not the job shop: a rule teaches, PPO goes on, and the report speaks its language."""

from __future__ import annotations

from pathlib import Path

import pytest
import queue_family

from makespan.agents.config import from_yaml
from makespan.agents.policy import load_policy
from makespan.agents.results import Evaluation
from makespan.agents.run_folder import RunFolder
from makespan.agents.training import train
from makespan.agents.typed_config import ConfigError

CONFIG = """
name: queue
env: {id: test/Queue-v0}
network: {width: 8, depth: 1, rounds: 1, head_width: 8, encode: step}
imitation:
  shapes: [{generator: stream, parameters: {num_jobs: 4}, count: 6, teacher: srpt}]
  epochs: 1
  dagger_rounds: 1
  dagger_epochs: 1
self_labelling:
  iterations: 1
  shapes: [{generator: stream, parameters: {num_jobs: 4}}]
  samples: 3
  batch: 2
ppo:
  total_decisions: 60
  shapes: [{generator: stream, parameters: {num_jobs: 4, horizon: 20}}]
  num_envs: 2
  num_steps: 15
  minibatch_size: 15
  epochs: 1
  gamma: 0.95
  discount: time
  episodes_per_instance: 2
  baseline: instance
  reward_scale: 0
evaluation:
  shapes: [{generator: stream, parameters: {num_jobs: 4, gap: 5.5}}]
  episodes: 3
  rules: [srpt, fcfs, shortest, random]
  samples: [2]
  temperatures: [0.5]
"""


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    queue_family.register(monkeypatch)


def test_a_run_on_another_family(tmp_path: Path) -> None:
    """All stages, the search and the report know the family by its descriptor alone."""
    with RunFolder.create(from_yaml(CONFIG), tmp_path, "run", tensorboard=False) as run:
        train(run.config, run)
    assert {row["stage"] for row in run.metrics()} == {"imitation", "self_labelling", "ppo"}
    assert load_policy(run.path, queue_family.ENV_ID).config.encode == "step"
    result = Evaluation.load(run.report_path / "random" / "evaluation.json")
    assert [row.valid for row in result.rows] == [True] * len(result.rows)
    assert {info.instance for info in result.instances} == {
        f"stream-num_jobs=4,gap=5.5#{i}" for i in range(3)
    }
    kinds = {info.policy: info.kind for info in result.policies}
    assert (kinds["srpt"], kinds["shortest"], kinds["random"]) == ("rule", "policy", "random")
    page = (run.report_path / "random" / "report.md").read_text()
    assert "mean flow time" in page
    assert "makespan" not in page.partition("How this was measured")[0]


def test_networks_that_cannot_see_the_family_are_refused(tmp_path: Path) -> None:
    """The preset's mistake is named before any label is made."""
    config = from_yaml(CONFIG.replace("encode: step", "encode: instance"))
    with (
        RunFolder.create(config, tmp_path, "run", tensorboard=False) as run,
        pytest.raises(ConfigError, match=r"encode: instance; expected step"),
    ):
        train(config, run)
