"""Reading and writing shop files: the text formats of the field, recognised by their content, and JSON.

| name | layout of the numbers | machines from |
| --- | --- | --- |
| `standard` | `n m`; a line a job: `machine time` for each of m operations (OR-Library) | 0 |
| `taillard` | `n m` (more numbers may follow); n lines of m times; n lines of m machines | 1 |
| `dacol_teppan` | `n m`; a line a job: `machine time` for each operation, then `-1 -1`; jobs may be ragged | 0 |
| `fjs` | `n m flexibility`; a line a job: operations; for each: alternatives, `machine time` for each | 1 |
| `fjs0` | as `fjs`, without the flexibility figure in the header | 0 |
| `json` | our own and the only one that keeps release dates and names | 0 |

How a file is recognised: `{` opens JSON; a line of words about times or machines between numbers means
`taillard`; a line ending in `-1 -1` means `dacol_teppan`. Otherwise every reading whose counts and ranges fit exactly is a
candidate, and lines decide: n lines of 2m numbers are `standard`, 2n lines of m numbers `taillard`, n lines that
parse as jobs of alternatives `fjs` or `fjs0`. Three cases are ambiguous by nature, and settled thus:

- n lines of 2m numbers that also parse as `fjs0` (possible in tiny shops): `standard`, unless the file ends in `.fjs`.
- Flexible, machine numbers that avoid both 0 and m: from 1 if the header has a flexibility figure, from 0 if not.
- Re-wrapped lines that fit both `standard` and `taillard`: the reading in which every job visits every machine once;
  if that does not decide, an error asks for `format=`.

Lines that start with `#` or `+` are comments anywhere; lines of words are skipped before the header.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError
from makespan.envs.jobshop.formats_json import dump_json, load_json
from makespan.envs.jobshop.formats_text import Body, Jobs, read_body
from makespan.envs.jobshop.instance import ShopInstance

FORMATS = ("standard", "taillard", "dacol_teppan", "fjs", "fjs0", "json")
"""Names of the formats that `load` and `save` know."""


def load(path: str | Path, format: str | None = None) -> ShopInstance:  # noqa: A002
    """Read a shop from a file; its name is the file's stem (JSON keeps its own).

    Args:
        path: File to read.
        format: One of `FORMATS`; None recognises it.

    Raises:
        InstanceFormatError: The file is malformed; the message names file, line, what was found and what was expected.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InstanceFormatError(f"{path}: not a text file; expected one of {', '.join(FORMATS)}") from error
    return loads(text, source=str(path), name=path.stem, format=format)


def loads(text: str, *, source: str = "<text>", name: str = "", format: str | None = None) -> ShopInstance:  # noqa: A002
    """Read a shop from text.

    Args:
        text: Content of a file.
        source: What error messages call it; a suffix `.fjs` settles an ambiguity.
        name: Name of the instance, where the format carries none.
        format: One of `FORMATS`; None recognises it.

    Raises:
        InstanceFormatError: As in `load`.
    """
    if format is not None and format not in FORMATS:
        raise InstanceFormatError(f"unknown format {format!r}; expected one of {', '.join(FORMATS)}")
    text = text.removeprefix("\ufeff")
    try:
        if format == "json" or (format is None and text.lstrip().startswith("{")):
            return load_json(text, source, name)
        body = read_body(text, source)
        jobs = _READERS[format or _recognise(body)](body)
        return ShopInstance.from_alternatives(jobs, num_machines=body.num_machines, name=name)
    except InvalidInstanceError as error:
        raise InstanceFormatError(f"{source}: {error}") from error


def save(instance: ShopInstance, path: str | Path, format: str | None = None) -> None:  # noqa: A002
    """Write a shop to a file.

    Args:
        instance: The shop.
        path: File to write.
        format: One of `FORMATS`; None takes it from the suffix (`.json`, `.fjs`), else `standard`.

    Raises:
        InstanceFormatError: The format cannot express the shop.
    """
    path = Path(path)
    path.write_text(
        dumps(instance, format or {".json": "json", ".fjs": "fjs"}.get(path.suffix, "standard")),
        encoding="utf-8",
    )


def dumps(instance: ShopInstance, format: str = "standard") -> str:  # noqa: A002
    """The text `save` writes.

    Raises:
        InstanceFormatError: The format cannot express the shop.
    """
    if format not in FORMATS:
        raise InstanceFormatError(f"unknown format {format!r}; expected one of {', '.join(FORMATS)}")
    if format == "json":
        return dump_json(instance)
    if instance.release.any():
        raise InstanceFormatError(f"format {format!r} cannot express release dates; json can")
    jobs = alternatives_of(instance)
    if format in ("fjs", "fjs0"):
        return _write_fjs(instance, jobs, format)
    if instance.is_flexible:
        raise InstanceFormatError(f"format {format!r} cannot express alternative machines; fjs and json can")
    routes = [[operation[0] for operation in job] for job in jobs]
    head = f"{instance.num_jobs} {instance.num_machines}"
    if format == "dacol_teppan":
        lines = [_row([n for pair in route for n in pair] + [-1, -1]) for route in routes]
        return "\n".join([head, *lines, ""])
    if any(len(route) != instance.num_machines for route in routes):
        raise InstanceFormatError(
            f"format {format!r} wants {instance.num_machines} operations in every job; dacol_teppan, fjs and json do not"
        )
    if format == "taillard":
        times = [_row([duration for _, duration in route]) for route in routes]
        machines = [_row([machine + 1 for machine, _ in route]) for route in routes]
        return "\n".join([head, "Times", *times, "Machines", *machines, ""])
    return "\n".join([head, *(_row([n for pair in route for n in pair]) for route in routes), ""])


