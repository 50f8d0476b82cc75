"""The day as one interactive HTML page: a map that plays, with queues, aircraft and the books; no server, network or library."""

from __future__ import annotations

import html as markup
import json
from typing import Final

from makespan.envs.core.palette import BASE
from makespan.envs.core.schedule import Schedule
from makespan.envs.fleet.instance import FleetDay
from makespan.envs.fleet.pictures import DayView

_STEP: Final = 300  # seconds between two moments for which queues and books are stored

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>__TITLE__</title>
<style>
:root{color-scheme:light dark;--ink:#1d2530;--paper:#fff;--soft:#8a94a3}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf2;--paper:#14181f;--soft:#7d8795}}
body{margin:0;font:14px/1.4 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
main{max-width:860px;margin:auto;padding:12px}h1{font-size:17px;margin:4px 0}
canvas{width:100%;border:1px solid var(--soft);border-radius:6px}
.bar{display:flex;gap:10px;align-items:center;margin:8px 0}input{flex:1}button{min-width:64px}
dl{display:flex;flex-wrap:wrap;gap:6px 22px;margin:0}dt{color:var(--soft)}dd{margin:0;font-variant-numeric:tabular-nums}
p{color:var(--soft)}
</style></head><body><main>
<h1>__TITLE__</h1>
<div class="bar"><button id="play" aria-label="play or pause">Play</button>
<input id="time" type="range" min="0" max="__HORIZON__" step="30" value="0" aria-label="time"><output id="clock"></output></div>
<canvas id="map" width="1200" height="900" role="img" aria-label="map of the network"></canvas>
<dl id="books"></dl>
<p>Circles grow with the queues. Blue aircraft carry passengers, orange ones fly empty, red ones are under repair;
 dotted routes are
closed. Squares with a ring have chargers. Hover over a vertiport for its queue.</p>
<script>
const D=__DATA__;
const c=document.getElementById("map"),g=c.getContext("2d"),s=document.getElementById("time");
const xs=D.position.map(p=>p[0]),ys=D.position.map(p=>p[1]);
const x0=Math.min(...xs),x1=Math.max(...xs),y0=Math.min(...ys),y1=Math.max(...ys);
const k=Math.min(1040/Math.max(1,x1-x0),760/Math.max(1,y1-y0));
const X=p=>80+(p[0]-x0)*k,Y=p=>820-(p[1]-y0)*k;
let mouse=null,playing=false;
const css=n=>getComputedStyle(document.documentElement).getPropertyValue(n);
const clock=t=>{const m=Math.floor((t+D.dayStart)/60);return String(Math.floor(m/60)).padStart(2,
 "0")+":"+String(m%60).padStart(2,"0")};
function draw(){
 const t=+s.value,n=Math.min(D.queues.length-1,Math.floor(t/D.step)),h=Math.min(D.closed.length-1,Math.floor(t/3600));
 document.getElementById("clock").textContent=clock(t);
 g.clearRect(0,0,c.width,c.height);g.lineWidth=1.5;
 g.setLineDash([4,6]);g.strokeStyle=D.colours.repair;
 for(const[i,j]of D.closed[h]){g.beginPath();g.moveTo(X(D.position[i]),Y(D.position[i]));g.lineTo(X(D.position[j]),
 Y(D.position[j]));g.stroke()}
 g.setLineDash([]);g.font="17px system-ui";
 let tip=null;
 D.position.forEach((p,i)=>{const q=D.queues[n][i];
  g.globalAlpha=.3;g.fillStyle=D.chargers[i]?D.colours.hub:D.colours.stop;
  g.beginPath();g.arc(X(p),Y(p),8+3.2*Math.sqrt(q),0,7);g.fill();g.globalAlpha=1;
  g.fillRect(X(p)-5,Y(p)-5,10,10);if(D.chargers[i]){g.strokeStyle=g.fillStyle;g.beginPath();g.arc(X(p),Y(p),10,0,7);
 g.stroke()}
  g.fillStyle=css("--ink");g.fillText("V"+i,X(p)+10,Y(p)-10);
  if(mouse&&Math.hypot(mouse[0]-X(p),
 mouse[1]-Y(p))<26)tip="V"+i+": "+q+" waiting, "+D.parking[i]+" places, "+D.chargers[i]+" chargers"});
 let air=0,empty=0,down=0;
 for(const[a,i,j,t0,t1,kind,riders]of D.rows){if(t<t0||t>=t1)continue;
  if(kind==="repair"){down++;g.fillStyle=D.colours.repair;g.fillRect(X(D.position[j])+8+5*(down%6),Y(D.position[j])+8,5,
 5);continue}
  const f=(t-t0)/Math.max(1,t1-t0),p=[0,1].map(d=>D.position[i][d]+(D.position[j][d]-D.position[i][d])*f);
  air++;if(!riders)empty++;
  const w=Math.atan2(Y(D.position[j])-Y(D.position[i]),X(D.position[j])-X(D.position[i]));
  g.save();g.translate(X(p),Y(p));g.rotate(w);g.fillStyle=riders?D.colours.fly:D.colours.empty;
  g.beginPath();g.moveTo(10,0);g.lineTo(-7,6);g.lineTo(-7,-6);g.fill();g.restore()}
 if(tip){g.fillStyle=css("--ink");g.fillText(tip,20,30)}
 const b=D.books[n],money=v=>(v/100).toLocaleString("en",{maximumFractionDigits:0})+" USD";
 const facts=[["profit",money(b[0]-b[1]-b[2])],["revenue",money(b[0])],["operating",money(b[1])],["electricity",money(b[2])],
  ["passengers",b[3]],["in the air",air],["empty",empty],["waiting",D.queues[n].reduce((a,v)=>a+v,0)]];
 document.getElementById("books").replaceChildren(...facts.map(([name,value])=>{const e=document.createElement("div"),
  dt=document.createElement("dt"),dd=document.createElement("dd");dt.textContent=name;dd.textContent=value;e.append(dt,
 dd);return e}))}
s.oninput=draw;
c.onmousemove=e=>{const r=c.getBoundingClientRect();mouse=[(e.clientX-r.left)*c.width/r.width,
 (e.clientY-r.top)*c.height/r.height];draw()};
document.getElementById("play").onclick=e=>{playing=!playing;e.target.textContent=playing?"Pause":"Play";
 if(playing)requestAnimationFrame(tick)};
function tick(){if(!playing)return;s.value=(+s.value>=+s.max)?0:+s.value+60;draw();requestAnimationFrame(tick)}
draw();
</script></main></body></html>
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
        "queues": [view.queues(float(second)).tolist() for second in moments],
        "books": _books(view, moments),
        "closed": [
            [[i, j] for i in range(V) for j in range(i) if day.closed[i, j, hour]]
            for hour in range(day.closed.shape[2])
        ],
        "rows": flights,
        "colours": {"fly": BASE[0], "empty": BASE[1], "repair": BASE[3], "hub": BASE[5], "stop": "#8a94a3"},
    }
    page = _PAGE.replace("__TITLE__", markup.escape(day.name or "A fleet's day"))
    page = page.replace("__HORIZON__", str(day.parameters.horizon))
    return page.replace("__DATA__", _embed(data))  # last: nothing in it is taken for a placeholder


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


def _embed(data: object) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
