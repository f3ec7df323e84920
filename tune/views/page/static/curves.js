// Learning curves of a trial: accuracy, loss, size and T over the epochs of both phases.

import { ACCURACY, EQ18, SIZE, element, general, sizeText } from "./format.js";
import { OPTIONS, baseLayout, colour, linkFigure, plotlyReady } from "./paint.js";

const ROWS = [
  { column: ACCURACY, title: "validation %", text: (v) => `${v.toFixed(2)} %` },
  { column: "loss", title: "loss", text: general },
];

/** @returns an element in which the curves are drawn once it stands in the page */
export function curvesOf(records) {
  const div = element("div", { className: "plot curves", role: "img", "aria-label": said(records) });
  const counted = records.map((record, k) => ({ ...record, at: k + 1 }));
  const draw = async () => {
    await plotlyReady;
    if (!div.isConnected) return;
    const traces = [];
    ROWS.forEach(({ column }, row) => {
      for (const phase of ["search", "retrain"]) {
        const of = counted.filter((r) => r.phase === phase && typeof r[column] === "number");
        if (!of.length) continue;
        const color = phase === "search" ? colour("others") : colour("accent");
        traces.push({
          type: "scatter", mode: of.length < 40 ? "lines+markers" : "lines", hoverinfo: "none", name: `${phase} ${column}`,
          x: of.map((r) => r.at), y: of.map((r) => r[column]), customdata: of, yaxis: row ? `y${row + 1}` : "y",
          line: { color, width: 1.8 }, marker: { color, size: 4 },
        });
      }
    });
    const { xaxis, yaxis, ...rest } = baseLayout({ xaxis: { title: { text: "epoch, both phases counted through" } } });
    const layout = {
      ...rest, width: div.clientWidth, height: div.clientHeight, margin: { l: 52, r: 8, t: 8, b: 40 },
      xaxis: { ...xaxis, anchor: "y2", range: [0.5, counted.length + 0.5], fixedrange: true },
    };
    ROWS.forEach(({ title }, row) => {
      layout[row ? `yaxis${row + 1}` : "yaxis"] = {
        ...yaxis, title: { ...yaxis.title, text: title }, domain: row ? [0, 0.44] : [0.56, 1], fixedrange: true, nticks: 5,
      };
    });
    await Plotly.react(div, traces, layout, OPTIONS);
    linkFigure(div, ({ customdata: r }) => [
      `${r.phase} epoch ${r.epoch}${r.epochs ? ` of ${r.epochs}` : ""}`,
      ...ROWS.filter(({ column }) => typeof r[column] === "number").map(({ column, title, text }) =>
        column === ACCURACY ? `validation ${text(r[column])}` : `${title} ${text(r[column])}`),
      ...(typeof (r[SIZE] ?? r[EQ18]) === "number" ? [sizeText(r[SIZE] ?? r[EQ18])] : []),
      ...(typeof r.timesteps === "number" ? [`T ${r.timesteps}`] : []),
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
