"""The table of an experiment: what its columns are, and how a trial's files become a row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from litesnn.checks import InputError

FINISHED, STOPPED, DIVERGED, FAILED, UNFINISHED = "finished", "stopped", "diverged", "failed", "unfinished"
OUTCOMES = (FINISHED, STOPPED, DIVERGED)
"""States in which a trial is over for good; a failed one is tried again."""

COLUMNS = [
    "trial",
    "status",
    "reason",
    "lambda1",
    "lambda2",
    "p",
    "channels",
    "held_bits",
    "held_timesteps",
    "seed",
    "parent",
    "phase",
    "epoch",
    "val_accuracy",
    "test_accuracy",
    "val_samples",
    "size_bits",
    "model_size_bits",
    "side_bits",
    "file_bits",
    "dense_bits",
    "bit_synops",
    "additions",
    "additions_exact",
    "multiplications",
    "energy_mj",
    "energy_bits_mj",
    "ann_energy_mj",
    "timesteps",
    "bits",
    "seconds",
    "search_epochs",
    "retrain_epochs",
    "search_seconds",
    "retrain_seconds",
    "search_core_seconds",
    "retrain_core_seconds",
    "ended_at",
]
_TEXTS = {"trial", "status", "reason", "parent", "phase", "bits", "ended_at"}
_COUNTS = {
    "channels",
    "held_bits",
    "held_timesteps",
    "seed",
    "epoch",
    "val_samples",
    "size_bits",
    "model_size_bits",
    "side_bits",
    "file_bits",
    "dense_bits",
    "timesteps",
    "search_epochs",
    "retrain_epochs",
}
NUMBERS = [column for column in COLUMNS if column not in _TEXTS]

Row = dict[str, Any]


class DamagedError(InputError):
    """A file that holds something else than what this program wrote there."""


def parse_object(content: bytes, path: object) -> dict[str, Any]:
    """A JSON object that this program wrote.

    Raises:
        DamagedError: anything else; ``path`` is named.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise DamagedError(f"{path}: expected an object written by this program, got a damaged file")
    return values


def parse_records(content: bytes, path: object) -> list[dict[str, Any]]:
    """The records of ``metrics.jsonl``, one per epoch.

    Raises:
        DamagedError: a line is not a JSON object.
    """
    try:  # in one go, so that the records of a file share their keys
        records = json.loads(b"[" + b",".join(content.splitlines()) + b"]")
    except (ValueError, RecursionError):
        records = [None]
    if not all(isinstance(record, dict) for record in records):
        raise DamagedError(f"{path}: expected a line written by this program per epoch, got a damaged file")
    return records


def is_whole(result: Mapping[str, Any]) -> bool:
    """Whether a ``result.json`` is a whole row; those of earlier versions have the figures only."""
    return "ended_at" in result


def row_of(point: Mapping[str, Any], records: Sequence[Mapping[str, Any]], result: Mapping[str, Any] | None) -> Row:
    """A row from the three files of a trial; ``trial`` is left to the caller, who knows the folder.

    Args:
        point: λ1, λ2, p and seed.
        records: of all epochs so far; the last gives the figures of a trial that is not over.
        result: the outcome, whose figures count more; None while there is none.

    Raises:
        DamagedError: a duration is not a number.
    """
    row = {**point, **(records[-1] if records else {}), "status": UNFINISHED, "reason": "", **(result or {})}
    row["ended_at"] = _in_utc((result or {}).get("written"))
    for phase in ("search", "retrain"):
        of_phase = [record for record in records if record.get("phase") == phase]
        row[f"{phase}_epochs"] = len(of_phase)
        row[f"{phase}_seconds"] = _total([record.get("seconds", 0.0) for record in of_phase], "seconds")
        worked = [record["core_seconds"] for record in of_phase if "core_seconds" in record]
        row[f"{phase}_core_seconds"] = _total(worked, "core_seconds") if len(worked) == len(of_phase) else None
    row["seconds"] = row["search_seconds"] + row["retrain_seconds"]
    return with_size({column: row.get(column) for column in COLUMNS})


def _total(amounts: list[Any], name: str) -> float:
    try:
        return float(sum(amounts))
    except TypeError:
        raise DamagedError(f"{name}: expected numbers, got {amounts}") from None


def with_size(row: Row) -> Row:
    """The row with its size; by that, earlier versions meant Eq. 18."""
    return row if row.get("size_bits") is not None else {**row, "size_bits": row.get("model_size_bits")}


def tidy(row: Row) -> Row:
    """A row as it stands in the table: all of ``COLUMNS`` and nothing else, lists as text."""
    shown = {column: row.get(column) for column in COLUMNS}
    return {**shown, "reason": row.get("reason") or "", "bits": _text(row.get("bits"), {})}


def failed_row(trial: str, reason: str) -> Row:
    """The row of a trial whose files cannot be read."""
    return {"trial": trial, "status": FAILED, "reason": reason}


def to_table(chunks: Iterable[Sequence[Row]]) -> pd.DataFrame:
    """Rows as a table with the columns ``COLUMNS``.

    Numbers are packed chunk by chunk, so that no more than a chunk of rows is held as Python objects. Counts are integers
    where none is missing. A row whose numbers are none costs its own trial only.
    """
    numbers: dict[str, list[np.ndarray]] = {column: [np.empty(0)] for column in NUMBERS}
    texts: dict[str, list[str | None]] = {column: [] for column in COLUMNS if column in _TEXTS}
    known: dict[str, str] = {}  # one object for each of the texts that recur
    for chunk in chunks:
        try:
            packed = _pack(chunk)
        except (TypeError, OverflowError):
            chunk = [_checked(row) for row in chunk]
            packed = _pack(chunk)
        for column, values in packed.items():
            numbers[column].append(values)
        for column, cells in texts.items():
            cells.extend(_text(row.get(column), known) for row in chunk)
    table: dict[str, Any] = {}
    for column in COLUMNS:
        table[column] = texts.pop(column) if column in _TEXTS else np.concatenate(numbers.pop(column))
        if column in _COUNTS and np.isfinite(table[column]).all():
            table[column] = table[column].astype(np.int64)
    return pd.DataFrame(table, columns=COLUMNS)


def _pack(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    return {column: np.array([_number(row.get(column)) for row in rows], dtype=float) for column in NUMBERS}


def _number(value: Any) -> float | None:
    """NumPy itself would read texts and lists of one."""
    if value is not None and not isinstance(value, int | float):
        raise TypeError(value)
    return value


def _checked(row: Row) -> Row:
    """The row, or one that says what is wrong with it."""
    for column in NUMBERS:
        try:
            float(_number(row.get(column)) or 0)
        except (TypeError, OverflowError):
            return failed_row(row["trial"], f"{column}: expected a number, got {row[column]!r}; a damaged file")
    return row


def _text(value: Any, known: dict[str, str]) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return known.setdefault(text, text)


def _in_utc(moment: Any) -> str | None:
    """An ISO timestamp in UTC; None for what is none."""
    try:
        return datetime.fromisoformat(moment).astimezone(UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError):
        return None
