"""Shop files: every format round-trips, is recognised by its content, and is refused with the line when malformed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makespan.envs.core.errors import InstanceFormatError
from makespan.envs.jobshop import formats as f
from makespan.envs.jobshop.benchmark import load_instance
from makespan.envs.jobshop.generator import FlexibleShop, UniformShop
from makespan.envs.jobshop.instance import ShopInstance

SHOP = ShopInstance.from_jobs([[(0, 3), (1, 2), (2, 2)], [(0, 2), (2, 1), (1, 4)]])
RAGGED = ShopInstance.from_jobs([[(1, 4)], [(0, 2), (2, 1), (0, 5)]], num_machines=4)
FLEXIBLE = ShopInstance.from_alternatives([[[(0, 3), (2, 4)], [(1, 2)]], [[(2, 5)]]])

Alternatives = list[tuple[int, int]]


@st.composite
def shops(
    draw: st.DrawFn, *, square: bool = False, flexible: bool = False, dated: bool = False
) -> ShopInstance:
    """Small shops, reentrant ones and idle machines included."""
    m = draw(st.integers(1, 4))
    duration, machine = st.integers(0, 120), st.integers(0, m - 1)

    def operation() -> st.SearchStrategy[Alternatives]:
        most = m if flexible else 1
        pair = st.tuples(machine, duration)
        return st.lists(pair, min_size=1, max_size=most, unique_by=lambda p: p[0])

    lengths = draw(st.lists(st.just(m) if square else st.integers(1, 5), min_size=1, max_size=4))
    jobs = [[draw(operation()) for _ in range(length)] for length in lengths]
    release = [draw(st.integers(0, 50)) for _ in jobs] if dated else []
    return ShopInstance.from_alternatives(
        jobs, num_machines=m, release=release, name=draw(st.text(max_size=5))
    )


@given(shops(square=True), st.sampled_from(["standard", "taillard"]))
def test_square_round_trip(shop: ShopInstance, kind: str) -> None:
    """Classic formats keep every number, recognised or told."""
    text = f.dumps(shop, kind)
    assert f.loads(text, format=kind) == shop
    assert f.loads(text) == shop


@given(shops())
def test_ragged_round_trip(shop: ShopInstance) -> None:
    """Da Col and Teppan's format keeps ragged and reentrant jobs."""
    text = f.dumps(shop, "dacol_teppan")
    assert f.loads(text, format="dacol_teppan") == shop
    assert f.loads(text) == shop


@given(shops(flexible=True))
def test_flexible_round_trip(shop: ShopInstance) -> None:
    """Both bases of the flexible format keep every alternative; the suffix settles what could be a classic file."""
    assert f.loads(f.dumps(shop, "fjs"), format="fjs") == shop
    assert f.loads(f.dumps(shop, "fjs")) == shop
    assert f.loads(f.dumps(shop, "fjs0"), format="fjs0") == shop
    assert f.loads(f.dumps(shop, "fjs0"), source="shop.fjs") == shop


@given(shops(flexible=True, dated=True))
def test_json_round_trip(shop: ShopInstance) -> None:
    """JSON keeps everything: release dates and the name too."""
    loaded = f.loads(f.dumps(shop, "json"), name="fallback")
    assert loaded == shop
    assert loaded.name == (shop.name or "fallback")


@given(st.text(alphabet="0123456789 \n-.#x{}", max_size=60))
def test_never_anything_but_a_format_error(text: str) -> None:
    """Whatever a file holds, reading it either succeeds or raises the documented error."""
    try:
        shop = f.loads(text)
    except InstanceFormatError:
        return
    assert f.loads(f.dumps(shop, "json")) == shop


@pytest.mark.parametrize("name", ["ft06", "orb07", "ta01", "dmu41", "ta001", "swv20"])
def test_published_classic_shops_are_recognised(name: str) -> None:
    """Real instances are read right in each classic format, without being told which."""
    shop = load_instance(name)
    for kind in ("standard", "taillard", "dacol_teppan"):
        assert f.loads(f.dumps(shop, kind)) == shop, kind


@pytest.mark.parametrize("name", ["mk01", "mk11", "edata-la01", "rdata-la21", "vdata-la40"])
def test_published_flexible_shops_are_recognised(name: str) -> None:
    """Real instances are read right from 1-based files and from 0-based ones without a flexibility figure."""
    shop = load_instance(name)
    assert f.loads(f.dumps(shop, "fjs")) == shop
    assert f.loads(f.dumps(shop, "fjs0")) == shop


