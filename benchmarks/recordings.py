"""Recorded learning curves: experiments that ran without early stopping, as files that replays read.

The command prints such a file.

    python -m benchmarks recordings EXPERIMENT_FOLDER > curves.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.stopping_rules import Record
from tune.storage.objectives import EQ18, SIZE, Reference
from tune.storage.store import FINISHED, Experiment

Curves = Mapping[str, Sequence[Record]]
COLUMNS = ["trial", "phase", "epoch", "val_accuracy", SIZE, "bit_synops", "seconds"]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One run of one search space."""

    name: str
    curves: Curves  # every trial's epochs in their order, each trial with a search of its own
    chance: float  # accuracy of guessing, in percent
    val_samples: int  # that accuracies were measured on

    @property
    def lengths(self) -> tuple[int, int]:
        """Epochs of the search and of the retraining."""
        records = next(iter(self.curves.values()))
        search = sum(record["phase"] == "search" for record in records)
        return search, len(records) - search

    @property
    def reference(self) -> Reference:
        """Guessing, with a tenth more than the largest size and the most operations of any finished network."""
        last = [records[-1] for records in self.curves.values()]
        dearest = [1.1 * max(record[name] for record in last) for name in (SIZE, "bit_synops")]
        return Reference(accuracy=self.chance, size_bits=dearest[0], bit_synops=dearest[1])


def searched_as(trial: str) -> str:
    """The trial's point without its width: what the search depends on, with the seed."""
    point, _, seed = trial.partition("-seed_")
    return f"{point.partition('-c_')[0]}-seed_{seed}"


def read(path: Path, name: str, *, chance: float, val_samples: int, ending: str = "") -> Recording:
    """A recording from a CSV file, of the trials whose names end so; a trial without a search has that of another width."""
    table = pd.read_csv(path)
    if SIZE not in table:  # an older recording means Eq. 18 by size
        table[SIZE] = table[EQ18]
    table = table[table["trial"].str.endswith(ending)][COLUMNS].astype({SIZE: float, "bit_synops": float})
    phases: dict[Any, list[Any]] = {k: r.to_dict("records") for k, r in table.groupby(["trial", "phase"], sort=False)}
    searches = {searched_as(trial): found for (trial, phase), found in phases.items() if phase == "search"}
    curves: dict[str, list[dict[str, Any]]] = {}
    for trial in table["trial"].unique():
        records = [*searches[searched_as(trial)], *phases[trial, "retrain"]]
        curves[trial] = [{**r, "trial": trial, "total": total, EQ18: r[SIZE]} for total, r in enumerate(records, 1)]
    return Recording(name=name, curves=curves, chance=chance, val_samples=val_samples)


def collect(experiment: Path) -> pd.DataFrame:
    """Rows of the epochs of all finished trials of an experiment."""
    store = Experiment(experiment)
    finished = sorted(trial for trial, state in store.outcomes().items() if state == FINISHED)
    records = store.records()
    rows = [{**record, "trial": trial} for trial in finished for record in records[trial]]
    digits = {"val_accuracy": 4, "bit_synops": 1, "seconds": 3}
    return pd.DataFrame(rows, columns=COLUMNS).round(digits)


def main(arguments: Sequence[str]) -> int:
    """Writes the rows of experiments to standard output; returns the exit code."""
    parser = argparse.ArgumentParser(prog="recordings", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="EXPERIMENT_FOLDER")
    folders = parser.parse_args(arguments).folders
    pd.concat([collect(folder) for folder in folders]).to_csv(sys.stdout, index=False)
    return 0
