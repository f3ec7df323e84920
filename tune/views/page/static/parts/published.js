// Networks of the literature on the data sets of the experiments that are shown, and how ours stand beside them.

import { EQ18, SYNOPS, countText, countUnit, digits, element, fixed, percent, sizeText, sizeUnit, words } from "../data/format.js";
import { makeOwnTable } from "./table.js";

const RELATIONS = { dominated: "dominated by", dominates: "dominating", neither: "beside" };

/** The comparisons that there are, of the experiments shown. */
const comparisons = (model) => model.experiments.filter(({ comparison }) => comparison !== null);

/** Whether anything is known of published networks; a file has them only where they were asked for. */
export const hasLiterature = (model) => comparisons(model).length > 0;

/** @returns the networks to draw beside these experiments, each once */
export function literatureFor(model, wanted) {
  if (!wanted) return [];
  const networks = comparisons(model).flatMap(({ comparison }) => comparison.networks);
  return [...new Map(networks.map((network) => [JSON.stringify([network.method, network.accuracy]), prepared(network)])).values()];
}

/** Says where they are from, or why there are none. */
export function sayLiterature(model, shown, wanted) {
  const note = document.getElementById("literature");
  note.hidden = !wanted || !hasLiterature(model);
  const from = [...new Set(shown.map(({ source }) => source.replace(/,[^,]*$/, "")))].join("; ");
  note.textContent = sentences(model) + (shown.length
    ? ` ${words(shown.length, "network")} from ${from}, at their test accuracy. Networks without a figure are left out of its plot.` : "");
}

function sentences(model) {
  const found = comparisons(model).map(({ name, comparison: { sentence } }) =>
    model.several ? `${name}: ${sentence}.` : `${sentence[0].toUpperCase()}${sentence.slice(1)}.`);
  return [...new Set(found)].join(" ");
}

function prepared(network) {
  return {
    ...network,
    lines: [
      network.method,
      `published: test ${percent(network.accuracy)}`,
      `${sizeText(network[EQ18]) || "size not given"}   ${network[SYNOPS] === null ? "Bit-SynOps not given" : `${countText(network[SYNOPS])} Bit-SynOps`}`,
      network.source,
    ],
  };
}

/** The tab that holds the published networks against the front; a row leads to the network of ours. */
export function makePublished(place, act) {
  const note = element("p", { className: "note" });
  place.append(note);
  const table = makeOwnTable(place, { id: "published-table", label: "Published networks", empty: "", one: "published network" }, {
    select() {},
    open: (key) => ours.get(key) && act.open(ours.get(key)),
  });
  const ours = new Map();
  return {
    render(model) {
      const rows = comparisons(model).flatMap(({ name, comparison }) => comparison.networks.map((network, k) => {
        const row = { ...network, experiment: name, key: `${name} ${k}` };
        ours.set(row.key, network.ours && `${name}/${network.ours}`);
        return row;
      }));
      note.textContent = sentences(model) + (rows.length ? " By test accuracy on both sides, although ours were chosen by " +
        "validation. Beside each published network stands the most accurate of ours that dominates it, which is nowhere worse and " +
        "somewhere better, else the nearest in decades of error, size and Bit-SynOps. Where Bit-SynOps are not given, accuracy " +
        "and size decide alone. Filters do not apply here." : "");
      place.classList.toggle("none", rows.length === 0);
      table.render(rows, columnsOf(model, rows), model.dataVersion, null);
    },
  };
}

function columnsOf(model, rows) {
  const largest = (column) => Math.max(0, ...rows.flatMap((row) => [row[column] ?? 0, row[`our_${column}`] ?? 0]));
  const [size, bits] = sizeUnit(largest(EQ18)), [count, worth] = countUnit(largest(SYNOPS));
  const figures = (prefix, title) => [
    [`${prefix}accuracy`, `${title}test %`, (row) => fixed(row[`${prefix}accuracy`], 2)],
    [`${prefix}${EQ18}`, `${title}Eq. 18 ${size}`, (row) => (row[`${prefix}${EQ18}`] === null ? "" : digits(row[`${prefix}${EQ18}`] / bits))],
    [`${prefix}${SYNOPS}`, `${title}Bit-SynOps ${count}`, (row) => (row[`${prefix}${SYNOPS}`] === null ? "" : digits(row[`${prefix}${SYNOPS}`] / worth))],
  ];
  return [
    ...(model.several ? [["experiment", "experiment", (row) => row.experiment, "text"]] : []),
    ["method", "published", (row) => row.method, "text"],
    ...figures("", ""),
    ["relation", "it is", (row) => RELATIONS[row.relation] ?? "", "text"],
    ["ours", "ours", (row) => row.ours, "text"],
    ...figures("our_", "our "),
    ["source", "source", (row) => row.source, "text"],
  ];
}
