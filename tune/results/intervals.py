"""How far an accuracy is to be trusted, and which networks are on the front for sure.

An accuracy of n samples has the binomial interval ± 1.64 standard errors, 90 % of what chance does; half a sample at least may go
either way. A network is on the front *for sure* if every network that is as small and as cheap is less accurate by
more than the interval of their difference. What is not for sure may be no better than one that costs less: a tie.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tune.results.amounts import label
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, SIZE, Z, accuracy_variance

SAMPLES = "val_samples"
TIED = "a smaller or cheaper network may be as accurate"


def variance(trials: pd.DataFrame) -> np.ndarray:
    """Of each accuracy, in percent squared; NaN where it is not known of how many samples it is."""
    samples = trials[SAMPLES].to_numpy(dtype=float) if SAMPLES in trials else np.full(len(trials), np.nan)
    return accuracy_variance(trials[ACCURACY].to_numpy(dtype=float), samples)


def half_width(trials: pd.DataFrame) -> np.ndarray:
    """Of the interval of each validation accuracy, in percentage points; NaN where it is not known."""
    return np.asarray(Z * np.sqrt(variance(trials)))


def ties(front: pd.DataFrame) -> list[str]:
    """For each network of a front the trial that ties with it and costs less, the smallest of several; else an empty text.

    Only networks of the front need be compared: what another dominates is nowhere better than that other.
    """
    spread = variance(front)
    return [_tie(front, own, spread) for own in range(len(front))]


def tie(networks: pd.DataFrame, own: int) -> str:
    """The same for the network at one position among any networks."""
    return _tie(networks, own, variance(networks))


def _tie(networks: pd.DataFrame, own: int, spread: np.ndarray) -> str:
    accuracy, size, count = (networks[name].to_numpy(dtype=float) for name in (ACCURACY, SIZE, BIT_SYNOPS))
    less = (size <= size[own]) & (count <= count[own]) & ((size < size[own]) | (count < count[own]))
    with np.errstate(invalid="ignore"):  # nothing ties with what is not known
        tied = np.flatnonzero(less & (accuracy[own] - accuracy <= Z * np.sqrt(spread[own] + spread)))
    if not len(tied):
        return ""
    smallest = min(tied.tolist(), key=lambda other: (size[other], count[other]))
    return label(networks.iloc[smallest])
