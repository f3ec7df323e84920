"""What the dashboard shows of a storage: read from disk or bucket, kept, and read again only where files changed."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from litesnn.checks import InputError
from litesnn.files import StorageError
from tune.storage.folder import read_rows
from tune.storage.objectives import Reference
from tune.storage.paths import StoragePath
from tune.storage.rows import Row, to_table
from tune.storage.store import Experiment
from tune.views.dashboard.listing import ROW_FILES, Found, listing
from tune.views.page.experiment import experiment_answer


@dataclass
class _Kept:
    """What is known of one experiment."""

    found: Found = field(default_factory=Found)
    rows: dict[str, Row] = field(default_factory=dict)
    shown: dict[str, Any] | None = None


class Snapshot:
    """The experiments of a storage, as plain values that JSON can hold.

    May be asked from several threads at once. Nothing is ever written.

    Args:
        storage: the folder of all experiments, which need not exist yet, or a bucket's.
        max_age: seconds for which an answer may be given from what was seen before; 0 looks each time.

    Raises:
        InputError: a local path that is no folder, or cannot be read.
    """

    def __init__(self, storage: StoragePath, max_age: float = 0.0) -> None:
        self._listing = listing(storage)
        self._storage = storage
        self._prefix = str(storage).rstrip("/") + "/"
        self._max_age = max_age
        self._kept: dict[str, _Kept] = {}
        self._shown: dict[str, dict[str, Any]] = {}
        self._looked_at: float | None = None
        self._lock = threading.Lock()
        self.error: str | None = None
        """Why the storage could not be read the last time; what is shown is from before."""
        self.looks = 0
        """How many times the storage has been listed since the start."""
        self.trials_read = 0
        """How many trials' files have been read since the start."""

    def names(self) -> list[str]:
        """The experiments there are, sorted."""
        self.look(self._max_age)
        return sorted(self._shown)

    def experiment(self, name: str) -> dict[str, Any] | None:
        """All trials of one experiment and what they share.

        Args:
            name: one of ``names()``; no file is touched for any other.

        Returns:
            The answer of ``tune.views.page.experiment``; None where there is no such experiment. The object is shared: do
            not change it.
        """
        self.look(self._max_age)
        return self._shown.get(name)

    def versions(self, anew: bool = False) -> dict[str, str]:
        """The version of every experiment; another one means that something in it changed.

        Args:
            anew: looks whatever the age of what is known.
        """
        self.look(0.0 if anew else self._max_age)
        return {name: shown["version"] for name, shown in self._shown.items()}

    def folder(self, name: str, trial: str) -> StoragePath | None:
        """The folder of a trial; None unless both names are those of folders found in the storage."""
        self.look(self._max_age)
        kept = self._kept.get(name)
        if kept is None or trial not in kept.found.trials or not self._listing.allows(name, trial):
            return None
        return self._storage / name / "trials" / trial

    def model_bytes(self, name: str, trial: str) -> int | None:
        """Size of a trial's network when the storage was last looked at; None where there is none."""
        kept = self._kept.get(name)
        mark = kept.found.trials[trial][-1] if kept is not None and trial in kept.found.trials else None
        return None if mark is None else mark[0]

    def look(self, max_age: float = 0.0) -> None:
        """Looks at the storage, unless somebody is at it or was less than ``max_age`` seconds ago.

        Only whoever asks first waits for somebody else's look. Where the storage cannot be read, ``error`` says why and
        everything else stays as it was.
        """
        if not self._lock.acquire(blocking=self._looked_at is None):
            return
        try:
            if self._looked_at is not None and time.monotonic() - self._looked_at < max_age:
                return
            self.looks += 1
            try:
                self._look()
                self.error = None
            except InputError as error:
                self.error = str(error).replace(self._prefix, "").replace(str(self._storage), "storage")
            self._looked_at = time.monotonic()
        finally:
            self._lock.release()

    def _look(self) -> None:
        found = self._listing.look()
        for name, files in found.items():
            self._shown = {**self._shown, name: self._refreshed(name, files)}
        self._kept = {name: self._kept[name] for name in found}
        self._shown = {name: self._shown[name] for name in found}

    def _refreshed(self, name: str, found: Found) -> dict[str, Any]:
        path = self._storage / name
        kept = self._kept.setdefault(name, _Kept())
        # The files are read after they were listed: whatever is written meanwhile is seen the next time.
        if kept.shown is not None and found == kept.found:
            return kept.shown
        known = kept.found.trials
        changed = [
            trial
            for trial, stamp in found.trials.items()
            if trial not in known or stamp[: len(ROW_FILES)] != known[trial][: len(ROW_FILES)]
        ]
        read = {row["trial"]: row for row in read_rows(path / "trials", changed)}
        gone = set(changed)
        rows = {
            t: row for t, row in {**kept.rows, **read}.items() if t in found.trials and (t in read or t not in gone)
        }
        shown = _shown(path, self._prefix, [rows[t] for t in found.trials if t in rows], found)
        self.trials_read += len(changed)
        kept.found, kept.rows, kept.shown = found, rows, shown
        return shown


def _shown(path: StoragePath, prefix: str, rows: list[Row], found: Found) -> dict[str, Any]:
    """Raises StorageError where a bucket cannot be read now."""
    errors = found.refused[:1] + [f"and {len(found.refused) - 1} more like this"] * (len(found.refused) > 1)
    recipe: dict[str, Any] | None = None
    reference: Reference | None = None
    planned = 0
    try:
        recipe = Experiment(path).recipe()
        reference = Experiment(path).reference()
        planned = Experiment(path).planned()
    except StorageError:
        raise
    except InputError as damaged:
        errors.insert(0, str(damaged).replace(prefix, ""))  # where it lies is not the page's to tell
    return experiment_answer(
        path.name,
        to_table([rows] if rows else []),
        recipe,
        reference,
        planned=planned,
        version=_version(found),
        error="; ".join(errors) or None,
        hidden=prefix,
    )


def _version(found: Found) -> str:
    return hashlib.sha256(repr(found).encode(errors="replace")).hexdigest()[:16]
