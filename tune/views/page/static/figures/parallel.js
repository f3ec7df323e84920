// The tab with parallel coordinates: one line per finished network, from what was chosen to what came out.

import { ACCURACY, SIZE, SYNOPS, countUnit, element, general, sizeName, sizeUnit } from "../data/format.js";
import { isWhole, slot } from "../data/model.js";
import { OPTIONS, accuracyTicks, colour, errorOf, linkFigure, logTicks, mix, plotlyReady, tickText, trialLines, zeroError } from "./paint.js";

const CLASSES = 5; // of accuracy, equally many networks in each, from pale to strong
const NUMBER = (text) => text.split(" ").map(Number);
const mean = (numbers) => numbers.reduce((sum, n) => sum + n, 0) / numbers.length;

export function makeParallel(place, act) {
  const div = element("div", { className: "plot", id: "parallel", role: "img", "aria-label": "Parallel coordinates of the finished networks" });
  const note = element("p", { className: "note" });
  place.append(element("div", { className: "wide" }, div), note);
  let linked = false, last = null, lines = new Map();

  async function render(model, view) {
    last = [model, view];
    const rows = model.rows.filter((row) => isWhole(row) && row[SIZE] > 0 && row[SYNOPS] > 0 && row.lambda1 !== null &&
      row.lambda2 !== null && row.p !== null && row.bits !== null && row.timesteps !== null);
    div.hidden = rows.length === 0;
    const ofLambda = rows.some(({ lambda1, lambda2 }) => lambda1 || lambda2);
    note.textContent = rows.length === 0 ? "No finished network among the trials shown."
      : "One line per finished network, in stronger colour for every fifth of them that is more accurate. Drag a box over an " +
        "axis to keep what passes through it, with Shift over further ones; double-click to let go. " +
        (ofLambda ? "λ, accuracy and costs in log scale, a λ of zero below." : "Accuracy and costs in log scale.");
    if (!rows.length) return;
    await plotlyReady;
    const axes = axesOf(rows);
    lines = new Map(rows.map((row, k) => [row.key, axes.map((axis) => axis.places[k])]));
    const traces = [];
    for (const { name } of model.experiments) {
      const own = rows.filter((row) => row.experiment === name).sort((a, b) => a[ACCURACY] - b[ACCURACY]);
      const strong = colour(`series-${slot(name)}`), width = rows.length > 500 ? 0.5 : 1.3;
      for (let c = 0; c < CLASSES; c++) {
        const of = own.slice(Math.floor((c * own.length) / CLASSES), Math.floor(((c + 1) * own.length) / CLASSES));
        const color = mix(colour("pale"), strong, c / (CLASSES - 1));
        if (of.length) traces.push({ ...trace(of.map((row) => row.key)), name: "class", line: { color, width }, opacity: 0.75 });
      }
    }
    traces.push({ ...trace([]), name: "kept", line: { color: colour("series-0"), width: 1.6 } });
    traces.push({ ...trace([]), name: "chosen", line: { color: colour("selected"), width: 3 } });
    const veil = colour("paper");
    await Plotly.react(div, traces, {
      width: Math.max(760, div.parentElement.clientWidth), height: div.clientHeight, margin: { l: 5, r: 10, t: 34, b: 6 }, showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", hoverdistance: 12,
      font: { family: "system-ui, sans-serif", size: 12.5, color: colour("ink") },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "select", uirevision: model.rowsVersion,
      newselection: { line: { color: colour("selected"), width: 1.5, dash: "solid" } },
      activeselection: { fillcolor: colour("selected"), opacity: 0.12 },
      xaxis: {
        tickvals: axes.map((_, k) => k), ticktext: axes.map(({ label }) => label), side: "top", range: [-0.5, axes.length - 0.6],
        fixedrange: true, gridcolor: colour("pale"), zeroline: false,
      },
      yaxis: { visible: false, range: [-0.04, 1.04], fixedrange: true },
      annotations: axes.flatMap(({ ticks }, x) => ticks.map(([y, text]) => ({
        x, y, text, showarrow: false, xanchor: "right", xshift: -4, borderpad: 1, bgcolor: veil, opacity: 0.9,
        font: { size: 11.5, color: colour("muted") },
      }))),
    }, OPTIONS);
    if (!linked) link();
    brush();
    choose(view.selected);
  }

  function trace(keys) {
    const x = [], y = [], customdata = [];
    for (const key of keys) {
      const places = lines.get(key) ?? [];
      x.push(...places.keys(), null);
      y.push(...places, null);
      customdata.push(...places.map(() => key), null);
    }
    return { type: "scatter", mode: "lines", hoverinfo: "none", x, y, customdata };
  }

  function replace(name, keys) {
    const at = div.data.findIndex((found) => found.name === name);
    const { x, y, customdata } = trace(keys);
    Plotly.restyle(div, { x: [x], y: [y], customdata: [customdata] }, [at]);
  }

  const choose = (key) => replace("chosen", key !== null && lines.has(key) ? [key] : []);

  /** Keeps the lines that pass through every box drawn over an axis. */
  function brush() {
    const boxes = (div.layout.selections ?? []).map(({ x0, x1, y0, y1 }) => ({
      x: [Math.min(x0, x1), Math.max(x0, x1)], y: [Math.min(y0, y1), Math.max(y0, y1)],
    }));
    const through = (places) => boxes.every(({ x, y }) =>
      places.every((v, axis) => axis < x[0] || axis > x[1] || (v >= y[0] && v <= y[1])));
    const classes = div.data.flatMap(({ name }, k) => (name === "class" ? [k] : []));
    Plotly.restyle(div, { opacity: boxes.length ? 0.12 : 0.75 }, classes);
    replace("kept", boxes.length ? [...lines.keys()].filter((key) => through(lines.get(key))) : []);
  }

  function link() {
    linked = true;
    linkFigure(div, ({ customdata }) => customdata && trialLines(last[0].byKey.get(customdata), last[0].several),
      ({ customdata }) => customdata && act.open(customdata));
    div.on("plotly_relayout", (change) => Object.keys(change).some((key) => key.startsWith("selections")) && brush());
    div.on("plotly_doubleclick", () => Plotly.relayout(div, { selections: [] }));
    div.on("plotly_deselect", () => brush());
  }
  return { render };
}

