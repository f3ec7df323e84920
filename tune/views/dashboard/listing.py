"""Which files of experiments there are in a storage, each with a mark that changes when the file does; none is read.

A local folder and an object store are listed alike. Links that lead out of the folder, and what is no file, are left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from upath import UPath

from litesnn.checks import InputError
from litesnn.files import StorageError
from tune.storage.paths import StoragePath, folder_names

ROW_FILES = ("result.json", "point.json", "metrics.jsonl")
"""What a row of the table is made of."""
LATER_FILES = ("genotype.json", "notes.txt", "model.safetensors")
"""What the panel of a trial shows besides."""
_FILES = ROW_FILES + LATER_FILES
_DESCRIPTION = "experiment.json"
_LARGEST = 2**26  # bytes of a file that is read whole; the network is not
_MARKS = ("ETag", "etag", "generation", "LastModified", "last_modified", "updated", "mtime")
_AT_ONCE = 8

Mark = tuple[int, str] | None
"""Size in bytes, and what changes with the content; None where there is no such file."""
Stamp = tuple[Mark, ...]


@dataclass
class Found:
    """The files of one experiment."""

    description: Mark = None  # of experiment.json
    trials: dict[str, Stamp] = field(default_factory=dict)  # by name, sorted: the marks of _FILES
    refused: list[str] = field(default_factory=list)  # what is not shown, and why, one line each


class RefusedError(Exception):
    """A file that is not to be read: why."""


class LocalListing:
    """A folder of experiments, which need not exist yet.

    Raises:
        InputError: it is no folder, or cannot be read.
    """

    def __init__(self, storage: Path) -> None:
        self._storage = storage
        self._names(os.path.realpath(storage))

    def look(self) -> dict[str, Found]:
        """All experiments by name.

        Raises:
            InputError: the folder cannot be read.
        """
        root = os.path.realpath(self._storage)
        found = ((name, _experiment(root, name)) for name in self._names(root))
        return {name: files for name, files in found if files is not None}

    def allows(self, name: str, trial: str) -> bool:
        """Whether the files of a trial that ``look`` has found lie in the storage, now."""
        root = os.path.realpath(self._storage)
        folder = os.path.join(root, name, "trials", trial)
        try:
            _stamp(folder, root)
        except RefusedError:
            return False
        return _is_inside(folder, root)

    def _names(self, root: str) -> list[str]:
        try:
            return _folders(root, root)
        except FileNotFoundError:
            return []
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"storage: expected a folder of experiments that can be read, got {self._storage} ({reason})"
            ) from None


class BucketListing:
    """A folder of experiments on an object store: two requests per experiment, more where it has over a thousand files."""

    def __init__(self, storage: UPath) -> None:
        self._storage = storage

    def look(self) -> dict[str, Found]:
        """All experiments by name.

        Raises:
            StorageError: the store does not answer or refuses.
        """
        names = [name for name in folder_names(self._storage) if name not in (".", "..", "")]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = dict(zip(names, pool.map(self._experiment, names), strict=True))
        return {name: files for name, files in found.items() if files is not None}

    def allows(self, name: str, trial: str) -> bool:
        """There are no links on an object store."""
        return True

    def _experiment(self, name: str) -> Found | None:
        folder = self._storage / name
        here = self._ask(lambda: folder.fs.ls(folder.path, detail=True, refresh=True)) or []
        described = [info for info in here if _last(info) == _DESCRIPTION and info["type"] == "file"]
        if not described:
            return None
        trials = folder / "trials"
        found = self._ask(lambda: trials.fs.find(trials.path, detail=True, refresh=True)) or {}
        marks: dict[str, dict[str, Mark]] = {}
        for path, info in found.items():
            trial, _, file = path.removeprefix(trials.path.rstrip("/") + "/").partition("/")
            if file and trial not in (".", "..", ""):
                marks.setdefault(trial, {})[file] = _mark(info)
        files = Found(_mark(described[0]))
        for trial in sorted(marks):
            _add(files, trial, partial(_picked, marks[trial]))
        return files

    def _ask(self, request: Callable[[], Any]) -> Any:
        try:
            return request()
        except FileNotFoundError:
            return None
        except Exception as error:  # every store's client has errors of its own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StorageError(f"{self._storage}: expected a store that answers, got {reason}") from None


def listing(storage: StoragePath) -> LocalListing | BucketListing:
    """What lists a storage.

    Raises:
        InputError: a local path that is no folder, or cannot be read.
    """
    return LocalListing(storage) if isinstance(storage, Path) else BucketListing(storage)


def _experiment(root: str, name: str) -> Found | None:
    folder = os.path.join(root, name)
    try:
        found = Found(_local_mark(os.path.join(folder, _DESCRIPTION), root))
    except RefusedError:
        return None
    if found.description is None:
        return None
    trials = os.path.join(folder, "trials")
    if not _is_inside(trials, root):
        found.refused.append("trials: expected a folder in the storage, got a link out of it")
        return found
    try:
        names = _folders(trials, root)
    except OSError:
        return found
    for trial in names:
        _add(found, trial, partial(_stamp, os.path.join(trials, trial), root))
    return found


def _add(found: Found, trial: str, stamp: Callable[[], Stamp]) -> None:
    try:
        marks = stamp()
        for file, mark in zip(_FILES, marks, strict=True):
            if mark is not None and mark[0] > _LARGEST and file != "model.safetensors":
                raise RefusedError(f"{file}: expected at most {_LARGEST} bytes, got {mark[0]}")
    except RefusedError as error:
        found.refused.append(f"{trial}/{error}")
    else:
        found.trials[trial] = marks


def _folders(path: str, root: str) -> list[str]:
    """Names of the folders in a folder, sorted, without links that lead out of ``root``."""
    with os.scandir(path) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_dir() and (not entry.is_symlink() or _is_inside(entry.path, root))
        )


def _stamp(folder: str, root: str) -> Stamp:
    return tuple(_local_mark(os.path.join(folder, file), root) for file in _FILES)


def _local_mark(path: str, root: str) -> Mark:
    """Files are replaced whole, so size, time of change in ns or inode differs."""
    name = os.path.basename(path)
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            if not _is_inside(path, root):
                raise RefusedError(f"{name}: expected a file in the storage, got a link out of it")
            found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise RefusedError(f"{name}: expected a file, got something else")
    return found.st_size, f"{found.st_mtime_ns} {found.st_ino}"


def _is_inside(path: str, root: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(root, ""))


def _picked(marks: dict[str, Mark]) -> Stamp:
    return tuple(marks.get(file) for file in _FILES)


def _mark(info: dict[str, Any]) -> Mark:
    return int(info.get("size") or 0), " ".join(str(info[key]) for key in _MARKS if key in info)


def _last(info: dict[str, Any]) -> str:
    return str(info["name"]).rstrip("/").rpartition("/")[2]
