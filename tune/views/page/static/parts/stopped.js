// The tab with what did not finish: stopped by the scheduler, diverged or failed, when, and why.

import { ACCURACY, SIZE, element, fixed, general, sizeText, whole, words } from "../data/format.js";
import { makeOwnTable } from "./table.js";
import { epochsOf } from "./trials.js";

export function makeStopped(place, act) {
  const sentence = element("p", { className: "note" });
  place.append(sentence);
  const table = makeOwnTable(place, { id: "stopped", label: "Stopped and failed trials", empty: "" }, act);

  function render(model, view) {
    const rows = model.rows.filter((row) => ["stopped", "failed", "diverged"].includes(row.status));
    const order = [...rows].sort((a, b) => String(b.ended_at ?? "").localeCompare(String(a.ended_at ?? "")));
    sentence.textContent = said(model, rows);
    place.classList.toggle("none", rows.length === 0);
    table.render(order, columnsOf(model), model.rowsVersion, view.selected);
  }
  return { render };
}

function said(model, rows) {
  if (!rows.length) return "Nothing was stopped, diverged or failed among the trials shown.";
  const count = (state) => rows.filter((row) => row.status === state).length;
  const parts = ["stopped", "diverged", "failed"].filter(count).map((state) => `${whole(count(state))} ${state}`);
  return `${parts.join(", ")} of ${words(model.rows.length, "trial")}. A rank says how a trial stood among those that had come as ` +
    "far: the scheduler stops those behind in accuracy at the size and Bit-SynOps they have.";
}

const columnsOf = (model) => [
  ...(model.several ? [["experiment", "experiment", (row) => row.experiment, "text"]] : []),
  ["trial", "trial", (row) => row.trial, "text name"],
  ["status", "state", (row) => row.status, "text"],
  ["reason", "reason", (row) => row.reason || "", "text reason"],
  ["epochs", "epochs run", (row) => fixed(epochsOf(row), 0), "", epochsOf],
  ["phase", "in phase", (row) => (row.phase === null ? "" : `${row.phase} ${general(row.epoch)}`), "text"],
  [ACCURACY, "validation %", (row) => fixed(row[ACCURACY], 2)],
  [SIZE, "size", (row) => sizeText(row[SIZE])],
  ["ended_at", "ended", (row) => (row.ended_at === null ? "" : new Date(row.ended_at).toLocaleString()), "text"],
];
