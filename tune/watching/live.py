"""What a person sees while trials run: a live table in a terminal, plain lines when the output goes elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from tune.results.amounts import count_text, size_text
from tune.running.facts import AttemptBroke, EpochReported, Fact, TrialEnded
from tune.storage.rows import with_size
from tune.trials.reasons import sentence
from tune.watching.ledger import Ledger
from tune.watching.trial_state import STARTING, WAITING

_SECONDS_BETWEEN_LINES = 10.0
_SHOWN_TRIALS = 12
_SHOWN_FRONT = 8
_LATELY = 5  # trials, whose gain is shown

_COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("val %", "val_accuracy", "{:.2f}".format),
    ("size", "size_bits", size_text),
    ("Bit-SynOps", "bit_synops", count_text),
    ("T", "timesteps", "{:.0f}".format),
    ("bits", "held_bits", "{:.0f}".format),
    ("C", "channels", "{:.0f}".format),
    ("p %", "p", "{:g}".format),
    ("λ1", "lambda1", "{:g}".format),
    ("λ2", "lambda2", "{:g}".format),
    ("seed", "seed", "{:.0f}".format),
)
"""Heading, key in a trial's record or row, and text of its value; a trial that lacks the key has an empty cell."""

_OF_A_SEARCH, _OF_GIVEN_CELLS = ("λ1", "λ2"), ("bits",)
"""Headings for trials that search alone, and for those that do not."""


class LiveTable:
    """Draws what the ledger of a run says.

    Args:
        ledger: of the run.
        console: where to write.
    """

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self.ledger, self.console = ledger, console
        self.started = self.last_line = time.monotonic()
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def start(self) -> None:
        """Shows the table until ``stop``."""
        if self.live:
            self.live.start()

    def stop(self) -> None:
        """What stays on the screen is the closing line, and the caller's own tables follow."""
        if self.live:
            self.live.update(self._summary(), refresh=True)
            self.live.stop()

    def show(self, fact: Fact) -> None:
        """Something has happened to a trial, and the ledger has taken it in."""
        name = fact.trial.name
        match fact:
            case EpochReported(notices=notices) if notices:
                self._print(f"{name}: {'; '.join(map(sentence, notices))}")
            case AttemptBroke(last=False):
                why = self.ledger.of(name).reason or fact.reason
                self._print(f"{name}: {sentence(why)}; it is started again")
            case TrialEnded() if not self.live:
                state, row = self.ledger.of(name), self.ledger.rows[name]
                figures = _figures(row if row.get("phase") else state.record)
                reason = f"  ({row['reason']})" if row["reason"] else ""
                self._print(f"{state.state:<9} {name}  {figures}{reason}")
        self._draw()

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def _summary(self) -> str:
        ledger = self.ledger
        running, waiting = ledger.running, ledger.states[WAITING]
        remaining = ledger.estimate.remaining(waiting, {name: state.record for name, state in running.items()})
        estimate = "" if remaining is None else f", about {_clock(remaining)} left"
        states = Counter(ledger.of(name).state for name in ledger.ended)
        ended = "".join(f"{count} {state}, " for state, count in sorted(states.items()))
        elapsed = _clock(time.monotonic() - self.started)
        return (
            f"{ended}{len(running)} running, {waiting} waiting; front {len(ledger.front)}, hypervolume "
            f"{ledger.volume:.3f}{self._gain()}, {ledger.saved(ledger.ended)} epochs saved; {elapsed} so far{estimate}"
        )

    def _gain(self) -> str:
        """What the last trials have added: whether it is worth waiting for the next ones."""
        first, *others = self.ledger.volumes[-1 - _LATELY :]
        if len(others) < 2 or not first:
            return ""
        return f" (+{100 * (others[-1] / first - 1):.1f} % by the last {len(others)})"

    def _draw(self) -> None:
        now = time.monotonic()
        if self.live:
            # The line comes first, since a low window cuts off the end.
            self.live.update(Group(self._summary(), self._table()), refresh=True)
        elif now - self.last_line > _SECONDS_BETWEEN_LINES:
            self.last_line = now
            self._print(self._summary())

    def _table(self) -> Table:
        recipe = self.ledger.recipe
        left_out = _OF_GIVEN_CELLS if recipe.strategy == "darts" else _OF_A_SEARCH
        headings = [heading for heading, _, _ in _COLUMNS if heading not in left_out]

        def cells(row: Any) -> list[str]:
            own = row if _has(row, "channels") else {**row, "channels": recipe.retrain_channels}
            texts = _cells(own)
            return [texts[heading] for heading in headings]

        table = Table("phase", box=None, pad_edge=False)
        for heading in headings:
            table.add_column(heading, justify="right", no_wrap=True)
        running, front = sorted(self.ledger.running.items()), self.ledger.front
        for _, state in running[:_SHOWN_TRIALS]:
            last = state.record
            phase = STARTING if state.phase == STARTING else f"{last['phase']} {last['epoch']}/{last['epochs']}"
            table.add_row(phase, *cells(last))
        if len(running) > _SHOWN_TRIALS:
            table.add_row(f"… {len(running) - _SHOWN_TRIALS} more")
        for row in front.head(_SHOWN_FRONT).to_dict("records"):
            table.add_row("front", *cells(row))
        if len(front) > _SHOWN_FRONT:
            table.add_row(f"… {len(front) - _SHOWN_FRONT} more")
        return table


def _cells(row: Any) -> dict[str, str]:
    row = with_size(row)
    return {heading: text(row[key]) if _has(row, key) else "" for heading, key, text in _COLUMNS}


def _has(row: Mapping[str, Any], key: str) -> bool:
    """Whether the row has a value there: a table has NaN where a trial has none."""
    return not pd.isna(row.get(key))


def _figures(last: Mapping[str, Any]) -> str:
    if not last.get("phase"):
        return "no epoch finished"
    cells = _cells(last)
    return (
        f"{last['phase']} epoch {last['epoch']}, {cells['val %']} % validation, {cells['size']}, "
        f"{cells['Bit-SynOps']} Bit-SynOps, T {cells['T']}"
    )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