def test_random_shops_are_recognised() -> None:
    """Hundreds of drawn shops of all small sizes are never taken for another format."""
    rng = np.random.default_rng(0)
    for _ in range(150):
        n, m = int(rng.integers(1, 7)), int(rng.integers(1, 7))
        classic = UniformShop(n, m).sample(rng)
        for kind in ("standard", "taillard", "dacol_teppan"):
            assert f.loads(f.dumps(classic, kind)) == classic
        flexible = FlexibleShop(n, m, "sd2").sample(rng)
        assert f.loads(f.dumps(flexible, "fjs")) == flexible


@pytest.mark.parametrize(
    ("text", "shop"),
    [
        ("2 3\n0 3 1 2 2 2\n0 2 2 1 1 4\n", SHOP),
        ("\ufeff2 3\r\n0 3 1 2 2 2\r\n0 2 2 1 1 4\r\n", SHOP),
        (" instance abc\n\n ++++++\n A tiny shop of 2 jobs\n2 3\n0 3 1 2 2 2\n0 2 2 1 1 4\n ++++\n", SHOP),
        ("# comment\n2 3\n# first job\n0 3 1 2 2 2\n0 2 2 1 1 4", SHOP),
        ("2 3\n0 3 1 2\n2 2 0 2\n2 1 1 4\n", SHOP),
        ("2 3\n3 2 2\n2 1 4\n1 2 3\n1 3 2\n", SHOP),
        ("2 3\nTimes\n3 2 2\n2 1 4\nMachines\n1 2 3\n1 3 2\n", SHOP),
        (
            "Nb of jobs, Nb of Machines, Time seed, Machine seed, Upper bound, Lower bound\n"
            "2 3 84061 39819 12 11\nTimes\n3 2 2\n2 1 4\nMachines\n1 2 3\n1 3 2\n",
            SHOP,
        ),
        ("2 3 84061 39819 12 11\n3 2 2\n2 1 4\n1 2 3\n1 3 2\n", SHOP),
        ("2 4\n1 4 -1 -1\n0 2 2 1 0 5 -1 -1\n", RAGGED),
        ("2\t4\n1 4 -1  -1\n0 2 2 1\n0 5 -1 -1\n", RAGGED),
        ("2 3 1.33\n2 2 1 3 3 4 1 2 2\n1 1 3 5\n", FLEXIBLE),
        ("2 3\n2 2 1 3 3 4 1 2 2\n1 1 3 5\n", FLEXIBLE),
        ("2 3\n2 2 0 3 2 4 1 1 2\n1 1 2 5\n", FLEXIBLE),
        ("2 3 1\n2 2 0 3 2 4 1 1 2\n1 1 2 5\n", FLEXIBLE),
    ],
    ids=[
        "standard", "byte order mark", "or-library", "comments", "re-wrapped", "taillard", "words", "taillard file",
        "long header", "da col-teppan", "da col-teppan re-wrapped", "fjs", "fjs without figure", "fjs0", "fjs0 with figure",
    ],
)  # fmt: skip
def test_recognised(text: str, shop: ShopInstance) -> None:
    """Files as they occur in the wild, without being told the format."""
    assert f.loads(text) == shop


