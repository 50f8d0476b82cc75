"""The page that `memory_map.html` fills: layout, style and behaviour, apart from the Python that feeds it."""

from __future__ import annotations

from typing import Final

_STYLE: Final = """
:root { color-scheme: light dark; --page: #f4f6f8; --card: #ffffff; --ink: #1d2530; --muted: #667180;
  --grid: #e4e8ed; --line: #c3cad3; --reference: #0b7a55; --chip: #eef1f4; --profile: #407ab9; }
@media (prefers-color-scheme: dark) { :root { --page: #11151a; --card: #191f26; --ink: #e8ecf1;
  --muted: #94a0ae; --grid: #29313b; --line: #333d49; --reference: #4cc79a; --chip: #252d37;
  --profile: #6ea3dd; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 24px; background: var(--page); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1480px; margin: 0 auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; padding: 20px 24px 18px; }
header { display: flex; flex-wrap: wrap; gap: 12px 32px; align-items: flex-end; margin-bottom: 14px; }
h1 { font-size: 20px; line-height: 1.2; margin: 0; flex: 1 1 220px; overflow-wrap: anywhere; }
dl { display: flex; flex-wrap: wrap; gap: 8px 24px; margin: 0; }
dl div { display: flex; flex-direction: column-reverse; }
dt { color: var(--muted); font-size: 12px; }
dd { margin: 0; font-size: 17px; font-weight: 600; font-variant-numeric: tabular-nums; }
canvas { display: block; width: 100%; cursor: grab; touch-action: none; }
canvas:focus-visible { outline: 2px solid #407ab9; outline-offset: 3px; }
footer { display: flex; gap: 12px; margin-top: 12px; }
#legend { display: flex; flex-wrap: wrap; gap: 4px; flex: 1; max-height: 110px; overflow: auto; }
button { font: inherit; font-size: 12.5px; color: var(--ink); background: none; border: 0; border-radius: 6px;
  padding: 2px 8px; cursor: pointer; }
#legend button { display: flex; align-items: center; gap: 6px; }
#legend button[aria-pressed="false"] { opacity: .38; text-decoration: line-through; }
#legend i { width: 11px; height: 11px; border-radius: 3px; }
#reset { background: var(--chip); align-self: flex-start; }
#hint { color: var(--muted); font-size: 12px; margin: 10px 0 0; }
#tip { position: fixed; pointer-events: none; visibility: hidden; background: var(--ink); color: var(--card);
  border-radius: 8px; padding: 8px 12px; font-size: 12.5px; max-width: 320px; overflow-wrap: anywhere; }
#tip b, #tip span { display: block; font-variant-numeric: tabular-nums; }
"""

_SCRIPT: Final = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const canvas = byId("map"), pen = canvas.getContext("2d"), tip = byId("tip");
const [START, END, LOW, HIGH, OWNER, GROUP] = [0, 1, 2, 3, 4, 5];
const look = new Map(data.groups.map(([group, name, colour, ink]) => [group, { name, colour, ink }]));
const hidden = new Set(), steps = data.ticks.length - 1;
const left = 78, right = 16, above = 18, band = 84, mapHeight = 460;
const below = mapHeight + above, height = below + data.profiles.length * (band + 14) + 44;
const whole = { from: 0, to: Math.max(steps, 1), low: 0, high: data.top * 1.04 };
let view = { ...whole }, width = 0, hovered = null, drag = null;

function bytes(amount) {
  for (const [factor, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (Math.abs(amount) >= factor) return `${+(amount / factor).toPrecision(4)} ${unit}`;
  }
  return `${Math.round(amount)} B`;
}
const x = (time) => left + (time - view.from) / (view.to - view.from) * (width - left - right);
const y = (offset) => below - (offset - view.low) / (view.high - view.low) * mapHeight;
const timeAt = (pixel) => view.from + (pixel - left) / (width - left - right) * (view.to - view.from);
const offsetAt = (pixel) => view.low + (below - pixel) / mapHeight * (view.high - view.low);

function clip(top, tall) {
  pen.save(); pen.beginPath(); pen.rect(left, top, width - left - right, tall); pen.clip();
}

function draw() {
  const scale = window.devicePixelRatio || 1, css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue("--" + name).trim();
  width = canvas.clientWidth;
  canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale);
  canvas.style.height = height + "px";
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.textBaseline = "middle"; pen.font = "12px system-ui, sans-serif";
  drawOffsets(colour);
  clip(above, mapHeight);
  for (const block of data.blocks) drawBlock(block, colour);
  for (const [value, name] of data.lines) {
    pen.strokeStyle = pen.fillStyle = colour(name === "peak" ? "ink" : "reference");
    pen.lineWidth = 1.4; pen.setLineDash(name === "peak" ? [] : name === "bound" ? [6, 4] : [2, 3]);
    pen.beginPath(); pen.moveTo(left, y(value)); pen.lineTo(width, y(value)); pen.stroke();
    pen.setLineDash([]);
  }
  pen.restore();
  data.profiles.forEach((profile, index) => drawProfile(profile, below + 14 + index * (band + 14), colour));
  drawTimes(colour);
}

