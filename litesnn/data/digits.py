"""Scikit-learn's handwritten digits: 1,797 grey images of 8 x 8 pixels, part of the package, nothing to download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, Split
from litesnn.data.sources import import_package
from litesnn.data.split import stratified_split

TEST_FRACTION = 0.2
TEST_SEED = 20240607
"""The data set has no official test split. This one is fixed here: every recipe is tested on the same images."""


def load_digits(recipe: Recipe) -> Dataset:
    """Reads the digits; the validation split comes out of the 80 % that are not for the test.

    Args:
        recipe: ``val_fraction`` and ``split_seed`` give the validation split.

    Returns:
        Data set of uint8 [n, 1, 8, 8]; the pixels, 0..16 in the source, are scaled to 0..255.

    Raises:
        InputError: scikit-learn is not installed.
    """
    images, labels = _arrays()
    pixels = torch.as_tensor(images, dtype=torch.float64)  # [1797, 8, 8], whole numbers 0..16
    inputs = (pixels * 255 / 16).round().to(torch.uint8).unsqueeze(1)
    samples = Split(inputs, torch.as_tensor(labels, dtype=torch.int64))
    rest, test = stratified_split(samples.labels, TEST_FRACTION, TEST_SEED)
    return Dataset.hold_out(
        "digits",
        tuple(map(str, range(10))),
        samples.take(rest),
        samples.take(test),
        val_fraction=recipe.val_fraction,
        seed=recipe.split_seed,
    )


def _arrays() -> tuple[Any, Any]:
    """Images and labels from scikit-learn's own file where it lies as it always has: importing the package takes seconds."""
    found = find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            table = np.loadtxt(file, delimiter=",")  # 64 pixels and the digit in a row
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    source = import_package("sklearn.datasets", "scikit-learn").load_digits()
    return source.images, source.target
