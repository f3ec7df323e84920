"""Statistics, normalisation and the hold-out, against NumPy on the same samples."""

import numpy as np
import pytest
import torch

from litesnn.checks import InputError
from litesnn.data.dataset import STD_FLOOR, Dataset, Split, statistics
from litesnn.data.split import stratified_split


def _images(count: int, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, 256, (count, 3, 4, 5), generator=generator).to(torch.uint8)
    return Split(inputs, torch.arange(count) % 2)


def test_image_statistics_are_per_channel_on_the_unit_scale():
    inputs = _images(17).inputs
    mean, std = statistics(inputs)
    pixels = inputs.numpy().astype(np.float64) / 255
    assert mean.shape == std.shape == (3, 1, 1)
    assert mean.dtype == std.dtype == torch.float32
    np.testing.assert_allclose(mean.flatten(), pixels.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std.flatten(), pixels.std(axis=(0, 2, 3)), rtol=1e-6)


def test_speech_statistics_are_per_coefficient():
    features = torch.randn(9, 1, 40, 7) * 30 - 100
    mean, std = statistics(features)
    assert mean.shape == std.shape == (1, 40, 1)
    np.testing.assert_allclose(mean.flatten(), features.double().numpy().mean(axis=(0, 1, 3)), rtol=1e-5)
    np.testing.assert_allclose(std.flatten(), features.double().numpy().std(axis=(0, 1, 3)), rtol=1e-5)


def test_a_constant_feature_is_not_divided_by_zero():
    images = torch.full((4, 1, 2, 2), 200, dtype=torch.uint8)
    features = torch.zeros(4, 1, 40, 3)
    for inputs in (images, features):
        split = Split(inputs, torch.zeros(4, dtype=torch.int64))
        dataset = Dataset.build("constant", ("a",), split, split, split)
        assert dataset.std.min() == STD_FLOOR
        assert dataset.normalise(inputs).abs().max() < 1e-3


def test_the_training_split_has_mean_0_and_deviation_1_after_normalisation():
    train = _images(50)
    x = Dataset.build("x", ("a", "b"), train, train, train).normalise(train.inputs)
    assert x.dtype == torch.float32 and x.shape == train.inputs.shape
    torch.testing.assert_close(x.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_normalise_leaves_its_argument_alone():
    features = torch.randn(5, 1, 40, 3)
    before = features.clone()
    split = Split(features, torch.zeros(5, dtype=torch.int64))
    x = Dataset.build("x", ("a",), split, split, split).normalise(features)
    assert torch.equal(features, before)
    assert not torch.equal(x, before)


def test_hold_out_measures_after_the_validation_samples_are_gone():
    samples, test = _images(40), _images(6, seed=1)
    dataset = Dataset.hold_out("x", ("a", "b"), samples, test, val_fraction=0.25, seed=5)
    train_index, val_index = stratified_split(samples.labels, 0.25, 5)
    assert torch.equal(dataset.train.inputs, samples.inputs[train_index])
    assert torch.equal(dataset.val.inputs, samples.inputs[val_index])
    assert torch.equal(dataset.val.labels, samples.labels[val_index])
    assert dataset.test is test
    assert torch.equal(dataset.mean, statistics(samples.inputs[train_index])[0])
    assert not torch.equal(dataset.mean, statistics(samples.inputs)[0])


def test_an_empty_validation_split_is_refused():
    lone = Split(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]))  # one sample of each class
    with pytest.raises(InputError, match="^x: expected at least 1 sample in the validation split, got 0$"):
        Dataset.hold_out("x", ("a", "b"), lone, lone, val_fraction=0.5, seed=0)


def test_to_moves_every_tensor():
    split = _images(4)
    moved = Dataset.build("x", ("a", "b"), split, split, split).to("meta")
    tensors = [moved.mean, moved.std]
    tensors += [tensor for part in (moved.train, moved.val, moved.test) for tensor in (part.inputs, part.labels)]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.name == "x" and moved.input_shape == (3, 4, 5)
