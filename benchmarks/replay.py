"""A replay of recorded learning curves under a stopping rule.

It is a discrete-event simulation: so many workers take the trials in an order, every epoch lasts as long as it was recorded
to, and the rule answers each report. Only trials that reach the end of their retraining count.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.recordings import Curves, read
from benchmarks.stopping_rules import GoesOn

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Replay:
    """What one replay came to: the trials that finished, epochs and seconds of all."""

    finished: frozenset[str]
    epochs: int
    seconds: float


def read_curves() -> Curves:
    """The recorded epochs of 48 trials of digits on which the rule was tuned."""
    return read(DATA / "digits_curves.csv", "digits", chance=10, val_samples=287).curves


def replay(curves: Curves, order: Sequence[str], workers: int, goes_on: GoesOn) -> Replay:
    """Runs all trials of ``order`` on ``workers`` under a rule."""
    waiting = list(reversed(order))
    running: list[tuple[float, int, str, int]] = []  # when its next epoch ends, tie-break, trial, that epoch's index
    finished, seconds, started = set(), [], 0

    def start(now: float) -> None:
        nonlocal started
        if waiting:
            trial, started = waiting.pop(), started + 1
            heapq.heappush(running, (now + curves[trial][0]["seconds"], started, trial, 0))

    for _ in range(workers):
        start(0.0)
    while running:
        now, tie, trial, index = heapq.heappop(running)
        records = curves[trial]
        seconds.append(records[index]["seconds"])
        stays = goes_on(records[index])
        if index + 1 == len(records):
            finished.add(trial)
            start(now)
        elif stays:
            heapq.heappush(running, (now + records[index + 1]["seconds"], tie, trial, index + 1))
        else:
            start(now)
    return Replay(frozenset(finished), len(seconds), math.fsum(seconds))
