"""Writes down, from the driver, what a trial cannot write itself: that it was stopped early, or that it failed."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial

from litesnn.files import StorageError
from tune.running.facts import OutcomeWritten
from tune.storage.store import Experiment
from tune.trials.patience import Patience
from tune.trials.reasons import sentence
from tune.watching.ledger import Ledger
from tune.watching.trial_state import outcome_of, point_of

_SECONDS_BETWEEN_ATTEMPTS = 2.0


class Outcomes:
    """Writes what the ledger says is owed; a trial that wrote its own outcome keeps it.

    What cannot be written because the storage is full or has a bad moment is written later; the run goes on meanwhile.

    Args:
        experiment: where the trials' folders are.
        ledger: knows what is owed, and is told what is written.
    """

    def __init__(self, experiment: Experiment, ledger: Ledger) -> None:
        self.experiment, self.ledger = experiment, ledger
        self._tried = 0.0

    def write(self, name: str) -> None:
        """Writes what is owed to a trial, if anything is, if it can be written now."""
        self._tried = time.monotonic()
        with suppress(StorageError):
            self._write(name)

    def try_again(self) -> None:
        """Writes what could not be written some time ago."""
        if self.ledger.owed and time.monotonic() - self._tried > _SECONDS_BETWEEN_ATTEMPTS:
            for name in list(self.ledger.owed):
                self.write(name)

    def settle(self) -> None:
        """Writes what is still owed when the run is over.

        Raises:
            StorageError: the storage has stayed unusable.
        """
        for name in list(self.ledger.owed):
            Patience()(partial(self._write, name))

    def _write(self, name: str) -> None:
        if name not in self.ledger.owed:
            return
        trial, reason = self.ledger.owed[name]
        folder = self.experiment.trial(name)
        if not folder.has_outcome():
            folder.write_start(point_of(trial), self.ledger.recipe.to_dict())
            folder.write_result(outcome_of(reason), reason=sentence(reason))
        self.ledger.tell(OutcomeWritten(trial=trial))
