"""The digits against scikit-learn's own arrays."""

import sys

import numpy as np
import pytest
import sklearn.datasets
import torch

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data.digits import load_digits


def _all(dataset):
    return [dataset.train, dataset.val, dataset.test]


def test_the_three_splits_are_scikit_learns_images():
    dataset = load_digits(Recipe.preset("digits"))
    source = sklearn.datasets.load_digits()
    inputs = torch.cat([split.inputs for split in _all(dataset)])
    labels = torch.cat([split.labels for split in _all(dataset)])
    assert inputs.shape == (1797, 1, 8, 8) and inputs.dtype == torch.uint8
    scaled = np.floor(source.images * 255 / 16 + 0.5).astype(int)  # 8 * 255 / 16 = 127.5 is the only tie; 128 is even
    expected = sorted((label, image.tolist()) for label, image in zip(source.target.tolist(), scaled, strict=True))
    assert sorted((y, x.tolist()) for y, x in zip(labels.tolist(), inputs[:, 0], strict=True)) == expected
    assert dataset.classes == tuple("0123456789")
    assert inputs.max() == 255 and inputs.min() == 0


def test_the_test_split_is_a_fifth_of_each_class_and_the_same_for_every_recipe():
    first = load_digits(Recipe.preset("digits", split_seed=0))
    other = load_digits(Recipe.preset("digits", split_seed=1, val_fraction=0.3))
    assert torch.equal(first.test.inputs, other.test.inputs)
    assert not torch.equal(first.val.inputs[:50], other.val.inputs[:50])
    counts = np.bincount(sklearn.datasets.load_digits().target)
    assert np.abs(first.test.labels.bincount().numpy() - counts / 5).max() <= 0.5
    assert len(other.val) / (len(other.val) + len(other.train)) == pytest.approx(0.3, abs=0.01)


def test_a_missing_package_is_one_line_that_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # how Python marks a module that cannot be imported
    with pytest.raises(InputError, match="^scikit-learn: expected the package to be installed, got .*pip install") as e:
        load_digits(Recipe.preset("digits"))
    assert "\n" not in str(e.value)
