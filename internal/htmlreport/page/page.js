// The page: sections from DATA, in the order of reading.
const H = DATA.header, LANGS = DATA.langs || [], main = document.getElementById("main"), nav = document.getElementById("nav");
const has = l => l && l.length > 0;

function section(id, title, note) {
  const s = el("section", { id: id }, el("h2", {}, title));
  if (note) s.append(el("p", { class: "note" }, note));
  nav.append(el("a", { href: "#" + id }, title));
  main.append(s);
  return s;
}
const missing = (s, text) => s.append(el("p", { class: "missing" }, text));
const duration = t => t >= 3600 ? Math.floor(t / 3600) + " h " + Math.round(t % 3600 / 60) + " min" : t >= 60 ? Math.floor(t / 60) + " min " + Math.round(t % 60) + " s" : num(t, 1) + " s";
const bytes = n => n >= 1 << 30 ? (n / 2 ** 30).toFixed(2) + " GiB" : (n / 2 ** 20).toFixed(1) + " MiB";
const noGram = "This run's method (" + H.method + ") computes no Gram matrices: there are no cosines, in all or by layer, no distance from the mean gradient and no stationarity gap. A method that does, such as objective.method = \"pcgrad\", records them.";
// largest are the n largest of [name, value], and the others together: so many have colours of their own.
function largest(entries, n) {
  const all = entries.filter(e => e[1] > 0).sort((a, b) => b[1] - a[1]).map(e => ({ name: e[0], value: e[1] })), rest = all.slice(n);
  return rest.length < 2 ? all : [...all.slice(0, n), { name: "others", value: rest.reduce((sum, p) => sum + p.value, 0) }];
}

function slider(label, max, value, show, change) {
  const out = el("output", {}, show(value));
  if (max < 1) return el("span", {}, label + " ", out); // nothing to choose from
  const input = el("input", { type: "range", min: 0, max: Math.max(0, max), value: value, "aria-label": label, on: { input: () => { out.textContent = show(+input.value); change(+input.value); } } });
  return el("label", {}, label, input, out);
}

document.getElementById("subtitle").textContent = [H.model, H.device, H.method + ", scope " + H.scope].filter(Boolean).join(" · ");

