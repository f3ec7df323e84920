// Numbers as the rest of the project writes them, and the few ways in which elements are made.

import { LABELS, UNITS } from "./look.js";

export const ACCURACY = "val_accuracy";
export const SIZE = "size_bits";
export const EQ18 = "model_size_bits";
export const FILE = "file_bits";
export const DENSE = "dense_bits";
export const SYNOPS = "bit_synops";

const SVG = "http://www.w3.org/2000/svg";

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Three digits that count and no exponent: 0.0123, 7.79, 46.0, 1234. */
export function digits(value) {
  if (!known(value)) return "";
  if (value === 0) return "0";
  const rounded = Math.abs(value) < 1000 ? Number(value.toPrecision(3)) : value;
  return rounded.toFixed(Math.min(20, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))))));
}

/** Four digits that count, short: 0.5, 1e-6, 80. */
export function general(value) {
  if (!known(value)) return "";
  const rounded = Number(value.toPrecision(4)), size = Math.abs(rounded);
  return size !== 0 && (size < 1e-4 || size >= 1e6) ? rounded.toExponential().replace("+", "") : String(rounded);
}

export const sizeUnit = (largest) => unit(UNITS.size, largest);
export const countUnit = (largest) => unit(UNITS.count, largest);
const unit = (units, largest) => (units.find(([, , least]) => largest >= least) ?? units.at(-1)).slice(0, 2);
export const fixed = (value, places) => (known(value) ? value.toFixed(places) : "");
export const percent = (value) => (known(value) ? `${value.toFixed(2)} %` : "");

export function sizeText(bits) {
  if (!known(bits)) return "";
  const [name, worth] = sizeUnit(bits);
  return `${digits(bits / worth)} ${name}`;
}

/** The packed file, with what the paper counts and all weights at the same bits; the second alone where the first is not known. */
export function sizesText(row) {
  const filed = known(row[FILE]);
  const others = [["Eq. 18", filed ? row[EQ18] : null], ["dense", row[DENSE]]].filter(([, bits]) => known(bits));
  const named = others.map(([name, bits]) => `${name} ${sizeText(bits)}`);
  return (filed ? `a file of ${sizeText(row[FILE])}` : sizeText(row[EQ18])) + (named.length ? ` (${named.join(", ")})` : "");
}

/** What the size of all these trials is: the packed file's, or the paper's (Eq. 18). */
export function sizeName(rows) {
  const sized = rows.filter((row) => known(row[SIZE]));
  return LABELS[sized.length && sized.every((row) => row[SIZE] === row[FILE]) ? FILE : EQ18];
}

export function countText(count) {
  if (!known(count)) return "";
  const [name, worth] = countUnit(count);
  return `${digits(count / worth)} ${name}`;
}

export const whole = (count) => count.toLocaleString("en");

export const words = (count, one, many = `${one}s`) => `${whole(count)} ${count === 1 ? one : many}`;

/** An element with properties, attributes (`aria-…`, `data-…`, `role` and the like) and children; text is never markup. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (key.includes("-") || ["role", "for", "colspan", "scope"].includes(key)) made.setAttribute(key, value);
    else if (key === "style") for (const [name, to] of Object.entries(value)) made.style.setProperty(name, to);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The same for a drawing. */
export function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Calls once things have been quiet for a while. */
export function debounced(work, pause) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), pause);
  };
}
