"""Schedules: what the constructor refuses, equality, and files that survive the trip."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makespan.envs.core.errors import InstanceFormatError, InvalidScheduleError
from makespan.envs.core.files import write_atomically
from makespan.envs.core.schedule import COLUMNS, Schedule

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    n = draw(st.integers(0, 6))
    columns = {key: draw(st.lists(INT64, min_size=n, max_size=n)) for key in COLUMNS}
    kind = draw(st.one_of(st.tuples(TEXT), st.lists(TEXT, min_size=n, max_size=n).map(tuple)))
    return Schedule(**columns, kind=kind if n else ("process",), name=draw(TEXT))


def example(**changes: object) -> Schedule:
    columns = {
        "job": [0, 1, 0],
        "task": [0, 0, 1],
        "resource": [0, 1, 1],
        "start": [0, 0, 4],
        "end": [3, 4, 9],
    }
    return Schedule(**(columns | {"kind": ("process", "process", "setup"), "name": "toy"} | changes))


def test_schedule__properties() -> None:
    """The derived numbers of a table worked by hand."""
    schedule = example()
    assert (len(schedule), schedule.num_rows, schedule.makespan) == (3, 3, 9)
    assert schedule.durations.tolist() == [3, 4, 5]
    assert schedule.kinds == ("process", "process", "setup")
    assert example(kind=("process",)).kinds == ("process",) * 3
    assert example(kind="setup").kinds == ("setup",) * 3  # not one kind a letter


def test_schedule__empty() -> None:
    """Before the first decision there is a schedule too, with makespan 0."""
    schedule = Schedule.empty("toy")
    assert (len(schedule), schedule.makespan, schedule.kinds) == (0, 0, ())
    assert schedule.sorted() == schedule


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"end": [3, 4]}, "end 2"),
        ({"start": [0, 0.5, 4]}, "start: 0.5 in row 1"),
        ({"start": [0, float("nan"), 4]}, "start: nan in row 1"),
        ({"end": np.array([3, 4, 2**63], np.uint64)}, "end: 9223372036854775808 in row 2"),
        ({"job": [True, False, True]}, "job: dtype bool"),
        ({"job": ["a", "b", "c"]}, "job: dtype"),
        ({"task": [[0, 0, 1]]}, r"task: shape \(1, 3\)"),
        ({"kind": ("process", "setup")}, "kind: 2 entries"),
        ({"kind": ()}, "kind: 0 entries"),
        ({"kind": (1, 2, 3)}, "kind: 3 entries"),
    ],
)
def test_schedule__refuses_malformed_columns(changes: dict[str, object], message: str) -> None:
    """Nothing is rounded, cut or broadcast in silence, and the error names the column."""
    with pytest.raises(InvalidScheduleError, match=message):
        example(**changes)


def test_schedule__columns_are_int64_copies() -> None:
    """A simulator may go on writing into its buffers without changing the schedule it handed out."""
    buffer = np.array([0, 0, 4], np.int32)
    schedule = example(start=buffer)
    buffer[:] = 99
    assert schedule.start.dtype == np.int64
    assert schedule.start.tolist() == [0, 0, 4]
    with pytest.raises(ValueError, match="read-only"):
        schedule.start[0] = 1


def test_schedule__equality_by_content() -> None:
    """Equal rows are equal whatever arrays hold them; each column, the kinds and the name count."""
    assert example() == example()
    assert example(kind=("a",)) == example(kind=("a", "a", "a"))
    for key in COLUMNS:
        assert example() != example(**{key: [7, 8, 9]})
    assert example() != example(kind=("process",))
    assert example() != example(name="other")
    assert example() != "toy"


def test_schedule__select_keeps_rows_together() -> None:
    """A row keeps its own kind when rows are picked by mask or by number."""
    assert example().select([2, 0]).kinds == ("setup", "process")
    assert example().select([False, False, True]).end.tolist() == [9]
    assert example().select(np.zeros(3, bool)).num_rows == example().select([]).num_rows == 0


def test_schedule__sorted_does_not_depend_on_row_order() -> None:
    """Two simulators that log the same events in different order agree after sorting."""
    shuffled = example().select([2, 1, 0])
    assert shuffled != example()
    assert shuffled.sorted() == example().sorted()
    assert shuffled.sorted().start.tolist() == [0, 0, 4]


@settings(deadline=None)  # a busy machine is no failure
@given(schedule=schedules())
def test_schedule__json_round_trip(schedule: Schedule, tmp_path_factory: pytest.TempPathFactory) -> None:
    """JSON loses nothing: 64-bit times, any kind and any name."""
    path = tmp_path_factory.mktemp("json") / "schedule.json"
    schedule.to_json(path)
    assert Schedule.from_json(path) == schedule


@settings(deadline=None)  # a busy machine is no failure
@given(schedule=schedules())
def test_schedule__csv_round_trip(schedule: Schedule, tmp_path_factory: pytest.TempPathFactory) -> None:
    """CSV keeps every row, also kinds with commas, quotes and line breaks; the name travels apart."""
    path = tmp_path_factory.mktemp("csv") / "schedule.csv"
    schedule.to_csv(path)
    assert Schedule.from_csv(path, name=schedule.name) == schedule


def test_schedule__csv_is_a_plain_table(tmp_path: Path) -> None:
    """A header and rows go out; columns in another order, a byte order mark and no kind come in."""
    path = tmp_path / "schedule.csv"
    example().to_csv(path)
    assert path.read_text().splitlines()[:2] == ["job,task,resource,start,end,kind", "0,0,0,0,3,process"]
    path.write_bytes("\ufeffend,start,resource,task,job\r\n3,1,2,0,5\r\n".encode())
    assert Schedule.from_csv(path) == Schedule([5], [0], [2], [1], [3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: column 'job' is missing"),
        ("job,task,resource,start\n", "line 1: column 'end' is missing"),
        ("job,task,resource,start,end,kid\n", "line 1: unknown column 'kid'; did you mean 'kind'"),
        ("job,task,resource,start,end,job\n", "line 1: column 'job' stands there twice"),
        ("job,task,resource,start,end\n0,0,0,0,1\n0,0,0,0\n", "line 3: 4 values; expected 5"),
        ("job,task,resource,start,end\n0,0,0,x,1\n", "line 2, start: 'x'"),
        ("job,task,resource,start,end\n0,0,0,1.5,1\n", "line 2, start: '1.5'"),
        ("job,task,resource,start,end\n0,0,0,0,9223372036854775808\n", "line 2, end: .*64 bits"),
    ],
)
def test_schedule__csv_errors_name_file_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    """A user can find the fault in a table of thousands of rows."""
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(InstanceFormatError, match=rf"broken\.csv, {message}"):
        Schedule.from_csv(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"job": [0, 1, 0],', '"job": [0, 1, 0]', "line 7: "),
        ('"version": 1', '"version": 2', '"version": 2; this release reads 1'),
        ("makespan-schedule", "other", '"format": "makespan-schedule"'),
        ('"start": [0, 0, 4]', '"start": [0, 0.5, 4]', '"start": expected a list of 64-bit integers'),
        ('"start": [0, 0, 4]', '"start": [0, true, 4]', '"start": expected'),
        ('"start": [0, 0, 4]', '"start": [0, 0, 9223372036854775808]', '"start": expected'),
        ('"start": [0, 0, 4]', '"start": 4', '"start": expected'),
        ('"start": [0, 0, 4]', '"begin": [0, 0, 4]', "key 'start' is missing"),
        ('"name": "toy"', '"name": "toy", "makespan": 9', "unknown key 'makespan'"),
        ('"name": "toy"', '"name": null', '"name": None'),
        ('"process", "process", "setup"', '"process", "setup"', "kind: 2 entries"),
        ("[3, 4, 9]", "[3, 4]", "end 2"),
        ("[3, 4, 9]", "[" * 100_000, "expected JSON"),
    ],
)
def test_schedule__json_errors_name_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Truncated, foreign, future and edited files are refused with the place of the fault."""
    path = tmp_path / "broken.json"
    example().to_json(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InstanceFormatError, match=r"broken\.json") as caught:
        Schedule.from_json(path)
    assert message in str(caught.value)


def test_schedule__binary_file_is_a_format_error(tmp_path: Path) -> None:
    """A picture given for a schedule is told as such, not as a decoding traceback."""
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InstanceFormatError, match=r"picture\.png: .*UTF-8"):
        Schedule.from_csv(path)


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_schedule__failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A disk that fills up while writing costs neither the old result nor leaves litter."""

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "schedule.json"
    example().to_json(path)
    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        Schedule.empty().to_json(path)
    assert Schedule.from_json(path) == example()
    assert [entry.name for entry in tmp_path.iterdir()] == ["schedule.json"]


def test_write_atomically__follows_links(tmp_path: Path) -> None:
    """Writing to `latest.json` keeps it a link and changes the file it stands for."""
    target, link = tmp_path / "run.json", tmp_path / "latest.json"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, "new\r\n")
    assert link.is_symlink()
    assert target.read_bytes() == b"new\r\n"
