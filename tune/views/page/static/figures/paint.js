// What all figures share: colours of the page, axes, ticks, and the text at a point.

import { ACCURACY, SIZE, SYNOPS, countText, digits, element, fixed, general, percent, sizesText } from "../data/format.js";
import { MARKS } from "../data/look.js";

const root = document.documentElement;

/** A colour of the style sheet as it is now: `paper`, `ink`, `series-0`, … */
export const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

const channels = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

export const mix = (from, to, share) => {
  const [a, b] = [channels(from), channels(to)];
  return `rgb(${a.map((v, k) => Math.round(v + share * (b[k] - v)))})`;
};

/** The colour of a mark of an experiment that is drawn in `series`. */
export function paint(mark, series = "series-0") {
  const { colour: own = series, fade = 0 } = MARKS[mark];
  return mix(colour(own), colour("paper"), fade);
}

export const OPTIONS = { displayModeBar: false, displaylogo: false, responsive: false, doubleClick: false, showTips: false };

/** plotly's script is large and comes beside the data: whatever draws waits for it here. */
export const plotlyReady = new Promise((resolve, reject) => {
  if (globalThis.Plotly) return resolve(globalThis.Plotly);
  const script = document.getElementById("plotly");
  script.addEventListener("load", () => resolve(globalThis.Plotly));
  script.addEventListener("error", () => reject(new Error("plotly.min.js could not be loaded")));
});

const coarse = matchMedia("(pointer: coarse)"); // a finger scrolls the page instead of zooming

export function baseLayout(more) {
  const font = { family: "system-ui, sans-serif", size: 12.5, color: colour("muted") };
  const axis = {
    gridcolor: colour("rule"), linecolor: colour("pale"), zeroline: false, showline: true, ticks: "", automargin: false,
    title: { font: { ...font, color: colour("ink") }, standoff: 8 },
  };
  const { xaxis, yaxis, ...rest } = more;
  return {
    margin: { l: 58, r: 12, t: 12, b: 46 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    showlegend: false, hovermode: "closest", dragmode: coarse.matches ? false : "zoom", font, hoverdistance: 12,
    ...rest, xaxis: merged(axis, xaxis), yaxis: merged(axis, yaxis),
  };
}

export function merged(axis, own = {}) {
  return { ...axis, ...own, title: { ...axis.title, ...own.title } };
}

/** Round numbers on a log axis: every power of ten where there are many, finer steps where there are few. */
export function logTicks(low, high, most) {
  for (const steps of [[1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 8], [1, 2, 5], [1, 3], [1]]) {
    const ticks = [];
    for (let d = Math.floor(low); d <= high; d++)
      for (const s of steps) {
        const tick = Number(`${s}e${d}`);
        if (Math.log10(tick) >= low && Math.log10(tick) <= high) ticks.push(tick);
      }
    if (ticks.length <= most) return ticks;
    if (steps.length === 1) return ticks.filter((_, k) => k % Math.ceil(ticks.length / most) === 0);
  }
}

/** Range of a log axis in powers of ten, with air on both sides. */
export function logRange(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values)
    if (value > 0) {
      low = Math.min(low, Math.log10(value));
      high = Math.max(high, Math.log10(value));
    }
  if (low > high) return null;
  const air = Math.max(0.1, 0.06 * (high - low));
  return [low - air, high + air];
}

/** Where 100 % stands on a log axis of the error: half the smallest error there is; null if no network is without error. */
export function zeroError(accuracies) {
  let found = false, least = 0.2;
  for (const accuracy of accuracies) {
    if (accuracy === null) continue;
    if (accuracy >= 100) found = true;
    else least = Math.min(least, 100 - accuracy);
  }
  return found ? least / 2 : null;
}

export const errorOf = (accuracy, zero) => (accuracy >= 100 ? zero : 100 - accuracy);

/** Ticks of the accuracy axis, which is the error's in log scale upside down. */
export function accuracyTicks(range, zero, most) {
  const errors = logTicks(Math.min(...range), Math.max(...range), most).filter((e) => e < 100 && !(e < 1.5 * zero));
  if (zero && Math.log10(zero) > Math.min(...range)) errors.push(zero);
  return { tickvals: errors, ticktext: errors.map((e) => (e === zero ? "100" : String(Number((100 - e).toPrecision(6))))) };
}

export const tickText = (tick) => (tick >= 1e6 || tick < 1e-4 ? tick.toExponential().replace("+", "") : String(tick));

/** What a trial says at its point, as lines of text; the first is its name. */
export function trialLines(row, several) {
  const lines = [several ? `${row.experiment} / ${row.trial}` : row.trial];
  lines.push(`λ1 ${general(row.lambda1)}   λ2 ${general(row.lambda2)}   p ${general(row.p)} %   C ${general(row.channels)}`);
  if (row.seeds > 1) lines.push(`mean of ${row.seeds} seeds`);
  if (row.status !== "finished") {
    const epochs = row.phase === null ? "" : `, ${row.phase} epoch ${general(row.epoch)}`;
    lines.push(`${row.status}${epochs}`);
    if (row.reason) lines.push(row.reason);
  }
  if (row.bits !== null || row.timesteps !== null)
    lines.push([row.bits === null ? "" : `bits ${row.bits}`, row.timesteps === null ? "" : `T ${general(row.timesteps)}`]
      .filter(Boolean).join("   "));
  if (row[ACCURACY] !== null)
    lines.push(`validation ${accuracyText(row)}${row.test_accuracy === null ? "" : `   test ${percent(row.test_accuracy)}`}`);
  if (row[SIZE] !== null) lines.push(`${sizesText(row)}   ${countText(row[SYNOPS])} Bit-SynOps`);
  if (row.energy_mj !== null && row.energy_mj !== undefined) lines.push(`energy ${digits(1e3 * row.energy_mj)} µJ`);
  return lines;
}

/** An accuracy with its interval; `~` where a smaller or cheaper network may be as accurate. */
export const accuracyText = (row) =>
  percent(row[ACCURACY]) + (row.val_interval === null ? "" : ` ± ${fixed(row.val_interval, 1)}`) + (row.ties_with ? " ~" : "");

const tip = document.getElementById("tip");

/** Shows lines of text beside a place in the window. */
export function showTip(lines, x, y) {
  tip.replaceChildren(...lines.map((line, k) => element(k ? "span" : "strong", { textContent: line })));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const right = x + 14 + width < innerWidth - 8;
  tip.style.left = `${Math.max(8, right ? x + 14 : x - 14 - width)}px`;
  tip.style.top = `${Math.min(Math.max(8, y - height / 2), innerHeight - height - 8)}px`;
}

export function hideTip() {
  tip.hidden = true;
}

/** Joins a plotly figure to the tip and to what a click on a point does. `linesOf` gets the point's customdata. */
export function linkFigure(div, linesOf, onClick) {
  div.on("plotly_hover", ({ points, event }) => {
    const lines = linesOf(points[0]);
    if (lines) showTip(lines, event.clientX, event.clientY);
    div.classList.toggle("pointing", Boolean(lines && onClick));
  });
  div.on("plotly_unhover", () => {
    hideTip();
    div.classList.remove("pointing");
  });
  if (onClick) div.on("plotly_click", ({ points }) => points?.[0] && onClick(points[0]));
}
addEventListener("scroll", hideTip, { passive: true });
