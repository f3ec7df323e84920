"""A user's own images or clips from a folder: ``listing`` says what lies there, here it becomes a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from litesnn.checks import InputError, UnreadableError, fail
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, Split
from litesnn.data.decode import Decode, Progress, decode_files, leaving_out
from litesnn.data.features import FEATURE_SHAPE, clip_features
from litesnn.data.images import read_images
from litesnn.data.listing import Classes, Listing, list_folder
from litesnn.data.remarks import Remarks
from litesnn.data.split import stratified_split


def load_folder(
    path: str,
    recipe: Recipe,
    classes: int,
    progress: Progress | None = None,
    *,
    skip_damaged: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Dataset:
    """Reads a data set of files; the class names are the sorted folder names.

    All names are checked before the first file is decoded. Where there is no ``test`` folder, a stratified share of the
    training files is held out, then one for validation where there is no ``val``.

    Args:
        path: see ``list_folder``.
        recipe: ``input_shape`` and ``resize`` say what every file becomes; ``test_fraction``, ``val_fraction`` and
            ``split_seed`` how the files are split.
        classes: number of classes expected.
        progress: called with (files done, files in all).
        skip_damaged: leave out what cannot be read, and say so, instead of refusing it.
        say: told what was found, how it was split and what is dubious about it, a sentence each.

    Returns:
        Data set of uint8 [n, C, H, W] (images) or of float32 [n, 1, 40, 98] (clips).

    Raises:
        InputError: as of ``list_folder``, or a file is unreadable; the text names it.
    """
    listing = list_folder(path, skip_damaged)
    if len(listing.classes) != classes:
        folder = listing.root / "train" if listing.source == "train/" else listing.root
        raise InputError(
            f"{folder}: expected {classes} class folders (the recipe's classes), got {len(listing.classes)}"
        )
    damaged: dict[Path, str] = {file: "of another kind" for file in listing.others}
    decode = _decoder(listing, recipe)
    if skip_damaged:
        decode = leaving_out(decode, damaged)
    splits: dict[str, Split] = {}
    before = 0
    for part, found in listing.parts.items():
        splits[part] = _read(found, decode, progress, before, listing.count, damaged)
        before += sum(map(len, found.values()))
    dataset = _split(f"folder:{path}", listing, splits, recipe)
    for text in Remarks(listing, dataset, recipe, damaged).sentences():
        say(text)
    return dataset


def _split(name: str, listing: Listing, splits: Mapping[str, Split], recipe: Recipe) -> Dataset:
    """Holds out what has no folder of its own."""
    train, test = splits["train"], splits.get("test")
    if test is None:
        kept, held = stratified_split(train.labels, recipe.test_fraction, recipe.split_seed, "test_fraction")
        train, test = train.take(kept), train.take(held)
    if "val" in splits:
        return Dataset.build(name, listing.classes, train, splits["val"], test)
    return Dataset.hold_out(
        name, listing.classes, train, test, val_fraction=recipe.val_fraction, seed=recipe.split_seed
    )


def _decoder(listing: Listing, recipe: Recipe) -> Decode:
    """How these files are read: all of them as clips or all as images."""
    shape = recipe.input_shape
    if not listing.clips:
        if shape[0] not in (1, 3):
            raise fail("input_shape", "1 or 3 channels for images", shape)
        return partial(read_images, shape=shape, resize=recipe.resize)
    if shape != FEATURE_SHAPE:
        raise fail("input_shape", f"{FEATURE_SHAPE} for clips", shape)
    return clip_features


def _read(
    classes: Classes,
    decode: Callable[[Sequence[Path]], Tensor],
    progress: Progress | None,
    before: int,
    total: int,
    damaged: Mapping[Path, str],
) -> Split:
    files = [file for group in classes.values() for file in group]
    try:
        inputs = decode_files(files, decode, progress, before=before, total=total)
    except UnreadableError as error:
        raise InputError(f"{error}; --skip-damaged leaves it out") from None
    labels = []
    for label, group in enumerate(classes.values()):
        whole = sum(file not in damaged for file in group)
        if not whole:
            raise InputError(f"{group[0].parent}: expected at least 1 readable file, got {damaged[group[0]]}")
        labels += [label] * whole
    return Split(inputs, torch.tensor(labels, dtype=torch.int64))
