// Small drawing helpers: elements, scales, line charts, bars, heat maps, tables.
const NS = "http://www.w3.org/2000/svg";
// Okabe and Ito's colours, told apart by most colour-blind readers; dashes tell the rest.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"];
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];
const colour = i => COLOURS[i % COLOURS.length];
// text in a line's colour, nearer to that of the page's text so that it is read on light and on dark
const ink = c => "fill:color-mix(in srgb, " + c + " 55%, var(--fg))";
const dash = i => DASHES[Math.floor(i / COLOURS.length) % DASHES.length];

function el(name, attrs, ...children) {
  const e = document.createElement(name);
  for (const k in attrs || {}) { if (k === "on") { for (const ev in attrs.on) e.addEventListener(ev, attrs.on[ev]); } else if (attrs[k] !== null && attrs[k] !== undefined) e.setAttribute(k, attrs[k]); }
  for (const c of children) e.append(c);
  return e;
}
function svg(name, attrs, text) {
  const e = document.createElementNS(NS, name);
  for (const k in attrs || {}) e.setAttribute(k, attrs[k]);
  if (text !== undefined) e.textContent = text;
  return e;
}
const ok = v => v !== null && v !== undefined && Number.isFinite(v);
function num(v, digits) {
  if (!ok(v)) return "–";
  const a = Math.abs(v);
  if (digits !== undefined) return v.toFixed(digits);
  if (a !== 0 && (a < 1e-3 || a >= 1e6)) return v.toExponential(2);
  return a >= 100 ? v.toFixed(0) : a >= 10 ? v.toFixed(1) : v.toFixed(3);
}
function extent(lists) {
  let lo = Infinity, hi = -Infinity;
  for (const l of lists) for (const v of l) if (ok(v)) { lo = Math.min(lo, v); hi = Math.max(hi, v); }
  if (lo > hi) return null;
  if (lo === hi) { lo -= Math.abs(lo) * .05 + 1e-9; hi += Math.abs(hi) * .05 + 1e-9; }
  return [lo, hi];
}
function ticks(lo, hi, n) {
  const raw = (hi - lo) / n, base = Math.pow(10, Math.floor(Math.log10(raw)));
  const step = [1, 2, 5, 10].map(k => k * base).find(s => s >= raw) || raw;
  const out = [];
  for (let v = Math.ceil(lo / step) * step; v <= hi + step * 1e-9; v += step) out.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return out;
}
// tickText writes all of an axis with as many digits as its step needs.
function tickText(v, all) {
  if (v === 0) return "0";
  const step = all.length > 1 ? all[1] - all[0] : Math.abs(v), digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const text = digits > 4 || Math.abs(v) >= 1e6 ? v.toExponential(Math.max(0, Math.floor(Math.log10(Math.abs(v)) + 1e-9) + Math.min(digits, 20))).replace(/\.?0*e\+?/, "e") : v.toFixed(digits);
  return text.replace("-", "−");
}
const tip = document.getElementById("tip");
function showTip(text, x, y) {
  tip.textContent = text; tip.hidden = false;
  const w = tip.offsetWidth, h = tip.offsetHeight;
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - w - 4)) + "px";
  tip.style.top = Math.max(4, Math.min(y + 14, innerHeight - h - 4)) + "px";
}
function hideTip() { tip.hidden = true; }

let drawn = 0; // figures, for tests