const count = v => v ? v.toLocaleString("en") : "";
function summary() {
  const s = section("summary", "Summary"), last = DATA.steps && DATA.steps.length ? DATA.steps[DATA.steps.length - 1] : 0;
  const dl = el("dl"), put = (k, v) => dl.append(el("dt", {}, k), el("dd", {}, v));
  put("Run", (H.name || "") + "  " + (H.dir || ""));
  put("Steps", last + " of " + H.steps + (DATA.end ? "" : ", not finished") + "; " + H.rows + " rows × " + H.seq_len + " tokens");
  put("Tokens", (DATA.total_tokens || 0).toLocaleString("en") + " read" + (DATA.end && DATA.end.supervised ? ", " + DATA.end.supervised.toLocaleString("en") + " of them trained on," : "") + " in " + duration(DATA.end ? DATA.end.seconds : DATA.seconds));
  put("Trained on", LANGS.join(" "));
  put("Program", "concord " + H.version);
  s.append(dl);
  for (const w of H.warnings || []) s.append(el("p", { class: "missing" }, "! " + w));
  if (has(H.settings)) s.append(el("details", {}, el("summary", {}, "Settings that are not the defaults"), table([["setting", "value"], ...H.settings.map(x => [x.key, x.value])])));
  const a = DATA.before, b = DATA.after;
  if (!b) { missing(s, "No evaluation was recorded: give a source heldout or holdout, and leave eval.first and eval.last on."); return; }
  const rows = [["language", "before", "after", "change, % (95 % interval)", "n"]], was = new Map((a.rows || []).map(r => [r.lang, r]));
  const error = e => e && ok(e.high) ? " ±\u00a0" + num(e.high - e.value, 3) : "", of = (n, all) => count(n) + (all > n ? " of " + count(all) : "");
  const change = (x, y) => ok(x) && ok(y) && x ? (100 * (y / x - 1)).toFixed(1) : "–";
  const worst = [], signed = v => (v > 0 ? "+" : "") + v.toFixed(1);
  for (const seen of [true, false]) {
    const these = (b.rows || []).filter(r => r.seen === seen);
    if (!these.length) continue;
    const kind = seen ? "" : " (unseen)", range = c => c && ok(c.low) && ok(c.high) ? " (" + signed(100 * c.low) + "\u00a0…\u00a0" + signed(100 * c.high) + ")" + (c.low < 0 && c.high > 0 ? "\u00a0?" : "") : "";
    const both = [];
    for (const r of these) {
      const w = was.get(r.lang) || {}, x = w.bits_per_byte, y = r.bits_per_byte;
      if (!ok(y)) { rows.push([r.lang + kind, "–", "–", "nothing is held out", "0"]); continue; }
      if (ok(x)) both.push({ lang: r.lang, x: x, y: y, c: y / x - 1 });
      rows.push([r.lang + kind, num(x, 3) + error(w.interval), num(y, 3) + error(r.interval), change(x, y) + range(r.change), of(r.examples, r.heldout)]);
    }
    if (!both.length) continue;
    const avg = k => both.reduce((p, v) => p + v[k], 0) / both.length, mean = e => (e.means || []).find(m => m.seen === seen), m = mean(b), was_ = mean(a);
    const row = ["mean" + (kind || " (seen)"), num(avg("x"), 3) + error(was_ && was_.bits_per_byte), num(avg("y"), 3) + error(m && m.bits_per_byte), change(avg("x"), avg("y")) + range(m && m.change), m ? m.languages < m.of ? m.languages + " of " + m.of + " languages" : of(m.documents, m.heldout) : ""]; row.sum = true; rows.push(row);
    const high = both.reduce((p, v) => v.y > p.y ? v : p), least = both.reduce((p, v) => v.c > p.c ? v : p);
    worst.push((seen ? "Of the trained languages" : "Of the unseen ones") + " " + high.lang + " has the most bits per byte (" + num(high.y, 3) + "), and " + least.lang + " " + (least.c > 0 ? "lost most" : "gained least") + " (" + change(least.x, least.y) + " %).");
  }
  s.append(el("p", { class: "note" }, "Held-out bits per byte, lower is better: step " + a.step + " against step " + b.step + ". ± and the interval are 95 %, over the n documents" + ((b.rows || []).some(r => r.heldout > r.examples) ? ", a random sample of those held out" : "") + "; ? may be chance."), table(rows), ...worst.map(w => el("p", { class: "note" }, w)));
}

function loss() {
  const s = section("loss", "Loss by language", "Training loss, nats per supervised token" + (DATA.every > 1 ? "; each point is the mean of " + DATA.every + " steps" : "") + ". Tap a name to hide it.");
  if (!has(DATA.steps)) { missing(s, "No step was recorded."); return; }
  s.append(lines(LANGS.map((l, i) => ({ name: l, x: DATA.steps, y: DATA.loss[i], index: i })), { title: "training loss by language over steps", yLabel: "↑ nats per token", controls: true }));
}

function optimizer() {
  const s = section("optimizer", "Learning rate and gradient", "The norm is that of the gradient that was followed, before clipping.");
  if (!has(DATA.steps)) { missing(s, "No step was recorded."); return; }
  s.append(lines([{ name: "learning rate", x: DATA.steps, y: DATA.lr, index: 0 }], { title: "learning rate over steps", yLabel: "↑ learning rate", zero: true }),
    lines([{ name: "gradient norm", x: DATA.steps, y: DATA.grad_norm, index: 1 }], { title: "gradient norm over steps", yLabel: "↑ gradient norm", controls: true }));
}

