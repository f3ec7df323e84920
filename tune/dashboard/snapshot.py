"""What the dashboard shows of a folder of experiments: read from disk, kept, and read again only where files changed."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from litesnn.checks import InputError, fail
from tune.folder import read_rows
from tune.front import BIT_SYNOPS, SIZE, Reference, hypervolume, on_front
from tune.places import folder_names
from tune.rows import COLUMNS, Row, to_table
from tune.store import Experiment
from tune.summary import hypervolume_curve

_ROW_FILES = ("result.json", "point.json", "metrics.jsonl")  # what a row of the table is made of
_LATER_FILES = ("genotype.json", "model.safetensors")  # what the panel of a trial shows besides

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Per file its time of change in ns, size in bytes and inode; files are replaced whole, so one of the three differs."""


@dataclass
class _Kept:
    """What is known of one experiment."""

    experiment_file: Stamp = ()
    stamps: dict[str, Stamp] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    shown: dict[str, Any] | None = None


class Snapshot:
    """The experiments in a local folder, as plain values that JSON can hold.

    May be asked from several threads at once. Nothing is ever written.

    Args:
        storage: the folder of all experiments.

    Raises:
        InputError: there is no such folder, or it cannot be listed.
    """

    def __init__(self, storage: Path) -> None:
        if not storage.is_dir() or not os.access(storage, os.R_OK | os.X_OK):
            raise fail("storage", "a folder of experiments that can be read", str(storage))
        self._storage = storage
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self.trials_read = 0
        """How many trials' files have been read since the start."""

    def names(self) -> list[str]:
        """The experiments there are now, sorted."""
        try:
            return [
                name for name in folder_names(self._storage) if (self._storage / name / "experiment.json").is_file()
            ]
        except OSError:
            return []

    def experiment(self, name: str) -> dict[str, Any] | None:
        """All trials of one experiment and what they share.

        Args:
            name: one of ``names()``; compared with them before any file is touched.

        Returns:
            ``name``, ``version``, ``recipe``, ``reference``, ``hypervolume``, ``progress`` (the steps of the hypervolume
            over the epochs that all trials have run), ``trials`` (one object per trial with
            ``COLUMNS`` and the flags ``on_front``, ``on_size_front`` and ``on_bit_synops_front``) and ``error``, a line on
            what is damaged; None where there is no such experiment. The object is shared: do not change it.
        """
        if name not in self.names():
            return None
        with self._lock:
            return self._refreshed(name)

    def versions(self) -> dict[str, str]:
        """The version of every experiment; another one means that something in it changed."""
        found = ((name, self.experiment(name)) for name in self.names())
        return {name: shown["version"] for name, shown in found if shown is not None}

    def folder(self, name: str, trial: str) -> Path | None:
        """The folder of a trial; None unless both names are those of folders listed in the storage."""
        if name not in self.names():
            return None
        trials = self._storage / name / "trials"
        return trials / trial if trial in folder_names(trials) else None

    def _refreshed(self, name: str) -> dict[str, Any]:
        path = self._storage / name
        kept = self._kept.setdefault(name, _Kept())
        # Stamps are taken before the files are read: whatever is written meanwhile is seen the next time.
        described = _stamp(path, ("experiment.json",))
        stamps = {trial: _stamp(path / "trials" / trial, _ROW_FILES + _LATER_FILES) for trial in _trials(path)}
        if kept.shown is not None and (described, stamps) == (kept.experiment_file, kept.stamps):
            return kept.shown
        changed = [
            trial
            for trial, stamp in stamps.items()
            if trial not in kept.stamps or stamp[: len(_ROW_FILES)] != kept.stamps[trial][: len(_ROW_FILES)]
        ]
        read = {row["trial"]: row for row in read_rows(path / "trials", changed)}
        self.trials_read += len(changed)
        unchanged = {t: row for t, row in kept.rows.items() if t in stamps and t not in set(changed)}
        kept.rows = {**unchanged, **read}
        kept.experiment_file, kept.stamps = described, stamps
        kept.shown = _shown(path, [kept.rows[t] for t in stamps if t in kept.rows], _version(described, stamps))
        return kept.shown


def _shown(path: Path, rows: list[Row], version: str) -> dict[str, Any]:
    error = None
    recipe: dict[str, Any] | None = None
    reference: Reference | None = None
    try:
        recipe = Experiment(path).recipe()
        reference = Experiment(path).reference()
    except InputError as damaged:
        error = str(damaged).replace(f"{path.parent}{os.sep}", "")  # where it lies is not the page's to tell
    table = to_table([rows] if rows else [])
    return {
        "name": path.name,
        "version": version,
        "recipe": recipe,
        "reference": None if reference is None else asdict(reference),
        "hypervolume": None if reference is None else hypervolume(table, reference),
        "progress": [] if reference is None else _progress(table, reference),
        "trials": _records(table, f"{path.parent}{os.sep}"),
        "error": error,
    }


def _progress(table: pd.DataFrame, reference: Reference) -> list[dict[str, Any]]:
    """The first and the last point of the curve and all steps between."""
    curve = hypervolume_curve(table, reference)
    steps = curve["hypervolume"].diff().fillna(1) != 0
    curve = curve[steps | (curve.index == len(curve) - 1)]
    names = table["trial"].iloc[curve["row"]].tolist()
    rows = curve[["epochs", "seconds", "hypervolume"]].to_dict("records")
    return [
        {**{str(key): value for key, value in row.items()}, "trial": name}
        for row, name in zip(rows, names, strict=True)
    ]


def _records(table: pd.DataFrame, place: str) -> list[dict[str, Any]]:
    """The table row by row in plain values, with the front flags; what is no number is None."""
    columns: dict[str, list[Any]] = {column: [_plain(value) for value in table[column].tolist()] for column in COLUMNS}
    columns["reason"] = [text.replace(place, "") if isinstance(text, str) else text for text in columns["reason"]]
    columns["on_front"] = on_front(table, [SIZE, BIT_SYNOPS]).tolist()
    columns["on_size_front"] = on_front(table, [SIZE]).tolist()
    columns["on_bit_synops_front"] = on_front(table, [BIT_SYNOPS]).tolist()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _trials(path: Path) -> list[str]:
    try:
        return folder_names(path / "trials")
    except OSError:
        return []


def _stamp(folder: Path, names: tuple[str, ...]) -> Stamp:
    return tuple(_stat(os.path.join(folder, name)) for name in names)


def _stat(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _version(described: Stamp, stamps: dict[str, Stamp]) -> str:
    return hashlib.sha256(repr((described, sorted(stamps.items()))).encode()).hexdigest()[:16]
