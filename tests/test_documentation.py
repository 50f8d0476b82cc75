"""README and docs: what they show has been run, and what is rendered from the package is up to date."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from makespan.agents import cli, cli_commands
from makespan.envs.core import policy
from makespan.envs.registration import env_ids

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """(id, text) of every fenced block of a language, in all pages."""
    return [
        (f"{page.name}-{number}", match[2])
        for page in PAGES
        for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")))
        if match[1] == language
    ]


def commands() -> list[str]:
    """Every `makespan ...` line of the pages' bash blocks, once."""
    lines = [line for _, text in blocks("bash") for line in text.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("makespan ")))


def renderer() -> ModuleType:
    """The script docs/render.py as a module, which imports what stands beside it."""
    if str(ROOT / "docs") not in sys.path:
        sys.path.insert(0, str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location("render", ROOT / "docs" / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in blocks("python")])
def test_python_blocks_run(text: str, tmp_path: Path) -> None:
    """Every Python block of the pages runs as it stands, each in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [line for line in commands() if "runs/" not in line])
def test_commands_run(line: str, tmp_path: Path) -> None:
    """Every command line of the pages that needs no trained agent succeeds."""
    words = [sys.executable, "-m", "makespan.agents.cli", *shlex.split(line)[1:]]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("makespan train")])
def test_train_commands_are_configs(line: str) -> None:
    """The pages' training commands name presets and keys that exist."""
    args, args.rest = cli._parser().parse_known_args(shlex.split(line)[1:])
    assert cli_commands._train_config(args).name in line


@pytest.mark.parametrize("line", [line for line in commands() if "runs/" in line])
def test_commands_on_runs_parse(line: str) -> None:
    """The pages' commands on trained agents, which are too slow to run here, name options that exist."""
    args, rest = cli._parser().parse_known_args(shlex.split(line)[1:])
    assert args.command == "train" or not rest


def test_rendered_parts_are_up_to_date() -> None:
    """Features, rules, ids ... in the pages are those of the package; `python docs/render.py` renews them."""
    module = renderer()
    for name in module.PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert module.render(text) == text, f"{name} is out of date: run `python docs/render.py`"


def test_links_lead_somewhere() -> None:
    """Relative links and pictures of the pages exist, and so do the headings they point at."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, heading = target.partition("#")
            if "://" in target:
                continue
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.name}: {target}"
            if heading:
                headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                slugs = [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]
                assert heading in slugs, f"{page.name}: {target}"


def test_readme_names_what_there_is() -> None:
    """The README's lists of ids, rules and solvers are the registry's."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in (*env_ids(), *policy.rules_of("jobshop"), *policy.solvers_of("jobshop")):
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), name