function heldout() {
  const unseen = (DATA.evals || []).some(e => (e.rows || []).some(r => !r.seen));
  const s = section("heldout", "Held-out bits per byte", unseen ? "Hollow points, and “(unseen)”: never trained on." : "Trained languages only.");
  if (!has(DATA.evals)) { missing(s, "No evaluation was recorded: [eval] every = 50 measures on the way."); return; }
  const names = [];
  for (const e of DATA.evals) for (const r of e.rows || []) if (!names.some(n => n.lang === r.lang)) names.push(r);
  names.sort((a, b) => b.seen - a.seen);
  s.append(lines(names.map((n, i) => ({ name: n.lang + (n.seen ? "" : " (unseen)"), dashed: !n.seen, dots: true, index: n.seen && LANGS.includes(n.lang) ? LANGS.indexOf(n.lang) : i, x: DATA.evals.map(e => e.step), y: DATA.evals.map(e => { const r = (e.rows || []).find(r => r.lang === n.lang); return r ? r.bits_per_byte : null; }) })), { title: "held-out bits per byte by language over steps", yLabel: "↑ bits per byte" }));
}

// What the model said to the same prompts at each evaluation, a language at a time.
function answers() {
  const evals = (DATA.evals || []).filter(e => has(e.answers));
  if (!evals.length) return; // eval.samples was not asked for
  const s = section("answers", "Answers to held-out prompts", "The likeliest tokens each time. Exact match: the answer is the data's. chrF2: how far they share letters, 100 is all. Only what can fit is scored; in brackets 95 % intervals over the n answers.");
  const langs = [...new Set(evals.flatMap(e => e.answers.map(a => a.lang)))], last = evals[evals.length - 1];
  const score = (e, k) => e && ok(e.value) ? num(k * e.value, 1) + (ok(e.low) ? " (" + num(k * e.low, 1) + "\u00a0…\u00a0" + num(k * e.high, 1) + ")" : "") : "–";
  const at = (e, l) => (e.rows || []).find(r => r.lang === l) || {}, scored = langs.filter(l => at(last, l).answers);
  if (scored.length) s.append(table([["language", "step", "exact match, %", "chrF2", "n"], ...scored.flatMap(l => [...new Set([evals[0], last])].map((e, i) => [i ? "" : l, e.step, score(at(e, l).exact_match, 100), score(at(e, l).chrf, 1), at(e, l).answers || ""]))]));
  const host = el("div"), pick = el("select", { "aria-label": "language" }, ...langs.map(l => el("option", { value: l }, l)));
  const show = a => (a.answer || "(nothing)") + (a.ended ? "" : " …") + (a.scored && a.answer.trim() === a.wanted.trim() ? " ✓" : "");
  function draw() {
    const of = e => e.answers.filter(a => a.lang === pick.value), shown = evals.length > 6 ? [0, 1, 2, 3, 4, 5].map(k => evals[Math.round(k * (evals.length - 1) / 5)]) : evals;
    host.replaceChildren(...of(last).slice(0, 20).map((a, k) => el("div", { class: "answer" }, el("p", { class: "prompt", dir: "auto" }, a.prompt),
      el("dl", {}, ...shown.flatMap(e => of(e)[k] ? [el("dt", {}, "step " + e.step), el("dd", { dir: "auto" }, show(of(e)[k]))] : []), el("dt", {}, "data"), el("dd", { dir: "auto" }, a.wanted)))));
  }
  pick.addEventListener("change", draw);
  s.append(el("div", { class: "controls" }, el("label", {}, "language", pick)), host);
  draw(); drawn++;
}

