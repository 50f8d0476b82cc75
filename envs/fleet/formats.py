"""A fleet's day as versioned JSON: lossless, readable, and checked when it is read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError
from makespan.envs.core.files import write_atomically
from makespan.envs.fleet.instance import ARRAYS, FleetDay, FleetParameters

_KIND: Final = "makespan/fleet-day"
_VERSION: Final = 1


def save(day: FleetDay, path: str | Path) -> None:
    """Write a day, an array a line."""
    head: dict[str, Any] = {
        "kind": _KIND,
        "version": _VERSION,
        "name": day.name,
        "parameters": dataclasses.asdict(day.parameters),
    }
    content = {**head, **{key: getattr(day, key).tolist() for key in ARRAYS}}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def load(path: str | Path) -> FleetDay:
    """Read a day.

    Raises:
        InstanceFormatError: Not JSON (the message names the line), not a day, or one that contradicts itself.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InstanceFormatError(f"{path}, line {error.lineno}: {error.msg}; expected JSON") from None
    except UnicodeDecodeError:
        raise InstanceFormatError(f"{path}: no UTF-8 text; expected JSON") from None
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise InstanceFormatError(f'{path}, line 1: expected an object with "kind": "{_KIND}"')
    if content.get("version") != _VERSION:
        raise InstanceFormatError(f"{path}: found version {content.get('version')!r}; expected {_VERSION}")
    known = {"kind", "version", "name", "parameters", *ARRAYS}
    for what, keys in (("unknown", set(content) - known), ("missing", known - set(content))):
        if keys:
            raise InstanceFormatError(f"{path}: {what} field {min(keys)!r}")
    try:
        parameters = FleetParameters(**content["parameters"])
        arrays = {key: _array(path, key, content[key]) for key in ARRAYS}
        return FleetDay(**arrays, parameters=parameters, name=str(content["name"]))
    except (InvalidInstanceError, TypeError) as error:
        raise InstanceFormatError(f"{path}: {error}") from error


def _array(path: str | Path, key: str, value: object) -> Any:
    try:
        array = np.array(value)
    except ValueError:
        raise InstanceFormatError(f"{path}: {key} is ragged; expected a regular array") from None
    if array.size and array.dtype.kind not in ("iuf" if key == "forecast" else "iu"):
        raise InstanceFormatError(f"{path}: {key} holds {array.dtype}; expected numbers")
    if array.size and array.dtype.kind in "iu" and np.abs(array).max() >= 2**31:
        raise InstanceFormatError(f"{path}: {key} holds a number beyond 32 bits")
    return array
