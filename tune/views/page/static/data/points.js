// Points with their seeds taken together, which the figures can show in place of networks.

import { ACCURACY, SIZE, SYNOPS } from "./format.js";

/** Whether the experiments have a point with several finished seeds. */
export const hasSeeds = (experiments) => experiments.some(({ points }) => points.length);

/**
 * @param column what the experiments mean by size
 * @returns the points as rows of a table or a figure; each has the key of its most accurate network
 */
export function pointsOf({ name, points }, column = SIZE) {
  return points.map((point) => ({
    ...point, [SIZE]: point[column], experiment: name, source: point.experiment ?? name,
    trial: [point.experiment, point.point].filter(Boolean).join(" / "), // as trials of a merge are called
    status: "finished", reason: "", bits: null, timesteps: null,
    key: `${name}/${point.trials[0]}`, members: point.trials.map((trial) => `${name}/${trial}`), on_front: onFront(point),
  }));
}

const onFront = ({ front }) => front === "sure" || front === "unsure";

/** Whether all that costs less is less accurate by more than chance: the rule of `tune.results.intervals`. */
export const isSure = (own, rows) => !rows.some((other) =>
  other[SIZE] <= own[SIZE] && other[SYNOPS] <= own[SYNOPS] && (other[SIZE] < own[SIZE] || other[SYNOPS] < own[SYNOPS]) &&
  own.val_interval !== null && other.val_interval !== null && // nothing ties with what is not known
  own[ACCURACY] - other[ACCURACY] <= Math.hypot(own.val_interval, other.val_interval));
