"""What a person sees while trials run: a live table in a terminal, plain lines when the output goes elsewhere."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pandas as pd
from ray.tune import Callback
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from litesnn.config import Recipe
from tune.results.amounts import count_text, size_text
from tune.results.front import front, hypervolume
from tune.storage.objectives import Reference
from tune.storage.rows import with_size
from tune.storage.store import COLUMNS, FINISHED, UNFINISHED, Experiment
from tune.watching.estimate import Estimate

_SECONDS_BETWEEN_LINES = 10.0
_SHOWN_TRIALS = 12
_SHOWN_FRONT = 8
_LATELY = 5  # trials, whose gain is shown


class LiveTable(Callback):
    """Follows the trials of one ``Tuner.fit`` through Ray's callbacks.

    Args:
        recipe: says how many epochs a trial has.
        experiment: where a trial's outcome is read when it is over.
        before: the table of the experiment's trials so far.
        reference: of the hypervolume.
        count: how many trials are to come.
        slots: how many run at once, for the estimate.
        console: where to write.
        saved: epochs that early stopping saved so far.
    """

    def __init__(
        self,
        recipe: Recipe,
        experiment: Experiment,
        before: pd.DataFrame,
        reference: Reference,
        count: int,
        slots: int,
        console: Console,
        saved: Callable[[], int],
        *,
        stopping: bool = False,
    ) -> None:
        self.experiment, self.reference, self.console, self.saved = experiment, reference, console, saved
        self.estimate = Estimate(recipe, slots, stopping=stopping)
        over = before[before["status"] != UNFINISHED]
        self.rows: dict[str, Any] = {str(row["trial"]): row for row in over.to_dict("records")}
        self.to_come = count
        self.running: dict[str, dict[str, Any]] = {}
        self.ended: Counter[str] = Counter()
        self.started = self.last_line = time.monotonic()
        self.front, volume = self._front()
        self.volumes = deque([volume], maxlen=1 + _LATELY)
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __getstate__(self) -> dict[str, Any]:
        """Ray writes its callbacks to disk beside the trials; a screen and a bound scheduler do not belong there."""
        return {**self.__dict__, "console": None, "live": None, "saved": None}

    def __enter__(self) -> LiveTable:
        """Shows the table until ``__exit__``."""
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stops showing; what stays on the screen is the closing line, and the caller's own tables follow."""
        if self.live:
            self.live.update(self._summary(), refresh=True)
            self.live.stop()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial got its resources."""
        self.running.setdefault(trial.config["trial"], {**trial.config["point"], "seed": trial.config["seed"]})
        self._show()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an epoch."""
        if "phase" in result:
            point = {**trial.config["point"], "seed": trial.config["seed"]}
            self.running[trial.config["trial"]] = {**result, **point}
            self.estimate.epoch(result["phase"], result["seconds"])
        self._show()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial came to its end, or the run did."""
        self._end(trial.config["trial"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good."""
        self._end(trial.config["trial"])

    @property
    def volume(self) -> float:
        """Hypervolume of the front."""
        return self.volumes[-1]

    def table(self) -> pd.DataFrame:
        """The trials that are over, and those that this run began and did not end."""
        return pd.DataFrame(list(self.rows.values()), columns=COLUMNS)

    def _end(self, name: str) -> None:
        last = self.running.pop(name, {})
        row = self.experiment.row(name) or {"trial": name, "status": UNFINISHED}
        status = str(row["status"])
        self.ended["interrupted" if status == UNFINISHED else status] += 1
        self.estimate.end(float(row.get("seconds") or 0))
        self.rows[name] = row
        volume = self.volume
        if status == FINISHED:
            self.front, volume = self._front()
        self.volumes.append(volume)
        if not self.live:
            what = "interrupted" if status == UNFINISHED else status
            reason = f"  ({row['reason']})" if row.get("reason") else ""
            self.console.print(f"{what:<9} {name}  {_figures(last, row)}{reason}", highlight=False, soft_wrap=True)
        self._show()

    def _front(self) -> tuple[pd.DataFrame, float]:
        table = self.table()
        return front(table), hypervolume(table, self.reference)

    def _summary(self) -> str:
        waiting = max(0, self.to_come - sum(self.ended.values()) - len(self.running))
        remaining = self.estimate.remaining(waiting, self.running.values())
        estimate = "" if remaining is None else f", about {_clock(remaining)} left"
        ended = "".join(f"{count} {name}, " for name, count in sorted(self.ended.items()))
        elapsed = _clock(time.monotonic() - self.started)
        return (
            f"{ended}{len(self.running)} running, {waiting} waiting; front {len(self.front)}, "
            f"hypervolume {self.volume:.3f}{self._gain()}, {self.saved()} epochs saved; {elapsed} so far{estimate}"
        )

    def _gain(self) -> str:
        """What the last trials have added: whether it is worth waiting for the next ones."""
        lately = len(self.volumes) - 1
        if lately < 2 or not self.volumes[0]:
            return ""
        return f" (+{100 * (self.volume / self.volumes[0] - 1):.1f} % by the last {lately})"

    def _show(self) -> None:
        now = time.monotonic()
        if self.live:
            # The line comes first, since a low window cuts off the end.
            self.live.update(Group(self._summary(), self._table()), refresh=True)
        elif now - self.last_line > _SECONDS_BETWEEN_LINES:
            self.last_line = now
            self.console.print(self._summary(), highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table("phase", box=None, pad_edge=False)
        for heading in ("val %", "size", "Bit-SynOps", "T", "p %", "λ1", "λ2", "seed"):
            table.add_column(heading, justify="right", no_wrap=True)
        shown = sorted(self.running.items())[:_SHOWN_TRIALS]
        for _, last in shown:
            if "phase" in last:
                table.add_row(f"{last['phase']} {last['epoch']}/{last['epochs']}", *_objectives(last), *_point(last))
            else:
                table.add_row("starting", *[""] * 4, *_point(last)[1:])
        if len(self.running) > len(shown):
            table.add_row(f"… {len(self.running) - len(shown)} more")
        for row in self.front.head(_SHOWN_FRONT).to_dict("records"):
            table.add_row("front", *_objectives(row), *_point(row))
        if len(self.front) > _SHOWN_FRONT:
            table.add_row(f"… {len(self.front) - _SHOWN_FRONT} more")
        return table


def _point(row: Any) -> tuple[str, str, str, str, str]:
    timesteps = f"{row['timesteps']:.0f}" if "timesteps" in row else ""
    return timesteps, f"{row['p']:g}", f"{row['lambda1']:g}", f"{row['lambda2']:g}", f"{row['seed']:.0f}"


def _objectives(row: Any) -> tuple[str, str, str]:
    return f"{row['val_accuracy']:.2f}", size_text(with_size(row)["size_bits"]), count_text(row["bit_synops"])


def _figures(last: dict[str, Any], row: dict[str, Any]) -> str:
    last = last if "phase" in last else row
    if not last.get("phase"):
        return "no epoch finished"
    accuracy, size, bit_synops = _objectives(last)
    return (
        f"{last['phase']} epoch {last['epoch']}, {accuracy} % validation, {size}, {bit_synops} Bit-SynOps, "
        f"T {last['timesteps']}"
    )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
