"""The shell of every interactive page: one file that fetches nothing, for readers in light or dark."""

from __future__ import annotations

import html as markup
import json
import re
from typing import Final

_STYLE: Final = """
:root { color-scheme: light dark; --page: #f4f6f8; --card: #ffffff; --ink: #1d2530; --muted: #667180;
  --grid: #e4e8ed; --stripe: #f6f8fa; --line: #d5dbe2; --reference: #0b7a55; --chip: #eef1f4; }
@media (prefers-color-scheme: dark) { :root { --page: #11151a; --card: #191f26; --ink: #e8ecf1;
  --muted: #94a0ae; --grid: #29313b;
  --stripe: #1d242c; --line: #333d49; --reference: #4cc79a; --chip: #252d37; } }
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
#chart { display: block; width: 100%; cursor: grab; touch-action: pan-y; border-radius: 6px; }
#chart.dragging { cursor: grabbing; }
#chart:focus-visible { outline: 2px solid #407ab9; outline-offset: 3px; }
footer { display: flex; gap: 12px; align-items: flex-start; margin-top: 12px; }
#legend { display: flex; flex-wrap: wrap; gap: 4px; flex: 1; max-height: 132px; overflow: auto; }
button { font: inherit; color: var(--ink); background: none; border: 1px solid transparent;
  border-radius: 6px; padding: 2px 8px; cursor: pointer; }
#legend button { font-size: 12.5px; display: flex; align-items: center; gap: 6px; }
#legend button:hover, #legend button:focus-visible { background: var(--chip); }
#legend button[aria-pressed="false"] { opacity: .38; text-decoration: line-through; }
#legend i { width: 11px; height: 11px; border-radius: 3px; flex: none; }
#tools { display: flex; gap: 6px; flex: none; align-items: center; }
#tools button { background: var(--chip); min-width: 30px; }
#tools button:hover { border-color: var(--line); }
#hint { color: var(--muted); font-size: 12px; margin: 10px 0 0; }
#tip { position: fixed; z-index: 2; pointer-events: none; visibility: hidden; background: var(--ink);
  color: var(--card); border-radius: 8px; padding: 8px 12px; font-size: 12.5px; max-width: 320px;
  box-shadow: 0 4px 18px rgb(0 0 0 / .25); overflow-wrap: anywhere; }
#tip b { display: block; font-size: 13.5px; }
#tip span { display: block; font-variant-numeric: tabular-nums; opacity: .88; }
"""

_SCRIPT: Final = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const canvas = byId("chart"), tip = byId("tip");

function showFacts(facts) {
  byId("facts").replaceChildren(...facts.map(([value, caption]) => {
    const [box, term, figure] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = caption; figure.textContent = value;
    box.append(term, figure);
    return box;
  }));
}
"""

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>__TITLE__</title>
<style>__STYLE__</style>
</head>
<body>
<main>
<header><h1>__TITLE__</h1><dl id="facts"></dl></header>
<canvas id="chart" tabindex="0" role="img" aria-label="__SUMMARY__"></canvas>
<footer>
<div id="legend"></div>
<div id="tools">
__TOOLS__
</div>
</footer>
<p id="hint">__HINT__</p>
</main>
<div id="tip" role="status"></div>
<script type="application/json" id="data">__DATA__</script>
<script>__SCRIPT__</script>
</body>
</html>
"""


def page(
    *, title: str, summary: str, data: object, script: str, tools: str, hint: str, style: str = ""
) -> str:
    """A self-contained page around a canvas.

    Args:
        title: Heading; any text.
        summary: What the picture shows, in a sentence, for those who do not see it; any text.
        data: What the script draws, as JSON; names in it are data, never markup.
        script: JavaScript; `data`, `byId`, `canvas`, `tip` and `showFacts([[value, caption], ...])` are there.
        tools: Markup of the buttons.
        hint: Markup of the line below.
        style: Further CSS.
    """
    parts = {
        "STYLE": _STYLE + style,
        "TOOLS": tools,
        "HINT": hint,
        "SCRIPT": _SCRIPT + script,
        "TITLE": markup.escape(title),
        "SUMMARY": markup.escape(summary),
        "DATA": _embed(data),
    }
    return re.sub(
        "__([A-Z]+)__", lambda found: parts[found[1]], _PAGE
    )  # one pass: what is filled in stays as it is


def _embed(data: object) -> str:
    """JSON that is safe inside a script element: no tag, comment or entity can begin in it."""
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