function axesOf(rows) {
  const of = (column) => rows.map((row) => row[column]);
  const zero = zeroError(of(ACCURACY)), errors = rows.map((row) => errorOf(row[ACCURACY], zero));
  const [size, bits] = sizeUnit(Math.max(...of(SIZE))), [count, worth] = countUnit(Math.max(...of(SYNOPS)));
  const least = Math.log10(Math.min(...errors)), most = Math.log10(Math.max(...errors));
  const marks = accuracyTicks([least - 1e-9, most + 1e-9], zero, 7);
  return [
    logAxis("λ1", of("lambda1")),
    logAxis("λ2", of("lambda2")),
    linearAxis("p (%)", of("p")),
    linearAxis("C", rows.map((row) => row.channels ?? 0)),
    linearAxis("mean bits", rows.map((row) => mean(NUMBER(row.bits)))),
    linearAxis("T", of("timesteps")),
    scaled("accuracy (%)", errors.map((e) => -Math.log10(e)), marks.tickvals.map((e, k) => [-Math.log10(e), marks.ticktext[k]])),
    logAxis(`${sizeName(rows)} (${size})`, of(SIZE).map((v) => v / bits)),
    logAxis(`Bit-SynOps (${count})`, of(SYNOPS).map((v) => v / worth)),
  ].filter((axis) => new Set(axis.places).size > 1); // what is the same everywhere says nothing
}

/** Log scale; zero, which has no logarithm, is a tick of its own below the smallest value. */
function logAxis(label, values) {
  const positive = [...new Set(values.filter((v) => v > 0))].sort((a, b) => a - b);
  if (!positive.length) return { label, places: values.map(() => 0.5), ticks: [[0.5, "0"]] };
  const low = Math.log10(positive[0]), high = Math.log10(positive.at(-1)), zero = low - Math.max(0.3, 0.15 * (high - low));
  const marks = positive.length <= 5 ? positive : logTicks(low, high, 7);
  const ticks = marks.map((v) => [Math.log10(v), positive.length <= 5 ? general(Number(v.toPrecision(3))) : tickText(v)]);
  if (values.includes(0)) ticks.unshift([zero, "0"]);
  return scaled(label, values.map((v) => (v > 0 ? Math.log10(v) : zero)), ticks);
}

/** Plain numbers, marked where the values are if they are few. */
function linearAxis(label, values) {
  let marks = [...new Set(values)].sort((a, b) => a - b);
  if (marks.length > 6) {
    const [low, high] = [marks[0], marks.at(-1)], power = 10 ** Math.floor(Math.log10(high - low));
    const step = power * [0.2, 0.5, 1, 2, 5].find((s) => (high - low) / (s * power) <= 6);
    marks = [];
    for (let k = Math.ceil(low / step); k <= Math.floor(high / step); k++) marks.push(step * k);
  }
  return scaled(label, values, marks.map((v) => [v, general(Number(v.toPrecision(3)))]));
}

/** Brings values and ticks to the range from 0 to 1; where all values are equal they lie in the middle. */
function scaled(label, values, ticks) {
  let low = Infinity, high = -Infinity;
  for (const v of values) [low, high] = [Math.min(low, v), Math.max(high, v)];
  const place = (v) => (high > low ? (v - low) / (high - low) : 0.5);
  return {
    label, places: values.map(place),
    ticks: ticks.map(([v, text]) => [place(v), text]).filter(([at]) => at >= -0.01 && at <= 1.01),
  };
}