// smooth is the mean of the last n values that there are, where there is one.
function smooth(y, n) {
  if (n < 2) return y;
  const last = [];
  return y.map(v => { if (!ok(v)) return null; last.push(v); if (last.length > n) last.shift(); return last.reduce((a, b) => a + b, 0) / last.length; });
}
// spread moves label heights apart, in order, so that each keeps its room.
function spread(labels, room, top, bottom) {
  labels.sort((a, b) => a.y - b.y);
  labels.forEach((l, i) => { l.y = Math.max(l.y, i ? labels[i - 1].y + room : top); });
  for (let i = labels.length - 1, limit = bottom; i >= 0; i--, limit -= room) labels[i].y = Math.min(labels[i].y, limit);
  return labels;
}
// lines draws series [{name, x, y, index, dots, dashed, thick}] and returns the element. A series goes straight
// over steps without a value, and then shows its points. o: title, xLabel, yLabel, zero, controls (smoothing, log axis).
function lines(all, o) {
  const box = el("div"), legend = el("div", { class: "legend" }), host = el("div");
  const shown = all.map(() => true);
  let window_ = 1, log = false, series = all;
  function draw() {
    host.replaceChildren();
    series = all.map(q => Object.assign({}, q, { y: smooth(q.y, window_).map(v => log && !(v > 0) ? null : v) }));
    const live = series.filter((_, i) => shown[i]);
    const xr = extent(live.map(s => s.x)), yr = extent(live.map(s => s.y).concat(o.zero && !log ? [[0]] : []));
    if (!xr || !yr) { host.append(el("p", { class: "missing" }, "Nothing to draw.")); return; }
    const names = series.length > 1, longest = Math.max(...series.map(q => q.name.length));
    const narrow = innerWidth < 560, W = narrow ? 360 : 760, H = Math.max(narrow ? 230 : 280, names ? series.length * 11 + 56 : 0), L = 46, R = names ? Math.min(narrow ? 92 : 130, 12 + longest * 6.2) : 8, T = 8, B = 34;
    const f = log ? Math.log : v => v, y0 = f(yr[0]), y1 = f(yr[1]);
    const X = v => L + (v - xr[0]) / (xr[1] - xr[0]) * (W - L - R), Y = v => H - B - (f(v) - y0) / (y1 - y0) * (H - T - B);
    const s = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": o.title });
    const marks = ticks(yr[0], yr[1], 5);
    for (const v of marks) { s.append(svg("line", { class: "axis", x1: L, x2: W - R, y1: Y(v), y2: Y(v) }), svg("text", { x: L - 5, y: Y(v) + 4, "text-anchor": "end" }, tickText(v, marks))); }
    for (const v of ticks(xr[0], xr[1], narrow ? 4 : 8)) s.append(svg("text", { x: X(v), y: H - B + 15, "text-anchor": "middle" }, Math.abs(v) >= 1 || v === 0 ? String(Math.round(v * 100) / 100) : num(v)));
    s.append(svg("text", { x: W - R, y: H - 3, "text-anchor": "end" }, o.xLabel || "step"), svg("text", { x: 2, y: H - 3 }, (o.yLabel || "") + (log ? ", log" : "")));
    const labels = [];
    series.forEach((q, i) => {
      if (!shown[i]) return;
      const k = q.index === undefined ? i : q.index, c = colour(k);
      let d = "", last = null;
      const there = q.y.filter(ok).length;
      q.y.forEach((v, n) => { if (ok(v)) { d += (d ? "L" : "M") + X(q.x[n]).toFixed(1) + " " + Y(v).toFixed(1); last = v; } });
      s.append(svg("path", { d: d, fill: "none", stroke: c, "stroke-width": q.thick ? 2.6 : 1.7, "stroke-dasharray": q.dashed ? "3 3" : dash(k) }));
      if (q.dots || there < 2 || there < q.y.length && there <= 150) q.y.forEach((v, n) => { if (ok(v)) s.append(point(k, X(q.x[n]), Y(v), q.dots ? 3 : 2.2, q.dashed ? "none" : c, c)); });
      if (names && last !== null) labels.push({ y: Y(last), to: Y(last), name: q.name, c: c });
    });
    for (const l of spread(labels, 11, T + 4, H - B - 3)) {
      s.append(svg("line", { x1: W - R + 1, x2: W - R + 8, y1: l.to, y2: l.y, stroke: l.c, "stroke-width": 1 }));
      s.append(svg("text", { x: W - R + 10, y: l.y + 3.5, style: "font-size:10px;" + ink(l.c) }, l.name.length * 6.2 > R - 10 ? l.name.slice(0, Math.floor((R - 16) / 6.2)) + "…" : l.name));
    }
    const mark = svg("line", { class: "axis", y1: T, y2: H - B, visibility: "hidden", stroke: "currentColor" });
    s.append(mark);
    function at(e) {
      const r = s.getBoundingClientRect(), v = xr[0] + ((e.clientX - r.left) * W / r.width - L) / (W - L - R) * (xr[1] - xr[0]);
      let best = null;
      for (const q of live) q.x.forEach(x => { if (best === null || Math.abs(x - v) < Math.abs(best - v)) best = x; });
      if (best === null) return;
      mark.setAttribute("x1", X(best)); mark.setAttribute("x2", X(best)); mark.setAttribute("visibility", "visible");
      const rows = live.map(q => [q.name, q.y[q.x.indexOf(best)]]).filter(p => ok(p[1])).sort((a, b) => b[1] - a[1]);
      const most = 14;
      showTip((o.xLabel || "step") + " " + num(best, Number.isInteger(best) ? 0 : 3) + "\n" + rows.slice(0, most).map(p => num(p[1]).padStart(9) + "  " + p[0]).join("\n") + (rows.length > most ? "\n  … " + (rows.length - most) + " more" : ""), e.clientX, e.clientY);
    }
    s.addEventListener("pointermove", at); s.addEventListener("pointerdown", at);
    s.addEventListener("pointerleave", () => { hideTip(); mark.setAttribute("visibility", "hidden"); });
    host.append(s);
  }
  all.forEach((q, i) => {
    const k = q.index === undefined ? i : q.index, sw = svg("svg", { width: 22, height: 8, style: "width:22px" });
    sw.append(svg("line", { x1: 0, x2: 22, y1: 4, y2: 4, stroke: colour(k), "stroke-width": 2.4, "stroke-dasharray": q.dashed ? "3 3" : dash(k) }), point(k, 11, 4, 3, q.dashed ? "none" : colour(k), colour(k)));
    const b = el("button", { type: "button", "aria-pressed": "true", on: { click: () => { shown[i] = !shown[i]; b.setAttribute("aria-pressed", shown[i]); draw(); } } }, sw, q.name);
    legend.append(b);
  });
  draw(); drawn++;
  addEventListener("resize", draw);
  if (o.controls) {
    const by = el("select", { "aria-label": "smoothing" }, ...[1, 5, 20, 50].map(n => el("option", { value: n }, n === 1 ? "none" : "mean of " + n + " points")));
    by.addEventListener("change", () => { window_ = +by.value; draw(); });
    const scale = el("input", { type: "checkbox" });
    scale.addEventListener("change", () => { log = scale.checked; draw(); });
    box.append(el("div", { class: "controls" }, el("label", {}, "smoothing", by), el("label", {}, scale, "log axis")));
  }
  box.append(legend, host, asTable(() => [[o.xLabel || "step", ...all.map(q => q.name)], ...tableRows(all)]));
  return box;
}
// point is a mark whose shape tells colours that repeat apart: a disc, a square, a triangle, a diamond.
function point(k, x, y, r, fill, stroke) {
  const d = [null, `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`, `M${x} ${y - r * 1.2}L${x + r * 1.2} ${y + r}H${x - r * 1.2}z`, `M${x} ${y - r * 1.4}L${x + r * 1.4} ${y}L${x} ${y + r * 1.4}L${x - r * 1.4} ${y}z`][Math.floor(k / COLOURS.length) % 4];
  return d ? svg("path", { d: d, fill: fill, stroke: stroke }) : svg("circle", { cx: x, cy: y, r: r, fill: fill, stroke: stroke });
}
function tableRows(series) {
  const xs = [...new Set(series.flatMap(q => q.x))].sort((a, b) => a - b), maps = series.map(q => new Map(q.x.map((x, n) => [x, q.y[n]])));
  return xs.map(x => [num(x, Number.isInteger(x) ? 0 : 3), ...maps.map(m => num(m.get(x)))]);
}
// breakable lets a parameter's long name break after its dots.
const breakable = text => text.replace(/([._])(?=\w{4})/g, "$1\u200b");
// table of strings, first row the head. Cells are text, never markup.
function table(rows, cls) {
  const head = el("thead", {}, el("tr", {}, ...rows[0].map(c => el("th", { scope: "col" }, breakable(String(c))))));
  const body = el("tbody", {}, ...rows.slice(1).map(r => el("tr", r.sum ? { class: "sum" } : {}, ...r.map(c => el("td", {}, String(c))))));
  return el("div", { class: "scroll" }, el("table", { class: cls }, head, body));
}
// asTable is a figure's numbers, made when they are asked for.
function asTable(rows) {
  const d = el("details", {}, el("summary", {}, "The same as a table"));
  d.addEventListener("toggle", () => { if (d.open && d.children.length === 1) d.append(table(rows())); });
  return d;
}
// diverging is blue for 1, white (or black) for 0, red for −1.
function diverging(v) {
  if (!ok(v)) return "transparent";
  const a = Math.min(1, Math.abs(v)), [r, g, b] = v < 0 ? [178, 24, 43] : [33, 102, 172];
  return `rgba(${r},${g},${b},${(a * .85 + .04).toFixed(3)})`;
}
const inkOn = v => ok(v) && Math.abs(v) > .55 ? "#fff" : "inherit";
// heat draws rows × columns of 0 … 1 on a canvas-like grid of rectangles.
function heat(names, xs, values, o) {
  const W = innerWidth < 560 ? 360 : 760, L = 0, cell = Math.max(12, Math.min(22, 420 / names.length)), row = cell + 17, H = names.length * row + 24;
  const s = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": o.title });
  names.forEach((name, r) => {
    const y = r * row;
    s.append(svg("text", { x: 0, y: y + 10 }, name));
    const w = (W - L) / Math.max(1, xs.length);
    values[r].forEach((v, k) => {
      if (!ok(v)) return;
      const c = svg("rect", { x: L + k * w, y: y + 13, width: w + .3, height: cell, fill: diverging(o.center === undefined ? -v : (o.center - v) / Math.max(o.center, 1 - o.center)) });
      s.append(c);
    });
    s.append(svg("rect", { x: L, y: y + 13, width: W - L, height: cell, fill: "none", class: "axis" }));
  });
  s.append(svg("text", { x: L, y: H - 8 }, o.xLabel + " " + xs[0]), svg("text", { x: W, y: H - 8, "text-anchor": "end" }, String(xs[xs.length - 1])));
  s.addEventListener("pointermove", e => {
    const r = s.getBoundingClientRect(), px = (e.clientX - r.left) * W / r.width, py = (e.clientY - r.top) * H / r.height;
    const i = Math.floor(py / row), k = Math.floor(px / ((W - L) / xs.length));
    if (i < 0 || i >= names.length || k < 0 || k >= xs.length) { hideTip(); return; }
    showTip(names[i] + "\n" + o.xLabel + " " + xs[k] + ": " + (ok(values[i][k]) ? (100 * values[i][k]).toFixed(0) + " %" : "–"), e.clientX, e.clientY);
  });
  s.addEventListener("pointerleave", hideTip);
  drawn++;
  return el("div", {}, s, asTable(() => [[o.xLabel, ...names], ...xs.map((x, k) => [x, ...names.map((_, r) => ok(values[r][k]) ? (100 * values[r][k]).toFixed(0) + " %" : "–")])]));
}
const barInk = k => [3, 4, 5].includes(k % 8) ? "#1d2329" : "#fff"; // on the light ones of the colours
// bars draws [{name, parts: [{name, value}]}] as stacked horizontal bars.
function bars(items, unit, title) {
  const kinds = [...new Set(items.flatMap(i => i.parts.map(p => p.name)))];
  const top = Math.max(...items.map(i => i.parts.reduce((a, p) => a + p.value, 0)), 1e-12);
  const W = innerWidth < 560 ? 360 : 760, h = 20, s = svg("svg", { viewBox: `0 0 ${W} ${items.length * (h + 18) + 4}`, role: "img", "aria-label": title });
  items.forEach((it, r) => {
    let x = 0; const y = r * (h + 18), sum = it.parts.reduce((a, p) => a + p.value, 0);
    s.append(svg("text", { x: 0, y: y + 11, class: "strong" }, it.name + ": " + unit(sum)));
    for (const p of it.parts) {
      const w = p.value / top * W, k = kinds.indexOf(p.name), c = svg("rect", { x: x, y: y + 15, width: Math.max(0, w - .6), height: h, fill: colour(k), opacity: Math.floor(k / 8) ? .55 : 1 });
      c.append(svg("title", {}, p.name + " " + unit(p.value)));
      s.append(c);
      if (w > 70) s.append(svg("text", { x: x + 5, y: y + 29, style: "fill:" + barInk(k) }, p.name));
      x += w;
    }
  });
  const legend = el("div", { class: "legend" }, ...kinds.map((k, i) => el("span", {}, el("span", { style: `display:inline-block;width:10px;height:10px;margin:0 4px 0 8px;background:${colour(i)}` }), k)));
  drawn++;
  return el("div", {}, kinds.length > 1 ? legend : "", s, asTable(() => [["", ...kinds, "sum"], ...items.map(i => [i.name, ...kinds.map(k => { const p = i.parts.find(p => p.name === k); return p ? unit(p.value) : "–"; }), unit(i.parts.reduce((a, p) => a + p.value, 0))])]));
}
// scatter draws points {x, y, name, group} with the diagonal.
function scatter(points, o) {
  const r = extent([points.map(p => p.x), points.map(p => p.y), [0]]), W = innerWidth < 560 ? 360 : 460, H = W * .8, L = 56, B = 34, T = 8, R = 26;
  const X = v => L + (v - r[0]) / (r[1] - r[0]) * (W - L - R), Y = v => H - B - (v - r[0]) / (r[1] - r[0]) * (H - T - B);
  const s = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": o.title, style: `max-width:${W * 1.3}px` });
  const marks = ticks(r[0], r[1], 4);
  for (const v of marks) { s.append(svg("line", { class: "axis", x1: L, x2: W - R, y1: Y(v), y2: Y(v) }), svg("text", { x: L - 5, y: Y(v) + 4, "text-anchor": "end" }, tickText(v, marks)), svg("text", { x: X(v), y: H - B + 15, "text-anchor": "middle" }, tickText(v, marks))); }
  s.append(svg("line", { x1: X(r[0]), y1: Y(r[0]), x2: X(r[1]), y2: Y(r[1]), stroke: "currentColor", "stroke-dasharray": "4 4", opacity: .5 }));
  s.append(svg("text", { x: W - R, y: H - 3, "text-anchor": "end" }, o.xLabel), svg("text", { x: 2, y: H - 3 }, "↑ " + o.yLabel));
  const boxes = points.map(p => [X(p.x) - 4, Y(p.y) - 4, X(p.x) + 4, Y(p.y) + 4]); // no name lies on a point or on another name
  for (const p of points) {
    const c = svg("circle", { cx: X(p.x), cy: Y(p.y), r: 4.5, fill: colour(p.group), opacity: .85 });
    c.append(svg("title", {}, `${p.name}: ${o.xLabel} ${num(p.x)}, ${o.yLabel} ${num(p.y)}`));
    s.append(c);
    const w = 6.5 * p.label.length, at = [[6, -4], [6, 12], [-6 - w, -4], [-6 - w, 12], [6, -15], [-6 - w, 23], [6, 23], [-6 - w, -15]].map(([dx, dy]) => [X(p.x) + dx, Y(p.y) + dy])
      .find(([x, y]) => x >= L && x + w <= W && y > 8 && !boxes.some(b => x < b[2] && x + w > b[0] && y - 9 < b[3] && y > b[1]));
    if (!at) continue; // crowded: its colour and the table tell
    boxes.push([at[0], at[1] - 9, at[0] + w, at[1]]);
    s.append(svg("text", { x: at[0], y: at[1], style: ink(colour(p.group)) }, p.label));
  }
  drawn++;
  return s;
}
