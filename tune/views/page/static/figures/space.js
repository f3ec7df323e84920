// The tab with all three objectives at once.

import { ACCURACY, SIZE, SYNOPS, countUnit, element, sizeName, sizeUnit } from "../data/format.js";
import { isWhole, slot } from "../data/model.js";
import { OPTIONS, accuracyTicks, colour, errorOf, linkFigure, logRange, logTicks, mix, plotlyReady, tickText, trialLines, zeroError } from "./paint.js";

const MOST_STEMS = 40;

export function makeSpace(place, act) {
  const div = element("div", { className: "plot tall", id: "space", role: "img", "aria-label": "Accuracy, size and Bit-SynOps in space" });
  const note = element("p", { className: "note" });
  place.append(div, note);
  const hasGl = Boolean(document.createElement("canvas").getContext("webgl"));
  let linked = false, last = null;

  async function render(model) {
    last = model;
    const rows = model.rows.filter((row) => isWhole(row) && row[SIZE] > 0 && row[SYNOPS] > 0);
    div.hidden = !hasGl || rows.length === 0;
    note.textContent = !hasGl ? "This browser cannot draw in three dimensions (no WebGL); the parallel coordinates show the same networks."
      : rows.length === 0 ? "No finished network among the trials shown."
      : "Finished networks; those on the front in all three objectives are filled. Drag to turn, scroll to come nearer, click a network to open it.";
    if (div.hidden) return;
    await plotlyReady;
    const [size, bits] = sizeUnit(Math.max(...rows.map((row) => row[SIZE])));
    const [count, worth] = countUnit(Math.max(...rows.map((row) => row[SYNOPS])));
    const zero = zeroError(rows.map((row) => row[ACCURACY]));
    const at = (row) => [row[SIZE] / bits, row[SYNOPS] / worth, errorOf(row[ACCURACY], zero)];
    const [xs, ys, zs] = [0, 1, 2].map((k) => logRange(rows.map((row) => at(row)[k])));
    const traces = model.experiments.flatMap(({ name }) => {
      const own = colour(`series-${slot(name)}`);
      return [[false, mix(own, colour("paper"), 0.55), 3], [true, own, 5]].map(([front, color, width]) => {
        const found = rows.filter((row) => row.experiment === name && row.on_front === front);
        const places = found.map(at);
        return {
          type: "scatter3d", mode: "markers", hoverinfo: "none", name: front ? "front" : "dominated",
          x: places.map(([x]) => x), y: places.map(([, y]) => y), z: places.map(([, , z]) => z),
          customdata: found.map((row) => row.key),
          marker: { color, size: width, symbol: front ? "circle" : "circle-open", line: { width: 0 } },
        };
      });
    });
    for (const { name } of model.experiments) { // a stem to the floor for every network of the front: where it stands in depth
      const stems = rows.filter((row) => row.experiment === name && row.on_front).map(at);
      if (stems.length > MOST_STEMS) continue;
      traces.push({
        type: "scatter3d", mode: "lines", hoverinfo: "skip", name: "stems",
        x: stems.flatMap(([x]) => [x, x, null]), y: stems.flatMap(([, y]) => [y, y, null]),
        z: stems.flatMap(([, , z]) => [z, 10 ** zs[1], null]),
        line: { color: mix(colour(`series-${slot(name)}`), colour("paper"), 0.5), width: 2 },
      });
    }
    const font = { family: "system-ui, sans-serif", size: 11.5, color: colour("muted") };
    const axis = (text, range, ticks) => ({
      type: "log", range, title: { text, font: { ...font, size: 12.5, color: colour("ink") } }, ...ticks, tickfont: font,
      gridcolor: colour("pale"), linecolor: colour("pale"), zeroline: false, showbackground: false, showspikes: false,
    });
    const ticks = (range) => {
      const tickvals = logTicks(range[0], range[1], 5);
      return { tickvals, ticktext: tickvals.map(tickText) };
    };
    await Plotly.react(div, traces, {
      width: div.clientWidth, height: div.clientHeight, margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)", uirevision: "turned", // keeps the direction in which the reader turned it
      scene: {
        xaxis: axis(`${sizeName(model.rows)} (${size})`, xs, ticks(xs)), yaxis: axis(`Bit-SynOps (${count})`, ys, ticks(ys)),
        zaxis: axis("accuracy (%)", [zs[1], zs[0]], accuracyTicks(zs, zero, 6)),
        aspectmode: "cube", camera: { eye: { x: -1.45, y: -1.2, z: 0.55 }, center: { x: 0, y: 0, z: -0.1 } },
      },
    }, OPTIONS);
    if (linked) return;
    linked = true;
    linkFigure(div, ({ customdata }) => trialLines(last.byKey.get(customdata), last.several), ({ customdata }) => act.open(customdata));
  }
  return { render };
}
