// Both fronts: accuracy over size and over Bit-SynOps. Limits, the network to take and the selected one are drawn by a
// light layer above the figure, so that a slider never makes plotly draw again.

import { ACCURACY, EQ18, SIZE, SYNOPS, countUnit, sizeName, sizeUnit, svg } from "../data/format.js";
import { intervalEnds, intervals } from "./intervals.js";
import { LABELS, MARKS } from "../data/look.js";
import { frontOf, slot } from "../data/model.js";
import { isSure } from "../data/points.js";
import {
  OPTIONS, accuracyTicks, baseLayout, colour, errorOf, linkFigure, logRange, logTicks, paint, plotlyReady, tickText, trialLines, zeroError,
} from "./paint.js";

const MANY = 800; // points from which they are drawn smaller
const FIRM = ["front", "test", "sure", "unsure"]; // marks that are never drawn smaller

/** @param {(key: string) => void} open called with the key of a trial that was clicked */
export function makeFronts(open) {
  const figures = [
    { div: document.getElementById("size-front"), column: SIZE, limit: "size" },
    { div: document.getElementById("synops-front"), column: SYNOPS, limit: "synops" },
  ].map((figure) => ({ ...figure, zoom: null, home: null, axes: null, drawn: "", layer: layerIn(figure.div), linked: false }));
  let last = null;

  async function render(model, view, published, theme) {
    last = [model, view, published, theme];
    const shown = location.hash;
    await plotlyReady;
    if (last[0] !== model) return; // overtaken
    for (const figure of figures) {
      const key = `${model.rowsVersion} ${model.names} ${model.together} ${published.length} ${theme} ${figure.div.clientWidth} ${figure.div.clientHeight}`;
      if (key !== figure.drawn) {
        figure.drawn = key;
        if (figure.limit === "size") figure.column = published.length ? EQ18 : SIZE; // as others published it
        await draw(figure, model, published);
      }
      mark(figure, model, view);
    }
    requestAnimationFrame(() => setTimeout(() => { // once it is painted
      if (!document.documentElement.dataset.ready) performance.mark("fronts-first");
      performance.clearMarks("fronts-drawn"); // a page may stay open for days
      performance.mark("fronts-drawn", { detail: shown });
      document.documentElement.dataset.ready = "true";
    }));
  }

  async function draw(figure, model, published) {
    const { div, column } = figure;
    const unit = column === SYNOPS ? countUnit : sizeUnit;
    const literature = published.filter((network) => network[column] !== null);
    const shown = model.allMarks.filter((row) => row[column] > 0 && row[ACCURACY] !== null);
    const [name, worth] = unit(Math.max(0, ...shown.map((row) => row[column]), ...literature.map((n) => n[column])));
    const zero = zeroError(shown.flatMap((row) => [row[ACCURACY], row.test_accuracy]));
    const errors = shown.map((row) => errorOf(row[ACCURACY], zero));
    for (const network of literature) errors.push(100 - network.accuracy);
    if (model.together) errors.push(...intervalEnds(shown.filter((row) => row.on_front), errors));
    else for (const row of shown) if (row.test_accuracy !== null) errors.push(errorOf(row.test_accuracy, zero));
    const yrange = logRange(errors) ?? [0, 2];
    figure.home = {
      x: logRange([...shown.map((r) => r[column] / worth), ...literature.map((n) => n[column] / worth)]) ?? [0, 2],
      y: [yrange[1], yrange[0]],
    };
    figure.axes = { worth, zero, column, title: `${LABELS[column] ?? sizeName(model.all)} (${name})` };
    await Plotly.react(div, traces(figure, model, literature), layout(figure), OPTIONS);
    div.append(figure.layer);
    if (!figure.linked) link(figure);
  }

  function layout(figure) {
    const { div, axes } = figure, { x, y } = figure.zoom ?? figure.home;
    const sizes = logTicks(x[0], x[1], Math.max(3, Math.floor(div.clientWidth / 60)));
    return baseLayout({
      height: div.clientHeight, width: div.clientWidth,
      xaxis: { type: "log", title: { text: axes.title }, range: x, tickvals: sizes, ticktext: sizes.map(tickText) },
      yaxis: { type: "log", title: { text: LABELS.accuracy }, range: y, ...accuracyTicks(y, axes.zero, 8) },
    });
  }

  function traces(figure, model, literature) {
    const { column } = figure, { worth, zero } = figure.axes;
    const small = model.marks.length > MANY ? 0.7 : 1;
    const points = (rows, mark, series, accuracy = ACCURACY) => {
      const { symbol, size } = MARKS[mark], color = paint(mark, series), many = !FIRM.includes(mark);
      return {
        type: "scatter", mode: "markers", hoverinfo: "none", name: mark, // plotly's WebGL needs eval, which the policy forbids
        marker: { symbol, color, size: many ? size * small : size, line: { width: symbol.includes("open") ? 1.4 : 0 } },
        x: rows.map((row) => row[column] / worth),
        y: rows.map((row) => errorOf(row[accuracy], zero)),
        customdata: rows.map((row) => row.key),
      };
    };
    const line = (rows, mark, series) => ({
      type: "scatter", x: rows.map((row) => row[column] / worth), y: rows.map((row) => errorOf(row[ACCURACY], zero)),
      line: { color: paint(mark, series), width: 1.6, shape: "hv" },
    });
    const back = [], middle = [], top = [];
    for (const { name } of model.experiments) {
      const series = `series-${slot(name)}`;
      const rows = model.marks.filter((r) => r.experiment === name && r[column] > 0 && r[ACCURACY] !== null);
      const front = frontOf(rows, column), here = new Set(front), tested = front.filter((row) => row.test_accuracy !== null);
      const of = (...states) => rows.filter((row) => states.includes(row.status));
      const rest = of("finished").filter((row) => !here.has(row));
      back.push(points(of("stopped"), "stopped", series));
      back.push(points(rest.filter((row) => !row.on_front), "dominated", series));
      middle.push(points(rest.filter((row) => row.on_front), "elsewhere", series));
      middle.push(points(of("failed", "diverged"), "failed", series));
      middle.push(points(of("unfinished"), "unfinished", series));
      if (model.together) {
        const finished = of("finished"), sure = new Set(front.filter((row) => isSure(row, finished)));
        const unsure = points(front.filter((row) => !sure.has(row)), "unsure", series);
        middle.push({ ...line(front, "elsewhere", series), mode: "lines", hoverinfo: "skip", name: "steps", customdata: [] });
        middle.push(intervals(front, figure, series));
        top.push({ ...unsure, marker: { ...unsure.marker, symbol: "circle", color: colour("paper"), line: { width: 1.6, color: unsure.marker.color } } });
        top.push(points([...sure], "sure", series));
        continue;
      }
      middle.push({ // from validation to test accuracy, one stroke per network
        type: "scatter", mode: "lines", hoverinfo: "skip", name: "gap", customdata: [], line: { color: paint("elsewhere", series), width: 1 },
        x: tested.flatMap((row) => [row[column] / worth, row[column] / worth, null]),
        y: tested.flatMap((row) => [errorOf(row[ACCURACY], zero), errorOf(row.test_accuracy, zero), null]),
      });
      top.push(points(tested, "test", series, "test_accuracy"));
      top.push({ ...points(front, "front", series), ...line(front, "front", series), mode: "lines+markers" });
    }
    for (const mark of ["published", "paper"]) {
      const networks = literature.filter(({ own }) => own === (mark === "paper")), { symbol, size } = MARKS[mark];
      top.push({
        type: "scatter", mode: "markers", hoverinfo: "none", name: mark, marker: { symbol, size, color: paint(mark) },
        x: networks.map((network) => network[column] / worth), y: networks.map((network) => 100 - network.accuracy), customdata: networks,
      });
    }
    return [...back, ...middle, ...top].filter((trace) => trace.x.length);
  }

  function link(figure) {
    const { div } = figure;
    figure.linked = true;
    linkFigure(
      div,
      ({ customdata }) => (typeof customdata === "string" ? trialLines(last[0].markOf.get(customdata), last[0].several) : customdata.lines),
      ({ customdata }) => typeof customdata === "string" && open(customdata),
    );
    div.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((key) => /^[xy]axis\.range/.test(key))) return;
      const { xaxis, yaxis } = div._fullLayout;
      figure.zoom = { x: [...xaxis.range], y: [...yaxis.range] };
      again(figure);
    });
    div.on("plotly_doubleclick", () => {
      figure.zoom = null;
      again(figure);
    });
    div.addEventListener("pointerleave", () => div.classList.remove("pointing"));
  }

  async function again(figure) {
    await Plotly.react(figure.div, figure.div.data, layout(figure), OPTIONS);
    figure.div.append(figure.layer);
    mark(figure, last[0], last[1]);
  }

  /** Veils what is outside of the limits; rings the network to take and the selected one. */
  function mark(figure, model, view) {
    const { div, layer, column, limit, axes } = figure, full = div._fullLayout;
    if (!full || !axes) return;
    const { xaxis, yaxis } = full, left = xaxis._offset, top = yaxis._offset, width = xaxis._length, height = yaxis._length;
    layer.setAttribute("viewBox", `0 0 ${div.clientWidth} ${div.clientHeight}`);
    const parts = [], inside = (v, low, high) => Math.min(Math.max(v, low), high);
    const atX = (value) => left + xaxis.d2p(value / axes.worth);
    const atY = (accuracy) => top + yaxis.d2p(errorOf(accuracy, axes.zero));
    if (view[limit] !== null && (column !== EQ18 || sizeName(model.all) !== "file")) { // a limit of files has no place beside Eq. 18
      const x = inside(atX(view[limit]), left, left + width);
      parts.push(svg("rect", { x, y: top, width: left + width - x, height, class: "veil" }));
      parts.push(svg("path", { d: `M${x} ${top}V${top + height}`, class: "edge" }));
    }
    if (view.accuracy) {
      const y = inside(atY(view.accuracy), top, top + height);
      parts.push(svg("rect", { x: left, y, width, height: top + height - y, class: "veil" }));
      parts.push(svg("path", { d: `M${left} ${y}H${left + width}`, class: "edge" }));
    }
    const ring = (trial, kind, radius) => {
      const row = trial && model.markOf.get(trial.key);
      if (!row || !(row[column] > 0) || row[ACCURACY] === null) return;
      const x = atX(row[column]), y = atY(row[ACCURACY]);
      if (x < left - 1 || x > left + width + 1 || y < top - 1 || y > top + height + 1) return;
      parts.push(svg("circle", { cx: x, cy: y, r: radius, class: kind }));
    };
    ring(model.taken.row, model.taken.excess.length ? "taken near" : "taken", 9);
    ring(model.byKey.get(view.selected), "selected", 12.5);
    layer.replaceChildren(...parts);
  }

  return { render, figures };
}

function layerIn(div) {
  const layer = svg("svg", { class: "layer", "aria-hidden": "true" });
  div.append(layer);
  return layer;
}
