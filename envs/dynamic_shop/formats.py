"""Files of dynamic shops: the suite's JSON, which keeps everything.

It holds `kind` "makespan/dynamic-shop", `version`, `name`, `objective`, `warm_up`, `cool_down`, `due`, `weight`, `down` (a list
of [machine, start, end]), `realised` (a list for each operation, true durations on its eligible machines; empty: the
forecasts) and `shop`, the job shop in the suite's JSON, whose release dates are the arrivals.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError
from makespan.envs.core.files import write_atomically
from makespan.envs.dynamic_shop.instance import DynamicShopInstance
from makespan.envs.jobshop import formats as classic

_KIND: Final = "makespan/dynamic-shop"
_VERSION: Final = 1
_NUMBERS: Final = ("warm_up", "cool_down")
_LISTS: Final = ("due", "weight")
_KEYS: Final = {
    "kind",
    "version",
    "name",
    "objective",
    *_NUMBERS,
    *_LISTS,
    "down",
    "realised",
    "shop",
}


def load(path: str | Path) -> DynamicShopInstance:
    """Read the suite's JSON.

    Raises:
        InstanceFormatError: The file is malformed; the message names file and place.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InstanceFormatError(f"{path}, line {error.lineno}: {error.msg}; expected JSON") from error
    except (ValueError, RecursionError) as error:
        raise InstanceFormatError(f"{path}: {error}; expected JSON") from error
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise InstanceFormatError(f'{path}: expected an object with "kind": "{_KIND}"')
    try:
        return _read(content, str(path), path.stem)
    except InvalidInstanceError as error:
        raise InstanceFormatError(f"{path}: {error}") from error


def save(instance: DynamicShopInstance, path: str | Path) -> None:
    """Write the suite's JSON."""
    shop = instance.shop
    realised = [
        row[:count].tolist()
        for row, count in zip(instance.realised, (shop.machines >= 0).sum(axis=1), strict=True)
    ]
    exact = np.array_equal(instance.realised, shop.durations)
    content = {
        "kind": _KIND,
        "version": _VERSION,
        "name": instance.name,
        "objective": instance.objective,
        **{key: getattr(instance, key) for key in _NUMBERS},
        **{key: getattr(instance, key).tolist() for key in _LISTS},
        "down": instance.down.tolist(),
        "realised": [] if exact else realised,
        "shop": json.loads(classic.dumps(shop, "json")),
    }
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _read(content: dict[str, Any], source: str, name: str) -> DynamicShopInstance:
    if content.get("version") != _VERSION:
        raise InstanceFormatError(f"{source}: version {content.get('version')!r}; expected {_VERSION}")
    odd = sorted(_KEYS ^ set(content))
    if odd:
        what = "missing" if odd[0] in _KEYS else "unknown"
        raise InstanceFormatError(f"{source}: {what} field {odd[0]!r}; expected {', '.join(sorted(_KEYS))}")
    for key, kind in (("name", str), ("objective", str), ("shop", dict)):
        if not isinstance(content[key], kind):
            raise InstanceFormatError(f"{source}: {key}: {content[key]!r}; expected {kind.__name__}")
    for key in _NUMBERS:
        _whole(content[key], source, key)
    shop = classic.loads(json.dumps(content["shop"]), source=f"{source}, shop", name=name, format="json")
    down = _rows(content["down"], source, "down")
    if any(len(row) != 3 for row in down):
        raise InstanceFormatError(f"{source}: down: expected a list of [machine, start, end]")
    realised = np.zeros(0, np.int32)
    if content["realised"]:
        realised = np.zeros(shop.machines.shape, np.int32)
        rows, counts = _rows(content["realised"], source, "realised"), (shop.machines >= 0).sum(axis=1)
        if [len(row) for row in rows] != counts.tolist():
            raise InstanceFormatError(
                f"{source}: realised: expected for each of {len(counts)} operations one duration an eligible machine"
            )
        for operation, row in enumerate(rows):
            realised[operation, : len(row)] = row
    return DynamicShopInstance(
        shop,
        np.array(_whole_list(content["due"], source, "due"), np.int32),
        np.array(_whole_list(content["weight"], source, "weight"), np.int32),
        realised,
        np.array(down, np.int32),
        content["warm_up"],
        content["cool_down"],
        content["objective"],
        content["name"] or name,
    )


def _rows(value: object, source: str, key: str) -> list[list[int]]:
    if not isinstance(value, list):
        raise InstanceFormatError(f"{source}: {key}: {value!r}; expected a list")
    return [_whole_list(row, source, f"{key}[{place}]") for place, row in enumerate(value)]


def _whole_list(value: object, source: str, key: str) -> list[int]:
    if not isinstance(value, list):
        raise InstanceFormatError(f"{source}: {key}: {value!r}; expected a list of whole numbers")
    return [_whole(entry, source, f"{key}[{place}]") for place, entry in enumerate(value)]


def _whole(value: object, source: str, key: str) -> int:
    if type(value) is not int or abs(value) >= 2**31:
        raise InstanceFormatError(f"{source}: {key}: {value!r}; expected a whole number of 32 bits")
    return value
