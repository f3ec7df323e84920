"""How long a run of families still takes: what epochs its trials have, at which C and T, is known beforehand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import nnls

from litesnn.config import Recipe
from tune.plan.points import Trial
from tune.watching.estimate import Warming

_BESIDE = 1.0
"""Seconds that a trial is expected to take beside its epochs until one has ended: it starts, is tested and packed."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a trial is going to do.

    Args:
        epochs: of its retraining.
        size: C · T, which the time of an epoch grows with.
    """

    epochs: int
    size: int


def plans(trials: Sequence[Trial], parents: Collection[str], recipe: Recipe) -> dict[str, Plan]:
    """Plans of trials of a hand-written cell by name, of which ``parents`` names those that start from trained weights."""
    return {
        trial.name: Plan(
            epochs=recipe.warm_epochs if trial.name in parents else recipe.retrain_epochs,
            size=(trial.point.channels or recipe.retrain_channels) * (trial.point.held_timesteps or recipe.timesteps),
        )
        for trial in trials
    }


class Planned:
    """Seconds that a run of such trials still takes: an epoch takes a + b · C · T, and a trial its epochs and a constant.

    Args:
        plans: of every trial of the run, by name.
        slots: how many of them run at once.
    """

    def __init__(self, plans: Mapping[str, Plan], slots: int) -> None:
        self.plans, self.slots = plans, max(1, slots)
        self._warming = Warming(self.slots)
        self._seconds: dict[int, list[float]] = defaultdict(list)
        self._of_trial: dict[str, float] = defaultdict(float)
        self._beside: list[float] = []
        self._left = dict(plans)

    def epoch(self, trial: str, phase: str, seconds: float) -> None:
        """An epoch of some trial is over."""
        self._of_trial[trial] += seconds
        if self._warming.measures(seconds) and trial in self.plans:
            self._seconds[self.plans[trial].size].append(seconds)

    def end(self, trial: str, seconds: float) -> None:
        """A trial is over that took so many seconds in all."""
        self._left.pop(trial, None)
        if seconds and trial in self._of_trial:
            self._beside.append(max(0.0, seconds - self._of_trial[trial]))

    def remaining(self, waiting: int, running: Mapping[str, Mapping[str, Any]]) -> float | None:
        """As ``Estimate.remaining``; it knows which trials wait, so their number says nothing new."""
        if not self._seconds:
            return None
        beside = median(self._beside) if self._beside else _BESIDE
        done = {name: int(record.get("epoch", 0)) for name, record in running.items()}
        names = list(self._left)
        epochs = np.array([max(0, self._left[name].epochs - done.get(name, 0)) for name in names])
        return (
            float(epochs @ self._expected(self._left[name].size for name in names) + beside * len(names)) / self.slots
        )

    def _expected(self, sizes: Iterable[int]) -> np.ndarray:
        """Seconds of an epoch at each size; in proportion to the size where only one has been seen."""
        seen = {size: median(seconds) for size, seconds in self._seconds.items()}
        known = np.array([(1.0, size) for size in seen])
        if len(seen) == 1:
            known[:, 0] = 0.0
        factors, _ = nnls(known, np.array(list(seen.values())))
        return np.array([(1.0, size) for size in sizes]).reshape(-1, 2) @ factors