def test_documented_ambiguities() -> None:
    """The three cases in which a file fits two formats are settled as the module says."""
    both = "1 2\n1 1 0 5\n"  # machine 1 for 1 and machine 0 for 5, or one operation on machine 0
    assert f.loads(both) == ShopInstance.from_jobs([[(1, 1), (0, 5)]])
    assert f.loads(both, source="a.fjs") == ShopInstance.from_jobs([[(0, 5)]], num_machines=2)
    assert f.loads(both, format="fjs0") == f.loads(both, source="a.fjs")

    middle = "1 3{}\n2 1 1 7 1 2 8\n"  # machines 1 and 2 of 3: neither 0 nor 3 shows the base
    assert f.loads(middle.format("")).machines[:, 0].tolist() == [1, 2]
    assert f.loads(middle.format(" 1")).machines[:, 0].tolist() == [0, 1]

    wrapped = "2 2\n0 2 1 1\n1 2 0 1\n"  # two lines of 2m numbers: standard, although ...
    assert f.loads(wrapped) == ShopInstance.from_jobs([[(0, 2), (1, 1)], [(1, 2), (0, 1)]])
    assert f.loads("2 2\n1 2 1 1 1 2\n2 1\n") == f.loads(
        "2 2\n1 2\n1 1\n1 2\n2 1\n"
    )  # routes 1 1 are no permutation
    with pytest.raises(InstanceFormatError, match=r"fits both standard and taillard.*format="):
        f.loads("1 2\n1 1\n1\n1\n")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "an empty file"),
        ("only words\nand more\n", 1, "no numbers; expected the numbers of jobs and machines"),
        ("6\n1 2\n", 1, "found '6'; expected the numbers of jobs and machines"),
        ("0 3\n", 1, "found '0 3'; expected the numbers of jobs and machines, >= 1"),
        ("2 x\n", 1, "found 'x'; expected a whole number"),
        ("2 3\n0 3 1 2 2 2\n", 2, "the end of the file after 6 numbers; expected 12 after the header"),
        ("2 3\n0 3 1 2 2 2\n0 2 2 1 1\n", 3, "5 numbers; expected 6"),
        ("2 3\n0 3 1 2 2 2 9\n0 2 2 1 1 4\n", 2, "7 numbers; expected 6"),
        ("2 3\n0 3 1 2 2 2\n0 2 2 1 1 4\n\n7 7\n", 5, "too many numbers; expected 12 after the header"),
        ("2 3\n0 3 1 2 2 2\n0 2 3 1 1 4\n", 3, "found 3; expected a machine 0..2"),
        ("2 3\n0 3 1 -2 2 2\n0 2 2 1 1 4\n", 2, "found -2; expected a duration >= 0"),
        ("2 3\n0 3 1 2 2 2\n0 2 two 1 1 4\n", 3, "found 'two'; expected a whole number"),
        ("2 3\n0 3 1 2.5 2 2\n0 2 2 1 1 4\n", 2, "found '2.5'; expected a whole number"),
        ("2 3\n0 3 1 2 2 2\nand now job 1\n0 2 2 1 1 4\n", 3, "found 'and now job 1'; expected numbers"),
        ("2 3\n0 3 1 2 2 9999999999\n0 2 2 1 1 4\n", 2, "found 9999999999; expected a duration"),
        ("2 3\n3 2 2\n2 1 4\n1 2 3\n", 4, "the end of the file after 9 numbers; expected 12"),
        ("2 3\n3 2 2\n2 1 4\n1 2 3\n1 3 4\n", 5, "found 4; expected a machine 1..3"),
        ("2 3\n3 2 2\n2 -1 4\n1 2 3\n1 3 2\n", 3, "found -1; expected a duration >= 0"),
        ("2 3\n3 2 2\n2 1 4\n0 1 2\n0 2 1\n", 4, "found 0; expected a machine 1..3"),
        ("2 3\nTimes\n3 2 2\n2 1 4\nMachines\n1 2\n1 3 2\n", 6, "2 numbers; expected 3"),
        ("2 4\n1 4 -1 -1\n0 2 2 1 0 5\n", 3, "too few numbers; expected a machine 0..3"),
        ("2 4\n1 4 -1 -1\n0 2 4 1 -1 -1\n", 3, "found 4; expected a machine 0..3"),
        ("2 4\n1 4 -1 -1\n-1 -1\n", 3, "a job without operations"),
        ("2 4\n1 4 -1 -1\n0 2 -1 -1\n0 2 -1 -1\n", 4, "too many numbers; expected the end"),
        ("2 4\n1 4 0 -1 -1\n0 2 -1 -1\n", 2, "found -1; expected a duration >= 0"),
        ("2 3 1.33\n2 2 1 3 3 4 1 2 2\n", 2, "1 lines of jobs; expected 2"),
        ("2 3 1.33\n2 2 1 3 3 4 1 2\n1 1 3 5\n", 2, "too few numbers; expected a duration"),
        ("2 3 1.33\n2 2 1 3 3 4 1 2 2 8\n1 1 3 5\n", 2, "too many numbers; expected the end"),
        ("2 3 1.33\n2 2 1 3 4 4 1 2 2\n1 1 3 5\n", 2, "found 4; expected a machine 1..3"),
        ("2 3 1.33\n2 2 1 3 3 4 0\n1 1 3 5\n", 2, "found 0; expected a number of alternatives >= 1"),
        ("2 3 1.33\n2 2 1 3 1 4 1 2 2\n1 1 3 5\n", 2, "found machine 1 a second time"),
        ("2 3 high\n1 1 1 1\n1 1 3 5\n", 1, "found 'high'; expected a number"),
    ],
)
def test_malformed_text(text: str, line: int, message: str, tmp_path: Path) -> None:
    """Each kind of damage names the file, the line, what was found and what was expected."""
    path = tmp_path / "broken.txt"
    path.write_text(text)
    with pytest.raises(InstanceFormatError) as caught:
        f.load(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "shopping list"}, 'expected an object with "kind"'),
        ({"version": 2}, "found version 2; expected 1"),
        ({"colour": 1}, "unknown field 'colour'"),
        ({"num_machines": "3"}, "num_machines: found '3'"),
        ({"jobs": []}, "jobs: found []"),
        ({"jobs": [[[[0, 1]]], []]}, "jobs[1]: found []"),
        ({"jobs": [[[[0, 1, 2]]]]}, "jobs[0][0][0]: found [0, 1, 2]; expected [machine, duration]"),
        ({"jobs": [[[[0, 1.5]]]]}, "found 1.5; expected a whole number"),
        ({"jobs": [[[[0, True]]]]}, "found True; expected a whole number"),
        ({"jobs": [[[[7, 1]]]]}, "found machine 7; expected 0..2"),
        ({"release": [0, -1]}, "release[1]: found -1"),
        ({"release": [0, 0, 0]}, "release: [0, 0, 0]; expected 2 times"),
        ({"release": 3}, "release: found 3; expected a list"),
        ({"name": 7}, "name: found 7"),
    ],
)
def test_malformed_json(change: dict[str, object], message: str) -> None:
    """Each wrong field is named with its place."""
    content = json.loads(f.dumps(FLEXIBLE, "json")) | change
    with pytest.raises(InstanceFormatError) as caught:
        f.loads(json.dumps(content), source="mine.json")
    assert str(caught.value).startswith("mine.json")
    assert message in str(caught.value)


