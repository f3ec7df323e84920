"""The digits against scikit-learn's own arrays."""

import subprocess
import sys
from unittest import mock

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
    for module in ("sklearn", "sklearn.datasets"):
        monkeypatch.setitem(sys.modules, module, None)  # how Python marks a module that cannot be imported
    with pytest.raises(InputError, match="^scikit-learn: expected the package to be installed, got .*pip install") as e:
        load_digits(Recipe.preset("digits"))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("found", [None, "elsewhere"])
def test_without_the_file_that_is_read_scikit_learn_is_asked(monkeypatch, tmp_path, found):
    expected = load_digits(Recipe.preset("digits"))
    spec = found and mock.Mock(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("litesnn.data.digits.find_spec", lambda name: spec)
    for one, other in zip(_all(load_digits(Recipe.preset("digits"))), _all(expected), strict=True):
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.labels, other.labels)


def test_the_digits_are_read_without_importing_scikit_learn():
    code = (
        "import sys; from litesnn.config import Recipe; from litesnn.data.digits import load_digits; "
        "load_digits(Recipe.preset('digits')); print([m for m in ('sklearn', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
