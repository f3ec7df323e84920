// What the marks of the fronts mean: only those that are drawn.

import { element } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const MARKS = [
  ["front", "front of this plot", "M1 6H29M20 6a5 5 0 1 0-10 0a5 5 0 1 0 10 0", "solid"],
  ["elsewhere", "on the front in all three objectives", "M20 6a5 5 0 1 0-10 0a5 5 0 1 0 10 0", "soft"],
  ["dominated", "dominated", "M19 6a4 4 0 1 0-8 0a4 4 0 1 0 8 0", "open"],
  ["unfinished", "unfinished: running, or interrupted", "M11 1.5L19.5 6L11 10.5Z", "solid"],
  ["stopped", "stopped early", "M11 2H19V10H11Z", "open"],
  ["failed", "diverged or failed", "M11 2L19 10M19 2L11 10", "bad"],
  ["test", "test accuracy of the front", "M20 6a5 5 0 1 0-10 0a5 5 0 1 0 10 0", "ring"],
  ["published", "published", "M15 0.5L20.5 6L15 11.5L9.5 6Z", "others"],
  ["paper", "published with the method", "M15 0.5L20.5 6L15 11.5L9.5 6Z", "paper-own"],
];

export function makeLegend() {
  const list = document.getElementById("legend");
  let built = "";
  function render(model, literature) {
    const has = (...states) => model.rows.some((row) => states.includes(row.status) && row.val_accuracy !== null);
    const shown = {
      front: has("finished"), elsewhere: model.rows.some((row) => row.on_front && !(row.on_size_front && row.on_bit_synops_front)),
      dominated: model.rows.some((row) => row.status === "finished" && !row.on_front && row.val_accuracy !== null), unfinished: has("unfinished"),
      stopped: has("stopped"), failed: has("failed", "diverged"), test: literature.length > 0 && has("finished"),
      published: literature.some(({ own }) => !own), paper: literature.some(({ own }) => own),
    };
    const key = JSON.stringify(shown);
    if (key === built) return;
    built = key;
    list.replaceChildren(...MARKS.filter(([name]) => shown[name]).map(([, text, path, kind]) => {
      const mark = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "path");
      mark.setAttribute("viewBox", "0 0 30 12");
      mark.setAttribute("aria-hidden", "true");
      mark.setAttribute("class", kind);
      line.setAttribute("d", path);
      mark.append(line);
      return element("li", {}, mark, text);
    }));
  }
  return { render };
}
