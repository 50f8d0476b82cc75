"""Transfer cells as versioned JSON: lossless, readable, and checked when it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError
from makespan.envs.core.files import write_atomically
from makespan.envs.transfer_robot.instance import TransferCell

ARRAYS: Final = (
    "process",
    "recipe",
    "chambers",
    "travel",
    "load_time",
    "unload_time",
    "hands",
    "home",
    "limit",
    "release",
    "delay",
)
_KIND: Final = "makespan/transfer-cell"
_VERSION: Final = 1
_KEYS: Final = {"kind", "version", "name", "penalty", *ARRAYS}


def save(cell: TransferCell, path: str | Path) -> None:
    """Write a cell, an array a line."""
    content: dict[str, Any] = {"kind": _KIND, "version": _VERSION, "name": cell.name, "penalty": cell.penalty}
    content |= {key: getattr(cell, key).tolist() for key in ARRAYS}
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def load(path: str | Path) -> TransferCell:
    """Read a cell.

    Raises:
        InstanceFormatError: Not JSON (the message names the line), no cell, or one that contradicts itself.
        OSError: The file cannot be opened.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InstanceFormatError(f"{path}, line {error.lineno}: {error.msg}; expected JSON") from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # no text, a number of thousands of digits, brackets without end
        raise InstanceFormatError(f"{path}: {error}; expected JSON") from None
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise InstanceFormatError(f'{path}: expected an object with "kind": "{_KIND}"')
    if content.get("version") != _VERSION:
        raise InstanceFormatError(f"{path}: version {content.get('version')!r}; expected {_VERSION}")
    odd = sorted(_KEYS ^ set(content))
    if odd:
        what = "missing" if odd[0] in _KEYS else "unknown"
        raise InstanceFormatError(f"{path}: {what} field {odd[0]!r}; expected {', '.join(sorted(_KEYS))}")
    if not isinstance(content["name"], str):
        raise InstanceFormatError(f"{path}: name: {content['name']!r}; expected a string")
    arrays = {key: _array(path, key, content[key]) for key in ARRAYS}
    try:
        return TransferCell(**arrays, penalty=content["penalty"], name=content["name"])
    except InvalidInstanceError as error:
        raise InstanceFormatError(f"{path}: {error}") from error


def _array(path: str | Path, key: str, value: object) -> np.ndarray[Any, Any]:
    try:
        array = np.array(value)
    except ValueError:
        raise InstanceFormatError(f"{path}: {key} is ragged; expected a regular array") from None
    if array.size == 0 or array.dtype.kind not in "iu":
        raise InstanceFormatError(f"{path}: {key}: {value!r:.80}; expected whole numbers")
    return array
