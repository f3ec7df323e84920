"""Data sets of arrays: the same samples as went in, split and normalised as those of files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from litesnn.checks import InputError
from litesnn.config import SearchPoint
from litesnn.data import Dataset, load
from litesnn.joint_search import search
from litesnn.retraining import retrain

DRAW = np.random.default_rng(0)
PIXELS = DRAW.integers(0, 256, (60, 1, 6, 6), dtype=np.uint8)
LABELS = np.arange(60) % 3


def test_samples_and_statistics() -> None:
    data = Dataset.from_arrays((PIXELS[:30], LABELS[:30]), (PIXELS[30:45], LABELS[30:45]), (PIXELS[45:], LABELS[45:]))
    assert (data.name, data.classes, data.input_shape) == ("arrays:own", ("0", "1", "2"), (1, 6, 6))
    for split, part in ((data.train, slice(0, 30)), (data.test, slice(30, 45)), (data.val, slice(45, 60))):
        assert np.array_equal(split.inputs.numpy(), PIXELS[part])
        assert np.array_equal(split.labels.numpy(), LABELS[part])
    assert data.mean.item() == pytest.approx((PIXELS[:30] / 255).mean(), rel=1e-6)
    assert not np.shares_memory(data.train.inputs.numpy(), PIXELS)


def test_what_is_not_given_is_held_out_of_every_class() -> None:
    data = Dataset.from_arrays((PIXELS, LABELS), val_fraction=0.25, test_fraction=0.2, seed=3)
    sizes = [torch.bincount(split.labels).tolist() for split in (data.train, data.val, data.test)]
    assert sizes == [[12] * 3, [4] * 3, [4] * 3]
    together = np.concatenate([split.inputs.numpy() for split in (data.train, data.val, data.test)])
    assert sorted(map(bytes, together)) == sorted(map(bytes, PIXELS))


@pytest.mark.parametrize(
    "x",
    [PIXELS[:, 0], torch.from_numpy(PIXELS), PIXELS / 255, torch.from_numpy(PIXELS).float() / 255, PIXELS.tolist()],
    ids=["grey", "tensor", "floats", "float tensor", "list"],
)
def test_forms_of_the_same_pixels(x: Any) -> None:
    if isinstance(x, list):
        x = np.array(x, np.uint8)
    data = Dataset.from_arrays((x, LABELS.tolist()), (x, torch.from_numpy(LABELS)))
    assert np.array_equal(data.test.inputs.numpy(), PIXELS) and data.test.inputs.dtype == torch.uint8


def test_names_as_labels() -> None:
    names = np.array(["dog", "cat", "owl"])[LABELS]
    data = Dataset.from_arrays((PIXELS, names), (PIXELS, names.tolist()))
    assert data.classes == ("cat", "dog", "owl")
    assert [data.classes[k] for k in data.test.labels] == names.tolist()
    given = Dataset.from_arrays((PIXELS, LABELS), (PIXELS, names), classes=("owl", "cat", "dog"))
    assert [given.classes[k] for k in given.test.labels] == names.tolist()


def test_features_are_numbers_of_any_range_with_statistics_per_row() -> None:
    x = DRAW.normal(5, 300, (60, 1, 4, 7))
    data = Dataset.from_arrays((x, LABELS), (x, LABELS), (x, LABELS), features=True)
    assert data.mean.shape == (1, 4, 1) and data.train.inputs.dtype == torch.float32
    np.testing.assert_allclose(data.mean.flatten(), x.mean((0, 1, 3)), rtol=1e-4)


def test_a_search_and_a_retraining() -> None:
    x = np.where(np.arange(6)[:, None] // 2 == LABELS[:, None, None], 200, PIXELS[:, 0] // 4).astype(np.uint8)
    data = Dataset.from_arrays((x, LABELS), name="stripes", val_fraction=0.2)
    recipe = data.recipe("digits", **{**TINY, "search_epochs": 1})
    assert (recipe.dataset, recipe.input_shape, recipe.classes) == ("arrays:stripes", (1, 6, 6), 3)
    genotype = search(SearchPoint(lambda1=0, lambda2=0, p=50), recipe, dataset=data).genotype
    result = retrain(genotype, recipe, dataset=data)
    assert result.test_accuracy > 60
    with pytest.raises(InputError, match="expected data that can be read again, got 'arrays:stripes'"):
        load(recipe)
    with pytest.raises(InputError, match="classes: expected 3 for the data set arrays:stripes, got 4"):
        retrain(genotype, data.recipe("digits", **{**TINY, "classes": 4}), dataset=data)
    with pytest.raises(InputError, match="input_shape: expected .*6, 6"):
        search(
            SearchPoint(lambda1=0, lambda2=0, p=50),
            data.recipe("digits", **{**TINY, "input_shape": (1, 8, 8)}),
            dataset=data,
        )


TINY = {
    "search_channels": 4,
    "retrain_channels": 8,
    "widths": (1, 2),
    "retrain_epochs": 10,
    "retrain_batch": 10,
    "timesteps": 2,
}

BAD: list[tuple[dict[str, Any], str]] = [
    ({"train": (PIXELS[:, 0, 0], LABELS)}, r"train inputs: expected \[n, C, H, W\] or \[n, H, W\], got \[60, 6\]"),
    ({"train": (PIXELS.astype(int), LABELS)}, "train inputs: expected uint8 or floats, got int64"),
    ({"train": (PIXELS * 1.0, LABELS)}, "expected pixels as uint8 or as floats from 0 to 1"),
    ({"train": (PIXELS * np.nan, LABELS)}, "expected finite numbers"),
    ({"train": (PIXELS, LABELS[:50])}, "train: expected a label for each of 60 inputs, got 50"),
    ({"train": (PIXELS, LABELS - 1)}, "train labels: expected 0 to 1 for 2 classes, got -1 to 1"),
    ({"train": (PIXELS, LABELS / 2)}, "train labels: expected integers or names"),
    ({"train": (PIXELS, LABELS * 0)}, "classes: expected an integer of at least 2, got 1"),
    ({"train": (PIXELS, LABELS), "classes": ["a", "b"]}, "train labels: expected 0 to 1 for 2 classes, got 0 to 2"),
    ({"train": (PIXELS, LABELS), "classes": ["a", "a", "b"]}, "classes: expected two or more different names"),
    ({"train": (PIXELS, LABELS), "test": (PIXELS[:, :, :5], LABELS)}, r"test: expected inputs of the shape of train"),
    ({"train": (PIXELS, LABELS), "test": (PIXELS[:0], LABELS[:0])}, "expected at least 1 sample in the test split"),
    ({"train": (PIXELS, LABELS), "features": True}, "expected features as floats"),
    ({"train": (PIXELS, LABELS), "val_fraction": 1.5}, "val_fraction: expected a finite number"),
    ({"train": ([[1], [1, 2]], LABELS)}, "train inputs: expected numbers of one shape"),
    (
        {"train": (PIXELS, np.array(["a"] * 30 + ["b"] * 30)), "classes": ["a", "c"]},
        "train labels: expected a, c, got 'b'",
    ),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_arrays_are_refused_in_one_line(number: int) -> None:
    arguments, message = BAD[number]
    with pytest.raises(InputError, match=message) as error:
        Dataset.from_arrays(**arguments)
    assert "\n" not in str(error.value)
