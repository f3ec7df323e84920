"""Looks after trials from the driver: one that hangs is killed."""

from __future__ import annotations

import time
from typing import Any

import ray

from tune.running.facts import TimePassed, TrialHung, trial_of
from tune.trials.reasons import Hung
from tune.watching.ledger import Ledger

RETRIES = 2
"""How often in a row, without an epoch between, a trial may hang, or lose its process or node, and is started again."""

_LONGEST_STEP_S = 5.0  # of the driver that counts as silence: while it does something else, reports wait unread
_SECONDS_BETWEEN_LOOKS = 0.5


class Watchdog:
    """Kills trials that have been silent for too long.

    Times are those of a clock that nobody sets, and only pass while the driver looks for reports.

    Args:
        limit_s: seconds without a report after which a trial hangs; None: however long.
        ledger: is told that time passes, and knows since when a trial is silent.
    """

    def __init__(self, limit_s: float | None, ledger: Ledger) -> None:
        self.limit_s, self.ledger = limit_s, ledger
        self._looked, self._stepped = 0.0, time.monotonic()

    def look(self, trials: list[Any]) -> None:
        """The driver has looked for reports of Ray's trials."""
        now = time.monotonic()
        self.ledger.tell(TimePassed(seconds=min(now - self._stepped, _LONGEST_STEP_S)))
        self._stepped = now
        if self.limit_s is None or self.ledger.clock - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = self.ledger.clock
        for trial in trials:
            actor = trial.temporary_state.ray_actor
            if trial.status != "RUNNING" or actor is None:
                continue
            heard = self.ledger.of(trial.config["trial"]).heard
            if heard is not None and self.ledger.clock - heard > self.limit_s:
                self.ledger.tell(TrialHung(trial=trial_of(trial.config), reason=Hung(seconds=self.limit_s)))
                ray.kill(actor)
