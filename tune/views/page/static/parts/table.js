// A table of trials: sorted by any column, shown in pages, worked by keys, each row a way into the figures and the panel.

import { element, words } from "../data/format.js";
import { slot } from "../data/model.js";

const PAGE = 50;

/**
 * @param place where the table goes
 * @param {{id: string, label: string, empty: string, one?: string}} names `one` is what a row is called
 * @param {{sort(column: string): void, select(key: string): void, open(key: string): void}} act
 * @returns a table whose columns are [key, title, text of a row, class, value that is sorted by]
 */
export function makeTable(place, names, act) {
  const head = element("tr", {}), body = element("tbody", {});
  const table = element("table", { role: "grid", id: names.id, "aria-label": names.label }, element("thead", {}, head), body);
  const before = element("button", { type: "button", className: "plain", textContent: "‹ Back", "aria-label": "Page before" });
  const after = element("button", { type: "button", className: "plain", textContent: "Next ›", "aria-label": "Next page" });
  const where = element("span", { className: "where", role: "status" });
  place.append(
    element("div", { className: "wide" }, table),
    element("div", { className: "pager" }, where, before, after),
  );
  const { one = "trial" } = names;
  let page = 0, rows = [], drawn = null, order = [], selected = null, shownColumns = [];

  before.addEventListener("click", () => turn(page - 1));
  after.addEventListener("click", () => turn(page + 1));
  head.addEventListener("click", ({ target }) => {
    const column = target.closest("button")?.dataset.column;
    if (column) act.sort(column);
  });
  body.addEventListener("click", ({ target }) => {
    const key = target.closest("tr")?.dataset.key;
    if (key) act.open(key);
  });
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    if (!row) return;
    if (event.key === "Enter" || event.key === " ") act.open(row.dataset.key);
    else {
      const at = page * PAGE + [...body.rows].indexOf(row);
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1, PageDown: at + PAGE, PageUp: at - PAGE }[event.key];
      if (to === undefined) return;
      focusRow(Math.min(Math.max(to, 0), rows.length - 1));
    }
    event.preventDefault();
  });

  /**
   * @param given rows in the order that holds without a sorting
   * @param columns as above
   * @param {{column: string | null, down: boolean}} sort
   * @param {string} version the same as long as rows and columns are
   */
  function render(given, columns, sort, version, chosen) {
    const sorting = JSON.stringify([sort.column, sort.down]);
    if (order[0] !== version || order[1] !== sorting) {
      if (order[1] !== sorting) page = 0;
      order = [version, sorting];
      rows = sorted(given, columns, sort);
      page = Math.min(page, Math.max(0, Math.ceil(rows.length / PAGE) - 1));
      paintHead(columns, sort);
      drawn = null;
    }
    if (chosen !== selected) {
      selected = chosen;
      const at = rows.findIndex((row) => row.key === selected);
      if (at >= 0) page = Math.floor(at / PAGE);
    }
    shownColumns = columns;
    paintBody();
  }

  function paintHead(columns, sort) {
    const focused = head.contains(document.activeElement) ? document.activeElement.dataset.column : null;
    head.replaceChildren(...columns.map(([column, title, , kind]) =>
      element("th", {
        scope: "col", className: kind ?? "",
        "aria-sort": column === sort.column ? (sort.down ? "descending" : "ascending") : null,
      }, element("button", { type: "button", textContent: title, "data-column": column }))));
    if (focused) head.querySelector(`[data-column="${CSS.escape(focused)}"]`)?.focus();
  }

  function paintBody() {
    const now = JSON.stringify([page, selected]);
    if (now === drawn) return;
    drawn = now;
    const focused = body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const shown = rows.slice(page * PAGE, (page + 1) * PAGE);
    const entry = shown.some((row) => row.key === selected) ? selected : shown[0]?.key;
    body.replaceChildren(...shown.map((row) => {
      const made = element("tr", {
        "data-key": row.key, tabIndex: row.key === entry ? 0 : -1, "aria-selected": String(row.key === selected),
        className: row.on_front ? "front" : "",
      });
      made.append(...shownColumns.map(([column, , text, kind]) => {
        const cell = element("td", { className: kind ?? "", textContent: text(row) });
        if (column === "status") cell.dataset.state = row.status;
        if (column === "trial") cell.style.setProperty("--own", `var(--series-${slot(row.experiment)})`);
        return cell;
      }));
      return made;
    }));
    if (focused) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    const last = Math.min(rows.length, (page + 1) * PAGE);
    where.textContent = rows.length === 0 ? names.empty
      : rows.length <= PAGE ? words(rows.length, one) : `${page * PAGE + 1}–${last} of ${words(rows.length, one)}`;
    before.hidden = after.hidden = rows.length <= PAGE;
    before.disabled = page === 0;
    after.disabled = last >= rows.length;
  }

  function turn(to) {
    page = to;
    paintBody();
  }

  function focusRow(at) {
    if (at < 0) return;
    page = Math.floor(at / PAGE);
    act.select(rows[at].key);
    paintBody();
    body.querySelector(`[data-key="${CSS.escape(rows[at].key)}"]`)?.focus();
  }

  /** Gives the focus to a trial's row, if it is on the page shown; whether it could. */
  function focus(key) {
    const row = body.querySelector(`[data-key="${CSS.escape(key)}"]`);
    row?.focus();
    return row !== null;
  }
  return { render, focus };
}

/** A table that keeps its sorting to itself; that of the trials is in the address. */
export function makeOwnTable(place, names, act) {
  let sort = { column: null, down: true }, last = null;
  const table = makeTable(place, names, {
    ...act,
    sort(column) {
      sort = { column, down: sort.column === column ? !sort.down : true };
      render(...last);
    },
  });
  function render(rows, columns, version, chosen) {
    last = [rows, columns, version, chosen];
    table.render(rows, columns, sort, version, chosen);
  }
  return { render };
}

/** Sorted copies; what is missing comes last in both directions. */
function sorted(rows, columns, { column, down }) {
  const found = columns.find(([key]) => key === column);
  if (!found) return rows;
  const valueOf = found[4] ?? ((row) => row[column]);
  const sign = down ? -1 : 1, missing = (v) => v === null || v === undefined || v === "";
  const order = new Intl.Collator("en", { numeric: true });
  return rows
    .map((row) => [valueOf(row), row])
    .sort(([a], [b]) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b);
      return (typeof a === "string" ? order.compare(a, b) : a - b) * sign;
    })
    .map(([, row]) => row);
}
