"""The folder of one trial: what the trial writes there, and how its row of the table is read back."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from litesnn.checks import InputError
from tune.storage.paths import StoragePath, read_bytes, read_files, read_text, remove, set_aside, write_text
from tune.storage.rows import (
    FAILED,
    FINISHED,
    OUTCOMES,
    STOPPED,
    UNFINISHED,
    DamagedError,
    Row,
    failed_row,
    is_whole,
    parse_object,
    parse_records,
    row_of,
    tidy,
    with_size,
)

_OF_THE_TRIAL_ALONE = ("metrics.jsonl", "search.pt", "retrain.pt", "model.safetensors")  # nobody else writes these


@dataclass(frozen=True)
class TrialFolder:
    """The files of one trial."""

    path: StoragePath

    def checkpoint(self, phase: str) -> StoragePath:
        """State of a phase after its last finished epoch."""
        return self.path / f"{phase}.pt"

    def previous_checkpoint(self, phase: str) -> StoragePath:
        """State after the epoch before; read where the newest one is damaged."""
        return self.path / f"{phase}.previous.pt"

    def keep_checkpoint(self, phase: str) -> None:
        """Makes the newest checkpoint, if there is one, the previous one, before a newer one is written."""
        set_aside(self.checkpoint(phase), self.previous_checkpoint(phase))

    @property
    def genotype(self) -> StoragePath:
        """Exists once the search is over."""
        return self.path / "genotype.json"

    @property
    def model(self) -> StoragePath:
        """The trained network."""
        return self.path / "model.safetensors"

    def write_start(self, point: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
        """Says what the trial is about; the recipe lies beside the genotype for whoever takes it elsewhere."""
        write_json(self.path / "point.json", point)
        write_json(self.path / "recipe.json", recipe)

    def parent(self, name: str) -> TrialFolder | None:
        """The trial from whose weights this one starts; what an earlier attempt has decided stands.

        Args:
            name: of a trial of the same experiment; nothing: there is none.

        Returns:
            Its folder; None if it has not finished, or none is named.
        """
        with suppress(DamagedError):  # decided anew where the file is of no use
            decided = (read_json(self.path / "point.json") or {}).get("parent")
            if isinstance(decided, str):
                return replace(self, path=self.path.parent / decided) if decided else None
        if not name:
            return None
        other = replace(self, path=self.path.parent / name)
        with suppress(DamagedError):
            if (other.read_result() or {}).get("status") == FINISHED:
                return other
        return None

    def claim(self) -> str:
        """Writes down which attempt of the trial may write here from now on, and returns its mark for ``is_claimed_by``.

        An attempt that was given up may still be alive: on a host that the network lost, or in a machine that slept.
        """
        mark = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}"
        write_text(self._attempt, mark + "\n")
        return mark

    def is_claimed_by(self, mark: str) -> bool:
        """Whether no later attempt has claimed the folder and the trial is not over."""
        return (read_text(self._attempt) or "").strip() == mark

    @property
    def _attempt(self) -> StoragePath:
        return self.path / "attempt.txt"

    def note(self, text: str) -> None:
        """Adds a line to what was out of the ordinary in this trial."""
        path = self.path / "notes.txt"
        write_text(path, (read_text(path) or "") + text + "\n")

    def write_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Replaces the records by these, one line per epoch."""
        write_text(self.path / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in records))

    def read_records(self) -> list[dict[str, Any]]:
        """The records of all epochs so far.

        Raises:
            InputError: the file is damaged.
        """
        path = self.path / "metrics.jsonl"
        content = read_bytes(path)
        return [] if content is None else parse_records(content, path)

    def write_result(self, status: str, **values: Any) -> None:
        """Writes the outcome as a whole row of the table, then removes the checkpoints if the trial is over.

        ``stopped`` and ``failed`` are said from outside the trial, which may have come to its own end meanwhile: they
        never replace an outcome.

        Args:
            status: ``finished``, ``stopped``, ``diverged`` or ``failed``.
            **values: a reason, or the network's figures; point, epochs and durations are taken from the other files.
        """
        if status in (STOPPED, FAILED) and self.has_outcome():
            return
        outcome = {"status": status, **values}
        row = {**row_of(*self._progress(), outcome), **values, "trial": self.path.name}
        row["ended_at"] = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(self.path / "result.json", row)
        if status in OUTCOMES:
            self.remove_checkpoints()

    def _progress(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Point and records as far as they can be read: an outcome is written whatever became of them."""
        point: dict[str, Any] = {}
        records: list[dict[str, Any]] = []
        try:
            point = read_json(self.path / "point.json") or {}
            records = self.read_records()
            row_of(point, records, None)
        except DamagedError:
            return point, []
        return point, records

    def read_result(self) -> dict[str, Any] | None:
        """The outcome; None while there is none.

        Raises:
            InputError: the file is damaged.
        """
        return read_json(self.path / "result.json")

    def has_outcome(self) -> bool:
        """Whether the trial is over: finished, stopped and diverged stay, a failed or damaged one is tried again."""
        try:
            result = self.read_result()
        except DamagedError:
            return False
        return result is not None and result.get("status") in OUTCOMES

    def remove_checkpoints(self) -> None:
        """Removes what has served its purpose once there is an outcome, and what a kill left of a file."""
        for phase in ("search", "retrain"):
            remove(self.checkpoint(phase))
            remove(self.previous_checkpoint(phase))
        remove(self._attempt)
        if isinstance(self.path, Path):
            for name in _OF_THE_TRIAL_ALONE:
                for leftover in self.path.glob(f".{name}.*"):
                    remove(leftover)

    def clear_result(self) -> None:
        """Forgets an outcome, for another attempt."""
        remove(self.path / "result.json")

    def row(self) -> Row:
        """This trial's line of the table, as plain values under the names ``COLUMNS``; an empty one before it starts."""
        found = read_rows(self.path.parent, [self.path.name])
        return tidy(found[0] if found else {"trial": self.path.name, "status": UNFINISHED})


def read_rows(trials: StoragePath, names: Sequence[str]) -> list[Row]:
    """The rows of the trials of these names that have started, in the order of the names.

    One small file is read of a trial that is over, three of any other. A damaged file makes its trial a failed one.

    Args:
        trials: the folder of all trials.
        names: of the folders in it.
    """
    rows: dict[str, Row] = {}
    pending: dict[str, dict[str, Any] | None] = {}  # no whole row in one file: name to what result there is
    for name, content in zip(names, read_files(trials, names, "result.json"), strict=True):
        try:
            result = _parsed(content, f"{trials}/{name}/result.json")
        except InputError as error:
            rows[name] = failed_row(name, str(error))
            continue
        if result is not None and is_whole(result):
            rows[name] = with_size(result)
        else:
            pending[name] = result
    points = read_files(trials, list(pending), "point.json")
    metrics = read_files(trials, list(pending), "metrics.jsonl")
    for (name, result), point_file, records_file in zip(pending.items(), points, metrics, strict=True):
        try:
            point = _parsed(point_file, f"{trials}/{name}/point.json")
            if isinstance(records_file, InputError):
                raise records_file
            records = parse_records(records_file or b"", f"{trials}/{name}/metrics.jsonl")
            if point is not None:
                rows[name] = row_of(point, records, result)
        except InputError as error:
            rows[name] = failed_row(name, str(error))
    return [{**rows[name], "trial": name} for name in names if name in rows]


def _parsed(content: bytes | InputError | None, path: str) -> dict[str, Any] | None:
    if isinstance(content, InputError):
        raise content
    return None if content is None else parse_object(content, path)


def read_json(path: StoragePath) -> dict[str, Any] | None:
    """A JSON object that this program wrote; None where there is no such file."""
    content = read_bytes(path)
    return None if content is None else parse_object(content, path)


def write_json(path: StoragePath, values: Mapping[str, Any]) -> None:
    """Writes a JSON object, whole or not at all."""
    write_text(path, json.dumps(values, indent=2) + "\n")
