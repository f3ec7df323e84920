"""What lies in a folder of own images or clips, by names alone: parts, classes and files, before anything is decoded.

``PATH/train/<class>/``, ``PATH/test/<class>/`` and ``PATH/val/<class>/``, of which each may be missing; or the class folders
themselves, ``PATH/<class>/``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from litesnn.checks import InputError, user_path

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
CLIPS = (".wav", ".flac", ".ogg", ".mp3")
_LITTER = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")  # left behind by file managers, as are names with a dot
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SHOWN = 5

Classes = Mapping[str, Sequence[Path]]
"""Class name to files, both sorted."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A folder's files.

    Args:
        root: the folder.
        parts: ``train``, and ``val`` and ``test`` where there are such folders; all with the same classes.
        source: where ``train`` lies, in words: ``train/``, or for class folders without one above them, ``the class
            folders``.
        clips: whether the files are clips, or else images.
        others: files in class folders that are neither.
        unread: names of folders that are not read.
    """

    root: Path
    parts: Mapping[str, Classes]
    source: str
    clips: bool
    others: tuple[Path, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(self.parts["train"])

    @property
    def count(self) -> int:
        """Number of files in all."""
        return sum(len(files) for part in self.parts.values() for files in part.values())


def list_folder(path: str, skip_damaged: bool = False) -> Listing:
    """Lists a data set of files.

    Args:
        path: the folder; a leading ``~`` is expanded.
        skip_damaged: note files that are no images or clips in ``others`` instead of refusing them.

    Raises:
        InputError: a folder is missing or empty, the parts have different classes, images and clips are mixed, or a
            file is neither; the text names the folder or file.
    """
    root = user_path("dataset", path)
    if not root.is_dir():
        raise InputError(f"folder:{path}: expected a folder, got none at {str(root)!r}")
    folders, source, unread = _find_parts(root)
    others: list[Path] = []
    parts = {part: _list_classes(found, skip_damaged, others) for part, found in folders.items()}
    if "train" not in parts:  # a test or validation set alone is a data set too
        parts = {"train": {name: _joined(parts, name) for name in sorted(set().union(*parts.values()))}}
    names = tuple(parts["train"])
    for part, classes in parts.items():
        if tuple(classes) != names:
            folder = next(iter(folders[part].values())).parent
            raise InputError(f"{folder}: expected the classes of {source}, got {_difference(names, tuple(classes))}")
    if len(names) < 2:
        raise InputError(f"{root}: expected at least 2 class folders, got {names[0]!r} alone")
    files = [file for classes in parts.values() for group in classes.values() for file in group]
    return Listing(
        root=root, parts=parts, source=source, clips=_are_clips(files), others=tuple(others), unread=tuple(unread)
    )


def _find_parts(root: Path) -> tuple[dict[str, dict[str, Path]], str, list[str]]:
    """The class folders of each part, where the training part lies, and what is left out.

    A folder called ``train`` is the training part only if there are folders in it: trains are a class of their own.
    """
    named: dict[str, Path] = {}
    classes: dict[str, Path] = {}
    for entry in (entry for entry in _entries(root) if entry.is_dir()):
        part = _PARTS.get(entry.name.lower())
        inside = _entries(Path(entry.path)) if part else []
        if part is None or (inside and not any(one.is_dir() for one in inside)):
            classes[entry.name] = Path(entry.path)
            continue
        if part in named:
            raise InputError(f"{root}: expected one folder for {part}, got {named[part].name!r} and {entry.name!r}")
        named[part] = Path(entry.path)
    parts: dict[str, dict[str, Path]] = {}
    for part in ("train", "val", "test"):
        if part in named:
            parts[part] = _class_folders(named[part])
    if "train" in parts:
        return parts, "train/", sorted(classes)
    if classes and not all(name.lower() in _PARTS for name in classes):
        return {"train": _class_folders(root, classes), **parts}, "the class folders", []
    if parts and not classes:
        return parts, " and ".join(f"{part}/" for part in parts), []
    there = ", ".join(sorted(entry.name for entry in _entries(root))[:_SHOWN]) or "nothing"
    raise InputError(f"{root}: expected train/ with one folder per class, or the class folders themselves, got {there}")


def _class_folders(folder: Path, classes: dict[str, Path] | None = None) -> dict[str, Path]:
    """The folders in ``folder`` by name, or those given; an image beside them is refused."""
    entries = _entries(folder)
    for entry in entries:
        if entry.name.lower().endswith(IMAGES + CLIPS) and not entry.is_dir():
            raise InputError(f"{entry.path}: expected it inside a class folder, got it beside them")
    found = {entry.name: Path(entry.path) for entry in entries if entry.is_dir()} if classes is None else classes
    if not found:
        raise InputError(f"{folder}: expected one folder per class, got none")
    return found


def _list_classes(folders: Mapping[str, Path], skip: bool, others: list[Path]) -> dict[str, list[Path]]:
    """The files of each class."""
    return {name: _list_files(folder, skip, others) for name, folder in folders.items()}


def _list_files(folder: Path, skip: bool, others: list[Path]) -> list[Path]:
    files: list[Path] = []
    for entry in _entries(folder):
        file = Path(entry.path)
        if file.suffix.lower() in IMAGES + CLIPS and not entry.is_dir():
            files.append(file)
        elif entry.is_dir():
            part = _PARTS.get(entry.name.lower())
            hint = f"; is folder:{folder} what is meant?" if part else ""
            raise InputError(f"{file}: expected only files in a class folder, got this folder{hint}")
        elif skip:
            others.append(file)
        else:
            raise InputError(
                f"{file}: expected only {' '.join(IMAGES + CLIPS)} files in a class folder, got this; "
                "--skip-damaged leaves it out"
            )
    if not files:
        raise InputError(f"{folder}: expected at least 1 image or clip, got an empty class folder")
    return files


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in ``folder`` by name; a DirEntry knows whether it is a folder without asking the disk again."""
    try:
        with os.scandir(folder) as entries:
            kept = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _LITTER]
    except OSError as error:
        raise InputError(f"{folder}: expected a folder that can be read, got {error.strerror!r}") from error
    return sorted(kept, key=lambda entry: entry.name)


def _joined(parts: Mapping[str, Classes], name: str) -> list[Path]:
    return [file for classes in parts.values() for file in classes.get(name, [])]


def _difference(expected: Sequence[str], got: Sequence[str]) -> str:
    missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    faults = [f"no {name!r}" for name in missing] + [f"{name!r} besides" for name in extra]
    return ", ".join(faults[:_SHOWN])


def _are_clips(files: Sequence[Path]) -> bool:
    """Whether the files are clips; a data set has clips only or images only."""
    clips = [file for file in files if file.suffix.lower() in CLIPS]
    images = [file for file in files if file.suffix.lower() in IMAGES]
    if clips and images:
        raise InputError(f"{clips[0]}: expected only images or only clips in a data set, got also {str(images[0])!r}")
    return bool(clips)
