"""Batches: which samples come, in which order, and how they were changed."""

import pytest
import torch

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data.batches import batch_count, eval_batches, train_batches
from litesnn.data.dataset import Dataset, Split

PLAIN = Recipe.preset("digits", crop_padding=0, horizontal_flip=False, cutout=0)


def _dataset(count: int = 10) -> Dataset:
    """Image i is 10 + i all over, so a pixel tells which sample it is; labels are i too."""
    inputs = (torch.arange(count) + 10).to(torch.uint8)[:, None, None, None].repeat(1, 2, 6, 6)
    split = Split(inputs, torch.arange(count))
    return Dataset.build("x", tuple(map(str, range(count))), split, split, split)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _labels(dataset: Dataset, batch_size: int, generator: torch.Generator, drop_last: bool = False) -> list[list[int]]:
    batches = train_batches(dataset, dataset.train, batch_size, PLAIN, generator, use_cutout=False, drop_last=drop_last)
    return [y.tolist() for _, y in batches]


@pytest.mark.parametrize(
    ("samples", "batch_size", "drop_last", "sizes"),
    [
        (10, 4, False, [4, 4, 2]),
        (10, 4, True, [4, 4]),
        (10, 5, True, [5, 5]),
        (10, 10, True, [10]),
        (10, 11, True, [10]),  # dropping it would leave nothing to train on
        (10, 11, False, [10]),
        (10, 1, True, [1] * 10),
    ],
)
def test_batch_sizes(samples, batch_size, drop_last, sizes):
    batches = _labels(_dataset(samples), batch_size, _generator(), drop_last)
    assert [len(batch) for batch in batches] == sizes
    assert batch_count(samples, batch_size, drop_last=drop_last) == len(sizes)
    seen = [label for batch in batches for label in batch]
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(samples))


def test_each_pass_is_shuffled_anew_and_the_seed_decides():
    dataset, generator = _dataset(50), _generator(1)
    first, second = _labels(dataset, 50, generator), _labels(dataset, 50, generator)
    assert first != second and first != [list(range(50))]
    assert sorted(first[0]) == sorted(second[0]) == list(range(50))
    again = _generator(1)
    assert [_labels(dataset, 50, again), _labels(dataset, 50, again)] == [first, second]


def test_without_augmentation_inputs_are_the_normalised_samples_of_their_labels():
    dataset = _dataset()
    for x, y in train_batches(dataset, dataset.train, 3, PLAIN, _generator(), use_cutout=True, drop_last=False):
        assert x.dtype == torch.float32 and y.dtype == torch.int64
        expected = ((y + 10) / 255)[:, None, None, None].expand(-1, 2, 6, 6)
        torch.testing.assert_close(x, (expected - dataset.mean) / dataset.std)


def test_the_padding_is_black_and_the_cutout_is_the_mean():
    dataset = _dataset(64)
    recipe = Recipe.preset("digits", crop_padding=2, horizontal_flip=True, cutout=3)
    ((x, y),) = train_batches(dataset, dataset.train, 64, recipe, _generator(), use_cutout=True, drop_last=True)
    blanked = x == 0
    assert blanked.flatten(1).any(dim=1).all()  # each image has its square
    pixels = (x * dataset.std + dataset.mean) * 255
    own = (y + 10)[:, None, None, None].expand_as(pixels)
    black = pixels.abs() < 0.01
    assert (blanked | black | ((pixels - own).abs() < 0.01)).all()
    assert black.any()  # black after normalisation is below 0, so the crop came before it


def test_cutout_is_left_out_while_searching():
    dataset = _dataset()
    recipe = Recipe.preset("digits", crop_padding=0, cutout=4)
    for use_cutout in (False, True):
        batches = train_batches(dataset, dataset.train, 4, recipe, _generator(), use_cutout=use_cutout, drop_last=False)
        assert all((x == 0).any() == use_cutout for x, _ in batches)


def test_flips_happen_only_where_the_recipe_says_so():
    inputs = torch.zeros(40, 1, 1, 2, dtype=torch.uint8)
    inputs[..., 1] = 255
    split = Split(inputs, torch.zeros(40, dtype=torch.int64))
    dataset = Dataset.build("x", ("a",), split, split, split)
    for flip in (False, True):
        recipe = Recipe.preset("digits", crop_padding=0, horizontal_flip=flip)
        ((x, _),) = train_batches(dataset, split, 40, recipe, _generator(), use_cutout=False, drop_last=False)
        assert (x[..., 0] > x[..., 1]).any() == flip


@pytest.mark.parametrize("flip_order", ["random", "alternating"])
def test_a_pass_over_some_samples_gives_what_a_copy_of_them_gives(flip_order):
    dataset, members = _dataset(20), torch.tensor([1, 2, 3, 5, 8, 13, 19])
    recipe = Recipe.preset("digits", crop_padding=1, horizontal_flip=True, flip_order=flip_order, cutout=2)
    ways = [{"split": dataset.train.take(members)}, {"split": dataset.train, "members": members}]
    options = {"batch_size": 3, "recipe": recipe, "use_cutout": True, "drop_last": True, "epoch": 1}
    passes = [list(train_batches(dataset, generator=_generator(), **options, **way)) for way in ways]
    assert len(passes[0]) == len(passes[1]) == 2
    for (x, y), (other_x, other_y) in zip(*passes, strict=True):
        assert torch.equal(x, other_x) and torch.equal(y, other_y)


def test_evaluation_is_in_order_complete_and_not_augmented():
    dataset = _dataset()
    batches = list(eval_batches(dataset, dataset.test, 4))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert torch.equal(torch.cat([y for _, y in batches]), dataset.test.labels)
    assert torch.equal(torch.cat([x for x, _ in batches]), dataset.normalise(dataset.test.inputs))


@pytest.mark.parametrize("batch_size", [0, -3, 2.5])
def test_a_bad_batch_size_is_refused(batch_size):
    dataset = _dataset()
    for batches in (
        eval_batches(dataset, dataset.test, batch_size),
        train_batches(dataset, dataset.train, batch_size, PLAIN, _generator(), use_cutout=False, drop_last=False),
    ):
        with pytest.raises(InputError, match="batch size: expected an integer of at least 1, got"):
            next(batches)
