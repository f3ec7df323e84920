"""An experiment in figures: how many trials ended how, what the front is worth, what stopping early has saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from litesnn.config import Recipe
from tune.results.amounts import count_text, size_text
from tune.results.front import hypervolume
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, SIZE, Reference
from tune.storage.store import FINISHED, STOPPED, UNFINISHED

WAITING = "waiting"
WITHIN = 1.0  # percentage points of the best accuracy


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts of an experiment; ``best`` and ``smallest`` are rows of the table, None where nothing has finished.

    ``front`` counts networks or, where one has several seeds, points; with ``sure`` of them none ties that costs less
    (``tune.results.intervals``).
    ``smallest`` is the smallest network within ``WITHIN`` points of the best accuracy. Epochs count search and
    retraining together; ``epochs_saved`` is what the stopped trials would still have run.
    """

    states: Mapping[str, int]
    front: int
    sure: int
    of_points: bool
    hypervolume: float
    reference: Reference
    best: Mapping[str, Any] | None
    smallest: Mapping[str, Any] | None
    epochs_spent: int
    epochs_saved: int

    def sentences(self) -> list[str]:
        """The summary in words, one statement each."""
        texts = [states_text(self.states)]
        if self.best is None:
            return [*texts, "no finished network yet"]
        sure = "" if self.sure == self.front else f", {self.sure} of them for sure"
        kind = "point" if self.of_points else "network"
        texts.append(f"{self.front} {kind}{'s' * (self.front != 1)} on the front{sure}")
        texts.append(f"hypervolume {self.hypervolume:.4g} ({reference_text(self.reference)})")
        texts.append(f"best validation accuracy {self.best[ACCURACY]:.2f} % (test {self.best['test_accuracy']:.2f} %)")
        if self.smallest is not None:
            texts.append(
                f"smallest network within {WITHIN:g} percentage point of it {size_text(self.smallest[SIZE])} "
                f"({self.smallest[ACCURACY]:.2f} %)"
            )
        texts.append(f"{self.epochs_spent:,} epochs run")
        if self.epochs_saved:
            share = 100 * self.epochs_saved / (self.epochs_saved + self.epochs_spent)
            texts.append(f"{self.epochs_saved:,} ({share:.0f} %) saved by stopping early")
        return texts


def count_states(trials: pd.DataFrame) -> dict[str, int]:
    """How many trials are in each state, most first."""
    return {str(state): int(count) for state, count in trials["status"].value_counts().items()}


def states_text(states: Mapping[str, int]) -> str:
    """``3 trials: 2 finished, 1 stopped``."""
    trials = sum(states.values())
    named = ", ".join(f"{count} {state}" for state, count in states.items())
    return f"{trials} trial{'s' * (trials != 1)}" + (f": {named}" if trials else "")


def reference_text(reference: Reference) -> str:
    """The hypervolume's reference point in words."""
    return (
        f"reference {reference.accuracy:g} %, {size_text(reference.size_bits)}, "
        f"{count_text(reference.bit_synops)} Bit-SynOps"
    )


def summarise(
    trials: pd.DataFrame, chosen: pd.DataFrame, reference: Reference, recipe: Recipe, planned: int = 0
) -> Summary:
    """Counts an experiment.

    Args:
        trials: the table of ``tune.storage.store``.
        chosen: its front, of networks or of points.
        reference: the hypervolume's reference point.
        recipe: the epochs that a whole trial has, unless the table of a merge says so in ``whole_epochs``.
        planned: how many trials there are to be; those that have not started are waiting.
    """
    finished = trials[trials["status"] == FINISHED]
    stopped = trials["status"] == STOPPED
    spent = epochs(trials)
    budget: Any = recipe.all_epochs
    if "whole_epochs" in trials:
        budget = trials["whole_epochs"][stopped]
    best = _first(finished.sort_values([ACCURACY, SIZE], ascending=[False, True]))
    near = finished[finished[ACCURACY] >= (best[ACCURACY] if best else 0) - WITHIN]
    smallest = _first(near.sort_values([SIZE, ACCURACY], ascending=[True, False]))
    return Summary(
        states=count_states(trials) | ({WAITING: planned - len(trials)} if planned > len(trials) else {}),
        front=len(chosen),
        sure=int((chosen["ties_with"] == "").sum()),
        of_points="seeds" in chosen,
        hypervolume=float(hypervolume(trials, reference)),
        reference=reference,
        best=best,
        smallest=smallest,
        epochs_spent=int(spent.sum()),
        epochs_saved=int((budget - spent[stopped]).clip(lower=0).sum()),
    )


def _first(rows: pd.DataFrame) -> dict[str, Any] | None:
    return None if rows.empty else {str(key): value for key, value in rows.iloc[0].items()}


def epochs(trials: pd.DataFrame) -> pd.Series:
    """Epochs that each trial has run, search and retraining together; 0 where nothing is known."""
    return (trials["search_epochs"].astype(float).fillna(0) + trials["retrain_epochs"].astype(float).fillna(0)).astype(
        int
    )


def hypervolume_curve(trials: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    """The hypervolume so far after each trial that is over, in the order in which they ended.

    All compute counts, that of trials which diverged or failed too; only finished ones add volume. Trials whose end is
    not known come first.

    Returns:
        Columns ``row`` (position in ``trials``), ``epochs`` and ``seconds`` (cumulative), ``hypervolume``.
    """
    ended = pd.to_datetime(trials["ended_at"], utc=True, errors="coerce", format="ISO8601")
    over = trials.assign(row=range(len(trials)), order=ended, spent=epochs(trials))[trials["status"] != UNFINISHED]
    over = over.sort_values("order", kind="stable", na_position="first")
    costs = over[[ACCURACY, SIZE, BIT_SYNOPS]].to_numpy(dtype=float) * [-1.0, 1.0, 1.0]
    counts = (over["status"] == FINISHED).to_numpy() & ~np.isnan(costs).any(axis=1)
    volumes: list[float] = []
    front = np.empty(
        0, dtype=int
    )  # positions of what nothing so far dominates: the volume is theirs, and they stay few
    for position in range(len(over)):
        volume = volumes[-1] if volumes else 0.0
        # What another is nowhere worse than is dominated by it, or its equal, and adds nothing either way.
        if counts[position] and not (costs[front] <= costs[position]).all(axis=1).any():
            front = np.append(front[~(costs[position] <= costs[front]).all(axis=1)], position)
            volume = float(hypervolume(over.iloc[front], reference))
        volumes.append(volume)
    return pd.DataFrame(
        {
            "row": over["row"].to_numpy(dtype=int),
            "epochs": over["spent"].cumsum().to_numpy(dtype=int),
            "seconds": over["seconds"].astype(float).fillna(0).cumsum().to_numpy(dtype=float),
            "hypervolume": volumes,
        }
    )
