"""Pareto fronts and hypervolume of accuracy (larger is better), size and Bit-SynOps (smaller is better)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import moocore
import numpy as np
import pandas as pd

from tune.results.intervals import half_width, ties
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, SIZE, Reference
from tune.storage.rows import FINISHED


def worst(references: Iterable[Reference]) -> Reference:
    """The corner that is nowhere better than any of the given ones."""
    all_of_them = list(references)
    return Reference(
        accuracy=min(r.accuracy for r in all_of_them),
        size_bits=max(r.size_bits for r in all_of_them),
        bit_synops=max(r.bit_synops for r in all_of_them),
    )


def non_dominated(costs: np.ndarray) -> np.ndarray:
    """Which rows no other row dominates.

    A row dominates another if it is nowhere larger and somewhere smaller; equal rows do not dominate each other.

    Args:
        costs: ``[N, D]``, every column to be minimised, no NaN; infinite values are allowed.

    Returns:
        Booleans ``[N]``.
    """
    costs = np.asarray(costs, dtype=float)
    # Only the order counts; moocore 0.3 crashes on infinite values in three columns and errs on them in four.
    ranks = [np.unique(column, return_inverse=True)[1] for column in costs.T]
    return moocore.is_nondominated(np.column_stack(ranks).astype(float), keep_weakly=True)


def on_front(trials: pd.DataFrame, smaller: Sequence[str]) -> np.ndarray:
    """Which finished trials lie on the front of accuracy against ``smaller``.

    Args:
        trials: the table of ``tune.storage.store``, or of ``over_seeds``; trials that did not finish, or lack one of the
            figures, are never on a front.
        smaller: columns to be minimised.

    Returns:
        Booleans, one per row of ``trials``.
    """
    costs, eligible = _costs(trials, smaller)
    mask = np.zeros(len(trials), dtype=bool)
    mask[eligible] = non_dominated(costs[eligible])
    return mask


def front(trials: pd.DataFrame) -> pd.DataFrame:
    """The front in all three objectives, most accurate first.

    Returns:
        Rows of ``trials`` with columns that say on which two-objective front a network lies as well, ``val_interval``, half the
        width of its accuracy's interval in points, and ``ties_with``, a network that costs less and may be as accurate
        (``tune.results.intervals``); that is empty for what is on the front for sure.
    """
    chosen = trials.assign(
        on_size_front=on_front(trials, [SIZE]),
        on_bit_synops_front=on_front(trials, [BIT_SYNOPS]),
    )[on_front(trials, [SIZE, BIT_SYNOPS])]
    chosen = chosen.sort_values([ACCURACY, SIZE], ascending=[False, True], ignore_index=True)
    return chosen.assign(val_interval=half_width(chosen), ties_with=ties(chosen) if "trial" in chosen else "")


def hypervolume(trials: pd.DataFrame, reference: Reference, smaller: Sequence[str] = (SIZE, BIT_SYNOPS)) -> float:
    """What the finished networks dominate of the space between them and the reference.

    Minimised are (100 - accuracy) / 100, log10 of size and log10 of Bit-SynOps, counts below 1 taken as 1. The unit is
    accuracy share × decades of size × decades of Bit-SynOps: twice the worth is, say, a front that is as accurate with
    networks of twice as many decades below the reference. A network that is not better than the reference in every
    objective adds nothing.

    Args:
        trials: the table of ``tune.storage.store``.
        reference: the worst corner.
        smaller: which costs count beside accuracy: both, or one of them for the area of a two-objective front.
    """
    costs, eligible = _costs(trials, smaller)
    points = _scaled(costs[eligible])
    corner = _scaled(np.array([[-reference.accuracy, *(getattr(reference, column) for column in smaller)]]))[0]
    inside = points[(points < corner).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=corner)) if len(inside) else 0.0


def _costs(trials: pd.DataFrame, smaller: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Costs ``[N, 1 + len(smaller)]``, accuracy negated, and which rows are finished and complete ``[N]``."""
    costs = trials[[ACCURACY, *smaller]].to_numpy(dtype=float) * np.array([-1.0] + [1.0] * len(smaller))
    return costs, (trials["status"] == FINISHED).to_numpy(dtype=bool) & ~np.isnan(costs).any(axis=1)


def _scaled(costs: np.ndarray) -> np.ndarray:
    """Costs in the units of the hypervolume: error share, then decades."""
    return np.column_stack([(100 + costs[:, 0]) / 100, np.log10(np.maximum(costs[:, 1:], 1))])
