// Both fronts: accuracy over size and over Bit-SynOps. Limits, the network to take and the selected one are drawn by a
// light layer above the figure, so that a slider never makes plotly draw again.

import { ACCURACY, EQ18, SIZE, SYNOPS, countUnit, sizeName, sizeUnit } from "./format.js";
import { frontOf, slot } from "./model.js";
import {
  OPTIONS, accuracyTicks, baseLayout, colour, errorOf, linkFigure, logRange, logTicks, mix, plotlyReady, tickText, trialLines, zeroError,
} from "./paint.js";

const MANY = 800; // points from which they are drawn smaller
const SVG = "http://www.w3.org/2000/svg";

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
      const key = `${model.rowsVersion} ${model.names} ${view.published && published.length} ${theme} ${figure.div.clientWidth}`;
      if (key !== figure.drawn) {
        figure.drawn = key;
        const literature = view.published ? published : [];
        if (figure.limit === "size") figure.column = literature.length ? EQ18 : SIZE; // as others published it
        await draw(figure, model, literature);
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
    const shown = model.all.filter((row) => row[column] > 0 && row[ACCURACY] !== null);
    const [name, worth] = unit(Math.max(0, ...shown.map((row) => row[column]), ...literature.map((n) => n[column])));
    const zero = zeroError(shown.flatMap((row) => [row[ACCURACY], row.test_accuracy]));
    const errors = shown.map((row) => errorOf(row[ACCURACY], zero));
    for (const network of literature) errors.push(100 - network.accuracy);
    if (published.length) for (const row of shown) if (row.test_accuracy !== null) errors.push(errorOf(row.test_accuracy, zero));
    const yrange = logRange(errors) ?? [0, 2];
    figure.home = {
      x: logRange([...shown.map((r) => r[column] / worth), ...literature.map((n) => n[column] / worth)]) ?? [0, 2],
      y: [yrange[1], yrange[0]],
    };
    figure.axes = { worth, zero, column, title: `${column === SYNOPS ? "Bit-SynOps per sample" : column === EQ18 ? "model size" : sizeName(model.all)} (${name})` };
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
      yaxis: { type: "log", title: { text: "validation accuracy (%)" }, range: y, ...accuracyTicks(y, axes.zero, 8) },
    });
  }

  function traces(figure, model, literature) {
    const { column } = figure, { worth, zero } = figure.axes;
    const paper = colour("paper");
    const small = model.rows.length > MANY ? 5 : 7;
    const points = (rows, marker, more = {}, accuracy = ACCURACY) => ({
      type: "scatter", mode: "markers", hoverinfo: "none", marker, ...more, // plotly's WebGL needs eval, which the policy forbids
      x: rows.map((row) => row[column] / worth),
      y: rows.map((row) => errorOf(row[accuracy], zero)),
      customdata: rows.map((row) => row.key),
    });
    const back = [], middle = [], top = [];
    for (const { name } of model.experiments) {
      const own = colour(`series-${slot(name)}`);
      const rows = model.rows.filter((r) => r.experiment === name && r[column] > 0 && r[ACCURACY] !== null);
      const front = frontOf(rows, column), here = new Set(front);
      const of = (...states) => rows.filter((row) => states.includes(row.status));
      const rest = of("finished").filter((row) => !here.has(row));
      const line = (width) => ({ line: { width } });
      back.push(points(of("stopped"), { symbol: "square-open", size: small, color: mix(own, paper, 0.35), ...line(1.2) }, { name: "stopped" }));
      back.push(points(rest.filter((row) => !row.on_front), { symbol: "circle-open", size: small, color: mix(own, paper, 0.35), ...line(1.2) }, { name: "dominated" }));
      middle.push(points(rest.filter((row) => row.on_front), { symbol: "circle", size: small + 1, color: mix(own, paper, 0.4) }, { name: "elsewhere" }));
      middle.push(points(of("failed", "diverged"), { symbol: "x-thin-open", size: small, color: colour("bad"), ...line(1.8) }, { name: "failed" }));
      middle.push(points(of("unfinished"), { symbol: "triangle-right", size: small + 3, color: own, ...line(0) }, { name: "unfinished" }));
      if (literature.length) {
        const tested = front.filter((row) => row.test_accuracy !== null);
        top.push(points(tested, { symbol: "circle-open", size: 9, color: own, ...line(1.5) }, { name: "test" }, "test_accuracy"));
      }
      top.push(points(front, { symbol: "circle", size: 9, color: own }, {
        name: "front", mode: "lines+markers", line: { color: own, width: 1.6, shape: "hv" },
      }));
    }
    const others = literature.map((network) => ({
      type: "scatter", mode: "markers", name: "published", hoverinfo: "none",
      x: [network[column] / worth], y: [100 - network.accuracy], customdata: [network],
    }));
    for (const [own, look] of [[false, ["others", 8]], [true, ["paper-own", 10]]]) {
      const of = others.filter((trace) => trace.customdata[0].own === own);
      if (of.length)
        top.push({
          ...of[0], marker: { symbol: "diamond", color: colour(look[0]), size: look[1] },
          x: of.flatMap((t) => t.x), y: of.flatMap((t) => t.y), customdata: of.flatMap((t) => t.customdata),
        });
    }
    return [...back, ...middle, ...top].filter((trace) => trace.x.length);
  }

  function link(figure) {
    const { div } = figure;
    figure.linked = true;
    linkFigure(
      div,
      ({ customdata }) => (typeof customdata === "string" ? trialLines(last[0].byKey.get(customdata), last[0].several) : customdata.lines),
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
      parts.push(shape("rect", { x, y: top, width: left + width - x, height, class: "veil" }));
      parts.push(shape("path", { d: `M${x} ${top}V${top + height}`, class: "edge" }));
    }
    if (view.accuracy) {
      const y = inside(atY(view.accuracy), top, top + height);
      parts.push(shape("rect", { x: left, y, width, height: top + height - y, class: "veil" }));
      parts.push(shape("path", { d: `M${left} ${y}H${left + width}`, class: "edge" }));
    }
    const ring = (row, kind, radius) => {
      if (!row || !(row[column] > 0) || row[ACCURACY] === null) return;
      const x = atX(row[column]), y = atY(row[ACCURACY]);
      if (x < left - 1 || x > left + width + 1 || y < top - 1 || y > top + height + 1) return;
      parts.push(shape("circle", { cx: x, cy: y, r: radius, class: kind }));
    };
    ring(model.taken.row, model.taken.excess.length ? "taken near" : "taken", 9);
    ring(model.byKey.get(view.selected), "selected", 12.5);
    layer.replaceChildren(...parts);
  }

  return { render, figures };
}

function layerIn(div) {
  const layer = document.createElementNS(SVG, "svg");
  layer.setAttribute("class", "layer");
  layer.setAttribute("aria-hidden", "true");
  div.append(layer);
  return layer;
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
