"""Checkpoints survive crashes, full disks and damaged files, and loading one executes no code."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from makespan.agents import checkpoint
from makespan.agents.checkpoint import (
    CheckpointError,
    CheckpointStore,
    capture_rng,
    load_checkpoint,
    pretrained_path,
    restore_rng,
    save_checkpoint,
)
from makespan.envs.core.errors import UnknownNameError


def _state(value: float = 1.0) -> dict[str, object]:
    model = torch.nn.Linear(8, 8)
    torch.nn.init.constant_(model.weight, value)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "updates": 3}


def test_round_trip(tmp_path: Path) -> None:
    """Guards nested state dicts, an optimiser's among them, and the JSON beside them."""
    state = _state()
    path = save_checkpoint(tmp_path / "a", state, {"step": 5, "config": {"seed": [1, 2]}})
    assert path == tmp_path / "a.pt"
    tensors, meta = load_checkpoint(path)
    assert meta == {"step": 5, "config": {"seed": [1, 2]}}
    torch.testing.assert_close(tensors["model"], state["model"])
    fresh = torch.optim.Adam(torch.nn.Linear(8, 8).parameters())
    fresh.load_state_dict(tensors["optimizer"])
    assert fresh.state_dict()["state"][0]["step"] == 1


def _damage(content: bytes, how: str) -> bytes:
    if how == "truncated":
        return content[: len(content) // 2]
    if how == "empty":
        return b""
    if how == "text":
        return b"not a checkpoint"
    middle = content.index(np.float32(0.7071).tobytes())  # inside a weight
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("how", ["truncated", "empty", "text", "one bit"])
def test_damaged_files_are_refused(tmp_path: Path, how: str) -> None:
    """Guards against loading half a file, or weights with a flipped bit, which torch itself lets pass."""
    path = save_checkpoint(tmp_path / "a.pt", {"weight": torch.full((64,), 0.7071)}, {})
    path.write_bytes(_damage(path.read_bytes(), how))
    with pytest.raises(CheckpointError, match=r"a\.pt.*damaged.*another checkpoint"):
        load_checkpoint(path)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    """Guards the messages for a path that is wrong, and for another project's file."""
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "none.pt")
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    with pytest.raises(CheckpointError, match="no checkpoint of this suite"):
        load_checkpoint(tmp_path / "foreign.pt")


class _Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (_Exploit.target,)


def test_loading_executes_no_code(tmp_path: Path) -> None:
    """Guards users who load a stranger's checkpoint: a pickle with a payload is refused, unexecuted."""
    _Exploit.target = str(tmp_path / "owned")
    torch.save({"format": 1, "tensors": _Exploit(), "meta": "{}"}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(_Exploit()))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(CheckpointError):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "owned").exists()


def test_full_disk_keeps_the_last_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards a run whose disk fills: a clear error, no litter, and nothing is harmed."""
    store = CheckpointStore(tmp_path)
    store.save({"weight": torch.ones(3)}, {"step": 1})

    def full(content: object, file: object) -> None:
        file.write(b"half of it")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*Free disk space"):
        store.save({"weight": torch.zeros(3)}, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert store.resume()[1] == {"step": 1}


LIMITED = """
import resource, signal, sys, torch
from makespan.agents.checkpoint import CheckpointError, save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_checkpoint(sys.argv[1], {"weight": torch.zeros(1_000_000)}, {})
except CheckpointError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
def test_a_write_the_system_refuses(tmp_path: Path) -> None:
    """Guards the real thing: the kernel, not a mock, cuts the file short while torch writes it."""
    path = save_checkpoint(tmp_path / "a.pt", {"weight": torch.ones(3)}, {"step": 1})
    run = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("refused:"), run.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]
    assert load_checkpoint(path)[1] == {"step": 1}


def test_store_falls_back_to_the_previous(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Guards resuming when the last checkpoint is damaged, and the warning that says so."""
    store = CheckpointStore(tmp_path)
    assert store.resume() is None
    for step in (1, 2, 3):
        store.save({"step": step}, {"step": step})
    assert store.resume() == ({"step": 3}, {"step": 3})
    (tmp_path / "last.pt").write_bytes(b"")
    assert store.resume() == ({"step": 2}, {"step": 2})
    assert "last.pt" in caplog.text
    (tmp_path / "previous.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        store.resume()


def test_store_survives_a_kill_between_its_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the moment when `last.pt` has been moved away and the new one is not yet there."""
    store = CheckpointStore(tmp_path)
    store.save({}, {"step": 1})
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target).name == "last.pt":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.save({}, {"step": 2})
    assert store.resume()[1] == {"step": 1}


def test_random_states_come_back(tmp_path: Path) -> None:
    """Guards exact resuming: the same draws follow a restored state, after a trip through the file."""
    torch.manual_seed(5)
    generator = np.random.default_rng(7)
    path = save_checkpoint(tmp_path / "a.pt", {}, {"rng": capture_rng({"instances": generator})})
    expected = (generator.random(4).tolist(), torch.rand(4).tolist())
    torch.manual_seed(6)
    other = np.random.default_rng(8)
    restore_rng(load_checkpoint(path)[1]["rng"], {"instances": other})
    assert (other.random(4).tolist(), torch.rand(4).tolist()) == expected
    with pytest.raises(CheckpointError, match="'actions'"):
        restore_rng(load_checkpoint(path)[1]["rng"], {"actions": other})


def test_pretrained_by_name_or_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the lookup of shipped agents by environment id, and its message."""
    monkeypatch.setattr(checkpoint, "pretrained_names", lambda: ["blocking", "flexible_jobshop", "jobshop"])
    assert pretrained_path("makespan/BlockingJobShop-v0").name == "blocking.pt"  # the family's name
    assert pretrained_path("jobshop").name == "jobshop.pt"
    assert pretrained_path("makespan/JobShop-v0").name == "jobshop.pt"
    assert pretrained_path("makespan/FlexibleJobShop-v0").name == "flexible_jobshop.pt"
    with pytest.raises(UnknownNameError, match="did you mean jobshop"):
        pretrained_path("jobshp")
