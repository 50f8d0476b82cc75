"""The command line: quick help, clear refusals with exit status 2, and results that can be used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from makespan.agents import cli
from makespan.agents.config import TrainConfig
from makespan.agents.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
JOB_SHOP = "makespan/JobShop-v0"
HEAVY = ("torch", "torch_geometric", "stable_baselines3", "ortools", "matplotlib", "tensorboard")
HELP = f"""
import sys
from makespan.agents.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert end.code == 0, end.code
print("loaded:", [name for name in {HEAVY} if name in sys.modules])
"""


def _makespan(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "makespan.agents.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("command", ["", "train", "evaluate", "solve", "render", "bench", "list"])
def test_help_loads_nothing_heavy(command: str) -> None:
    """Guards the answer time of --help: seconds would go into importing torch or OR-Tools."""
    words = [word for word in (command, "--help") if word]
    run = subprocess.run([sys.executable, "-c", HELP, *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert f"usage: makespan {command}".strip() in run.stdout
    assert run.stdout.endswith("loaded: []\n")


def test_train_help_shows_the_keys_of_the_config() -> None:
    """Guards the discoverability of overrides, whose parser is another than the command line's."""
    run = _makespan("train", "--help")
    for option in ("--config", "--resume", "--ppo.learning-rate", "--imitation.shapes.0.parameters.num-jobs"):
        assert option in run.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "makespan/JobShp-v0", "--policies", "spt"], "did you mean makespan/JobShop-v0"),
        (["evaluate", JOB_SHOP, "--policies", "sptt", "--episodes", "1"], "did you mean spt"),
        (["evaluate", JOB_SHOP, "--policies", "spt", "--instances", "fft06"], "did you mean ft06"),
        (["evaluate", JOB_SHOP, "--policies", "spt", "--episode", "3"], "did you mean --episodes"),
        (["evaluate", JOB_SHOP, "--policies", "spt", "--generator", "unifrm"], "did you mean uniform"),
        (["evaluate", JOB_SHOP, "--policies", "spt", "--set", "num_job=3"], "num_job"),
        (["evaluate", JOB_SHOP, "--policies", "spt", "--set", "low"], "name=value"),
        (
            ["evaluate", JOB_SHOP, "--policies", "spt", "--instances", "ft06", "--set", "num_jobs=3"],
            "num_jobs",
        ),
        (["evaluate", JOB_SHOP, "--policies", "spt", "--json", "no/such/x.json"], "does not exist"),
        (["evaluate", JOB_SHOP, "--policies", "cp_sat[speed=9]", "--episodes", "1"], "speed"),
        (["solve", JOB_SHOP, "ft06", "--solver", "cpsat"], "did you mean cp_sat"),
        (["solve", JOB_SHOP, "fft06"], "did you mean ft06"),
        (["solve", JOB_SHOP, "ft"], "expected one"),
        (["solve", JOB_SHOP, "ft06", "--gantt", "x.bmp"], ".html"),
        (["render", JOB_SHOP, "--policy", "spt", "--instance", "ft06", "--out", "x.txt"], ".gif"),
        (["train", "--config", "jobshop_quikstart.yaml"], "did you mean jobshop_quickstart"),
        (["train", "--resume", "--run", "no/such/run"], "no/such/run holds no run"),
        (["list", "--instance"], "unrecognised argument --instance"),
    ],
)
def test_mistakes_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the exit status and the one line on standard error that names the nearest thing there is."""
    monkeypatch.setitem(sys.modules, "makespan.agents.training", ModuleType("training"))
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(
    "words",
    [
        ["solv"],
        ["solve", JOB_SHOP],
        ["solve", JOB_SHOP, "ft06", "--time-limit", "0"],
        ["evaluate", JOB_SHOP, "--policies", "spt", "--episodes", "-1"],
        ["train", "--ppo.learning-rte", "1"],
    ],
)
def test_words_that_cannot_be_parsed(words: list[str]) -> None:
    """Guards the exit status where a parser itself refuses."""
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2


def test_errors_show_no_traceback_unless_asked(tmp_path: Path) -> None:
    """Guards users from tracebacks, and developers from losing them."""
    config = tmp_path / "own.yaml"
    config.write_text("ppo: {gama: 1.0}\n")
    run = _makespan("train", "--config", str(config))
    assert run.returncode == 2
    assert run.stderr.startswith("error: ")
    assert "did you mean ppo.gamma" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert "Traceback" in _makespan("train", "--config", str(config), "--debug").stderr


def test_reader_that_leaves_early() -> None:
    """Guards `makespan list rules | head -1` from a traceback."""
    command = [sys.executable, "-m", "makespan.agents.cli", "list", "rules"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode == 0


def test_solve_prints_checks_and_writes(tmp_path: Path) -> None:
    """Guards the whole way: ft06 to its known optimum 55, a schedule the validator accepts, a chart."""
    from makespan.envs.core.schedule import Schedule
    from makespan.envs.registration import get_family

    out, chart = tmp_path / "ft06.json", tmp_path / "ft06.html"
    words = ["--time-limit", "60", "--workers", "1", "--out", str(out), "--gantt", str(chart)]
    run = _makespan("solve", JOB_SHOP, "ft06", *words)
    assert run.returncode == 0, run.stderr
    for words_shown in ("makespan  55", "(validated)", "bound     55", "optimal", "0.00 % to 55"):
        assert words_shown in run.stdout
    family = get_family(JOB_SHOP)
    assert family.validate(family.find_instances("ft06")[0], Schedule.from_json(out)) == 55
    assert chart.read_text(encoding="utf-8").startswith("<!")


def test_solver_without_the_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards --workers with a solver that has none."""
    assert cli.main(["solve", JOB_SHOP, "ft06", "--solver", "tabu_search", "--workers", "2"]) == 2
    assert "takes no option workers" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["html", "png", "gif"])
