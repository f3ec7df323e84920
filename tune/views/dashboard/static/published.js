// Networks of the literature, those on the data sets of the experiments that are shown.

import { EQ18, SYNOPS, countText, percent, sizeText, words } from "./format.js";

let networks = null; // asked for once, when they are first shown

/** @returns the networks to draw beside these experiments; empty until they are known */
export function literatureFor(model, wanted, changed) {
  if (!wanted) return [];
  if (networks === null) {
    networks = [];
    fetch("/api/published")
      .then((answer) => answer.json())
      .then((found) => {
        networks = found.networks.map(prepared);
        changed();
      })
      .catch(() => {
        networks = null; // asked again the next time
      });
  }
  const sets = new Set(model.experiments.map(({ recipe }) => recipe?.dataset).filter(Boolean));
  return networks.filter(({ dataset }) => sets.has(dataset));
}

/** Says where they are from, or why there are none. */
export function sayLiterature(model, shown, wanted) {
  const note = document.getElementById("literature");
  note.hidden = !wanted;
  if (!wanted || networks === null || !networks.length) return note.replaceChildren();
  const sets = [...new Set(model.experiments.map(({ recipe }) => recipe?.dataset).filter(Boolean))];
  const known = [...new Set(networks.map(({ dataset }) => dataset))];
  const from = [...new Set(shown.map(({ source }) => source.replace(/,[^,]*$/, "")))].join("; ");
  note.textContent = shown.length
    ? `${words(shown.length, "published network")} on ${[...new Set(shown.map((n) => n.dataset))].join(", ")}, from ${from}; at ` +
      "their test accuracy, as are the open circles of our fronts. Networks without a figure are left out of its plot."
    : `No published network on ${sets.join(", ") || "an unknown data set"}: those known are on ${known.join(", ")}.`;
}

function prepared(network) {
  const size = network.model_size_mb === null ? null : network.model_size_mb * 8e6;
  const count = network.bit_synops_m === null ? null : network.bit_synops_m * 1e6;
  return {
    ...network, [EQ18]: size, [SYNOPS]: count, own: network.method.startsWith("LitE-SNN"),
    lines: [
      network.method,
      `published: test ${percent(network.accuracy)}`,
      `${size === null ? "size not given" : sizeText(size)}   ${count === null ? "Bit-SynOps not given" : `${countText(count)} Bit-SynOps`}`,
      network.source,
    ],
  };
}

