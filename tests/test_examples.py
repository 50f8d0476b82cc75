"""The examples of the docs, each run as a user would: from another folder, for a few hundred steps."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
NEEDS = {  # example -> (package it shows, steps, what it prints)
    "sb3_maskable_ppo": ("sb3_contrib", 128, "ft06 makespan:"),
    "sb3_ppo": ("stable_baselines3", 256, "invalid actions:"),
    "cleanrl_loop": ("torch", 1024, "mean makespan"),
    "torchrl_gymwrapper": ("torchrl", 100, "mean reward:"),
    "async_vector_env": ("gymnasium", 100, "native:"),
    "fleet_shared_policy": ("sb3_contrib", 200, "profit of the day:"),
}


def test_every_example_is_run() -> None:
    """No example stands in the docs without being run below."""
    assert {path.stem for path in EXAMPLES.glob("*.py")} == NEEDS.keys()


@pytest.mark.parametrize("name", NEEDS)
def test_example_runs(name: str, tmp_path: Path) -> None:
    """The example runs without an error or a warning about its environments, and prints its result."""
    package, steps, expected = NEEDS[name]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), str(steps)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert expected in result.stdout
    assert "makespan" not in "".join(line for line in result.stderr.splitlines() if "Warning" in line)


def test_workers_and_native_batch_agree(tmp_path: Path) -> None:
    """The example's claim: worker processes and native batch give the same number."""
    command = [sys.executable, str(EXAMPLES / "async_vector_env.py"), "60"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    workers, native = (float(line.split(":")[1]) for line in result.stdout.splitlines())
    assert workers == native
