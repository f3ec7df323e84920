"""An experiment on disk. Every trial owns a folder and writes whole files; tables are a pure function of them.

NAME/experiment.json               the recipe that all trials share
NAME/trials/<trial>/point.json     λ1, λ2, p and seed; recipe.json beside it
                    metrics.jsonl  one line per epoch
                    genotype.json  once the search is over
                    search.pt, retrain.pt   checkpoints, until the trial is over
                    model.safetensors, result.json   the outcome
NAME/trials.csv, front.csv, front.png
NAME/ray/                          what Ray Tune keeps of each run; nothing here reads it
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from litesnn.checks import InputError
from litesnn.files import write_text

FINISHED, DIVERGED, FAILED, UNFINISHED = "finished", "diverged", "failed", "unfinished"

COLUMNS = [
    "trial",
    "status",
    "reason",
    "lambda1",
    "lambda2",
    "p",
    "seed",
    "phase",
    "epoch",
    "val_accuracy",
    "test_accuracy",
    "model_size_bits",
    "side_bits",
    "bit_synops",
    "additions",
    "multiplications",
    "energy_mj",
    "ann_energy_mj",
    "timesteps",
    "bits",
    "seconds",
]


@dataclass(frozen=True)
class TrialFolder:
    """The files of one trial."""

    path: Path

    def checkpoint(self, phase: str) -> Path:
        """State of a phase after its last finished epoch."""
        return self.path / f"{phase}.pt"

    @property
    def genotype(self) -> Path:
        """Exists once the search is over."""
        return self.path / "genotype.json"

    @property
    def model(self) -> Path:
        """The trained network."""
        return self.path / "model.safetensors"

    def write_start(self, point: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
        """Says what the trial is about; the recipe lies beside the genotype for whoever takes it elsewhere."""
        _write_json(self.path / "point.json", point)
        _write_json(self.path / "recipe.json", recipe)

    def write_metrics(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Replaces the metrics by these, one line per epoch."""
        write_text(self.path / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in records))

    def read_metrics(self) -> list[dict[str, Any]]:
        """The records of all epochs so far."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        return [_parse(line, path) for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]

    def write_result(self, status: str, **values: Any) -> None:
        """The outcome: ``finished``, ``diverged`` or ``failed``, with a reason or the network's figures."""
        _write_json(self.path / "result.json", {"status": status, **values})

    def read_result(self) -> dict[str, Any] | None:
        """The outcome; None while there is none."""
        path = self.path / "result.json"
        return _read_json(path) if path.exists() else None

    def has_outcome(self) -> bool:
        """Whether the trial is over: finished and diverged stay, a failed or damaged one is tried again."""
        try:
            result = self.read_result()
        except InputError:
            return False
        return result is not None and result.get("status") in (FINISHED, DIVERGED)

    def remove_checkpoints(self) -> None:
        """They have served their purpose once there is an outcome."""
        for path in self.path.glob("*.pt"):
            path.unlink(missing_ok=True)

    def clear_result(self) -> None:
        """Forgets an outcome, for another attempt."""
        (self.path / "result.json").unlink(missing_ok=True)

    def row(self) -> dict[str, Any]:
        """This trial's line of the table; a damaged file makes it a failed one, and hides no other trial."""
        try:
            return self._row()
        except InputError as error:
            return {**dict.fromkeys(COLUMNS), "trial": self.path.name, "status": FAILED, "reason": str(error)}

    def _row(self) -> dict[str, Any]:
        point = _read_json(self.path / "point.json")
        metrics, result = self.read_metrics(), self.read_result()
        last = metrics[-1] if metrics else {}
        row = {**point, **last, "status": UNFINISHED, "reason": "", **(result or {}), "trial": self.path.name}
        row["seconds"] = sum(record.get("seconds", 0.0) for record in metrics)
        if isinstance(row.get("bits"), list):
            row["bits"] = " ".join(map(str, row["bits"]))
        return {column: row.get(column) for column in COLUMNS}


@dataclass(frozen=True)
class Experiment:
    """The folder of one experiment."""

    path: Path

    def check(self, recipe: Mapping[str, Any]) -> None:
        """Checks, without writing anything, that ``open`` will work.

        Raises:
            InputError: the place cannot be written, or holds an experiment of another recipe; the first difference is
                named.
        """
        existing = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise InputError(f"storage: expected a folder that can be written, got {existing}")
        file = self.path / "experiment.json"
        if not file.exists():
            return
        found = _read_json(file).get("recipe")
        if not isinstance(found, dict):
            raise InputError(f"name: expected the experiment's recipe in {file}, got none; choose another --name")
        for key, value in recipe.items():
            if found.get(key) != value:
                raise InputError(
                    f"name: expected the recipe of the experiment in {self.path}, got another {key}: "
                    f"there {found.get(key)!r}, here {value!r}; choose another --name"
                )

    def open(self, recipe: Mapping[str, Any]) -> None:
        """Creates the folder if it is not there yet; ``check`` first."""
        file = self.path / "experiment.json"
        if not file.exists():
            _write_json(file, {"recipe": recipe})

    def trial(self, name: str) -> TrialFolder:
        """The folder of a trial by its name."""
        return TrialFolder(self.path / "trials" / name)

    def table(self) -> pd.DataFrame:
        """All trials that have started, one row each, columns ``COLUMNS``."""
        folders = sorted(path.parent for path in self.path.glob("trials/*/point.json"))
        return pd.DataFrame([TrialFolder(folder).row() for folder in folders], columns=COLUMNS)

    def write_csv(self, name: str, table: pd.DataFrame) -> Path:
        """Writes a table beside the trials, with sizes in MB and Bit-SynOps in M beside the exact counts."""
        shown = table.copy()
        for column, unit, factor in (("model_size_bits", "model_size_mb", 8e6), ("bit_synops", "bit_synops_m", 1e6)):
            shown.insert(list(shown.columns).index(column), unit, table[column] / factor)
        path = self.path / name
        write_text(path, shown.to_csv(index=False))
        return path


def _read_json(path: Path) -> dict[str, Any]:
    return _parse(path.read_text(encoding="utf-8", errors="replace"), path)


def _parse(text: str, path: Path) -> dict[str, Any]:
    """A JSON object that this program wrote; anything else is named."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected an object written by this program, got a damaged file")
    return values


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=2) + "\n")
