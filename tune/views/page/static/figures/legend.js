// What the marks of the fronts mean: only those that are drawn.

import { element, svg } from "../data/format.js";
import { MARKS } from "../data/look.js";
import { paint } from "./paint.js";

const SHAPES = { // by plotly's name of the symbol
  circle: "M20 6a5 5 0 1 0-10 0a5 5 0 1 0 10 0",
  square: "M11 2H19V10H11Z",
  diamond: "M15 0.5L20.5 6L15 11.5L9.5 6Z",
  "triangle-right": "M11 1.5L19.5 6L11 10.5Z",
  "x-thin": "M11 2L19 10M19 2L11 10",
  line: "M15 1V11M12 1H18M12 11H18",
};

export function makeLegend() {
  const list = document.getElementById("legend");
  let built = "";
  function render(model, literature, theme) {
    const rows = model.marks, has = (...states) => rows.some((row) => states.includes(row.status) && row.val_accuracy !== null);
    const points = model.together && has("finished"), networks = !model.together && has("finished");
    const shown = {
      front: networks, test: networks && rows.some((row) => row.status === "finished" && row.test_accuracy !== null),
      sure: points, unsure: points, interval: points,
      elsewhere: rows.some((row) => row.on_front && !(row.on_size_front && row.on_bit_synops_front)),
      dominated: rows.some((row) => row.status === "finished" && !row.on_front && row.val_accuracy !== null),
      unfinished: has("unfinished"), stopped: has("stopped"), failed: has("failed", "diverged"),
      published: literature.some(({ own }) => !own), paper: literature.some(({ own }) => own),
    };
    const key = JSON.stringify([shown, theme]);
    if (key === built) return;
    built = key;
    list.replaceChildren(...Object.entries(MARKS).filter(([name]) => shown[name]).map(([name, { label, symbol }]) => {
      const own = paint(name), shape = SHAPES[symbol.replace("-open", "")] + (name === "front" ? "M1 6H29" : "");
      const path = svg("path", { d: shape, fill: symbol.endsWith("-open") ? "none" : own, stroke: own, "stroke-width": 1.6 });
      const mark = svg("svg", { viewBox: "0 0 30 12", "aria-hidden": "true" });
      mark.append(path);
      return element("li", {}, mark, label);
    }));
  }
  return { render };
}