function drawOffsets(colour) {
  pen.textAlign = "right"; pen.lineWidth = 1;
  for (let line = 0; line <= 5; line++) {
    const offset = view.low + line / 5 * (view.high - view.low);
    pen.strokeStyle = colour("grid"); pen.fillStyle = colour("muted");
    pen.beginPath(); pen.moveTo(left, y(offset)); pen.lineTo(width - right, y(offset)); pen.stroke();
    pen.fillText(bytes(offset), left - 8, y(offset));
  }
}

function drawTimes(colour) {
  const at = height - 26, gap = Math.max(1, Math.ceil((view.to - view.from) / 12));
  pen.fillStyle = colour("muted"); pen.textAlign = "center";
  for (let step = Math.ceil(view.from / gap) * gap; step <= view.to; step += gap) {
    if (data.ticks[step] !== undefined) pen.fillText(data.ticks[step].toLocaleString("en"), x(step), at);
  }
  pen.fillText(data.timeLabel, (left + width - right) / 2, height - 8);
}

function drawBlock(block, colour) {
  if (hidden.has(block[GROUP]) || block[END] < view.from || block[START] > view.to) return;
  const from = x(block[START]), top = y(block[HIGH]);
  const wide = x(block[END]) - from, tall = y(block[LOW]) - top, edge = Math.min(0.5, wide / 6, tall / 6);
  const style = look.get(block[GROUP]);
  pen.globalAlpha = hovered && hovered[OWNER] !== block[OWNER] ? 0.35 : 1;
  pen.fillStyle = style.colour;
  pen.fillRect(from + edge, top + edge, Math.max(wide - 2 * edge, 0.5), Math.max(tall - 2 * edge, 0.5));
  if (hovered === block) { pen.strokeStyle = colour("ink"); pen.lineWidth = 2; pen.strokeRect(from, top, wide, tall); }
  const label = data.labels[block[OWNER]];
  if (tall > 13 && pen.measureText(label).width < wide - 6) {
    pen.fillStyle = style.ink; pen.textAlign = "center";
    pen.fillText(label, from + wide / 2, top + tall / 2);
  }
  pen.globalAlpha = 1;
}

function drawProfile([name, values, unit, limit], top, colour) {
  const highest = Math.max(limit || 0, ...values) || 1, foot = top + band;
  const level = (value) => foot - value / highest * (band - 8);
  pen.fillStyle = colour("muted"); pen.textAlign = "right";
  pen.fillText(unit === "bytes" ? bytes(highest) : String(+highest.toPrecision(4)), left - 8, level(highest));
  pen.fillText(name, left - 8, foot - 8);
  clip(top, band);
  pen.fillStyle = colour("profile");
  values.forEach((value, step) => {
    if (step + 1 >= view.from && step <= view.to) {
      pen.fillRect(x(step), level(value), x(step + 1) - x(step) + 0.3, foot - level(value));
    }
  });
  if (limit !== null) {
    pen.strokeStyle = colour("reference"); pen.setLineDash([6, 4]);
    pen.beginPath(); pen.moveTo(left, level(limit)); pen.lineTo(width, level(limit)); pen.stroke();
    pen.setLineDash([]);
  }
  pen.restore();
}

function setView(from, to, low, high) {
  const share = (a, b, least, most) => {
    const span = Math.min(b - a, most - least), start = Math.min(Math.max(a, least), most - span);
    return [start, start + span];
  };
  [view.from, view.to] = share(from, Math.max(to, from + 1), whole.from, whole.to);
  [view.low, view.high] = share(low, Math.max(high, low + whole.high / 1e4), whole.low, whole.high);
  requestAnimationFrame(draw);
}

