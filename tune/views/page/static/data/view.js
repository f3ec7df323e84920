// What the reader has chosen to see. It lives in the address after the #, so that a view can be sent to somebody.

export const FILTERS = ["lambda1", "lambda2", "p", "channels", "bits", "timesteps", "status"];
export const TEXTS = new Set(["bits", "status"]); // whose values are texts; those of the others are numbers
const LIMITS = ["size", "synops", "accuracy"];

/** A view with nothing chosen. */
export function emptyView() {
  return {
    show: null, // names of experiments; null: what the page thinks best
    filters: {}, // column → {values: [...]} or {low, high}
    size: null, synops: null, accuracy: null, // limits
    published: null, // whether networks of the literature are drawn; null: as usual, in files that were made with them
    together: null, // whether the seeds of a point are one mark in the fronts; null: where there are several
    tab: "trials",
    trial: null, // key of the one whose panel is open
    selected: null, // key of the one that is ringed; not in the address
    sort: { column: null, down: true },
  };
}

export function readView(hash) {
  const view = emptyView();
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  if (given.has("show")) view.show = given.getAll("show");
  for (const column of FILTERS) {
    const text = given.get(column);
    if (text === null) continue;
    const range = /^(.*)\.\.(.*)$/.exec(text);
    if (range && !TEXTS.has(column)) {
      const [low, high] = [number(range[1]), number(range[2])];
      if (low !== null || high !== null) view.filters[column] = { low, high };
    } else {
      const values = text.split(",").filter(Boolean);
      const kept = TEXTS.has(column) ? values : values.map(Number).filter(Number.isFinite);
      view.filters[column] = { values: kept };
    }
  }
  for (const limit of LIMITS) view[limit] = number(given.get(limit));
  if (given.has("published")) view.published = given.get("published") === "1";
  if (given.has("together")) view.together = given.get("together") === "1";
  view.tab = given.get("tab") ?? view.tab;
  view.trial = given.get("trial");
  const sort = given.get("sort");
  if (sort) view.sort = { column: sort.replace(/^-/, ""), down: sort.startsWith("-") };
  return view;
}

export function writeView(view) {
  const given = new URLSearchParams();
  for (const name of view.show ?? []) given.append("show", name);
  for (const [column, { values, low, high }] of Object.entries(view.filters))
    given.set(column, values ? values.join(",") : `${low ?? ""}..${high ?? ""}`);
  for (const limit of LIMITS) if (view[limit] !== null) given.set(limit, String(view[limit]));
  if (view.published !== null) given.set("published", view.published ? "1" : "0");
  if (view.together !== null) given.set("together", view.together ? "1" : "0");
  if (view.tab !== "trials") given.set("tab", view.tab);
  if (view.trial !== null) given.set("trial", view.trial);
  if (view.sort.column !== null) given.set("sort", (view.sort.down ? "-" : "") + view.sort.column);
  const text = given.toString();
  return text ? `#${text}` : "";
}

function number(text) {
  const value = text === null || text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}