let drawMatrix = null;
// On a phone many languages' cosines are in hundredths, in small cells.
const small = () => innerWidth < 560 && LANGS.length > 5;
const cosine = v => !ok(v) ? "–" : (small() ? (100 * v).toFixed(0).replace(/^-0$/, "0") : v.toFixed(2).replace("-0.00", "0.00")).replace("-", "−");
const matrix = rows => el("div", { class: "scroll" }, el("table", { class: small() ? "matrix small" : "matrix" }, ...rows));
const hundredths = () => small() ? ", in hundredths" : "";
function cosines() {
  const s = section("cosines", "Cosines between the languages' gradients", "Two languages conflict where the cosine between their gradients is below 0 (red). By chance alone half of all cosines are: framed is only what lies below 0 beyond chance, over the whole run by the spread between its steps (for all pairs together), in one step where the noise was measured ([objective.noise] halves). Grey italics: may be chance, or a pair that met in one step only.");
  if (!has(DATA.grams)) { missing(s, noGram); return; }
  const host = el("div"), first = DATA.grams[0].buckets.map(b => b.name);
  const run = DATA.run_cosines || [], n = LANGS.length, whole = DATA.grams.length; // the last place of the slider is the whole run
  let g = run.length ? whole : whole - 1, b = 0;
  const place = v => v === whole ? "whole run" : String(DATA.grams[v].step);
  function overRun() {
    const name = b === 0 ? "" : first[b - 1], c = run.find(x => x.name === name);
    if (!c) { host.replaceChildren(el("p", { class: "missing" }, "No cosines of this bucket.")); return; }
    const at = (i, j) => i > j ? c.pairs[i * (i - 1) / 2 + j] : c.pairs[j * (j - 1) / 2 + i];
    const rows = [el("tr", {}, el("th"), ...LANGS.map(l => el("th", { scope: "col" }, l)))];
    for (let i = 0; i < n; i++) rows.push(el("tr", {}, el("th", { scope: "row" }, LANGS[i]), ...LANGS.map((_, j) => {
      if (i === j) return el("td", {}, (small() ? "·" : "1"));
      const e = at(i, j), v = e.value;
      return el("td", { style: `background:${diverging(v)};color:${inkOn(v)}`, class: ok(e.high) && e.high < 0 ? "conflict" : !ok(e.low) || e.low < 0 ? "noise" : "", title: ok(e.low) ? v.toFixed(3) + " (" + e.low.toFixed(3) + " … " + e.high.toFixed(3) + ")" : "" }, cosine(v));
    })));
    host.replaceChildren(...[(name || "all buckets together") + ", whole run" + hundredths(), ...c.text].map(t => el("p", { class: "note" }, t)), matrix(rows));
  }
  drawMatrix = function () {
    if (g === whole) { overRun(); return; }
    const snap = DATA.grams[g], k = b === 0 ? null : snap.buckets.find(x => x.name === first[b - 1]), c = k ? k.cos : snap.cos, err = k ? k.err : snap.err;
    const rows = [el("tr", {}, el("th"), ...LANGS.map(l => el("th", { scope: "col" }, l)))];
    let conflicts = 0, pairs = 0, sure = 0;
    for (let i = 0; i < n; i++) rows.push(el("tr", {}, el("th", { scope: "row" }, LANGS[i]), ...LANGS.map((_, j) => {
      const v = c[i * n + j];
      const e = err && i !== j ? err[i * n + j] : null, noise = ok(v) && ok(e) && Math.abs(v) < 2 * e;
      if (j < i && ok(v)) { pairs++; if (v < 0) { conflicts++; if (ok(e) && !noise) sure++; } }
      return el("td", { style: `background:${i === j ? "transparent" : diverging(v)};color:${inkOn(i === j ? 0 : v)}`, class: (i !== j && v < 0 && ok(e) && !noise ? "conflict" : "") + (noise ? " noise" : ""), title: ok(e) && ok(v) ? v.toFixed(3) + " ± " + e.toFixed(3) : "" }, i === j ? (small() ? "·" : "1") : cosine(v));
    })));
    host.replaceChildren(el("p", { class: "note" }, (k ? k.name : "all buckets together") + ", step " + snap.step + ": " + conflicts + " of " + pairs + " cosines are below 0" + (err ? ", " + sure + " beyond the noise" : "; how many by chance is not known of one step") + (snap.metric === "adam" ? " in the optimizer's metric" : "") + hundredths() + "."), matrix(rows));
  };
  s.append(el("div", { class: "controls" }, slider("bucket", first.length, 0, v => v === 0 ? "all" : first[v - 1], v => { b = v; drawMatrix(); }), slider("step", run.length ? whole : whole - 1, g, place, v => { g = v; drawMatrix(); })), host);
  drawMatrix(); drawn++;
}

function conflicts() {
  if (!has(DATA.buckets) || !DATA.conflict.some(r => r.some(ok))) return; // the section above says so
  const s = section("conflicts", "Cosines below 0 by layer", "Share of language pairs whose cosine is below 0 in a step. Chance gives 50 % (clear); red is more, blue is less.");
  s.append(heat(DATA.buckets, DATA.steps, DATA.conflict, { title: "share of conflicting pairs by bucket over steps", xLabel: "step", center: .5 }));
}

