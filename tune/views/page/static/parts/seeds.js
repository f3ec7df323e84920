// The tab with points, their seeds taken together, where one has several finished seeds.

import { ACCURACY, SIZE, SYNOPS, countUnit, digits, element, fixed, general, sizeName, sizeUnit } from "../data/format.js";
import { pointsOf } from "../data/points.js";
import { makeOwnTable } from "./table.js";

export function makeSeeds(place, act) {
  const note = element("p", { className: "note" });
  place.append(note);
  const table = makeOwnTable(place, { id: "seeds", label: "Points over their seeds", empty: "", one: "point" }, { select() {}, open: act.open });
  return {
    render(model) {
      const rows = model.experiments.flatMap((experiment) => pointsOf(experiment));
      note.textContent = rows.length === 0 ? "No point with two finished seeds."
        : "Mean ± standard deviation over the finished seeds of a point; ± 90 % is how far its mean accuracy is good. Front: sure, nothing that " +
          "costs less may be as accurate; unsure, something may (~); possible, not on it, but nothing dominates it for sure. Filters do not apply here.";
      place.classList.toggle("none", rows.length === 0);
      table.render(rows, columnsOf(model, rows), model.dataVersion, null);
    },
  };
}

const plusMinus = (value, show) => (value === null ? "" : ` ± ${show(value)}`);

function columnsOf(model, rows) {
  const largest = (column) => Math.max(0, ...rows.map((row) => row[column] ?? 0));
  const [size, bits] = sizeUnit(largest(SIZE)), [count, worth] = countUnit(largest(SYNOPS));
  const spread = (column, title, show, unit = 1) => [column, title, (row) =>
    (row[column] ?? null) === null ? "" : show(row[column] / unit) + plusMinus(row[`${column}_deviation`], (value) => show(value / unit))];
  const stated = (column, title) => (largest(column) ? [[column, title, (row) => general(row[column] || null)]] : []); // 0: not stated
  const places = (value) => fixed(value, 2);
  const named = model.several || rows.some(({ experiment, source }) => source !== experiment); // of a merge
  return [
    ...(named ? [["source", "experiment", (row) => row.source, "text"]] : []),
    ...(model.searched ? [["lambda1", "λ1", (row) => general(row.lambda1)], ["lambda2", "λ2", (row) => general(row.lambda2)]] : []),
    ["p", "p %", (row) => general(row.p)],
    ["channels", "C", (row) => general(row.channels)],
    ...stated("held_bits", "bits"),
    ...stated("held_timesteps", "T"),
    ["seeds", "seeds", (row) => fixed(row.seeds, 0)],
    ["not_finished", "not finished", (row) => fixed(row.not_finished, 0)],
    ["front", "front", (row) => row.front, "text"],
    spread(ACCURACY, "validation %", places),
    ["val_interval", "± 90 %", (row) => fixed(row.val_interval, 1) + (row.ties_with ? " ~" : "")],
    spread("test_accuracy", "test %", places),
    spread(SIZE, `${sizeName(model.all)} ${size}`, digits, bits),
    spread(SYNOPS, `Bit-SynOps ${count}`, digits, worth),
    spread("energy_mj", "energy µJ", digits, 1e-3),
  ];
}