function zoom(factor, time, offset, both) {
  const f = (value, centre) => centre + (value - centre) * factor, v = view;
  setView(f(v.from, time), f(v.to, time), both ? f(v.low, offset) : v.low, both ? f(v.high, offset) : v.high);
}

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const factor = Math.exp(Math.max(-200, Math.min(200, event.deltaY)) * 0.0016);
  zoom(factor, timeAt(event.offsetX), offsetAt(event.offsetY), !event.shiftKey);
}, { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, y: event.clientY, ...view };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (drag) {
    const time = (event.clientX - drag.x) / (width - left - right) * (drag.to - drag.from);
    const offset = (event.clientY - drag.y) / mapHeight * (drag.high - drag.low);
    setView(drag.from - time, drag.to - time, drag.low + offset, drag.high + offset);
  }
  const time = timeAt(event.offsetX), offset = offsetAt(event.offsetY);
  const inside = event.offsetY <= below && event.offsetX >= left;
  const found = inside ? data.blocks.find((b) => !hidden.has(b[GROUP]) && b[START] <= time && time < b[END]
    && b[LOW] <= offset && offset < b[HIGH]) || null : null;
  if (found !== hovered) { hovered = found; requestAnimationFrame(draw); }
  showTip(found, event.clientX, event.clientY);
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { drag = null; });
canvas.addEventListener("pointerleave", () => { hovered = null; showTip(null); requestAnimationFrame(draw); });
canvas.addEventListener("dblclick", reset);
canvas.addEventListener("keydown", (event) => {
  const time = (view.from + view.to) / 2, offset = (view.low + view.high) / 2;
  if (event.key === "+") zoom(0.8, time, offset, true);
  else if (event.key === "-") zoom(1.25, time, offset, true);
  else if (event.key === "0") reset();
});
byId("reset").addEventListener("click", reset);

function reset() { setView(whole.from, whole.to, whole.low, whole.high); }

function showTip(block, pageX, pageY) {
  tip.style.visibility = block ? "visible" : "hidden";
  if (!block) return;
  const heading = document.createElement("b");
  heading.textContent = data.labels[block[OWNER]];
  const lines = [
    `${bytes(block[HIGH] - block[LOW])} at ${block[LOW].toLocaleString("en")}`,
    `${data.timeLabel} ${data.ticks[block[START]].toLocaleString("en")} \\u2192 `
      + data.ticks[block[END]].toLocaleString("en"),
    look.get(block[GROUP]).name].filter(Boolean);
  tip.replaceChildren(heading, ...lines.map((text) => {
    const line = document.createElement("span");
    line.textContent = text;  // text, never markup
    return line;
  }));
  tip.style.left = Math.min(pageX + 16, window.innerWidth - tip.offsetWidth - 8) + "px";
  tip.style.top = Math.min(pageY + 16, window.innerHeight - tip.offsetHeight - 8) + "px";
}

for (const [group, name, colour] of data.groups) {
  if (!name) continue;
  const button = document.createElement("button"), swatch = document.createElement("i");
  swatch.style.background = colour;
  button.type = "button"; button.setAttribute("aria-pressed", "true");
  button.append(swatch, name);
  button.addEventListener("click", () => {
    if (!hidden.delete(group)) hidden.add(group);
    button.setAttribute("aria-pressed", String(!hidden.has(group)));
    requestAnimationFrame(draw);
  });
  byId("legend").append(button);
}
for (const [value, caption] of data.facts) {
  const [box, term, shown] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  term.textContent = caption; shown.textContent = value;
  box.append(term, shown); byId("facts").append(box);
}
window.addEventListener("resize", draw);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
"""

TEMPLATE: Final = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>__TITLE__</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<header><h1>__TITLE__</h1><dl id="facts"></dl></header>
<canvas id="map" tabindex="0" role="img" aria-label="__SUMMARY__"></canvas>
<footer><div id="legend"></div><button type="button" id="reset">Reset</button></footer>
<p id="hint">Wheel: zoom (with Shift, time only). Drag: pan. Hover: follow a buffer. Double click: everything.</p>
</main>
<div id="tip" role="status"></div>
<script type="application/json" id="data">__DATA__</script>
<script>{_SCRIPT}</script>
</body>
</html>
"""
