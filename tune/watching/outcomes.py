"""Writes down, from the driver, what a trial cannot write itself: that it was stopped early, or that it failed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ray.tune import Callback

from litesnn.files import StorageError
from tune.storage.store import FAILED, STOPPED, Experiment
from tune.trials.patience import Patience
from tune.watching.watchdog import error_line

_SECONDS_BETWEEN_ATTEMPTS = 2.0


class Outcomes(Callback):
    """Follows a ``Tuner.fit``; a trial that wrote its own outcome keeps it.

    What cannot be written because the storage is full or has a bad moment is written later; the run goes on meanwhile.

    Args:
        experiment: where the trials' folders are.
        stopped: reasons of the trials that the scheduler stopped, by name; read when a trial ends.
        hung: reasons of the trials that were killed because they hung, by name; likewise.
    """

    def __init__(
        self, experiment: Experiment, stopped: Mapping[str, str], hung: Mapping[str, str] | None = None
    ) -> None:
        self.experiment, self.stopped = experiment, stopped
        self.hung = {} if hung is None else hung  # an empty one is filled later
        self._owed: dict[str, tuple[Mapping[str, Any], str, str]] = {}
        self._tried = 0.0

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial ended by itself, by the scheduler, or with the whole run; only the second is an outcome to write."""
        name = trial.config["trial"]
        if name in self.stopped:
            self._write(trial.config, STOPPED, self.stopped[name])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good: it hung, its process or node died too often in a row, or it raised."""
        self._write(trial.config, FAILED, self.hung.get(trial.config["trial"]) or error_line(trial))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tries again to write what could not be written."""
        if self._owed and time.monotonic() - self._tried > _SECONDS_BETWEEN_ATTEMPTS:
            for owed in list(self._owed.values()):
                self._write(*owed)

    def settle(self) -> None:
        """Writes what is still owed when the run is over.

        Raises:
            StorageError: the storage has stayed unusable.
        """
        for owed in list(self._owed.values()):
            Patience()(lambda owed=owed: self._write_now(*owed))  # type: ignore[misc]
        self._owed.clear()

    def _write(self, config: Mapping[str, Any], status: str, reason: str) -> None:
        self._tried = time.monotonic()
        try:
            self._write_now(config, status, reason)
        except StorageError:
            self._owed[config["trial"]] = (config, status, reason)
        else:
            self._owed.pop(config["trial"], None)

    def _write_now(self, config: Mapping[str, Any], status: str, reason: str) -> None:
        folder = self.experiment.trial(config["trial"])
        if folder.has_outcome():
            return
        folder.write_start({**config["point"], "seed": config["seed"]}, config["recipe"])
        folder.write_result(status, reason=reason)
