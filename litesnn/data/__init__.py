"""Data sets in memory, from their source to augmented batches; ``load`` is the way in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from litesnn.checks import InputError, check_choice, fail, user_path
from litesnn.config import DATASETS, Recipe
from litesnn.data.batches import batch_count, eval_batches, train_batches
from litesnn.data.cifar import load_cifar
from litesnn.data.dataset import Dataset, Split
from litesnn.data.decode import Progress
from litesnn.data.digits import load_digits
from litesnn.data.features import FEATURE_SHAPE
from litesnn.data.folder import load_folder
from litesnn.data.speech import CLASSES as SPEECH_CLASSES
from litesnn.data.speech import load_speech
from litesnn.data.split import halves, stratified_split

__all__ = [
    "Dataset",
    "Progress",
    "Split",
    "batch_count",
    "eval_batches",
    "halves",
    "load",
    "stratified_split",
    "train_batches",
]

DEFAULT_ROOT = "~/.cache/litesnn"

_PUBLIC: dict[str, tuple[tuple[int, ...], int]] = {  # name -> input shape, number of classes
    "digits": ((1, 8, 8), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "speech_commands": (FEATURE_SHAPE, len(SPEECH_CLASSES)),
}


def load(
    recipe: Recipe,
    *,
    data_root: str | None = None,
    download: bool = False,
    device: torch.device | str = "cpu",
    searching: bool = False,
    progress: Progress | None = None,
    skip_damaged: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Dataset:
    """Loads the recipe's data set into memory and moves it to ``device`` once.

    Args:
        recipe: names the data set and says what the network expects of it.
        data_root: folder that holds the public data sets; by default ``~/.cache/litesnn``.
        download: fetch a public data set that is not there.
        device: where all tensors end up.
        searching: load the data set of the search where the recipe names another one for it.
        progress: called with (files done, files in all) while files are decoded.
        skip_damaged: leave out own files that cannot be read instead of refusing them.
        say: told what was found in a folder of own files, a sentence each.

    Returns:
        The data set; its input shape and number of classes are those of the recipe.

    Raises:
        InputError: the data do not fit the recipe, are missing or damaged, or the device or folder does not exist.
    """
    name = recipe.searched_dataset if searching else recipe.dataset
    classes = recipe.searched_classes if searching else recipe.classes
    _check_device(device)
    root = user_path("data-root", DEFAULT_ROOT if data_root is None else data_root)
    if data_root is not None and not download and not root.is_dir():
        raise fail("data-root", "an existing folder", data_root)

    if name.startswith("folder:"):
        path = name.removeprefix("folder:")
        return load_folder(path, recipe, classes, progress, skip_damaged=skip_damaged, say=say).to(device)
    if name.startswith("arrays:"):
        raise InputError(f"dataset: expected data that can be read again, got {name!r}; pass dataset=… in Python")
    shape, count = _PUBLIC[check_choice("dataset", name, DATASETS)]
    if recipe.input_shape != shape:
        raise fail("input_shape", f"{shape} for {name}", recipe.input_shape)
    if classes != count:
        field = "search_classes" if searching and recipe.search_classes else "classes"
        raise fail(field, f"{count} for {name}", classes)
    if download and name != "digits":
        _make(root)
    if name == "digits":
        dataset = load_digits(recipe)
    elif name == "speech_commands":
        dataset = load_speech(root, download, progress)
    else:
        dataset = load_cifar(name, recipe, root, download)
    assert dataset.input_shape == shape and len(dataset.classes) == count
    return dataset.to(device)


def _check_device(device: torch.device | str) -> None:
    """Finds out before the data are read, which may take minutes."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:  # an assertion: torch was built without that device
        raise fail("device", "a device that torch can use here", str(device)) from error


def _make(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"data-root: expected to create {str(root)!r}, got {error.strerror!r}") from error
