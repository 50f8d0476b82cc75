"""The JSON of memory programs: a table each of operations, tensors and accesses, column by column."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, Final

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError
from makespan.envs.core.files import write_atomically
from makespan.envs.memory.program import MemoryProgram

KIND: Final = "makespan/memory-program"
VERSION: Final = 1
_TABLES: Final[dict[str, dict[str, type]]] = {
    "op": {"name": str, "region": int, "flops": int, "vector_flops": int},
    "region": {"name": str},
    "tensor": {"name": str, "size": int, "kind": int, "alias": int},
    "access": {"op": int, "tensor": int, "bytes": int, "write": int},
}
_LARGEST: Final = 2**63 - 1


def dump_json(program: MemoryProgram) -> str:
    """JSON with a line for each column; whole numbers only, `write` as 0 or 1."""
    lines = [
        f'"kind":{json.dumps(KIND)},"version":{VERSION}',
        f'"name":{json.dumps(program.name)},"source":{json.dumps(program.source)}',
    ]
    for table, columns in _TABLES.items():
        rows = []
        for column in columns:
            values = getattr(program, f"{table}_{column}")
            if column == "write":
                values = values.astype(int)
            shown = list(values) if column == "name" else values.tolist()
            rows.append(f'"{column}":{json.dumps(shown, separators=(",", ":"))}')
        lines.append(f'"{table}":{{\n' + ",\n".join(rows) + "}")
    return "{" + ",\n".join(lines) + "}\n"


def load_json(text: str, source: str = "<text>", name: str = "") -> MemoryProgram:
    """Read what `dump_json` writes.

    Args:
        text: The JSON.
        source: What error messages call the file.
        name: Name of the program if the JSON has none.

    Raises:
        InstanceFormatError: Not JSON (the message names the line), or not a program (it names the place, e.g. `tensor.size[3]`).
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InstanceFormatError(f"{source}, line {error.lineno}: {error.msg}; expected JSON") from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise InstanceFormatError(f'{source}: expected an object with "kind": "{KIND}"')
    if content.get("version") != VERSION:
        raise InstanceFormatError(f"{source}: version {content.get('version')!r}; expected {VERSION}")
    _expect_fields(content, {"kind", "version", "name", "source", *_TABLES}, source, "")
    fields: dict[str, Any] = {}
    for table, columns in _TABLES.items():
        rows = content.get(table)
        if not isinstance(rows, dict):
            raise InstanceFormatError(f"{source}: {table}: found {_short(rows)}; expected columns")
        _expect_fields(rows, set(columns), source, f"{table}.")
        for column, kind in columns.items():
            values = _column(rows.get(column), kind, source, f"{table}.{column}")
            if column == "write":
                _expect_flags(values, source)
                values = [bool(v) for v in values]
            fields[f"{table}_{column}"] = values
    texts = {key: content.get(key, "") for key in ("name", "source")}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise InstanceFormatError(f"{source}: {key}: found {_short(value)}; expected a text")
    try:
        return MemoryProgram(name=texts["name"] or name, source=texts["source"], **fields)
    except InvalidInstanceError as error:
        raise InstanceFormatError(f"{source}: {error}") from error


def load(path: str | Path) -> MemoryProgram:
    """Read a program from a file, gzipped if its name ends in `.gz`.

    Raises:
        InstanceFormatError: The file is malformed; the message names file and place.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        text = data.decode("utf-8")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InstanceFormatError(f"{path}: {error}; expected gzipped JSON") from error
    except UnicodeDecodeError as error:
        raise InstanceFormatError(f"{path}: not a text file; expected JSON") from error
    return load_json(text, str(path), path.name.removesuffix(".gz").removesuffix(".json"))


def save(program: MemoryProgram, path: str | Path) -> None:
    """Write a program to a file, gzipped if its name ends in `.gz`; equal programs give equal bytes."""
    text = dump_json(program)
    if Path(path).suffix == ".gz":
        write_atomically(path, gzip.compress(text.encode(), 9, mtime=0))
    else:
        write_atomically(path, text)


def _expect_fields(found: dict[str, Any], known: set[str], source: str, prefix: str) -> None:
    unknown = sorted(set(found) - known)
    if unknown:
        raise InstanceFormatError(
            f"{source}: unknown field {prefix}{unknown[0]}; expected {', '.join(sorted(known))}"
        )


def _column(values: object, kind: type, source: str, place: str) -> list[Any]:
    if not isinstance(values, list):
        raise InstanceFormatError(f"{source}: {place}: found {_short(values)}; expected a list")
    for row, value in enumerate(values):
        if type(value) is not kind or (isinstance(value, int) and abs(value) > _LARGEST):
            expected = "a text" if kind is str else "a whole number of 64 bits"
            raise InstanceFormatError(f"{source}: {place}[{row}]: found {_short(value)}; expected {expected}")
    return values


def _expect_flags(values: list[int], source: str) -> None:
    for row, value in enumerate(values):
        if value not in (0, 1):
            raise InstanceFormatError(f"{source}: access.write[{row}]: found {value}; expected 0 or 1")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
