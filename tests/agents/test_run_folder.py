"""A run folder is never overwritten, and a resumed run's metrics equal an unbroken one's."""

from __future__ import annotations

import dataclasses
import logging
import math
from pathlib import Path

import pytest

from makespan.agents.config import TrainConfig
from makespan.agents.progress import Progress
from makespan.agents.run_folder import RunFolder, RunFolderError

CONFIG = TrainConfig(name="toy", seed=3)


def _create(root: Path, config: TrainConfig = CONFIG, **options: bool) -> RunFolder:
    return RunFolder.create(config, root, tensorboard=False, **options)


def _train(run: RunFolder, steps: int, crash_at: int | None = None) -> None:
    """A trainer in miniature: logs twice a step, saves at the end of every third, resumes where it can."""
    state = run.resume()
    first = 0 if state is None else int(state[0]["step"])
    for step in range(first + 1, steps + 1):
        run.log("ppo", step, {"loss": 1.0 / step})
        if step == crash_at:
            return
        run.log("evaluation", step, {"gap": 10.0 / step})
        if step % 3 == 0:
            run.save({"step": step}, {"step": step})


def test_folder_is_created(tmp_path: Path) -> None:
    """Guards the layout, and that the config in it is the run's."""
    run = _create(tmp_path)
    assert run.path == tmp_path / "toy-seed3"
    assert RunFolder.open(run.path).config == CONFIG
    assert run.report_path.is_dir()


@pytest.mark.parametrize("crash_at", [1, 3, 4, 6, 8])
def test_resumed_metrics_equal_an_unbroken_run(tmp_path: Path, crash_at: int) -> None:
    """Guards against rows logged twice or lost, wherever between two checkpoints the run stopped."""
    whole = _create(tmp_path / "whole")
    _train(whole, 9)
    _train(_create(tmp_path / "broken"), 9, crash_at)
    resumed = _create(tmp_path / "broken", resume=True)
    _train(resumed, 9)
    assert len(whole.metrics()) == 18
    assert resumed.metrics_path.read_bytes() == whole.metrics_path.read_bytes()


def test_a_line_cut_short_by_a_crash_is_dropped(tmp_path: Path) -> None:
    """Guards reading and resuming after a kill in the middle of a write."""
    run = _create(tmp_path)
    run.log("ppo", 1, {"loss": 1.0})
    run.save({}, {})
    with open(run.metrics_path, "a") as file:
        file.write('{"stage": "ppo", "st')
    again = _create(tmp_path, resume=True)
    assert [row["step"] for row in again.metrics()] == [1]
    again.resume()
    again.log("ppo", 2, {"loss": math.nan})
    assert again.metrics() == [
        {"stage": "ppo", "step": 1, "loss": 1.0},
        {"stage": "ppo", "step": 2, "loss": None},
    ]


def test_existing_run_needs_resume(tmp_path: Path) -> None:
    """Guards results from being overwritten by the same command given twice."""
    _create(tmp_path)
    with pytest.raises(RunFolderError, match="--resume"):
        _create(tmp_path)
    _create(tmp_path, resume=True)


def test_other_config_is_refused(tmp_path: Path) -> None:
    """Guards a run from being continued with other hyperparameters; the message names them."""
    run = _create(tmp_path)
    other = dataclasses.replace(CONFIG, ppo=dataclasses.replace(CONFIG.ppo, gamma=0.9))
    with pytest.raises(RunFolderError, match=r"ppo\.gamma: 1\.0 there, 0\.9 here"):
        RunFolder.create(other, tmp_path, run.path.name, resume=True)


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    """Guards a folder with somebody else's files in it."""
    (tmp_path / "toy-seed3").mkdir()
    (tmp_path / "toy-seed3" / "thesis.tex").write_text("all of it")
    with pytest.raises(RunFolderError, match="not empty"):
        _create(tmp_path)
    with pytest.raises(RunFolderError, match=r"no config\.yaml"):
        RunFolder.open(tmp_path / "toy-seed3")


def test_tensorboard_events_follow_the_metrics(tmp_path: Path) -> None:
    """Guards the events after a resume: steps lost with a crash are not shown beside their repetition."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with RunFolder.create(CONFIG, tmp_path) as run:
        run.log("ppo", 1, {"loss": 1.0})
        run.save({}, {})
        run.log("ppo", 2, {"loss": 99.0})
    with RunFolder.create(CONFIG, tmp_path, resume=True) as run:
        run.resume()
        run.log("ppo", 2, {"loss": 0.5})
    events = EventAccumulator(str(run.path)).Reload().Scalars("ppo/loss")
    assert [(event.step, event.value) for event in events] == [(1, 1.0), (2, 0.5)]


def test_progress_logs_off_a_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards log files from thousands of lines: one every ten seconds, and the last."""
    clock = iter(range(10_000))
    monkeypatch.setattr("makespan.agents.progress.time.monotonic", lambda: next(clock) * 0.25)
    caplog.set_level(logging.INFO)
    with Progress("cloning", 200, unit="epoch", terminal=False) as progress:
        for _ in range(200):
            progress.update(loss=0.5)
    assert 4 <= len(caplog.messages) <= 8
    assert caplog.messages[-1].startswith("cloning: 200 of 200 epochs")
    assert "loss 0.5" in caplog.messages[0]
