"""Points with their seeds taken together, and how sure each one's place on the front is.

A point's accuracy is the mean over its n finished seeds. Its interval joins two chances, which add in squares: that of training,
t · s / √n with the sample deviation s and Student's t for 90 % and n - 1 degrees of freedom, and that of the validation
samples, which all seeds share: the binomial interval of the mean. One seed tells nothing of the first. Size and Bit-SynOps are
means, taken as they are.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from litesnn.config import OPTIONAL_AXES
from tune.results.amounts import labels
from tune.results.front import front, on_front
from tune.results.intervals import INTERVAL, SAMPLES, half_width, surely_dominated, tie
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, DENSE, EQ18, FILE, OBJECTIVES, SIZE
from tune.storage.rows import FINISHED

SURE, UNSURE, POSSIBLE, NO = "sure", "unsure", "possible", "no"
"""Places on the front: on it, and nothing that costs less may be as accurate; on it, and something may; not on it, but not
dominated for sure either; dominated for sure."""

POINT_ACCURACY = "point_accuracy"
"""The mean accuracy of a network's point, in percent."""

_POINT = ["lambda1", "lambda2", "p"]
_MEANS = [ACCURACY, "test_accuracy", SIZE, FILE, EQ18, DENSE, BIT_SYNOPS, "energy_mj"]
_SEED = re.compile(r"-seed_\d+$")


def points(trials: pd.DataFrame) -> pd.DataFrame:
    """All points with their seeds taken together, most accurate first; no rows where none has two finished seeds.

    Returns:
        The columns of ``over_seeds``; which two-objective fronts a point is on; ``front``, one of the places above; and
        ``ties_with``, for an unsure point the smallest that costs less and may be as accurate.
    """
    keys, known = _by_point(trials)
    several = known[known["status"] == FINISHED].duplicated(keys).any()
    table = _placed(trials if several else trials.iloc[:0])
    return table if (table["seeds"] > 1).any() else table.iloc[:0]


def shown_front(trials: pd.DataFrame) -> pd.DataFrame:
    """The front to show: of points where one has several finished seeds, else of networks (``tune.results.front``)."""
    grouped = points(trials)
    return grouped[grouped["front"].isin((SURE, UNSURE))].reset_index(drop=True) if len(grouped) else front(trials)


def sure_networks(trials: pd.DataFrame) -> pd.DataFrame:
    """The finished networks of the sure points; with one seed for each, those of the front that tie with none.

    Returns:
        Rows of ``trials`` with a column ``point_accuracy``, points in order of accuracy and the most accurate of each first.
    """
    table = _placed(trials)
    sure = table[table["front"] == SURE].explode("trials").set_index("trials")[ACCURACY].rename(POINT_ACCURACY)
    named = trials.assign(label=labels(trials))
    return sure.to_frame().merge(named, left_index=True, right_on="label").drop(columns="label").reset_index(drop=True)


def over_seeds(trials: pd.DataFrame) -> pd.DataFrame:
    """The finished networks of every point taken together over its seeds.

    Returns:
        One row per point, and per experiment in a merged table, of which a trial finished: ``point``, its name; ``seeds``, how
        many finished; ``not_finished``, how many have not, or diverged or were stopped, and are not in the means;
        ``val_interval``, half the width of the accuracy's interval in percentage points, NaN where the number of validation
        samples is not known; for accuracies, sizes, Bit-SynOps and energy the mean under the column's own name and the sample
        standard deviation as ``<column>_deviation``, NaN for one seed; ``trials``, a list of names, the most accurate
        first. ``status`` is there too, so that ``front`` takes this table.
    """
    keys, known = _by_point(trials)
    order = known.sort_values([ACCURACY, SIZE, BIT_SYNOPS], ascending=[False, True, True], kind="stable")
    order = order[order["status"] == FINISHED].dropna(subset=list(OBJECTIVES))
    finished = order.assign(label=labels(order)).groupby(keys, sort=True)
    table = finished.size().rename("seeds").to_frame()
    names = finished["label"].agg(list)
    table.insert(0, "point", [_SEED.sub("", str(name)) for name in finished["trial"].first()])
    table["not_finished"] = known.groupby(keys).size().reindex(table.index) - table["seeds"]
    table["status"] = FINISHED
    for column in [name for name in _MEANS if name in known]:
        values = order[column].astype(float).groupby([order[key] for key in keys])
        table[column] = values.mean()
        table[f"{column}_deviation"] = values.std(ddof=1)
    if SAMPLES in known:
        table[SAMPLES] = finished[SAMPLES].min()
    table[INTERVAL] = np.hypot(_of_training(table), half_width(table))
    table["trials"] = names
    return table.reset_index()


def _by_point(trials: pd.DataFrame) -> tuple[list[str], pd.DataFrame]:
    """The columns that make a point, and the trials whose point is known; what a point leaves to the recipe is 0."""
    keys = [column for column in ("experiment", *_POINT, *OPTIONAL_AXES) if column in trials.columns]
    known = trials.dropna(subset=_POINT)
    stated = [column for column in OPTIONAL_AXES if column in known]
    return keys, known.assign(**known[stated].astype(float).fillna(0))


def _of_training(table: pd.DataFrame) -> np.ndarray:
    """Half the width of the interval that the spread over seeds alone gives, in percentage points; 0 for one seed."""
    seeds = table["seeds"].to_numpy(dtype=float)
    width = np.zeros(len(table))
    several = seeds > 1
    if several.any():
        from scipy.special import stdtrit  # takes long to load and is needed for this alone

        spread = table[f"{ACCURACY}_deviation"].to_numpy(dtype=float)[several]
        width[several] = stdtrit(seeds[several] - 1, 0.95) * spread / np.sqrt(seeds[several])
    return width


def _placed(trials: pd.DataFrame) -> pd.DataFrame:
    table = over_seeds(trials).sort_values([ACCURACY, SIZE], ascending=[False, True], ignore_index=True)
    table["on_size_front"], table["on_bit_synops_front"] = on_front(table, [SIZE]), on_front(table, [BIT_SYNOPS])
    mask = on_front(table, [SIZE, BIT_SYNOPS])
    # Among all points: one that another dominates may have the wider interval.
    table["ties_with"] = [tie(table, own) if on_it else "" for own, on_it in enumerate(mask)]
    outside = np.where(surely_dominated(table), NO, POSSIBLE)
    table["front"] = np.where(mask, np.where(table["ties_with"] == "", SURE, UNSURE), outside)
    first = [name for name in ("experiment", "point", "seeds", "not_finished", "front", "ties_with") if name in table]
    return table[[*first, *table.columns.difference(first, sort=False)]]
