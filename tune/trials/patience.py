"""Waiting for a storage that is full or has a bad moment: what has been computed is in memory and need not be lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from litesnn.files import StorageError
from tune.trials.reasons import StorageDelayed

PATIENCE_S = 30 * 60.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_WORTH_SAYING_S = 5.0

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Repeats what fails with a ``StorageError`` until it works; any other error is raised at once.

    Args:
        say: told how long it took, if it took seconds.
        warn: told that it waits, once it has for seconds.
        seconds: after which the error is raised; by a clock that nobody sets.
    """

    say: Callable[[StorageDelayed], None] = lambda notice: None
    warn: Callable[[StorageDelayed], None] = lambda notice: None
    seconds: float = PATIENCE_S

    def __call__(self, act: Callable[[], Result]) -> Result:
        """Does it and returns its result.

        Raises:
            StorageError: the storage has failed for all that time.
        """
        started, pause, last, warned = time.monotonic(), _FIRST_PAUSE_S, "", False
        while True:
            try:
                result = act()
            except StorageError as error:
                if time.monotonic() - started + pause > self.seconds:
                    raise
                last = str(error)
                if not warned and time.monotonic() - started >= _WORTH_SAYING_S:
                    warned = True
                    self.warn(StorageDelayed(seconds=self.seconds, error=last, over=False))
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                waited = time.monotonic() - started
                if last and waited >= _WORTH_SAYING_S:
                    self.say(StorageDelayed(seconds=waited, error=last))
                return result
