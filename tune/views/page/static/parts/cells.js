// The tab with the cells of the front's networks, drawn beside each other.

import { ACCURACY, SYNOPS, countText, element, general, percent, sizesText } from "../data/format.js";
import { safeDrawing } from "../figures/drawing.js";

export function makeCells(place, act) {
  const note = element("p", { className: "note" }), cells = element("div", { className: "cells" });
  place.append(note, cells);
  const drawings = new Map(); // by key and version: asked for once
  let latest = null;

  async function render(model) {
    latest = model;
    const rows = model.rows.filter((row) => row.on_front).sort((a, b) => b[ACCURACY] - a[ACCURACY]);
    note.textContent = rows.length === 0 ? "No network of the front among the trials shown." : said(model);
    const found = await Promise.all(rows.map((row) => drawingOf(row, model)));
    if (latest !== model) return; // overtaken
    cells.replaceChildren(...rows.map((row, k) => figure(row, found[k], model.several)));
  }

  function drawingOf(row, model) {
    const key = `${row.key} ${model.experiments.find(({ name }) => name === row.experiment)?.version}`;
    if (!drawings.has(key)) drawings.set(key, act.details(row).then(({ drawing }) => drawing, () => drawings.delete(key) && null));
    return drawings.get(key);
  }

  function figure(row, drawing, several) {
    const name = element("button", { type: "button", className: "link", textContent: several ? `${row.experiment} / ${row.trial}` : row.trial });
    name.addEventListener("click", () => act.open(row.key));
    return element("figure", { "data-key": row.key }, (drawing && safeDrawing(drawing)) ?? element("p", { className: "note", textContent: "not drawn" }),
      element("figcaption", {}, `${percent(row[ACCURACY])}, ${sizesText(row)}, ${countText(row[SYNOPS])} Bit-SynOps, T ${general(row.timesteps)}, p ${general(row.p)} %`,
        element("br"), name));
  }
  return { render };
}

function said(model) {
  const sides = [...new Set(model.experiments.map(({ recipe }) => recipe?.input_skip?.replace(/^conv/, "")).filter(Boolean))];
  return "All cells of a network have the same structure and each its own weight bits. in 1 is the output of the cell before, in 0 of " +
    "the one before that (of the stem, where there is none). A node sums its two branches; a dot joins lines, a crossing does not." +
    (sides.length ? ` A skip from a cell input is a ${sides.join(" or ")} convolution, since the numbers of channels differ.` : "");
}
