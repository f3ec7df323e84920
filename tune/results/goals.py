"""When an experiment has enough: a network meets the target, or trials add nothing to the front any more."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from litesnn.checks import InputError, fail
from tune.results.amounts import parse_count, parse_percent, parse_size
from tune.results.pick import pick
from tune.results.summary import hypervolume_curve
from tune.storage.objectives import Reference
from tune.storage.rows import UNFINISHED

GAIN = 1e-3
"""Share of the hypervolume; trials that add less have added nothing."""

_EXPECTED = "limits such as acc>=85,file<=50kB (acc, file, size by Eq. 18, synops)"
_LIMIT = re.compile(r"\s*([a-z-]+)\s*(>=|<=|≥|≤)\s*(\S.*?)\s*", re.IGNORECASE)
_LIMITS: dict[str, tuple[str, str, Callable[[str, str], float]]] = {
    "acc": (">=", "min_accuracy", parse_percent),
    "file": ("<=", "max_file_bits", parse_size),
    "size": ("<=", "max_size_bits", parse_size),
    "synops": ("<=", "max_bit_synops", parse_count),
}
_NAMES = {"accuracy": "acc", "bit-synops": "synops"}
_ASCII = {"≥": ">=", "≤": "<="}


def parse_target(text: str) -> dict[str, float]:
    """Limits for ``tune.results.pick`` from ``acc>=85,file<=50kB``; accuracy is validation accuracy in percent.

    Raises:
        InputError: no limits, an unknown one, or one in the wrong direction.
    """
    limits: dict[str, float] = {}
    for part in text.split(","):
        match = _LIMIT.fullmatch(part)
        name = match and _NAMES.get(match[1].lower(), match[1].lower())
        sign, key, parse = _LIMITS.get(name or "", ("", "", parse_percent))
        if match is None or _ASCII.get(match[2], match[2]) != sign or key in limits:
            raise fail("target", _EXPECTED, text)
        try:
            limits[key] = parse("target", match[3])
        except InputError as error:
            raise InputError(f"{error} for {name}") from None
    return limits


@dataclass(frozen=True, kw_only=True)
class Goals:
    """What an experiment is run for; without any it has enough when all its trials are over.

    Args:
        target: what a network must meet, as written, or empty.
        patience: after how many trials in a row that add nothing to the front it is enough; 0: never.
        reference: of the hypervolume.
    """

    target: str
    patience: int
    reference: Reference

    def reached(self, trials: pd.DataFrame) -> str:
        """Why the experiment of this table has enough, in a sentence; empty while it has not."""
        if self.target:
            limits: Any = parse_target(self.target)
            # Files of an earlier version were not measured: they are no network within a limit of files.
            best = pick(trials[trials["file_bits"].notna()] if "max_file_bits" in limits else trials, **limits)
            if best.network is not None and best.fits:
                return f"The target {self.target} is met by {best.network['trial']}."
        if self.patience and self._stalled(trials):
            return f"Stalled: the last {self.patience} trials have added less than {100 * GAIN:g} % to the hypervolume."
        return ""

    def _stalled(self, trials: pd.DataFrame) -> bool:
        if int((trials["status"] != UNFINISHED).sum()) <= self.patience:
            return False
        volumes = hypervolume_curve(trials, self.reference)["hypervolume"].to_numpy()
        before = volumes[-1 - self.patience]
        return bool(before > 0 and volumes[-1] <= (1 + GAIN) * before)
