"""Pictures: the right colour at the right place, text where it belongs, pages that no name can break."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from makespan.envs.core import gantt
from makespan.envs.core.gantt_layout import lay_out
from makespan.envs.core.gantt_text import supports_colour
from makespan.envs.core.palette import BASE, NEUTRAL, colour_of, ink_on, to_rgb
from makespan.envs.core.schedule import Schedule

# Resource 0: job 0 in 0..20, job 1 in 20..30.  Resource 1: job 1 in 0..10, job 2 in 30..40.
TOY = Schedule(
    job=[0, 1, 1, 2],
    task=[0, 1, 0, 0],
    resource=[0, 0, 1, 1],
    start=[0, 20, 0, 30],
    end=[20, 30, 10, 40],
    name="toy",
)
EVIL = "</script><script>alert('x')</script>&amp;$\\frac"


def box(frame: NDArray[np.uint8], job: int) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) of the pixels in a job's colour, the legend at the foot left out."""
    rows, columns = np.nonzero((frame[: int(0.8 * len(frame))] == to_rgb(colour_of(job))).all(axis=2))
    return columns.min(), columns.max() + 1, rows.min(), rows.max() + 1


def test_gantt__importing_loads_no_matplotlib() -> None:
    """Training processes import the environments and must not pay for pictures."""
    code = (
        "import sys, makespan.envs.core.gantt; sys.exit('matplotlib' in sys.modules or 'PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rgb_array__shape_and_determinism() -> None:
    """Frames have the size asked for (video writers insist) and do not flicker."""
    for width, height in ((640, 401), (333, 250)):
        frame = gantt.rgb_array(TOY, width, height)
        assert frame.shape == (height, width, 3)
        assert frame.dtype == np.uint8
        assert frame.flags.c_contiguous
        assert np.array_equal(frame, gantt.rgb_array(TOY, width, height))


def test_rgb_array__blocks_stand_where_the_schedule_says() -> None:
    """Jobs 0 and 2, which touch one row each, have boxes in proportion to time, on the right rows."""
    frame = gantt.rgb_array(TOY, 1000, 400)
    left_0, right_0, top_0, bottom_0 = box(frame, 0)
    left_2, right_2, top_2, bottom_2 = box(frame, 2)
    unit = (right_2 - left_0) / 40  # pixels a time unit
    assert right_0 - left_0 == pytest.approx(20 * unit, abs=3)
    assert left_2 - left_0 == pytest.approx(30 * unit, abs=3)
    assert unit * 40 > 800  # the chart uses the width
    assert bottom_0 < top_2  # resource 0 above resource 1
    assert bottom_0 - top_0 == pytest.approx(bottom_2 - top_2, abs=2)
    idle = frame[(top_2 + bottom_2) // 2, int(left_0 + 20 * unit)]
    assert idle.min() > 220  # nothing runs on resource 1 at time 20


def test_rgb_array__overlaps_are_stacked_not_hidden() -> None:
    """Of two rows that share a machine and a time both are to be seen, each half as high."""
    both = Schedule(job=[0, 1], task=[0, 0], resource=[0, 0], start=[0, 0], end=[10, 10])
    frame = gantt.rgb_array(both, 600, 400)
    assert box(frame, 0)[3] <= box(frame, 1)[2]
    apart = Schedule(job=[0, 1], task=[0, 0], resource=[0, 0], start=[0, 10], end=[10, 20])
    assert lay_out(apart).num_lanes.tolist() == [1]


def test_rgb_array__frames_agree_when_axes_are_fixed() -> None:
    """A block does not move while the schedule grows, given the machines and the horizon."""
    axes = {"resource_names": ["a", "b"], "horizon": 40, "title": "film"}
    first = gantt.rgb_array(TOY.select([0]), 600, 400, **axes)
    last = gantt.rgb_array(TOY.select([0, 3]), 600, 400, **axes)
    left, right, top, _ = box(last, 0)
    assert box(first, 0)[:3] == (left, right, top)


def test_rgb_array__too_small_is_an_error() -> None:
    """A frame in which nothing could be read is refused."""
    with pytest.raises(ValueError, match="200 x 120"):
        gantt.rgb_array(TOY, 100, 400)


def texts(figure: object) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_figure__says_names_makespan_and_gap() -> None:
    """Machines, jobs, the makespan and the gap to the reference are written out."""
    figure = gantt.figure(TOY, resource_names=["drill", "mill"], job_names=["A", "B", "C"], reference=32)
    written = texts(figure)
    for expected in ("toy", "drill", "mill", "A", "B", "C", "makespan 40 (+25.0 %)", "best known 32"):
        assert expected in written
    assert written.count("B") == 3  # two blocks and the legend


def test_figure__lines_at_makespan_and_reference() -> None:
    """The lines stand at their times, not merely somewhere."""
    axes = gantt.figure(TOY, reference=32).axes[0]
    at = {line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1}
    assert {40, 32} <= at


def test_figure__leaves_no_global_state() -> None:
    """A library that opens pyplot figures leaks them in long runs."""
    import matplotlib._pylab_helpers

    before = len(matplotlib._pylab_helpers.Gcf.figs)
    gantt.figure(TOY)
    assert len(matplotlib._pylab_helpers.Gcf.figs) == before


@pytest.mark.parametrize("names", [None, ["a", "b"]])
def test_pictures__empty_schedule(names: list[str] | None) -> None:
    """The first frame of an episode shows the empty machines and raises nothing."""
    nothing = Schedule.empty("toy")
    assert "nothing scheduled yet" in texts(gantt.figure(nothing, resource_names=names, reference=5))
    assert gantt.rgb_array(nothing, 400, 300, resource_names=names).shape == (300, 400, 3)
    assert "toy: makespan 0" in gantt.ansi(nothing, resource_names=names)
    assert json.loads(Page.read(gantt.html(nothing, resource_names=names)).data)["operations"] == []


def test_pictures__zero_duration_and_negative_jobs() -> None:
    """Operations of no length (orb07 has them) and rows that belong to no job are drawn, not dropped."""
    odd = Schedule(
        [0, -1, 1], [0, 0, 0], [0, 0, 0], [5, 6, 0], [5, 10, 4], kind=("process", "breakdown", "process")
    )
    frame = gantt.rgb_array(odd, 600, 300)
    assert (np.abs(frame.astype(int) - to_rgb(colour_of(0))).sum(axis=2) < 60)[:240].any()
    assert "breakdown" in texts(gantt.figure(odd))  # the legend explains the hatching
    assert colour_of(-1) == NEUTRAL
    assert "----" in gantt.ansi(odd, 60, False)


def test_figure__names_are_not_mathematics() -> None:
    """A dollar in a name neither crashes the renderer nor turns into a formula."""
    frame = gantt.rgb_array(
        TOY, 600, 400, job_names=[EVIL] * 3, resource_names=["$x^", "$y_$"], title="$\\bad"
    )
    assert frame.shape == (400, 600, 3)


def test_figure__colour_by() -> None:
    """Colours follow what was asked for; a typo is an error."""
    mixed = Schedule([0, 0], [0, 1], [0, 1], [0, 5], [5, 9], kind=("process", "transfer"))
    assert lay_out(mixed).colours == [colour_of(0)] * 2
    assert lay_out(mixed, colour_by="kind").colours == [colour_of(0), colour_of(1)]
    assert lay_out(mixed, colour_by="resource").colours == [colour_of(0), colour_of(1)]
    assert {"process", "transfer"} <= set(texts(gantt.figure(mixed, colour_by="kind")))
    with pytest.raises(ValueError, match="colour_by: 'machine'"):
        gantt.figure(mixed, colour_by="machine")


def test_side_by_side__one_time_axis() -> None:
    """Charts can only be compared by eye when a unit of time has one length in all of them."""
    short = TOY.select([0, 2])
    figure = gantt.side_by_side({"long": TOY, "short": short}, reference=32)
    assert len(figure.axes) == 2
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    left, right = figure.axes[0].get_position(), figure.axes[1].get_position()
    assert (left.x0, left.x1) == (right.x0, right.x1)
    assert {"long", "short", "makespan 40 (+25.0 %)", "makespan 20 (-37.5 %)"} <= set(texts(figure))
    with pytest.raises(ValueError, match="at least one"):
        gantt.side_by_side({})


def test_side_by_side__kinds_have_one_colour_in_all_charts() -> None:
    """The legend is shared, so a kind must not change colour with its order of appearance."""
    one = Schedule([0, 0], [0, 1], [0, 0], [0, 5], [5, 9], kind=("process", "transfer"))
    other = one.select([1])
    layouts = [lay_out(each, colour_by="kind", kinds=["process", "transfer"]) for each in (one, other)]
    assert layouts[0].colours[1] == layouts[1].colours[0]


def test_save_gif__keeps_frames_and_speed(tmp_path: Path) -> None:
    """The film has every frame, the speed asked for and loops; mixed sizes are refused."""
    from PIL import Image

    frames = [gantt.rgb_array(TOY.select(range(k)), 320, 200, horizon=40) for k in range(4)]
    gantt.save_gif(iter(frames), tmp_path / "film.gif", fps=5)
    with Image.open(tmp_path / "film.gif") as film:
        assert (film.n_frames, film.size, film.info["duration"], film.info["loop"]) == (4, (320, 200), 200, 0)
    for frames_, fps in (([], 5), ([frames[0], frames[0][:-1]], 5), (frames, 0), (frames, 99)):
        with pytest.raises(ValueError, match="expected"):
            gantt.save_gif(frames_, tmp_path / "film.gif", fps=fps)


def test_ansi__plain_characters_stand_at_their_times() -> None:
    """Without colours: pure ASCII, forty cells for forty time units, each with its job."""
    chart = gantt.ansi(TOY, width=45, colour=False, resource_names=["R0", "R1"])
    lines = chart.splitlines()
    assert chart.isascii()
    assert lines[1] == "R0 |" + "0" * 20 + "1" * 10 + "." * 10 + "|"
    assert lines[2] == "R1 |" + "1" * 10 + "." * 20 + "2" * 10 + "|"
    assert lines[4].index("20") - 4 == 20  # the axis number begins at its time
    assert lines[5] == "0=J0  1=J1  2=J2"
    assert max(map(len, lines)) <= 45


def test_ansi__colours_stand_at_their_times() -> None:
    """With colours: 160 eighths of a cell for 40 time units; stripped of colours, the width is kept."""
    chart = gantt.ansi(TOY, width=45, resource_names=["R0", "R1"])
    row = chart.splitlines()[1]
    background = "\x1b[48;2;{};{};{}m".format(*to_rgb(colour_of(0)))
    assert row.count(background) == 20
    assert len(re.sub(r"\x1b\[[0-9;]*m", "", row)) == 45
    assert row.count("\x1b[0m") >= 30  # every cell resets, so a cut line does not stain the terminal


def test_ansi__part_of_a_cell() -> None:
    """A block that ends in the middle of a cell is drawn to the eighth."""
    half = Schedule([0, 1], [0, 0], [0, 0], [0, 79], [1, 80])
    row = re.sub(r"\x1b\[[0-9;]*m", "", gantt.ansi(half, width=45).splitlines()[1])
    assert row == "M0 │▌" + " " * 38 + "▌│"


def test_ansi__names_cannot_write_on_the_terminal() -> None:
    """Escape sequences in a name are not passed on."""
    chart = gantt.ansi(
        TOY, colour=False, title="a\x1b[2Jb", job_names=["\x07"] * 3, resource_names=["x\ny", "z"]
    )
    assert not set("\x1b\x07") & set(chart)
    assert len(chart.splitlines()) == 6


def test_supports_colour__needs_a_terminal() -> None:
    """Logs and pipes get plain text."""
    assert not supports_colour(StringIO())


class Page(HTMLParser):
    """The elements of a page, its scripts, and the embedded data."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, str] = {}
        self.data = ""

    @classmethod
    def read(cls, text: str) -> Page:
        page = cls()
        page.feed(text)
        page.close()
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data
            if self.open[-1] == "script" and self.tags[-1][1].get("id") == "data":
                self.data += data


def test_html__holds_every_row_once() -> None:
    """The page's data are the schedule: each row once, with the names to show for it."""
    page = Page.read(gantt.html(TOY, job_names=["A", "B", "C"], reference=32.5))
    data = json.loads(page.data)
    assert not page.open  # well formed: every element was closed in order
    columns = ("job", "task", "resource", "start", "end")
    expected = list(zip(*(getattr(TOY, key).tolist() for key in columns), strict=True))
    assert [tuple(operation[:5]) for operation in data["operations"]] == expected
    assert data["jobs"] == {"0": "A", "1": "B", "2": "C"}
    assert (data["makespan"], data["reference"], data["horizon"]) == (40, 32.5, 40)


def test_html__fetches_nothing() -> None:
    """The page works from a mail attachment without a network."""
    text = gantt.html(TOY)
    page = Page.read(text)
    assert not re.search(r"https?:|//\w+\.|@import|url\(", text)
    assert not any({"src", "href"} & attributes.keys() for _, attributes in page.tags)


def test_html__names_are_text() -> None:
    """No name can close the script, open a tag or reach the page as markup, yet it is shown as it is."""
    clean = Page.read(gantt.html(TOY))
    kinds = Schedule([0], [0], [0], [0], [1], kind=EVIL, name=EVIL)
    for page_text in (
        gantt.html(TOY, job_names=[EVIL] * 3, resource_names=[EVIL] * 2, title=EVIL, time_label=EVIL),
        gantt.html(kinds, reference=3, reference_name=EVIL),
        gantt.html(TOY, title="__DATA__ __SUMMARY__"),
    ):
        page = Page.read(page_text)
        assert [tag for tag, _ in page.tags] == [tag for tag, _ in clean.tags]
        json.loads(page.data)
    assert Page.read(gantt.html(kinds)).texts["h1"] == EVIL
    assert json.loads(Page.read(gantt.html(TOY, job_names=[EVIL] * 3)).data)["jobs"]["0"] == EVIL


def test_layout__lanes_and_rows() -> None:
    """Named idle machines have a row, sparse numbers leave no thousand empty ones, lanes are reused."""
    assert lay_out(TOY, resource_names=["a", "b", "c"]).names == ("a", "b", "c")
    assert lay_out(Schedule([0], [0], [4096], [0], [1])).names == ("M4096",)
    stacked = Schedule([0, 1, 2, 3], [0] * 4, [0] * 4, [0, 1, 4, 9], [9, 4, 6, 12])
    layout = lay_out(stacked)
    assert layout.lane.tolist() == [0, 1, 1, 0]
    assert layout.num_lanes.tolist() == [2]


def oklab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """OKLab (Ottosson 2020) of linear sRGB, (n, 3)."""
    lms = np.array([[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]])
    lab = np.array([[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]])
    return np.cbrt(rgb @ lms.T) @ lab.T


DEUTERANOPIA = [
    [0.3673, 0.8606, -0.2280],
    [0.2801, 0.6725, 0.0474],
    [-0.0118, 0.0429, 0.9689],
]
PROTANOPIA = [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]
NORMAL = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(("sight", "least"), [(NORMAL, 0.07), (DEUTERANOPIA, 0.04), (PROTANOPIA, 0.04)])
def test_palette__twenty_jobs_stay_apart(sight: list[list[float]], least: float) -> None:
    """Any two of the first twenty differ by twice what the eye can just tell (about 0.02 in OKLab)."""
    linear = (np.array([to_rgb(colour) for colour in BASE[:20]]) / 255.0) ** 2.2
    seen = oklab(np.clip(linear @ np.array(sight).T, 0, 1))
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > least


def test_palette__labels_are_readable() -> None:
    """Ink and block differ by a contrast ratio of at least 3 (WCAG for graphics and large or bold text)."""

    def luminance(colour: str) -> float:
        return float((np.array(to_rgb(colour)) / 255.0) ** 2.2 @ [0.2126, 0.7152, 0.0722])

    for number in range(72):
        dark, light = sorted((luminance(colour_of(number)), luminance(ink_on(colour_of(number)))))
        assert (light + 0.05) / (dark + 0.05) >= 3.0, number
    assert len({colour_of(number) for number in range(72)}) == 72
