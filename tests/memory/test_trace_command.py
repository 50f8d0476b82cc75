"""`makespan trace` and the functions behind it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from makespan.agents.cli import main
from makespan.envs.memory.program import MemoryProgram

HERE = Path(__file__).parent


def test_traces_a_users_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A function of a module in the current folder becomes a file; the batch size reaches it; the summary is right."""
    (tmp_path / "users_model.py").write_text(
        "import torch\n"
        "def build(batch=1):\n"
        "    return torch.nn.Linear(256, 512, bias=False), torch.zeros(batch, 256)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert (
        main(
            ["trace", "users_model:build", "--out", "p.json.gz", "--batch", "64", "--train", "--name", "mine"]
        )
        == 0
    )
    p = MemoryProgram.load("p.json.gz")
    assert p.name == "mine"
    assert int(p.op_flops[0]) == 2 * 64 * 256 * 512
    out = capsys.readouterr().out
    assert "1 parameters of 0.5 MiB" in out
    assert "wrote     p.json.gz" in out


def test_traces_a_file_in_another_type(tmp_path: Path) -> None:
    """A file's path works as well as a module's name, and `--dtype` and `--unfused` arrive."""
    target = f"{HERE / 'traced_models.py'}:build_gpt12"
    out = tmp_path / "p.json"
    assert main(["trace", target, "--out", str(out), "--batch", "1", "--dtype", "bfloat16", "--unfused"]) == 0
    p = MemoryProgram.load(out)
    assert p.source.endswith("forward pass, unfused")
    assert int(p.tensor_size[p.tensor_name.index("wte.weight")]) == 32_000 * 768 * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_such_module:build"], "no_such_module: no such module"),
        (["missing.py:build"], "missing.py: no such file"),
        ([f"{HERE / 'traced_models.py'}:bild_gpt12"], "did you mean build_gpt12"),
        ([f"{HERE / 'traced_models.py'}:build_nothing"], "returned a int; expected (module, inputs)"),
        ([f"{HERE / 'traced_models.py'}:build_nothing", "--batch", "2"], "cannot be called with batch=2"),
        ([f"{HERE / 'traced_models.py'}:build_broken"], "ValueError: no data"),
        ([f"{HERE / 'traced_models.py'}:GPTBlock"], "cannot be called with no argument"),
        ([f"{HERE / 'traced_models.py'}:annotations"], "expected a function that builds the model"),
        (["traced_models"], "expected module:function"),
        ([f"{HERE / 'traced_models.py'}:build_gpt12", "--dtype", "bfloat"], "did you mean bfloat16"),
        ([f"{HERE / 'traced_models.py'}:build_gpt12", "--out", "p.txt"], "ends in .json or .json.gz"),
        ([f"{HERE / 'traced_models.py'}:build_gpt12", "--out", "nowhere/p.json"], "in a folder that exists"),
    ],
)
def test_mistakes_are_explained(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each mistake ends with status 2 and one line that says what was expected, not with a traceback."""
    out = [] if "--out" in words else ["--out", str(tmp_path / "p.json")]
    assert main(["trace", *words, *out]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_help_does_not_load_torch() -> None:
    """`makespan trace --help` answers without importing torch."""
    code = (
        "import sys\nfrom makespan.agents.cli import main\n"
        "try:\n    main(['trace', '--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
