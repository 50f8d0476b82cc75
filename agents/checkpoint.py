"""Checkpoints: weights and JSON in one file, written atomically; loading executes no code."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np

from makespan.envs.core.errors import MakespanError, UnknownNameError
from makespan.envs.registration import env_ids, get_family

Tensors = dict[str, Any]
Generators = Mapping[str, np.random.Generator]

FORMAT: Final = 1
_LOGGER = logging.getLogger(__name__)


class CheckpointError(MakespanError, RuntimeError):
    """A checkpoint that cannot be written or read; the message names the file and a remedy."""


def save_checkpoint(path: str | Path, tensors: Mapping[str, Any], meta: Mapping[str, object]) -> Path:
    """Write a checkpoint so that a crash or a full disk leaves the file that was there before.

    Args:
        path: Where to; `.pt` is appended where it is missing.
        tensors: Nested state dicts: tensors, numbers, strings, and lists and mappings of them.
        meta: JSON that describes them: config, counters, random states.

    Returns:
        The path written.

    Raises:
        CheckpointError: The disk is full or the folder cannot be written.
    """
    import torch

    path = Path(path)
    if path.suffix != ".pt":
        path = path.with_name(path.name + ".pt")
    content = {"format": FORMAT, "tensors": dict(tensors), "meta": json.dumps(meta, allow_nan=False)}
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch's archive writer reports a full disk as a RuntimeError
        reason = f"cannot write checkpoint {path}: {error}; the state saved before, if any, is untouched"
        raise CheckpointError(f"{reason}. Free disk space or choose another folder, then resume.") from error
    finally:
        with contextlib.suppress(OSError):  # gone already where the writing succeeded
            temporary.unlink()
    return path


def load_checkpoint(path: str | Path, device: str = "cpu") -> tuple[Tensors, dict[str, Any]]:
    """The (tensors, meta) that `save_checkpoint` wrote, on `device`.

    Raises:
        CheckpointError: No such file, or one that is truncated, damaged or no checkpoint of this suite.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; train one with `makespan train`")
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not verify the checksums it writes
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"wrong checksum of {damaged}")
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # zipfile and torch raise half a dozen types for damaged files
        first = str(error).strip().partition("\n")[0][:200]
        raise CheckpointError(f"checkpoint {path} is truncated or damaged ({first}); {_REMEDY}") from error
    if not isinstance(content, dict) or not {"format", "tensors", "meta"} <= content.keys():
        raise CheckpointError(f"{path} is no checkpoint of this suite; {_REMEDY}")
    if content["format"] != FORMAT:
        raise CheckpointError(f"{path} has format {content['format']}; this version reads format {FORMAT}")
    return content["tensors"], json.loads(content["meta"])


_REMEDY: Final = "use another checkpoint (`previous.pt` in the same folder), or train again"


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """The checkpoints of a run: `last.pt`, and `previous.pt` in case the last one is lost.

    Attributes:
        folder: Where they are.
    """

    folder: Path

    def save(self, tensors: Mapping[str, Any], meta: Mapping[str, object]) -> Path:
        """Make this state the last one, and the last one the previous."""
        fresh = save_checkpoint(self.folder / "next.pt", tensors, meta)
        last = self.folder / "last.pt"
        try:
            if last.exists():
                os.replace(last, self.folder / "previous.pt")
            os.replace(fresh, last)
        except OSError as error:
            raise CheckpointError(f"cannot rotate the checkpoints in {self.folder}: {error}") from error
        return last

    def exists(self) -> bool:
        """Whether any state was saved."""
        return any((self.folder / name).exists() for name in ("last.pt", "previous.pt"))

    def resume(self, device: str = "cpu") -> tuple[Tensors, dict[str, Any]] | None:
        """The newest readable state, None where none was ever saved.

        Raises:
            CheckpointError: There are checkpoints, but none can be read.
        """
        failure: CheckpointError | None = None
        for name in ("last.pt", "previous.pt"):
            path = self.folder / name
            if not path.exists():
                continue
            try:
                return load_checkpoint(path, device)
            except CheckpointError as error:
                _LOGGER.warning("%s", error)
                failure = failure or error
        if failure is not None:
            raise CheckpointError(f"no readable checkpoint in {self.folder}: {failure}") from failure
        return None


def capture_rng(generators: Generators | None = None) -> dict[str, Any]:
    """The state of torch's generators and of the given NumPy ones, as JSON."""
    import torch

    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]
    return {
        "torch": [base64.b64encode(state.numpy().tobytes()).decode() for state in states],
        "numpy": {name: generator.bit_generator.state for name, generator in (generators or {}).items()},
    }


def restore_rng(
    state: Mapping[str, Any], generators: Mapping[str, np.random.Generator] | None = None
) -> None:
    """Set torch's generators and the given NumPy ones to a captured state.

    Raises:
        CheckpointError: A generator has no captured state.
    """
    import torch

    cpu, *cuda = [
        torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8) for text in state["torch"]
    ]
    torch.set_rng_state(cpu)
    if torch.cuda.is_available() and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)
    for name, generator in (generators or {}).items():
        if name not in state["numpy"]:
            raise CheckpointError(f"the checkpoint holds no state of the random generator {name!r}")
        generator.bit_generator.state = state["numpy"][name]


def pretrained_names() -> list[str]:
    """Names of the shipped checkpoints, without `.pt`."""
    folder = resources.files("makespan.agents") / "pretrained"
    if not folder.is_dir():
        return []
    return sorted(entry.name.removesuffix(".pt") for entry in folder.iterdir() if entry.name.endswith(".pt"))


def pretrained_path(name: str) -> Path:
    """The shipped checkpoint of that name, or of an environment id: `makespan/JobShop-v0` means `jobshop`.

    Where a family has one environment only, its weights may be named after the family.

    Raises:
        UnknownNameError: None is shipped under that name.
    """
    known = pretrained_names()
    wanted = {_plain(name)}
    if name in env_ids() and len((family := get_family(name)).env_ids) == 1:
        wanted.add(_plain(family.name))
    for candidate in known:
        if _plain(candidate) in wanted:
            return Path(str(resources.files("makespan.agents"))) / "pretrained" / f"{candidate}.pt"
    raise UnknownNameError("pretrained agent", name, known)


def _plain(name: str) -> str:
    """`makespan/FlexibleJobShop-v0` and `flexible_jobshop` as one."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"-v\d+$", "", name.rpartition("/")[2].lower()))
