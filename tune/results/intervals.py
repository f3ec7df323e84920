"""How far an accuracy is to be trusted, and which networks are on the front for sure.

An accuracy of n samples has the binomial interval ± 1.64 standard errors, 90 % of what chance does; half a sample at least may go
either way. That of a difference is the root of the sum of both squares. A network is on the front *for sure* if every network
that is as small and as cheap is less accurate by more than the interval of their difference. What is not for sure may be no
better than one that costs less: a tie. Networks are dominated *for sure* by one that is as small and as cheap and more
accurate by more than that interval. All of this holds for points over seeds (``tune.results.seeds``) with their own intervals.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tune.results.amounts import label
from tune.storage.objectives import ACCURACY, OBJECTIVES, Z, accuracy_variance

SAMPLES = "val_samples"
INTERVAL = "val_interval"


def half_width(trials: pd.DataFrame) -> np.ndarray:
    """Of the interval of each validation accuracy, in percentage points; NaN where it is not known of how many samples it is.

    What has an interval, as points do, keeps it.
    """
    unknown = np.full(len(trials), np.nan)
    given = trials[INTERVAL].to_numpy(dtype=float) if INTERVAL in trials else unknown
    samples = trials[SAMPLES].to_numpy(dtype=float) if SAMPLES in trials else unknown
    binomial = Z * np.sqrt(accuracy_variance(trials[ACCURACY].to_numpy(dtype=float), samples))
    return np.asarray(np.where(np.isnan(given), binomial, given))


def ties(front: pd.DataFrame) -> list[str]:
    """For each network of a front the one that ties with it and costs less, the smallest of several; else an empty text.

    Only networks of the front need be compared: what another dominates is nowhere better than that other.
    """
    return [tie(front, own) for own in range(len(front))]


def tie(networks: pd.DataFrame, own: int) -> str:
    """The same for the network at one position among any networks."""
    accuracy, size, count = (networks[name].to_numpy(dtype=float) for name in OBJECTIVES)
    width = half_width(networks)
    less = (size <= size[own]) & (count <= count[own]) & ((size < size[own]) | (count < count[own]))
    with np.errstate(invalid="ignore"):  # nothing ties with what is not known
        tied = np.flatnonzero(less & (accuracy[own] - accuracy <= np.hypot(width[own], width)))
    if not len(tied):
        return ""
    smallest = min(tied.tolist(), key=lambda other: (size[other], count[other]))
    return label(networks.iloc[smallest])


def surely_dominated(networks: pd.DataFrame) -> np.ndarray:
    """Which networks another one dominates for sure; booleans ``[N]``, False where an interval is not known."""
    accuracy, size, count = (networks[name].to_numpy(dtype=float) for name in OBJECTIVES)
    width = half_width(networks)
    return np.array(
        [
            (
                (size <= size[own]) & (count <= count[own]) & (accuracy - accuracy[own] > np.hypot(width[own], width))
            ).any()
            for own in range(len(networks))
        ],
        dtype=bool,
    )
