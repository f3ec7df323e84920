"""What a trial writes to its process's log, which Ray's dashboard shows: its start, ten lines a phase, its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from litesnn.phase import EpochRecord
from tune.results.amounts import count_text, size_text

_LINES_PER_PHASE = 10


class TrialLog:
    """Writes one line at a time, with the time of day and the trial's name.

    Args:
        name: of the trial.
        write: where lines go.
    """

    def __init__(self, name: str, write: Callable[[str], None] = lambda line: print(line, flush=True)) -> None:
        self.name, self.write = name, write
        self.last = "no epoch"

    def say(self, text: str) -> None:
        """One line."""
        self.write(f"{time.strftime('%H:%M:%S')} {self.name}: {text}")

    def started(self, records: list[dict[str, Any]], where: str) -> None:
        """An attempt begins.

        Args:
            records: what earlier attempts have done.
            where: host and device.
        """
        last = f"continues after {records[-1]['phase']} epoch {records[-1]['epoch']}" if records else "starts"
        self.say(f"{last} on {where}")

    def epoch(self, record: EpochRecord) -> None:
        """An epoch is over; every tenth part of a phase is told, and its last epoch."""
        self.last = f"{record.phase} {record.epoch}/{record.epochs}"
        if record.epoch * _LINES_PER_PHASE // record.epochs == (record.epoch - 1) * _LINES_PER_PHASE // record.epochs:
            return
        self.say(
            f"{self.last}: loss {record.loss:.3f}, "
            f"{record.val_accuracy:.2f} % validation, {size_text(record.model_size_bits)}, "
            f"{count_text(record.bit_synops)} Bit-SynOps, T {record.timesteps}, {record.seconds:.2f} s"
        )

    def broken_off(self) -> None:
        """The trial was ended from outside while it waited in a report."""
        self.say(f"ended early after {self.last}, by the rule or with the run")

    def ended(self, result: dict[str, Any] | None) -> None:
        """The trial's own end: ``result.json``."""
        result = result or {}
        text = result.get("status", "ended without an outcome")
        if result.get("reason"):
            text += f": {result['reason']}"
        elif result.get("test_accuracy") is not None:
            text += f": {result['test_accuracy']:.2f} % test"
        self.say(text)
