// The tab with points of which several seeds have finished, taken together.

import { ACCURACY, SIZE, SYNOPS, countUnit, digits, element, fixed, general, sizeName, sizeUnit } from "./format.js";
import { makeOwnTable } from "./table.js";

export function makeSeeds(place) {
  const note = element("p", { className: "note" });
  place.append(note);
  const table = makeOwnTable(place, { id: "seeds", label: "Points with several seeds", empty: "", one: "point" }, { select() {}, open() {} });
  return {
    render(model) {
      const rows = model.experiments.flatMap(({ name, seeds }) => seeds.map((point, k) => ({ experiment: name, ...point, key: `${name} ${k}` })));
      note.textContent = rows.length === 0 ? "No point with two finished seeds."
        : "Mean ± standard deviation over the finished seeds of a point. Filters do not apply here.";
      place.classList.toggle("none", rows.length === 0);
      table.render(rows, columnsOf(model, rows), model.dataVersion, null);
    },
  };
}

function columnsOf(model, rows) {
  const largest = (column) => Math.max(0, ...rows.map((row) => row[column] ?? 0));
  const [size, bits] = sizeUnit(largest(SIZE)), [count, worth] = countUnit(largest(SYNOPS));
  const spread = (column, title, show, unit = 1) => [column, title, (row) =>
    row[column] === null ? "" : `${show(row[column] / unit)} ± ${show(row[`${column}_deviation`] / unit)}`];
  const stated = (column, title) => (largest(column) ? [[column, title, (row) => general(row[column] || null)]] : []); // 0: not stated
  const places = (value) => fixed(value, 2);
  const named = model.several || rows.some(({ experiment }) => !model.names.includes(experiment)); // of a merge
  return [
    ...(named ? [["experiment", "experiment", (row) => row.experiment, "text"]] : []),
    ["lambda1", "λ1", (row) => general(row.lambda1)],
    ["lambda2", "λ2", (row) => general(row.lambda2)],
    ["p", "p %", (row) => general(row.p)],
    ["channels", "C", (row) => general(row.channels)],
    ...stated("held_bits", "bits"),
    ...stated("held_timesteps", "T"),
    ["n", "seeds", (row) => fixed(row.n, 0)],
    ["not_finished", "not finished", (row) => fixed(row.not_finished, 0)],
    spread(ACCURACY, "validation %", places),
    spread("test_accuracy", "test %", places),
    spread(SIZE, `${sizeName(model.all)} ${size}`, digits, bits),
    spread(SYNOPS, `Bit-SynOps ${count}`, digits, worth),
    spread("energy_mj", "energy µJ", digits, 1e-3),
  ];
}
