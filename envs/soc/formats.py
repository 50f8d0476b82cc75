"""JSON files of SoC instances: task graphs with a table of execution times, run once or as a stream of jobs.

A file holds one object or a list of objects. Each has

* `exec_time`: a list of tasks, each a list of us by PE; null where the PE cannot run the task;
* `edges`: a list of [source, target, volume], tasks counted from 0;

and may have

* `name`; `pes`, `tasks`, `profile_names`: names of the PEs, the tasks and the task graphs;
* `bandwidth`: M x M volume per us, 0 for at once; without it a volume is the us between different PEs, and 0 on one;
* `profiles`: sizes of the task graphs, in the order of the tasks, if there are several; they are joined by no edges;
* `jobs`: a list of [profile, arrival in us]; without it each profile is one job at time 0;
* `realised`: a list like `exec_time` with a row for each task of each job; `deviation`: the fraction of the expected times
  that is known to be their standard deviation;
* `cluster`: cluster of each PE (without it, each is one of its own); PEs of a cluster with the same times are of one type;
* `objective`: "latency", "makespan" (the default) or "energy"; `horizon`, `warm_up`, `max_jobs`;
* `power`: an object with `frequency`, `table`, `level` and `base` as in `PowerModel`;
* `comm`, `golden`, `provenance`, `source`, `description`: read by people only.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError
from makespan.envs.core.files import write_atomically
from makespan.envs.soc.instance import OBJECTIVES, SocInstance
from makespan.envs.soc.power import PowerModel

_REQUIRED: Final = ("exec_time", "edges")
_OPTIONAL: Final = (
    "name",
    "pes",
    "tasks",
    "profile_names",
    "bandwidth",
    "profiles",
    "jobs",
    "realised",
    "deviation",
    "cluster",
    "objective",
    "horizon",
    "warm_up",
    "max_jobs",
    "power",
)
_REMARKS: Final = ("comm", "golden", "provenance", "source", "description")
_LARGEST: Final = 2**31 - 1


def load(path: str | os.PathLike[str]) -> list[SocInstance]:
    """The instances of a JSON file.

    Raises:
        InstanceFormatError: The file is malformed; the message names the key and what was expected.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InstanceFormatError(
            f"{path}: {error.reason} at byte {error.start}; expected UTF-8 text"
        ) from error
    return loads(text, source=str(path), name=Path(path).stem)


