"""Ends a run in order when the experiment has what it is run for."""

from __future__ import annotations

from typing import Any

from ray.tune import Stopper

from tune.results.goals import Goals
from tune.watching.live import LiveTable


class Enough(Stopper):
    """Looks again whenever a trial is over.

    Args:
        goals: what the experiment is run for.
        live: which knows the trials that are over.
    """

    def __init__(self, goals: Goals, live: LiveTable) -> None:
        self.goals, self.live = goals, live
        self._seen, self._reached = 0, False  # before the first trial of a run ends, its caller has looked

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped for itself."""
        return False

    def stop_all(self) -> bool:
        """Whether a goal is reached."""
        if self._seen != self.live.ended.total():
            self._seen = self.live.ended.total()
            self._reached = bool(self.goals.reached(self.live.table()))
        return self._reached
