"""Writes down, from the driver, what a trial cannot write itself: that it was stopped early, or that it failed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback

from tune.cluster import last_line
from tune.store import FAILED, STOPPED, Experiment


class Outcomes(Callback):
    """Follows a ``Tuner.fit``; a trial that wrote its own outcome keeps it.

    Args:
        experiment: where the trials' folders are.
        stopped: reasons of the trials that the scheduler stopped, by name; read when a trial ends.
    """

    def __init__(self, experiment: Experiment, stopped: Mapping[str, str]) -> None:
        self.experiment, self.stopped = experiment, stopped

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial ended by itself, by the scheduler, or with the whole run; only the second is an outcome to write."""
        name = trial.config["trial"]
        if name in self.stopped:
            self._write(trial.config, STOPPED, self.stopped[name])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good: its process or node died too often, or it raised."""
        self._write(trial.config, FAILED, _reason(trial))

    def _write(self, config: Mapping[str, Any], status: str, reason: str) -> None:
        folder = self.experiment.trial(config["trial"])
        if folder.has_outcome():
            return
        folder.write_start({**config["point"], "seed": config["seed"]}, config["recipe"])
        folder.write_result(status, reason=reason)


def _reason(trial: Any) -> str:
    """The last line of the error that Ray wrote down on this host; the whole text goes to the run's folder in ``ray/``."""
    try:
        return last_line(Path(trial.error_file).read_text(encoding="utf-8", errors="replace"))
    except (OSError, TypeError):
        return "unknown"
