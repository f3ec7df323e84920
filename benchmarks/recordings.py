"""Recorded learning curves: experiments that ran without early stopping, as files that replays read.

python -m benchmarks.recordings EXPERIMENT_FOLDER > curves.csv
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stopping_rules import Record
from tune.storage.objectives import EQ18, SIZE, Reference

Curves = Mapping[str, Sequence[Record]]

COLUMNS = ("trial", "phase", "epoch", "val_accuracy", SIZE, "bit_synops", "seconds")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One run of one search space.

    Args:
        name: of the recording.
        curves: every trial's epochs in their order, each trial with a search of its own.
        chance: accuracy of guessing, in percent.
        val_samples: that accuracies were measured on.
    """

    name: str
    curves: Curves
    chance: float
    val_samples: int

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
    """A recording from a CSV file; a trial without a search has that of another width.

    Args:
        path: the file.
        name: of the recording.
        chance: accuracy of guessing, in percent.
        val_samples: that accuracies were measured on.
        ending: of the names of the trials that are read, such as "-seed_1".
    """
    phases: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["trial"].endswith(ending):
                record: dict[str, Any] = {"trial": row["trial"], "phase": row["phase"], "epoch": int(row["epoch"])}
                figures = {**row, SIZE: row.get(SIZE) or row[EQ18]}  # an older recording means Eq. 18 by size
                record |= {column: float(figures[column]) for column in COLUMNS[3:]}
                phases.setdefault(row["trial"], {"search": [], "retrain": []})[row["phase"]].append(record)
    searches = {searched_as(trial): found["search"] for trial, found in phases.items() if found["search"]}
    curves = {}
    for trial, found in phases.items():
        records = [*searches[searched_as(trial)], *found["retrain"]]
        curves[trial] = [
            {**record, "trial": trial, "total": total, EQ18: record[SIZE]} for total, record in enumerate(records, 1)
        ]
    return Recording(name=name, curves=curves, chance=chance, val_samples=val_samples)


def collect(experiment: Path) -> list[dict[str, Any]]:
    """Rows of the epochs of all finished trials of an experiment."""
    rows = []
    for folder in sorted((experiment / "trials").iterdir()):
        if (folder / "result.json").exists() and json.loads((folder / "result.json").read_text())[
            "status"
        ] == "finished":
            for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
                record = {**json.loads(line), "trial": folder.name}
                rows.append({column: record[column] for column in COLUMNS})
    return rows


def main(folders: Sequence[str]) -> int:
    """Writes the rows of experiments to standard output."""
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for folder in folders:
        for row in collect(Path(folder)):
            accuracy, synops = f"{row['val_accuracy']:.4f}", f"{row['bit_synops']:.1f}"
            writer.writerow({**row, "val_accuracy": accuracy, "bit_synops": synops, "seconds": f"{row['seconds']:.3f}"})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