def alternatives_of(instance: ShopInstance) -> Jobs:
    """For each job and operation, its eligible (machine, duration) pairs: what `ShopInstance.from_alternatives` takes."""
    machines, durations = instance.machines.tolist(), instance.durations.tolist()
    rows = [
        [(m, d) for m, d in zip(*pair, strict=True) if m >= 0]
        for pair in zip(machines, durations, strict=True)
    ]
    first = instance.job_first.tolist()
    return [rows[a:b] for a, b in itertools.pairwise(first)]


def _row(numbers: list[int]) -> str:
    return " ".join(map(str, numbers))


def _write_fjs(instance: ShopInstance, jobs: Jobs, format: str) -> str:  # noqa: A002
    base = 1 if format == "fjs" else 0
    head = f"{instance.num_jobs} {instance.num_machines}"
    if base:
        pairs = sum(len(operation) for job in jobs for operation in job)
        head += f" {pairs / instance.num_operations:.2f}"
    lines = []
    for job in jobs:
        numbers = [len(job)]
        for operation in job:
            numbers.append(len(operation))
            numbers.extend(n for machine, duration in operation for n in (machine + base, duration))
        lines.append(_row(numbers))
    return "\n".join([head, *lines, ""])


def _read_standard(body: Body) -> Jobs:
    n, m = body.num_jobs, body.num_machines
    body.check_header("standard", 2)
    if len(body.lines) == n:
        body.check_widths("standard", range(n), 2 * m)
    body.check_total("standard", 2 * n * m)
    cursor = body.cursor("standard")
    return [[[cursor.pair(base=0)] for _ in range(m)] for _ in range(n)]


def _read_taillard(body: Body) -> Jobs:
    n, m = body.num_jobs, body.num_machines
    if len(body.lines) == 2 * n:
        body.check_widths("taillard", range(2 * n), m)
    body.check_total("taillard", 2 * n * m)
    cursor = body.cursor("taillard")
    times = [[cursor.duration() for _ in range(m)] for _ in range(n)]
    return [[[(cursor.machine(base=1), duration)] for duration in row] for row in times]


def _read_dacol_teppan(body: Body) -> Jobs:
    body.check_header("dacol_teppan", 2)
    cursor = body.cursor("dacol_teppan")
    jobs: Jobs = []
    while len(jobs) < body.num_jobs:
        route: list[list[tuple[int, int]]] = []
        while not cursor.take_end():
            route.append([cursor.pair(base=0)])
        if not route:
            raise cursor.error("a job without operations", "at least one before -1 -1")
        jobs.append(route)
    cursor.expect_end()
    return jobs


def _read_fjs(body: Body, base: int, format: str) -> Jobs:  # noqa: A002
    body.check_header(format, 3)
    if len(body.lines) != body.num_jobs:
        raise body.error_at_end(format, f"{len(body.lines)} lines of jobs", f"{body.num_jobs}, one a job")
    jobs: Jobs = []
    for line in range(body.num_jobs):
        cursor = body.cursor(format, line)
        jobs.append([cursor.alternatives(base) for _ in range(cursor.count("operations"))])
        cursor.expect_end()
    return jobs


_READERS: dict[str, Callable[[Body], Jobs]] = {
    "standard": _read_standard,
    "taillard": _read_taillard,
    "dacol_teppan": _read_dacol_teppan,
    "fjs": lambda body: _read_fjs(body, 1, "fjs"),
    "fjs0": lambda body: _read_fjs(body, 0, "fjs0"),
}


def _fits(body: Body, format: str) -> Jobs | None:  # noqa: A002
    try:
        return _READERS[format](body)
    except InstanceFormatError:
        return None


def _recognise(body: Body) -> str:
    """Name of the format; for a malformed file the likeliest, whose reader then says what is wrong."""
    if body.has_block_words:
        return "taillard"
    if any(numbers[-2:] == [-1, -1] for numbers in body.numbers):
        return "dacol_teppan"
    n, m = body.num_jobs, body.num_machines
    widths = [len(numbers) for numbers in body.numbers]
    fits = {name: jobs for name in _READERS if (jobs := _fits(body, name)) is not None}
    flexible = [name for name in ("fjs", "fjs0") if name in fits]
    if len(flexible) == 2:
        flexible = ["fjs" if body.flexibility is not None else "fjs0"]
    if flexible and ("standard" not in fits or body.source.endswith(".fjs")):
        return flexible[0]
    if "standard" in fits and "taillard" in fits and widths not in ([2 * m] * n, [m] * 2 * n):
        once = [
            k for k in ("standard", "taillard") if all(len({op[0][0] for op in job}) == m for job in fits[k])
        ]
        if len(once) != 1:
            raise InstanceFormatError(
                f"{body.source}: fits both standard and taillard; say which with format="
            )
        return once[0]
    if "taillard" in fits and (widths == [m] * 2 * n or "standard" not in fits):
        return "taillard"
    if "standard" in fits:
        return "standard"
    return _likeliest(body, widths)


def _likeliest(body: Body, widths: list[int]) -> str:
    m = body.num_machines
    if body.flexibility is not None or body.source.endswith(".fjs"):
        zero = any(0 in numbers[2::2] for numbers in body.numbers) and body.flexibility is None
        return "fjs0" if zero else "fjs"
    if len(body.header) > 2 or 2 * widths.count(m) > len(widths):
        return "taillard"
    if widths.count(2 * m) * 2 >= len(widths) or not widths:
        return "standard"
    return "fjs0" if len(set(widths)) > 2 and len(widths) == body.num_jobs else "standard"