function weights() {
  const s = section("weights", "Weights of the languages", "What the method gave each language in each bucket, in the steps that had the language. Effective weight is the weight times the length of the gradient.");
  const any = has(DATA.buckets) && DATA.weights.some(b => b.some(l => l.some(ok)));
  if (!any) { missing(s, "This run's method (" + H.method + ") gives the languages no weights that are recorded."); return; }
  const avg = l => { const v = l.filter(ok); return v.length ? v.reduce((a, x) => a + x, 0) / v.length : null; };
  s.append(el("p", { class: "note" }, "Mean over the run:"), table(LANGS.length > DATA.buckets.length
    ? [["language", ...DATA.buckets], ...LANGS.map((l, i) => [l, ...DATA.buckets.map((_, b) => num(avg(DATA.weights[b][i]), 3))])]
    : [["bucket", ...LANGS], ...DATA.buckets.map((name, b) => [breakable(name), ...LANGS.map((_, i) => num(avg(DATA.weights[b][i]), 3))])]));
  const host = el("div"), kind = el("select", { "aria-label": "what" }, el("option", { value: "w" }, "weight"), el("option", { value: "e" }, "effective weight"), el("option", { value: "n" }, "gradient norm"));
  let b = 0;
  function draw() {
    const pick = i => DATA.steps.map((_, k) => { const w = DATA.weights[b][i][k], n = DATA.norms[b][i][k]; return kind.value === "w" ? w : kind.value === "n" ? n : ok(w) && ok(n) ? w * n : null; });
    host.replaceChildren(lines(LANGS.map((l, i) => ({ name: l, x: DATA.steps, y: pick(i), index: i })), { title: "weights by language over steps", yLabel: "↑ " + kind.selectedOptions[0].textContent, zero: true }));
  }
  kind.addEventListener("change", draw);
  s.append(el("div", { class: "controls" }, slider("bucket", DATA.buckets.length - 1, 0, v => DATA.buckets[v], v => { b = v; draw(); }), el("label", {}, "show", kind)), host);
  draw();
}

function byBucket(pick) { return DATA.grams.length ? DATA.grams[0].buckets.map((b, i) => ({ name: b.name, x: DATA.grams.map(g => g.step), y: DATA.grams.map(g => { const k = g.buckets.find(x => x.name === b.name); return k ? pick(k) : null; }), index: i })) : []; }

function distance() {
  if (!has(DATA.grams)) return;
  const s = section("distance", "How far the resolved gradient is from the mean", "The angle between the gradient that was followed and the plain mean of the languages' gradients, and the ratio of their lengths.");
  if (!DATA.grams.some(g => g.buckets.some(b => ok(b.ratio)))) { missing(s, "An element-wise method has no weights to compute these from."); return; }
  s.append(lines(byBucket(b => b.angle), { title: "angle to the mean gradient by bucket", yLabel: "↑ degrees", zero: true }), lines(byBucket(b => b.ratio), { title: "length over that of the mean gradient by bucket", yLabel: "↑ |d| / |mean|", zero: true }));
}

function probes() {
  const s = section("probes", "Predicted and realised change of the losses", "For probed steps: the first-order change of each language's loss on the step's own batch, for the update that the optimizer made (momentum and preconditioner included), against the change that happened. On the dashed line they agree; right of zero or above it, a language got worse.");
  if (!has(DATA.probes)) { missing(s, "No step was probed: [probe] every = 50 measures every 50th step, at the price of three forward passes and two copies of the weights."); return; }
  const pts = [];
  for (const p of DATA.probes) for (const l of LANGS) { const x = p.predicted[l], y = p.realised[l]; if (ok(x) && ok(y)) pts.push({ x: x, y: y, name: l + ", step " + p.step, label: l, group: LANGS.indexOf(l) }); }
  s.append(scatter(pts, { title: "predicted against realised change of each language's loss", xLabel: "predicted, nats per token", yLabel: "realised, nats per token" }));
  s.append(table([["step", "", ...LANGS], ...DATA.probes.flatMap(p => [[p.step, "predicted", ...LANGS.map(l => num(p.predicted[l], 4))], ["", "realised", ...LANGS.map(l => num(p.realised[l], 4))]])]));
}

