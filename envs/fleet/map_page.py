"""The day as one interactive page: a map that plays, with queues, aircraft and the books."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.html_page import page
from makespan.envs.core.palette import BASE
from makespan.envs.core.schedule import Schedule
from makespan.envs.fleet.instance import FleetDay
from makespan.envs.fleet.pictures import DayView

_STEP: Final = 300  # seconds between two moments for which queues and books are stored

_STYLE: Final = """
main { max-width: 980px; }
#chart { cursor: default; aspect-ratio: 4 / 3; }
#tools { flex: 1; }
#time { flex: 1; }
#clock { font-variant-numeric: tabular-nums; min-width: 44px; }
"""

_TOOLS: Final = """<button type="button" id="play">Play</button>
<input id="time" type="range" min="0" step="30" value="0" aria-label="time">
<output id="clock"></output>"""

_HINT: Final = """Circles grow with the queues. Blue aircraft carry passengers, orange ones fly empty, red ones are under repair;
dotted routes are closed. Squares with a ring have chargers. Hover over a vertiport for its queue."""

_SCRIPT: Final = """
const pen = canvas.getContext("2d"), time = byId("time");
const [AIRCRAFT, FROM, TO, START, END, KIND, RIDERS] = [0, 1, 2, 3, 4, 5, 6];
const [width, height, margin, nose] = [1200, 900, 80, 10];
const [xs, ys] = [0, 1].map((axis) => data.position.map((place) => place[axis]));
const [west, south] = [Math.min(...xs), Math.min(...ys)];
const scale = Math.min((width - 2 * margin) / Math.max(1, Math.max(...xs) - west),
  (height - 2 * margin) / Math.max(1, Math.max(...ys) - south));
const onMap = ([x, y]) => [margin + (x - west) * scale, height - margin - (y - south) * scale];
const ports = data.position.map(onMap);
let pointer = null, playing = false;
canvas.width = width; canvas.height = height; time.max = data.horizon;

function dayTime(second) {
  const minute = Math.floor((second + data.dayStart) / 60);
  return [Math.floor(minute / 60), minute % 60].map((part) => String(part).padStart(2, "0")).join(":");
}

function line([x0, y0], [x1, y1]) {
  pen.beginPath(); pen.moveTo(x0, y0); pen.lineTo(x1, y1); pen.stroke();
}

function disc([x, y], radius) {
  pen.beginPath(); pen.arc(x, y, radius, 0, 2 * Math.PI);
}

function drawClosures(second) {
  const hour = Math.min(data.closed.length - 1, Math.floor(second / 3600));
  pen.lineWidth = 1.5; pen.setLineDash([4, 6]); pen.strokeStyle = data.colours.repair;
  for (const [i, j] of data.closed[hour]) line(ports[i], ports[j]);
  pen.setLineDash([]);
}

function drawPorts(queues, ink) {
  pen.font = "17px system-ui, sans-serif";
  ports.forEach((port, i) => {
    pen.fillStyle = pen.strokeStyle = data.chargers[i] ? data.colours.hub : data.colours.stop;
    pen.globalAlpha = .3; disc(port, 8 + 3.2 * Math.sqrt(queues[i])); pen.fill(); pen.globalAlpha = 1;
    pen.fillRect(port[0] - 5, port[1] - 5, 10, 10);
    if (data.chargers[i]) { disc(port, 10); pen.stroke(); }
    pen.fillStyle = ink; pen.fillText("V" + i, port[0] + 10, port[1] - 10);
  });
}

function drawAircraft(second) {
  const count = { flying: 0, empty: 0, repair: 0 };
  for (const row of data.rows) {
    if (second < row[START] || second >= row[END]) continue;
    const from = ports[row[FROM]], to = ports[row[TO]];
    if (row[KIND] === "repair") {
      pen.fillStyle = data.colours.repair;
      pen.fillRect(to[0] + 8 + 5 * (count.repair % 6), to[1] + 8, 5, 5);
      count.repair++;
      continue;
    }
    const share = (second - row[START]) / Math.max(1, row[END] - row[START]);
    count.flying++;
    if (!row[RIDERS]) count.empty++;
    pen.save();
    pen.translate(from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share);
    pen.rotate(Math.atan2(to[1] - from[1], to[0] - from[0]));
    pen.fillStyle = row[RIDERS] ? data.colours.fly : data.colours.empty;
    pen.beginPath(); pen.moveTo(nose, 0); pen.lineTo(-7, 6); pen.lineTo(-7, -6); pen.fill();
    pen.restore();
  }
  return count;
}

