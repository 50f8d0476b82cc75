"""Files of blocking shops: the suite's JSON, which keeps everything, and all job-shop formats.

The JSON holds `kind` "makespan/blocking-shop", `version`, `name`, `swap`, `repeat`, `down` (a list of [machine, start, end]),
`stops` (a list of [operation, work done before, length]) and `shop`, the job shop in the suite's JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError
from makespan.envs.core.files import write_atomically
from makespan.envs.jobshop import formats as classic

_KIND: Final = "makespan/blocking-shop"
_VERSION: Final = 1
_KEYS: Final = {"kind", "version", "name", "swap", "repeat", "down", "stops", "shop"}


def load(path: str | Path) -> BlockingShopInstance:
    """Read the suite's JSON, or any job-shop format as a shop with swaps and without downtime.

    Raises:
        InstanceFormatError: The file is malformed; the message names file and place.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # no text, or no JSON
        content = None
    try:
        if isinstance(content, dict) and content.get("kind") == _KIND:
            return _read(content, str(path), path.stem)
        return BlockingShopInstance(classic.load(path))
    except InvalidInstanceError as error:
        raise InstanceFormatError(f"{path}: {error}") from error


def save(instance: BlockingShopInstance, path: str | Path) -> None:
    """Write the suite's JSON."""
    hit = np.flatnonzero(instance.stop_length)
    stops = np.stack([hit, instance.stop_after[hit], instance.stop_length[hit]], axis=1)
    content = {
        "kind": _KIND,
        "version": _VERSION,
        "name": instance.name,
        "swap": instance.swap,
        "repeat": instance.repeat,
        "down": instance.down.tolist(),
        "stops": stops.tolist(),
        "shop": json.loads(classic.dumps(instance.shop, "json")),
    }
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _read(content: dict[str, Any], source: str, name: str) -> BlockingShopInstance:
    if content.get("version") != _VERSION:
        raise InstanceFormatError(f"{source}: version {content.get('version')!r}; expected {_VERSION}")
    odd = sorted(_KEYS ^ set(content))
    if odd:
        what = "missing" if odd[0] in _KEYS else "unknown"
        raise InstanceFormatError(f"{source}: {what} field {odd[0]!r}; expected {', '.join(sorted(_KEYS))}")
    for key, kind in (("swap", bool), ("repeat", bool), ("name", str), ("shop", dict)):
        if not isinstance(content[key], kind):
            raise InstanceFormatError(f"{source}: {key}: {content[key]!r}; expected {kind.__name__}")
    shop = classic.loads(json.dumps(content["shop"]), source=f"{source}, shop", name=name, format="json")
    down = _triples(content["down"], source, "down", "[machine, start, end]")
    stops = _triples(content["stops"], source, "stops", "[operation, work done before, length]")
    after, length = np.zeros((2, shop.num_operations), np.int32)
    for operation, done, stop in stops:
        if not 0 <= operation < shop.num_operations:
            raise InstanceFormatError(
                f"{source}: stops: operation {operation}; expected 0..{shop.num_operations - 1}"
            )
        after[operation], length[operation] = done, stop
    return BlockingShopInstance(
        shop, content["swap"], content["repeat"], np.array(down), after, length, content["name"] or name
    )


def _triples(value: object, source: str, key: str, meaning: str) -> list[list[int]]:
    if not isinstance(value, list):
        raise InstanceFormatError(f"{source}: {key}: {value!r}; expected a list of {meaning}")
    for place, entry in enumerate(value):
        whole = isinstance(entry, list) and all(type(one) is int and abs(one) < 2**31 for one in entry)
        if not whole or len(entry) != 3:
            raise InstanceFormatError(
                f"{source}: {key}[{place}]: {entry!r}; expected whole numbers {meaning}"
            )
    return value
