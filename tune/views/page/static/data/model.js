// From what the server knows and what the reader chose to what is drawn: rows, fronts, the network to take.

import { ACCURACY, EQ18, FILE, SIZE, SYNOPS } from "./format.js";
import { hasSeeds, pointsOf } from "./points.js";

export const FINISHED = "finished";
const COLOURS = 8; // --series-0 … in the style sheet
const slots = new Map(); // experiment → its colour, kept while the page is open

/** Everything the parts of the page draw from. */
export function buildModel(store, view) {
  const names = shownNames(store, view);
  names.forEach((name, k) => {
    const before = names.slice(0, k).map((other) => slots.get(other));
    if (!slots.has(name) || before.includes(slots.get(name))) slots.set(name, freeSlot(names));
  });
  const experiments = names.filter((name) => store.loaded.has(name)).map((name) => store.loaded.get(name));
  const size = commonSize(experiments);
  const all = experiments.flatMap(({ trials }) => (size === SIZE ? trials : trials.map((row) => ({ ...row, [SIZE]: row[size] }))));
  const rows = all.filter((row) => passes(row, view.filters));
  const byKey = new Map(all.map((row) => [row.key, row]));
  const points = hasSeeds(experiments) && (view.together ?? true) ? experiments.flatMap((one) => pointsOf(one, size)) : [];
  const dataVersion = JSON.stringify(experiments.map(({ name, version }) => [name, version]));
  return {
    names, experiments, all, rows, byKey, dataVersion,
    ...marksOf(all, rows, points),
    rowsVersion: dataVersion + JSON.stringify(view.filters), // the same as long as the rows are
    several: names.length > 1,
    searched: experiments.some(isSearched),
    taken: pick(rows, view),
  };
}

/** What is the size of all; where the experiments mean different things by it, what everybody has: the file, else Eq. 18. */
function commonSize(experiments) {
  if (new Set(experiments.map(({ recipe }) => recipe?.size ?? "eq18")).size < 2) return SIZE;
  const known = experiments.every(({ trials }) => trials.every((row) => row.status !== FINISHED || row[FILE] !== null));
  return known ? FILE : EQ18;
}

/**
 * What stands in the fronts' figures: trials, and points in place of their finished networks.
 *
 * @returns allMarks; marks, of which a trial passes the filters; markOf, by the key of a trial; together: whether points are there
 */
function marksOf(all, rows, points) {
  const markOf = new Map(all.map((row) => [row.key, row]));
  for (const point of points) for (const key of point.members) markOf.set(key, point);
  const standing = (trials) => [...new Set(trials.map(({ key }) => markOf.get(key)))];
  return { allMarks: standing(all), marks: standing(rows), markOf, together: points.length > 0 };
}

/** Which experiments are shown: those asked for, else one that runs, else the first. */
export function shownNames(store, view) {
  const names = [...store.experiments.keys()].sort();
  const asked = (view.show ?? []).filter((name) => store.experiments.has(name));
  if (asked.length || view.show?.length === 0) return asked;
  const running = names.find((name) => store.experiments.get(name).states.unfinished);
  const full = names.find((name) => Object.keys(store.experiments.get(name).states).length);
  return [running ?? full ?? names[0]].filter(Boolean);
}

export const slot = (name) => (slots.get(name) ?? 0) % COLOURS;

function freeSlot(names) {
  const taken = new Set(names.map((name) => slots.get(name)));
  let free = 0;
  while (taken.has(free)) free++;
  return free;
}

function passes(row, filters) {
  for (const column in filters) {
    const { values, low, high } = filters[column], value = row[column];
    if (values ? !values.includes(value) : value === null || (low !== null && value < low) || (high !== null && value > high))
      return false;
  }
  return true;
}

/** Whether an experiment's networks come from a search, so that λ says something; earlier versions had no other strategy. */
export const isSearched = ({ recipe }) => (recipe?.strategy ?? "darts") === "darts";

export const isWhole = (row) =>
  row.status === FINISHED && row[ACCURACY] !== null && row[SIZE] !== null && row[SYNOPS] !== null;

/**
 * The most accurate finished network within the limits, of equals the smaller; where none fits, the one whose worst excess,
 * as a share of the limit, is smallest. The same rule as that of `pareto.py pick`.
 *
 * @returns {row, excess: [[column, value, limit], …]}; row is null where nothing has finished.
 */
export function pick(rows, { size, synops, accuracy }) {
  const limits = [[SIZE, size, 1], [SYNOPS, synops, 1], [ACCURACY, accuracy || null, -1]].filter(([, limit]) => limit !== null);
  const order = rows
    .filter(isWhole)
    .map((row) => [Math.max(0, ...limits.map(([column, limit, sign]) => (sign * (row[column] - limit)) / limit)), row])
    .sort(([a, left], [b, right]) =>
      a - b || right[ACCURACY] - left[ACCURACY] || left[SIZE] - right[SIZE] || left[SYNOPS] - right[SYNOPS]);
  if (!order.length) return { row: null, excess: [] };
  const row = order[0][1];
  const excess = limits.filter(([column, limit, sign]) => sign * (row[column] - limit) > 0);
  return { row, excess: excess.map(([column, limit]) => [column, row[column], limit]) };
}

/** The front of accuracy against one column among finished rows, in the order of that column. Equal networks stay. */
export function frontOf(rows, column) {
  const order = rows
    .filter((row) => row.status === FINISHED && row[ACCURACY] !== null && row[column] !== null)
    .sort((a, b) => a[column] - b[column] || b[ACCURACY] - a[ACCURACY]);
  const front = [];
  for (const row of order) {
    const last = front.at(-1);
    const equal = last && last[column] === row[column] && last[ACCURACY] === row[ACCURACY];
    if (!last || row[ACCURACY] > last[ACCURACY] || equal) front.push(row);
  }
  return front;
}
