"""From which finished trial one starts whose point a sampler has chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from litesnn.config import Recipe
from tune.plan.families import are_families, parent_among
from tune.plan.points import Trial, point_in
from tune.storage.store import FINISHED, OUTCOMES

Row = Mapping[str, Any]


class Starts:
    """Knows which trials have finished, and names the one that a new trial starts from.

    Args:
        recipe: of all trials.
        outcome: row of a trial by its name; None while there is none.
        known: rows of the trials before.
    """

    def __init__(self, recipe: Recipe, outcome: Callable[[str], Row | None], known: Iterable[Row] = ()) -> None:
        self._recipe, self._outcome = recipe, outcome
        self._finished = [
            Trial(point=point_in(row), seed=int(row["seed"])) for row in known if row["status"] == FINISHED
        ]
        self._open: dict[str, Trial] = {}

    def parent(self, trial: Trial) -> str:
        """Name of the nearest trial of its family that has finished by now; nothing where there is none."""
        if not are_families(self._recipe):
            return ""
        for name, other in list(self._open.items()):
            status = (self._outcome(name) or {}).get("status")
            if status in OUTCOMES:
                del self._open[name]
            if status == FINISHED:
                self._finished.append(other)
        self._open[trial.name] = trial
        return parent_among(trial, self._finished, self._recipe)
