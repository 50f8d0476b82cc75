"""The folder of a training run: resolved config, metrics, checkpoints and report.

runs/jobshop_quickstart-seed0/
    config.yaml            every key resolved
    metrics.jsonl          one row a log call: stage, step and numbers
    events.out.tfevents.*  the same for TensorBoard
    checkpoints/           last.pt, previous.pt
    report/                evaluation of the trained agent
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from makespan.agents.checkpoint import CheckpointStore, Tensors
from makespan.agents.config import TrainConfig, from_yaml, to_dict, to_yaml
from makespan.agents.typed_config import flatten
from makespan.envs.core.errors import MakespanError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_METRIC_ROWS: Final = "metric_rows"
_LOGGER = logging.getLogger(__name__)


class RunFolderError(MakespanError, RuntimeError):
    """A run folder that is missing, taken by another run or cannot be written."""


class RunFolder:
    """Keeps what a run leaves behind, so that an interrupted run goes on as if it had never stopped.

    Attributes:
        path: The folder.
        config: The run's resolved config.
        checkpoints: Its last and previous state.
    """

    def __init__(self, path: Path, config: TrainConfig, *, tensorboard: bool = True) -> None:
        self.path = path
        self.config = config
        self.checkpoints = CheckpointStore(path / "checkpoints")
        self._tensorboard = tensorboard
        self._writer: SummaryWriter | None = None
        self._rows = _count_rows(self.metrics_path)

    @classmethod
    def create(
        cls,
        config: TrainConfig,
        root: str | Path = "runs",
        name: str | None = None,
        *,
        resume: bool = False,
        tensorboard: bool = True,
    ) -> RunFolder:
        """The folder `root/name` of a run; a new one, or with `resume` the one where the same config ran.

        Args:
            config: The run's config.
            root: Folder of all runs.
            name: Of this run; by default its config's name and seed.
            resume: Go on in a folder that exists already.
            tensorboard: Whether to write TensorBoard events.

        Raises:
            RunFolderError: The folder holds a run and `resume` is off, or the run has another config.
        """
        path = Path(root) / (name or f"{config.name}-seed{config.seed}")
        if (path / "config.yaml").exists():
            run = cls.open(path, tensorboard=tensorboard)
            _refuse_other_config(path, run.config, config)
            if not resume:
                hint = "pass --resume to go on with it, or --run for another folder"
                raise RunFolderError(f"{path} holds a run already; {hint}")
            return run
        if path.exists() and any(path.iterdir()):
            raise RunFolderError(f"{path} exists, is not empty and holds no run; choose another folder")
        try:
            (path / "report").mkdir(parents=True, exist_ok=True)
            (path / "checkpoints").mkdir(exist_ok=True)
            (path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
        except OSError as error:
            raise RunFolderError(f"cannot create the run folder {path}: {error}") from error
        return cls(path, config, tensorboard=tensorboard)

    @classmethod
    def open(cls, path: str | Path, *, tensorboard: bool = True) -> RunFolder:
        """The run in an existing folder.

        Raises:
            RunFolderError: There is no run.
            ConfigError: Its config cannot be read by this version.
        """
        path = Path(path)
        config = path / "config.yaml"
        if not config.is_file():
            raise RunFolderError(f"{path} holds no run: it has no config.yaml")
        text = config.read_text(encoding="utf-8")
        return cls(path, from_yaml(text, source=str(config)), tensorboard=tensorboard)

    @property
    def metrics_path(self) -> Path:
        """The metrics, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def report_path(self) -> Path:
        """The folder of the final report."""
        return self.path / "report"

    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row of metrics; a number that is not finite becomes null.

        Args:
            stage: "imitation", "self_labelling", "ppo", "evaluation" ...
            step: Counts within the stage.
            metrics: Named numbers.
        """
        numbers = {key: _finite(value) for key, value in metrics.items()}
        row = {"stage": stage, "step": int(step)} | numbers
        with open(self.metrics_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
        self._rows += 1
        if self._tensorboard:
            if self._writer is None:
                self._open_writer()
            else:
                self._write_events(row)

    def metrics(self) -> list[dict[str, Any]]:
        """All rows logged so far."""
        if not self.metrics_path.exists():
            return []
        rows = self.metrics_path.read_text(encoding="utf-8").split("\n")
        return [json.loads(row) for row in rows[:-1]]  # the last is empty, or cut short by a crash

    def save(self, tensors: Mapping[str, Any], meta: Mapping[str, object]) -> Path:
        """Checkpoint the run: the trainer's state, and how much of the metrics belongs to it."""
        if self.metrics_path.exists():
            with open(self.metrics_path, "rb") as file:
                os.fsync(file.fileno())
        return self.checkpoints.save(tensors, {**meta, _METRIC_ROWS: self._rows})

    def resume(self, device: str = "cpu") -> tuple[Tensors, dict[str, Any]] | None:
        """The newest readable state, with the metrics cut back to it; None, and no metrics, without one.

        Raises:
            CheckpointError: There are checkpoints, but none can be read.
        """
        state = self.checkpoints.resume(device)
        keep = 0 if state is None else int(state[1].pop(_METRIC_ROWS, 0))
        if keep > self._rows:
            _LOGGER.warning("%s lost %d rows", self.metrics_path, keep - self._rows)
        self._truncate_metrics(keep)
        return state

    def close(self) -> None:
        """Flush and close the TensorBoard events."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _truncate_metrics(self, rows: int) -> None:
        if not self.metrics_path.exists():
            return
        kept = self.metrics_path.read_bytes().splitlines(keepends=True)[:rows]
        temporary = self.metrics_path.with_suffix(".tmp")
        temporary.write_bytes(b"".join(kept))
        os.replace(temporary, self.metrics_path)
        self._rows = len(kept)

    def _open_writer(self) -> None:
        """Write the events afresh from the metrics, which hold nothing of an interrupted run's lost end."""
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        for stale in self.path.glob("events.out.tfevents.*"):
            stale.unlink()
        self._writer = SummaryWriter(str(self.path))  # type: ignore[no-untyped-call]
        for row in self.metrics():
            self._write_events(row)

    def _write_events(self, row: Mapping[str, Any]) -> None:
        for key, number in row.items():
            if self._writer is not None and key not in ("stage", "step") and number is not None:
                self._writer.add_scalar(f"{row['stage']}/{key}", number, row["step"])  # type: ignore[no-untyped-call]


def _refuse_other_config(path: Path, there: TrainConfig, wanted: TrainConfig) -> None:
    old, new = dict(flatten(to_dict(there))), dict(flatten(to_dict(wanted)))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if keys:
        shown = "; ".join(f"{key}: {old.get(key)!r} there, {new.get(key)!r} here" for key in keys[:5])
        more = f"; and {len(keys) - 5} more" if len(keys) > 5 else ""
        raise RunFolderError(f"{path} holds a run of another config ({shown}{more}); choose another folder")


def _count_rows(path: Path) -> int:
    """Whole lines; one cut short by a crash does not count."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _finite(value: float) -> float | int | None:
    number = value if isinstance(value, int) else float(value)
    return number if math.isfinite(number) else None
