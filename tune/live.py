"""What a person sees while trials run: a live table in a terminal, plain lines when the output goes elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from ray.tune import Callback
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from litesnn.config import Recipe
from tune.points import Trial

_SECONDS_BETWEEN_LINES = 10.0
_SHOWN = 12


class LiveTable(Callback):
    """Follows the trials of one ``Tuner.fit`` through Ray's callbacks.

    Args:
        recipe: says how many epochs a trial has.
        trials: the trials to come.
        console: where to write.
        slots: how many trials run at once, for the estimate.
    """

    def __init__(self, recipe: Recipe, trials: list[Trial], console: Console, slots: int) -> None:
        self.epochs = {"search": recipe.search_epochs, "retrain": recipe.retrain_epochs}
        self.waiting = {trial.name for trial in trials}
        self.running: dict[str, dict[str, Any]] = {}
        self.ended: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {"search": [], "retrain": []}
        self.slots = max(1, slots)
        self.console = console
        self.started = self.last_line = time.monotonic()
        self.live = Live(console=console, refresh_per_second=4, auto_refresh=False) if console.is_terminal else None

    def __getstate__(self) -> dict[str, Any]:
        """Ray writes its callbacks to disk beside the trials; a screen cannot be written there."""
        return {**self.__dict__, "console": None, "live": None}

    def __enter__(self) -> LiveTable:
        """Shows the table until ``__exit__``."""
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stops showing."""
        if self.live:
            self.live.stop()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial got its resources."""
        name = trial.config["trial"]
        self.waiting.discard(name)
        self.running.setdefault(name, {})
        self._show()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an epoch."""
        if "phase" in result:
            self.running[trial.config["trial"]] = result
            self.seconds[result["phase"]].append(result["seconds"])
        self._show()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial came to its end, diverged or not."""
        self._end(trial.config["trial"], "ended")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good."""
        self._end(trial.config["trial"], "failed")

    def _end(self, name: str, outcome: str) -> None:
        last = self.running.pop(name, {})
        self.ended[outcome] += 1
        if not self.live:
            self.console.print(f"{outcome:<8}{name}  {_figures(last)}", highlight=False, soft_wrap=True)
        self._show()

    def _remaining_seconds(self) -> float | None:
        """Epochs that are left times their mean duration; a phase not seen yet counts like the other one."""
        known = {phase: sum(s) / len(s) for phase, s in self.seconds.items() if s}
        if not known:
            return None
        cost = {phase: known.get(phase, next(iter(known.values()))) * n for phase, n in self.epochs.items()}
        left = len(self.waiting) * sum(cost.values())
        for last in self.running.values():
            done = last.get("epoch", 0) / self.epochs[last.get("phase", "search")]
            left += (
                cost["retrain"] * (1 - done)
                if last.get("phase") == "retrain"
                else cost["search"] * (1 - done) + cost["retrain"]
            )
        return left / self.slots

    def _summary(self) -> str:
        remaining = self._remaining_seconds()
        estimate = "" if remaining is None else f", about {_clock(remaining)} left"
        ended = "".join(f"{count} {name}, " for name, count in sorted(self.ended.items()))
        elapsed = _clock(time.monotonic() - self.started)
        return f"{ended}{len(self.running)} running, {len(self.waiting)} waiting; {elapsed} so far{estimate}"

    def _show(self) -> None:
        if self.live:
            self.live.update(Group(self._table(), self._summary()), refresh=True)
        elif time.monotonic() - self.last_line > _SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.console.print(self._summary(), highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table("trial", "phase", "epoch", "accuracy", "size MB", "Bit-SynOps M", "T", box=None)
        for name, last in sorted(self.running.items())[:_SHOWN]:
            if last:
                table.add_row(
                    name,
                    last["phase"],
                    f"{last['epoch']}/{last['epochs']}",
                    f"{last['val_accuracy']:.2f}",
                    f"{last['model_size_bits'] / 8e6:.4f}",
                    f"{last['bit_synops'] / 1e6:.3f}",
                    str(last["timesteps"]),
                )
            else:
                table.add_row(name, "starting")
        return table


def _figures(last: dict[str, Any]) -> str:
    if "phase" not in last:
        return "no epoch finished"
    return (
        f"{last['phase']} epoch {last['epoch']}/{last['epochs']}, {last['val_accuracy']:.2f} % validation, "
        f"{last['model_size_bits'] / 8e6:.4f} MB, {last['bit_synops'] / 1e6:.3f} M Bit-SynOps, T {last['timesteps']}"
    )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
