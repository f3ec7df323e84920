// Filters on what trials differ in: a menu each, of boxes where there are few values, else of a range.

import { element, general } from "../data/format.js";
import { FILTERS, TEXTS } from "../data/view.js";

const NAMES = { lambda1: "λ1", lambda2: "λ2", p: "p", channels: "C", bits: "bits", timesteps: "T", status: "state" };
const FEW = 12;

/** @param {(column: string, filter: object | null) => void} choose */
export function makeFilters(choose, clear) {
  const place = document.getElementById("filters");
  const menus = new Map();
  for (const column of FILTERS) {
    const summary = element("summary", {});
    const drop = element("div", { className: "drop" });
    const menu = element("details", { className: "menu", "data-filter": column }, summary, drop);
    menu.addEventListener("toggle", () => {
      if (menu.open) for (const other of menus.values()) if (other.menu !== menu) other.menu.open = false;
    });
    menus.set(column, { menu, summary, drop, built: "" });
    place.append(menu);
  }
  const reset = element("button", { type: "button", className: "plain", textContent: "Reset filters", id: "reset-filters" });
  reset.addEventListener("click", clear);
  place.append(reset);
  document.addEventListener("click", ({ target }) => {
    for (const { menu } of menus.values()) if (menu.open && !menu.contains(target)) menu.open = false;
  });
  place.addEventListener("keydown", (event) => {
    const menu = event.target.closest("details[open]");
    if (event.key !== "Escape" || !menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
    event.stopPropagation();
  });

  let drawn = null;
  function render(model, view) {
    if (drawn === model.rowsVersion) return;
    drawn = model.rowsVersion;
    for (const [column, parts] of menus) {
      const filter = view.filters[column] ?? null;
      const values = [...new Set(model.all.map((row) => row[column]).filter((value) => value !== null))];
      values.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      parts.menu.hidden = values.length < 2 && filter === null && column !== "status";
      parts.summary.textContent = `${NAMES[column]}: ${said(filter, values)}`;
      parts.menu.classList.toggle("active", filter !== null);
      const few = TEXTS.has(column) || (values.length <= FEW && !(filter && !filter.values));
      const key = few ? JSON.stringify(values) : "range";
      if (parts.built !== key) {
        parts.built = key;
        parts.drop.replaceChildren(...(few ? boxes(column, values) : range(column)));
      }
      if (few) for (const box of parts.drop.querySelectorAll("input")) box.checked = filter === null || filter.values.includes(box.of);
      else
        for (const field of parts.drop.querySelectorAll("input")) {
          const bound = filter?.[field.name] ?? null;
          if (document.activeElement !== field) field.value = bound === null ? "" : String(bound);
          const found = field.name === "low" ? values[0] : values.at(-1);
          field.placeholder = general(found);
        }
    }
    reset.hidden = Object.keys(view.filters).length === 0;
  }

  function boxes(column, values) {
    const inputs = values.map((value) => {
      const box = element("input", { type: "checkbox" });
      box.of = value;
      return element("label", {}, box, TEXTS.has(column) ? value : general(value) + (column === "p" ? " %" : ""));
    });
    const all = inputs.map((label) => label.firstChild);
    for (const box of all)
      box.addEventListener("change", () => {
        const kept = all.filter((other) => other.checked).map((other) => other.of);
        choose(column, kept.length === all.length ? null : { values: kept });
      });
    return inputs;
  }

  function range(column) {
    const fields = [["low", "from"], ["high", "to"]].map(([name, text]) => {
      const field = element("input", { type: "number", step: "any", name, inputMode: "decimal" });
      return [field, element("label", { className: "bound" }, text, field)];
    });
    const read = (field) => (field.value.trim() === "" || Number.isNaN(field.valueAsNumber) ? null : field.valueAsNumber);
    for (const [field] of fields)
      field.addEventListener("input", () => {
        const [low, high] = fields.map(([f]) => read(f));
        choose(column, low === null && high === null ? null : { low, high });
      });
    return fields.map(([, label]) => label);
  }

  return { render };
}

function said(filter, values) {
  if (filter === null) return "all";
  if (!filter.values) return `${filter.low === null ? "" : general(filter.low)}–${filter.high === null ? "" : general(filter.high)}`;
  if (!filter.values.length) return "none";
  const shown = filter.values.map((value) => (typeof value === "string" ? value : general(value)));
  return shown.length <= 2 ? shown.join(", ") : `${shown.length} of ${values.length}`;
}
