"""MiniMalloc's CSV: aliases, inclusive ends, gaps, the first empty line, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plain_allocation import small_problem

from makespan.envs.core.errors import InstanceFormatError
from makespan.envs.memory.allocation_benchmark import load_instance
from makespan.envs.memory.allocation_formats import capacity_in_name, load, parse, save, to_text
from makespan.envs.memory.allocation_instance import AllocationProblem

EXAMPLE = "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\nb4,9,21,4\nb5,0,21,4\n"


def test_example_of_the_format() -> None:
    """Five buffers of the format's own example; the same with inclusive ends and other names and order of columns."""
    problem = parse(EXAMPLE, capacity=12)
    assert problem == load_instance("minimalloc-example")
    assert problem.ids == ("b1", "b2", "b3", "b4", "b5")
    inclusive = "size,end,buffer_id,start\n4,2,b1,0\n4,8,b2,3\n4,8,b3,0\n4,20,b4,9\n4,20,b5,0\n"
    assert parse(inclusive, capacity=12) == problem
    assert parse(inclusive.replace("buffer_id", "buffer").replace("start", "begin"), capacity=12) == problem
    assert parse(EXAMPLE.replace("\n", "\r\n"), capacity=12) == problem


def test_optional_columns() -> None:
    """Alignment, hint, offset (-1 or nothing: none), gaps with and without windows; with `end`, gaps end inclusively too."""
    text = "id,lower,upper,size,alignment,hint,gaps,offset\na,0,9,6,2,4,1-3 5-7@2:4,-1\nb,0,9,6,1,-1,,8\n"
    problem = parse(text)
    assert problem.alignment.tolist() == [2, 1]
    assert problem.hint.tolist() == [4, -1]
    assert problem.fixed.tolist() == [-1, 8]
    assert problem.gaps.tolist() == [[0, 1, 3, 0, 0], [0, 5, 7, 2, 4]]
    assert parse(text.replace("upper", "end").replace(",9,", ",8,").replace("1-3 5-7", "1-2 5-6")) == problem
    assert to_text(problem) == text


def test_an_empty_line_ends_the_file() -> None:
    """What follows it is not read, whatever it is."""
    assert parse(EXAMPLE + "\nthis is no buffer\n", capacity=12) == load_instance("minimalloc-example")


def test_capacity_comes_from_the_name(tmp_path: Path) -> None:
    """`A.1048576.csv` says 1,048,576; an argument wins; a plain name means no limit."""
    assert capacity_in_name("A.1048576.csv") == 1_048_576
    assert capacity_in_name("A.csv") == capacity_in_name("1048576.csv") == 0
    (tmp_path / "x.12.csv").write_text(EXAMPLE)
    assert load(tmp_path / "x.12.csv").capacity == 12
    assert load(tmp_path / "x.12.csv").name == "x.12"
    assert load(tmp_path / "x.12.csv", capacity=20).capacity == 20


@pytest.mark.parametrize("kind", [{}, {"aligned": True, "fixed": True}, {"gaps": "windows"}])
def test_round_trip(kind: dict, tmp_path: Path) -> None:
    """What is written is read again, a solution's offsets as prescribed ones."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        problem = small_problem(rng, **kind)
        save(problem, tmp_path / "p.csv")
        assert load(tmp_path / "p.csv") == problem
    problem = AllocationProblem.from_buffers([(0, 2, 3), (0, 2, 4)])
    save(problem, tmp_path / "p.csv", offsets=np.array([4, 0]))
    assert load(tmp_path / "p.csv").fixed.tolist() == [4, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: empty"),
        ("id,lower,upper\n", "line 1: column 'size' is missing"),
        ("id,lower,upper,size,alignement\n", "line 1: unknown column 'alignement'; did you mean 'alignment'"),
        ("id,lower,upper,end,size\n", "line 1: column 'upper' stands there twice, as upper, end"),
        ("id,lower,upper,size\n", "line 2: no buffers"),
        ("id,lower,upper,size\na,0,1,2\nb,0,1\n", "line 3: 3 values; expected 4"),
        ("id,lower,upper,size\na,0,x,2\n", "line 2, upper: 'x'; expected an integer"),
        ("id,lower,upper,size\na,0,1,99999999999999999999\n", "line 2, size: .* 62 bits"),
        ("id,lower,upper,size\na,3,3,2\n", r"line 2: lifetime \[3, 3\)"),
        ("id,lower,upper,size\na,0,3,0\n", "line 2, size: 0"),
        ("id,lower,upper,size,alignment\na,0,3,1,0\n", "line 2, alignment: 0"),
        ("id,lower,upper,size\na,0,3,1\na,0,3,1\n", "line 3, id: 'a' stands there twice"),
        ("id,lower,upper,size,gaps\na,0,9,4,1_3\n", "line 2, gaps: '1_3'; expected lo-hi"),
        ("id,lower,upper,size,gaps\na,0,9,4,1-3@2\n", "line 2, gaps: '1-3@2'"),
        ("id,lower,upper,size,gaps\na,0,9,4,1-3@2:5\n", "a window within the buffer's size"),
    ],
)
def test_malformed_input_is_named(text: str, message: str) -> None:
    """The error says which line (or which buffer), what stands there and what was expected."""
    with pytest.raises(InstanceFormatError, match=message):
        parse(text, "file")


def test_what_the_format_cannot_hold(tmp_path: Path) -> None:
    """Identifiers with commas are refused before anything is written; bytes that are no text are too."""
    problem = AllocationProblem([0], [1], [1], ids=("a,b",))
    with pytest.raises(InstanceFormatError, match="commas"):
        save(problem, tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()
    (tmp_path / "q.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(InstanceFormatError, match="UTF-8"):
        load(tmp_path / "q.csv")
