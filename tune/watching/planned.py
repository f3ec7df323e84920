"""How long a run of families still takes: what epochs its trials have, at which C and T, is known beforehand."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import nnls

from litesnn.config import Recipe
from tune.plan.points import Trial
from tune.watching.estimate import Warming

_BESIDE = 1.5
"""Seconds that a trial is expected to take beside its epochs until one has ended: it starts, is tested and packed."""

_GROWTH = 0.65
"""How time grows with the size until two sizes have been seen: with its power of 0.5 on digits, of 0.85 on CIFAR-10."""


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
        clock: seconds of the wall.
    """

    def __init__(self, plans: Mapping[str, Plan], slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.plans, self.slots, self.clock = plans, max(1, slots), clock
        self._warming = Warming(self.slots)
        self._seconds: dict[int, list[float]] = defaultdict(list)
        self._left = dict(plans)
        self._began: float | None = None
        self._in_epochs = 0.0

    def epoch(self, trial: str, phase: str, seconds: float) -> None:
        """An epoch of some trial is over."""
        self._began = self.clock() - seconds if self._began is None else self._began
        self._in_epochs += seconds
        if self._warming.measures(seconds):
            self._seconds[self.plans[trial].size].append(seconds)

    def end(self, trial: str, seconds: float) -> None:
        """A trial is over whose epochs took so many seconds in all."""
        self._left.pop(trial, None)

    def remaining(self, waiting: int, running: Mapping[str, Mapping[str, Any]]) -> float | None:
        """As ``Estimate.remaining``; it knows which trials wait, so their number says nothing new."""
        if not self._seconds:
            return None
        left = list(self._left.items())
        done = [int(running.get(name, {}).get("epoch", 0)) for name, _ in left]
        epochs = np.array([max(0, plan.epochs - over) for (_, plan), over in zip(left, done, strict=True)])
        seconds = epochs @ self._expected([plan.size for _, plan in left]) + self._beside() * len(left)
        return float(seconds) / self.slots

    def _beside(self) -> float:
        """Seconds that a trial costs beside its epochs: what has passed of the slots' time, less all epochs."""
        ended = len(self.plans) - len(self._left)
        if not ended or self._began is None:
            return _BESIDE
        return max(0.0, self.slots * (self.clock() - self._began) - self._in_epochs) / ended

    def _expected(self, sizes: Sequence[int]) -> np.ndarray:
        """Seconds of an epoch at each size ``[N]``."""
        seen = {size: median(seconds) for size, seconds in self._seconds.items()}
        if len(seen) == 1:
            ((size, seconds),) = seen.items()
            return seconds * (np.array(sizes, dtype=float) / size) ** _GROWTH
        factors, _ = nnls(np.array([(1.0, size) for size in seen]), np.array(list(seen.values())))
        return np.array([(1.0, size) for size in sizes]).reshape(-1, 2) @ factors
