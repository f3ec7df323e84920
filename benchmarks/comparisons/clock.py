"""CPU seconds of training, epoch by epoch: on a machine with other work they say more than the time by the clock."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from litesnn.files import write_text
from litesnn.run import EpochRecord


class EpochClock:
    """CPU seconds of every epoch of a run, of all threads together; kept beside its checkpoint, so that it can go on.

    Made right before the run, and called with every record, as ``on_epoch``.

    Args:
        checkpoint: the run's.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.path = checkpoint.with_name(f"{checkpoint.name}.cpu.json")
        self.seconds: dict[str, float] = {}
        if checkpoint.exists() and self.path.exists():
            self.seconds = json.loads(self.path.read_text(encoding="utf-8"))
        self.last = time.process_time()

    def __call__(self, record: EpochRecord) -> None:
        """Keeps what has been used since the last call."""
        now = time.process_time()
        self.seconds[str(record.epoch)] = now - self.last
        self.last = now
        write_text(self.path, json.dumps(self.seconds) + "\n")

    def total(self, records: Sequence[EpochRecord]) -> float:
        """CPU seconds of these epochs; the time by the clock for one whose CPU seconds an interruption has lost."""
        return sum(self.seconds.get(str(record.epoch), record.seconds) for record in records)