function gaps() {
  if (!has(DATA.grams)) return;
  const s = section("gap", "Stationarity gap", "How far the model is from a point at which no change helps all languages: 0 there (Pareto stationary). It is the shortest convex combination of the languages' gradients over their mean length. In a dense model, stationarity of every bucket with weights of its own is implied by that of the whole model: it is the weaker condition. A bucket, and all of them, may show 0 while the whole (thick) does not. A language without a gradient in a bucket is left out of that bucket's gap.");
  s.append(lines([{ name: "whole model", thick: true, x: DATA.grams.map(g => g.step), y: DATA.grams.map(g => g.gap), index: 7 }, ...byBucket(b => b.gap)], { title: "stationarity gap by bucket and of the whole model", yLabel: "↑ gap", zero: true }));
}

function noise() {
  const s = section("noise", "Noise floor", "Self-cosine s: the cosine between the gradients of two halves of a language's own tokens in the step. Near 1, the gradient is the same whichever texts were drawn; near 0 it is mostly noise, and its cosines to other languages come out too close to 0, by √(2s/(1+s)). Which single cosines may be chance is marked in the matrix above.");
  const with_ = (DATA.grams || []).filter(g => g.buckets.some(b => has(b.self)));
  if (!with_.length) { missing(s, "Not measured: [objective.noise] halves = true cuts every language's rows in two."); return; }
  const names = with_[0].buckets.map(b => b.name), avg = (b, i) => { const v = with_.map(g => { const k = g.buckets.find(x => x.name === b); return k && k.self ? k.self[i] : null; }).filter(ok); return v.length ? v.reduce((a, x) => a + x, 0) / v.length : null; };
  s.append(table([["mean over the run", ...LANGS], ...names.map(n => [breakable(n), ...LANGS.map((_, i) => num(avg(n, i), 2))])]));
  drawn++;
}

function cost() {
  const s = section("cost", "Time, memory, tokens");
  if (has(DATA.probes)) {
    s.append(el("p", { class: "note" }, "Device time of the probed steps by phase (measuring slows a step down where the device has no timestamps):"),
      bars(DATA.probes.slice(-12).map(p => ({ name: "step " + p.step, parts: Object.keys(p.phases || {}).sort().map(k => ({ name: k, value: p.phases[k] })) })), v => v >= 1 ? v.toFixed(2) + " s" : (1000 * v).toFixed(1) + " ms", "step time by phase"));
  } else missing(s, "Step time by phase comes with probes: [probe] every = 50.");
  if (has(DATA.steps)) s.append(el("p", { class: "note" }, "Tokens per second:"), lines([{ name: "tokens/s", x: DATA.steps, y: DATA.rate, index: 0 }], { title: "tokens per second over steps", yLabel: "↑ tokens/s", zero: true }));
  if (DATA.end && DATA.end.bytes_by_role) s.append(el("p", { class: "note" }, "Device memory at the peak, by role:"), bars([{ name: "peak", parts: largest(Object.entries(DATA.end.bytes_by_role), 7) }], bytes, "memory by role"));
  else missing(s, "Memory by role comes with the run's end.");
  const t = Object.entries(DATA.tokens || {}).sort((a, b) => b[1] - a[1]);
  if (t.length) s.append(el("p", { class: "note" }, "Supervised tokens trained on, by language:"), bars(t.map(e => ({ name: e[0], parts: [{ name: "tokens", value: e[1] }] })), v => Math.round(v).toLocaleString("en") + " tokens", "tokens by language"));
}

