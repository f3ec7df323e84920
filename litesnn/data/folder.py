"""A user's own images or clips: ``PATH/train/<class>/``, ``PATH/test/<class>/`` and perhaps ``PATH/val/<class>/``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from litesnn.checks import InputError, fail, user_path
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, Split
from litesnn.data.decode import Progress, decode_files
from litesnn.data.features import FEATURE_SHAPE, clip_features
from litesnn.data.images import read_images

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
CLIPS = (".wav", ".flac")
_LITTER = ("thumbs.db", "desktop.ini")  # what file managers leave behind; names with a leading dot are skipped too

_Files = dict[str, list[Path]]  # class name -> files, both sorted


def load_folder(path: str, recipe: Recipe, classes: int, progress: Progress | None = None) -> Dataset:
    """Reads a data set of files; the class names are the sorted folder names in ``train``.

    All names are checked before the first file is decoded.

    Args:
        path: the folder that holds ``train``, ``test`` and perhaps ``val``; a leading ``~`` is expanded.
        recipe: ``input_shape`` is what every file must give; ``val_fraction`` and ``split_seed`` give the validation
            split where there is no ``val``.
        classes: number of classes expected.
        progress: called with (files done, files in all).

    Returns:
        Data set of uint8 [n, C, H, W] (images) or of float32 [n, 1, 40, 98] (clips).

    Raises:
        InputError: a folder is missing or empty, the classes differ, images and clips are mixed, or a file is
            unreadable or of the wrong size or rate; the text names the folder or file.
    """
    root = user_path("dataset", path)
    if not root.is_dir():
        raise InputError(f"folder:{path}: expected a folder, got none at {str(root)!r}")
    parts = ["train", "val", "test"] if (root / "val").is_dir() else ["train", "test"]
    files = {part: _list_classes(root / part, root) for part in parts}
    names = tuple(files["train"])
    for part in parts[1:]:
        if tuple(files[part]) != names:
            raise InputError(f"{root / part}: expected {_difference(names, tuple(files[part]))}")
    if len(names) != classes:
        raise InputError(f"{root / 'train'}: expected {classes} class folders (the recipe's classes), got {len(names)}")

    decode = _decoder([file for part in parts for group in files[part].values() for file in group], recipe.input_shape)
    total = sum(len(group) for part in parts for group in files[part].values())
    splits: dict[str, Split] = {}
    before = 0
    for part in parts:
        splits[part] = _read(files[part], decode, progress, before, total)
        before += len(splits[part])
    name = f"folder:{path}"
    if "val" in splits:
        return Dataset.build(name, names, splits["train"], splits["val"], splits["test"])
    return Dataset.hold_out(
        name, names, splits["train"], splits["test"], val_fraction=recipe.val_fraction, seed=recipe.split_seed
    )


def _list_classes(folder: Path, root: Path) -> _Files:
    """The files of each class folder in ``folder``."""
    if not folder.is_dir():
        there = ", ".join(sorted(entry.name for entry in _entries(root))[:5]) or "nothing"
        raise InputError(f"{root}: expected a folder {folder.name!r} with one folder per class, got {there}")
    classes: _Files = {}
    for entry in _entries(folder):
        if entry.is_dir():
            classes[entry.name] = _list_files(Path(entry.path))
        elif entry.name.lower().endswith(IMAGES + CLIPS):
            raise InputError(f"{entry.path}: expected it inside a class folder, got it beside them")
    if not classes:
        raise InputError(f"{folder}: expected one folder per class, got none")
    return classes


def _list_files(folder: Path) -> list[Path]:
    files = [Path(entry.path) for entry in _entries(folder)]
    for file in files:
        if file.suffix.lower() not in IMAGES + CLIPS:
            raise InputError(f"{file}: expected only {' '.join(IMAGES + CLIPS)} files in a class folder, got this")
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


def _difference(expected: Sequence[str], got: Sequence[str]) -> str:
    missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    faults = [f"no {name!r}" for name in missing] + [f"{name!r} besides" for name in extra]
    return f"the classes of 'train', got {', '.join(faults[:5])}"


def _decoder(files: Sequence[Path], shape: tuple[int, ...]) -> Callable[[Sequence[Path]], Tensor]:
    """How these files are read: all of them as clips or all as images."""
    clips = [file for file in files if file.suffix.lower() in CLIPS]
    if not clips:
        if shape[0] not in (1, 3):
            raise fail("input_shape", "1 or 3 channels for images", shape)
        return partial(read_images, shape=shape)
    images = [file for file in files if file.suffix.lower() in IMAGES]
    if images:
        raise InputError(f"{clips[0]}: expected only images or only clips in a data set, got also {str(images[0])!r}")
    if shape != FEATURE_SHAPE:
        raise fail("input_shape", f"{FEATURE_SHAPE} for clips", shape)
    return clip_features


def _read(
    classes: _Files,
    decode: Callable[[Sequence[Path]], Tensor],
    progress: Progress | None,
    before: int,
    total: int,
) -> Split:
    files = [file for group in classes.values() for file in group]
    labels = [label for label, group in enumerate(classes.values()) for _ in group]
    inputs = decode_files(files, decode, progress, before=before, total=total)
    return Split(inputs, torch.tensor(labels, dtype=torch.int64))