function showTip(queues) {
  const near = pointer && ports.findIndex(([x, y]) => Math.hypot(pointer.x - x, pointer.y - y) < 26);
  if (pointer === null || near < 0) { tip.style.visibility = "hidden"; return; }
  const name = document.createElement("b"), text = document.createElement("span");
  name.textContent = "V" + near;
  text.textContent = `${queues[near]} waiting, ${data.parking[near]} places, ${data.chargers[near]} chargers`;
  tip.replaceChildren(name, text);
  tip.style.left = `${pointer.pageX + 14}px`; tip.style.top = `${pointer.pageY + 14}px`;
  tip.style.visibility = "visible";
}

function draw() {
  const second = Number(time.value), moment = Math.min(data.queues.length - 1, Math.floor(second / data.step));
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  const queues = data.queues[moment], [revenue, operating, electricity, passengers] = data.books[moment];
  const dollars = (cents) => (cents / 100).toLocaleString("en", { maximumFractionDigits: 0 }) + " USD";
  pen.clearRect(0, 0, width, height);
  drawClosures(second);
  drawPorts(queues, ink);
  const count = drawAircraft(second);
  byId("clock").textContent = dayTime(second);
  showFacts([
    [dollars(revenue - operating - electricity), "profit"], [dollars(revenue), "revenue"],
    [dollars(operating), "operating"], [dollars(electricity), "electricity"], [passengers, "passengers"],
    [count.flying, "in the air"], [count.empty, "empty"], [queues.reduce((sum, queue) => sum + queue, 0), "waiting"],
  ]);
  showTip(queues);
}

function play() {
  if (!playing) return;
  time.value = Number(time.value) >= data.horizon ? 0 : Number(time.value) + 60;
  draw();
  requestAnimationFrame(play);
}

time.addEventListener("input", draw);
byId("play").addEventListener("click", (event) => {
  playing = !playing;
  event.target.textContent = playing ? "Pause" : "Play";
  play();
});
canvas.addEventListener("pointermove", (event) => {
  const box = canvas.getBoundingClientRect(), zoom = width / box.width;
  pointer = { x: (event.clientX - box.left) * zoom, y: (event.clientY - box.top) * zoom,
    pageX: event.clientX, pageY: event.clientY };
  draw();
});
canvas.addEventListener("pointerleave", () => { pointer = null; draw(); });
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
"""


def html(day: FleetDay, schedule: Schedule) -> str:
    """A self-contained page that plays the day; names in it are data, never markup."""
    view = DayView.of(day, schedule)
    moments = range(0, day.parameters.horizon + 1, _STEP)
    flights = [
        [k, entry.origin, j, entry.departure if kind == "fly" else start, end, kind, entry.passengers]
        for k, j, start, end, kind, entry in view.rows
        if kind in ("fly", "repair")
    ]
    V = day.num_vertiports
    data = {
        "position": day.position.tolist(),
        "parking": day.parking.tolist(),
        "chargers": day.chargers.tolist(),
        "dayStart": day.parameters.day_start,
        "step": _STEP,
        "horizon": day.parameters.horizon,
        "queues": [view.queues(float(second)).tolist() for second in moments],
        "books": _books(view, moments),
        "closed": [
            [[i, j] for i in range(V) for j in range(i) if day.closed[i, j, hour]]
            for hour in range(day.closed.shape[2])
        ],
        "rows": flights,
        "colours": {"fly": BASE[0], "empty": BASE[1], "repair": BASE[3], "hub": BASE[5], "stop": "#8a94a3"},
    }
    title = day.name or "A fleet's day"
    return page(
        title=title,
        summary=f"{title}: {V} vertiports, {day.num_aircraft} aircraft",
        data=data,
        script=_SCRIPT,
        tools=_TOOLS,
        hint=_HINT,
        style=_STYLE,
    )


def _books(view: DayView, moments: range) -> list[list[int]]:
    """Revenue, operating cost, electricity (cents) and passengers up to each moment."""
    totals, out = [0, 0, 0, 0], []
    rows = sorted(((row[2], row[5]) for row in view.rows), key=lambda pair: pair[0])
    at = 0
    for second in moments:
        while at < len(rows) and rows[at][0] <= second:
            entry = rows[at][1]
            earned = (entry.revenue, entry.operating, entry.electricity, entry.passengers)
            totals = [total + one for total, one in zip(totals, earned, strict=True)]
            at += 1
        out.append(list(totals))
    return out
