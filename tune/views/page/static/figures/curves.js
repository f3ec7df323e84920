// Learning curves of a trial: accuracy, loss, size and T over the epochs of both phases.

import { ACCURACY, EQ18, SIZE, element, general, sizeText } from "../data/format.js";
import { OPTIONS, baseLayout, colour, linkFigure, plotlyReady } from "./paint.js";

const percent = (v) => `${v.toFixed(2)} %`;
// Of each row: its columns, what they are called where the pointer is, and how their lines are drawn.
const ROWS = [
  { title: "validation %", text: percent, lines: [[ACCURACY, "validation", "solid"], ["inherited_accuracy", "decoded, not retrained", "dot"]] },
  { title: "loss", text: general, lines: [["loss", "loss", "solid"]] },
  { title: "undecided", text: (v) => v.toFixed(3), lines: [
    ["alpha_entropy", "undecided α", "solid"], ["beta_entropy", "undecided β", "dash"], ["psi_entropy", "undecided ψ", "dot"]] },
];
const has = (record, column) => typeof record[column] === "number";

/** Rows of which the records have something. */
const rowsOf = (records) => ROWS.filter(({ lines }) => lines.some(([column]) => records.some((record) => has(record, column))));

/** What the lines mean that are not named at the axes; empty where there are none of them. */
export function keyOf(records) {
  const dotted = records.some((record) => has(record, "inherited_accuracy"));
  const below = rowsOf(records).some(({ title }) => title === "undecided");
  return [dotted ? "Dotted: the network that decoding would give, before retraining." : "",
    below ? "Undecided: entropy of α (line), β (dashed) and ψ (dotted); 1 is an even choice, 0 is a made one." : ""].filter(Boolean).join(" ");
}

/** @returns an element in which the curves are drawn once it stands in the page */
export function curvesOf(records) {
  const rows = rowsOf(records);
  const div = element("div", { className: rows.length > 2 ? "plot curves three" : "plot curves", role: "img", "aria-label": said(records) });
  const counted = records.map((record, k) => ({ ...record, at: k + 1 }));
  const axis = (row) => (row ? `y${row + 1}` : "y");
  const draw = async () => {
    await plotlyReady;
    if (!div.isConnected) return;
    const traces = [];
    rows.forEach(({ lines }, row) => {
      for (const [column, , dash] of lines)
        for (const phase of ["search", "retrain"]) {
          const of = counted.filter((r) => r.phase === phase && has(r, column));
          if (!of.length) continue;
          const color = phase === "search" ? colour("others") : colour("accent");
          traces.push({
            type: "scatter", mode: of.length < 40 ? "lines+markers" : "lines", hoverinfo: "none", name: `${phase} ${column}`,
            x: of.map((r) => r.at), y: of.map((r) => r[column]), customdata: of, yaxis: axis(row),
            line: { color, width: 1.8, dash }, marker: { color, size: 4 },
          });
        }
    });
    const both = new Set(records.map(({ phase }) => phase)).size > 1;
    const { xaxis, yaxis, ...rest } = baseLayout({ xaxis: { title: { text: both ? "epoch, both phases counted through" : "epoch" } } });
    const layout = {
      ...rest, width: div.clientWidth, height: div.clientHeight, margin: { l: 52, r: 8, t: 8, b: 40 },
      xaxis: { ...xaxis, anchor: axis(rows.length - 1), range: [0.5, counted.length + 0.5], fixedrange: true },
    };
    const share = 1 / rows.length;
    rows.forEach(({ title }, row) => {
      const below = rows.length - 1 - row, gap = row ? 0.06 : 0;
      layout[row ? `yaxis${row + 1}` : "yaxis"] = {
        ...yaxis, title: { ...yaxis.title, text: title }, domain: [below * share, (below + 1) * share - gap], fixedrange: true, nticks: 5,
      };
    });
    await Plotly.react(div, traces, layout, OPTIONS);
    linkFigure(div, ({ customdata: r }) => [
      `${r.phase} epoch ${r.epoch}${r.epochs ? ` of ${r.epochs}` : ""}`,
      ...rows.flatMap(({ text, lines }) => lines.filter(([column]) => has(r, column)).map(([column, name]) => `${name} ${text(r[column])}`)),
      ...(typeof (r[SIZE] ?? r[EQ18]) === "number" ? [sizeText(r[SIZE] ?? r[EQ18])] : []),
      ...(has(r, "timesteps") ? [`T ${r.timesteps}`] : []),
    ]);
  };
  return { div, draw };
}

function said(records) {
  const last = records.at(-1);
  return `Learning curves over ${records.length} epochs; the last is ${last.phase} epoch ${last.epoch}` +
    (typeof last[ACCURACY] === "number" ? ` at ${last[ACCURACY].toFixed(2)} % validation accuracy` : "");
}

/** How the search weighs the timesteps: softmax(ψ) where it was recorded, else the T that it would have taken, by epoch. */
export function timestepsOf(records, chosen) {
  const searched = records.filter(({ phase }) => phase === "search");
  const shares = searched.findLast(({ timestep_shares: given }) => Array.isArray(given) && given.length)?.timestep_shares;
  if (shares)
    return bars(shares.map((share, k) => [`${k + 1}`, share, `${(100 * share).toFixed(0)} %`, k + 1 === chosen]), Math.max(...shares),
      `Share of each number of timesteps, ψ: ${shares.map((share, k) => `T ${k + 1} ${(100 * share).toFixed(0)} %`).join(", ")}`);
  const steps = searched.map(({ timesteps }) => timesteps).filter((t) => typeof t === "number");
  if (!steps.length) return null;
  return bars(steps.map((t, k) => [k === 0 || k === steps.length - 1 ? `${k + 1}` : "", t, `${t}`, k === steps.length - 1]), Math.max(...steps),
    `T after each epoch of the search: ${steps.join(", ")}`);
}

/** Bars with what they are worth above and a name below. */
export function bars(values, most, label) {
  return element("div", { className: values.length > 24 ? "bars many" : "bars", role: "img", "aria-label": label },
    ...values.map(([name, value, text, strong]) =>
      element("div", { className: strong ? "strong" : "" },
        element("span", { textContent: text }),
        element("i", { style: { height: `${Math.max(3, (52 * value) / (most || 1))}px` } }),
        element("small", { textContent: name }))));
}