function machines() {
  const m = DATA.machines;
  if (!m) return; // a run on one machine has no such section
  const s = section("machines", "Many machines", "As machine 1 saw it. Exchange: from the first row of gradients sent to the last resolved bucket received. Exposed: what of it was spent with nothing else to do; the rest was hidden behind computation.");
  const sum = a => a.filter(ok).reduce((p, v) => p + v, 0), all = sum(m.exchange);
  s.append(el("p", { class: "note" }, (all > 0 ? (100 * (1 - sum(m.exposed) / all)).toFixed(0) + " % of the exchange was hidden. " : "") + (m.missing ? m.missing + " steps were made without the rows of a machine that was late or lost." : "No step was made without any machine's rows.")));
  s.append(lines([{ name: "exchange", x: DATA.steps, y: m.exchange, index: 0 }, { name: "exposed", x: DATA.steps, y: m.exposed, index: 1 }], { title: "seconds of the exchange over steps", yLabel: "↑ seconds", zero: true }));
  s.append(lines([{ name: "machines", x: DATA.steps, y: m.workers, index: 0 }], { title: "machines over steps", yLabel: "↑ machines", zero: true }));
  if (has(m.pairs)) s.append(el("p", { class: "note" }, "How the machines reached each other. Punched: one is behind a NAT that lets in whom it sends to. Relayed: over machine 1, encrypted between the two."), table([["machines", "path", "relayed"], ...m.pairs.map(p => [p.machines, p.path, p.relayed ? bytes(p.relayed) : ""])]));
  s.append(lines([{ name: "sent", x: DATA.steps, y: m.sent.map(v => ok(v) ? v / 1e6 : null), index: 0 }], { title: "megabytes sent by machine 1 over steps", yLabel: "↑ MB a step", zero: true }));
}

function representation() {
  const s = section("representation", "Representation"), a = DATA.analysis;
  if (!a) { missing(s, "Not analysed: concord analyze separability RUN measures how separable the languages are in the hidden states, and adds it here."); return; }
  if (a.note) s.append(el("p", { class: "note" }, String(a.note)));
  for (const l of a.lines || []) s.append(el("p", { class: "note" }, String(l.title || "")), lines((l.series || []).map((q, i) => ({ name: String(q.name), x: l.x || [], y: q.y || [], dots: true, index: i })), { title: String(l.title || ""), xLabel: l.x_label, yLabel: "↑ " + (l.y_label || "") }));
  for (const t of a.tables || []) s.append(el("p", { class: "note" }, [t.title, t.note].filter(Boolean).join(". ")), table([t.columns || [], ...(t.rows || []).map(r => r.map(c => typeof c === "number" ? num(c) : c === null ? "–" : String(c)))]));
}

for (const f of [summary, loss, heldout, answers, optimizer, cosines, conflicts, weights, distance, probes, gaps, noise, cost, machines, representation]) f();
if (has(DATA.warnings)) main.append(el("section", {}, el("h2", {}, "Left out"), ...DATA.warnings.slice(0, 20).map(w => el("p", { class: "note" }, w))));
document.getElementById("foot").textContent = "Made by concord " + H.version + ". This file needs no network.";
document.documentElement.dataset.ready = String(drawn);
document.documentElement.dataset.width = document.documentElement.scrollWidth + "/" + innerWidth;

if (location.hash === "#selftest") { // for tests in a browser: every slider must change what it controls
  let moved = 0, all = 0;
  for (const input of document.querySelectorAll("input[type=range]")) {
    if (+input.max < 1) continue;
    all++;
    const host = input.closest("section"), was = host.innerHTML;
    input.value = +input.value === 0 ? input.max : 0;
    input.dispatchEvent(new Event("input"));
    if (host.innerHTML !== was) moved++;
  }
  for (const d of document.querySelectorAll("details")) d.open = true;
  for (const b of document.querySelectorAll(".legend button")) { b.click(); b.click(); }
  const chart = document.querySelector("#loss svg[role=img]"), paths = [...chart.querySelectorAll("path[stroke-width]")];
  document.documentElement.dataset.lines = String(paths.length);
  document.documentElement.dataset.broken = String(paths.filter(p => p.getAttribute("d").split("M").length > 2).length);
  document.documentElement.dataset.labels = String(LANGS.filter(l => [...chart.querySelectorAll("text")].some(t => t.textContent === l)).length);
  document.documentElement.dataset.sliders = moved + "/" + all;
  document.body.style.width = "360px"; // narrower than the windows of some browsers can be
  document.documentElement.dataset.phone = String(document.body.scrollWidth);
  const held = document.querySelector("#summary > .scroll");
  document.documentElement.dataset.cut = held ? String(held.scrollWidth - held.clientWidth) : "";
}