def test_render_writes_each_format(suffix: str, tmp_path: Path) -> None:
    """Guards the chart formats by their magic numbers."""
    out = tmp_path / f"chart.{suffix}"
    assert cli.main(["render", JOB_SHOP, "--policy", "spt", "--instance", "ft06", "--out", str(out)]) == 0
    magic = {"html": b"<!", "png": b"\x89PNG", "gif": b"GIF8"}[suffix]
    assert out.read_bytes().startswith(magic)


def test_render_draws_text_of_a_generated_instance(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the default: a plain chart on standard output, no escape codes where that is no terminal."""
    words = ["--generator", "uniform", "--set", "num_jobs=4", "num_machines=3", "--seed", "5"]
    assert cli.main(["render", JOB_SHOP, "--policy", "mwkr", *words]) == 0
    text = capsys.readouterr().out
    assert "M2" in text
    assert "\x1b" not in text


def test_evaluate_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the table, the JSON and the CSV, and that `--samples` adds the best of N."""
    rows, table = tmp_path / "rows.json", tmp_path / "rows.csv"
    words = ["--instances", "ft06", "la01", "--samples", "8", "--json", str(rows), "--csv", str(table)]
    assert cli.main(["evaluate", JOB_SHOP, "--policies", "spt", "random", *words]) == 0
    printed = capsys.readouterr().out
    document = json.loads(rows.read_text())
    assert {row["policy"] for row in document["rows"]} == {"spt", "random", "spt*8"}
    assert {row["instance"] for row in document["rows"]} == {"ft06", "la01"}
    assert all(row["valid"] for row in document["rows"])
    assert "spt*8" in printed
    assert len(table.read_text().splitlines()) == 7


def test_evaluate_draws_the_same_instances_again(tmp_path: Path) -> None:
    """Guards repeatability: the same command gives the same numbers, another seed gives others."""

    def objectives(seed: str) -> list[float]:
        out = tmp_path / "rows.json"
        words = ["--episodes", "4", "--seed", seed, "--set", "num_jobs=5"]
        assert cli.main(["evaluate", JOB_SHOP, "--policies", "spt", *words, "--json", str(out)]) == 0
        return [row["objective"] for row in json.loads(out.read_text())["rows"]]

    assert objectives("3") == objectives("3")
    assert objectives("3") != objectives("30")


def test_truncated_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards evaluating half a file: a clear error instead of a pickle's."""
    from makespan.agents.checkpoint import save_checkpoint

    pytest.importorskip("makespan.agents.policy")
    path = save_checkpoint(tmp_path / "half.pt", {"weight": [1.0] * 100}, {})
    path.write_bytes(path.read_bytes()[:300])
    assert cli.main(["evaluate", JOB_SHOP, "--policies", str(path), "--episodes", "1"]) == 2
    assert "truncated or damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("envs", "makespan/FlexibleJobShop-v0"),
        ("rules", "spt"),
        ("solvers", "cp_sat"),
        ("instances", "ft06"),
        ("presets", "jobshop_quickstart"),
    ],
)
def test_lists(what: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the lists against families that register nothing until they are used."""
    assert cli.main(["list", what]) == 0
    assert line in capsys.readouterr().out


def test_bench_hands_its_options_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the dispatch to the family's benchmark."""
    seen: list[list[str]] = []
    module = ModuleType("bench")
    module.main = lambda words: seen.append(list(words))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "makespan.agents.bench", module)
    assert cli.main(["bench", "jobshop", "--repeats", "3", "--out", "tables"]) == 0
    assert seen == [["jobshop", "--out", "tables", "--repeats", "3"]]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[TrainConfig, Path]]:
    """What the command line asks a trainer to do; the trainer itself does nothing."""
    asked: list[tuple[TrainConfig, Path]] = []

    def train(config: TrainConfig, run: RunFolder) -> None:
        asked.append((config, run.path))

    module = ModuleType("training")
    module.train = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "makespan.agents.training", module)
    return asked


