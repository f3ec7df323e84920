// Bars around the accuracies of points over seeds. The axis is that of the error, and has no place for none.

import { ACCURACY } from "../data/format.js";
import { errorOf, paint } from "./paint.js";

const NEVER = 1e-6; // percent of error, beyond any axis

const lowest = (row) => Math.min(100, 100 - row[ACCURACY] + row.val_interval);
const isKnown = ({ val_interval: width }) => width !== null;

/** The errors at the ends of the bars; at the upper end no less than half of the smallest error, so that they do not widen the axis much. */
export function intervalEnds(rows, errors) {
  const least = errors.reduce((low, error) => Math.min(low, error), Infinity) / 2;
  return rows.filter(isKnown).flatMap((row) => [lowest(row), Math.max(least, 100 - row[ACCURACY] - row.val_interval)]);
}

/** The bars as plotly draws them. */
export function intervals(rows, { column, axes: { worth, zero } }, series) {
  const known = rows.filter(isKnown), at = known.map((row) => errorOf(row[ACCURACY], zero)), color = paint("interval", series);
  return {
    type: "scatter", mode: "markers", hoverinfo: "skip", name: "interval", customdata: [], marker: { opacity: 0, size: 1, color },
    x: known.map((row) => row[column] / worth), y: at,
    error_y: {
      type: "data", symmetric: false, color, thickness: 1.6, width: 3,
      array: known.map((row, k) => lowest(row) - at[k]),
      arrayminus: known.map((row, k) => Math.min(row.val_interval, at[k] - NEVER)),
    },
  };
}
