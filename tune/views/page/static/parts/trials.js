// The tab with all trials that pass the filters.

import { ACCURACY, DENSE, EQ18, FILE, SYNOPS, countUnit, digits, element, fixed, general, sizeUnit } from "../data/format.js";
import { makeTable } from "./table.js";

/** Epochs that a trial has run, search and retraining together. */
export const epochsOf = (row) => (row.search_epochs ?? 0) + (row.retrain_epochs ?? 0);

export function makeTrials(place, act) {
  const names = { id: "trials", label: "Trials", empty: "" }, table = makeTable(place, names, act);
  place.append(element("p", {
    className: "note",
    textContent: "Networks are chosen by validation accuracy; ± is 90 % of what chance does to it. ~: a smaller or cheaper network may be as accurate.",
  }));
  return {
    ...table,
    render(model, view) {
      names.empty = model.all.length ? "No trial passes the filters." : "No trial has started.";
      // Without a sorting, the front comes first, then the most accurate.
      const order = [...model.rows].sort((a, b) => b.on_front - a.on_front || (b[ACCURACY] ?? -1) - (a[ACCURACY] ?? -1));
      table.render(order, columnsOf(model), view.sort, model.rowsVersion, view.selected);
    },
  };
}

const energy = (millijoules) => (millijoules === null ? "" : digits(1e3 * millijoules));

function columnsOf(model) {
  const largest = (column) => Math.max(0, ...model.rows.map((row) => row[column] ?? 0));
  const [size, bits] = sizeUnit(Math.max(largest(FILE), largest(EQ18))), [count, worth] = countUnit(largest(SYNOPS));
  return [
    ...(model.several ? [["experiment", "experiment", (row) => row.experiment, "text"]] : []),
    ["trial", "trial", (row) => row.trial, "text name"],
    ["status", "state", (row) => row.status, "text"],
    [ACCURACY, "validation %", (row) => fixed(row[ACCURACY], 2)],
    ["val_interval", "±", (row) => fixed(row.val_interval, 1) + (row.ties_with ? " ~" : "")],
    ["test_accuracy", "test %", (row) => fixed(row.test_accuracy, 2)],
    [FILE, `file ${size}`, (row) => (row[FILE] === null ? "" : digits(row[FILE] / bits))],
    [EQ18, `Eq. 18 ${size}`, (row) => (row[EQ18] === null ? "" : digits(row[EQ18] / bits))],
    [DENSE, `dense ${size}`, (row) => (row[DENSE] === null ? "" : digits(row[DENSE] / bits))],
    [SYNOPS, `Bit-SynOps ${count}`, (row) => (row[SYNOPS] === null ? "" : digits(row[SYNOPS] / worth))],
    ["energy_mj", "energy µJ", (row) => energy(row.energy_mj)],
    ["energy_bits_mj", "with bits µJ", (row) => energy(row.energy_bits_mj)],
    ...(model.searched ? [["lambda1", "λ1", (row) => general(row.lambda1)], ["lambda2", "λ2", (row) => general(row.lambda2)]] : []),
    ["p", "p %", (row) => general(row.p)],
    ["channels", "C", (row) => general(row.channels)],
    ["timesteps", "T", (row) => fixed(row.timesteps, 0)],
    ["bits", "bits", (row) => row.bits ?? "", "text"],
    ["epochs", "epochs", (row) => fixed(epochsOf(row), 0), "", epochsOf],
    ["seed", "seed", (row) => fixed(row.seed, 0)],
    ["seconds", "seconds", (row) => fixed(row.seconds, 0)],
    ["ties_with", "~ ties with", (row) => row.ties_with ?? "", "text"],
  ];
}
