"""What the page of a memory map does: zoom in both directions, pan, hover and filter."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { --profile: #407ab9; }
@media (prefers-color-scheme: dark) { :root { --profile: #6ea3dd; } }
#chart { touch-action: none; }
"""

TOOLS: Final = """<button type="button" id="reset">Reset</button>"""

HINT: Final = (
    "Wheel: zoom (with Shift, time only). Drag: pan. Hover: follow a buffer. Double click: everything."
)

SCRIPT: Final = """
const pen = canvas.getContext("2d");
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
showFacts(data.facts);
window.addEventListener("resize", draw);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
"""
