// Three sliders, for the largest size, the most Bit-SynOps and the least accuracy, and the network that they lead to.

import { ACCURACY, SIZE, SYNOPS, countText, countUnit, digits, element, percent, sizeText, sizeUnit, sizesText } from "../data/format.js";
import { isWhole } from "../data/model.js";

const STEPS = 400; // of a log slider; the last one is no limit
const SLIDERS = [
  { limit: "size", column: SIZE, label: "Largest size", text: sizeText, log: true },
  { limit: "synops", column: SYNOPS, label: "Most Bit-SynOps", text: countText, log: true },
  { limit: "accuracy", column: ACCURACY, label: "Least accuracy", text: (value) => `${value.toFixed(1)} %`, log: false },
];

/**
 * @param {(limit: string, value: number | null) => void} choose
 * @param {() => void} clear
 * @param {(key: string) => void} open
 */
export function makeLimits(choose, clear, open) {
  const place = document.getElementById("sliders"), taken = document.getElementById("taken");
  const sliders = SLIDERS.map((kind) => {
    const id = `limit-${kind.limit}`;
    const input = element("input", { type: "range", id, min: "0", max: String(STEPS), step: "1" });
    const output = element("output", { for: id });
    const slider = { ...kind, input, output, low: 1, high: 10 };
    input.addEventListener("input", () => choose(kind.limit, valueAt(slider)));
    place.append(element("div", { className: "slider" }, element("label", { for: id, textContent: kind.label }), output, input));
    return slider;
  });
  const name = element("button", { type: "button", className: "link", id: "taken-name" });
  const figures = element("span", { className: "figures" });
  const excess = element("span", { className: "excess" });
  const reset = element("button", { type: "button", className: "plain", textContent: "Reset limits", id: "reset-limits" });
  const lead = element("span", { className: "lead" });
  name.addEventListener("click", () => name.dataset.key && open(name.dataset.key));
  reset.addEventListener("click", clear);
  taken.append(lead, name, figures, excess, reset);

  function render(model, view) {
    const rows = model.all.filter(isWhole);
    for (const slider of sliders) setRange(slider, rows, view[slider.limit]);
    const { row, excess: broken } = model.taken;
    name.hidden = row === null;
    lead.textContent = row === null ? "No network has finished yet." : broken.length ? "No network fits; nearest:" : "Take";
    if (row !== null) {
      name.textContent = model.several ? `${row.experiment} / ${row.trial}` : row.trial;
      name.dataset.key = row.key;
    }
    figures.textContent = row === null ? "" : [
      percent(row[ACCURACY]), sizesText(row), `${countText(row[SYNOPS])} Bit-SynOps`, `T ${row.timesteps}`, `bits ${row.bits}`,
    ].join(" · ");
    excess.textContent = broken.map(excessText).join("; ");
    reset.hidden = sliders.every(({ limit }) => view[limit] === null);
  }
  return { render };
}

function setRange(slider, rows, value) {
  const found = rows.map((row) => row[slider.column]).filter((v) => v > 0);
  let low = Infinity, high = -Infinity;
  for (const v of found) {
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  if (low > high) [low, high] = slider.log ? [1e3, 1e6] : [0, 100];
  if (slider.log) {
    slider.low = low / 1.1;
    slider.high = Math.max(high * 1.1, slider.low * 2);
  } else {
    slider.low = Math.max(0, Math.floor(low) - 1);
    slider.high = 100;
    slider.input.max = String(Math.round((slider.high - slider.low) * 10));
  }
  const { input, output, limit } = slider;
  input.disabled = found.length === 0;
  const free = slider.log ? Number(input.max) : 0;
  const at = value === null ? free : positionOf(slider, value);
  if (document.activeElement !== input || Number(input.value) !== at) input.value = String(at);
  const words = value === null ? "any" : `${limit === "accuracy" ? "≥" : "≤"} ${slider.text(value)}`;
  output.textContent = words;
  input.setAttribute("aria-valuetext", words);
  input.style.setProperty("--share", `${(100 * Number(input.value)) / Number(input.max)}%`);
}

/** What the slider says where it stands now: exactly the number that is shown, so that the command line can be given it. */
function valueAt(slider) {
  const at = Number(slider.input.value);
  if (!slider.log) return at === 0 ? null : Math.round(10 * slider.low + at) / 10;
  if (at === STEPS) return null;
  const raw = slider.low * (slider.high / slider.low) ** (at / (STEPS - 1));
  const [, worth] = (slider.limit === "size" ? sizeUnit : countUnit)(raw);
  return Number(digits(raw / worth)) * worth;
}

function positionOf(slider, value) {
  if (!slider.log) return Math.round((value - slider.low) * 10);
  const share = Math.log(value / slider.low) / Math.log(slider.high / slider.low);
  return Math.round(Math.min(Math.max(share, 0), 1) * (STEPS - 1));
}

/** 0.71 MB, 18 % above 0.60 MB: the words of the command. */
function excessText([column, value, limit]) {
  if (column === ACCURACY) return `accuracy ${percent(value)}, ${digits(limit - value)} points below ${limit} %`;
  const text = column === SIZE ? sizeText : (count) => `${countText(count)} Bit-SynOps`;
  return `${text(value)}, ${digits((100 * (value - limit)) / limit)} % above ${text(limit)}`;
}
