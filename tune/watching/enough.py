"""Ends a run in order: when the experiment has what it is run for, or when its time is up."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Stopper

from tune.results.goals import Goals
from tune.watching.ledger import Ledger


class Enough(Stopper):
    """Looks again whenever a trial is over.

    Args:
        goals: what the experiment is run for.
        ledger: knows the trials that are over.
    """

    def __init__(self, goals: Goals, ledger: Ledger) -> None:
        self.goals, self.ledger = goals, ledger
        self._seen, self._reached = 0, False  # before the first trial of a run ends, its caller has looked

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped for itself."""
        return False

    def stop_all(self) -> bool:
        """Whether a goal is reached."""
        if self._seen != len(self.ledger.ended):
            self._seen = len(self.ledger.ended)
            self._reached = bool(self.goals.reached(self.ledger.table()))
        return self._reached


class TimeBudget(Stopper):
    """Goes by a clock that nobody sets; Ray's own goes by the time of day.

    Args:
        seconds: from now on.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.started = seconds, time.monotonic()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped for itself."""
        return False

    def stop_all(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() - self.started >= self.seconds
