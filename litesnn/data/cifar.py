"""CIFAR-10 and CIFAR-100 from their official archives, read by torchvision."""

from __future__ import annotations

import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import torch

from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, Split
from litesnn.data.sources import broken_data, failed_download, import_package, missing_data, one_line

_READERS = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}


def load_cifar(name: str, recipe: Recipe, root: Path, download: bool) -> Dataset:
    """Reads the unpacked archive under ``root``.

    Args:
        name: ``cifar10`` or ``cifar100``.
        recipe: ``val_fraction`` and ``split_seed`` give the validation split.
        root: folder that holds ``cifar-10-batches-py`` or ``cifar-100-python``.
        download: fetch and unpack the archive where that folder is missing.

    Returns:
        Data set of uint8 [n, 3, 32, 32].

    Raises:
        InputError: the data are missing or damaged, the download fails, or torchvision is not installed.
    """
    reader = getattr(import_package("torchvision.datasets", "torchvision"), _READERS[name])
    folder = root / reader.base_folder
    if download:
        try:
            reader(root, download=True)
        except (OSError, RuntimeError, EOFError, tarfile.TarError, zlib.error) as error:
            raise failed_download(name, root, error) from error
    elif not folder.is_dir():
        raise missing_data(name, reader.base_folder, root)
    try:
        train, test = reader(root, train=True), reader(root, train=False)
        splits = [_split(train), _split(test)]
    except RuntimeError as error:  # torchvision does not say which file it is, or whether it is missing
        raise broken_data(name, folder, "a file that is missing or whose checksum is wrong") from error
    except (OSError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise broken_data(name, folder, repr(one_line(error))) from error
    return Dataset.hold_out(
        name, tuple(train.classes), *splits, val_fraction=recipe.val_fraction, seed=recipe.split_seed
    )


def _split(source: Any) -> Split:
    """From torchvision's [n, 32, 32, 3] to [n, 3, 32, 32]."""
    inputs = torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous()
    return Split(inputs, torch.tensor(source.targets, dtype=torch.int64))
