// One trial in full: its cell, bits, timesteps, learning curves, why it ended, and its files.

import { ACCURACY, DENSE, EQ18, FILE, SYNOPS, countText, digits, element, general, percent, sizeText } from "../data/format.js";
import { isSearched } from "../data/model.js";
import { bars, curvesOf, keyOf, timestepsOf } from "../figures/curves.js";
import { safeDrawing } from "../figures/drawing.js";

/**
 * @param store gives the details
 * @param {() => void} close
 */
export function makePanel(store, close) {
  const panel = document.getElementById("panel");
  const shut = element("button", { type: "button", className: "close", "aria-label": "Close", textContent: "✕" });
  const title = element("h2", { id: "panel-title" });
  const state = element("p", { className: "state" });
  const body = element("div", { className: "body" });
  panel.append(element("header", {}, title, shut), state, body);
  shut.addEventListener("click", close);
  let shown = null, asked = null, found = null, drawn = "", back = null, curves = null, searched = true;

  function render(model, view, theme, width) {
    const row = view.trial === null ? null : model.byKey.get(view.trial) ?? null;
    panel.hidden = view.trial === null;
    document.body.classList.toggle("with-panel", !panel.hidden);
    if (view.trial === null) {
      shown = null;
      drawn = "";
      return;
    }
    title.textContent = row?.trial ?? view.trial;
    if (shown !== view.trial) {
      shown = view.trial;
      found = null;
      drawn = "";
      panel.scrollTop = 0;
    }
    state.textContent = row === null ? "not here, or not here yet"
      : `${row.experiment} · ${row.status}${row.on_front ? ` · on the front${row.ties_with ? `, ~ ${row.ties_with} costs less and may be as accurate` : ""}` : ""}`;
    state.dataset.state = row?.status ?? "";
    if (row === null) {
      drawn = "";
      return;
    }
    const experiment = model.experiments.find(({ name }) => name === row.experiment);
    const version = `${view.trial} ${experiment?.version}`;
    if (drawn === version) {
      if (width) curves?.draw();
      return;
    }
    drawn = version;
    asked = row;
    searched = isSearched(experiment ?? {});
    if (found === null) body.replaceChildren(element("p", { className: "note", textContent: "loading…" }));
    store.details(row).then(
      (details) => {
        if (shown !== view.trial) return;
        const same = JSON.stringify(found) === JSON.stringify(details);
        found = details;
        if (!same) fill();
      },
      (error) => {
        if (shown === view.trial && found === null) body.replaceChildren(element("p", { className: "problem", textContent: error.message }));
      },
    );
  }

  function fill() {
    const { trial: row, records, genotype, drawing, notes, errors, missing } = found;
    curves = records.length ? curvesOf(records) : null;
    const cell = drawing === null ? null : safeDrawing(drawing);
    const steps = timestepsOf(records, row.timesteps);
    const phases = new Set(records.map(({ phase }) => phase));
    const psi = records.some(({ timestep_shares: given }) => Array.isArray(given));
    body.replaceChildren(...[
      row.reason ? element("p", { className: "reason", "data-state": row.status, textContent: row.reason }) : null,
      ...errors.map((error) => element("p", { className: "problem", textContent: error })),
      figures(row, searched),
      files(found, (file) => store.fileOf(asked, file)),
      section("Cell", missing ? element("p", { className: "note", textContent: missing }) : cell === null
        ? element("p", { className: "note", textContent: "The cell is decoded when the search is over." })
        : element("figure", {}, cell)), // its words are its label
      curves && section("Learning curves", element("p", { className: "note key" },
        ...[["search", "search"], ["retrain", "retraining"]].filter(([phase]) => phases.has(phase)).map(([className, textContent]) =>
          element("b", { className, textContent })),
        element("span", { textContent: keyOf(records) })), curves.div),
      genotype && section("Weight bits per cell", bars(genotype.bits.map((b, k) => [`${k + 1}`, b, `${b}`, true]), Math.max(4, ...genotype.bits),
        `Bits per cell: ${genotype.bits.join(", ")}`)),
      steps && section(psi ? "Timestep distribution ψ" : "Timesteps T by epoch of the search", steps),
      notes ? section("Notes", element("pre", { textContent: notes })) : null,
    ].filter(Boolean));
    curves?.draw();
  }

  /** Puts the focus into the panel and remembers where it was. */
  function enter() {
    if (!panel.contains(document.activeElement)) back = document.activeElement;
    shut.focus({ preventScroll: true });
  }

  /** Gives the focus back to where it was. */
  function leave() {
    const to = back;
    back = null;
    if (to?.isConnected && to !== document.body) to.focus({ preventScroll: true });
    return Boolean(to?.isConnected && to !== document.body);
  }

  return { render, enter, leave, redraw: () => curves?.draw() };
}

const energy = (millijoules) => (millijoules === null ? "" : `${digits(1e3 * millijoules)} µJ`);

const section = (name, ...children) => element("section", {}, element("h3", { textContent: name }), ...children);

function figures(row, searched) {
  const entries = [
    ["validation", percent(row[ACCURACY])],
    ["of chance", row.val_interval === null ? "" : `± ${row.val_interval.toFixed(1)}`],
    ["test", percent(row.test_accuracy)],
    ["packed file", sizeText(row[FILE])],
    ["Eq. 18", sizeText(row[EQ18])],
    ["dense", sizeText(row[DENSE])],
    ["Bit-SynOps", countText(row[SYNOPS])],
    ["energy", energy(row.energy_mj)],
    ["with bits", energy(row.energy_bits_mj)],
    ["T", general(row.timesteps)],
    ["λ1", searched ? general(row.lambda1) : ""],
    ["λ2", searched ? general(row.lambda2) : ""],
    ["p", row.p === null ? "" : `${general(row.p)} %`],
    ["C", general(row.channels)],
    ["seed", general(row.seed)],
    ["starts from", row.parent ?? ""],
    ["epochs", `${searched ? `${row.search_epochs ?? 0} + ` : ""}${row.retrain_epochs ?? 0}`],
    ["took", row.seconds === null ? "" : duration(row.seconds)],
  ];
  return element("dl", {}, ...entries.filter(([, text]) => text !== "").map(([name, text]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: text }))));
}

function files({ genotype, model_bytes: bytes }, addressOf) {
  const links = [
    genotype !== null && ["genotype.json", ""],
    bytes !== null && ["model.safetensors", ` ${bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`}`],
  ].filter((link) => link && addressOf(link[0]) !== null);
  if (!links.length) return null;
  return element("p", { className: "files" }, ...links.map(([file, size]) =>
    element("a", { href: addressOf(file), download: "", "data-file": file, textContent: file }, element("small", { textContent: size }))));
}

function duration(seconds) {
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
