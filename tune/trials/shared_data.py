"""Data sets as plain arrays, so that Ray's object store holds one copy for all trials of a node, and a GPU one per process."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable
from typing import Any

import torch

from litesnn.config import Recipe
from litesnn.data import Dataset, Progress, Split, load

_SPLITS = ("train", "val", "test")
_MOST_HELD = 2
"""Data sets of an experiment: that of the search and that of the retraining."""
Arrays = dict[str, Any]

_held: dict[tuple[str, torch.device], Dataset] = {}


def to_arrays(dataset: Dataset) -> Arrays:
    """NumPy arrays, names, and a key of these data; the object store maps arrays into every process without copying them."""
    arrays: Arrays = {"key": uuid.uuid4().hex, "name": dataset.name, "classes": dataset.classes}
    arrays |= {"mean": dataset.mean.numpy(), "std": dataset.std.numpy()}
    for name in _SPLITS:
        split: Split = getattr(dataset, name)
        arrays |= {f"{name}.inputs": split.inputs.numpy(), f"{name}.labels": split.labels.numpy()}
    return arrays


def from_arrays(arrays: Arrays) -> Dataset:
    """The inverse of ``to_arrays``; tensors share the arrays' memory, which must not be written."""
    with warnings.catch_warnings():
        # The arrays of the object store are read-only, which torch warns about; nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        splits = {
            name: Split(torch.from_numpy(arrays[f"{name}.inputs"]), torch.from_numpy(arrays[f"{name}.labels"]))
            for name in _SPLITS
        }
        mean, std = torch.from_numpy(arrays["mean"]), torch.from_numpy(arrays["std"])
    return Dataset(arrays["name"], tuple(arrays["classes"]), splits["train"], splits["val"], splits["test"], mean, std)


def on_device(arrays: Arrays, device: torch.device) -> Dataset:
    """The data set of ``arrays`` on a device; all phases of all trials that this process runs share one copy there.

    Nobody may write to its tensors. On a CPU they are the arrays' own memory, and nothing is copied or kept.

    Args:
        arrays: of ``to_arrays``, also after a way through the object store.
        device: where the tensors shall be.
    """
    if device.type == "cpu":
        return from_arrays(arrays)
    place = arrays["key"], device
    if place not in _held:
        while len(_held) >= _MOST_HELD:
            del _held[next(iter(_held))]
        _held[place] = from_arrays(arrays).to(device)
    return _held[place]


def load_arrays(
    recipe: Recipe,
    data_root: str | None,
    download: bool,
    progress: Progress | None = None,
    skip_damaged: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Arrays]:
    """The data sets of both phases, ``{"search": …, "retrain": …}``; one object where they are the same.

    Arguments as of ``litesnn.data.load``.

    Raises:
        InputError: missing, damaged or unfitting data.
    """

    def loaded(searching: bool) -> Arrays:
        dataset = load(
            recipe,
            data_root=data_root,
            download=download,
            searching=searching,
            progress=progress,
            skip_damaged=skip_damaged,
            say=say,
        )
        return to_arrays(dataset)

    retrain = loaded(False)
    same = (recipe.searched_dataset, recipe.searched_classes) == (recipe.dataset, recipe.classes)
    return {"search": retrain if same else loaded(True), "retrain": retrain}
