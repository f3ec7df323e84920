"""Looks after trials from the driver: one that hangs is killed, one that gets on may die again, and restarts are told."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.tune import Callback, Stopper
from rich.console import Console

from tune.running.cluster import last_line

RETRIES = 2
"""How often in a row, without an epoch between, a trial may hang, or lose its process or node, and is started again."""

_LONGEST_STEP_S = 5.0  # of the driver that counts as silence: while it does something else, reports wait unread
_SECONDS_BETWEEN_LOOKS = 0.5


class Watchdog(Callback):
    """Follows the trials of one ``Tuner.fit``.

    Times are those of a clock that nobody sets, and only pass while the driver looks for reports.

    Args:
        limit_s: seconds without a report after which a trial hangs; None: however long.
        console: where restarts and what trials say of themselves are told.

    Attributes:
        reasons: why, by the name of the trial, of those that were killed last for hanging.
    """

    def __init__(self, limit_s: float | None, console: Console | None) -> None:
        self.limit_s, self.console = limit_s, console
        self.reasons: dict[str, str] = {}
        self._clock = self._looked = 0.0
        self._stepped = time.monotonic()
        self._heard: dict[str, float] = {}
        self._reached: dict[str, tuple[bool, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Ray writes its callbacks to disk; a screen does not belong there."""
        return {**self.__dict__, "console": None}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial got its resources."""
        self._heard[trial.config["trial"]] = self._clock

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an epoch; if it is one that it had not reached before, earlier deaths are forgiven."""
        name = trial.config["trial"]
        self._heard[name] = self._clock
        if result.get("notice"):
            self._tell(f"{name}: {result['notice']}")
        here = (result.get("phase") == "retrain", int(result.get("epoch", 0)))
        if here > self._reached.get(name, (False, 0)):
            self._reached[name] = here
            self.reasons.pop(name, None)
            trial.run_metadata.num_failures = 0

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process died, or it raised, and it is started again."""
        name = trial.config["trial"]
        self._heard.pop(name, None)
        self._tell(f"{name}: {self.reasons.pop(name, '') or error_line(trial)}; it is started again")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Looks who has been silent for too long."""
        now = time.monotonic()
        self._clock += min(now - self._stepped, _LONGEST_STEP_S)
        self._stepped = now
        if self.limit_s is None or self._clock - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = self._clock
        for trial in trials:
            name, actor = trial.config["trial"], trial.temporary_state.ray_actor
            since = self._heard.get(name)
            if trial.status != "RUNNING" or actor is None or since is None:
                continue
            if self._clock - since > self.limit_s:
                self._heard.pop(name)
                self.reasons[name] = f"hung: no report for {self.limit_s:g} s"
                ray.kill(actor)

    def _tell(self, text: str) -> None:
        if self.console is not None:
            self.console.print(text, highlight=False, soft_wrap=True)


class TimeBudget(Stopper):
    """Ends a run in order when its time is up. Ray's own goes by the time of day, which somebody may set.

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


def error_line(trial: Any) -> str:
    """The last line of the error that Ray wrote down on this host; the whole text goes to the run's folder in ``ray/``."""
    try:
        with open(trial.error_file, encoding="utf-8", errors="replace") as file:
            return last_line(file.read())
    except (OSError, TypeError):
        return "unknown"
