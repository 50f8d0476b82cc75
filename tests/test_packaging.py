"""What `import makespan` costs, and that the package list is the tree."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAPPED = {"envs": "makespan.envs", "agents": "makespan.agents", "configs": "makespan.configs"}

USE_ENV = """
import sys
import gymnasium, makespan
for env_id in ("makespan/JobShop-v0", "makespan/FlexibleJobShop-v0"):
    env = gymnasium.make(env_id)
    observation, _ = env.reset(seed=0)
    env.step(int(observation["action_mask"].argmax()))
    env = gymnasium.make_vec(env_id, num_envs=2, vectorization_mode="vector_entry_point")
    observation, _ = env.reset(seed=0)
    env.step(observation["action_mask"].argmax(axis=1))
heavy = ("torch", "torch_geometric", "stable_baselines3", "sb3_contrib", "ortools", "matplotlib", "pandas")
print(*[name for name in heavy if name in sys.modules])
print(*[name for name in sys.modules if name.startswith("makespan.agents")])
"""


def run(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)


def test_packages_are_the_tree() -> None:
    """Each folder with an `__init__.py` is listed in pyproject.toml: a forgotten one would miss from the wheel."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = set(tomllib.load(file)["tool"]["setuptools"]["packages"])
    found = {"makespan"}
    for folder, package in MAPPED.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / folder).parts
            if parts != ("_root",):
                found.add(".".join((package, *parts)))
    assert found == listed


def test_environments_stay_light() -> None:
    """Making, resetting and stepping environments loads no heavy package, and nothing of the agents."""
    result = run(USE_ENV)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [], result.stdout


@pytest.mark.parametrize("package", ["envs", "agents"])
def test_bare_import_is_refused(package: str) -> None:
    """`import envs` from the checkout would load every module twice; it says what to import instead."""
    result = run(f"import {package}")
    assert result.returncode != 0
    assert f"import makespan.{package}" in result.stderr


def test_envs_never_import_agents() -> None:
    """Nothing flows backwards: no module under envs imports the agents."""
    guilty = [
        path
        for path in (ROOT / "envs").rglob("*.py")
        if path.parent.name != "_root"  # the package's own root: `python -m makespan`
        and re.search(r"^\s*(from|import) makespan\.agents", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert guilty == []
