"""Pareto fronts of accuracy (larger is better) against model size and Bit-SynOps (smaller is better)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

ACCURACY = "val_accuracy"  # selection sees the validation split only
SIZE = "model_size_bits"
BIT_SYNOPS = "bit_synops"


def non_dominated(costs: np.ndarray) -> np.ndarray:
    """Which rows no other row dominates.

    A row dominates another if it is nowhere larger and somewhere smaller; equal rows do not dominate each other.

    Args:
        costs: ``[N, D]``, every column to be minimised, no NaN.

    Returns:
        Booleans ``[N]``.
    """
    costs = np.asarray(costs, dtype=float)
    order = np.lexsort(costs.T[::-1])  # nobody is dominated by a row that comes later in this order
    kept = np.empty((0, costs.shape[1]))
    mask = np.zeros(len(costs), dtype=bool)
    for i in order:
        row = costs[i]
        dominated = np.any(np.all(kept <= row, axis=1) & np.any(kept < row, axis=1))
        if not dominated:
            mask[i] = True
            kept = np.vstack([kept, row])
    return mask


def on_front(trials: pd.DataFrame, smaller: Sequence[str]) -> np.ndarray:
    """Which finished trials lie on the front of accuracy against ``smaller``.

    Args:
        trials: the table of ``tune.store``; trials that did not finish are never on a front.
        smaller: columns to be minimised.

    Returns:
        Booleans, one per row of ``trials``.
    """
    finished = (trials["status"] == "finished").to_numpy()
    chosen = trials.loc[finished, [ACCURACY, *smaller]].to_numpy(dtype=float)
    mask = np.zeros(len(trials), dtype=bool)
    mask[finished] = non_dominated(chosen * np.array([-1.0] + [1.0] * len(smaller)))
    return mask


def front(trials: pd.DataFrame) -> pd.DataFrame:
    """The front in all three objectives, most accurate first.

    Returns:
        Rows of ``trials`` with two more columns that say on which two-objective front a network lies as well.
    """
    chosen = trials.assign(
        on_size_front=on_front(trials, [SIZE]),
        on_bit_synops_front=on_front(trials, [BIT_SYNOPS]),
    )[on_front(trials, [SIZE, BIT_SYNOPS])]
    return chosen.sort_values([ACCURACY, SIZE], ascending=[False, True], ignore_index=True)