def test_train_applies_overrides(runs: list[tuple[TrainConfig, Path]], tmp_path: Path) -> None:
    """Guards the way from the command line to the trainer and to the config in the run folder."""
    run = tmp_path / "mine"
    words = ["--config", "jobshop_ppo.yaml", "--ppo.learning-rate", "3e-4", "--seed", "7", "--run", str(run)]
    assert cli.main(["train", *words]) == 0
    config, path = runs[0]
    assert (config.name, config.ppo.learning_rate, config.seed, path) == ("jobshop_ppo", 3e-4, 7, run)
    assert RunFolder.open(run).config == config


def test_train_resumes_only_when_asked(
    runs: list[tuple[TrainConfig, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Guards a finished run from the same command given twice, and resuming with nothing but its folder."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--seed", "7"]) == 0
    assert cli.main(["train", "--seed", "7"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert cli.main(["train", "--seed", "7", "--resume"]) == 0
    assert cli.main(["train", "--resume", "--run", "runs/jobshop_quickstart-seed7"]) == 0
    assert cli.main(["train", "--resume", "--run", "runs/jobshop_quickstart-seed7", "--seed", "8"]) == 2
    assert "seed: 7 there, 8 here" in capsys.readouterr().err
    assert [config.seed for config, _ in runs] == [7, 7, 7]


@pytest.mark.parametrize("script", ["train", "evaluate"])
def test_root_scripts(script: str) -> None:
    """Guards `python train.py` in a checkout, and its message where the suite is not installed."""
    path = str(ROOT / f"{script}.py")
    run = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, check=True)
    assert f"usage: makespan {script}" in run.stdout
    bare = subprocess.run([sys.executable, "-I", "-S", path], capture_output=True, text=True, check=False)
    assert bare.returncode == 1
    assert "pip install -e ." in bare.stderr
    assert "Traceback" not in bare.stderr


def test_python_m_makespan_is_the_console_script() -> None:
    """`python -m makespan` answers as `makespan` does."""
    done = subprocess.run(
        [sys.executable, "-m", "makespan", "list", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: makespan list")