def test_broken_json_names_the_line() -> None:
    """A syntax error names its line."""
    with pytest.raises(InstanceFormatError, match=r"mine\.json, line 3: .*expected JSON"):
        f.loads('{\n"kind": "makespan/shop",\n"version" 1}', source="mine.json")


def test_binary_file(tmp_path: Path) -> None:
    """A file that is no text is refused by name."""
    path = tmp_path / "shop.xls"
    path.write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(InstanceFormatError, match=r"shop\.xls: not a text file"):
        f.load(path)


@pytest.mark.parametrize(
    ("shop", "kind", "message"),
    [
        (FLEXIBLE, "standard", "cannot express alternative machines; fjs and json can"),
        (FLEXIBLE, "taillard", "cannot express alternative machines"),
        (FLEXIBLE, "dacol_teppan", "cannot express alternative machines"),
        (RAGGED, "standard", "wants 4 operations in every job; dacol_teppan, fjs and json do not"),
        (RAGGED, "taillard", "wants 4 operations in every job"),
        (
            ShopInstance.from_jobs([[(0, 1)]], release=[2]),
            "standard",
            "cannot express release dates; json can",
        ),
        (SHOP, "excel", "unknown format 'excel'; expected one of standard"),
    ],
)
def test_inexpressible(shop: ShopInstance, kind: str, message: str) -> None:
    """A writer refuses what its format would lose."""
    with pytest.raises(InstanceFormatError, match=message):
        f.dumps(shop, kind)


def test_suffix_picks_the_format(tmp_path: Path) -> None:
    """Saving goes by the suffix unless told; the stem becomes the name."""
    for name, start in (("a.txt", "2 3\n"), ("a.json", "{"), ("a.fjs", "2 3 1.00\n"), ("a.jsp", "2 3\n")):
        f.save(SHOP, tmp_path / name)
        assert (tmp_path / name).read_text().startswith(start)
        assert f.load(tmp_path / name) == SHOP
    assert f.load(tmp_path / "a.txt").name == "a"
    f.save(SHOP, tmp_path / "b.txt", "taillard")
    assert f.load(tmp_path / "b.txt", "taillard") == SHOP
