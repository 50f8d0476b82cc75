"""The wheel: what is declared, and (slow) what is built, installed outside the checkout and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROBE = """
import json, sys
from importlib import resources
from importlib.util import find_spec
import gymnasium
import makespan
from makespan.agents.config import load_preset, preset_names
from makespan.envs.jobshop.benchmark import best_known, load_instance

env = gymnasium.make("makespan/JobShop-v0", instance="la01")
env.reset(seed=0)
env.step(env.unwrapped.action_masks().argmax())
heavy = sorted({"torch", "torch_geometric", "stable_baselines3", "ortools", "matplotlib"} & set(sys.modules))
print(json.dumps({
    "file": makespan.__file__,
    "version": makespan.__version__,
    "foreign": [name for name in ("envs", "agents", "configs") if find_spec(name)],
    "presets": [load_preset(name).name for name in preset_names()],
    "typed": all((resources.files(name) / "py.typed").is_file() for name in ("makespan", "makespan.envs", "makespan.agents")),
    "la01": best_known(load_instance("la01")).upper,
    "heavy": heavy,
}))
"""


def run(*words: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed, run without our checkout on the path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tracked files, so that no leftovers get in."""
    copy = tmp_path_factory.mktemp("sources")
    tracked = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        copy / "out",
        copy,
        cwd=copy,
    )
    return next((copy / "out").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, on top of the packages the tests run with (but not of the editable install)."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=folder)
    site = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    # plain path entries: the hooks of editable installs, which are .pth files themselves, are not followed
    ours = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_path("purelib")]
    (site / "dependencies.pth").write_text("\n".join(ours) + "\n", encoding="utf-8")
    return folder


def test_declared_packages_are_the_tree() -> None:
    """Every folder with an `__init__.py` is a package of the wheel: an editable install would hide a forgotten one."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = [
        path.parent.relative_to(ROOT)
        for top in ("envs", "agents", "configs")
        for path in (ROOT / top).rglob("__init__.py")
    ]
    tree = {".".join(("makespan", *folder.parts)) for folder in folders} - {"makespan.envs._root"} | {
        "makespan"
    }
    assert set(setuptools["packages"]) == tree


@pytest.mark.slow
def test_wheel_holds_every_tracked_module_and_data_file(wheel: Path) -> None:
    """No module, preset or data file of the tree is missing from the wheel, and nothing but `makespan` is in it."""
    names = set(zipfile.ZipFile(wheel).namelist())
    roots = {name.partition("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"makespan"}
    tracked = run("git", "ls-files", "envs", "agents", "configs", cwd=ROOT).split()
    expected = {
        f"makespan/{name.removeprefix('envs/_root/') if '/_root/' in name else name}" for name in tracked
    }
    assert expected - names == set()


@pytest.mark.slow
def test_installed_wheel_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    """Import, environment, presets, data and markers are found; no top-level `envs` or `agents`; nothing heavy is loaded."""
    found = json.loads(run(installed / "bin" / "python", "-c", PROBE, cwd=tmp_path))
    assert Path(found["file"]).is_relative_to(installed)
    assert found["version"] != "0+unknown"
    assert found["foreign"] == []
    assert set(found["presets"]) == {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    assert found["typed"]
    assert found["la01"] == 666
    assert found["heavy"] == []


@pytest.mark.slow
def test_console_script_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    """`makespan` is installed as a command and evaluates a rule."""
    script = installed / "bin" / "makespan"
    assert "makespan/JobShop-v0" in run(script, "list", "envs", cwd=tmp_path)
    out = tmp_path / "rows.json"
    run(
        script,
        "evaluate",
        "makespan/JobShop-v0",
        "--policies",
        "spt",
        "--instances",
        "ft06",
        "--json",
        out,
        cwd=tmp_path,
    )
    assert json.loads(out.read_text())["rows"][0]["valid"]
