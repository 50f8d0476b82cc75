"""Pictures of a fleet's day: the network over the day, the space-time diagram, where the profit comes from, frames and a GIF."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from makespan.envs.core import gantt
from makespan.envs.core.palette import BASE, NEUTRAL
from makespan.envs.core.schedule import Schedule
from makespan.envs.fleet.accounts import Entry, replay
from makespan.envs.fleet.engine import FleetEngine
from makespan.envs.fleet.instance import FleetDay
from makespan.envs.fleet.simulator import INBOUND, LENGTH, OCCUPANCY

COLOURS: Final = {"fly": BASE[0], "empty": BASE[1], "charge": BASE[2], "stay": NEUTRAL, "repair": BASE[3]}
_HUB, _STOP = BASE[5], NEUTRAL


@dataclass(frozen=True, slots=True)
class DayView:
    """A day and what happened in it, ready to be drawn."""

    day: FleetDay
    rows: list[tuple[int, int, int, int, str, Entry]]  # aircraft, vertiport, start, end, kind, entry

    @classmethod
    def of(cls, day: FleetDay, schedule: Schedule) -> DayView:
        """Replay the schedule; rows that break rules are drawn as far as they can be."""
        entries = replay(day, schedule).entries
        columns = (getattr(schedule, key).tolist() for key in ("job", "resource", "start", "end"))
        rows = list(zip(*columns, schedule.kinds, strict=True))
        return cls(day, [(*row, entry) for row, entry in zip(rows, entries, strict=False)])

    def clock(self, second: float) -> str:
        """Clock time of a second of the day."""
        minutes = int((second + self.day.parameters.day_start) // 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}"

    def place(self, row: tuple[int, int, int, int, str, Entry], second: float) -> NDArray[np.float64]:
        """Where a row's aircraft is at a second, in miles."""
        _, j, _, end, kind, entry = row
        here, there = self.day.position[entry.origin] / 100.0, self.day.position[j] / 100.0
        if kind != "fly":
            return here
        share = (second - entry.departure) / max(1, end - entry.departure)
        return here + (there - here) * min(max(share, 0.0), 1.0)

    def queues(self, second: float) -> NDArray[np.int64]:
        """(V,) passengers who wait at a second."""
        V, patience = self.day.num_vertiports, self.day.parameters.patience
        here = (self.day.arrival_time <= second) & (self.day.arrival_time + patience > second)
        waiting = np.bincount(self.day.arrival_pair[here] // V, minlength=V)
        for _, _, start, _, _, entry in self.rows:
            if start <= second:  # those aboard would wait still, had nobody come
                waiting[entry.origin] -= sum(time + patience > second for time in entry.boarded)
        return waiting


def _draw_network(axes: Axes, view: DayView, second: float, queues: NDArray[np.int64]) -> None:
    day = view.day
    miles = day.position / 100.0
    hour = min(int(second) // 3600, day.closed.shape[2] - 1)
    for i in range(day.num_vertiports):
        for j in range(i):
            if day.closed[i, j, hour]:
                axes.plot(*miles[[i, j]].T, color=BASE[3], lw=0.8, ls=":", zorder=1)
    colours = [_HUB if chargers else _STOP for chargers in day.chargers]
    axes.scatter(miles[:, 0], miles[:, 1], s=40 + 12 * queues, c=colours, alpha=0.35, lw=0, zorder=2)
    axes.scatter(miles[:, 0], miles[:, 1], s=18, c=colours, marker="s", zorder=3)
    for i, (east, north) in enumerate(miles):
        label = f"V{i}  {queues[i]} waiting"
        axes.annotate(label, (east, north), (4, 5), textcoords="offset points", fontsize=6, color="#333")
    present = {}
    for row in view.rows:
        if row[2] <= second < row[3]:
            present[row[0]] = row
    for kind, colour in (("loaded", COLOURS["fly"]), ("empty", COLOURS["empty"])):
        flying = [
            view.place(row, second)
            for row in present.values()
            if row[4] == "fly" and (row[5].passengers > 0) == (kind == "loaded")
        ]
        if flying:
            east, north = np.array(flying).T
            axes.scatter(east, north, s=16, c=colour, marker="^", zorder=4)
    margin = 3.0
    axes.set_xlim(miles[:, 0].min() - margin, miles[:, 0].max() + 3 * margin)
    axes.set_ylim(miles[:, 1].min() - margin, miles[:, 1].max() + margin)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(view.clock(second), fontsize=9, loc="left")


def day_map(day: FleetDay, schedule: Schedule) -> Figure:
    """The network at six moments: vertiports with their queues, aircraft in the air, closed routes."""
    view, figure = DayView.of(day, schedule), Figure(figsize=(11, 7), layout="constrained")
    moments = np.linspace(0.08, 0.92, 6) * day.parameters.horizon
    for axes, second in zip(figure.subplots(2, 3).ravel(), moments, strict=True):
        _draw_network(axes, view, float(second), view.queues(float(second)))
    figure.suptitle(
        f"{day.name or 'fleet'}: circles grow with the queues, blue aircraft carry passengers, orange ones fly empty",
        fontsize=9,
    )
    return figure


def space_time(day: FleetDay, schedule: Schedule) -> Figure:
    """Vertiports over time: a line a flight, from departure to arrival, its width the load."""
    view, figure = DayView.of(day, schedule), Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    for _, j, start, end, kind, entry in view.rows:
        if kind == "fly":
            colour = COLOURS["fly" if entry.passengers else "empty"]
            hours = (np.array([entry.departure, end]) + day.parameters.day_start) / 3600.0
            axes.plot(hours, [entry.origin, j], color=colour, lw=0.4 + 0.35 * entry.passengers, alpha=0.6)
        elif kind == "repair":
            hours = (np.array([start, end]) + day.parameters.day_start) / 3600.0
            axes.plot(hours, [j, j], color=COLOURS["repair"], lw=3)
    axes.set_yticks(range(day.num_vertiports), [f"V{i}" for i in range(day.num_vertiports)])
    axes.set_xlabel("hour")
    axes.set_title(
        f"{day.name}: flights (blue with passengers, orange empty), repairs red", fontsize=9, loc="left"
    )
    return figure


def profit_breakdown(day: FleetDay, schedule: Schedule) -> Figure:
    """Revenue, costs and profit as they add up over the day, and by vertiport of departure."""
    view, figure = DayView.of(day, schedule), Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    hours = np.array([row[2] for row in view.rows], float) / 3600.0 + day.parameters.day_start / 3600.0
    parts = {
        "revenue": np.array([row[5].revenue for row in view.rows]),
        "operating cost": -np.array([row[5].operating for row in view.rows]),
        "electricity": -np.array([row[5].electricity for row in view.rows]),
    }
    parts["profit"] = sum(parts.values(), np.zeros(len(view.rows), np.int64))
    order = np.argsort(hours, kind="stable")
    origin = np.array([row[5].origin for row in view.rows], np.int64)
    for number, (name, cents) in enumerate(parts.items()):
        total = cents.sum() / 100.0
        left.step(
            hours[order],
            cents[order].cumsum() / 100.0,
            where="post",
            color=BASE[number],
            label=f"{name} {total:,.0f}",
        )
        by_port = np.bincount(origin, weights=cents / 100.0, minlength=day.num_vertiports)
        right.bar(np.arange(day.num_vertiports) + 0.2 * number - 0.3, by_port, 0.2, color=BASE[number])
    left.set_xlabel("hour")
    left.set_ylabel("USD")
    left.legend(fontsize=8)
    left.set_title(f"{day.name}: the day's books", fontsize=9, loc="left")
    right.set_xticks(range(day.num_vertiports), [f"V{i}" for i in range(day.num_vertiports)])
    right.set_title("by vertiport of departure", fontsize=9, loc="left")
    return figure


def save_gif(
    day: FleetDay, schedule: Schedule, path: str | Path, *, frames: int = 72, fps: float = 8.0
) -> None:
    """Write the day as an animated map.

    Args:
        day: The instance.
        schedule: What happened.
        path: Of the GIF.
        frames: Pictures, evenly spread over the day.
        fps: Pictures a second.
    """
    seconds = np.linspace(0, day.parameters.horizon - 1, frames)
    view = DayView.of(day, schedule)
    gantt.save_gif((_pixels(view, float(second)) for second in seconds), path, fps)


def frame(day: FleetDay, schedule: Schedule, second: float) -> NDArray[np.uint8]:
    """The network at one moment as pixels (height, width, 3)."""
    return _pixels(DayView.of(day, schedule), second)


def _pixels(view: DayView, second: float) -> NDArray[np.uint8]:
    figure = Figure(figsize=(5, 5), dpi=80)
    _draw_network(figure.subplots(), view, second, view.queues(second))
    canvas: Any = FigureCanvasAgg(figure)  # typed in part
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def ansi(engine: FleetEngine, day: FleetDay) -> str:
    """The present state as a table: a line a vertiport."""
    seen, V = engine.observation, day.num_vertiports
    books, now = engine.books(0), engine.now(0) + day.parameters.day_start
    out = io.StringIO()
    out.write(f"{now // 3600:02d}:{now % 3600 // 60:02d}  profit {books.profit / 100:,.2f} USD  ")
    out.write(f"served {books.served}  lost {books.spilled}  flights {books.flights}\n")
    fleet = engine.fleet
    for i in range(V):
        there, inbound = fleet.vertiport[0, i, OCCUPANCY], fleet.vertiport[0, i, INBOUND]
        waiting = int(fleet.queue[0, i, :V, LENGTH].sum())
        mark = ">" if seen["vertiport_x"][0, i, 6] > 0 else " "
        out.write(f"{mark} V{i:<3} {there - inbound:>3} there {inbound:>3} coming {waiting:>4} waiting\n")
    return out.getvalue()


def render(engine: FleetEngine, day: FleetDay, render_mode: str) -> Any:
    """What `render()` gives: a table ("ansi"), pixels ("rgb_array"), or a window ("human")."""
    if render_mode == "ansi":
        return ansi(engine, day)
    pixels = frame(day, engine.schedule(0), float(engine.now(0)))
    if render_mode == "human":
        gantt.show(pixels)
        return None
    return pixels
