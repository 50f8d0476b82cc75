"""What the page of a Gantt chart does: zoom, pan, hover and filter."""

from __future__ import annotations

from typing import Final

TOOLS: Final = """<button type="button" id="farther" title="Zoom out">&minus;</button>
<button type="button" id="closer" title="Zoom in">+</button>
<button type="button" id="reset" title="Show everything">Reset</button>"""

HINT: Final = """Wheel: zoom. Drag, Shift + wheel or arrow keys: pan. Hover: follow a job.
Double click: whole schedule."""

SCRIPT: Final = """
const context = canvas.getContext("2d");
const [JOB, TASK, RESOURCE, START, END, KIND, ROW, LANE, GROUP] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const style = new Map(data.groups.map(([group, name, colour, ink]) => [group, { name, colour, ink }]));
const hidden = new Set();
const number = (value) => value.toLocaleString("en").replaceAll(",", "\\u202f");
const numLanes = data.lanes.reduce((sum, lanes) => sum + lanes, 0);
const lanePixels = Math.max(14, Math.min(30, 1400 / Math.max(numLanes, 1)));
const top_ = 40, bottom = 44, right = 18;
const tops = [0];
for (const lanes of data.lanes) tops.push(tops.at(-1) + lanes * lanePixels);
const height = top_ + Math.max(tops.at(-1), 60) + bottom;
const hatched = new Set(data.hatched);
const whole = [data.origin, data.horizon + 0.01 * (data.horizon - data.origin)];
let view = [...whole], width = 0, left = 40, labelRoom = 0;
let hovered = null, legendGroup = null, drag = null, queued = false;

const stripes = (() => {
  const tile = document.createElement("canvas"), pen = tile.getContext("2d");
  tile.width = tile.height = 6;
  pen.strokeStyle = "rgb(29 37 48 / .38)"; pen.lineWidth = 1.6;
  for (const shift of [-6, 0, 6]) { pen.moveTo(shift - 1, 7); pen.lineTo(shift + 7, -1); }
  pen.stroke();
  return context.createPattern(tile, "repeat");
})();

const x = (time) => left + (time - view[0]) / (view[1] - view[0]) * (width - left - right);
const timeAt = (pixel) => view[0] + (pixel - left) / (width - left - right) * (view[1] - view[0]);
const y = (operation) => top_ + tops[operation[ROW]] + operation[LANE] * lanePixels + lanePixels * 0.1;
const font = (size, weight) => `${weight || 400} ${size}px system-ui, -apple-system, "Segoe UI", sans-serif`;

function resize() {
  width = canvas.clientWidth;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.height = height + "px";
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.font = font(13);
  const longest = Math.max(0, ...data.rows.map((name) => context.measureText(name).width));
  left = Math.min(longest + 14, width * 0.25, 220);
  context.font = font(12, 500);
  const rooms = Object.values(data.labels).map((label) => context.measureText(label).width + 6);
  labelRoom = rooms.sort((a, b) => a - b)[rooms.length >> 1] || 0;  // one for all, lest only short names show
  draw();
}

function queueDraw() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => { queued = false; draw(); });
}

function draw() {
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue("--" + name).trim();
  context.clearRect(0, 0, width, height);
  context.textBaseline = "middle";
  drawRows(colour);
  drawAxis(colour);
  context.save();
  context.beginPath();
  context.rect(left, 0, width - left, height);
  context.clip();
  for (const operation of data.operations) drawOperation(operation, colour);
  drawFlags(colour);
  context.restore();
}

function drawRows(colour) {
  data.rows.forEach((name, row) => {
    const from = top_ + tops[row], tall = tops[row + 1] - tops[row];
    context.fillStyle = colour(row % 2 ? "card" : "stripe");
    context.fillRect(left, from, width - left - right, tall);
    context.fillStyle = colour("ink");
    context.font = font(Math.min(13, tall - 2));
    context.textAlign = "right";
    context.fillText(shortened(name, left - 12), left - 9, from + tall / 2);
  });
  if (!data.operations.length) {
    context.fillStyle = colour("muted"); context.font = "italic " + font(14); context.textAlign = "center";
    context.fillText("nothing scheduled yet", (left + width) / 2, top_ + Math.max(tops.at(-1), 60) / 2);
  }
}

function shortened(text, room) {
  if (context.measureText(text).width <= room) return text;
  let length = text.length;
  while (length > 1 && context.measureText(text.slice(0, length) + "\\u2026").width > room) length--;
  return text.slice(0, length) + "\\u2026";
}

function drawAxis(colour) {
  const floor = height - bottom, rough = (view[1] - view[0]) / Math.max(2, (width - left) / 95);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough));
  context.strokeStyle = colour("grid"); context.lineWidth = 1;
  context.fillStyle = colour("muted"); context.font = font(12); context.textAlign = "center";
  for (let time = Math.ceil(view[0] / step) * step; time <= view[1]; time += step) {
    const at = Math.round(x(time)) + 0.5;
    context.beginPath(); context.moveTo(at, top_); context.lineTo(at, floor + 5); context.stroke();
    context.fillText(number(time), at, floor + 15);
  }
  context.strokeStyle = colour("line");
  context.beginPath(); context.moveTo(left, floor + 0.5); context.lineTo(width - right, floor + 0.5);
  context.stroke();
  context.fillText(data.timeLabel, (left + width - right) / 2, floor + 34);
}

function drawOperation(operation, colour) {
  if (hidden.has(operation[GROUP]) || operation[END] < view[0] || operation[START] > view[1]) return;
  const from = x(operation[START]), wide = Math.max(x(operation[END]) - from, 1), tall = lanePixels * 0.8;
  const at = y(operation), look = style.get(operation[GROUP]);
  const gap = wide > 4 ? 0.5 : 0;
  context.globalAlpha = faded(operation) ? 0.13 : 1;
  context.fillStyle = look.colour;
  context.beginPath();
  context.roundRect(from + gap, at, wide - 2 * gap, tall, Math.min(3, wide / 4));
  context.fill();
  if (hatched.has(operation[KIND])) { context.fillStyle = stripes; context.fill(); }
  if (operation === hovered) { context.strokeStyle = colour("ink"); context.lineWidth = 2; context.stroke(); }
  const label = data.labels[operation[JOB]], size = Math.min(12, tall * 0.72);
  if (label && size > 7 && wide > Math.min(labelRoom, 60)) {
    const from_ = Math.max(from, left), to_ = Math.min(from + wide, width);
    context.font = font(size, 500);
    context.fillStyle = look.ink;
    context.textAlign = "center";
    const text = shortened(label, to_ - from_ - 6);
    if (text.length > 3 || text === label) context.fillText(text, (from_ + to_) / 2, at + tall / 2 + 0.5);
  }
  context.globalAlpha = 1;
}

function faded(operation) {
  if (legendGroup !== null) return operation[GROUP] !== legendGroup;
  return hovered !== null && hovered[JOB] !== operation[JOB];
}

function drawFlags(colour) {
  const flags = [];
  if (data.reference !== null) {
    const text = `${data.referenceName} ${number(data.reference)}`;
    flags.push([data.reference, text, colour("reference"), [5, 4], 29]);
  }
  if (data.operations.length) {
    flags.push([data.makespan, `makespan ${number(data.makespan)}`, colour("ink"), [], 13]);
  }
  for (const [time, text, ink, dashes, level] of flags) {
    const at = x(time);
    context.strokeStyle = context.fillStyle = ink;
    context.lineWidth = 1.5; context.setLineDash(dashes);
    context.beginPath(); context.moveTo(at, level - 7); context.lineTo(at, height - bottom); context.stroke();
    context.setLineDash([]);
    context.font = font(12, 600);
    const fits = at - context.measureText(text).width - 6 > left;
    context.textAlign = fits ? "right" : "left";
    context.fillText(text, at + (fits ? -5 : 5), level);
  }
}

function operationAt(pixelX, pixelY) {
  if (pixelX < left) return null;
  const slack = (view[1] - view[0]) / (width - left - right) * 1.5, time = timeAt(pixelX);
  let best = null;
  for (const operation of data.operations) {
    const above = y(operation);
    if (pixelY < above || pixelY > above + lanePixels * 0.8 || hidden.has(operation[GROUP])) continue;
    if (time >= operation[START] && time < operation[END]) return operation;
    if (time >= operation[START] - slack && time <= operation[END] + slack) best = best || operation;
  }
  return best;
}

function showTip(operation, pageX, pageY) {
  tip.style.visibility = operation ? "visible" : "hidden";
  if (!operation) return;
  const heading = document.createElement("b"), lines = [
    `task ${operation[TASK]} on ${data.rows[operation[ROW]]}`,
    `${number(operation[START])} \\u2192 ${number(operation[END])}`,
    `duration ${number(operation[END] - operation[START])}`, `kind ${data.kinds[operation[KIND]]}`];
  heading.textContent = data.jobs[operation[JOB]] ? `job ${data.jobs[operation[JOB]]}` : "no job";
  tip.replaceChildren(heading, ...lines.map((text) => {
    const line = document.createElement("span");
    line.textContent = text;  // text, never markup
    return line;
  }));
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(6, Math.min(pageX + 16, window.innerWidth - box.width - 8)) + "px";
  const below = pageY + 20 + box.height <= window.innerHeight;
  tip.style.top = (below ? pageY + 16 : pageY - box.height - 12) + "px";
}

function setView(from, to) {
  const all = whole[1] - whole[0], span = Math.max(Math.min(4, all), Math.min(to - from, all));
  const start = Math.max(whole[0], Math.min((from + to - span) / 2, whole[1] - span));
  view = [start, start + span];
  queueDraw();
}

const zoom = (factor, at) => setView(at + (view[0] - at) * factor, at + (view[1] - at) * factor);
const pan = (share) => setView(view[0] + share * (view[1] - view[0]), view[1] + share * (view[1] - view[0]));
const middle = () => (view[0] + view[1]) / 2;

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
  if (sideways) pan((event.deltaX || event.deltaY) / 1200);
  else zoom(Math.exp(Math.max(-200, Math.min(200, event.deltaY)) * 0.0016), timeAt(event.offsetX));
}, { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, view: [...view] };
  canvas.setPointerCapture(event.pointerId);
  canvas.classList.add("dragging");
});
canvas.addEventListener("pointermove", (event) => {
  if (drag) {
    const moved = (event.clientX - drag.x) / (width - left - right) * (drag.view[1] - drag.view[0]);
    setView(drag.view[0] - moved, drag.view[1] - moved);
  }
  const found = operationAt(event.offsetX, event.offsetY);
  if (found !== hovered) { hovered = found; queueDraw(); }
  showTip(found, event.clientX, event.clientY);
});
for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, () => { drag = null; canvas.classList.remove("dragging"); });
}
canvas.addEventListener("pointerleave", () => { hovered = null; showTip(null); queueDraw(); });
canvas.addEventListener("dblclick", () => setView(...whole));
canvas.addEventListener("keydown", (event) => {
  const act = { "+": () => zoom(0.8, middle()), "=": () => zoom(0.8, middle()),
    "-": () => zoom(1.25, middle()), "0": () => setView(...whole),
    ArrowLeft: () => pan(-0.1), ArrowRight: () => pan(0.1) }[event.key];
  if (act) { event.preventDefault(); act(); }
});
byId("closer").addEventListener("click", () => zoom(0.7, middle()));
byId("farther").addEventListener("click", () => zoom(1 / 0.7, middle()));
byId("reset").addEventListener("click", () => { hidden.clear(); pressLegend(); setView(...whole); });

function pressLegend() {
  for (const button of byId("legend").children) {
    button.setAttribute("aria-pressed", !hidden.has(Number(button.value)));
  }
}

function toggle(group, alone) {
  if (alone) {
    const isolated = hidden.size === data.groups.length - 1 && !hidden.has(group);
    hidden.clear();
    if (!isolated) for (const [other] of data.groups) if (other !== group) hidden.add(other);
  } else if (!hidden.delete(group)) hidden.add(group);
  pressLegend();
  queueDraw();
}

for (const [group, name, colour] of data.groups) {
  const button = document.createElement("button"), swatch = document.createElement("i");
  button.type = "button"; button.value = group;
  button.title = "click: hide or show; double click: show alone";
  swatch.style.background = colour;
  button.append(swatch, name);
  button.addEventListener("click", (event) => { if (event.detail < 2) toggle(group, false); });
  button.addEventListener("dblclick", () => { hidden.delete(group); toggle(group, true); });
  button.addEventListener("pointerenter", () => { legendGroup = group; queueDraw(); });
  button.addEventListener("pointerleave", () => { legendGroup = null; queueDraw(); });
  byId("legend").append(button);
}
showFacts(data.facts);
const striped = [...hatched].map((kind) => data.kinds[kind]).join(", ");
if (striped) byId("hint").append(` Striped: ${striped}.`);
pressLegend();
window.addEventListener("resize", resize);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", queueDraw);
resize();
"""
