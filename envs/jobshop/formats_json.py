"""The suite's own JSON for shops: lossless, with release dates and the name."""

from __future__ import annotations

import itertools
import json

from makespan.envs.core.errors import InstanceFormatError
from makespan.envs.jobshop.instance import ShopInstance

_KIND, _VERSION = "makespan/shop", 1
_LARGEST = 2**31 - 1


def dump_json(instance: ShopInstance) -> str:
    """JSON with a line a job: operations, each a list of its eligible [machine, duration] pairs."""
    first = instance.job_first.tolist()
    machines, durations = instance.machines.tolist(), instance.durations.tolist()
    rows = [
        [[m, d] for m, d in zip(ms, ds, strict=True) if m >= 0]
        for ms, ds in zip(machines, durations, strict=True)
    ]
    jobs = ",\n    ".join(json.dumps(rows[a:b]) for a, b in itertools.pairwise(first))
    head = {
        "kind": _KIND,
        "version": _VERSION,
        "name": instance.name,
        "num_machines": instance.num_machines,
        "release": instance.release.tolist(),
    }
    fields = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    return "{\n" + ",\n".join([*fields, f'  "jobs": [\n    {jobs}\n  ]']) + "\n}\n"


def load_json(text: str, source: str, name: str) -> ShopInstance:
    """Read what `dump_json` writes.

    Args:
        text: The JSON.
        source: What error messages call the file.
        name: Name of the instance if the JSON has none.

    Raises:
        InstanceFormatError: Not JSON (the message names the line), or not a shop (it names the place, e.g. `jobs[2][0]`).
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InstanceFormatError(f"{source}, line {error.lineno}: {error.msg}; expected JSON") from None
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise InstanceFormatError(f'{source}, line 1: expected an object with "kind": "{_KIND}"')
    if content.get("version") != _VERSION:
        raise InstanceFormatError(f"{source}: found version {content.get('version')!r}; expected {_VERSION}")
    unknown = sorted(set(content) - {"kind", "version", "name", "num_machines", "release", "jobs"})
    if unknown:
        raise InstanceFormatError(f"{source}: found the unknown field {unknown[0]!r}")
    jobs = [
        [
            [
                _pair(pair, source, f"jobs[{j}][{k}][{a}]")
                for a, pair in enumerate(_list(operation, source, f"jobs[{j}][{k}]"))
            ]
            for k, operation in enumerate(_list(job, source, f"jobs[{j}]"))
        ]
        for j, job in enumerate(_list(content.get("jobs"), source, "jobs"))
    ]
    num_machines = _whole(content.get("num_machines"), source, "num_machines")
    for j, job in enumerate(jobs):
        for k, operation in enumerate(job):
            for machine, _ in operation:
                if machine >= num_machines:
                    raise InstanceFormatError(
                        f"{source}: jobs[{j}][{k}]: found machine {machine}; expected 0..{num_machines - 1}"
                    )
    title = content.get("name", "")
    if not isinstance(title, str):
        raise InstanceFormatError(f"{source}: name: found {title!r}; expected a text")
    release = content.get("release", [])
    if not isinstance(release, list):
        raise InstanceFormatError(f"{source}: release: found {release!r}; expected a list")
    return ShopInstance.from_alternatives(
        jobs,
        num_machines=num_machines,
        release=[_whole(value, source, f"release[{j}]") for j, value in enumerate(release)],
        name=title or name,
    )


def _list(value: object, source: str, place: str) -> list[object]:
    if not isinstance(value, list) or not value:
        raise InstanceFormatError(f"{source}: {place}: found {value!r}; expected a list that is not empty")
    return value


def _whole(value: object, source: str, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise InstanceFormatError(f"{source}: {place}: found {value!r}; expected a whole number >= 0")
    return value


def _pair(value: object, source: str, place: str) -> tuple[int, int]:
    pair = _list(value, source, place)
    if len(pair) != 2:
        raise InstanceFormatError(f"{source}: {place}: found {value!r}; expected [machine, duration]")
    return _whole(pair[0], source, place), _whole(pair[1], source, place)