def loads(text: str, *, source: str = "<text>", name: str = "") -> list[SocInstance]:
    """The instances of a JSON text.

    Args:
        text: The JSON.
        source: What error messages call it.
        name: Name of an instance that has none of its own; numbered where there are several.

    Raises:
        InstanceFormatError: As `load`.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InstanceFormatError(f"{source}, line {error.lineno}: {error.msg}; expected JSON") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
        raise InstanceFormatError(f"{source}: {error}; expected JSON") from error
    entries = content if isinstance(content, list) else [content]
    if not entries:
        raise InstanceFormatError(f"{source}: an empty list; expected at least one instance")
    many = isinstance(content, list)
    return [
        _Reader(f"{source}[{i}]" if many else source, entry).instance(f"{name}-{i}" if many else name)
        for i, entry in enumerate(entries)
    ]


class _Reader:
    """Reads one object; `where` is what messages call it."""

    def __init__(self, where: str, entry: object) -> None:
        self.where = where
        if not isinstance(entry, dict):
            raise InstanceFormatError(
                f"{where}: {_shown(entry)}; expected an object with {', '.join(_REQUIRED)}"
            )
        self.entry: dict[str, Any] = entry
        known = (*_REQUIRED, *_OPTIONAL, *_REMARKS)
        for key in _REQUIRED:
            if key not in entry:
                raise InstanceFormatError(
                    f'{where}: key "{key}" is missing; found {", ".join(entry) or "none"}'
                )
        for key in entry:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f'; did you mean "{near[0]}"?' if near else f"; known: {', '.join(known)}"
                raise InstanceFormatError(f'{where}: unknown key "{key}"{hint}')

    def instance(self, name: str) -> SocInstance:
        """The instance that the object describes."""
        execution = self._times("exec_time", self.entry["exec_time"])
        num_tasks, num_pes = execution.shape
        edges = self._rows("edges", 3, "[source task, target task, volume]")
        if edges.size and edges[:, :2].max() >= num_tasks:
            row = int(np.argmax(edges[:, :2].max(axis=1) >= num_tasks))
            self._fail(f"edges[{row}]", edges[row].tolist(), f"tasks 0..{num_tasks - 1}")
        sizes = self._list_of_whole("profiles", [num_tasks])
        if sum(sizes) != num_tasks or min(sizes) < 1:
            self._fail("profiles", sizes, f"sizes >= 1 that add up to the {num_tasks} tasks")
        jobs = self._rows("jobs", 2, "[profile, arrival]", [[p, 0] for p in range(len(sizes))])
        jobs = jobs[np.argsort(jobs[:, 1], kind="stable")]
        realised = self.entry.get("realised")
        cluster = np.array(self._list_of_whole("cluster", list(range(num_pes))), np.int32)
        if cluster.size != num_pes:
            self._fail("cluster", cluster.tolist(), f"{num_pes} numbers, one for each PE")
        pe_type, of_type = _types(cluster, execution)
        try:
            return SocInstance(
                task_first=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
                execution=execution[:, of_type],
                edge_source=edges[:, 0].astype(np.int32),
                edge_target=edges[:, 1].astype(np.int32),
                edge_volume=edges[:, 2],
                pe_type=pe_type,
                pe_cluster=cluster,
                bandwidth=self._bandwidth(num_pes),
                job_profile=jobs[:, 0].astype(np.int32),
                arrival=jobs[:, 1],
                realised=(
                    np.zeros((0, num_pes), np.int32) if not realised else self._times("realised", realised)
                ),
                deviation=self._deviation(),
                objective=self._objective(),
                horizon=self._whole("horizon", self.entry.get("horizon", 0)),
                warm_up=self._whole("warm_up", self.entry.get("warm_up", 0)),
                max_jobs=self._whole("max_jobs", self.entry.get("max_jobs", 0)),
                power=self._power(),
                pe_names=self._names("pes", num_pes),
                profile_names=self._names("profile_names", len(sizes)),
                task_names=self._names("tasks", num_tasks),
                name=self._name(name),
            )
        except InvalidInstanceError as error:
            raise InstanceFormatError(f"{self.where}: {error}") from error

    def _fail(self, key: str, found: object, expected: str) -> None:
        raise InstanceFormatError(f'{self.where}: "{key}": {_shown(found)}; expected {expected}')

    def _whole(self, key: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
            self._fail(key, value, "a whole number >= 0")
        assert isinstance(value, int)
        return value

    def _deviation(self) -> float:
        value = self.entry.get("deviation", 0)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            self._fail("deviation", value, "a number >= 0")
        return float(value)

    def _list(self, key: str, value: object) -> list[Any]:
        if not isinstance(value, list):
            self._fail(key, value, "a list")
        assert isinstance(value, list)
        return value

    def _list_of_whole(self, key: str, default: list[int]) -> list[int]:
        values = self._list(key, self.entry.get(key, default))
        return [self._whole(f"{key}[{i}]", value) for i, value in enumerate(values)]

    def _rows(
        self, key: str, width: int, form: str, default: list[list[int]] | None = None
    ) -> NDArray[np.int64]:
        """(n, width) whole numbers."""
        rows = self._list(key, self.entry.get(key, default))
        for i, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != width:
                self._fail(f"{key}[{i}]", row, form)
            for value in row:
                self._whole(f"{key}[{i}]", value)
        return np.array(rows, np.int64).reshape(-1, width)

    def _times(self, key: str, value: object) -> NDArray[np.int32]:
        """(n, M) us, -1 for null."""
        rows = self._list(key, value)
        if not rows or not isinstance(rows[0], list) or not rows[0]:
            self._fail(key, value, "a list of tasks, each a list of us by PE")
        for i, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != len(rows[0]):
                self._fail(f"{key}[{i}]", row, f"{len(rows[0])} times, as in the first row")
            for m, time in enumerate(row):
                if time is not None:
                    self._whole(f"{key}[{i}][{m}]", time)
        return np.array([[-1 if time is None else time for time in row] for row in rows], np.int32)

    def _bandwidth(self, num_pes: int) -> NDArray[np.int64]:
        if "bandwidth" not in self.entry:
            return 1 - np.eye(num_pes, dtype=np.int64)
        table = self._rows("bandwidth", num_pes, f"{num_pes} numbers, one for each PE")
        if len(table) != num_pes:
            self._fail("bandwidth", f"{len(table)} rows", f"{num_pes}, one for each PE")
        return table

    def _objective(self) -> Any:
        objective = self.entry.get("objective", "makespan")
        if objective not in OBJECTIVES:
            self._fail("objective", objective, f"one of {', '.join(OBJECTIVES)}")
        return objective

    def _names(self, key: str, count: int) -> tuple[str, ...]:
        names = self._list(key, self.entry.get(key, []))
        if names and (len(names) != count or not all(isinstance(name, str) for name in names)):
            self._fail(key, names, f"{count} texts")
        return tuple(names)

    def _name(self, default: str) -> str:
        name = self.entry.get("name", default)
        if not isinstance(name, str):
            self._fail("name", name, "a text")
        return str(name)

    def _power(self) -> PowerModel | None:
        if "power" not in self.entry:
            return None
        power = self.entry["power"]
        if not isinstance(power, dict) or set(power) != {"frequency", "table", "level", "base"}:
            self._fail("power", power, "an object with frequency, table, level and base")
        base = self._whole("power.base", power["base"])
        arrays: list[NDArray[Any]] = []
        for key in ("frequency", "table", "level"):
            try:
                array = np.array(power[key])
            except ValueError:
                array = np.array(None)
            if array.dtype.kind != "i":
                self._fail(f"power.{key}", power[key], "a regular array of whole numbers")
            arrays.append(array)
        return PowerModel(arrays[0], arrays[1], arrays[2], base)


def _types(cluster: NDArray[np.int32], times: NDArray[np.int32]) -> tuple[NDArray[np.int32], list[int]]:
    """Type of each PE (M,), and a PE of each type: those of one cluster with equal times are alike."""
    seen: dict[tuple[int, bytes], int] = {}
    first: list[int] = []
    kinds: list[int] = []
    for pe, number in enumerate(cluster.tolist()):
        key = number, times[:, pe].tobytes()
        if key not in seen:
            seen[key] = len(first)
            first.append(pe)
        kinds.append(seen[key])
    return np.array(kinds, np.int32), first


def _shown(value: object) -> str:
    text = json.dumps(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def save(instances: Sequence[SocInstance], path: str | os.PathLike[str]) -> None:
    """Write instances to a JSON file, one as an object, several as a list."""
    write_atomically(path, dumps(instances))


def dumps(instances: Sequence[SocInstance]) -> str:
    """Instances as JSON: one as an object, several as a list."""
    texts = ["{\n" + ",\n".join(_lines(instance)) + "\n}" for instance in instances]
    return (texts[0] if len(texts) == 1 else "[\n" + ",\n".join(texts) + "\n]") + "\n"


def _lines(instance: SocInstance) -> list[str]:
    """A line for each key, and one for each task of the tables."""
    edges = np.stack([instance.edge_source, instance.edge_target, instance.edge_volume], axis=1)
    jobs = np.stack([instance.job_profile, instance.arrival], axis=1)
    fields: dict[str, Any] = {
        "name": instance.name,
        "objective": instance.objective,
        "pes": list(instance.pe_names),
        "tasks": list(instance.task_names),
        "profile_names": list(instance.profile_names),
        "exec_time": _nullable(instance.durations),
        "edges": edges.tolist(),
        "bandwidth": instance.bandwidth.tolist(),
        "cluster": instance.pe_cluster.tolist(),
        "profiles": np.diff(instance.task_first).tolist(),
        "jobs": jobs.tolist(),
        "horizon": instance.horizon,
        "warm_up": instance.warm_up,
        "max_jobs": instance.max_jobs,
    }
    if not instance.is_deterministic:
        fields["realised"] = _nullable(instance.realised)
        fields["deviation"] = instance.deviation
    if (power := instance.power) is not None:
        arrays = {key: getattr(power, key).tolist() for key in ("frequency", "table", "level")}
        fields["power"] = {**arrays, "base": power.base}
    lines = []
    for key, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], list):
            rows = ",\n    ".join(json.dumps(row) for row in value)
            lines.append(f'  "{key}": [\n    {rows}\n  ]')
        else:
            lines.append(f'  "{key}": {json.dumps(value)}')
    return lines


def _nullable(times: NDArray[np.int32]) -> list[list[int | None]]:
    return [[None if time < 0 else time for time in row] for row in times.tolist()]
